"""Where and why a map is wrong: kinds of error, accuracy by distance to the class edge, worst parcels and edges."""

from __future__ import annotations

import math
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import pandas as pd
import shapely
from numpy.typing import NDArray

from cscl.card import ModelCard
from cscl.data.split import Side
from cscl.errors import InputError, MissingError
from cscl.events import Job, Note, Progress
from cscl.grid import GeoBox, Window, pixel_size_m, require_same, tile_count, tiles
from cscl.legend import Legend
from cscl.metrics.bootstrap import drawn_units
from cscl.metrics.boundary import distance_to_class_edge
from cscl.metrics.classes import CommonLegend
from cscl.metrics.error_tally import ErrorTally, Piece, class_pairs
from cscl.metrics.kinds import across_edge, error_kinds
from cscl.metrics.mixed import crossed_pixels
from cscl.metrics.regions import class_regions
from cscl.metrics.tally import margin_px
from cscl.parcels import Parcels
from cscl.products import LabelMap, Prediction
from cscl.report.kinds import WRONG, Kind
from cscl.training.save import split_of

from .assess import REACH_M, AssessOptions

__all__ = ["ErrorAtlas", "ExploreOptions", "Judged", "everything", "explore", "held_out"]


@dataclass(frozen=True)
class ExploreOptions(AssessOptions):
    """How errors are explored."""

    reach_m: Annotated[
        float,
        {"min": 1.0, "max": 200.0, "step": 5.0, "tooltip": "How far from an edge an error is laid to it, metres"},
    ] = REACH_M

    def __post_init__(self) -> None:
        super().__post_init__()
        if not 0 < self.reach_m < math.inf:
            raise InputError(f"The reach of an edge must be more than 0 m, not {self.reach_m}. Try 20.")


@dataclass(frozen=True, eq=False)
class Judged:
    """Which pixels are judged.

    Parameters
    ----------
    where_YX : ndarray of bool or None
        Axes (y, x); None for all.
    words : str
        Completes the sentence "so many pixels ...".
    """

    where_YX: NDArray[np.bool_] | None = field(repr=False)
    words: str


def held_out(labels: LabelMap, model: str | Path | None) -> Judged:
    """Judge what a model has not seen: where it was trained on this grid the blocks held back for the test, else all.

    Edges and unknown land are still those of all labels. `model` is None where it is not known.

    Raises
    ------
    MissingError, InputError
        If there is no such model or it is damaged.
    """
    if model is None:
        return Judged(None, "with a label")
    ModelCard.open(model)  # a model that is gone must not pass for one that has seen nothing
    try:
        return Judged(split_of(model, labels.grid) == Side.TEST, "of the blocks that were held back from training")
    except MissingError:
        return Judged(None, "of a scene that the model never saw")


def everything(labels: LabelMap, model: str | Path | None) -> Judged:
    """Judge every pixel with a label, and say so where the model has learnt from some of them."""
    if held_out(labels, model).where_YX is None:
        return held_out(labels, model)
    return Judged(None, "with a label, among them those that the model has learnt from, which flatters it")


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
    options, judged = options or ExploreOptions(), judged or Judged(None, "with a label")
    require_same(prediction.grid, labels.grid, f"The map {prediction.name} and the labels {labels.name}")
    size_m, common = pixel_size_m(labels.grid), CommonLegend.of(labels.legend, prediction.legend)
    for remark in common.remarks:
        yield Note(remark, warning=True)
    mixed = None if parcels is None else crossed_pixels(_outlines(parcels, labels.grid), labels.ids.shape)
    units = labels.parcel_ids if labels.parcel_ids is not None else class_regions(labels.ids, labels.legend.ignore)
    atlas = _empty(labels, units, mixed, common, judged, options)
    tally, total = None, tile_count(labels.ids.shape, options.block_px)
    for number, block in enumerate(tiles(labels.ids.shape, options.block_px), 1):
        piece = _look(prediction, atlas, common, block)
        part = ErrorTally.of(piece, len(options.distances_m) + 1, size_m)
        tally = part if tally is None else tally + part
        yield Progress("finding errors", number, total, "block")
    if tally is None or not tally.by_bin.sum():
        raise InputError(
            f"No pixel {judged.words} has both a label in {labels.name} and a class in {prediction.name}. "
            "Judge all labelled pixels, or check that the classes of the labels are in their legend."
        )
    edges = tally.edges_table(common.legend)
    return replace(
        atlas, curve=tally.curve(options.distances_m), edges=edges, pairs=class_pairs(edges),
        parcels=tally.parcels(common.legend, size_m[0] * size_m[1]), near=(int(tally.near[0]), int(tally.near[1])),
    )  # fmt: skip


def _empty(
    labels: LabelMap, units: NDArray[Any], mixed: NDArray[np.bool_] | None, common: CommonLegend, judged: Judged,
    options: ExploreOptions,
) -> ErrorAtlas:  # fmt: skip
    """Make room for an atlas, to be filled block by block."""
    shape, none = labels.ids.shape, pd.DataFrame()
    dtype = np.int8 if len(common.legend) < 128 else np.int16
    unit = "region" if labels.parcel_ids is None else "parcel"
    return ErrorAtlas(
        np.zeros(shape, np.uint8), np.zeros(shape, np.uint8), np.full(shape, -1, dtype), units, common.legend, labels,
        none, none, none, none, (0, 0), judged, unit, options, mixed, common.remarks,
    )  # fmt: skip


def _look(prediction: Prediction, atlas: ErrorAtlas, common: CommonLegend, block: Window) -> Piece:
    """Fill a block of an atlas; labels are read as far around it as edges reach."""
    labels, options = atlas.labels, atlas.options
    size_m, shape = pixel_size_m(labels.grid), labels.ids.shape
    seen = block.grown(margin_px(size_m, (max(*options.distances_m, options.reach_m),)), shape)
    inner = block.within(seen).slices
    around, units = labels.legend.to_index(labels.ids[seen.slices]), atlas.units_YX[seen.slices]
    ids, confidence = prediction.read(block)
    guess = np.full(around.shape, -1, atlas.guess_YX.dtype)
    guess[inner] = common.index(ids)
    distance = distance_to_class_edge(around, size_m, max(*options.distances_m, options.reach_m))
    swapped, across = across_edge(around, guess, distance, size_m, options.reach_m, units)
    kinds = error_kinds(around, guess, size_m, options.reach_m, distance_YX=distance, swapped_YX=swapped)[inner]
    if atlas.judged.where_YX is not None:
        kinds[~atlas.judged.where_YX[block.slices]] = Kind.NONE
    bins = np.searchsorted(np.asarray(options.distances_m, np.float32), np.nan_to_num(distance[inner], nan=np.inf))
    atlas.kinds_YX[block.slices], atlas.bins_YX[block.slices] = kinds, bins
    atlas.guess_YX[block.slices] = guess[inner]
    near = distance[inner] <= np.float32(options.reach_m)
    wider = Window(block.row, block.col, block.height + 1, block.width + 1).within(seen).slices
    return Piece(
        kinds, bins.astype(np.uint8), around[inner], guess[inner], confidence, near,
        None if atlas.mixed_YX is None else atlas.mixed_YX[block.slices], units[inner], across[inner],
        atlas.drawn(block), around[wider], units[wider], (block.row, block.col),
    )  # fmt: skip


def _outlines(parcels: Parcels, grid: GeoBox) -> NDArray[np.float64]:
    """Straight pieces of all outlines, axes (segment, end, coordinate): column and row in pixels of the grid."""
    table = parcels.table.to_crs(str(grid.crs)) if parcels.table.crs != grid.crs else parcels.table
    lines = shapely.get_parts(shapely.boundary(table.geometry.values))
    points, line = shapely.get_coordinates(lines, return_index=True)
    back = ~grid.transform
    x, y = points.T
    places = np.stack([back.a * x + back.b * y + back.c, back.d * x + back.e * y + back.f], axis=1)
    same = line[1:] == line[:-1]
    return np.stack([places[:-1][same], places[1:][same]], axis=1)
