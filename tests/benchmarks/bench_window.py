"""How the window answers while a model trains; run with ``make bench`` or under a virtual screen.

A timer of 10 ms notes how late it fires: that is how long the event loop was busy with something else. The picture is
panned and the dates run through, first alone, then while the sample season is trained on, with the live curve shown.
"""

from __future__ import annotations

import argparse
import os
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np

TICK_MS = 10
TARGET_P95_MS, TARGET_P99_MS = 75, 200  # while training, on two cores


class Lateness:
    """Gaps between the firings of a timer, milliseconds."""

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
        self.gaps.append(1000 * (now - self._last))
        self._last = now

    def said(self) -> str:
        """Say what was measured."""
        gaps = np.array(self.gaps[5:])
        median, p95, p99 = np.percentile(gaps, (50, 95, 99))
        met = p95 < TARGET_P95_MS and p99 < TARGET_P99_MS
        return (
            f"median {median:.0f}, p95 {p95:.0f}, p99 {p99:.0f}, longest {gaps.max():.0f} ms ({len(gaps)} gaps); "
            f"p95 under {TARGET_P95_MS} and p99 under {TARGET_P99_MS} ms: {'met' if met else 'missed'}"
        )


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


def main() -> None:
    """Measure idle, then in training."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=30.0, help="length of each measurement (default: 30)")
    seconds = parser.parse_args().seconds
    with tempfile.TemporaryDirectory() as folder:
        os.environ["NAPARI_CONFIG"] = str(Path(folder) / "settings.yaml")
        import napari

        from cscl.recipe import Recipe

        viewer = napari.Viewer(show=True)
        viewer.window.resize(1366, 768)
        viewer.open_sample("napari-cscl", "simulated_season")
        _, dock = viewer.window.add_plugin_dock_widget("napari-cscl", "CSCL")
        watch(viewer, 3)  # shaders and files are made ready
        print(f"nothing else:   {watch(viewer, seconds).said()}")
        dock.pages.turn_to(dock.train)
        dock.train.train_into(Path(folder) / "model", Recipe().with_settings(["train.steps=100000"]), (False, True))
        while not dock.train.curves.curves:  # reading and splitting are over
            watch(viewer, 0.2)
        print(f"while training: {watch(viewer, seconds, lambda: dock.runner.busy).said()}")
        dock.cancel()
        while dock.runner.busy:
            watch(viewer, 0.1)
        viewer.close()


if __name__ == "__main__":
    main()
