"""From reflectance to colours on paper and pages: which bands make them, and one stretch for several pictures."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from matplotlib.colors import to_rgb
from numpy.typing import NDArray

from cscl.cube import SITSCube

__all__ = ["FALSE_COLOUR", "TRUE_COLOUR", "coloured", "first_bands", "limits"]

# Near infrared, red and green: vegetation is red. Then red, green and blue. Both by the usual band names.
FALSE_COLOUR = (("B08", "B04", "B03"), ("B8A", "B04", "B03"), ("B8", "B4", "B3"), ("nir", "red", "green"))
TRUE_COLOUR = (("B04", "B03", "B02"), ("B4", "B3", "B2"), ("red", "green", "blue"))

Colours = NDArray[np.float64]


def first_bands(cube: SITSCube, choices: Sequence[tuple[str, ...]]) -> tuple[str, ...] | None:
    """Find the first choice whose bands the cube has all."""
    return next((names for names in choices if set(names) <= set(cube.bands)), None)


def limits(pixels_NC: NDArray[np.float32]) -> tuple[Colours, Colours]:
    """Find what is black and what is white in a sample of valid pixels, axes (pixel, band): two values a band.

    They are the 1st and 99th percentile of all dates, so that bare and ripe fields of the brightest date keep their
    shades. They lie half-way between one range for all bands (true hues, but blue with haze) and one for each (free of
    haze). Without any pixel they are 0 and 1.
    """
    if not pixels_NC.size:
        return np.zeros(1), np.ones(1)
    low, high = np.percentile(pixels_NC, (1, 99), axis=0)
    return (low + low.min()) / 2, (high + high.max()) / 2


def coloured(
    pixels: NDArray[np.float32], valid: NDArray[np.bool_], low: Colours, high: Colours, missing: str
) -> Colours:
    """Colour pixels, axes (..., band), between limits; the result is 0..1 with axes (..., channel).

    The curve between the limits lifts the dark dates of full green.
    """
    scaled = (pixels - low) / np.maximum(high - low, 1e-6)
    colours = np.broadcast_to(scaled.clip(0, 1) ** 0.6, (*valid.shape, 3)).astype(np.float64)
    colours[~valid] = to_rgb(missing)
    return colours
