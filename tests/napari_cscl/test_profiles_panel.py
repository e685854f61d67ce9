"""Curves of clicked pixels, in a real window."""

import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import geopandas as gpd
import numpy as np
import pytest
import shapely
import toys
from qtpy.QtCore import QPoint, Qt
from qtpy.QtTest import QTest
from window import finish, press

from cscl.data import profiles
from cscl.data.profiles import class_profiles, parcel_profile, pixel_profile
from cscl.errors import InputError
from cscl.events import run
from cscl.parcels import Parcels
from napari_cscl.bridge import pixel_at, season_layer
from napari_cscl.widgets.plot import LINE_COLOURS
from napari_cscl.widgets.profiles import HINT, MARKS
from napari_cscl.widgets.seasonplot import ALL_BANDS

SHIFT = frozenset({"Shift"})


@pytest.fixture
def panel(toy: Any) -> Any:
    toy.pages.turn_to(toy.profiles)
    return toy.profiles


class Held:
    """Reading of profiles that waits until it may go on."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.in_window: set[bool] = set()
        self._gate, self._read = threading.Event(), profiles._read
        monkeypatch.setattr(profiles, "_read", self._wait)

    def go_on(self) -> None:
        self._gate.set()

    def _wait(self, *what: Any) -> Any:
        self.in_window.add(threading.current_thread() is threading.main_thread())
        self._gate.wait(60)
        return (yield from self._read(*what))


@pytest.fixture
def held(panel: Any, monkeypatch: pytest.MonkeyPatch) -> Iterator[Held]:
    held = Held(monkeypatch)
    yield held
    held.go_on()


def click(panel: Any, qtbot: Any, x: float = 0.5, held: Any = Qt.KeyboardModifier.NoModifier) -> tuple[int, int]:
    """Press and release the real mouse button on the canvas, wait for its curve; return the pixel there."""
    canvas = panel.dock.viewer.window._qt_viewer.canvas.native
    place = QPoint(int(canvas.width() * x), canvas.height() // 2)
    QTest.mouseMove(canvas, place)
    QTest.mousePress(canvas, Qt.MouseButton.LeftButton, held, place)
    QTest.mouseRelease(canvas, Qt.MouseButton.LeftButton, held, place)
    pixel = pixel_at(panel.session.cube.grid, panel.session.origin, panel.dock.viewer.cursor.position)
    assert pixel is not None
    read(panel, qtbot)
    return pixel


def read(panel: Any, qtbot: Any) -> None:
    qtbot.waitUntil(lambda: set(panel.curves) == set(panel.picks) and not panel.reader.busy, timeout=60_000)


def drawn(panel: Any) -> dict[str, np.ndarray]:
    """Values of the curves on the plot, by name."""
    (axes,) = panel.plot._canvas.figure.axes
    lines, names = axes.get_legend_handles_labels()
    return {name: np.asarray(line.get_ydata()) for name, line in zip(names, lines, strict=True)}


def test_a_click_draws_the_curve_of_that_pixel_and_says_what_it_is(panel: Any, qtbot: Any) -> None:
    assert panel.facts.text() == HINT
    row, col = click(panel, qtbot)
    cube, labels = panel.session.cube, panel.session.labels
    red, nir = (cube.stored.values[:, band, row, col] * 1e-4 for band in (1, 2))
    assert panel.quantity.currentText() == "NDVI"
    assert np.allclose(drawn(panel)["1"], (nir - red) / (nir + red), atol=1e-6)
    panel.quantity.setCurrentText("B08")
    assert np.allclose(drawn(panel)["1"], nir, atol=1e-6)
    panel.quantity.setCurrentText(ALL_BANDS)
    assert list(drawn(panel)) == ["B03", "B04", "B08"] and np.allclose(drawn(panel)["B04"], red, atol=1e-6)
    (crop,) = (c.name for c in labels.legend.classes if c.id == labels.ids[row, col])
    text = panel.facts.text()
    assert crop in text and f"parcel {labels.parcel_ids[row, col]}" in text
    assert f"E {5e5 + 10 * col + 5:.0f}, N {5e6 - 10 * row - 5:.0f}" in text and "° N" in text
    assert "predicted" not in text
    press(panel.dock, qtbot, panel.dock.map.predict)
    assert "predicted" in panel.facts.text() and "%)" in panel.facts.text()


def test_compared_clicks_have_their_own_colours_and_marks(panel: Any, qtbot: Any) -> None:
    viewer = panel.dock.viewer
    active = viewer.layers.selection.active
    first = click(panel, qtbot, 0.45)
    second = click(panel, qtbot, 0.5, Qt.KeyboardModifier.ShiftModifier)
    panel.compare.setChecked(True)
    third = click(panel, qtbot, 0.55)
    assert panel.picks == [first, second, third] and list(drawn(panel)) == ["1", "2", "3"]
    (axes,) = panel.plot._canvas.figure.axes
    assert [line.get_color() for line in axes.get_legend_handles_labels()[0]] == list(LINE_COLOURS[:3])
    marks = viewer.layers[MARKS]
    assert (
        marks.data[:3].tolist() == [list(p) for p in panel.picks] and list(marks.face_color[:, 3]) == [1] * 3 + [0] * 3
    )
    assert viewer.layers[-1] is marks
    world = marks.data_to_world(marks.data[2])
    assert pixel_at(panel.session.cube.grid, panel.session.origin, world) == third
    assert viewer.layers.selection.active is active
    panel.compare.setChecked(False)
    last = click(panel, qtbot)
    assert panel.picks == [last] and list(drawn(panel)) == ["1"] and marks.face_color[:, 3].sum() == 1
    panel.clear.click()
    assert not panel.curves and panel.facts.text() == HINT and MARKS not in viewer.layers


def test_six_places_are_compared_at_most(panel: Any, qtbot: Any) -> None:
    for col in range(8):
        panel.picked(20, col, SHIFT)
    panel.picked(20, 0, SHIFT)
    read(panel, qtbot)
    assert panel.picks == [(20, col) for col in range(6)] and "Clear them" in panel.dock.jobbar.status.text()
    assert all(np.isfinite(panel.curves[pixel].values).any() for pixel in panel.picks)


def test_parcels_show_their_mean_and_go_by_the_id_that_their_user_gave_them(panel: Any, qtbot: Any) -> None:
    panel.parcel.click()
    panel.picked(20, 20, frozenset())
    read(panel, qtbot)
    session = panel.session
    expected = run(parcel_profile(session.cube, session.labels, int(session.labels.parcel_ids[20, 20])))
    assert np.array_equal(panel.curves[20, 20].values, expected.values, equal_nan=True)
    assert "mean of 64 pixels" in panel.facts.text()
    panel.pixel.click()
    read(panel, qtbot)
    pixel = run(pixel_profile(session.cube, 20, 20))
    assert np.array_equal(panel.curves[20, 20].values, pixel.values, equal_nan=True)
    number = int(session.labels.parcel_ids[20, 20])
    assert f"parcel {number}" in panel.facts.text()
    ground = [shapely.box(0, 0, 1, 1)]
    table = gpd.GeoDataFrame({"parcel_id": [number], "code": ["c"], "ilot": ["<7>"]}, geometry=ground, crs=32631)
    session.open_labels(session.labels, Parcels(table, id_column="ilot"))
    panel.picked(20, 20, frozenset())
    read(panel, qtbot)
    assert "parcel &lt;7&gt;" in panel.facts.text()
    session.open_labels(replace(session.labels, parcel_ids=None))
    assert not panel.parcel.isEnabled() and "polygons" not in panel.facts.text()


def test_crops_are_held_beside_unless_their_job_is_cancelled(panel: Any, held: Held, qtbot: Any) -> None:
    first, combo = panel.beside.lists[:2]
    choose(first, "maïs")
    assert panel.dock.runner.busy and not combo.isEnabled()
    panel.dock.cancel()
    held.go_on()
    finish(panel.dock, qtbot)
    assert first.currentText() == "none" and combo.isEnabled() and not panel.beside.profiles
    panel.picked(20, 20, frozenset())
    read(panel, qtbot)
    assert [combo.itemText(i) for i in range(combo.count())] == ["none", *toys.LEGEND.names]
    choose(combo, "maïs")
    finish(panel.dock, qtbot)
    assert combo.currentText() == "maïs" and combo.isEnabled()
    expected = run(class_profiles(panel.session.cube, panel.session.labels, (9,)))[9]
    assert np.allclose(drawn(panel)["maïs"], expected.values[:, 0]) and list(drawn(panel)) == ["maïs", "1"]
    choose(combo, "none")
    choose(combo, "maïs")
    assert not panel.dock.runner.busy and "maïs" in drawn(panel), "it was kept"
    panel.session.open_labels(replace(panel.session.labels))
    assert not panel.beside.profiles and list(drawn(panel)) == ["1"]


def test_another_cube_forgets_the_former(panel: Any, qtbot: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    from napari.layers import Layer

    panel.picked(20, 20, frozenset())
    read(panel, qtbot)
    slowly(monkeypatch)
    panel.picked(20, 30, SHIFT)
    viewer = panel.dock.viewer
    viewer.layers.clear()
    data, look, kind = season_layer(replace(toys.scene().cube.select(bands=("B03",)), name="other"))
    viewer.add_layer(Layer.create(data, look, kind))
    assert not panel.picks and not panel.curves and panel.facts.text() == HINT and MARKS not in viewer.layers
    assert [panel.quantity.itemText(i) for i in range(panel.quantity.count())] == ["B03"], "what its bands allow"
    qtbot.waitUntil(lambda: not panel.reader.busy, timeout=60_000)
    assert not panel.curves and not panel.parcel.isEnabled()
    panel.picked(40, 30, frozenset())
    read(panel, qtbot)
    assert len(drawn(panel)["1"]) == 6


def test_the_window_waits_neither_for_slow_images_nor_for_those_that_cannot_be_read(
    panel: Any, held: Held, qtbot: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    panel.picked(20, 20, frozenset())
    assert panel.reader.busy and "reading ..." in panel.facts.text()
    panel.picked(30, 30, frozenset())
    held.go_on()
    read(panel, qtbot)
    assert list(panel.curves) == [(30, 30)], "the latest click wins"
    assert held.in_window == {False}, "nothing is read in the window's thread"

    def fail(*_: Any) -> Any:
        raise InputError("a.tif cannot be read. The file may be damaged.")

    monkeypatch.setattr(type(panel.session.cube), "read", fail)
    panel.picked(20, 20, frozenset())
    qtbot.waitUntil(lambda: not panel.reader.busy, timeout=60_000)
    assert "a.tif cannot be read" in panel.dock.jobbar.status.text() and not panel.picks


def test_the_line_follows_the_slider_and_a_click_in_the_plot_moves_it(panel: Any, qtbot: Any) -> None:
    from matplotlib.dates import date2num

    panel.picked(20, 20, frozenset())
    read(panel, qtbot)
    viewer, dates = panel.dock.viewer, panel.session.cube.dates
    counts: list[int] = []
    monkey: Callable[..., None] = panel.plot._draw
    panel.plot._draw = lambda: (counts.append(1), monkey())
    for time_step in (1, 2, 3, 4):
        viewer.dims.set_current_step(0, time_step)
    qtbot.waitUntil(lambda: bool(counts), timeout=60_000)
    assert len(counts) == 1, "at most four times a second"
    (axes,) = panel.plot._canvas.figure.axes
    upright = [
        line.get_xdata() for line in axes.lines if len(set(line.get_xdata())) == 1 and len(line.get_xdata()) == 2
    ]
    assert [date2num(x[0]) for x in upright] == [date2num(dates[4])]
    x, y = axes.transData.transform((date2num(dates[2]) + 3, np.mean(axes.get_ylim())))
    native = panel.plot._canvas
    place = QPoint(int(x / native.device_pixel_ratio), int(native.height() - y / native.device_pixel_ratio))
    QTest.mouseClick(native, Qt.MouseButton.LeftButton, pos=place)
    assert viewer.dims.current_step[0] == 2


def test_nothing_is_left_when_the_panel_goes(panel: Any, qtbot: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    slowly(monkeypatch)
    panel.picked(20, 20, frozenset())
    panel.dock.shut()
    assert not panel.reader.busy
    panel.dock.viewer.dims.set_current_step(0, 2)
    assert not panel._slider.isActive()


def choose(combo: Any, text: str) -> None:
    combo.setCurrentText(text)
    combo.activated.emit(combo.currentIndex())


def slowly(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let reading take a second for all dates, one date at a time."""
    monkeypatch.setattr(profiles, "DATES_AT_ONCE", 1)
    read = profiles.SITSCube.read
    monkeypatch.setattr(profiles.SITSCube, "read", lambda cube, window=None: time.sleep(0.1) or read(cube, window))
