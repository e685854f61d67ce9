"""Cubes that are made up while they are read, of any size, for the tests and measures of what streams."""

from __future__ import annotations

from typing import Any

import numpy as np
import xarray as xr
from affine import Affine
from numpy.typing import NDArray

from cscl.cube import Acquisition, Factor, Radiometry, SITSCube
from cscl.data.readers._lazy import Lazy, lazy
from cscl.grid import GeoBox

BANDS = ("B02", "B03", "B04", "B05", "B06", "B07", "B08", "B8A", "B11", "B12")
TRANSFORM = Affine(9.994792, 0, 465181.0522318204, 0, -9.997448, 5080254.63349641)


class _MadeUp(Lazy):
    """Stored values as season and place have them, with noise in the last digits; no data, 0, in one corner."""

    def __init__(self, dates: int, bands: int, shape: tuple[int, int]) -> None:
        self.shape, self.dtype = (dates, bands, *shape), np.dtype(np.uint16)

    def _take(self, times: NDArray[np.intp], *rest: Any) -> NDArray[np.uint16]:
        bands, rows, cols = (np.arange(n)[k].astype(np.uint32) for n, k in zip(self.shape[1:], rest, strict=True))
        place = (rows[:, None] // 23 * 7919 + cols // 31 * 104729) % 1500
        noise = (rows[:, None] * np.uint32(2654435761)) ^ (cols * np.uint32(2246822519))
        noise = (noise ^ (noise >> np.uint32(15))) * np.uint32(739982445)
        out = np.empty((len(times), len(bands), len(rows), len(cols)), np.uint16)
        for i, time in enumerate(times):
            for j, band in enumerate(bands):
                digits = (noise >> np.uint32((5 * time + 3 * band) % 23)) & np.uint32(511)
                out[i, j] = 300 + 150 * band + place * (1 + time % 7) // 4 + digits
        out[..., rows[:, None] + cols < 20] = 0
        return out


class _MadeUpMask(Lazy):
    """Clouds as blocks, elsewhere on each date; every seventh date is overcast."""

    def __init__(self, dates: int, shape: tuple[int, int]) -> None:
        self.shape, self.dtype = (dates, *shape), np.dtype(bool)

    def _take(self, times: NDArray[np.intp], *rest: Any) -> NDArray[np.bool_]:
        rows, cols = (np.arange(n)[k] for n, k in zip(self.shape[1:], rest, strict=True))
        clear = np.stack([(rows[:, None] // 9 + cols // 7 + t) % 3 > 0 for t in times])
        clear[times % 7 == 6] = False
        return clear


def made_up(
    size: tuple[int, int],
    dates: int = 7,
    bands: int = 3,
    *,
    by: str = "cube",
    masked: bool = True,
    nodata: float | None = 0,
) -> SITSCube:
    """Make a cube of `size` (y, x); scale and offset are one for the cube, or differ by date, or by date and band."""
    times = np.datetime64("2021-03-02T10:40:21.024", "ns") + np.arange(dates) * np.timedelta64(5, "D")
    names = list(BANDS[:bands])
    offset: tuple[Factor, ...] = (-0.1,) * dates
    if by != "cube":
        offset = tuple(0.0 if t < dates // 2 else -0.1 for t in range(dates))
    if by == "band":
        offset = (*offset[:-1], tuple(-0.1 - b / 100 for b in range(bands)))
    known = tuple(
        Acquisition(f"S2A_MSIL2A_{t}", "S2A", "L2A", "05.10", 8, "33TWM", shifted=t > 2) for t in range(dates)
    )
    clear = xr.DataArray(lazy(_MadeUpMask(dates, size), ("time", "y", "x")), coords={"time": times})
    stored = lazy(_MadeUp(dates, bands, size), ("time", "band", "y", "x"))
    radiometry = Radiometry((1e-4,) * dates, offset, nodata, "scale and offset of the made-up metadata")
    return SITSCube(
        xr.DataArray(stored, coords={"time": times, "band": names}),
        GeoBox(size, TRANSFORM, "EPSG:32633"),
        radiometry,
        clear if masked else None,
        "made up",
        ("Made up while it is read.",),
        acquisitions=known,
    )
