"""Calibration: whether probabilities mean what they say, so that of pixels mapped with 80 % in truth 80 % are right.

All is read from counts of pixels by probability, in steps of 1/24000, which add up exactly from however many pieces
a map is read in. Probabilities are rounded to these steps, so that figures are right to about 0.00002.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cscl.errors import InputError

__all__ = ["LEAST", "Calibration", "CalibrationTally", "ReliabilityCurve"]

Counts = NDArray[np.int64]
Values = NDArray[np.float64]

STEPS = 24_000  # a multiple of all common numbers of bins; the counts of a class stay in the cache
LOSS_STEP = 2.0**-24
LEAST = 1e-7  # what stands in for a probability of 0 in a logarithm
PIECE_PX = 2**18


@dataclass(frozen=True, eq=False)
class ReliabilityCurve:
    """Accuracy by confidence, in bins that are not empty; axes (bin,).

    Parameters
    ----------
    lower, upper : ndarray of float
        Limits of the bins, 0..1; a bin holds its upper limit and not its lower one, but the first holds 0.
    confidence : ndarray of float
        Mean probability.
    accuracy : ndarray of float
        Share of pixels that are of the class.
    pixels : ndarray of int
        How many there are.
    """

    lower: Values
    upper: Values
    confidence: Values
    accuracy: Values
    pixels: Counts

    @property
    def gap(self) -> Values:
        """Accuracy less confidence: below 0 the map is too sure of itself."""
        return self.accuracy - self.confidence

    @property
    def expected_error(self) -> float:
        """Mean of the absolute gap over pixels (ECE: Naeini et al., AAAI 2015; Guo et al., ICML 2017, equation 3)."""
        return float(np.average(np.abs(self.gap), weights=self.pixels)) if self.pixels.size else float("nan")

    @property
    def maximum_error(self) -> float:
        """Largest absolute gap of a bin (MCE: Guo et al., equation 5); small bins make it noisy."""
        return float(np.abs(self.gap).max()) if self.pixels.size else float("nan")


@dataclass(frozen=True, eq=False)
class Calibration:
    """Figures of calibration; NaN where no pixel was judged.

    Parameters
    ----------
    pixels : int
        Known pixels that have probabilities.
    accuracy, confidence : float
        Share of right pixels, and mean probability of the predicted class.
    curve : ReliabilityCurve
        Of the predicted class (top label).
    class_curves : tuple of ReliabilityCurve
        Of each class against all others, over all pixels.
    brier : float
        Mean over pixels of the sum over classes of (p - [class is true])^2, 0..2 (Brier 1950).
    log_loss : float
        Mean negative natural logarithm of the probability of the true class.
    """

    pixels: int
    accuracy: float
    confidence: float
    curve: ReliabilityCurve = field(repr=False)
    class_curves: tuple[ReliabilityCurve, ...] = field(repr=False)
    brier: float
    log_loss: float

    @property
    def expected_error(self) -> float:
        """Expected calibration error of the predicted class."""
        return self.curve.expected_error

    @property
    def maximum_error(self) -> float:
        """Maximum calibration error of the predicted class."""
        return self.curve.maximum_error

    @property
    def class_wise_error(self) -> float:
        """Mean over all classes of the expected calibration error of each (Kull et al., NeurIPS 2019)."""
        return float(np.mean([curve.expected_error for curve in self.class_curves]))


@dataclass(frozen=True, eq=False)
class CalibrationTally:
    """Counts of pixels by probability; those of several pieces add up.

    Parameters
    ----------
    top, top_right : ndarray of int
        Axis (step,): pixels by the probability of the predicted class, and those of them that are right.
    given, given_true : ndarray of int
        Axes (class, step): pixels by the probability given to each class, and those of them that are of the class.
    loss : int
        Sum of the negative logarithms of the probability of the true class, in steps of 2**-24.
    """

    top: Counts = field(repr=False)
    top_right: Counts = field(repr=False)
    given: Counts = field(repr=False)
    given_true: Counts = field(repr=False)
    loss: int

    @classmethod
    def of(cls, probabilities: NDArray[Any], truth: NDArray[Any]) -> CalibrationTally:
        """Count the pixels of a piece.

        Parameters
        ----------
        probabilities : ndarray of float
            0..1, axes (class, ...); NaN in the first class where there is no prediction.
        truth : ndarray of int
            Class indices, axes (...), negative where unknown.

        Raises
        ------
        InputError
            If the shapes do not fit, a probability is not in 0..1 or a class index is too high.
        """
        classes = len(probabilities)
        if probabilities.shape[1:] != truth.shape:
            raise InputError(
                f"Probabilities of {classes} classes have {probabilities.shape[1:]} pixels and the truth has "
                f"{truth.shape}. Bring them to one grid."
            )
        if truth.size and truth.max() >= classes:
            raise InputError(f"Class index {truth.max()} of the truth does not fit {classes} probabilities.")
        flat, known = probabilities.reshape(classes, -1), truth.ravel()
        tally = _empty(classes)
        for start in range(0, known.size, PIECE_PX):  # what one piece takes stays in the cache
            t, p = known[start : start + PIECE_PX], flat[:, start : start + PIECE_PX]
            judged = (t >= 0) & ~np.isnan(p[0])
            if not judged.all():
                t, p = t[judged], p.compress(judged, axis=1)
            tally = _counted(tally, p, t)
        return tally

    def __add__(self, other: CalibrationTally) -> CalibrationTally:
        return CalibrationTally(
            self.top + other.top, self.top_right + other.top_right,
            self.given + other.given, self.given_true + other.given_true, self.loss + other.loss,
        )  # fmt: skip

    def result(self, bins: int = 15, by: str = "width") -> Calibration:
        """Read off all figures.

        Parameters
        ----------
        bins : int
            How many bins, commonly 10 to 20.
        by : str
            ``"width"``: bins of one width; ``"mass"``: bins of as nearly one number of pixels as equal probabilities,
            which stay together, allow (Nixon et al., CVPR workshops 2019).

        Raises
        ------
        InputError
            If there is no such number or kind of bins.
        """
        if not 1 <= bins <= STEPS or by not in ("width", "mass"):
            raise InputError(f"Cannot make {bins} bins by '{by}'. Take 1 or more by 'width' or by 'mass'.")
        pixels = int(self.top.sum())
        level = np.arange(STEPS + 1) / STEPS
        # The sum over classes of (p - [true])^2 is that of p^2, less 2 p of the true class, plus 1.
        squares = float(self.given.sum(0) @ level**2) - 2 * float(self.given_true.sum(0) @ level) + pixels
        return Calibration(
            pixels,
            _share(int(self.top_right.sum()), pixels),
            _share(float(self.top @ level), pixels),
            _curve(self.top, self.top_right, bins, by),
            tuple(_curve(n, right, bins, by) for n, right in zip(self.given, self.given_true, strict=True)),
            _share(squares, pixels),
            _share(self.loss * LOSS_STEP, pixels),
        )


def _empty(classes: int) -> CalibrationTally:
    tables = [np.zeros(shape, np.int64) for shape in ((STEPS + 1,), (classes, STEPS + 1))]
    return CalibrationTally(tables[0], tables[0].copy(), tables[1], tables[1].copy(), 0)


def _counted(tally: CalibrationTally, probabilities: NDArray[Any], truth: NDArray[Any]) -> CalibrationTally:
    """Count pixels that are judged into a tally, in place; axes (class, pixel) and (pixel,)."""
    if truth.size == 0:
        return tally
    low, high = probabilities.min(), probabilities.max()
    if not (low >= -1e-6 and high <= 1 + 1e-6):
        raise InputError(
            f"Probabilities lie in {low} to {high}, not in 0 to 1. Divide stored bytes by their scale, and give "
            "probabilities, not scores of the network."
        )
    best, guess = np.full(truth.shape, -1, probabilities.dtype), np.zeros(truth.shape, truth.dtype)
    for k, given in enumerate(probabilities):
        tally.given[k] += np.bincount(_step(given), minlength=STEPS + 1)
        np.copyto(guess, k, where=given > best)
        np.maximum(best, given, out=best)
    own = np.take_along_axis(probabilities, truth[None].astype(np.intp), 0)[0]
    pair = truth * np.int64(STEPS + 1) + _step(own)
    tally.given_true[:] += np.bincount(pair, minlength=tally.given_true.size).reshape(tally.given_true.shape)
    top = _step(best)
    tally.top[:] += np.bincount(top, minlength=STEPS + 1)
    tally.top_right[:] += np.bincount(top[guess == truth], minlength=STEPS + 1)
    loss = np.rint(-np.log(np.clip(own.astype(np.float64), LEAST, 1)) / LOSS_STEP)
    return CalibrationTally(tally.top, tally.top_right, tally.given, tally.given_true, tally.loss + int(loss.sum()))


def _step(probability: NDArray[Any]) -> Counts:
    """Round probabilities to the nearest step."""
    scaled = probability * probability.dtype.type(STEPS)
    scaled += 0.5
    step: Counts = scaled.astype(np.int64)
    return step


def _curve(pixels: Counts, right: Counts, bins: int, by: str) -> ReliabilityCurve:
    """Sum counts by step into bins."""
    if by == "width":
        cuts = np.floor(np.arange(1, bins) * STEPS / bins).astype(np.int64)  # the last step of each bin
    else:
        total = np.cumsum(pixels)
        cuts = np.unique(np.searchsorted(total, np.arange(1, bins) * total[-1] / bins))
    first, last = np.append(0, cuts + 1), np.append(cuts, STEPS)
    first, last = first[first <= last], last[first <= last]
    n, hits = np.add.reduceat(pixels, first), np.add.reduceat(right, first)
    sums = np.add.reduceat(pixels * np.arange(STEPS + 1), first)
    full = n > 0
    lower, upper = np.maximum(0, first - 1) / STEPS, last / STEPS
    n, hits, sums = n[full], hits[full], sums[full]
    return ReliabilityCurve(lower[full], upper[full], sums / STEPS / n, hits / n, n)


def _share(part: float, whole: int) -> float:
    return part / whole if whole else float("nan")
