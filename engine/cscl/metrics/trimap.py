"""Accuracy within bands of growing width around class edges: the trimap curve.

The curve is that of Kohli, Ladicky and Torr (IJCV 2009) and of Kraehenbuehl and Koltun (NIPS 2011): the metrics of
those pixels alone that lie within w of an edge of the *truth*, for growing w. It cumulates; accuracy by classes of
distance (`cscl.metrics.error_tally`) does not. Edges are those between known classes and distances are ground distances
to them (`cscl.metrics.boundary`): neither unknown land nor the scene's border makes an edge.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cscl.errors import InputError

from .boundary import Metres, distance_to_class_edge
from .boundary_iou import width_bins
from .confusion import ConfusionMatrix
from .judged import WHOLE

__all__ = ["TrimapCurve", "TrimapTally"]

Counts = NDArray[np.int64]

WIDTHS_M = (10.0, 20.0, 30.0, 40.0, 50.0, 60.0)
DISTANCE = "within {} m, Euclidean ground distance, of an edge between known classes of the truth"


@dataclass(frozen=True, eq=False)
class TrimapCurve:
    """Figures of the pixels within each width of a class edge, cumulated; axis (width,).

    Parameters
    ----------
    widths_m : tuple of float
        Widths of the band on either side of the edge, metres.
    pixels : ndarray of int
        Pixels with a known class and a prediction.
    accuracy, mean_iou : ndarray
        0..1, NaN where a band is empty. The mean is over classes that occur in truth or prediction within the band.
    """

    widths_m: tuple[float, ...]
    pixels: Counts
    accuracy: NDArray[np.float64]
    mean_iou: NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class TrimapTally:
    """Counts of some pieces of a map.

    Parameters
    ----------
    widths_m : tuple of float
        As in `TrimapCurve`.
    counts : ndarray of int
        Confusion by class of distance, axes (width + 1, truth, prediction); the last distance holds the rest, the last
        prediction is none.
    """

    widths_m: tuple[float, ...]
    counts: Counts = field(repr=False)

    @classmethod
    def of(
        cls,
        truth_YX: NDArray[Any],
        guess_YX: NDArray[Any],
        *,
        classes: int,
        pixel_size_m: tuple[float, float],
        widths_m: Sequence[float] = WIDTHS_M,
        inner: tuple[slice, slice] = WHOLE,
        distance_YX: Metres | None = None,
    ) -> TrimapTally:
        """Count a piece.

        Parameters
        ----------
        truth_YX : ndarray of int
            True class indices, axes (y, x), negative where unknown: of the piece and of `reach_px` of the greatest
            width (at least one pixel) around it, as far as the scene reaches.
        guess_YX : ndarray of int
            Predicted class indices of the piece alone, negative where there is no prediction.
        classes : int
            How many classes there are.
        pixel_size_m : tuple of float
            Height and width of a pixel.
        widths_m : sequence of float
            Widths of the bands, rising.
        inner : tuple of slice
            Where the piece lies in `truth_YX`.
        distance_YX : ndarray, optional
            What `distance_to_class_edge` gives for `truth_YX`, at least as far as the greatest width, where it is known
            already.
        """
        widths = tuple(float(width) for width in widths_m)
        if not widths or sorted(set(widths)) != list(widths):
            raise InputError(f"Widths of {list(widths)} m: give at least one, rising.")
        if distance_YX is None:
            distance_YX = distance_to_class_edge(truth_YX, pixel_size_m, widths[-1])
        truth = truth_YX[inner]
        bins = width_bins(distance_YX[inner], widths)
        counts = _confusions(bins, truth, guess_YX, len(widths) + 1, classes)
        return cls(widths, counts)

    def __add__(self, other: TrimapTally) -> TrimapTally:
        return TrimapTally(self.widths_m, self.counts + other.counts)

    def result(self) -> TrimapCurve:
        """Read the curve off the counts."""
        bands = [self.within(width) for width in self.widths_m]
        return TrimapCurve(
            self.widths_m,
            np.array([band.pixels for band in bands]),
            np.array([band.overall_accuracy for band in bands]),
            np.array([band.mean_iou for band in bands]),
        )

    def within(self, width_m: float) -> ConfusionMatrix:
        """Confusion of the pixels within one of the widths of a class edge."""
        if width_m not in self.widths_m:
            raise InputError(f"Nothing was counted within {width_m} m of edges, only within {list(self.widths_m)} m.")
        return ConfusionMatrix(self.counts[: self.widths_m.index(width_m) + 1].sum(0))


def _confusions(bins: NDArray[np.uint8], truth: NDArray[Any], guess: NDArray[Any], count: int, classes: int) -> Counts:
    """Confusion matrices by bin in one pass, as `ConfusionMatrix` counts: axes (bin, truth, prediction)."""
    known = truth >= 0
    t, p = truth[known], guess[known]
    top = max(t.max(initial=-1), p.max(initial=-1))
    if top >= classes:
        raise InputError(f"Class index {top} is not one of {classes} classes: give the number of the legend.")
    key = (bins[known].astype(np.int32) * classes + t.astype(np.int32)) * (classes + 1)
    key += np.where(p < 0, classes, p).astype(np.int32)
    return np.bincount(key, minlength=count * classes * (classes + 1)).reshape(count, classes, classes + 1)
