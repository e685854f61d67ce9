"""The view of cases in the Boundary panel: tables of parcels and edges, pictures of the selected one, notes on it."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd
from qtpy.QtCore import Qt
from qtpy.QtWidgets import QCheckBox, QFileDialog, QPushButton, QStackedWidget, QTabWidget, QVBoxLayout, QWidget

from cscl.inference.subset import Selection
from napari_cscl.casecolumns import EDGE_COLUMNS, PARCEL_COLUMNS
from napari_cscl.cases import noted, spot_of
from napari_cscl.notes import CaseNote, notes_from_csv
from napari_cscl.settings import recall
from napari_cscl.versusview import name_of

from .casebar import CaseBar
from .casenotes import NoteEditor
from .casestrip import CaseStrip
from .parts import row, words
from .rowmarks import Marker
from .table import Table

if TYPE_CHECKING:
    from .boundary import BoundaryPanel

__all__ = ["CaseBox"]

NONE_YET = "Click a row of the table or a parcel on the map, or press Alt+N for the worst case.\n\n"
NONE_YET += "Its pictures and your note on it stand here."


class CaseBox(QWidget):
    """Tables, pictures and notes; all of them have their room from the start, so that nothing jumps.

    Parameters
    ----------
    panel : BoundaryPanel
        Whose cases it shows.
    """

    def __init__(self, panel: BoundaryPanel) -> None:
        super().__init__()
        self.panel, self.dock, self.session = panel, panel.dock, panel.session
        self.bar, self.strip, self.editor = CaseBar(), CaseStrip(self.dock), NoteEditor(self.session.notes)
        self.parcels, self.edges = Table(PARCEL_COLUMNS, "Worst parcels"), Table(EDGE_COLUMNS, "Worst edges")
        self._noted: dict[bool, tuple[Any, ...]] = {}
        self.only = QCheckBox("Only with notes")
        self.only.setToolTip("Show only the parcels and edges that have a note")
        self.read = QPushButton("Read notes ...")
        self.read.setToolTip("Take up notes that were exported as a table; of two on one case the later one stays")
        self.tables = QTabWidget()
        for table, name, tip in (
            (self.parcels, "Parcels", "Parcels, the one with most wrong pixels first"),
            (self.edges, "Edges", "Edges between parcels of different crops, the worst first"),
        ):
            self.tables.setTabToolTip(self.tables.addTab(table, name), tip)
            table.setItemDelegateForColumn(0, Marker(table, self.noted))
        self.case, none = QStackedWidget(), words(NONE_YET)
        none.setAlignment(Qt.AlignmentFlag.AlignCenter)
        there = QWidget()
        inside = QVBoxLayout(there)
        inside.setContentsMargins(0, 0, 0, 0)
        inside.setSpacing(4)
        for widget in (self.strip, self.editor):
            inside.addWidget(widget)
        for widget in (none, there):
            self.case.addWidget(widget)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 4, 0, 0)
        layout.setSpacing(4)
        layout.addWidget(self.bar)
        layout.addWidget(self.tables, 1)
        for widget in (self.case, row(self.only, self.read)):
            layout.addWidget(widget)
        self.only.toggled.connect(lambda _: self._follow_only())
        self.read.clicked.connect(self._choose_notes)
        self.session.notes.changed.connect(self._notes_changed)
        panel.case_changed.connect(self.show_case)

    @property
    def stops(self) -> tuple[QWidget, ...]:
        """What the Tab key goes through."""
        bar, editor = self.bar, self.editor
        tables = self.tables, self.parcels, self.edges
        return bar.former, bar.next, *tables, editor.verdict, editor.text, self.only, self.read

    def show_rows(self, selection: Selection, unit: str) -> None:
        """Show the rows of a subset, or of these the ones with notes."""
        self.parcels.show_frame(self._wanted(selection.parcels))
        self.edges.show_frame(self._wanted(selection.edges))
        for number, (table, name) in enumerate(((self.parcels, f"{unit.capitalize()}s"), (self.edges, "Edges"))):
            self.tables.setTabText(number, f"{name} ({len(table.frame):,})")

    def show_case(self, case: Any) -> None:
        """Show the pictures of a row, and the note on it."""
        atlas = self.panel.atlas
        there = atlas is not None and case is not None
        self.case.setCurrentIndex(int(there))
        self.strip.show_case(atlas, case)
        self.editor.show_note(spot_of(atlas, case, self.map_name) if atlas is not None and there else None)

    @property
    def map_name(self) -> str:
        """Name of the map that is judged."""
        prediction = self.session.prediction
        return self.panel.versus.map_name or (name_of(prediction) if prediction is not None else "")

    def noted(self, frame: pd.DataFrame) -> dict[int, tuple[CaseNote, bool]]:
        """Find the rows of a table that have a note, by position, and whether it is about the map that is judged.

        It is asked for each cell that is painted, so the answer is kept until the table or the notes change.
        """
        atlas, name = self.panel.atlas, self.map_name
        if atlas is None:
            return {}
        kind, known = "id" in frame, self._noted.get("id" in frame)
        if known is None or known[0] is not frame or known[1] is not atlas or known[2] != name:
            found = noted(atlas, frame, self.session.notes, name)
            self._noted[kind] = frame, atlas, name, {at: (n, n.spot.map == name) for at, n in found.items()}
        kept: dict[int, tuple[CaseNote, bool]] = self._noted[kind][3]
        return kept

    def take_notes(self, path: str | Path) -> None:
        """Take up notes from a table."""
        read = notes_from_csv(path)
        taken = self.session.notes.take(read)
        self.dock.inform(
            f"{taken} of {len(read)} notes of {Path(path).name} were taken up; the others are here already."
        )

    def shut(self) -> None:
        """Read nothing any more."""
        self.strip.shut()
        self.session.notes.changed.disconnect(self._notes_changed)

    def _wanted(self, frame: pd.DataFrame) -> pd.DataFrame:
        return frame.iloc[sorted(self.noted(frame))].reset_index(drop=True) if self.only.isChecked() else frame

    def _follow_only(self) -> None:
        """Leave or bring back the rows without notes; the pixels that are shown stay the same."""
        if self.panel.selection is not None and self.panel.atlas is not None:
            self.show_rows(self.panel.selection, self.panel.atlas.unit)
            self.panel.walk.keep()

    def _notes_changed(self) -> None:
        """Mark the rows anew, and show a note that came from elsewhere."""
        self._noted.clear()
        for table in (self.parcels, self.edges):
            table.viewport().update()
        self.editor.follow()

    def _choose_notes(self) -> None:
        path, _ = QFileDialog.getOpenFileName(self, "Notes", recall("case_export", ""), "Notes (*.csv)")
        if path:
            self.dock.act(lambda: self.take_notes(path))
