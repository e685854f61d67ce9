"""Overpasses of a season and their air: dates, sun, clouds with their shadows, cirrus, aerosol left after correction.

Clouds are tuned to the band means and spreads that PASTIS states (its normalisation constants): a tenth of the pixels
is opaque, bright in the visible and near infrared and darker in the short-wave infrared. Axis letters: B bands.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import binary_dilation

from .crops import BANDS
from .noise import random_field

__all__ = ["HARVEST_YEAR", "Overpass", "Sky", "draw_overpasses", "draw_sky", "through"]

HARVEST_YEAR = 2023
FIRST_DAY, REVISIT_DAYS, OVERPASSES = -50, 5, 71
LATITUDE_DEG, HOUR_ANGLE_DEG = 45.1, -20.0

# How bright clouds and cirrus are in each band, and what share of the light a full shadow takes.
CLOUD_B = np.array([0.99, 0.98, 1.02, 1.0, 1.02, 1.03, 1.03, 1.04, 0.80, 0.70], np.float32)
CIRRUS_B = np.array([1.0, 0.98, 0.96, 0.95, 0.94, 0.93, 0.92, 0.90, 0.50, 0.40], np.float32)
SHADOW_B = np.array([0.42, 0.48, 0.53, 0.55, 0.58, 0.59, 0.60, 0.60, 0.64, 0.66], np.float32)
AEROSOL_B = np.array([1.0, 0.78, 0.55, 0.48, 0.40, 0.34, 0.30, 0.27, 0.08, 0.04], np.float32)

Floats = NDArray[np.float32]


@dataclass(frozen=True, eq=False)
class Overpass:
    """One date: what the region shares. Shifts are (y, x) in metres; day 1 is 1 January of the harvest year."""

    number: int
    day: int
    cover: float
    cirrus: float
    dryness: float
    aerosol: float
    gain_B: Floats = field(repr=False)
    shift_m: NDArray[np.float64] = field(repr=False)
    band_shift_m: NDArray[np.float64] = field(repr=False)

    @property
    def date(self) -> np.datetime64:
        """Acquisition day."""
        return np.datetime64(f"{HARVEST_YEAR}-01-01", "D") + np.timedelta64(self.day - 1, "D")

    @property
    def sun(self) -> tuple[float, float]:
        """Sun zenith and azimuth (from north over east), degrees, at half past ten local solar time."""
        declination = np.radians(-23.44 * np.cos(2 * np.pi * (self.day + 10) / 365.25))
        latitude, hour = np.radians(LATITUDE_DEG), np.radians(HOUR_ANGLE_DEG)
        up = np.sin(latitude) * np.sin(declination) + np.cos(latitude) * np.cos(declination) * np.cos(hour)
        east = -np.cos(declination) * np.sin(hour)
        north = np.cos(latitude) * np.sin(declination) - np.sin(latitude) * np.cos(declination) * np.cos(hour)
        return float(np.degrees(np.arccos(up))), float(np.degrees(np.arctan2(east, north)) % 360)


@dataclass(frozen=True, eq=False)
class Sky:
    """Clouds over a scene, axes (y, x): mask, opacity 0..1, brightness, cirrus opacity, shadow depth 0..1, haze."""

    cloudy: NDArray[np.bool_]
    opacity: Floats
    brightness: Floats
    cirrus: Floats
    shadow: Floats
    haze: Floats


def draw_overpasses(seed: int, dates: int, cloudiness: float) -> list[Overpass]:
    """Draw the overpasses of a season, one every five days, and keep the clearest of each of `dates` intervals."""
    rng = np.random.default_rng([seed, 2])
    days = FIRST_DAY + REVISIT_DAYS * np.arange(OVERPASSES)
    # Cloudier in winter, unless it is always clear or always overcast.
    mean = cloudiness + 0.5 * cloudiness * (1 - cloudiness) * np.cos(2 * np.pi * (days - 15) / 365)
    inner = np.clip(mean, 1e-3, 1 - 1e-3)
    cover = np.where((mean > 0) & (mean < 1), rng.beta(0.8 * inner, 0.8 * (1 - inner)), mean)
    # A clear day is chosen by eye: a veil of cirrus counts, but less than clouds do.
    every = [_overpass(i, int(day), float(c), rng) for i, (day, c) in enumerate(zip(days, cover, strict=True))]
    murk = np.array([o.cover + 0.8 * o.cirrus for o in every])
    intervals = np.array_split(np.arange(OVERPASSES), dates)
    return [every[int(interval[np.argmin(murk[interval])])] for interval in intervals]


def draw_sky(overpass: Overpass, size_px: int, rng: np.random.Generator) -> Sky:
    """Draw the clouds of one date over a scene of `size_px` pixels of 10 m a side."""
    shape, wind = (size_px, size_px), rng.uniform(0, np.pi)
    slope, largest = rng.uniform(1.4, 2.2), rng.uniform(25, 160)
    field_yx = random_field(rng, shape, slope, largest, stretch=rng.uniform(1, 2), angle=wind)
    depth = np.zeros(shape, np.float32)
    if overpass.cover > 0.004:
        depth = field_yx - np.float32(np.quantile(field_yx, 1 - min(overpass.cover, 1)))
        depth = depth + (0.5 if overpass.cover > 0.97 else 0)
    opacity = np.clip(depth / rng.uniform(0.2, 0.6), 0, 1) ** 1.2
    brightness = rng.uniform(0.34, 0.52) + rng.uniform(0.2, 0.42) * np.clip(depth, 0, 2)
    veil = random_field(rng, shape, 2.4, 150, stretch=2.5, angle=wind)
    cirrus = overpass.cirrus * np.clip(0.5 + 0.3 * veil, 0, 1)
    zenith, azimuth = np.radians(overpass.sun)
    reach_px = rng.uniform(600, 2200) * np.tan(zenith) / 10
    away = -reach_px * np.array([-np.cos(azimuth), np.sin(azimuth)])
    shadow = np.roll(opacity, tuple(np.rint(away).astype(int) % size_px), (0, 1)) * (1 - opacity)
    haze = overpass.aerosol * (1 + 0.25 * random_field(rng, shape, 2, 300))
    cloudy = binary_dilation((opacity > 0.12) | (shadow > 0.2) | (cirrus > 0.09), np.ones((3, 3), bool))
    parts = (np.asarray(a, np.float32) for a in (opacity, brightness, cirrus, shadow, haze))
    return Sky(cloudy, *parts)


def through(surface_BYX: Floats, overpass: Overpass, sky: Sky, rows: slice, cols: slice) -> Floats:
    """Reflectance of a part of the scene as seen through its sky, axes (B, y, x); changes `surface_BYX` in place."""
    place = (None, rows, cols)
    surface_BYX *= 1 - SHADOW_B[:, None, None] * sky.shadow[place]
    surface_BYX += AEROSOL_B[:, None, None] * sky.haze[place]
    if overpass.cirrus:
        surface_BYX += sky.cirrus[place] * (0.55 * CIRRUS_B[:, None, None] - surface_BYX)
    if sky.opacity[rows, cols].any():
        cloud_BYX = CLOUD_B[:, None, None] * sky.brightness[place]
        surface_BYX += sky.opacity[place] * (cloud_BYX - surface_BYX)
    surface_BYX *= overpass.gain_B[:, None, None]
    return surface_BYX


def _overpass(number: int, day: int, cover: float, rng: np.random.Generator) -> Overpass:
    dry_season = 0.42 - 0.3 * np.cos(2 * np.pi * (day - 20) / 365)
    veiled = rng.random() < 0.3
    return Overpass(
        number,
        day,
        cover,
        cirrus=float(rng.uniform(0.05, 0.25)) * veiled,
        dryness=float(np.clip(dry_season + 0.25 * rng.standard_normal(), 0, 1)),
        aerosol=float(0.002 + 0.005 * rng.standard_normal()),
        gain_B=np.asarray(
            (1 + 0.015 * rng.standard_normal()) * (1 + 0.008 * rng.standard_normal(len(BANDS))), np.float32
        ),
        shift_m=np.clip(3 * rng.standard_normal(2), -7, 7),
        band_shift_m=np.clip(0.6 * rng.standard_normal((len(BANDS), 2)), -1.5, 1.5),
    )
