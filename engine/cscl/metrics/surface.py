"""How far apart true and predicted edges lie: boundary F1, normalised surface dice, HD95, average distance.

All are read off one thing: for every boundary element of a class in one map, the Euclidean ground distance to the
nearest boundary element of that class in the other map. There are two kinds of element:

* ``"corners"`` (Nikolov et al., arXiv 1809.04430, and DeepMind's surface-distance): one where four pixels meet that are
  partly of the class. It weighs the length of the contour through it, by marching squares: half a diagonal round one
  pixel or three, a side between two and two, a whole diagonal where two face each other across it;
* ``"pixels"`` (Csurka et al., BMVC 2013, boundary F1): the pixels of the class that share a side with another class.
  Each weighs 1, its place is its centre.

Only pixels that are known in both maps make elements: neither unknown land nor the scene's border is an edge, unlike in
the published codes. Sums over elements are exact in pieces of the map up to the reach that the pieces' margins allow.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.spatial import cKDTree

from cscl.errors import InputError

from .judged import WHOLE, Indices, judged_only, mean_of, share

__all__ = ["ELEMENTS", "EdgeDistances", "SurfaceTally", "surface_margin_px"]

Values = NDArray[np.float64]
Kind = Literal["corners", "pixels"]

ELEMENTS: dict[Kind, str] = {
    "corners": "Edges are contours through the corners where four known pixels meet (marching squares), weighed by "
    "their length in metres. Unknown pixels and the scene's border make no edge.",
    "pixels": "Edges are pixels that share a side with a known pixel of another class; each weighs the same. Unknown "
    "pixels and the scene's border make no edge.",
}
MOST_TABLES = 32  # of so many pieces the counts are added up: the memory of a large map stays flat
DECIMALS = 4  # distances that agree to a tenth of a millimetre are one distance


@dataclass(frozen=True, eq=False)
class EdgeDistances:
    """Distances between true and predicted edges, by class.

    A class without an edge in either map has NaN everywhere. One with an edge in one map only has F1 and surface dice 0
    and distances inf. Means are over the classes with an edge in the truth.

    Parameters
    ----------
    definition : str
        What an edge is: one of `ELEMENTS`.
    tolerances_m : tuple of float
        Metres.
    percentile : float
        Of `hausdorff_m`.
    truth, guess : ndarray
        Weight of the edges, axis (class,): metres of contour, or pixels.
    recall, precision : ndarray
        Share of the true edge that has a predicted one within the tolerance, and of the predicted edge that has a true
        one, axes (tolerance, class); NaN where there is no such edge.
    f1 : ndarray
        Boundary F1: their harmonic mean.
    nsd : ndarray
        Normalised surface dice: share of both edges together that lies within the tolerance of the other.
    hausdorff_m : ndarray
        The distance that `percentile` per cent of an edge keep to the other at most; of the two directions the greater.
        Metres, axis (class,); inf also where it is beyond the tally's reach.
    average_m : ndarray
        Average symmetric surface distance: mean over both edges together. Metres, axis (class,); inf also where any
        part of an edge is beyond the tally's reach.
    capped_m : ndarray
        The same, but distances beyond the tally's reach count as the reach: always finite where the reach is, and the
        same in pieces as in one. Metres, axis (class,).
    mean_f1, mean_nsd : ndarray
        Axis (tolerance,).
    mean_hausdorff_m, mean_average_m, mean_capped_m : float
        Metres.
    """

    definition: str
    tolerances_m: tuple[float, ...]
    percentile: float
    truth: Values = field(repr=False)
    guess: Values = field(repr=False)
    recall: Values = field(repr=False)
    precision: Values = field(repr=False)
    f1: Values = field(repr=False)
    nsd: Values = field(repr=False)
    hausdorff_m: Values = field(repr=False)
    average_m: Values = field(repr=False)
    capped_m: Values = field(repr=False)
    mean_f1: Values
    mean_nsd: Values
    mean_hausdorff_m: float
    mean_average_m: float
    mean_capped_m: float


@dataclass(frozen=True, eq=False)
class SurfaceTally:
    """Histograms of distances of some pieces of a map.

    Parameters
    ----------
    elements : str
        Which kind, a key of `ELEMENTS`.
    classes : int
        How many classes there are.
    reach_m : float
        How far was looked; inf in one piece.
    tables : tuple of DataFrame
        One a piece, or of several. Columns: ``index`` (class), ``side`` (0 true edges, 1 predicted ones),
        ``distance_m`` (to the edge of the other map, inf where none lies within reach), ``weight`` (of one element),
        ``count`` (of elements).
    """

    elements: Kind
    classes: int
    reach_m: float
    tables: tuple[pd.DataFrame, ...] = field(repr=False)

    @classmethod
    def of(
        cls,
        truth_YX: NDArray[Any],
        guess_YX: NDArray[Any],
        *,
        classes: int,
        pixel_size_m: tuple[float, float],
        elements: Kind = "corners",
        reach_m: float = math.inf,
        inner: tuple[slice, slice] = WHOLE,
    ) -> SurfaceTally:
        """Measure a piece.

        Parameters
        ----------
        truth_YX, guess_YX : ndarray of int
            True and predicted class indices, axes (y, x), negative where unknown or not predicted: of the piece and of
            `surface_margin_px` around it, as far as the scene reaches.
        classes : int
            How many classes there are.
        pixel_size_m : tuple of float
            Height and width of a pixel.
        elements : str
            What an edge consists of: ``"corners"`` or ``"pixels"``.
        reach_m : float
            How far to look. Without limit the piece must be the whole scene.
        inner : tuple of slice
            Where the piece lies in the arrays.
        """
        maps = judged_only(truth_YX, guess_YX, classes)
        if elements not in ELEMENTS:
            raise InputError(f"There are no boundary elements '{elements}': give one of {', '.join(ELEMENTS)}.")
        find = _corners if elements == "corners" else _pixels
        truth, guess = (find(m, pixel_size_m) for m in maps)
        bounds = [s.indices(n)[:2] for s, n in zip(inner, maps[0].shape, strict=True)]
        found = []
        for c in range(classes):
            pair = [edges.of_class(c) for edges in (truth, guess)]
            for side, (own, other) in enumerate((pair, pair[::-1])):
                columns = _distances(own.within(bounds), other, maps[0].shape, pixel_size_m, reach_m)
                found.append((np.full(len(columns[0]), c), np.full(len(columns[0]), side), *columns))
        names = ("index", "side", "distance_m", "weight", "count")
        table = pd.DataFrame({n: np.concatenate(c) for n, c in zip(names, zip(*found, strict=True), strict=True)})
        return cls(elements, classes, float(reach_m), (table,))

    def __add__(self, other: SurfaceTally) -> SurfaceTally:
        tables = self.tables + other.tables
        if len(tables) > MOST_TABLES:
            tables = (_merged(tables),)
        return SurfaceTally(self.elements, self.classes, self.reach_m, tables)

    def result(self, tolerances_m: Sequence[float] = (10.0, 20.0), percentile: float = 95.0) -> EdgeDistances:
        """Read the figures off the histograms.

        Raises
        ------
        InputError
            If a tolerance is beyond the reach.
        """
        limits = tuple(float(tolerance) for tolerance in tolerances_m)
        if max(limits, default=0.0) > self.reach_m:
            raise InputError(f"Distances were measured up to {self.reach_m:g} m only: give tolerances up to there.")
        sides = self._histograms()
        total = np.array([[weight.sum() for _, weight in side] for side in sides])
        near = np.array([[[w[d <= limit].sum() for d, w in side] for limit in limits] for side in sides])
        near = near.reshape(2, len(limits), self.classes)
        recall, precision = share(near[0], total[0]), share(near[1], total[1])
        f1 = share(2 * near[0] * near[1], near[0] * total[1] + near[1] * total[0])
        f1[np.isnan(f1) & (total.sum(0) > 0)] = 0.0
        far = np.array([[_percentile(d, w, percentile) for d, w in side] for side in sides])
        hausdorff = np.where(total.sum(0) > 0, np.fmax(*far), np.nan)
        weighed = [
            np.array([[(np.minimum(d, most) * w).sum() for d, w in side] for side in sides]).sum(0)
            for most in (math.inf, self.reach_m)
        ]
        average, capped = (share(metres, total.sum(0)) for metres in weighed)
        nsd, there = share(near.sum(0), total.sum(0)), total[0] > 0
        figures = (f1, nsd, hausdorff, average, capped)
        means = [mean_of(figure, np.broadcast_to(there, figure.shape)) for figure in figures]
        return EdgeDistances(
            ELEMENTS[self.elements], limits, percentile, total[0], total[1],
            recall, precision, f1, nsd, hausdorff, average, capped,
            means[0], means[1], *(float(m) for m in means[2:]),
        )  # fmt: skip

    def _histograms(self) -> list[list[tuple[Values, Values]]]:
        """By side and class: distances, rising, and the weight of the elements that have each of them."""
        merged = _merged(self.tables)
        sides = []
        for side in (0, 1):
            rows = [merged[(merged["side"] == side) & (merged["index"] == c)] for c in range(self.classes)]
            sides.append([(r["distance_m"].to_numpy(), (r["weight"] * r["count"]).to_numpy()) for r in rows])
        return sides


def _merged(tables: tuple[pd.DataFrame, ...]) -> pd.DataFrame:
    """Add up the counts of all pieces; distances rise within a class and side."""
    keys = ["side", "index", "distance_m", "weight"]
    return pd.concat(tables).groupby(keys, as_index=False).agg({"count": "sum"})


def surface_margin_px(pixel_size_m: tuple[float, float], reach_m: float) -> tuple[int, int]:
    """Rows and columns that must be known around a piece for its distances up to `reach_m` to be exact."""
    return math.floor(reach_m / pixel_size_m[0]) + 1, math.floor(reach_m / pixel_size_m[1]) + 1


@dataclass(frozen=True, eq=False)
class Edges:
    """Boundary elements: class, row, column (of one lattice for both maps) and weight, all with axis (element,)."""

    index: NDArray[np.int16]
    row: NDArray[np.int64]
    col: NDArray[np.int64]
    weight: Values

    def where(self, chosen: NDArray[np.bool_]) -> Edges:
        return Edges(self.index[chosen], self.row[chosen], self.col[chosen], self.weight[chosen])

    def of_class(self, index: int) -> Edges:
        return self.where(self.index == index)

    def within(self, bounds: Sequence[Sequence[int]]) -> Edges:
        (top, bottom), (left, right) = bounds
        return self.where((self.row >= top) & (self.row < bottom) & (self.col >= left) & (self.col < right))


def _pixels(index_YX: Indices, pixel_size_m: tuple[float, float]) -> Edges:
    """Pixels that share a side with a known pixel of another class."""
    edge = np.zeros(index_YX.shape, bool)
    for axis in (0, 1):
        low, high = ((slice(None),) * axis + (part,) for part in (slice(None, -1), slice(1, None)))
        meet = (index_YX[low] != index_YX[high]) & (index_YX[low] >= 0) & (index_YX[high] >= 0)
        edge[low] |= meet
        edge[high] |= meet
    row, col = np.nonzero(edge)
    return Edges(index_YX[edge], row, col, np.ones(len(row)))


def _corners(index_YX: Indices, pixel_size_m: tuple[float, float]) -> Edges:
    """Corners where four known pixels meet that are not all of the class; a corner's place is its upper left pixel."""
    slots = (index_YX[:-1, :-1], index_YX[:-1, 1:], index_YX[1:, :-1], index_YX[1:, 1:])
    mixed = (slots[0] != slots[1]) | (slots[0] != slots[2]) | (slots[0] != slots[3])
    for slot in slots:
        mixed &= slot >= 0
    row, col = np.nonzero(mixed)
    values = np.stack([slot[mixed] for slot in slots])
    lengths, found = _contour_m(pixel_size_m), []
    for n in range(4):
        same = values == values[n]
        first = ~same[:n].any(0)  # each class of a corner once
        code = (same * (1 << np.arange(4))[:, None]).sum(0)
        found.append(Edges(values[n], row, col, lengths[code]).where(first))
    return Edges(*(np.concatenate([getattr(e, name) for e in found]) for name in ("index", "row", "col", "weight")))


def _contour_m(pixel_size_m: tuple[float, float]) -> Values:
    """Length of contour through a corner by which of its pixels are of the class: bits 0, 1 above, 2, 3 below them."""
    height, width = pixel_size_m
    half = math.hypot(height, width) / 2
    lengths = np.full(16, half)  # one pixel, or three
    lengths[[0b0011, 0b1100]] = width
    lengths[[0b0101, 0b1010]] = height
    lengths[[0b0110, 0b1001]] = 2 * half
    lengths[[0b0000, 0b1111]] = 0.0
    return lengths


def _distances(
    own: Edges, other: Edges, shape: tuple[int, ...], pixel_size_m: tuple[float, float], reach_m: float
) -> tuple[Values, Values, NDArray[np.int64]]:
    """Count elements by their distance to the nearest of the other map and by weight: distances, weights, counts."""
    metres = np.full(len(own.row), np.inf)
    if len(own.row) and len(other.row):
        there = np.zeros(shape, bool)
        there[other.row, other.col] = True
        apart = ~there[own.row, own.col]
        metres[~apart] = 0.0
        tree = cKDTree(np.stack([other.row, other.col], 1) * pixel_size_m)
        points = np.stack([own.row[apart], own.col[apart]], 1) * pixel_size_m
        metres[apart] = tree.query(points, distance_upper_bound=reach_m * (1 + 1e-9))[0]
    levels = np.unique(own.weight)
    steps = np.where(np.isinf(metres), -1.0, np.round(metres * 10**DECIMALS)).astype(np.int64)
    key = steps * max(1, len(levels)) + np.searchsorted(levels, own.weight)
    key, count = np.unique(key, return_counts=True)
    step, level = np.divmod(key, max(1, len(levels)))
    return np.where(step < 0, np.inf, step / 10**DECIMALS), levels[level], count


def _percentile(distance_m: Values, weight: Values, percentile: float) -> float:
    """Least distance that at least `percentile` per cent of the weight does not exceed; NaN without weight."""
    if not len(weight):
        return math.nan
    cumulated = weight.cumsum()
    enough = cumulated >= cumulated[-1] * (percentile / 100) * (1 - 1e-12)
    return float(distance_m[enough.argmax()])
