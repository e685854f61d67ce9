"""Tolerant beside strict accuracy: a pixel counts as right if its class occurs nearby in the truth.

Outlines of parcels and the places of images are known to some metres only, so that errors of that size at an edge may
be the reference's. Strict accuracy stands beside: tolerance forgives errors, it does not mend them.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cscl.errors import InputError

from .boundary import ground_distance, reach_px
from .judged import WHOLE, mean_of, require_classes, share

__all__ = ["TolerantAccuracy", "ToleranceTally"]

Counts = NDArray[np.int64]
Values = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class TolerantAccuracy:
    """Accuracy by tolerance; the first tolerance is 0: strict.

    A wrong pixel is forgiven at r metres if a true pixel of its *predicted* class begins within r of its centre, by the
    ground distance of `cscl.metrics.boundary`: of an edge that is displaced by r, all errors are forgiven.

    Parameters
    ----------
    tolerances_m : tuple of float
        0 and the tolerances, metres.
    accuracy : ndarray
        Share of judged pixels that are right or forgiven, axis (tolerance,), NaN without a pixel.
    recall, precision : ndarray
        The same of the pixels of each true and of each predicted class, axes (tolerance, class), NaN for classes
        without a pixel there.
    balanced_accuracy : ndarray
        Mean recall of the classes that occur in the truth, axis (tolerance,).
    """

    tolerances_m: tuple[float, ...]
    accuracy: Values
    recall: Values = field(repr=False)
    precision: Values = field(repr=False)
    balanced_accuracy: Values


@dataclass(frozen=True, eq=False)
class ToleranceTally:
    """Counts of some pieces of a map.

    Parameters
    ----------
    tolerances_m : tuple of float
        0 and the tolerances, metres.
    counts : ndarray of int
        Judged pixels by the first tolerance at which they are right, axes (tolerance + 1, truth, prediction); the last
        holds those that are never.
    """

    tolerances_m: tuple[float, ...]
    counts: Counts = field(repr=False)

    @classmethod
    def of(
        cls,
        truth_YX: NDArray[Any],
        guess_YX: NDArray[Any],
        *,
        classes: int,
        pixel_size_m: tuple[float, float],
        tolerances_m: Sequence[float] = (10.0, 20.0),
        inner: tuple[slice, slice] = WHOLE,
    ) -> ToleranceTally:
        """Count a piece.

        Parameters
        ----------
        truth_YX : ndarray of int
            True class indices, axes (y, x), negative where unknown: of the piece and of `reach_px` of the greatest
            tolerance around it, as far as the scene reaches.
        guess_YX : ndarray of int
            Predicted class indices of the piece alone, negative where there is no prediction.
        classes : int
            How many classes there are.
        pixel_size_m : tuple of float
            Height and width of a pixel.
        tolerances_m : sequence of float
            Tolerances, rising. Less than half a pixel forgives nothing. Time grows with the square of the last.
        inner : tuple of slice
            Where the piece lies in `truth_YX`.
        """
        limits = tuple(float(tolerance) for tolerance in tolerances_m)
        if not limits or limits[0] <= 0 or sorted(set(limits)) != list(limits):
            raise InputError(f"Tolerances of {list(limits)} m: give rising ones above 0.")
        truth = truth_YX[inner]
        judged = (truth >= 0) & (guess_YX >= 0)
        t, g = truth[judged].astype(np.intp), guess_YX[judged].astype(np.intp)
        require_classes(classes, t, g)
        first = np.zeros(len(t), np.intp)
        wrong = t != g
        first[wrong] = 1 + _nearest(truth_YX, inner, np.argwhere(judged)[wrong], g[wrong], pixel_size_m, limits)
        key = (first * classes + t) * classes + g
        size = (len(limits) + 2, classes, classes)
        return cls((0.0, *limits), np.bincount(key, minlength=int(np.prod(size))).reshape(size))

    def __add__(self, other: ToleranceTally) -> ToleranceTally:
        return ToleranceTally(self.tolerances_m, self.counts + other.counts)

    def result(self) -> TolerantAccuracy:
        """Read the figures off the counts."""
        right, total = self.counts.cumsum(0)[:-1], self.counts.sum(0)
        recall = share(right.sum(2), total.sum(1))
        return TolerantAccuracy(
            self.tolerances_m,
            share(right.sum((1, 2)), total.sum()),
            recall,
            share(right.sum(1), total.sum(0)),
            mean_of(recall, np.broadcast_to(total.sum(1) > 0, recall.shape)),
        )


def _nearest(
    truth_YX: NDArray[Any],
    inner: tuple[slice, slice],
    places: NDArray[np.int64],
    guess: NDArray[np.intp],
    pixel_size_m: tuple[float, float],
    limits_m: tuple[float, ...],
) -> NDArray[np.intp]:
    """Find the first tolerance that reaches a true pixel of the predicted class; the number of tolerances if none does.

    Pixels are followed ring by ring of growing distance, and dropped when found.
    """
    rows, cols = reach_px(pixel_size_m, limits_m[-1])
    around = np.pad(truth_YX, ((rows, rows), (cols, cols)), constant_values=-1).astype(np.int16)
    width, flat = around.shape[1], around.ravel()
    corner = [s.indices(n)[0] for s, n in zip(inner, truth_YX.shape, strict=True)]
    at = (places[:, 0] + corner[0] + rows) * width + places[:, 1] + corner[1] + cols
    first = np.full(len(guess), len(limits_m), np.intp)
    left, wanted = np.arange(len(guess)), guess.astype(np.int16)
    for bin, steps in _rings(rows, cols, pixel_size_m, limits_m):
        for dy, dx in steps:
            found = flat[at + (dy * width + dx)] == wanted
            first[left[found]] = bin
            left, at, wanted = left[~found], at[~found], wanted[~found]
    return first


def _rings(
    rows: int, cols: int, pixel_size_m: tuple[float, float], limits_m: tuple[float, ...]
) -> Iterator[tuple[int, NDArray[np.int64]]]:
    """Yield the number of each tolerance and the steps (dy, dx) that it is the first to allow."""
    steps = np.argwhere(np.ones((2 * rows + 1, 2 * cols + 1), bool)) - (rows, cols)
    metres = ground_distance(rows, cols, pixel_size_m)[abs(steps[:, 0]), abs(steps[:, 1])]
    order = np.argsort(metres, kind="stable")
    bins = np.searchsorted(np.asarray(limits_m, np.float32), metres[order], side="left")
    for bin in range(len(limits_m)):
        yield bin, steps[order][bins == bin]
