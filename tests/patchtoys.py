"""Small seasons with parcels that lie anywhere, not on pixels."""

from __future__ import annotations

import geopandas as gpd
import numpy as np
import xarray as xr
from affine import Affine
from shapely.geometry import box

from cscl.cube import Radiometry, SITSCube
from cscl.grid import make_grid
from cscl.parcels import Parcels
from cscl.patches.options import PatchOptions

BANDS = ("B02", "B03", "B04", "B05", "B06", "B07", "B08", "B8A", "B11", "B12")
NODATA = 65535


def cube(
    size: int = 48, dates: int = 4, *, seed: int = 0, west: float = 5e5, start: str = "2021-03-05",
    crs: str = "EPSG:32631", bands: tuple[str, ...] = BANDS, mask: bool = True, name: str = "season",
    shift: float = 0.0,
) -> SITSCube:  # fmt: skip
    """Images of noise with a gap in the data and one in the mask; from the third date on values are shifted."""
    rng = np.random.default_rng(seed)
    stored = rng.integers(1, 4000, (dates, len(bands), size, size)).astype(np.uint16)
    stored[1, :, : size // 3, : size // 2] = NODATA
    times = np.datetime64(start, "ns") + (np.arange(dates) * 17).astype("timedelta64[D]")
    axes = {"time": times, "band": list(bands)}
    clear = np.ones((dates, size, size), bool)
    clear[0, size // 2 :, : size // 4] = False
    offset = tuple(shift if date >= 2 else 0.0 for date in range(dates))
    return SITSCube(
        xr.DataArray(stored, dims=("time", "band", "y", "x"), coords=axes),
        make_grid((size, size), Affine(10, 0, west, 0, -10, 5e6), crs, name),
        Radiometry((1e-4,) * dates, offset, NODATA, "toy"),
        xr.DataArray(clear, dims=("time", "y", "x")) if mask else None,
        name,
    )


def register(
    size: int = 48, *, seed: int = 0, west: float = 5e5, side_m: float = 67.0, name: str = "register"
) -> Parcels:
    """Rectangles of three crops, off the pixels, with gaps between them; ids far above their number."""
    rng = np.random.default_rng(seed)
    count = int(size * 10 / side_m) + 1
    rows = [
        {"crop": "ABC"[rng.integers(3)], "geometry": box(x + 3.3, y - side_m + 4.1, x + side_m - 2.2, y - 0.7)}
        for x in west + side_m * np.arange(count)
        for y in 5e6 - side_m * np.arange(count)
    ]
    table = gpd.GeoDataFrame(rows, crs="EPSG:32631").assign(parcel_id=1000 + 7 * np.arange(len(rows)))
    return Parcels(table.assign(code=table["crop"]), name, class_column="crop")


def parcels_of(shapes: list[tuple[str, object]], crs: str = "EPSG:32631") -> Parcels:
    """Parcels of given crops and shapes, numbered from 1."""
    codes = [code for code, _ in shapes]
    table = gpd.GeoDataFrame({"code": codes}, geometry=[shape for _, shape in shapes], crs=crs)
    return Parcels(table.assign(parcel_id=np.arange(1, len(table) + 1)), "shapes", class_column="code")


SMALL = PatchOptions(patch_px=8, block_px=16, shard_mb=1)
