"""The page of a report: one file, complete, escaped, to be read without a script, and never half-written."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import replace
from html import escape
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import toys
import xarray as xr
from fulldisk import full_disk

from cscl.cube import SITSCube
from cscl.errors import OutputError
from cscl.events import run
from cscl.export.report_page import NO_IMAGES, write_report_page
from cscl.inference.assess import Assessment, assess
from cscl.products import Prediction
from cscl.report import Part, Value

EVIL = "<script>alert('&')</script>"
PARTS = (
    Part(
        "evil", f"Part {EVIL}", f"Definition {EVIL}", [Value("a", f"value {EVIL}", 0.123456, "share", 0.1, 0.2)],
        {EVIL: pd.DataFrame({f"column {EVIL}": [EVIL, None]})}, [f"Remark {EVIL}"],
    ),
    Part(
        "my_trimap", "My trimap", "By width.", [Value("undefined", "an undefined figure", float("nan"))],
        {"by_width": pd.DataFrame({"width_m": [10.0, 20.0, np.inf], "accuracy": [0.6, 0.8, 0.9]})},
    ),
    Part("mine", "My calibration", "", (), {
        "bins": pd.DataFrame({"confidence": [0.4, 0.8, np.nan], "accuracy": [0.5, 0.7, np.nan], "pixels": [9, 5, 0]}),
        "many": pd.DataFrame({"crop": [f"crop {i}" for i in range(50)], "iou": np.linspace(0, 1, 50)}),
    }),
)  # fmt: skip

Made = tuple[Assessment, Prediction, SITSCube]


class Reader(HTMLParser):
    """Collects tags, ids, links and text that is shown; notes tags that are closed in the wrong order."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.seen: list[str] = []
        self.ids: list[str] = []
        self.links: list[str] = []
        self.alts: list[str] = []
        self.text = ""

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        known = dict(attrs)
        self.seen.append(tag)
        self.ids += [known["id"] or ""] if "id" in known else []
        self.links += [known[k] or "" for k in ("src", "href", "xlink:href") if k in known]
        self.alts += [known.get("alt") or ""] if tag == "img" else []
        if tag not in ("meta", "img", "link"):
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.handle_starttag(tag, attrs)
        if tag not in ("meta", "img", "link"):
            self.open.pop()

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if not {"script", "style"} & set(self.open):
            self.text += data


@pytest.fixture(scope="module")
def made() -> Made:
    scene = toys.scene()
    ids = np.roll(scene.labels.ids, 2, axis=1)
    arrays = (xr.DataArray(a, dims=("y", "x")) for a in (ids, np.full(ids.shape, 200, np.uint8)))
    prediction = Prediction(*arrays, scene.labels.grid, scene.labels.legend, name=f"map {EVIL}")
    found = run(assess(prediction, replace(scene.labels, name=f"labels {EVIL}")))
    remarks = (f"Known {EVIL}",)
    return (
        replace(found, report=replace(found.report, parts=(*found.report.parts, *PARTS), remarks=remarks)),
        prediction,
        scene.cube,
    )


Write = Callable[..., Path]


@pytest.fixture
def write(made: Made, tmp_path: Path) -> Write:
    def job(cube: SITSCube | None = made[2], overwrite: bool = False) -> Path:
        found, prediction, _ = made
        return run(
            write_report_page(
                tmp_path / "report.html", found.report, found.atlas, prediction, cube, overwrite=overwrite, cases=3
            )
        )

    return job


def read(page: Path) -> Reader:
    reader = Reader()
    reader.feed(page.read_text(encoding="utf-8"))
    reader.close()
    return reader


def test_the_page_is_one_file_that_asks_for_nothing(write: Write, tmp_path: Path) -> None:
    page = write()
    assert [path.name for path in tmp_path.iterdir()] == ["report.html"]
    reader, text = read(page), page.read_text(encoding="utf-8")
    assert reader.open == []
    assert {link for link in reader.links if not link.startswith(("data:", "#"))} == set()
    assert {link[1:] for link in reader.links if link.startswith("#")} <= set(reader.ids)
    assert len(reader.ids) == len(set(reader.ids))
    assert not re.search(r"https?:|//\w|url\((?!#)|@import|\bfetch\b|XMLHttpRequest", re.sub(r'"data:[^"]*"', "", text))


def test_all_is_said_escaped_and_without_a_script(write: Write, made: Made) -> None:
    page = write()
    reader, text = read(page), page.read_text(encoding="utf-8")
    assert reader.seen.count("script") == 1 and escape(EVIL) in text and EVIL not in text
    for words in (
        f"map {EVIL}", f"labels {EVIL}", f"Known {EVIL}", made[0].atlas.summary(), f"Part {EVIL}",
        f"Definition {EVIL}", f"value {EVIL}", "12.3% (95 % interval 10.0% to 20.0%)", f"Remark {EVIL}",
        f"column {EVIL}", "My trimap", "width (m)", "not defined", "My calibration",
        "the first 20 of 50 rows, all are in mine_many.csv", "crop 19", "shifted boundary", "maïs",
    ):  # fmt: skip
        assert words in reader.text, words
    parts = {part.key: part for part in made[0].report.parts}
    edge = parts["split"].tables["split"].query("definition == 'within 20 m' and part == 'boundary'").iloc[0]
    whole = next(value for value in parts["distance"].values if value.key == "accuracy")
    assert whole.low < whole.value < whole.high and edge["low"] < edge["accuracy"] < edge["high"]
    for low, high in ((whole.low, whole.high), (edge["low"], edge["high"])):
        assert f"pixels; 95 % interval {low:.1%} to {high:.1%}" in reader.text
    assert {part.title for part in parts.values()} <= set(reader.text.split("\n"))
    assert "crop 21" not in reader.text
    assert reader.seen.count("article") == 6 and all(reader.alts)
    assert reader.text.count("near infrared") == 6 * 5  # the toy has no blue band, so no true colour
    assert NO_IMAGES not in reader.text and len(re.findall('class="pane season"', text)) == 6 * 4


def test_without_images_the_page_says_so(write: Write) -> None:
    text = write(cube=None).read_text(encoding="utf-8")
    assert escape(NO_IMAGES) in text
    assert 'class="pane image"' not in text and len(re.findall('class="pane (truth|map|errors)"', text)) == 6 * 3


def test_a_former_page_stays_unless_a_whole_one_takes_its_place(write: Write, tmp_path: Path) -> None:
    page = tmp_path / "report.html"
    page.write_text("former")
    with pytest.raises(OutputError, match="exists already"):
        write()
    with full_disk(10_000), pytest.raises(OutputError, match=r"report\.html .*Make room on the disk"):
        write(overwrite=True)
    assert [path.read_text() for path in tmp_path.iterdir()] == ["former"]
    assert write(overwrite=True).read_text(encoding="utf-8").endswith("</html>\n")
