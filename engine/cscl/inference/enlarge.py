"""Finer pixels without knowing more: class probabilities repeated, or interpolated between the pixels of the images.

What a network that answers at finer pixels has to be compared with.
"""

from __future__ import annotations

from typing import Literal

import numpy as np
from numpy.typing import NDArray

__all__ = ["By", "enlarged"]

By = Literal["bilinear", "nearest"]
LEAST = 1e-6


def enlarged(
    probabilities_KYX: NDArray[np.float32], seen_YX: NDArray[np.bool_], factor: int, by: By
) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
    """Cut each pixel into `factor` x `factor` pixels.

    Parameters
    ----------
    probabilities_KYX : ndarray
        Axes (class, y, x), float32.
    seen_YX : ndarray
        Axes (y, x). What was not seen takes no part in an interpolation, and stays unseen.
    factor : int
        Pixels along a side of one.
    by : str
        ``nearest``: all alike; ``bilinear``: interpolated between the centres of pixels, beyond the outermost constant.

    Returns
    -------
    probabilities, seen : ndarray
        The same axes, `factor` times as long.
    """
    seen = seen_YX.repeat(factor, 0).repeat(factor, 1)
    if by == "nearest":
        return probabilities_KYX.repeat(factor, 1).repeat(factor, 2), seen
    weight = _interpolated(seen_YX.astype(np.float32), factor)
    sums = _interpolated(probabilities_KYX * seen_YX, factor)
    return np.asarray(sums / np.maximum(weight, LEAST), np.float32), seen


def _interpolated(values: NDArray[np.float32], factor: int) -> NDArray[np.float32]:
    """Interpolate along the last two axes."""
    for axis in (-2, -1):
        length = values.shape[axis]
        place = np.clip((np.arange(length * factor) + 0.5) / factor - 0.5, 0, length - 1)
        before = np.minimum(place.astype(int), max(0, length - 2))
        share = (place - before).astype(np.float32)
        share = share[:, None] if axis == -2 else share
        after = np.minimum(before + 1, length - 1)
        values = values.take(before, axis) * (1 - share) + values.take(after, axis) * share
    return values
