"""Colour composites of a season: three bands, or an index, of each date as 8-bit colours, made when looked at."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from time import perf_counter
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cscl.cube import SITSCube
from cscl.errors import CSCLError
from cscl.grid import Window, tiles

from .kept import Kept

__all__ = ["COMPOSITES", "Composite", "SeasonImage", "fitting", "pyramid"]

MISSING, WAITING = 90, 40  # shades of what is not there, and of what is still to be read
KEPT_BYTES = 192_000_000
TILE_PX = 512
COARSEST_PX = 1500  # a picture of at most this size is shown as it is; larger ones get levels of half the size
SAMPLE_PX, SAMPLE_WINDOWS, SAMPLE_DATES = 64, 5, 8
SHADES = 1024
GAMMA = 0.6  # vegetation is dark beside bare soil
# An index from bare to dense: from light to dark, so that it can be read without colour, too.
GREENNESS = {0.0: (250, 244, 222), 0.25: (222, 200, 140), 0.5: (140, 185, 90), 0.75: (40, 125, 55), 1.0: (0, 60, 30)}


@dataclass(frozen=True)
class Composite:
    """Red, green and blue as band names, or one normalised difference ``(first - second) / (first + second)``.

    `natural` bands share one stretch, so that colours look as the eye expects; others are stretched one by one.
    """

    bands: tuple[str, ...]
    index: bool = False
    natural: bool = False


COMPOSITES: dict[str, Composite] = {
    "true colour": Composite(("B04", "B03", "B02"), natural=True),
    "false colour": Composite(("B08", "B04", "B03")),
    "SWIR": Composite(("B12", "B8A", "B04")),
    "NDVI": Composite(("B08", "B04"), index=True),
}


def fitting(cube: SITSCube) -> dict[str, Composite]:
    """Composites that the bands of a cube allow; the first band in grey where none is."""
    found = {name: c for name, c in COMPOSITES.items() if set(c.bands) <= set(cube.bands)}
    return found or {f"band {cube.bands[0]}": Composite(cube.bands[:1] * 3)}


def pyramid(cube: SITSCube, composite: Composite, masked: bool = True) -> list[SeasonImage]:
    """Make the levels of a season's picture, each half the size of the former; one level for a small scene."""
    levels, step = [SeasonImage(cube, composite, masked)], 1
    while max(levels[-1].shape[1:3]) > COARSEST_PX:
        step *= 2
        levels.append(levels[0].coarser(step))
    for level in levels[: len(levels) if len(levels) > 1 else 0]:
        level.gauge()
    return levels


class SeasonImage:
    """Array-like of axes (time, y, x, channel), uint8, that reads a part of a date when it is asked for.

    One stretch holds for all dates, from a sample of the season, so that colours can be compared across time. Missing
    pixels are grey. What was looked at last is kept, up to a fixed number of bytes. Several dates at once are a view
    that still reads nothing, as napari asks for all dates of a window before it takes one of them.

    Parameters
    ----------
    cube : SITSCube
        Images.
    composite : Composite
        Which bands make the colours.
    masked : bool
        Whether pixels that the quality mask calls unusable count as missing; without, clouds are shown.
    """

    def __init__(self, cube: SITSCube, composite: Composite, masked: bool = True) -> None:
        chosen = cube.select(bands=composite.bands)
        self._source = chosen if masked else chosen.unmasked()
        self._whole = chosen, self._source
        self._colours = _Colours.of(chosen, composite)
        self.kept = Kept(KEPT_BYTES)
        self._step = 1
        self._times: NDArray[np.intp] = np.arange(len(cube.dates))
        self._window = Window(0, 0, *cube.shape)
        self.dtype = np.dtype(np.uint8)
        self.ndim = 4

    def coarser(self, step: int) -> SeasonImage:
        """Return the same picture with every `step`-th pixel, from overviews of the files where there are any."""
        source = self._source.coarser(step)
        return self._but(_source=source, _step=step, _window=Window(0, 0, *source.shape))

    def look(self, time: int, window: Window) -> tuple[NDArray[np.uint8], float]:
        """Read a window of one date in full detail, past what is kept: its colours, and the share that is usable.

        Raises
        ------
        CSCLError
            If it cannot be read.
        """
        masked, shown = self._whole
        values, valid = shown.select(times=[time]).read(window)
        usable = valid if shown is masked else masked.select(times=[time]).read(window)[1]
        return self._colours(values[0], valid[0]), float(usable.mean())

    def gauge(self) -> None:
        """Read a tile, to know how long it takes."""
        places = list(tiles(self._source.shape, TILE_PX))
        self._fetch(0, places[len(places) // 2])

    @property
    def seconds(self) -> float:
        """Roughly how long one date takes to be read."""
        return self.kept.pace.get(self._step, 0.0) * self.shape[1] * self.shape[2]

    @property
    def shape(self) -> tuple[int, int, int, int]:
        """Dates, rows, columns, and 3 for the channels."""
        return len(self._times), self._window.height, self._window.width, 3

    @property
    def size(self) -> int:
        """Number of values."""
        return int(np.prod(self.shape, dtype=np.int64))

    def __len__(self) -> int:
        return self.shape[0]

    def __deepcopy__(self, memo: Any) -> SeasonImage:
        return self  # nobody writes into it, and napari copies the data of a layer that is duplicated

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> NDArray[Any]:
        pictures = [self._picture(int(time), self._window) for time in self._times]
        return np.asarray(np.stack(pictures), dtype=dtype)

    def __getitem__(self, key: Any) -> Any:
        time, rows, cols, channel = _full(key, self.ndim)
        picked, part = self._times[time], self
        spans = [range(n)[k] for n, k in zip(self.shape[1:3], (rows, cols), strict=True)]
        if all(isinstance(span, range) and span.step == 1 for span in spans):
            part, rows, cols = self._but(_window=_inner(self._window, *spans)), slice(None), slice(None)
            if isinstance(time, slice) and channel == slice(None):
                return part._but(_times=picked)
        several = part._but(_times=np.atleast_1d(picked)).__array__()
        return several[slice(None) if np.ndim(picked) else 0, rows, cols, channel]

    def _but(self, **changes: Any) -> SeasonImage:
        other = object.__new__(SeasonImage)
        other.__dict__.update(self.__dict__, **changes)
        return other

    def _read(self, time: int, window: Window) -> NDArray[np.uint8]:
        """Read and colour a window; one that cannot be read is missing, and the user is told once."""
        began = perf_counter()
        try:
            values, valid = self._source.select(times=[time]).read(window)
        except CSCLError as error:
            self.kept.tell(str(error))
            return np.full((window.height, window.width, 3), MISSING, np.uint8)
        colours = self._colours(values[0], valid[0])
        self.kept.pace[self._step] = (perf_counter() - began) / (window.height * window.width)
        return colours

    def _fetch(self, time: int, *places: Window) -> dict[Window, NDArray[np.uint8]]:
        """Read tiles of a date, all at once, and keep them."""
        around = _around(places)
        read = self._read(time, around)
        parts = {tile: read[tile.within(around).slices].copy() for tile in places}
        for tile, part in parts.items():
            self.kept.put((self._step, time, tile), part)
        return parts

    def _picture(self, time: int, window: Window) -> NDArray[np.uint8]:
        """Put a window together from tiles; those that are not kept are read now, or later if the window would wait."""
        places = [tile for tile in tiles(self._source.shape, TILE_PX) if _meet(tile, window)]
        parts = {tile: self.kept.get((self._step, time, tile)) for tile in places}
        lacking = [tile for tile, part in parts.items() if part is None]
        if lacking and self.kept.is_long(self._step, sum(tile.height * tile.width for tile in lacking)):
            self.kept.want({(self._step, time, tile): partial(self._fetch, time, tile) for tile in lacking})
            parts |= {tile: np.broadcast_to(np.uint8(WAITING), (tile.height, tile.width, 3)) for tile in lacking}
        elif lacking:
            parts |= self._fetch(time, *lacking)
        out = np.empty((window.height, window.width, 3), np.uint8)
        for tile, part in parts.items():
            shown = _common(tile, window)
            out[shown.within(window).slices] = part[shown.within(tile).slices]  # type: ignore[index]
        return out


class _Colours:
    """From reflectance to colours: a stretch between two values a channel, or the scale of an index."""

    def __init__(self, composite: Composite, low: NDArray[np.float32], high: NDArray[np.float32]) -> None:
        self._index = composite.index
        self._low, self._span = low[:, None, None], np.maximum(high - low, 1e-6)[:, None, None]
        shade = np.linspace(0, 1, SHADES)
        grey = np.repeat(shade[:, None] ** GAMMA, 3, axis=1) * 255
        green = np.stack([np.interp(shade, list(GREENNESS), c) for c in zip(*GREENNESS.values(), strict=True)], 1)
        self._table = np.round(green if composite.index else grey).astype(np.uint8)

    @classmethod
    def of(cls, cube: SITSCube, composite: Composite) -> _Colours:
        """Stretch that suits a cube of the composite's bands; an index runs from 0 to 1."""
        if composite.index:
            return cls(composite, np.zeros(1, np.float32), np.ones(1, np.float32))
        limits = _limits(cube)
        limits = _limits(cube.unmasked()) if limits is None else limits
        low, high = (np.zeros(3), np.ones(3)) if limits is None else limits
        if composite.natural:
            low, high = np.full(3, low.mean()), np.full(3, high.mean())
        return cls(composite, low.astype(np.float32), high.astype(np.float32))

    def __call__(self, values_CYX: NDArray[np.float32], valid_YX: NDArray[np.bool_]) -> NDArray[np.uint8]:
        """Colour a picture; axes (y, x, channel)."""
        if self._index:
            first, second = values_CYX[:2]
            values_CYX = ((first - second) / np.maximum(first + second, 1e-6))[None]
        shade = ((values_CYX - self._low) * ((SHADES - 1) / self._span)).clip(0, SHADES - 1).astype(np.int16)
        out = np.empty((*valid_YX.shape, 3), np.uint8)
        for channel in range(3):
            out[..., channel] = self._table[shade[0 if self._index else channel], channel]
        out[~valid_YX] = MISSING
        return out


def _limits(cube: SITSCube) -> tuple[NDArray[np.float64], NDArray[np.float64]] | None:
    """2nd and 98th percentile of each band in a few windows; None if none of their pixels is valid.

    They are the medians over some dates, so that a cloudy or snowy date more or less changes nothing.
    """
    windows = list(tiles(cube.shape, SAMPLE_PX))
    chosen = [windows[i] for i in _spread(len(windows), SAMPLE_WINDOWS)]
    times = _spread(len(cube.dates), SAMPLE_DATES)
    seen: list[list[NDArray[np.float32]]] = [[] for _ in times]
    for window in chosen:
        values, valid = cube.select(times=times).read(window)
        for pixels, image, usable in zip(seen, values, valid, strict=True):
            pixels.append(image[:, usable])
    whole = [np.concatenate(pixels, axis=1) for pixels in seen]
    found = [np.percentile(pixels, (2, 98), axis=1) for pixels in whole if pixels.size]
    return tuple(np.median(found, axis=0)) if found else None


def _spread(size: int, count: int) -> list[int]:
    """At most `count` numbers from 0 to `size` - 1, the middles of as many equal parts."""
    return sorted({int(size * (i + 0.5) / count) for i in range(count)})


def _full(key: Any, ndim: int) -> tuple[Any, ...]:
    """Index of all axes: an ellipsis, or what is left out, takes everything."""
    key = key if isinstance(key, tuple) else (key,)
    at = next((i for i, k in enumerate(key) if k is Ellipsis), len(key))
    rest = key[at + 1 :]
    return (*key[:at], *[slice(None)] * (ndim - at - len(rest)), *rest)


def _inner(outer: Window, rows: range, cols: range) -> Window:
    return Window(outer.row + rows.start, outer.col + cols.start, len(rows), len(cols))


def _meet(a: Window, b: Window) -> bool:
    down = a.row < b.row + b.height and b.row < a.row + a.height
    return down and a.col < b.col + b.width and b.col < a.col + a.width


def _common(a: Window, b: Window) -> Window:
    row, col = max(a.row, b.row), max(a.col, b.col)
    height = min(a.row + a.height, b.row + b.height) - row
    return Window(row, col, height, min(a.col + a.width, b.col + b.width) - col)


def _around(windows: list[Window]) -> Window:
    row, col = min(w.row for w in windows), min(w.col for w in windows)
    bottom, right = max(w.row + w.height for w in windows), max(w.col + w.width for w in windows)
    return Window(row, col, bottom - row, right - col)
