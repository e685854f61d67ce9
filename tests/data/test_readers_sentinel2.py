"""Sentinel-2 products on disk: what is read, what each stored value means, what is usable, and what is refused."""

from __future__ import annotations

import shutil
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rasterio
from fake_files import write_tif
from fake_sentinel2 import (
    CORNER,
    PIXELS,
    SIZE_M,
    USUAL,
    name_of,
    product_xml,
    stored,
    write_band,
    write_safe,
    zipped,
)  # fmt: skip
from numpy.typing import NDArray

from cscl.cli import main
from cscl.data.readers import ReadOptions, open_cube
from cscl.errors import CSCLError, GridError, InputError, UnknownNameError
from cscl.grid import Window

HALF = PIXELS // 2
OLD, NEW = name_of(), name_of(baseline="0510", made="20230711T003000")
LATER = name_of("20210606T105031", "0510")


def twice_as_fine(values_YX: NDArray[Any]) -> NDArray[Any]:
    """Bilinear values at half the pixel size: the near neighbour weighs 3/4 along each axis, edges repeat."""
    padded = np.pad(values_YX.astype(float), 1, mode="edge")
    for axis in (0, 1):
        padded = np.moveaxis(padded, axis, 0)
        near, before, after = padded[1:-1], padded[:-2], padded[2:]
        both = np.stack([0.75 * near + 0.25 * before, 0.75 * near + 0.25 * after], axis=1)
        padded = np.moveaxis(both.reshape(-1, *both.shape[2:]), 0, axis)
    return padded


def plane(path: Path, band: str, date: int = 0, **options: Any) -> NDArray[Any]:
    """Stored values of a band of a cube, axes (y, x)."""
    values: NDArray[Any] = open_cube(path, ReadOptions(**options)).select(bands=[band]).stored.values[date, 0]
    return values


@pytest.mark.parametrize("suffix", [".jp2", ".tif"])
def test_a_product_is_read_as_written(tmp_path: Path, suffix: str) -> None:
    cube = open_cube(write_safe(tmp_path, suffix=suffix))
    assert cube.bands == USUAL
    assert [str(d) for d in cube.dates.astype("datetime64[s]")] == ["2021-06-01T10:50:31"]
    assert (cube.grid.crs.epsg, tuple(cube.grid.transform)[:6]) == (32631, (10, 0, 600_000, 0, -10, 5_700_000))
    for band, values in zip(cube.bands, cube.stored.values[0], strict=True):
        own = stored(OLD, band)
        np.testing.assert_allclose(values, own if SIZE_M[band] == 10 else twice_as_fine(own), atol=0.5 + 1e-6)
    assert open_cube(tmp_path / OLD / "MTD_MSIL2A.xml").bands == USUAL
    assert plane(tmp_path, "B01", bands=("B01",)).shape == (PIXELS, PIXELS)
    origin = cube.acquisitions[0]
    assert (origin.product, origin.satellite, origin.level) == (OLD.removesuffix(".SAFE"), "S2A", "L2A")
    assert (origin.baseline, origin.orbit, origin.tile, origin.shifted) == ("03.00", 51, "31UFS", False)


def test_a_season_of_folders_and_zips_keeps_the_offset_of_each_date(tmp_path: Path) -> None:
    season = tmp_path / "Saison é 2021"
    dark = stored(LATER, "B02").copy()
    dark[3, 4] = 400  # darker than the shift
    season.mkdir()
    zipped(write_safe(tmp_path, suffix=".tif"), season / OLD.replace(".SAFE", ".zip"))
    write_safe(season / "again", LATER, values={"B02": dark}, suffix=".tif")
    cube = open_cube(season)
    assert cube.stored.dtype == np.uint16
    assert (cube.radiometry.scale, cube.radiometry.offset) == ((1e-4, 1e-4), (0.0, -0.1))
    np.testing.assert_array_equal(cube.stored.values[:, 0], [stored(OLD, "B02"), dark])
    reflectance, valid = cube.read()
    assert valid.all()
    np.testing.assert_allclose(reflectance[:, 0], [stored(OLD, "B02") / 1e4, dark / 1e4 - 0.1], atol=1e-6)
    assert reflectance[1, 0, 3, 4] == pytest.approx(-0.06)
    assert [a.shifted for a in cube.acquisitions] == [False, True]
    assert open_cube(season, ReadOptions(offset=0.0)).radiometry.offset == (0.0, 0.0)


def test_nodata_does_not_bleed_and_windows_have_no_seams(tmp_path: Path) -> None:
    holes = stored(OLD, "B05").copy()
    holes[[2, 7, 7], [3, 8, 9]] = 0
    path = write_safe(tmp_path, values={"B05": holes}, suffix=".tif")
    whole = plane(path, "B05")
    np.testing.assert_array_equal(whole == 0, (holes == 0).repeat(2, 0).repeat(2, 1))
    lowest, highest = holes[holes > 0].min(), holes.max()
    assert lowest <= whole[whole > 0].min() and whole.max() <= highest
    cube = open_cube(path)
    every = cube.stored.values
    for rows, cols in [(slice(0, 7), slice(0, 5)), (slice(7, 24), slice(5, 6)), (slice(3, 20), slice(1, 24))]:
        np.testing.assert_array_equal(cube.stored[:, :, rows, cols].values, every[:, :, rows, cols])
    np.testing.assert_array_equal(cube.stored[0, [8, 2], 5, [0, 3, 9]].values, every[0, [8, 2], 5][:, [0, 3, 9]])


def test_coarser_pixels_are_means_and_looks_from_afar_are_picked(tmp_path: Path) -> None:
    path = write_safe(tmp_path, suffix=".tif")
    cube = open_cube(path, ReadOptions(pixel_m=20))
    assert cube.shape == (HALF, HALF) and cube.grid.resolution.x == 20
    fine, coarse = stored(OLD, "B02").astype(float), cube.stored.values[0]
    np.testing.assert_allclose(coarse[0], fine.reshape(HALF, 2, HALF, 2).mean((1, 3)), atol=0.5 + 1e-6)
    np.testing.assert_array_equal(coarse[3], stored(OLD, "B05"))
    afar = open_cube(path).coarser(4).stored.values[0]
    np.testing.assert_array_equal(afar[0], stored(OLD, "B02")[2::4, 2::4])
    np.testing.assert_array_equal(afar[3], stored(OLD, "B05")[1::2, 1::2])


def test_clouds_grow_across_the_edges_of_windows(tmp_path: Path) -> None:
    scl = np.full((HALF, HALF), 4, np.uint8)
    scl[5, 5], scl[0, 0], scl[11, 0] = 9, 2, 10
    path = write_safe(tmp_path, scl=scl, suffix=".tif")
    cube = open_cube(path)
    y, x = np.mgrid[:PIXELS, :PIXELS]
    far = np.hypot(y - y.clip(10, 11), x - x.clip(10, 11)) * 10  # metres to the cloud
    expected = (far > 20) & (scl != 10).repeat(2, 0).repeat(2, 1)
    np.testing.assert_array_equal(cube.read()[1][0], expected)
    for window in (Window(0, 0, 9, 24), Window(9, 0, 4, 9), Window(12, 12, 1, 1)):
        np.testing.assert_array_equal(cube.read(window)[1][0], expected[window.slices])
    assert (~open_cube(path, ReadOptions(dilate_m=0)).read()[1]).sum() == 8
    assert (~open_cube(path, ReadOptions(dilate_m=0, scl=(2, 9, 10))).read()[1]).sum() == 12
    assert open_cube(path, ReadOptions(scl=())).read()[1].all()
    assert any("0, 1, 3, 8, 9, 10; clouds and shadows grow by 20 m" in note for note in cube.notes)


def test_cloud_probability_and_own_masks(tmp_path: Path) -> None:
    likely = np.zeros((HALF, HALF), np.uint8)
    likely[3, 3], likely[8, 8] = 60, 40
    season = tmp_path / "season"
    write_safe(season, cloud_probability=likely, suffix=".tif")
    valid = open_cube(season, ReadOptions(cloud_probability=50, dilate_m=0)).read()[1]
    assert np.argwhere(~valid[0]).tolist() == [[6, 6], [6, 7], [7, 6], [7, 7]]
    own = np.zeros((PIXELS, PIXELS), np.uint8)
    own[0, 5] = 1
    write_band(season / "own" / "20210601T105031.tif", own, 10)
    cube = open_cube(season, ReadOptions(mask="own", cloud_probability=50, dilate_m=0))
    assert (~cube.read()[1]).sum() == 5
    assert any("Masks from own/" in note for note in cube.notes)
    l1c = write_safe(tmp_path / "l1c", name_of(level="L1C"), suffix=".tif")
    with pytest.raises(InputError, match="No image has a cloud probability"):
        open_cube(l1c, ReadOptions(cloud_probability=50))


def test_level_1c_knows_of_no_clouds(tmp_path: Path) -> None:
    name = name_of(level="L1C", baseline="0511")
    cube = open_cube(write_safe(tmp_path, name), ReadOptions(bands=("B10", "B04")))
    assert (cube.bands, cube.radiometry.offset, cube.clear) == (("B10", "B04"), (-0.1,), None)
    np.testing.assert_array_equal(cube.stored.values[0, 1], stored(name, "B04"))
    assert any("no scene classes (SCL), so no cloud is known: only nodata" in note for note in cube.notes)


def test_parts_of_a_datastrip_are_one_date_and_other_orbits_another(tmp_path: Path) -> None:
    other_part = name_of("20210601T105031", made="20210601T140000")
    west = {band: stored(other_part, band).copy() for band in USUAL}
    for values in west.values():
        values[:, values.shape[1] // 2 :] = 0
    west["B02"][0, 0] = 0  # one band is enough to take the whole pixel from elsewhere
    scl = np.full((HALF, HALF), 4, np.uint8)
    scl[0, :] = 9  # cloudy where it is not shown, and in one pixel where it is
    write_safe(tmp_path, other_part, values=west, suffix=".tif")
    write_safe(tmp_path, OLD, scl=scl, suffix=".tif")
    write_safe(tmp_path, name_of("20210601T104021", orbit=8), suffix=".tif")
    write_safe(tmp_path, name_of("20210601T105101", satellite="S2C"), suffix=".tif")
    cube = open_cube(tmp_path, ReadOptions(dilate_m=0))
    assert len(cube.dates) == 3
    at = next(i for i, a in enumerate(cube.acquisitions) if "+" in a.product)
    expected = stored(OLD, "B02").copy()
    expected[:, :HALF] = stored(other_part, "B02")[:, :HALF]
    expected[0, 0] = stored(OLD, "B02")[0, 0]
    np.testing.assert_array_equal(cube.stored.values[at, 0], expected)
    np.testing.assert_array_equal(cube.stored[at, 0, :, 3:15].values, expected[:, 3:15])
    valid = cube.read()[1][at]
    assert not valid[0, 0] and valid[0, 1:HALF].all() and not valid[:2, HALF:].any() and valid[2:].all()
    assert any("1 of 3 dates are of several images" in note and OLD[:-5] in note for note in cube.notes)


def test_of_two_baselines_the_higher_goes_first_and_means_the_same(tmp_path: Path) -> None:
    holes = stored(NEW, "B04").copy()
    holes[:, :4] = 0
    write_safe(tmp_path, NEW, values={"B04": holes}, suffix=".tif")
    write_safe(tmp_path, OLD, suffix=".tif")
    cube = open_cube(tmp_path, ReadOptions(bands=("B04", "B08")))
    assert len(cube.dates) == 1 and cube.radiometry.offset == (-0.1,)
    reflectance = cube.read()[0][0]
    np.testing.assert_allclose(reflectance[:, :, :4], [stored(OLD, b)[:, :4] / 1e4 for b in cube.bands], atol=1e-6)
    np.testing.assert_allclose(reflectance[1, :, 4:], stored(NEW, "B08")[:, 4:] / 1e4 - 0.1, atol=1e-6)


def test_one_pass_near_the_date_line_is_one_day(tmp_path: Path) -> None:
    fiji = {"corner": (600_000, 8_100_040), "epsg": 32760, "suffix": ".tif"}  # 178 degrees east: 10:30 is 22:40 UTC
    for date in ("20210601T235958", "20210602T000013"):
        write_safe(tmp_path, name_of(date, orbit=72, tile="60KXG"), **fiji)
    assert len(open_cube(tmp_path).dates) == 1


def test_the_same_product_twice_is_read_once(tmp_path: Path) -> None:
    zipped(write_safe(tmp_path, suffix=".tif"))
    cube = open_cube(tmp_path)
    assert len(cube.dates) == 1 and "+" not in cube.acquisitions[0].product
    assert "1 products are there more than once; one of each is read." in cube.notes


def test_tiles_of_one_zone_are_laid_side_by_side(tmp_path: Path) -> None:
    west, east = name_of(), name_of(tile="31UGS")
    write_safe(tmp_path, west, suffix=".tif")
    write_safe(tmp_path, east, corner=(CORNER[0] + 180, CORNER[1] - 60), suffix=".tif")
    cube = open_cube(tmp_path)
    assert cube.shape == (PIXELS + 6, PIXELS + 18) and len(cube.dates) == 1
    values = cube.stored.values[0, 0]
    first, second = (west, east) if (values[:PIXELS, :PIXELS] == stored(west, "B02")).all() else (east, west)
    corners = {west: (0, 0), east: (6, 18)}
    expected = np.zeros_like(values)
    for name in (second, first):
        row, col = corners[name]
        expected[row : row + PIXELS, col : col + PIXELS] = stored(name, "B02")
    np.testing.assert_array_equal(values, expected)
    assert not cube.read(Window(0, PIXELS, 6, 18))[1].any()
    assert cube.read(Window(6, PIXELS, 24, 18))[1].all()


def test_images_far_apart_make_no_grid(tmp_path: Path) -> None:
    write_safe(tmp_path, OLD, suffix=".tif")
    write_safe(tmp_path, name_of(tile="31XFS"), corner=(600_000, -9_900_000), suffix=".tif")
    with pytest.raises(GridError, match="so far apart that one grid would have 15600240 x 240 pixels"):
        open_cube(tmp_path, ReadOptions(pixel_m=1))


def test_two_zones_are_refused_or_warped(tmp_path: Path) -> None:
    corner = (183_740, 5_707_800)  # about that of the other, 24 px east, seen from the next zone
    write_safe(tmp_path, OLD, suffix=".tif")
    write_safe(tmp_path, name_of(tile="32ULB"), corner=corner, epsg=32632, suffix=".tif")
    with pytest.raises(GridError, match=r"EPSG:32631 \(.*\), EPSG:32632 \(.*\). Keep those of one zone, or .*--warp"):
        open_cube(tmp_path)
    cube = open_cube(tmp_path, ReadOptions(warp="EPSG:32631"))
    whole, (row, col) = cube.stored.values, np.round(~cube.grid.transform @ CORNER[::1]).astype(int)[::-1]
    np.testing.assert_array_equal(whole[0, 0][row : row + PIXELS, col : col + PIXELS], stored(OLD, "B02"))
    shown = (whole[0, 0] > 0).sum()
    assert shown > 1.2 * PIXELS**2
    for window in (Window(row, col, 9, 9), Window(0, 3, 7, 50)):
        part = cube.stored[:, :, window.rows, window.cols].values
        assert abs(part.astype(int) - whole[:, :, window.rows, window.cols]).max() <= 1
    with pytest.raises(GridError, match="'EPSG:nonsense' is not understood"):
        open_cube(tmp_path, ReadOptions(warp="EPSG:nonsense"))


def test_levels_are_not_mixed(tmp_path: Path) -> None:
    write_safe(tmp_path, OLD, suffix=".tif")
    write_safe(tmp_path, name_of("20210606T105031", level="L1C"), suffix=".tif")
    with pytest.raises(InputError, match="tell their own dates, so --dates has no use"):
        open_cube(tmp_path, ReadOptions(dates=("2021-06-01",)))
    with pytest.raises(InputError, match=r"mixes L1C \(.*\) and L2A \(.*\).*Keep the products of one level"):
        open_cube(tmp_path)


def test_of_a_season_of_whole_tiles_the_metadata_are_read_once_and_nothing_else(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for i in range(12):
        date = str(np.datetime64("2021-01-03") + 5 * i).replace("-", "") + "T105031"
        write_safe(tmp_path, name_of(date, "0510"), pixels=10_980)
    monkeypatch.setattr(rasterio, "open", None)
    told, read = Counter[Path](), Path.read_bytes
    monkeypatch.setattr(Path, "read_bytes", lambda path: told.update([path]) or read(path))
    cube = open_cube(tmp_path)
    cube.select(bands=["B02"], times=[0, 5], window=Window(0, 0, 4, 4))
    assert told == dict.fromkeys(tmp_path.rglob("MTD_*.xml"), 1)
    assert cube.stored.shape == (12, 10, 10_980, 10_980)


def write_bands(folder: Path, date: str, suffix: str = ".tif", bands: tuple[str, ...] = ("B02", "B05")) -> None:
    for band in bands:
        write_band(folder / f"T31UFS_{date}_{band}_{SIZE_M[band]}m{suffix}", stored(OLD, band), SIZE_M[band])


def test_bands_in_a_file_each_come_onto_one_grid(tmp_path: Path) -> None:
    write_bands(tmp_path / "spring", "20210601T105031", ".jp2")
    write_bands(tmp_path / "spring", "20220601T105031")
    write_band(tmp_path / "T31UFS_20210601T105031_B02_20m.tif", stored(OLD, "B05"), 20)  # coarser: not taken
    cube = open_cube(tmp_path)
    assert (cube.bands, cube.shape, cube.radiometry.nodata) == (("B02", "B05"), (PIXELS, PIXELS), 0)
    for values in cube.stored.values:
        np.testing.assert_array_equal(values[0], stored(OLD, "B02"))
        np.testing.assert_allclose(values[1], twice_as_fine(stored(OLD, "B05")), atol=0.5 + 1e-6)
    assert cube.radiometry.offset == (0.0, -0.1) and "offset -0.1 and 0 assumed" in cube.radiometry.source
    assert any("Nothing says by which baseline 2 of 2 images" in note and "--offset" in note for note in cube.notes)
    given = open_cube(tmp_path, ReadOptions(offset=-0.1))
    assert given.radiometry.offset == (-0.1, -0.1) and not any("baseline" in note for note in given.notes)


def test_metadata_beside_bands_say_what_they_mean(tmp_path: Path) -> None:
    write_bands(tmp_path, "20210601T105031")
    (tmp_path / "MTD_MSIL2A.xml").write_text(product_xml(NEW, []))
    cube = open_cube(next(tmp_path.iterdir()).parent)
    assert cube.radiometry.offset == (-0.1,) and cube.acquisitions[0].baseline == "05.10"


def test_bands_that_do_not_fit(tmp_path: Path) -> None:
    write_bands(tmp_path, "20210601T105031")
    write_bands(tmp_path, "20210606T105031", bands=("B02",))
    with pytest.raises(
        InputError, match=r"The bands of T31UFS_20210606T105031 \(B02\) are not those.*--bands, e.g. B02"
    ):
        open_cube(tmp_path)
    with pytest.raises(UnknownNameError, match="Unknown band 'B04' in T31UFS_20210601T105031"):
        open_cube(tmp_path, ReadOptions(bands=("B04",)))
    shutil.copy(tmp_path / "T31UFS_20210601T105031_B02_10m.tif", tmp_path / "T31UFS_20210601T105031_B02.tif")
    with pytest.raises(InputError, match="are the same band of the same image"):
        open_cube(tmp_path)


def test_a_file_cut_short_is_an_error_not_a_gap(tmp_path: Path) -> None:
    path = tmp_path / "T31UFS_20210601T105031_B02_10m.jp2"
    values = np.random.default_rng(0).integers(1, 4000, (1100, 1100), dtype=np.uint16)
    write_band(path, values, 10, tile_px=512)
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    cube = open_cube(tmp_path)
    np.testing.assert_array_equal(cube.stored[0, 0, :9, :9].values, values[:9, :9])
    with pytest.raises(InputError, match=r"B02_10m.jp2 cannot be read .*damaged"):
        cube.read()


def test_other_names_are_left_to_other_readers(tmp_path: Path) -> None:
    image = np.ones((1, 13, 17), np.uint16)
    for band in ("B02", "B04"):
        write_tif(tmp_path / f"T31UFS_2021-06-01_{band}.tif", image, None)
    assert open_cube(tmp_path).radiometry.nodata == 65535


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"scl": (12,)}, "There is no scene class 12"),
        ({"cloud_probability": 140}, "no percentage"),
        ({"pixel_m": 0}, "Pixels of 0 m"),
    ],
)
def test_options_out_of_range(options: dict[str, Any], sentence: str) -> None:
    with pytest.raises(CSCLError, match=sentence):
        ReadOptions(**options)


def test_info_tells_of_a_season(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_safe(tmp_path, OLD, suffix=".tif")
    write_safe(tmp_path, LATER, suffix=".tif")
    assert main(["info", str(tmp_path), "--scl", "0,9", "--dilate-m", "0"]) == 0
    shown = capsys.readouterr().out
    assert "2 images: satellite S2A; level L2A; baseline 03.00, 05.10; orbit 51; tile 31UFS." in shown
    assert "not usable: 0, 9" in shown and "2021-06-06T10:50:31  100.0% usable" in shown
