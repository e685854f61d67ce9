"""Regions of one class: what stands in for parcels where labels do not know them."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage, sparse

__all__ = ["class_regions"]

STRIP_PX = 512


def class_regions(ids_YX: NDArray[Any], unknown: int, strip_px: int = STRIP_PX) -> NDArray[np.int32]:
    """Find the regions of one class that hang together along rows and columns, and number them.

    Parameters
    ----------
    ids_YX : ndarray of int
        Classes, axes (y, x).
    unknown : int
        The value that is no class.
    strip_px : int
        Rows that are looked at together; they change the memory, and not the result.

    Returns
    -------
    ndarray of int32
        Axes (y, x), from 1 up in the order of their first pixel, 0 where the class is unknown.
    """
    regions = np.zeros(ids_YX.shape, np.int32)
    count, seams = 0, [np.zeros((0, 2), np.int64)]
    for row in range(0, len(ids_YX), strip_px):
        strip, ids = regions[row : row + strip_px], ids_YX[row : row + strip_px]
        for value in np.unique(ids):
            if value != unknown:
                found, number = ndimage.label(ids == value)
                np.copyto(strip, found + count, where=found > 0)
                count += number
        if row:
            same = (ids_YX[row - 1] == ids_YX[row]) & (ids_YX[row] != unknown)
            seams.append(np.stack([regions[row - 1][same], regions[row][same]], axis=1))
    return _joined(regions, count, np.concatenate(seams), strip_px)


def _joined(regions: NDArray[np.int32], count: int, seams: NDArray[Any], strip_px: int) -> NDArray[np.int32]:
    """Make regions that meet at the seams of strips one, and number them in the order of their first pixel."""
    links = sparse.coo_array((np.ones(len(seams), np.int8), tuple(seams.T)), shape=(count + 1, count + 1))
    _, group = sparse.csgraph.connected_components(links, directed=False)
    first = np.full(int(group.max()) + 1, regions.size, np.int64)
    for row in range(0, len(regions), strip_px):
        of_strip = group[regions[row : row + strip_px]].ravel()
        values, where = np.unique(of_strip, return_index=True)
        first[values] = np.minimum(first[values], where + row * regions.shape[1])
    first[group[0]] = -1
    number = np.empty(len(first), np.int32)
    number[np.argsort(first, kind="stable")] = np.arange(len(first))
    for row in range(0, len(regions), strip_px):
        regions[row : row + strip_px] = number[group[regions[row : row + strip_px]]]
    return regions
