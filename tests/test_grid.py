"""Windows, tiles and grids: rows are y, and two rasters meet only on the same place."""

from __future__ import annotations

import numpy as np
import pytest
from affine import Affine

from cscl.errors import GridError, InputError
from cscl.grid import (
    Window,
    coarsened,
    crop,
    make_grid,
    pixel_size_m,
    pixel_there,
    refined,
    require_same,
    same,
    tile_count,
    tiles,
    times_finer,
)  # fmt: skip

PLACE = Affine(9.994792, 0, 465181.0522318204, 0, -9.997448, 5080254.63349641)


@pytest.mark.parametrize(
    ("text", "window"),
    [
        ("0:101,50:100", Window(0, 50, 101, 50)),
        (":,:", Window(0, 0, 101, 100)),
        ("5:,:7", Window(5, 0, 96, 7)),
    ],
)
def test_windows_are_parsed(text: str, window: Window) -> None:
    assert Window.parse(text, (101, 100)) == window
    array = np.arange(2 * 101 * 100).reshape(2, 101, 100)
    assert array[..., *window.slices].shape == (2, window.height, window.width)


@pytest.mark.parametrize("text", ["", "1:2", "a:b,c:d", "1:2,3:4,5:6", "1-2,3-4"])
def test_windows_of_another_form(text: str) -> None:
    with pytest.raises(InputError, match="not of the form ROW:ROW,COL:COL"):
        Window.parse(text, (10, 10))


@pytest.mark.parametrize("text", ["5:5,:", "7:3,:", "0:11,:", ":,-1:5"])
def test_windows_beyond_the_raster(text: str) -> None:
    with pytest.raises(InputError, match="empty or reaches beyond the raster of 10 rows and 8 columns"):
        Window.parse(text, (10, 8))


def test_tiles_cover_each_pixel_once() -> None:
    counts = np.zeros((37, 50), int)
    windows = list(tiles((37, 50), 16))
    for window in windows:
        counts[window.slices] += 1
    assert (counts == 1).all()
    assert len(windows) == tile_count((37, 50), 16) == 12


def test_a_grown_window_stops_at_the_border_and_knows_its_core() -> None:
    core = Window(0, 20, 10, 10)
    grown = core.grown(4, (37, 32))
    assert grown == Window(0, 16, 14, 16)
    array = np.arange(37 * 32).reshape(37, 32)
    np.testing.assert_array_equal(array[grown.slices][core.within(grown).slices], array[core.slices])


def test_a_refined_grid_covers_the_same_ground_and_comes_back() -> None:
    grid = make_grid((101, 100), PLACE, "EPSG:32633", "x")
    fine = refined(grid, 4)
    assert fine.shape == (404, 400) and fine.boundingbox.bbox == pytest.approx(grid.boundingbox.bbox)
    assert same(coarsened(fine, 4), grid)
    assert (times_finer(fine, grid), times_finer(grid, grid), times_finer(grid, fine)) == (4, 1, None)
    window = Window(3, 5, 10, 20)
    assert same(crop(fine, window.refined(4)), refined(crop(grid, window), 4))
    assert window.refined(4).coarsened(4) == window
    assert Window(13, 23, 3, 6).coarsened(4) == Window(3, 5, 1, 3), "whatever it touches"


def test_a_pixel_is_found_on_other_grids_of_the_place() -> None:
    grid = make_grid((101, 100), PLACE, "EPSG:32633", "x")
    fine, moved = refined(grid, 4), make_grid((9, 9), PLACE @ Affine.translation(-2.2, 3.3), "EPSG:32633", "x")
    assert {pixel_there(r, c, fine, grid) for r in range(40, 44) for c in range(396, 400)} == {(10, 99)}
    assert pixel_there(100, 99, grid, fine) == (402, 398) and pixel_there(100, 99, grid, grid) == (100, 99)
    assert pixel_there(3, 0, grid, moved) == (0, 2) and pixel_there(2, 0, grid, moved) == (-1, 2)


def test_rasters_of_one_place_and_other_pixels_are_refused_with_what_helps() -> None:
    grid = make_grid((101, 100), PLACE, "EPSG:32633", "x")
    for a, b in ((grid, refined(grid, 4)), (refined(grid, 4), grid)):
        with pytest.raises(GridError, match=r"the shapes differ .* cscl coarsen"):
            require_same(a, b, "maps")


@pytest.mark.parametrize("moved", [Affine.translation(3, 0), Affine.scale(1.01)])
def test_a_grid_beside_the_refined_one_is_not_finer(moved: Affine) -> None:
    grid = make_grid((101, 100), PLACE, "EPSG:32633", "x")
    beside = make_grid((404, 400), refined(grid, 4).transform @ moved, "EPSG:32633", "x")
    assert times_finer(beside, grid) is None
    assert times_finer(make_grid((404, 399), refined(grid, 4).transform, "EPSG:32633", "x"), grid) is None


def test_a_crop_stays_in_place() -> None:
    grid = make_grid((101, 100), PLACE, "EPSG:32633", "x")
    part = crop(grid, Window(3, 5, 10, 20))
    assert tuple(part.shape) == (10, 20)
    np.testing.assert_allclose(
        (part.transform.c, part.transform.f), (PLACE.c + 5 * PLACE.a, PLACE.f + 3 * PLACE.e), rtol=0, atol=1e-8
    )


def test_a_grid_needs_a_crs_that_is_understood() -> None:
    for crs in (None, ""):
        with pytest.raises(GridError, match=r"season.tif has no coordinate reference system.*--crs"):
            make_grid((2, 2), PLACE, crs, "season.tif")
    with pytest.raises(GridError, match="'EPSG:nonsense' is not understood"):
        make_grid((2, 2), PLACE, "EPSG:nonsense", "season.tif")


def test_many_spellings_are_one_crs() -> None:
    plain = make_grid((2, 2), PLACE, "EPSG:32633", "x")
    for spelling in (32633, plain.crs.wkt, plain.crs.proj.to_wkt("WKT1_GDAL"), plain.crs):
        grid = make_grid((2, 2), PLACE, spelling, "x")
        assert str(grid.crs) == "EPSG:32633"
        require_same(plain, grid, "both")


def test_pixel_sizes_are_metres() -> None:
    assert pixel_size_m(make_grid((2, 2), PLACE, "EPSG:32633", "x")) == (9.997448, 9.994792)
    feet = make_grid((2, 2), Affine(32.8, 0, 1e6, 0, -32.8, 2e5), "EPSG:2263", "x")
    assert pixel_size_m(feet) == pytest.approx((9.997460, 9.997460))
    with pytest.raises(GridError, match="are degrees"):
        pixel_size_m(make_grid((2, 2), Affine(0.1, 0, 0, 0, -0.1, 0), "EPSG:4326", "x"))


def test_require_same() -> None:
    grid = make_grid((101, 100), PLACE, "EPSG:32633", "x")

    def like(shape: tuple[int, int] = (101, 100), dx_px: float = 0.0, wider: float = 1.0, crs: str = "EPSG:32633"):  # type: ignore[no-untyped-def]
        place = Affine(PLACE.a * wider, 0, PLACE.c + dx_px * PLACE.a, 0, PLACE.e, PLACE.f)
        return make_grid(shape, place, crs, "y")

    require_same(grid, grid, "both")
    require_same(grid, like(dx_px=5e-4), "both")
    for other, sentence in [
        (like(crs="EPSG:32632"), r"the coordinate reference systems differ \(EPSG:32633 and EPSG:32632\)"),
        (like(shape=(100, 101)), r"the shapes differ \(\(101, 100\) and \(100, 101\) pixels\)"),
        (like(dx_px=0.5), "lie 0.5 pixels apart"),
        (like(wider=1.001), "lie 0.1 pixels apart"),  # the corner fits, the far side does not
    ]:
        with pytest.raises(GridError, match=f"images and labels: .*{sentence}.*gdalwarp"):
            require_same(grid, other, "images and labels")
