"""MTLCC: a region north of Munich in 2016, samples of 24 x 24 pixels, 17 crops, all 13 bands of level 1C.

M. Rußwurm, M. Körner, "Multi-Temporal Land Cover Classification with Sequential Recurrent Encoders", ISPRS
International Journal of Geo-Information 7(4), 2018, in the pickles that the code behind M. Tarasiou et al., IEEE TGRS
60, 2022, makes of its records. Only 2016 counts there, training lists choose and judge by the same second list, and
raw class 0 is unknown.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cscl.errors import InputError, MissingError
from cscl.products import Scene

from . import Dataset, Entry, Layout, datasets
from ._parts import dates_in, enlarged, legend_of, listed, local_grid, require_shape, scene_of
from ._pickles import array_of, read_pickle

__all__ = ["BAND_GROUPS", "no_moments", "open_mtlcc"]

BAND_GROUPS = {
    "x10": ("B04", "B03", "B02", "B08"),
    "x20": ("B05", "B06", "B07", "B8A", "B11", "B12"),
    "x60": ("B01", "B09", "B10"),
}
BANDS = tuple(band for group in BAND_GROUPS.values() for band in group)
LEGEND = legend_of(
    {
        1: "sugar beet", 2: "summer oat", 3: "meadow", 5: "rape", 8: "hop", 9: "winter spelt", 12: "winter triticale",
        13: "beans", 15: "peas", 16: "potatoes", 17: "soybeans", 19: "asparagus", 22: "winter wheat",
        23: "winter barley", 24: "winter rye", 25: "summer barley", 26: "maize",
    },
    ignore=0,
)  # fmt: skip
REFERENCE = dt.date(2016, 1, 1)
OFFICIAL = "x10 (date, 24, 24, 4), x20 (date, 12, 12, 6), x60 (date, 4, 4, 3), day, year and labels"
SOURCE = "reflectance x 10000, level 1C; 0 means missing"
LISTS = {"train": "train_paths.csv", "eval": "eval_paths.csv"}
NOTES = (
    "The order of the bands in x10, x20 and x60 is the published one; the files do not say it.",
    "The files do not say where the samples lie: they are on local metres, with no place on earth.",
    "Published figures choose and judge by the list 'eval' alike. Here nothing is chosen by it, unless asked for.",
)


def open_mtlcc(path: Path) -> Dataset:
    """Open the folder that holds ``train_paths.csv`` and ``eval_paths.csv``.

    Raises
    ------
    MissingError, InputError
        If a list is missing or names no sample.
    """
    entries = []
    for fold, name in LISTS.items():
        if not (path / name).is_file():
            raise MissingError(f"{path} has no {name}. The official layout has {' and '.join(LISTS.values())}.")
        files = [path / row for row in listed(path / name)]
        entries += [Entry(file.stem, fold, partial(_open, file)) for file in files if _year(file) == REFERENCE.year]
    if not entries:
        raise InputError(f"The lists of {path} name no sample of 2016, in a folder data16.")
    return Dataset("MTLCC", path, tuple(entries), LEGEND, REFERENCE, "train//eval", no_moments, NOTES)


def no_moments(folds: object) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Return mean 0 and standard deviation 1 of all 13 bands: published runs read reflectance as it is."""
    return (0.0,) * 13, (1.0,) * 13


def _year(path: Path) -> int:
    """Year by the name of the folder; stored years are wrong. Other folders are taken for 2016."""
    name = path.parent.name
    return 2000 + int(name[4:]) if name.startswith("data") and name[4:].isdecimal() else REFERENCE.year


def _open(path: Path) -> Scene:
    content = read_pickle(path)
    if "x10" in content:
        values, days = _bands(content, path), array_of(content, "day", path, OFFICIAL)
    else:  # as DeepSatData writes them
        groups = {band: array_of(content, band, path, OFFICIAL) for band in BANDS}
        values = stacked(groups, path)
        days = array_of(content, "doy", path, OFFICIAL)
    if days.shape != values.shape[:1]:
        raise InputError(f"{path} has {len(values)} images and {days.size} days. Restore the file.")
    labels = array_of(content, "labels", path, OFFICIAL)
    shape = (int(values.shape[2]), int(values.shape[3]))
    classes = require_shape(labels if labels.ndim == 2 else labels[0], shape, str(path))
    classes = np.where(np.isin(classes, LEGEND.ids), classes, LEGEND.ignore).astype(np.uint8)
    kept = np.flatnonzero(days > 0)  # the others are padded
    dates = dates_in(_year(path), days[kept], path)
    return scene_of(
        path.stem, values[kept], dates, BANDS, local_grid(shape, path.stem), classes, None, LEGEND, nodata=0,
        source=SOURCE, path=path,
    )  # fmt: skip


def require_sample(array: NDArray[Any], path: Path) -> tuple[int, int]:
    """Rows and columns of the finest band, axes (time, y, x).

    Raises
    ------
    InputError
        If it has other axes.
    """
    if array.ndim != 3:
        raise InputError(f"{path}: a band has {array.ndim} axes, not (date, row, column).")
    return int(array.shape[1]), int(array.shape[2])


def stacked(groups: Mapping[str, NDArray[Any]], path: Path) -> NDArray[Any]:
    """Bands with axes (time, y, x) each, on the pixels of B04, as one array with axes (time, band, y, x).

    Raises
    ------
    InputError
        If a band has other axes, or other dates than B04.
    """
    shape = require_sample(groups["B04"], path)
    odd = [band for band, values in groups.items() if values.ndim != 3 or len(values) != len(groups["B04"])]
    if odd:
        shapes = [groups[band].shape for band in (odd[0], "B04")]
        raise InputError(f"{path}: {odd[0]} has the shape {shapes[0]}, B04 {shapes[1]}. Restore it.")
    return np.stack([enlarged(values, shape) for values in groups.values()], axis=1)


def _bands(content: dict[str, Any], path: Path) -> NDArray[Any]:
    """Bands of the three resolutions on the finest one, axes (time, band, y, x)."""
    found = []
    for key, bands in BAND_GROUPS.items():
        group = array_of(content, key, path, OFFICIAL)
        if group.ndim != 4 or group.shape[3] != len(bands):
            raise InputError(f"{path}: '{key}' has the shape {group.shape}; the official layout has {OFFICIAL}.")
        found.append(group.transpose(0, 3, 1, 2))
    shape = (int(found[0].shape[2]), int(found[0].shape[3]))
    if len({len(group) for group in found}) > 1:
        raise InputError(f"{path}: x10, x20 and x60 have {[len(g) for g in found]} dates. Restore the file.")
    return np.concatenate([enlarged(group, shape) for group in found], axis=1)


def _matches(path: Path) -> bool:
    return all((path / name).is_file() for name in LISTS.values())


datasets.register("mtlcc")(Layout("MTLCC (train_paths.csv, eval_paths.csv)", _matches, open_mtlcc))
