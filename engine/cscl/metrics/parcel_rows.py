"""One row a parcel, or region of one class: what is predicted there, how surely and purely, and what is odd."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from cscl.legend import UNKNOWN, Legend
from cscl.report.kinds import WRONG, Kind

from .boundary import parcel_boundary
from .counts import extent, taken
from .judged import share
from .piece import Piece
from .rows import Rows, rows_of, summed
from .unit_tables import class_columns, place, ranked, row_of

__all__ = ["FLAGS", "count_units", "parcel_table"]

Table = pd.DataFrame

SMALL_PX = 4
NEAR, OUTER, MIXED, STATES = 8, 16, 32, 64  # what a pixel is, beside its kind: bits of one number
LOW_CONFIDENCE = 0.5
FLAGS = {
    "small": f"fewer than {SMALL_PX} pixels of known class: its class cannot be told reliably at this resolution",
    "mixed only": "the outline of a parcel runs through each of its judged pixels",
    "boundary only": "each of its judged pixels touches another parcel",
    "majority wrong": "most of its judged pixels are predicted as one wrong class",
    "low confidence": f"the mean confidence of its judged pixels is below {LOW_CONFIDENCE:g}",
    "wrong at the edge only": "all its wrong pixels lie within reach of a class edge, and there are right ones beyond",
}
"""What is odd about a parcel, in the order in which its flags are named."""


def count_units(piece: Piece, here: NDArray[np.bool_]) -> Rows:
    """Count the pixels of a piece that are `here`, axes (y, x), by unit."""
    outer, count = parcel_boundary(piece.units_around, 1)[piece.inside], len(piece.unit_ids)
    at = np.flatnonzero(here)
    state = piece.kinds + np.uint8(NEAR) * piece.near + np.uint8(OUTER) * outer
    if piece.mixed is not None:
        state += np.uint8(MIXED) * piece.mixed
    of, states, sure = taken(at, piece.units, state, piece.confidence)
    of, sure = of.astype(np.int64), sure.astype(np.float32)
    by_state = np.bincount(of * STATES + states, minlength=count * STATES).reshape(count, 2, 2, 2, NEAR)
    by_kind = by_state.sum((1, 2, 3))
    counts = {kind.name: by_kind[:, kind] for kind in Kind if kind}
    counts["near"], counts["near_right"] = by_state[:, :, :, 1].sum((1, 2, 3)), by_state[..., 1, Kind.RIGHT].sum((1, 2))
    counts["outer"] = by_state[:, :, 1].sum((1, 2, 3))
    if piece.mixed is not None:
        counts["mixed"] = by_state[:, 1].sum((1, 2, 3))
    given = ~np.isnan(sure)
    units, sure = (of, sure) if given.all() else (of[given], sure[given])
    counts["confidence"] = np.bincount(units, sure, minlength=count)
    counts["confident"] = np.bincount(units, minlength=count)
    columns = {"id": piece.unit_ids, **counts, **extent(of, count, here, piece.corner)}
    there = by_kind.sum(1) > 0
    return rows_of(**{name: column[there] for name, column in columns.items()})


def parcel_table(
    units: Sequence[Rows], classes: Sequence[Rows], votes: Sequence[Rows], legend: Legend, pixel_area_m2: float
) -> Table:
    """Make the table of units that hold a judged pixel, the one with most wrong pixels first, then by share wrong.

    Columns: ``id``; ``declared``, ``declared_crop`` (most frequent class in the labels); ``predicted``,
    ``predicted_crop`` (most frequent one in the map, by its judged pixels, of equals the first of the legend);
    ``pixels`` (judged), ``area_ha`` (theirs), ``wrong``; ``share_right``, of all, ``share_right_interior`` and
    ``share_right_boundary`` (beyond and within reach of a class edge); the pixels of each kind of error;
    ``confidence`` (mean of the judged pixels, NaN where there is none); centre and bounds as rows and columns of the
    scene, ends exclusive; ``purity`` (share of judged pixels that have the predicted class); ``second``,
    ``second_crop``, ``second_share`` (next most frequent class; the ignore id, no name and 0 where there is none);
    ``share_boundary`` (share of judged pixels that touch another parcel, by side or corner, whatever grows there);
    ``share_mixed`` (share through which an outline runs, NaN where not known); ``known_pixels`` (with a label, judged
    or not); ``status`` (``small`` or ``mixed``, where its class cannot be told at this resolution, else ``ok``) and
    ``flags`` (of `FLAGS`, by commas). A parcel without a judged pixel has no row.

    Parameters
    ----------
    units, classes, votes
        As in `cscl.metrics.error_tally.ErrorTally`.
    legend : Legend
        Its classes.
    pixel_area_m2 : float
        Area of a pixel.
    """
    total = summed(units, ["id"])
    ids, px, right = total["id"], sum(total[k.name] for k in Kind if k), total["RIGHT"]
    votes_of = ranked(votes)
    (predicted, first_px), (next_one, second_px) = (_of_rank(votes_of, rank, ids) for rank in (0, 1))
    in_labels = ranked(classes)
    declared, _ = _of_rank(in_labels, 0, ids)
    columns: dict[str, Any] = {"id": ids, **class_columns(legend, declared=declared, predicted=predicted)}
    columns |= dict(
        pixels=px, area_ha=px * pixel_area_m2 / 1e4, wrong=px - right, share_right=right / px,
        share_right_interior=share(right - total["near_right"], px - total["near"]),
        share_right_boundary=share(total["near_right"], total["near"]),
        **{kind.name.lower(): total[kind.name] for kind in WRONG},
        confidence=share(total["confidence"], total["confident"]),
        **place(total, px),
        purity=first_px / px, **class_columns(legend, second=next_one),
        second_share=second_px / px, share_boundary=total["outer"] / px,
        share_mixed=total["mixed"] / px if "mixed" in total else np.full(len(ids), np.nan),
        known_pixels=_pixels(in_labels, ids),
    )  # fmt: skip
    table = Table({**columns, **_flags(columns)})
    return table.sort_values(["wrong", "share_right", "id"], ascending=[False, True, True], ignore_index=True)


def _of_rank(rows: Rows, rank: int, ids: NDArray[Any]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Find the value of a rank for each unit, `UNKNOWN` where there is none, and its pixels."""
    those = rows["rank"] == rank
    at, there = row_of(ids, rows["id"][those])
    value, px = np.full(len(ids), UNKNOWN, np.int64), np.zeros(len(ids), np.int64)
    value[there], px[there] = rows["value"][those][at], rows["px"][those][at]
    return value, px


def _pixels(rows: Rows, ids: NDArray[Any]) -> NDArray[np.int64]:
    at, there = row_of(rows["id"], ids)
    return np.bincount(at, rows["px"][there], minlength=len(ids)).astype(np.int64)


def _flags(table: Rows) -> dict[str, Any]:
    raised = {
        "small": table["known_pixels"] < SMALL_PX,
        "mixed only": table["share_mixed"] == 1,
        "boundary only": table["share_boundary"] == 1,
        "majority wrong": table["declared"] != table["predicted"],
        "low confidence": table["confidence"] < LOW_CONFIDENCE,
        "wrong at the edge only": (table["wrong"] > 0) & (table["share_right_interior"] == 1),
    }
    bits = sum(np.asarray(raised[flag]) * 2**n for n, flag in enumerate(FLAGS))
    every = [", ".join(f for n, f in enumerate(FLAGS) if number >> n & 1) for number in range(2 ** len(FLAGS))]
    words = np.array(every, object)[bits]
    status = np.select([raised["small"], raised["mixed only"]], ["small", "mixed"], "ok")
    return {"status": status.astype(object), "flags": words}
