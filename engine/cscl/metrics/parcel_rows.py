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
from .counts import extent, merged, numbered, taken
from .judged import share
from .piece import Piece
from .unit_tables import class_columns, most, place, ranked

__all__ = ["FLAGS", "count_units", "parcel_table"]

Table = pd.DataFrame

SMALL_PX = 4
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


def count_units(piece: Piece, here: NDArray[np.bool_]) -> Table:
    """Count the pixels of a piece that are `here`, axes (y, x), by unit."""
    outer = parcel_boundary(piece.units_around, 1)[piece.inside]
    layers = (piece.units, piece.kinds, piece.near, piece.confidence, outer)
    units, kinds, near, sure, outer = taken(np.flatnonzero(here), *layers)
    (ids, of), sure = numbered(units), sure.astype(np.float32)
    by_kind = np.bincount(of * len(Kind) + kinds, minlength=len(ids) * len(Kind)).reshape(-1, len(Kind))
    given = ~np.isnan(sure)
    counts = {kind.name: by_kind[:, kind] for kind in Kind if kind}
    counts["near"] = np.bincount(of[near], minlength=len(ids))
    counts["near_right"] = np.bincount(of[near & (kinds == Kind.RIGHT)], minlength=len(ids))
    counts["outer"] = np.bincount(of[outer], minlength=len(ids))
    if piece.mixed is not None:
        counts["mixed"] = np.bincount(of[piece.mixed[here]], minlength=len(ids))
    counts["confidence"] = np.bincount(of[given], sure[given], minlength=len(ids))
    counts["confident"] = np.bincount(of[given], minlength=len(ids))
    return Table({"id": ids.astype(np.int64), **counts, **extent(of, len(ids), here, piece.corner)})


def parcel_table(
    units: Sequence[Table], classes: Sequence[Table], votes: Sequence[Table], legend: Legend, pixel_area_m2: float
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
    total = merged(units, ["id"])
    ids, px, right = total["id"], total[[k.name for k in Kind if k]].sum(axis=1), total["RIGHT"]
    votes_of = ranked(votes)
    rank = votes_of.groupby("id").cumcount()
    first, second = (votes_of[rank == n].set_index("id").reindex(ids) for n in (0, 1))
    predicted, next_one = (np.asarray(rows["value"].fillna(UNKNOWN), np.int64) for rows in (first, second))
    declared = most(classes, ids)
    known = pd.concat(classes).groupby("id")["px"].sum().reindex(ids).fillna(0).to_numpy(np.int64)
    table = Table({"id": ids, **class_columns(legend, declared=declared, predicted=predicted)}, total.index)
    table = table.assign(
        pixels=px, area_ha=px * pixel_area_m2 / 1e4, wrong=px - right, share_right=right / px,
        share_right_interior=share(right - total["near_right"], px - total["near"]),
        share_right_boundary=share(total["near_right"], total["near"]),
        **{kind.name.lower(): total[kind.name] for kind in WRONG},
        confidence=share(total["confidence"], total["confident"]),
        **place(total, px),
        purity=first["px"].to_numpy() / px, **class_columns(legend, second=next_one),
        second_share=second["px"].fillna(0).to_numpy() / px, share_boundary=total["outer"] / px,
        share_mixed=total["mixed"] / px if "mixed" in total else np.nan, known_pixels=known,
    )  # fmt: skip
    table = table.assign(**_flags(table, total))
    return table.sort_values(["wrong", "share_right", "id"], ascending=[False, True, True], ignore_index=True)


def _flags(table: Table, total: Table) -> dict[str, Any]:
    raised = {
        "small": table["known_pixels"] < SMALL_PX,
        "mixed only": table["share_mixed"] == 1,
        "boundary only": table["share_boundary"] == 1,
        "majority wrong": table["declared"] != table["predicted"],
        "low confidence": table["confidence"] < LOW_CONFIDENCE,
        "wrong at the edge only": (table["wrong"] > 0) & (table["share_right_interior"] == 1),
    }
    words = np.array([[f"{flag}, " if up else "" for up in raised[flag]] for flag in FLAGS], object).sum(axis=0)
    status = np.select([raised["small"], raised["mixed only"]], ["small", "mixed"], "ok")
    return {"status": status.astype(object), "flags": [flags.removesuffix(", ") for flags in words]}
