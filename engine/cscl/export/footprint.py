"""Where a grid lies on the globe: its outline in degrees (WGS 84), as GeoJSON and catalogues want it."""

from __future__ import annotations

from typing import Any

import numpy as np
import shapely
from numpy.typing import NDArray
from pyproj import Transformer
from pyproj.exceptions import ProjError
from shapely.geometry import mapping
from shapely.geometry.polygon import orient

from cscl.errors import GridError
from cscl.grid import GeoBox

__all__ = ["footprint", "merged"]

SIDE_POINTS = 24
DIGITS = 7
"""After the point; the seventh of a degree is a centimetre."""


def footprint(grid: GeoBox) -> tuple[dict[str, Any], list[float]]:
    """Return the outline of a grid as GeoJSON geometry, and its box: west, south, east, north; WGS 84, degrees.

    Sides are followed, not corners alone. What crosses the antimeridian is cut there into two polygons, and its box has
    its west east of its east, as RFC 7946 has it. Around a pole the box goes all around.

    Raises
    ------
    GridError
        If the grid lies outside what its reference system can say in degrees.
    """
    ring = _ring(grid)
    around = round((ring[-1, 0] - ring[0, 0]) / 360)
    if around:  # the outline goes round a pole: close it there
        pole = 90.0 if ring[:, 1].mean() > 0 else -90.0
        ring = np.concatenate([ring, [(ring[-1, 0], pole), (ring[0, 0], pole)]])
    ring[:, 0] -= 360 * np.floor((ring[:, 0].min() + 180) / 360)
    whole = shapely.make_valid(shapely.Polygon(ring)).simplify(10.0**-DIGITS)
    west, south, east, north = whole.bounds
    here = whole.intersection(shapely.box(-180, -90, 180, 90))
    beyond = shapely.transform(whole.intersection(shapely.box(180, -90, 540, 90)), lambda c: c - (360, 0))
    joined = shapely.get_parts(shapely.union_all([here, beyond]))  # round a pole both have a side in common
    parts = [part for part in joined if part.geom_type == "Polygon" and part.area > 0]
    if not parts:
        raise GridError(f"The map has no area in degrees; its reference system is {grid.crs}. Check its place.")
    if around or east - west >= 360:
        west, east = -180.0, 180.0
    box = [west, south, east - 360 if east > 180 else east, north]
    return _geojson(parts), [round(v, DIGITS) for v in box]


def merged(grids: list[GeoBox]) -> tuple[dict[str, Any], list[float]] | None:
    """Return the outlines of several grids as one geometry, with the box of all; None where no place is known."""
    known = [footprint(grid) for grid in grids]
    if len(known) < 2:
        return known[0] if known else None
    parts = [p for geometry, _ in known for p in shapely.get_parts(shapely.geometry.shape(geometry))]
    boxes = np.array([box for _, box in known])
    if (boxes[:, 0] > boxes[:, 2]).any():
        boxes[:, 0], boxes[:, 2] = -180, 180
    low, high = boxes.min(axis=0), boxes.max(axis=0)
    return _geojson(list(shapely.get_parts(shapely.union_all(parts)))), [*low[:2].tolist(), *high[2:].tolist()]


def _ring(grid: GeoBox) -> NDArray[np.float64]:
    """Points along the border, axes (point, longitude and latitude), closed; longitudes go on beyond 180."""
    rows, cols = (np.linspace(0, n, SIDE_POINTS + 1) for n in grid.shape)
    none, wide, high = np.zeros(SIDE_POINTS), np.full(SIDE_POINTS, cols[-1]), np.full(SIDE_POINTS, rows[-1])
    col = np.concatenate([none, cols[:-1], wide, cols[:0:-1], [0]])
    row = np.concatenate([rows[:-1], high, rows[:0:-1], none, [0]])
    try:
        x, y = grid.transform @ np.stack([col, row])
        there = Transformer.from_crs(grid.crs.proj, "EPSG:4326", always_xy=True)  # type: ignore[union-attr]
        ring = np.stack(there.transform(x, y), axis=1)
    except ProjError as error:
        raise GridError(f"The map cannot be placed in degrees: {error}. Check its reference system.") from error
    ring = ring[np.isfinite(ring).all(axis=1)]
    if len(ring) < 4:
        raise GridError(f"The map lies outside the bounds of its reference system {grid.crs}. Check its place.")
    ring[:, 0] = np.unwrap(ring[:, 0], period=360)
    return np.asarray(ring)


def _geojson(parts: list[Any]) -> dict[str, Any]:
    rounded = [orient(shapely.transform(part, lambda c: c.round(DIGITS))) for part in parts]
    found = mapping(rounded[0] if len(rounded) == 1 else shapely.MultiPolygon(rounded))
    return {"type": found["type"], "coordinates": _lists(found["coordinates"])}


def _lists(value: Any) -> Any:
    return [_lists(v) for v in value] if isinstance(value, tuple) else value
