"""Judged pixels counted by distance, by unit and by edge, in pieces that add up, and the tables made of the counts.

A unit is a parcel or, where labels know none, a region of one class.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy import sparse

from cscl.legend import UNKNOWN, Legend
from cscl.report.kinds import WRONG, Kind

from .bootstrap import Intervals, ratio_intervals
from .counts import counted, counted_right, extent, merged, numbered

__all__ = ["ErrorTally", "Piece", "class_pairs", "curve_table"]

Table = pd.DataFrame


@dataclass(frozen=True, eq=False)
class Piece:
    """A piece of a map, all arrays with axes (y, x) of the piece but `units_around` and `truth_around`.

    Parameters
    ----------
    kinds, bins : ndarray of uint8
        Kind of each pixel, `Kind.NONE` where it is not judged; its class of distance to the class edge.
    truth, guess : ndarray of int
        Class indices, negative where unknown or not predicted.
    confidence : ndarray of float
        0..1, NaN where there is none.
    near : ndarray of bool
        Whether a class edge lies within reach.
    mixed : ndarray of bool or None
        Whether the outline of a parcel runs through the pixel.
    units, across : ndarray of int
        The pixel's unit and the unit across its nearest class edge, 0 where there is none.
    drawn : ndarray of int
        What is drawn whole for intervals: `cscl.metrics.bootstrap.drawn_units`.
    truth_around, units_around : ndarray of int
        Truth and units of the piece, with the next row below and the next column to the right where the scene has them.
    corner : tuple of int
        Row and column of the piece in the scene.
    """

    kinds: NDArray[np.uint8]
    bins: NDArray[np.uint8]
    truth: NDArray[Any]
    guess: NDArray[Any]
    confidence: NDArray[Any]
    near: NDArray[np.bool_]
    mixed: NDArray[np.bool_] | None
    units: NDArray[Any]
    across: NDArray[np.int32]
    drawn: NDArray[np.int64]
    truth_around: NDArray[Any]
    units_around: NDArray[Any]
    corner: tuple[int, int]


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
    classes, units, votes, bins, drawn, edges, lengths : tuple of DataFrame
        One a piece: known pixels by unit and class; judged ones by unit; by unit and predicted class; by unit and class
        of distance; these and right ones by what is drawn whole and class of distance; by edge; shared sides of pixels
        by edge, metres.
    """

    by_bin: NDArray[np.int64]
    mixed: NDArray[np.int64] | None
    near: NDArray[np.int64]
    classes: tuple[Table, ...] = field(repr=False)
    units: tuple[Table, ...] = field(repr=False)
    votes: tuple[Table, ...] = field(repr=False)
    bins: tuple[Table, ...] = field(repr=False)
    drawn: tuple[Table, ...] = field(repr=False)
    edges: tuple[Table, ...] = field(repr=False)
    lengths: tuple[Table, ...] = field(repr=False)

    @classmethod
    def of(cls, piece: Piece, bins: int, pixel_size_m: tuple[float, float]) -> ErrorTally:
        """Count a piece; `bins` is the number of classes of distance."""
        judged = piece.kinds > 0
        kinds = piece.kinds[judged].astype(np.int64)
        key = piece.bins[judged] * np.int64(len(Kind)) + kinds
        mixed = None if piece.mixed is None else np.bincount(piece.bins[judged & piece.mixed], minlength=bins)
        near = judged & piece.near
        known = (piece.truth >= 0) & (piece.units > 0)
        here = judged & (piece.units > 0)
        return cls(
            np.bincount(key, minlength=bins * len(Kind)).reshape(bins, len(Kind)),
            mixed,
            np.array([near.sum(), (near & (piece.kinds == Kind.RIGHT)).sum()]),
            (counted(id=piece.units[known], value=piece.truth[known]),),
            (_units(piece, here),),
            (counted(id=piece.units[here], value=piece.guess[here]),),
            (counted(id=piece.units[here], value=piece.bins[here]),),
            (counted_right(piece.drawn[judged], piece.bins[judged], kinds == Kind.RIGHT),),
            (_edges(piece, here & (piece.across > 0)),),
            (_lengths(piece, pixel_size_m),),
        )

    def __add__(self, other: ErrorTally) -> ErrorTally:
        lists = ("classes", "units", "votes", "bins", "drawn", "edges", "lengths")
        mixed = None if self.mixed is None or other.mixed is None else self.mixed + other.mixed
        return ErrorTally(
            self.by_bin + other.by_bin, mixed, self.near + other.near,
            *(getattr(self, name) + getattr(other, name) for name in lists),
        )  # fmt: skip

    def curve(self, limits_m: Sequence[float]) -> Table:
        """Accuracy by distance to the class edge, one row a class of distance."""
        seen = pd.concat(self.bins).drop_duplicates(["id", "value"])
        parcels = np.bincount(seen["value"], minlength=len(self.by_bin))
        return curve_table(self.by_bin, self.mixed, parcels, limits_m, self.drawn)

    def parcels(self, legend: Legend, pixel_area_m2: float) -> Table:
        """One row a unit that holds a judged pixel, the one with most wrong pixels first, then by share wrong."""
        total = merged(self.units, ["id"])
        px, right = total[[k.name for k in Kind if k]].sum(axis=1), total["RIGHT"]
        declared = _most(self.classes, total["id"])
        predicted = _most(self.votes, total["id"])
        table = Table({"id": total["id"], **_classes(legend, declared=declared, predicted=predicted)}, total.index)
        table = table.assign(
            pixels=px, area_ha=px * pixel_area_m2 / 1e4, wrong=px - right, share_right=right / px,
            share_right_interior=_share(right - total["near_right"], px - total["near"]),
            share_right_boundary=_share(total["near_right"], total["near"]),
            **{kind.name.lower(): total[kind.name] for kind in WRONG},
            confidence=_share(total["confidence"], total["confident"]),
            **_place(total, px),
        )  # fmt: skip
        return table.sort_values(["wrong", "share_right", "id"], ascending=[False, True, True], ignore_index=True)

    def edges_table(self, legend: Legend) -> Table:
        """One row a pair of units of different class with a judged pixel within reach of both; most wrong pixels first.

        ``into_a`` are pixels of a that are predicted as the class of b: there the boundary has moved into a.
        """
        total = merged(self.edges, ["a", "b"])
        length = merged(self.lengths, ["a", "b"])
        total = total.merge(length, how="left", on=["a", "b"]).fillna({"length_m": 0.0})
        sides = {f"class_{side}": _most(self.classes, total[side]) for side in "ab"}
        named = {name.replace("class", "crop"): index for name, index in sides.items()}
        px = total["pixels"]
        table = Table({"a": total["a"], "b": total["b"], **_classes(legend, **named)}, total.index).assign(
            length_m=total["length_m"], pixels=px, wrong=total["wrong"], share_wrong=total["wrong"] / px,
            into_a=total["into_a"], into_b=total["into_b"],
            share_into_a=total["into_a"] / px, share_into_b=total["into_b"] / px, third=total["third"],
            **_place(total, px),
        )  # fmt: skip
        return table.sort_values(["wrong", "share_wrong", "a", "b"], ascending=[False, False, True, True],
                                 ignore_index=True)  # fmt: skip


def curve_table(
    by_bin: NDArray[np.int64],
    mixed: NDArray[np.int64] | None,
    parcels: NDArray[np.int64],
    limits_m: Sequence[float],
    drawn: Sequence[Table],
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
    drawn : sequence of DataFrame
        From `cscl.metrics.counts.counted_right`: pixels and right ones by what is drawn whole and class of distance.
    """
    found = _intervals(drawn, len(by_bin))
    pixels, right = by_bin[:, Kind.RIGHT :].sum(1), by_bin[:, Kind.RIGHT]
    share = np.full(len(by_bin), math.nan) if mixed is None else _share(mixed, pixels)
    return Table(
        {
            "from_m": (0.0, *limits_m), "to_m": (*limits_m, math.inf), "pixels": pixels, "right": right,
            "accuracy": _share(right, pixels), "low": found.low, "high": found.high, "mixed": share, "parcels": parcels,
            **{kind.name.lower(): by_bin[:, kind] for kind in WRONG},
        }
    )  # fmt: skip


def class_pairs(edges: Table) -> Table:
    """Sum up edges by the pair of classes that meet there, the pair with most wrong pixels first."""
    swap = (edges["class_a"] > edges["class_b"]).to_numpy()
    turned = edges.copy()
    for name in ("class", "crop", "into"):
        a, b = edges[f"{name}_a"].to_numpy(), edges[f"{name}_b"].to_numpy()
        turned[f"{name}_a"], turned[f"{name}_b"] = np.where(swap, b, a), np.where(swap, a, b)
    sums = {name: (name, "sum") for name in ("length_m", "pixels", "wrong", "into_a", "into_b", "third")}
    grouped = turned.groupby(["class_a", "crop_a", "class_b", "crop_b"], as_index=False)
    table = grouped.agg(edges=("a", "size"), **sums)
    table["share_wrong"] = table["wrong"] / table["pixels"]
    return table.sort_values(["wrong", "share_wrong"], ascending=False, ignore_index=True)


def _units(piece: Piece, here: NDArray[np.bool_]) -> Table:
    ids, of = numbered(piece.units[here])
    kinds, near, sure = piece.kinds[here], piece.near[here], piece.confidence[here].astype(np.float32)
    by_kind = np.bincount(of * len(Kind) + kinds, minlength=len(ids) * len(Kind)).reshape(-1, len(Kind))
    given = ~np.isnan(sure)
    counts = {kind.name: by_kind[:, kind] for kind in Kind if kind}
    counts["near"] = np.bincount(of[near], minlength=len(ids))
    counts["near_right"] = np.bincount(of[near & (kinds == Kind.RIGHT)], minlength=len(ids))
    counts["confidence"] = np.bincount(of[given], sure[given], minlength=len(ids))
    counts["confident"] = np.bincount(of[given], minlength=len(ids))
    return Table({"id": ids.astype(np.int64), **counts, **extent(of, len(ids), here, piece.corner)})


def _edges(piece: Piece, here: NDArray[np.bool_]) -> Table:
    own, other = piece.units[here].astype(np.int64), piece.across[here].astype(np.int64)
    a, b = np.minimum(own, other), np.maximum(own, other)
    key, of = np.unique(a << 32 | b, return_inverse=True)
    kinds = piece.kinds[here]

    def count(which: Any) -> NDArray[np.int64]:
        return np.bincount(of[which], minlength=len(key))

    shifted = kinds == Kind.SHIFTED
    counts = {
        "pixels": count(slice(None)), "wrong": count(kinds != Kind.RIGHT), "third": count(kinds == Kind.THIRD),
        "into_a": count(shifted & (own == a)), "into_b": count(shifted & (own == b)),
    }  # fmt: skip
    return Table({"a": key >> 32, "b": key & 0xFFFFFFFF, **counts, **extent(of, len(key), here, piece.corner)})


def _lengths(piece: Piece, pixel_size_m: tuple[float, float]) -> Table:
    """Sides of pixels that units of different class share, in metres; a slanting edge is as long as its steps."""
    height, width = piece.kinds.shape
    keys, metres = [], []
    for right, down, side_m in ((1, 0, pixel_size_m[0]), (0, 1, pixel_size_m[1])):
        low = (
            slice(0, min(height, len(piece.units_around) - down)),
            slice(0, min(width, piece.units_around.shape[1] - right)),
        )
        high = (slice(down, low[0].stop + down), slice(right, low[1].stop + right))
        truth, units = piece.truth_around, piece.units_around
        meet = (
            (truth[low] >= 0) & (truth[high] >= 0) & (truth[low] != truth[high]) & (units[low] > 0) & (units[high] > 0)
        )
        one, two = units[low][meet].astype(np.int64), units[high][meet].astype(np.int64)
        keys.append(np.minimum(one, two) << 32 | np.maximum(one, two))
        metres.append(np.full(len(one), side_m))
    key, of = np.unique(np.concatenate(keys), return_inverse=True)
    return Table(
        {"a": key >> 32, "b": key & 0xFFFFFFFF, "length_m": np.bincount(of, np.concatenate(metres), minlength=len(key))}
    )


def _intervals(drawn: Sequence[Table], bins: int) -> Intervals:
    rows: Any = pd.concat(drawn)
    ids, unit = np.unique(rows["id"], return_inverse=True)
    at, shape = (unit, rows["value"]), (len(ids), bins)
    right, px = (sparse.csr_array((rows[name], at), shape=shape) for name in ("right", "px"))
    return ratio_intervals(right, px)


def _most(pieces: Sequence[Table], ids: Any) -> NDArray[np.int64]:
    """Find the most frequent value of each unit, the lowest of several."""
    rows: Any = pd.concat(pieces).groupby(["id", "value"], as_index=False).agg({"px": "sum"})
    first = rows.sort_values(["px", "value"], ascending=[False, True]).drop_duplicates("id").set_index("id")["value"]
    return np.asarray(first.reindex(ids).fillna(UNKNOWN), np.int64)


def _classes(legend: Legend, **index: NDArray[np.int64]) -> dict[str, Any]:
    """Class ids and names of class indices: ``declared`` and ``declared_crop``, or ``class_a`` and ``crop_a``."""
    ids, names = np.array([*legend.ids, legend.ignore]), np.array([*legend.names, ""], object)
    found: dict[str, Any] = {}
    for name, values in index.items():
        side = name.removeprefix("crop_")
        pair = (f"class_{side}", name) if side != name else (name, f"{name}_crop")
        found |= {pair[0]: ids[values], pair[1]: names[values]}
    return found


def _place(total: Table, pixels: Any) -> dict[str, Any]:
    """Centre of the pixels and bounds, rows and columns of the scene."""
    bounds = {name: total[name] for name in ("row0", "col0", "row1", "col1")}
    return {"row": total["rows"] / pixels, "col": total["cols"] / pixels, **bounds}


def _share(part: Any, whole: Any) -> Any:
    part, whole = np.asarray(part, float), np.asarray(whole, float)
    return np.divide(part, whole, out=np.full(whole.shape, math.nan), where=whole > 0)
