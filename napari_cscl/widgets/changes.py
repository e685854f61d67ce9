"""A small table: how much of the map was right before and is right after, inside a region and outside it."""

from __future__ import annotations

from qtpy.QtCore import Qt
from qtpy.QtWidgets import QAbstractItemView, QHeaderView, QSizePolicy, QTableWidget, QTableWidgetItem

from cscl.inference.compare import HELD_BACK, LEARNT, OUTSIDE, Change, Comparison

__all__ = ["ChangesTable"]

COLUMNS = {"boundary, %": True, "interior, %": False}
ROWS = {LEARNT: "Region, learnt", HELD_BACK: "Region, held back", OUTSIDE: "Outside"}


class ChangesTable(QTableWidget):
    """Right pixels before and after, in percent: a row for each place, a column for boundary and interior."""

    def __init__(self) -> None:
        super().__init__(0, len(COLUMNS))
        self.setHorizontalHeaderLabels(list(COLUMNS))
        self.setAccessibleName("Share of right pixels before and after")
        self.setToolTip("Right pixels before and after, at class boundaries and inside. Held back: not learnt from.")
        self.setEditTriggers(QAbstractItemView.EditTrigger.NoEditTriggers)
        self.setSelectionMode(QAbstractItemView.SelectionMode.NoSelection)
        self.setFocusPolicy(Qt.FocusPolicy.NoFocus)
        self.horizontalHeader().setSectionResizeMode(QHeaderView.ResizeMode.Stretch)
        self.verticalHeader().setSectionResizeMode(QHeaderView.ResizeMode.ResizeToContents)
        self.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        self.setVerticalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        self.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Fixed)
        self.clear_changes()

    def show_changes(self, comparison: Comparison) -> None:
        """Show a comparison; what got worse is in bold."""
        self.setRowCount(len(comparison.places))
        self.setVerticalHeaderLabels([ROWS[place] for place in comparison.places])
        for row, place in enumerate(comparison.places):
            for column, boundary in enumerate(COLUMNS.values()):
                self.setItem(row, column, _cell(comparison.at(place, boundary=boundary)))
        self.resizeRowsToContents()
        height = self.horizontalHeader().sizeHint().height() + 2 * self.frameWidth()
        self.setFixedHeight(height + sum(self.rowHeight(row) for row in range(self.rowCount())))
        self.show()

    def clear_changes(self) -> None:
        """Show nothing."""
        self.setRowCount(0)
        self.hide()


def _percent(share: float) -> str:
    return f"{100 * share:.1f}" if share < 0.9995 else "100"


def _cell(change: Change) -> QTableWidgetItem:
    if not change.pixels:
        return QTableWidgetItem("no pixels")
    before, after = change.accuracy
    item = QTableWidgetItem(f"{_percent(before)} → {_percent(after)}")
    item.setTextAlignment(Qt.AlignmentFlag.AlignCenter)
    item.setToolTip(f"{change.before} of {change.pixels} pixels right before, {change.after} after")
    font = item.font()
    font.setBold(after < before)
    item.setFont(font)
    return item
