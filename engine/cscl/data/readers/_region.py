"""The part of a cube that is wanted, by place and by date; cut lazily, so that no pixel outside of it is read.

Axes: time, y, x.
"""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import shapely
import xarray as xr
from affine import Affine
from numpy.typing import NDArray
from rasterio.features import rasterize
from rasterio.warp import transform_bounds

from cscl.cube import SITSCube
from cscl.errors import GridError, InputError, MissingError
from cscl.grid import GeoBox, Window
from cscl.parcels import Parcels

from ._dates import date_in_name
from ._lazy import Lazy, lazy

__all__ = ["between", "inside", "require_in_order"]

Bounds = tuple[float, float, float, float]
_SAME_PX = 1e-3  # what bounds may lie off the edge of a pixel and still mean that edge


def require_in_order(first: str | None, last: str | None) -> None:
    """Refuse ends of a span of days that are no days, or the wrong way round.

    Raises
    ------
    InputError
        The message says which, and how to write one.
    """
    begin = None if first is None else _day(first, "first date")
    end = None if last is None else _day(last, "last date")
    if begin is not None and end is not None and begin > end:
        raise InputError(f"The first date {first} is after the last one {last}. Swap them.")


def between(cube: SITSCube, first: str | None, last: str | None) -> SITSCube:
    """Return the dates from one day to another, both included; None leaves an end open.

    Raises
    ------
    InputError
        If none is left.
    """
    days = cube.dates.astype("datetime64[D]")
    chosen = np.ones(len(days), bool)
    if first is not None:
        chosen &= days >= _day(first, "first date")
    if last is not None:
        chosen &= days <= _day(last, "last date")
    if not chosen.any():
        raise InputError(
            f"None of the {len(days)} dates of {cube.name} ({days[0]} to {days[-1]}) lies between "
            f"{first or 'the first'} and {last or 'the last'}. Choose other dates with --first-date and --last-date."
        )
    if chosen.all():
        return cube
    note = f"{int(chosen.sum())} of {len(days)} dates were chosen, from {first or 'the first'} to {last or 'the last'}."
    chosen_cube = cube.select(times=[int(t) for t in np.flatnonzero(chosen)])
    return replace(chosen_cube, notes=(*cube.notes, note))


def inside(cube: SITSCube, region: str) -> SITSCube:
    """Return the part of a cube inside a region, snapped outward to whole pixels.

    Parameters
    ----------
    cube : SITSCube
        The images.
    region : str
        Bounds ``W,S,E,N`` in the CRS of the images, or in degrees where they mean nothing in that CRS; or a file of
        polygons of any CRS, whose extent cuts the images: pixels whose centre lies outside of them are not usable.

    Raises
    ------
    GridError
        If the region does not touch the images; the message tells both extents.
    InputError, MissingError
        If the region is neither four numbers nor a file of polygons.
    """
    numbers = _numbers(region)
    found = _polygons(cube, Path(region).expanduser()) if numbers is None else _rectangle(cube, numbers)
    cut = cube.select(window=found.window)
    size = f"{found.window.height} x {found.window.width} of {cube.shape[0]} x {cube.shape[1]} pixels"
    notes = (*cube.notes, f"Cut to the region {found.name}: {size}.{found.told}")
    if found.shapes is None:
        return replace(cut, notes=notes)
    clear = lazy(_Inside(found.shapes, cut), ("time", "y", "x"))
    return replace(cut, clear=xr.DataArray(clear, coords={"time": cut.dates}), notes=notes)


def _day(text: str, what: str) -> np.datetime64:
    found = date_in_name(text)
    if found is None:
        raise InputError(f"The {what} '{text}' is not a date. Write it like 2021-05-03.")
    day: np.datetime64 = found.astype("datetime64[D]")
    return day


class _Found(NamedTuple):
    """A region on the images: its window, its polygons in their CRS if it has any, and what there is to say."""

    window: Window
    name: str
    shapes: NDArray[Any] | None = None
    told: str = ""


def _numbers(region: str) -> Bounds | None:
    """Bounds that a text gives; None if it is no list of four numbers, and so the name of a file."""
    try:
        west, south, east, north = (float(part) for part in region.split(","))
    except ValueError:
        return None
    if not all(map(math.isfinite, (west, south, east, north))) or west >= east or south >= north:
        raise InputError(
            f"The region {region} is empty. Give west, south, east and north, such as 664000,5611000,665000,5612000."
        )
    return west, south, east, north


def _rectangle(cube: SITSCube, bounds: Bounds) -> _Found:
    name, told = ",".join(f"{v:.12g}" for v in bounds), ""
    window = _window(cube.grid, bounds)
    if window is None and _are_degrees(bounds) and not cube.grid.crs.geographic:  # type: ignore[union-attr]
        west, south, east, north = transform_bounds("EPSG:4326", str(cube.grid.crs), *bounds)
        bounds, told = (west, south, east, north), f" Its bounds are degrees; it is their extent in {cube.grid.crs}."
        window = _window(cube.grid, bounds)
    if window is None:
        raise _elsewhere(cube, name, bounds)
    return _Found(window, name, None, told)


def _are_degrees(bounds: Bounds) -> bool:
    west, south, east, north = bounds
    return west >= -180 and east <= 180 and south >= -90 and north <= 90


def _polygons(cube: SITSCube, path: Path) -> _Found:
    if not path.exists():
        raise MissingError(
            f"The region '{path}' is neither a file of polygons that is there, nor four numbers: west, south, east and "
            "north, such as 664000,5611000,665000,5612000."
        )
    try:
        table = Parcels.open(path).table.to_crs(str(cube.grid.crs))
    except GridError as error:  # a region has no option for its CRS
        raise GridError(f"The region {path} has no coordinate reference system. Assign one, e.g. in QGIS.") from error
    shapes = np.asarray(table.geometry.to_numpy())
    clipped = shapely.clip_by_rect(shapes, *cube.grid.boundingbox.bbox)
    there = shapely.area(clipped) > 0
    west, south, east, north = shapely.total_bounds(clipped[there] if there.any() else shapes)
    window = _window(cube.grid, (west, south, east, north)) if there.any() else None
    if window is None:
        raise _elsewhere(cube, path.name, (west, south, east, north))
    count = int(there.sum())
    words = "polygon" if count == 1 else f"{count} polygons"
    return _Found(window, path.name, shapes[there], f" Pixels whose centre lies outside of its {words} are not usable.")


def _window(grid: GeoBox, bounds: Bounds) -> Window | None:
    """Whole pixels that bounds touch; None if there are none."""
    left, bottom, right, top = bounds
    corners = np.array([left, right, left, right]), np.array([bottom, bottom, top, top])
    cols, rows = ~grid.transform @ corners
    if not (np.isfinite(cols).all() and np.isfinite(rows).all()):
        return None
    (r0, r1), (c0, c1) = (_snapped(ends, size) for ends, size in ((rows, grid.shape[0]), (cols, grid.shape[1])))
    return Window(r0, c0, r1 - r0, c1 - c0) if r1 > r0 and c1 > c0 else None


def _snapped(ends: NDArray[np.float64], size: int) -> tuple[int, int]:
    return max(0, math.floor(ends.min() + _SAME_PX)), min(size, math.ceil(ends.max() - _SAME_PX))


def _elsewhere(cube: SITSCube, name: str, bounds: Bounds) -> GridError:
    here = cube.grid.boundingbox.bbox
    return GridError(
        f"The region {name} does not touch the images {cube.name}: in {cube.grid.crs} it spans {_span(bounds)}, and "
        f"they span {_span(here)} (west, south, east, north). Check that both show the same place, and the CRS of each."
    )


def _span(bounds: Bounds) -> str:
    return " ".join(f"{v:.9g}" for v in bounds)


class _Inside(Lazy):
    """Mask of a cube, and False where the centre of a pixel lies outside of polygons."""

    def __init__(self, shapes: NDArray[Any], cube: SITSCube) -> None:
        self._shapes, self._transform = shapes, cube.grid.transform
        self._clear = None if cube.clear is None else cube.clear.variable
        self.shape, self.dtype = (len(cube.dates), *cube.shape), np.dtype(bool)

    def _take(self, times: NDArray[np.intp], *rest: Any) -> NDArray[np.bool_]:
        y, x = (_Run.of(np.atleast_1d(np.arange(n)[k])) for n, k in zip(self.shape[1:], rest, strict=True))
        inside_YX = self._burned(y, x)[y.picks][:, x.picks]
        if self._clear is None:
            return np.repeat(inside_YX[None], len(times), axis=0)
        return np.asarray(self._clear.isel(time=times, y=rest[0], x=rest[1]).values & inside_YX)

    def _burned(self, y: _Run, x: _Run) -> NDArray[np.bool_]:
        shift = Affine.translation(x.first + 0.5 - x.step / 2, y.first + 0.5 - y.step / 2)
        transform = self._transform @ shift @ Affine.scale(x.step, y.step)
        here = GeoBox((y.length, x.length), transform, None).boundingbox.polygon.geom
        near = self._shapes[shapely.intersects(self._shapes, here)]
        if not near.size or not y.length or not x.length:
            return np.zeros((y.length, x.length), bool)
        burned = rasterize(near, (y.length, x.length), transform=transform, fill=0, default_value=1, dtype="uint8")
        return np.asarray(burned, bool)


class _Run(NamedTuple):
    """Evenly spaced rows or columns that hold the wanted ones, and which of them these are."""

    first: int
    step: int
    length: int
    picks: Any

    @classmethod
    def of(cls, wanted: NDArray[np.intp]) -> _Run:
        steps = np.diff(wanted)
        if not steps.size:
            return cls(int(wanted[0]) if wanted.size else 0, 1, wanted.size, slice(None))
        if steps[0] > 0 and (steps == steps[0]).all():
            return cls(int(wanted[0]), int(steps[0]), len(wanted), slice(None))
        return cls(int(wanted.min()), 1, int(np.ptp(wanted)) + 1, wanted - wanted.min())
