"""Pixels counted parcel by parcel, in as many pieces as the map is read in."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, fields
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cscl.report import ParcelReport

from .counts import Numbered, numbered, taken

__all__ = ["ParcelTally"]

Counts = NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class ParcelTally:
    """Counts of the known pixels of some parcels; a parcel that lies in several pieces of a map is in several tallies.

    Parameters
    ----------
    parcel_id : ndarray of int
        Axis (parcel,), sorted, each once.
    truth, votes : ndarray of int
        Axes (parcel, class): pixels by true and by predicted class.
    right, interior : ndarray of int
        Axis (parcel,): pixels whose class is right; pixels away from the parcel's boundary.
    confidence : ndarray of float
        Axis (parcel,): sum of the confidence of the pixels that have one, and
    confident : ndarray of int
        how many these are.
    """

    parcel_id: Counts = field(repr=False)
    truth: NDArray[np.int32] = field(repr=False)
    votes: NDArray[np.int32] = field(repr=False)
    right: Counts = field(repr=False)
    interior: Counts = field(repr=False)
    confidence: NDArray[np.float64] = field(repr=False)
    confident: Counts = field(repr=False)

    @classmethod
    def of(
        cls,
        parcel_ids: NDArray[Any] | Numbered,
        truth: NDArray[Any],
        prediction: NDArray[Any],
        confidence: NDArray[Any],
        interior: NDArray[np.bool_],
        classes: int,
    ) -> ParcelTally:
        """Count the pixels of arrays of one shape; those outside parcels or of unknown class are left out.

        Parameters
        ----------
        parcel_ids : ndarray of int, or Numbered
            0 outside all parcels.
        truth, prediction : ndarray of int
            Class indices 0..K-1, negative where unknown, or not predicted.
        confidence : ndarray of float
            0..1, NaN where there is none.
        interior : ndarray of bool
            Whether the pixel lies away from the boundary of its parcel.
        classes : int
            How many classes there are, K.
        """
        ids, row = parcel_ids if isinstance(parcel_ids, Numbered) else numbered(parcel_ids.ravel())
        counted = np.flatnonzero((ids[row] > 0) & (truth.ravel() >= 0))
        row, t, p, sure, inside = taken(counted, row, truth, prediction, confidence, interior)
        there, given = p >= 0, ~np.isnan(sure)
        found = cls(
            ids.astype(np.int64),
            _crosstab(row, t, len(ids), classes),
            _crosstab(row[there], p[there], len(ids), classes),
            np.bincount(row[t == p], minlength=len(ids)),
            np.bincount(row[inside], minlength=len(ids)),
            _sums(row[given], sure[given], len(ids)),
            np.bincount(row[given], minlength=len(ids)),
        )
        some = np.bincount(row, minlength=len(ids)) > 0
        return cls(*(getattr(found, f.name)[some] for f in fields(cls)))

    @classmethod
    def merge(cls, tallies: Sequence[ParcelTally]) -> ParcelTally:
        """Add up tallies, at least one, by parcel id."""
        ids, row = np.unique(np.concatenate([t.parcel_id for t in tallies]), return_inverse=True)

        def added(name: str) -> Any:
            parts = np.concatenate([getattr(t, name) for t in tallies])
            total = np.zeros((len(ids), *parts.shape[1:]), parts.dtype)
            np.add.at(total, row, parts)
            return total

        names = ("truth", "votes", "right", "interior", "confidence", "confident")
        return cls(ids, *(added(name) for name in names))

    def report(self) -> ParcelReport:
        """Judge each parcel: its declared class is the most frequent true one, ties go to the first class."""
        rows = np.arange(len(self.parcel_id))
        predicted = self.votes.sum(1)
        majority = self.votes.argmax(1)
        mean = np.full(len(rows), np.nan)
        np.divide(self.confidence, self.confident, out=mean, where=self.confident > 0)
        return ParcelReport(
            self.parcel_id, self.truth.argmax(1), np.where(predicted > 0, majority, -1), self.votes[rows, majority],
            self.right, predicted, self.truth.sum(1), self.interior, mean,
        )  # fmt: skip


def _sums(row: Counts, values: NDArray[Any], rows: int) -> NDArray[np.float64]:
    """Sum by row. Sums of some million float32 in 0..1 are exact in float64, so that their order does not matter."""
    return np.asarray(np.bincount(row, values.astype(np.float32), minlength=rows), np.float64)


def _crosstab(row: Counts, column: NDArray[Any], rows: int, columns: int) -> NDArray[np.int32]:
    """Count pairs, axes (row, column), in 32 bits: a national register has a million rows."""
    return np.bincount(row * columns + column, minlength=rows * columns).reshape(rows, columns).astype(np.int32)
