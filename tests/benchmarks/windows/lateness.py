"""How the window answers while a model trains.

A timer of 10 ms notes how late it fires: that is how long the event loop was busy with something else. The picture is
panned and the dates run through, first alone, then while the sample season is trained on, with the live curve shown.
"""

from __future__ import annotations

import os
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from suite import Figures, Settings

TICK_MS, SECONDS = 10, 30.0


class Lateness:
    """Gaps between the firings of a timer, seconds."""

    def __init__(self) -> None:
        from qtpy.QtCore import Qt, QTimer

        self.gaps: list[float] = []
        self._last = time.perf_counter()
        self.timer = QTimer()
        self.timer.setTimerType(Qt.TimerType.PreciseTimer)
        self.timer.timeout.connect(self._fired)
        self.timer.start(TICK_MS)

    def _fired(self) -> None:
        now = time.perf_counter()
        self.gaps.append(now - self._last)
        self._last = now

    def figures(self) -> Figures:
        """Return what was measured after the first few."""
        gaps = np.array(self.gaps[5:])
        more = {f"p{p}_ms": 1e3 * float(np.percentile(gaps, p)) for p in (95, 99)}
        return Figures(gaps.tolist(), more=more)


def watch(viewer: Any, seconds: float, going_on: Any = lambda: True) -> Lateness:
    """Pan and run through the dates for a time, and note the gaps."""
    from qtpy.QtWidgets import QApplication

    lateness = Lateness()
    began, moves = time.perf_counter(), 0
    while (now := time.perf_counter() - began) < seconds and going_on():
        if now * 5 > moves:  # five pictures a second, as a hand makes them
            moves += 1
            viewer.dims.set_point(0, moves % int(viewer.dims.nsteps[0]))
            viewer.scene.camera.center = (0, 800 + 60 * (moves % 9), 800 - 40 * (moves % 7))
        QApplication.processEvents()
        time.sleep(0.001)
    lateness.timer.stop()
    return lateness


def measure(work: int, settings: Settings) -> Mapping[str, Figures]:
    """Measure idle, then in training."""
    with tempfile.TemporaryDirectory() as folder:
        os.environ["NAPARI_CONFIG"] = str(Path(folder) / "settings.yaml")
        import napari

        from cscl.recipe import Recipe

        viewer = napari.Viewer(show=True)
        viewer.window.resize(1366, 768)
        viewer.open_sample("napari-cscl", "simulated_season")
        _, dock = viewer.window.add_plugin_dock_widget("napari-cscl", "CSCL")
        watch(viewer, 3)  # shaders and files are made ready
        parts = {"nothing else": watch(viewer, SECONDS).figures()}
        dock.pages.turn_to(dock.train)
        dock.train.train_into(Path(folder) / "model", Recipe().with_settings(["train.steps=100000"]), (False, True))
        while not dock.train.curves.curves:  # reading and splitting are over
            watch(viewer, 0.2)
        parts["while training"] = watch(viewer, SECONDS, lambda: dock.runner.busy).figures()
        dock.cancel()
        while dock.runner.busy:
            watch(viewer, 0.1)
        viewer.close()
        return parts
