"""T31TFM_1618: the Sentinel-2 tile T31TFM (Burgundy) in 2016, 2017 and 2018, samples of 48 x 48 pixels, 20 crops.

M. Tarasiou, R. A. Güler, S. Zafeiriou, "Context-Self Contrastive Pretraining for Crop Type Semantic Segmentation",
IEEE TGRS 60, 2022. All 13 bands of level 1C; labels of the French register at 10 m and, read as the layout
``t31tfm_x4``, at 2.5 m. Pixels that parcels of different
crops share are unknown, and so are all classes but the 20 most frequent. What the 20 are called was never published:
the codes are those of the French register that a comment in the authors' code names.
"""

from __future__ import annotations

import datetime as dt
import re
from functools import partial
from pathlib import Path

import numpy as np
from affine import Affine

from cscl.errors import InputError, MissingError
from cscl.grid import GeoBox, make_grid
from cscl.products import Scene

from . import Dataset, Entry, Layout, datasets
from ._parts import PIXEL_M, dates_in, legend_of, listed, local_grid, numbered, require_shape, scene_of
from ._pickles import array_of, read_pickle
from .mtlcc import BAND_GROUPS, no_moments, require_sample, stacked

__all__ = ["open_t31tfm"]

BANDS = tuple(band for group in BAND_GROUPS.values() for band in group)
CODES = {
    1: "PPH", 2: "J6S", 3: "VRC", 6: "SNE", 7: "ORH", 8: "PRL", 9: "TTH", 10: "PTC", 11: "MH7", 12: "RDF", 13: "MH6",
    14: "BOP", 20: "BOR", 25: "RVI", 33: "VRG", 34: "TCR", 35: "J5M", 36: "MC7", 48: "LU6", 73: "SA7",
}  # fmt: skip
LEGEND = legend_of({i: f"{code} (unverified)" for i, code in CODES.items()}, 255, CODES)
REFERENCE = dt.date(2016, 1, 1)
OFFICIAL = "B01 to B12 and B8A, doy, labels, ids, full_ass and part_ass, and these four again with _x4"
SOURCE = "reflectance x 10000, level 1C; 0 means missing"
LISTS = {"train": "train_paths.csv", "eval": "eval_paths.csv"}
NOTES = (
    "The names of the classes were not published: the codes are recovered from a comment, unverified.",
    "Published figures choose and judge by the list 'eval' alike. Here nothing is chosen by it, unless asked for.",
)


def open_t31tfm(path: Path, finer: int = 1) -> Dataset:
    """Open the folder that holds ``paths/train_paths.csv`` and ``paths/eval_paths.csv``.

    Parameters
    ----------
    path : Path
        The folder.
    finer : {1, 4}
        How many pixels of the labels lie along one of the images.

    Raises
    ------
    MissingError, InputError
        If a list is missing or names no sample.
    """
    entries = []
    for fold, name in LISTS.items():
        if not (path / "paths" / name).is_file():
            raise MissingError(f"{path} has no paths/{name}. The official layout has {' and '.join(LISTS.values())}.")
        for row in listed(path / "paths" / name):
            entries.append(Entry(Path(row).stem, fold, partial(_open, path / row, finer)))
    if not entries:
        raise InputError(f"The lists in {path / 'paths'} name no sample. Restore them.")
    return Dataset("T31TFM_1618", path, tuple(entries), LEGEND, REFERENCE, "train//eval", no_moments, NOTES)


def _open(path: Path, finer: int) -> Scene:
    content = read_pickle(path)
    bands = {band: array_of(content, band, path, OFFICIAL) for band in BANDS}
    values, shape = stacked(bands, path), require_sample(bands["B04"], path)
    layers, end = {}, "" if finer == 1 else f"_x{finer}"
    for key in ("labels", "ids", "full_ass", "part_ass"):
        layer = array_of(content, key + end, path, OFFICIAL)
        layers[key] = require_shape(layer, (finer * shape[0], finer * shape[1]), f"{path}, {key}{end}")
    shared = (layers["full_ass"] == 1) | (layers["part_ass"] == 1)
    known = np.isin(layers["labels"], LEGEND.ids) & ~shared
    classes = np.where(known, layers["labels"], LEGEND.ignore).astype(np.uint8)
    grid, year = _place(path, shape)
    dates = dates_in(year, array_of(content, "doy", path, OFFICIAL), path)
    return scene_of(
        path.stem, values, dates, BANDS, grid, classes, numbered(layers["ids"]), LEGEND, nodata=0,
        source=SOURCE, path=path,
    )  # fmt: skip


def _place(path: Path, shape: tuple[int, int]) -> tuple[GeoBox, int]:
    """Grid and year by the name ``<north>_<west>_<year>``: the corner in Lambert-93, 0.5 m off along a sample at most.

    Raises
    ------
    InputError
        If there is no year in the name.
    """
    match = re.fullmatch(r"(-?\d+(?:\.\d+)?)_(-?\d+(?:\.\d+)?)_(20\d\d)", path.stem)
    if match:
        corner = Affine(PIXEL_M, 0, float(match[2]), 0, -PIXEL_M, float(match[1]))
        return make_grid(shape, corner, "EPSG:2154", path.stem), int(match[3])
    years = [part for part in path.parts if re.fullmatch(r"20\d\d", part)]
    if not years:
        raise InputError(f"{path}: no year in its name; the official layout has <north>_<west>_<year>.pickle.")
    return local_grid(shape, path.stem), int(years[-1])


def _matches(path: Path) -> bool:
    return all((path / "paths" / name).is_file() for name in LISTS.values())


datasets.register("t31tfm")(Layout("T31TFM_1618 (paths/train_paths.csv, paths/eval_paths.csv)", _matches, open_t31tfm))
datasets.register("t31tfm_x4")(
    Layout("T31TFM_1618 with its labels at 2.5 m, if named", lambda path: False, partial(open_t31tfm, finer=4))
)
