"""How far each outline lies off by itself, once it is known how far all around it do.

The score of one parcel is noisy: its error grows with the root of its length. Divided by that root and by the noise of
all, it weighs against a normal prior around the common shift, so that a short outline, or one across which the season
shows no edge, stays with the others. Axis letters: P parcels, S shifts along y or x.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from .shift_match import Shifts, peaks

__all__ = ["noise_of", "own_shifts"]

Floats = NDArray[np.float64]
PRIOR_PX = 0.4
WEIGHT = 5.0
"""Sd of the prior along one axis, and weight of the scores: a compromise. Of 0.4 or 0.5 and 3 to 8, on 22 simulated
seasons, others did up to 0.3 m better where outlines are off by 5 m each, and up to 1.9 m worse where they are not."""
FAR_PX = 2.0


def noise_of(score_PSS: NDArray[np.float32], length_px: Floats, common_px: Floats, shifts: Shifts) -> float:
    """Return how much scores vary over shifts that fit nobody, per root of a pixel of length; as for `own_shifts`."""
    y_PS, x_PS = np.moveaxis(shifts.px[None, :, None] - common_px[:, None, :], -1, 0)
    far_PSS = np.hypot(y_PS[:, :, None], x_PS[:, None, :]) > min(FAR_PX, shifts.px[-1] - 0.5)
    scaled_PSS = score_PSS / np.sqrt(np.maximum(length_px, 1))[:, None, None]
    mean_P = np.mean(scaled_PSS, (1, 2), where=far_PSS)
    return float(np.sqrt(np.mean((scaled_PSS - mean_P[:, None, None]) ** 2, where=far_PSS)))


def own_shifts(
    score_PSS: NDArray[np.float32], length_px: Floats, common_px: Floats, noise: float, shifts: Shifts
) -> Floats:
    """Find the shift that fits each parcel best, shifts near the common one being likelier than others.

    Parameters
    ----------
    score_PSS : ndarray
        From `cscl.metrics.shift_match.match`, axes (parcel, y, x).
    length_px : ndarray
        Lengths of the outlines, pixels, shape (parcel,).
    common_px : ndarray
        Shift of what lies around each parcel, pixels, axes (parcel, 2): down, right.
    noise : float
        From `noise_of`; it makes the units of the scores of no account.
    shifts : Shifts
        What the last axes of the scores are.

    Returns
    -------
    ndarray
        Shift of each parcel, pixels, axes (parcel, 2): down, right. The common one where no top is found.
    """
    y_PS, x_PS = np.moveaxis(shifts.px[None, :, None] - common_px[:, None, :], -1, 0)
    prior_PSS = -(y_PS[:, :, None] ** 2 + x_PS[:, None, :] ** 2) / (2 * PRIOR_PX**2)
    scale_P = WEIGHT / (max(noise, 1e-30) * np.sqrt(np.maximum(length_px, 1)))
    top_px, inside = peaks(score_PSS * scale_P[:, None, None] + prior_PSS, shifts)
    return np.where(inside[:, None], top_px, common_px)
