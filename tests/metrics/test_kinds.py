"""Kinds of error against a loop over all pairs of pixels, and small cases by hand."""

from __future__ import annotations

import math

import numpy as np
import pytest

from cscl.metrics.boundary import distance_to_class_edge
from cscl.metrics.kinds import across_edge, error_kinds
from cscl.report.kinds import Kind


def fields(seed: int, void: float) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Blocky truth, a guess that is right, shifted, of a third class or missing, and ids of the blocks."""
    rng = np.random.default_rng(seed)
    square = np.ones((3, 4), int)
    truth = np.kron(rng.integers(0, 4, (4, 4)), square)
    units = np.kron(np.arange(1, 17).reshape(4, 4), square)
    truth = np.where(rng.random(truth.shape) < void, -1, truth)
    guess = np.roll(truth, 1, rng.integers(2))
    guess = np.where(rng.random(truth.shape) < 0.2, rng.integers(-1, 4, truth.shape), guess)
    return truth, guess, np.where(rng.random(truth.shape) < 0.05, 0, units)


def edge_distance(dy: int, dx: int, size: tuple[float, float]) -> float:
    return math.hypot(dy * size[0], dx * size[1]) * (1 - 0.5 / math.hypot(dy, dx))


def slow_kind(truth: np.ndarray, guess: np.ndarray, y: int, x: int, size: tuple[float, float], reach: float) -> Kind:
    if truth[y, x] < 0 or guess[y, x] < 0:
        return Kind.NONE
    if truth[y, x] == guess[y, x]:
        return Kind.RIGHT
    others: dict[int, float] = {}
    for (v, u), value in np.ndenumerate(truth):
        if value != truth[y, x]:
            others[value] = min(others.get(value, math.inf), edge_distance(v - y, u - x, size))
    void = others.pop(-1, math.inf)
    nearest = min(others.values(), default=math.inf)
    if nearest <= reach + 1e-4:
        across = [value for value, distance in others.items() if distance <= nearest + 1e-4]
        return Kind.SHIFTED if guess[y, x] in across else Kind.THIRD
    return Kind.VOID if void <= reach + 1e-4 else Kind.INTERIOR


def slow_unit(
    truth: np.ndarray, guess: np.ndarray, units: np.ndarray, y: int, x: int, size: tuple[float, float], reach: float
) -> int:
    there = np.argwhere((truth >= 0) & (truth != truth[y, x]))
    if truth[y, x] < 0 or not len(there):
        return 0
    distance = [edge_distance(v - y, u - x, size) for v, u in there]
    if min(distance) > reach + 1e-4:
        return 0
    tied = [(v, u) for (v, u), d in zip(there, distance, strict=True) if d <= min(distance) + 1e-4 and units[v, u]]
    kin = [p for p in tied if truth[p] == guess[y, x]]
    return min((units[p] for p in kin or tied), default=0)


@pytest.mark.parametrize("size", [(10.0, 10.0), (10.0, 7.5), (3.0, 20.0)])
@pytest.mark.parametrize("reach", [4.0, 20.0, 45.0])
@pytest.mark.parametrize("void", [0.0, 0.15, 0.9])
def test_kinds_and_units_across(size: tuple[float, float], reach: float, void: float) -> None:
    truth, guess, units = fields(7, void)
    kinds = error_kinds(truth, guess, size, reach)
    distance = distance_to_class_edge(truth, size, 60.0)
    swapped, across = across_edge(truth, guess, distance, size, reach, units)
    assert np.array_equal(kinds, error_kinds(truth, guess, size, reach, distance_YX=distance, swapped_YX=swapped))
    for y, x in np.ndindex(truth.shape):
        assert kinds[y, x] == slow_kind(truth, guess, y, x, size, reach), (y, x)
        assert across[y, x] == slow_unit(truth, guess, units, y, x, size, reach), (y, x)


def test_every_kind_occurs_in_the_oracle_case() -> None:
    truth, guess, _ = fields(7, 0.15)
    assert set(np.unique(error_kinds(truth, guess, (10.0, 10.0), 4.0))) >= {0, 1}
    assert set(np.unique(error_kinds(truth, guess, (10.0, 10.0), 5.0))) == set(Kind) - {Kind.PARCEL}


def test_a_tie_counts_for_each_class() -> None:
    truth = np.array([[1, 0, 2]])
    for guess, kind in ((1, Kind.SHIFTED), (2, Kind.SHIFTED), (3, Kind.THIRD), (0, Kind.RIGHT)):
        assert error_kinds(truth, np.array([[1, guess, 2]]), (10, 10), 20)[0, 1] == kind


def test_a_class_edge_goes_before_void_and_the_border_is_neither() -> None:
    row = np.array([[-1, 0, 0, 0, 0, 0, 0, 0, 0, 1]])
    kinds = error_kinds(row, np.full(row.shape, 2), (10, 10), 20)
    assert kinds.tolist() == [[0, 5, 5, 2, 2, 2, 2, 4, 4, 4]]
    both = error_kinds(np.array([[-1, 0, 1]]), np.array([[2, 2, 1]]), (10, 10), 20)
    assert both.tolist() == [[0, 4, 1]]


def test_kinds_have_words() -> None:
    assert all(kind.title and kind.meaning.endswith(".") for kind in Kind)
