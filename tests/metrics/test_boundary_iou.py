"""Boundary IoU against slow loops over the definitions."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy import ndimage

from cscl.errors import InputError
from cscl.metrics.boundary import reach_px
from cscl.metrics.boundary_iou import (
    IN_METRES,
    PUBLISHED,
    BoundaryIoUTally,
    chessboard_band,
    published_width_px,
)

CLASSES = 5  # class 4 is only ever predicted; class 3 is nowhere


def maps(shape: tuple[int, int], seed: int = 0, void: float = 0.1) -> tuple[np.ndarray, np.ndarray]:
    """Truth and prediction: blocks of classes 0..2, moved by a pixel, with noise and unknown pixels."""
    rng = np.random.default_rng(seed)
    truth = np.kron(rng.integers(0, 3, (-(-shape[0] // 5), -(-shape[1] // 7))), np.ones((5, 7), int))
    truth = truth[: shape[0], : shape[1]]
    guess = np.where(rng.random(shape) < 0.05, 4, np.roll(truth, (1, -1), (0, 1)))
    return np.where(rng.random(shape) < void, -1, truth), np.where(rng.random(shape) < void / 2, -1, guess)


def slow_band(index: np.ndarray, c: int, size: tuple[float, float], width: float) -> np.ndarray:
    band = np.zeros(index.shape, bool)
    others = np.argwhere((index >= 0) & (index != c))
    for y, x in np.argwhere(index == c):
        dy, dx = (others - (y, x)).T
        band[y, x] = (np.hypot(dy * size[0], dx * size[1]) * (1 - 0.5 / np.hypot(dy, dx)) <= width).any()
    return band


def eroded_band(mask: np.ndarray, n: int) -> np.ndarray:
    """Three plain loops: steps, rows, columns; what lies outside the image is not of the class."""
    inside = mask
    for _ in range(n):
        padded, inside = np.pad(inside, 1), inside.copy()
        for y in range(mask.shape[0]):
            for x in range(mask.shape[1]):
                inside[y, x] = padded[y : y + 3, x : x + 3].all()
    return mask & ~inside


@pytest.mark.parametrize("size", [(10.0, 10.0), (10.0, 7.5)])
def test_in_metres(size: tuple[float, float]) -> None:
    truth, guess = maps((19, 23))
    widths = (6.0, 16.0, 30.0)
    found = BoundaryIoUTally.of(truth, guess, classes=CLASSES, pixel_size_m=size, widths_m=widths).result()
    judged = (truth >= 0) & (guess >= 0)
    t, g = np.where(judged, truth, -1), np.where(judged, guess, -1)
    for n, width in enumerate(widths):
        for c in range(CLASSES):
            a, b = slow_band(t, c, size, width), slow_band(g, c, size, width)
            union = (a | b).sum()
            assert (found.truth_px[n, c], found.guess_px[n, c]) == (a.sum(), b.sum())
            np.testing.assert_equal(found.iou[n, c], (a & b).sum() / union if union else math.nan)
    assert found.definition == IN_METRES
    assert np.isnan(found.iou[:, 3]).all() and (found.iou[:, 4] == 0).all()
    np.testing.assert_allclose(found.mean, found.iou[:, :3].mean(1))


@pytest.mark.parametrize("n", [1, 2, 40])
def test_published(n: int) -> None:
    truth, guess = maps((19, 23))
    found = BoundaryIoUTally.published(truth, guess, classes=CLASSES, width_px=n).result()
    judged = (truth >= 0) & (guess >= 0)
    for c in range(CLASSES):
        a, b = (eroded_band(index == c, min(n, 10)) & judged for index in (truth, guess))
        union = (a | b).sum()
        np.testing.assert_equal(found.iou[0, c], (a & b).sum() / union if union else math.nan)
    assert (found.definition, found.widths) == (PUBLISHED, (n,))


def test_published_erosion_is_that_of_scipy() -> None:
    truth, _ = maps((40, 31), void=0)
    for n in (1, 3):
        found = chessboard_band(truth, n)
        for c in range(3):
            rest = ndimage.binary_erosion(truth == c, np.ones((3, 3)), n, border_value=0)
            np.testing.assert_array_equal(found & (truth == c), (truth == c) & ~rest)


def test_published_width_grows_with_the_scene() -> None:
    assert [published_width_px((side, side)) for side in (24, 128, 2048)] == [1, 4, 58]
    assert published_width_px((10, 10), 0.005) == 1


def test_neither_void_nor_border_is_an_edge() -> None:
    truth = np.full((9, 12), -1)
    truth[:, :6] = 2
    tally = BoundaryIoUTally.of(truth, np.full_like(truth, 2), classes=3, pixel_size_m=(10, 10))
    assert not tally.counts.any() and np.isnan(tally.result().mean).all()
    published = BoundaryIoUTally.published(truth, truth, classes=3, width_px=1).result()
    assert published.truth_px[0, 2] == 2 * 9 + 2 * 4  # the frame of 9 x 6


def test_a_prediction_over_unknown_land_makes_no_edge() -> None:
    truth = np.zeros((4, 8), int)
    truth[:, 4:] = -1
    guess = np.where(truth < 0, 1, 0)
    assert not BoundaryIoUTally.of(truth, guess, classes=2, pixel_size_m=(10, 10)).counts.any()


def test_a_boundary_moved_by_one_pixel() -> None:
    truth = np.repeat([[0] * 5 + [1] * 5], 4, 0)
    guess = np.repeat([[0] * 6 + [1] * 4], 4, 0)
    found = BoundaryIoUTally.of(truth, guess, classes=2, pixel_size_m=(10, 10), widths_m=(5, 15)).result()
    # One pixel wide, the bands of class 0 are columns 4 and 5; two wide, 3-4 and 4-5.
    np.testing.assert_allclose(found.iou, [[0, 0], [1 / 3, 1 / 3]])
    assert found.mean[1] == pytest.approx(1 / 3)


@pytest.mark.parametrize("block", [4, 11])
def test_blocks_add_up(block: int) -> None:
    truth, guess = maps((19, 23), seed=3)
    size, widths = (10.0, 7.5), (10.0, 25.0)
    reach = reach_px(size, widths[-1])

    def of(rows: slice, cols: slice, inner: tuple[slice, slice]) -> BoundaryIoUTally:
        around = (truth[rows, cols], guess[rows, cols])
        return BoundaryIoUTally.of(*around, classes=CLASSES, pixel_size_m=size, widths_m=widths, inner=inner)

    def published(rows: slice, cols: slice, inner: tuple[slice, slice]) -> BoundaryIoUTally:
        return BoundaryIoUTally.published(
            truth[rows, cols], guess[rows, cols], classes=CLASSES, width_px=2, inner=inner
        )

    whole = (slice(None), slice(None))
    for count, margin in ((of, reach), (published, (2, 2))):
        parts = [count(*piece) for piece in pieces(truth.shape, block, margin)]
        total = parts[0]
        for part in parts[1:]:
            total = total + part
        np.testing.assert_array_equal(total.counts, count(*whole, whole).counts)


def pieces(
    shape: tuple[int, int], block: int, margin: tuple[int, int]
) -> list[tuple[slice, slice, tuple[slice, slice]]]:
    """Rows and columns of each block with its margin, and where the block lies in them."""
    found = []
    for at in np.ndindex(-(-shape[0] // block), -(-shape[1] // block)):
        starts = [i * block for i in at]
        stops = [min(s + block, n) for s, n in zip(starts, shape, strict=True)]
        lows = [max(0, s - m) for s, m in zip(starts, margin, strict=True)]
        highs = [min(n, s + m) for s, m, n in zip(stops, margin, shape, strict=True)]
        inner = tuple(slice(s - low, e - low) for s, e, low in zip(starts, stops, lows, strict=True))
        found.append((slice(lows[0], highs[0]), slice(lows[1], highs[1]), inner))
    return found


def test_what_does_not_fit_is_refused() -> None:
    truth = np.zeros((4, 4), int)
    with pytest.raises(InputError, match="half a pixel"):
        BoundaryIoUTally.of(truth, truth, classes=1, pixel_size_m=(10, 10), widths_m=(2,))
    with pytest.raises(InputError, match="rising"):
        BoundaryIoUTally.of(truth, truth, classes=1, pixel_size_m=(10, 10), widths_m=(20, 10))
    with pytest.raises(InputError, match="differ in shape"):
        BoundaryIoUTally.of(truth, truth[:2], classes=1, pixel_size_m=(10, 10))
    with pytest.raises(InputError, match="not one of 1 classes"):
        BoundaryIoUTally.published(truth, truth + 1, classes=1, width_px=1)
