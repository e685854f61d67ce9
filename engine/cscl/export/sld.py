"""Styles as OGC documents (``.sld``), for GeoServer, MapServer, QGIS and others: the legend's names and colours.

SLD 1.0.0: unlike its successor it has ``ColorMap type="values"``, by which one colour goes with each value of a raster.
"""

from __future__ import annotations

from xml.etree import ElementTree as ET

from cscl.legend import Legend

from .styles import document, xml_text

__all__ = ["raster_sld", "vector_sld"]

OUTLINE, OUTLINE_PX = "#3c3c3c", "0.4"


def raster_sld(legend: Legend, name: str = "crop_map") -> str:
    """Style of a class map: one colour a class id, in the order of the legend; other values are not drawn.

    Parameters
    ----------
    legend : Legend
        Ids, names and colours.
    name : str
        What the layer is called; servers do not mind another.
    """
    root, rule = _begin(name)
    colours = ET.SubElement(_rule(rule, name, name, "RasterSymbolizer"), "ColorMap", type="values")
    for c in legend.classes:
        entry = {"color": c.colour, "quantity": str(c.id), "label": xml_text(c.name), "opacity": "1"}
        ET.SubElement(colours, "ColorMapEntry", entry)
    return document(root)


def vector_sld(legend: Legend, column: str, name: str = "parcels", other: str = "no prediction") -> str:
    """Style of polygons by the class id in `column`; those without one are outlines.

    Ids and not codes: QGIS takes digits in a filter for a number, and would not find the code 007.

    Parameters
    ----------
    legend : Legend
        Codes, names and colours.
    column : str
        Column of the table that holds class ids, whole numbers.
    name : str
        What the layer is called.
    other : str
        Name of polygons without an id.
    """
    root, rules = _begin(name)
    for c in legend.classes:
        symbol = _rule(rules, xml_text(c.code), xml_text(c.name), "PolygonSymbolizer", (column, str(c.id)))
        ET.SubElement(ET.SubElement(symbol, "Fill"), "CssParameter", name="fill").text = c.colour
        _outline(symbol)
    _outline(_rule(rules, other, other, "PolygonSymbolizer", (column, None)))
    return document(root)


def _begin(name: str) -> tuple[ET.Element, ET.Element]:
    root = ET.Element(
        "StyledLayerDescriptor",
        {
            "version": "1.0.0", "xmlns": "http://www.opengis.net/sld", "xmlns:ogc": "http://www.opengis.net/ogc",
            "xmlns:xlink": "http://www.w3.org/1999/xlink", "xmlns:xsi": "http://www.w3.org/2001/XMLSchema-instance",
            "xsi:schemaLocation":
                "http://www.opengis.net/sld http://schemas.opengis.net/sld/1.0.0/StyledLayerDescriptor.xsd",
        },
    )  # fmt: skip
    layer = ET.SubElement(root, "NamedLayer")
    ET.SubElement(layer, "Name").text = xml_text(name)
    style = ET.SubElement(layer, "UserStyle")
    ET.SubElement(style, "Title").text = xml_text(name)
    return root, ET.SubElement(style, "FeatureTypeStyle")


def _rule(
    rules: ET.Element, name: str, title: str, symbol: str, where: tuple[str, str | None] | None = None
) -> ET.Element:
    """Add a rule for features that hold a value in a column, or none; its symbol is given back, still empty."""
    rule = ET.SubElement(rules, "Rule")
    ET.SubElement(rule, "Name").text = name
    ET.SubElement(rule, "Title").text = title
    if where is not None:
        column, value = where
        test = "ogc:PropertyIsNull" if value is None else "ogc:PropertyIsEqualTo"
        condition = ET.SubElement(ET.SubElement(rule, "ogc:Filter"), test)
        ET.SubElement(condition, "ogc:PropertyName").text = column
        if value is not None:
            ET.SubElement(condition, "ogc:Literal").text = value
    return ET.SubElement(rule, symbol)


def _outline(symbol: ET.Element) -> None:
    stroke = ET.SubElement(symbol, "Stroke")
    for name, value in (("stroke", OUTLINE), ("stroke-width", OUTLINE_PX)):
        ET.SubElement(stroke, "CssParameter", name=name).text = value
