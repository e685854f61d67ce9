"""The numbers of a report: accuracy over a set of pixels, at and away from boundaries, by distance and by parcel."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cscl.legend import Legend
from cscl.registry import nearest

__all__ = ["AccuracyReport", "BoundaryReport", "BoundarySplit", "ClassScore", "DistanceCurve", "ParcelReport", "plain"]

FIGURES = {
    "pixels": "pixels compared",
    "overall_accuracy": "overall accuracy: share of pixels whose class is right",
    "balanced_accuracy": "balanced accuracy: mean recall of the classes in the labels",
    "kappa": "Cohen's kappa: agreement beyond chance",
    "mean_iou": "mean IoU: overlap of truth and map, averaged over classes",
    "macro_f1": "macro F1: mean of the classes' F1",
}
PARCEL_FIGURES = {
    "share_right": "parcels whose majority class is the declared one",
    "share_right_by_area": "the same, weighted by area (known pixels)",
    "mean_pixel_accuracy": "mean over parcels of the share of right pixels",
}


@dataclass(frozen=True)
class ClassScore:
    """One class: pixels in truth and prediction, and its figures, 0..1, NaN where undefined."""

    id: int
    code: str
    name: str
    truth_px: int
    predicted_px: int
    no_prediction_px: int
    precision: float
    recall: float
    f1: float
    iou: float

    @property
    def absent(self) -> bool:
        """Whether the class occurs neither in truth nor in prediction."""
        return not self.truth_px and not self.predicted_px


@dataclass(frozen=True, eq=False)
class AccuracyReport:
    """Accuracy over one set of pixels, made by `cscl.metrics.confusion.accuracy_report`.

    Parameters
    ----------
    subset : str
        Which pixels.
    legend : Legend
        Classes, in the order of the counts.
    counts : ndarray
        int64, K x (K + 1): truth by prediction; the last column has no prediction and is in no figure.
    overall_accuracy, balanced_accuracy, kappa, mean_iou, macro_f1 : float
        Figures over all classes; NaN where undefined.
    classes : tuple of ClassScore
        In the order of the legend, absent classes included.
    remarks : tuple of str
        What the reader must know about the figures.
    """

    subset: str
    legend: Legend
    counts: NDArray[np.int64] = field(repr=False)
    overall_accuracy: float
    balanced_accuracy: float
    kappa: float
    mean_iou: float
    macro_f1: float
    classes: tuple[ClassScore, ...] = field(repr=False)
    remarks: tuple[str, ...] = ()

    @property
    def pixels(self) -> int:
        """Known pixels that have a prediction."""
        return int(self.counts[:, :-1].sum())

    def to_dict(self) -> dict[str, Any]:
        """Return plain values for JSON, with None for undefined figures."""
        figures = {name: getattr(self, name) for name in FIGURES}
        confusion = {"rows": "truth", "columns": "prediction, last: none", "counts": self.counts.tolist()}
        classes = [vars(score) for score in self.classes]
        parts = {"subset": self.subset, **figures, "remarks": self.remarks, "classes": classes, "confusion": confusion}
        return {key: plain(value) for key, value in parts.items()}


@dataclass(frozen=True, eq=False)
class BoundarySplit:
    """Accuracy at a boundary and in the interior, i.e. on all other known pixels, by one definition of the boundary."""

    name: str
    definition: str
    boundary: AccuracyReport
    interior: AccuracyReport

    def to_dict(self) -> dict[str, Any]:
        """Return plain values for JSON."""
        parts = {"boundary": self.boundary.to_dict(), "interior": self.interior.to_dict()}
        return {"name": self.name, "definition": self.definition, **parts}


@dataclass(frozen=True)
class DistanceCurve:
    """Accuracy by ground distance to one kind of edge.

    Parameters
    ----------
    name, definition : str
        Which edge, in a word and in a sentence.
    limits_m : tuple of float
        Upper limits of the bins, in metres; the last is inf and holds pixels without an edge in reach, too.
    pixels, right : tuple of int
        Known pixels with a prediction in each bin, and those of them whose class is right.
    """

    name: str
    definition: str
    limits_m: tuple[float, ...]
    pixels: tuple[int, ...]
    right: tuple[int, ...]

    @property
    def accuracy(self) -> tuple[float, ...]:
        """Share of right pixels in each bin, NaN in an empty one."""
        return tuple(r / n if n else math.nan for r, n in zip(self.right, self.pixels, strict=True))

    @property
    def bins(self) -> tuple[tuple[float, float], ...]:
        """Bins as (more than, up to) in metres."""
        return tuple(zip((0.0, *self.limits_m), self.limits_m, strict=False))

    def to_dict(self) -> dict[str, Any]:
        """Return plain values for JSON; the open end is None."""
        return {key: plain(value) for key, value in {**vars(self), "accuracy": self.accuracy}.items()}


@dataclass(frozen=True, eq=False)
class ParcelReport:
    """One row a parcel that has a declared class; all arrays have the axis (parcel,), sorted by parcel id.

    Parameters
    ----------
    parcel_id : ndarray of int
        As in the parcels.
    declared, majority : ndarray of int
        Class index of the declared crop and of the most frequent predicted one; majority is -1 without any prediction.
    majority_px, right_px, predicted_px, px, interior_px : ndarray of int
        Pixels predicted as the majority class; as the declared one; with a prediction; with a known class; of these,
        away from the parcel boundary at 1 px.
    confidence : ndarray of float
        Mean confidence of the prediction, 0..1, NaN where there is none.
    """

    parcel_id: NDArray[np.int64]
    declared: NDArray[np.int64]
    majority: NDArray[np.int64]
    majority_px: NDArray[np.int64]
    right_px: NDArray[np.int64]
    predicted_px: NDArray[np.int64]
    px: NDArray[np.int64]
    interior_px: NDArray[np.int64]
    confidence: NDArray[np.float64]

    def __len__(self) -> int:
        return len(self.parcel_id)

    @property
    def judged(self) -> NDArray[np.bool_]:
        """Parcels that have a prediction: only these count in the figures."""
        return self.predicted_px > 0

    @property
    def right(self) -> NDArray[np.bool_]:
        """Whether the majority of the predicted classes is the declared one."""
        return np.asarray(self.majority == self.declared)

    @property
    def share_right(self) -> float:
        """Share of parcels whose majority class is the declared one."""
        return _mean(self.right[self.judged])

    @property
    def share_right_by_area(self) -> float:
        """The same share, each parcel weighted with its known pixels."""
        weights = self.px[self.judged]
        return float((self.right[self.judged] * weights).sum() / weights.sum()) if weights.size else math.nan

    @property
    def mean_pixel_accuracy(self) -> float:
        """Mean over parcels of the share of right pixels: small parcels count as much as large ones."""
        return _mean(self.right_px[self.judged] / self.predicted_px[self.judged])

    def to_dict(self) -> dict[str, Any]:
        """Return the figures as plain values for JSON; the rows are in parcels.csv."""
        figures = {name: plain(getattr(self, name)) for name in PARCEL_FIGURES}
        return {"parcels": len(self), "judged": int(self.judged.sum()), **figures}


@dataclass(frozen=True, eq=False)
class BoundaryReport:
    """Accuracy at boundaries and away from them.

    Parameters
    ----------
    splits : tuple of BoundarySplit
        One for each definition of a boundary.
    curves : tuple of DistanceCurve
        By distance to class edges and, where there are parcels, to parcel edges.
    parcels : ParcelReport or None
        None when the labels do not know their parcels.
    """

    splits: tuple[BoundarySplit, ...]
    curves: tuple[DistanceCurve, ...]
    parcels: ParcelReport | None = None

    def split(self, name: str) -> BoundarySplit:
        """Split by its name, e.g. ``"class boundary"``.

        Raises
        ------
        UnknownNameError
            If the report has no such split; the message lists those it has.
        """
        named = {split.name: split for split in self.splits}
        if name not in named:
            raise nearest(name, named, "boundary definition", "the report")
        return named[name]

    def to_dict(self) -> dict[str, Any]:
        """Return plain values for JSON."""
        parts: dict[str, Any] = {
            "splits": [s.to_dict() for s in self.splits],
            "curves": [c.to_dict() for c in self.curves],
        }
        return {**parts, "parcels": self.parcels.to_dict() if self.parcels else None}


def _mean(values: NDArray[Any]) -> float:
    return float(values.mean()) if values.size else math.nan


def plain(value: Any) -> Any:
    """Return the value as JSON knows it: undefined and infinite numbers are None."""
    if isinstance(value, Mapping):
        return {str(k): plain(v) for k, v in value.items()}
    if isinstance(value, list | tuple):
        return [plain(v) for v in value]
    if isinstance(value, np.generic):
        value = value.item()
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    return value if isinstance(value, int | str | bool | None) else str(value)
