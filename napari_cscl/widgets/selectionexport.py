"""The button that writes what is selected in the Boundary panel: rows, errors, or the pictures of a case."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from qtpy.QtCore import QObject
from qtpy.QtWidgets import QFileDialog, QPushButton

from napari_cscl.selected import FILTERS, Selected, export_selected, with_suffix
from napari_cscl.settings import recall, remember

if TYPE_CHECKING:
    from .boundary import BoundaryPanel

__all__ = ["SelectionExport"]


class SelectionExport(QObject):
    """A button, and what it writes.

    Parameters
    ----------
    panel : BoundaryPanel
        Whose selection is written.
    """

    def __init__(self, panel: BoundaryPanel) -> None:
        super().__init__(panel)
        self.panel = panel
        self.button = QPushButton("Export ...")
        self.button.setToolTip(
            "Write what is selected: the table on top as CSV, parcels and edges as GeoPackage, errors as GeoTIFF,\n"
            "pictures of the case as PNG, notes as CSV"
        )
        self.button.clicked.connect(self._choose_place)

    def export_to(self, path: str | Path, what: str, *, overwrite: bool = True) -> None:
        """Write one of `napari_cscl.selected.FILTERS`."""
        chosen = self._selected()
        if chosen is not None:
            job = export_selected(chosen, what, path, overwrite=overwrite)
            self.panel.dock.run(job, "Exporting", self.panel.dock.inform)

    def _selected(self) -> Selected | None:
        """Return what is on show; None while no errors are."""
        panel, box = self.panel, self.panel.casebox
        if panel.atlas is None or panel.selection is None or panel.selection.kinds_YX is None:
            return None
        return Selected(
            panel.atlas, panel.selection.kinds_YX, panel.parcels.frame, panel.edges.frame, panel.top,
            panel.session.notes, box.map_name, panel.session.parcels, box.strip.case, box.strip.pictures,
        )  # fmt: skip

    def _choose_place(self) -> None:
        path, chosen = QFileDialog.getSaveFileName(
            self.button, "Export what is selected", recall("case_export", ""), ";;".join(FILTERS)
        )
        if path:
            remember(case_export=str(Path(path).parent))
            whole = with_suffix(path, chosen)
            # Qt has asked about the name as it was typed; one that got its suffix here must not exist.
            self.panel.dock.act(lambda: self.export_to(whole, FILTERS[chosen], overwrite=str(whole) == path))
