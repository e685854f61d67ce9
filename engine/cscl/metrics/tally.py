"""All that is counted when a map meets labels, in pieces that add up, and the definitions by which it is counted."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cscl.legend import Legend
from cscl.report import AccuracyReport, BoundaryReport, BoundarySplit, DistanceCurve

from .boundary import (
    Metres,
    class_boundary,
    distance_to_class_edge,
    distance_to_parcel_edge,
    parcel_boundary,
    reach_px,
)
from .boundary_iou import width_bins
from .confusion import ConfusionMatrix, accuracy_report
from .counts import Numbered, numbered, small_numbers, taken
from .drawn import DrawnTally
from .judged import require_classes
from .parcels import ParcelTally
from .trimap import TrimapTally

__all__ = ["BOUNDARIES", "EDGES", "Tally", "margin_px"]

CLASS, PUBLISHED, PARCEL_1, PARCEL_2 = (
    *("class boundary", "class boundary, published"),
    *("parcel boundary, 1 px", "parcel boundary, 2 px"),
)
CLASS_EDGE, PARCEL_EDGE = "class edge", "parcel edge"

BOUNDARIES = {
    CLASS: "known pixels whose 3 x 3 window holds another known class. "
    "Unknown pixels and the scene's border make no boundary.",
    PUBLISHED: "the same, but 'unknown' counts as a class, so that parcels have a boundary against unlabelled land. "
    "Only for comparison with published figures (Tarasiou et al., IEEE TGRS 2022).",
    PARCEL_1: "pixels of a parcel whose 3 x 3 window holds another parcel, whatever grows there.",
    PARCEL_2: "pixels of a parcel whose 5 x 5 window holds another parcel, whatever grows there.",
}
EDGES = {
    CLASS_EDGE: "Ground distance, Euclidean, from the pixel's centre to the nearest edge between known classes; the "
    "edge lies half a pixel short of the centre of the nearest pixel of another class.",
    PARCEL_EDGE: "Ground distance, Euclidean, from the pixel's centre to the nearest edge of another parcel, whatever "
    "grows there; the edge lies half a pixel short of the centre of its nearest pixel. Pixels outside all parcels are "
    "left out.",
}
ALL = "all judged pixels"
PLACES = 3  # away from the boundary, at the wider one of its two definitions only, at both
WHERE = {PUBLISHED: (0, 1), CLASS: (0, 2), PARCEL_2: (1, 1), PARCEL_1: (1, 2)}  # axis of places, least place

Counts = NDArray[np.int64]
Mask = NDArray[np.bool_]


def margin_px(pixel_size_m: tuple[float, float], limits_m: Sequence[float]) -> int:
    """Pixels of the labels that must be read around a piece, so that no edge that matters to it is missed."""
    return max(2, *reach_px(pixel_size_m, limits_m[-1]))


@dataclass(frozen=True, eq=False)
class Tally:
    """Counts of some pieces of a map. Each judged pixel is counted by what it is, and all figures are sums of that.

    Parameters
    ----------
    limits_m : tuple of float
        Upper limits of the classes of distance, rising; one more class holds the rest.
    by_class_edge : ndarray of int
        Confusion by distance to the class edge: axes (distance, truth, prediction), the last prediction is none.
    by_place : ndarray of int
        Confusion by place: axes (class boundary, parcel boundary, truth, prediction). A place is 0 away from the
        boundary, 1 at the wider definition of it only, 2 at both.
    by_parcel_edge : ndarray of int or None
        Wrong and right pixels by distance to the parcel edge, axes (distance, right); the last distance is that of
        pixels outside all parcels. None where labels do not know their parcels.
    drawn : DrawnTally or None
        The same by what is drawn whole for intervals: by distance to the class edge times `PLACES` plus the place, and
        by that to the parcel edge. None where it was not said what is drawn.
    parcels : tuple of ParcelTally
        One a piece; empty where labels do not know their parcels.
    """

    limits_m: tuple[float, ...]
    by_class_edge: Counts = field(repr=False)
    by_place: Counts = field(repr=False)
    by_parcel_edge: Counts | None = field(repr=False)
    drawn: DrawnTally | None = field(repr=False)
    parcels: tuple[ParcelTally, ...] = field(repr=False)

    @classmethod
    def of(
        cls,
        around_YX: NDArray[Any],
        guess_YX: NDArray[Any],
        confidence_YX: NDArray[Any],
        parcels_YX: NDArray[Any] | None,
        *,
        inner: tuple[slice, slice],
        classes: int,
        pixel_size_m: tuple[float, float],
        limits_m: Sequence[float],
        judged_YX: Mask | None = None,
        drawn_YX: Counts | Numbered | None = None,
        parcel_ids: NDArray[Any] | None = None,
        class_edge_m: Metres | None = None,
    ) -> Tally:
        """Count a piece.

        Parameters
        ----------
        around_YX : ndarray of int
            True class indices of the piece and of `margin_px` around it, as far as the scene reaches; negative where
            unknown.
        guess_YX, confidence_YX : ndarray
            Predicted class indices, negative where there is none, and confidence, 0..1 or NaN, of the piece alone.
        parcels_YX : ndarray of int or None
            Parcel ids as far as `around_YX` reaches, 0 outside all parcels.
        inner : tuple of slice
            Where the piece lies in `around_YX`.
        classes : int
            How many classes there are.
        pixel_size_m : tuple of float
            Height and width of a pixel.
        limits_m : sequence of float
            Upper limits of the classes of distance, rising, finite.
        judged_YX : ndarray of bool, optional
            Which pixels of the piece are counted; by default all. Edges are those of all.
        drawn_YX : ndarray of int or Numbered, optional
            What is drawn whole for intervals: `cscl.metrics.bootstrap.drawn_units` or `numbered_units` of the piece.
        parcel_ids : ndarray of int, optional
            Ids of parcels by number, 0 first, where `parcels_YX` holds their numbers, as `small_numbers` gives them.
        class_edge_m : ndarray, optional
            What `distance_to_class_edge` gives for `around_YX`, at least as far as the last limit, where it is known.

        Raises
        ------
        InputError
            If a pixel has an index of `classes` or more.
        """
        limits, truth = tuple(float(limit) for limit in limits_m), around_YX[inner]
        if class_edge_m is None:
            class_edge_m = distance_to_class_edge(around_YX, pixel_size_m, limits[-1])
        known = truth >= 0 if judged_YX is None else judged_YX & (truth >= 0)
        at = np.flatnonzero(known)
        t, p = taken(at, truth, guess_YX)
        require_classes(classes, t, p)
        pair = t.astype(np.int32) * (classes + 1) + np.where(p < 0, classes, p).astype(np.int32)
        place = class_boundary(around_YX, void_counts=True).astype(np.uint8) + class_boundary(around_YX)
        far, place = taken(at, width_bins(class_edge_m[inner], limits), place[inner])
        ways, by_parcel_edge = [far.astype(np.int16) * PLACES + place], None
        tallies: tuple[ParcelTally, ...] = ()
        places = ways[0] % PLACES * PLACES
        there, right = p >= 0, t == p
        if parcels_YX is not None:
            if parcel_ids is None:
                parcel_ids, parcels_YX = small_numbers(parcels_YX)
            ways += taken(at, _parcel_way(parcels_YX, inner, pixel_size_m, limits))
            places = places + ways[1] % PLACES
            by_parcel_edge = _pairs(ways[1][there] // PLACES, right[there], len(limits) + 2, 2)
            ids, sure = taken(at, parcels_YX[inner], confidence_YX)
            units = Numbered(parcel_ids, ids.astype(np.int64))
            tallies = (ParcelTally.of(units, t, p, sure, ways[1] % PLACES < 2, classes),)
        kinds = [(len(limits) + 1) * PLACES, (len(limits) + 2) * PLACES][: len(ways)]
        drawn = None
        if drawn_YX is not None:
            ids, of = drawn_YX if isinstance(drawn_YX, Numbered) else numbered(drawn_YX.ravel())
            layers = [*taken(at, of), right, *ways]
            of, correct, *rest = layers if there.all() else (layer[there] for layer in layers)
            drawn = DrawnTally.of(Numbered(ids, of), correct, rest, kinds)
        shape = (classes, classes + 1)
        by_class_edge = _pairs(far, pair, len(limits) + 1, classes * (classes + 1)).reshape(-1, *shape)
        by_place = _pairs(places, pair, PLACES**2, classes * (classes + 1)).reshape(PLACES, PLACES, *shape)
        return cls(limits, by_class_edge, by_place, by_parcel_edge, drawn, tallies)

    def __add__(self, other: Tally) -> Tally:
        def added(one: Any, two: Any) -> Any:
            return None if one is None or two is None else one + two

        return Tally(
            self.limits_m, self.by_class_edge + other.by_class_edge, self.by_place + other.by_place,
            added(self.by_parcel_edge, other.by_parcel_edge), added(self.drawn, other.drawn),
            self.parcels + other.parcels,
        )  # fmt: skip

    @property
    def overall(self) -> ConfusionMatrix:
        """Confusion matrix of all known pixels."""
        return ConfusionMatrix(self.by_class_edge.sum(0))

    def at(self, boundary: str) -> ConfusionMatrix:
        """Confusion matrix of the known pixels at one of `BOUNDARIES`."""
        axis, least = WHERE[boundary]
        return ConfusionMatrix(self.by_place.sum(1 - axis)[least:].sum(0))

    def trimap(self, widths_m: Sequence[float]) -> TrimapTally:
        """Read the counts of the trimap curve off; the widths are some of the limits."""
        return TrimapTally(tuple(widths_m), _joined(self.by_class_edge, self.limits_m, widths_m))

    def accuracy(self, legend: Legend) -> AccuracyReport:
        """Accuracy over all known pixels."""
        return accuracy_report(self.overall, legend, ALL)

    def boundary(self, legend: Legend, limits_m: Sequence[float]) -> BoundaryReport:
        """Accuracy at boundaries, by distance, with some of the limits, and by parcel."""
        splits, curves, known = [], [], self.by_parcel_edge is not None
        for name, definition in BOUNDARIES.items():
            if known or WHERE[name][0] == 0:
                at = accuracy_report(self.at(name), legend, f"{name}: boundary")
                away = accuracy_report(self.overall - self.at(name), legend, f"{name}: interior")
                splits.append(BoundarySplit(name, definition, at, away))
        for name, counts in (CLASS_EDGE, self._right_by_class_edge()), (PARCEL_EDGE, self.by_parcel_edge):
            if counts is not None:
                of = _joined(counts[: len(self.limits_m) + 1], self.limits_m, limits_m)
                limits = (*(float(limit) for limit in limits_m), math.inf)
                pixels, right = tuple(of.sum(1).tolist()), tuple(of[:, 1].tolist())
                curves.append(DistanceCurve(name, EDGES[name], limits, pixels, right))
        parcels = ParcelTally.merge(self.parcels).report() if self.parcels else None
        return BoundaryReport(tuple(splits), tuple(curves), parcels)

    def _right_by_class_edge(self) -> Counts:
        """Wrong and right pixels, axes (distance, right)."""
        square = self.by_class_edge[..., :-1]
        right = np.trace(square, axis1=1, axis2=2)
        return np.stack([square.sum((1, 2)) - right, right], 1)


def _parcel_way(
    parcels_YX: NDArray[Any], inner: tuple[slice, slice], pixel_size_m: tuple[float, float], limits_m: Sequence[float]
) -> NDArray[np.int16]:
    """Distance to the parcel edge times `PLACES` plus the place; outside all parcels is one distance more."""
    edge_m = distance_to_parcel_edge(parcels_YX, pixel_size_m, limits_m[-1])[inner]
    far = np.where(np.isnan(edge_m), np.uint8(len(limits_m) + 1), width_bins(edge_m, limits_m))
    place = parcel_boundary(parcels_YX, 2).astype(np.uint8) + parcel_boundary(parcels_YX, 1)
    return far.astype(np.int16) * PLACES + place[inner]


def _pairs(first: NDArray[Any], second: NDArray[Any], firsts: int, seconds: int) -> Counts:
    """Count pairs of small numbers, axes (first, second)."""
    key = first.astype(np.int64) * seconds + second
    return np.bincount(key, minlength=firsts * seconds).reshape(firsts, seconds)


def _joined(counts: Counts, limits_m: Sequence[float], wanted_m: Sequence[float]) -> Counts:
    """Add up classes of distance, the first axis, between fewer limits; the rest comes last."""
    ends = [limits_m.index(limit) + 1 for limit in wanted_m]
    return np.add.reduceat(counts, [0, *ends], axis=0)
