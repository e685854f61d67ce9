"""What a map measures on the ground, at its centre: metres a pixel, and the way to the north, in any CRS."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from pyproj import Geod, Proj, Transformer
from pyproj.exceptions import ProjError

from cscl.grid import GeoBox

__all__ = ["Ground", "ground", "system_name"]

STEP_DEG = 1e-3


@dataclass(frozen=True)
class Ground:
    """What lies at the centre of a map.

    Parameters
    ----------
    lon, lat : float
        The centre, degrees (WGS 84).
    across_m, down_m : float
        Width and height of a pixel on the ground, metres.
    true_north_deg, grid_north_deg : float
        Ways to the pole and along the grid's northing, clockwise from the top of the picture, degrees.
    area_factor : float
        What a square metre of the reference system is on the ground; 1 where areas are true, or not known.
    """

    lon: float
    lat: float
    across_m: float
    down_m: float
    true_north_deg: float
    grid_north_deg: float
    area_factor: float = 1.0

    @property
    def convergence_deg(self) -> float:
        """How far grid north lies to the right of true north, -180 to 180 degrees."""
        return (self.grid_north_deg - self.true_north_deg + 180) % 360 - 180


def ground(grid: GeoBox) -> Ground | None:
    """Measure a grid at its centre; None where the reference system has no answer there."""
    rows, cols = grid.shape
    crs = grid.crs.proj  # type: ignore[union-attr]
    half = max(0.5, min(rows, cols) / 20)
    col, row = cols / 2, rows / 2
    around = grid.transform @ np.array(
        [[col, col - half, col + half, col, col], [row, row, row, row - half, row + half]]
    )
    try:
        there = Transformer.from_crs(crs, "EPSG:4326", always_xy=True)
        lon, lat = there.transform(*around)
        if not np.isfinite([lon, lat]).all() or abs(lat[0]) > 90 - 2 * STEP_DEG:
            return None
        geod = Geod(ellps="WGS84")
        across, down = (geod.inv(lon[i], lat[i], lon[i + 1], lat[i + 1])[2] / (2 * half) for i in (1, 3))
        x, y = there.transform(lon[0], lat[0] + STEP_DEG, direction="INVERSE")
        back = ~grid.transform
        north = back @ (x, y)
        origin, up = back @ (0.0, 0.0), back @ (0.0, 1.0)
        factor = 1.0 if crs.is_geographic else 1 / Proj(crs).get_factors(lon[0], lat[0]).areal_scale
    except ProjError:
        return None

    def angle(right: float, below: float) -> float:
        return math.degrees(math.atan2(right * across, -below * down))

    true, of_grid = angle(north[0] - col, north[1] - row), angle(up[0] - origin[0], up[1] - origin[1])
    factor = factor if math.isfinite(factor) else 1.0
    found = Ground(*(float(v) for v in (lon[0], lat[0], across, down, true, of_grid, factor)))
    return found if math.isfinite(true + across + down) and min(across, down) > 0 else None


def system_name(grid: GeoBox) -> str:
    """Code and name of a reference system, as people call it."""
    crs = grid.crs.proj  # type: ignore[union-attr]
    authority = crs.to_authority(min_confidence=100)
    name = crs.name if crs.name and crs.name.lower() not in ("unknown", "unnamed") else "a reference system of its own"
    return f"{':'.join(authority)} ({name})" if authority else name
