from __future__ import annotations

import itertools
from dataclasses import replace

import numpy as np
import pytest
from scipy.ndimage import maximum_filter, minimum_filter

from cscl.errors import InputError
from cscl.events import Progress, run
from cscl.simulate import Season, SeasonOptions, simulate

SMALL = SeasonOptions(size_px=48, dates=3, parcel_size="small")

# Means and standard deviations, reflectance x 10000, by which PASTIS normalises its images (first fold).
PASTIS_MEAN = np.array([1166, 1376, 1429, 1765, 2719, 3064, 3206, 3319, 2423, 1639])
PASTIS_SD = np.array([1943, 1882, 1959, 1867, 1755, 1769, 1785, 1768, 1459, 1299])


def test_the_same_options_give_the_same_bytes() -> None:
    a, b = run(simulate(SMALL)), run(simulate(SMALL))
    for name in ("dates", "reflectance", "cloudy", "labels", "labels_2m5", "parcel_ids", "parcel_ids_2m5"):
        assert getattr(a, name).tobytes() == getattr(b, name).tobytes(), name
    assert a.parcels.equals(b.parcels)


def test_a_neighbour_shares_the_season_but_not_the_parcels() -> None:
    here, there = (run(simulate(replace(SMALL, mosaic_seed=i))) for i in (0, 1))
    np.testing.assert_array_equal(here.dates, there.dates)
    assert not np.array_equal(here.labels, there.labels)
    assert here.grid.transform != there.grid.transform
    other = run(simulate(replace(SMALL, seed=1)))
    assert not np.array_equal(here.dates, other.dates)
    np.testing.assert_array_equal(here.labels, other.labels)


def test_arrays_are_as_documented(season: Season) -> None:
    t, b, n = 16, 10, 160
    assert season.reflectance.shape == (t, b, n, n) and season.reflectance.dtype == np.uint16
    assert season.reflectance.min() > 0 and not (season.reflectance % 10).any()
    assert season.cloudy.shape == (t, n, n) and season.cloudy.dtype == bool
    assert season.labels.shape == season.parcel_ids.shape == (n, n)
    assert season.labels_2m5.shape == season.parcel_ids_2m5.shape == tuple(season.grid_2m5.shape) == (4 * n, 4 * n)
    assert season.grid_2m5.boundingbox == season.grid.boundingbox
    assert (np.diff(season.dates) >= np.timedelta64(5, "D")).all() and len(set(np.diff(season.dates))) > 2
    assert season.grid.crs.epsg == 32631 and 4.9e6 < season.grid.transform.f < 5.1e6


def test_band_statistics_are_near_those_of_pastis(season: Season) -> None:
    """Within 15 % in the mean and 25 % in the spread: what the clouds of sixteen dates alone move them by."""
    mean, sd = season.reflectance.mean((0, 2, 3)), season.reflectance.std((0, 2, 3))
    np.testing.assert_allclose(mean, PASTIS_MEAN, rtol=0.15)
    np.testing.assert_allclose(sd, PASTIS_SD, rtol=0.25)


def test_wheat_is_green_in_may_and_bare_after_harvest(season: Season) -> None:
    wheat = _interior(season, 2)
    may, august = (_ndvi(season, month, wheat) for month in ("2023-05", "2023-08"))
    assert np.median(may) > 0.7
    assert np.median(august) < 0.35
    assert np.median(_ndvi(season, "2023-08", _interior(season, 3))) > 0.7  # maize stands


def test_rapeseed_flowers_yellow(season: Season) -> None:
    t = season.dates.astype("datetime64[M]").tolist().index(np.datetime64("2023-04").item())
    green_over_blue = season.reflectance[t, 1].astype(float) / season.reflectance[t, 0]
    clear = ~season.cloudy[t]
    rape, wheat = (np.median(green_over_blue[_interior(season, k) & clear]) for k in (5, 2))
    assert rape > 1.15 * wheat


def test_clouds_are_bright_and_masked(season: Season) -> None:
    blue = season.reflectance[:, 0]
    assert blue[season.cloudy].mean() > 2.5 * blue[~season.cloudy].mean()
    assert np.mean(blue[~season.cloudy] > 2500) < 1e-3


def test_classes_have_a_long_tail(season: Season) -> None:
    pixels = np.bincount(season.labels_2m5.ravel(), minlength=14)[1:]
    assert (pixels > 0).all()
    assert pixels.max() > 20 * pixels.min()
    assert season.parcels.crop.value_counts().iloc[:3].sum() > 0.5 * len(season.parcels)


def test_pixels_at_boundaries_are_mixtures(season: Season) -> None:
    blocks = season.parcel_ids_2m5.reshape(160, 4, 160, 4).transpose(0, 2, 1, 3).reshape(-1, 16)
    day = season.dates.tolist().index(np.datetime64("2023-08-03").item())  # clear; stubble beside standing maize
    red, ids = season.reflectance[day, 2].astype(float).ravel(), season.parcel_ids.ravel()
    inner = _interior(season).ravel()
    middle = {i: np.median(red[inner & (ids == i)]) for i in np.unique(ids[inner])}
    between = []
    for value, held in zip(red, blocks, strict=True):
        parts, counts = np.unique(held[held > 0], return_counts=True)
        if len(parts) == 2 and counts.min() >= 5 and all(p in middle for p in parts):
            low, high = sorted(middle[p] for p in parts)
            if high - low > 400:
                between.append((value - low) / (high - low))
    assert len(between) > 100
    assert np.mean((np.array(between) > 0.05) & (np.array(between) < 0.95)) > 0.85


def test_cloudiness_reaches_from_clear_to_overcast() -> None:
    clear, overcast = (run(simulate(replace(SMALL, cloudiness=c))) for c in (0.0, 1.0))
    assert clear.reflectance[:, 0].max() < 4000
    assert overcast.cloudy.all()


def test_it_reports_and_can_be_left() -> None:
    job = simulate(SMALL)
    events = list(itertools.islice(job, 4))
    assert all(isinstance(e, Progress) for e in events)
    job.close()


@pytest.mark.parametrize("wrong", [{"size_px": 8}, {"dates": 1}, {"dates": 72}, {"parcel_size": "tiny"}])
def test_impossible_options_are_refused(wrong: dict[str, object]) -> None:
    with pytest.raises(InputError, match="Give"):
        SeasonOptions(**wrong)  # type: ignore[arg-type]


def test_a_scene_without_parcels_is_refused() -> None:
    with pytest.raises(InputError, match="another mosaic seed"):
        run(simulate(SeasonOptions(size_px=17, mosaic_seed=59)))


def _interior(season: Season, crop: int | None = None) -> np.ndarray:
    ids = season.parcel_ids
    same = (minimum_filter(ids, 3) == maximum_filter(ids, 3)) & (ids > 0)
    return same & (season.labels == crop) if crop else same


def _ndvi(season: Season, month: str, where: np.ndarray) -> np.ndarray:
    at = season.dates.astype("datetime64[M]") == np.datetime64(month)
    red, nir = (season.reflectance[at, b].astype(float) for b in (2, 6))
    return ((nir - red) / (nir + red))[where & ~season.cloudy[at]]
