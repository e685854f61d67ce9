"""Parcels counted in pieces and as a whole."""

from __future__ import annotations

import numpy as np

from cscl.metrics.parcels import ParcelTally


def test_a_parcel_by_hand() -> None:
    ids = np.array([7, 7, 7, 7, 7, 9, 9, 0, 3, 4])
    truth = np.array([1, 1, 1, 1, 1, 0, 0, 0, -1, 2])
    guess = np.array([1, 1, 2, 0, -1, 1, 0, 0, 1, -1])
    confidence = np.array([1, 0.5, 0.5, 0, np.nan, 0.25, 0.75, 1, 1, np.nan])
    found = ParcelTally.of(ids, truth, guess, confidence, ids != 9, 3).report()
    # 3 is of unknown class; 4 has no prediction; 9 is a tie, which the first class wins.
    np.testing.assert_array_equal(found.parcel_id, [4, 7, 9])
    np.testing.assert_array_equal(found.declared, [2, 1, 0])
    np.testing.assert_array_equal(found.majority, [-1, 1, 0])
    np.testing.assert_array_equal(found.majority_px, [0, 2, 1])
    np.testing.assert_array_equal(found.right_px, [0, 2, 1])
    np.testing.assert_array_equal(found.predicted_px, [0, 4, 2])
    np.testing.assert_array_equal(found.px, [1, 5, 2])
    np.testing.assert_array_equal(found.interior_px, [1, 5, 0])
    np.testing.assert_array_equal(found.confidence, [np.nan, 0.5, 0.5])
    assert (found.share_right, found.share_right_by_area, found.mean_pixel_accuracy) == (1, 1, 0.5)


def test_pieces_add_up() -> None:
    rng = np.random.default_rng(0)
    ids, truth = rng.integers(0, 30, (20, 30)), rng.integers(-1, 4, (20, 30))
    guess, confidence = rng.integers(-1, 4, (20, 30)), rng.random((20, 30), np.float32)
    layers = (ids, truth, guess, confidence, rng.random((20, 30)) < 0.5)
    whole = ParcelTally.of(*layers, 4)
    pieces = [ParcelTally.of(*(layer[y : y + 7, x : x + 11] for layer in layers), 4)
              for y in range(0, 20, 7) for x in range(0, 30, 11)]  # fmt: skip
    for name, value in vars(ParcelTally.merge(pieces)).items():
        np.testing.assert_array_equal(value, getattr(whole, name))
