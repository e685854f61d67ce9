"""A map from tiles: every pixel once, blended where tiles overlap, and no more kept than the seams."""

import numpy as np
import pytest

from cscl.inference.enlarge import enlarged
from cscl.inference.stitch import Stitcher, overlapping_tiles

SHAPES = [(90, 70), (32, 33), (64, 96), (5, 200), (37, 37)]


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("blend_px", [0, 8, 16])
def test_weights_of_overlapping_tiles_add_up_to_one(shape: tuple[int, int], blend_px: int) -> None:
    total = np.zeros(shape)
    for strip in overlapping_tiles(shape, 32, 24, blend_px):
        for tile in strip:
            total[tile.write.slices] += tile.weights(shape, blend_px)
    assert np.allclose(total, 1)


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("blend_px", [0, 8, 32])
@pytest.mark.parametrize("finer", [1, 4])
def test_what_is_stitched_is_the_weighted_sum_of_all_tiles_and_each_pixel_comes_once(
    shape: tuple[int, int], blend_px: int, finer: int
) -> None:
    rng = np.random.default_rng(0)
    size, blend = (shape[0] * finer, shape[1] * finer), blend_px * finer
    expected, found, times = np.zeros((2, *size)), np.zeros((2, *size)), np.zeros(size, int)
    stitcher = Stitcher(2, size, blend)
    for strip in overlapping_tiles(shape, 32, 24, blend_px, 8, finer):
        for tile in strip:
            read = rng.normal(size=(2, tile.read.height * finer, tile.read.width * finer)).astype(np.float32)
            answer = read[:, *tile.inner]
            expected[:, *tile.write.slices] += answer * tile.weights(size, blend)
            window, finished = stitcher.add(tile, answer)
            found[:, *window.slices] = finished
            times[window.slices] += 1
    assert (times == 1).all()
    assert np.abs(found - expected).max() < 1e-5


def test_an_answer_lands_where_it_was_read() -> None:
    shape = (50, 70)
    place = np.arange(50 * 70, dtype=np.float32).reshape(1, *shape)
    fine = place.repeat(4, 1).repeat(4, 2)
    stitcher = Stitcher(1, (200, 280), 32)
    for strip in overlapping_tiles(shape, 32, 16, 8, 8, 4):
        for tile in strip:
            window, finished = stitcher.add(tile, place[:, *tile.read.slices].repeat(4, 1).repeat(4, 2)[:, *tile.inner])
            assert np.allclose(finished, fine[:, *window.slices], atol=1e-3)


@pytest.mark.parametrize("factor", [2, 4])
def test_interpolation_is_that_of_torch_where_all_is_seen(factor: int) -> None:
    import torch

    values = np.random.default_rng(0).random((3, 5, 6)).astype(np.float32)
    found, seen = enlarged(values, np.ones((5, 6), bool), factor, "bilinear")
    expected = torch.nn.functional.interpolate(
        torch.from_numpy(values)[None], scale_factor=factor, mode="bilinear", align_corners=False
    )[0]
    assert seen.all() and np.abs(found - expected.numpy()).max() < 1e-6


def test_what_was_not_seen_takes_no_part_in_an_interpolation() -> None:
    values = np.full((2, 4, 4), 0.25, np.float32)
    seen = np.ones((4, 4), bool)
    seen[1, 2] = False
    values[:, 1, 2] = 77
    found, fine = enlarged(values, seen, 2, "bilinear")
    assert np.allclose(found[:, fine], 0.25) and (~fine).sum() == 4 and not fine[2:4, 4:6].any()
    nearest, _ = enlarged(values, seen, 2, "nearest")
    assert np.array_equal(nearest, values.repeat(2, 1).repeat(2, 2))
