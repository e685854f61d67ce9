"""Votes of the pixels of parcels, added up window by window; a parcel is judged once its last window has been seen.

Only parcels that are being looked at are held in full, so memory follows the row of windows and not the map.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from cscl.legend import Legend

__all__ = ["LEVELS", "SMALL_PX", "Burnt", "ParcelTally"]

SMALL_PX = 4
"""Parcels of fewer pixels than this are marked: their majority says little."""

LEVELS = 251
"""Steps of the confidence as predictions store it: 0..250 for 0..1."""

INTERIOR, EDGE = 0, 1
AT_FIRST = 256
LOW = 10  # percent


@dataclass(frozen=True)
class Burnt:
    """Parcels of a window.

    `rows` are their places in the table; `local` (y, x) the place in `rows`, from 1, and 0 outside all parcels;
    `interior` (y, x) tells whether the eight neighbours of a pixel lie in the same parcel.
    """

    rows: NDArray[np.int64]
    local: NDArray[np.int32]
    interior: NDArray[np.bool_]


class ParcelTally:
    """Votes and confidence of parcels.

    Parameters
    ----------
    legend : Legend
        Classes of the map.
    declared : ndarray of int
        Index of the class that each parcel is declared as; negative where that is not known.
    """

    def __init__(self, legend: Legend, declared: NDArray[np.int16]) -> None:
        count = len(declared)
        self.legend, self.declared = legend, declared
        self.slot = np.full(count, -1)
        self.free: list[int] = []
        self.votes = np.zeros((0, 2, len(legend)), np.uint32)
        self.levels = np.zeros((0, 2, LEVELS), np.uint32)
        self.held = np.zeros(count, np.int64)  # pixels on the map, predicted or not
        self.n_px, self.n_interior = np.zeros(count, np.int64), np.zeros(count, np.int64)
        self.first, self.second = np.full(count, -1), np.full(count, -1)
        self.share = np.full((2, count), np.nan)
        self.mean, self.low, self.error = (np.full(count, np.nan) for _ in range(3))

    def add(self, burnt: Burnt, index: NDArray[np.int16], confidence: NDArray[np.float32]) -> None:
        """Add a window; class indices and confidence, 0..1 or NaN, have the axes (y, x)."""
        n, classes = len(burnt.rows), len(self.legend)
        held = np.bincount(burnt.local.ravel(), minlength=n + 1)[1:]
        self.held[burnt.rows] += held
        here = held > 0
        slots = self._slots(burnt.rows[here])
        for side, part in ((INTERIOR, burnt.interior), (EDGE, ~burnt.interior)):
            voting = part & (burnt.local > 0) & (index >= 0)
            local, values = burnt.local[voting] - 1, confidence[voting]
            self.votes[slots, side] += _counts(local, index[voting], n, classes)[here]
            known = np.isfinite(values)
            level = np.rint(values[known] * (LEVELS - 1)).astype(np.int64)
            self.levels[slots, side] += _counts(local[known], level, n, LEVELS)[here]

    def close(self, rows: NDArray[np.int64]) -> None:
        """Judge parcels of which no further pixel will come."""
        rows = rows[self.slot[rows] >= 0]
        slots = self.slot[rows]
        votes, levels = self.votes[slots].astype(np.int64), self.levels[slots].astype(np.int64)
        self.n_px[rows], self.n_interior[rows] = votes.sum((1, 2)), votes[:, INTERIOR].sum(1)
        side = np.where(self.n_interior[rows] > 0, INTERIOR, EDGE)
        at = np.arange(len(rows))
        voted = votes[at, side]
        for place, found in enumerate((self.first, self.second)):
            found[rows], self.share[place, rows] = _place(voted, place)
        self.mean[rows], self.low[rows] = _summary(levels[at, side])
        self.error[rows] = _not(votes[:, EDGE], self.declared[rows])
        self.votes[slots], self.levels[slots] = 0, 0
        self.slot[rows] = -1
        self.free += slots.tolist()

    def verdict(self) -> pd.DataFrame:
        """Columns of the table that come from the pixels, one row a parcel; all parcels must be closed."""
        classes = self.legend.classes
        codes, names = [c.code for c in classes], [c.name for c in classes]
        cloudy = 2 * self.n_px < self.held
        small = self.n_px < SMALL_PX
        return pd.DataFrame(
            {
                "pred_id": pd.Series(_column(self.first, [c.id for c in classes]), dtype="Int32"),
                "pred_code": _column(self.first, codes),
                "pred_name": _column(self.first, names),
                "purity": self.share[0],
                "second_code": _column(self.second, codes),
                "second_share": self.share[1],
                "conf_mean": self.mean,
                "conf_p10": self.low,
                "boundary_err": self.error,
                "n_px": self.n_px,
                "n_px_interior": self.n_interior,
                "ref_name": _column(self.declared, names),
                "status": np.select([self.held == 0, cloudy, small], ["void", "cloudy", "small"], "ok"),
            }
        )

    def _slots(self, rows: NDArray[np.int64]) -> NDArray[np.int64]:
        """Places in the tables of votes; parcels that are seen for the first time get one."""
        new = rows[self.slot[rows] < 0]
        if (lacking := len(new) - len(self.free)) > 0:
            before = len(self.votes)
            more = max(AT_FIRST, before, lacking)
            self.votes = np.concatenate([self.votes, np.zeros((more, *self.votes.shape[1:]), np.uint32)])
            self.levels = np.concatenate([self.levels, np.zeros((more, *self.levels.shape[1:]), np.uint32)])
            self.free += range(before, before + more)
        self.slot[new] = [self.free.pop() for _ in new]
        return self.slot[rows]


def _counts(local: NDArray[Any], kind: NDArray[Any], n: int, kinds: int) -> NDArray[np.uint32]:
    """Count pixels by parcel and kind; axes (parcel, kind)."""
    flat = np.bincount(local.astype(np.int64) * kinds + kind, minlength=n * kinds)
    return flat.reshape(n, kinds).astype(np.uint32)


def _place(votes: NDArray[np.int64], place: int) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Who came first, or second: index of the class, -1 for nobody, and share of the votes. Of equals, the former."""
    if place >= votes.shape[1]:
        return np.full(len(votes), -1), np.full(len(votes), np.nan)
    index = np.argsort(-votes, axis=1, kind="stable")[:, place]
    won = np.take_along_axis(votes, index[:, None], 1)[:, 0]
    return np.where(won > 0, index, -1), np.where(won > 0, won / np.maximum(votes.sum(1), 1), np.nan)


def _summary(levels: NDArray[np.int64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Mean of confidences, and the least that a tenth of them does not exceed; axes (parcel, level)."""
    count = levels.sum(1)
    mean = levels @ np.arange(LEVELS) / np.maximum(count, 1) / (LEVELS - 1)
    low = (levels.cumsum(1) * 100 >= LOW * count[:, None]).argmax(1) / (LEVELS - 1)
    return np.where(count > 0, mean, np.nan), np.where(count > 0, low, np.nan)


def _not(votes: NDArray[np.int64], declared: NDArray[np.int16]) -> NDArray[np.float64]:
    """Share of votes, axes (parcel, class), that are not for the declared class; NaN where there is none of either."""
    count = votes.sum(1)
    right = np.take_along_axis(votes, np.maximum(declared, 0)[:, None].astype(np.int64), 1)[:, 0]
    return np.where((count > 0) & (declared >= 0), 1 - right / np.maximum(count, 1), np.nan)


def _column(index: NDArray[Any], values: list[Any]) -> NDArray[np.object_]:
    """Look up a value for each parcel; None for nobody."""
    found: NDArray[np.object_] = np.array([*values, None], object)[index]
    return found
