"""A map and labels met block by block: all that the measures need to know of a block is worked out here, once."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cscl.errors import InputError
from cscl.events import Job, Note
from cscl.grid import Window, pixel_size_m, require_same, tiles
from cscl.legend import UNKNOWN
from cscl.metrics.bootstrap import drawn_units, numbered_units
from cscl.metrics.boundary import distance_to_class_edge
from cscl.metrics.classes import CommonLegend
from cscl.metrics.counts import small_numbers
from cscl.metrics.displacement import EDGE_MARGIN_PX, bleed_depth
from cscl.metrics.kinds import across_edge, error_kinds
from cscl.metrics.mixed import crossed_pixels
from cscl.metrics.piece import Piece
from cscl.metrics.regions import class_regions
from cscl.metrics.tally import margin_px
from cscl.metrics.vector_edge import Outlines
from cscl.metrics.whole_parcels import Votes, WrongParcels
from cscl.parcels import Parcels
from cscl.products import LabelMap, Prediction
from cscl.report.kinds import Kind

from .judging import Judged
from .options import BlockOptions, ExploreOptions
from .outlines import outlines

__all__ = ["BlockOptions", "ExploreOptions", "Look", "Matched", "in_words"]

MOST_PX = 500
WEB_MERCATOR = (
    "The grid is in Web Mercator (EPSG:3857), whose metres are shorter on the ground: 0.71 m at 45 degrees. Distances "
    "and areas are told too large. Reproject the images to their UTM zone first."
)


@dataclass(frozen=True, eq=False)
class Look(Piece):
    """A block of a map and its labels, and what lies around it as far as edges reach: ``seen``.

    Parameters
    ----------
    block : Window
        Where the piece lies in the scene.
    inner : tuple of slice
        Where it lies in what is seen.
    judged : ndarray of bool
        Axes (y, x) of the piece: whether the pixel has a label and is among those to be judged, predicted or not.
    truth_seen, guess_seen : ndarray of int
        Class indices of all that is seen, negative where unknown or not predicted.
    units_seen : ndarray of int
        Numbers of the units of all that is seen, 0 where there is none.
    parcels_seen : ndarray of int or None
        The same where units are parcels; None where labels know no parcels.
    class_edge_m : ndarray of float32
        Distance of all that is seen to the class edge, as far inside the piece as edges are looked for.
    pixel_size_m : tuple of float
        Height and width of a pixel.
    classes : int
        How many classes there are.
    """

    block: Window
    inner: tuple[slice, slice]
    judged: NDArray[np.bool_]
    truth_seen: NDArray[Any]
    guess_seen: NDArray[Any]
    units_seen: NDArray[Any]
    parcels_seen: NDArray[Any] | None
    class_edge_m: NDArray[np.float32]
    pixel_size_m: tuple[float, float]
    classes: int


@dataclass(frozen=True, eq=False)
class Matched:
    """A map and labels of one grid, their classes matched by id, and what is to be judged.

    Parameters
    ----------
    prediction, labels
        The map and the truth.
    common : CommonLegend
        The classes of both.
    units_YX : ndarray of int
        Id of the parcel, or of the region of one class where labels know no parcels; 0 outside.
    judged : Judged
        Which pixels are judged.
    options : ExploreOptions
        Reach and classes of distance.
    edges_m : float
        How far edges are looked for, metres.
    mixed_YX : ndarray of bool or None
        Pixels through which the outline of a parcel runs; None without polygons.
    outlines : Outlines or None
        Outlines of the parcels; None without polygons.
    own_ids : mapping or None
        What the user calls the parcels, by id; None where it is by these ids, or not known.
    wrong_parcels : WrongParcels or None
        Units that are wrong as a whole; None before they are known.
    """

    prediction: Prediction
    labels: LabelMap
    common: CommonLegend
    units_YX: NDArray[Any] = field(repr=False)
    judged: Judged
    options: ExploreOptions
    edges_m: float
    mixed_YX: NDArray[np.bool_] | None = field(default=None, repr=False)
    outlines: Outlines | None = field(default=None, repr=False)
    own_ids: Mapping[int, str] | None = field(default=None, repr=False)
    wrong_parcels: WrongParcels | None = None

    @classmethod
    def of(
        cls,
        prediction: Prediction,
        labels: LabelMap,
        options: ExploreOptions,
        judged: Judged | None = None,
        parcels: Parcels | None = None,
        reach_m: float = 0.0,
    ) -> Job[Matched]:
        """Match a map with labels; edges are looked for at least as far as `reach_m`.

        Raises
        ------
        GridError
            If the grids differ or count degrees.
        InputError
            If edges are to be looked for farther than 500 pixels away.
        """
        require_same(prediction.grid, labels.grid, f"The map {prediction.name} and the labels {labels.name}")
        pixel_size_m(labels.grid)
        common = CommonLegend.of(labels.legend, prediction.legend)
        crs = labels.grid.crs
        for remark in (*common.remarks, *((WEB_MERCATOR,) if crs is not None and crs.epsg == 3857 else ())):
            yield Note(remark, warning=True)
        units = labels.parcel_ids if labels.parcel_ids is not None else class_regions(labels.ids, labels.legend.ignore)
        mixed, edges = None, None
        if parcels is not None:
            segments, parcel, index = outlines(parcels, labels)
            mixed = crossed_pixels(segments, labels.ids.shape)
            edges = Outlines.of(segments, index[parcel], labels.ids.shape)
        edges_m = max(*options.distances_m, options.reach_m, reach_m)
        if edges_m > MOST_PX * min(pixel_size_m(labels.grid)):
            raise InputError(
                f"A distance of {edges_m:g} m is more than {MOST_PX} pixels: so far around each pixel no edges are "
                "looked for. Give smaller distances."
            )
        own_ids = None if parcels is None or labels.parcel_ids is None else parcels.names_of_ids
        return cls(prediction, labels, common, units, judged or Judged(), options, edges_m, mixed, edges, own_ids)

    @property
    def pixel_size_m(self) -> tuple[float, float]:
        """Height and width of a pixel."""
        return pixel_size_m(self.labels.grid)

    @property
    def index_dtype(self) -> Any:
        """Smallest integers that hold the class indices."""
        return np.int8 if len(self.common.legend) < 128 else np.int16

    @cached_property
    def margin_px(self) -> int:
        """Pixels that are seen around a block."""
        return margin_px(self.pixel_size_m, (self.edges_m,))

    def blocks(self, window: Window) -> Iterator[Window]:
        """Cut a window of the scene into blocks."""
        for tile in tiles((window.height, window.width), self.options.block_px):
            yield Window(window.row + tile.row, window.col + tile.col, tile.height, tile.width)

    def known(self, block: Window) -> bool:
        """Whether a block, or what lies beside it, holds a pixel of known class: else there is nothing to count."""
        ids = self.labels.ids[block.grown(EDGE_MARGIN_PX, self.labels.ids.shape).slices]
        return bool((self.labels.legend.to_index(ids) >= 0).any())

    def guess(self, block: Window) -> NDArray[Any]:
        """Read the predicted class indices of a block, negative where there is no prediction."""
        return self._guess(self.prediction.ids[block.slices].values)

    def judged_px(self, window: Window) -> int:
        """Count the pixels of a window that have a label and are among those to be judged."""
        legend, ids = self.labels.legend, self.labels.ids
        known = (self.judged.of(b) & (legend.to_index(ids[b.slices]) >= 0) for b in self.blocks(window))
        return sum(int(np.count_nonzero(of_block)) for of_block in known)

    def probabilities(self, block: Window) -> NDArray[np.uint8] | None:
        """Read the stored probabilities of a block, axes (class of the map, y, x): bytes; None where there are none."""
        many = self.prediction.probabilities
        return None if many is None else np.asarray(many[:, *block.slices].values, np.uint8)

    def mapped_truth(self, index_YX: NDArray[Any]) -> NDArray[np.int16]:
        """Turn class indices into those of the map's own legend, negative where unknown or not known to the map."""
        mapped = self.prediction.legend.to_index(np.array([*self.common.legend.ids, self.common.legend.ignore]))
        mapped[-1] = UNKNOWN
        of_map: NDArray[np.int16] = mapped[index_YX]  # UNKNOWN, -1, finds the last
        return of_map

    def votes(self, block: Window) -> Votes:
        """Count a block by unit and class, which tells parcels that are wrong as a whole."""
        truth = self.labels.legend.to_index(self.labels.ids[block.slices])
        return Votes.of(self.units_YX[block.slices], truth, self.guess(block), self.judged.of(block))

    def drawn(self, block: Window) -> NDArray[np.int64]:
        """Find what is drawn whole for intervals, axes (y, x) of a block: parcels, or blocks where there are none."""
        parcels = None if self.labels.parcel_ids is None else self.labels.parcel_ids[block.slices]
        return drawn_units(parcels, (block.height, block.width), (block.row, block.col), self.pixel_size_m)

    def look(self, block: Window) -> Look:
        """Work out all that is to be known of a block; map and labels are read as far around it as edges reach."""
        labels, options, size_m = self.labels, self.options, self.pixel_size_m
        seen = block.grown(self.margin_px, labels.ids.shape)
        inner = block.within(seen).slices
        truth = labels.legend.to_index(labels.ids[seen.slices]).astype(self.index_dtype)
        ids, confidence = self.prediction.read(seen)
        guess = self._guess(ids)
        unit_ids, units = small_numbers(self.units_YX[seen.slices])
        edge_m = distance_to_class_edge(truth, size_m, self.edges_m)
        swapped, across = across_edge(truth, guess, edge_m, size_m, options.reach_m, units)
        kinds = error_kinds(truth, guess, size_m, options.reach_m, distance_YX=edge_m, swapped_YX=swapped)[inner]
        judged, known = self.judged.of(block) & (truth[inner] >= 0), labels.parcel_ids is not None
        kinds[~judged] = Kind.NONE
        if self.wrong_parcels is not None:
            kinds = self.wrong_parcels.marked(kinds, units[inner], guess[inner], unit_ids)
        wider = block.grown(EDGE_MARGIN_PX, labels.ids.shape)
        shifted, depth = kinds == Kind.SHIFTED, np.full(kinds.shape, np.nan, np.float32)
        depth[shifted] = bleed_depth(edge_m[inner][shifted], size_m)
        return Look(
            kinds=kinds, bins=_classes_of(edge_m[inner], options.distances_m), truth=truth[inner], guess=guess[inner],
            confidence=confidence[inner], near=edge_m[inner] <= np.float32(options.reach_m),
            mixed=None if self.mixed_YX is None else self.mixed_YX[block.slices],
            units=units[inner], across=across[inner], unit_ids=unit_ids,
            drawn=numbered_units(
                units[inner] if known else None, unit_ids, (block.height, block.width), (block.row, block.col), size_m
            ),
            truth_around=truth[wider.within(seen).slices], units_around=units[wider.within(seen).slices],
            judged_around=self.judged.of(wider), inside=block.within(wider).slices, depth_m=depth,
            corner=(block.row, block.col),
            block=block, inner=inner, judged=judged, truth_seen=truth, guess_seen=guess, units_seen=units,
            parcels_seen=units if known else None,
            class_edge_m=edge_m, pixel_size_m=size_m, classes=len(self.common.legend),
        )  # fmt: skip

    def _guess(self, ids: NDArray[Any]) -> NDArray[Any]:
        return self.common.index(ids).astype(self.index_dtype)


def in_words(window: Window) -> str:
    """Say which rows and columns a window holds."""
    return f"rows {window.row}:{window.row + window.height}, columns {window.col}:{window.col + window.width}"


def _classes_of(distance_m: NDArray[np.float32], limits_m: tuple[float, ...]) -> NDArray[np.uint8]:
    """Which class of distance each pixel is in; the last holds all without an edge, the unknown among them."""
    limits = np.asarray(limits_m, np.float32)
    return np.searchsorted(limits, np.nan_to_num(distance_m, nan=np.inf)).astype(np.uint8)
