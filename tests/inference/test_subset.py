"""Subsets as sums of counted pixels, against the pixels themselves; edges near a place, against slow loops."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
import toys
import xarray as xr
from sklearn.metrics import confusion_matrix

from cscl.events import run
from cscl.inference import errorcounts
from cscl.inference.errorcounts import count_errors
from cscl.inference.explore import ErrorAtlas, explore
from cscl.inference.subset import Selection, Subset, choose, chosen_pairs, edge_near, select, sure, wrong_as
from cscl.metrics.error_tally import class_pairs
from cscl.products import Prediction
from cscl.report.kinds import Kind

SUBSETS = [
    Subset(),
    Subset(declared=4),
    Subset(4, 9, (0.0, 20.0)),
    Subset(distance_m=(20.0, math.inf)),
    Subset(predicted=0, area_ha=(0.5, 0.64)),
]


@pytest.fixture(scope="module", params=["parcels", "regions"])
def atlas(request: pytest.FixtureRequest) -> ErrorAtlas:
    labels = toys.scene(64).labels
    if request.param == "regions":
        labels = replace(labels, parcel_ids=None)
    rng = np.random.default_rng(0)
    ids = np.roll(np.where(labels.ids == 255, 0, labels.ids), 1, axis=1)
    ids = np.where(rng.random(ids.shape) < 0.1, rng.choice(toys.LEGEND.ids, ids.shape), ids).astype(np.uint8)
    arrays = (xr.DataArray(a, dims=("y", "x")) for a in (ids, np.full_like(ids, 200)))
    return run(explore(Prediction(*arrays, labels.grid, labels.legend), labels))


def same(one: Selection, other: Selection) -> bool:
    frames = ("curve", "anywhere", "parcels", "edges")
    equal = all(getattr(one, name).equals(getattr(other, name)) for name in frames)
    return equal and np.array_equal(one.kinds_YX, other.kinds_YX) and np.array_equal(one.confusion, other.confusion)


@pytest.mark.parametrize("subset", SUBSETS)
def test_counts_give_what_pixels_give(atlas: ErrorAtlas, subset: Subset, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = run(select(atlas, subset))
    monkeypatch.setattr(errorcounts, "AT_ONCE_PX", 0)  # as in a large scene: pixels are asked one by one
    assert run(count_errors(atlas)).row_YX is None and same(whole, run(select(atlas, subset, 40)))
    here = run(select(atlas, replace(subset, declared=None, predicted=None))).kinds_YX > 0
    truth = toys.LEGEND.to_index(atlas.labels.ids)[here]
    assert np.array_equal(whole.confusion, confusion_matrix(truth, atlas.guess_YX[here], labels=[0, 1, 2]))
    wrong = whole.kinds_YX > Kind.RIGHT
    for row in whole.parcels.itertuples():
        assert row.wrong_here == (wrong & (atlas.units_YX == row.id)).sum()
    assert not subset.of_pixels or whole.parcels["wrong_here"].is_monotonic_decreasing


def test_what_most_wrong_pixels_of_a_unit_are_mapped_as(atlas: ErrorAtlas) -> None:
    counts, subset = run(count_errors(atlas, 40)), Subset(declared=4, distance_m=(0.0, 20.0))
    selection = run(select(atlas, subset, counts=counts))
    for unit in selection.parcels["id"]:
        here = (selection.kinds_YX > Kind.RIGHT) & (atlas.units_YX == unit)
        votes = np.bincount(atlas.guess_YX[here], minlength=3)
        assert wrong_as(atlas, counts, subset, unit) == (atlas.legend.names[votes.argmax()], here.sum())


def test_distances_alone_take_the_curve_over(atlas: ErrorAtlas) -> None:
    counts = run(count_errors(atlas))
    former = run(sure(atlas, counts, choose(atlas, counts, Subset(declared=4))))
    near = choose(atlas, counts, Subset(declared=4, distance_m=(0.0, 20.0)), former)
    assert near.anywhere is former.anywhere and same(near, run(select(atlas, near.subset, counts=counts)))
    assert near.curve["low"].notna().tolist() == [*former.curve["low"].notna()[:2], *[False] * 4]
    assert choose(atlas, counts, Subset(9, distance_m=(0.0, 20.0)), former).anywhere is not former.anywhere


def test_pairs_are_of_the_edges_that_are_left(atlas: ErrorAtlas) -> None:
    assert chosen_pairs(atlas, Subset(4, 9)) is atlas.pairs
    assert not len(chosen_pairs(atlas, Subset(distance_m=(50.0, math.inf))))
    small = Subset(4, 9, area_ha=(0.0, 0.6))
    assert chosen_pairs(atlas, small).equals(
        class_pairs(run(select(atlas, replace(small, declared=None, predicted=None))).edges)
    )


@pytest.mark.parametrize("place", [(20, 31), (0, 0), (40, 40), (59, 50)])
@pytest.mark.parametrize("within", [1.0, 4.5])
def test_the_nearest_edge(atlas: ErrorAtlas, place: tuple[int, int], within: float) -> None:
    down, right = np.indices(atlas.units_YX.shape)
    distance = np.hypot(down - place[0], right - place[1])

    def off(unit: int) -> float:
        return float(distance[atlas.units_YX == unit].min())

    costs = [
        off(row.a) + off(row.b) if max(off(row.a), off(row.b)) <= within else math.inf
        for row in atlas.edges.itertuples()
    ]
    found = edge_near(atlas, atlas.edges, *place, within)
    assert (found is None) == math.isinf(min(costs)) and (found is None or costs[found] == min(costs))
