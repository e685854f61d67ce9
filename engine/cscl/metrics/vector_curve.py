"""Accuracy by distance to the vector edge, and to any outline, counted in pieces that add up."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from cscl.report import DistanceCurve, Part
from cscl.report.kinds import Kind

from .boundary import Metres
from .counts import Numbered, counted, counted_right
from .error_tally import curve_table
from .piece import Piece
from .rows import Rows, summed
from .vector_edge import Outlines

__all__ = ["OUTLINE", "VECTOR_EDGE", "VectorTally", "vector_curve", "vector_part"]

VECTOR_EDGE, OUTLINE = "vector edge", "parcel outline"
EDGES = {
    VECTOR_EDGE: "Ground distance, Euclidean and exact, from the pixel's centre to the digitised outline of the "
    "nearest parcel whose class is known and differs from the pixel's. A gap between neighbouring parcels is part of "
    "the way; outlines towards land without a parcel, or of a parcel of the same class, make no edge.",
    OUTLINE: "Ground distance, Euclidean and exact, from the pixel's centre to the nearest digitised outline of any "
    "parcel, its own included, whatever grows on either side.",
}

Counts = NDArray[np.int64]
Table = pd.DataFrame


@dataclass(frozen=True, eq=False)
class VectorTally:
    """Counts of some pieces, for each of `EDGES` in turn.

    Parameters
    ----------
    by_bin : ndarray of int
        Judged pixels, axes (edge, class of distance, kind).
    mixed : ndarray of int or None
        Judged mixed pixels, axes (edge, class of distance).
    units, drawn : tuple of tuple of rows
        By edge, one table a piece: pixels by unit and class of distance; pixels and right ones by what is drawn whole.
    """

    by_bin: Counts
    mixed: Counts | None
    units: tuple[tuple[Rows, ...], ...] = field(repr=False)
    drawn: tuple[tuple[Rows, ...], ...] = field(repr=False)

    @classmethod
    def of(
        cls, piece: Piece, outlines: Outlines, pixel_size_m: tuple[float, float], limits_m: Sequence[float]
    ) -> VectorTally:
        """Count a piece by its distances to outlines, in classes with the upper limits `limits_m`, rising, finite."""
        both = outlines.distances(piece.truth, piece.corner, pixel_size_m, limits_m[-1])
        counts = [_counted(piece, distance, limits_m) for distance in both]
        by_bin, mixed, units, drawn = zip(*counts, strict=True)
        return cls(
            np.stack(by_bin), None if piece.mixed is None else np.stack(mixed),
            tuple((table,) for table in units), tuple((table,) for table in drawn),
        )  # fmt: skip

    def __add__(self, other: VectorTally) -> VectorTally:
        mixed = None if self.mixed is None or other.mixed is None else self.mixed + other.mixed
        units, drawn = (
            tuple(one + two for one, two in zip(getattr(self, name), getattr(other, name), strict=True))
            for name in ("units", "drawn")
        )
        return VectorTally(self.by_bin + other.by_bin, mixed, units, drawn)

    def curves(self, limits_m: Sequence[float]) -> dict[str, Table]:
        """Make a table for each of `EDGES`: see `cscl.metrics.error_tally.curve_table`."""
        found = {}
        for number, name in enumerate(EDGES):
            seen = summed(self.units[number], ["id", "value"])
            parcels = np.bincount(seen["value"], minlength=self.by_bin.shape[1])
            mixed = None if self.mixed is None else self.mixed[number]
            found[name] = curve_table(self.by_bin[number], mixed, parcels, limits_m, self.drawn[number])
        return found


def vector_curve(curves: Mapping[str, Table]) -> DistanceCurve:
    """Take the vector edge out of what `VectorTally.curves` gives, beside the curves of other edges in a report."""
    table = curves[VECTOR_EDGE]
    limits, pixels, right = (tuple(table[name].tolist()) for name in ("to_m", "pixels", "right"))
    return DistanceCurve(VECTOR_EDGE, EDGES[VECTOR_EDGE], limits, pixels, right)


def vector_part(curves: Mapping[str, Table]) -> Part:
    """Make the part of a report on the vector edge of what `VectorTally.curves` gives."""
    words = " ".join(f"{name[0].upper()}{name[1:]}: {text}" for name, text in EDGES.items())
    return Part(
        "vector_edge",
        "Accuracy by distance to digitised outlines",
        f"{words} Judged pixels, their accuracy with its 95 % interval by drawing whole parcels, and the share of "
        "mixed pixels, through which an outline runs.",
        tables={name.replace(" ", "_"): table for name, table in curves.items()},
    )


def _counted(piece: Piece, distance_m: Metres, limits_m: Sequence[float]) -> tuple[Any, ...]:
    bins = np.searchsorted(np.asarray(limits_m, np.float32), np.nan_to_num(distance_m, nan=np.inf)).astype(np.uint8)
    count, judged = len(limits_m) + 1, piece.kinds > 0
    bin, kind, here = bins[judged], piece.kinds[judged], judged & (piece.units > 0)
    by_bin = np.bincount(bin * np.int64(len(Kind)) + kind, minlength=count * len(Kind)).reshape(count, len(Kind))
    mixed = None if piece.mixed is None else np.bincount(bins[judged & piece.mixed], minlength=count)
    drawn = counted_right(Numbered(piece.drawn.ids, piece.drawn.of[judged]), bin, kind == Kind.RIGHT, count)
    return by_bin, mixed, counted(id=piece.units[here], value=bins[here], ids=piece.unit_ids), drawn
