"""QGIS styles of layers of errors: the larger the share that is wrong, the darker, and edges the thicker.

The ramp is ColorBrewer's YlOrRd: its lightness falls evenly, so it reads with any kind of colour vision and in print. A
dark rim under each line sets it off from bright images. Labels are off.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from itertools import pairwise
from xml.etree import ElementTree as ET

from cscl.report.kinds import WRONG

from .styles import STYLE, add_symbol, document

__all__ = ["edge_style", "parcel_style", "region_style"]

LIMITS = (0.0, 0.05, 0.15, 0.3, 0.5, 1.0)
RAMP = ("255,255,178", "254,204,92", "253,141,60", "240,59,32", "189,0,38")
EDGE_MM = (0.25, 0.4, 0.6, 0.85, 1.2)
RIM, RIM_MM = "20,20,20,170", 0.4
FILL = (0, 0, 50, 90, 130)
"""Opacity of the inside of parcels, 0..255: right ones are outlines, so that the image beneath is seen."""

Symbol = list[tuple[str, Mapping[str, str]]]


def edge_style(column: str = "share_wrong") -> str:
    """Style of lines by the share of wrong pixels in `column`, 0..1."""
    symbols: list[Symbol] = [
        [("SimpleLine", _line(RIM, width + RIM_MM)), ("SimpleLine", _line(f"{colour},255", width))]
        for colour, width in zip(RAMP, EDGE_MM, strict=True)
    ]
    words = [f"{low:.0%} to {high:.0%} wrong" for low, high in pairwise(LIMITS)]
    return _graduated(column, "line", list(zip(LIMITS[:-1], LIMITS[1:], words, symbols, strict=True)), worst_last=True)


def parcel_style(column: str = "share_right") -> str:
    """Style of polygons by the share of right pixels in `column`, 0..1; below 70 % they are filled lightly."""
    right = [1 - limit for limit in LIMITS]
    symbols: list[Symbol] = [
        [("SimpleFill", _area("0,0,0,0", RIM, 0.5)), ("SimpleFill", _area(f"{colour},{fill}", f"{colour},255", 0.25))]
        for colour, fill in zip(RAMP, FILL, strict=True)
    ]
    words = [f"{low:.0%} to {high:.0%} right" for high, low in pairwise(right)]
    return _graduated(column, "fill", list(zip(right[1:], right[:-1], words, symbols, strict=True)), worst_last=False)


def region_style(column: str = "kind") -> str:
    """Style of polygons by the kind of error in `column`, the values of `cscl.report.kinds.Kind`."""
    root = ET.Element("qgis", STYLE)
    kind = {"type": "categorizedSymbol", "attr": column, "symbollevels": "0", "forceraster": "0", "enableorderby": "0"}
    renderer = ET.SubElement(root, "renderer-v2", kind)
    categories, symbols = ET.SubElement(renderer, "categories"), ET.SubElement(renderer, "symbols")
    for number, error in enumerate(WRONG):
        entry = {"value": str(int(error)), "label": error.title, "symbol": str(number), "render": "true"}
        ET.SubElement(categories, "category", {**entry, "type": "long"})
        colour = ",".join(str(int(error.colour[at : at + 2], 16)) for at in (1, 3, 5))
        add_symbol(symbols, str(number), "fill", [("SimpleFill", _area(f"{colour},200", RIM, 0.1))])
    return document(root)


def _graduated(column: str, kind: str, steps: Iterable[tuple[float, float, str, Symbol]], *, worst_last: bool) -> str:
    """Style by ranges of a column; the worst are drawn last, so that nothing covers them."""
    root = ET.Element("qgis", STYLE)
    how = {"type": "graduatedSymbol", "attr": column, "graduatedMethod": "GraduatedColor", "symbollevels": "0"}
    renderer = ET.SubElement(root, "renderer-v2", {**how, "forceraster": "0", "enableorderby": "1"})
    ranges, symbols = ET.SubElement(renderer, "ranges"), ET.SubElement(renderer, "symbols")
    for number, (low, high, label, layers) in enumerate(steps):
        entry = {"lower": f"{low:.15f}", "upper": f"{high:.15f}", "symbol": str(number), "label": label}
        ET.SubElement(ranges, "range", {**entry, "render": "true"})
        add_symbol(symbols, str(number), kind, layers)
    clause = ET.SubElement(ET.SubElement(renderer, "orderby"), "orderByClause")
    clause.attrib |= {"asc": str(int(worst_last)), "nullsFirst": "1"}
    clause.text = f'"{column}"'
    return document(root)


def _line(colour: str, width_mm: float) -> dict[str, str]:
    joints = {"capstyle": "round", "joinstyle": "round", "line_style": "solid"}
    return {"line_color": colour, "line_width": f"{width_mm:g}", "line_width_unit": "MM", **joints}


def _area(inside: str, outline: str, width_mm: float) -> dict[str, str]:
    line = {"outline_color": outline, "outline_width": f"{width_mm:g}", "outline_width_unit": "MM"}
    return {"color": inside, "style": "solid", "outline_style": "solid", "joinstyle": "round", **line}
