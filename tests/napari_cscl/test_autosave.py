"""Unfinished work is saved as it goes on, and opened again after a crash."""

import json
import os
import signal
import subprocess
import sys
import textwrap
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rasterio
from window import LONG_MS

from cscl.data.sample import sample_season
from cscl.errors import InputError, MissingError
from cscl.products import Prediction
from napari_cscl import autosave
from napari_cscl.autosave import Painted, Slot, Work, discard, find_left, painted_since, read_work
from napari_cscl.bridge import prediction_layer
from napari_cscl.notes import NO_UNIT, Spot
from napari_cscl.region import CORRECTED, REGION

CORNERS = [[[100.0, 40.0], [100.0, 300.0], [350.0, 300.0], [350.0, 40.0]], [[10.0, 20.0], [90.0, 15.0], [55.0, 80.0]]]
DEAD = {"pid": 1, "began": 1.0, "host": os.uname().nodename}


def crash(folder: Path) -> None:
    """What a killed process leaves: a folder whose owner is not alive."""
    (folder / "owner.json").write_text(json.dumps(DEAD))


# --- on the disk -----------------------------------------------------------------------------------------------------


def test_changes_are_only_what_was_painted() -> None:
    before = np.arange(12).reshape(3, 4)
    now = before.copy()
    now[1, 2], now[2, 0] = 99, 0
    found = painted_since(now, before)
    assert found.where.tolist() == [6, 8] and np.array_equal(found.onto(before), now)


def test_work_is_found_only_when_its_owner_is_gone(tmp_path: Path) -> None:
    slot = Slot(tmp_path)
    assert not tmp_path.joinpath(slot.folder).exists(), "nothing is made before something is saved"
    work = Work("toy", images="/images", shapes=[{"kind": "polygon", "corners": CORNERS[1]}])
    painted = Painted((5, 5), np.array([3]), np.array([2], np.int32))
    slot.save(work, painted)
    assert find_left(tmp_path) == [], "this process is alive"
    crash(slot.folder)
    other = Slot(tmp_path)
    assert find_left(tmp_path) == [slot.folder] and other.take(slot.folder)
    assert not Slot(tmp_path).take(slot.folder), "another was faster"
    found, again = read_work(other.folder)
    assert found.shapes == work.shapes and again is not None and again.where.tolist() == [3]
    assert find_left(tmp_path) == []
    other.save(found, None)
    assert read_work(other.folder)[1] is None


def test_an_orderly_end_leaves_work_and_nothing_else(tmp_path: Path) -> None:
    only_looked, drew = Slot(tmp_path), Slot(tmp_path)
    only_looked.save(Work("toy", images="/images"), None)
    drew.save(Work("toy", images="/images", shapes=[{"kind": "polygon", "corners": CORNERS[1]}]), None)
    only_looked.leave()
    drew.leave()
    assert find_left(tmp_path) == [drew.folder] == list(tmp_path.iterdir())


def test_a_full_disk_leaves_what_was_saved_before(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    slot = Slot(tmp_path)
    slot.save(Work("toy", images="/images"), None)

    def full(self: Path, content: bytes) -> int:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "write_bytes", full)
    with pytest.raises(OSError, match="No space"):
        slot.save(Work("other"), None)
    monkeypatch.undo()
    assert read_work(slot.folder)[0].name == "toy" and not list(slot.folder.glob("*.part"))


def test_damaged_work_is_a_sentence_and_can_be_discarded(tmp_path: Path) -> None:
    slot = Slot(tmp_path)
    scratch = tmp_path / "cscl-abc"
    scratch.mkdir()
    slot.save(Work("toy", scratch=str(scratch)), None)
    discard(slot.folder)
    assert not scratch.exists() and not slot.folder.exists()
    with pytest.raises(MissingError, match="no unfinished work"):
        read_work(slot.folder)
    slot.folder.mkdir()
    (slot.folder / "work.json").write_text("{half")
    with pytest.raises(InputError, match="damaged"):
        read_work(slot.folder)
    discard(slot.folder)
    assert not slot.folder.exists()


# --- in the window ---------------------------------------------------------------------------------------------------


@pytest.fixture
def docked(make_napari_viewer: Callable[..., Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Make viewers with the panel, whose work is kept in a folder of the test."""
    from napari_cscl.widgets.dock import CSCLDock

    monkeypatch.setattr("napari_cscl.widgets.keeper.home", lambda: tmp_path / "kept")
    monkeypatch.setattr("napari_cscl.widgets.keeper.WAIT_MS", 50)
    made = []

    def make() -> Any:
        viewer = make_napari_viewer(show=True)
        dock = CSCLDock(viewer)
        viewer.window.add_dock_widget(dock, name="CSCL")
        made.append(dock)
        return dock

    yield make
    for dock in made:
        dock.shut()


def settle(dock: Any, qtbot: Any) -> None:
    qtbot.waitUntil(lambda: not dock.runner.busy and not dock.keeper._soon.isActive(), timeout=LONG_MS)


def work_a_little(dock: Any, qtbot: Any, model: Path) -> np.ndarray:
    """Open the sample, draw two shapes, paint a little, and fine-tune (stood in for by a copy of a model)."""
    import shutil

    dock.data.open_images(sample_season())
    settle(dock, qtbot)
    dock.data.open_labels(sample_season() / "parcels.gpkg")
    settle(dock, qtbot)
    dock.finetune.region.draw("add_polygon")
    layer = dock.viewer.layers[REGION]
    layer.add([np.array(CORNERS[0]), np.array(CORNERS[1])], shape_type=["rectangle", "polygon"])
    dock.finetune.region.correct_crops()
    corrected = dock.viewer.layers[CORRECTED]
    corrected.data_setitem((np.array([5, 5, 6]), np.array([7, 8, 9])), np.array([3, 3, 0]))
    shutil.copytree(model, dock.folder / "fine-tuned 1")
    dock.session.open_model(dock.folder / "fine-tuned 1")
    write_a_map(dock)
    settle(dock, qtbot)
    return np.array(corrected.data)


def write_a_map(dock: Any) -> None:
    """Stand in for a prediction: the known crops as a map in the scratch folder."""
    labels = dock.session.labels
    folder = dock.folder / "prediction"
    folder.mkdir()
    height, width = labels.ids.shape
    place = {"driver": "GTiff", "height": height, "width": width, "count": 1, "dtype": "uint8"}
    place |= {"crs": str(labels.grid.crs), "transform": labels.grid.transform}
    for name in ("classes.tif", "confidence.tif"):
        with rasterio.open(folder / name, "w", **place) as dst:
            dst.write(labels.ids.astype(np.uint8), 1)
    (folder / "prediction.json").write_text(json.dumps({"legend": labels.legend.to_dict()}))
    dock.add(prediction_layer(Prediction.open(folder), dock.session.origin))  # what no layer shows may be closed


def test_work_is_the_same_after_a_crash(docked: Any, qtbot: Any, toy_model: Path) -> None:
    from napari_cscl.widgets.dock import CSCLDock

    first = docked()
    painted = work_a_little(first, qtbot, toy_model)
    assert docked().keeper.offer.isHidden(), "its owner is alive"
    crash(first.keeper.slot.folder)
    second = docked()
    qtbot.waitUntil(second.keeper.offer.isVisible, timeout=LONG_MS)
    assert "a region, corrected crops, the model fine-tuned 1" in second.keeper.offer.text.text()
    second.keeper.offer.buttons[0].click()
    settle(second, qtbot)
    layers = second.viewer.layers
    assert np.array_equal(layers[CORRECTED].data, painted)
    assert list(layers[REGION].shape_type) == ["rectangle", "polygon"]
    for found, drawn in zip(layers[REGION].data, CORNERS, strict=True):
        assert np.allclose(found, drawn)
    assert second.session.cube.path == first.session.cube.path
    assert second.session.labels.legend == first.session.labels.legend
    assert np.array_equal(second.session.prediction.ids.values, second.session.labels.ids)
    assert second.session.prediction.path.is_relative_to(second.folder), "it moved on to this viewer's folder"
    assert "predicted crops (prediction)" in layers
    assert second.data.column.currentText() == "crop" and second.finetune.region.mask(second.session.cube.grid).any()
    weights = second.session.model.folder / "network.safetensors"
    assert weights.read_bytes() == (toy_model / "network.safetensors").read_bytes()
    assert not weights.is_relative_to(first.folder), "what the crashed viewer made in passing may be gone"
    # A panel that is opened again offers nothing that is there, and saves on.
    second.viewer.window.remove_dock_widget(second)
    again = CSCLDock(second.viewer)
    second.viewer.window.add_dock_widget(again, name="CSCL")
    assert again.keeper.offer.isHidden() and len(list(again.keeper.slot.root.iterdir())) == 1
    again.finetune.region.draw("add_polygon")
    layers[REGION].add([np.array(CORNERS[1]) + 50], shape_type="polygon")
    settle(again, qtbot)
    crash(again.keeper.slot.folder)
    assert len(read_work(find_left(again.keeper.slot.root)[0])[0].shapes) == 3, "it is saved on as it goes on"
    again.shut()


def test_what_cannot_be_opened_again_is_kept(docked: Any, qtbot: Any, tmp_path: Path) -> None:
    slot = Slot(tmp_path / "kept" / "unfinished")
    slot.save(Work("gone", str(tmp_path / "gone"), shapes=[{"kind": "polygon", "corners": CORNERS[1]}]), None)
    slot.leave()
    dock = docked()
    dock.keeper.offer.buttons[0].click()
    settle(dock, qtbot)
    assert "not there any more" in dock.jobbar.status.text() and len(find_left(slot.root)) == 1
    dock.keeper.look()
    dock.keeper.offer.buttons[1].click()
    assert len(find_left(slot.root)) == 1, "it asks first"
    dock.keeper.offer.buttons[0].click()
    assert find_left(slot.root) == [] and dock.keeper.offer.isHidden()


def test_a_kept_model_and_an_empty_session_leave_nothing(docked: Any, qtbot: Any, toy_model: Path) -> None:
    import shutil

    dock = docked()
    dock.data.open_images(sample_season())
    shutil.copytree(toy_model, dock.folder / "fine-tuned 1")
    dock.session.open_model(dock.folder / "fine-tuned 1")
    settle(dock, qtbot)
    assert [path.name for path in dock.keeper.slot.models()] == ["fine-tuned 1"]
    dock.session.open_model(toy_model)
    settle(dock, qtbot)
    assert dock.keeper.slot.models() == []
    root = dock.keeper.slot.root
    dock.shut()
    assert list(root.iterdir()) == []


def test_notes_on_cases_are_kept(docked: Any, qtbot: Any) -> None:
    from napari_cscl.widgets.dock import CSCLDock

    spot = Spot("parcels.gpkg", "model", 7, NO_UNIT, 0.0, 0.0, 80.0, 80.0, "EPSG:32631")
    first = docked()
    first.data.open_images(sample_season())
    settle(first, qtbot)
    first.session.notes.write(spot, "label error", "beets")
    settle(first, qtbot)
    first.viewer.window.remove_dock_widget(first)
    again = CSCLDock(first.viewer)
    assert [note.text for note in again.session.notes] == ["beets"], "the panel was closed and opened again"
    again.session.notes.write(replace(spot, a=8), "", "rape")
    settle(again, qtbot)
    crash(again.keeper.slot.folder)
    other = docked()
    assert "2 notes on cases" in other.keeper.offer.text.text()
    other.keeper.offer.buttons[0].click()
    settle(other, qtbot)
    assert other.session.notes.at(spot).verdict == "label error" and len(other.session.notes) == 2
    again.shut()


def test_a_removed_region_can_be_brought_back(docked: Any, qtbot: Any) -> None:
    dock = docked()
    dock.data.open_images(sample_season())
    settle(dock, qtbot)
    dock.finetune.region.draw("add_polygon")
    dock.viewer.layers.remove(REGION)
    qtbot.wait(50)
    assert dock.keeper.removed.isHidden(), "nothing was drawn on it"
    dock.finetune.region.draw("add_polygon")
    dock.viewer.layers[REGION].add([np.array(CORNERS[1])], shape_type="polygon")
    dock.viewer.layers.remove(REGION)
    qtbot.waitUntil(dock.keeper.removed.isVisible, timeout=LONG_MS)
    dock.keeper.removed.buttons[0].click()
    assert np.allclose(dock.viewer.layers[REGION].data[0], CORNERS[1]) and not dock.keeper.removed.isVisible()


KILLED = """
    import os, signal, napari, numpy as np
    from qtpy.QtCore import QTimer
    from cscl.data.sample import sample_season
    from napari_cscl.widgets.dock import CSCLDock

    viewer = napari.Viewer(show=False)
    dock = CSCLDock(viewer)
    viewer.window.add_dock_widget(dock, name="CSCL")
    dock.data.open_images(sample_season())
    dock.finetune.region.draw("add_polygon")
    viewer.layers["region"].add([np.array([[10.0, 20.0], [90.0, 15.0], [55.0, 80.0]])], shape_type="polygon")
    QTimer.singleShot(1500, lambda: os.kill(os.getpid(), signal.SIGKILL))
    napari.run(force=True)
"""


@pytest.mark.slow
def test_a_killed_viewer_leaves_its_work(tmp_path: Path) -> None:
    """The whole way: napari's own settings folder, a real process, and no chance to tidy up."""
    config = tmp_path / "config" / "settings.yaml"
    environment = {**os.environ, "NAPARI_CONFIG": str(config), "TMPDIR": str(tmp_path)}
    done = subprocess.run([sys.executable, "-c", textwrap.dedent(KILLED)], env=environment, timeout=120)
    assert done.returncode == -signal.SIGKILL
    (left,) = find_left(config.parent / "napari-cscl" / "unfinished")
    work, painted = read_work(left)
    assert np.allclose(work.shapes[0]["corners"], CORNERS[1]) and painted is None
    assert work.images == str(sample_season()) and Path(work.scratch).is_dir()
    autosave.discard(left)
    assert not Path(work.scratch).exists()
