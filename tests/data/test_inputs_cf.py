"""NetCDF and Zarr as images: what is accepted, and what is refused with which sentence."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr
import zarr
from fake_cubes import made_up
from fake_files import (
    BANDS,
    DATES,
    TRANSFORM,
    stored,
)  # fmt: skip
from input_table import Line, Made, case, garbage, halved, require_complete, tried, try_line, with_hidden
from numpy.typing import NDArray
from pyproj import CRS

from cscl.data.readers import ReadOptions
from cscl.events import run
from cscl.export.cube import CubeOptions, write_cube

CF = "cf_cube"


def dataset(values: NDArray[Any] | None = None, **attrs: Any) -> xr.Dataset:
    values = stored() if values is None else values
    y, x = (TRANSFORM.f + TRANSFORM.e * (np.arange(13) + 0.5), TRANSFORM.c + TRANSFORM.a * (np.arange(17) + 0.5))
    data = xr.Dataset(
        {"reflectance": (("time", "band", "y", "x"), values, {"grid_mapping": "spatial_ref", **attrs})},
        {"time": np.array(DATES, "datetime64[ns]"), "band": list(BANDS), "y": y, "x": x},
    )
    return data.assign_coords(spatial_ref=((), 0, {"crs_wkt": CRS.from_epsg(32633).to_wkt()}))


def nc(folder: Path, data: xr.Dataset | None = None) -> Path:
    (dataset() if data is None else data).to_netcdf(folder / "cube.nc")
    return folder / "cube.nc"


def store(folder: Path, data: xr.Dataset | None = None) -> Path:
    (dataset() if data is None else data).to_zarr(folder / "cube.zarr", zarr_format=3, consolidated=False)
    return folder / "cube.zarr"


def hidden(dtype: Any, *values: float) -> xr.Dataset:
    images = stored().astype(dtype)
    images[0] = with_hidden(dtype, *values)
    return dataset(images)


case(CF, "a truncated NetCDF file")(lambda folder: halved(nc(folder)))
case(CF, "a file that is no NetCDF")(lambda folder: garbage(folder / "cube.nc"))
case(CF, "NaN without a fill value")(lambda folder: nc(folder, hidden(np.float32, *[np.nan] * 3) * np.float32(1e-4)))
case(CF, "-9999, -10000 or the lowest number without a fill value")(
    lambda folder: nc(folder, hidden(np.int16, -9999, -10000, -32768))
)
case(CF, "65535 without a fill value")(lambda folder: nc(folder, hidden(np.uint16, 65535)))
case(CF, "complex numbers (Zarr)")(lambda folder: store(folder, dataset(stored().astype(np.complex64))))
case(CF, "rows from south to north")(lambda folder: nc(folder, dataset().isel(y=slice(None, None, -1))))
case(CF, "no reference system")(lambda folder: nc(folder, dataset().drop_vars("spatial_ref")))
case(CF, "no coordinates")(lambda folder: nc(folder, dataset().drop_vars(["y", "x"])))
case(CF, "coordinates that are not evenly spaced")(lambda folder: nc(folder, dataset().isel(x=[0, 1, 2, 5, 6])))
case(CF, "images across the 180th meridian in degrees")(
    lambda folder: nc(folder, dataset().assign_coords(x=(np.arange(17) * 1e-4 + 359.9992) % 360 - 180))
)
case(CF, "coordinates of each pixel (a swath)")(
    lambda folder: nc(folder, dataset().rename(y="row", x="col").drop_vars(["row", "col"]))
)
case(CF, "dates that are none")(lambda folder: nc(folder, dataset().assign_coords(time=[1, 2, 3, 4])))
case(CF, "a date twice")(
    lambda folder: nc(folder, dataset().assign_coords(time=np.array(DATES)[[0, 1, 1, 3]].astype("M8[ns]")))
)
case(CF, "dates out of order")(lambda folder: nc(folder, dataset().isel(time=[2, 0, 3, 1])))
case(CF, "no axis of time")(lambda folder: nc(folder, dataset().isel(time=0, drop=True)))
case(CF, "bands without names")(lambda folder: nc(folder, dataset().drop_vars("band")))
case(CF, "several cubes")(lambda folder: nc(folder, dataset().assign(other=dataset().reflectance)))
case(CF, "several cubes, and one named with --variable")(
    lambda folder: (nc(folder, dataset().assign(other=dataset().reflectance)), ReadOptions(variable="other"))
)
case(CF, "names beyond ASCII")(lambda folder: nc(folder, dataset().assign_coords(band=["Grün", "赤", "nir"])))
case(CF, "an empty Zarr group")(lambda folder: (zarr.create_group(folder / "a.zarr"), folder / "a.zarr")[1])
case(CF, "a folder with a zarr.json that is none")(lambda folder: garbage(folder / "a.zarr" / "zarr.json").parent)


@case(CF, "bands of different types")
def _(folder: Path) -> Made:
    cube = dataset().reflectance
    flat = {band: cube.sel(band=band, drop=True) for band in BANDS}
    return nc(folder, xr.Dataset({**flat, "B04": flat["B04"].astype(np.float32)}))


@case(CF, "a chunk that is damaged (Zarr)")
def _(folder: Path) -> Made:
    path = store(folder)
    for chunk in (path / "reflectance" / "c").rglob("*"):
        if chunk.is_file():
            garbage(chunk)
    return path


@case(CF, "a declared size of 50 TB (Zarr)")
def _(folder: Path) -> Made:
    path = store(folder, dataset().drop_vars(["y", "x", "reflectance"]).assign_coords(
        spatial_ref=((), 0, {"crs_wkt": "EPSG:32633", "GeoTransform": " ".join(map(str, TRANSFORM.to_gdal()))})
    ))  # fmt: skip
    zarr.create_array(
        path, name="reflectance", shape=(4, 3, 1_500_000, 1_500_000), chunks=(4, 3, 256, 256), dtype="uint16",
        fill_value=65535, dimension_names=["time", "band", "y", "x"],
    )  # fmt: skip
    return path


@case(CF, "a link to itself in place of the file")
def _(folder: Path) -> Made:
    (folder / "cube.nc").symlink_to(folder / "cube.nc")
    return folder / "cube.nc"


# --- what cscl cube writes -------------------------------------------------------------------------------------------

OWN = "cscl_cube"


def own(change: Callable[[Path], Any] = lambda path: None, **told: Any) -> Callable[[Path], Made]:
    """Make a case of a cube that `cscl cube` wrote, of which something is changed."""

    def make(folder: Path) -> Made:
        cube, options = made_up((20, 24), 4, **{"by": "date", **told}), CubeOptions(chunk_px=16)
        run(write_cube(cube, folder / "cube.zarr", options))
        change(folder / "cube.zarr")
        return folder / "cube.zarr"

    return make


def attribute(where: str, name: str, value: Any) -> Callable[[Path], Any]:
    """Put another value in place of an attribute, or with None leave it out."""

    def change(path: Path) -> None:
        node = zarr.open(path / where, mode="r+")
        node.attrs.pop(name) if value is None else node.attrs.update({name: value})

    return change


case(OWN, "a whole cube, with an offset of each date")(own())
case(OWN, "a cube that is not finished")(own(lambda path: (path / "unfinished.json").write_text("{}")))
case(OWN, "scale and offset that are gone")(own(lambda path: shutil.rmtree(path / "scale")))
case(OWN, "a scale that is damaged")(own(lambda path: garbage(path / "scale" / "c" / "0")))
case(OWN, "notes that are no list")(own(attribute("", "notes", "{")))
case(OWN, "acquisitions that are none")(own(attribute("", "acquisitions", "[3]")))
case(OWN, "radiometry that is damaged")(own(attribute("reflectance", "radiometry", "[]")))
case(OWN, "a chunk of the images that is damaged")(
    own(lambda path: [garbage(f) for f in (path / "reflectance" / "c").rglob("*") if f.is_file()])
)
case(OWN, "a chunk of the mask that is damaged")(
    own(lambda path: [garbage(f) for f in (path / "valid" / "c").rglob("*") if f.is_file()])
)
case(OWN, "values that another program has turned into reflectance")(
    lambda folder: _decoded(Path(str(own()(folder))), folder / "other.zarr")
)


def _decoded(path: Path, to: Path) -> Path:
    data = xr.open_zarr(path, chunks=None, consolidated=False, mask_and_scale=False)
    data["reflectance"] = data["reflectance"].astype(np.float32).assign_attrs(data["reflectance"].attrs)
    for variable in data.variables.values():
        variable.encoding.clear()
    data.to_zarr(to, zarr_format=3, consolidated=False)
    return to


@tried(CF, OWN)
def test_what_is_said_of_an_input(line: Line, tmp_path: Path) -> None:
    try_line(line, tmp_path)


def test_every_line_has_its_case_and_every_case_its_line() -> None:
    require_complete(CF, OWN)
