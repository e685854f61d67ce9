"""Upsets of the list of layers: what is dropped, removed, renamed and duplicated, and what comes too late."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import rasterio
import toys
from window import LONG_MS

from napari_cscl.bridge import labels_layer


def test_a_result_that_comes_late_is_not_laid_onto_another_scene(toy: Any) -> None:
    taken: list[Any] = []
    toy._then, toy._scene = taken.append, toy.session.cube
    toy.session.open_cube(toys.scene(seed=5).cube)
    toy.runner.done.emit("too late")
    assert not taken and "stopped" in toy.jobbar.status.text()


def test_labels_that_still_lie_in_the_list_are_open_with_their_images(toy: Any, qtbot: Any) -> None:
    season, labels = toy.viewer.layers["toy images"], toy.session.labels
    toy.viewer.layers.remove(season)
    qtbot.waitUntil(lambda: toy.session.labels is None, timeout=LONG_MS)
    toy.viewer.add_layer(season)  # napari puts it on top
    qtbot.waitUntil(lambda: toy.session.labels is labels, timeout=LONG_MS)
    assert [layer.name for layer in toy.viewer.layers] == ["toy images", "crops of toy parcels"]


def test_other_labels_and_a_dropped_raster_take_the_place_of_the_former(toy: Any, qtbot: Any, tmp_path: Path) -> None:
    toy.add(labels_layer(replace(toys.scene(seed=3).labels, name="others")))
    qtbot.waitUntil(lambda: len(toy.viewer.layers) == 2, timeout=LONG_MS)
    assert toy.viewer.layers[1].name == "crops of others" and toy.session.labels.name == "others"
    # A label raster that is dropped lies on the scene.
    path, ids, grid = tmp_path / "classes.tif", toys.scene(seed=2).labels.ids, toy.session.cube.grid
    profile = {"driver": "GTiff", "count": 1, "dtype": "uint8", "height": 64, "width": 64, "nodata": 255}
    with rasterio.open(path, "w", **profile, crs=str(grid.crs), transform=grid.transform) as file:
        file.write(ids.astype("uint8"), 1)
    toy.viewer.open(str(path), plugin="napari-cscl")
    assert toy.session.labels.name == "classes.tif" and np.array_equal(toy.session.labels.ids, ids)


def test_images_can_be_duplicated_and_the_region_renamed(toy: Any) -> None:
    from napari.layers._layer_actions import _duplicate_layer

    toy.viewer.layers.selection.select_only(toy.viewer.layers[0])
    _duplicate_layer(toy.viewer.layers)
    toy.finetune.region.rectangle.click()
    drawn = toy.viewer.layers.selection.active
    drawn.add_rectangles([[[0, 0], [0, 99], [99, 99], [99, 0]]])
    drawn.name = "my field"
    assert toy.finetune.region.mask(toy.session.cube.grid).sum() == 100


def test_a_dropped_model_is_opened(dock: Any, toy_model: Path) -> None:
    dock.viewer.open(str(toy_model), plugin="napari-cscl")
    assert dock.session.model.folder == toy_model and dock.pages.current is dock.model


def test_a_panel_that_is_opened_again_leaves_the_layers_as_they_are(toy: Any, qtbot: Any) -> None:
    from napari_cscl.bridge import raster_layer
    from napari_cscl.widgets.dock import CSCLDock

    grid = toy.session.cube.grid
    toy.add(raster_layer(np.zeros(grid.shape, np.float32), grid, "edges", (0, 1)))
    before = [layer.name for layer in toy.viewer.layers]
    toy.shut()
    again = CSCLDock(toy.viewer)
    with qtbot.waitSignal(again.data.strays.tidied, timeout=LONG_MS):
        pass
    assert [layer.name for layer in toy.viewer.layers] == before
    assert again.session.cube is toy.session.cube and again.session.labels is toy.session.labels
    again.shut()
