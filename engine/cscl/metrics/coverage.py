"""Coverage: how much of a pixel's area lies in parcels of its own class, exactly, from the polygons (`cscl.cells`)."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cscl.cells import cell_areas

__all__ = ["own_coverage"]

AT_ONCE = 2**22
"""Pixels of bounding boxes that are summed together."""

Values = NDArray[np.float64]
Numbers = NDArray[np.int64]


def own_coverage(
    segments_SEX: Values,
    parcel_S: NDArray[Any],
    index_P: NDArray[Any],
    index_YX: NDArray[Any],
    corner: tuple[int, int] = (0, 0),
) -> NDArray[np.float32]:
    """Measure which share of each pixel lies in parcels of the pixel's class.

    Parameters
    ----------
    segments_SEX : ndarray of float
        Straight pieces of the outlines, axes (segment, end, coordinate): column and row in pixels, counted from the
        upper left corner of the upper left pixel of the raster. Rings are closed; holes run the other way round than
        what they are cut from. They may leave the raster.
    parcel_S : ndarray of int
        Number of the parcel of each segment, a position in `index_P`.
    index_P : ndarray of int
        Class index of each parcel, negative where unknown.
    index_YX : ndarray of int
        Class indices of a piece of the raster, axes (y, x), negative where unknown.
    corner : tuple of int
        Row and column of the piece in the raster.

    Returns
    -------
    ndarray of float32
        Axes (y, x), 0..1; parcels of one class that overlap count once at the most. NaN where the class is unknown.
    """
    covered = np.zeros(index_YX.shape)
    order = np.argsort(parcel_S, kind="stable")
    pieces = segments_SEX[order] - np.array(corner[::-1], float)
    parcel = np.asarray(parcel_S, np.int64)[order]
    for part, boxes in _groups(pieces, parcel, np.asarray(index_P), index_YX.shape):
        _cover(covered, pieces[part], parcel[part], boxes, index_YX)
    share: NDArray[np.float32] = np.clip(covered, 0, 1).astype(np.float32)
    share[index_YX < 0] = np.nan
    return share


def _groups(
    pieces: Values, parcel: Numbers, index_P: NDArray[Any], shape: tuple[int, ...]
) -> Iterator[tuple[NDArray[np.bool_] | slice, NDArray[Any]]]:
    """Yield segments of some parcels of known class, and of each parcel number, class, box and way round."""
    if not len(parcel):
        return
    first = np.flatnonzero(np.append(True, parcel[1:] != parcel[:-1]))
    low = np.floor(np.minimum.reduceat(pieces.min(1), first)).astype(np.int64)
    high = np.ceil(np.maximum.reduceat(pieces.max(1), first)).astype(np.int64)
    (x0, y0), (x1, y1) = pieces[:, 0].T, pieces[:, 1].T
    middle = pieces[first, 0][np.repeat(np.arange(len(first)), np.diff(first, append=len(parcel)))]
    twice = (x0 - middle[:, 0]) * (y1 - middle[:, 1]) - (x1 - middle[:, 0]) * (y0 - middle[:, 1])
    way = np.sign(np.add.reduceat(twice, first))
    col0, row0 = np.maximum(low, 0).T
    col1, row1 = np.minimum(high, np.array(shape[::-1])).T
    box = np.stack([parcel[first], index_P[parcel[first]], row0, col0, row1, col1, way.astype(np.int64)], axis=1)
    wanted = (box[:, 1] >= 0) & (row1 > row0) & (col1 > col0) & (way != 0)
    area = np.where(wanted, (row1 - row0) * (col1 - col0 + 1), 0)
    group = np.cumsum(area) // AT_ONCE
    last = np.append(first[1:], len(parcel))
    for number in np.unique(group[wanted]):
        at = np.flatnonzero(group == number)
        kept = np.repeat(wanted[at], (last - first)[at])
        part = np.zeros(len(parcel), bool)
        part[first[at[0]] : last[at[-1]]] = kept
        yield part, box[at[wanted[at]]]


def _cover(covered: Values, pieces: Values, parcel: Numbers, boxes: NDArray[Any], index_YX: NDArray[Any]) -> None:
    """Add what parcels cover of the pixels of their class."""
    cells = cell_areas(pieces, np.searchsorted(boxes[:, 0], parcel), boxes[:, 2:6], boxes[:, 6])
    own = index_YX[cells.row, cells.col] == boxes[:, 1][cells.box]
    flat = cells.row[own] * index_YX.shape[1] + cells.col[own]
    covered += np.bincount(flat, cells.area[own], covered.size).reshape(covered.shape)
