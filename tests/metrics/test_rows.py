"""Rows of counts against pandas; ids by number against ids."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from cscl.metrics.bootstrap import drawn_units, numbered_units
from cscl.metrics.counts import counted_right, extent, numbered, pairs_counted, small_numbers
from cscl.metrics.rows import EXTREMES, rows_of, summed


@pytest.mark.parametrize("top", [40, 2**31 + 40, 2**40])
def test_sums_are_those_of_pandas(top: int) -> None:
    rng = np.random.default_rng(0)
    pieces = [
        rows_of(
            a=rng.integers(-30, 30, n) + top, b=rng.integers(0, 5, n), px=rng.integers(0, 2**40, n),
            row0=rng.integers(0, 99, n), row1=rng.integers(0, 99, n), length_m=rng.random(n).round(3),
        )
        for n in (0, 50, 200)
    ]  # fmt: skip
    assert [pieces[1][name].dtype for name in ("b", "px")] == [np.int16, np.int64]
    how = {"px": "sum", "row0": "min", "row1": "max", "length_m": "sum"}
    for by in (["a"], ["a", "b"]):
        expected = pd.concat([pd.DataFrame(p) for p in pieces]).groupby(by, as_index=False).agg(how)
        found = summed(pieces, by)
        for name in (*by, *how):
            assert found[name].dtype == (float if name == "length_m" else np.int64)
            np.testing.assert_allclose(found[name], expected[name], rtol=1e-12)
    assert {*EXTREMES} >= {"row0", "row1"} and not len(summed(pieces[:1], ["a"])["px"])


def test_units_by_number_are_those_by_id() -> None:
    rng = np.random.default_rng(1)
    ids = np.array([0, 0, 7, 2**30, 3, 900])[rng.integers(0, 6, (70, 90))].astype(np.int32)
    table, number = small_numbers(ids)
    assert table.tolist() == [0, 3, 7, 900, 2**30] and number.dtype == np.int16 and np.array_equal(table[number], ids)
    for parcels in (ids, None):
        found = numbered_units(None if parcels is None else number, table, ids.shape, (41, 1000), (10.0, 7.5))
        assert np.array_equal(found.ids[found.of], drawn_units(parcels, ids.shape, (41, 1000), (10.0, 7.5)))


def test_pixels_are_counted_by_unit_and_kind() -> None:
    rng = np.random.default_rng(2)
    ids, kind, right = rng.integers(-3, 9, 500) * 5, rng.integers(0, 4, 500), rng.random(500) < 0.5
    expected = (
        pd.DataFrame({"id": ids, "value": kind, "px": 1, "right": right.astype(int)}).groupby(["id", "value"]).sum()
    )
    found = pd.DataFrame(counted_right(numbered(ids), kind, right, 4)).set_index(["id", "value"])
    assert np.array_equal(found.index, expected.index) and np.array_equal(found[["px", "right"]], expected)
    few = pairs_counted(np.array([5, 2**40, 5]), 2**41)
    assert [part.tolist() for part in few] == [[5, 2**40], [2, 1]]


def test_places_of_units() -> None:
    rng = np.random.default_rng(3)
    units, here = np.kron(rng.integers(0, 5, (6, 4)), np.ones((3, 5), int)), rng.random((18, 20)) < 0.8
    rows, cols = np.nonzero(here)
    found = extent(units[here], 5, here, (100, 40))
    for unit in range(5):
        of = units[here] == unit
        for name, at, start in (("row", rows[of], 100), ("col", cols[of], 40)):
            expected = ((at + start).sum(), (at + start).min(), (at + start).max() + 1)
            assert tuple(found[f"{name}{end}"][unit] for end in ("s", 0, 1)) == expected
