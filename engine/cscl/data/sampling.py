"""Where samples are cut and which of many dates they hold; pure functions of a random generator or of nothing."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from cscl.errors import InputError
from cscl.grid import Window

__all__ = ["PatchPlaces", "drop_dates", "even_dates", "random_dates"]


@dataclass(frozen=True, eq=False)
class PatchPlaces:
    """Places of a scene where a patch is worth cutting, weighted by the pixels that can teach there.

    Parameters
    ----------
    cells : ndarray
        Row and column of the corner of each coarse cell that holds wanted pixels; shape (cell, 2).
    weights : ndarray
        Cumulative share of wanted pixels; shape (cell,).
    shape : tuple of int
        Rows and columns of the scene.
    patch_px, cell_px : int
        Side of a patch and of a cell.
    """

    cells: NDArray[np.int64]
    weights: NDArray[np.float64]
    shape: tuple[int, int]
    patch_px: int
    cell_px: int

    @classmethod
    def of(cls, wanted_YX: NDArray[np.bool_], patch_px: int, what: str) -> PatchPlaces:
        """Collect the places of a mask (y, x) of wanted pixels.

        Raises
        ------
        InputError
            If the scene is smaller than a patch.
        """
        height, width = wanted_YX.shape
        if min(height, width) < patch_px:
            raise InputError(
                f"{what} has {height} x {width} pixels, fewer than a patch of {patch_px}. "
                f"Use --set data.patch_px={max(8, min(height, width) // 8 * 8)} or a larger image."
            )
        cell = max(1, patch_px // 4)
        starts = [np.arange(0, n, cell) for n in wanted_YX.shape]
        counts = np.add.reduceat(np.add.reduceat(wanted_YX, starts[0], 0, np.int32), starts[1], 1)
        cells = np.argwhere(counts > 0)
        weights = np.cumsum(counts[counts > 0]).astype(float)
        return cls(cells * cell, weights / weights[-1:], wanted_YX.shape, patch_px, cell)

    def draw(self, rng: np.random.Generator) -> Window:
        """Draw a patch that holds the whole of a wanted cell, as far as the scene reaches."""
        corner = self.cells[int(np.searchsorted(self.weights, rng.random(), side="right"))]
        start = []
        for place, length in zip(corner, self.shape, strict=True):
            low, high = np.clip((place + self.cell_px - self.patch_px, place), 0, length - self.patch_px)
            start.append(int(rng.integers(low, high + 1)))
        return Window(start[0], start[1], self.patch_px, self.patch_px)


def drop_dates(usable: NDArray[np.bool_], chance: float, rng: np.random.Generator) -> NDArray[np.bool_]:
    """Leave out each usable date with some chance, but keep two at least, as far as there are two; shape (time,)."""
    if not chance:
        return usable
    kept = usable & (rng.random(len(usable)) >= chance)
    return kept if kept.sum() >= 2 else usable


def random_dates(usable: NDArray[np.bool_], count: int, rng: np.random.Generator) -> NDArray[np.int64]:
    """Draw at most `count` of the usable dates, sorted: one at random from each of `count` equal stretches.

    Parameters
    ----------
    usable : ndarray
        Shape (time,), True for dates with any data. With none usable, all dates count.
    """
    there = np.flatnonzero(usable) if usable.any() else np.arange(len(usable))
    if len(there) <= count:
        return there
    edges = np.linspace(0, len(there), count + 1).round().astype(int)
    return there[[int(rng.integers(a, b)) for a, b in pairwise(edges)]]


def even_dates(usable: NDArray[np.bool_], count: int) -> NDArray[np.int64]:
    """Choose at most `count` of the usable dates, evenly across the season; the same choice each time."""
    there = np.flatnonzero(usable) if usable.any() else np.arange(len(usable))
    if len(there) <= count:
        return there
    even: NDArray[np.int64] = there[((np.arange(count) + 0.5) * len(there) / count).astype(int)]
    return even
