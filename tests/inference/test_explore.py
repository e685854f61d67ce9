"""The atlas of errors: tables against loops over pixels, whatever the blocks; subsets against direct counts."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path

import geopandas as gpd
import numpy as np
import pandas as pd
import pytest
import shapely
import xarray as xr
from affine import Affine

from cscl.errors import CSCLError, InputError, MissingError
from cscl.events import Progress, run
from cscl.export.cases import worst_cases
from cscl.grid import GeoBox, Window
from cscl.inference.assess import assess
from cscl.inference.explore import ErrorAtlas, ExploreOptions, Judged, everything, explore, held_out
from cscl.inference.subset import Subset, select
from cscl.legend import CropClass, Legend
from cscl.metrics.bootstrap import ratio_intervals
from cscl.metrics.boundary import distance_to_class_edge, parcel_boundary
from cscl.metrics.displacement import bleed_depth, edge_lengths
from cscl.metrics.kinds import across_edge, error_kinds
from cscl.metrics.parcel_rows import FLAGS
from cscl.parcels import Parcels
from cscl.products import LabelMap, Prediction
from cscl.report.kinds import WRONG, Kind

SHAPE, SIZE = (43, 57), (10.0, 10.0)
GRID = GeoBox(SHAPE, Affine(10, 0, 500_000, 0, -10, 5_000_000), "EPSG:32631")
LEGEND = Legend(tuple(CropClass(i, f"c{i}", f"crop {i}", "#112233") for i in (3, 5, 8, 9)))
LIMITS = (10.0, 20.0, 30.0, 50.0, 80.0)


def lazy(array: np.ndarray) -> xr.DataArray:
    return xr.DataArray(array, dims=("y", "x"))


@pytest.fixture(scope="module")
def labels() -> LabelMap:
    """Parcels of about 8 x 9 pixels, some unknown, with a path between some; neighbours may grow the same."""
    rng = np.random.default_rng(0)
    parcels = np.kron(np.arange(1, 43).reshape(6, 7) * 3, np.ones((8, 9), np.int32))[: SHAPE[0], : SHAPE[1]]
    parcels = np.where(np.arange(SHAPE[0])[:, None] == 16, 0, parcels).astype(np.int32)
    crop = np.full(parcels.max() + 1, 255, np.uint8)
    crop[np.arange(1, 43) * 3] = rng.choice([3, 5, 8, 255], 42, p=[0.3, 0.3, 0.3, 0.1])
    return LabelMap(crop[parcels], GRID, LEGEND, parcels, "register")


@pytest.fixture(scope="module")
def prediction(labels: LabelMap) -> Prediction:
    """Shifted by a pixel, with noise, a wrong parcel and some pixels without prediction."""
    rng = np.random.default_rng(1)
    ids = np.roll(np.where(labels.ids == 255, 9, labels.ids), 1, axis=1)
    ids = np.where(rng.random(SHAPE) < 0.1, rng.choice([3, 5, 8, 9, 255], SHAPE), ids)
    ids = np.where(labels.parcel_ids == 27, 9, ids).astype(np.uint8)
    confidence = np.where(ids == 255, 255, rng.integers(0, 251, SHAPE)).astype(np.uint8)
    return Prediction(lazy(ids), lazy(confidence), GRID, LEGEND)


@pytest.fixture(scope="module")
def judged() -> Judged:
    where = np.zeros(SHAPE, bool)
    where[:, :36] = True
    return Judged(where, "on the left")


@pytest.fixture(scope="module")
def atlas(prediction: Prediction, labels: LabelMap, judged: Judged) -> ErrorAtlas:
    return run(explore(prediction, labels, judged=judged))


def layers(prediction: Prediction, labels: LabelMap, judged: Judged) -> tuple[np.ndarray, ...]:
    truth, guess = labels.index(), LEGEND.to_index(prediction.ids.values).astype(int)
    distance = distance_to_class_edge(truth, SIZE, 80.0)
    kinds = np.where(judged.where_YX, error_kinds(truth, guess, SIZE, 20.0), 0)
    across = across_edge(truth, guess, distance, SIZE, 20.0, labels.parcel_ids)[1]
    for parcel in np.unique(labels.parcel_ids[(kinds > 0) & (labels.parcel_ids > 0)]):
        here = (labels.parcel_ids == parcel) & (kinds > 0)
        most = np.bincount(guess[here]).argmax()
        if most != truth[here][0]:
            kinds[here & (guess == most)] = Kind.PARCEL
    return truth, guess, distance, kinds, across


def test_map_and_curve(atlas: ErrorAtlas, prediction: Prediction, labels: LabelMap, judged: Judged) -> None:
    _, guess, distance, kinds, _ = layers(prediction, labels, judged)
    assert np.array_equal(atlas.kinds_YX, kinds) and np.array_equal(atlas.guess_YX, guess)
    assert set(np.unique(kinds)) == set(Kind)
    assert atlas.counts == {kind: (kinds == kind).sum() for kind in (Kind.RIGHT, *WRONG)}
    assert atlas.near == ((kinds > 0)[distance <= 20].sum(), (kinds == 1)[distance <= 20].sum())
    assert f"of {(kinds > 0).sum():,} pixels on the left" in atlas.summary()
    for row, low, high in zip(atlas.curve.itertuples(), (0, *LIMITS), (*LIMITS, math.inf), strict=True):
        here = (kinds > 0) & (distance > low) & (distance <= high)
        assert (row.from_m, row.to_m, row.pixels, row.right) == (low, high, here.sum(), (here & (kinds == 1)).sum())
        assert row.parcels == len(np.unique(labels.parcel_ids[here])) and math.isnan(row.mixed)
        assert [getattr(row, k.name.lower()) for k in WRONG] == [(here & (kinds == k)).sum() for k in WRONG]


def test_curve_has_intervals_by_parcel(
    atlas: ErrorAtlas, prediction: Prediction, labels: LabelMap, judged: Judged
) -> None:
    """They are those of the accuracies of whole parcels; pixels that lie in none are drawn by blocks."""
    _, _, distance, kinds, _ = layers(prediction, labels, judged)
    for row, low, high in zip(atlas.curve.itertuples(), (0, *LIMITS), (*LIMITS, math.inf), strict=True):
        here = (kinds > 0) & (distance > low) & (distance <= high)
        px, right = (np.bincount(labels.parcel_ids[here & w]) for w in (kinds > 0, kinds == 1))
        right = np.pad(right, (0, len(px) - len(right)))
        alone = ratio_intervals(right[:, None], px[:, None])
        if (px > 0).sum() < 10:
            assert math.isnan(row.low) and math.isnan(row.high)
        else:
            assert (row.low, row.high) == (
                pytest.approx(alone.low[0], abs=0.05),
                pytest.approx(alone.high[0], abs=0.05),
            )
            assert row.low < row.accuracy < row.high
    regions = run(explore(prediction, replace(labels, parcel_ids=None)))
    blocks = regions.drawn(Window(0, 0, *SHAPE))
    assert len(np.unique(blocks)) == 4 and regions.curve["low"].isna().all()
    part = regions.drawn(Window(30, 20, 13, 30))
    assert np.array_equal(part, blocks[30:, 20:50])
    outside = run(
        explore(prediction, replace(labels, parcel_ids=np.where(labels.parcel_ids > 60, labels.parcel_ids, 0)))
    )
    assert {*np.unique(outside.drawn(Window(0, 0, *SHAPE)))} > {*np.unique(labels.parcel_ids[labels.parcel_ids > 60])}


def test_parcels(atlas: ErrorAtlas, prediction: Prediction, labels: LabelMap, judged: Judged) -> None:
    truth, guess, distance, kinds, _ = layers(prediction, labels, judged)
    sure = np.where(prediction.confidence == 255, np.nan, prediction.confidence / 250.0)
    table = atlas.parcels
    assert sorted(table["id"]) == sorted(np.unique(labels.parcel_ids[(kinds > 0)]))
    assert table["wrong"].is_monotonic_decreasing and table["id"][0] == 27 and table["predicted"][0] == 9
    for row in table.itertuples():
        here = (labels.parcel_ids == row.id) & (kinds > 0)
        near = here & (distance <= 20)
        assert row.pixels == here.sum() and row.area_ha == pytest.approx(here.sum() / 100)
        assert row.wrong == (here & (kinds > 1)).sum() and row.share_right == (kinds == 1)[here].mean()
        for value, part in ((row.share_right_boundary, near), (row.share_right_interior, here & ~near)):
            assert value == pytest.approx((kinds == 1)[part].mean() if part.any() else math.nan, nan_ok=True)
        assert row.declared == LEGEND.ids[truth[here][0]] and row.declared_crop == f"crop {row.declared}"
        assert row.predicted == LEGEND.ids[np.bincount(guess[here]).argmax()]
        assert [getattr(row, k.name.lower()) for k in WRONG] == [(here & (kinds == k)).sum() for k in WRONG]
        assert row.confidence == pytest.approx(np.nanmean(sure[here]))
        counts = np.bincount(guess[here], minlength=4)
        first, second = np.argsort(-counts, kind="stable")[:2]
        assert row.purity == counts[first] / here.sum() and row.second_share == counts[second] / here.sum()
        assert row.second == (LEGEND.ids[second] if counts[second] else LEGEND.ignore)
        assert row.share_boundary == parcel_boundary(labels.parcel_ids, 1)[here].mean() and math.isnan(row.share_mixed)
        assert row.known_pixels == ((labels.parcel_ids == row.id) & (truth >= 0)).sum()
        odd = {
            "small": row.known_pixels < 4, "boundary only": row.share_boundary == 1,
            "majority wrong": first != truth[here][0], "low confidence": row.confidence < 0.5,
            "wrong at the edge only": row.wrong and row.share_right_interior == 1,
        }  # fmt: skip
        assert row.flags == ", ".join(flag for flag, up in odd.items() if up)
        assert row.status == ("small" if odd["small"] else "ok") and set(odd) < set(FLAGS)
        y, x = np.nonzero(here)
        assert (row.row, row.col) == (pytest.approx(y.mean()), pytest.approx(x.mean()))
        assert (row.row0, row.row1, row.col0, row.col1) == (y.min(), y.max() + 1, x.min(), x.max() + 1)


def slow_lengths(truth: np.ndarray, units: np.ndarray) -> dict[tuple[int, int], float]:
    metres: dict[tuple[int, int], float] = {}
    for y, x in np.ndindex(truth.shape):
        for v, u in ((y + 1, x), (y, x + 1)):
            if v < SHAPE[0] and u < SHAPE[1] and min(truth[y, x], truth[v, u]) >= 0 and truth[y, x] != truth[v, u]:
                pair = tuple(sorted((int(units[y, x]), int(units[v, u]))))
                metres[pair] = metres.get(pair, 0) + 10
    return metres


def test_edges(atlas: ErrorAtlas, prediction: Prediction, labels: LabelMap, judged: Judged) -> None:
    truth, _, distance, kinds, across = layers(prediction, labels, judged)
    units, lengths = labels.parcel_ids, slow_lengths(truth, labels.parcel_ids)
    there = (kinds > 0) & (across > 0)
    low, high = np.minimum(units, across), np.maximum(units, across)
    table = atlas.edges
    assert set(zip(table["a"], table["b"], strict=True)) == set(zip(low[there], high[there], strict=True))
    assert table["wrong"].is_monotonic_decreasing and table["pixels"].sum() == there.sum()
    smooth = edge_lengths(truth, units, judged.where_YX, SIZE).set_index(["a", "b"])["edge_m"]
    for row in table.itertuples():
        here = there & (low == row.a) & (high == row.b)
        shifted = here & (kinds == Kind.SHIFTED)
        depth = bleed_depth(distance[shifted], SIZE).max(initial=0)
        assert row.edge_m == pytest.approx(smooth.get((row.a, row.b), 0)) and row.bleed_m == pytest.approx(depth)
        if row.edge_m >= 10:
            assert row.displacement_m == pytest.approx(100 * (row.into_b - row.into_a) / row.edge_m)
            assert row.moved_m == pytest.approx(100 * shifted.sum() / row.edge_m)
        else:
            assert math.isnan(row.displacement_m) and math.isnan(row.moved_m)
        assert row.length_m == lengths.get((row.a, row.b), 0)
        assert (row.pixels, row.wrong) == (here.sum(), (here & (kinds > 1)).sum())
        assert row.into_a == (here & (units == row.a) & (kinds == Kind.SHIFTED)).sum()
        assert row.into_b == (here & (units == row.b) & (kinds == Kind.SHIFTED)).sum()
        assert row.share_into_a == row.into_a / row.pixels and row.third == (here & (kinds == Kind.THIRD)).sum()
        assert (row.class_a, row.class_b) == tuple(labels.ids[units == i][0] for i in (row.a, row.b))
        y, x = np.nonzero(here)
        assert (row.row0, row.row1, row.col0, row.col1) == (y.min(), y.max() + 1, x.min(), x.max() + 1)
    assert atlas.pairs["pixels"].sum() == there.sum() and (atlas.pairs["class_a"] < atlas.pairs["class_b"]).all()
    first = atlas.pairs.iloc[0]
    of = table[(table[["class_a", "class_b"]].min(axis=1) == first.class_a) & (table["class_a"] != table["class_b"])]
    of = of[of[["class_a", "class_b"]].max(axis=1) == first.class_b]
    assert (first.edges, first.wrong, first.length_m) == (len(of), of["wrong"].sum(), of["length_m"].sum())
    into = of["into_a"].where(of["class_a"] == first.class_a, of["into_b"])
    assert first.into_a == into.sum()
    side = np.where(of["class_a"] == first.class_a, 1, -1)
    there = of["displacement_m"].notna()
    mean = (side * of["displacement_m"] * of["edge_m"])[there].sum() / of["edge_m"][there].sum()
    assert first.displacement_m == pytest.approx(mean) and first.bleed_m == of["bleed_m"].max()


def test_a_boundary_that_moved_is_seen_as_such(labels: LabelMap) -> None:
    """The crop on the left has grown by one pixel: the edge has moved into the parcel on the right."""
    ids = np.full(SHAPE, 3, np.uint8)
    ids[:, 30:] = 5
    units = np.where(ids == 3, 1, 2).astype(np.int32)
    moved = np.roll(ids, 1, axis=1)
    moved[:, 0] = 3
    guess = Prediction(lazy(moved), lazy(np.full(SHAPE, 200, np.uint8)), GRID, LEGEND)
    atlas = run(explore(guess, replace(labels, ids=ids, parcel_ids=units)))
    edge = atlas.edges.iloc[0]
    assert len(atlas.edges) == 1 and edge.length_m == 430 and edge.pixels == 4 * 43
    assert (edge.into_a, edge.into_b, edge.wrong) == (0, 43, 43) and edge.share_into_b == 0.25
    assert edge.displacement_m == edge.moved_m == pytest.approx(10, rel=0.05) and edge.bleed_m == 10
    assert atlas.counts[Kind.SHIFTED] == 43 and atlas.curve["accuracy"].tolist() == [0.5, *[1] * 5]


@pytest.mark.parametrize("block_px", [7, 16])
@pytest.mark.parametrize("known", [True, False])
def test_blocks_change_nothing(
    prediction: Prediction, labels: LabelMap, judged: Judged, block_px: int, known: bool
) -> None:
    labels = labels if known else replace(labels, parcel_ids=None)
    whole, cut = (
        run(explore(prediction, labels, ExploreOptions(size, reach_m=35.0), judged=judged)) for size in (1000, block_px)
    )
    for name in ("kinds_YX", "bins_YX", "guess_YX", "units_YX"):
        assert np.array_equal(getattr(whole, name), getattr(cut, name))
    for name in ("curve", "parcels", "edges", "pairs"):
        one, two = getattr(whole, name), getattr(cut, name)
        assert one.round(9).equals(two.round(9)), name
    assert whole.near == cut.near and whole.unit == ("parcel" if known else "region")
    part = Subset(5, 3, (0, 20), (0.2, 0.7))
    assert run(select(whole, part)).curve.equals(run(select(whole, part, 9)).curve)


def test_mixed_pixels_come_from_the_polygons(prediction: Prediction, labels: LabelMap) -> None:
    x, y = 500_000 + 10 * np.array([9.0, 21.5]), 5_000_000 - 10 * np.array([16.0, 4.2])
    table = gpd.GeoDataFrame(
        {"parcel_id": [1], "code": ["c3"]}, geometry=[shapely.box(x[0], y[0], x[1], y[1])], crs=GRID.crs.epsg
    )
    atlas = run(explore(prediction, labels, parcels=Parcels(table.to_crs(4326))))
    mixed = np.zeros(SHAPE, bool)
    mixed[4, 9:22], mixed[4:16, 21] = True, True
    near = run(explore(prediction, labels, parcels=Parcels(table)))
    assert np.array_equal(near.mixed_YX, mixed) and (atlas.mixed_YX ^ mixed).sum() < 30
    shares = [(mixed & (near.bins_YX == i) & (near.kinds_YX > 0)).sum() for i in range(6)]
    assert (near.curve["mixed"] * near.curve["pixels"]).round().tolist() == shares


def test_tables_hold_what_the_user_calls_parcels(prediction: Prediction, labels: LabelMap) -> None:
    numbers = np.unique(labels.parcel_ids[labels.parcel_ids > 0])
    names = [f"FR-{n}" for n in numbers[:-1]]  # of one parcel there is no polygon
    ground = shapely.box(500_000, 4_999_990, 500_010, 5_000_000)
    table = gpd.GeoDataFrame(
        {"parcel_id": numbers[:-1], "code": "c3", "ilot": names}, geometry=[ground] * len(names), crs=GRID.crs.epsg
    )
    atlas = run(explore(prediction, labels, parcels=Parcels(table, id_column="ilot")))
    known = dict(zip(numbers.tolist(), [*names, ""], strict=True))
    assert atlas.parcels["own_id"].tolist() == [known[n] for n in atlas.parcels["id"]]
    assert all(atlas.edges[f"own_{side}"].tolist() == [known[n] for n in atlas.edges[side]] for side in "ab")
    assert list(atlas.parcels.columns[:2]) == ["id", "own_id"] and len(atlas.edges) > 3
    worst = atlas.parcels.iloc[0]
    (case,), _ = run(worst_cases(atlas, None, 1))
    assert case.title.startswith(f"Parcel {worst['own_id']}: ")
    plain = run(explore(prediction, labels, parcels=Parcels(table)))
    assert "own_id" not in plain.parcels and "own_a" not in plain.edges


def test_vector_edge_comes_from_the_polygons(prediction: Prediction, labels: LabelMap, judged: Judged) -> None:
    """Of a parcel of crop 3, one of crop 5 with a gap of 7 m, and one whose crop is not known."""
    shapes = [shapely.box(0, 0, 203, 430), shapely.box(210, 0, 400, 430), shapely.box(400, 0, 570, 430)]
    there = [shapely.transform(shape, lambda xy: (500_000, 5_000_000) + xy * (1, -1)) for shape in shapes]
    table = gpd.GeoDataFrame({"parcel_id": [1, 2, 3], "code": ["c3", "c5", None]}, geometry=there, crs=GRID.crs.epsg)
    whole, cut = (
        run(explore(prediction, labels, ExploreOptions(size), judged=judged, parcels=Parcels(table)))
        for size in (64, 16)
    )
    truth, _, _, kinds, _ = layers(prediction, labels, judged)
    y, x = np.mgrid[: SHAPE[0], : SHAPE[1]] * 10 + 5
    lines, points = [shape.exterior for shape in shapes], shapely.points(x, y)
    away = [shapely.distance(line, points) for line in lines]
    edge = np.where(truth == 0, away[1], np.where(truth == 1, away[0], np.minimum(*away[:2])))
    for name, distance in (("vector edge", edge), ("parcel outline", np.minimum.reduce(away))):
        pd.testing.assert_frame_equal(whole.vector[name], cut.vector[name])
        assert list(whole.vector[name].columns) == list(whole.curve.columns)
        for row in whole.vector[name].itertuples():
            here = (kinds > 0) & (distance > row.from_m) & (distance <= row.to_m)
            assert (row.pixels, row.right) == (here.sum(), (here & (kinds == 1)).sum())
            assert row.parcels == len(np.unique(labels.parcel_ids[here]))
    report = run(assess(prediction, labels, judged=judged, parcels=Parcels(table))).report
    assert "Vector edge" in report.to_markdown() and "vector_edge" in report.to_dict()["parts"]
    curve, part = report.boundary.curves[-1], report.parts[-1]
    assert (curve.name, curve.pixels) == ("vector edge", tuple(whole.vector["vector edge"]["pixels"]))
    assert list(part.tables) == ["vector_edge", "parcel_outline"] and "vector edge" in part.definition.lower()


@pytest.mark.parametrize(
    "subset",
    [
        Subset(),
        Subset(declared=5),
        Subset(predicted=9),
        Subset(5, 3, (10, 30)),
        Subset(distance_m=(0, 10)),
        Subset(distance_m=(30, math.inf)),
        Subset(area_ha=(0.5, 0.72)),
    ],
)
def test_subset(atlas: ErrorAtlas, prediction: Prediction, labels: LabelMap, judged: Judged, subset: Subset) -> None:
    _, _, distance, kinds, _ = layers(prediction, labels, judged)
    selection, area = run(select(atlas, subset)), atlas.parcels.set_index("id")["area_ha"]
    wanted = area.index[area.between(*subset.area_ha)]
    chosen = (kinds > 0) & np.isin(labels.parcel_ids, wanted)
    chosen &= np.isinf(subset.distance_m[1]) | (distance <= subset.distance_m[1])
    chosen &= (distance > subset.distance_m[0]) | (subset.distance_m[0] == 0)
    if subset.declared is not None:
        chosen &= labels.ids == subset.declared
    if subset.predicted is not None:
        chosen &= (kinds == 1) | (prediction.ids.values == subset.predicted)
    assert np.array_equal(selection.kinds_YX, np.where(chosen, kinds, 0))
    assert selection.curve["pixels"].sum() == chosen.sum() and selection.wrong == (chosen & (kinds > 1)).sum()
    for i, row in enumerate(selection.curve.itertuples()):
        assert row.parcels == len(np.unique(labels.parcel_ids[chosen & (atlas.bins_YX == i)]))
    shown = set(np.unique(labels.parcel_ids[chosen & (kinds > 1)])) if subset.of_pixels else set(wanted)
    assert set(selection.parcels["id"]) == shown and len(shown) > 0
    asked = {subset.declared, subset.predicted} - {None}
    assert all(asked <= {row.class_a, row.class_b} for row in selection.edges.itertuples())
    assert (len(selection.edges) == 0) == (subset.distance_m[0] >= 20 or subset.predicted == 9)  # nobody declared 9


def test_held_out_blocks(tmp_path: Path, toy_folder: Path, labels: LabelMap) -> None:
    import toys

    seen = toys.scene().labels
    part = held_out(seen, toy_folder)
    assert part.where_YX is not None and 0 < part.where_YX.mean() < 0.5 and "held back" in part.words
    assert "learnt from" in everything(seen, toy_folder).words and everything(seen, toy_folder).where_YX is None
    assert held_out(labels, toy_folder).where_YX is None and "never saw" in everything(labels, toy_folder).words
    assert held_out(labels, None).words == "with a label"
    with pytest.raises(MissingError):
        held_out(labels, tmp_path)


@pytest.fixture(scope="module")
def toy_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    import toys

    from cscl.training.segment import train

    few = toys.QUICK.with_settings(["train.steps=2", "train.validate_every=2"])
    return run(train([toys.scene()], tmp_path_factory.mktemp("explore") / "model", few, device="cpu"))


def test_progress_and_refusals(prediction: Prediction, labels: LabelMap) -> None:
    job = explore(prediction, labels, ExploreOptions(32))
    assert [next(job) for _ in range(5)][::4] == [
        Progress("counting parcels", 1, 4, "block"), Progress("finding errors", 1, 4, "block"),
    ]  # fmt: skip
    job.close()
    with pytest.raises(InputError, match="No pixel on the moon"):
        run(explore(prediction, labels, judged=Judged(np.zeros(SHAPE, bool), "on the moon")))
    with pytest.raises(CSCLError, match="reach"):
        ExploreOptions(reach_m=0)
