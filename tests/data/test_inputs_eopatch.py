"""EOPatch folders: what is accepted, and what is refused with which sentence."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from fake_files import (
    DATES,
    SHAPE,
    patch_box,
    save_array,
    stored,
    write_patch,
)  # fmt: skip
from input_table import Line, Made, case, garbage, halved, require_complete, tried, try_line
from numpy.typing import NDArray

IMAGE = stored(1)[0]


PATCH = "eopatch"
CLOUD = np.zeros((4, *SHAPE, 1), np.uint8)


def patch(change: Callable[[Path], Any]) -> Callable[[Path], Made]:
    """Make a case of a patch, and of what is changed in it."""

    def make(folder: Path) -> Made:
        change(write_patch(folder))
        return folder

    return make


def gone(name: str) -> Callable[[Path], Any]:
    return lambda path: next(path.glob(name)).unlink()


def text(name: str, content: Any) -> Callable[[Path], Any]:
    written = content if isinstance(content, str) else json.dumps(content)
    return lambda path: (path / name).write_text(written)


def images(values: NDArray[Any]) -> Callable[[Path], Any]:
    return lambda path: np.save(path / "data" / "BANDS.npy", values, allow_pickle=True)


TILTED = {**patch_box(), "coordinates": [[[4e5, 5e6], [4e5, 6e6], [5e5, 6.1e6], [5e5, 5e6], [4e5, 5e6]]]}
case(PATCH, "an array, a box and times")(patch(lambda path: None))
case(PATCH, "no array in data")(patch(gone("data/*")))
case(PATCH, "several arrays in data")(patch(lambda path: save_array(path / "data" / "NDVI", CLOUD)))
case(PATCH, "no bounding box")(patch(gone("bbox*")))
case(PATCH, "a pickled bounding box (eo-learn before 1.0)")(
    patch(lambda path: (path / "bbox.geojson").rename(path / "bbox.pkl"))
)
case(PATCH, "a bounding box that is tilted")(patch(text("bbox.geojson", TILTED)))
case(PATCH, "a bounding box that is none")(patch(text("bbox.geojson", {"type": "Point"})))
case(PATCH, "a truncated bounding box")(patch(text("bbox.geojson", '{"type"')))
case(PATCH, "a bounding box without a reference system")(patch(text("bbox.geojson", {**patch_box(), "crs": {}})))
case(PATCH, "no times")(patch(gone("timestamps*")))
case(PATCH, "too few times")(patch(text("timestamps.json", ["2021-01-01"])))
case(PATCH, "times that are no list")(patch(text("timestamps.json", {"a": 1})))
case(PATCH, "a time twice")(patch(text("timestamps.json", [*DATES[:3], DATES[0]])))
case(PATCH, "times out of order")(patch(text("timestamps.json", DATES[::-1])))
case(PATCH, "a truncated array")(patch(lambda path: halved(path / "data" / "BANDS.npy")))
case(PATCH, "a truncated packed array")(
    lambda folder: (write_patch(folder, ".npy.gz"), halved(folder / "data" / "BANDS.npy.gz"))[0]
)
case(PATCH, "an array that is none")(patch(lambda path: garbage(path / "data" / "BANDS.npy")))
case(PATCH, "a pickle in place of an array")(patch(images(np.array([1, None], object))))
case(PATCH, "texts in an array")(patch(images(np.array(["a"]))))
case(PATCH, "complex numbers")(patch(images(stored().transpose(0, 2, 3, 1).astype(np.complex64))))
case(PATCH, "an array with other axes")(patch(images(stored()[0])))
case(PATCH, "a mask of other dates")(patch(lambda path: save_array(path / "mask" / "CLM", CLOUD[1:])))
case(PATCH, "a mask whose name says what it means")(patch(lambda path: save_array(path / "mask" / "CLM", CLOUD)))
case(PATCH, "a mask of unknown meaning")(patch(lambda path: save_array(path / "mask" / "SCL", CLOUD)))


@case(PATCH, "an array that declares 50 TB")
def _(folder: Path) -> Made:
    file = write_patch(folder) / "data" / "BANDS.npy"
    with file.open("wb") as out:
        header = {"descr": "<u2", "fortran_order": False, "shape": (4, 1_500_000, 1_500_000, 3)}
        np.lib.format.write_array_header_1_0(out, header)
    return folder


UNKNOWN = "unknown"
case(UNKNOWN, "nothing")(lambda folder: folder / "season")
case(UNKNOWN, "a sample of a dataset as a pickle")(lambda folder: garbage(folder / "sample.pickle"))
case(UNKNOWN, "a NumPy array")(lambda folder: save_array(folder / "images", IMAGE))
case(UNKNOWN, "a file of another kind")(lambda folder: garbage(folder / "season.docx"))


@tried("eopatch", "unknown")
def test_what_is_said_of_an_input(line: Line, tmp_path: Path) -> None:
    try_line(line, tmp_path)


def test_every_line_has_its_case_and_every_case_its_line() -> None:
    require_complete("eopatch", "unknown")
