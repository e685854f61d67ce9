"""Mixed pixels against shapely, pixel by pixel; regions against one labelling of the whole."""

from __future__ import annotations

import numpy as np
import pytest
import shapely
from scipy import ndimage

from cscl.metrics import mixed
from cscl.metrics.mixed import crossed_pixels
from cscl.metrics.regions import class_regions


@pytest.mark.parametrize("pieces", [2**20, 7])
def test_crossed_pixels(pieces: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mixed, "PIECES", pieces)
    rng = np.random.default_rng(3)
    lines = rng.uniform(-6, 20, (40, 2, 2))
    lines[:6, 1] = lines[:6, 0] + rng.uniform(-0.3, 0.3, (6, 2))  # shorter than a pixel
    lines[6:12] = np.round(lines[6:12])  # from corner to corner
    lines[12:16, :, 0] = np.round(lines[12:16, :1, 0])  # along the borders of columns
    found = crossed_pixels(lines, (12, 14))
    drawn = shapely.union_all(shapely.linestrings(lines))
    for row, col in np.ndindex(12, 14):
        inside = shapely.box(col, row, col + 1, row + 1).buffer(-1e-7, join_style="mitre")
        assert found[row, col] == drawn.intersects(inside), (row, col)


def test_lines_along_borders_and_corners_cross_nothing() -> None:
    square = np.array([[[2, 2], [5, 2]], [[5, 2], [5, 5]], [[5, 5], [2, 5]], [[2, 5], [2, 2]]], float)
    assert not crossed_pixels(square, (8, 8)).any()
    assert not crossed_pixels(np.zeros((0, 2, 2)), (8, 8)).any()
    diagonal = crossed_pixels(np.array([[[0, 0], [3, 3]]], float), (4, 4))
    assert np.array_equal(diagonal, np.diag([True, True, True, False]))


@pytest.mark.parametrize("strip_px", [1, 4, 100])
def test_regions(strip_px: int) -> None:
    ids = np.random.default_rng(5).choice([0, 3, 255], (23, 17), p=[0.55, 0.35, 0.1]).astype(np.uint8)
    found = class_regions(ids, 255, strip_px)
    assert np.array_equal(found == 0, ids == 255)
    number = sum(ndimage.label(ids == value)[1] for value in (0, 3))
    assert sorted(np.unique(found)) == list(range(number + 1))
    for value in (0, 3):
        truth, count = ndimage.label(ids == value)
        assert all(len(np.unique(found[truth == i])) == 1 for i in range(1, count + 1))
    first = [int(np.flatnonzero(found.ravel() == i)[0]) for i in range(1, number + 1)]
    assert first == sorted(first)
