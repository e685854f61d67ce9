"""Right and wrong pixels by what is drawn whole for intervals, so that many shares get theirs from one set of draws."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from .bootstrap import Intervals, Resampling, intervals
from .counts import Numbered, counted_right, numbered
from .judged import share
from .rows import Rows, rows_of, stacked

__all__ = ["DrawnTally"]

Mask = NDArray[np.bool_]


@dataclass(frozen=True, eq=False)
class DrawnTally:
    """Counts of some pieces of a map.

    Parameters
    ----------
    kinds : tuple of int
        Pixels are told apart in several ways; how many kinds of pixels each way knows.
    rows : tuple of rows
        One a piece; columns id (what is drawn whole), kind (of all ways, numbered through), px, right.
    """

    kinds: tuple[int, ...]
    rows: tuple[Rows, ...] = field(repr=False)

    @classmethod
    def of(
        cls, drawn: NDArray[np.int64] | Numbered, right: Mask, ways: Sequence[NDArray[Any]], kinds: Sequence[int]
    ) -> DrawnTally:
        """Count judged pixels; all arrays have the axis (pixel,), and `ways` holds the kind of each in each way."""
        units = drawn if isinstance(drawn, Numbered) else numbered(drawn)
        tables, first = [], 0
        for kind, count in zip(ways, kinds, strict=True):
            rows = dict(counted_right(units, kind, right, count))
            which = rows.pop("value")
            tables.append(rows_of(kind=which.astype(np.int32) + first, **rows))
            first += count
        return cls(tuple(kinds), (rows_of(**stacked(tables)),))

    def __add__(self, other: DrawnTally) -> DrawnTally:
        return DrawnTally(self.kinds, self.rows + other.rows)

    def sums(self) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Add up pixels and right ones, axis (kind of all ways,)."""
        counts = [np.zeros(sum(self.kinds), np.int64) for _ in ("px", "right")]
        for rows in self.rows:
            for total, name in zip(counts, ("px", "right"), strict=True):
                total += np.bincount(rows["kind"], rows[name], minlength=len(total)).astype(np.int64)
        return counts[0], counts[1]

    def intervals(self, figures: Sequence[Mask], resampling: Resampling | None = None) -> Intervals:
        """Find accuracies and their intervals, each over the kinds that its mask, axis (kind of all ways,), names."""
        rows = stacked(self.rows)
        ids, unit = np.unique(rows["id"], return_inverse=True)
        columns, wanted = sum(self.kinds), np.asarray(figures, bool).reshape(len(figures), sum(self.kinds))
        at, shape = (unit, rows["kind"]), (len(ids), columns)
        counts = [sparse.csr_array((rows[name], at), shape=shape) for name in ("right", "px")]
        summed = wanted.T.astype(float)

        def accuracy(sums: NDArray[np.float64]) -> NDArray[np.float64]:
            right, px = sums[..., :columns] @ summed, sums[..., columns:] @ summed
            return share(right, px)

        taking_part = np.concatenate([np.zeros_like(wanted), wanted], 1)
        return intervals(sparse.hstack(counts), accuracy, taking_part, resampling or Resampling())
