"""The same season in every form that is read gives the same cube: real images, dates, bands, place and numbers."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import rasterio
import xarray as xr

from cscl.cube import SITSCube
from cscl.data.readers import ReadOptions, open_cube
from cscl.data.xarrays import cube_from_xarray
from cscl.grid import require_same

pytestmark = pytest.mark.real

SCENES = (
    "2015-08-20T10:07:28",
    "2015-07-31T10:00:09",
    "2015-09-09T10:00:17",
    "2015-08-30T10:05:47",
    "2015-07-11T10:00:08",
)


def one_geotiff(slovenia: Path, folder: Path) -> SITSCube:
    """All dates in one file, the last first; each layer is described by its date and band."""
    files = sorted((slovenia / "s2_l1c_per_date").glob("*.tif"), reverse=True)
    with rasterio.open(files[0]) as first:
        profile, bands = {**first.profile, "count": len(files) * first.count}, first.descriptions
    with rasterio.open(folder / "season.tif", "w", **profile) as out:
        for number, file in enumerate(files):
            with rasterio.open(file) as image:
                places = range(number * len(bands) + 1, (number + 1) * len(bands) + 1)
                out.write(image.read(), list(places))
                for place, band in zip(places, bands, strict=True):
                    out.set_band_description(place, f"{file.stem.rpartition('_')[2]}_{band}")
        out.scales = (1e-4,) * out.count
    return open_cube(folder / "season.tif")


def a_file_a_band(slovenia: Path, folder: Path) -> SITSCube:
    for file in (slovenia / "s2_l1c_per_date").glob("*.tif"):
        with rasterio.open(file) as image:
            bands = image.descriptions
        for number, band in enumerate(bands, 1):
            copy_band(file, number, folder / f"{file.stem}_{band}.tif")
    return open_cube(folder, ReadOptions(bands=tuple(str(band) for band in bands)))


def copy_band(source: Path, number: int, target: Path) -> None:
    with rasterio.open(source) as image, rasterio.open(target, "w", **{**image.profile, "count": 1}) as out:
        out.write(image.read(number), 1)
        out.scales = (1e-4,)


def unnamed_bands(slovenia: Path, folder: Path) -> SITSCube:
    """GeoTIFFs that have lost the descriptions of their bands; a STAC item beside each names them."""
    for file in (slovenia / "s2_l1c_per_date").glob("*.tif"):
        path = folder / file.name
        shutil.copy(file, path)
        with rasterio.open(path, "r+") as image:
            names, image.descriptions = image.descriptions, [None] * image.count
        asset = {"href": f"./{path.name}", "eo:bands": [{"name": name} for name in names]}
        path.with_suffix(".json").write_text(json.dumps({"type": "Feature", "assets": {"data": asset}}))
    return open_cube(folder)


def zarr_store(slovenia: Path, folder: Path) -> SITSCube:
    with xr.open_dataset(slovenia / "s2_l1c_cube.nc", mask_and_scale=False) as data:
        for variable in data.variables.values():
            variable.encoding = {}
        data.to_zarr(folder / "season.zarr", zarr_format=3, consolidated=False)
    return open_cube(folder / "season.zarr")


def decoded_object(slovenia: Path, folder: Path) -> SITSCube:
    """What xarray makes of the file when nothing else is asked for: decoded, of dask."""
    data = xr.open_dataset(slovenia / "s2_l1c_cube.nc", decode_coords="all", chunks={"time": 1})
    return cube_from_xarray(data)


def eopatch(slovenia: Path, folder: Path) -> SITSCube:
    """The scenes as the source keeps them: reflectance, band last, not in the order of time."""
    patch = slovenia / "eopatch" / "TestEOPatch"
    (folder / "data").mkdir()
    shutil.copy(slovenia / "REFERENCE_SCENES.npy", folder / "data" / "BANDS.npy")
    shutil.copy(patch / "bbox.geojson", folder / "bbox.geojson")
    (folder / "timestamps.json").write_text(json.dumps(SCENES))
    with rasterio.open(next((slovenia / "s2_l1c_per_date").glob("*.tif"))) as image:
        bands = tuple(str(band) for band in image.descriptions)
    return open_cube(folder, ReadOptions(bands=bands))


FORMS: dict[str, tuple[Callable[[Path, Path], SITSCube], float]] = {
    "NetCDF": (lambda slovenia, folder: open_cube(slovenia / "s2_l1c_cube.nc"), 0),
    "one GeoTIFF": (one_geotiff, 0),
    "a GeoTIFF a band": (a_file_a_band, 0),
    "GeoTIFFs whose bands a STAC item names": (unnamed_bands, 0),
    "Zarr": (zarr_store, 0),
    "decoded xarray object": (decoded_object, 1e-6),  # float32 in between
    "EOPatch": (eopatch, 0.51e-4),  # never rounded to stored numbers
}


@pytest.mark.parametrize("form", FORMS)
def test_slovenia_from_every_form_is_one_cube(real_data: Path, tmp_path: Path, form: str) -> None:
    make, atol = FORMS[form]
    cube, wanted = make(real_data / "slovenia", tmp_path), open_cube(real_data / "slovenia" / "s2_l1c_per_date")
    assert cube.bands == wanted.bands
    np.testing.assert_array_equal(cube.dates, wanted.dates)
    require_same(cube.grid, wanted.grid, form)
    np.testing.assert_allclose(tuple(cube.grid.transform), tuple(wanted.grid.transform), rtol=1e-12)
    (reflectance, valid), (expected, known) = cube.read(), wanted.read()
    np.testing.assert_array_equal(valid, known)
    np.testing.assert_allclose(reflectance, expected, rtol=0, atol=atol)
