"""Boundaries and distances against slow loops over all pairs of pixels."""

from __future__ import annotations

import math

import numpy as np
import pytest

from cscl.metrics.boundary import (
    by_distance,
    class_boundary,
    distance_to_class_edge,
    distance_to_parcel_edge,
    parcel_boundary,
    reach_px,
)

EXAMPLE = np.array([[0, 0, 1, 1], [0, 0, 1, 1], [2, 2, 1, -1], [2, 2, -1, -1]])


def mask(text: str) -> np.ndarray:
    return np.array([[c == "1" for c in row] for row in text.split("/")])


def fields(shape: tuple[int, int], seed: int, void: int) -> np.ndarray:
    """Blocky labels 0..3 with scattered and clustered pixels of value `void`."""
    rng = np.random.default_rng(seed)
    labels = np.kron(rng.integers(1, 5, (-(-shape[0] // 3), -(-shape[1] // 4))), np.ones((3, 4), int))
    labels = labels[: shape[0], : shape[1]]
    return np.where(rng.random(shape) < 0.15, void, labels)


def slow_boundary(values: np.ndarray, known: np.ndarray, n: int) -> np.ndarray:
    out = np.zeros(values.shape, bool)
    for y, x in np.argwhere(known):
        window = (slice(max(0, y - n), y + n + 1), slice(max(0, x - n), x + n + 1))
        out[y, x] = len(set(values[window][known[window]])) > 1
    return out


def slow_distance(values: np.ndarray, known: np.ndarray, size: tuple[float, float], most: float) -> np.ndarray:
    out = np.full(values.shape, np.nan)
    for y, x in np.argwhere(known):
        others = np.argwhere(known & (values != values[y, x])) - (y, x)
        ground = [math.hypot(dy * size[0], dx * size[1]) * (1 - 0.5 / math.hypot(dy, dx)) for dy, dx in others]
        nearest = min(ground, default=math.inf)
        out[y, x] = nearest if nearest <= most else math.inf
    return out


def test_class_boundary_of_the_example() -> None:
    void_as_class = np.where(EXAMPLE < 0, 3, EXAMPLE)
    np.testing.assert_array_equal(class_boundary(void_as_class), mask("0110/1111/1111/0111"))
    np.testing.assert_array_equal(class_boundary(EXAMPLE, void_counts=True), mask("0110/1111/1110/0100"))
    np.testing.assert_array_equal(class_boundary(EXAMPLE), mask("0110/1110/1110/0100"))


@pytest.mark.parametrize("dtype", [np.int16, np.int64])
def test_class_boundary(dtype: type) -> None:
    labels = fields((17, 22), 1, -1).astype(dtype)
    np.testing.assert_array_equal(class_boundary(labels), slow_boundary(labels, labels >= 0, 1))
    published = slow_boundary(labels, np.ones_like(labels, bool), 1) & (labels >= 0)
    np.testing.assert_array_equal(class_boundary(labels, void_counts=True), published)


def test_void_and_border_make_no_edge() -> None:
    alone = np.full((5, 6), -1)
    alone[:, :3] = 2
    assert not class_boundary(alone).any()
    assert class_boundary(alone, void_counts=True).sum() == 5
    assert np.isinf(distance_to_class_edge(alone, (10, 10), 40)[:, :3]).all()


@pytest.mark.parametrize("n_px", [1, 2, 3])
def test_parcel_boundary(n_px: int) -> None:
    ids = fields((17, 22), 2, 0).astype(np.int32)
    np.testing.assert_array_equal(parcel_boundary(ids, n_px), slow_boundary(ids, ids > 0, n_px))


@pytest.mark.parametrize("size", [(10.0, 10.0), (10.0, 7.5), (3.0, 20.0)])
@pytest.mark.parametrize("most", [10.0, 45.0])
@pytest.mark.parametrize("share_void", ["scattered", "mostly"])
def test_distance(size: tuple[float, float], most: float, share_void: str) -> None:
    labels = fields((19, 23), 3, -1)
    if share_void == "mostly":
        labels[np.random.default_rng(4).random(labels.shape) < 0.8] = -1
    found = distance_to_class_edge(labels, size, most)
    np.testing.assert_allclose(found, slow_distance(labels, labels >= 0, size, most), rtol=1e-6)
    ids = (labels + 1).astype(np.int32)
    np.testing.assert_allclose(distance_to_parcel_edge(ids, size, most), found)


def test_strips_of_rows_do_not_show() -> None:
    for edge in range(110, 148):  # the first strip ends at row 128
        across = (np.arange(150) >= edge).astype(int)[None]
        expected = distance_to_class_edge(across, (10, 10), 95).T
        np.testing.assert_array_equal(distance_to_class_edge(across.T, (10, 10), 95), expected)


def test_distance_is_half_a_pixel_short_of_the_centre() -> None:
    row = np.array([[0, 0, 0, -1, 1]])
    np.testing.assert_allclose(distance_to_class_edge(row, (10, 10), 80), [[35, 25, 15, np.nan, 15]])
    diagonal = np.array([[0, -1], [-1, 1]])
    assert distance_to_class_edge(diagonal, (10, 10), 80)[0, 0] == pytest.approx((math.sqrt(2) - 0.5) * 10)


def test_reach_suffices_and_is_needed() -> None:
    row = np.array([[0] * 9 + [1]])
    assert reach_px((10, 10), 85) == (9, 9) and reach_px((10, 10), 84.9) == (8, 8)
    assert distance_to_class_edge(row, (10, 10), 85)[0, 0] == 85
    assert distance_to_class_edge(row, (10, 10), 84.9)[0, 0] == math.inf


def test_curve() -> None:
    distance = np.array([[5, 10, 10.5, 30], [30.5, math.inf, math.nan, 20]], np.float32)
    right = np.array([[True, False, True, True], [False, True, True, False]])
    pixels, correct = by_distance(distance, right, (10, 20, 30))
    np.testing.assert_array_equal(pixels, [2, 2, 1, 2])
    np.testing.assert_array_equal(correct, [1, 1, 1, 1])
