"""Accuracy of pure and mixed pixels, counted by hand."""

from __future__ import annotations

import numpy as np
import pytest

from cscl.metrics.purity import purity_part, purity_tally


def test_pixels_are_told_apart_by_coverage_and_distance() -> None:
    coverage = np.array([1.0, 1.0, 0.95, 0.9, 0.6, 0.2, 1 - 1e-7], np.float32)
    bins = np.array([0, 1, 0, 1, 0, 0, 1], np.uint8)
    right = np.array([1, 1, 0, 1, 1, 0, 0], bool)
    drawn = np.array([1, 1, 2, 2, 3, 3, 3])
    pieces = [purity_tally(coverage[at], bins[at], right[at], drawn[at], 2) for at in (slice(0, 4), slice(4, None))]
    part = purity_part(pieces[0] + pieces[1], (10.0,))
    by_coverage, by_distance = part.tables["by_coverage"], part.tables["by_distance"]
    assert by_coverage["pixels"].tolist() == [1, 1, 0, 2, 3]
    assert by_coverage["right"].tolist() == [0, 1, 0, 1, 2]
    assert by_distance.query("coverage_from == 1")["pixels"].tolist() == [1, 2]
    assert by_distance["pixels"].sum() == 7
    assert part["share_mixed"] == pytest.approx(4 / 7)
    assert part["pure_share_right"] == pytest.approx(2 / 3)
    assert part["mixed_share_right"] == pytest.approx(2 / 4)
    assert part["mixed_nearest_share_right"] == pytest.approx(1 / 3)
    assert by_coverage["low"].isna().all()  # three parcels are too few for intervals
