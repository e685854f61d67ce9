"""Calibration of a map as it is stored: confidence and probabilities in bytes, counted exactly and block by block.

A stored map says of each pixel how probable its class is (confidence) and, where it was asked to, how probable each
class is. Both are bytes, 0..250 for 0..1, so that counts by byte hold all there is, in a few kilobytes.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from cscl.legend import Legend
from cscl.report import Part, Value

from .calibration import LEAST, LOSS_STEP, STEPS, Calibration, CalibrationTally, ReliabilityCurve
from .temperature import fit_temperature

__all__ = ["StoredTally", "calibration_part"]

Counts = NDArray[np.int64]
Bytes = NDArray[np.uint8]

FULL, BYTES = 250, 256
BINS = 15
SAMPLE_PX = 40_000
"""About how many pixels a temperature is fitted to: more change it by less than the step of a byte does."""
WITHOUT = (
    "The map holds no probabilities of all classes, so that there is no figure by class, no Brier score, no log loss "
    "and no temperature. Predict with --probabilities to have them."
)
DEFINITION = (
    "Whether the map is right as often as it says. Confidence is the stored probability of the predicted class, in "
    "steps of 1/250; pixels are put into 15 bins of equal width. The expected calibration error (ECE) is the mean over "
    "pixels of the absolute difference between accuracy and confidence of their bin (Naeini et al., AAAI 2015; Guo et "
    "al., ICML 2017, equation 3), the maximum error that of the worst bin. No edge plays a part."
)
TEMPERATURE = (
    "The temperature (Guo et al., ICML 2017, section 4.2) is fitted to a sample of {:,} of the judged pixels, drawn by "
    "their place. The errors after it are those of the same pixels, and so are a little too good."
)


@dataclass(frozen=True, eq=False)
class StoredTally:
    """Counts of some pieces of a map.

    Parameters
    ----------
    top, top_right : ndarray of int
        Axis (byte,): judged pixels by their confidence, and those of them that are right.
    given, given_true : ndarray of int or None
        Axes (class of the map, byte): pixels of classes that the map knows by the probability given to each class, and
        those of them that are of the class. None where the map holds no such probabilities.
    sample : tuple of ndarray
        One a piece: axes (1 + class, pixel): the true class, and the probability given to each.
    """

    top: Counts = field(repr=False)
    top_right: Counts = field(repr=False)
    given: Counts | None = field(default=None, repr=False)
    given_true: Counts | None = field(default=None, repr=False)
    sample: tuple[NDArray[np.int16], ...] = field(default=(), repr=False)

    @classmethod
    def of(
        cls,
        confidence_YX: NDArray[np.float32],
        right_YX: NDArray[np.bool_],
        judged_YX: NDArray[np.bool_],
        probabilities_KYX: Bytes | None = None,
        truth_YX: NDArray[Any] | None = None,
        corner: tuple[int, int] = (0, 0),
        every_px: int = 1,
    ) -> StoredTally:
        """Count a piece.

        Parameters
        ----------
        confidence_YX : ndarray of float
            Stored confidence, 0..1 in steps of 1/250, NaN where there is none.
        right_YX, judged_YX : ndarray of bool
            Whether the predicted class is right; whether the pixel is judged.
        probabilities_KYX : ndarray of uint8, optional
            Stored probabilities, axes (class of the map, y, x): 0..250, 255 where there are none.
        truth_YX : ndarray of int, optional
            True classes as the map numbers them, negative where unknown or not known to the map.
        corner : tuple of int
            Row and column of the piece in the scene: the sample for the temperature is the same in any pieces.
        every_px : int
            One in so many pixels is put into the sample.
        """
        sure = judged_YX & ~np.isnan(confidence_YX)
        key = np.rint(confidence_YX[sure] * FULL).astype(np.int64) * 2 + right_YX[sure]
        wrong, right = np.bincount(key, minlength=2 * BYTES).reshape(BYTES, 2).T
        if probabilities_KYX is None or truth_YX is None:
            return cls(wrong + right, right)
        judged = judged_YX & (truth_YX >= 0) & (probabilities_KYX[0] <= FULL)
        given, own = _by_class(probabilities_KYX, truth_YX, judged)
        chosen = judged & _thinned(judged.shape, corner, every_px)
        part = np.concatenate([truth_YX[chosen][None], probabilities_KYX[:, chosen]], dtype=np.int16)
        return cls(wrong + right, right, given, own, (part,))

    def __add__(self, other: StoredTally) -> StoredTally:
        given, true = (
            None if one is None or two is None else one + two
            for one, two in ((self.given, other.given), (self.given_true, other.given_true))
        )
        top, right = self.top + other.top, self.top_right + other.top_right
        return StoredTally(top, right, given, true, self.sample + other.sample)

    def of_map(self) -> Calibration:
        """Calibration of the predicted class; figures by class are not in it."""
        none = np.zeros((1, STEPS + 1), np.int64)
        return CalibrationTally(_stepped(self.top), _stepped(self.top_right), none, none, 0).result(BINS)

    def of_classes(self) -> Calibration | None:
        """Calibration of all classes, over the pixels of classes that the map knows; None without probabilities."""
        if self.given is None or self.given_true is None or not self.given.any():
            return None
        levels = np.log(np.maximum(np.arange(BYTES) / FULL, LEAST))
        loss = int(np.rint(-float(self.given_true.sum(0) @ levels) / LOSS_STEP))
        given, true = _stepped(self.given), _stepped(self.given_true)
        return CalibrationTally(given[0], true[0], given, true, loss).result(BINS)


def calibration_part(tally: StoredTally, legend: Legend) -> Part:
    """Make the part on calibration; `legend` is that of the map."""
    found, classes = tally.of_map(), tally.of_classes()
    values = [
        Value("confidence", "mean confidence", found.confidence, "share"),
        Value("accuracy", "accuracy of the pixels that have a confidence", found.accuracy, "share"),
        Value("expected_calibration_error", "expected calibration error (ECE)", found.expected_error, "share"),
        Value("maximum_calibration_error", "maximum calibration error", found.maximum_error, "share"),
    ]
    tables, remarks = {"reliability": _reliability(found.curve)}, []
    if not found.pixels:
        remarks.append("No judged pixel has a confidence: there is nothing to say on calibration.")
    if classes is None:
        remarks.append(WITHOUT)
        return Part("calibration", "Calibration", DEFINITION, values, tables, remarks)
    values += [
        Value("class_wise_error", "mean over classes of the ECE of each", classes.class_wise_error, "share"),
        Value("brier", "Brier score, 0 to 2", classes.brier),
        Value("log_loss", "log loss", classes.log_loss),
    ]
    errors = [curve.expected_error for curve in classes.class_curves]
    columns = {"class": legend.ids, "crop": legend.names, "expected_calibration_error": errors}
    tables["by_class"] = pd.DataFrame(columns)
    more, words = _temperature(tally.sample)
    return Part("calibration", "Calibration", DEFINITION, [*values, *more], tables, [*remarks, *words])


def _temperature(sample: Sequence[NDArray[np.int16]]) -> tuple[list[Value], list[str]]:
    drawn = np.concatenate(sample, 1)
    if not drawn.shape[1]:
        return [], ["Too few pixels for a temperature."]
    found = fit_temperature(drawn[1:] / np.float32(FULL), drawn[0].astype(np.int64))
    values = [
        Value("temperature", "temperature: above 1 the map is too sure of itself", found.value),
        Value("ece_before_temperature", "ECE of the sample as it is", found.before.expected_error, "share"),
        Value("ece_after_temperature", "ECE of the sample after it", found.after.expected_error, "share"),
    ]
    return values, [TEMPERATURE.format(drawn.shape[1]), *found.remarks]


def _reliability(curve: ReliabilityCurve) -> pd.DataFrame:
    columns = {name: getattr(curve, name) for name in ("lower", "upper", "confidence", "accuracy", "pixels")}
    return pd.DataFrame(columns)


def _stepped(counts: Counts) -> Counts:
    """Put counts by byte at the finer steps of `CalibrationTally`, axes (..., step)."""
    fine = np.zeros((*counts.shape[:-1], STEPS + 1), np.int64)
    fine[..., :: STEPS // FULL] = counts[..., : FULL + 1]
    return fine


def _by_class(given_KYX: Bytes, truth_YX: NDArray[Any], judged_YX: NDArray[np.bool_]) -> tuple[Counts, Counts]:
    """Count judged pixels by the byte given to each class, and to their own class: axes (class, byte)."""
    classes, left_out = len(given_KYX), np.flatnonzero(~judged_YX)
    given = np.zeros((classes, BYTES), np.int64)
    for k, layer in enumerate(given_KYX):  # all of them less some is quicker than choosing
        given[k] = np.bincount(layer.ravel(), minlength=BYTES) - np.bincount(layer.ravel()[left_out], minlength=BYTES)
    at = np.flatnonzero(judged_YX)
    truth = truth_YX.ravel()[at].astype(np.int64)
    byte = given_KYX.reshape(classes, -1)[truth, at]
    return given, np.bincount(truth * BYTES + byte, minlength=classes * BYTES).reshape(classes, BYTES)


def _thinned(shape: tuple[int, int], corner: tuple[int, int], every_px: int) -> NDArray[np.bool_]:
    """Draw one in so many pixels by a hash of their place (the finaliser of MurmurHash3), alike in any pieces."""
    row, col = (np.arange(n, dtype=np.uint32) + np.uint32(first) for n, first in zip(shape, corner, strict=True))
    key = (row[:, None] << np.uint32(16)) ^ col
    for shift, factor in ((16, 0x85EBCA6B), (13, 0xC2B2AE35)):
        key = (key ^ (key >> np.uint32(shift))) * np.uint32(factor)
    return np.asarray((key ^ (key >> np.uint32(16))) % np.uint32(max(1, every_px)) == 0)
