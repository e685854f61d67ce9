"""Spectral indices: which ones the bands of a cube allow, and their values."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

__all__ = ["INDICES", "Index", "index_values", "offered_indices"]

Values = NDArray[np.float32]

# What an index calls a band, and what files call it: Sentinel-2 names, or the common names of STAC.
_BANDS = {
    "blue": ("B02", "blue"),
    "green": ("B03", "green"),
    "red": ("B04", "red"),
    "nir": ("B08", "nir"),
    "swir": ("B11", "swir16"),
}


@dataclass(frozen=True)
class Index:
    """The bands that an index needs, in the order in which `of` makes numerator and denominator of them; its source."""

    bands: tuple[str, ...]
    of: Callable[..., tuple[Values, Values]]
    source: str


def _difference(a: Values, b: Values) -> tuple[Values, Values]:
    return a - b, a + b


def _evi(nir: Values, red: Values, blue: Values) -> tuple[Values, Values]:
    return 2.5 * (nir - red), nir + 6 * red - 7.5 * blue + 1


INDICES = {
    "NDVI": Index(("nir", "red"), _difference, "Rouse et al. 1974, greenness"),
    "EVI": Index(("nir", "red", "blue"), _evi, "Huete et al. 2002, greenness of dense canopies"),
    "NDMI": Index(("nir", "swir"), _difference, "Gao 1996, water in leaves"),
    "NDWI": Index(("green", "nir"), _difference, "McFeeters 1996, open water"),
}


def offered_indices(bands: Sequence[str]) -> tuple[str, ...]:
    """Names of the indices that some bands allow. A band that bears the name of an index stands for it."""
    return tuple(name for name, index in INDICES.items() if name not in bands and None not in _places(index, bands))


def index_values(name: str, values: Values, bands: Sequence[str]) -> Values:
    """Compute an index.

    Parameters
    ----------
    name : str
        One of `offered_indices`.
    values : ndarray of float32
        Reflectance, axes (..., band).
    bands : sequence of str
        Names of the last axis.

    Returns
    -------
    ndarray of float32
        Axes (...), NaN where a band is NaN or the denominator is not positive.
    """
    index = INDICES[name]
    above, below = index.of(*(values[..., place] for place in _places(index, bands)))
    found = np.full(above.shape, np.nan, np.float32)
    np.divide(above, below, out=found, where=below > 0)
    return found


def _places(index: Index, bands: Sequence[str]) -> list[int | None]:
    return [next((bands.index(b) for b in _BANDS[role] if b in bands), None) for role in index.bands]
