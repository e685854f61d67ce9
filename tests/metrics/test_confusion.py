"""Figures of the confusion matrix against scikit-learn, and what they do when they are not defined."""

from __future__ import annotations

import warnings

import numpy as np
import pytest
from sklearn import metrics as oracle

from cscl.errors import InputError
from cscl.legend import Legend
from cscl.metrics.confusion import ConfusionMatrix, accuracy_report


@pytest.fixture
def pairs() -> tuple[np.ndarray, np.ndarray]:
    """Truth with unknown pixels and without class 3, prediction with all classes and some right by design."""
    rng = np.random.default_rng(0)
    truth = rng.choice([-1, 0, 1, 2, 4], (40, 50), p=[0.2, 0.5, 0.2, 0.05, 0.05])
    return truth, np.where(rng.random(truth.shape) < 0.6, np.maximum(truth, 0), rng.integers(0, 5, truth.shape))


def test_figures(pairs: tuple[np.ndarray, np.ndarray]) -> None:
    matrix = ConfusionMatrix.of(*pairs, 6)
    known = pairs[0] >= 0
    t, p = pairs[0][known], pairs[1][known]
    np.testing.assert_array_equal(matrix.square, oracle.confusion_matrix(t, p, labels=range(6)))
    assert matrix.overall_accuracy == pytest.approx(oracle.accuracy_score(t, p))
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "y_pred contains classes not in y_true")
        assert matrix.balanced_accuracy == pytest.approx(oracle.balanced_accuracy_score(t, p))
    assert matrix.kappa == pytest.approx(oracle.cohen_kappa_score(t, p))
    assert matrix.macro_f1 == pytest.approx(oracle.f1_score(t, p, average="macro"))
    assert matrix.mean_iou == pytest.approx(oracle.jaccard_score(t, p, average="macro"))
    precision, recall, f1, _ = oracle.precision_recall_fscore_support(t, p, labels=range(6), zero_division=np.nan)
    np.testing.assert_allclose(matrix.precision, precision)
    np.testing.assert_allclose(matrix.recall, recall)
    np.testing.assert_allclose(matrix.f1[:5], f1[:5])
    assert np.isnan(matrix.f1[5]) and np.isnan(matrix.iou[5])
    assert np.isnan(matrix.recall[3]) and matrix.precision[3] == 0


def test_pieces_add_up(pairs: tuple[np.ndarray, np.ndarray]) -> None:
    whole = ConfusionMatrix.of(*pairs, 5)
    halves = [ConfusionMatrix.of(t, p, 5) for t, p in zip(*(np.split(a, 2) for a in pairs), strict=True)]
    np.testing.assert_array_equal((ConfusionMatrix.empty(5) + halves[0] + halves[1]).counts, whole.counts)


def test_no_prediction_is_shown_but_not_scored() -> None:
    matrix = ConfusionMatrix.of(np.array([0, 0, 1, -1]), np.array([0, -1, 1, -1]), 2)
    np.testing.assert_array_equal(matrix.counts, [[1, 0, 1], [0, 1, 0]])
    assert matrix.pixels == 2 and matrix.overall_accuracy == 1
    report = accuracy_report(matrix, Legend.from_codes(["rye", "oat"]), "all known pixels")
    assert [(s.truth_px, s.predicted_px, s.no_prediction_px) for s in report.classes] == [(2, 1, 1), (1, 1, 0)]
    assert "1 pixels of 'all known pixels' have no prediction" in report.remarks[0]


def test_nothing_to_count_is_undefined_and_said() -> None:
    report = accuracy_report(ConfusionMatrix.empty(2), Legend.from_codes([1, 2]), "class boundary")
    figures = [report.overall_accuracy, report.balanced_accuracy, report.kappa, report.mean_iou, report.macro_f1]
    assert np.isnan(figures).all()
    assert report.pixels == 0 and "'class boundary'" in report.remarks[0]


def test_absent_classes_are_listed_and_counted() -> None:
    report = accuracy_report(
        ConfusionMatrix.of(np.zeros(3, int), np.array([0, 0, 1]), 4), Legend.from_codes("abcd"), "x"
    )
    assert [s.absent for s in report.classes] == [False, False, True, True]
    assert report.mean_iou == pytest.approx((2 / 3 + 0) / 2)
    assert report.remarks[0].startswith("2 of 4 classes")


def test_one_class_has_no_kappa() -> None:
    matrix = ConfusionMatrix.of(np.zeros(5, int), np.zeros(5, int), 2)
    assert matrix.overall_accuracy == 1 and np.isnan(matrix.kappa)


@pytest.mark.parametrize(("truth", "guess"), [([0, 2], [0, 0]), ([0, 0], [0, 2]), ([0, 0, 0], [0, 0])])
def test_refuses_what_does_not_fit(truth: list[int], guess: list[int]) -> None:
    with pytest.raises(InputError):
        ConfusionMatrix.of(np.array(truth), np.array(guess), 2)
