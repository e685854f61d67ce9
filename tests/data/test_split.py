from dataclasses import replace

import numpy as np
import pytest
from affine import Affine

from cscl.data.split import Side, only, split_blocks, split_window
from cscl.errors import InputError
from cscl.grid import Window, make_grid, refined
from cscl.legend import Legend
from cscl.products import LabelMap


def labels(size: int = 96, parcels: bool = True) -> LabelMap:
    rng = np.random.default_rng(0)
    coarse = rng.integers(0, 3, (size // 12, size // 12))
    ids = np.kron(coarse, np.ones((12, 12))).astype(np.uint8)
    numbers = 1 + np.kron(np.arange(coarse.size).reshape(coarse.shape), np.ones((12, 12))).astype(np.int32)
    grid = make_grid(ids.shape, Affine(10, 0, 5e5, 0, -10, 5e6), "EPSG:32631", "test")
    return LabelMap(ids, grid, Legend.from_codes([0, 1, 2]), numbers if parcels else None)


def test_no_parcel_lies_on_two_sides_and_every_side_has_pixels() -> None:
    truth = labels()
    side = split_blocks(truth, 32, 0.2, 0.2, seed=3)
    assert set(np.unique(side)) == {Side.TRAIN, Side.VALIDATION, Side.TEST}
    for number in np.unique(truth.parcel_ids):
        assert len(np.unique(side[truth.parcel_ids == number])) == 1
    share = (side == Side.TEST).mean()
    assert 0.1 < share < 0.35


def test_finer_labels_are_split_as_coarse_ones_are() -> None:
    truth = labels()
    fine_grid = refined(truth.grid, 2)
    ids, numbers = (a.repeat(2, 0).repeat(2, 1) for a in (truth.ids, truth.parcel_ids))
    fine = LabelMap(ids, fine_grid, truth.legend, numbers)
    side = split_blocks(truth, 32, 0.2, 0.2, seed=3)
    assert np.array_equal(split_blocks(fine, 32, 0.2, 0.2, seed=3, finer=2), side.repeat(2, 0).repeat(2, 1))


def test_a_parcel_goes_to_the_side_that_holds_most_of_it() -> None:
    truth = labels()
    plain = split_blocks(replace(truth, parcel_ids=None), 32, 0.2, 0.2, seed=3)
    side = split_blocks(truth, 32, 0.2, 0.2, seed=3)
    for number in np.unique(truth.parcel_ids):
        inside = truth.parcel_ids == number
        assert side[inside][0] == np.bincount(plain[inside]).argmax()
    outside = replace(truth, parcel_ids=np.where(truth.parcel_ids > 9, 0, truth.parcel_ids).astype(np.int32))
    free = split_blocks(outside, 32, 0.2, 0.2, seed=3)[outside.parcel_ids == 0]
    assert np.array_equal(free, plain[outside.parcel_ids == 0])


def test_the_split_follows_from_the_seed_alone() -> None:
    truth = labels(192)
    assert np.array_equal(split_blocks(truth, 32, 0.2, 0.2, 3), split_blocks(truth, 32, 0.2, 0.2, 3))
    assert not np.array_equal(split_blocks(truth, 32, 0.2, 0.2, 3), split_blocks(truth, 32, 0.2, 0.2, 4))


def test_without_parcels_blocks_stay_square() -> None:
    side = split_blocks(labels(parcels=False), 32, 0.2, 0.2, 0)
    for row in range(0, 96, 32):
        for col in range(0, 96, 32):
            assert len(np.unique(side[row : row + 32, col : col + 32])) == 1


def test_too_few_blocks_is_said() -> None:
    with pytest.raises(InputError, match="too few to hold back"):
        split_blocks(labels(24), 32, 0.2, 0.2, 0)


def test_a_drawn_window_splits_by_pixels() -> None:
    side = split_window((10, 10), Window(0, 0, 10, 5))
    assert (side[:, :5] == Side.TRAIN).all() and (side[:, 5:] == Side.TEST).all()


def test_only_hides_classes_and_parcels_of_other_sides() -> None:
    truth = labels()
    kept = only(truth, split_window(truth.ids.shape, Window(0, 0, 96, 48)), Side.TEST)
    assert (kept.ids[:, :48] == truth.legend.ignore).all() and (kept.ids[:, 48:] == truth.ids[:, 48:]).all()
    assert kept.parcel_ids is not None and (kept.parcel_ids[:, :48] == 0).all()
