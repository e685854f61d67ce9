"""Wrong labels that are known are found; what the network has learnt from is not ranked; blocks change nothing."""

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

from cscl.errors import GridError, InputError, MissingError
from cscl.events import Note, Progress, run
from cscl.grid import GeoBox
from cscl.inference.explore import Judged
from cscl.inference.suspect_files import Ranking, write_ranking
from cscl.inference.suspects import SuspectOptions, label_next, pooled, suspects
from cscl.legend import CropClass, Legend
from cscl.parcels import Parcels
from cscl.products import Embedding, LabelMap, Prediction

SIDE, ACROSS = 6, 12
SHAPE = (SIDE * ACROSS, SIDE * ACROSS)
GRID = GeoBox(SHAPE, Affine(10, 0, 500_000, 0, -10, 5_000_000), "EPSG:32631")
LEGEND = Legend(tuple(CropClass(i, f"c{i}", f"crop {i}", "#112233") for i in (3, 5, 8)))
WRONG = (7, 40, 100)
ALL = Judged(None, "of a scene that the model never saw")


def lazy(array: np.ndarray) -> xr.DataArray:
    return xr.DataArray(array, dims=("class", "y", "x")[-array.ndim :])


@pytest.fixture(scope="module")
def scene() -> tuple[LabelMap, Prediction, Embedding]:
    """144 parcels, three of which are declared wrongly; parcel 50 is hard and parcel 60 has no crop."""
    rng = np.random.default_rng(0)
    parcels = np.kron(np.arange(1, 145).reshape(ACROSS, ACROSS), np.ones((SIDE, SIDE), np.int32)).astype(np.int32)
    true = rng.integers(0, 3, 145)
    declared = true.copy()
    declared[list(WRONG)] = (true[list(WRONG)] + 1) % 3
    logits = 4 * np.eye(3)[true]
    logits[50] = (0.3, 0.1, 0)
    pixel = logits[parcels] + rng.normal(0, 0.7, (*SHAPE, 3))
    probability = (np.exp(pixel) / np.exp(pixel).sum(-1, keepdims=True)).transpose(2, 0, 1)
    stored = np.rint(probability * 250).astype(np.uint8)
    ids = LEGEND.to_ids(probability.argmax(0))
    ids[:3, :3] = 255
    stored[:, ids == 255] = 255
    feature = rng.normal(size=(3, 8))[true][parcels] + rng.normal(0, 0.5, (*SHAPE, 8))
    labels = LabelMap(
        np.where(parcels == 60, 255, LEGEND.to_ids(declared)[parcels]).astype(np.uint8), GRID, LEGEND, parcels
    )
    prediction = Prediction(lazy(ids), lazy(stored.max(0)), GRID, LEGEND, lazy(stored))
    values = xr.DataArray(feature.transpose(2, 0, 1).astype(np.float16), dims=("feature", "y", "x"))
    return labels, prediction, Embedding(values, GRID)


def test_wrong_labels_come_first(scene: tuple[LabelMap, Prediction, Embedding]) -> None:
    labels, prediction, embedding = scene
    found = run(suspects(prediction, labels, embedding, ALL))
    assert set(found["id"][:3]) == set(WRONG) and found["score"][:3].min() > 0.8 and found["score"][4:].max() < 0.5
    assert len(found) == 143 and 60 not in set(found["id"])
    first = found.set_index("id").loc[7]
    assert first["declared"] == labels.ids[labels.parcel_ids == 7][0]
    assert first["suggested"] == np.bincount(prediction.ids.values[labels.parcel_ids == 7]).argmax()
    assert f"declared {first['suggested_crop']}" in first["reasons"]
    assert found["reasons"].str.contains("as sure as").equals(found["confident"]) and found["confident"][:3].any()
    assert not found["confident"][4:].any()
    y, x = np.nonzero(labels.parcel_ids == 7)
    assert (first["row0"], first["row1"], first["col0"], first["col1"]) == (y.min(), y.max() + 1, x.min(), x.max() + 1)
    assert (first["row"], first["col"], first["pixels"], first["area_ha"]) == (y.mean(), x.mean(), 36, 0.36)
    wanted = (1 + first["share_suggested"] - first["share_declared"]) / 2
    wanted = (wanted + (1 + first["like_suggested"] - first["like_declared"]) / 2) / 2
    assert first["score"] == pytest.approx(wanted, abs=1e-6)


def test_with_less_to_go_by(scene: tuple[LabelMap, Prediction, Embedding]) -> None:
    """Without embedding, and without the probabilities of all classes."""
    labels, prediction, _ = scene
    found = run(suspects(prediction, labels, None, ALL))
    less = run(suspects(replace(prediction, probabilities=None), labels, None, ALL))
    for table in (found, less):
        assert set(table["id"][:3]) == set(WRONG) and table["like_declared"].isna().all()
    one = less.set_index("id").loc[8]
    inside = np.zeros(SHAPE, bool)
    inside[:5, 43:47] = True  # the border of the scene is no boundary
    sure, right = prediction.confidence.values[inside] / 250, prediction.ids.values[inside] == one["declared"]
    assert one["share_declared"] == pytest.approx(np.where(right, sure, (1 - sure) / 2).mean(), abs=1e-5)


def test_what_was_learnt_from_is_not_ranked(scene: tuple[LabelMap, Prediction, Embedding]) -> None:
    labels, prediction, embedding = scene
    left = np.zeros(SHAPE, bool)
    left[:, :33] = True  # cuts the sixth column of parcels
    found = [run(suspects(prediction, labels, embedding, Judged(w, "here"))) for w in (left, ~left)]
    columns = [set((table["id"] - 1) % ACROSS) for table in found]
    assert columns == [set(range(5)), set(range(6, 12))]
    both = pooled([*found, found[0].assign(score=0.0)])
    assert set(both["id"]) == set(found[0]["id"]) | set(found[1]["id"]) and both["score"].is_monotonic_decreasing
    one = found[0].iloc[0]
    assert both.set_index("id")["score"][one["id"]] == one["score"] / 2
    with pytest.raises(InputError, match="the moon, so none can be ranked"):
        run(suspects(prediction, labels, embedding, Judged(np.zeros(SHAPE, bool), "on the moon")))


def test_blocks_change_nothing(scene: tuple[LabelMap, Prediction, Embedding]) -> None:
    labels, prediction, embedding = scene
    for job in (
        lambda o: suspects(prediction, labels, embedding, ALL, o),
        lambda o: label_next(prediction, labels, o),
    ):
        whole, cut = (run(job(SuspectOptions(block_px=size))) for size in (512, 13))
        numbers = whole.select_dtypes("number").columns
        assert np.allclose(whole[numbers], cut[numbers], atol=1e-5) and whole["reasons"].equals(cut["reasons"])


def test_label_next(scene: tuple[LabelMap, Prediction, Embedding]) -> None:
    labels, prediction, _ = scene
    found = run(label_next(prediction, labels))
    assert found["id"][0] == 50 and len(found) == 144 and found["score"][0] > 2 * found["score"][1]
    row, here = found.iloc[0], labels.parcel_ids == 50
    p = prediction.probabilities.values[:, here].astype(float)
    p = p / p.sum(0)
    entropy = -(p * np.log(np.maximum(p, 1e-12))).sum(0) / math.log(3)
    assert row["uncertainty"] == pytest.approx(entropy.mean(), abs=1e-4)
    inside = np.zeros(SHAPE, bool)
    inside[25:29, 7:11] = True
    majority = np.bincount(p.argmax(0)[inside[here]], minlength=3).argmax()
    assert row["disagreement"] == pytest.approx((p.argmax(0)[~inside[here]] != majority).mean())
    assert row["suggested"] == LEGEND.ids[majority] and row["score"] == (row["uncertainty"] + row["disagreement"]) / 2
    alone = run(label_next(prediction, labels, unlabelled_only=True))
    assert alone["id"].tolist() == [60] and alone["declared"][0] == 255 and alone["declared_crop"][0] == ""


def test_progress_and_refusals(scene: tuple[LabelMap, Prediction, Embedding]) -> None:
    labels, prediction, embedding = scene
    job = suspects(prediction, labels, embedding, ALL, SuspectOptions(block_px=64))
    assert next(job) == Progress("looking at parcels", 1, 4, "block")
    job.close()
    other = replace(labels, legend=Legend((CropClass(3, "other", "other", "#112233"), *LEGEND.classes[1:])))
    assert isinstance(next(suspects(prediction, other, embedding, ALL)), Note)
    with pytest.raises(MissingError, match="do not know their parcels"):
        run(suspects(prediction, replace(labels, parcel_ids=None), embedding, ALL))
    elsewhere = GeoBox(SHAPE, Affine(10, 0, 0, 0, -10, 0), "EPSG:32631")
    with pytest.raises(GridError, match="embedding"):
        run(suspects(prediction, labels, replace(embedding, grid=elsewhere), ALL))
    nothing = replace(prediction, ids=prediction.ids.copy(data=np.full(SHAPE, 255, np.uint8)))
    with pytest.raises(InputError, match="has a predicted pixel"):
        run(label_next(nothing, labels))
    assert isinstance(run(label_next(prediction, labels)), pd.DataFrame)


@pytest.mark.parametrize("key", ["suspects", "label_next"])
def test_files(key: str, scene: tuple[LabelMap, Prediction, Embedding], tmp_path: Path) -> None:
    """The parcels come in another CRS and in another order than they are ranked."""
    labels, prediction, embedding = scene
    table = run(suspects(prediction, labels, embedding, ALL) if key == "suspects" else label_next(prediction, labels))
    ranking = Ranking.of_suspects(table) if key == "suspects" else Ranking.of_label_next(table)
    ids = np.unique(labels.parcel_ids[labels.parcel_ids > 0])[::-1]
    places = [np.argwhere(labels.parcel_ids == i).mean(0) + 0.5 for i in ids]
    x, y = GRID.transform @ np.array(places).T[::-1]
    boxes = shapely.box(x - 9, y - 9, x + 9, y + 9)
    register = {"parcel_id": ids, "code": "A", "Score": "theirs", "pid": [f"FR-{i}" for i in ids]}
    shapes = gpd.GeoDataFrame(register, geometry=boxes, crs=str(GRID.crs))
    parcels = Parcels(shapes.to_crs("EPSG:4326"), "register", id_column="pid")
    page = run(write_ranking(ranking, labels, parcels, tmp_path / "out"))
    layer = gpd.read_file(tmp_path / "out" / f"{key}.gpkg", layer=key)
    assert layer["rank"].tolist() == list(range(1, len(table) + 1))
    assert layer["parcel_id"].tolist() == table["id"].tolist()
    assert layer["reasons"].tolist() == table["reasons"].tolist() and (layer["Score_given"] == "theirs").all()
    assert layer["priority"].tolist() == ["1"] * 20 + ["2"] * 30 + ["3"] * (len(table) - 50)
    layer_ids = layer["pid"].tolist()
    layer = layer[layer["parcel_id"] != 1]  # a corner of that one has no prediction, so its centre is another
    centre = layer.to_crs(str(GRID.crs)).geometry.centroid
    np.testing.assert_allclose([centre.x, centre.y], [layer["x"], layer["y"]], atol=0.01)
    np.testing.assert_allclose(layer.geometry.centroid.x, layer["lon"], atol=1e-6)
    written = pd.read_csv(tmp_path / "out" / f"{key}.csv")
    assert written["id"].tolist() == table["id"].tolist() and written["rank"][0] == 1
    assert written["own_id"].tolist() == layer_ids == [f"FR-{i}" for i in table["id"]]
    said = page.read_text(encoding="utf-8")
    assert "How far to trust it" in said and table["reasons"][0][:40] in said
    with pytest.raises(InputError, match=r"1 of .* ranked parcels are not in register"):
        few = Parcels(parcels.table[parcels.table["parcel_id"] != table["id"][0]], "register")
        run(write_ranking(ranking, labels, few, tmp_path / "other"))
    assert not (tmp_path / "other").exists()
