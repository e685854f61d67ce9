"""The parts of a report: the same in blocks as in one piece, and the figures of the measures that they come from."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import xarray as xr
from affine import Affine

from cscl.errors import OutputError
from cscl.events import run
from cscl.grid import GeoBox, Window
from cscl.inference.assess import Assessment, AssessOptions, assess
from cscl.inference.judging import Judged
from cscl.legend import CropClass, Legend
from cscl.metrics.boundary import distance_to_class_edge, distance_to_parcel_edge
from cscl.metrics.boundary_iou import BoundaryIoUTally
from cscl.metrics.calibration import CalibrationTally
from cscl.metrics.trimap import TrimapTally
from cscl.products import LabelMap, Prediction
from cscl.report.kinds import WRONG, Kind

SHAPE, SIZE = (90, 104), (10.0, 10.0)
GRID = GeoBox(SHAPE, Affine(10, 0, 500_000, 0, -10, 5_000_000), "EPSG:32631")
LEGEND = Legend(tuple(CropClass(i, f"c{i}", f"crop {i}", "#112233") for i in (3, 5, 8, 9)))
DEFAULT = [
    "kinds", "distance", "strata", "split", "trimap", "boundary_iou", "calibration", "parcel_errors", "edge_errors",
    "class_pairs",
]  # fmt: skip


@pytest.fixture(scope="module")
def labels() -> LabelMap:
    """Parcels of 9 x 8 pixels with unknown ones among them and a road that is in none."""
    rng = np.random.default_rng(0)
    parcels = np.kron(np.arange(1, 131).reshape(10, 13), np.ones((9, 8), np.int32)).astype(np.int32)
    parcels[40] = 0
    crop = np.array([255, *rng.choice([3, 5, 8, 255], 130, p=[0.3, 0.3, 0.3, 0.1])], np.uint8)
    ids = crop[parcels]
    ids[40, :60] = 9
    return LabelMap(ids, GRID, LEGEND, parcels, "register")


@pytest.fixture(scope="module")
def prediction(labels: LabelMap) -> Prediction:
    """Shifted by a pixel, with noise, holes, and probabilities that favour the mapped class."""
    rng = np.random.default_rng(1)
    ids = np.roll(np.where(labels.ids == 255, 9, labels.ids), 1, axis=1)
    ids = np.where(rng.random(SHAPE) < 0.1, rng.choice([3, 5, 8, 9], SHAPE), ids).astype(np.uint8)
    given = rng.dirichlet([1, 1, 1, 1], SHAPE).transpose(2, 0, 1) + 2 * (ids == np.array(LEGEND.ids)[:, None, None])
    stored = np.rint(given / given.sum(0) * 250).astype(np.uint8)
    hole = rng.random(SHAPE) < 0.03
    ids[hole], stored[:, hole] = 255, 255
    dims = ("y", "x")
    many = xr.DataArray(stored, dims=("class", *dims))
    return Prediction(
        xr.DataArray(ids, dims=dims), xr.DataArray(np.where(hole, 255, stored.max(0)).astype(np.uint8), dims=dims),
        GRID, LEGEND, many,
    )  # fmt: skip


@pytest.fixture(scope="module")
def found(prediction: Prediction, labels: LabelMap) -> Assessment:
    return run(assess(prediction, labels, AssessOptions(1000)))


STRIP = np.zeros(SHAPE, bool)
STRIP[:, 30:70] = True


@pytest.mark.parametrize(
    ("judged", "window", "parcels", "full"),
    [
        (None, None, True, True),
        (Judged(STRIP, "of a strip"), None, True, True),
        (None, Window(13, 24, 60, 57), True, False),
        (Judged(STRIP, "of a strip"), Window(13, 24, 60, 57), False, True),
    ],
)
def test_blocks_change_no_part(
    prediction: Prediction, labels: LabelMap, judged: Judged | None, window: Window | None, parcels: bool, full: bool
) -> None:
    """Void, holes, land outside parcels, classes that the map alone has: all of it, cut and whole."""
    labels = labels if parcels else replace(labels, parcel_ids=None)
    whole, cut = (
        run(assess(prediction, labels, AssessOptions(size, full=full), judged=judged, window=window))
        for size in (1000, 16)
    )
    assert [part.key for part in whole.report.parts][: len(DEFAULT)] == DEFAULT
    for one, two in zip(whole.report.parts, cut.report.parts, strict=True):
        assert one.key == two.key and list(one.tables) == list(two.tables) and one.remarks == two.remarks
        for a, b in zip(one.values, two.values, strict=True):
            assert a.key == b.key
            assert (a.value, a.low, a.high) == pytest.approx((b.value, b.low, b.high), rel=1e-6, nan_ok=True), a.key
        for name, table in one.tables.items():
            pd.testing.assert_frame_equal(table, two.tables[name], rtol=1e-6, obj=f"{one.key} {name}")
    np.testing.assert_array_equal(whole.atlas.kinds_YX, cut.atlas.kinds_YX)
    np.testing.assert_array_equal(whole.report.accuracy.counts, cut.report.accuracy.counts)


def test_figures_are_those_of_the_measures(found: Assessment, prediction: Prediction, labels: LabelMap) -> None:
    parts = {part.key: part for part in found.report.parts}
    truth, guess = labels.index(), LEGEND.to_index(prediction.ids.values)
    right, judged = truth == guess, (truth >= 0) & (guess >= 0)
    assert labels.parcel_ids is not None
    edges = {
        "class_edge": distance_to_class_edge(truth, SIZE, 80.0),
        "parcel_edge": distance_to_parcel_edge(labels.parcel_ids, SIZE, 80.0),
    }
    for name, distance in edges.items():
        for row in parts["distance"].tables[name].itertuples():
            here = judged & (distance > row.from_m) & (distance <= row.to_m)
            assert (row.pixels, row.right) == (here.sum(), (here & right).sum())
            assert row.accuracy == pytest.approx(right[here].mean() if here.any() else math.nan, nan_ok=True)
            assert math.isnan(row.low) or row.low <= row.accuracy <= row.high
    trimap = TrimapTally.of(truth, guess, classes=4, pixel_size_m=SIZE).result()
    curve = parts["trimap"].tables["by_width"]
    np.testing.assert_allclose(curve["accuracy"], trimap.accuracy)
    np.testing.assert_allclose(curve["mean_iou"], trimap.mean_iou)
    split = parts["split"].tables["split"].set_index(["definition", "part"])
    within = split.loc["within 20 m"]
    assert within["pixels"].sum() == judged.sum() and within.loc["boundary", "accuracy"] == trimap.accuracy[1]
    published = found.report.boundary.split("class boundary, published").interior
    assert split.loc[("class boundary, published", "interior"), "accuracy"] == published.overall_accuracy
    assert split.loc[("class boundary, published", "interior"), "mean_iou"] == published.mean_iou
    bands = BoundaryIoUTally.of(truth, guess, classes=4, pixel_size_m=SIZE).result()
    assert [parts["boundary_iou"][f"boundary_iou_{w}m"] for w in (10, 20, 30)] == list(bands.mean)
    chess = BoundaryIoUTally.published(truth, guess, classes=4, width_px=1).result()
    assert parts["boundary_iou"]["boundary_iou_published_1px"] == chess.mean[0]
    kinds = parts["kinds"].tables["kinds"].set_index("kind")
    assert {name: row.pixels for name, row in kinds.iterrows()} == {
        k.name.lower(): (found.atlas.kinds_YX == k).sum() for k in (Kind.RIGHT, *WRONG)
    }
    assert kinds["share"].sum() == pytest.approx(1) and kinds["share_of_wrong"].sum() == pytest.approx(1)


def test_calibration_is_that_of_the_stored_probabilities(
    found: Assessment, prediction: Prediction, labels: LabelMap
) -> None:
    part = next(part for part in found.report.parts if part.key == "calibration")
    many = prediction.probabilities.values
    given = np.where(many == 255, np.nan, many / 250)
    slow = CalibrationTally.of(given, labels.index()).result(15)
    values = {value.key: value.value for value in part.values}
    assert values["brier"] == pytest.approx(slow.brier) and values["log_loss"] == pytest.approx(slow.log_loss, rel=1e-4)
    assert values["class_wise_error"] == pytest.approx(slow.class_wise_error)
    top = np.where(prediction.confidence.values == 255, np.nan, prediction.confidence.values / 250)
    right = labels.index() == LEGEND.to_index(prediction.ids.values)
    there = (labels.index() >= 0) & ~np.isnan(top)
    bins = np.clip(np.ceil(top[there] * 15 - 1e-9), 1, 15)
    gaps = [abs(right[there][bins == b].mean() - top[there][bins == b].mean()) * (bins == b).sum() for b in set(bins)]
    assert values["expected_calibration_error"] == pytest.approx(sum(gaps) / there.sum(), abs=1e-9)
    assert 0.05 < values["temperature"] < 20
    assert values["ece_after_temperature"] < values["ece_before_temperature"]
    without = run(assess(replace(prediction, probabilities=None), labels))
    part = next(part for part in without.report.parts if part.key == "calibration")
    assert "--probabilities" in part.remarks[0] and list(part.tables) == ["reliability"]
    assert part["expected_calibration_error"] == values["expected_calibration_error"]


def test_parts_are_written(found: Assessment, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = found.report.write(tmp_path / "out")
    plain = json.loads((folder / "report.json").read_text(encoding="utf-8"))
    page = (folder / "report.md").read_text(encoding="utf-8")
    for part in found.report.parts:
        assert part.title in page and plain["parts"][part.key]["title"] == part.title
        for name, table in part.tables.items():
            assert len(pd.read_csv(folder / part.files[name])) == len(table)
    assert len(plain["parts"]["trimap"]["tables"]["by_width"]) == 6
    assert "By distance to the nearest" not in page, "told once, in a part"
    monkeypatch.setattr("cscl.report.report.MOST_ROWS", 5)
    rows = found.report.to_dict()["parts"]["edge_errors"]["tables"]["edge_errors"]
    assert rows == {"rows": len(found.atlas.edges), "file": "edge_errors.csv"}
    with pytest.raises(OutputError, match="--overwrite"):
        found.report.write(folder)
