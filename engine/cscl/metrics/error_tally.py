"""Judged pixels counted by distance, by unit and by edge, in pieces that add up, and the tables made of the counts.

A unit is a parcel or, where labels know none, a region of one class.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy import sparse

from cscl.legend import Legend
from cscl.report.kinds import WRONG, Kind

from .bootstrap import Intervals, ratio_intervals
from .counts import Numbered, counted, counted_right, taken
from .edge_rows import class_pairs, count_edges, edge_table, measure_edges
from .judged import share
from .parcel_rows import count_units, parcel_table
from .piece import Piece
from .rows import Rows, stacked, summed

__all__ = ["ErrorTally", "Piece", "class_pairs", "curve_table"]

Table = pd.DataFrame


@dataclass(frozen=True, eq=False)
class ErrorTally:
    """Counts of some pieces.

    Parameters
    ----------
    by_bin : ndarray of int
        Pixels by class of distance and kind, axes (bin, kind).
    mixed : ndarray of int or None
        Judged mixed pixels by class of distance.
    near : ndarray of int
        Judged pixels with a class edge within reach, and those of them that are right.
    classes, units, votes, bins, drawn, edges, lengths : tuple of rows
        One a piece: known pixels by unit and class; judged ones by unit; by unit and predicted class; by unit and class
        of distance; these and right ones by what is drawn whole and class of distance; by edge; lengths of
        edges, metres.
    """

    by_bin: NDArray[np.int64]
    mixed: NDArray[np.int64] | None
    near: NDArray[np.int64]
    classes: tuple[Rows, ...] = field(repr=False)
    units: tuple[Rows, ...] = field(repr=False)
    votes: tuple[Rows, ...] = field(repr=False)
    bins: tuple[Rows, ...] = field(repr=False)
    drawn: tuple[Rows, ...] = field(repr=False)
    edges: tuple[Rows, ...] = field(repr=False)
    lengths: tuple[Rows, ...] = field(repr=False)

    @classmethod
    def of(cls, piece: Piece, bins: int, pixel_size_m: tuple[float, float], *, by_class: bool = True) -> ErrorTally:
        """Count a piece; `bins` is the number of classes of distance.

        Without `by_class`, `classes` and `votes` stay empty: for one who has counted them before.
        """
        judged, right = piece.kinds > 0, piece.kinds == Kind.RIGHT
        at = np.flatnonzero(judged)
        by_bin = np.bincount((piece.bins * np.int64(len(Kind)) + piece.kinds).ravel(), minlength=bins * len(Kind))
        by_bin = by_bin.reshape(bins, len(Kind)) * (np.arange(len(Kind)) > Kind.NONE)
        mixed = None if piece.mixed is None else np.bincount(piece.bins[judged & piece.mixed], minlength=bins)
        near, known = judged & piece.near, (piece.truth >= 0) & (piece.units > 0)
        drawn, far, correct = taken(at, piece.drawn.of, piece.bins, right)
        here = judged & (piece.units > 0)
        units, bins_of = taken(np.flatnonzero(here), piece.units, piece.bins)
        ids = piece.unit_ids
        return cls(
            by_bin, mixed, np.array([np.count_nonzero(near), np.count_nonzero(near & right)]),
            (counted(piece.units[known], piece.truth[known], ids),) if by_class else (),
            (count_units(piece, here),),
            (counted(units, piece.guess[here], ids),) if by_class else (),
            (counted(units, bins_of, ids),),
            (counted_right(Numbered(piece.drawn.ids, drawn), far, correct, bins),),
            (count_edges(piece, here & (piece.across > 0)),),
            (measure_edges(piece, pixel_size_m),),
        )  # fmt: skip

    def __add__(self, other: ErrorTally) -> ErrorTally:
        lists = ("classes", "units", "votes", "bins", "drawn", "edges", "lengths")
        mixed = None if self.mixed is None or other.mixed is None else self.mixed + other.mixed
        return ErrorTally(
            self.by_bin + other.by_bin, mixed, self.near + other.near,
            *(getattr(self, name) + getattr(other, name) for name in lists),
        )  # fmt: skip

    def curve(self, limits_m: Sequence[float]) -> Table:
        """Accuracy by distance to the class edge, one row a class of distance."""
        parcels = np.bincount(summed(self.bins, ["id", "value"])["value"], minlength=len(self.by_bin))
        return curve_table(self.by_bin, self.mixed, parcels, limits_m, self.drawn)

    def parcels(self, legend: Legend, pixel_area_m2: float) -> Table:
        """One row a unit that holds a judged pixel: see `cscl.metrics.parcel_rows.parcel_table`."""
        return parcel_table(self.units, self.classes, self.votes, legend, pixel_area_m2)

    def edges_table(self, legend: Legend, pixel_area_m2: float) -> Table:
        """One row an edge: see `cscl.metrics.edge_rows.edge_table`."""
        return edge_table(self.edges, self.lengths, self.classes, legend, pixel_area_m2)


def curve_table(
    by_bin: NDArray[np.int64],
    mixed: NDArray[np.int64] | None,
    parcels: NDArray[np.int64],
    limits_m: Sequence[float],
    drawn: Sequence[Rows],
) -> Table:
    """Make the table of accuracy by distance.

    Columns: ``from_m`` (more than), ``to_m`` (up to; the last is inf and holds pixels without an edge in reach, too),
    ``pixels``, ``right``, ``accuracy`` (NaN in an empty row), ``low`` and ``high`` (its 95 % interval, by drawing whole
    parcels, and blocks where there are none; NaN with fewer than 10 of them), ``mixed`` (share of mixed pixels, NaN
    where not known), ``parcels`` (how many have a pixel here), and the pixels of each kind of error.

    Parameters
    ----------
    by_bin, mixed
        As in `ErrorTally`.
    parcels : ndarray of int
        Units with a pixel in each class of distance.
    limits_m : sequence of float
        Upper limits of the classes, without inf.
    drawn : sequence of rows
        From `cscl.metrics.counts.counted_right`: pixels and right ones by what is drawn whole and class of distance.
    """
    found = _intervals(drawn, len(by_bin))
    pixels, right = by_bin[:, Kind.RIGHT :].sum(1), by_bin[:, Kind.RIGHT]
    mixed_share = np.full(len(by_bin), math.nan) if mixed is None else share(mixed, pixels)
    return Table(
        {
            "from_m": (0.0, *limits_m), "to_m": (*limits_m, math.inf), "pixels": pixels, "right": right,
            "accuracy": share(right, pixels), "low": found.low, "high": found.high, "mixed": mixed_share,
            "parcels": parcels,
            **{kind.name.lower(): by_bin[:, kind] for kind in WRONG},
        }
    )  # fmt: skip


def _intervals(drawn: Sequence[Rows], bins: int) -> Intervals:
    rows = stacked(drawn)
    ids, unit = np.unique(rows["id"], return_inverse=True)
    at, shape = (unit, rows["value"]), (len(ids), bins)
    right, px = (sparse.csr_array((rows[name], at), shape=shape) for name in ("right", "px"))
    return ratio_intervals(right, px)
