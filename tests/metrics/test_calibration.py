"""Calibration against scikit-learn and cases counted by hand."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray
from sklearn.calibration import calibration_curve
from sklearn.metrics import brier_score_loss, log_loss

from cscl.errors import InputError
from cscl.metrics.calibration import STEPS, CalibrationTally
from cscl.metrics.temperature import fit_temperature, scale_temperature

K = 4


def softmax(scores: NDArray[np.float64]) -> NDArray[np.float64]:
    e = np.exp(scores - scores.max(0))
    return np.asarray(e / e.sum(0))


def sample(pixels: int, temperature: float = 1.0, seed: int = 0) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """Truth drawn from probabilities that are right, and these with their scores divided by a temperature."""
    rng = np.random.default_rng(seed)
    scores = rng.normal(0, 2, (K, pixels))
    truth = (rng.random(pixels) > np.cumsum(softmax(scores), 0)).sum(0)
    return softmax(scores / temperature), np.minimum(truth, K - 1)


@pytest.mark.parametrize("bins", [7, 10, 15])
def test_against_scikit_learn(bins: int) -> None:
    p, truth = sample(4000, 0.5)
    p = np.maximum(1, np.rint(p * STEPS))
    p[p.argmax(0), np.arange(4000)] += STEPS - p.sum(0)
    p = p / STEPS  # on the steps, so that both put each pixel into the same bin
    found = CalibrationTally.of(p, truth).result(bins)
    assert found.brier == pytest.approx(brier_score_loss(truth, p.T, scale_by_half=False),
                                        abs=1e-5)  # fmt: skip
    assert found.log_loss == pytest.approx(log_loss(truth, p.T), rel=1e-5)
    right = truth == p.argmax(0)
    assert found.accuracy == right.mean()
    assert found.confidence == pytest.approx(p.max(0).mean())
    for curve, hit, values in [
        (found.curve, right, p.max(0)), *((found.class_curves[k], truth == k, p[k]) for k in range(K)),
    ]:  # fmt: skip
        accuracy, confidence = calibration_curve(hit, values, n_bins=bins)
        np.testing.assert_allclose(curve.accuracy, accuracy)
        np.testing.assert_allclose(curve.confidence, confidence)
        weights = np.histogram(values - 1e-9, np.linspace(0, 1, bins + 1) - 2e-9 * (np.arange(bins + 1) == 0))[0]
        weights = weights[weights > 0]
        np.testing.assert_array_equal(curve.pixels, weights)
        assert curve.expected_error == pytest.approx(np.average(np.abs(accuracy - confidence), weights=weights))
        assert curve.maximum_error == pytest.approx(np.abs(accuracy - confidence).max())
    assert found.class_wise_error == pytest.approx(np.mean([c.expected_error for c in found.class_curves]))


def test_bins_of_equal_mass() -> None:
    rng = np.random.default_rng(2)
    top = rng.permutation(np.arange(12_001, 12_001 + 2 * 1200, 2)) / STEPS  # no two alike
    right = rng.random(1200) < top
    found = CalibrationTally.of(np.stack([top, 1 - top]), np.where(right, 0, 1)).result(12, "mass").curve
    order = np.argsort(top)
    np.testing.assert_array_equal(found.pixels, 100)
    np.testing.assert_allclose(found.confidence, top[order].reshape(12, 100).mean(1))
    np.testing.assert_allclose(found.accuracy, right[order].reshape(12, 100).mean(1))
    alike = CalibrationTally.of(np.full((2, 50), 0.5), np.zeros(50, int)).result(5, "mass").curve
    assert (alike.pixels.tolist(), alike.accuracy.tolist()) == ([50], [1.0])


def test_by_hand() -> None:
    p = np.array([[0.9, 0.9, 0.6, 0.2, np.nan, 0.5], [0.1, 0.1, 0.4, 0.8, np.nan, 0.5]])
    truth = np.array([0, 1, 0, 1, 0, -1])  # the fifth has no prediction, the sixth no truth
    found = CalibrationTally.of(p, truth).result(5)
    np.testing.assert_allclose(found.curve.lower, [0.4, 0.6, 0.8])
    np.testing.assert_allclose(found.curve.upper, [0.6, 0.8, 1.0])
    np.testing.assert_allclose(found.curve.confidence, [0.6, 0.8, 0.9])
    np.testing.assert_allclose(found.curve.accuracy, [1, 1, 0.5])
    assert found.curve.pixels.tolist() == [1, 1, 2]
    assert (found.pixels, found.accuracy, found.confidence) == (4, 0.75, pytest.approx(0.8))
    assert found.expected_error == pytest.approx((0.4 + 0.2 + 2 * 0.4) / 4)
    assert found.maximum_error == pytest.approx(0.4)
    assert found.brier == pytest.approx((2 * 0.01 + 2 * 0.81 + 2 * 0.16 + 2 * 0.04) / 4)
    assert found.log_loss == pytest.approx(-np.log([0.9, 0.1, 0.6, 0.8]).mean(), abs=1e-6)
    # Of the first class: 0.2 (wrong), 0.6 (right), twice 0.9 (one right); the second class is its mirror image.
    assert found.class_curves[0].expected_error == pytest.approx((0.2 + 0.4 + 2 * 0.4) / 4)
    assert found.class_curves[1].pixels.tolist() == [2, 1, 1]
    tie = CalibrationTally.of(np.array([[0.5, 0.5], [0.5, 0.5]]), np.array([0, 1])).result(5)
    assert tie.accuracy == 0.5  # of equally probable classes the first is predicted


@pytest.mark.parametrize("size", [1, 7, 64])
def test_pieces_add_up(size: int, monkeypatch: pytest.MonkeyPatch) -> None:
    p, truth = sample(200)
    p, truth = (
        p.astype(np.float32).reshape(K, 10, 20),
        truth.reshape(10, 20) - (np.arange(200) % 9 == 0).reshape(10, 20),
    )
    p[:, 3, 4] = np.nan
    whole = CalibrationTally.of(p, truth)
    monkeypatch.setattr("cscl.metrics.calibration.PIECE_PX", size)
    pieces = [CalibrationTally.of(p[:, y : y + 3], truth[y : y + 3]) for y in range(0, 10, 3)]
    added = pieces[0] + pieces[1] + pieces[2] + pieces[3]
    for name, value in vars(whole).items():
        np.testing.assert_array_equal(getattr(added, name), value)


def test_a_temperature_is_found_again() -> None:
    for temperature in (0.4, 1.0, 2.5):
        p, truth = sample(20_000, temperature)
        found = fit_temperature(p, truth)
        # Scores that were divided by T are mended by dividing by 1 / T.
        assert found.value == pytest.approx(1 / temperature, rel=0.04)
        assert found.after.log_loss <= found.before.log_loss + 1e-6
        assert found.after.expected_error < 0.015
        assert found.after.accuracy == found.before.accuracy
        assert found.remarks == ()
    assert found.before.expected_error > 0.1


def test_scaling_is_that_of_the_scores() -> None:
    scores = np.random.default_rng(3).normal(0, 2, (K, 5, 6))
    found = scale_temperature(softmax(scores), 1.7)
    np.testing.assert_allclose(found, softmax(scores / 1.7), atol=1e-6)
    np.testing.assert_allclose(scale_temperature(softmax(scores), 1.0), softmax(scores), atol=1e-6)
    gap = softmax(scores)
    gap[:, 0, 0] = np.nan
    assert np.isnan(scale_temperature(gap, 2.0)[:, 0, 0]).all()
    with pytest.raises(InputError, match="above 0"):
        scale_temperature(gap, 0.0)


def test_fits_that_are_not_to_be_trusted() -> None:
    always = fit_temperature(np.array([[0.8, 0.7], [0.2, 0.3]]), np.array([0, 0]))
    assert "every pixel is right" in always.remarks[0]
    never = fit_temperature(np.array([[1.0, 1.0], [0.0, 0.0]]), np.array([1, 1]))
    assert "say nothing" in never.remarks[0] and np.isfinite(never.after.log_loss)
    with pytest.raises(InputError, match="nothing to fit"):
        fit_temperature(np.full((2, 3), 0.5), np.full(3, -1))


def test_what_cannot_be_counted() -> None:
    half = np.full((2, 3), 0.5)
    for p, truth, message in (
        (half * 200, np.zeros(3, int), "stored bytes"), (half - 1, np.zeros(3, int), "scores"),
        (half, np.zeros(4, int), "one grid"), (half, np.full(3, 2), "Class index 2"),
    ):  # fmt: skip
        with pytest.raises(InputError, match=message):
            CalibrationTally.of(p, truth)
    tally = CalibrationTally.of(half, np.full(3, -1))
    assert np.isnan(tally.result().expected_error) and np.isnan(tally.result(5, "mass").brier)
    with pytest.raises(InputError, match="bins"):
        tally.result(10, "height")
