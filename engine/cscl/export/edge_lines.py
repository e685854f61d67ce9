"""Lines of edges: where two units of different class meet, along the sides of pixels or along outlines of polygons.

A unit is a parcel or, where labels know none, a region of one class. Where narrow unknown land lies between two units,
each of its pixels is given to the nearest of them, and the line runs midway. Sides of pixels are kept as four numbers,
row and column of both ends, in corners of pixels counted from the first one.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from itertools import pairwise
from typing import Any

import numpy as np
import pandas as pd
import shapely
from numpy.typing import NDArray
from scipy import ndimage

from cscl.events import Job, Progress
from cscl.grid import GeoBox, Window, pixel_size_m
from cscl.products import LabelMap

__all__ = ["BORDER", "GAP", "NEAR", "NOTHING", "OUTLINE", "along_outlines", "pixel_lines", "placed"]

BORDER = "sides of pixels"
"""How a line was drawn: the sides of pixels that the two units share, and on over narrow unknown land beside them."""

GAP = "midway over unknown land"
"""How a line was drawn: the units share no side, and the pixels between them were given to the nearest."""

NEAR = "nearest edge of the two crops"
"""How a line was drawn: another unit of the same crop lies between the two, and there the crops meet."""

OUTLINE = "outline of a"
"""How a line was drawn: the outline of polygon a, as far as polygon b lies within half a pixel of it."""

NOTHING = "not drawn"
"""No line was found; the geometry is empty."""

LINES = (shapely.GeometryType.LINESTRING, shapely.GeometryType.MULTILINESTRING)
STRIP_PX = 256
CHUNK_ROWS = 1000

Ids = NDArray[np.int64]
Geometries = NDArray[np.object_]


def pixel_lines(
    edges: pd.DataFrame, units_YX: NDArray[Any], labels: LabelMap, reach_m: float
) -> Job[tuple[Geometries, Geometries]]:
    """Draw edges along the sides of pixels, strip by strip.

    Parameters
    ----------
    edges : DataFrame
        One row an edge, at least one: ``a`` and ``b`` (ids of units, a below b), ``class_a`` and ``class_b`` (ids of
        classes), and the bounds of its pixels, ``row0``, ``row1``, ``col0``, ``col1``, ends exclusive.
    units_YX : ndarray of int
        Ids of units, axes (y, x); 0 outside.
    labels : LabelMap
        Classes; land of unknown class has no edge.
    reach_m : float
        How far from the edge its pixels may lie, metres.

    Returns
    -------
    tuple of ndarray of object
        Lines, or several in one, in the CRS of the labels, None where nothing was found; and how each was drawn:
        `BORDER`, `GAP`, `NEAR` or `NOTHING`.
    """
    key = _key(edges["a"].to_numpy(np.int64), edges["b"].to_numpy(np.int64))
    order, height = np.argsort(key), len(units_YX)
    drawn = np.full(len(edges), NOTHING, object)
    numbers: list[NDArray[Any]] = []
    pieces: list[NDArray[np.int32]] = []
    for row in range(0, height, STRIP_PX):
        yield Progress("drawing edges", row, height, "row")
        for at, found, shared in _sides_of_strip(units_YX, labels, reach_m, row, key[order]):
            number = order[at]
            drawn[number[(drawn[number] != BORDER) & ~shared]] = GAP
            drawn[number[shared]] = BORDER
            _keep(numbers, pieces, number, found)
    lost = np.flatnonzero(drawn == NOTHING)
    for done, number in enumerate(lost):
        if done % 100 == 0:
            yield Progress("drawing edges behind parcels of the same crop", done, len(lost), "edge")
        for found in _nearest_sides(units_YX, labels, reach_m, edges.iloc[number]):
            drawn[number] = NEAR if len(found) else drawn[number]
            _keep(numbers, pieces, np.full(len(found), number), found)
    lines = yield from _joined(np.concatenate(numbers), np.concatenate(pieces), labels.grid, len(edges))
    return lines, drawn


def along_outlines(
    lines: Geometries, drawn: Geometries, a: Geometries, b: Geometries, half_pixel: float
) -> Job[tuple[Geometries, Geometries]]:
    """Draw edges along the outlines of polygons, where these say the same as the sides of pixels.

    Parameters
    ----------
    lines, drawn : ndarray of object
        From `pixel_lines`.
    a, b : ndarray of object
        Polygons on both sides of each edge, in the CRS of the lines; None where there is none.
    half_pixel : float
        How far the outline of a may lie from b, in units of the CRS.

    Returns
    -------
    tuple of ndarray of object
        As `pixel_lines`, with `OUTLINE` where an outline took the place of sides of pixels.
    """
    lines, drawn = lines.copy(), drawn.copy()
    for start in range(0, len(lines), CHUNK_ROWS):
        yield Progress("following outlines", start, len(lines), "edge")
        part = slice(start, start + CHUNK_ROWS)
        around = shapely.buffer(b[part], half_pixel, quad_segs=2)
        smooth = shapely.line_merge(shapely.intersection(shapely.boundary(a[part]), around))
        # The steps of a slanting line are up to 1.41 times as long as itself; what differs more is another line.
        share = shapely.length(smooth) / shapely.length(lines[part])
        fits = (drawn[part] == BORDER) & (share > 0.5) & (share < 1.2) & np.isin(shapely.get_type_id(smooth), LINES)
        lines[part][fits], drawn[part][fits] = smooth[fits], OUTLINE
    yield Progress("following outlines", len(lines), len(lines), "edge")
    return lines, drawn


def placed(shapes: Geometries, grid: GeoBox) -> Geometries:
    """Take geometries from columns and rows (x, y) of a grid, in corners of pixels, to its CRS."""
    m = grid.transform

    def place(xy: NDArray[np.float64]) -> NDArray[np.float64]:
        x, y = xy.T
        return np.stack([m.a * x + m.b * y + m.c, m.d * x + m.e * y + m.f], axis=1)

    there: Geometries = shapely.transform(shapes, place)
    return there


def _key(one: Ids, two: Ids) -> Ids:
    """One number for two ids below 2**32, whatever their order."""
    return np.minimum(one, two) << 32 | np.maximum(one, two)


def _known(units_YX: NDArray[Any], labels: LabelMap, window: Window) -> Ids:
    """Units of a window, 0 where the class is unknown."""
    units = units_YX[window.slices].astype(np.int64)
    units[labels.legend.to_index(labels.ids[window.slices]) < 0] = 0
    return units


def _sides_of_strip(
    units_YX: NDArray[Any], labels: LabelMap, reach_m: float, row: int, keys: Ids
) -> Iterator[tuple[NDArray[Any], NDArray[np.int32], NDArray[np.bool_]]]:
    """Yield right sides of pixels on edges, then lower ones: which of the sorted `keys`, the side, if it is shared.

    A side belongs to the strip of the pixel above or left of it; it is shared if the units of both pixels are known.
    """
    height, width = units_YX.shape
    size_m = pixel_size_m(labels.grid)
    gap_m = (reach_m + max(size_m) / 2) / 2  # half the widest way between the centres of pixels across an edge
    end, halo = min(height, row + STRIP_PX), math.ceil(gap_m / size_m[0])
    first, last = max(0, row - halo), min(height, end + 1 + halo)
    known = _known(units_YX, labels, Window(first, 0, last - first, width))
    grown = _grown(known, size_m, gap_m)
    for down in (False, True):
        rows = slice(row - first, (min(height, end + 1) if down else end) - first)
        y, x, one, two = _meetings(grown[rows], down)
        key = _key(one, two)
        at = np.minimum(np.searchsorted(keys, key), len(keys) - 1)
        y, x, at = (values[keys[at] == key] for values in (y, x, at))
        here = known[rows]
        shared = (here[y, x] > 0) & (here[y + down, x + (not down)] > 0)
        yield at, _sides(y + row, x, down), shared


def _meetings(units: Ids, down: bool) -> tuple[NDArray[Any], NDArray[Any], Ids, Ids]:
    """Rows and columns of pixels beside, or above, one of another unit; and the two units."""
    low, high = (units[:-1], units[1:]) if down else (units[:, :-1], units[:, 1:])
    y, x = np.nonzero((low != high) & (low > 0) & (high > 0))
    return y, x, low[y, x], high[y, x]


def _sides(y: NDArray[Any], x: NDArray[Any], down: bool) -> NDArray[np.int32]:
    """Lower sides of pixels, or right ones: row and column of both ends."""
    return np.stack([y + down, x + (not down), y + 1, x + 1], axis=1).astype(np.int32)


def _grown(units: Ids, size_m: tuple[float, float], metres: float) -> Ids:
    """Give empty pixels to the nearest unit within some metres; of several, to the first by rows, then columns."""
    steps = [math.floor(metres / size) for size in size_m]
    reach = [(math.hypot(dy * size_m[0], dx * size_m[1]), dy, dx)
             for dy in range(-steps[0], steps[0] + 1) for dx in range(-steps[1], steps[1] + 1)]  # fmt: skip
    full = (units > 0).astype(np.uint8)
    for axis, step in enumerate(steps):
        full = ndimage.maximum_filter1d(full, 2 * step + 1, axis=axis)
    y, x = np.nonzero((full > 0) & (units <= 0))
    grown = units.copy()
    for far, dy, dx in sorted(reach):
        if far <= metres:
            inside = (y + dy >= 0) & (y + dy < len(units)) & (x + dx >= 0) & (x + dx < units.shape[1])
            found = np.zeros(len(y), np.int64)
            found[inside] = units[y[inside] + dy, x[inside] + dx]
            grown[y, x] = found
            y, x = y[found <= 0], x[found <= 0]
    return grown


def _nearest_sides(
    units_YX: NDArray[Any], labels: LabelMap, reach_m: float, edge: pd.Series[Any]
) -> Iterator[NDArray[np.int32]]:
    """Yield right sides, then lower ones, where the crops of two units meet near both, one of the two on its side."""
    size_m, shape = pixel_size_m(labels.grid), (units_YX.shape[0], units_YX.shape[1])
    bounds = Window(edge["row0"], edge["col0"], edge["row1"] - edge["row0"], edge["col1"] - edge["col0"])
    window = bounds.grown(math.ceil(reach_m / min(size_m)) + 1, shape)
    known, ids = _known(units_YX, labels, window), labels.ids[window.slices]
    of_a, of_b = known == edge["a"], known == edge["b"]
    if not of_a.any() or not of_b.any():
        return
    near = np.ones(known.shape, bool)
    for own in (of_a, of_b):
        near &= ndimage.distance_transform_edt(~own, size_m) <= reach_m + max(size_m)
    side = np.zeros(known.shape, np.int64)
    for number, (crop, own) in enumerate(((edge["class_a"], of_a), (edge["class_b"], of_b)), 1):
        side[near & (known > 0) & (ids == crop)] = number
        side[near & own] = number
    for down in (False, True):
        y, x, _, _ = _meetings(side, down)
        own = (of_a | of_b)[y, x] | (of_a | of_b)[y + down, x + (not down)]
        yield _sides(y[own] + window.row, x[own] + window.col, down)


def _keep(numbers: list[NDArray[Any]], pieces: list[Any], number: NDArray[Any], sides: NDArray[np.int32]) -> None:
    """Keep sides of one direction, those in a row as one straight piece."""
    row0, col0, row1, col1 = sides.T
    down = bool((row0 == row1).all())
    line, start, end = (row0, col0, col1) if down else (col0, row0, row1)
    order = np.lexsort((start, line, number))
    number, line, start, end = number[order], line[order], start[order], end[order]
    new = np.ones(len(number), bool)
    new[1:] = (number[1:] != number[:-1]) | (line[1:] != line[:-1]) | (start[1:] != end[:-1])
    last = np.append(new[1:], True)[: len(new)]
    level, first, final = line[new], start[new], end[last]
    ends = [first, level, final, level] if down else [level, first, level, final]
    numbers.append(number[new])
    pieces.append(np.stack(ends, axis=1).reshape(-1, 2, 2))


def _joined(numbers: NDArray[Any], pieces: NDArray[np.int32], grid: GeoBox, count: int) -> Job[Geometries]:
    """Join the straight pieces of each of `count` edges; axes of `pieces` are (piece, end, column and row)."""
    lines = np.full(count, None, object)
    order = np.argsort(numbers, kind="stable")
    first = np.searchsorted(numbers[order], np.arange(0, count + CHUNK_ROWS, CHUNK_ROWS))
    for chunk, (start, end) in enumerate(pairwise(first)):
        yield Progress("joining lines", chunk * CHUNK_ROWS, count, "edge")
        own = order[start:end]
        part = lines[chunk * CHUNK_ROWS : (chunk + 1) * CHUNK_ROWS]
        straight = shapely.linestrings(pieces[own].astype(float))
        shapely.multilinestrings(straight, indices=numbers[own] - chunk * CHUNK_ROWS, out=part)
        part[:] = placed(shapely.line_merge(part), grid)
    yield Progress("joining lines", count, count, "edge")
    return lines
