"""Displacement and bleed depth on edges whose shift is known, and lengths against geometry and a loop over pixels."""

from __future__ import annotations

import math

import numpy as np
import pandas as pd
import pytest

from cscl.metrics.boundary import distance_to_class_edge
from cscl.metrics.displacement import EDGE_MARGIN_PX, STEPS, _weights_m, bleed_depth, edge_lengths, signed_displacement
from cscl.metrics.kinds import across_edge, error_kinds

REACH_M = 40.0


def ground(n: int, size: tuple[float, float]) -> tuple[np.ndarray, np.ndarray]:
    y, x = np.mgrid[:n, :n] + 0.5
    return (y - n / 2) * size[0], (x - n / 2) * size[1]


def measured(truth: np.ndarray, guess: np.ndarray, size: tuple[float, float]) -> tuple[float, float, float, float]:
    """Length, mean signed and mean absolute displacement, greatest depth, of two classes that are units a=1 and b=2."""
    units = truth + 1
    distance = distance_to_class_edge(truth, size, REACH_M)
    swapped, across = across_edge(truth, guess, distance, size, REACH_M, units)
    kinds = error_kinds(truth, guess, size, REACH_M, distance_YX=distance, swapped_YX=swapped)
    moved = signed_displacement(kinds, distance, units, across, size)
    length = edge_lengths(truth, units, None, size)["edge_m"].sum()
    signs, area = np.sign(moved[~np.isnan(moved)]), size[0] * size[1]
    return length, signs.sum() * area / length, len(signs) * area / length, float(np.nanmax(np.abs(moved), initial=0.0))


@pytest.mark.parametrize("size", [(10.0, 10.0), (10.0, 7.5)])
@pytest.mark.parametrize("angle", [0, 22.5, 40, 90, 118])
@pytest.mark.parametrize("shift", [3.0, 27.0, -14.0])
def test_straight_edges(angle: float, shift: float, size: tuple[float, float]) -> None:
    """Known land is a disc, so that edges of all directions have the same length; a lies before b along the normal."""
    y, x = ground(140, size)
    along = y * math.cos(math.radians(angle)) + x * math.sin(math.radians(angle))
    lengths, means = [], []
    across_m = size[1] if angle == 90 else size[0]
    for off in (np.arange(10) + 0.5) * across_m / 10:  # where the edge lies between the centres of pixels
        disc = np.hypot(y, x) < 500
        truth = np.where(disc, along > off, -1)
        length, mean, absolute, depth = measured(truth, (along > off + shift).astype(int), size)
        lengths.append(length)
        means.append(mean)
        assert absolute == pytest.approx(abs(mean))  # it has moved one way only
        assert depth == pytest.approx(abs(shift), abs=max(size) + 0.1)
    assert np.mean(lengths) == pytest.approx(1000, rel=0.03 if size[0] == size[1] else 0.045)
    assert np.mean(means) == pytest.approx(shift, abs=0.05 * abs(shift) + 0.1)


def test_curved_edges_of_either_sign() -> None:
    """A disc that has grown by s has gained pi ((r + s)^2 - r^2) of land along 2 pi r of edge."""
    y, x = ground(130, (10.0, 10.0))
    for shift in (25.0, 5.0, -18.0):
        means = []
        for off in (0.0, 2.5, 5.0, 7.5):
            r = np.hypot(y - off, x - 0.6 * off)
            length, mean, _, depth = measured((r > 500).astype(int), (r > 500 + shift).astype(int), (10.0, 10.0))
            assert length == pytest.approx(2 * math.pi * 500, rel=0.015)
            assert depth == pytest.approx(abs(shift), abs=10)
            means.append(mean)
        assert np.mean(means) == pytest.approx(shift + shift**2 / 1000, rel=0.05)


def test_what_went_and_came_back() -> None:
    """Half of an edge moves by 10 m one way, half by 20 m the other way."""
    truth = np.repeat(np.arange(2), 30)[:, None].repeat(100, 1)
    guess = truth.copy()
    guess[30, :50], guess[28:30, 50:] = 0, 1
    length, mean, absolute, depth = measured(truth, guess, (10.0, 10.0))
    assert length == pytest.approx(1000, rel=0.03)
    assert (mean * length, absolute * length, depth) == (pytest.approx(-5000), pytest.approx(15000), 20.0)


def scattered(seed: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    square = np.ones((3, 4), int)
    truth = np.where(rng.random((15, 20)) < 0.1, -1, np.kron(rng.integers(0, 3, (5, 5)), square))
    units = np.where(rng.random((15, 20)) < 0.1, 0, np.kron(rng.permutation(25).reshape(5, 5) * 7 + 3, square))
    return truth, units, rng.random((15, 20)) < 0.6


def slow_closed(truth: np.ndarray, units: np.ndarray, judged: np.ndarray) -> list[np.ndarray]:
    """Unknown pixels go to the unit that they share a side with: below, else right, left, above."""
    known, layers = (
        (truth >= 0) & (units > 0),
        [layer.copy() for layer in (truth, np.where(truth >= 0, units, 0), judged)],
    )
    for y, x in np.argwhere(~known):
        for v, u in ((y + 1, x), (y, x + 1), (y, x - 1), (y - 1, x)):
            if 0 <= v < truth.shape[0] and 0 <= u < truth.shape[1] and known[v, u]:
                for layer, source in zip(layers, (truth, units, judged), strict=True):
                    layer[y, x] = source[v, u]
                break
    return layers


def slow_lengths(truth: np.ndarray, units: np.ndarray, judged: np.ndarray) -> dict[tuple[int, int], float]:
    truth, units, judged = slow_closed(truth, units, judged)
    found: dict[tuple[int, int], float] = {}
    for y, x in np.ndindex(truth.shape):
        for (dy, dx), weight in zip(STEPS, _weights_m((10.0, 10.0)), strict=True):
            v, u = y + dy, x + dx
            if v >= truth.shape[0] or not 0 <= u < truth.shape[1] or truth[y, x] == truth[v, u]:
                continue
            passed = [(y + a, x + b) for a in range(dy + 1) for b in range(min(dx, 0), max(dx, 0) + 1)]
            passed = [
                at for at in passed if abs(math.dist(at, (y + dy / 2, x + dx / 2)) - math.hypot(dy, dx) / 2) > 0.1
            ]
            if min(units[y, x], units[v, u]) > 0 and (not passed or any(units[at] > 0 for at in passed)):
                pair = (min(units[y, x], units[v, u]), max(units[y, x], units[v, u]))
                found[pair] = found.get(pair, 0) + weight * (int(judged[y, x]) + int(judged[v, u])) / 2
    return {pair: metres for pair, metres in found.items() if metres}


def test_lengths_against_a_loop_and_in_pieces() -> None:
    truth, units, judged = scattered(3)
    whole = edge_lengths(truth, units, judged, (10.0, 10.0)).set_index(["a", "b"])["edge_m"]
    assert {pair: value for pair, value in whole.items() if value} == pytest.approx(slow_lengths(truth, units, judged))
    pieces = []
    for y in range(0, 15, 4):
        for x in range(0, 20, 7):
            top, left = max(0, y - EDGE_MARGIN_PX), max(0, x - EDGE_MARGIN_PX)
            seen = slice(top, y + 4 + EDGE_MARGIN_PX), slice(left, x + 7 + EDGE_MARGIN_PX)
            inner = slice(y - top, y - top + 4), slice(x - left, x - left + 7)
            pieces.append(edge_lengths(truth[seen], units[seen], judged[seen], (10.0, 10.0), inner))
    added = pd.concat(pieces).groupby(["a", "b"])["edge_m"].sum()
    pd.testing.assert_series_equal(added[added > 0], whole[whole > 0])


@pytest.mark.parametrize("size", [(10.0, 10.0), (10.0, 7.5), (3.0, 20.0)])
def test_bleed_depth_is_the_way_between_centres(size: tuple[float, float]) -> None:
    truth = scattered(5)[0]
    distance = distance_to_class_edge(truth, size, 60.0)
    there = np.isfinite(distance)
    depth = np.full(truth.shape, np.nan)
    depth[there] = bleed_depth(distance[there], size)
    for y, x in np.argwhere(there):
        others = np.argwhere((truth >= 0) & (truth != truth[y, x])) - (y, x)
        way = np.hypot(*(others * size).T)
        near = way * (1 - 0.5 / np.hypot(*others.T))
        assert np.abs(way[near < near.min() + 1e-3] - depth[y, x]).min() < 1e-3


def test_gaps_of_up_to_two_pixels_are_closed() -> None:
    for gap, expected_m in ((0, 500), (1, 500), (2, 500), (3, 0), (6, 0)):
        truth = np.repeat([0, -1, 1], [20, gap, 20])[:, None].repeat(50, 1)
        for layer in (truth, truth.T):
            length = edge_lengths(layer, layer + 1, None, (10.0, 10.0))["edge_m"].sum()
            assert length == pytest.approx(expected_m, rel=0.04)
    y, x = ground(140, (10.0, 10.0))
    along = 0.8 * y + 0.6 * x
    truth = np.where((np.abs(along) < 8) | (np.hypot(y, x) > 500), -1, along > 0)  # a ditch of 16 m
    assert edge_lengths(truth, truth + 1, None, (10.0, 10.0))["edge_m"].sum() == pytest.approx(1000, rel=0.05)


def test_nothing_to_measure() -> None:
    none = np.zeros((0, 0), int)
    assert edge_lengths(none, none, None, (10.0, 10.0)).empty
    assert edge_lengths(np.zeros((1, 1), int), np.ones((1, 1), int), None, (10.0, 10.0)).empty
    assert bleed_depth(np.zeros(0, np.float32), (10.0, 10.0)).shape == (0,)
