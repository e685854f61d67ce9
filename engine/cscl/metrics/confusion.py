"""The confusion matrix and the figures that are read off it.

Rows are the truth, columns the prediction. One column more counts the known pixels that have no prediction: they are
shown but take part in no figure, for a map says nothing there, neither right nor wrong. A figure that is not defined
(no pixel, no such class) is NaN; means over classes leave such classes out.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cscl.errors import InputError
from cscl.legend import Legend
from cscl.report import AccuracyReport, ClassScore

__all__ = ["ConfusionMatrix", "accuracy_report"]

Values = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class ConfusionMatrix:
    """Counts of pixels by true and predicted class.

    Parameters
    ----------
    counts : ndarray
        int64, axes (truth, prediction), K x (K + 1); the last column counts pixels without a prediction.
    """

    counts: NDArray[np.int64] = field(repr=False)

    @classmethod
    def empty(cls, classes: int) -> ConfusionMatrix:
        """Matrix of `classes` classes and no pixels."""
        return cls(np.zeros((classes, classes + 1), np.int64))

    @classmethod
    def of(cls, truth: NDArray[Any], prediction: NDArray[Any], classes: int) -> ConfusionMatrix:
        """Count class indices 0..K-1 of two arrays of one shape, in one pass.

        Parameters
        ----------
        truth, prediction : ndarray of int
            Class indices. Pixels with a negative truth are left out; a negative prediction means there is none.
        classes : int
            How many classes there are, K.

        Raises
        ------
        InputError
            If the shapes differ or an index is K or more.
        """
        if truth.shape != prediction.shape:
            raise InputError(f"Truth and prediction differ in shape: {truth.shape} and {prediction.shape} pixels.")
        known = truth >= 0
        t, p = truth[known].astype(np.int64), prediction[known].astype(np.int64)
        top = max(t.max(initial=-1), p.max(initial=-1))
        if top >= classes:
            raise InputError(f"Class index {top} does not fit a confusion matrix of {classes} classes.")
        pairs = t * (classes + 1) + np.where(p < 0, classes, p)
        return cls(np.bincount(pairs, minlength=classes * (classes + 1)).reshape(classes, classes + 1))

    def __add__(self, other: ConfusionMatrix) -> ConfusionMatrix:
        return ConfusionMatrix(self.counts + other.counts)

    def __sub__(self, other: ConfusionMatrix) -> ConfusionMatrix:
        return ConfusionMatrix(self.counts - other.counts)

    @property
    def square(self) -> NDArray[np.int64]:
        """Counts of pixels that have a prediction, K x K: what all figures are read off."""
        return self.counts[:, :-1]

    @property
    def pixels(self) -> int:
        """Known pixels that have a prediction."""
        return int(self.square.sum())

    @property
    def overall_accuracy(self) -> float:
        """Share of pixels whose class is right."""
        return _ratio(np.trace(self.square), self.pixels).item()

    @property
    def precision(self) -> Values:
        """Per class, the share of pixels mapped as it that are it (user's accuracy)."""
        return _ratio(np.diag(self.square), self.square.sum(0))

    @property
    def recall(self) -> Values:
        """Per class, the share of its pixels that are mapped as it (producer's accuracy)."""
        return _ratio(np.diag(self.square), self.square.sum(1))

    @property
    def f1(self) -> Values:
        """Per class, the harmonic mean of precision and recall: 2 TP / (2 TP + FP + FN)."""
        return _ratio(2 * np.diag(self.square), self.square.sum(0) + self.square.sum(1))

    @property
    def iou(self) -> Values:
        """Per class, intersection over union: TP / (TP + FP + FN)."""
        right = np.diag(self.square)
        return _ratio(right, self.square.sum(0) + self.square.sum(1) - right)

    @property
    def balanced_accuracy(self) -> float:
        """Mean recall of the classes that occur in the truth."""
        return _mean(self.recall)

    @property
    def mean_iou(self) -> float:
        """Mean IoU of the classes that occur in truth or prediction."""
        return _mean(self.iou)

    @property
    def macro_f1(self) -> float:
        """Mean F1 of the classes that occur in truth or prediction."""
        return _mean(self.f1)

    @property
    def kappa(self) -> float:
        """Cohen's kappa: agreement beyond that of two maps with these class shares drawn at random.

        NaN where chance agreement is complete, i.e. truth and prediction hold one and the same class only.
        """
        by_chance = _ratio((self.square.sum(0) * self.square.sum(1).astype(float)).sum(), float(self.pixels) ** 2)
        return _ratio(self.overall_accuracy - by_chance, 1 - by_chance).item()


def accuracy_report(matrix: ConfusionMatrix, legend: Legend, subset: str) -> AccuracyReport:
    """Read all figures off a confusion matrix.

    Parameters
    ----------
    matrix : ConfusionMatrix
        Classes in the order of `legend`.
    legend : Legend
        What the classes are called.
    subset : str
        Which pixels were counted, e.g. ``"all known pixels"``.
    """
    per_class = (matrix.precision, matrix.recall, matrix.f1, matrix.iou)
    scores = tuple(
        ClassScore(
            c.id, c.code, c.name, int(matrix.counts[i].sum()), int(matrix.square[:, i].sum()),
            int(matrix.counts[i, -1]), *(float(values[i]) for values in per_class),
        )
        for i, c in enumerate(legend.classes)
    )  # fmt: skip
    return AccuracyReport(
        subset, legend, matrix.counts, matrix.overall_accuracy, matrix.balanced_accuracy, matrix.kappa,
        matrix.mean_iou, matrix.macro_f1, scores, _remarks(matrix, subset),
    )  # fmt: skip


def _remarks(matrix: ConfusionMatrix, subset: str) -> tuple[str, ...]:
    if not matrix.pixels:
        return (f"There is no pixel with a prediction among '{subset}': its figures are undefined.",)
    remarks = []
    absent = int(np.isnan(matrix.iou).sum())
    if absent:
        remarks.append(
            f"{absent} of {len(matrix.counts)} classes occur neither in truth nor in prediction of '{subset}': "
            "the means leave them out."
        )
    without = int(matrix.counts[:, -1].sum())
    if without:
        remarks.append(f"{without} pixels of '{subset}' have no prediction: no figure counts them.")
    return tuple(remarks)


def _ratio(part: Any, whole: Any) -> Values:
    """Quotient as float64, NaN where the whole is 0."""
    part, whole = np.asarray(part, np.float64), np.asarray(whole, np.float64)
    quotient: Values = np.divide(part, whole, out=np.full(whole.shape, np.nan), where=whole != 0)
    return quotient


def _mean(values: Values) -> float:
    defined = values[~np.isnan(values)]
    return float(defined.mean()) if defined.size else float("nan")
