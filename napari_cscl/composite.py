"""Colour composites of a season: three bands, or an index, of each date as 8-bit colours, made when looked at."""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cscl.cube import SITSCube
from cscl.grid import Window, tiles

__all__ = ["COMPOSITES", "Composite", "SeasonImage", "fitting"]

MISSING = 90
KEPT_DATES = 16
SAMPLE_PX = 64


@dataclass(frozen=True)
class Composite:
    """Red, green and blue as band names, or one normalised difference ``(first - second) / (first + second)``."""

    bands: tuple[str, ...]
    index: bool = False


COMPOSITES: dict[str, Composite] = {
    "true colour": Composite(("B04", "B03", "B02")),
    "false colour": Composite(("B08", "B04", "B03")),
    "SWIR": Composite(("B12", "B8A", "B04")),
    "NDVI": Composite(("B08", "B04"), index=True),
}


def fitting(cube: SITSCube) -> dict[str, Composite]:
    """Composites that the bands of a cube allow; the first band in grey where none is."""
    found = {name: c for name, c in COMPOSITES.items() if set(c.bands) <= set(cube.bands)}
    return found or {f"band {cube.bands[0]}": Composite(cube.bands[:1] * 3)}


class SeasonImage:
    """Array-like of axes (time, y, x, channel), uint8, that reads a date when it is asked for.

    One stretch holds for all dates, from a sample of the season, so that colours can be compared across time. Missing
    pixels are grey.

    Parameters
    ----------
    cube : SITSCube
        Images.
    composite : Composite
        Which bands make the colours.
    """

    def __init__(self, cube: SITSCube, composite: Composite) -> None:
        self.cube = cube.select(bands=composite.bands)
        self.composite = composite
        self.shape = (len(cube.dates), *cube.shape, 3)
        self.dtype = np.dtype(np.uint8)
        self.ndim = 4
        self._low, self._high = self._stretch()
        self._kept: OrderedDict[int, NDArray[np.uint8]] = OrderedDict()

    def __len__(self) -> int:
        return self.shape[0]

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> NDArray[Any]:
        return np.asarray(self[:], dtype=dtype)

    def __getitem__(self, key: Any) -> NDArray[np.uint8]:
        key = key if isinstance(key, tuple) else (key,)
        if Ellipsis in key:
            at = key.index(Ellipsis)
            key = (*key[:at], *[slice(None)] * (self.ndim - len(key) + 1), *key[at + 1 :])
        times = np.arange(self.shape[0])[key[0]]
        if np.ndim(times) == 0:
            return self._date(int(times))[key[1:]]
        return np.stack([self._date(int(t))[key[1:]] for t in times])

    def _date(self, time: int) -> NDArray[np.uint8]:
        if time in self._kept:
            self._kept.move_to_end(time)
            return self._kept[time]
        values, valid = self.cube.select(times=[time]).read()
        colours = self._colours(values[0], valid[0])
        self._kept[time] = colours
        if len(self._kept) > KEPT_DATES:
            self._kept.popitem(last=False)
        return colours

    def _colours(self, values_CYX: NDArray[np.float32], valid_YX: NDArray[np.bool_]) -> NDArray[np.uint8]:
        shown = self._channels(values_CYX)
        scaled = (shown - self._low) / max(self._high - self._low, 1e-6)
        colours = (255 * np.clip(scaled, 0, 1) ** 0.8).astype(np.uint8)
        colours[:, ~valid_YX] = MISSING
        return np.ascontiguousarray(np.moveaxis(colours, 0, -1))

    def _channels(self, values_CYX: NDArray[np.float32]) -> NDArray[np.float32]:
        if not self.composite.index:
            return values_CYX
        first, second = values_CYX[:2]
        difference = (first - second) / np.maximum(first + second, 1e-6)
        return np.broadcast_to(difference, (3, *difference.shape))

    def _stretch(self) -> tuple[float, float]:
        """2nd and 98th percentile of the valid pixels of a few windows; an index runs from 0 to 1."""
        if self.composite.index:
            return 0.0, 1.0
        windows = list(tiles(self.cube.shape, SAMPLE_PX))
        chosen: list[Window] = [windows[i] for i in np.unique(np.linspace(0, len(windows) - 1, 9).astype(int))]
        pixels = []
        for window in chosen:
            values, valid = self.cube.read(window)
            pixels.append(values.transpose(0, 2, 3, 1)[valid].ravel())
        everything = np.concatenate(pixels)
        if not everything.size:
            return 0.0, 1.0
        low, high = np.percentile(everything, (2, 98))
        return float(low), float(high)
