"""Real inputs: Slovenian and Belgian Sentinel-2 series, official parcels, and figures known from elsewhere."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from cscl.data.readers import ReadOptions, open_cube
from cscl.data.scenes import LabelOptions, open_labels
from cscl.errors import GridError
from cscl.events import run
from cscl.export.cube import CubeOptions, write_cube
from cscl.grid import Window, require_same
from cscl.legend import Legend
from cscl.parcels import Parcels, rasterise
from cscl.products import LabelMap, Scene

pytestmark = pytest.mark.real

COUNTS = {0: 155, 1: 11, 2: 7601, 3: 1777, 4: 358, 8: 198}
EMPTY = ["2020-12-01", "2021-01-01"]


@pytest.fixture
def slovenia(real_data: Path) -> Path:
    return real_data / "slovenia"


@pytest.fixture
def expected(slovenia: Path) -> dict[str, Any]:
    told: dict[str, Any] = json.loads((slovenia / "expected.json").read_text())
    return told


def test_slovenia_from_geotiffs_and_netcdf_is_one_cube(slovenia: Path, expected: dict[str, Any]) -> None:
    a, b = open_cube(slovenia / "s2_l1c_per_date"), open_cube(slovenia / "s2_l1c_cube.nc")
    for cube in (a, b):
        assert tuple(cube.grid.transform)[:6] == tuple(expected["transform"])  # to the last bit
        assert str(cube.grid.crs) == expected["crs"]
        assert cube.shape == (expected["height"], expected["width"])
        assert [str(d)[:19] for d in cube.dates] == expected["s2_dates_sorted"]
        assert list(cube.bands) == expected["s2_bands"]
        assert cube.radiometry.scale == (1e-4,) * 5
        assert cube.radiometry.nodata == 65535
    np.testing.assert_array_equal(a.stored.values, b.stored.values)
    for window in (None, Window(30, 41, 17, 23)):
        for of_a, of_b in zip(a.read(window), b.read(window), strict=True):
            np.testing.assert_array_equal(of_a, of_b)


@pytest.mark.parametrize("form", ["s2_l1c_per_date", "s2_l1c_cube.nc", "ndvi68_cube.nc"])
def test_slovenia_as_a_zarr_store_is_the_same_cube(slovenia: Path, tmp_path: Path, form: str) -> None:
    cube = open_cube(slovenia / form, ReadOptions(mask="cloud_mask" if form.startswith("ndvi") else None))
    back = run(write_cube(cube, tmp_path / "cube.zarr", CubeOptions(chunk_px=64)))
    np.testing.assert_array_equal(back.stored.values, cube.stored.values)
    np.testing.assert_array_equal(back.read()[1], cube.read()[1])
    np.testing.assert_array_equal(back.dates, cube.dates)
    assert (back.bands, back.grid, back.radiometry) == (cube.bands, cube.grid, cube.radiometry)


def test_slovenia_check_points(slovenia: Path, expected: dict[str, Any]) -> None:
    cube = open_cube(slovenia / "s2_l1c_per_date", ReadOptions(bands=("B04", "B08")))
    labels = LabelMap.open(slovenia / "labels_lulc.tif", cube.grid)
    for point in expected["check_points"]:
        place = cube.stored[:, :, point["row"], point["col"]].values.T.tolist()
        assert place == [list(point["B04_DN"].values()), list(point["B08_DN"].values())]
        assert labels.ids[point["row"], point["col"]] == point["label"]


def test_slovenia_reflectance_of_the_source(slovenia: Path) -> None:
    order = ["2015-08-20", "2015-07-31", "2015-09-09", "2015-08-30", "2015-07-11"]
    scenes = np.load(slovenia / "REFERENCE_SCENES.npy")
    reflectance, valid = open_cube(slovenia / "s2_l1c_cube.nc").read()
    assert valid.all()
    there = scenes[np.argsort(order)].transpose(0, 3, 1, 2)
    np.testing.assert_allclose(reflectance, there, rtol=0, atol=0.51e-4)  # half a stored step


def test_slovenia_ndvi_keeps_both_acquisitions_of_a_day(slovenia: Path, expected: dict[str, Any]) -> None:
    path = slovenia / "ndvi68_cube.nc"
    cube = open_cube(path, ReadOptions(mask="cloud_mask"))
    assert len(cube.dates) == expected["ndvi_dates"] == 68
    assert set(expected["duplicate_calendar_day"]) <= {str(d)[:19] for d in cube.dates}
    assert cube.bands == ("NDVI",)
    assert cube.radiometry.nodata == -32768
    _, valid = cube.read()
    cloudy = dict(zip([str(d)[:19] for d in cube.dates], 1 - valid.mean(axis=(1, 2)), strict=True))
    for date, share in expected["cloud_fraction"].items():
        assert cloudy[date] == share
    bare = open_cube(path)
    assert bare.clear is None
    assert any("cloud_mask" in note and "--mask" in note for note in bare.notes)


@pytest.mark.parametrize("name", ["parcels_lulc_32633.gpkg", "parcels_lulc_wgs84.geojson"])
def test_slovenia_parcels_give_the_label_raster(slovenia: Path, name: str) -> None:
    cube = open_cube(slovenia / "s2_l1c_per_date")
    truth = LabelMap.open(slovenia / "labels_lulc.tif", cube.grid)
    assert truth.counts() == COUNTS
    parcels = Parcels.open(slovenia / name, "LULC_ID")
    labels = rasterise(parcels, cube.grid, parcels.legend("LULC_NAME"))
    assert len(parcels) == 88
    assert labels.legend.ids == tuple(COUNTS)
    assert labels.counts() == COUNTS
    np.testing.assert_array_equal(labels.ids, truth.ids)
    assert (labels.parcel_ids > 0).all()
    Scene(cube, labels)


def test_parcels_elsewhere_are_refused(slovenia: Path) -> None:
    parcels = Parcels.open(slovenia / "french_rpg_lpis_193_parcels_epsg2154.gpkg", "code_cultu")
    assert len(parcels) == 193
    assert len(parcels.codes) == 24
    with pytest.raises(GridError, match=r"No parcel of french_rpg.* lies on the images"):
        rasterise(parcels, open_cube(slovenia / "s2_l1c_cube.nc").grid, parcels.legend())


def test_belgium_as_openeo_wrote_it(real_data: Path) -> None:
    folder = real_data / "belgium_a"
    raw = open_cube(folder / "worldcereal_preprocessed_inputs.nc")
    tifs = open_cube(folder / "A_s2_per_date")
    require_same(raw.grid, tifs.grid, "NetCDF and GeoTIFFs")
    assert tuple(raw.grid.transform)[:6] == (10, 0, 664000, 0, -10, 5612120)
    assert raw.bands == tifs.bands == ("B02", "B03", "B04", "B05", "B06", "B07", "B08", "B11", "B12")
    assert raw.stored.dtype == np.uint16
    np.testing.assert_array_equal(raw.dates, tifs.dates)
    np.testing.assert_array_equal(raw.stored.values, tifs.stored.values)
    for cube in (raw, tifs):
        reflectance, valid = cube.read()
        seen = valid.reshape(12, -1).any(axis=1)
        assert [str(d)[:10] for d in cube.dates[~seen]] == EMPTY
        assert reflectance.max() < 2  # 65535 would be 6.55
    for of_raw, of_tifs in zip(raw.read(), tifs.read(), strict=True):
        np.testing.assert_array_equal(of_raw, of_tifs)
    assert raw.radiometry.nodata == tifs.radiometry.nodata == 65535  # assumed there, declared here
    assert any("65535" in note for note in raw.notes) and not any("65535" in note for note in tifs.notes)
    (aside,) = (note for note in raw.notes if note.startswith("Variables left out"))
    assert all(name in aside for name in ("S1-SIGMA0-VH", "elevation", "slope")) and "S2" not in aside
    assert "scale 0.0001 assumed" in raw.radiometry.source


def test_belgium_other_variables_on_request(real_data: Path) -> None:
    path = real_data / "belgium_a" / "worldcereal_preprocessed_inputs.nc"
    cube = open_cube(path, ReadOptions(bands=("S1-SIGMA0-VH", "B08")))
    assert cube.bands == ("S1-SIGMA0-VH", "B08")
    assert cube.stored.shape == (12, 2, 100, 100)


def test_belgium_labels_with_zero_as_a_class(real_data: Path) -> None:
    folder = real_data / "belgium_a"
    grid = open_cube(folder / "A_s2_per_date").grid
    zero = LabelMap.open(folder / "A_labels_cropland_0valid.tif", grid)
    one = LabelMap.open(folder / "A_labels_cropland_1based.tif", grid)
    assert zero.counts() == {0: 3937, 1: 6063}
    assert one.counts() == {1: 3937, 2: 6063}
    assert Legend.from_codes([0, 1]) == zero.legend


def test_slovenia_as_eolearn_keeps_it(slovenia: Path, expected: dict[str, Any]) -> None:
    patch = slovenia / "eopatch" / "TestEOPatch"
    cube, packed = open_cube(patch), open_cube(slovenia / "ndvi68_cube.nc", ReadOptions(mask="cloud_mask"))
    assert tuple(cube.grid.transform)[:6] == pytest.approx(tuple(expected["transform"]), rel=1e-12)
    require_same(cube.grid, packed.grid, "EOPatch and NetCDF")
    assert cube.bands == packed.bands == ("NDVI",)
    np.testing.assert_array_equal(cube.dates, packed.dates)
    np.testing.assert_array_equal(cube.read()[1], packed.read()[1])
    np.testing.assert_allclose(cube.read()[0], packed.read()[0], rtol=0, atol=0.51e-4)  # half a packed step
    truth = LabelMap.open(slovenia / "labels_lulc.tif", cube.grid)
    raster = open_labels(patch / "mask_timeless" / "LULC.npy", cube.grid, LabelOptions())
    polygons = open_labels(
        patch / "vector_timeless" / "LULC.gpkg", cube.grid, LabelOptions(class_column="LULC_ID", id_column="index")
    )
    for labels in (raster, polygons):
        np.testing.assert_array_equal(labels.ids, truth.ids)
        assert labels.counts() == COUNTS
