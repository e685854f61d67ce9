"""The Affinity panel in a real window: look, click, follow the mouse, compare, and forget."""

import shutil
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import toys
from qtpy.QtCore import QEvent, QPoint, QPointF, Qt
from qtpy.QtGui import QMouseEvent
from qtpy.QtTest import QTest
from qtpy.QtWidgets import QApplication

from cscl.events import run
from cscl.grid import Window
from cscl.inference import similarity
from cscl.inference.embed import affinity, edge_strength
from cscl.training.pretrain import pretrain
from napari_cscl import looking
from napari_cscl.bridge import frame, pixel_at, season_layer

OPEN = ["toy images", "crops of toy parcels"]


@pytest.fixture(scope="module")
def pretrained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    recipe = toys.QUICK.with_settings(["pretrain.steps=3"])  # its head is wanted, not its skill
    return run(pretrain([toys.scene()], tmp_path_factory.mktemp("affinity") / "before", recipe, device="cpu"))


@pytest.fixture
def panel(toy: Any) -> Any:
    """The panel on top of the toy scene."""
    toy.pages.turn_to(toy.affinity)
    return toy.affinity


def names(panel: Any) -> list[str]:
    return [layer.name for layer in panel.dock.viewer.layers]


def visible(panel: Any) -> set[str]:
    return {layer.name for layer in panel.dock.viewer.layers if layer.visible}


def finish(panel: Any, qtbot: Any) -> None:
    qtbot.waitUntil(lambda: not panel.dock.runner.busy, timeout=60_000)


def look(panel: Any, qtbot: Any) -> None:
    panel.look.click()
    finish(panel, qtbot)


def canvas(panel: Any) -> Any:
    return panel.dock.viewer.window._qt_viewer.canvas.native


def click(panel: Any, qtbot: Any, x: float = 0.5) -> tuple[int, int]:
    """Press and release the real mouse button on the canvas; return the pixel of the scene that lies there."""
    place = QPoint(int(canvas(panel).width() * x), canvas(panel).height() // 2)
    QTest.mouseMove(canvas(panel), place)
    QTest.mousePress(canvas(panel), Qt.MouseButton.LeftButton, pos=place)
    QTest.mouseRelease(canvas(panel), Qt.MouseButton.LeftButton, pos=place)
    world = panel.dock.viewer.cursor.position  # now: where the pointer of the screen really is may be told later
    qtbot.wait(100)
    pixel = pixel_at(panel.session.cube.grid, panel.session.origin, world)
    assert pixel is not None
    return pixel


def drag(panel: Any, steps: Sequence[int], modifier: Any = Qt.KeyboardModifier.NoModifier, button: Any = None) -> None:
    """Move the mouse from the middle of the canvas to the right."""
    start = canvas(panel).rect().center()
    for step in steps:
        here = QPointF(start + QPoint(step, 0))
        held = button or Qt.MouseButton.NoButton
        move = QMouseEvent(QEvent.Type.MouseMove, here, here, Qt.MouseButton.NoButton, held, modifier)
        QTest.qWait(30)  # moves in quick succession are passed over
        QApplication.sendEvent(canvas(panel), move)


def cosine_to(panel: Any, row: int, col: int, model: int = 0) -> np.ndarray:
    vectors = panel.sights.seen[model].view.embedding.values.values.astype(np.float32)
    lengths = np.linalg.norm(vectors, axis=0)
    return np.asarray(np.tensordot(vectors[:, row, col], vectors, 1) / lengths / lengths[row, col])


def test_looking_shows_edges_and_a_click_how_alike_all_pixels_are(panel: Any, qtbot: Any) -> None:
    look(panel, qtbot)
    assert names(panel) == [OPEN[0], "colours · model", "edges · model", OPEN[1]]
    assert visible(panel) == {OPEN[0], "edges · model"}
    edges = panel.dock.viewer.layers["edges · model"]
    assert np.array_equal(edges.data, run(edge_strength(panel.sights.seen[0].view.embedding)), equal_nan=True)
    row, col = click(panel, qtbot)
    layer = panel.dock.viewer.layers["similarity · model"]
    assert np.allclose(layer.data, cosine_to(panel, row, col), atol=1e-3, equal_nan=True)
    assert layer.data[row, col] == pytest.approx(1, abs=1e-4)
    assert visible(panel) == {OPEN[0], "similarity · model", "window cosine · model"}
    assert f"row {row}, column {col}" in panel.place.text() and "E 500" in panel.place.text()
    other = click(panel, qtbot, x=0.6)
    assert other != (row, col) and panel.dock.viewer.layers["similarity · model"] is layer, "filled in place"
    assert layer.data[other] == pytest.approx(1, abs=1e-4)
    for name in ("similarity · model", "window cosine · model"):
        panel.dock.viewer.layers.remove(name)
    pixel = click(panel, qtbot)
    assert panel.dock.viewer.layers["similarity · model"].data[pixel] == pytest.approx(1, abs=1e-4)
    assert "window cosine · model" in names(panel), "what is removed by hand is made again"


def test_the_pretrained_model_is_offered_and_its_window_holds_what_the_loss_saw(
    panel: Any, qtbot: Any, toy_model: Path, pretrained: Path, tmp_path: Path
) -> None:
    successor = shutil.copytree(toy_model, tmp_path / "m")
    shutil.copytree(pretrained, tmp_path / "m-pretrained")
    panel.session.open_model(successor)
    words = [panel.compare.itemText(i) for i in range(panel.compare.count())]
    assert words == ["nothing", "before", "the same network, untrained", "another model ..."]
    panel.session.open_model(pretrained)
    look(panel, qtbot)
    row, col = click(panel, qtbot, x=0.6)
    layer = panel.dock.viewer.layers["window affinity (CSCL head) · before"]
    expected = affinity(pretrained, panel.session.cube, Window(row, col, 1, 1), device="cpu").values[:, :, 0, 0]
    assert np.allclose(layer.data, expected, atol=5e-3)
    assert np.allclose(panel.windows[0].values, layer.data)
    assert np.allclose(
        layer.data_to_world((1, 1)), panel.dock.viewer.layers["edges · before"].data_to_world((row, col))
    )


def test_of_a_large_scene_the_surroundings_of_a_click_are_seen_in_full_detail(
    panel: Any, qtbot: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One pixel in 3 x 3 from afar, and all within 9 pixels of the one that was clicked."""
    monkeypatch.setattr(similarity, "overview", partial(similarity.overview, most_px=500))
    monkeypatch.setattr(looking, "NEAR_PX", 20)
    look(panel, qtbot)
    assert (
        visible(panel) == {OPEN[0], "edges · model, strongest of 3 x 3 px"}
        and "one pixel in 3 x 3" in panel.note.text()
    )
    row, col = click(panel, qtbot)
    finish(panel, qtbot)
    layers, expected = panel.dock.viewer.layers, cosine_to(panel, row, col)
    far, near = layers["similarity · model, 1 px in 3 x 3"], layers["similarity near · model"]
    assert far.data.shape == (21, 21) and np.allclose(far.data, expected[1::3, 1::3], atol=1e-3, equal_nan=True)
    images, edges = layers[OPEN[0]], layers["edges · model, strongest of 3 x 3 px"]
    assert np.allclose(far.extent.world[0][-2:] - 15, images.extent.world[0][-2:] - 5, atol=1e-3)
    assert np.allclose(far.extent.world, edges.extent.world) and edges.data.shape == (21, 21)
    assert np.allclose(near.data, expected[row - 9 : row + 10, col - 9 : col + 10], atol=1e-3)
    assert visible(panel) == {OPEN[0], far.name, near.name, "window cosine · model"}
    assert layers.index(far) < layers.index(near) < layers.index("window cosine · model")
    whole = frame(panel.session.cube.grid, panel.session.origin)
    assert np.allclose(near.data_to_world((9, 9)), np.array((row, col)) * whole["scale"] + whole["translate"])
    other = click(panel, qtbot, x=0.51)
    assert not panel.dock.runner.busy and other != (row, col), "within what is there"
    assert np.allclose(near.data, cosine_to(panel, *other)[row - 9 : row + 10, col - 9 : col + 10], atol=1e-3)
    row, col = click(panel, qtbot, x=0.7)
    finish(panel, qtbot)
    expected = cosine_to(panel, row, col)[row - 9 : row + 10, col - 9 : col + 10]
    assert np.allclose(layers["similarity near · model"].data, expected, atol=1e-3)
    panel.kinds.button(0).click()
    assert {"edges near · model", "edges · model, strongest of 3 x 3 px"} <= visible(panel)


def test_a_drag_pans_and_picks_nothing_and_shift_follows_the_mouse(panel: Any, qtbot: Any) -> None:
    look(panel, qtbot)
    QTest.mousePress(canvas(panel), Qt.MouseButton.LeftButton, pos=canvas(panel).rect().center())
    drag(panel, (10, 30, 60), button=Qt.MouseButton.LeftButton)
    QTest.mouseRelease(canvas(panel), Qt.MouseButton.LeftButton, pos=canvas(panel).rect().center() + QPoint(60, 0))
    drag(panel, (5, 10))
    assert panel.point is None and "similarity · model" not in names(panel)
    drag(panel, (5, 10, 40), modifier=Qt.KeyboardModifier.ShiftModifier)
    qtbot.waitUntil(lambda: panel.point is not None, timeout=60_000)
    assert panel.dock.viewer.layers["similarity · model"].data[panel.point] == pytest.approx(1, abs=1e-4)


def test_a_first_click_looks_and_answers_and_another_panel_on_top_hears_none(panel: Any, qtbot: Any) -> None:
    before = visible(panel)
    pixel = click(panel, qtbot)
    finish(panel, qtbot)
    layer = panel.dock.viewer.layers["similarity · model"]
    assert layer.data[pixel] == pytest.approx(1, abs=1e-4)
    assert OPEN[1] not in visible(panel), "crops would cover what is to be seen"
    values = layer.data.copy()
    panel.dock.pages.turn_to(panel.dock.data)
    assert click(panel, qtbot, x=0.6) != pixel
    assert np.array_equal(values, panel.dock.viewer.layers["similarity · model"].data, equal_nan=True)
    assert before <= visible(panel)


def test_before_and_after_training_lie_side_by_side_and_the_view_comes_back(panel: Any, qtbot: Any) -> None:
    grid, camera = panel.dock.viewer.canvas.grid, panel.dock.viewer.scene.camera
    before = names(panel), visible(panel), grid.enabled, grid.stride, grid.shape, camera.center, camera.zoom
    untrained = panel.compare.findText("the same network, untrained")
    panel.compare.activated.emit(untrained)
    finish(panel, qtbot)
    assert grid.enabled and visible(panel) == {"edges · model", "edges · model untrained"}
    layers = panel.dock.viewer.layers
    cells = [grid.position(layers.index(f"edges · {model}"), layers) for model in ("model", "model untrained")]
    assert cells == [(0, 0), (0, 1)] and grid.actual_shape(layers) == (1, 2)
    for x in (0.3, 0.8):  # a click in either cell
        pixel = click(panel, qtbot, x=x)
        for side, model in enumerate(("model", "model untrained")):
            shown = layers[f"similarity · {model}"]
            assert shown.visible and np.allclose(shown.data, cosine_to(panel, *pixel, side), atol=1e-3, equal_nan=True)
    assert [grid.position(layers.index(f"similarity · {m}"), layers) for m in ("model", "model untrained")] == cells
    panel.sides.button(1).click()
    assert not grid.enabled and "similarity · model untrained" in visible(panel)
    assert "similarity · model" not in visible(panel)
    panel.sides.button(2).click()
    panel.dock.pages.turn_to(panel.dock.data)
    assert (grid.enabled, grid.stride, grid.shape) == before[2:5] and before[1] <= visible(panel)
    assert np.allclose(camera.center, before[5]) and camera.zoom == pytest.approx(before[6])
    assert [name for name in names(panel) if name in before[0]] == before[0]
    panel.dock.pages.turn_to(panel.dock.affinity)
    assert grid.enabled, "as it was left"
    panel.compare_with(None)
    assert not grid.enabled and not panel.dock.runner.busy
    assert not [name for name in names(panel) if "untrained" in name]


def test_a_second_model_of_the_same_name_and_looking_again_without_computing(
    panel: Any, qtbot: Any, toy_model: Path, tmp_path: Path
) -> None:
    copy = shutil.copytree(toy_model, tmp_path / "elsewhere")
    panel.compare_with(copy)
    finish(panel, qtbot)
    assert {"edges · model", "edges · model (2)"} <= set(names(panel))
    kept = {path: path.stat().st_mtime_ns for path in panel.dock.folder.glob("seen/*/*")}
    panel.look.click()
    assert not panel.dock.runner.busy, "at hand"
    panel.session.open_model(copy)
    assert "edges · model" not in names(panel) and not panel.sights.seen, "another model forgets"
    look(panel, qtbot)
    assert "edges · model" in names(panel)
    assert kept == {path: path.stat().st_mtime_ns for path in panel.dock.folder.glob("seen/*/*")}


def test_a_foreign_layer_or_other_images_end_the_side_by_side(panel: Any, qtbot: Any) -> None:
    panel.compare.activated.emit(panel.compare.findText("the same network, untrained"))
    finish(panel, qtbot)
    grid = panel.dock.viewer.canvas.grid
    panel.dock.viewer.add_points([[10, 10]])
    qtbot.waitUntil(lambda: not grid.enabled, timeout=60_000)
    panel.sides.button(2).click()
    assert grid.enabled
    panel.dock.add(season_layer(toys.scene(seed=3).cube, "NDVI"))
    qtbot.waitUntil(lambda: not grid.enabled, timeout=60_000)
    assert not panel.sights.seen and not [name for name in names(panel) if "·" in name]
