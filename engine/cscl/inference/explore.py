"""Where and why a map is wrong: kinds of error, accuracy by distance to the class edge, worst parcels and edges."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Protocol, Self, TypeVar

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from cscl.errors import InputError
from cscl.events import Job, Progress
from cscl.grid import GeoBox, Window, pixel_size_m, tile_count
from cscl.legend import Legend
from cscl.metrics.bootstrap import drawn_units
from cscl.metrics.error_tally import ErrorTally, class_pairs
from cscl.metrics.vector_curve import VectorTally
from cscl.metrics.whole_parcels import Votes
from cscl.parcels import Parcels
from cscl.products import LabelMap, Prediction
from cscl.report.kinds import WRONG, Kind

from .judging import Judged, everything, held_out
from .look import ExploreOptions, Look, Matched, in_words
from .own_ids import with_own_ids

__all__ = ["ErrorAtlas", "ExploreOptions", "Judged", "everything", "explore", "explored", "held_out"]


class Addable(Protocol):
    """Counts of a block that add up to those of several."""

    def __add__(self, other: Self, /) -> Self: ...


T = TypeVar("T", bound=Addable)


@dataclass(frozen=True, eq=False)
class ErrorAtlas:
    """All that is known of the errors of one map.

    Parameters
    ----------
    kinds_YX : ndarray of uint8
        `cscl.report.kinds.Kind` of each pixel, axes (y, x); 0 where it is not judged.
    bins_YX : ndarray of uint8
        Class of distance to the class edge: a row of `curve`.
    guess_YX : ndarray of int
        Predicted class as an index of `legend`, -1 where there is none.
    units_YX : ndarray of int
        Id of the parcel, or of the region of one class where labels know no parcels; 0 outside.
    legend : Legend
        Classes of labels and map.
    labels : LabelMap
        What the map was compared with.
    curve, parcels, edges, pairs : DataFrame
        Accuracy by distance, and units, edges and pairs of classes, the worst first; columns as
        `cscl.metrics.error_tally` names them. Classes are ids; rows and columns are those of the scene, ends exclusive.
        Where the user calls parcels otherwise there are the columns ``own_id``, or ``own_a`` and ``own_b``, too.
    near : tuple of int
        Judged pixels with a class edge within reach, and those of them that are right.
    judged : Judged
        Which pixels were judged.
    unit : str
        ``"parcel"`` or ``"region"``.
    options : ExploreOptions
        Reach and classes of distance.
    mixed_YX : ndarray of bool or None
        Pixels through which the outline of a parcel runs; None without polygons.
    vector : mapping
        Accuracy by distance to the vector edge and to any outline, tables by name as
        `cscl.metrics.vector_curve.VectorTally.curves` gives them; empty without polygons.
    remarks : tuple of str
        What the reader must know.
    """

    kinds_YX: NDArray[np.uint8] = field(repr=False)
    bins_YX: NDArray[np.uint8] = field(repr=False)
    guess_YX: NDArray[Any] = field(repr=False)
    units_YX: NDArray[Any] = field(repr=False)
    legend: Legend
    labels: LabelMap
    curve: pd.DataFrame = field(repr=False)
    parcels: pd.DataFrame = field(repr=False)
    edges: pd.DataFrame = field(repr=False)
    pairs: pd.DataFrame = field(repr=False)
    near: tuple[int, int]
    judged: Judged
    unit: str
    options: ExploreOptions
    mixed_YX: NDArray[np.bool_] | None = field(default=None, repr=False)
    remarks: tuple[str, ...] = ()
    vector: Mapping[str, pd.DataFrame] = field(default_factory=dict, repr=False)

    @classmethod
    def empty(cls, matched: Matched) -> ErrorAtlas:
        """Make room for an atlas, to be filled block by block."""
        labels, shape, none = matched.labels, matched.labels.ids.shape, pd.DataFrame()
        kinds, guess = np.zeros(shape, np.uint8), np.full(shape, -1, matched.index_dtype)
        bins = np.full(shape, len(matched.options.distances_m), np.uint8)
        return cls(
            kinds, bins, guess, matched.units_YX, matched.common.legend, labels, none, none, none, none, (0, 0),
            matched.judged, "region" if labels.parcel_ids is None else "parcel", matched.options, matched.mixed_YX,
            matched.common.remarks,
        )  # fmt: skip

    @property
    def grid(self) -> GeoBox:
        """Where the pixels lie."""
        return self.labels.grid

    @property
    def counts(self) -> dict[Kind, int]:
        """Pixels of each kind, right ones included."""
        return {Kind.RIGHT: int(self.curve["right"].sum())} | {k: int(self.curve[k.name.lower()].sum()) for k in WRONG}

    def drawn(self, block: Window) -> NDArray[np.int64]:
        """Find what is drawn whole for intervals, axes (y, x) of a block: parcels, or blocks where there are none."""
        parcels = None if self.labels.parcel_ids is None else self.labels.parcel_ids[block.slices]
        return drawn_units(parcels, (block.height, block.width), (block.row, block.col), pixel_size_m(self.grid))

    def summary(self) -> str:
        """Say in a sentence how good the map is, and for which pixels that holds."""
        pixels, right = sum(self.counts.values()), self.counts[Kind.RIGHT]
        near, near_right = self.near
        parts = [
            f"{share:.1%} {where}"
            for share, count, where in (
                (near_right / max(1, near), near, f"within {self.options.reach_m:g} m of a class edge"),
                ((right - near_right) / max(1, pixels - near), pixels - near, "further inside"),
            )
            if count
        ]
        return f"Right: {right / pixels:.1%} of {pixels:,} pixels {self.judged.words}; {', '.join(parts)}."


def explore(
    prediction: Prediction,
    labels: LabelMap,
    options: ExploreOptions | None = None,
    *,
    judged: Judged | None = None,
    parcels: Parcels | None = None,
) -> Job[ErrorAtlas]:
    """Find the errors of a map, their kinds, and the parcels and edges where they are. Read block by block.

    Edges are those of all labels, judged or not: a parcel that is held out keeps its neighbours.
    `cscl.inference.assess.assess` gives the same atlas together with a report.

    Parameters
    ----------
    prediction : Prediction
        The map.
    labels : LabelMap
        The truth, on the same grid. Without parcel ids, regions of one class stand in for parcels.
    options : ExploreOptions, optional
        Reach of an edge, classes of distance, size of blocks.
    judged : Judged, optional
        From `held_out` or `everything`; by default all labelled pixels.
    parcels : Parcels, optional
        The polygons behind the labels: with them mixed pixels are known.

    Raises
    ------
    GridError
        If the grids differ or count degrees.
    InputError
        If no judged pixel has both a label and a prediction.
    """
    matched = yield from Matched.of(prediction, labels, options or ExploreOptions(), judged, parcels)
    atlas, _ = yield from explored(matched, Window(0, 0, *labels.ids.shape), "finding errors", lambda look: 0)
    return atlas


def explored(matched: Matched, window: Window, words: str, count: Callable[[Look], T]) -> Job[tuple[ErrorAtlas, T]]:
    """Look at each block of a window once: make the atlas, and add up what else is counted in each.

    Raises
    ------
    InputError
        If no judged pixel has both a label and a prediction.
    """
    votes = yield from _votes(matched, window)
    matched = replace(matched, wrong_parcels=votes.wrong()) if votes.votes else matched
    atlas, bins, size_m = ErrorAtlas.empty(matched), len(matched.options.distances_m) + 1, matched.pixel_size_m
    limits = matched.options.distances_m
    tally, more, vector, total = None, None, None, tile_count((window.height, window.width), matched.options.block_px)
    for number, block in enumerate(matched.blocks(window), 1):
        if matched.known(block):
            look = matched.look(block)
            _fill(atlas, look)
            parts = ErrorTally.of(look, bins, size_m, by_class=False), count(look)
            tally, more = parts if tally is None or more is None else (tally + parts[0], more + parts[1])
            if matched.outlines is not None:
                lines = VectorTally.of(look, matched.outlines, size_m, limits)
                vector = lines if vector is None else vector + lines
        else:
            atlas.guess_YX[block.slices] = matched.guess(block)
        yield Progress(words, number, total, "block")
    if tally is None or more is None:
        raise InputError(
            f"The labels {atlas.labels.name} hold no pixel of known class in {in_words(window)}, so there is nothing "
            "to compare. Choose another window, or check that the classes of the labels are in their legend."
        )
    tally = replace(tally, classes=votes.classes, votes=votes.votes)
    if not tally.by_bin.sum():
        raise InputError(
            f"No pixel {atlas.judged.words} has both a label in {atlas.labels.name} and a class in "
            f"{matched.prediction.name}. Judge all labelled pixels, or check that the map is not empty there."
        )
    edges = with_own_ids(tally.edges_table(atlas.legend, size_m[0] * size_m[1]), matched.own_ids)
    tally = replace(tally, edges=(), lengths=())  # the longest rows: not needed any more
    return replace(
        atlas, curve=tally.curve(limits), edges=edges, pairs=class_pairs(edges),
        parcels=with_own_ids(tally.parcels(atlas.legend, size_m[0] * size_m[1]), matched.own_ids),
        near=(int(tally.near[0]), int(tally.near[1])), vector={} if vector is None else vector.curves(limits),
    ), more  # fmt: skip


def _votes(matched: Matched, window: Window) -> Job[Votes]:
    """Count all pixels by parcel first: only then it is known which parcels are wrong as a whole."""
    votes, total = Votes((), ()), tile_count((window.height, window.width), matched.options.block_px)
    for number, block in enumerate(matched.blocks(window), 1):
        if matched.known(block):
            votes += matched.votes(block)
        yield Progress("counting parcels", number, total, "block")
    return votes


def _fill(atlas: ErrorAtlas, look: Look) -> None:
    part = look.block.slices
    atlas.kinds_YX[part], atlas.bins_YX[part], atlas.guess_YX[part] = look.kinds, look.bins, look.guess
