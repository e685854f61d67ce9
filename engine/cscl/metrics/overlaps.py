"""Where two sets of objects meet: one sparse table, from which all figures about objects are read.

The objects are *parcels*, the reference O_i, and *segments*, the regions M_j of the map, e.g. those of one class that
hang together (`cscl.metrics.regions.class_regions`). Pixels of which the labels know nothing are void and are dealt
with as in panoptic segmentation (Kirillov et al., CVPR 2019, section 4.2): they are taken out of the segments before
anything is measured, and a segment of which more than half is void is never held against the map.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cscl.errors import InputError

__all__ = ["Counts", "Overlaps", "Values", "mean", "ratio", "sums"]

Counts = NDArray[np.int64]
Values = NDArray[np.float64]

MOSTLY_VOID = 0.5


@dataclass(frozen=True, eq=False)
class Overlaps:
    """Which parcels and segments overlap, and by how much. Tables of the pieces of a map add up.

    Parameters
    ----------
    parcel_id, segment_id : ndarray of int
        Axes (parcel,) and (segment,), sorted, each once.
    parcel_px, segment_px : ndarray of int
        Pixels of each, void left out. A segment that lies in void altogether has none.
    void_px : ndarray of int
        Axis (segment,): pixels of the segment in void.
    parcel, segment, px : ndarray of int
        Axis (pair,): places in the two lists of ids and common pixels, of the pairs that overlap, sorted.
    """

    parcel_id: Counts = field(repr=False)
    segment_id: Counts = field(repr=False)
    parcel_px: Counts = field(repr=False)
    segment_px: Counts = field(repr=False)
    void_px: Counts = field(repr=False)
    parcel: Counts = field(repr=False)
    segment: Counts = field(repr=False)
    px: Counts = field(repr=False)

    @classmethod
    def of(
        cls, parcels_YX: NDArray[Any], segments_YX: NDArray[Any], void_YX: NDArray[np.bool_] | None = None
    ) -> Overlaps:
        """Count the common pixels of two maps of ids.

        Parameters
        ----------
        parcels_YX, segments_YX : ndarray of int
            Ids, axes (y, x), 0 for none.
        void_YX : ndarray of bool, optional
            Axes (y, x): where the labels know nothing. By default all that lies outside parcels; give a mask where
            there is land that is known not to be a parcel.

        Raises
        ------
        InputError
            If the shapes differ or an id is negative.
        """
        void_YX = parcels_YX == 0 if void_YX is None else void_YX
        if not parcels_YX.shape == segments_YX.shape == void_YX.shape:
            raise InputError(
                f"Parcels, segments and void differ in shape: {parcels_YX.shape}, {segments_YX.shape} and "
                f"{void_YX.shape} pixels. Bring them to one grid."
            )
        lowest = min(parcels_YX.min(initial=0), segments_YX.min(initial=0))
        if lowest < 0:
            raise InputError(f"An id of a parcel or segment is {lowest}. Ids are 1 or more; 0 means none.")
        parcels, segments, void = parcels_YX.ravel(), segments_YX.ravel(), void_YX.ravel()
        if not parcels.size:
            return cls._from_runs(*np.zeros((4, 0), np.int64))
        # Ids stay the same along most of a row: runs of equal pixels are far fewer than pixels.
        turn = parcels[1:] != parcels[:-1]
        turn |= segments[1:] != segments[:-1]
        turn |= void[1:] != void[:-1]
        start = np.concatenate([[0], np.flatnonzero(turn) + 1])
        return cls._from_runs(parcels[start], segments[start], void[start], np.diff(start, append=parcels.size))

    @classmethod
    def _from_runs(
        cls, parcels: NDArray[Any], segments: NDArray[Any], void: NDArray[Any], px: NDArray[Any]
    ) -> Overlaps:
        """Build the table from pixels counted by parcel id, segment id and void, in any order, more than once."""
        void = void.astype(bool)
        parcel_id, parcel = np.unique(np.where(void, 0, parcels).astype(np.int64), return_inverse=True)
        segment_id, segment = np.unique(segments.astype(np.int64), return_inverse=True)
        key, row = np.unique(parcel * len(segment_id) + segment, return_inverse=True)
        common = sums(row, np.where(void, 0, px), len(key))
        of_parcel, of_segment = np.divmod(key, max(1, len(segment_id)))
        parcel_px = sums(of_parcel, common, len(parcel_id))
        segment_px = sums(of_segment, common, len(segment_id))
        void_px = sums(segment[void], px[void], len(segment_id))
        # Id 0, where there is none, comes first: take it out of the lists and its pairs out of the table.
        p, s = int((parcel_id[:1] == 0).sum()), int((segment_id[:1] == 0).sum())
        pair = (of_parcel >= p) & (of_segment >= s) & (common > 0)
        return cls(
            parcel_id[p:], segment_id[s:], parcel_px[p:], segment_px[s:], void_px[s:],
            of_parcel[pair] - p, of_segment[pair] - s, common[pair],
        )  # fmt: skip

    def __add__(self, other: Overlaps) -> Overlaps:
        runs = [np.concatenate([a, b]) for a, b in zip(self._runs(), other._runs(), strict=True)]
        return Overlaps._from_runs(*runs)

    def _runs(self) -> tuple[Counts, Counts, Counts, Counts]:
        """Take the table apart: pairs, what is left of parcels, what is left of segments, and void."""
        no_parcel, no_segment = np.zeros_like(self.segment_id), np.zeros_like(self.parcel_id)
        left_parcel = self.parcel_px - sums(self.parcel, self.px, len(self.parcel_id))
        left_segment = self.segment_px - sums(self.segment, self.px, len(self.segment_id))
        return (
            np.concatenate([self.parcel_id[self.parcel], self.parcel_id, no_parcel, no_parcel]),
            np.concatenate([self.segment_id[self.segment], no_segment, self.segment_id, self.segment_id]),
            np.repeat([0, 1], [len(self.px) + len(self.parcel_id) + len(self.segment_id), len(self.segment_id)]),
            np.concatenate([self.px, left_parcel, left_segment, self.void_px]),
        )

    @property
    def iou(self) -> Values:
        """Axis (pair,): intersection over union, void left out of both."""
        union = self.parcel_px[self.parcel] + self.segment_px[self.segment] - self.px
        return self.px / union

    @property
    def judged(self) -> NDArray[np.bool_]:
        """Axis (segment,): whether it may be held against the map, at most half of it being void."""
        return self.void_px <= MOSTLY_VOID * (self.segment_px + self.void_px)

    def largest(self, of: str = "parcels") -> Counts:
        """Find the pair of largest overlap of each parcel, or segment: its place in `px`, -1 where nothing overlaps.

        Of equal overlaps the one with the lower id counts.
        """
        mine, yours, number = (
            (self.parcel, self.segment, len(self.parcel_id))
            if of == "parcels"
            else (self.segment, self.parcel, len(self.segment_id))
        )
        order = np.lexsort((yours, -self.px, mine))
        objects, first = np.unique(mine[order], return_index=True)
        best = np.full(number, -1)
        best[objects] = order[first]
        return best


def sums(row: NDArray[Any], values: NDArray[Any], rows: int) -> Counts:
    """Sum whole numbers by row; float64, in which NumPy adds, holds them exactly up to 2**53."""
    return np.bincount(row, values, minlength=rows).astype(np.int64)


def ratio(part: NDArray[Any], whole: NDArray[Any]) -> Values:
    """Divide, NaN where the whole is 0."""
    quotient: Values = np.divide(part, whole, out=np.full(np.shape(whole), np.nan), where=whole != 0)
    return quotient


def mean(values: Values, weights: NDArray[Any] | None = None) -> float:
    """Average what is defined; NaN where nothing is."""
    there = ~np.isnan(values)
    if not there.any():
        return float("nan")
    return float(np.average(values[there], weights=None if weights is None else weights[there]))
