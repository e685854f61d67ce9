"""Overlaps by one rule: whatever the order, the window or the pixel; against slow loops over pixels and parcels."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import geopandas as gpd
import numpy as np
import pandas as pd
import pytest
import shapely
from affine import Affine
from shapely.geometry import MultiPolygon, Point, Polygon, box

from cscl.burning import rasterising
from cscl.events import Progress, run
from cscl.grid import GeoBox, Window, crop, make_grid, refined
from cscl.legend import Legend
from cscl.overlaps import apart, common_ground, overlapping, precedence
from cscl.parcels import Parcels, rasterise

X0, Y0 = 465180.0, 5080250.0
GRID = make_grid((20, 24), Affine(10, 0, X0, 0, -10, Y0), "EPSG:32633", "grid")
LEGEND = Legend.from_codes(["1", "2"])


def world(shape: Any) -> Any:
    """From pixels to the CRS."""
    return shapely.transform(shape, lambda xy: np.stack([X0 + 10 * xy[:, 0], Y0 - 10 * xy[:, 1]], 1))


def register(*rows: tuple[Any, str | None]) -> Parcels:
    shapes, codes = zip(*rows, strict=True)
    table = gpd.GeoDataFrame({"parcel_id": np.arange(1, len(rows) + 1)}, geometry=[world(s) for s in shapes])
    return Parcels(table.assign(code=np.array(codes, object)).set_crs("EPSG:32633"))


def random_register(seed: int) -> Parcels:
    """Forms with holes and parts that lie over each other; crops 1, 2, one that the legend lacks, and none."""
    rng = np.random.default_rng(seed)
    rows = []
    for number in range(14):
        x, y, r = rng.uniform(0, 24), rng.uniform(0, 20), rng.uniform(1, 5)
        shape = Point(x, y).buffer(r, quad_segs=int(rng.integers(1, 5)))
        shape = shape.difference(Point(x, y).buffer(r / 3)) if number % 3 == 0 else shape
        shape = MultiPolygon([shape, box(x + r + 1, y, x + r + 3, y + 2)]) if number % 5 == 1 else shape
        rows.append((shape, rng.choice(np.array(["1", "2", "other", None], object))))
    rows.append(rows[3])  # twice on the same ground
    return register(*rows)


def slow(parcels: Parcels, grid: GeoBox) -> tuple[Any, Any]:
    """The rule, pixel by pixel."""
    rows, cols = grid.shape
    ids, owner = np.full((rows, cols), LEGEND.ignore), np.zeros((rows, cols), int)
    order = precedence(np.asarray(parcels.table.geometry.array), parcels.table["code"], parcels.table["parcel_id"])
    for row, col in np.ndindex(rows, cols):
        centre = Point(*(grid.transform @ (col + 0.5, row + 0.5)))
        here = [parcels.table.iloc[i] for i in order if parcels.table.geometry.iloc[i].contains(centre)]
        crops = {parcel["code"] for parcel in here if isinstance(parcel["code"], str)}
        owner[row, col] = here[-1]["parcel_id"] if here else 0
        ids[row, col] = LEGEND.id_by_code().get(crops.pop(), LEGEND.ignore) if len(crops) == 1 else LEGEND.ignore
    return ids, owner


@pytest.mark.parametrize("seed", [0, 1])
def test_the_rule_against_slow_loops(seed: int) -> None:
    parcels = random_register(seed)
    labels = rasterise(parcels, GRID, LEGEND)
    ids, owner = slow(parcels, GRID)
    np.testing.assert_array_equal(labels.ids, ids)
    np.testing.assert_array_equal(labels.parcel_ids, owner)
    sizes = parcels.table.set_index("parcel_id").area
    assert sizes[owner[owner > 0]].min() == sizes.min() and (ids == LEGEND.ignore)[owner > 0].any()


def test_neither_order_nor_window_make_a_difference(monkeypatch: pytest.MonkeyPatch) -> None:
    """With the reference, what overlaps depends on the number of processes."""
    parcels = random_register(2)
    whole = rasterise(parcels, GRID, LEGEND)
    assert whole.parcel_ids is not None and whole.shares is not None
    shuffled = replace(parcels, table=parcels.table.sample(frac=1, random_state=1))
    monkeypatch.setattr("cscl.burning.STRIP_PX", 3)
    monkeypatch.setattr("cscl.burning.AT_ONCE", 2)
    monkeypatch.setattr("cscl.overlaps.AT_ONCE", 2)
    for other in (shuffled, parcels):
        labels = rasterise(other, GRID, LEGEND)
        assert labels.shares is not None
        np.testing.assert_array_equal(labels.ids, whole.ids)
        np.testing.assert_array_equal(labels.parcel_ids, whole.parcel_ids)
        for one, two in zip(
            labels.shares.read(Window(0, 0, 20, 24), 3), whole.shares.read(Window(0, 0, 20, 24), 3), strict=True
        ):
            np.testing.assert_allclose(one, two, atol=1e-9)
    for window in (Window(0, 0, 9, 24), Window(5, 7, 11, 8)):
        part = rasterise(shuffled, crop(GRID, window), LEGEND)
        np.testing.assert_array_equal(part.ids, whole.ids[window.slices])
        np.testing.assert_array_equal(part.parcel_ids, whole.parcel_ids[window.slices])


def test_crops_that_contradict_each_other_are_void_and_counted() -> None:
    large, small = box(1, 1, 9, 9), box(6, 6, 12, 12)
    labels = rasterise(register((small, "2"), (large, "1")), GRID, LEGEND)
    assert (labels.ids[6:9, 6:9] == LEGEND.ignore).all() and (labels.parcel_ids[6:9, 6:9] == 1).all()
    assert labels.counts() == {1: 64 - 9, 2: 36 - 9}
    assert labels.notes == ("9 pixels lie in overlapping parcels of different crops: their class stays unknown.",)
    agreed = rasterise(register((small, "1"), (large, "1")), GRID, LEGEND)
    assert agreed.counts() == {1: 64 + 36 - 9, 2: 0} and not agreed.notes
    silent = rasterise(register((small, None), (large, "1")), GRID, LEGEND)  # who says nothing contradicts nobody
    assert silent.counts() == {1: 64, 2: 0} and (silent.parcel_ids[6:9, 6:9] == 1).all()
    touching = rasterise(register((box(1, 1, 5.5, 5.5), "1"), (box(5.5, 1, 9, 5.5), "2")), GRID, LEGEND)
    assert not touching.notes, "edges through centres of pixels are no overlap"


def test_shares_follow_the_rule() -> None:
    large, small = box(1, 1, 9, 9), box(6.5, 6.5, 8, 8)
    parcels, share = rasterise(register((large, "1"), (small, "1")), GRID, LEGEND).shares.read(Window(6, 6, 2, 2))
    assert parcels[:, 0, 0].tolist() == [1, 2] and share[:, 0, 0].tolist() == [0.75, 0.25]
    assert parcels[:, 1, 1].tolist() == [2, 0] and share[:, 1, 1].tolist() == [1, 0]


@pytest.mark.parametrize("times", [3, 4])
def test_finer_pixels_tell_the_same(times: int) -> None:
    """A pixel that one parcel fills is of it at any size; with an odd factor centres are centres of finer pixels."""
    parcels = random_register(3)
    coarse, fine = (rasterise(parcels, grid, LEGEND) for grid in (GRID, refined(GRID, times)))
    assert coarse.parcel_ids is not None and fine.parcel_ids is not None and coarse.shares is not None
    blocks = fine.parcel_ids.reshape(20, times, 24, times).swapaxes(1, 2).reshape(20, 24, -1)
    ids, share = coarse.shares.read(Window(0, 0, 20, 24), 1)
    full = share[0] == 1
    assert full.sum() > 60
    np.testing.assert_array_equal(coarse.parcel_ids[full], ids[0][full])
    assert (blocks[full] == ids[0][full][:, None]).all()
    if times % 2:
        np.testing.assert_array_equal(blocks[..., times**2 // 2], coarse.parcel_ids)
        np.testing.assert_array_equal(fine.ids[1::3, 1::3], coarse.ids)


def test_small_parcels_are_told_of() -> None:
    parcels = register((box(0, 0, 2, 2), "1"), (box(4, 0, 7, 1), "1"), (box(9.6, 0, 10.4, 3), "2"))
    assert rasterise(parcels, GRID, LEGEND).notes == (
        "2 of 3 parcels on the images hold fewer than 4 pixel centres, 1 of them none.",
    )


def test_polygons_are_cut_apart() -> None:
    shapes = np.array([box(0, 0, 10, 10), box(8, 8, 12, 12), box(9, 9, 11, 11), box(8, 8, 12, 12), box(10, 0, 11, 8)])
    codes, numbers = pd.Series(["1", "1", "1", "2", None], dtype=object), pd.Series(range(5))
    a, b = run(overlapping(shapes))
    assert sorted(zip(a, b, strict=True)) == [(0, 1), (0, 2), (0, 3), (1, 2), (1, 3), (2, 3)], "touching is no overlap"
    order = precedence(shapes, codes, numbers)
    assert order.tolist() == [0, 1, 3, 4, 2]
    cut = run(apart(shapes, order, a, b))
    assert shapely.area(cut).tolist() == [96, 0, 4, 12, 8]
    assert shapely.union_all(cut).area == pytest.approx(shapely.union_all(shapes).area)
    corner = Polygon([(0, 0), (4, 0), (4, 1), (3, 1), (3, 0.5), (2, 0.5), (2, 1), (0, 1)])
    ground = common_ground(np.array([corner, box(0, 0.5, 4, 2)]), np.array([0]), np.array([1]))
    assert ground[0].geom_type == "MultiPolygon" and ground[0].area == pytest.approx(1.5)


def test_a_job_says_how_far_it_is() -> None:
    events = list(rasterising(random_register(0), GRID, LEGEND))
    assert {e.stage for e in events if isinstance(e, Progress)} == {
        "bringing parcels to the images", "looking for overlaps", "rasterising parcels", "cutting overlaps",
    }  # fmt: skip
