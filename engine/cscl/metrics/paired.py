"""Two maps on the same truth: counts by parcel, in pieces that add up, and the differences with their intervals.

Both maps are judged on the same pixels, and a parcel is drawn with what both make of it, so that what is hard for both
cancels: the paired bootstrap (Efron and Tibshirani, An Introduction to the Bootstrap, 1993, chapter 8).
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import IntEnum
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy import sparse

from cscl.legend import Legend

from .bootstrap import Intervals, Resampling, intervals, ratio_intervals
from .counts import numbered

__all__ = ["Outcome", "PairedTally", "outcomes"]

Table = pd.DataFrame
Values = NDArray[np.float64]


class Outcome(IntEnum):
    """What a second map makes of a pixel, beside a first one; the values of its array."""

    UNKNOWN = 0
    BOTH_RIGHT = 1
    WON = 2
    LOST = 3
    BOTH_WRONG = 4


def outcomes(truth: NDArray[Any], first: NDArray[Any], second: NDArray[Any]) -> NDArray[np.uint8]:
    """Find the `Outcome` of each pixel from class indices of one legend, negative where there is none."""
    right_first, right_second = first == truth, second == truth
    found = np.full(truth.shape, Outcome.BOTH_WRONG, np.uint8)
    found[right_first & right_second] = Outcome.BOTH_RIGHT
    found[right_second & ~right_first] = Outcome.WON
    found[right_first & ~right_second] = Outcome.LOST
    found[(truth < 0) | (first < 0) | (second < 0)] = Outcome.UNKNOWN
    return found


@dataclass(frozen=True, eq=False)
class PairedTally:
    """Counts of some pieces.

    Parameters
    ----------
    by_place : ndarray of int
        Pixels of each outcome inside and at class boundaries, axes (interior or boundary, outcome).
    cells : tuple of DataFrame
        One a piece: pixels (``px``) and those that each map has right (``first``, ``second``) by unit (``id``),
        ``edge`` (1 at a class boundary), ``bin`` of distance and true ``crop``, an index.
    votes : tuple of DataFrame
        One a piece: pixels that each map says are a ``crop``, by unit.
    classes, bins : int
        How many classes the legend and how many classes of distance there are.
    """

    by_place: NDArray[np.int64]
    cells: tuple[Table, ...] = field(repr=False)
    votes: tuple[Table, ...] = field(repr=False)
    classes: int
    bins: int

    @classmethod
    def of(
        cls, result: NDArray[np.uint8], truth: NDArray[Any], guesses: Sequence[NDArray[Any]],
        edge: NDArray[np.bool_], bin: NDArray[Any], drawn: NDArray[Any], *, classes: int, bins: int,
    ) -> PairedTally:  # fmt: skip
        """Count a piece; all arrays have its axes (y, x), and only pixels with an outcome count."""
        by_place = np.bincount(edge.ravel() * len(Outcome) + result.ravel(), minlength=2 * len(Outcome))
        here = result > 0
        (ids, of), r = numbered(drawn[here]), result[here]
        key = ((of * 2 + edge[here]) * bins + bin[here]) * classes + truth[here]
        size = len(ids) * 2 * bins * classes
        px = np.bincount(key, minlength=size)
        there = np.flatnonzero(px)
        cells = Table({
            "id": ids[there // (2 * bins * classes)], "edge": there // (bins * classes) % 2,
            "bin": there // classes % bins, "crop": there % classes, "px": px[there],
            "first": np.bincount(key[(r == Outcome.BOTH_RIGHT) | (r == Outcome.LOST)], minlength=size)[there],
            "second": np.bincount(key[(r == Outcome.BOTH_RIGHT) | (r == Outcome.WON)], minlength=size)[there],
        })  # fmt: skip
        said = [np.bincount(of * classes + guess[here], minlength=len(ids) * classes) for guess in guesses]
        there = np.flatnonzero(said[0] + said[1])
        votes = {
            "id": ids[there // classes],
            "crop": there % classes,
            "first": said[0][there],
            "second": said[1][there],
        }
        return cls(by_place.reshape(2, -1), (cells,), (Table(votes),), classes, bins)

    def __add__(self, other: PairedTally) -> PairedTally:
        return PairedTally(
            self.by_place + other.by_place, self.cells + other.cells, self.votes + other.votes, self.classes, self.bins
        )

    def table(self, legend: Legend, limits_m: Sequence[float], resampling: Resampling) -> Table:
        """Return one row a figure: what, where, its class id or -1, both values, the difference and its interval.

        Columns: ``figure``, ``where``, ``class_id``, ``pixels`` (of that place or true class), ``units`` (parcels or
        blocks that it rests on), ``first``, ``second``, ``difference`` (second minus first), ``low``, ``high`` (NaN
        with too few units) and ``clear`` (whether the interval leaves out 0). Of 20 figures that do not differ one is
        expected to be clear.
        """
        cells, votes = (pd.concat(tables, ignore_index=True) for tables in (self.cells, self.votes))
        ids = np.unique(cells["id"])
        rows = [*self._accuracies(cells, ids, legend, limits_m, resampling)]
        rows += self._by_class(cells, votes, ids, legend, resampling)
        table = Table(rows)
        clear = (table["low"] > 0) | (table["high"] < 0)
        return table.assign(clear=clear)[table["units"] > 0].reset_index(drop=True)

    def _accuracies(
        self, cells: Table, ids: NDArray[Any], legend: Legend, limits_m: Sequence[float], resampling: Resampling
    ) -> list[dict[str, Any]]:
        """Rows of accuracy overall, at class boundaries and inside, by distance, and of recall by class."""
        edge, bin, crop = (cells[name].to_numpy() for name in ("edge", "bin", "crop"))
        columns = np.concatenate([np.zeros_like(edge), 2 - edge, 3 + bin, 3 + self.bins + crop])
        shape = len(ids), 3 + self.bins + self.classes
        at = np.tile(np.searchsorted(ids, cells["id"]), 4), columns
        px, first, second = (
            sparse.csr_array((np.tile(cells[name].astype(float), 4), at), shape) for name in ("px", "first", "second")
        )
        found = ratio_intervals(second - first, px, resampling)
        ends = ["0", *(f"{m:g}" for m in limits_m)]
        bins = [f"{a} to {b} m from a class edge" for a, b in itertools.pairwise(ends)]
        wheres = ["everywhere", "class boundary", "interior", *bins, f"more than {ends[-1]} m from a class edge"]
        what = [("accuracy", where, -1) for where in wheres]
        what += [("recall", c.name, c.id) for c in legend.classes]
        total = px.sum(0)
        with np.errstate(invalid="ignore"):
            values = [one.sum(0) / total for one in (first, second)]
        return _rows(what, total, values, found)

    def _by_class(
        self, cells: Table, votes: Table, ids: NDArray[Any], legend: Legend, resampling: Resampling
    ) -> list[dict[str, Any]]:
        """Rows of precision and intersection over union by class, and of the mean of the latter."""
        k = self.classes
        parts = [(cells, "px"), (cells, "first"), (cells, "second"), (votes, "first"), (votes, "second")]
        counts = sparse.hstack([
            sparse.csr_array((t[name], (np.searchsorted(ids, t["id"]), t["crop"])), (len(ids), k)) for t, name in parts
        ])  # fmt: skip
        own, none = np.eye(k, dtype=bool), np.zeros((k, k), bool)
        said, there = np.hstack([none, none, none, own, own]), np.hstack([own, none, none, own, own])
        columns = np.concatenate([said, there, np.ones((1, 5 * k), bool)])
        found = intervals(counts, lambda sums: np.subtract(*_class_figures(sums, k)), columns, resampling)
        total: Any = counts.sum(0)
        what = [(figure, c.name, c.id) for figure in ("precision", "IoU") for c in legend.classes]
        px = np.concatenate([total[:k], total[:k], [total[:k].sum()]])
        second, first = _class_figures(total.astype(float), k)
        return _rows([*what, ("mean IoU", "everywhere", -1)], px, (first, second), found)


def _class_figures(sums: Values, classes: int) -> tuple[Values, Values]:
    """Find precision and IoU by class, and mean IoU, axes (..., figure), of the second and of the first map."""
    truth, first, second, said_first, said_second = np.split(sums, 5, axis=-1)
    found = []
    with np.errstate(invalid="ignore"):
        for right, said in ((first, said_first), (second, said_second)):
            iou = right / (truth + said - right)
            there = ~np.isnan(iou)
            mean = np.where(there, iou, 0).sum(-1, keepdims=True) / there.sum(-1, keepdims=True)
            found.append(np.concatenate([right / said, iou, mean], -1))
    return found[1], found[0]


def _rows(
    what: Sequence[tuple[str, str, int]], pixels: Any, values: Sequence[Values], found: Intervals
) -> list[dict[str, Any]]:
    return [
        {
            "figure": figure, "where": where, "class_id": number, "pixels": int(px), "units": int(units),
            "first": first, "second": second, "difference": second - first, "low": low, "high": high,
        }
        for (figure, where, number), px, units, first, second, low, high in zip(
            what, pixels, found.units, *values, found.low, found.high, strict=True
        )
    ]  # fmt: skip
