"""The panel in a real window: open, map, export, cancel, close."""

from pathlib import Path
from typing import Any

import numpy as np
import rasterio
import toys
from window import LONG_MS, finish, names, press

from cscl.data.sample import sample_season
from napari_cscl._reader import get_reader
from napari_cscl._writer import save_map

OPEN = ["toy images", "crops of toy parcels"]


def test_the_sample_opens_with_its_date_scale_bar_and_crops_in_another_composite_too(dock: Any, qtbot: Any) -> None:
    dock.data.open_images(sample_season())
    dock.data.open_labels(sample_season() / "parcels.gpkg")
    assert names(dock) == ["season", "crops of parcels.gpkg", "outlines of parcels.gpkg"]
    assert dock.data.column.currentText() == "crop" and len(dock.session.labels.legend) == 13
    dock.viewer.dims.set_point(0, 3)
    assert dock.viewer.canvas.overlays.text.text == str(dock.session.cube.dates[3])[:10]
    assert dock.viewer.canvas.overlays.scale_bar.visible
    qtbot.wait(200)
    shown = dock.viewer.screenshot(canvas_only=True)
    assert shown.std() > 20, "the canvas shows something"
    # Another composite takes the place of the former.
    before, order = np.asarray(dock.viewer.layers["season"].data[5]), names(dock)
    dock.data.composite.setCurrentText("NDVI")
    dock.data.composite.textActivated.emit("NDVI")
    assert names(dock) == order
    assert not np.array_equal(before, np.asarray(dock.viewer.layers["season"].data[5]))


def test_a_map_is_predicted_exported_and_saved(toy: Any, qtbot: Any, tmp_path: Path) -> None:
    assert toy.map.predict.isEnabled() and not toy.map.files.export.isEnabled()
    press(toy, qtbot, toy.map.predict)
    assert names(toy) == [*OPEN, "predicted crops (prediction)"]
    toy.map.files.export_to(tmp_path / "out")
    finish(toy, qtbot)
    with rasterio.open(tmp_path / "out" / "crop_map.tif") as src:
        assert src.transform == toy.session.cube.grid.transform
        shown = toy.viewer.layers["predicted crops (prediction)"].data
        assert np.array_equal(np.where(src.read(1) == src.nodata, 0, src.read(1).astype(int) + 1), shown)
    # napari's own writer saves it, and its reader opens the job's folder.
    layer, path = toy.viewer.layers["predicted crops (prediction)"], str(tmp_path / "map.tif")
    assert save_map(path, layer.data, {"metadata": layer.metadata}) == [path]
    assert save_map(str(tmp_path / "x.tif"), layer.data, {"metadata": {}}) == []
    read = get_reader(str(toy.folder / "prediction"))
    assert read is not None and np.array_equal(read(str(toy.folder / "prediction"))[0][0], layer.data)


def test_the_reader_takes_seasons_and_leaves_pictures() -> None:
    reader = get_reader(str(sample_season()))
    assert reader is not None and reader(str(sample_season()))[0][2] == "image"
    assert get_reader("picture.png") is None


def test_cancelling_changes_nothing_and_closing_the_panel_stops_its_job(toy: Any, qtbot: Any, tmp_path: Path) -> None:
    before = names(toy)
    toy.train.train_into(tmp_path / "model", toys.QUICK.with_settings(["train.steps=100000"]), (False, True))
    qtbot.waitUntil(lambda: toy.jobbar.progress.isVisible() and toy.jobbar.progress.value() > 2, timeout=LONG_MS)
    assert not toy.train.start.isEnabled()
    with qtbot.waitSignal(toy.runner.cancelled, timeout=LONG_MS):
        toy.jobbar.cancel.click()
    assert names(toy) == before and toy.train.start.isEnabled() and not toy.jobbar.progress.isVisible()
    assert not (tmp_path / "model").exists()
    # Closing the panel stops its job as well.
    toy.train.train_into(tmp_path / "model", toys.QUICK.with_settings(["train.steps=100000"]), (False, True))
    qtbot.waitUntil(lambda: toy.jobbar.progress.value() > 1, timeout=LONG_MS)
    assert toy.runner.busy
    toy.viewer.window.remove_dock_widget(toy)
    assert not toy.runner.busy and not toy.folder.exists()


def test_a_mistake_is_a_message(dock: Any, tmp_path: Path) -> None:
    dock.act(lambda: dock.data.open_images(tmp_path))
    assert str(tmp_path) in dock.jobbar.status.text() and dock.session.cube is None


def test_the_manifest_is_valid() -> None:
    from npe2 import PluginManifest

    manifest = PluginManifest.from_distribution("napari-cscl")
    manifest.validate_imports()
