"""Time from an act in the Boundary panel to the screen that answers it, on a map with known kinds of mistakes.

Real mouse clicks and key strokes. Handled is
when map, plot, matrix and tables hold what was asked for; on screen is the first frame swapped after it was painted
since; sure is when the intervals of the accuracy by distance, which come last, are known. Work is the processor's time
up to the screen, of all threads, drawing by software included: it does not depend on what else the machine does.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Mapping
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
from windows.clicks import Frames, p95, settle

from cscl.cube import Radiometry, SITSCube
from cscl.grid import make_grid
from cscl.legend import CropClass, Legend
from cscl.products import LabelMap, Prediction
from napari_cscl.bridge import labels_layer, prediction_layer, season_layer
from napari_cscl.widgets.dock import CSCLDock

CLASSES, PARCEL_PX, TIMES = 14, 32, 20
LEFT = Qt.MouseButton.LeftButton


def scene(size: int, classes: int, parcel: int) -> tuple[SITSCube, LabelMap, Prediction]:
    """Square parcels; a map that lies a pixel aside, with a tenth of the parcels wrong and a few pixels at random."""
    rng = np.random.default_rng(0)
    grid = make_grid((size, size), Affine(10, 0, 5e5, 0, -10, 5e6), "EPSG:32631", "noise")
    values = rng.integers(200, 4000, (3, 3, size, size), np.uint16)
    times = np.datetime64("2021-04-01", "ns") + np.arange(3) * np.timedelta64(30, "D")
    coords = {"time": times, "band": ["B02", "B03", "B04"]}
    array = xr.DataArray(values, dims=("time", "band", "y", "x"), coords=coords)
    cube = SITSCube(array, grid, Radiometry((1e-4,) * 3, (0.0,) * 3, 0, "noise"), name="noise")
    legend = Legend(tuple(CropClass(i, f"C{i}", f"crop number {i}", "#117733") for i in range(classes)))
    count, square = -(-size // parcel), np.ones((parcel, parcel), int)
    truth = np.kron(rng.integers(0, classes, (count, count)), square)[:size, :size]
    numbers = np.kron(1 + np.arange(count**2).reshape(count, count), square)[:size, :size].astype(np.int32)
    guess = np.roll(truth, 1, axis=1)
    guess = np.where((rng.random(count**2 + 1) < 0.1)[numbers], (truth + 1 + numbers % 5) % classes, guess)
    noise = rng.random((size, size)) < 0.03
    guess[noise] = rng.integers(0, classes, noise.sum())
    arrays = (xr.DataArray(a.astype(np.uint8), dims=("y", "x")) for a in (guess, np.full_like(guess, 200)))
    return cube, LabelMap(legend.to_ids(truth), grid, legend, numbers, "noise"), Prediction(*arrays, grid, legend)


class Acts:
    """What a user does in the panel, with the mouse and the keys."""

    def __init__(self, dock: Any) -> None:
        self.dock, self.panel = dock, dock.boundary
        self.rng = np.random.default_rng(0)

    def everything(self) -> dict[str, Callable[[], None]]:
        """Name the acts."""
        return {
            "declared crop": self.declare, "brush": self.brush, "cell": self.cell, "size": self.size,
            "row": self.row, "next parcel": self.next_parcel, "next edge": self.next_edge, "pair": self.pair,
        }  # fmt: skip

    def declare(self) -> None:
        box = self.panel.filters.declared
        box.setCurrentIndex((box.currentIndex() + 1) % box.count() or 1)

    def brush(self) -> None:
        plot = self.panel.plot
        first = (plot.range or (0, 0))[0]
        ends = [QPoint(round(plot.middle_of(bar)), plot.height() // 2) for bar in ((first + 1) % 4, (first + 1) % 4)]
        QTest.mousePress(plot, LEFT, pos=ends[0])
        QTest.mouseRelease(plot, LEFT, pos=ends[1])

    def cell(self) -> None:
        self.panel.views.setCurrentWidget(self.panel.crops)
        view, count = self.panel.confusion.view, 4
        pair = self.panel.confusion.cells.pair or (0, 0)
        number = (pair[0] * count + pair[1] + 1) % count**2
        self._click(view, *divmod(number, count))

    def size(self) -> None:
        box = self.panel.filters.smallest
        box.setValue(1.0 if box.value() != 1.0 else 2.0)

    def row(self) -> None:
        self.panel.walk.turn_to(self.panel.parcels)
        table = self.panel.parcels
        self._click(table, table.rowAt(2) + (table.number + 1 - table.rowAt(2)) % 3, 0)

    def next_parcel(self) -> None:
        self.panel.walk.turn_to(self.panel.parcels)
        self._strike()

    def next_edge(self) -> None:
        self.panel.walk.turn_to(self.panel.edges)
        self._strike()

    def pair(self) -> None:
        self.panel.views.setCurrentWidget(self.panel.crops)
        table = self.panel.pairs
        self._click(table, table.rowAt(2) + (table.number + 1 - table.rowAt(2)) % 3, 0)

    def _strike(self) -> None:
        QTest.keyClick(self.dock.viewer.window._qt_window, Qt.Key.Key_N, Qt.KeyboardModifier.AltModifier)

    def _click(self, table: Any, row: int, column: int) -> None:
        place = table.visualRect(table.model().index(row, column)).center()
        QTest.mouseClick(table.viewport(), LEFT, pos=place)


def window(size: int, classes: int, parcel: int) -> tuple[Any, float]:
    """Open a window with the scene, find its errors, and say how long that took."""
    viewer = napari.Viewer()
    viewer.window._qt_window.resize(1366, 768)
    dock = CSCLDock(viewer)
    viewer.window.add_dock_widget(dock, name="CSCL")
    cube, labels, prediction = scene(size, classes, parcel)
    for layer in (season_layer(cube), labels_layer(labels), prediction_layer(prediction)):
        viewer.add_layer(Layer.create(*layer))
        settle(0.3)
    dock.pages.turn_to(dock.boundary)
    began = time.perf_counter()
    dock.boundary.find.click()
    while dock.runner.busy or dock.boundary.atlas is None:
        settle(0.02)
    return dock, time.perf_counter() - began


def measure(size_px: int, settings: Settings) -> Mapping[str, Figures]:
    """Do each act again and again; seconds to the screen, and the other stages beside them."""
    dock, found_s = window(size_px, CLASSES, PARCEL_PX)
    panel, acts, parts = dock.boundary, Acts(dock), {"find errors": Figures([found_s])}
    frames = Frames(dock.viewer.window._qt_viewer.canvas.native)
    for name, act in acts.everything().items():
        panel.reset.click()
        rows = []
        for number in range(TIMES + 2):
            while not panel.at_rest:
                QApplication.processEvents()
            settle(0.3)
            before, worked, began = (panel.selection, panel.case), time.process_time(), time.perf_counter()
            act()
            while (panel.selection, panel.case)[0] is before[0] and panel.case is before[1]:
                QApplication.processEvents()
                if time.perf_counter() - began > 5:
                    raise TimeoutError(f"{name}: nothing was answered")
            handled = time.perf_counter() - began
            on_screen = handled + frames.wait(began + handled)[1]
            worked = time.process_time() - worked
            while not panel.at_rest:
                QApplication.processEvents()
            if number >= 2:  # the first ones make layers
                rows.append((handled, on_screen, time.perf_counter() - began, worked))
        handled, shown, sure, work = np.array(rows).T
        medians = {"handled_ms": handled, "sure_ms": sure, "work_ms": work}
        more = {what: 1e3 * float(np.median(seconds)) for what, seconds in medians.items()}
        parts[name] = Figures(shown.tolist(), more={**p95(shown), **more})
    dock.viewer.close()
    return parts
