"""Labels whose outlines are moved back before they are rasterised: by how much, who says so, and what is refused."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from cscl.card import ModelCard
from cscl.cli import main
from cscl.cube import SITSCube
from cscl.data.readers import open_cube
from cscl.data.scenes import LabelOptions, open_labels
from cscl.errors import InputError
from cscl.events import Event, Note, run
from cscl.inference.align_labels import read_labels
from cscl.products import LabelMap
from cscl.simulate import SeasonOptions, simulate
from cscl.simulate.write import write_season

CROPS = LabelOptions(class_column="crop")
OPTIONS = SeasonOptions(size_px=96, dates=6, parcel_size="small", seed=3)


@pytest.fixture(scope="module")
def season(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Outlines 10 m off the land, each by another 5 m."""
    off = replace(OPTIONS, outline_shift_m=10, outline_jitter_m=5)
    return run(write_season(run(simulate(off)), tmp_path_factory.mktemp("align") / "season"))


@pytest.fixture(scope="module")
def cube(season: Path) -> SITSCube:
    return open_cube(season)


@pytest.fixture(scope="module")
def truth(cube: SITSCube, tmp_path_factory: pytest.TempPathFactory) -> LabelMap:
    steady = run(write_season(run(simulate(OPTIONS)), tmp_path_factory.mktemp("truth") / "season"))
    return open_labels(steady / "parcels.gpkg", cube.grid, CROPS)


def right(labels: LabelMap, truth: LabelMap) -> float:
    """Share of the pixels in the right parcel."""
    assert labels.parcel_ids is not None and truth.parcel_ids is not None
    return float((labels.parcel_ids == truth.parcel_ids)[truth.parcel_ids > 0].mean())


def test_labels_fit_the_better_the_more_is_moved(season: Path, cube: SITSCube, truth: LabelMap) -> None:
    share, told = {}, {}
    for by in ("no", "scene", "parcels"):
        events: list[Event] = []
        labels = run(read_labels(season / "parcels.gpkg", cube, replace(CROPS, align=by)), events.append)  # type: ignore[arg-type]
        share[by], told[by] = right(labels, truth), [e.text for e in events if isinstance(e, Note)]
        assert len(told[by]) == sum("outlines" in note for note in labels.notes) == (by != "no")
    assert share["no"] + 0.08 < share["scene"] < share["parcels"] - 0.02
    assert "by the offset of the scene. Before that: The outlines lie" in told["scene"][0]
    assert "Each by itself fits best another" in told["parcels"][0]


def test_nothing_is_moved_by_what_is_not_clear(season: Path, cube: SITSCube, tmp_path: Path) -> None:
    import geopandas as gpd

    gpd.read_file(season / "parcels.gpkg").iloc[:12].to_file(tmp_path / "few.gpkg")
    events: list[Event] = []
    moved = run(read_labels(tmp_path / "few.gpkg", cube, replace(CROPS, align="scene")), events.append)
    plain = open_labels(tmp_path / "few.gpkg", cube.grid, CROPS)
    assert np.array_equal(moved.ids, plain.ids) and "left where they are" in moved.notes[0]
    assert any(isinstance(e, Note) and e.warning and "at least 20" in e.text for e in events)


def test_what_cannot_be_moved_is_refused(season: Path, cube: SITSCube) -> None:
    asked = replace(CROPS, align="tiles")
    with pytest.raises(InputError, match="polygons"):
        run(read_labels(season / "labels.tif", cube, asked))
    with pytest.raises(InputError, match="cscl align IMAGES PARCELS OUT --by tiles"):
        open_labels(season / "parcels.gpkg", cube.grid, asked)
    with pytest.raises(InputError, match="--class-column"):
        run(read_labels(season / "parcels.gpkg", cube, LabelOptions(align="scene")))


def test_a_model_says_that_it_was_trained_on_moved_outlines(
    season: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["pretrain", str(season), str(season / "parcels.gpkg"), str(tmp_path / "model"), "--quiet"]
    words += ["--set", "pretrain.steps=2", "--set", "data.patch_px=16", "--set", "data.block_px=24"]
    assert main([*words, "--align", "parcels"]) == 0
    note, *_ = ModelCard.open(tmp_path / "model").data[0]["label_notes"]
    assert "each by its own offset" in note and note in capsys.readouterr().err
    assert main(["info", str(tmp_path / "model")]) == 0
    assert "each by its own offset" in capsys.readouterr().out
    with pytest.raises(SystemExit):  # no images, so nothing to move outlines onto
        main(["assess", "map", "labels", "out", "--align", "scene"])
