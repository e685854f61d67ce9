"""The boundary panel in a real window: find, see, filter, fly there and pick, on a map that is wrong in a known way."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import toys
import xarray as xr
from qtpy.QtCore import Qt
from qtpy.QtTest import QTest
from window import press

from cscl.events import run
from cscl.inference.explore import explore
from cscl.inference.subset import Subset, select
from cscl.products import LabelMap, Prediction
from cscl.report.kinds import Kind
from napari_cscl.bridge import prediction_layer

PARCEL = 20  # wholly wrong; rows 16 to 24, columns 24 to 32


def known_errors(labels: LabelMap) -> Prediction:
    """The truth moved to the right by one pixel, and one parcel that is another crop altogether."""
    ids = np.roll(np.where(labels.ids == 255, 0, labels.ids), 1, axis=1)
    ids[labels.parcel_ids == PARCEL] = 4 if labels.ids[labels.parcel_ids == PARCEL][0] != 4 else 9
    ids = ids.astype(np.uint8)
    arrays = (xr.DataArray(ids, dims=("y", "x")), xr.DataArray(np.full_like(ids, 200), dims=("y", "x")))
    return Prediction(*arrays, labels.grid, labels.legend, name="wrong on purpose")


def rest(dock: Any, qtbot: Any) -> None:
    """Wait until the panel shows what its filters ask for."""
    qtbot.waitUntil(lambda: dock.boundary.at_rest, timeout=5000)


@pytest.fixture
def found(toy: Any, qtbot: Any) -> Any:
    """The panel, with the errors of the map found among all labelled pixels."""
    from napari.layers import Layer

    qtbot.wait(50)  # once a scene is open, what belonged to a former one is taken out
    toy.viewer.add_layer(Layer.create(*prediction_layer(known_errors(toy.session.labels))))
    toy.pages.turn_to(toy.boundary)
    toy.boundary.judged.setCurrentIndex(1)
    press(toy, qtbot, toy.boundary.find)
    return toy


def test_finds_what_the_engine_finds(found: Any) -> None:
    panel, labels = found.boundary, found.session.labels
    atlas = run(explore(found.session.prediction, labels))
    layer = found.viewer.layers["errors"]
    assert np.array_equal(layer.data, atlas.kinds_YX) and layer.data.max() > Kind.RIGHT
    assert layer.data is not panel.atlas.kinds_YX
    assert layer.features.set_index("index")["error"][int(Kind.SHIFTED)] == "shifted boundary"
    assert f"of {int((atlas.kinds_YX > 0).sum()):,} pixels with a label, among them" in panel.summary.text()
    assert panel.parcels.rows.rowCount() == len(atlas.parcels) and panel.parcels.frame["id"][0] == PARCEL
    assert panel.edges.frame.equals(atlas.edges)
    assert f"{atlas.counts[Kind.SHIFTED]:,} px" in panel.kinds.counts[Kind.SHIFTED].text()
    assert "pixels in" in panel.plot.accessibleDescription() and panel.plot.isVisible()


def test_held_out_pixels_only(found: Any, qtbot: Any) -> None:
    before = (found.viewer.layers["errors"].data > 0).sum()
    found.boundary.judged.setCurrentIndex(0)
    press(found, qtbot, found.boundary.find)
    assert "held back from training" in found.boundary.summary.text()
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
    panel.tables.setCurrentWidget(panel.edges)
    edge = panel.edges.frame.iloc[0]
    panel.edges.selectRow(0)
    assert len(viewer.layers["selected"].data) == 2 * 4 * 8 and PARCEL in (edge.a, edge.b)
    centre = np.array([edge.row0 + edge.row1, edge.col0 + edge.col1]) * 5
    assert np.allclose(viewer.scene.camera.center[-2:], centre)


def test_a_click_in_the_scene_selects_the_row(found: Any, qtbot: Any) -> None:
    panel, viewer = found.boundary, found.viewer
    panel.tables.setCurrentWidget(panel.edges)
    viewer.scene.camera.center, viewer.scene.camera.zoom = (200, 280), 5
    qtbot.wait(100)
    canvas = viewer.window._qt_viewer.canvas.native
    QTest.mouseMove(canvas, canvas.rect().center())
    QTest.mouseClick(canvas, Qt.MouseButton.LeftButton, pos=canvas.rect().center())
    qtbot.wait(100)
    assert panel.tables.currentWidget() is panel.parcels
    assert panel.parcels.frame["id"][panel.parcels.currentIndex().row()] == PARCEL
    assert viewer.scene.camera.zoom == 5 and "selected" in viewer.layers
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
    panel.filters.reset.click()
    rest(found, qtbot)
    assert np.array_equal(layer.data, panel.atlas.kinds_YX) and panel.filters.subset() == Subset()
    panel.filters.nearest.setCurrentText("30 m")
    panel.filters.farthest.setCurrentText("20 m")
    assert panel.filters.subset().distance_m == (10.0, 20.0), "the other end gives way"


def test_tables_sort_and_are_saved(found: Any, tmp_path: Path) -> None:
    panel = found.boundary
    panel.parcels.sortByColumn(1, Qt.SortOrder.AscendingOrder)
    assert panel.parcels.frame["wrong"].is_monotonic_increasing
    assert panel.parcels.rows.data(panel.parcels.rows.index(0, 3)) in {c.name for c in toys.LEGEND.classes}
    panel.save_to(tmp_path / "parcels.csv")
    assert pd.read_csv(tmp_path / "parcels.csv")["id"].tolist() == panel.parcels.frame["id"].tolist()


def test_another_map_takes_the_errors_away(found: Any) -> None:
    found.boundary.parcels.selectRow(0)
    found.session.open_prediction(known_errors(found.session.labels))
    assert found.boundary.atlas is None and not found.boundary.plot.isVisible()
    assert {"errors", "selected"}.isdisjoint(layer.name for layer in found.viewer.layers)
    found.boundary.picked(20, 30, frozenset())
