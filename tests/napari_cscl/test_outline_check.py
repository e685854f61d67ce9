"""Outlines that lie off the images: checked, previewed, moved, undone, trained on and restored in the real window."""

from pathlib import Path
from typing import Any

import geopandas as gpd
import numpy as np
import pytest
from window import LONG_MS, finish, names, press

from cscl.data.commands import command_of
from cscl.data.readers import open_cube
from cscl.events import run
from cscl.inference.align_labels import read_labels
from cscl.recipe import Recipe
from cscl.simulate import SeasonOptions, simulate
from cscl.simulate.write import write_season
from napari_cscl.aligning import PREVIEW
from napari_cscl.autosave import Slot
from napari_cscl.recovery import restore, work_of
from napari_cscl.region import CORRECTED
from napari_cscl.training import run_of


@pytest.fixture(scope="module")
def season(tmp_path_factory: pytest.TempPathFactory) -> Path:
    off = SeasonOptions(size_px=96, dates=6, parcel_size="small", seed=3, outline_shift_m=10, outline_jitter_m=5)
    return run(write_season(run(simulate(off)), tmp_path_factory.mktemp("off") / "season"))


@pytest.fixture
def opened(dock: Any, season: Path, qtbot: Any) -> Any:
    dock.data.open_images(season)
    finish(dock, qtbot)
    dock.data.open_labels(season / "parcels.gpkg", "crop")
    finish(dock, qtbot)
    return dock


def test_outlines_are_checked_moved_and_put_back(opened: Any, season: Path, qtbot: Any, tmp_path: Path) -> None:
    data, session, outlines = opened.data, opened.session, opened.data.outlines
    before = session.labels
    assert outlines.start.isVisible() and not outlines.use.isVisible() and not outlines.undo.isVisible()
    outlines.start.click()
    assert opened.runner.busy, "a job beside the window"
    finish(opened, qtbot)
    assert "of the edges in the images" in outlines.said.text() and session.labels is before
    qtbot.waitUntil(lambda: not outlines.use.visibleRegion().isEmpty(), timeout=LONG_MS)
    assert names(opened)[-1] == PREVIEW and opened.viewer.layers[PREVIEW].edge_color[0][2] == 0
    first = np.array(opened.viewer.layers[PREVIEW].data)
    outlines.way.setCurrentText("each parcel by itself")
    outlines.way.textActivated.emit("each parcel by itself")
    finish(opened, qtbot)
    assert names(opened).count(PREVIEW) == 1 and session.labels is before
    assert not np.array_equal(first, opened.viewer.layers[PREVIEW].data)

    outlines.use.click()
    moved = session.labels
    qtbot.waitUntil(lambda: names(opened) == ["season", "crops of parcels.gpkg", "outlines of parcels.gpkg"])
    assert (moved.parcel_ids != before.parcel_ids).mean() > 0.1 and session.parcels.aligned == "parcels"
    assert "each by its own offset" in data.about_labels.text() and outlines.undo.isVisible()
    assert not outlines.start.isVisible() and not outlines.use.isVisible()
    meant = run_of(session, Path("model"), Recipe(), (True, False), None, "auto")
    assert "--align=parcels" in command_of(meant)
    again = run(read_labels(meant.labels, open_cube(season), meant.labelling))
    assert np.array_equal(again.parcel_ids, moved.parcel_ids), "the command makes the same labels"
    slot = Slot(tmp_path / "kept")
    slot.save(work_of(session, opened.viewer.layers, tmp_path), None)
    left = run(restore(slot, tmp_path)).labels
    assert left is not None and left.parcels is not None and left.parcels.aligned == "parcels"
    assert np.array_equal(left.labels.parcel_ids, moved.parcel_ids), "unfinished work is restored where it was moved to"

    data.column.setCurrentText("crop_name")
    data.column.textActivated.emit("crop_name")
    finish(opened, qtbot)
    assert session.parcels.class_column == "crop_name" and session.parcels.aligned == "parcels"
    assert np.array_equal(session.labels.parcel_ids, moved.parcel_ids), "another column, the same place"
    press(opened, qtbot, outlines.undo)
    assert np.array_equal(session.labels.parcel_ids, before.parcel_ids) and session.parcels.aligned == "no"
    assert outlines.start.isVisible() and not outlines.undo.isVisible()


def test_an_undone_move_can_be_done_again_and_corrections_are_asked_about(opened: Any, qtbot: Any) -> None:
    session, outlines = opened.session, opened.data.outlines
    before = session.labels
    press(opened, qtbot, outlines.start)
    outlines.use.click()
    outlines.undo.click()
    assert session.labels is before and outlines.use.isVisible() and PREVIEW in names(opened)
    outlines.way.setCurrentText("by tile")
    outlines.way.textActivated.emit("by tile")
    opened.cancel()
    finish(opened, qtbot)
    assert outlines.way.currentText() == "all alike", "what is shown, and would be used"
    opened.finetune.region.correct_crops()
    opened.viewer.layers[CORRECTED].data_setitem((np.array([5]), np.array([7])), np.array([3]))
    outlines.use.click()
    assert session.labels is before and "corrected by hand" in opened.data.strays.offer.text.text()
    opened.data.strays.offer.buttons[0].click()
    assert session.parcels.aligned == "scene"


def test_very_many_outlines_are_shown_by_pixels_and_what_is_not_clear_is_said(
    opened: Any, season: Path, tmp_path: Path, qtbot: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("napari_cscl.bridge.MOST_PIECES", 10)
    press(opened, qtbot, opened.data.outlines.start)
    preview = opened.viewer.layers[PREVIEW]
    assert type(preview).__name__ == "Labels" and preview.get_color(1)[2] == 0, "orange, too"
    assert opened.session.parcels.aligned == "no"
    monkeypatch.undo()
    # What is not clear offers nothing.
    gpd.read_file(season / "parcels.gpkg").iloc[:12].to_file(tmp_path / "few.gpkg")
    outlines = opened.data.outlines
    opened.data.open_labels(tmp_path / "few.gpkg", "crop")
    press(opened, qtbot, outlines.start)
    assert "at least 20 are needed" in outlines.said.text() and not outlines.use.isVisible()
    outlines.start.click()
    opened.cancel()
    finish(opened, qtbot)
    assert outlines.start.isEnabled() and PREVIEW not in names(opened)
    opened.data.open_labels(season / "labels.tif")
    assert not outlines.isVisible(), "a raster has no outlines to move"


def test_outlines_of_the_sample_are_checked(dock: Any, qtbot: Any) -> None:
    dock.viewer.open_sample("napari-cscl", "simulated_season")
    qtbot.wait(50)
    press(dock, qtbot, dock.data.outlines.start)
    assert "of the edges in the images" in dock.data.outlines.said.text() and dock.data.outlines.use.isVisible()
