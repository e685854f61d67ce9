"""What belongs to the selected case in the Boundary panel: its pictures, notes on it, and the export of a selection."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd
from qtpy.QtWidgets import QCheckBox, QFileDialog, QPushButton, QVBoxLayout, QWidget

from napari_cscl.cases import noted, spot_of
from napari_cscl.notes import CaseNote, notes_from_csv
from napari_cscl.selected import FILTERS, Selected, export_selected, with_suffix
from napari_cscl.settings import recall, remember
from napari_cscl.versusview import name_of

from .casenotes import NoteEditor
from .casestrip import CaseStrip
from .parts import row
from .rowmarks import Marker
from .versusbox import VersusBox

if TYPE_CHECKING:
    from cscl.inference.errorcounts import ErrorCounts
    from cscl.inference.explore import ErrorAtlas

    from .boundary import BoundaryPanel

__all__ = ["CaseBox"]


class CaseBox(QWidget):
    """Pictures, notes and export; beside them the filter by notes.

    Parameters
    ----------
    panel : BoundaryPanel
        Whose selected case it shows.
    """

    def __init__(self, panel: BoundaryPanel) -> None:
        super().__init__()
        self.panel, self.dock, self.session = panel, panel.dock, panel.session
        self.strip, self.editor = CaseStrip(self.dock), NoteEditor(self.session.notes)
        self.versus = VersusBox(panel, self.judge)
        self._noted: dict[bool, tuple[Any, ...]] = {}
        self.only = QCheckBox("Only with notes")
        self.only.setToolTip("Show only the parcels and edges that have a note")
        self.read = QPushButton("Read notes ...")
        self.read.setToolTip("Take up notes that were exported as a table; of two on one case the later one stays")
        self.export = QPushButton("Export ...")
        self.export.setToolTip(
            "Write what is selected: rows as CSV or GeoPackage, errors as GeoTIFF, pictures of the case as PNG"
        )
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        for widget in (self.strip, self.editor, row(self.only, self.read), self.versus):
            layout.addWidget(widget)
        for table in (panel.parcels, panel.edges):
            table.setItemDelegateForColumn(0, Marker(table, self.noted))
        self.only.toggled.connect(lambda _: self.dock.act(panel.start_choosing))
        self.read.clicked.connect(self._choose_notes)
        self.export.clicked.connect(self._choose_place)
        self.session.notes.changed.connect(self._notes_changed)
        panel.case_changed.connect(self.show_case)
        self.editor.show_note(None)
        self.editor.setVisible(False)

    @property
    def waiting(self) -> tuple[QWidget, ...]:
        """Buttons that wait for the running job."""
        return self.export, self.versus.start, *self.versus.sides.buttons()

    def show_case(self, case: Any) -> None:
        """Show the pictures of a row, and the note on it."""
        atlas = self.panel.atlas
        self.strip.show_case(atlas, case)
        there = atlas is not None and case is not None
        self.editor.show_note(spot_of(atlas, case, self.map_name) if there else None)
        self.editor.setVisible(there)

    @property
    def map_name(self) -> str:
        """Name of the map that is judged."""
        prediction = self.session.prediction
        return self.versus.map_name or (name_of(prediction) if prediction is not None else "")

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

    def wanted(self, frame: pd.DataFrame) -> pd.DataFrame:
        """Leave of a table the rows that have notes, if only these are asked for."""
        return frame.iloc[sorted(self.noted(frame))].reset_index(drop=True) if self.only.isChecked() else frame

    def judge(self, atlas: ErrorAtlas, counts: ErrorCounts) -> None:
        """Show the errors of another map of the same labels, under the filters that are set as far as they fit."""
        panel = self.panel
        panel.atlas, panel.counts, panel.selection = atlas, counts, None
        panel.summary.setText(atlas.summary())
        subset = panel.filters.subset()
        if {subset.declared, subset.predicted} - {None, *atlas.legend.ids}:
            panel.filters.clear()
        panel.start_choosing()
        self.show_case(panel.case)

    def selected_anew(self) -> None:
        """Follow the panel, which shows another selection."""
        self.versus.filtered()

    def take_notes(self, path: str | Path) -> None:
        """Take up notes from a table."""
        read = notes_from_csv(path)
        taken = self.session.notes.take(read)
        self.dock.inform(
            f"{taken} of {len(read)} notes of {Path(path).name} were taken up; the others are here already."
        )

    def export_to(self, path: str | Path, what: str, *, overwrite: bool = True) -> None:
        """Write one of `napari_cscl.selected.FILTERS`."""
        chosen = self.selected()
        if chosen is not None:
            job = export_selected(chosen, what, path, overwrite=overwrite)
            self.dock.run(job, "Exporting", self.dock.inform)

    def selected(self) -> Selected | None:
        """Return what is on show; None while no errors are."""
        panel = self.panel
        if panel.atlas is None or panel.selection is None:
            return None
        on_top = panel.tables.currentWidget()
        top = panel.confusion.cells.crossing.table() if on_top is panel.confusion else on_top.frame
        return Selected(
            panel.atlas, panel.selection.kinds_YX, panel.parcels.frame, panel.edges.frame,
            top, self.session.notes, self.map_name, self.session.parcels,
            self.strip.case, self.strip.pictures,
        )  # fmt: skip

    def shut(self) -> None:
        """Read nothing any more."""
        self.strip.shut()
        self.session.notes.changed.disconnect(self._notes_changed)

    def _notes_changed(self) -> None:
        """Mark the rows anew, and show a note that came from elsewhere."""
        self._noted.clear()
        for table in (self.panel.parcels, self.panel.edges):
            table.viewport().update()
        self.editor.follow()

    def _choose_notes(self) -> None:
        path, _ = QFileDialog.getOpenFileName(self, "Notes", recall("case_export", ""), "Notes (*.csv)")
        if path:
            self.dock.act(lambda: self.take_notes(path))

    def _choose_place(self) -> None:
        path, chosen = QFileDialog.getSaveFileName(
            self, "Export what is selected", recall("case_export", ""), ";;".join(FILTERS)
        )
        if path:
            remember(case_export=str(Path(path).parent))
            whole = with_suffix(path, chosen)
            # Qt has asked about the name as it was typed; one that got its suffix here must not exist.
            self.dock.act(lambda: self.export_to(whole, FILTERS[chosen], overwrite=str(whole) == path))
