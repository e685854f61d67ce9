from __future__ import annotations

from collections import Counter

import numpy as np
import pytest
import shapely
from rasterio.features import rasterize

from cscl.events import run
from cscl.simulate import Season
from cscl.simulate.fields import headland
from cscl.simulate.labels import majority, register
from cscl.simulate.landscape import lay_out
from cscl.simulate.options import SeasonOptions


def test_majority_needs_more_than_half() -> None:
    fine = np.random.default_rng(0).choice([0, 3, 7], (24, 32), p=[0.2, 0.6, 0.2]).astype(np.int32)
    got = majority(fine, 4, -1)
    for (r, c), value in np.ndenumerate(got):
        most, held = Counter(fine[4 * r : 4 * r + 4, 4 * c : 4 * c + 4].ravel().tolist()).most_common(1)[0]
        assert value == (most if held > 8 else -1)
    assert {-1, 3} <= set(np.unique(got))


def test_headland_is_two_sub_pixels_wide() -> None:
    surface = np.array([[1, 1, 1, 1, 2, 2, 2, 2]] * 5, np.int32)
    np.testing.assert_array_equal(headland(surface)[2], [0, 0, 1, 1, 1, 1, 0, 0])


@pytest.mark.parametrize(("parcel_size", "median_ha"), [("standard", 1.07), ("small", 0.31), ("large", 3.5)])
def test_parcels_have_the_promised_size_and_do_not_overlap(parcel_size: str, median_ha: float) -> None:
    lands = [run(lay_out(256, parcel_size, np.random.default_rng(seed))) for seed in range(3)]
    areas = np.concatenate([shapely.area(land.outlines) for land in lands]) / 1e4
    assert np.median(areas) == pytest.approx(median_ha, rel=0.2)
    assert 0.7 < np.log(areas).std() < 1.2
    for land in lands:
        assert shapely.is_valid(land.outlines).all()
        union = shapely.union_all(land.outlines).area
        assert union == pytest.approx(shapely.area(land.outlines).sum(), rel=1e-6)
        background = np.mean(land.parcel_ids[40:-40, 40:-40] == 0)
        assert 0.08 < background < 0.4


def test_outlines_are_where_the_rasters_say(season: Season) -> None:
    shapes = zip(season.parcels.geometry, season.parcels.parcel_id, strict=True)
    by_centre = rasterize(shapes, season.grid.shape, transform=season.grid.transform, dtype="int32")
    blocks = season.parcel_ids_2m5.reshape(160, 4, 160, 4).transpose(0, 2, 1, 3).reshape(160, 160, 16)
    pure = (blocks == blocks[..., :1]).all(-1) & (blocks[..., 0] > 0)
    assert pure.mean() > 0.4
    np.testing.assert_array_equal(by_centre[pure], season.parcel_ids[pure])
    # Elsewhere the two rules differ, but seldom by a whole parcel.
    assert np.mean(by_centre == season.parcel_ids) > 0.85


def test_labels_are_the_crops_of_the_parcels(season: Season) -> None:
    code = {c.id: c.code for c in season.legend.classes}
    crop = dict(zip(season.parcels.parcel_id, season.parcels.true_crop, strict=True))
    inside = season.parcel_ids_2m5 > 0
    np.testing.assert_array_equal(inside, season.labels_2m5 > 0)
    seen = np.unique(np.stack([season.parcel_ids_2m5[inside], season.labels_2m5[inside]]), axis=1)
    assert all(crop[i] == code[k] for i, k in seen.T)
    certain = (season.parcel_ids > 0) & (season.labels != 255)
    assert all(crop[i] == code[k] for i, k in zip(season.parcel_ids[certain], season.labels[certain], strict=True))


def test_register_errs_as_told_and_only_then(season: Season) -> None:
    land = run(lay_out(128, "small", np.random.default_rng(5)))
    exact, wrong = (
        register(land, season.grid, options)
        for options in (SeasonOptions(), SeasonOptions(outline_shift_m=8, outline_jitter_m=2, misdeclared_share=0.05))
    )
    assert (exact.crop == exact.true_crop).all()
    assert (wrong.crop != wrong.true_crop).mean() == pytest.approx(0.05, abs=1 / len(wrong))
    assert (wrong.true_crop == exact.true_crop).all()
    moved = np.array(
        [
            shapely.get_coordinates(a)[0] - shapely.get_coordinates(b)[0]
            for a, b in zip(wrong.geometry, exact.geometry, strict=True)
        ]
    )
    assert np.hypot(*moved.mean(0)) == pytest.approx(8, abs=0.5)
    assert moved.std(0) == pytest.approx([2, 2], abs=0.3)
