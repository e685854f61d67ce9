"""Bands of several pixel sizes, tiles or zones as one lazy array on one grid: GDAL resamples the window that is read.

Axes: B band, Y and X rows and columns. Nothing is read at opening, and each read opens its files anew.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import numpy as np
from affine import Affine
from numpy.typing import NDArray

from cscl.grid import GeoBox
from cscl.raster import spans

from ._layers import Layer, bounds_in, read_layer
from ._lazy import Lazy

__all__ = ["Source", "Stack", "cut", "side_by_side"]

_THREADS = 4  # at least: files may lie behind a network


@dataclass(frozen=True)
class Source:
    """An image as it goes into a date: a layer a band, with all that `Layer` may leave open known.

    ``shifts`` are added to the stored values of each band, so that they mean what those of the date's first image do.
    """

    bands: tuple[Layer, ...]
    shifts: tuple[int, ...]
    classes: Layer | None = None
    clouds: Layer | None = None


class Stack(Lazy):
    """Images of each date as one array with axes (time, band, y, x).

    Of several images of a date, a later one fills only pixels that all before it miss in some band, and fills them in
    all bands: no pixel is a mixture.

    Parameters
    ----------
    dates : sequence of sequences of Source
        Images of each date, the best first.
    grid : GeoBox
        Where the pixels of the array lie. Reflectance is interpolated bilinearly there, or averaged where the pixels
        of `grid` are coarser, from pixels with data only; a pixel whose centre lies in one without data has none.
    nodata : float
        Stored value that means missing, in all files and in the array.
    dtype : dtype
        Type of the stored values.
    """

    def __init__(self, dates: Sequence[Sequence[Source]], grid: GeoBox, nodata: float, dtype: np.dtype[Any]) -> None:
        self._dates, self.grid, self._nodata = dates, grid, nodata
        self.shape, self.dtype = (len(dates), len(dates[0][0].bands), *grid.shape), dtype

    def _take(self, times: NDArray[np.intp], *rest: Any) -> NDArray[Any]:
        bands = np.arange(self.shape[1])[rest[0]]
        step, y, x = spans(rest[1:], self.shape[2:])
        out = np.full((len(times), len(bands), y.pixels, x.pixels), self._nodata, self.dtype)
        if out.size:
            target = cut(self.grid, step, y, x)
            side_by_side(lambda i: self._fill(out[i], int(times[i]), bands, target, look=step > 1), len(times))
        return out[:, :, y.wanted][..., x.wanted]

    def _fill(self, out_BYX: NDArray[Any], time: int, bands: NDArray[np.intp], target: GeoBox, look: bool) -> None:
        near = self.touching(time, target)
        if len(near) == 1:
            out_BYX[:] = self._image(near[0], bands, target, look)
            return
        for _, image_BYX, taken_YX in self.parts(near, target, look):
            out_BYX[:, taken_YX] = image_BYX[bands][:, taken_YX]

    def touching(self, time: int, target: GeoBox) -> list[Source]:
        """Images of a date that reach into the target."""
        return [source for source in self._dates[time] if _touch(source.bands[0].grid, target)]

    def parts(
        self, sources: Sequence[Source], target: GeoBox, look: bool
    ) -> Iterator[tuple[Source, NDArray[Any], NDArray[np.bool_]]]:
        """Yield images of a date with all their bands (B, Y, X) and the pixels (Y, X) that they have to give.

        The first gives what no other does, too, so that it stays missing.
        """
        lacking_YX: NDArray[np.bool_] | None = None
        for source in sources:
            image_BYX = self._image(source, np.arange(self.shape[1]), target, look)
            absent_YX = self._absent(image_BYX)
            yield source, image_BYX, np.ones_like(absent_YX) if lacking_YX is None else lacking_YX & ~absent_YX
            lacking_YX = absent_YX if lacking_YX is None else lacking_YX & absent_YX
            if not lacking_YX.any():
                return

    def _absent(self, image_BYX: NDArray[Any]) -> NDArray[np.bool_]:
        absent: NDArray[np.bool_] = image_BYX == self._nodata
        if image_BYX.dtype.kind == "f":
            absent |= ~np.isfinite(image_BYX)
        return np.asarray(absent.any(axis=0))

    def _image(self, source: Source, bands: NDArray[np.intp], target: GeoBox, look: bool) -> NDArray[Any]:
        planes = []
        for band in bands:
            values_YX = read_layer(source.bands[band], target, self._nodata, self.dtype, look=look)
            planes.append(_shifted(values_YX, source.shifts[band], self._nodata))
        return np.stack(planes)


def side_by_side(act: Callable[[int], None], count: int) -> None:
    """Do something for each of several dates at once: GDAL unpacks and waits for files without holding Python up."""
    with ThreadPoolExecutor(min(count, max(_THREADS, os.cpu_count() or 1))) as pool:
        for _ in pool.map(act, range(count)):
            pass


def cut(grid: GeoBox, step: int, y: Any, x: Any) -> GeoBox:
    """Grid of the rows and columns that are read (see `cscl.raster.spans`)."""
    transform = grid.transform @ Affine.translation(x.first, y.first) @ Affine.scale(step)
    return GeoBox((y.pixels, x.pixels), transform, grid.crs)


def _touch(grid: GeoBox | None, target: GeoBox) -> bool:
    assert grid is not None
    left, bottom, right, top = bounds_in(grid, target.crs)
    box = target.boundingbox
    return bool(left < box.right and right > box.left and bottom < box.top and top > box.bottom)


def _shifted(values_YX: NDArray[Any], shift: int, nodata: float) -> NDArray[Any]:
    """Add to stored values, but not to those that mean missing; what the type does not hold is cut, not wrapped."""
    if not shift:
        return values_YX
    moved_YX = values_YX.astype(np.float64) + shift
    if values_YX.dtype.kind in "iu":
        limits = np.iinfo(values_YX.dtype)
        moved_YX = moved_YX.clip(limits.min, limits.max)
    moved_YX[moved_YX == nodata] += 1  # the nearest value that is one
    return np.where(values_YX == nodata, values_YX, moved_YX.astype(values_YX.dtype))
