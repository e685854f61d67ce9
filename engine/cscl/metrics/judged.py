"""What two maps have in common: the pixels whose true class is known and that have a prediction."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from cscl.errors import InputError
from cscl.legend import UNKNOWN

__all__ = ["WHOLE", "Indices", "judged_only", "mean_of", "require_classes", "share"]

Indices = NDArray[np.int16]
Values = NDArray[np.float64]

WHOLE = (slice(None), slice(None))


def judged_only(truth_YX: NDArray[Any], guess_YX: NDArray[Any], classes: int) -> tuple[Indices, Indices]:
    """Make both maps unknown wherever one of them is, so that neither has an edge that the other cannot have.

    Parameters
    ----------
    truth_YX, guess_YX : ndarray of int
        Class indices, axes (y, x), negative where unknown or not predicted.
    classes : int
        How many classes there are.

    Returns
    -------
    tuple of ndarray
        Truth and prediction, int16, -1 where one of them says nothing.

    Raises
    ------
    InputError
        If the shapes differ or a judged pixel has an index of `classes` or more.
    """
    if truth_YX.shape != guess_YX.shape:
        raise InputError(f"Truth and prediction differ in shape: {truth_YX.shape} and {guess_YX.shape} pixels.")
    judged = (truth_YX >= 0) & (guess_YX >= 0)
    require_classes(classes, truth_YX[judged], guess_YX[judged])
    truth, guess = (np.where(judged, m, UNKNOWN).astype(np.int16) for m in (truth_YX, guess_YX))
    return truth, guess


def require_classes(classes: int, *indices: NDArray[Any]) -> None:
    """Refuse class indices of `classes` or more.

    Raises
    ------
    InputError
        With the greatest of them.
    """
    top = max((int(some.max(initial=-1)) for some in indices), default=-1)
    if top >= classes:
        raise InputError(
            f"Class index {top} is not one of {classes} classes: give the number of classes of the legend."
        )


def share(part: Any, whole: Any) -> Values:
    """Quotient, NaN where the whole is 0."""
    part, whole = np.asarray(part, np.float64), np.asarray(whole, np.float64)
    quotient: Values = np.divide(part, whole, out=np.full(np.broadcast(part, whole).shape, np.nan), where=whole != 0)
    return quotient


def mean_of(values: Values, counted: NDArray[np.bool_]) -> Values:
    """Mean along the last axis over what is counted, NaN where nothing is; inf and NaN that are counted show."""
    return share(np.where(counted, values, 0.0).sum(-1), counted.sum(-1))
