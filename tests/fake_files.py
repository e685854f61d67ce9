"""A small fake season for the tests of the readers: stored numbers, their grid, and the files that hold them."""

from __future__ import annotations

import gzip
import json
from pathlib import Path
from typing import Any

import numpy as np
import rasterio
import zarr
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


def patch_box(crs: str = "urn:ogc:def:crs:EPSG::32633") -> dict[str, Any]:
    """Bounding box as eo-learn writes it."""
    (west, north), (east, south) = TRANSFORM @ (0, 0), TRANSFORM @ SHAPE[::-1]
    ring = [[west, south], [west, north], [east, north], [east, south], [west, south]]
    return {"type": "Polygon", "coordinates": [ring], "crs": {"type": "name", "properties": {"name": crs}}}


def save_array(path: Path, array: NDArray[Any], ending: str = ".npy") -> Path:
    """Write an array as ``.npy``, ``.npy.gz`` or ``.zarr``; return its path."""
    path = path.with_name(path.name + ending)
    path.parent.mkdir(parents=True, exist_ok=True)
    if ending == ".zarr":
        zarr.create_array(path, data=array, chunks=(1, 5, 5, 1), zarr_format=2)
    else:
        with gzip.open(path, "wb") if ending == ".npy.gz" else path.open("wb") as file:
            np.save(file, array)
    return path


def write_patch(folder: Path, ending: str = ".npy", packed: str = "", times: str = "timestamps") -> Path:
    """Write `stored()` as an EOPatch of one feature, ``BANDS``, with its box and its times."""
    save_array(folder / "data" / "BANDS", stored().transpose(0, 2, 3, 1), ending)
    for name, told in (("bbox.geojson", patch_box()), (f"{times}.json", [f"{d}T10:00:00" for d in DATES])):
        raw = json.dumps(told).encode()
        (folder / (name + packed)).write_bytes(gzip.compress(raw) if packed else raw)
    return folder
