"""Parcels that are wrong as a whole: most of their pixels are predicted as one class, and it is not theirs.

That is another error than one at an edge: what went wrong is the crop, not the boundary. Whether it is so is known once
all pixels of a parcel are counted; so pieces are counted first, and kinds of error are told after that.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cscl.legend import UNKNOWN
from cscl.report.kinds import Kind

from .boundary import Mask
from .counts import counted, small_numbers
from .rows import Rows
from .unit_tables import most, row_of

__all__ = ["Votes", "WrongParcels"]


@dataclass(frozen=True, eq=False)
class Votes:
    """Pixels of some pieces counted by unit and class; one table a piece.

    Parameters
    ----------
    classes : tuple of rows
        Known pixels by true class.
    votes : tuple of rows
        Judged pixels by predicted class.
    """

    classes: tuple[Rows, ...] = field(repr=False)
    votes: tuple[Rows, ...] = field(repr=False)

    @classmethod
    def of(
        cls, units_YX: NDArray[Any], truth_YX: NDArray[Any], guess_YX: NDArray[Any], judged_YX: Mask | None = None
    ) -> Votes:
        """Count a piece.

        Parameters
        ----------
        units_YX : ndarray of int
            Units, axes (y, x), 0 where there is none.
        truth_YX, guess_YX : ndarray of int
            True and predicted class indices, negative where unknown or not predicted.
        judged_YX : ndarray of bool, optional
            Which pixels are judged; by default all that are known.
        """
        ids, units = small_numbers(units_YX)
        known = (units_YX > 0) & (truth_YX >= 0)
        voting = known & (guess_YX >= 0) if judged_YX is None else known & (guess_YX >= 0) & judged_YX
        return cls(
            (counted(units[known], truth_YX[known], ids),),
            (counted(units[voting], guess_YX[voting], ids),),
        )

    def __add__(self, other: Votes) -> Votes:
        return Votes(self.classes + other.classes, self.votes + other.votes)

    def wrong(self) -> WrongParcels:
        """Find the units that are wrong as a whole; of classes that are equally frequent the first counts."""
        ids = np.unique(np.concatenate([rows["id"] for rows in self.votes]))
        predicted, declared = most(self.votes, ids), most(self.classes, ids)
        wrong = (declared != UNKNOWN) & (predicted != declared)
        return WrongParcels(ids[wrong], predicted[wrong])


@dataclass(frozen=True, eq=False)
class WrongParcels:
    """Units that are wrong as a whole: `ids`, rising, and `guess`, the class that most of their pixels have."""

    ids: NDArray[np.int64] = field(repr=False)
    guess: NDArray[np.int64] = field(repr=False)

    def marked(
        self,
        kinds_YX: NDArray[np.uint8],
        units_YX: NDArray[Any],
        guess_YX: NDArray[Any],
        unit_ids: NDArray[Any] | None = None,
    ) -> NDArray[np.uint8]:
        """Turn wrong pixels that have the predicted class of such a unit into `Kind.PARCEL`; all axes (y, x).

        With `unit_ids`, the id of each number, units are given by number.
        """
        if unit_ids is not None:
            row, there = row_of(unit_ids, self.ids)
            guess_of = np.full(len(unit_ids), UNKNOWN, guess_YX.dtype)  # right pixels are none of these
            guess_of[there] = self.guess[row]
            same = (kinds_YX > Kind.RIGHT) & (guess_of[units_YX] == guess_YX)
            return np.where(same, np.uint8(Kind.PARCEL), kinds_YX)
        kinds = kinds_YX.copy()
        if len(self.ids):
            at = np.nonzero(kinds > Kind.RIGHT)
            unit, guess = units_YX[at], guess_YX[at]
            row = np.minimum(np.searchsorted(self.ids, unit), len(self.ids) - 1)
            whole = (self.ids[row] == unit) & (self.guess[row] == guess)
            kinds[at[0][whole], at[1][whole]] = Kind.PARCEL
        return kinds
