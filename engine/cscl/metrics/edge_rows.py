"""One row an edge between two parcels, or regions, of different class: how long it is, and how far it has moved."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from cscl.legend import Legend
from cscl.report.kinds import Kind

from .counts import extent, numbered, taken
from .displacement import measured
from .judged import share
from .piece import Piece
from .rows import Rows, rows_of, summed
from .unit_tables import class_columns, most, place, row_of

__all__ = ["class_pairs", "count_edges", "edge_table", "measure_edges"]

Table = pd.DataFrame

_SUMS = ("length_m", "pixels", "wrong", "into_a", "into_b", "third", "edge_m", "signed_m2", "moved_m2", "measured_m")


def count_edges(piece: Piece, here: NDArray[np.bool_]) -> Rows:
    """Count the pixels of a piece that are `here`, axes (y, x), by their unit and the one across the nearest edge."""
    layers = (piece.units, piece.across, piece.kinds)
    at = np.flatnonzero(here)
    own, other, kinds = taken(at, *layers)
    units = np.int64(len(piece.unit_ids))
    key, of = numbered(np.minimum(own, other) * units + np.maximum(own, other))
    shifted = kinds == Kind.SHIFTED
    states = len(Kind) + 2  # shifted pixels in the lower unit, and where a unit meets itself, are told apart
    lower = np.where(own == other, len(Kind) + 1, len(Kind))
    state = np.where(shifted & (own <= other), lower, kinds)
    by_state = np.bincount(of * states + state, minlength=len(key) * states).reshape(len(key), states)
    px, self_px = by_state.sum(1), by_state[:, -1]
    counts: dict[str, Any] = {
        "pixels": px, "wrong": px - by_state[:, Kind.RIGHT], "third": by_state[:, Kind.THIRD],
        "into_a": by_state[:, -2] + self_px, "into_b": by_state[:, Kind.SHIFTED] + self_px,
    }  # fmt: skip
    depth = np.zeros(len(key), np.float32)
    np.maximum.at(depth, of[shifted], piece.depth_m.ravel()[at[shifted]])
    a, b = (piece.unit_ids[number] for number in np.divmod(key, units))
    return rows_of(a=a, b=b, **counts, bleed_m=depth, **extent(of, len(key), here, piece.corner))


def measure_edges(piece: Piece, pixel_size_m: tuple[float, float]) -> Rows:
    """Measure the edges of a piece: along the sides of pixels, and as `cscl.metrics.displacement` does."""
    layers = (piece.truth_around, piece.units_around, piece.judged_around)
    rows = measured(*layers, pixel_size_m, piece.inside)
    return {**rows, **{side: rows_of(of=piece.unit_ids[rows[side]])["of"] for side in "ab"}}


def edge_table(
    edges: Sequence[Rows], lengths: Sequence[Rows], classes: Sequence[Rows], legend: Legend, pixel_area_m2: float
) -> Table:
    """Make the table of pairs of units of different class with a judged pixel within reach; most wrong pixels first.

    Columns: ``a`` and ``b``, units, a the lower id; ``class_a``, ``crop_a``, ``class_b``, ``crop_b``; ``length_m``
    (along the sides of pixels, in stairs; 0 across a gap or a corner), ``pixels`` (judged, within reach, on both
    sides), ``wrong``, ``share_wrong``; ``into_a`` (pixels of a that are predicted as the class of b: there the
    boundary has moved into a), ``into_b``, ``share_into_a``, ``share_into_b``; ``third`` (a third class at an edge);
    centre and bounds as rows and columns of the scene, ends exclusive; ``edge_m`` (length of its judged part without
    stairs); ``displacement_m`` (mean along the normal, **positive where a has grown into b**: area of ``into_b`` less
    that of ``into_a``, by ``edge_m``; NaN where the edge is shorter than the side of a pixel, as across a gap);
    ``moved_m`` (mean absolute displacement: the areas added up instead); ``bleed_m`` (greatest bleed depth, 0 where
    nothing has moved). Displacements end at the reach of an edge. See `cscl.metrics.displacement`.

    Parameters
    ----------
    edges, lengths, classes
        As in `cscl.metrics.error_tally.ErrorTally`.
    legend : Legend
        Its classes.
    pixel_area_m2 : float
        Area of a pixel.
    """
    total = {**summed(edges, ["a", "b"])}
    total |= _lengths(lengths, total)
    order = np.lexsort((total["b"], total["a"], -total["wrong"] / total["pixels"], -total["wrong"]))
    for name in list(total):  # column by column, as a register has millions of edges
        total[name] = total[name][order]
    both = most(classes, np.concatenate([total["a"], total["b"]]))
    named = {f"crop_{side}": of for side, of in zip("ab", np.split(both, 2), strict=True)}
    px = total["pixels"]
    columns = {"a": total["a"], "b": total["b"], **class_columns(legend, **named)}
    return Table(columns, copy=False).assign(
        length_m=total["length_m"], pixels=px, wrong=total["wrong"], share_wrong=total["wrong"] / px,
        into_a=total["into_a"], into_b=total["into_b"],
        share_into_a=total["into_a"] / px, share_into_b=total["into_b"] / px, third=total["third"],
        **place(total, px), edge_m=total["edge_m"], **_moved(total, pixel_area_m2), bleed_m=total["bleed_m"],
    )  # fmt: skip


def _lengths(lengths: Sequence[Rows], total: Rows) -> dict[str, NDArray[np.float64]]:
    """Lengths of the edges of a table, 0 where none was measured."""
    rows = summed(lengths, ["a", "b"])
    at, there = row_of(*(of["a"] << 32 | of["b"] for of in (total, rows)))
    found = {name: np.zeros(len(there)) for name in ("length_m", "edge_m")}
    for name, column in found.items():
        column[there] = rows[name][at]
    return found


def _moved(table: Rows, pixel_area_m2: float) -> dict[str, Any]:
    """Mean displacement, signed and absolute, where the edge is long enough to share out areas over it."""
    length = np.where(table["edge_m"] >= pixel_area_m2**0.5, table["edge_m"], 0.0)
    signed = (table["into_b"] - table["into_a"]) * pixel_area_m2
    return {
        "displacement_m": share(signed, length),
        "moved_m": share((table["into_b"] + table["into_a"]) * pixel_area_m2, length),
    }


def class_pairs(edges: Table) -> Table:
    """Sum up edges by the pair of classes that meet there, the pair with most wrong pixels first.

    Columns as in `edge_table`, a being the class of the lower id; displacement is that of the edges that have one,
    weighed by their length.
    """
    swap = (edges["class_a"] > edges["class_b"]).to_numpy()
    turned = edges.copy()
    for name in ("class", "crop", "into"):
        a, b = edges[f"{name}_a"].to_numpy(), edges[f"{name}_b"].to_numpy()
        turned[f"{name}_a"], turned[f"{name}_b"] = np.where(swap, b, a), np.where(swap, a, b)
    there = edges["displacement_m"].notna()
    turned = turned.assign(
        measured_m=edges["edge_m"].where(there, 0.0),
        signed_m2=(edges["displacement_m"] * edges["edge_m"] * np.where(swap, -1, 1)).fillna(0.0),
        moved_m2=(edges["moved_m"] * edges["edge_m"]).fillna(0.0),
    )
    sums = {name: (name, "sum") for name in _SUMS} | {"bleed_m": ("bleed_m", "max")}
    grouped = turned.groupby(["class_a", "class_b"], as_index=False)
    table = grouped.agg(crop_a=("crop_a", "first"), crop_b=("crop_b", "first"), edges=("a", "size"), **sums)
    table.insert(1, "crop_a", table.pop("crop_a"))
    table.insert(3, "crop_b", table.pop("crop_b"))
    table["share_wrong"] = table["wrong"] / table["pixels"]
    table["displacement_m"] = share(table.pop("signed_m2"), table["measured_m"])
    table["moved_m"] = share(table.pop("moved_m2"), table.pop("measured_m"))
    return table.sort_values(["wrong", "share_wrong"], ascending=False, ignore_index=True)
