"""STAC items of Sentinel-2: what is accepted, and what is refused with which sentence."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from fake_stac import DAYS, Json, item, write_collection, write_images
from input_table import Line, Made, case, garbage, halved, require_complete, tried, try_line

from cscl.data.readers import ReadOptions

pytest.importorskip("odc.stac")

STAC = "stac_items"


def items(change: Callable[[Json], Any] = lambda told: None, day: str = DAYS[0], **read: Any) -> Callable[[Path], Made]:
    """Make a case of a list of one item of the Planetary Computer, of which something is changed."""

    def make(folder: Path) -> Made:
        paths = write_images(folder / "images", day, False)
        told = item("planetary-computer", day, {b: f"./{p.relative_to(folder)}" for b, p in paths.items()}, "03.00")
        change(told)
        path = write_collection(folder / "items.json", [told])
        return (path, ReadOptions(**read)) if read else path

    return make


def text(content: str) -> Callable[[Path], Made]:
    """Make a case of a file with that text."""

    def make(folder: Path) -> Made:
        (folder / "items.json").write_text(content)
        return folder / "items.json"

    return make


def asset(**told: Any) -> Callable[[Json], Any]:
    """Change what is said of the file of B02."""
    return lambda item: item["assets"]["B02"].update({key.replace("__", ":"): value for key, value in told.items()})


def unclear(told: Json) -> None:
    told["properties"]["s2:processing_baseline"] = "05.00"
    told["links"] = [{"rel": "derived_from", "href": told["links"][0]["href"]}]  # by whom, and what did they do to it?


def shifted_twice(told: Json) -> None:
    told["properties"]["s2:processing_baseline"] = "05.00"
    told["assets"]["B02"]["raster:bands"] = [{"scale": 1e-4, "offset": -0.2}]


def of_landsat(told: Json) -> None:
    told |= {"id": "LC09", "collection": "landsat-c2-l2"}
    told["properties"]["platform"] = "landsat-9"


case(STAC, "items with their images")(items())
case(STAC, "a catalogue that is not known, of images that may be shifted")(items(unclear))
case(STAC, "the same, and --offset")(items(unclear, offset=-0.1))
case(STAC, "an offset that contradicts the baseline")(items(shifted_twice))
case(STAC, "another satellite")(items(of_landsat))
case(STAC, "no band among the assets")(items(lambda told: told.update(assets={"visual": told["assets"]["visual"]})))
case(STAC, "no time")(items(lambda told: told["properties"].update(datetime=None)))
case(STAC, "no assets")(items(lambda told: told.pop("assets")))
case(STAC, "an asset without an address")(items(lambda told: told["assets"]["B02"].pop("href")))
case(STAC, "an address of a kind that is not read")(items(asset(href="ftp://old.example.org/B02.tif")))
case(STAC, "a device of GDAL in place of a file")(items(asset(href="/vsistdin/")))
case(STAC, "a rotated grid")(items(asset(proj__transform=[10, 5, 0, 5, -10, 0])))
case(STAC, "a grid that is nowhere")(items(asset(proj__transform=[10, 0, 1e30, 0, -10, 0])))
case(STAC, "a declared size of 50 TB")(items(asset(proj__shape=[5_000_000, 5_000_000])))
case(STAC, "half a shape")(items(asset(proj__shape=[24])))
case(STAC, "a scale that is no number")(items(asset(raster__scale="x")))
case(STAC, "an item without a name")(items(lambda told: told.update(id=7)))
case(STAC, "an image that is not where the item says")(items(asset(href="gone.tif")))
case(STAC, "a link to itself in place of an image")(
    lambda folder: ((folder / "loop.tif").symlink_to(folder / "loop.tif"), items(asset(href="loop.tif"))(folder))[1]
)
case(STAC, "an image of another size than the item says")(items(asset(proj__shape=[12, 12])))
case(STAC, "a truncated list")(lambda folder: halved(Path(str(items()(folder)))))
case(STAC, "JSON of another kind")(text('{"stac_version": "1.0.0", "type": "Thing"}'))
case(STAC, "a list of things that are no items")(
    text('{"type": "FeatureCollection", "stac_version": "1.0.0", "features": [3]}')
)
case(STAC, "JSON that is nested without end")(text('{"stac_version": "1.0.0", "a": ' + "[" * 100_000))
case(STAC, "an empty list")(text('{"type": "FeatureCollection", "stac_version": "1.0.0", "features": []}'))
case(STAC, "a catalogue that links to what is not there")(
    text('{"type": "Catalog", "stac_version": "1.0.0", "links": [{"rel": "item", "href": "a.json"}]}')
)
case(STAC, "a catalogue on the network")(
    text('{"type": "Catalog", "stac_version": "1.0.0", "links": [{"rel": "items", "href": "https://a.org"}]}')
)
case(STAC, "a catalogue that links to itself")(
    text('{"type": "Catalog", "stac_version": "1.0.0", "links": [{"rel": "child", "href": "items.json"}]}')
)


@case(STAC, "an image that is damaged")
def _(folder: Path) -> Made:
    made = items()(folder)
    garbage(next((folder / "images").rglob("B02*")))
    return made


@case(STAC, "a list of 16 GB")
def _(folder: Path) -> Made:
    path = Path(str(text('{"stac_version": "1.0.0"')(folder)))
    os.truncate(path, 1 << 34)
    return path


@case(STAC, "a date twice")
def _(folder: Path) -> Made:
    path = Path(str(items()(folder)))
    told = json.loads(path.read_text())
    return write_collection(path, told["features"] * 2)


@tried(STAC)
def test_what_is_said_of_an_input(line: Line, tmp_path: Path) -> None:
    try_line(line, tmp_path)


def test_every_line_has_its_case_and_every_case_its_line() -> None:
    require_complete(STAC)
