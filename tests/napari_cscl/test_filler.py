"""Pictures that take long to read: the window does not wait, and they appear."""

from __future__ import annotations

import threading
from typing import Any

import numpy as np
import pytest
import toys

from napari_cscl import kept
from napari_cscl.bridge import season_layer
from napari_cscl.composite import SeasonImage, fitting, pyramid


def test_slow_images_are_read_beside_the_window(dock: Any, qtbot: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("napari_cscl.composite.COARSEST_PX", 70)
    cube = toys.scene(150, 2, gap=False).cube
    direct = pyramid(cube, next(iter(fitting(cube).values())))
    wanted = np.asarray(direct[-1][1])
    monkeypatch.setattr(kept, "LONG_S", 0.0)
    shown, readers = season_layer(cube), set()
    read = SeasonImage._read

    def noted(image: SeasonImage, *where: Any) -> Any:
        readers.add(threading.current_thread() is threading.main_thread())
        return read(image, *where)

    monkeypatch.setattr(SeasonImage, "_read", noted)
    layer = dock.add(shown)
    dock.viewer.dims.set_current_step(0, 1)
    qtbot.waitUntil(lambda: not dock.filler.runner.busy and not layer.data[0].kept.wanted, timeout=60_000)
    assert readers == {False}, "nothing is read in the window's thread"
    np.testing.assert_array_equal(np.asarray(layer.data[-1][1]), wanted)
    np.testing.assert_array_equal(layer._slice.thumbnail.raw[:4, :4], wanted[:4, :4])  # the layer shows it, too


def test_only_the_date_on_show_is_asked_for() -> None:
    held = kept.Kept(1000)
    read: list[int] = []
    for time in (0, 1):
        held.want({(1, time, tile): lambda time=time: read.append(time) for tile in range(2)})
    assert len(list(kept.fill(held))) == 2 and read == [1, 1]
    assert not held.wanted
