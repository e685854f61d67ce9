"""What a user may choose about a simulated season."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Literal

from cscl.errors import InputError

__all__ = ["SeasonOptions"]


@dataclass(frozen=True)
class SeasonOptions:
    """Options of a simulated season.

    `seed` fixes what a whole region shares (dates, weather, earliness of the crops, calibration), `mosaic_seed` the
    place: two seasons that differ in `mosaic_seed` only are neighbours seen by the same overpasses.

    Raises
    ------
    InputError
        If the scene is smaller than 16 pixels, or there are more dates than overpasses.
    """

    size_px: Annotated[int, {"min": 16, "max": 10980, "tooltip": "Side of the square scene, pixels of 10 m"}] = 512
    seed: Annotated[int, {"min": 0, "tooltip": "Seed of dates, weather and earliness of the crops"}] = 0
    mosaic_seed: Annotated[int, {"min": 0, "tooltip": "Seed of the place: parcels, crops, soils, clouds"}] = 0
    dates: Annotated[
        int, {"min": 2, "max": 71, "tooltip": "Dates: the clearest overpass of as many equal intervals of the season"}
    ] = 16
    parcel_size: Annotated[
        Literal["standard", "small", "large"], {"tooltip": "Median parcel: 1.07 ha, 0.31 ha or 3.5 ha"}
    ] = "standard"
    cloudiness: Annotated[
        float, {"min": 0.0, "max": 1.0, "tooltip": "Mean cloud cover of all overpasses, before the clearest are kept"}
    ] = 0.5
    outline_shift_m: Annotated[
        float, {"min": 0.0, "max": 50.0, "tooltip": "Shift of all parcel outlines against the images, metres"}
    ] = 0.0
    outline_jitter_m: Annotated[
        float, {"min": 0.0, "max": 50.0, "tooltip": "Further random shift of each outline, sd in metres along x and y"}
    ] = 0.0
    misdeclared_share: Annotated[
        float, {"min": 0.0, "max": 1.0, "tooltip": "Share of parcels whose declared crop is not the one grown"}
    ] = 0.0

    def __post_init__(self) -> None:
        if self.size_px < 16:
            raise InputError(f"A scene of {self.size_px} pixels is too small to hold parcels. Give at least 16.")
        if not 2 <= self.dates <= 71:
            raise InputError(f"There are 71 overpasses in a season, so {self.dates} dates cannot be had. Give 2 to 71.")
        if self.parcel_size not in ("standard", "small", "large"):
            raise InputError(f"Unknown parcel size '{self.parcel_size}'. Give standard, small or large.")
