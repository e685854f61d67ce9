"""Styles for map servers: what stands in them is the legend, whatever its names and numbers."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from xml.etree import ElementTree as ET

import pytest

from cscl.export.sld import raster_sld, vector_sld
from cscl.export.styles import raster_style, vector_style
from cscl.legend import CropClass, Legend

SPACES = {"": "http://www.opengis.net/sld", "ogc": "http://www.opengis.net/ogc"}

AWKWARD = Legend(
    (
        CropClass(0, "007", "Grünland & <Weide>", "#117733"),
        CropClass(17, "A\"B'", '小麦 "winter"', "#ddcc77"),
        CropClass(254, " x ", "a\vb", "#CC6677"),
    ),
    ignore=1,
)
MANY = Legend.from_codes(f"{n:04d}" for n in range(200))


def root_of(text: str, tmp_path: Path) -> ET.Element:
    """Read a style as a program does: from bytes that say that they are UTF-8."""
    (tmp_path / "style.sld").write_text(text, encoding="utf-8")
    return ET.parse(tmp_path / "style.sld").getroot()


@pytest.mark.parametrize("legend", [AWKWARD, MANY, Legend((replace(AWKWARD.classes[0], id=65535),))])
def test_raster(legend: Legend, tmp_path: Path) -> None:
    root = root_of(raster_sld(legend), tmp_path)
    assert root.get("version") == "1.0.0"
    colours = root.find(".//FeatureTypeStyle/Rule/RasterSymbolizer/ColorMap", SPACES)
    assert colours is not None and colours.get("type") == "values"
    entries = [(int(e.get("quantity", "")), e.get("color"), e.get("label")) for e in colours]
    assert entries == [(c.id, c.colour, c.name.replace("\v", "")) for c in legend.classes]


@pytest.mark.parametrize("legend", [AWKWARD, MANY])
def test_vector(legend: Legend, tmp_path: Path) -> None:
    root = root_of(vector_sld(legend, "pred_id", "parcels"), tmp_path)
    rules = root.findall(".//FeatureTypeStyle/Rule", SPACES)
    found = [
        (
            rule.findtext("ogc:Filter/ogc:PropertyIsEqualTo/ogc:PropertyName", None, SPACES),
            rule.findtext("ogc:Filter/ogc:PropertyIsEqualTo/ogc:Literal", None, SPACES),
            rule.findtext("Title", None, SPACES),
            rule.findtext("PolygonSymbolizer/Fill/CssParameter", None, SPACES),
        )
        for rule in rules
    ]
    named = [("pred_id", str(c.id), c.name.replace("\v", ""), c.colour) for c in legend.classes]
    assert found == [*named, (None, None, "no prediction", None)]
    assert rules[-1].findtext("ogc:Filter/ogc:PropertyIsNull/ogc:PropertyName", None, SPACES) == "pred_id"


@pytest.mark.parametrize("write", [raster_style, raster_sld, lambda legend: vector_style(legend, "c")])
def test_one_source_of_names_and_colours(write: Callable[[Legend], str]) -> None:
    """Another colour in the legend is another colour in each style, and nothing else changes."""
    first = AWKWARD.classes[1]
    other = Legend((AWKWARD.classes[0], replace(first, colour="#010203"), AWKWARD.classes[2]), AWKWARD.ignore)
    changed = write(AWKWARD).replace("#ddcc77", "#010203").replace("221,204,119", "1,2,3")
    assert write(other) == changed != write(AWKWARD)
