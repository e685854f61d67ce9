"""Upsets of the Boundary panel: odd scenes and maps, things that go while they are used, keys alone, full disks."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import toys
from qtpy.QtCore import Qt
from qtpy.QtWidgets import QApplication, QLineEdit
from window import LONG_MS, finish, known_errors, map_of, names, press

from cscl.inference.subset import Subset
from cscl.legend import CropClass, Legend
from cscl.products import LabelMap, Prediction
from napari_cscl.bridge import labels_layer, prediction_layer, season_layer


def of_classes(count: int) -> tuple[LabelMap, Prediction]:
    """Labels and a map of so many classes."""
    labels = toys.scene().labels
    legend = Legend(tuple(CropClass(i, f"C{i}", f"crop {i}", "#117733") for i in range(count)))
    assert labels.parcel_ids is not None
    ids = legend.to_ids(labels.parcel_ids % count)
    labels = replace(labels, ids=ids, legend=legend)
    return labels, map_of(np.roll(ids, 1, axis=1), labels)


def odd(name: str) -> tuple[LabelMap, Prediction]:
    """Labels and a map that somebody may well have."""
    labels = toys.scene(size=20 if name == "tiny" else 64).labels
    truth = np.where(labels.ids == 255, 0, labels.ids)
    if name in ("2", "200"):
        return of_classes(int(name))
    if name == "all right":
        return labels, map_of(truth, labels)
    if name == "one parcel":
        ids, one = np.full_like(labels.ids, 255), np.zeros(labels.ids.shape, np.int32)
        ids[20:30, 20:30], one[20:30, 20:30] = 4, 7
        return replace(labels, ids=ids, parcel_ids=one), map_of(np.roll(truth, 1, 0), labels)
    if name == "no parcels":
        labels = replace(labels, parcel_ids=None)
    return labels, map_of(np.roll(truth, 1, axis=1), labels, confidence=255 if name == "no confidence" else 200)


def test_odd_scenes_are_explored_to_the_end(dock: Any, qtbot: Any, tmp_path: Path) -> None:
    for name in ("2", "200", "all right", "one parcel", "tiny", "no parcels", "no confidence"):
        labels, prediction = odd(name)
        cube = toys.scene(size=labels.ids.shape[0]).cube
        for layer in (season_layer(cube, "NDVI"), labels_layer(labels), prediction_layer(prediction)):
            dock.add(layer)
        explore_to_the_end(name, dock, qtbot, tmp_path)
        dock.viewer.layers.clear()
        qtbot.waitUntil(lambda: dock.session.cube is None, timeout=LONG_MS)


def explore_to_the_end(name: str, dock: Any, qtbot: Any, folder: Path) -> None:
    """Find the errors, look at each view, write each table, step to a case, and filter by a pair of crops."""
    labels, panel = dock.session.labels, dock.boundary
    dock.pages.turn_to(panel)
    panel.judged.setCurrentIndex(1)
    press(dock, qtbot, panel.find)
    assert panel.atlas is not None, (name, dock.jobbar.status.text())
    for view in range(panel.views.count()):
        panel.views.setCurrentIndex(view)
        QApplication.processEvents()
        panel.export.export_to(folder / f"{name} {view}.csv", "table")
        finish(dock, qtbot)
        assert f"{name} {view}.csv" in dock.jobbar.status.text()
    for table in (panel.parcels, panel.edges):
        panel.walk.turn_to(table)
        panel.walk.step(1)
        assert (panel.case is None) == (not len(table.frame)) or table is panel.edges, name
    press(dock, qtbot, panel.overview.moved)
    assert "edges moved (m)" in names(dock), name
    first, last = labels.legend.ids[0], labels.legend.ids[-1]
    panel.filters.choose_pair((first, last))
    qtbot.waitUntil(lambda: panel.at_rest, timeout=LONG_MS)
    occurs = (labels.ids[panel.atlas.kinds_YX > 0] == first).any()
    asked = Subset(first, last) if occurs else Subset()
    assert panel.selection.subset == asked, (name, "never another class than asked for")


def test_layers_of_ours_that_somebody_removes_come_back_when_they_are_needed(found: Any, qtbot: Any) -> None:
    panel, layers = found.boundary, found.viewer.layers
    panel.walk.step(1)
    press(found, qtbot, panel.overview.moved)
    assert panel.overview.moved.isChecked() and not layers["errors"].visible
    moved = layers["edges moved (m)"].data
    # The map lies a pixel to the right: of two parcels side by side the left one, of the lower number, has grown.
    assert np.nanmedian(moved) == 10 and (moved > 0).sum() > 5 * (moved < 0).sum(), "with the sign of the engine"
    for name in ("errors", "selected", "edges moved (m)"):
        layers.remove(name)
    panel.filters.choose_range((0, 0))
    panel.walk.step(1)
    qtbot.waitUntil(lambda: panel.at_rest, timeout=LONG_MS)
    assert np.array_equal(layers["errors"].data, panel.selection.kinds_YX) and "selected" in layers
    panel.overview.moved.click()  # it was on: now the errors are seen again
    press(found, qtbot, panel.overview.moved)
    assert "edges moved (m)" in layers and not layers["errors"].visible
    swept: list[str] = []
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("napari._vispy.canvas.gc", SimpleNamespace(collect=lambda: swept.append("all")))
        found.session.open_prediction(known_errors(found.session.labels))
    assert swept == ["all"], "napari sweeps the memory once for three layers that go, and not for each"
    assert {"errors", "edges moved (m)"}.isdisjoint(names(found)) and not panel.overview.moved.isChecked()


def test_two_clicks_on_find_are_one_search_that_a_dock_that_goes_leaves_quietly(found: Any, qtbot: Any) -> None:
    panel = found.boundary
    panel.find.click()
    panel.find.click()
    panel.start_finding()
    finish(found, qtbot)
    assert "Another job" in found.jobbar.status.text() or panel.atlas is not None
    assert names(found).count("errors") == 1
    # And a dock that goes while errors are found leaves quietly.
    panel.walk.step(1)
    panel.filters.choose_range((1, 1))
    panel.find.click()
    found.shut()
    qtbot.wait(300)
    assert not panel.surer.busy and not found.runner.busy and not panel.casebox.strip.runner.busy


def test_another_scene_while_the_pictures_and_intervals_come(found: Any, qtbot: Any) -> None:
    panel = found.boundary
    panel.walk.step(1)
    panel.filters.choose_range((1, 1))
    QApplication.processEvents()
    other = toys.scene(seed=5)
    found.add(season_layer(other.cube, "NDVI"))
    found.add(labels_layer(other.labels))
    qtbot.wait(300)
    assert panel.atlas is None and panel.case is None and panel.at_rest and not panel.views.isVisible()
    assert {"errors", "selected"}.isdisjoint(names(found))


def test_a_map_against_itself_wins_and_loses_nothing(found: Any, qtbot: Any) -> None:
    panel = found.boundary
    panel.versus.start_comparing(found.session.prediction)
    finish(found, qtbot)
    assert "wins 0 pixels and loses 0" in panel.versus.summary.text()
    assert panel.versus.duel.names == ("wrong on purpose", "wrong on purpose (2)")


def test_notes_take_any_text_and_a_place_that_cannot_be_written_is_named(
    found: Any, qtbot: Any, tmp_path: Path
) -> None:
    panel = found.boundary
    panel.walk.step(1)
    texts = ["<b>bold</b> & 'so'", 'a,"b";c\n=1+1', "\u202efelt \U0001f33d é", "x" * 5000]
    for number, text in enumerate(texts):
        path = tmp_path / f"{number}.csv"
        panel.casebox.editor.text.setPlainText(text)
        panel.export.export_to(path, "notes")
        finish(found, qtbot)
        panel.casebox.editor.text.setPlainText("")
        panel.casebox.take_notes(path)
        assert panel.casebox.editor.text.toPlainText() == text
    panel.casebox.only.setChecked(True)
    assert [panel.tables.tabText(i) for i in range(2)] == ["Parcels (1)", "Edges (0)"]
    panel.casebox.only.setChecked(False)
    assert panel.tables.tabText(0) == f"Parcels ({len(panel.atlas.parcels)})"
    # A place that cannot be written is named, whatever is to be written there.
    for what in ("table", "package", "map", "pictures", "notes"):
        found.say("")
        panel.export.export_to("/proc/errors/out.csv", what)
        finish(found, qtbot)
        said = found.jobbar.status.text()
        assert "/proc/errors" in said and "Error:" not in said, what
        assert panel.find.isEnabled(), what


def test_nothing_needs_scrolling_and_the_tab_key_goes_on_from_what_is_always_there(found: Any, qtbot: Any) -> None:
    panel = found.boundary
    found.viewer.window._qt_window.resize(1366, 768)
    panel.walk.step(1)
    for theme in ("light", "dark"):  # it may change while a case is seen
        found.viewer.theme = theme
        qtbot.wait(30)
    assert panel.casebox.strip.isVisible()
    for view in range(panel.views.count()):
        panel.views.setCurrentIndex(view)
        qtbot.waitUntil(lambda: panel.height() <= panel.parentWidget().height(), timeout=LONG_MS)
        chain, now = [panel.find], panel.find.nextInFocusChain()
        while now is not panel.find:
            stops = now.focusPolicy() & Qt.FocusPolicy.TabFocus and not isinstance(now, QLineEdit)  # of a spin box
            chain += [now] if stops and now.isVisibleTo(panel) else []
            now = now.nextInFocusChain()
        always = [panel.find, panel.judged, panel.reach, panel.reset, panel.export.button]
        assert chain[: len(always)] == always
        inside = panel.views.currentWidget()
        assert any(inside.isAncestorOf(widget) for widget in chain[len(always) : len(always) + 3])
