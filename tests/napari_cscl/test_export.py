"""Predict, look at the confidence, go back, and take the map away: by button, with files checked against the engine."""

import shutil
from collections.abc import Generator
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rasterio
import toys
from qtpy.QtGui import QDesktopServices
from window import finish, press

import cscl.training.finetune
from cscl.events import Event, Note, Progress, run
from cscl.inference.predict import PredictOptions, predict
from cscl.products import Prediction, Scene
from cscl.training.finetune import FinetuneOptions
from cscl.training.pretrain import pretrain
from cscl.training.segment import train
from napari_cscl.bridge import role_of
from napari_cscl.finetuning import fine_tune, map_of_the_model

MAP, SURE = "predicted crops (prediction)", "confidence (prediction)"


@pytest.fixture(scope="module")
def started_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model that started from one that was pre-trained by CSCL: how it maps is wanted, not how well."""
    folder, scenes = tmp_path_factory.mktemp("started"), [toys.scene()]
    recipe = toys.QUICK.with_settings(["pretrain.steps=4", "train.steps=8", "train.validate_every=8"])
    start = run(pretrain(scenes, folder / "pretrained", recipe, device="cpu"))
    return run(train(scenes, folder / "model", recipe, start=start, device="cpu"))


@pytest.fixture
def mapped(toy: Any, qtbot: Any) -> Any:
    """The panel on the toy scene with its map."""
    toy.pages.turn_to(toy.map)
    press(toy, qtbot, toy.map.predict)
    return toy


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_the_chosen_parts_are_written_and_listed_and_open_again(
    mapped: Any, qtbot: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    panel = mapped.map
    assert not panel.files.export.isEnabled() and panel.files.export.toolTip() == "Choose a folder first."
    assert not panel.files.parts["parcels"].isEnabled(), "the toy labels come from no parcels"
    panel.files.folder.setText(str(tmp_path / "out"))
    press(mapped, qtbot, panel.files.export)
    wrote = names(tmp_path / "out")
    assert [name for name in wrote if name.startswith(("crop", "conf", "leg"))] == [
        *("confidence.tif", "crop_map.qml", "crop_map.sld", "crop_map.tif", "crop_map.tif.aux.xml", "legend.csv")
    ]
    assert {"figure_crop_map.png", "figure_error_map.png", "figure_confusion.png"} <= set(wrote)
    assert {"fields.gpkg", "map.pdf", "MODEL.md", "item.json", "SHA256SUMS"} <= set(wrote)
    listed = [line.partition("  (")[0] for line in panel.files.written.text().splitlines()]
    assert sorted(listed) == wrote and panel.files.written.isVisible()
    with rasterio.open(tmp_path / "out" / "crop_map.tif") as src:
        assert np.array_equal(src.read(1), mapped.session.prediction.ids.values)
        assert src.transform == mapped.session.cube.grid.transform
    opened = []
    monkeypatch.setattr(QDesktopServices, "openUrl", lambda url: opened.append(url.toLocalFile()) or True)
    panel.files.open.click()
    assert opened == [str(tmp_path / "out")]
    require_alike(mapped, tmp_path / "out")
    require_alike(mapped, tmp_path / "out" / "crop_map.tif")


def require_alike(mapped: Any, place: Path) -> None:
    """An exported map opens with the grid, ids and colours of the one that was exported."""
    there = mapped.viewer.layers[MAP]
    (here,) = mapped.viewer.open(place, plugin="napari-cscl")
    assert np.array_equal(here.data, there.data) and np.allclose(here.scale, there.scale)
    assert np.allclose(here.translate, there.translate)
    assert {i: tuple(c) for i, c in here.colormap.color_dict.items() if i} == {
        i: tuple(c) for i, c in there.colormap.color_dict.items() if i
    }
    assert here.features.equals(there.features)


def test_what_is_only_written_on_request_says_what_it_needs(toy: Any, qtbot: Any, tmp_path: Path) -> None:
    panel = toy.map
    toy.pages.turn_to(panel)
    press(toy, qtbot, panel.predict)
    every, edges = (panel.files.parts[part] for part in ("probabilities", "edge strength"))
    assert not every.isEnabled() and not every.isChecked() and "Keep all probabilities" in every.toolTip()
    assert not edges.isEnabled() and "Affinity panel" in edges.toolTip()
    panel.every.setChecked(True)
    press(toy, qtbot, panel.predict)
    press(toy, qtbot, toy.affinity.look)
    for part, box in panel.files.parts.items():
        box.setChecked(part in ("probabilities", "edge strength", "report"))
    assert every.isEnabled() and edges.isEnabled()
    panel.files.export_to(tmp_path / "out")
    finish(toy, qtbot)
    assert names(tmp_path / "out") == ["edge_strength.tif", "probabilities.tif", "report"]
    assert {"index.html", "report.json", "errors.tif"} <= set(names(tmp_path / "out" / "report"))
    assert rasterio.open(tmp_path / "out" / "probabilities.tif").count == len(toys.LEGEND)


def test_a_former_export_is_replaced_only_when_asked_and_whole(
    mapped: Any, qtbot: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    panel = mapped.map
    for part, box in panel.files.parts.items():
        box.setChecked(part == "confidence")
    (tmp_path / "confidence.tif").write_text("last year's")
    (tmp_path / "thesis.txt").write_text("mine")
    panel.files.folder.setText(str(tmp_path))
    panel.files.export.click()
    assert panel.files.offer.isVisible() and not mapped.runner.busy
    assert "confidence.tif" in panel.files.offer.text.text()
    panel.files.offer.buttons[1].click()
    assert (tmp_path / "confidence.tif").read_text() == "last year's"

    def full(*_: Any, **__: Any) -> Generator[Event, None, None]:
        yield Progress("writing", 0, 1)
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr("cscl.export.bundle.export_shares", full)
        panel.files.export.click()
        press(mapped, qtbot, panel.files.offer.buttons[0])
    assert "No space left on device" in mapped.jobbar.status.text() and panel.files.written.isHidden()
    assert (tmp_path / "confidence.tif").read_text() == "last year's" and names(tmp_path) == [
        *("confidence.tif", "thesis.txt")
    ]
    panel.files.export.click()
    press(mapped, qtbot, panel.files.offer.buttons[0])
    assert rasterio.open(tmp_path / "confidence.tif").count == 1
    assert names(tmp_path) == ["confidence.tif", "margin.tif", "thesis.txt"]


def test_a_place_that_cannot_be_written_is_a_sentence_and_another_is_remembered(
    mapped: Any, qtbot: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from napari_cscl.widgets.map import MapPanel

    monkeypatch.setattr("napari_cscl.settings.home", lambda: tmp_path / "kept")
    (tmp_path / "file").write_text("")
    mapped.map.files.folder.setText(str(tmp_path / "file" / "out"))
    press(mapped, qtbot, mapped.map.files.export)
    assert "cannot be made" in mapped.jobbar.status.text() and "Choose another place" in mapped.jobbar.status.text()
    for part, box in mapped.map.files.parts.items():
        box.setChecked(part == "confidence")
    mapped.map.files.export_to(tmp_path / "out")
    finish(mapped, qtbot)
    later = MapPanel(mapped)
    qtbot.addWidget(later)
    assert later.files.folder.text() == str(tmp_path / "out")
    assert [part for part, box in later.files.parts.items() if box.isChecked()] == ["confidence"]


def test_the_confidence_is_a_layer_while_wanted(mapped: Any, qtbot: Any) -> None:
    press(mapped, qtbot, mapped.map.sure)
    layer = mapped.viewer.layers[SURE]
    stored = mapped.session.prediction.confidence.values
    assert (
        np.allclose(layer.data[stored < 255], stored[stored < 255] / 250) and np.isnan(layer.data[stored == 255]).all()
    )
    order = [role_of(la) for la in mapped.viewer.layers]
    assert order.index("confidence") == order.index("prediction") + 1
    press(mapped, qtbot, mapped.map.predict)
    assert SURE in mapped.viewer.layers and mapped.map.sure.isChecked(), "the new map's is shown"
    other = Prediction(stored_like(mapped), mapped.session.prediction.confidence, mapped.session.cube.grid, toys.LEGEND)
    mapped.session.open_prediction(other)
    assert SURE not in mapped.viewer.layers and not mapped.map.sure.isChecked(), "it was that of another map"


def stored_like(dock: Any) -> Any:
    return dock.session.prediction.ids.copy()


def test_the_former_map_can_be_had_back(mapped: Any, qtbot: Any) -> None:
    assert not mapped.map.back.isEnabled()
    first = mapped.session.prediction
    values = mapped.viewer.layers[MAP].data.copy()
    press(mapped, qtbot, mapped.map.predict)
    second = mapped.session.prediction
    assert second.path != first.path and np.array_equal(first.ids.values, second.ids.values)
    mapped.viewer.layers[MAP].data[:] = 0
    press(mapped, qtbot, mapped.map.back)
    assert mapped.session.prediction.path == first.path and np.array_equal(mapped.viewer.layers[MAP].data, values)
    press(mapped, qtbot, mapped.map.back)
    assert mapped.session.prediction.path == second.path


def test_a_map_is_sharpened_where_the_model_knows_how_and_fine_tuned_as_it_is(
    toy: Any, qtbot: Any, started_model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cscl.training.finetune, "FinetuneOptions", partial(FinetuneOptions, steps=3))
    panel, session = toy.map, toy.session
    toy.pages.turn_to(panel)
    assert not panel.rounds.isEnabled() and "pre-trained by CSCL" in panel.rounds.toolTip()
    session.open_model(started_model)
    assert panel.rounds.isEnabled() and "few labels" in panel.rounds.toolTip()
    panel.rounds.setValue(2)
    press(toy, qtbot, panel.predict)
    options = PredictOptions(tile_px=128, sharpen=2)
    wanted = run(predict(started_model, session.cube, tmp_path / "map", options, device="cpu"))
    assert np.array_equal(session.prediction.ids.values, wanted.ids.values)
    assert session.prediction.facts["sharpened"] == 2
    before, region_YX = map_of_the_model(session), np.ones((64, 64), bool)
    assert before is session.prediction
    step = run(
        fine_tune(
            Scene(session.cube, session.labels), started_model, region_YX, tmp_path / "step" / "tuned",
            scope="head", seconds=1, before=before, tile_px=128, device="cpu",
        )
    )  # fmt: skip
    assert step.found.after.facts["sharpened"] == 2
    shutil.copytree(started_model, tmp_path / "older", ignore=shutil.ignore_patterns("start"))
    session.open_model(tmp_path / "older")
    assert panel.rounds.value() == 0 and not panel.rounds.isEnabled()
    assert map_of_the_model(session) is None, "it could make none like it"


def test_warnings_stay_to_be_read(toy: Any, qtbot: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    told: list[str] = []

    def predict(*_: Any, **options: Any) -> Generator[Event, None, Prediction]:
        told.append(options["device"])
        yield Note("The images cover 3 of the 200 days of the season: expect a poor map.", warning=True)
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("cscl.inference.predict.predict", predict)
    toy.pages.turn_to(toy.map)
    press(toy, qtbot, toy.map.predict)
    assert toy.map.warning.isVisible() and "expect a poor map" in toy.map.warning.text() and told == ["auto"]
    assert toy.session.prediction is None and toy.map.predict.isEnabled()


def test_two_viewers_each_have_their_own_scene_and_job(
    toy: Any, qtbot: Any, make_napari_viewer: Any, toy_model: Path, tmp_path: Path
) -> None:
    from napari.layers import Layer

    from napari_cscl.bridge import season_layer
    from napari_cscl.widgets.dock import CSCLDock

    viewer = make_napari_viewer(show=True)
    other = CSCLDock(viewer)
    viewer.window.add_dock_widget(other, name="CSCL")
    scene = toys.scene(size=48, seed=7)
    viewer.add_layer(Layer.create(*season_layer(scene.cube, "NDVI")))
    other.session.open_model(toy_model)
    toy.map.predict.click()
    other.map.predict.click()
    assert toy.runner.busy and other.runner.busy
    qtbot.waitUntil(lambda: not toy.runner.busy and not other.runner.busy, timeout=60_000)
    assert toy.viewer.layers[MAP].data.shape == (64, 64) and viewer.layers[MAP].data.shape == (48, 48)
    toy.viewer.layers.remove(MAP)
    qtbot.waitUntil(lambda: toy.session.prediction is None, timeout=60_000)
    assert other.session.prediction is not None and other.session.labels is None
    other.shut()
    assert not toy.runner.busy and toy.folder.exists() and not other.folder.exists()
