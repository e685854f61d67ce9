"""QGIS style of points to be filled in: open rings, and a list of codes to choose from in the form of a point."""

from __future__ import annotations

from collections.abc import Mapping
from xml.etree import ElementTree as ET

from .styles import xml_text

__all__ = ["point_style"]

RING = {
    "name": "circle", "color": "255,255,255,0", "outline_color": "255,0,220,255", "outline_style": "solid",
    "outline_width": "0.5", "outline_width_unit": "MM", "size": "3.2", "size_unit": "MM",
}  # fmt: skip
DONE = {**RING, "outline_color": "0,150,60,255"}


def point_style(column: str, codes: Mapping[str, str]) -> str:
    """Return the style of a layer of points.

    Parameters
    ----------
    column : str
        Column to be filled in: points without a value are magenta, the others green.
    codes : mapping
        Names by the code that is written into the column.
    """
    root = ET.Element("qgis", {"version": "3.28", "styleCategories": "Symbology|Fields|Forms"})
    renderer = ET.SubElement(root, "renderer-v2", {"type": "RuleRenderer", "symbollevels": "0", "forceraster": "0"})
    rules, symbols = ET.SubElement(renderer, "rules", key="all"), ET.SubElement(renderer, "symbols")
    empty = f"coalesce(\"{column}\", '') = ''"
    for number, (label, rule, look) in enumerate((("to do", empty, RING), ("done", f"not ({empty})", DONE))):
        ET.SubElement(rules, "rule", {"key": label, "label": label, "filter": rule, "symbol": str(number)})
        symbol = ET.SubElement(symbols, "symbol", {"type": "marker", "name": str(number), "alpha": "1"})
        layer = ET.SubElement(symbol, "layer", {"class": "SimpleMarker", "enabled": "1", "pass": "0", "locked": "0"})
        _options(layer, look)
    field = ET.SubElement(ET.SubElement(root, "fieldConfiguration"), "field", name=column)
    config = ET.SubElement(ET.SubElement(field, "editWidget", type="ValueMap"), "config")
    choices = ET.SubElement(ET.SubElement(config, "Option", type="Map"), "Option", {"name": "map", "type": "List"})
    for code, name in {"": "(not yet)", **codes}.items():
        _options(choices, {f"{name} ({code})" if code else name: code})
    ET.indent(root)
    return '<?xml version="1.0" encoding="UTF-8"?>\n' + ET.tostring(root, encoding="unicode") + "\n"


def _options(parent: ET.Element, values: Mapping[str, str]) -> None:
    table = ET.SubElement(parent, "Option", type="Map")
    for key, value in values.items():
        ET.SubElement(table, "Option", {"name": xml_text(key), "type": "QString", "value": xml_text(value)})
