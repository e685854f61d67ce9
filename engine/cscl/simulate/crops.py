"""What grows and lies on the land: crops with their calendar, other surfaces, and spectra that no canopy model gives.

Dates, leaf areas and shares are general agronomic knowledge of western Europe; they are not fitted to any data.
Days count from 1 January of the harvest year as day 1; the autumn before is zero or negative.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import IntEnum

import numpy as np

from cscl.legend import CropClass, Legend

__all__ = ["BANDS", "CROPS", "SPECTRA", "Calendar", "Crop", "Land", "legend"]

BANDS = ("B02", "B03", "B04", "B05", "B06", "B07", "B08", "B8A", "B11", "B12")


class Land(IntEnum):
    """Surfaces that are no registered crop; values beyond the crop ids."""

    MARGIN = 20
    TRACK = 21
    ROAD = 22
    HEDGE = 23
    WOOD = 24
    GARDEN = 25
    RED_ROOF = 26
    GREY_ROOF = 27
    WATER = 28
    FALLOW = 29
    ORCHARD = 30


@dataclass(frozen=True)
class Calendar:
    """Growth of an annual crop: days, leaf areas (m2/m2), leaf chlorophyll (ug/cm2), spreads (standard deviations)."""

    emergence: float
    winter_lai: float
    rise: float
    rise_days: float
    senescence: float
    harvest: float
    lai: float
    sd_rise: float
    sd_senescence: float
    chlorophyll: float


@dataclass(frozen=True)
class Crop:
    """A registered crop: legend entry, canopy, regional share of the parcels, and a calendar unless it is grassland."""

    id: int
    code: str
    name: str
    colour: str
    group: str
    canopy: str
    share: float
    calendar: Calendar | None = None


# The colours stay apart, by 11 in CIELAB or more, for normal sight and for each kind of dichromacy.
CROPS = (
    Crop(1, "PGL", "permanent grassland", "#117733", "grassland", "grass", 0.240),
    Crop(
        *(2, "WWH", "winter wheat", "#ddcc77", "winter cereals", "cereal", 0.225),
        Calendar(-45, 0.8, 99, 9, 181, 204, 5.2, 7, 5, 46),
    ),
    Crop(
        *(3, "MAI", "maize", "#ee8866", "summer crops", "maize", 0.145),
        Calendar(130, 0, 167, 8, 246, 285, 4.8, 9, 11, 50),
    ),
    Crop(
        *(4, "WBA", "winter barley", "#999933", "winter cereals", "cereal", 0.095),
        Calendar(-58, 1.1, 93, 9, 164, 185, 4.8, 6, 5, 44),
    ),
    Crop(
        *(5, "WRA", "winter rapeseed", "#ffff66", "oilseeds", "broadleaf", 0.075),
        Calendar(-115, 1.7, 78, 8, 168, 197, 5.2, 6, 5, 50),
    ),
    Crop(6, "TGL", "temporary grassland", "#44aa99", "grassland", "grass", 0.060),
    Crop(
        *(7, "SUN", "sunflower", "#882255", "oilseeds", "broadleaf", 0.050),
        Calendar(118, 0, 152, 8, 224, 258, 3.4, 9, 8, 44),
    ),
    Crop(
        *(8, "SBA", "spring barley", "#cc6677", "spring cereals", "cereal", 0.038),
        Calendar(82, 0, 110, 7, 182, 206, 4.2, 8, 5, 42),
    ),
    Crop(
        *(9, "TRI", "winter triticale", "#774411", "winter cereals", "cereal", 0.028),
        Calendar(-55, 0.9, 95, 9, 177, 202, 4.9, 7, 6, 42),
    ),
    Crop(
        *(10, "SBE", "sugar beet", "#332288", "root crops", "broadleaf", 0.020),
        Calendar(100, 0, 150, 9, 330, 285, 4.6, 9, 10, 52),
    ),
    Crop(
        *(11, "SOY", "soybean", "#88ccee", "protein crops", "broadleaf", 0.012),
        Calendar(136, 0, 172, 7, 246, 270, 5.0, 8, 8, 42),
    ),
    Crop(
        *(12, "POT", "potato", "#dd88cc", "root crops", "broadleaf", 0.007),
        Calendar(128, 0, 153, 7, 226, 255, 4.4, 8, 13, 46),
    ),
    Crop(
        *(13, "PEA", "peas", "#4477aa", "protein crops", "broadleaf", 0.005),
        Calendar(78, 0, 116, 7, 172, 193, 4.0, 8, 6, 40),
    ),
)

# Surface reflectance, bands as in BANDS.
SPECTRA: Mapping[str, tuple[float, ...]] = {
    "straw": (0.135, 0.175, 0.225, 0.250, 0.272, 0.290, 0.308, 0.325, 0.390, 0.305),
    "rape flower": (0.06, 0.20, 0.185, 0.24, 0.36, 0.40, 0.42, 0.43, 0.24, 0.12),
    "sunflower flower": (0.05, 0.13, 0.15, 0.20, 0.36, 0.41, 0.43, 0.44, 0.23, 0.12),
    "gravel": (0.10, 0.13, 0.16, 0.18, 0.195, 0.205, 0.215, 0.225, 0.29, 0.26),
    "road": (0.085, 0.10, 0.115, 0.12, 0.13, 0.135, 0.14, 0.145, 0.17, 0.16),
    "red roof": (0.10, 0.125, 0.19, 0.21, 0.23, 0.245, 0.26, 0.27, 0.30, 0.27),
    "grey roof": (0.16, 0.17, 0.18, 0.185, 0.19, 0.195, 0.20, 0.20, 0.22, 0.21),
    "water": (0.045, 0.045, 0.03, 0.028, 0.022, 0.02, 0.018, 0.016, 0.008, 0.006),
}


def legend() -> Legend:
    """Legend of the registered crops: ids 1 to 13; 255 means unknown."""
    return Legend(tuple(CropClass(c.id, c.code, c.name, c.colour, c.group) for c in CROPS))


def spectrum(name: str) -> np.ndarray[tuple[int], np.dtype[np.float32]]:
    """One of `SPECTRA` as float32, shape (10,)."""
    return np.array(SPECTRA[name], np.float32)
