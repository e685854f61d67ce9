"""The real window: a viewer with the panel docked, on a virtual screen."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import toys

from cscl.events import run
from cscl.training.segment import train

if not (os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY")):
    collect_ignore_glob = ["test_*.py"]


@pytest.fixture(scope="session")
def toy_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return run(train([toys.scene()], tmp_path_factory.mktemp("gui") / "model", toys.QUICK, device="cpu"))


@pytest.fixture
def dock(make_napari_viewer: Callable[..., Any]) -> Iterator[Any]:
    from napari_cscl.widgets.dock import CSCLDock

    viewer = make_napari_viewer(show=True)
    dock = CSCLDock(viewer)
    viewer.window.add_dock_widget(dock, name="CSCL")
    yield dock
    dock.shut()
