from __future__ import annotations

import hashlib

import numpy as np
import pytest
from scipy.interpolate import RegularGridInterpolator

from cscl.simulate.build_canopy_lut import NODES, node
from cscl.simulate.canopy import AXES, TABLE_PATH, load_table
from cscl.simulate.crops import BANDS

CHECKSUM = "6eed1be19b7f3c3ca8c89fbf966ae940f48520236b4b49e5faeaf6fb36a56b80"


def test_committed_table_is_the_known_one() -> None:
    assert hashlib.sha256(TABLE_PATH.read_bytes()).hexdigest() == CHECKSUM
    table = load_table()
    assert table.bands == BANDS
    assert table.values.shape == (5, 3, 2, 3, 5, 3, 9, 10)
    assert [len(table.nodes[name]) for name in AXES[1:]] == list(table.values.shape[1:-1])
    assert table.values.min() > 0 and table.values.max() < 0.8


def test_table_is_what_prosail_computes() -> None:
    pytest.importorskip("prosail")
    table, rng = load_table(), np.random.default_rng(0)
    for canopy in range(len(table.canopies)):
        place = [int(rng.integers(len(NODES[name]))) for name in AXES[1:]]
        at = {name: NODES[name][i] for name, i in zip(AXES[1:], place, strict=True)}
        stored = table.values[(canopy, *place)]
        np.testing.assert_allclose(stored, node(table.canopies[canopy], at), rtol=1e-3, err_msg=f"{at}")


def test_interpolation_agrees_with_scipy() -> None:
    table, rng, n = load_table(), np.random.default_rng(1), 200
    sun, dryness, canopy = 37.0, 0.3, 2
    axes = [table.nodes[name] for name in AXES[1:]]
    points = [rng.uniform(a[0], a[-1], n).astype(np.float32) for a in axes[2:]]
    got = table.at(sun, dryness).reflectance(np.full(n, canopy), *points)
    oracle = RegularGridInterpolator(axes, table.values[canopy])
    want = oracle(np.column_stack([np.full(n, sun), np.full(n, dryness), *points]))
    np.testing.assert_allclose(got, want, atol=1e-5)


def test_beyond_the_nodes_the_outermost_holds() -> None:
    day = load_table().at(90.0, 2.0)
    inside, outside = (
        day.reflectance(np.array([0]), *(np.array([v], np.float32) for v in values))
        for values in ((1.5, 68, 1, 6.5), (9, 99, 3, 20))
    )
    np.testing.assert_array_equal(inside, outside)
