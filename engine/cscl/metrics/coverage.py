"""Coverage: how much of a pixel's area lies in parcels of its own class, exactly, from the polygons.

Each outline is cut at the borders of pixels. A piece of it that goes down by h in a pixel, d from its right border on
average, adds d h to what is covered of this pixel and h to what is covered of all to its right; pieces that go up take
the same away. The sums along rows are the areas, without sampling (the exact-area rasteriser of font renderers). Each
parcel is summed in its own bounding box, so that time goes with the area of the boxes, whatever the number of classes.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

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
    _, index, row0, col0, row1, col1, way = boxes.T
    height, width = row1 - row0, col1 - col0 + 1  # one more column takes what lies to the right of the last pixel
    start = np.cumsum(height * width) - height * width
    of = np.searchsorted(boxes[:, 0], parcel)
    line, low, high = _cut(pieces, row0[of], row1[of], col0[of], col1[of])
    of, down = of[line], (high[:, 1] - low[:, 1]) * -way[of[line]]
    middle = (low + high) / 2
    x = np.clip(middle[:, 0] - col0[of], 0, (width - 1)[of])
    col, row = np.floor(x).astype(np.int64), np.floor(middle[:, 1]).astype(np.int64) - row0[of]
    place, beyond = start[of] + row * width[of] + col, x - col
    total = int(start[-1] + height[-1] * width[-1])
    sums = np.bincount(place, down * (1 - beyond), total + 1) + np.bincount(place + 1, down * beyond, total + 1)
    box = np.repeat(np.arange(len(boxes)), height * width)
    within = np.arange(total) - start[box]
    area = np.cumsum(sums[:total])  # rows end at 0, as outlines are closed
    row, col = np.divmod(within, width[box])
    inside = col < width[box] - 1
    row, col, box, area = row[inside] + row0[box[inside]], col[inside] + col0[box[inside]], box[inside], area[inside]
    own = index_YX[row, col] == index[box]
    flat = row[own] * index_YX.shape[1] + col[own]
    covered += np.bincount(flat, area[own], covered.size).reshape(covered.shape)


def _cut(pieces: Values, row0: Numbers, row1: Numbers, col0: Numbers, col1: Numbers) -> tuple[Numbers, Values, Values]:
    """Cut segments at the borders of pixels, rows outside their boxes left out: segment and ends of each part."""
    start, step = pieces[:, 0], pieces[:, 1] - pieces[:, 0]
    leaning = np.flatnonzero(step[:, 1] != 0)  # what runs along a row has no height
    start, step = start[leaning], step[leaning]
    limits = np.stack([row0, row1], 1)[leaning]
    ends = np.clip((limits - start[:, 1:]) / step[:, 1:], 0, 1)
    begin, end = ends.min(1), ends.max(1)
    line, at = [np.arange(len(start)), np.arange(len(start))], [begin, end]
    for axis, least, most in ((1, row0, row1), (0, col0, col1)):
        a, b = (start[:, axis] + share * step[:, axis] for share in (begin, end))
        first = np.maximum(np.ceil(np.minimum(a, b)), least[leaning])
        count = np.maximum(0, np.minimum(np.floor(np.maximum(a, b)), most[leaning]) - first + 1).astype(np.int64)
        count[step[:, axis] == 0] = 0
        of = np.repeat(np.arange(len(start)), count)
        border = first[of] + np.arange(count.sum()) - np.repeat(np.cumsum(count) - count, count)
        line.append(of)
        at.append(np.clip((border - start[of, axis]) / step[of, axis], begin[of], end[of]))
    of, share = np.concatenate(line), np.concatenate(at)
    order = np.lexsort((share, of))
    of, share = of[order], share[order]
    same = (of[1:] == of[:-1]) & (share[1:] > share[:-1])
    of, before, after = of[1:][same], share[:-1][same][:, None], share[1:][same][:, None]
    return leaning[of], start[of] + before * step[of], start[of] + after * step[of]
