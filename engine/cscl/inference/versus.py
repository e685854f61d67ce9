"""Two maps on the same truth: which pixels the second wins and loses, and whether that is more than chance."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from cscl.errors import InputError
from cscl.events import Job, Note, Progress
from cscl.grid import GeoBox, Window, pixel_size_m, require_same, tile_count, tiles
from cscl.legend import Legend
from cscl.metrics.bootstrap import Resampling, drawn_units
from cscl.metrics.boundary import class_boundary, distance_to_class_edge
from cscl.metrics.classes import CommonLegend
from cscl.metrics.paired import Outcome, PairedTally, outcomes
from cscl.metrics.tally import margin_px
from cscl.products import LabelMap, Prediction

from .judging import Judged, held_out
from .look import BlockOptions

__all__ = ["Outcome", "Versus", "held_out_of_all", "versus"]


@dataclass(frozen=True, eq=False)
class Versus:
    """Two maps on the same truth.

    Parameters
    ----------
    outcomes_YX : ndarray of uint8
        `Outcome` of each pixel, axes (y, x): 0 where not judged or where a map has no class.
    table : DataFrame
        Differences and their intervals; columns as `cscl.metrics.paired.PairedTally.table` names them.
    by_place : ndarray of int
        Pixels of each outcome, axes (interior or class boundary, outcome); the boundary is the 3 x 3 definition.
    legend : Legend
        Classes of labels and maps.
    labels : LabelMap
        The truth.
    names : tuple of str
        What the two maps are called.
    judged : Judged
        Which pixels were judged.
    level : float
        Level of confidence of the intervals, 0..1.
    remarks : tuple of str
        What the reader must know.
    """

    outcomes_YX: NDArray[np.uint8] = field(repr=False)
    table: pd.DataFrame = field(repr=False)
    by_place: NDArray[np.int64] = field(repr=False)
    legend: Legend
    labels: LabelMap
    names: tuple[str, str]
    judged: Judged
    level: float
    remarks: tuple[str, ...] = ()

    @property
    def grid(self) -> GeoBox:
        """Where the pixels lie."""
        return self.labels.grid

    def pixels(self, outcome: Outcome, *, boundary: bool | None = None) -> int:
        """Count the pixels of an outcome at class boundaries, inside, or, by default, both."""
        rows = slice(None) if boundary is None else int(boundary)
        return int(self.by_place[rows, outcome].sum())

    def summary(self) -> str:
        """Say in sentences which map is better, where, and how sure that is."""
        second = self.names[1]
        lines = [self._in_words(row) for row in self.table.iloc[:3].to_dict("records")]
        won, lost = self.pixels(Outcome.WON), self.pixels(Outcome.LOST)
        at = [self.pixels(o, boundary=True) for o in (Outcome.WON, Outcome.LOST)]
        lines.append(
            f"{second} wins {won:,} pixels and loses {lost:,}, {at[0]:,} and {at[1]:,} of them at class boundaries."
        )
        return " ".join(lines)

    def _in_words(self, row: dict[Any, Any]) -> str:
        where = {"everywhere": "Everywhere", "class boundary": "At class boundaries", "interior": "Inside"}[
            row["where"]
        ]
        first, second = self.names
        text = f"{where}: {second} is right on {row['second']:.1%} of the pixels, {first} on {row['first']:.1%}"
        if np.isnan(row["low"]):
            return f"{text}; {row['units']} units are too few to say how sure that is."
        ends = f"{self.level:.0%} interval of the difference {100 * row['low']:+.1f} to {100 * row['high']:+.1f} points"
        return f"{text}; {ends}, {'clear' if row['clear'] else 'not clear'} by {row['units']:,} units."


def held_out_of_all(labels: LabelMap, *models: str | Path | None) -> Judged:
    """Judge what none of some models has seen; see `cscl.inference.judging.held_out`.

    Raises
    ------
    MissingError, InputError
        If there is no such model or it is damaged; if what one has not seen the others have.
    """
    parts = [held_out(labels, model) for model in models]
    masks = [part.where_YX for part in parts if part.where_YX is not None]
    if not masks:
        return parts[0]
    where = np.logical_and.reduce(masks)
    if not where.any():
        raise InputError(
            "What one of the models has not seen the other has learnt from, so that no pixel can judge both fairly. "
            "Train them with the same seed and block size (data.block_px), or compare them on another scene."
        )
    return Judged(where, "of the blocks that were held back from the training of both")


def versus(
    first: Prediction,
    second: Prediction,
    labels: LabelMap,
    options: BlockOptions | None = None,
    *,
    judged: Judged | None = None,
    names: tuple[str, str] | None = None,
    resampling: Resampling | None = None,
) -> Job[Versus]:
    """Compare two maps on the pixels of known class that both say something about. Read block by block.

    Parameters
    ----------
    first, second : Prediction
        Maps of one scene; classes are matched with the labels by id.
    labels : LabelMap
        The truth, on the same grid. Without parcel ids blocks of 320 m are drawn for the intervals.
    options : BlockOptions, optional
        Classes of distance, size of blocks.
    judged : Judged, optional
        From `held_out_of_all`; by default all labelled pixels.
    names : tuple of str, optional
        What to call the maps; by default their own names.
    resampling : Resampling, optional
        How parcels are drawn for the intervals.

    Raises
    ------
    GridError
        If the grids differ or count degrees.
    InputError
        If no judged pixel has a label and a class in both maps.
    """
    options, judged = options or BlockOptions(), judged or Judged()
    for one in (first, second):
        require_same(one.grid, labels.grid, f"The map {one.name} and the labels {labels.name}")
    common = CommonLegend.of_all(labels.legend, first.legend, second.legend)
    remarks = tuple(dict.fromkeys(remark for known in common for remark in known.remarks))
    for remark in remarks:
        yield Note(remark, warning=True)
    shape = labels.ids.shape
    found, tally, total = np.zeros(shape, np.uint8), None, tile_count(shape, options.block_px)
    for number, block in enumerate(tiles(shape, options.block_px), 1):
        part = _look((first, second), common, labels, judged, options, block, found[block.slices])
        tally = part if tally is None else tally + part
        yield Progress("comparing two maps", number, total, "block")
    if tally is None or not tally.by_place[:, Outcome.BOTH_RIGHT :].sum():
        raise InputError(
            f"No pixel {judged.words} has a label in {labels.name} and a class in both {first.name} and {second.name}. "
            "Judge all labelled pixels, or check that the classes of the labels are in their legend."
        )
    legend = common[0].legend
    resampling, names = resampling or Resampling(), names or (first.name, second.name)
    table = tally.table(legend, options.distances_m, resampling)
    return Versus(found, table, tally.by_place, legend, labels, names, judged, resampling.level, remarks)


def _look(
    maps: tuple[Prediction, ...], common: tuple[CommonLegend, ...], labels: LabelMap, judged: Judged,
    options: BlockOptions, block: Window, found: NDArray[Any],
) -> PairedTally:  # fmt: skip
    """Fill in the outcomes of a block and count them; labels are read as far around it as edges reach."""
    size_m, shape = pixel_size_m(labels.grid), labels.ids.shape
    seen = block.grown(margin_px(size_m, options.distances_m), shape)
    inner, around = block.within(seen).slices, labels.index(seen)
    guesses = [known.index(one.read(block)[0]) for known, one in zip(common, maps, strict=True)]
    found[:] = outcomes(around[inner], *guesses)
    if judged.where_YX is not None:
        found[~judged.where_YX[block.slices]] = Outcome.UNKNOWN
    distance = distance_to_class_edge(around, size_m, options.distances_m[-1])[inner]
    bins = np.searchsorted(np.asarray(options.distances_m, np.float32), np.nan_to_num(distance, nan=np.inf))
    parcels = None if labels.parcel_ids is None else labels.parcel_ids[block.slices]
    drawn = drawn_units(parcels, found.shape, (block.row, block.col), size_m)
    return PairedTally.of(
        found, around[inner], guesses, class_boundary(around)[inner], bins, drawn,
        classes=len(common[0].legend), bins=len(options.distances_m) + 1,
    )  # fmt: skip
