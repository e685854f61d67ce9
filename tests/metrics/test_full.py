"""The full report's parts: the figures of the tallies they are made of, the same in blocks, honest where nothing is."""

from __future__ import annotations

import math

import numpy as np
import pytest

from cscl.events import run
from cscl.legend import Legend
from cscl.metrics.full import FullTally, full_margin_px, full_parts
from cscl.metrics.objects import hoover
from cscl.metrics.overlaps import Overlaps
from cscl.metrics.regions import class_regions
from cscl.metrics.segmentation import persello_bruzzone, segmentation_errors
from cscl.metrics.surface import SurfaceTally
from cscl.metrics.tolerance import ToleranceTally
from cscl.report.part_text import in_words

LEGEND = Legend.from_codes(["GRA", "MAI", "WWH", "RAP"])  # no pixel is RAP
SIZE = (10.0, 10.0)


def maps(side: int = 70, seed: int = 0) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Truth, prediction and parcels: squares of 10 pixels, moved by one, with noise, one crop wrong, land unknown."""
    rng = np.random.default_rng(seed)
    squares, crops = np.arange(1, 1 + (side // 10) ** 2).reshape(side // 10, -1), rng.integers(0, 3, (side // 10,) * 2)
    parcels, truth = (np.kron(a, np.ones((10, 10), int)) for a in (squares, crops))
    crops[3, 3] = (crops[3, 3] + 1) % 3
    guess = np.roll(np.kron(crops, np.ones((10, 10), int)), 1, 1)
    guess = np.where(rng.random(guess.shape) < 0.03, rng.integers(0, 3, guess.shape), guess)
    truth[:15, :12] = -1
    parcels[truth < 0] = 0
    guess[40, 50:60] = -1
    return truth, guess, parcels


def test_parts_say_what_the_tallies_say() -> None:
    truth, guess, parcels = maps()
    edges, tolerant, segmentation, counts, objects = run(
        full_parts(truth, guess, parcels, legend=LEGEND, pixel_size_m=SIZE, reach_m=math.inf)
    )
    args = {"classes": 4, "pixel_size_m": SIZE}
    corners, pixels = (SurfaceTally.of(truth, guess, elements=e, **args).result() for e in ("corners", "pixels"))
    assert edges["boundary_f1_10m"] == pixels.mean_f1[0] and edges["surface_dice_20m"] == corners.mean_nsd[1]
    assert edges["hd95_m"] == np.median(corners.hausdorff_m[:3])
    assert edges["average_distance_m"] == corners.mean_average_m
    assert tolerant["accuracy_20m"] == ToleranceTally.of(truth, guess, **args).result().accuracy[2]
    segments = class_regions(guess, -1)
    overlaps = Overlaps.of(parcels, segments)
    over, under, total = segmentation_errors(overlaps, "segments").by_area
    assert (segmentation["goc"], segmentation["guc"], segmentation["gtc"]) == (over, under, total)
    assert segmentation["edge_error"] == persello_bruzzone(overlaps, parcels, segments).mean["edge"]
    assert counts["correct"] == hoover(overlaps, 0.8).correct and counts["parcels"] == len(np.unique(parcels)) - 1
    assert counts.tables["by_threshold"]["threshold"].tolist()[0::8] == [0.55, 0.95]
    assert 0 < objects["f1_mean"] < objects["f1_50"] <= 1 and 0 < objects["pq"] < objects["sq"] < 1
    for part in (segmentation, counts, objects):
        assert "Needs the whole map at once; not the same in blocks" in part.definition


@pytest.mark.parametrize("block", [33])
def test_blocks_do_not_show(block: int, monkeypatch: pytest.MonkeyPatch) -> None:
    truth, guess, parcels = maps()
    args = {"legend": LEGEND, "pixel_size_m": SIZE, "reach_m": 60.0}
    whole = run(full_parts(truth, guess, parcels, **args, block_px=1000))
    monkeypatch.setattr("cscl.metrics.object_parts.AT_ONCE_PX", 11 * 70)
    pieces = run(full_parts(truth, guess, parcels, **args, block_px=block))
    for a, b in zip(whole, pieces, strict=True):
        np.testing.assert_allclose([v.value for v in a.values], [v.value for v in b.values], rtol=1e-12)
        for name, table in a.tables.items():
            numbers = [t[name].select_dtypes("number") for t in (a.tables, b.tables)]
            assert len(table)
            np.testing.assert_allclose(*numbers, rtol=1e-12)


def test_what_lies_beyond_the_reach_is_said_and_capped() -> None:
    truth = np.zeros((3, 60), int)
    truth[:, 5:] = 1
    guess = np.zeros_like(truth)
    guess[:, 45:] = 1  # the edge lies 400 m away
    far, all_of_it = (
        FullTally.of(truth, guess, classes=4, pixel_size_m=SIZE, reach_m=reach).parts(LEGEND)[0]
        for reach in (200.0, math.inf)
    )
    assert far["hd95_m"] == math.inf and far["average_distance_m"] == 200
    assert any("more than 200 m" in remark for remark in far.remarks)
    hd95 = next(value for value in far.values if value.key == "hd95_m")
    assert in_words(hd95) == "more than 200 m" and far.to_dict()["values"]["hd95_m"]["low"] == 200
    assert all_of_it["hd95_m"] == all_of_it["average_distance_m"] == 400
    assert full_margin_px(SIZE, 200.0) == 21 and "whole map" in all_of_it.definition


def test_maps_with_nothing_to_measure() -> None:
    void = np.full((12, 12), -1)
    args = {"legend": LEGEND, "pixel_size_m": SIZE}
    parts = run(full_parts(void, np.zeros_like(void), None, **args))
    assert all(math.isnan(v.value) for part in parts[:2] for v in part.values)
    assert parts[3]["parcels"] == 0 and math.isnan(parts[4]["pq"])
    assert "stand in" in parts[2].remarks[0]
    judged = np.zeros(void.shape, bool)
    judged[:, :6] = True
    one = np.where(np.arange(12) < 6, 0, 1) * np.ones((12, 1), int)
    parts = run(full_parts(one, one, one + 1, judged_YX=judged, **args))
    assert parts[3]["parcels"] == 1 and parts[0].tables["by_class"]["true_edge_m"].sum() == 0
    assert all(part.to_dict()["definition"] for part in parts)
