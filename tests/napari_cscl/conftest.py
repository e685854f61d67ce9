"""The real window: a viewer with the panel docked, on a virtual screen."""

from __future__ import annotations

import functools
import gc
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import toys
from window import known_errors, press

from cscl.events import run
from cscl.training.segment import train

if not (os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY")):
    collect_ignore_glob = ["test_*.py"]


@pytest.fixture(scope="session", autouse=True)
def plugins_found_once() -> Iterator[None]:
    """Which plugins are installed stays as it is; napari would read all their manifests anew for each viewer."""
    from npe2 import PluginManager

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(PluginManager, "discover", functools.cache(PluginManager.discover))
        yield


@pytest.fixture(autouse=True)
def little_to_sweep() -> None:
    """What outlives a window is hardly ever garbage; napari would search all of it whenever a layer goes."""
    from napari._qt.qt_viewer import QtViewer

    import napari_cscl.widgets.dock  # noqa: F401

    if not QtViewer._instances:
        gc.collect()
        gc.freeze()


@pytest.fixture(scope="session")
def toy_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return run(train([toys.scene()], tmp_path_factory.mktemp("gui") / "model", toys.QUICK, device="cpu"))


@pytest.fixture
def dock(make_napari_viewer: Callable[..., Any]) -> Iterator[Any]:
    from napari.settings import get_settings
    from napari.utils.notifications import NotificationSeverity

    from napari_cscl.widgets.dock import CSCLDock

    viewer = make_napari_viewer(show=True)
    # What the dock tells stands in its status line, too; napari fades a sheet in and out over the canvas for each.
    get_settings().application.gui_notification_level = NotificationSeverity.ERROR
    dock = CSCLDock(viewer)
    viewer.window.add_dock_widget(dock, name="CSCL")
    yield dock
    dock.shut()


@pytest.fixture
def toy(dock: Any, toy_model: Path) -> Any:
    """The panel on the toy scene with its model."""
    from napari.layers import Layer

    from napari_cscl.bridge import labels_layer, season_layer

    scene = toys.scene()
    for layer in (season_layer(scene.cube, "NDVI"), labels_layer(scene.labels)):
        dock.viewer.add_layer(Layer.create(*layer))
    dock.session.open_model(toy_model)
    return dock


@pytest.fixture
def found(toy: Any, qtbot: Any) -> Any:
    """The panel on the toy scene, with the errors of a map found among all labelled pixels."""
    from napari.layers import Layer

    from napari_cscl.bridge import prediction_layer

    qtbot.wait(50)  # once a scene is open, what belonged to a former one is taken out
    toy.viewer.add_layer(Layer.create(*prediction_layer(known_errors(toy.session.labels))))
    toy.pages.turn_to(toy.boundary)
    toy.boundary.judged.setCurrentIndex(1)
    press(toy, qtbot, toy.boundary.find)
    return toy
