"""Two maps on the same truth: figures against direct counts, intervals against the ratio's own, whatever the blocks."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import rasterio
import xarray as xr
from affine import Affine

from cscl.errors import GridError, InputError, OutputError
from cscl.events import Progress, run
from cscl.grid import GeoBox
from cscl.inference.assess import AssessOptions
from cscl.inference.explore import Judged
from cscl.inference.versus import Outcome, Versus, held_out_of_all, versus
from cscl.inference.versus_files import OUTCOMES, write_versus
from cscl.legend import CropClass, Legend
from cscl.metrics.bootstrap import ratio_intervals
from cscl.metrics.boundary import class_boundary, distance_to_class_edge
from cscl.metrics.confusion import ConfusionMatrix
from cscl.products import LabelMap, Prediction

SHAPE = (43, 57)
GRID = GeoBox(SHAPE, Affine(10, 0, 500_000, 0, -10, 5_000_000), "EPSG:32631")
LEGEND = Legend(tuple(CropClass(i, f"c{i}", f"crop {i}", "#112233") for i in (3, 5, 8)))
OTHER = Legend(tuple(CropClass(i, f"c{i}", f"crop {i}", "#112233") for i in (9, 8, 5, 3)), 0)


def guess(ids: np.ndarray, legend: Legend, name: str) -> Prediction:
    layers = (xr.DataArray(a, dims=("y", "x")) for a in (ids.astype(np.uint8), np.full(SHAPE, 200, np.uint8)))
    return Prediction(*layers, GRID, legend, name=name)


@pytest.fixture(scope="module")
def labels() -> LabelMap:
    rng = np.random.default_rng(0)
    parcels = np.kron(np.arange(1, 64).reshape(7, 9), np.ones((7, 7), np.int32))[: SHAPE[0], : SHAPE[1]]
    parcels[20] = 0
    crop = rng.choice([3, 5, 8, 255], 64, p=[0.3, 0.3, 0.3, 0.1]).astype(np.uint8)
    return LabelMap(crop[parcels], GRID, LEGEND, parcels.astype(np.int32), "register")


@pytest.fixture(scope="module")
def maps(labels: LabelMap) -> tuple[Prediction, Prediction]:
    """The first is shifted by a pixel, the second has noise and knows a class more."""
    rng = np.random.default_rng(1)
    shifted = np.where(rng.random(SHAPE) < 0.05, 255, np.roll(labels.ids, 1, axis=1))
    noisy = np.where(rng.random(SHAPE) < 0.15, rng.choice([0, 3, 5, 8, 9], SHAPE), labels.ids)
    return guess(shifted, LEGEND, "shifted"), guess(np.where(noisy == 255, 9, noisy), OTHER, "noisy")


@pytest.fixture(scope="module")
def found(maps: tuple[Prediction, Prediction], labels: LabelMap) -> Versus:
    return run(versus(*maps, labels))


def indices(maps: tuple[Prediction, Prediction], labels: LabelMap) -> tuple[np.ndarray, ...]:
    """Truth and guesses as indices of crops 3, 5, 8 and 9, and where all three are known."""
    table = np.full(256, -1)
    table[[3, 5, 8, 9]] = range(4)
    truth, first, second = (table[a] for a in (labels.ids, maps[0].ids.values, maps[1].ids.values))
    return truth, first, second, (truth >= 0) & (first >= 0) & (second >= 0)


def test_map(found: Versus, maps: tuple[Prediction, Prediction], labels: LabelMap) -> None:
    truth, first, second, known = indices(maps, labels)
    for row, col in np.ndindex(SHAPE):
        right = (first[row, col] == truth[row, col], second[row, col] == truth[row, col])
        wanted = {(True, True): 1, (False, True): 2, (True, False): 3, (False, False): 4}[right]
        assert found.outcomes_YX[row, col] == (wanted if known[row, col] else 0)
    edge = class_boundary(truth)
    for outcome in Outcome:
        assert found.pixels(outcome, boundary=True) == ((found.outcomes_YX == outcome) & edge).sum()
        assert found.pixels(outcome) == (found.outcomes_YX == outcome).sum()
    assert f"noisy wins {(found.outcomes_YX == 2).sum():,} pixels" in found.summary()
    assert "At class boundaries: noisy is right on" in found.summary() and "clear by" in found.summary()


def test_accuracies(found: Versus, maps: tuple[Prediction, Prediction], labels: LabelMap) -> None:
    truth, first, second, known = indices(maps, labels)
    distance, edge = distance_to_class_edge(truth, (10.0, 10.0), 80.0), class_boundary(truth)
    masks = {"everywhere": known, "class boundary": known & edge, "interior": known & ~edge}
    for low, high in ((0, 10), (10, 20), (20, 30), (30, 50), (50, 80)):
        masks[f"{low} to {high} m from a class edge"] = known & (distance > low) & (distance <= high)
    masks |= {f"crop {c}": known & (labels.ids == c) for c in (3, 5, 8)}
    rows = found.table[found.table["figure"].isin(["accuracy", "recall"])].set_index("where")
    assert set(rows.index) == {name for name, mask in masks.items() if mask.any()}
    drawn = np.where(labels.parcel_ids > 0, labels.parcel_ids, -1 - np.indices(SHAPE)[1] // 32)
    for name, row in rows.iterrows():
        here = masks[name]
        right = (first == truth)[here], (second == truth)[here]
        assert (row["pixels"], row["first"], row["second"]) == (here.sum(), right[0].mean(), right[1].mean())
        assert row["difference"] == pytest.approx(row["second"] - row["first"])
        assert row["units"] == len(np.unique(drawn[here]))
        gain = np.bincount(drawn[here] + 2, right[1].astype(float) - right[0])[:, None]
        alone = ratio_intervals(gain, np.bincount(drawn[here] + 2)[:, None])
        assert row["low"] == pytest.approx(alone.low[0], abs=0.03)
        assert row["clear"] == (row["low"] > 0 or row["high"] < 0)
    assert rows.loc["class boundary", "clear"] and rows.loc["class boundary", "difference"] > 0.1
    assert rows.loc["interior", "clear"] and rows.loc["interior", "difference"] < 0


def test_figures_by_class(found: Versus, maps: tuple[Prediction, Prediction], labels: LabelMap) -> None:
    truth, first, second, known = indices(maps, labels)
    matrices = [ConfusionMatrix.of(truth[known], g[known], 4) for g in (first, second)]
    by_class = found.table.set_index(["figure", "class_id"])
    for figure, name in (("precision", "precision"), ("IoU", "iou")):
        for i, c in enumerate((3, 5, 8, 9)):
            row, wanted = by_class.loc[(figure, c)], [getattr(m, name)[i] for m in matrices]
            assert [row["first"], row["second"]] == pytest.approx(wanted, nan_ok=True)
            assert row["pixels"] == (known & (truth == i)).sum()
    mean = by_class.loc[("mean IoU", -1)]
    assert [mean["first"], mean["second"]] == pytest.approx([m.mean_iou for m in matrices])
    assert mean["low"] < mean["difference"] < mean["high"]
    assert math.isnan(by_class.loc[("precision", 9)]["difference"])  # the first map does not know crop 9


def test_the_other_way_round(found: Versus, maps: tuple[Prediction, Prediction], labels: LabelMap) -> None:
    back = run(versus(*maps[::-1], labels)).table
    there = found.table[found.table["figure"].isin(["accuracy", "recall"])]
    again = back.set_index(["figure", "where"]).loc[list(zip(there["figure"], there["where"], strict=True))]
    assert np.allclose(again["difference"], -there["difference"])
    assert np.allclose(again["low"], -there["high"], atol=1e-9)  # the same draws, the other way round


def test_a_map_against_itself(maps: tuple[Prediction, Prediction], labels: LabelMap) -> None:
    same = run(versus(maps[0], maps[0], labels))
    assert not same.table["clear"].any() and (same.table["difference"].dropna() == 0).all()
    assert same.pixels(Outcome.WON) == same.pixels(Outcome.LOST) == 0


@pytest.mark.parametrize("known", [True, False])
def test_blocks_change_nothing(maps: tuple[Prediction, Prediction], labels: LabelMap, known: bool) -> None:
    labels = labels if known else replace(labels, parcel_ids=None)
    whole, cut = (run(versus(*maps, labels, AssessOptions(size))) for size in (1000, 16))
    assert np.array_equal(whole.outcomes_YX, cut.outcomes_YX) and np.array_equal(whole.by_place, cut.by_place)
    assert whole.table.round(9).equals(cut.table.round(9))
    assert whole.table["units"][0] == (4 if not known else len(np.unique(labels.parcel_ids[labels.ids < 255])) + 1)
    if not known:
        assert "too few to say" in whole.summary() and whole.table["low"].isna().all()


def test_progress_and_refusals(maps: tuple[Prediction, Prediction], labels: LabelMap) -> None:
    job = versus(*maps, labels, AssessOptions(32))
    assert next(job) == Progress("comparing two maps", 1, 4, "block")
    job.close()
    half = np.zeros(SHAPE, bool)
    half[:20] = True
    part = run(versus(*maps, labels, judged=Judged(half, "above")))
    assert not part.outcomes_YX[20:].any() and part.outcomes_YX[:20].any()
    with pytest.raises(InputError, match="No pixel on the moon"):
        run(versus(*maps, labels, judged=Judged(np.zeros(SHAPE, bool), "on the moon")))
    elsewhere = replace(maps[1], grid=GeoBox(SHAPE, Affine(10, 0, 0, 0, -10, 0), "EPSG:32631"))
    with pytest.raises(GridError, match="noisy"):
        run(versus(maps[0], elsewhere, labels))


def test_held_out_of_both(monkeypatch: pytest.MonkeyPatch, labels: LabelMap) -> None:
    left, top = np.zeros(SHAPE, bool), np.zeros(SHAPE, bool)
    left[:, :20], top[:20] = True, True
    parts = {"left": Judged(left, "on the left"), "top": Judged(top, "above"), "none": Judged(None, "anywhere")}
    parts["right"] = Judged(~left, "on the right")
    monkeypatch.setattr("cscl.inference.versus.held_out", lambda labels, model: parts[str(model)])
    both = held_out_of_all(labels, "left", "top")
    assert both.where_YX is not None and np.array_equal(both.where_YX, left & top) and "both" in both.words
    assert held_out_of_all(labels, "none", "none").words == "anywhere"
    assert np.array_equal(held_out_of_all(labels, Path("left"), "none").where_YX, left)
    with pytest.raises(InputError, match="same seed"):
        held_out_of_all(labels, "left", "right")


def test_files(found: Versus, labels: LabelMap, tmp_path: Path) -> None:
    out = tmp_path / "comparison"
    assert run(write_versus(found, out)) == out / "index.html"
    edge = class_boundary(labels.index())
    with rasterio.open(out / "won_and_lost.tif") as src:
        codes, table = src.read(1), src.colormap(1)
        assert (src.transform, src.nodata, src.descriptions) == (
            GRID.transform,
            0,
            ("pixels that noisy wins and loses",),
        )
    for c in OUTCOMES.classes:
        outcome, where = Outcome((c.id + 1) // 2), edge if c.id % 2 == 0 else ~edge
        np.testing.assert_array_equal(codes == c.id, (found.outcomes_YX == outcome) & where)
        assert table[c.id][:3] == c.rgb and (("boundary" in c.name) == (c.id % 2 == 0))
        assert c.name.startswith(outcome.name.lower().replace("_", " "))
    assert (codes == 0).sum() == found.pixels(Outcome.UNKNOWN)
    page, plain = ((out / name).read_text(encoding="utf-8") for name in ("index.html", "comparison.json"))
    values = json.loads(plain)["values"]
    row = found.table.iloc[0]
    assert (values["accuracy_everywhere_difference"]["low"], values["won_interior_px"]["value"]) == (
        row["low"], found.pixels(Outcome.WON, boundary=False),
    )  # fmt: skip
    assert "noisy against shifted" in page and "whole parcels" in page
    assert len(pd.read_csv(out / "differences.csv")) == len(found.table)
    with pytest.raises(OutputError, match="add --overwrite"):
        run(write_versus(found, out))
    (out / "notes.txt").write_text("mine", encoding="utf-8")
    run(write_versus(found, out, overwrite=True))
    assert (out / "notes.txt").exists() and not list(out.glob("*.part"))
