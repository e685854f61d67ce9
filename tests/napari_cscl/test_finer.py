"""Maps finer than the images in a real window: learnt, shown at their place, clicked, judged and exported."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import geopandas as gpd
import numpy as np
import pytest
import rasterio
import toys
from napari.layers import Layer
from qtpy.QtCore import QPoint, Qt
from qtpy.QtTest import QTest
from shapely.geometry import box
from window import finish, press

from cscl.events import run
from cscl.grid import pixel_there, refined, require_same
from cscl.parcels import Parcels, rasterise
from cscl.products import Scene
from cscl.training.segment import train
from napari_cscl.bridge import labels_layer
from napari_cscl.finetuning import map_of_the_model

FINE = toys.QUICK.with_settings(["data.finer=4", "train.steps=16", "train.batch=2", "pretrain.steps=4"])
SHIFT_M = 2.5  # of the outlines to the right: one fine pixel, and too little to change a pixel of the images


def outlines(scene: Scene) -> Parcels:
    """Polygons of the parcels of a toy scene, a quarter of a pixel farther to the right."""
    labels, to = scene.labels, scene.cube.grid.transform
    assert labels.parcel_ids is not None
    names = {c.id: c.code for c in toys.LEGEND.classes}
    rows = []
    for number in np.unique(labels.parcel_ids):
        r, c = np.nonzero(labels.parcel_ids == number)
        (left, top), (right, bottom) = to @ (c.min(), r.min()), to @ (c.max() + 1, r.max() + 1)
        square = box(left + SHIFT_M, bottom, right + SHIFT_M, top)
        rows.append((int(number), names.get(int(labels.ids[r[0], c[0]])), square))
    table = gpd.GeoDataFrame(rows, columns=["parcel_id", "code", "geometry"], crs=str(labels.grid.crs))
    return Parcels(table, "toy parcels", class_column="crop")


@pytest.fixture(scope="module")
def fine_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    scene = toys.scene()
    grid = refined(scene.cube.grid, 4)
    labelled = Scene(scene.cube, rasterise(outlines(scene), grid, toys.LEGEND))
    return run(train([labelled], tmp_path_factory.mktemp("finer") / "fine", FINE, device="cpu"))


def open_polygons(toy: Any, qtbot: Any) -> None:
    """Let the labels of the toy scene be polygons."""
    scene, parcels = toys.scene(), outlines(toys.scene())
    labels = rasterise(parcels, scene.cube.grid, toys.LEGEND)
    qtbot.wait(50)
    toy.viewer.add_layer(Layer.create(*labels_layer(labels, scene.cube.grid, parcels)))
    qtbot.wait(50)
    assert toy.session.parcels is parcels


@pytest.fixture
def polygons(toy: Any, qtbot: Any) -> Any:
    open_polygons(toy, qtbot)
    return toy


@pytest.fixture
def fine(polygons: Any, fine_model: Path) -> Any:
    polygons.session.open_model(fine_model)
    return polygons


def click(dock: Any, qtbot: Any, row: int, col: int) -> None:
    """Click the middle of a pixel that is a quarter of those of the images, with the mouse."""
    camera = dock.viewer.scene.camera
    camera.center, camera.zoom = ((row + 0.5) * 2.5, (col + 0.5) * 2.5), 5
    qtbot.wait(100)
    canvas = dock.viewer.window._qt_viewer.canvas.native
    at = QPoint(canvas.width() // 2, canvas.height() // 2)
    QTest.mouseMove(canvas, at)
    QTest.mouseClick(canvas, Qt.MouseButton.LeftButton, pos=at)
    qtbot.wait(100)


def test_a_model_of_finer_maps_is_made_of_polygons_and_used_in_the_window(toy: Any, qtbot: Any, tmp_path: Path) -> None:
    dock, session = toy, toy.session
    dock.pages.turn_to(dock.train)
    qtbot.waitUntil(lambda: dock.train.form is not None, timeout=60_000)
    dock.train.out.setText(str(tmp_path / "made"))
    dock.train.form.set(FINE)
    dock.train._changed()
    qtbot.waitUntil(lambda: "Open the parcels as polygons" in dock.train.said.text(), timeout=60_000)
    press(dock, qtbot, dock.train.start)
    assert "a raster with pixels of 10 m, and 2.5 m are wanted" in dock.jobbar.status.text(), "before the run"
    open_polygons(dock, qtbot)
    labels = session.labels
    dock.train.form.set(FINE.with_settings(["data.label_share=0.5"]))
    press(dock, qtbot, dock.train.start)
    assert session.model.folder == tmp_path / "made" and session.model.card.finer == 4
    assert "parcels" in dock.train.notes.text(), "what the run says stays to be read"
    assert session.labels is labels, "the scene keeps the labels at its own pixels"
    assert not dock.finetune.start.isEnabled() and "4 times finer" in dock.finetune.start.toolTip()
    assert dock.finetune.cannot.text() == dock.finetune.start.toolTip() and not dock.finetune.region.isEnabled()
    dock.train.stages.setCurrentText("Train on the crops only")
    dock.train.from_model.setChecked(True)
    dock.train.form.widget("data.finer").value = 1
    assert dock.train.run_meant().recipe.data.finer == 4 and not dock.train.form.widget("data.finer").visible


def test_a_finer_map_lies_in_its_place_and_is_judged_by_the_polygons(fine: Any, qtbot: Any, tmp_path: Path) -> None:
    session, panel, viewer = fine.session, fine.boundary, fine.viewer
    fine.pages.turn_to(fine.map)
    fine.map.sure.setChecked(True)
    assert not fine.map.pixels.isEnabled() and "by itself" in fine.map.pixels.toolTip()
    press(fine, qtbot, fine.map.predict)
    grid = refined(session.cube.grid, 4)
    require_same(session.prediction.grid, grid, "map and finer pixels")
    for layer in (viewer.layers["predicted crops (prediction)"], viewer.layers["confidence (prediction)"]):
        assert tuple(layer.scale) == (2.5, 2.5) and tuple(layer.translate) == (1.25, 1.25)
    fine.pages.turn_to(panel)
    panel.judged.setCurrentIndex(1)
    press(fine, qtbot, panel.find)
    require_same(panel.atlas.grid, grid, "errors and finer pixels")
    assert np.array_equal(panel.atlas.units_YX[80, 128:134], [20] + [21] * 5), "outlines lie a fine pixel off"
    panel.walk.turn_to(panel.parcels)
    click(fine, qtbot, 80, 129)
    assert panel.parcels.frame["id"][panel.parcels.number] == 21
    click(fine, qtbot, 80, 128)
    assert panel.parcels.frame["id"][panel.parcels.number] == 20
    strip = panel.casebox.strip
    qtbot.waitUntil(lambda: strip.season and strip.season[0].colours_YXC is not None, timeout=60_000)
    assert {p.colours_YXC.shape for p in (*strip.season, *strip.maps[:3])} == {(51, 51, 3)}, "one window for all"
    for part, chosen in fine.map.files.parts.items():
        chosen.setChecked(part in ("crop map", "parcels", "figures"))
    fine.map.files.export_to(tmp_path / "out")
    finish(fine, qtbot)
    with rasterio.open(tmp_path / "out" / "crop_map.tif") as written:
        assert written.res == (2.5, 2.5) and written.shape == (256, 256)
    assert (tmp_path / "out" / "parcels.gpkg").is_file() and (tmp_path / "out" / "figure_confusion.png").is_file()


def test_a_click_finds_the_finer_pixel_of_an_embedding(fine: Any, toy_model: Path, qtbot: Any) -> None:
    panel = fine.affinity
    fine.pages.turn_to(panel)
    click(fine, qtbot, 81, 130)
    finish(fine, qtbot)
    assert panel.point is not None and pixel_there(*panel.point, panel.grid, fine.session.cube.grid) == (20, 32)
    click(fine, qtbot, 81, 130)
    layer = fine.viewer.layers["similarity · fine"]
    assert panel.point == (81, 130) and layer.data.shape == (256, 256)
    assert layer.data[81, 130] == pytest.approx(1, abs=1e-4)
    window = fine.viewer.layers["window cosine · fine"]
    assert np.allclose(np.array(window.translate) + 2.5 * (len(window.data) // 2), (81.5 * 2.5, 130.5 * 2.5))
    panel.compare_with(toy_model)
    finish(fine, qtbot)
    assert fine.viewer.layers["similarity · model"].data[20, 32] == pytest.approx(1, abs=1e-4), "the pixel it lies in"


def test_pixels_of_a_plain_model_are_cut_to_be_compared(polygons: Any, fine_model: Path, qtbot: Any) -> None:
    dock, session = polygons, polygons.session
    dock.pages.turn_to(dock.map)
    dock.map.pixels.setCurrentText("4 × 4 in each, repeated")
    press(dock, qtbot, dock.map.predict)
    ids = np.asarray(session.prediction.ids)
    assert np.array_equal(ids, ids[::4, ::4].repeat(4, 0).repeat(4, 1)) and session.prediction.facts["finer"] == 4
    assert map_of_the_model(session) is None, "fine-tuning has a map of the images' pixels to compare with"
    dock.pages.turn_to(dock.profiles)
    dock.profiles.picked(20, 30, frozenset())
    name = next(c.name for c in toys.LEGEND.classes if c.id == ids[81, 121])
    assert dock.profiles.places[20, 30].predicted == name
    dock.pages.turn_to(dock.boundary)
    dock.boundary.judged.setCurrentIndex(1)
    press(dock, qtbot, dock.boundary.find)
    labels, strip = dock.boundary.atlas.labels, dock.boundary.casebox.strip
    dock.affinity.start_looking()
    finish(dock, qtbot)
    dock.boundary.parcels.selectRow(0)
    case, edges = strip.case, dock.affinity.sights.seen[0].edges_YX
    assert strip.maps[3].values_YX.shape == strip.maps[0].colours_YXC.shape[:2]
    assert strip.maps[3].values_YX[5, 6] == edges[(case.window.row + 5) // 4, (case.window.col + 6) // 4]
    dock.boundary.versus.start_comparing(fine_model)
    finish(dock, qtbot)
    duel = dock.boundary.versus.duel
    assert duel.names == ("model", "fine") and duel.atlases[1].labels is labels
    require_same(duel.maps[1].grid, session.prediction.grid, "both maps")
    dock.map.pixels.setCurrentIndex(0)
    press(dock, qtbot, dock.map.predict)
    dock.boundary.versus.start_comparing(fine_model)
    finish(dock, qtbot)
    text = dock.jobbar.status.text()
    assert "those of the model fine: the shapes differ" in text and "cscl coarsen" in text, "before it is mapped"
