"""The job: figures against direct counts, whatever the blocks; legends that differ; refusals."""

from __future__ import annotations

import json
import math
from dataclasses import replace

import numpy as np
import pytest
import xarray as xr
from affine import Affine

from cscl.errors import GridError, InputError
from cscl.events import Note, Progress, run
from cscl.grid import GeoBox, Window
from cscl.inference.assess import AssessOptions, assess
from cscl.inference.judging import Judged
from cscl.legend import CropClass, Legend
from cscl.metrics.boundary import class_boundary, parcel_boundary
from cscl.metrics.kinds import error_kinds
from cscl.products import LabelMap, Prediction
from cscl.recipe import build
from cscl.report.kinds import Kind

SHAPE = (75, 93)
GRID = GeoBox(SHAPE, Affine(10, 0, 500_000, 0, -10, 5_000_000), "EPSG:32631")
LEGEND = Legend.from_codes([3, 5, 8, 9])


def lazy(array: np.ndarray) -> xr.DataArray:
    return xr.DataArray(array, dims=("y", "x"))


@pytest.fixture
def labels() -> LabelMap:
    """Parcels of about 11 x 13 pixels with gaps between some; two neighbours may grow the same crop."""
    rng = np.random.default_rng(0)
    parcels = np.kron(np.arange(1, 57).reshape(7, 8), np.ones((11, 12), np.int32))[: SHAPE[0], : SHAPE[1]]
    parcels = np.where((np.arange(SHAPE[0])[:, None] % 22 == 10) | (parcels % 9 == 4), 0, parcels).astype(np.int32)
    crop = np.array([255, *rng.choice([3, 5, 8, 255], 56, p=[0.3, 0.3, 0.3, 0.1])], np.uint8)
    return LabelMap(crop[parcels], GRID, LEGEND, parcels, "register")


@pytest.fixture
def prediction(labels: LabelMap) -> Prediction:
    """Right, but shifted by two pixels, with noise and some pixels without prediction."""
    rng = np.random.default_rng(1)
    ids = np.roll(np.where(labels.ids == 255, 9, labels.ids), 2, axis=1)
    ids = np.where(rng.random(SHAPE) < 0.1, rng.choice([3, 5, 8, 9, 255], SHAPE), ids).astype(np.uint8)
    confidence = np.where(ids == 255, 255, rng.integers(0, 251, SHAPE)).astype(np.uint8)
    return Prediction(lazy(ids), lazy(confidence), GRID, LEGEND, facts={"model": "a model"})


def test_figures(prediction: Prediction, labels: LabelMap) -> None:
    report = run(assess(prediction, labels)).report
    truth, guess = labels.index(), LEGEND.to_index(prediction.ids.values)
    judged = (truth >= 0) & (guess >= 0)
    right = truth == guess
    assert report.accuracy.overall_accuracy == right[judged].mean()
    assert report.accuracy.pixels == judged.sum()
    masks = {
        "class boundary": class_boundary(truth),
        "class boundary, published": class_boundary(truth, void_counts=True),
        "parcel boundary, 1 px": parcel_boundary(labels.parcel_ids, 1),
        "parcel boundary, 2 px": parcel_boundary(labels.parcel_ids, 2),
    }
    assert [split.name for split in report.boundary.splits] == list(masks)
    for name, mask in masks.items():
        split = report.boundary.split(name)
        assert split.boundary.overall_accuracy == right[judged & mask].mean()
        assert split.interior.overall_accuracy == right[judged & ~mask].mean()
        assert split.boundary.pixels + split.interior.pixels == report.accuracy.pixels
    for curve in report.boundary.curves:
        assert curve.limits_m == (10, 20, 30, 50, 80, math.inf)
        assert sum(curve.pixels) == judged.sum() and sum(curve.right) == right[judged].sum()
    assert report.facts["model"] == "a model" and report.facts["window"] == "rows 0:75, columns 0:93"


def test_parcels(prediction: Prediction, labels: LabelMap) -> None:
    parcels = run(assess(prediction, labels)).report.boundary.parcels
    assert parcels is not None and labels.parcel_ids is not None
    known = np.unique(labels.parcel_ids[(labels.ids != 255) & (labels.parcel_ids > 0)])
    np.testing.assert_array_equal(parcels.parcel_id, known)
    confidence = np.where(prediction.confidence == 255, np.nan, prediction.confidence / 250.0)
    for i, parcel in enumerate(known):
        inside = labels.parcel_ids == parcel
        votes = np.bincount(prediction.ids.values[inside], minlength=256)[list(LEGEND.ids)]
        assert parcels.majority[i] == votes.argmax() and parcels.majority_px[i] == votes.max()
        assert parcels.px[i] == inside.sum() and parcels.predicted_px[i] == votes.sum()
        assert parcels.confidence[i] == pytest.approx(np.nanmean(confidence[inside]), rel=1e-6)


@pytest.mark.parametrize("window", [None, Window(13, 24, 40, 57)])
@pytest.mark.parametrize("limits", [(10.0, 20.0, 80.0), (4.0,)])
def test_blocks_change_nothing(
    prediction: Prediction, labels: LabelMap, limits: tuple[float, ...], window: Window | None
) -> None:
    whole = run(assess(prediction, labels, AssessOptions(1000, limits), window=window)).report
    cut = run(assess(prediction, labels, AssessOptions(7, limits), window=window)).report
    assert json.dumps(cut.to_dict()["boundary"]) == json.dumps(whole.to_dict()["boundary"])
    np.testing.assert_array_equal(cut.accuracy.counts, whole.accuracy.counts)
    for name, column in vars(cut.boundary.parcels).items():
        np.testing.assert_array_equal(column, getattr(whole.boundary.parcels, name))


def test_window_sees_edges_beyond_it(prediction: Prediction, labels: LabelMap) -> None:
    window = Window(13, 24, 40, 57)
    report = run(assess(prediction, labels, window=window)).report
    truth, guess = labels.index(), LEGEND.to_index(prediction.ids.values)
    at_edge = ((guess >= 0) & class_boundary(truth))[window.slices]
    assert report.boundary.split("class boundary").boundary.pixels == at_edge.sum()


def test_reports_progress_and_can_be_closed(prediction: Prediction, labels: LabelMap) -> None:
    job = assess(prediction, labels, AssessOptions(block_px=32))
    assert [next(job) for _ in range(10)][9] == Progress("assessing", 1, 9, "block")
    job.close()


def test_without_parcels(prediction: Prediction, labels: LabelMap) -> None:
    report = run(assess(prediction, replace(labels, parcel_ids=None))).report
    assert [split.name for split in report.boundary.splits] == ["class boundary", "class boundary, published"]
    assert [curve.name for curve in report.boundary.curves] == ["class edge"]
    assert report.boundary.parcels is None and "parcels" in report.remarks[0]


def test_classes_are_matched_by_id(prediction: Prediction, labels: LabelMap) -> None:
    """The model knows 9, 3 and 5 in this order, and 8 not; the labels have bare ids, the model has names."""
    few = Legend(tuple(CropClass(i, c, f"{c} crop", "#000000") for i, c in ((9, "n"), (3, "t"), (5, "f"))), ignore=8)
    ids = prediction.ids.where(prediction.ids != 255, 8)
    events: list[object] = []
    report = run(assess(replace(prediction, ids=ids, legend=few), labels), events.append).report
    assert [(s.id, s.code) for s in report.accuracy.classes] == [(3, "t"), (5, "f"), (8, "8"), (9, "n")]
    truth, guess = labels.index(), LEGEND.to_index(prediction.ids.values)
    judged = (truth >= 0) & (guess >= 0) & (guess != 2)
    assert report.accuracy.pixels == judged.sum()
    assert report.accuracy.overall_accuracy == (truth == guess)[judged].mean()
    assert report.accuracy.classes[2].recall == 0
    assert report.remarks[0].startswith("Class 8 (8) is in the labels") and "codes" not in report.remarks[0]
    assert [e.text for e in events if isinstance(e, Note) and e.warning] == [report.remarks[0]]


def test_web_mercator_is_warned_of(prediction: Prediction, labels: LabelMap) -> None:
    grid = GeoBox(GRID.shape, GRID.transform, "EPSG:3857")
    events: list[object] = []
    run(assess(replace(prediction, grid=grid), replace(labels, grid=grid)), events.append)
    assert any("Web Mercator" in event.text for event in events if isinstance(event, Note) and event.warning)


def test_codes_that_disagree_are_named(prediction: Prediction, labels: LabelMap) -> None:
    mine = Legend.from_codes(["oat", "rye"])
    theirs = Legend.from_codes(["rye", "soy"])
    ids = np.where(labels.ids == 3, 1, np.where(labels.ids == 5, 2, 255)).astype(np.uint8)
    guess = replace(prediction, ids=lazy(ids), legend=theirs)
    report = run(assess(guess, replace(labels, ids=ids, legend=mine))).report
    assert "1 (oat / rye), 2 (rye / soy)" in report.remarks[0]


def test_atlas_and_report_count_the_same(prediction: Prediction, labels: LabelMap) -> None:
    found = run(assess(prediction, labels, AssessOptions(reach_m=35.0)))
    errors, report = found.atlas.kinds_YX, found.report
    truth, guess = labels.index(), LEGEND.to_index(prediction.ids.values)
    np.testing.assert_array_equal(errors, error_kinds(truth, guess, (10, 10), 35))
    assert (errors > Kind.RIGHT).sum() == report.accuracy.pixels - np.trace(report.accuracy.counts)
    window = Window(13, 24, 40, 57)
    part = run(assess(prediction, labels, AssessOptions(16, reach_m=35.0), window=window)).atlas.kinds_YX
    np.testing.assert_array_equal(part[window.slices], errors[window.slices])
    assert (part > 0).sum() == (errors[window.slices] > 0).sum()


def test_held_out_pixels_keep_their_edges(prediction: Prediction, labels: LabelMap) -> None:
    """A strip that is judged alone is counted as it is in the whole map: its neighbours still make edges."""
    where = np.zeros(SHAPE, bool)
    where[:, 24:40] = True
    found = run(assess(prediction, labels, judged=Judged(where, "of a strip")))
    strip = run(assess(prediction, labels, window=Window(0, 24, SHAPE[0], 16))).report
    assert found.report.facts["judged"] == "pixels of a strip" and (found.atlas.kinds_YX[~where] == 0).all()
    assert json.dumps(found.report.to_dict()["boundary"]) == json.dumps(strip.to_dict()["boundary"])
    np.testing.assert_array_equal(found.report.accuracy.counts, strip.accuracy.counts)


def test_refusals(prediction: Prediction, labels: LabelMap) -> None:
    shifted = GeoBox(SHAPE, Affine(10, 0, 500_010, 0, -10, 5_000_000), GRID.crs)
    with pytest.raises(GridError, match="pixels apart"):
        run(assess(prediction, replace(labels, grid=shifted)))
    degrees = GeoBox(SHAPE, Affine(1e-4, 0, 3, 0, -1e-4, 45), "EPSG:4326")
    with pytest.raises(GridError, match="degrees"):
        run(assess(replace(prediction, grid=degrees), replace(labels, grid=degrees)))
    nothing = replace(labels, ids=np.full(SHAPE, 255, np.uint8))
    with pytest.raises(InputError, match="no pixel of known class in rows 0:5, columns 0:93"):
        run(assess(prediction, nothing, window=Window(0, 0, 5, 93)))
    with pytest.raises(InputError, match="more than 500 pixels"):
        run(assess(prediction, labels, AssessOptions(distances_m=(10.0, 1e9))))


@pytest.mark.parametrize("limits", [(), (0.0, 10.0), (20.0, 10.0), (10.0, math.inf), (math.nan,)])
def test_distances_must_rise(limits: tuple[float, ...]) -> None:
    with pytest.raises(InputError, match="rising"):
        AssessOptions(distances_m=limits)


def test_options_are_read_like_a_recipe() -> None:
    assert build(AssessOptions, {"distances_m": [15, 40.0], "block_px": 128}, "test").distances_m == (15.0, 40.0)
