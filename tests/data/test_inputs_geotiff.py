"""GeoTIFFs as images: what of docs/inputs.md is accepted, and what is refused with which sentence."""

from __future__ import annotations

import os
import re
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rasterio
import rasterio.shutil
from affine import Affine
from fake_files import (
    BANDS,
    TRANSFORM,
    stored,
    write_season,
    write_tif,
)  # fmt: skip
from input_table import Line, Made, case, garbage, halved, require_complete, tried, try_line, with_hidden
from numpy.typing import NDArray
from pyproj import CRS
from rasterio.control import GroundControlPoint
from rasterio.rpc import RPC

from cscl.data.readers import ReadOptions, open_cube
from cscl.errors import CSCLError

IMAGE = stored(1)[0]


NAMES = ("20210403.tif", "20210501.tif")


def large(path: Path) -> Path:
    """Write a TIFF that declares 50 TB and holds none: blocks that were never written take no room."""
    with rasterio.open(
        path, "w", "GTiff", 5_000_000, 5_000_000, 1, "EPSG:32633", TRANSFORM, np.uint16, 65535,
        tiled=True, blockxsize=16384, blockysize=16384, sparse_ok=True, bigtiff="yes",
    ):  # fmt: skip
        pass
    return path


def two(folder: Path, image: NDArray[Any] = IMAGE, names: tuple[str, ...] | None = BANDS, **profile: Any) -> Path:
    """Write two dates, of which the second is odd."""
    write_tif(folder / NAMES[0], IMAGE)
    write_tif(folder / NAMES[1], image, names, **profile)
    return folder


def one(folder: Path, image: NDArray[Any] = IMAGE, names: tuple[str, ...] | None = BANDS, **profile: Any) -> Path:
    """Write one date, and return its folder."""
    write_tif(folder / NAMES[0], image, names, **profile)
    return folder


FOLDER = "geotiff_folder"
case(FOLDER, "an empty folder")(lambda folder: folder)
case(FOLDER, "NaN without a nodata tag")(lambda folder: one(folder, with_hidden(np.float32, *[np.nan] * 3) * 1e-4))
case(FOLDER, "-9999, -10000 or the lowest number without a tag")(
    lambda folder: one(folder, with_hidden(np.int16, -9999, -10000, -32768))
)
case(FOLDER, "-9999 beside another nodata tag")(lambda folder: one(folder, with_hidden(np.int16, -9999), nodata=0))
case(FOLDER, "65535 without a tag")(lambda folder: one(folder, with_hidden(np.uint16, 65535), nodata=None))
case(FOLDER, "complex numbers")(lambda folder: one(folder, IMAGE.astype(np.complex64)))
case(FOLDER, "a rotated grid")(lambda folder: one(folder, transform=TRANSFORM @ Affine.rotation(3)))
case(FOLDER, "a sheared grid")(lambda folder: one(folder, transform=TRANSFORM @ Affine.shear(3)))
case(FOLDER, "rows from south to north")(lambda folder: one(folder, transform=Affine(10, 0, 4e5, 0, 10, 5e6)))
case(FOLDER, "no reference system")(lambda folder: one(folder, crs=None))
case(FOLDER, "no reference system, and one given with --crs")(
    lambda folder: (one(folder, crs=None), ReadOptions(crs="EPSG:32633"))
)
case(FOLDER, "no place at all")(lambda folder: one(folder, transform=Affine.identity()))
case(FOLDER, "a reference system in WKT alone")(
    lambda folder: one(folder, crs=CRS.from_proj4("+proj=laea +lat_0=48.3 +lon_0=9.7 +units=m").to_wkt())
)
case(FOLDER, "images across the 180th meridian")(
    lambda folder: one(folder, crs="EPSG:32601", transform=Affine(10, 0, 166_000, 0, -10, 5e6))
)
case(FOLDER, "images across the 180th meridian in degrees")(
    lambda folder: one(folder, crs="EPSG:4326", transform=Affine(1e-4, 0, 179.9995, 0, -1e-4, 50))
)
case(FOLDER, "dates of different types")(lambda folder: two(folder, IMAGE.astype(np.float32)))
case(FOLDER, "dates of different shapes")(lambda folder: two(folder, IMAGE[:, 1:]))
case(FOLDER, "dates at different places")(lambda folder: two(folder, transform=TRANSFORM @ Affine.translation(0.5, 0)))
case(FOLDER, "dates in different reference systems")(lambda folder: two(folder, crs="EPSG:32632"))
case(FOLDER, "dates with different numbers of bands")(lambda folder: two(folder, IMAGE[:2], BANDS[:2]))
case(FOLDER, "dates with different nodata tags")(lambda folder: two(folder, nodata=0))
case(FOLDER, "bands in another order on some dates")(lambda folder: two(folder, IMAGE[::-1], BANDS[::-1]))
case(FOLDER, "other bands on some dates")(lambda folder: two(folder, names=("B02", "B04", "B08")))
case(FOLDER, "bands without names")(lambda folder: one(folder, names=None))
case(FOLDER, "two bands of one name")(lambda folder: one(folder, names=("B02", "B02", "B04")))
case(FOLDER, "a raster without a date")(lambda folder: write_tif(folder / "spring.tif", IMAGE).parent)
case(FOLDER, "names beyond ASCII")(
    lambda folder: write_tif(folder / "Äcker 畑" / "20210403_Ж.tif", IMAGE, ("Grün", "赤", "nir")).parent
)
case(FOLDER, "a declared size of 50 TB")(lambda folder: large(folder / NAMES[0]).parent)


@case(FOLDER, "a folder of text files")
def _(folder: Path) -> Made:
    (folder / "20210403.txt").write_text("no image")
    return folder


@case(FOLDER, "a truncated file")
def _(folder: Path) -> Made:
    halved(write_tif(folder / NAMES[0], np.zeros((3, 256, 256), np.uint16), tiled=True, blockxsize=64, blockysize=64))
    return folder


@case(FOLDER, "a file that is truncated behind its header")
def _(folder: Path) -> Made:
    noise = np.random.default_rng(0).integers(0, 9999, (3, 600, 600), np.uint16)
    plain = write_tif(folder / "plain.tif", noise)
    rasterio.shutil.copy(plain, folder / NAMES[0], driver="COG", overviews="none", blocksize=128)
    plain.unlink()
    return halved(folder / NAMES[0]).parent


@case(FOLDER, "a file that is no TIFF")
def _(folder: Path) -> Made:
    return garbage(folder / NAMES[0]).parent


@case(FOLDER, "an empty file")
def _(folder: Path) -> Made:
    (folder / NAMES[0]).touch()
    return folder


@case(FOLDER, "ground control points alone")
def _(folder: Path) -> Made:
    corners = [(0, 0), (0, 17), (13, 0), (13, 17)]
    points = [GroundControlPoint(row, col, 15 + col / 1e4, 46 - row / 1e4) for row, col in corners]
    with rasterio.open(
        folder / NAMES[0], "w", "GTiff", 17, 13, 3, dtype="uint16", gcps=points, crs="EPSG:4326"
    ) as out:  # fmt: skip
        out.write(IMAGE)
    return folder


@case(FOLDER, "a model of the sensor alone (RPC)")
def _(folder: Path) -> Made:
    with rasterio.open(folder / NAMES[0], "w", "GTiff", 17, 13, 3, dtype="uint16") as out:
        out.write(IMAGE)
        out.rpcs = RPC(1, 1, 46, 1, [1.0] + [0.0] * 19, [0.0, 0, 1] + [0.0] * 17, 6, 6, 15, 1, [1.0] + [0.0] * 19,
                       [0.0, 1] + [0.0] * 18, 8, 8)  # fmt: skip
    return folder


@case(FOLDER, "a date twice")
def _(folder: Path) -> Made:
    write_tif(folder / "20210403_a.tif", IMAGE)
    return write_tif(folder / "20210403_b.tif", IMAGE).parent


@case(FOLDER, "a date twice, with different offsets")
def _(folder: Path) -> Made:
    write_tif(folder / "20210403_a.tif", IMAGE, scale=1e-4)
    return write_tif(folder / "20210403_b.tif", IMAGE, scale=1e-4, offset=-0.1).parent


@case(FOLDER, "dates that the names do not sort")
def _(folder: Path) -> Made:
    write_tif(folder / "a_20210501.tif", IMAGE)
    return write_tif(folder / "b_20210403.tif", IMAGE).parent


@case(FOLDER, "a link to itself in place of an image")
def _(folder: Path) -> Made:
    (folder / NAMES[0]).symlink_to(folder / NAMES[0])
    return folder


@case(FOLDER, "a folder that holds a link to itself")
def _(folder: Path) -> Made:
    (folder / "images").symlink_to(folder, target_is_directory=True)
    return one(folder)


@case(FOLDER, "a link to itself in place of the folder")
def _(folder: Path) -> Made:
    (folder / "season").symlink_to(folder / "season")
    return folder / "season"


@tried("geotiff_folder")
def test_what_is_said_of_an_input(line: Line, tmp_path: Path) -> None:
    try_line(line, tmp_path)


def test_every_line_has_its_case_and_every_case_its_line() -> None:
    require_complete("geotiff_folder")


@pytest.mark.parametrize("what", ["folder", "file"])
def test_what_may_not_be_read_is_said_to_be_so(what: str) -> None:
    with tempfile.TemporaryDirectory() as name:  # the folder of pytest is closed to others from the start
        folder = Path(name)
        write_season(folder / "season")
        folder.chmod(0o755)
        closed = folder / "season" if what == "folder" else folder / "season" / "S2_31UFS_20210403.tif"
        mode, user = closed.stat().st_mode, os.geteuid()
        closed.chmod(0)
        try:
            if user == 0:  # who may read everything
                os.seteuid(65534)
            with pytest.raises(CSCLError, match=f"(?i){re.escape(str(closed))}.* cannot be read .*permission denied"):
                open_cube(folder / "season")
        finally:
            os.seteuid(user)
            closed.chmod(mode)
