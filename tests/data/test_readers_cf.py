"""NetCDF files and Zarr stores: the same cube whatever the axes are called, wherever the CRS hides."""

from __future__ import annotations

import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import xarray as xr
from fake_files import BANDS, DATES, NODATA, SHAPE, TRANSFORM, stored, write_tif
from pyproj import CRS
from xarray.backends import netCDF4_

from cscl.data.readers import ReadOptions, open_cube
from cscl.errors import CSCLError, GridError, InputError, UnknownNameError
from cscl.grid import Window, require_same

Y = TRANSFORM.f + TRANSFORM.e * (np.arange(SHAPE[0]) + 0.5)
X = TRANSFORM.c + TRANSFORM.a * (np.arange(SHAPE[1]) + 0.5)
WKT = CRS.from_epsg(32633).to_wkt()
GEOTRANSFORM = " ".join(repr(float(v)) for v in TRANSFORM.to_gdal())
PACKED = {"scale_factor": 1e-4, "add_offset": -0.1, "_FillValue": np.uint16(NODATA)}


def dataset(**attrs: Any) -> xr.Dataset:
    """One variable with a band axis, as CF wants it."""
    data = xr.Dataset(
        {"reflectance": (("time", "band", "y", "x"), stored(), {"grid_mapping": "spatial_ref", **attrs})},
        {"time": np.array(DATES, "datetime64[ns]"), "band": list(BANDS), "y": Y, "x": X},
    )
    return data.assign_coords(spatial_ref=((), 0, {"crs_wkt": WKT, "GeoTransform": GEOTRANSFORM}))


def per_band(prefix: str = "S2-L2A-", dtype: Any = np.uint16) -> xr.Dataset:
    """One variable a band, as openEO and odc write."""
    cube = dataset()
    flat = {f"{prefix}{b}": cube.reflectance.sel(band=b, drop=True).astype(dtype) for b in BANDS}
    return xr.Dataset(flat)


def write(data: xr.Dataset, folder: Path, form: str = "nc") -> Path:
    path = folder / f"cube.{form}"
    if form == "nc":
        data.to_netcdf(path)
    else:
        path = folder / f"{form}.zarr"
        data.to_zarr(path, zarr_format=2 if form == "v2" else 3, consolidated=False)
    return path


@pytest.mark.parametrize("form", ["nc", "v2", "v3"])
def test_round_trip(tmp_path: Path, form: str) -> None:
    cube = open_cube(write(dataset(**PACKED), tmp_path, form))
    assert cube.bands == BANDS
    assert [str(d)[:10] for d in cube.dates] == list(DATES)
    assert cube.grid.transform == TRANSFORM
    assert cube.grid.crs.epsg == 32633
    assert cube.stored.dtype == np.uint16
    np.testing.assert_array_equal(cube.stored.values, stored())
    assert cube.radiometry.scale == (1e-4,) * 4
    assert cube.radiometry.offset == (-0.1,) * 4
    assert cube.radiometry.nodata == NODATA
    assert cube.radiometry.source == "scale 0.0001 declared, offset -0.1 declared, nodata 65535 declared"
    reflectance, valid = cube.read(Window(1, 2, 5, 6))
    assert valid.all()
    np.testing.assert_allclose(reflectance, stored()[..., 1:6, 2:8] * 1e-4 - 0.1, atol=1e-6)


def test_opening_reads_no_pixels(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write(dataset(**PACKED), tmp_path)
    read: list[tuple[int, ...]] = []
    plain = netCDF4_.NetCDF4ArrayWrapper._getitem

    def noted(self: Any, key: Any) -> Any:
        values = plain(self, key)
        read.append(np.shape(values))
        return values

    monkeypatch.setattr(netCDF4_.NetCDF4ArrayWrapper, "_getitem", noted)
    cube = open_cube(path).select(bands=["B04"])
    assert all(len(shape) < 2 for shape in read)
    cube.read(Window(2, 3, 4, 5))
    assert [shape for shape in read if len(shape) > 1] == [(4, 1, 4, 5)]


@pytest.mark.parametrize("form", ["nc", "v3"])
def test_a_cube_travels_to_other_processes(tmp_path: Path, form: str) -> None:
    cube = open_cube(write(dataset(**PACKED), tmp_path, form))
    np.testing.assert_array_equal(pickle.loads(pickle.dumps(cube)).read()[0], cube.read()[0])


@pytest.mark.parametrize("order", [("x", "y", "band", "time"), ("band", "time", "y", "x"), ("y", "x", "time", "band")])
def test_axes_in_any_order_and_direction(tmp_path: Path, order: tuple[str, ...]) -> None:
    data = dataset(**PACKED).transpose(*order, ...).isel(y=slice(None, None, -1), time=[2, 0, 3, 1])
    cube = open_cube(write(data, tmp_path))
    assert cube.grid.transform == TRANSFORM
    cuts: list[dict[str, Any]] = [
        {},
        {"time": 1, "y": slice(3, 7)},
        {"time": [2, 0], "band": [2, 0], "x": [5, 1, 1]},
        {"band": -1, "y": 4, "x": slice(None, None, -2)},
        {"time": slice(1, 1)},
    ]
    for cut in cuts:
        np.testing.assert_array_equal(cube.stored.isel(cut).values, dataset().reflectance.isel(cut).values)


def test_names_of_the_axes(tmp_path: Path) -> None:
    names = {"time": "t", "band": "bands", "y": "northing", "x": "easting"}
    cube = open_cube(write(dataset().rename(names), tmp_path))
    np.testing.assert_array_equal(cube.stored.values, stored())
    assert cube.bands == BANDS


def test_one_variable_a_band_as_openeo_writes_it(tmp_path: Path) -> None:
    data = per_band().rename(time="t")
    for name in data.data_vars:
        data[name] = data[name].copy(data=data[name].values.view(np.int16))
        data[name].attrs = {"_Unsigned": "true", "grid_mapping": "crs"}
    data["S2-L2A-B02"].values[1, 4, 4] = -1
    data["slope"] = data["S2-L2A-B02"]
    data = data.drop_vars("spatial_ref").assign(crs=((), 0, {"crs_wkt": WKT}))
    cube = open_cube(write(data, tmp_path))
    assert cube.bands == BANDS
    expected = stored()
    expected[1, 0, 4, 4] = 65535
    np.testing.assert_array_equal(cube.stored.values, expected)
    np.testing.assert_array_equal(cube.stored[1, [2, 0], 4].values, expected[1, [2, 0], 4])
    assert np.argwhere(~cube.read()[1]).tolist() == [[1, 4, 4]]
    assert cube.notes[0] == "Variables left out: slope."
    assert "65535 by custom counts as missing" in cube.notes[1]
    chosen = open_cube(tmp_path / "cube.nc", ReadOptions(bands=("slope", "B04")))
    np.testing.assert_array_equal(chosen.stored.values, expected[:, :2])
    with pytest.raises(UnknownNameError, match=r"Unknown band 'B8' in .* Did you mean 'B8A'"):
        open_cube(tmp_path / "cube.nc", ReadOptions(bands=("B8",)))


@pytest.mark.parametrize("form", ["nc", "v3"])
def test_masks(tmp_path: Path, form: str) -> None:
    cloud = np.zeros((4, *SHAPE), np.uint8)
    cloud[1, :5] = 4
    data = dataset(**PACKED).assign(cloud=(("time", "y", "x"), cloud, {"flag_values": [0, 4]}))
    path = write(data.isel(y=slice(None, None, -1), time=[3, 2, 1, 0]), tmp_path, form)
    assert open_cube(path).notes == (
        "Not used as a mask, though they may be one: cloud. Name one with --mask to use it.",
    )
    cube = open_cube(path, ReadOptions(mask="cloud"))
    np.testing.assert_array_equal(cube.read()[1], cloud == 0)
    np.testing.assert_array_equal(cube.read(Window(3, 1, 4, 4))[1], cloud[:, 3:7, 1:5] == 0)
    with pytest.raises(UnknownNameError, match=r"Unknown mask 'cluod' in .* Did you mean 'cloud'"):
        open_cube(path, ReadOptions(mask="cluod"))


def test_a_boolean_variable_called_valid_is_the_mask(tmp_path: Path) -> None:
    valid = np.arange(4 * SHAPE[0] * SHAPE[1]).reshape(4, *SHAPE) % 3 > 0
    data = dataset(**PACKED).assign(valid=(("x", "y", "time"), valid.T))
    cube = open_cube(write(data, tmp_path))
    np.testing.assert_array_equal(cube.read()[1], valid)
    assert cube.notes == ("Mask from the variable 'valid': true is usable.",)


def test_mask_rasters_beside_a_netcdf(tmp_path: Path) -> None:
    mask = np.ones((1, *SHAPE), np.uint8)
    write_tif(tmp_path / "clouds" / "20210501.tif", mask, None)
    cube = open_cube(write(dataset(), tmp_path), ReadOptions(mask=str(tmp_path / "clouds")))
    assert cube.read()[1].reshape(4, -1).all(axis=1).tolist() == [True, False, True, True]


def test_identical_times_are_merged(tmp_path: Path) -> None:
    data = dataset(**PACKED).isel(time=[0, 1, 2])
    data["time"] = np.array([DATES[1], DATES[0], DATES[1]], "datetime64[ns]")
    data.reflectance.values[0, :, 2] = NODATA
    cube = open_cube(write(data, tmp_path))
    expected = stored()[[1, 0]]
    expected[1, :, 2] = stored()[2, :, 2]
    np.testing.assert_array_equal(cube.stored.values, expected)
    assert "image 1 (2021-05-01T00:00:00) and image 3" in cube.notes[0]


def test_floats_are_reflectance_and_nan_is_missing(tmp_path: Path) -> None:
    data = per_band(dtype=np.float32) * np.float32(1e-4)
    data["S2-L2A-B04"].values[2, 1, 1] = np.nan
    cube = open_cube(write(data.assign_coords(spatial_ref=dataset().spatial_ref), tmp_path))
    assert np.argwhere(~cube.read()[1]).tolist() == [[2, 1, 1]]
    assert (
        cube.radiometry.source
        == "scale 1 assumed, offset 0 assumed, NaN means missing (-9999, -10000 and the lowest float32 by custom)"
    )
    assert cube.read()[0].max() == pytest.approx(stored().max() * 1e-4)


def test_a_single_index_is_a_cube_of_one_band(tmp_path: Path) -> None:
    data = xr.Dataset({"ndvi": per_band("")["B04"]})
    assert open_cube(write(data, tmp_path)).bands == ("ndvi",)


WHEREABOUTS: dict[str, Callable[[xr.Dataset], xr.Dataset]] = {
    "spatial_ref": lambda d: d.assign_coords(spatial_ref=((), 0, {"spatial_ref": WKT})),
    "epsg_code": lambda d: d.assign_coords(spatial_ref=((), 32633, {"epsg_code": "EPSG:32633"})),
    "CF parameters": lambda d: d.assign_coords(
        spatial_ref=((), 0, {k: v for k, v in CRS.from_epsg(32633).to_cf().items() if k != "crs_wkt"})
    ),
    "attribute of the data": lambda d: d.assign_attrs({"crs": "EPSG:32633"}),
    "proj:epsg": lambda d: d.assign_coords({"proj:epsg": 32633}),
    "epsg": lambda d: d.assign_coords({"epsg": 32633}),
}


@pytest.mark.parametrize("where", WHEREABOUTS)
def test_the_crs_is_found(tmp_path: Path, where: str) -> None:
    cube = open_cube(write(WHEREABOUTS[where](dataset().drop_vars("spatial_ref")), tmp_path))
    grid = open_cube(write(dataset(), tmp_path, "v3")).grid
    assert cube.grid.crs == grid.crs
    require_same(grid, cube.grid, "both")  # here the transform comes from the coordinates


def test_coordinates_win_over_a_geotransform_that_cropping_left_behind(tmp_path: Path) -> None:
    cube = open_cube(write(dataset().isel(y=slice(3, None), x=slice(0, 9)), tmp_path))
    assert cube.shape == (SHAPE[0] - 3, 9)
    assert cube.grid.transform.f == pytest.approx(TRANSFORM.f + 3 * TRANSFORM.e, abs=1e-6)
    assert any("GeoTransform does not fit the coordinates" in note for note in cube.notes)


def test_whole_metres_come_out_exact_from_coordinates(tmp_path: Path) -> None:
    data = (
        dataset()
        .drop_vars("spatial_ref")
        .assign_coords(y=5612115.0 - 10 * np.arange(13), x=664005.0 + 10 * np.arange(17))
    )
    cube = open_cube(write(data, tmp_path), ReadOptions(crs="EPSG:32631"))
    assert cube.grid.transform.to_gdal() == (664000.0, 10.0, 0.0, 5612120.0, 0.0, -10.0)


def test_without_coordinates_the_geotransform_does(tmp_path: Path) -> None:
    assert open_cube(write(dataset().drop_vars(["x", "y"]), tmp_path)).grid.transform == TRANSFORM


REFUSED: dict[str, tuple[Callable[[xr.Dataset], xr.Dataset], type[CSCLError], str]] = {
    "no CRS": (lambda d: d.drop_vars("spatial_ref"), GridError, "has no coordinate reference system"),
    "no place": (lambda d: d.drop_vars(["x", "y", "spatial_ref"]), GridError, "has no coordinates 'y' and 'x'"),
    "gaps": (lambda d: d.isel(x=[0, 1, 2, 5, 6, 7]), GridError, "'x' of .* is not evenly spaced"),
    "no dates": (lambda d: d.assign_coords(time=[1, 2, 3, 4]), InputError, "holds no dates .* --dates"),
    "no time": (lambda d: d.isel(time=0), InputError, "no variable with the axes time, y and x"),
    "two cubes": (lambda d: d.assign(other=d.reflectance), InputError, "holds 2 cubes: reflectance, other"),
    "mixed": (
        lambda d: per_band().assign({"S2-L2A-B04": per_band()["S2-L2A-B04"].astype(np.float32)}),
        InputError,
        "'S2-L2A-B04' .* is not like 'S2-L2A-B02'",
    ),
    "scales": (
        lambda d: per_band().assign({"S2-L2A-B04": per_band()["S2-L2A-B04"].assign_attrs(scale_factor=0.5)}),
        InputError,
        "different scale, offset or nodata",
    ),
    "unknown": (lambda d: per_band("x").rename(xB02="vv", xB04="vh", xB8A="dem"), InputError, "optical band"),
}


@pytest.mark.parametrize("why", REFUSED)
def test_refused_with_a_sentence(tmp_path: Path, why: str) -> None:
    change, kind, sentence = REFUSED[why]
    with pytest.raises(kind, match=sentence):
        open_cube(write(change(dataset()), tmp_path))


def test_dates_can_be_given(tmp_path: Path) -> None:
    path = write(dataset().assign_coords(time=[1, 2, 3, 4]), tmp_path)
    assert [str(d)[:10] for d in open_cube(path, ReadOptions(dates=DATES)).dates] == list(DATES)


def test_damaged_files_are_said_to_be(tmp_path: Path) -> None:
    path = write(dataset(), tmp_path)
    path.write_bytes(path.read_bytes()[:4000])
    with pytest.raises(InputError, match=r"cube.nc cannot be read as a NetCDF file"):
        open_cube(path)
    store = write(dataset(), tmp_path, "v3")
    (store / "zarr.json").write_text("{")
    with pytest.raises(InputError, match=r"v3.zarr cannot be read as a Zarr store"):
        open_cube(store)
    store = write(dataset(), tmp_path, "v2")
    for chunk in (store / "reflectance").glob("0*"):
        chunk.write_bytes(b"\x00")
    with pytest.raises(InputError, match=r"v2.zarr cannot be read"):
        open_cube(store).read()


@pytest.mark.parametrize("form", ["nc", "v3"])
@pytest.mark.parametrize("up", [False, True])
def test_from_afar_and_any_bands_in_any_order(tmp_path: Path, form: str, up: bool) -> None:
    data = dataset().isel(y=slice(None, None, -1 if up else 1))
    cube = open_cube(write(data, tmp_path, form))
    rows, cols = (slice(1, n // 3 * 3, 3) for n in SHAPE)
    np.testing.assert_array_equal(cube.coarser(3).stored.values, stored()[:, :, rows, cols])
    some = cube.select(bands=["B8A", "B02", "B8A"], times=[1, 3]).coarser(3)
    np.testing.assert_array_equal(some.stored[..., 1:].values, stored()[[1, 3]][:, [2, 0, 2], rows, cols][..., 1:])
