"""Time from a click on the canvas to the affinity that answers it: in the handler, and until the frame is on screen.

A random embedding takes the place of a
model's; the season, the labels and all layers of the panel are in the viewer. The handler is all that happens from the
press of the button to the return of its release; the frame is the first one that is swapped after it has been painted.
"""

from __future__ import annotations

import os
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

os.environ["NAPARI_CONFIG"] = ""  # the user's own settings stay out of it

import napari
import numpy as np
import xarray as xr
from affine import Affine
from napari.layers import Layer
from qtpy.QtCore import QPoint, Qt
from qtpy.QtTest import QTest
from qtpy.QtWidgets import QApplication
from suite import Figures, Settings

from cscl.cube import Radiometry, SITSCube
from cscl.events import run
from cscl.grid import GeoBox, make_grid
from cscl.inference.embed import edge_strength
from cscl.inference.similarity import overview, principal_colours
from cscl.inference.window import WindowHead
from cscl.legend import CropClass, Legend
from cscl.losses.cscl import CSCLOptions
from cscl.products import Embedding, LabelMap
from napari_cscl.bridge import labels_layer, season_layer
from napari_cscl.looking import Lens, Seen
from napari_cscl.widgets.dock import CSCLDock

CLICKS, PARCEL_PX, GAP_PX = 40, 32, 40


def scene(size_px: int) -> tuple[SITSCube, LabelMap]:
    """Three dates of noise and square parcels."""
    rng = np.random.default_rng(0)
    values = rng.integers(200, 4000, (3, 3, size_px, size_px), np.uint16)
    times = np.datetime64("2021-04-01", "ns") + np.arange(3) * np.timedelta64(30, "D")
    bands = ["B02", "B03", "B04"]
    array = xr.DataArray(values, dims=("time", "band", "y", "x"), coords={"time": times, "band": bands})
    grid = make_grid((size_px, size_px), Affine(10, 0, 5e5, 0, -10, 5e6), "EPSG:32631", "noise")
    cube = SITSCube(array, grid, Radiometry((1e-4,) * 3, (0.0,) * 3, 0, "noise"), name="noise")
    legend = Legend(tuple(CropClass(i, f"C{i}", f"crop {i}", "#117733") for i in range(4)))
    parcels = rng.integers(0, 4, (-(-size_px // PARCEL_PX),) * 2)
    ids = np.kron(parcels, np.ones((PARCEL_PX, PARCEL_PX), int))[:size_px, :size_px]
    return cube, LabelMap(legend.to_ids(ids), grid, legend, None, "noise")


def seen(grid: GeoBox, features: int, name: str) -> Seen:
    """What looking with a model would give, of random vectors and a random head."""
    rng = np.random.default_rng(len(name))
    values = rng.normal(size=(features, *grid.shape)).astype(np.float16)
    embedding = Embedding(xr.DataArray(values, dims=("feature", "y", "x")), grid)
    view = run(overview(embedding))
    query, key = (rng.normal(size=(128, features)).astype(np.float32) for _ in range(2))
    head = WindowHead(query, key, np.zeros((128, 3, 3), np.float32), CSCLOptions())
    return Seen(Lens(Path(name), name), view, run(edge_strength(embedding)), principal_colours(view), head)


class Frames:
    """When the last frame was painted, and when it was swapped."""

    def __init__(self, canvas: Any) -> None:
        self.painted = self.swapped = 0.0
        paint = canvas.paintGL

        def paint_and_tell() -> None:
            paint()
            self.painted = time.perf_counter()

        canvas.paintGL = paint_and_tell
        canvas.frameSwapped.connect(self._swap)

    def _swap(self) -> None:
        self.swapped = time.perf_counter()

    def wait(self, since: float) -> tuple[float, float]:
        """Seconds from `since` until a frame painted after it was painted, and swapped."""
        while not self.swapped > self.painted > since:
            QApplication.processEvents()
            if time.perf_counter() - since > 5:
                raise TimeoutError("no frame appeared: is there a screen?")
        return self.painted - since, self.swapped - since


def click(canvas: Any, place: QPoint) -> None:
    QTest.mousePress(canvas, Qt.MouseButton.LeftButton, pos=place)
    QTest.mouseRelease(canvas, Qt.MouseButton.LeftButton, pos=place)


def measure(two: bool, features: int, size_px: int, settings: Settings) -> Mapping[str, Figures]:
    """Click at random places, with one model or two side by side; seconds of each click, by stage."""
    viewer = napari.Viewer()
    viewer.window._qt_window.resize(1500, 950)
    dock = CSCLDock(viewer)
    viewer.window.add_dock_widget(dock, name="CSCL")
    cube, labels = scene(size_px)
    for layer in (season_layer(cube), labels_layer(labels)):
        viewer.add_layer(Layer.create(*layer))
    dock.pages.turn_to(dock.affinity)
    dock.affinity.sides.button(2).setChecked(True)
    dock.affinity._looked([seen(cube.grid, features, name) for name in ("first", "second")[: 1 + two]])
    settle(1)
    viewer.reset_view()
    canvas = viewer.window._qt_viewer.canvas.native
    frames, rng, rows = Frames(canvas), np.random.default_rng(0), []
    centre, reach = canvas.rect().center(), min(canvas.width() // (1 + two), canvas.height()) // 3
    for number in range(CLICKS + 5):
        settle(0.25)
        right, low = (int(v) for v in rng.integers(-reach, reach, 2))
        right += two * (GAP_PX if right >= 0 else -GAP_PX)  # between two pictures there is nothing to click on
        place = centre + QPoint(right, low)
        QTest.mouseMove(canvas, place)
        settle(0.1)
        before, began = dock.affinity.point, time.perf_counter()
        click(canvas, place)
        handled = time.perf_counter() - began
        painted, swapped = (handled + seconds for seconds in frames.wait(began + handled))
        assert dock.affinity.point != before or number == 0, "the click was not heard"
        if number >= 5:  # the first ones make the layers
            rows.append((handled, painted, swapped))
    viewer.close()
    stages = zip(("handler", "painted", "on screen"), np.array(rows).T, strict=True)
    return {stage: Figures(seconds.tolist(), more=p95(seconds)) for stage, seconds in stages}


def p95(seconds: np.ndarray) -> dict[str, float]:
    return {"p95_ms": 1e3 * float(np.percentile(seconds, 95))}


def settle(seconds: float) -> None:
    until = time.perf_counter() + seconds
    while time.perf_counter() < until:
        QApplication.processEvents()
        time.sleep(0.005)
