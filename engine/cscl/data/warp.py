"""Images and labels on another grid: warped when a window is read, with missing pixels kept out of the mixture.

Axes: N is any number of planes, T time, B band, Y and X rows and columns.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import numpy as np
import xarray as xr
from affine import Affine
from numpy.typing import NDArray
from rasterio.enums import Resampling
from rasterio.warp import reproject, transform_bounds

from cscl.cube import SITSCube
from cscl.errors import GridError
from cscl.grid import GeoBox, Window, same
from cscl.products import LabelMap
from cscl.raster import spans

from .readers._lazy import Lazy, lazy

__all__ = ["warped", "warped_labels"]

_MARGIN_PX = 3
_COARSER = 1.5  # pixels of the source across one of the target from which on they are averaged
_AT_ONCE = 16_000_000  # values of the source that are held at a time


def warped(cube: SITSCube, grid: GeoBox) -> SITSCube:
    """Return a cube on another grid, lazily: each window of each date is warped when it is read.

    Reflectance is interpolated bilinearly, or averaged where the pixels of `grid` are coarser, from usable pixels only:
    a pixel is valid where they have more than half of the weight. Where clouds have it, the pixel shows them and is
    masked; where missing data have it, the pixel is missing. The same cube comes back if it lies on `grid` already.

    Raises
    ------
    GridError
        If the cube does not touch the grid.
    """
    if same(cube.grid, grid):
        return cube
    across_px = _across_px(cube.grid, grid)
    how = Resampling.average if across_px > _COARSER else Resampling.bilinear
    stored = lazy(_Values(cube, grid, how), ("time", "band", "y", "x"))
    clear = None if cube.clear is None else lazy(_Clear(cube, grid, how), ("time", "y", "x"))
    time = {"time": cube.dates}
    pixel = abs(cube.grid.resolution.x)
    note = f"Warped from {cube.grid.crs}, pixel {pixel:.9g}, onto the grid of the scene ({how.name})."
    return replace(
        cube,
        stored=xr.DataArray(stored, coords={**time, "band": list(cube.bands)}),
        clear=None if clear is None else xr.DataArray(clear, coords=time),
        grid=grid,
        radiometry=replace(cube.radiometry, nodata=None),
        notes=(*cube.notes, note),
        path=None,  # who opens that file finds another grid
    )


def warped_labels(labels: LabelMap, grid: GeoBox) -> LabelMap:
    """Return labels on another grid: each pixel takes the class and the parcel in which its centre lies.

    Raises
    ------
    GridError
        If the labels do not touch the grid.
    """
    if same(labels.grid, grid):
        return labels
    _across_px(labels.grid, grid)
    ids = _nearest(labels.ids, labels.grid, grid, labels.legend.ignore)
    parcels = None if labels.parcel_ids is None else _nearest(labels.parcel_ids, labels.grid, grid, 0)
    return LabelMap(ids, grid, labels.legend, parcels, labels.name, labels.path)


def _nearest(values_YX: NDArray[Any], source: GeoBox, target: GeoBox, fill: int) -> NDArray[Any]:
    out = np.full(tuple(target.shape), fill, values_YX.dtype)
    reproject(values_YX, out, **_places(source, target), resampling=Resampling.nearest, init_dest_nodata=False)
    return out


def _places(source: GeoBox, target: GeoBox) -> dict[str, Any]:
    crs = {"src_crs": str(source.crs), "dst_crs": str(target.crs)}
    return {"src_transform": source.transform, "dst_transform": target.transform, **crs}


def _bounds(grid: GeoBox, other: GeoBox) -> tuple[float, float, float, float]:
    """Left, bottom, right and top of a grid, in the CRS of another."""
    left, bottom, right, top = transform_bounds(str(grid.crs), str(other.crs), *grid.boundingbox.bbox)
    return left, bottom, right, top


def _across_px(source: GeoBox, target: GeoBox) -> float:
    """How many pixels of `source` lie across one of `target`; refuses grids that do not touch."""
    left, bottom, right, top = _bounds(source, target)
    here = target.boundingbox
    if left >= here.right or right <= here.left or bottom >= here.top or top <= here.bottom:
        raise GridError(
            "The two do not touch: they lie at different places on earth. Check the reference systems, or open the "
            "images as a new scene."
        )
    area_px = source.shape[0] * source.shape[1] / ((right - left) * (top - bottom))
    return float(np.sqrt(area_px * abs(target.resolution.x * target.resolution.y)))


class _Warped(Lazy):
    """Base of both arrays: what of the cube a window of the grid needs, a few dates at a time."""

    def __init__(self, cube: SITSCube, grid: GeoBox, how: Resampling) -> None:
        self.cube, self.grid, self.how = cube, grid, how

    def _parts(self, times: NDArray[np.intp], cube: SITSCube, target: GeoBox, step: int) -> Iterator[Any]:
        """Yield (place among the times, part of the cube around the target) until all times have come."""
        around = _around(cube, target, step > 1)
        if around is None:
            return
        count = max(1, _AT_ONCE // max(1, around.stored[0].size))
        for first in range(0, len(times), count):
            yield slice(first, first + count), around.select(times=[int(t) for t in times[first : first + count]])


class _Values(_Warped):
    """Stored values, float32, axes (time, band, y, x); NaN where missing."""

    def __init__(self, cube: SITSCube, grid: GeoBox, how: Resampling) -> None:
        super().__init__(cube, grid, how)
        self.shape, self.dtype = (*cube.stored.shape[:2], *grid.shape), np.dtype(np.float32)

    def _take(self, times: NDArray[np.intp], *rest: Any) -> NDArray[np.float32]:
        bands = [self.cube.bands[b] for b in np.arange(len(self.cube.bands))[rest[0]]]
        step, y, x = spans(rest[1:], self.shape[2:])
        target = _cut(self.grid, step, y, x)
        out = np.full((len(times), len(bands), *target.shape), np.nan, np.float32)
        for place, part in self._parts(times, self.cube.select(bands=bands), target, step):
            out[place] = self._interpolate(part, target)
        return out[:, :, y.wanted][..., x.wanted]

    def _interpolate(self, part: SITSCube, target: GeoBox) -> NDArray[np.float32]:
        stored_TBYX = part.stored.values
        data_TYX: NDArray[np.bool_] = np.asarray(~part.missing(stored_TBYX).any(axis=1))
        places = part.grid, target
        seen = _mixture(stored_TBYX, data_TYX, places, self.how)
        if part.clear is None:
            return seen
        clear_TYX = np.asarray(part.clear.values, bool)
        usable = _mixture(stored_TBYX, data_TYX & clear_TYX, places, self.how)
        return np.where(_warp(clear_TYX, *places, self.how)[:, None] > 0.5, usable, seen)


class _Clear(_Warped):
    """Where clear pixels have more than half of the weight; bool, axes (time, y, x)."""

    def __init__(self, cube: SITSCube, grid: GeoBox, how: Resampling) -> None:
        super().__init__(cube, grid, how)
        self.shape, self.dtype = (len(cube.dates), *grid.shape), np.dtype(bool)

    def _take(self, times: NDArray[np.intp], *rest: Any) -> NDArray[np.bool_]:
        step, y, x = spans(rest, self.shape[1:])
        target = _cut(self.grid, step, y, x)
        out = np.zeros((len(times), *target.shape), bool)
        for place, part in self._parts(times, self.cube.select(bands=self.cube.bands[:1]), target, step):
            assert part.clear is not None
            out[place] = _warp(np.asarray(part.clear.values, bool), part.grid, target, self.how) > 0.5
        return out[:, y.wanted][..., x.wanted]


def _cut(grid: GeoBox, step: int, y: Any, x: Any) -> GeoBox:
    """Grid of the rows and columns that are read."""
    transform = grid.transform @ Affine.translation(x.first, y.first) @ Affine.scale(step)
    return GeoBox((y.pixels, x.pixels), transform, grid.crs)


def _around(cube: SITSCube, target: GeoBox, coarse: bool) -> SITSCube | None:
    """Window of a cube that a target needs, coarser on request; None if they do not touch."""
    if not all(target.shape):
        return None
    if coarse:
        across_px = _bounds_px(target, cube.grid)
        step = min((across_px[1] - across_px[0]) / target.shape[0], (across_px[3] - across_px[2]) / target.shape[1])
        cube = cube.coarser(2 ** int(max(0, np.floor(np.log2(max(step, 1))))))
    r0, r1, c0, c1 = _bounds_px(target, cube.grid)
    margin = _MARGIN_PX + 2 * max((r1 - r0) / target.shape[0], (c1 - c0) / target.shape[1])
    r0, c0 = (max(0, int(np.floor(first - margin))) for first in (r0, c0))
    r1, c1 = (min(n, int(np.ceil(last + margin))) for last, n in zip((r1, c1), cube.shape, strict=True))
    return cube.select(window=Window(r0, c0, r1 - r0, c1 - c0)) if r0 < r1 and c0 < c1 else None


def _bounds_px(target: GeoBox, grid: GeoBox) -> tuple[float, float, float, float]:
    """First and last row, first and last column of a target, in pixels of a grid."""
    left, bottom, right, top = _bounds(target, grid)
    (c0, r0), (c1, r1) = ~grid.transform @ (left, top), ~grid.transform @ (right, bottom)
    return r0, r1, c0, c1


def _mixture(
    stored_TBYX: NDArray[Any], counts_TYX: NDArray[np.bool_], places: tuple[GeoBox, GeoBox], how: Resampling
) -> NDArray[np.float32]:
    """Mean of the pixels that count, by their weights; NaN where they have not more than half of the weight."""
    dates, bands, height, width = stored_TBYX.shape
    values = np.where(counts_TYX[:, None], stored_TBYX, 0).reshape(-1, height, width)
    mixed = _warp(np.concatenate([values, counts_TYX]), *places, how)
    sum_TBYX, weight_TBYX = mixed[:-dates].reshape(dates, bands, *mixed.shape[1:]), mixed[-dates:, None]
    return np.where(weight_TBYX > 0.5, sum_TBYX / np.maximum(weight_TBYX, 0.5), np.float32(np.nan))


def _warp(planes_NYX: NDArray[Any], source: GeoBox, target: GeoBox, how: Resampling) -> NDArray[np.float32]:
    """Warp planes; 0 outside of the source."""
    out = np.zeros((len(planes_NYX), *target.shape), np.float32)
    reproject(planes_NYX.astype(np.float32), out, **_places(source, target), resampling=how)
    return out
