"""All that is counted when a map meets labels, in pieces that add up, and the definitions by which it is counted."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cscl.legend import UNKNOWN, Legend
from cscl.report import AccuracyReport, BoundaryReport, BoundarySplit, DistanceCurve

from .boundary import (
    by_distance,
    class_boundary,
    distance_to_class_edge,
    distance_to_parcel_edge,
    parcel_boundary,
    reach_px,
)
from .confusion import ConfusionMatrix, accuracy_report
from .parcels import ParcelTally

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
ALL = "all known pixels"

Counts = NDArray[np.int64]


def margin_px(pixel_size_m: tuple[float, float], limits_m: Sequence[float]) -> int:
    """Pixels of the labels that must be read around a piece, so that no edge that matters to it is missed."""
    return max(2, *reach_px(pixel_size_m, limits_m[-1]))


@dataclass(frozen=True, eq=False)
class Tally:
    """Counts of some pieces of a map.

    Parameters
    ----------
    matrices : dict
        Confusion matrices of all known pixels and of those at each boundary.
    curves : dict
        By edge, pixels and right pixels by distance: axes (2, bin).
    parcels : tuple of ParcelTally
        One a piece; empty where labels do not know their parcels.
    """

    matrices: dict[str, ConfusionMatrix]
    curves: dict[str, Counts]
    parcels: tuple[ParcelTally, ...]

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
        judged_YX: NDArray[np.bool_] | None = None,
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
        """
        truth, most = around_YX[inner], limits_m[-1]
        truth = truth if judged_YX is None else np.where(judged_YX, truth, UNKNOWN)
        masks = {CLASS: class_boundary(around_YX), PUBLISHED: class_boundary(around_YX, void_counts=True)}
        distances = {CLASS_EDGE: distance_to_class_edge(around_YX, pixel_size_m, most)}
        tallies: tuple[ParcelTally, ...] = ()
        if parcels_YX is not None:
            masks |= {PARCEL_1: parcel_boundary(parcels_YX, 1), PARCEL_2: parcel_boundary(parcels_YX, 2)}
            distances[PARCEL_EDGE] = distance_to_parcel_edge(parcels_YX, pixel_size_m, most)
            layers = (parcels_YX[inner], truth, guess_YX, confidence_YX, ~masks[PARCEL_1][inner])
            tallies = (ParcelTally.of(*layers, classes),)
        matrices = {ALL: ConfusionMatrix.of(truth, guess_YX, classes)}
        for name, mask in masks.items():
            matrices[name] = ConfusionMatrix.of(np.where(mask[inner], truth, UNKNOWN), guess_YX, classes)
        judged, right, curves = (truth >= 0) & (guess_YX >= 0), truth == guess_YX, {}
        for name, distance in distances.items():
            curves[name] = np.stack(by_distance(np.where(judged, distance[inner], np.float32(np.nan)), right, limits_m))
        return cls(matrices, curves, tallies)

    def __add__(self, other: Tally) -> Tally:
        return Tally(
            {name: matrix + other.matrices[name] for name, matrix in self.matrices.items()},
            {name: curve + other.curves[name] for name, curve in self.curves.items()},
            self.parcels + other.parcels,
        )

    @property
    def overall(self) -> ConfusionMatrix:
        """Confusion matrix of all known pixels."""
        return self.matrices[ALL]

    def accuracy(self, legend: Legend) -> AccuracyReport:
        """Accuracy over all known pixels."""
        return accuracy_report(self.overall, legend, ALL)

    def boundary(self, legend: Legend, limits_m: Sequence[float]) -> BoundaryReport:
        """Accuracy at boundaries, by distance and by parcel."""
        splits = []
        for name, definition in BOUNDARIES.items():
            if name in self.matrices:
                at = accuracy_report(self.matrices[name], legend, f"{name}: boundary")
                away = accuracy_report(self.overall - self.matrices[name], legend, f"{name}: interior")
                splits.append(BoundarySplit(name, definition, at, away))
        curves = tuple(
            DistanceCurve(name, EDGES[name], (*limits_m, math.inf), *(tuple(row) for row in curve.tolist()))
            for name, curve in self.curves.items()
        )
        parcels = ParcelTally.merge(self.parcels).report() if self.parcels else None
        return BoundaryReport(tuple(splits), curves, parcels)
