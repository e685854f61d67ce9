"""A small fake season for the tests of the readers: stored numbers, their grid, and the GeoTIFFs that hold them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import rasterio
from affine import Affine
from numpy.typing import NDArray

SHAPE = (13, 17)
TRANSFORM = Affine(9.994792, 0, 465181.0522318204, 0, -9.997448, 5080254.63349641)
BANDS = ("B02", "B04", "B8A")
DATES = ("2021-04-03", "2021-05-01", "2021-05-11", "2021-07-20")
NODATA = 65535


def stored(dates: int = 4, bands: int = 3) -> NDArray[np.uint16]:
    """Stored numbers with axes (time, band, y, x), no two alike within a date; zero is among them."""
    values = np.arange(dates * bands * SHAPE[0] * SHAPE[1], dtype=np.uint16)
    return values.reshape(dates, bands, *SHAPE)


def write_tif(path: Path, image: NDArray[Any], names: tuple[str, ...] | None = BANDS, **profile: Any) -> Path:
    """Write an image with axes (band, y, x); `profile` also takes ``scale``, ``offset`` and ``tags``."""
    scale, offset, tags = profile.pop("scale", None), profile.pop("offset", None), profile.pop("tags", {})
    path.parent.mkdir(parents=True, exist_ok=True)
    plain = {
        "crs": "EPSG:32633",
        "transform": TRANSFORM,
        "nodata": NODATA if image.dtype == np.uint16 else None,
        **profile,
    }
    count, height, width = image.shape
    with rasterio.open(path, "w", "GTiff", width, height, count, dtype=image.dtype, **plain) as out:
        out.write(image)
        if names is not None:
            out.descriptions = names
        if scale is not None:
            out.scales = (scale,) * count
        if offset is not None:
            out.offsets = (offset,) * count
        out.update_tags(**tags)
    return path


def write_season(folder: Path, **profile: Any) -> Path:
    """Write `stored()` as one file a date, ``S2_31UFS_YYYYMMDD.tif``."""
    for date, image in zip(DATES, stored(), strict=True):
        write_tif(folder / f"S2_31UFS_{date.replace('-', '')}.tif", image, **profile)
    return folder
