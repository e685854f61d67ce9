"""The boundary panel in a real window: find, see, filter, fly there and pick, on a map that is wrong in a known way."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
import toys
from qtpy.QtCore import QPoint, Qt
from qtpy.QtTest import QTest
from window import LONG_MS, PARCEL, known_errors, press

from cscl.events import run
from cscl.inference.explore import explore
from cscl.inference.subset import Subset, select
from cscl.report.kinds import WRONG, Kind
from napari_cscl.boundaryview import bars


def rest(dock: Any, qtbot: Any) -> None:
    """Wait until the panel shows what its filters ask for."""
    qtbot.waitUntil(lambda: dock.boundary.at_rest, timeout=LONG_MS)


def test_finds_what_the_engine_finds(found: Any, qtbot: Any) -> None:
    panel, labels = found.boundary, found.session.labels
    atlas = run(explore(found.session.prediction, labels))
    layer = found.viewer.layers["errors"]
    assert np.array_equal(layer.data, atlas.kinds_YX) and layer.data.max() > Kind.RIGHT
    assert layer.data is not panel.atlas.kinds_YX
    assert layer.features.set_index("index")["error"][int(Kind.SHIFTED)] == "shifted boundary"
    assert f"of {int((atlas.kinds_YX > 0).sum()):,} pixels with a label, among them" in panel.overview.summary.text()
    assert panel.parcels.rows.rowCount() == len(atlas.parcels) and panel.parcels.frame["id"][0] == PARCEL
    assert panel.edges.frame.equals(atlas.edges)
    assert f"{atlas.counts[Kind.SHIFTED]:,} px" in panel.overview.kinds.counts[Kind.SHIFTED].text()
    assert "pixels in" in panel.plot.accessibleDescription() and panel.plot.isVisible()
    # The tables sort.
    panel.parcels.sortByColumn(1, Qt.SortOrder.AscendingOrder)
    assert panel.parcels.frame["wrong"].is_monotonic_increasing
    assert panel.parcels.rows.data(panel.parcels.rows.index(0, 3)) in {c.name for c in toys.LEGEND.classes}
    # And held-out pixels only.
    before = (found.viewer.layers["errors"].data > 0).sum()
    found.boundary.judged.setCurrentIndex(0)
    press(found, qtbot, found.boundary.find)
    assert "held back from training" in found.boundary.overview.summary.text()
    assert 0 < (found.viewer.layers["errors"].data > 0).sum() < before / 2


def test_a_chosen_row_is_flown_to_and_outlined(found: Any) -> None:
    panel, viewer = found.boundary, found.viewer
    panel.parcels.selectRow(0)
    assert np.allclose(viewer.scene.camera.center[-2:], (200, 280))
    height_px = viewer.scene.camera.zoom * 80
    assert height_px == pytest.approx(min(viewer.canvas.size) / 3, rel=0.01)
    sides = viewer.layers["selected"].data
    assert len(sides) == 4 * 8 and sides[:, 0].min(0).tolist() == [15.5, 23.5]
    assert sides.sum(1).max(0).tolist() == [23.5, 31.5]
    panel.walk.turn_to(panel.edges)
    edge = panel.edges.frame.iloc[0]
    panel.edges.selectRow(0)
    assert len(viewer.layers["selected"].data) == 2 * 4 * 8 and PARCEL in (edge.a, edge.b)
    centre = np.array([edge.row0 + edge.row1, edge.col0 + edge.col1]) * 5
    assert np.allclose(viewer.scene.camera.center[-2:], centre)


def test_a_click_in_the_scene_selects_the_row(found: Any, qtbot: Any) -> None:
    panel, viewer = found.boundary, found.viewer
    panel.walk.turn_to(panel.edges)
    viewer.scene.camera.center, viewer.scene.camera.zoom = (200, 280), 5
    qtbot.wait(100)
    canvas = viewer.window._qt_viewer.canvas.native
    QTest.mouseMove(canvas, canvas.rect().center())
    QTest.mouseClick(canvas, Qt.MouseButton.LeftButton, pos=canvas.rect().center())
    qtbot.wait(100)
    assert panel.tables.currentWidget() is panel.parcels
    assert panel.parcels.frame["id"][panel.parcels.currentIndex().row()] == PARCEL
    assert viewer.scene.camera.zoom == 5 and "selected" in viewer.layers
    # One near an edge selects that.
    panel.walk.turn_to(panel.edges)
    panel.picked(20, 31, frozenset())
    row = panel.edges.frame.iloc[panel.edges.number]
    assert panel.tables.currentWidget() is panel.edges and (row.a, row.b) == (PARCEL, PARCEL + 1)
    assert panel.plot.mark == panel.atlas.bins_YX[20, 31]
    panel.hovered(63, 0, frozenset())
    assert panel.plot.mark is None, "it was not judged"
    panel.walk.turn_to(panel.parcels)
    panel.filters.smallest.setValue(0.5)
    rest(found, qtbot)
    panel.picked(60, 0, frozenset())
    assert "not in the table" in found.jobbar.status.text()


def test_filters_bring_all_views_to_one_subset(found: Any, qtbot: Any) -> None:
    panel, layer = found.boundary, found.viewer.layers["errors"]
    cases = {
        Subset(declared=4): lambda f: f.declared.setCurrentText("winter wheat"),
        Subset(4, 9): lambda f: f.predicted.setCurrentText("maïs"),
        Subset(4, 9, (10.0, math.inf)): lambda f: f.nearest.setCurrentText("10 m"),
        Subset(4, 9, (10.0, math.inf), (0.6, math.inf)): lambda f: f.smallest.setValue(0.6),
    }
    for subset, change in cases.items():
        change(panel.filters)
        rest(found, qtbot)
        assert panel.filters.subset() == subset
        expected = run(select(panel.atlas, subset))
        assert np.array_equal(layer.data, expected.kinds_YX) and found.viewer.layers["errors"] is layer
        assert panel.selection.curve.equals(expected.curve)
        assert panel.parcels.frame.equals(expected.parcels) and panel.edges.frame.equals(expected.edges)
    panel.reset.click()
    rest(found, qtbot)
    assert np.array_equal(layer.data, panel.atlas.kinds_YX) and panel.filters.subset() == Subset()
    panel.filters.nearest.setCurrentText("30 m")
    panel.filters.farthest.setCurrentText("20 m")
    assert panel.filters.subset().distance_m == (10.0, 20.0), "the other end gives way"


def test_a_range_is_brushed_on_the_plot(found: Any, qtbot: Any) -> None:
    panel, plot, before = found.boundary, found.boundary.plot, found.boundary.selection
    places = [QPoint(round(plot.middle_of(bar)), plot.height() // 2) for bar in (2, 1)]
    QTest.mousePress(plot, Qt.MouseButton.LeftButton, pos=places[0])
    QTest.mouseMove(plot, places[1])
    QTest.mouseRelease(plot, Qt.MouseButton.LeftButton, pos=places[1])
    rest(found, qtbot)
    assert panel.filters.subset() == Subset(distance_m=(10.0, 30.0)) and plot.range == (1, 2)
    assert panel.selection.wrong == before.curve.iloc[1:3][[kind.name.lower() for kind in WRONG]].sum().sum()
    assert [bar.words for bar in plot.bars] == [bar.words for bar in bars(before.curve, "parcel")], "it shows them all"
    colours = found.viewer.layers["errors"].colormap.color_dict
    assert colours[int(Kind.RIGHT)][3] > 0, "right pixels of the range are seen as well"
    QTest.keyClick(plot, Qt.Key.Key_Right)
    assert panel.filters.range() == (3, 3)
    QTest.keyClick(plot, Qt.Key.Key_Left, Qt.KeyboardModifier.ShiftModifier)
    assert panel.filters.range() == (2, 3), "the end that moves"
    panel.filters.farthest.setCurrentIndex(4)
    rest(found, qtbot)
    assert plot.range[1] == 4, "the plot follows the boxes"
    QTest.keyClick(plot, Qt.Key.Key_Escape)
    rest(found, qtbot)
    assert panel.selection.subset == Subset() and plot.range is None
    QTest.mouseDClick(plot, Qt.MouseButton.LeftButton, pos=places[0])
    rest(found, qtbot)
    assert plot.range is None


def test_a_cell_of_the_matrix_and_a_pair_of_crops_filter_all_views(found: Any, qtbot: Any) -> None:
    panel, matrix = found.boundary, found.boundary.confusion
    panel.views.setCurrentWidget(panel.crops)
    truth, guess, judged = found.session.labels.ids, np.asarray(found.session.prediction.ids), panel.atlas.kinds_YX > 0
    cells = matrix.cells
    for i, declared in enumerate(cells.crossing.classes):
        for j, predicted in enumerate(cells.crossing.classes):
            expected = (judged & (truth == declared.id) & (guess == predicted.id)).sum()
            assert cells.crossing.pixels[i, j] == expected
    declared, predicted = (c.id for c in cells.crossing.classes[:2])
    place = matrix.view.visualRect(cells.index(0, 1)).center()

    def click() -> None:
        QTest.mouseClick(matrix.view.viewport(), Qt.MouseButton.LeftButton, pos=place)
        rest(found, qtbot)

    click()
    assert panel.selection.subset == Subset(declared, predicted) and cells.pair == (0, 1)
    wrong = found.viewer.layers["errors"].data > Kind.RIGHT
    assert np.array_equal(wrong, judged & (truth == declared) & (guess == predicted))
    assert panel.parcels.frame["wrong_here"].sum() == wrong.sum()
    click()
    assert panel.selection.subset == Subset() and cells.pair is None
    QTest.keyClick(matrix.view, Qt.Key.Key_Space)
    rest(found, qtbot)
    assert panel.selection.subset == Subset(declared, predicted), "by a key as well"
    matrix.view.verticalHeader().sectionClicked.emit(0)
    rest(found, qtbot)
    assert panel.selection.subset == Subset()
    matrix._choose(0, 0)
    rest(found, qtbot)
    assert panel.selection.subset == Subset(declared) and cells.pair == (0, 0), "the diagonal asks for a crop"
    # So does a row of the pairs.
    panel.reset.click()
    rest(found, qtbot)
    pair = panel.pairs.frame.iloc[0]
    assert panel.pairs.frame.equals(panel.atlas.pairs)
    panel.pairs.selectRow(0)
    rest(found, qtbot)
    subset = panel.selection.subset
    assert {subset.declared, subset.predicted} == {pair.class_a, pair.class_b} and len(panel.edges.frame) == pair.edges
    assert (subset.declared == pair.class_a) == (pair.into_a >= pair.into_b)


def test_a_key_walks_from_case_to_case(found: Any, qtbot: Any) -> None:
    panel, window, told = found.boundary, found.viewer.window._qt_window, []
    panel.case_changed.connect(told.append)
    for held in (Qt.KeyboardModifier.AltModifier,) * 2:
        QTest.keyClick(window, Qt.Key.Key_N, held)
    assert [int(row["id"]) for row in told] == panel.parcels.frame["id"][:2].tolist()
    QTest.keyClick(window, Qt.Key.Key_N, Qt.KeyboardModifier.AltModifier | Qt.KeyboardModifier.ShiftModifier)
    assert told[-1]["id"] == PARCEL and np.allclose(found.viewer.scene.camera.center[-2:], (200, 280))
    row, count = told[-1], len(panel.parcels.frame)
    here = panel.atlas.units_YX == PARCEL
    other = panel.atlas.legend.names[np.bincount(panel.atlas.guess_YX[here]).argmax()]
    text = f"Case 1 of {count}: {row['declared_crop']} mapped as {other}, 64 px wrong"
    assert panel.casebox.bar.words.text() == text
    panel.filters.nearest.setCurrentIndex(1)
    rest(found, qtbot)
    wrong = (here & (panel.selection.kinds_YX > Kind.RIGHT)).sum()
    text = panel.casebox.bar.words.text()
    assert text.endswith(f"{wrong} px wrong") and 0 < wrong < 64, "those that the filters leave"
    panel.filters.choose_pair((row["predicted"], None))
    rest(found, qtbot)
    assert told[-1] is None and not found.viewer.layers["selected"].visible
    panel.reset.click()
    rest(found, qtbot)
    panel.walk.turn_to(panel.edges)
    panel.casebox.bar.next.click()
    assert told[-1]["a"] == panel.edges.frame["a"][0] and "beside" in panel.casebox.bar.words.text()
    panel.walk.step(-1)
    assert "no further case" in found.jobbar.status.text()


def test_what_is_asked_for_last_is_shown_and_another_map_takes_the_errors_away(found: Any, qtbot: Any) -> None:
    panel = found.boundary
    shown = []
    panel.plot.show_bars = lambda bars, chosen, edge, fixed: shown.append(chosen)
    for bar in range(4):
        panel.filters.choose_range((bar, bar))
    rest(found, qtbot)
    assert shown[0] == (3, 3), "changes that follow each other at once are answered once"
    panel.filters.choose_range((1, 1))
    found.boundary.parcels.selectRow(0)
    found.session.open_prediction(known_errors(found.session.labels))
    assert found.boundary.atlas is None and not found.boundary.plot.isVisible()
    assert {"errors", "selected"}.isdisjoint(layer.name for layer in found.viewer.layers)
    found.boundary.picked(20, 30, frozenset())
    qtbot.wait(100)
    assert panel.atlas is None and panel.at_rest
