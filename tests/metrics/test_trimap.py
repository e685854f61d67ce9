"""Trimap curve and tolerant accuracy against slow loops."""

from __future__ import annotations

import math

import numpy as np
import pytest

from cscl.errors import InputError
from cscl.metrics.boundary import distance_to_class_edge, reach_px
from cscl.metrics.confusion import ConfusionMatrix
from cscl.metrics.tolerance import ToleranceTally
from cscl.metrics.trimap import TrimapTally

CLASSES = 4  # class 3 is only ever predicted
SIZE = (10.0, 7.5)


def maps(shape: tuple[int, int], seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    truth = np.kron(rng.integers(0, 3, (-(-shape[0] // 5), -(-shape[1] // 7))), np.ones((5, 7), int))
    truth = truth[: shape[0], : shape[1]]
    guess = np.where(rng.random(shape) < 0.1, rng.integers(0, 4, shape), np.roll(truth, (1, -1), (0, 1)))
    return np.where(rng.random(shape) < 0.1, -1, truth), np.where(rng.random(shape) < 0.05, -1, guess)


def ground(dy: np.ndarray, dx: np.ndarray) -> np.ndarray:
    px = np.hypot(dy, dx)
    return np.hypot(dy * SIZE[0], dx * SIZE[1]) * (1 - 0.5 / px)


def slow_edge_distance(truth: np.ndarray) -> np.ndarray:
    out = np.full(truth.shape, math.nan)
    for y, x in np.argwhere(truth >= 0):
        others = np.argwhere((truth >= 0) & (truth != truth[y, x]))
        out[y, x] = ground(*(others - (y, x)).T).min()
    return out


def test_curve() -> None:
    truth, guess = maps((15, 17))
    widths = (6.0, 15.0, 22.5)
    found = TrimapTally.of(truth, guess, classes=CLASSES, pixel_size_m=SIZE, widths_m=widths).result()
    judged, distance = (truth >= 0) & (guess >= 0), slow_edge_distance(truth)
    for n, width in enumerate(widths):
        at = judged & (distance <= width)
        t, g = truth[at], guess[at]
        ious = [((t == c) & (g == c)).sum() / ((t == c) | (g == c)).sum() for c in range(CLASSES)]
        assert found.pixels[n] == at.sum()
        assert found.accuracy[n] == pytest.approx((t == g).mean())
        assert found.mean_iou[n] == pytest.approx(np.mean(ious))


def test_confusion_within_a_width() -> None:
    truth, guess = maps((15, 17), 1)
    tally = TrimapTally.of(truth, guess, classes=CLASSES, pixel_size_m=SIZE, widths_m=(10.0, 20.0))
    at = np.where(slow_edge_distance(truth) <= 20, truth, -1)
    np.testing.assert_array_equal(tally.within(20).counts, ConfusionMatrix.of(at, guess, CLASSES).counts)
    np.testing.assert_array_equal(tally.counts.sum(0), ConfusionMatrix.of(truth, guess, CLASSES).counts)
    with pytest.raises(InputError, match="only within"):
        tally.within(30)


def test_a_known_distance_need_not_be_found_again() -> None:
    truth, guess = maps((15, 17))
    given = {"classes": CLASSES, "pixel_size_m": SIZE, "widths_m": (10.0, 20.0)}
    distance = distance_to_class_edge(truth, SIZE, 80)
    found = TrimapTally.of(truth, guess, **given, distance_YX=distance)
    np.testing.assert_array_equal(found.counts, TrimapTally.of(truth, guess, **given).counts)


def test_tolerance() -> None:
    truth, guess = maps((15, 17), 2)
    tolerances = (6.0, 10.0, 22.5)
    found = ToleranceTally.of(truth, guess, classes=CLASSES, pixel_size_m=SIZE, tolerances_m=tolerances).result()
    judged = (truth >= 0) & (guess >= 0)
    for n, tolerance in enumerate((0.0, *tolerances)):
        right = truth == guess
        for y, x in np.argwhere(judged & ~right):
            there = np.argwhere(truth == guess[y, x])
            right[y, x] = len(there) and ground(*(there - (y, x)).T).min() <= tolerance
        assert found.accuracy[n] == pytest.approx(right[judged].mean())
        for c in range(CLASSES):
            of_truth, of_guess = right[judged & (truth == c)], right[judged & (guess == c)]
            assert found.recall[n, c] == pytest.approx(of_truth.mean() if of_truth.size else math.nan, nan_ok=True)
            assert found.precision[n, c] == pytest.approx(of_guess.mean())
    assert found.tolerances_m == (0.0, *tolerances)
    np.testing.assert_allclose(found.balanced_accuracy, found.recall[:, :3].mean(1))


def test_an_edge_displaced_by_the_tolerance_is_forgiven() -> None:
    truth = np.repeat([[0] * 10 + [1] * 10], 3, 0)
    guess = np.repeat([[0] * 12 + [1] * 8], 3, 0)  # two pixels too far
    given = {"classes": 2, "pixel_size_m": (10.0, 10.0)}
    found = ToleranceTally.of(truth, guess, **given, tolerances_m=(4.9, 10, 20)).result()
    np.testing.assert_allclose(found.accuracy, [0.9, 0.9, 0.95, 1])
    np.testing.assert_allclose(found.recall[:, 1], [0.8, 0.8, 0.9, 1])
    np.testing.assert_allclose(found.precision[:, 1], 1)


@pytest.mark.parametrize("block", [4, 11])
def test_blocks_add_up(block: int) -> None:
    truth, guess = maps((19, 23), 3)
    given = {"classes": CLASSES, "pixel_size_m": SIZE}
    rows, cols = reach_px(SIZE, 25)
    trimaps, tolerances = [], []
    for y, x in np.ndindex(-(-truth.shape[0] // block), -(-truth.shape[1] // block)):
        top, left = max(0, y * block - rows), max(0, x * block - cols)
        piece = (slice(y * block, (y + 1) * block), slice(x * block, (x + 1) * block))
        around = truth[top : (y + 1) * block + rows, left : (x + 1) * block + cols]
        start = (y * block - top, x * block - left)
        inner = tuple(slice(s, s + n) for s, n in zip(start, truth[piece].shape, strict=True))
        trimaps.append(TrimapTally.of(around, guess[piece], **given, widths_m=(10, 25), inner=inner))
        tolerances.append(ToleranceTally.of(around, guess[piece], **given, tolerances_m=(10, 25), inner=inner))
    for parts, whole in (
        (trimaps, TrimapTally.of(truth, guess, **given, widths_m=(10, 25))),
        (tolerances, ToleranceTally.of(truth, guess, **given, tolerances_m=(10, 25))),
    ):
        total = parts[0]
        for part in parts[1:]:
            total = total + part
        np.testing.assert_array_equal(total.counts, whole.counts)


def test_empty_and_unfit() -> None:
    void = np.full((3, 4), -1)
    given = {"classes": 2, "pixel_size_m": SIZE}
    assert np.isnan(TrimapTally.of(void, void, **given).result().accuracy).all()
    assert np.isnan(ToleranceTally.of(void, void, **given).result().accuracy).all()
    for tally in (TrimapTally, ToleranceTally):
        with pytest.raises(InputError, match="not one of 2 classes"):
            tally.of(void + 1, void + 3, **given)
    with pytest.raises(InputError, match="rising"):
        TrimapTally.of(void, void, **given, widths_m=(20, 10))
    with pytest.raises(InputError, match="above 0"):
        ToleranceTally.of(void, void, **given, tolerances_m=(0,))
