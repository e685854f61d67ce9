"""Fine-tuning in a real window: draw, correct, learn, look, keep, undo, cancel."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rasterio
import toys
from napari.layers import Layer
from qtpy.QtCore import QEvent, QPoint, QPointF, Qt
from qtpy.QtGui import QMouseEvent
from qtpy.QtTest import QTest
from qtpy.QtWidgets import QApplication, QPushButton
from window import finish, press

import cscl.training.finetune
from cscl.card import ModelCard
from cscl.events import run
from cscl.inference.compare import OUTSIDE
from cscl.inference.predict import predict
from cscl.products import Scene
from cscl.training.finetune import FinetuneOptions
from cscl.training.segment import train
from napari_cscl.bridge import labels_layer, season_layer
from napari_cscl.region import CORRECTED, REGION, region_layer, region_mask

RECTANGLE = [np.array([(0, 0), (0, 320), (320, 320), (320, 0)], float)]  # metres: the first 32 x 32 pixels


@pytest.fixture(scope="module")
def wrong(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model that takes maïs for winter wheat: trained elsewhere, on labels that call it so."""
    scene = toys.scene(seed=5)
    ids = np.where(scene.labels.ids == 9, 4, scene.labels.ids).astype(np.uint8)
    scene = Scene(scene.cube, replace(scene.labels, ids=ids))
    return run(train([scene], tmp_path_factory.mktemp("gui") / "wrong", toys.QUICK, device="cpu"))


@pytest.fixture
def panel(dock: Any, wrong: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """The panel on a toy scene with the wrong model; a toy network of 4 features learns faster than a real one."""
    scene = toys.scene(gap=False)
    for layer in (season_layer(scene.cube, "NDVI"), labels_layer(scene.labels)):
        dock.viewer.add_layer(Layer.create(*layer))
    dock.session.open_model(wrong)
    dock.pages.turn_to(dock.finetune)
    limit_steps(monkeypatch, 40)
    return dock.finetune


def limit_steps(monkeypatch: pytest.MonkeyPatch, steps: int) -> None:
    """Let the effort be steps, so that it does not depend on the machine."""
    limited = partial(FinetuneOptions, learning_rate=1e-2, batch=8, steps=steps)
    monkeypatch.setattr(cscl.training.finetune, "FinetuneOptions", limited)


def draw(panel: Any) -> None:
    panel.region.rectangle.click()
    layer = panel.dock.viewer.layers[REGION]
    assert layer.mode == "add_rectangle" and panel.dock.viewer.layers.selection.active is layer
    layer.add(RECTANGLE, shape_type="rectangle")


def shown(panel: Any) -> Any:
    """Ids of the map that is seen, + 1 as on its layer."""
    layers = [la for la in panel.dock.viewer.layers if "prediction" in la.metadata.get("cscl", {}) and la.visible]
    assert len(layers) == 1
    return np.asarray(layers[0].data)


def test_a_region_is_improved_compared_and_undone_exactly(panel: Any, wrong: Path, qtbot: Any, tmp_path: Path) -> None:
    files = {p.name: p.read_bytes() for p in wrong.iterdir()}
    press(panel.dock, qtbot, panel.dock.map.predict)
    before, expected = panel.session.prediction, shown(panel).copy()
    draw(panel)
    panel.start.click()
    assert panel.dock.jobbar.keep.isVisible() and not panel.start.isEnabled()
    finish(panel.dock, qtbot)
    assert {"loss in the region", "outside"} <= set(panel.curve.curves)
    after, found = panel.session.prediction, panel.steps[0].found.comparison
    assert after is not before and panel.session.model.card.tuned["parent"] == "wrong"
    then, now = found.at(OUTSIDE, boundary=False).accuracy
    assert now > then + 0.15
    assert panel.table.item(2, 1).text().split(" → ") == [
        f"{100 * share:.1f}".replace("100.0", "100") for share in (then, now)
    ]
    assert panel.table.rowCount() == 3 and "outside the region" in panel.verdict.text().lower()
    assert (shown(panel) == expected).mean() < 0.9
    panel.former.click()
    assert np.array_equal(shown(panel), expected)
    panel.former.click()

    panel.keep_in(tmp_path / "kept")
    assert ModelCard.open(tmp_path / "kept").name == "kept" and panel.session.model.folder == tmp_path / "kept"
    again = run(predict(tmp_path / "kept", panel.session.cube, tmp_path / "map"))
    assert np.array_equal(np.asarray(again.ids) + 1, shown(panel))

    panel.undo.click()
    assert panel.session.model.folder == wrong and panel.session.prediction is before
    assert np.array_equal(shown(panel), expected) and not panel.table.isVisible() and not panel.undo.isEnabled()
    assert {p.name: p.read_bytes() for p in wrong.iterdir()} == files
    qtbot.wait(50)
    assert panel.session.prediction is before, "its layer is there, so it stays open"


def test_two_rounds_are_undone_one_by_one(panel: Any, wrong: Path, qtbot: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    draw(panel)
    limit_steps(monkeypatch, 5)
    maps = []
    for _ in range(2):
        panel.start.click()
        finish(panel.dock, qtbot)
        maps.append(shown(panel).copy())
    assert panel.steps[1].model == panel.steps[0].found.model
    panel.undo.click()
    assert np.array_equal(shown(panel), maps[0]) and panel.session.model.card.name == "fine-tuned 1"
    panel.undo.click()
    assert panel.session.model.folder == wrong and not panel.steps
    assert not list(panel.dock.folder.glob("finetuning_*"))


def test_cancelling_leaves_nothing_and_stopping_keeps(
    panel: Any, wrong: Path, qtbot: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    draw(panel)
    limit_steps(monkeypatch, 100_000)
    names = [layer.name for layer in panel.dock.viewer.layers]
    panel.start.click()
    qtbot.waitUntil(lambda: bool(panel.curve.curves), timeout=60_000)
    with qtbot.waitSignal(panel.dock.runner.cancelled, timeout=60_000):
        panel.dock.jobbar.cancel.click()
    assert [layer.name for layer in panel.dock.viewer.layers] == names and panel.session.model.folder == wrong
    assert not list(panel.dock.folder.glob("finetuning_*")) and not panel.steps
    panel.start.click()
    qtbot.waitUntil(lambda: bool(panel.curve.curves), timeout=60_000)
    panel.dock.jobbar.keep.click()
    finish(panel.dock, qtbot)
    assert len(panel.steps) == 1 and panel.session.model.card.steps > 0


def test_corrected_crops_are_learnt_and_the_labels_stay(panel: Any, qtbot: Any) -> None:
    labels = panel.session.labels
    panel.region.crop.setCurrentText("maïs")
    panel.region.correct.click()
    layer = panel.dock.viewer.layers[CORRECTED]
    assert layer.mode == "paint" and layer.selected_label == 10
    before = labels.ids.copy()
    layer.paint((5, 6), 10)
    found = panel.region.corrected_labels()
    assert found.ids[5, 6] == 9 and np.array_equal(labels.ids, before)
    untouched = found.ids == labels.ids
    assert untouched.sum() > untouched.size - 200 and panel.session.labels is labels
    layer.undo()
    assert np.array_equal(panel.region.corrected_labels().ids, before)
    layer.data_setitem((np.array([1]), np.array([1])), 77)
    draw(panel)
    panel.start.click()
    assert "76" not in panel.dock.jobbar.status.text() and "77" in panel.dock.jobbar.status.text()
    assert not panel.dock.runner.busy


def test_corrections_are_not_lost_to_other_labels_without_a_question(panel: Any, tmp_path: Path) -> None:
    data, labels = panel.dock.data, panel.session.labels
    panel.region.correct.click()
    panel.dock.viewer.layers[CORRECTED].paint((5, 6), 10)
    other = tmp_path / "other.tif"
    grid = panel.session.cube.grid
    size = {"height": grid.shape[0], "width": grid.shape[1], "count": 1, "dtype": "uint8", "nodata": 255}
    with rasterio.open(other, "w", driver="GTiff", crs=str(grid.crs), transform=grid.transform, **size) as file:
        file.write(toys.scene(seed=4).labels.ids.astype("uint8"), 1)
    data.open_labels(other)
    assert panel.session.labels is labels and panel.dock.pages.current is data
    offer = data.strays.offer
    next(b for b in offer.findChildren(QPushButton) if b.text() == "Keep them").click()
    assert panel.session.labels is labels and CORRECTED in panel.dock.viewer.layers
    data.open_labels(other)
    next(b for b in offer.findChildren(QPushButton) if b.text() == "Go on without them").click()
    assert panel.session.labels.name == "other.tif" and CORRECTED not in panel.dock.viewer.layers


def test_an_empty_region_is_said_and_a_rectangle_drawn_with_the_mouse_becomes_pixels(panel: Any, qtbot: Any) -> None:
    assert not panel.keep.isEnabled() and "Fine-tune first" in panel.keep.toolTip()
    press(panel.dock, qtbot, panel.start)
    assert "region is empty" in panel.dock.jobbar.status.text()
    viewer = panel.dock.viewer
    viewer.reset_view()
    qtbot.wait(100)
    panel.region.rectangle.click()
    canvas = viewer.window._qt_viewer.canvas.native
    centre = canvas.rect().center()
    QTest.mouseMove(canvas, centre)
    QTest.mousePress(canvas, Qt.MouseButton.LeftButton, pos=centre)
    for step in (10, 25, 40):
        here = QPointF(centre + QPoint(step, step))
        buttons = (Qt.MouseButton.NoButton, Qt.MouseButton.LeftButton, Qt.KeyboardModifier.NoModifier)
        QApplication.sendEvent(canvas, QMouseEvent(QEvent.Type.MouseMove, here, canvas.mapToGlobal(here), *buttons))
        qtbot.wait(50)
    QTest.mouseRelease(canvas, Qt.MouseButton.LeftButton, pos=centre + QPoint(40, 40))
    qtbot.wait(50)
    region = panel.region.mask(panel.session.cube.grid)
    rows, cols = (np.flatnonzero(region.any(axis)) for axis in (1, 0))
    assert len(rows) > 2 and region.sum() == len(rows) * len(cols)
    corners = np.asarray(viewer.layers[REGION].data[0]) / 10
    assert abs(rows[0] - corners.min(0)[0]) <= 1 and abs(cols[-1] + 1 - corners.max(0)[1]) <= 1


def test_shapes_become_pixels_wherever_they_were_drawn() -> None:
    grid = toys.scene().cube.grid
    layer = Layer.create(*region_layer(grid))
    layer.add(np.array([(0, 0), (0, 30), (20, 30), (20, 0)], float), shape_type="rectangle")
    layer.add(np.array([(300, 300), (300, 400), (400, 400), (400, 300)], float), shape_type="ellipse")
    layer.add(np.array([(0, 0), (600, 600)], float), shape_type="line")
    found = region_mask(layer, grid)
    assert found[:2, :3].all() and found.sum() - 6 == pytest.approx(np.pi * 25, abs=6)
    layer.translate = (10, 20)
    assert region_mask(layer, grid)[1:3, 2:5].all()
    east = grid.pad(0).translate_pix(-3, -2)  # a scene that begins 3 columns left of and 2 rows above this grid
    assert np.array_equal(region_mask(layer, grid, east)[: 64 - 2, : 64 - 3], region_mask(layer, grid)[2:, 3:])
