"""Cubes from xarray objects in Python: the same as from the file, decoded or not, and no pixel is read too early."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import dask.array as da
import numpy as np
import pytest
import xarray as xr
from fake_cubes import made_up
from fake_files import BANDS, DATES, NODATA, SHAPE, TRANSFORM, stored
from odc.geo.xr import wrap_xr
from pyproj import CRS

from cscl.cube import SITSCube
from cscl.data.readers import ReadOptions, open_cube
from cscl.data.readers._lazy import Lazy
from cscl.data.xarrays import cube_from_xarray, cube_to_xarray
from cscl.errors import GridError, InputError, UnknownNameError
from cscl.grid import Window, make_grid, require_same

GRID = make_grid(SHAPE, TRANSFORM, "EPSG:32633", "the images")
PACKED = {"scale_factor": 1e-4, "add_offset": -0.1, "_FillValue": np.uint16(NODATA)}


def array(values: Any = None, **attrs: Any) -> xr.DataArray:
    """What a user has: axes (time, band, y, x), the CRS in a coordinate."""
    there = wrap_xr(np.zeros(SHAPE), GRID)
    return xr.DataArray(
        stored() if values is None else values,
        {"time": np.array(DATES, "datetime64[ns]"), "band": list(BANDS), "y": there.y.values, "x": there.x.values,
         "spatial_ref": there.spatial_ref},
        ("time", "band", "y", "x"), "season", attrs,
    )  # fmt: skip


def test_an_array_in_any_order_and_under_any_names() -> None:
    turned = array(**PACKED).transpose("x", "band", "y", "time").isel(y=slice(None, None, -1), time=[2, 0, 3, 1])
    cube = cube_from_xarray(turned.rename(x="easting", y="northing", time="t", band="wavelength"))
    assert cube.name == "season" and cube.bands == BANDS and cube.radiometry.offset == (-0.1,) * 4
    require_same(cube.grid, GRID, "array and grid")
    np.testing.assert_array_equal(cube.stored.values, stored())


def test_dask_computes_what_is_read_and_no_more() -> None:
    done: list[tuple[int, ...]] = []

    def make(block: Any) -> Any:
        done.append(block.shape)
        return block

    lazy = da.from_array(stored(), chunks=(1, 3, 5, 6)).map_blocks(make, dtype=np.uint16, meta=np.array((), np.uint16))
    cube = cube_from_xarray(array(lazy, **PACKED)).select(times=[1], bands=["B04"])
    assert not done
    reflectance = cube.read(Window(1, 1, 3, 4))[0]
    np.testing.assert_allclose(reflectance[0, 0], stored()[1, 1, 1:4, 1:5] * 1e-4 - 0.1, atol=1e-7)
    assert len(done) == 1


def test_a_variable_a_band_with_nodata_as_odc_says_it() -> None:
    values = stored()
    values[2, 0, 3, 3] = 0
    flat = {b: array(values, nodata=0).sel(band=b, drop=True) for b in BANDS}
    cube = cube_from_xarray(xr.Dataset({**flat, "SCL": flat["B02"] % 12}), name="stack")
    assert cube.name == "stack" and cube.bands == BANDS and cube.radiometry.nodata == 0
    assert np.argwhere(~cube.read()[1]).tolist() == [[0, 0, 0], [2, 3, 3]]
    assert cube.notes == ("Variables left out: SCL.",)
    assert cube_from_xarray(xr.Dataset(flat).rename(B02="B2", B04="B4")).bands == BANDS


@pytest.mark.parametrize("decoded", [True, False])
def test_an_opened_file_gives_the_cube_of_the_file(tmp_path: Path, decoded: bool) -> None:
    values = stored()
    values[1, :, 2, 2] = NODATA
    data = array(values, **PACKED).to_dataset()
    data.season.encoding = {}
    data.to_netcdf(tmp_path / "season.nc")
    opened = xr.open_dataset(tmp_path / "season.nc", mask_and_scale=decoded, decode_coords="all")
    cube, file = cube_from_xarray(opened), open_cube(tmp_path / "season.nc")
    for mine, wanted in zip(cube.read(), file.read(), strict=True):
        np.testing.assert_allclose(mine, wanted, atol=1e-6)
    assert cube.stored.dtype == (np.uint16 if not decoded else opened.season.dtype)
    require_same(cube.grid, file.grid, "object and file")


def test_neutral_scales_of_rioxarray_declare_nothing() -> None:
    said = {"scale_factor": 1.0, "add_offset": 0.0}
    assert cube_from_xarray(array(**said, AREA_OR_POINT="Area")).radiometry.scale == (1e-4,) * 4
    assert cube_from_xarray(array(**said)).radiometry.scale == (1.0,) * 4


def test_what_the_object_lacks_is_given() -> None:
    bare = array().drop_vars(["spatial_ref", "time", "band"])
    with pytest.raises(GridError, match=r"The xarray object 'season' has no coordinate reference system.* --crs"):
        cube_from_xarray(bare.assign_coords(time=np.array(DATES, "datetime64[ns]")))
    cube = cube_from_xarray(bare, ReadOptions(crs="EPSG:32633", dates=DATES, bands=BANDS))
    require_same(cube.grid, GRID, "array and grid")
    clouds = xr.Dataset({"season": array(), "cloud": array()[:, 0] % 2})
    np.testing.assert_array_equal(
        cube_from_xarray(clouds, ReadOptions(mask="cloud")).read()[1], stored()[:, 0] % 2 == 0
    )


def test_what_makes_no_cube_is_refused() -> None:
    with pytest.raises(InputError, match="A ndarray is no xarray object"):
        cube_from_xarray(stored())  # type: ignore[arg-type]
    with pytest.raises(InputError, match="no variable with the axes time, y and x"):
        cube_from_xarray(array()[0])
    with pytest.raises(UnknownNameError, match="Unknown variable 'seasn' in The xarray object 'season'"):
        cube_from_xarray(array(), ReadOptions(variable="seasn"))
    assert CRS.from_user_input(GRID.crs.to_wkt()).to_epsg() == 32633


@pytest.fixture(params=["cube", "date", "band"])
def cube(request: pytest.FixtureRequest) -> SITSCube:
    return made_up((40, 60), by=request.param)


def test_a_cube_as_reflectance(cube: SITSCube) -> None:
    data = cube_to_xarray(cube, chunks={"time": 2, "band": -1, "y": 16, "x": 60})
    assert data.reflectance.chunks[2:] == ((16, 16, 8), (60,)) and data.reflectance.dtype == np.float32
    reflectance, valid = cube.read()
    np.testing.assert_allclose(data.reflectance.values, np.where(valid[:, None], reflectance, np.nan), atol=1e-6)
    assert data.odc.geobox == cube.grid
    again = cube_from_xarray(data, ReadOptions(variable="reflectance"))
    for mine, wanted in zip(again.read(), cube.read(), strict=True):
        np.testing.assert_allclose(mine, wanted, atol=1e-6)


@pytest.mark.parametrize("form", ["object", "zarr", "netcdf"])
def test_a_cube_as_stored_comes_back_whole(cube: SITSCube, tmp_path: Path, form: str) -> None:
    data = cube_to_xarray(cube, decoded=False)
    if form == "zarr":
        data.to_zarr(tmp_path / "a.zarr", consolidated=False)
    elif form == "netcdf":
        data.to_netcdf(tmp_path / "a.nc")
    again = cube_from_xarray(data) if form == "object" else open_cube(next(tmp_path.iterdir()))
    np.testing.assert_array_equal(again.stored.values, cube.stored.values)
    assert again.notes == cube.notes and again.grid == cube.grid and again.acquisitions == cube.acquisitions
    assert again.radiometry.source == cube.radiometry.source and again.radiometry.nodata == cube.radiometry.nodata
    for mine, wanted in zip(again.radiometry.factors(), cube.radiometry.factors(), strict=True):
        np.testing.assert_array_equal(mine, np.broadcast_to(wanted, mine.shape))
    np.testing.assert_array_equal(again.read()[1], cube.read()[1])


def test_nothing_is_read_before_it_is_computed(cube: SITSCube, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[Any] = []
    plain = Lazy._read
    monkeypatch.setattr(Lazy, "_read", lambda self, key: asked.append(key) or plain(self, key))
    data = cube_to_xarray(cube, chunks={"time": 1, "band": 1, "y": 20, "x": 20})
    assert not asked
    assert data.reflectance[0, 0, :5, :5].values.shape == (5, 5)
    assert 0 < len(asked) <= 2 * len(cube.bands)  # one block of every band, and its mask
