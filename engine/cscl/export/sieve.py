"""Small regions of a map given to the larger ones around them, window by window, with no trace of the windows.

A region is what hangs together along rows and columns and has one class. What happens to a pixel depends only on
what lies within a known reach of it, so each window is read with a margin of that reach.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from skimage.measure import label

from cscl.grid import Window
from cscl.legend import UNKNOWN

__all__ = ["REACH_PX", "Sieve", "connected"]

REACH_PX = 32
"""Pixels of small regions farther than this from a larger one are left out."""

TALL_PX = 256
PENDING = -2

Index = NDArray[np.int16]


def connected(index_YX: Index) -> NDArray[Any]:
    """Give numbers to the regions of one class, unknown pixels too, from 1 up; axes (y, x)."""
    found: NDArray[Any] = label(index_YX, connectivity=1, background=PENDING - 1)  # type: ignore[no-untyped-call]
    return found


@dataclass(frozen=True)
class Sieve:
    """What is too small to be a region of its own.

    Parameters
    ----------
    least_px : int
        Regions of fewer pixels give theirs to larger ones, unless they are higher than 256 rows: so long and narrow,
        they are something. With 1 or less nothing changes.
    """

    least_px: int

    @property
    def margin_px(self) -> int:
        """How many rows above and below count for what becomes of a row."""
        return self._tall + REACH_PX if self.least_px > 1 else 0

    @property
    def _tall(self) -> int:
        return min(self.least_px, TALL_PX)

    def rows(self, read: Callable[[Window], Index], shape: tuple[int, int], first: int, end: int) -> Index:
        """Read whole rows of the map, without small regions.

        Parameters
        ----------
        read : callable
            Gives class indices of a window, axes (y, x), negative where unknown.
        shape : tuple of int
            Rows and columns of the map.
        first, end : int
            Rows that are wanted, the end exclusive.

        Returns
        -------
        ndarray of int16
            Axes (y, x); a pixel of a small region has the class of the larger region that grows to it first, a pixel a
            step along rows and columns, or is unknown if none does within `REACH_PX` steps.
        """
        top, bottom = max(0, first - self.margin_px), min(shape[0], end + self.margin_px)
        index = read(Window(top, 0, bottom - top, shape[1]))
        if self.least_px > 1:
            small = self._small(index, open_top=top > 0, open_bottom=bottom < shape[0])
            index = _grown(index, small)
        return index[first - top : end - top]

    def _small(self, index: Index, *, open_top: bool, open_bottom: bool) -> NDArray[np.bool_]:
        """Mark small regions. Those that go on beyond the window and reach what counts are tall, so they are none."""
        regions = connected(index)
        small: NDArray[np.bool_] = np.bincount(regions.ravel()) < self.least_px
        small[regions[index < 0]] = False
        if open_top:
            small[regions[0]] = False
        if open_bottom:
            small[regions[-1]] = False
        if self.least_px > self._tall:
            row, col = np.nonzero(small[regions])
            of = regions[row, col]
            first, last = (np.zeros(len(small), np.int64) for _ in range(2))
            first[of[::-1]], last[of] = row[::-1], row  # of equal places, the one assigned last holds
            small &= last - first < self._tall
        return np.asarray(small[regions])


def _grown(index: Index, small: NDArray[np.bool_]) -> Index:
    """Let known classes grow into small regions, along rows and columns: from above first, then left, right, below."""
    padded = np.pad(index, 1, constant_values=UNKNOWN)
    padded[1:-1, 1:-1][small] = PENDING
    flat, width = padded.reshape(-1), padded.shape[1]
    left = np.flatnonzero(flat == PENDING)
    for _ in range(REACH_PX):
        if not left.size:
            break
        found = np.full(len(left), UNKNOWN, np.int16)
        for step in (width, 1, -1, -width):
            there = flat[left + step]
            found = np.where(there >= 0, there, found)
        flat[left[found >= 0]] = found[found >= 0]
        left = left[found < 0]
    flat[left] = UNKNOWN
    return padded[1:-1, 1:-1]
