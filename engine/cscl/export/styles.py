"""QGIS styles (``.qml``): found beside a raster or vector file of the same name, they give it the legend's colours."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from xml.etree import ElementTree as ET

from cscl.legend import CropClass, Legend

__all__ = ["STYLE", "add_symbol", "document", "raster_style", "vector_style", "xml_text"]

STYLE = {"version": "3.28", "styleCategories": "Symbology"}
"""What the root of a style says."""

_NOT_XML = re.compile("[^\t\n\r\u0020-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


def xml_text(text: str) -> str:
    """Leave out the characters that XML 1.0 cannot hold even when escaped, such as vertical tabs."""
    return _NOT_XML.sub("", text)


def raster_style(legend: Legend) -> str:
    """Style of a class map: one palette entry a class, in the order of the legend."""
    root = ET.Element("qgis", STYLE)
    renderer = {"type": "paletted", "band": "1", "alphaBand": "-1", "opacity": "1", "nodataColor": ""}
    palette = ET.SubElement(ET.SubElement(ET.SubElement(root, "pipe"), "rasterrenderer", renderer), "colorPalette")
    for c in legend.classes:
        entry = {"value": str(c.id), "color": c.colour, "alpha": "255", "label": xml_text(c.name)}
        ET.SubElement(palette, "paletteEntry", entry)
    return document(root)


def vector_style(legend: Legend, column: str, other: str = "no prediction") -> str:
    """Style of parcels by the class code in `column`; parcels without a code are outlines.

    Parameters
    ----------
    legend : Legend
        Codes, names and colours.
    column : str
        Column of the table that holds class codes, as text.
    other : str
        Name of parcels without a code.
    """
    root = ET.Element("qgis", STYLE)
    kind = {"type": "categorizedSymbol", "attr": column, "symbollevels": "0", "forceraster": "0", "enableorderby": "0"}
    renderer = ET.SubElement(root, "renderer-v2", kind)
    categories, symbols = ET.SubElement(renderer, "categories"), ET.SubElement(renderer, "symbols")
    for number, c in enumerate((*legend.classes, None)):
        code, label = (xml_text(c.code), xml_text(c.name)) if c else ("", other)
        entry = {"value": code, "label": label, "symbol": str(number), "render": "true", "type": "string"}
        ET.SubElement(categories, "category", entry)
        _add_fill(symbols, str(number), c)
    return document(root)


def add_symbol(symbols: ET.Element, name: str, kind: str, layers: Iterable[tuple[str, Mapping[str, str]]]) -> None:
    """Add a symbol of kind ``line`` or ``fill``: its layers, the lowest first, each with QGIS's names of options."""
    symbol = ET.SubElement(symbols, "symbol", {"type": kind, "name": name, "alpha": "1", "clip_to_extent": "1"})
    for number, (of, options) in enumerate(layers):
        layer = ET.SubElement(symbol, "layer", {"class": of, "enabled": "1", "pass": str(number), "locked": "0"})
        table = ET.SubElement(layer, "Option", type="Map")
        for key, value in options.items():
            ET.SubElement(table, "Option", {"name": key, "type": "QString", "value": value})


def document(root: ET.Element) -> str:
    """Return a style as the text of a file."""
    ET.indent(root)
    return '<?xml version="1.0" encoding="UTF-8"?>\n' + ET.tostring(root, encoding="unicode") + "\n"


def _add_fill(symbols: ET.Element, name: str, crop: CropClass | None) -> None:
    options = {
        "color": ",".join(map(str, (*(crop.rgb if crop else (255, 255, 255)), 255))),
        "style": "solid" if crop else "no",
        "outline_color": "60,60,60,255",
        "outline_style": "solid",
        "outline_width": "0.1",
        "outline_width_unit": "MM",
    }
    add_symbol(symbols, name, "fill", [("SimpleFill", options)])
