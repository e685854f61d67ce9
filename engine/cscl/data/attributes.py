"""Attribute tables of class maps, as GDAL keeps them in the side-car ``.aux.xml``: a row a class, by column."""

from __future__ import annotations

from pathlib import Path

from defusedxml import DefusedXmlException
from defusedxml import ElementTree as ET

__all__ = ["read_attributes"]


def read_attributes(raster: str | Path) -> list[dict[str, str]] | None:
    """Read the attribute table of a raster's first band: its rows by column; None without a readable one."""
    path = Path(f"{raster}.aux.xml")
    if not path.is_file():
        return None
    try:
        root = ET.fromstring(path.read_bytes())
    except (ET.ParseError, DefusedXmlException, OSError):
        return None
    table = root.find("PAMRasterBand/GDALRasterAttributeTable")
    if table is None:
        return None
    columns = [field.findtext("Name") or "" for field in table.iter("FieldDefn")]
    return [dict(zip(columns, (cell.text or "" for cell in row.iter("F")), strict=False)) for row in table.iter("Row")]
