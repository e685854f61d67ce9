from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import toys
import xarray as xr
from affine import Affine

from cscl.data import profiles
from cscl.data.indices import index_values, offered_indices
from cscl.data.profiles import class_profiles, facts_at, parcel_profile, pixel_profile, quantities
from cscl.errors import InputError
from cscl.events import run
from cscl.grid import refined
from cscl.products import Prediction, Scene

S2 = ("B02", "B03", "B04", "B08", "B11")
QUANTITIES = ("NDVI", "NDWI", "B03", "B04", "B08")


@pytest.fixture(scope="module")
def scene() -> Scene:
    return toys.scene()


def stored(scene: Scene) -> tuple[Mapping[str, np.ndarray], np.ndarray]:
    """Quantities and validity (time, y, x) by direct numpy."""
    raw = scene.cube.stored.values
    green, red, nir = (raw[:, i] * 1e-4 for i in range(3))
    every = {"NDVI": (nir - red) / (nir + red), "NDWI": (green - nir) / (green + nir)}
    return {**every, "B03": green, "B04": red, "B08": nir}, (raw != toys.NODATA).all(axis=1)


def test_indices_follow_their_formulas_and_need_their_bands() -> None:
    values = np.random.default_rng(0).uniform(0.01, 0.6, (7, 5)).astype(np.float32)
    values[:, 0] *= 0.2
    blue, green, red, nir, swir = values.T
    expected = {
        "NDVI": (nir - red) / (nir + red),
        "EVI": 2.5 * (nir - red) / (nir + 6 * red - 7.5 * blue + 1),
        "NDMI": (nir - swir) / (nir + swir),
        "NDWI": (green - nir) / (green + nir),
    }
    assert offered_indices(S2) == tuple(expected)
    for name, by_hand in expected.items():
        assert np.allclose(index_values(name, values, S2), by_hand, rtol=1e-5)
    assert offered_indices(("red", "nir", "x")) == ("NDVI",) and offered_indices(("B04", "B05")) == ()
    assert offered_indices(("NDVI", "B04", "B08")) == (), "the band of that name speaks for itself"
    assert np.isnan(index_values("NDVI", np.zeros((1, 2), np.float32), ("B04", "B08"))).all()


@pytest.mark.parametrize(("row", "col"), [(3, 5), (40, 63), (63, 0)])
def test_a_pixel_is_what_the_cube_holds(scene: Scene, row: int, col: int) -> None:
    every, valid = stored(scene)
    profile = run(pixel_profile(scene.cube, row, col))
    assert profile.names == quantities(scene.cube.bands) == QUANTITIES and profile.pixels == 1
    assert np.array_equal(profile.dates, scene.cube.dates) and np.array_equal(profile.valid, valid[:, row, col])
    for place, name in enumerate(QUANTITIES):
        by_hand = np.where(valid[:, row, col], every[name][:, row, col], np.nan)
        for curve in (profile.values, profile.low, profile.high):
            assert np.allclose(curve[:, place], by_hand, atol=1e-6, equal_nan=True)
    assert profile.values.dtype == np.float32
    assert not profile.valid.all() if (row, col) == (3, 5) else profile.valid.all(), "the gap of the second date"


def check_mean(profile: profiles.Profile, scene: Scene, inside: np.ndarray) -> None:
    every, valid = stored(scene)
    for time in range(len(scene.cube.dates)):
        kept = inside & valid[time]
        assert profile.counts[time] == kept.sum()
        for place, name in enumerate(QUANTITIES):
            there = every[name][time][kept]
            by_hand = (there.mean(), *np.percentile(there, (10, 90))) if there.size else (np.nan,) * 3
            found = [getattr(profile, curve)[time, place] for curve in ("values", "low", "high")]
            assert np.allclose(found, by_hand, atol=1e-5, equal_nan=True)


def test_a_parcel_is_the_mean_and_spread_of_its_valid_pixels(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(profiles, "BLOCK_PX", 3)  # the parcel lies in several blocks
    monkeypatch.setattr(profiles, "BLOCK_VALUES", 30)  # and not all dates are read at once
    for number in (1, 3, 27):
        check_mean(run(parcel_profile(scene.cube, scene.labels, number)), scene, scene.labels.parcel_ids == number)
    assert run(parcel_profile(scene.cube, scene.labels, 1, max_pixels=10)).pixels == 10


def test_only_the_window_of_a_parcel_is_read(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    seen = []
    read = type(scene.cube).read
    monkeypatch.setattr(type(scene.cube), "read", lambda cube, window: seen.append(window) or read(cube, window))
    run(parcel_profile(scene.cube, scene.labels, 10))
    assert {(w.row, w.col, w.height, w.width) for w in seen} == {(8, 8, 8, 8)}


def test_a_small_class_is_read_whole_and_a_large_one_by_a_sample_that_repeats(scene: Scene) -> None:
    whole = run(class_profiles(scene.cube, scene.labels, (0, 4, 9), max_pixels=64 * 64))
    for number, profile in whole.items():
        check_mean(profile, scene, scene.labels.ids == number)
    some = run(class_profiles(scene.cube, scene.labels, (4, 9), max_pixels=100))
    again = run(class_profiles(scene.cube, scene.labels, (9,), max_pixels=100))
    assert some[9].pixels == 100 and np.array_equal(some[9].values, again[9].values, equal_nan=True)
    assert np.nanmax(np.abs(some[9].values - whole[9].values)) < 0.05
    other = run(class_profiles(scene.cube, scene.labels, (9,), max_pixels=100, seed=1))
    assert not np.array_equal(other[9].values, again[9].values, equal_nan=True)


def test_a_class_without_pixels_has_an_empty_profile(scene: Scene) -> None:
    (profile,) = run(class_profiles(scene.cube, scene.labels, (77,))).values()
    assert profile.pixels == 0 and np.isnan(profile.values).all() and not profile.valid.any()


def test_a_class_of_a_wide_scene_is_drawn_from_few_windows() -> None:
    wide = toys.scene(400, dates=2, parcel_px=20)
    ids = np.where(wide.labels.ids == 9, np.uint8(4), wide.labels.ids)
    ids[390:, 390:] = 9
    rows, cols = profiles._sample(ids, 4, 500, np.random.default_rng(0))
    assert len(rows) == 500 and (ids[rows, cols] == 4).all()
    assert len({*zip(rows // profiles.WINDOW_PX, cols // profiles.WINDOW_PX, strict=True)}) <= profiles.WINDOWS
    rows, cols = profiles._sample(ids, 9, 500, np.random.default_rng(0))
    assert len(rows) == 100 and (ids[rows, cols] == 9).all(), "a rare crop is found"


def test_a_job_can_be_left_at_any_time(scene: Scene) -> None:
    job = class_profiles(scene.cube, scene.labels, (0, 4))
    assert next(job).done == 0
    job.close()


def test_parcels_are_needed_and_must_be_there(scene: Scene) -> None:
    with pytest.raises(InputError, match="hold no parcels"):
        run(parcel_profile(scene.cube, replace(scene.labels, parcel_ids=None), 1))
    with pytest.raises(InputError, match="no parcel 9999"):
        run(parcel_profile(scene.cube, scene.labels, 9999))


def test_a_place_knows_where_it_lies_and_what_grows_there(scene: Scene) -> None:
    grid, labels = scene.cube.grid, scene.labels
    ids = xr.DataArray(np.where(labels.ids == 4, labels.legend.ignore, labels.ids), dims=("y", "x"))
    sure = xr.DataArray(np.full(labels.ids.shape, 200, np.uint8), dims=("y", "x"))
    sure[5, 6] = 255
    prediction = Prediction(ids, sure, grid, labels.legend)
    names = dict(zip(labels.legend.ids, labels.legend.names, strict=True))
    row, col = np.argwhere(labels.ids == 9)[-1]
    place = facts_at(grid, int(row), int(col), labels, prediction)
    assert (place.easting, place.northing) == (5e5 + 10 * col + 5, 5e6 - 10 * row - 5)
    assert place.latitude == pytest.approx(45.15, abs=0.02) and place.longitude == pytest.approx(3.0, abs=0.02)
    assert place.parcel == labels.parcel_ids[row, col] and place.crop == place.predicted == "maïs"
    assert place.confidence == pytest.approx(0.8)
    assert facts_at(grid, 5, 6, labels, prediction).confidence is None
    unknown = facts_at(grid, 63, 5, labels)
    assert unknown.crop is None and unknown.parcel is not None and unknown.predicted is None
    assert names[4] and facts_at(grid, *map(int, np.argwhere(labels.ids == 4)[0]), labels, prediction).predicted is None
    assert facts_at(grid, 0, 0).parcel is None


def test_a_place_on_labels_and_maps_of_other_pixels(scene: Scene) -> None:
    labels, grid = scene.labels, scene.cube.grid
    fine = refined(grid, 4)
    ids = xr.DataArray(np.full(fine.shape, 9, np.uint8), dims=("y", "x"))
    ids[40:44, 80:83] = 4
    sure = xr.DataArray(np.full(fine.shape, 50, np.uint8), dims=("y", "x"))
    sure[40:44, 80:82], sure[40:44, 82] = 100, 250
    prediction = Prediction(ids, sure, fine, labels.legend)
    place = facts_at(grid, 10, 20, labels, prediction)
    assert place.predicted == "winter wheat" and place.confidence == pytest.approx((0.4 + 0.4 + 1) / 3)
    assert facts_at(fine, 43, 83, labels).parcel == labels.parcel_ids[10, 20] == facts_at(grid, 10, 20, labels).parcel


@pytest.mark.slow
def test_memory_stays_small_on_a_whole_tile(tmp_path: Path) -> None:
    """The labels of a tile of 10980 x 10980 are gone through in strips."""
    import tracemalloc

    ids = np.zeros((10980, 10980), np.uint8)
    ids[5000:5200, 3000:9000] = 4
    tracemalloc.start()
    rows, _ = profiles._sample(ids, 4, 2000, np.random.default_rng(0))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert len(rows) == 2000 and peak < 20e6


def test_the_grid_may_be_of_any_projection(scene: Scene) -> None:
    from cscl.grid import make_grid

    grid = make_grid((4, 4), Affine(10, 0, 4321000, 0, -10, 3210000), "EPSG:3035", "laea")
    place = facts_at(grid, 0, 0)
    assert place.latitude == pytest.approx(52, abs=0.01) and place.longitude == pytest.approx(10, abs=0.01)
