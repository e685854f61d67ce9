"""Accuracy by class and distance, by pair and by size against loops over pixels; intervals against the bootstrap."""

from __future__ import annotations

import math
from collections import Counter
from types import SimpleNamespace

import numpy as np
import pytest

from cscl.errors import InputError
from cscl.grid import tiles
from cscl.legend import Legend
from cscl.metrics.bootstrap import drawn_units, ratio_intervals
from cscl.metrics.boundary import distance_to_class_edge
from cscl.metrics.counts import Numbered, numbered
from cscl.metrics.kinds import across_edge, error_kinds
from cscl.metrics.regions import class_regions
from cscl.metrics.strata import StrataTally, unit_sizes

LEGEND = Legend.from_codes(["GRA", "MAI", "WWH", "RAP"])
LIMITS, REACH, SIZE = (10.0, 30.0), 20.0, (10.0, 10.0)
SEEN = tuple[SimpleNamespace, np.ndarray, np.ndarray]


def maps(seed: int = 0) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Truth, prediction and parcels of 8 x 8 and 4 x 4 pixels; some land is in no parcel, some unknown."""
    rng = np.random.default_rng(seed)
    parcels = np.kron(1 + np.arange(64).reshape(8, 8), np.ones((8, 8), int))
    parcels[:24] = np.kron(100 + np.arange(96).reshape(6, 16), np.ones((4, 4), int))
    truth = rng.integers(0, 3, 200)[parcels]
    guess = np.where(rng.random(truth.shape) < 0.2, rng.integers(0, 4, truth.shape), np.roll(truth, 1, 0))
    guess[rng.random(truth.shape) < 0.03] = -1
    parcels[60:] = 0
    truth[:5, 40:] = -1
    return truth, guess, parcels


def pieces(truth: np.ndarray, guess: np.ndarray, units: np.ndarray, block: int, known: bool = True) -> list[SEEN]:
    found = []
    for window in tiles(truth.shape, block):
        seen = window.grown(4, truth.shape)
        inner, t, g, u = window.within(seen).slices, *(a[seen.slices] for a in (truth, guess, units))
        edge_m = distance_to_class_edge(t, SIZE, 40.0)
        swapped, across = across_edge(t, g, edge_m, SIZE, REACH, u)
        kinds = error_kinds(t, g, SIZE, REACH, distance_YX=edge_m, swapped_YX=swapped)[inner]
        bins = np.searchsorted(np.float32(LIMITS), np.nan_to_num(edge_m[inner], nan=np.inf)).astype(np.uint8)
        shape, corner = (window.height, window.width), (window.row, window.col)
        drawn = drawn_units(units[window.slices] if known else None, shape, corner, SIZE)
        ids, of = numbered(drawn.ravel())
        piece = SimpleNamespace(
            kinds=kinds, bins=bins, truth=t[inner], near=edge_m[inner] <= np.float32(REACH), units=u[inner],
            across=across[inner], unit_ids=np.arange(units.max() + 1), drawn=Numbered(ids, of.reshape(shape)),
        )  # fmt: skip
        found.append((piece, t, u))
    return found


def tally(seen: list[SEEN]) -> StrataTally:
    parts = [StrataTally.of(piece, 4, len(LIMITS) + 1, truth_seen=t, units_seen=u) for piece, t, u in seen]
    total = parts[0]
    for part in parts[1:]:
        total += part
    return total


def test_against_loops_over_pixels() -> None:
    truth, guess, parcels = maps()
    seen = pieces(truth, guess, parcels, 100)
    piece = seen[0][0]
    part = tally(seen).part(LEGEND, LIMITS, 100.0, sizes_ha=(0.2, 0.5))
    counts: dict[str, Counter] = {name: Counter() for name in part.tables}
    right = {name: Counter() for name in part.tables}
    in_parcel = Counter(parcels.ravel().tolist())
    class_of = {int(u): int(truth[parcels == u].max()) for u in np.unique(parcels)}
    for y, x in np.argwhere((truth >= 0) & (guess >= 0)):
        t, u = int(truth[y, x]), int(parcels[y, x])
        keys = {"by_class": (t, int(piece.bins[y, x]))}
        if piece.near[y, x] and piece.across[y, x] > 0:
            keys["by_pair"] = (t, class_of[int(piece.across[y, x])])
        if u:
            keys["by_size"] = (0 if in_parcel[u] <= 20 else 1 if in_parcel[u] <= 50 else 2,)
        for name, key in keys.items():
            counts[name][key] += 1
            right[name][key] += int(t == guess[y, x])
    index = {c.id: i for i, c in enumerate(LEGEND.classes)}
    keys = {
        "by_class": lambda r: (index[r["class"]], [0.0, *LIMITS].index(r["from_m"])),
        "by_pair": lambda r: (index[r["class"]], index[r["across"]]),
        "by_size": lambda r: ([0.0, 0.2, 0.5].index(r["from_ha"]),),
    }
    for name, table in part.tables.items():
        rows = table.to_dict("records")
        assert {keys[name](r): r["pixels"] for r in rows} == dict(counts[name])
        assert {keys[name](r): r["right"] for r in rows} == {k: right[name][k] for k in counts[name]}
        assert all(r["accuracy"] == r["right"] / r["pixels"] for r in rows)
    assert part["accuracy_0_to_0_2_ha"] == part.tables["by_size"]["accuracy"][0]


def test_intervals_draw_whole_parcels() -> None:
    truth, guess, parcels = maps()
    judged = (truth >= 0) & (guess >= 0)
    part = tally(pieces(truth, guess, parcels, 100)).part(LEGEND, LIMITS, 100.0, sizes_ha=(0.2,))
    row = part.tables["by_size"].iloc[1]
    large = [u for u, n in Counter(parcels.ravel().tolist()).items() if u and n > 20]
    assert row["units"] == len(large) and row["low"] < row["accuracy"] < row["high"]
    sums = [[((truth == guess) & here).sum(), here.sum()] for u in large for here in [judged & (parcels == u)]]
    px = np.array(sums)
    alone = ratio_intervals(px[:, :1], px[:, 1:])
    np.testing.assert_allclose([row["low"], row["high"]], [alone.low[0], alone.high[0]], atol=0.02)
    pixels = (row["accuracy"] * (1 - row["accuracy"]) / row["pixels"]) ** 0.5 * 2 * 1.96
    assert row["high"] - row["low"] > pixels  # pixels of a parcel are no sample of their own
    few = part.tables["by_pair"]
    assert (few["low"].isna() == (few["units"] < 10)).all()


@pytest.mark.parametrize("known", [True, False])
def test_blocks_add_up(known: bool) -> None:
    truth, guess, parcels = maps(1)
    units = parcels if known else class_regions(truth, -1)
    whole, blocks = (tally(pieces(truth, guess, units, px, known)) for px in (100, 23))
    unit = "parcel" if known else "region"
    a, b = (t.part(LEGEND, LIMITS, 100.0, unit=unit, sizes_ha=(0.2, 0.5)) for t in (whole, blocks))
    for name, table in a.tables.items():
        assert table.equals(b.tables[name]) and len(table)
    assert f"whole {unit}s" in a.definition
    given = blocks.part(LEGEND, LIMITS, 100.0, unit=unit, sizes_ha=(0.2, 0.5), sizes=unit_sizes(units))
    assert given.tables["by_size"].equals(a.tables["by_size"])


def test_a_part_of_the_scene_with_the_sizes_of_all_of_it() -> None:
    truth, guess, parcels = maps()
    piece = pieces(truth, guess, parcels, 34)[:1]  # cuts parcels of 64 pixels
    cut, whole = (tally(piece).part(LEGEND, LIMITS, 100.0, sizes_ha=(0.2, 0.5), sizes=s)
                  for s in (None, unit_sizes(parcels)))  # fmt: skip
    assert cut.tables["by_size"]["pixels"].sum() == whole.tables["by_size"]["pixels"].sum()
    assert cut.tables["by_size"]["units"][1] > 0 and whole.tables["by_size"]["to_ha"].tolist() == [0.2, math.inf]


def test_nothing_to_judge_and_limits_that_do_not_fit() -> None:
    truth, guess, parcels = maps()
    nothing = tally(pieces(truth, np.full_like(guess, -1), parcels, 40))
    assert all(table.empty for table in nothing.part(LEGEND, LIMITS, 100.0).tables.values())
    for limits in ((), (2.0, 1.0), (0.0, 1.0)):
        with pytest.raises(InputError, match="rising"):
            nothing.part(LEGEND, LIMITS, 100.0, sizes_ha=limits)
    assert unit_sizes(np.array([[0, 5, 5], [7, 5, 0]])).to_numpy().tolist() == [[5, 3], [7, 1]]
