"""What the layouts of others share: whole numbers of reflectance and of classes, one image a day, days of a year."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from cscl.cube import SITSCube
from cscl.products import Scene

__all__ = ["classes_of", "day_of_year", "one_a_day", "stored_as"]


def classes_of(scene: Scene, numbers: Sequence[int], void: int) -> NDArray[np.uint8]:
    """Give the number of the class of each pixel, axes (y, x); `void` where it is unknown."""
    table = np.array([*numbers, void], np.uint8)
    return table[scene.labels.index()]  # -1 finds the last


def stored_as(cube: SITSCube, bands: Sequence[str], low: int, high: int, missing: int) -> NDArray[np.int64]:
    """Reflectance x 10000, axes (time, band, y, x), cut to a range; `missing` where a band has no data."""
    cube = cube.select(bands=bands)
    stored = cube.stored.values
    scale, offset = (
        np.array([f if isinstance(f, tuple) else (f,) * len(bands) for f in factors], float)[..., None, None]
        for factors in (cube.radiometry.scale, cube.radiometry.offset)
    )
    lost = cube.missing(stored).any(axis=1, keepdims=True)
    values = np.where(lost, 0, stored) * (scale * 1e4) + offset * 1e4
    whole: NDArray[np.int64] = np.where(lost, missing, np.rint(values).clip(low, high)).astype(np.int64)
    return whole


def one_a_day(scene: Scene, notes: dict[str, None]) -> SITSCube:
    """Keep one image a day, since the layouts name a date by its day; add to `notes` what a layout cannot say."""
    cube: SITSCube = scene.cube
    days, first = np.unique(cube.dates.astype("datetime64[D]"), return_index=True)
    if len(days) < len(cube.dates):
        cube = cube.select(times=[int(t) for t in first])
        notes["Of several images of a day the first is written: the layout names a date by its day."] = None
    if scene.cube.clear is not None:
        notes["Clouds are in the images: the layout knows no masks."] = None
    return cube


def day_of_year(dates: NDArray[np.datetime64]) -> NDArray[np.int64]:
    """Days of the year, from 1."""
    days = dates.astype("datetime64[D]")
    number: NDArray[np.int64] = (days - days.astype("datetime64[Y]").astype("datetime64[D]")).astype(np.int64) + 1
    return number
