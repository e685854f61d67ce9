"""Cases in the Boundary panel: pictures, notes, export of a selection, and two maps, by real presses."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyogrio
import pytest
import rasterio
import toys
from qtpy.QtCore import QPointF, Qt
from qtpy.QtTest import QTest
from window import LONG_MS, PARCEL, finish, known_errors, names, press

from cscl.events import run
from cscl.inference.versus import Outcome, versus
from napari_cscl.recovery import work_of
from napari_cscl.selected import with_suffix


@pytest.fixture(autouse=True)
def cases_on_top(found: Any) -> None:
    found.boundary.views.setCurrentWidget(found.boundary.casebox)


def strip_of(dock: Any, qtbot: Any) -> Any:
    """The strip, once it has read the season."""
    strip = dock.boundary.casebox.strip
    qtbot.waitUntil(lambda: strip.at_rest, timeout=LONG_MS)
    return strip


def test_pictures_of_the_selected_case(found: Any, qtbot: Any) -> None:
    panel, viewer = found.boundary, found.viewer
    assert not panel.casebox.strip.isVisible() and not panel.casebox.editor.isVisible()
    panel.parcels.choose("id", PARCEL)
    strip = strip_of(found, qtbot)
    assert strip.isVisible() and strip.title.text().startswith(f"Parcel {PARCEL}, 240 m")
    dates = [picture.name for picture in strip.season]
    assert len(dates) == 5 and dates == sorted(dates) and "2021-04-07" not in dates[1:2], "that date has a gap here"
    image = next(la for la in viewer.layers if la.metadata["cscl"].get("cube") is not None).data
    window = strip.case.window
    shown = np.asarray(image[strip.season[3].time, window.rows, window.cols])
    assert np.array_equal(strip.season[3].colours_YXC, shown), "the colours of the window"
    thumb = strip.grid.rows[0][3]
    QTest.mouseClick(thumb, Qt.MouseButton.LeftButton)
    assert viewer.dims.current_step[0] == strip.season[3].time and thumb.is_now
    truth = strip.grid.rows[1][0]
    place = truth.place()
    at = QPointF(place.x() + place.width() * (20.5 / 24), place.y() + place.height() * (8.5 / 24))
    QTest.mouseMove(truth, at.toPoint())
    assert truth.pixel_under(QPointF(at.toPoint())) == (8, 20)
    row, col = window.row + 8, window.col + 20
    crops = {c.id: c.name for c in toys.LEGEND.classes}
    assert f"truth: {crops[found.session.labels.ids[row, col]]}" in strip.grid.say((8, 20))
    QTest.mouseDClick(truth, Qt.MouseButton.LeftButton)
    assert strip.dialog.isVisible() and strip.large.rows[1][0].picture is truth.picture
    assert "Affinity" in strip.grid.rows[1][3].toolTip(), "why there are no edges"
    QTest.mouseClick(strip.grid.rows[1][3], Qt.MouseButton.LeftButton)
    assert found.pages.current is found.affinity


def test_late_pictures_of_a_former_case_are_dropped(found: Any, qtbot: Any) -> None:
    panel = found.boundary
    for number in range(6):
        panel.parcels.selectRow(number)
    strip = strip_of(found, qtbot)
    last = int(panel.parcels.frame["id"].iloc[5])
    assert strip.case.units == (last,)
    image = next(la for la in found.viewer.layers if la.metadata["cscl"].get("cube") is not None).data
    window = strip.case.window
    for picture in strip.season:
        assert np.array_equal(picture.colours_YXC, np.asarray(image[picture.time, window.rows, window.cols]))
    found.session.open_prediction(known_errors(found.session.labels))
    assert not strip.isVisible() and strip.case is None


def test_notes_mark_rows_and_filter_them(found: Any, qtbot: Any, tmp_path: Path) -> None:
    panel, box, session = found.boundary, found.boundary.casebox, found.session
    panel.parcels.choose("id", PARCEL)
    QTest.keyClicks(box.editor.text, "beets, I think")
    box.editor.verdict.setCurrentText("label error")
    box.editor.verdict.activated.emit(2)
    ((note,)) = session.notes
    assert (note.text, note.verdict, note.spot.a, note.spot.labels) == (
        "beets, I think", "label error", PARCEL, "toy parcels",
    )  # fmt: skip
    at = panel.parcels.frame["id"].tolist().index(PARCEL)
    assert list(box.noted(panel.parcels.frame)) == [at]
    panel.edges.selectRow(3)
    assert box.editor.text.toPlainText() == "" and box.editor.verdict.currentIndex() == 0
    edge = panel.edges.frame.iloc[3]
    box.editor.text.setPlainText("ditch")
    box.only.setChecked(True)
    finish(found, qtbot)
    assert panel.parcels.frame["id"].tolist() == [PARCEL]
    assert panel.edges.frame[["a", "b"]].to_numpy().tolist() == [[edge["a"], edge["b"]]]
    press(found, qtbot, panel.find)
    assert panel.parcels.frame["id"].tolist() == [PARCEL], "found anew, the note is still there"
    box.only.setChecked(False)
    finish(found, qtbot)
    panel.parcels.choose("id", PARCEL)
    assert box.editor.text.toPlainText() == "beets, I think"
    panel.export.export_to(tmp_path / "notes.csv", "notes")
    finish(found, qtbot)
    box.editor.text.setPlainText("")
    box.editor.verdict.setCurrentIndex(0)
    box.editor.keep()
    assert len(session.notes) == 1
    box.take_notes(tmp_path / "notes.csv")
    assert len(session.notes) == 2 and box.editor.text.toPlainText() == "beets, I think"
    plain = json.loads(json.dumps(work_of(session, found.viewer.layers, tmp_path).notes))
    assert {entry["note"] for entry in plain} == {"beets, I think", "ditch"}, "kept with the unfinished work"


def test_export_of_what_is_selected(found: Any, qtbot: Any, tmp_path: Path) -> None:
    panel, box = found.boundary, found.boundary.casebox
    panel.filters.smallest.setValue(0.5)
    finish(found, qtbot)
    qtbot.waitUntil(lambda: len(panel.parcels.frame) < len(panel.atlas.parcels))
    panel.parcels.choose("id", PARCEL)
    box.editor.text.setPlainText("beets")
    strip_of(found, qtbot)
    written = {"table": "t.csv", "package": "p.gpkg", "map": "m.tif", "pictures": "c.png"}
    for what, name in written.items():
        panel.export.export_to(tmp_path / name, what)
        finish(found, qtbot)
        assert name in found.jobbar.status.text()
    table = pd.read_csv(tmp_path / "t.csv")
    assert table["id"].tolist() == panel.parcels.frame["id"].tolist()
    assert table.set_index("id").loc[PARCEL, "note"] == "beets"
    with rasterio.open(tmp_path / "m.tif") as src:
        assert np.array_equal(src.read(1), panel.selection.kinds_YX) and src.transform == panel.atlas.grid.transform
    parcels = pyogrio.read_dataframe(tmp_path / "p.gpkg", layer="parcels")
    assert sorted(parcels["parcel_id"]) == sorted(table["id"]) and "beets" in parcels["note"].tolist()
    edges = pyogrio.read_dataframe(tmp_path / "p.gpkg", layer="edges")
    assert len(edges) == len(panel.edges.frame) < len(panel.atlas.edges)
    assert (tmp_path / "c.png").stat().st_size > 5000
    panel.export.export_to(tmp_path / "t.csv", "table", overwrite=False)
    finish(found, qtbot)
    assert "exists already" in found.jobbar.status.text()
    assert with_suffix("a/b", "Words (*.gpkg)") == Path("a/b.gpkg") and with_suffix("b.x", "W (*.csv)") == Path("b.x")


def test_two_maps(found: Any, qtbot: Any, tmp_path: Path) -> None:
    panel, box, session = found.boundary, found.boundary.versus, found.session
    # What cannot be compared is refused.
    for rival, said in (
        (known_errors(toys.scene(size=48).labels), "48"),
        (tmp_path, "neither the folder of a prediction"),
    ):
        box.start_comparing(rival)
        finish(found, qtbot)
        assert said in found.jobbar.status.text() and box.duel is None
    first, labels = session.prediction, session.labels
    rival = known_errors(labels, shift=2, name="two off")
    before = panel.atlas
    box.start_comparing(rival)
    finish(found, qtbot)
    expected = run(versus(first, rival, labels))
    layer = found.viewer.layers["won and lost"]
    assert np.array_equal(layer.data, expected.outcomes_YX) and (layer.data == Outcome.LOST).any()
    assert session.prediction is first and box.duel.atlases[0] is before, "the open map stays, found once"
    assert "two off wins" in box.summary.text() and len(box.table.frame) == len(expected.table)
    order = names(found)
    assert order.index("predicted crops (wrong on purpose)") < order.index("errors") < order.index("won and lost")
    assert order.index("map B (two off)") < order.index("errors")
    assert layer.visible and not found.viewer.layers["errors"].visible
    panel.filters.smallest.setValue(0.5)
    qtbot.waitUntil(lambda: (layer.data == 0).sum() > (expected.outcomes_YX == 0).sum())
    box.toggle()
    assert panel.atlas is box.duel.atlases[1] and panel.filters.smallest.value() == 0.5
    assert found.viewer.layers["errors"].visible and not layer.visible
    kinds = found.viewer.layers["errors"].data
    assert np.array_equal(kinds, panel.selection.kinds_YX) and (kinds > 0).any()
    assert panel.casebox.map_name == "two off"
    box.toggle()
    assert panel.atlas is before and panel.casebox.map_name == "wrong on purpose"
    box.stop()
    assert panel.atlas is before and "won and lost" not in names(found)
    assert "map B (two off)" not in names(found) and session.prediction is first
    box.start_comparing(rival)
    finish(found, qtbot)
    session.open_prediction(rival)
    assert box.duel is None and "won and lost" not in names(found), "another map is open"
