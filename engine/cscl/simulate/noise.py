"""Random fields: periodic Gaussian noise with a power-law spectrum, for soils, crop vigour and clouds."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy import fft

__all__ = ["random_field"]


def random_field(
    rng: np.random.Generator,
    shape: tuple[int, int],
    slope: float,
    largest_px: float,
    *,
    stretch: float = 1.0,
    angle: float = 0.0,
) -> NDArray[np.float32]:
    """Draw a periodic random field.

    Parameters
    ----------
    rng : Generator
        Source of randomness.
    shape : tuple of int
        Rows and columns.
    slope : float
        Amplitude falls as wave number to the power ``-slope``: 1 is rough, 2 is smooth.
    largest_px : float
        Waves longer than this are not amplified further.
    stretch, angle : float
        Structures are `stretch` times longer along the direction `angle` (radians from x towards y).

    Returns
    -------
    ndarray
        Axes (y, x), float32, mean 0, standard deviation 1.
    """
    white = rng.standard_normal(shape, np.float32)
    ky, kx = fft.fftfreq(shape[0])[:, None], fft.rfftfreq(shape[1])[None]
    along, across = kx * np.cos(angle) + ky * np.sin(angle), ky * np.cos(angle) - kx * np.sin(angle)
    wave_number = np.hypot(along * stretch, across)
    gain = (wave_number**2 + 1 / largest_px**2) ** (-slope / 2)
    gain[0, 0] = 0
    field = fft.irfft2(fft.rfft2(white) * gain.astype(np.float32), shape)
    return np.asarray(field / field.std(), np.float32)
