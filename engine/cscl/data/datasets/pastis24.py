"""PASTIS24: PASTIS cut into windows of 24 x 24 pixels, as TSViT and its successors read it.

M. Tarasiou, E. Chavez, S. Zafeiriou, "ViTs for SITS: Vision Transformers for Satellite Image Time Series", CVPR 2023.
25 windows a patch; its last 8 rows and columns are dropped. Of the dates only the day of the year is kept, although
the season runs from autumn to autumn. The published mean and standard deviation are those of fold 1.
"""

from __future__ import annotations

import datetime as dt
import re
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from cscl.errors import InputError, MissingError
from cscl.products import Scene

from . import Dataset, Entry, Layout, Moments, datasets
from ._parts import dates_in, listed, local_grid, require_classes, require_shape, scene_of
from ._pickles import array_of, read_pickle
from .pastis import BANDS, LEGEND, NODATA, VOID

__all__ = ["open_pastis24"]

REFERENCE = dt.date(2019, 1, 1)
OFFICIAL = "img (date, 10, 24, 24), labels (1, 24, 24) and doy (date,)"
SOURCE = "reflectance x 10000, Theia level 2A; -10000 means missing"
MEAN = (1165.94, 1375.65, 1429.22, 1764.80, 2719.27, 3063.61, 3205.90, 3319.11, 2422.90, 1639.37)
STD = (1942.62, 1881.92, 1959.38, 1867.22, 1754.59, 1769.40, 1784.86, 1767.71, 1458.96, 1299.28)
NOTES = (
    "Only days of the year are stored: all are put into 2019, so that autumns of 2018 and of 2019 mix.",
    "The windows are cut from patches of 128 pixels, whose last 8 rows and columns are missing.",
    "The published mean and standard deviation are those of fold 1, and taken where fold 1 trains.",
)


def open_pastis24(path: Path) -> Dataset:
    """Open the folder that holds ``pickle24x24`` and ``fold-paths``.

    Raises
    ------
    MissingError, InputError
        If there are no lists of folds, or they name no window.
    """
    folds = _folds(path / "fold-paths")
    entries = [Entry(Path(name).stem, fold, partial(_open, path / name)) for name, fold in folds.items()]
    names = set(folds.values())
    train = "1,2,3" if {"1", "2", "3"} <= names else "123" if "123" in names else min(names)
    split = f"{train}/{'4' if '4' in names else ''}/{'5' if '5' in names else ''}"
    return Dataset("PASTIS24", path, tuple(entries), LEGEND, REFERENCE, split, _moments, NOTES)


def _folds(lists: Path) -> Mapping[str, str]:
    """Fold of each window, by ``fold_4_paths.csv``; windows of joint lists alone by ``folds_1_123_paths.csv``."""
    single, joint = dict[str, str](), dict[str, str]()
    for file in sorted(lists.glob("fold*_paths.csv")):
        one, several = re.fullmatch(r"fold_(\d)_paths", file.stem), re.fullmatch(r"folds_\d_(\d+)_paths", file.stem)
        table, match = (single, one) if one else (joint, several)
        if match is not None:
            table.update(dict.fromkeys(listed(file), match[1]))
    found = {**joint, **single}
    if not found:
        raise MissingError(
            f"{lists} has no lists of windows. The official layout has fold_1_paths.csv to fold_5_paths.csv, one "
            "relative path such as pickle24x24/40562_10.pickle a line: fold f holds all windows of the patches whose "
            "Fold is f in metadata.geojson of PASTIS."
        )
    return dict(sorted(found.items()))


def _open(path: Path) -> Scene:
    content = read_pickle(path)
    values = array_of(content, "img", path, OFFICIAL)
    labels, days = array_of(content, "labels", path, OFFICIAL), array_of(content, "doy", path, OFFICIAL)
    if values.ndim != 4 or labels.ndim not in (2, 3) or days.ndim != 1:
        raise InputError(f"{path} has arrays {values.shape}, {labels.shape} and {days.shape}; official is {OFFICIAL}.")
    shape = (int(values.shape[2]), int(values.shape[3]))
    labels = require_shape(labels if labels.ndim == 2 else labels[0], shape, str(path))
    classes, dates = require_classes(labels, VOID, path), _apart(dates_in(REFERENCE.year, days, path))
    return scene_of(
        path.stem, values, dates, BANDS, local_grid(shape, path.stem), classes, None, LEGEND,
        nodata=NODATA, source=SOURCE, path=path,
    )  # fmt: skip


def _apart(dates: NDArray[np.datetime64]) -> NDArray[np.datetime64]:
    """Keep a day that comes again, which is of another year, a second apart."""
    again = np.array([(dates[:place] == date).sum() for place, date in enumerate(dates)], "timedelta64[s]")
    apart: NDArray[np.datetime64] = dates + again
    return apart


def _moments(folds: Sequence[str]) -> Moments | None:
    if "1" not in folds and "123" not in folds:
        return None  # statistics of a fold that is held back say something about it
    return tuple(v / 1e4 for v in MEAN), tuple(v / 1e4 for v in STD)


def _matches(path: Path) -> bool:
    return (path / "fold-paths").is_dir()


datasets.register("pastis24")(Layout("PASTIS24 (pickle24x24, fold-paths)", _matches, open_pastis24))
