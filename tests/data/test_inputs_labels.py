"""Label rasters and legends: what is accepted, and what is refused with which sentence."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from affine import Affine
from fake_files import (
    SHAPE,
    TRANSFORM,
    stored,
    write_tif,
)  # fmt: skip
from input_table import OPENERS, Line, Made, case, garbage, halved, require_complete, tried, try_line
from numpy.typing import NDArray

from cscl.grid import make_grid
from cscl.legend import Legend
from cscl.products import LabelMap

IMAGE = stored(1)[0]


GRID = make_grid(SHAPE, TRANSFORM, "EPSG:32633", "the images")


def as_labels(made: Made) -> list[str]:
    path = made[0] if isinstance(made, tuple) else made
    labels = LabelMap.open(path, GRID)
    return [*labels.notes, ", ".join(map(str, labels.legend.ids))]


def as_legend(made: Made) -> list[str]:
    path = made[0] if isinstance(made, tuple) else made
    return [", ".join(c.code for c in Legend.from_csv(path).classes)]


OPENERS.update({"labels": as_labels, "legends": as_legend})


LABELS = "labels"
CROPS = (np.arange(13 * 17).reshape(1, *SHAPE) % 4).astype(np.uint8)


def labels(folder: Path, values: NDArray[Any] = CROPS, **profile: Any) -> Path:
    return write_tif(folder / "labels.tif", values, None, **profile)


case(LABELS, "whole numbers on the pixels of the images, 0 included")(labels)
case(LABELS, "a nodata tag")(lambda folder: labels(folder, nodata=0))
case(LABELS, "a truncated file")(lambda folder: halved(labels(folder, tiled=True, blockxsize=16, blockysize=16)))
case(LABELS, "a file that is no raster")(lambda folder: garbage(folder / "labels.tif"))
case(LABELS, "floating numbers")(lambda folder: labels(folder, CROPS.astype(np.float32)))
case(LABELS, "complex numbers")(lambda folder: labels(folder, CROPS.astype(np.complex64)))
case(LABELS, "-9999 without a tag")(lambda folder: labels(folder, CROPS.astype(np.int16) - 9999 * (CROPS == 1)))
case(LABELS, "codes above 65535")(lambda folder: labels(folder, CROPS.astype(np.int32) + 70000))
case(LABELS, "several bands")(lambda folder: labels(folder, np.repeat(CROPS, 2, axis=0)))
case(LABELS, "nodata everywhere")(lambda folder: labels(folder, CROPS * 0, nodata=0))
case(LABELS, "no reference system")(lambda folder: labels(folder, crs=None))
case(LABELS, "another reference system")(lambda folder: labels(folder, crs="EPSG:32632"))
case(LABELS, "another place")(lambda folder: labels(folder, transform=TRANSFORM @ Affine.translation(3, 0)))
case(LABELS, "a rotated grid")(lambda folder: labels(folder, transform=TRANSFORM @ Affine.rotation(3)))
case(LABELS, "rows from south to north")(
    lambda folder: labels(folder, transform=TRANSFORM @ Affine.translation(0, 13) @ Affine.scale(1, -1))
)

LEGENDS = "legends"


def legend(content: str, encoding: str = "utf-8") -> Callable[[Path], Made]:
    def make(folder: Path) -> Made:
        (folder / "legend.csv").write_text(content, encoding=encoding)
        return folder / "legend.csv"

    return make


case(LEGENDS, "codes alone")(legend("code\nwheat\nmaize\n"))
case(LEGENDS, "semicolons, and a mark of the byte order")(legend("code;name\n1;Blé\n2;Maïs\n", "utf-8-sig"))
case(LEGENDS, "no file")(lambda folder: folder / "legend.csv")
case(LEGENDS, "an empty file")(legend(""))
case(LEGENDS, "no column code")(legend("crop,name\n1,wheat\n"))
case(LEGENDS, "a line without a code")(legend("code,name\n1,wheat\n,maize\n"))
case(LEGENDS, "a code twice")(legend("code\nwheat\nwheat\n"))
case(LEGENDS, "an id that is no number")(legend("id,code\none,wheat\n"))
case(LEGENDS, "another encoding than UTF-8")(legend("code,name\n1,Blé\n", "latin-1"))
case(LEGENDS, "a colour that is none")(legend("code,colour\n1,greenish\n"))


@tried("labels", "legends")
def test_what_is_said_of_an_input(line: Line, tmp_path: Path) -> None:
    try_line(line, tmp_path)


def test_every_line_has_its_case_and_every_case_its_line() -> None:
    require_complete("labels", "legends")
