"""One row an edge between two parcels, or regions, of different class: how long it is, and how far it has moved."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy import sparse

from cscl.legend import Legend
from cscl.report.kinds import Kind

from .counts import extent, merged, numbered, taken
from .displacement import edge_lengths
from .judged import share
from .piece import Piece
from .unit_tables import class_columns, most, place

__all__ = ["class_pairs", "count_edges", "edge_table", "measure_edges"]

Table = pd.DataFrame

_SUMS = ("length_m", "pixels", "wrong", "into_a", "into_b", "third", "edge_m", "signed_m2", "moved_m2", "measured_m")


def count_edges(piece: Piece, here: NDArray[np.bool_]) -> Table:
    """Count the pixels of a piece that are `here`, axes (y, x), by their unit and the one across the nearest edge."""
    layers = (piece.units, piece.across, piece.kinds, piece.depth_m)
    own, other, kinds, depths = taken(np.flatnonzero(here), *layers)
    a, b = np.minimum(own, other).astype(np.int64), np.maximum(own, other).astype(np.int64)
    key, of = numbered(a << 32 | b)

    def count(which: Any) -> NDArray[np.int64]:
        return np.bincount(of[which], minlength=len(key))

    shifted = kinds == Kind.SHIFTED
    counts: dict[str, Any] = {
        "pixels": np.bincount(of, minlength=len(key)), "wrong": count(kinds != Kind.RIGHT),
        "third": count(kinds == Kind.THIRD),
        "into_a": count(shifted & (own == a)), "into_b": count(shifted & (own == b)),
    }  # fmt: skip
    depth = np.zeros(len(key), np.float32)
    np.maximum.at(depth, of[shifted], depths[shifted])
    counts["bleed_m"] = depth.astype(float)
    return Table({"a": key >> 32, "b": key & 0xFFFFFFFF, **counts, **extent(of, len(key), here, piece.corner)})


def measure_edges(piece: Piece, pixel_size_m: tuple[float, float]) -> Table:
    """Measure the edges of a piece: along the sides of pixels, and as `cscl.metrics.displacement` does."""
    layers = (piece.truth_around, piece.units_around, piece.judged_around)
    smooth, stairs = edge_lengths(*layers, pixel_size_m, piece.inside), _stairs(piece, pixel_size_m)
    return pd.concat([stairs.assign(edge_m=0.0), smooth.assign(length_m=0.0)], ignore_index=True)


def _stairs(piece: Piece, pixel_size_m: tuple[float, float]) -> Table:
    """Sides of pixels that units of different class share, in metres; a slanting edge is as long as its steps."""
    height, width = piece.kinds.shape
    truth, units = (
        layer[piece.inside[0].start : piece.inside[0].stop + 1, piece.inside[1].start : piece.inside[1].stop + 1]
        for layer in (piece.truth_around, piece.units_around)
    )
    ids, of = numbered(units.ravel())
    number, keys, metres = of.reshape(units.shape), [], []
    for right, down, side_m in ((1, 0, pixel_size_m[0]), (0, 1, pixel_size_m[1])):
        low = slice(0, min(height, len(units) - down)), slice(0, min(width, units.shape[1] - right))
        high = (slice(down, low[0].stop + down), slice(right, low[1].stop + right))
        meet = (
            (truth[low] >= 0) & (truth[high] >= 0) & (truth[low] != truth[high]) & (units[low] > 0) & (units[high] > 0)
        )
        one, two = number[low][meet], number[high][meet]
        keys.append((np.minimum(one, two), np.maximum(one, two)))
        metres.append(np.full(len(one), side_m))
    pairs = tuple(np.concatenate(side) for side in zip(*keys, strict=True))
    found = sparse.coo_array((np.concatenate(metres), pairs), shape=(len(ids), len(ids))).tocsr().tocoo()
    a, b = (ids[at].astype(np.int64) for at in found.coords)
    return Table({"a": a, "b": b, "length_m": found.data})


def edge_table(
    edges: Sequence[Table], lengths: Sequence[Table], classes: Sequence[Table], legend: Legend, pixel_area_m2: float
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
    total = merged(edges, ["a", "b"])
    length = merged(lengths, ["a", "b"])
    total = total.merge(length, how="left", on=["a", "b"]).fillna({"length_m": 0.0, "edge_m": 0.0})
    named = {f"crop_{side}": most(classes, total[side]) for side in "ab"}
    px = total["pixels"]
    table = Table({"a": total["a"], "b": total["b"], **class_columns(legend, **named)}, total.index).assign(
        length_m=total["length_m"], pixels=px, wrong=total["wrong"], share_wrong=total["wrong"] / px,
        into_a=total["into_a"], into_b=total["into_b"],
        share_into_a=total["into_a"] / px, share_into_b=total["into_b"] / px, third=total["third"],
        **place(total, px), edge_m=total["edge_m"], **_moved(total, pixel_area_m2), bleed_m=total["bleed_m"],
    )  # fmt: skip
    return table.sort_values(["wrong", "share_wrong", "a", "b"], ascending=[False, False, True, True],
                             ignore_index=True)  # fmt: skip


def _moved(table: Table, pixel_area_m2: float) -> dict[str, Any]:
    """Mean displacement, signed and absolute, where the edge is long enough to share out areas over it."""
    length = table["edge_m"].where(table["edge_m"] >= pixel_area_m2**0.5, 0.0)
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
    grouped = turned.groupby(["class_a", "crop_a", "class_b", "crop_b"], as_index=False)
    table = grouped.agg(edges=("a", "size"), **sums)
    table["share_wrong"] = table["wrong"] / table["pixels"]
    table["displacement_m"] = share(table.pop("signed_m2"), table["measured_m"])
    table["moved_m"] = share(table.pop("moved_m2"), table.pop("measured_m"))
    return table.sort_values(["wrong", "share_wrong"], ascending=False, ignore_index=True)
