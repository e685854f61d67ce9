"""Warping: against an interpolation by hand, with missing and cloudy pixels kept out, the same for every window."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import toys
import xarray as xr
from affine import Affine
from pyproj import Transformer

from cscl.cube import SITSCube
from cscl.data.warp import warped, warped_labels
from cscl.errors import GridError
from cscl.grid import GeoBox, Window, make_grid
from cscl.products import Scene


def grid(size: int, pixel: float, east: float = 0.0, south: float = 0.0) -> GeoBox:
    return make_grid((size, size), Affine(pixel, 0, 5e5 + east, 0, -pixel, 5e6 - south), "EPSG:32631", "target")


def cloudy(size: int = 64) -> SITSCube:
    cube = toys.scene(size, gap=False).cube
    clear = np.ones((6, size, size), bool)
    clear[2, 20:30, 10:40] = False
    return replace(cube, clear=xr.DataArray(clear, dims=("time", "y", "x")))


def test_another_zone_agrees_with_an_interpolation_by_hand() -> None:
    cube = toys.scene(gap=False).cube
    target = cube.grid.to_crs("EPSG:32632")
    col, row = np.meshgrid(np.arange(target.shape[1]) + 0.5, np.arange(target.shape[0]) + 0.5)
    places = Transformer.from_crs("EPSG:32632", "EPSG:32631", always_xy=True).transform(
        *(target.transform @ (col, row))
    )
    x, y = ~cube.grid.transform @ places
    values, valid = warped(cube, target).read()
    assert np.array_equal(valid[0], (x > 0) & (x < 64) & (y > 0) & (y < 64))
    inside = (x > 1) & (x < 63) & (y > 1) & (y < 63)
    (c, dx), (r, dy) = ((np.floor(p[inside] - 0.5).astype(int), (p[inside] - 0.5) % 1) for p in (x, y))
    s = cube.read()[0][3, 1]
    by_hand = (s[r, c] * (1 - dx) + s[r, c + 1] * dx) * (1 - dy) + (s[r + 1, c] * (1 - dx) + s[r + 1, c + 1] * dx) * dy
    np.testing.assert_allclose(values[3, 1][inside], by_hand, atol=1e-4)


def test_a_window_is_the_crop_of_the_whole_and_reads_little() -> None:
    cube = warped(cloudy(), grid(50, 10, 33.3, 24.6))
    values, valid = cube.read()
    window = Window(10, 12, 20, 21)
    part, usable = cube.read(window)
    np.testing.assert_allclose(part, values[..., *window.slices], atol=1e-5)
    np.testing.assert_array_equal(usable, valid[..., *window.slices])
    some = cube.select(bands=["B08", "B03"], times=[1, 4])
    np.testing.assert_allclose(some.read()[0], values[[1, 4]][:, [2, 0]], atol=1e-6)
    assert "Warped from EPSG:32631, pixel 10" in cube.notes[-1]


def test_coarser_pixels_are_the_mean_of_the_usable_ones_where_those_are_the_most() -> None:
    cube = cloudy()
    cube = replace(cube, stored=cube.stored.copy())
    cube.stored[4, 1, 3:6, 5:9] = toys.NODATA
    values, valid = cube.read()
    coarse, usable = warped(cube, grid(21, 30)).read()
    blocks, share = (a[..., :63, :63].reshape(*a.shape[:-2], 21, 3, 21, 3).mean((-3, -1)) for a in (values, valid))
    np.testing.assert_array_equal(usable, share > 0.5)
    expected = blocks / np.maximum(share, 0.01)[:, None]
    most = np.broadcast_to(usable[:, None], coarse.shape)
    np.testing.assert_allclose(coarse[most], expected[most], atol=1e-5)
    assert (~usable).any() and (coarse[~most] == 0).all()


def test_without_its_mask_a_warped_cube_shows_the_clouds() -> None:
    cube = cloudy()
    target = grid(60, 10, 5, 5)
    masked, valid = warped(cube, target).read()
    seen, held = warped(cube, target).unmasked().read()
    assert held.all() and not valid[2, 22:26, 15:35].any()
    plain = warped(replace(cube, clear=None), target).read()[0]
    np.testing.assert_allclose(seen[2, :, 22:26, 15:35], plain[2, :, 22:26, 15:35], atol=1e-6)
    np.testing.assert_allclose(masked[1], plain[1], atol=1e-6)


def test_from_afar_a_warped_cube_looks_alike() -> None:
    cube = warped(toys.scene(256, parcel_px=64, gap=False).cube, grid(240, 10, 40, 40))
    afar, _ = cube.coarser(4).read()
    assert afar.shape == (6, 3, 60, 60)
    near = cube.read()[0].reshape(6, 3, 60, 4, 60, 4).mean((3, 5))
    assert np.median(np.abs(afar - near)) < 0.02


def test_labels_take_the_nearest_class_and_parcel() -> None:
    scene = toys.scene()
    moved = warped_labels(scene.labels, grid(30, 10, 100, 200))
    assert np.array_equal(moved.ids, scene.labels.ids[20:50, 10:40])
    assert np.array_equal(moved.parcel_ids, scene.labels.parcel_ids[20:50, 10:40])
    beyond = warped_labels(scene.labels, grid(70, 10, -30, -30))
    assert (beyond.ids[:3] == 255).all() and (beyond.parcel_ids[:3] == 0).all()
    Scene(warped(scene.cube, beyond.grid), beyond)


def test_the_same_grid_changes_nothing_and_another_place_is_refused() -> None:
    scene = toys.scene()
    assert warped(scene.cube, grid(64, 10)) is scene.cube
    for far in (grid(64, 10, 1e5), make_grid((9, 9), Affine(10, 0, 5e5, 0, -10, 2e6), "EPSG:32633", "far")):
        with pytest.raises(GridError, match="do not touch"):
            warped(scene.cube, far)
        with pytest.raises(GridError, match="do not touch"):
            warped_labels(scene.labels, far)
