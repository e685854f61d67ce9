"""Intervals against SciPy's, against known truth, and against the figures of a confusion matrix."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import sparse, stats

from cscl.metrics.bootstrap import Resampling, confusion_figures, confusion_intervals, intervals, ratio_intervals
from cscl.metrics.confusion import ConfusionMatrix


def parcels(rng: np.random.Generator, units: int) -> tuple[np.ndarray, np.ndarray]:
    """Right pixels and pixels of parcels of unequal size; one in ten is all but wholly wrong. The truth is 0.878."""
    px = rng.integers(50, 150, units)
    return rng.binomial(px, np.where(rng.random(units) < 0.1, 0.05, 0.97)), px


def test_as_scipy_has_it() -> None:
    right, px = parcels(np.random.default_rng(0), 60)
    ours = ratio_intervals(right[:, None], px[:, None], Resampling(20_000))
    theirs = stats.bootstrap(
        (right, px), lambda r, n, axis=-1: r.sum(axis) / n.sum(axis), paired=True, n_resamples=20_000, vectorized=True,
        method="BCa", rng=np.random.default_rng(1),
    ).confidence_interval  # fmt: skip
    assert ours.estimate[0] == right.sum() / px.sum() and ours.units[0] == 60
    assert (ours.low[0], ours.high[0]) == pytest.approx(tuple(theirs), abs=0.004)


def test_coverage() -> None:
    """95 % intervals over 100 parcels hold the truth in more than 90 % of scenes; those over pixels in half of them."""
    rng, scenes, truth = np.random.default_rng(2), 300, 0.9 * 0.97 + 0.1 * 0.05
    held = held_by_pixels = 0
    for scene in range(scenes):
        right, px = parcels(rng, 100)
        found = ratio_intervals(right[:, None], px[:, None], Resampling(400, seed=scene))
        held += bool(found.low[0] <= truth <= found.high[0])
        share = right.sum() / px.sum()
        held_by_pixels += abs(share - truth) < 1.96 * np.sqrt(share * (1 - share) / px.sum())
    assert 0.9 < held / scenes < 0.99 and held_by_pixels / scenes < 0.5


def test_sparse_counts_and_chunks_change_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(3)
    counts = rng.poisson(1, (40, 9)) * rng.integers(0, 2, (40, 9))
    whole = confusion_intervals(counts, 3)
    some = confusion_intervals(sparse.csr_array(counts), 3)
    monkeypatch.setattr("cscl.metrics.bootstrap.AT_ONCE", 77)
    cut = confusion_intervals(sparse.csr_array(counts), 3)
    for name in ("estimate", "low", "high", "units"):
        assert np.allclose(getattr(whole, name), getattr(some, name))
    assert np.allclose(cut.estimate, whole.estimate) and np.allclose(cut.low, whole.low, atol=0.05)
    assert not np.array_equal(whole.low, confusion_intervals(counts, 3, Resampling(seed=1)).low)


def test_figures_of_a_confusion_matrix() -> None:
    rng = np.random.default_rng(4)
    counts = rng.integers(0, 9, (30, 16))
    counts[:, 12:], counts[:, 3::4] = 0, 0  # class 3 does not occur
    counts[3:, 8:12] = 0  # class 2 grows in three parcels only
    counts[:3, 8:12] += 1
    matrix = ConfusionMatrix(np.pad(counts.sum(0).reshape(4, 4), [(0, 0), (0, 1)]))
    found = confusion_intervals(counts, 4)
    wanted = [matrix.overall_accuracy, matrix.mean_iou, *matrix.recall, *matrix.precision, *matrix.iou]
    assert np.allclose(found.estimate, wanted, equal_nan=True)
    assert np.allclose(confusion_figures(counts.sum(0), 4), wanted, equal_nan=True)
    assert found.units[[0, 1, 2, 4, 5]].tolist() == [30, 30, 30, 3, 0]
    inside = (found.low < found.estimate) & (found.estimate < found.high)
    assert inside[[0, 1, 2, 3, 6, 10]].all() and np.isnan(found.low[[4, 5, 9, 13]]).all()


def test_few_units_get_words_and_no_interval() -> None:
    right, px = np.array([[5]] * 9), np.array([[10]] * 9)
    found = ratio_intervals(right, px)
    assert found.estimate[0] == 0.5 and np.isnan(found.low[0]) and np.isnan(found.high[0])
    assert found.in_words(0) == "50.0% (9 parcels: too few for an interval)"
    more = ratio_intervals(np.r_[right, right], np.r_[px, px], Resampling(level=0.9))
    assert more.in_words(0, "block") == "50.0% (90% interval 50.0% to 50.0%; 18 blocks)"
    assert "not defined" in ratio_intervals(right * 0, px * 0).in_words(0)


def test_units_without_a_part_are_not_drawn() -> None:
    right, px = parcels(np.random.default_rng(5), 30)
    alone = ratio_intervals(right[:, None], px[:, None])
    among = ratio_intervals(*(np.insert(a, 10, np.zeros(500, int))[:, None] for a in (right, px)))
    assert (alone.low, alone.high, alone.units) == (among.low, among.high, among.units)


def test_any_figure_of_sums() -> None:
    right, px = parcels(np.random.default_rng(6), 50)
    odds = intervals(np.stack([right, px - right], 1), lambda s: s[..., :1] / s[..., 1:], np.array([[True, True]]))
    share = ratio_intervals(right[:, None], px[:, None])
    assert odds.low[0] == pytest.approx(share.low[0] / (1 - share.low[0]), rel=0.02)  # BCa goes along with the figure


def test_very_many_units_are_drawn_in_groups(monkeypatch: pytest.MonkeyPatch) -> None:
    """The ends stay where they are, up to the chance of the draws: 1000 of them place an end to 3 % of the width."""
    rng = np.random.default_rng(5)
    px = rng.geometric(0.02, (9000, 1))
    right = rng.binomial(px, rng.beta(4, 1, px.shape))
    grouped = ratio_intervals(right, px)
    monkeypatch.setattr("cscl.metrics.bootstrap.MOST_DRAWN", 10**6)
    single = ratio_intervals(right, px)
    width = (single.high - single.low).item()
    assert grouped.estimate == single.estimate and grouped.units == single.units == 9000
    assert (grouped.low.item(), grouped.high.item()) == (
        pytest.approx(single.low.item(), abs=0.15 * width), pytest.approx(single.high.item(), abs=0.15 * width),
    )  # fmt: skip
