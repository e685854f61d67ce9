"""Cells: how much of each cell of a grid lies in which polygons, exactly, from the pieces of their outlines.

Each outline is cut at the borders of cells. A piece of it that goes down by h in a cell, d from its right border on
average, adds d h to what is covered of this cell and h to what is covered of all to its right; pieces that go up take
the same away. The sums along rows are the areas, without sampling (the exact-area rasteriser of font renderers). Each
polygon is summed in its own box, so that time goes with the area of the boxes, whatever the number of polygons.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

__all__ = ["CellAreas", "cell_areas"]

Values = NDArray[np.float64]
Numbers = NDArray[np.int64]


class CellAreas(NamedTuple):
    """One entry for each cell of each box: the box, row and column of the cell, and the area, in cells."""

    box: Numbers
    row: Numbers
    col: Numbers
    area: Values


def cell_areas(pieces_SEX: Values, box_S: Numbers, box_NE: Numbers, way_N: NDArray[Any] | int = 1) -> CellAreas:
    """Measure how much of each cell in the boxes of polygons these cover.

    Parameters
    ----------
    pieces_SEX : ndarray of float
        Straight pieces of the outlines, axes (segment, end, coordinate): column and row, counted in cells. Rings are
        closed; holes run the other way round than what they are cut from. They may leave their box: what lies beyond
        it is not measured.
    box_S : ndarray of int
        Box of each segment.
    box_NE : ndarray of int
        Of each polygon first row, first column, and the row and column after the last; axes (polygon, 4).
    way_N : ndarray or int
        1 for polygons whose outer rings run from columns to rows, as `shapely.orient_polygons` leaves them; -1 for
        those that run the other way round.

    Returns
    -------
    CellAreas
        Cells of box after box, row by row. Areas have rounding errors far below 1e-9.
    """
    row0, col0, row1, col1 = box_NE.T
    height, width = row1 - row0, col1 - col0 + 1  # one more column takes what lies to the right of the last cell
    start = np.cumsum(height * width) - height * width
    line, low, high = _cut(pieces_SEX, row0[box_S], row1[box_S], col0[box_S], col1[box_S])
    of = box_S[line]
    down = (high[:, 1] - low[:, 1]) * -np.broadcast_to(way_N, len(box_NE))[of]
    middle = (low + high) / 2
    x = np.clip(middle[:, 0] - col0[of], 0, (width - 1)[of])
    row = np.floor(middle[:, 1]).astype(np.int64) - row0[of]
    row = np.clip(row, 0, height[of] - 1)  # rounding puts ends that have no height beyond the last row
    col = np.floor(x).astype(np.int64)
    place, beyond = start[of] + row * width[of] + col, x - col
    total = int((height * width).sum())
    sums = np.bincount(place, down * (1 - beyond), total + 1) + np.bincount(place + 1, down * beyond, total + 1)
    box = np.repeat(np.arange(len(box_NE)), height * width)
    area = np.cumsum(sums[:total])  # rows end at 0, as outlines are closed
    row, col = np.divmod(np.arange(total) - start[box], width[box])
    inside = col < width[box] - 1
    box = box[inside]
    return CellAreas(box, row[inside] + row0[box], col[inside] + col0[box], area[inside])


def _cut(pieces: Values, row0: Numbers, row1: Numbers, col0: Numbers, col1: Numbers) -> tuple[Numbers, Values, Values]:
    """Cut segments at the borders of cells, rows outside their boxes left out: segment and ends of each part."""
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
