"""Folders of GeoTIFFs and single GeoTIFFs of all dates: what is read, what is decided, what is refused."""

from __future__ import annotations

import json
import shutil
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rasterio
import xarray as xr
from affine import Affine
from fake_files import BANDS, DATES, NODATA, SHAPE, TRANSFORM, stored, write_season, write_tif
from rasterio.enums import Resampling

from cscl import raster
from cscl.data.readers import ReadOptions, open_cube
from cscl.data.readers._lazy import merged, merged_clear
from cscl.errors import CSCLError, GridError, InputError, MissingError, UnknownNameError
from cscl.grid import Window


def test_season_is_read_as_written(tmp_path: Path) -> None:
    cube = open_cube(write_season(tmp_path / "season"))
    assert cube.name == "season"
    assert cube.bands == BANDS
    assert [str(d)[:10] for d in cube.dates] == list(DATES)
    assert cube.grid.transform == TRANSFORM
    assert cube.grid.crs.epsg == 32633
    np.testing.assert_array_equal(cube.stored.values, stored())
    reflectance, valid = cube.read()
    assert valid.all()
    np.testing.assert_allclose(reflectance, stored() * 1e-4, atol=1e-7)
    assert cube.radiometry.source == "scale 0.0001 assumed, offset 0 assumed, nodata 65535 declared"


def test_window_is_the_crop_of_the_whole(tmp_path: Path) -> None:
    cube = open_cube(write_season(tmp_path))
    window = Window(2, 5, 7, 3)
    np.testing.assert_array_equal(cube.read(window)[0], cube.read()[0][..., *window.slices])
    part = cube.select(bands=["B8A", "B02"], times=[0, 2])
    np.testing.assert_array_equal(part.stored.values, stored()[[0, 2]][:, [2, 0]])


@pytest.mark.parametrize("step", [2, 3, 5])
def test_from_afar_without_overviews_pixels_are_picked_exactly(tmp_path: Path, step: int) -> None:
    afar = open_cube(write_season(tmp_path)).coarser(step)
    rows, cols = (slice(step // 2, n // step * step, step) for n in SHAPE)
    np.testing.assert_array_equal(afar.stored.values, stored()[:, :, rows, cols])
    np.testing.assert_array_equal(afar.stored[:, [2, 0], 1:, :2].values, stored()[:, [2, 0], rows, cols][:, :, 1:, :2])
    plain = open_cube(tmp_path).stored[:, :, ::step, 1::step]
    np.testing.assert_array_equal(plain.values, stored()[:, :, ::step, 1::step])


def test_from_afar_overviews_are_read(tmp_path: Path) -> None:
    path = write_tif(tmp_path / "a_20210403.tif", stored(1)[0][:, :12, :16])
    with rasterio.open(path, "r+") as out:
        out.build_overviews([2, 4], Resampling.average)
    cube = open_cube(tmp_path)
    blocks = stored(1)[0, :, :12, :16].reshape(3, 6, 2, 8, 2).mean((2, 4))
    np.testing.assert_allclose(cube.coarser(2).stored.values[0], blocks, atol=1)
    np.testing.assert_array_equal(cube.stored.values, stored(1)[:, :, :12, :16])
    np.testing.assert_array_equal(cube.stored[:, :, ::2, ::2].values, stored(1)[:, :, :12:2, :16:2])


def test_opening_reads_a_header_of_each_file_and_no_pixels(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for i in range(20):
        day = np.datetime64("2021-01-01") + 5 * i
        write_tif(tmp_path / "images" / f"{day}.tif", stored(1)[0])
        write_tif(tmp_path / "masks" / f"{day}.tif", np.zeros((1, *SHAPE), np.uint8), None)

    def no_pixels(*_: Any) -> None:
        raise AssertionError("pixels were read")

    opened, open_file = Counter[str](), rasterio.open
    with monkeypatch.context() as patched:
        patched.setattr(raster, "_read_bands", no_pixels)
        patched.setattr(rasterio, "open", lambda path, *rest: opened.update([path]) or open_file(path, *rest))
        cube = open_cube(tmp_path)
        cube.select(bands=["B02"], times=[0, 5], window=Window(0, 0, 4, 4))
        assert set(opened) == {str(path) for path in tmp_path.rglob("*.tif")} and opened.total() <= 20 + 20 + 1
        with pytest.raises(AssertionError):
            cube.read(Window(0, 0, 1, 1))
    assert cube.read(Window(0, 0, 1, 1))[1].all()


def test_dates_are_sorted_whatever_the_names(tmp_path: Path) -> None:
    write_tif(tmp_path / "a_20210720.tif", stored()[3])
    write_tif(tmp_path / "b_20210403.tif", stored()[0])
    cube = open_cube(tmp_path)
    np.testing.assert_array_equal(cube.stored.values, stored()[[0, 3]])


def test_scale_and_offset_are_kept_date_by_date(tmp_path: Path) -> None:
    write_tif(tmp_path / "20210403.tif", stored()[0], scale=1e-4)
    write_tif(tmp_path / "20220501.tif", stored()[1], scale=1e-4, offset=-0.1)
    cube = open_cube(tmp_path)
    assert cube.radiometry.offset == (0.0, -0.1)
    reflectance, _ = cube.read()
    np.testing.assert_allclose(reflectance[1], stored()[1] * 1e-4 - 0.1, atol=1e-6)
    given = open_cube(tmp_path, ReadOptions(scale=1e-3, offset=0.0, nodata=7))
    assert given.radiometry.scale == (1e-3, 1e-3)
    assert given.radiometry.nodata == 7
    assert given.radiometry.source.count("given by the user") == 3


def test_without_declared_nodata_the_largest_uint16_is_missing_and_zero_is_not(tmp_path: Path) -> None:
    image = stored(1)[0]
    image[1, 4, 4] = 65535
    write_tif(tmp_path / "20210403.tif", image, nodata=None)
    cube = open_cube(tmp_path)
    _, valid = cube.read()
    assert np.argwhere(~valid[0]).tolist() == [[4, 4]]
    assert image[0, 0, 0] == 0
    assert any("65535" in note for note in cube.notes)


def test_an_empty_date_opens_and_is_invalid(tmp_path: Path) -> None:
    write_season(tmp_path)
    write_tif(tmp_path / "20210601.tif", np.full((3, *SHAPE), NODATA, np.uint16))
    reflectance, valid = open_cube(tmp_path).read()
    assert valid.reshape(5, -1).all(axis=1).tolist() == [True, True, True, False, True]
    assert not valid[3].any()
    assert reflectance.max() < 1


def test_images_and_masks_beside_labels(tmp_path: Path) -> None:
    write_season(tmp_path / "images")
    mask = np.zeros((1, *SHAPE), np.uint8)
    mask[0, :3] = 9
    for date in DATES[:3]:
        write_tif(tmp_path / "masks" / f"mask_{date}.tif", mask, None)
    write_tif(tmp_path / "labels.tif", mask, None)
    for path in (tmp_path, tmp_path / "images"):
        cube = open_cube(path)
        _, valid = cube.read()
        assert not valid[:3, :3].any()
        assert valid[:3, 3:].all() and valid[3].all()
        assert any("1 of 4 dates have no mask" in note for note in cube.notes)
        np.testing.assert_array_equal(cube.read(Window(2, 2, 4, 5))[1], valid[:, 2:6, 2:7])
    elsewhere = shutil.move(tmp_path / "masks", tmp_path / "clouds")
    assert open_cube(tmp_path).clear is None
    assert not open_cube(tmp_path, ReadOptions(mask=str(elsewhere))).read()[1][0, 0, 0]
    assert not open_cube(tmp_path, ReadOptions(mask="clouds")).read()[1][0, 0, 0]


def test_identical_times_are_merged_pixel_by_pixel(tmp_path: Path) -> None:
    first, second = stored()[0], stored()[1]
    first[0, 0, :] = NODATA  # one band missing: the whole pixel comes from the second
    first[:, 1, :] = second[:, 1, :] = NODATA
    write_tif(tmp_path / "images" / "20210403T100000_a.tif", first)
    write_tif(tmp_path / "images" / "20210403T100000_b.tif", second)
    write_tif(tmp_path / "images" / "20210403T101000.tif", stored()[2])
    cube = open_cube(tmp_path)
    assert len(cube.dates) == 2
    assert any("20210403T100000_a.tif and 20210403T100000_b.tif" in note for note in cube.notes)
    expected = first.copy()
    expected[:, 0] = second[:, 0]
    np.testing.assert_array_equal(cube.stored.values, [expected, stored()[2]])
    np.testing.assert_array_equal(cube.stored[0, 1, 0:2, 3:9].values, expected[1, 0:2, 3:9])
    assert not cube.read()[1][0, 1].any()


def test_merging_prefers_clear_pixels() -> None:
    clear = np.ones((2, *SHAPE), bool)
    clear[0, :6] = False
    clear[1, 3:9] = False  # rows 3 to 5 are cloudy in both images
    masks, images = xr.Variable(("time", "y", "x"), clear), xr.Variable(("time", "band", "y", "x"), stored(2))
    both = merged(images, [[0, 1]], [NODATA], masks).values[0]
    np.testing.assert_array_equal(both[:, :3], stored(2)[1, :, :3])
    np.testing.assert_array_equal(both[:, 6:], stored(2)[0, :, 6:])
    np.testing.assert_array_equal(merged_clear(masks, [[0, 1]]).values[0], clear.any(axis=0))


def test_a_pixel_that_is_missing_here_and_cloudy_there_stays_unusable(tmp_path: Path) -> None:
    first, second = stored()[:2]
    first[:, 4, 4] = NODATA
    for name, image in (("20210403T100000_a", first), ("20210403T100000_b", second)):
        write_tif(tmp_path / "images" / f"{name}.tif", image)
    cloud = np.zeros((1, *SHAPE), np.uint8)
    cloud[0, 4, 4:6] = 1
    write_tif(tmp_path / "masks" / "20210403T100000.tif", cloud, None)
    _, valid = open_cube(tmp_path).read()
    assert np.argwhere(~valid[0]).tolist() == [[4, 4], [4, 5]]
    for name, mask in (("20210403T100000_a", cloud), ("20210403T100000_b", np.zeros_like(cloud))):
        write_tif(tmp_path / "own" / f"{name}.tif", mask, None)
    assert open_cube(tmp_path, ReadOptions(mask="own")).read()[1].all()


def test_one_file_a_band_is_put_together(tmp_path: Path) -> None:
    for date, image in zip(DATES, stored(), strict=True):
        for band, plane in zip(BANDS, image, strict=True):
            write_tif(tmp_path / f"T31UFS_{date}_{band}_20m.tif", plane[None], None)
    cube = open_cube(tmp_path, ReadOptions(bands=("B8A", "B02")))
    np.testing.assert_array_equal(cube.stored.values, stored()[:, [2, 0]])
    assert cube.bands == ("B8A", "B02")


def test_bands_without_names_take_those_given(tmp_path: Path) -> None:
    for date, image in zip(DATES, stored(), strict=True):
        write_tif(tmp_path / f"{date}.tif", image, None)
    assert open_cube(tmp_path).bands == ("band_1", "band_2", "band_3")
    assert open_cube(tmp_path, ReadOptions(bands=BANDS)).bands == BANDS
    with pytest.raises(InputError, match="3 bands without names, and 2"):
        open_cube(tmp_path, ReadOptions(bands=BANDS[:2]))


def test_dates_from_tags(tmp_path: Path) -> None:
    write_tif(tmp_path / "spring.tif", stored()[0], tags={"ACQUISITION": "2021-04-03T10:00:00"})
    write_tif(tmp_path / "summer.tif", stored()[1], tags={"TIFFTAG_DATETIME": "2021:07:20 11:00:00"})
    cube = open_cube(tmp_path)
    assert [str(d)[:10] for d in cube.dates] == [DATES[0], DATES[3]]
    assert "spring.tif, summer.tif come from the files: tags" in cube.notes[0]


IMAGE = stored(1)[0]
SHIFTED = Affine(TRANSFORM.a, 0, TRANSFORM.c + TRANSFORM.a / 2, 0, TRANSFORM.e, TRANSFORM.f)
ROTATED = Affine(10, 1, 0, 1, -10, 0)


@pytest.mark.parametrize(
    ("odd", "kind", "sentence"),
    [
        ({"crs": "EPSG:32632"}, GridError, "20210403.tif and 20210501.tif: the coordinate reference systems differ"),
        ({"crs": None}, GridError, "20210501.tif have no coordinate reference system"),
        ({"transform": SHIFTED}, GridError, "20210403.tif and 20210501.tif: the rasters lie 0.5 pixels apart"),
        ({"image": IMAGE[:, :-1]}, GridError, "the shapes differ"),
        ({"image": IMAGE[:2], "names": BANDS[:2]}, InputError, "band counts differ: 20210403.tif has 3, but 20210501"),
        (
            {"names": ("B02", "B04", "B08")},
            InputError,
            r"The bands of 20210501.tif \(.*B08\) are not those of 20210403.tif",
        ),
        ({"image": IMAGE.astype(np.float32)}, InputError, "types differ.*20210501.tif float32"),
        ({"nodata": 0}, InputError, "different nodata values: 65535.0 in 20210403.tif, 0.0 in 20210501.tif"),
    ],
)
def test_dates_that_do_not_fit_are_named(
    tmp_path: Path, odd: dict[str, Any], kind: type[CSCLError], sentence: str
) -> None:
    write_tif(tmp_path / "20210403.tif", IMAGE)
    write_tif(tmp_path / "20210501.tif", odd.pop("image", IMAGE), **odd)
    with pytest.raises(kind, match=sentence):
        open_cube(tmp_path)


def test_folders_that_are_no_season(tmp_path: Path) -> None:
    with pytest.raises(MissingError, match="There is no file or folder"):
        open_cube(tmp_path / "nowhere")
    with pytest.raises(InputError, match="holds no GeoTIFFs"):
        open_cube(tmp_path)
    write_tif(tmp_path / "labels.tif", IMAGE)
    with pytest.raises(InputError, match=r"No date is found in the name or the tags of labels.tif"):
        open_cube(tmp_path)
    (tmp_path / "notes.xyz").write_text("")
    with pytest.raises(InputError, match=r"Understood are: a NetCDF file .*; a folder .*; one GeoTIFF"):
        open_cube(tmp_path / "notes.xyz")


def test_images_that_are_nowhere(tmp_path: Path) -> None:
    write_tif(tmp_path / "a" / "20210403.tif", IMAGE, crs=None)
    with pytest.raises(GridError, match=r"20210403.tif has no coordinate reference system"):
        open_cube(tmp_path / "a")
    assert open_cube(tmp_path / "a", ReadOptions(crs="EPSG:32633")).grid.crs.epsg == 32633
    with pytest.raises(GridError, match="'EPSG:nonsense' is not understood"):
        open_cube(tmp_path / "a", ReadOptions(crs="EPSG:nonsense"))
    write_tif(tmp_path / "b" / "20210403.tif", IMAGE, transform=ROTATED)
    with pytest.raises(GridError, match="is rotated"):
        open_cube(tmp_path / "b")


def test_single_bands_of_one_date_are_not_merged_into_one(tmp_path: Path) -> None:
    for name in ("20210403_red", "20210403_nir", "20210501_red", "20210501_nir"):
        write_tif(tmp_path / f"{name}.tif", IMAGE[:1], None)
    with pytest.raises(InputError, match="seem to be the bands of one image"):
        open_cube(tmp_path)


def test_two_processings_of_one_image_are_not_mixed(tmp_path: Path) -> None:
    write_tif(tmp_path / "20210403_N0301.tif", IMAGE, scale=1e-4)
    write_tif(tmp_path / "20210403_N0500.tif", IMAGE, scale=1e-4, offset=-0.1)
    with pytest.raises(InputError, match=r"20210403_N0301.tif and 20210403_N0500.tif show the same time but differ"):
        open_cube(tmp_path)


def test_damaged_files_are_said_to_be(tmp_path: Path) -> None:
    path = write_tif(
        tmp_path / "20210403.tif", np.zeros((3, 256, 256), np.uint16), tiled=True, blockxsize=64, blockysize=64
    )
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    with pytest.raises(InputError, match=r"20210403.tif cannot be read"):
        open_cube(tmp_path).read()
    path.write_bytes(b"not a raster")
    with pytest.raises(InputError, match=r"20210403.tif cannot be read as a raster"):
        open_cube(tmp_path)


def test_masks_that_do_not_fit(tmp_path: Path) -> None:
    write_season(tmp_path / "images")
    mask = np.zeros((1, *SHAPE), np.uint8)
    write_tif(tmp_path / "a" / "20230101.tif", mask, None)
    write_tif(tmp_path / "b" / "20210403.tif", mask[:, 1:], None)
    for name in ("20210403_x.tif", "20210403_y.tif"):
        write_tif(tmp_path / "c" / name, mask, None)
    for folder, kind, sentence in [
        ("a", InputError, "None of the 1 rasters in the mask folder"),
        ("b", GridError, "The images and the mask .*20210403.tif: the shapes differ"),
        ("c", InputError, "not clear which mask .* belongs to the image of 2021-04-03"),
        ("d", InputError, "The mask folder d does not exist"),
    ]:
        with pytest.raises(kind, match=sentence):
            open_cube(tmp_path, ReadOptions(mask=folder))


def test_unknown_bands_are_named(tmp_path: Path) -> None:
    with pytest.raises(UnknownNameError, match=r"Unknown band 'B08' in .* Did you mean"):
        open_cube(write_season(tmp_path), ReadOptions(bands=("B08",)))


@pytest.mark.parametrize("order", ["time,band", "band,time"])
def test_one_file_of_all_dates_and_bands(tmp_path: Path, order: str) -> None:
    values = stored() if order == "time,band" else stored().swapaxes(0, 1)
    path = write_tif(tmp_path / "season.tif", values.reshape(-1, *SHAPE), None, scale=1e-4)
    told = {"dates": DATES[::-1], "bands": BANDS, "order": order}
    path.with_suffix(".json").write_text(json.dumps(told))
    cube = open_cube(path)
    np.testing.assert_array_equal(cube.stored.values, stored()[::-1])
    assert cube.bands == BANDS
    assert open_cube(path, ReadOptions(bands=("B8A",))).stored.shape == (4, 1, *SHAPE)


def test_one_file_needs_to_be_told_what_is_which(tmp_path: Path) -> None:
    path = write_tif(tmp_path / "season.tif", stored().reshape(-1, *SHAPE), None)
    with pytest.raises(InputError, match=r'has 12 layers .* Write season.json beside it, such as \{"dates"'):
        open_cube(path)
    np.testing.assert_array_equal(open_cube(path, ReadOptions(bands=BANDS, dates=DATES)).stored.values, stored())
    for told, sentence in [
        ({"dates": DATES[:3], "bands": BANDS}, "not 3 dates x 3 bands"),
        ({"dates": DATES, "bands": BANDS, "order": "y,x"}, "The order 'y,x' in .* is not known"),
        ({"dates": ["spring"] * 4, "bands": BANDS}, "'spring' is not a date"),
        ([1], "not the description of a cube"),
    ]:
        path.with_suffix(".json").write_text(json.dumps(told))
        with pytest.raises(InputError, match=sentence):
            open_cube(path)


@pytest.mark.parametrize("dtype", [np.int16, np.int32, np.float32])
def test_hidden_fill_values_are_missing_unless_the_user_says_otherwise(tmp_path: Path, dtype: Any) -> None:
    image = stored(1)[0].astype(dtype)
    lowest = np.iinfo(dtype).min if np.issubdtype(dtype, np.integer) else np.finfo(dtype).min
    image[0, 1, 1:4] = -9999, -10000, lowest
    hidden = [[1, 1], [1, 2], [1, 3]]
    path = write_tif(tmp_path / "20210403.tif", image)
    cube = open_cube(tmp_path)
    assert np.argwhere(~cube.read()[1][0]).tolist() == hidden
    assert any("-9999" in note for note in cube.notes) == (dtype != np.float32)  # NaN is said to be missing there
    assert "-9999, -10000 and the lowest" in cube.radiometry.source
    write_tif(path, image, nodata=0)
    declared = open_cube(tmp_path)
    assert np.argwhere(~declared.read()[1][0]).tolist() == [[0, 0], *hidden]
    assert declared.notes == () and "nodata 0 declared (-9999" in declared.radiometry.source
    assert np.argwhere(~open_cube(tmp_path, ReadOptions(nodata=-9999)).read()[1][0]).tolist() == hidden[:1]


def test_images_of_the_same_time_fill_hidden_gaps_of_each_other(tmp_path: Path) -> None:
    images = stored().astype(np.int16)
    images[0, 2, 5, 5] = -10000
    for name, image in (("a", images[0]), ("b", images[1])):
        write_tif(tmp_path / f"20210403T100000_{name}.tif", image)
    np.testing.assert_array_equal(open_cube(tmp_path).stored.values[0, :, 5, 5], images[1, :, 5, 5])


def test_of_a_raster_of_a_terabyte_a_few_windows_are_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # A declared size that nothing lies behind: blocks that were never written take no room.
    with rasterio.open(
        tmp_path / "20210403.tif", "w", "GTiff", 1_000_000, 500_000, 1, "EPSG:32633", TRANSFORM, np.uint16, 65535,
        tiled=True, blockxsize=2048, blockysize=2048, sparse_ok=True, bigtiff="yes",
    ):  # fmt: skip
        pass
    asked, read = [], raster._read_bands
    monkeypatch.setattr(raster, "_read_bands", lambda *given: asked.append(given[2]) or read(*given))
    cube = open_cube(tmp_path)
    assert cube.nbytes == 10**12 and not asked
    assert "EMPTY" in list(cube.iter_lines())[-1]
    assert 0 < sum(window.width * window.height for window in asked) < 1e6
