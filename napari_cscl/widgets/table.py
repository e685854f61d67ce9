"""A table of numbers that sorts by a click on its head, fast for many thousand rows."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from qtpy.QtCore import QAbstractTableModel, QItemSelectionModel, QModelIndex, QSize, Qt, Signal
from qtpy.QtGui import QFont
from qtpy.QtWidgets import QAbstractItemView, QHeaderView, QTableView

from napari_cscl.casecolumns import Column

__all__ = ["Table"]

NOTHING = QModelIndex()
SHOWN = (Qt.ItemDataRole.DisplayRole, Qt.ItemDataRole.TextAlignmentRole, Qt.ItemDataRole.ToolTipRole)
SIZED_ROWS = 20  # that a column's width is made for: asking a thousand rows, as Qt does, takes seconds
FONT_PX, ROW_PX, LEAST_PX = 11, 18, 96
WIDEST_PX = 88  # so that the most telling columns are seen without scrolling; tips hold the whole text


class Table(QTableView):
    """Rows of a data frame, of which one can be chosen.

    Parameters
    ----------
    columns : sequence of Column
        Which columns of the frame are shown.
    name : str
        What it is, for those who hear the screen.

    Signals
    -------
    chosen(object)
        The row, a pandas Series, that the user went to.
    """

    chosen = Signal(object)

    def __init__(self, columns: Sequence[Column], name: str) -> None:
        super().__init__()
        self.rows = _Rows(columns)
        self.setModel(self.rows)
        self.setAccessibleName(name)
        self.setSortingEnabled(True)
        self.horizontalHeader().setSortIndicator(-1, Qt.SortOrder.AscendingOrder)
        self.horizontalHeader().setSectionResizeMode(QHeaderView.ResizeMode.Interactive)
        self.horizontalHeader().setResizeContentsPrecision(SIZED_ROWS)
        self.verticalHeader().hide()
        self.verticalHeader().setDefaultSectionSize(ROW_PX)
        self.setSelectionBehavior(QAbstractItemView.SelectionBehavior.SelectRows)
        self.setSelectionMode(QAbstractItemView.SelectionMode.SingleSelection)
        font = QFont(self.font())
        font.setPixelSize(FONT_PX)
        self.setFont(font)
        self.setWordWrap(False)
        self.setTextElideMode(Qt.TextElideMode.ElideMiddle)  # "winter wheat" and "winter barley" begin alike
        self.setMinimumHeight(LEAST_PX)
        self._told = True
        self.selectionModel().currentRowChanged.connect(self._moved)

    def sizeHint(self) -> QSize:
        """Return the least height: it takes what others leave."""
        return QSize(200, LEAST_PX)

    @property
    def frame(self) -> pd.DataFrame:
        """What it shows, in the order shown."""
        return self.rows.frame

    @property
    def number(self) -> int:
        """Row that is chosen, -1 where none is."""
        return self.currentIndex().row()

    def show_frame(self, frame: pd.DataFrame) -> None:
        """Show other rows, in their own order, or in that which the user asked for by a click on a head."""
        fresh = not len(self.frame)
        header = self.horizontalHeader()
        self.rows.take(frame)
        self.rows.sort(header.sortIndicatorSection(), header.sortIndicatorOrder())
        if fresh and len(frame):
            self.resizeColumnsToContents()
            for column in range(self.rows.columnCount()):
                self.setColumnWidth(column, min(self.columnWidth(column), WIDEST_PX))

    def choose(self, column: str, value: Any, *, tell: bool = True) -> bool:
        """Go to the first row with a value in a column; without `tell`, `chosen` keeps silent. False if none has it."""
        found = np.flatnonzero(self.frame[column].to_numpy() == value) if len(self.frame) else []
        if len(found):
            self.go(int(found[0]), tell=tell)
        return bool(len(found))

    def go(self, number: int, *, tell: bool = True) -> None:
        """Go to a row; without `tell`, `chosen` keeps silent."""
        self._told = tell
        flags = QItemSelectionModel.SelectionFlag
        index = self.rows.index(number, 0)
        self.selectionModel().setCurrentIndex(index, flags.ClearAndSelect | flags.Rows)
        self.scrollTo(index, QAbstractItemView.ScrollHint.PositionAtCenter)
        self._told = True

    def _moved(self, now: QModelIndex, before: QModelIndex) -> None:
        if now.isValid() and self._told:
            self.chosen.emit(self.frame.iloc[now.row()])


class _Rows(QAbstractTableModel):
    """The model behind the table: a data frame in some order."""

    def __init__(self, columns: Sequence[Column]) -> None:
        super().__init__()
        self.columns = tuple(columns)
        self.frame = pd.DataFrame()
        self._values: list[NDArray[Any]] = []

    def take(self, frame: pd.DataFrame) -> None:
        """Show another frame."""
        self.beginResetModel()
        self.frame = frame
        self._values = [frame[self._name(column)].to_numpy() for column in self.columns] if len(frame) else []
        self.endResetModel()

    def rowCount(self, parent: QModelIndex = NOTHING) -> int:
        """Return the number of rows."""
        return 0 if parent.isValid() else len(self.frame)

    def columnCount(self, parent: QModelIndex = NOTHING) -> int:
        """Return the number of columns."""
        return 0 if parent.isValid() else len(self.columns)

    def data(self, index: QModelIndex, role: int = Qt.ItemDataRole.DisplayRole) -> Any:
        """Return a value as text; numbers stand on the right."""
        if role not in SHOWN:
            return None
        column = self.columns[index.column()]
        value = self._values[index.column()][index.row()]
        if role == Qt.ItemDataRole.DisplayRole:
            return "" if value != value else column.form.format(value)
        if role == Qt.ItemDataRole.TextAlignmentRole and not isinstance(value, str):
            return Qt.AlignmentFlag.AlignRight | Qt.AlignmentFlag.AlignVCenter
        if role == Qt.ItemDataRole.ToolTipRole and isinstance(value, str):
            return value
        return None

    def headerData(self, section: int, orientation: Any, role: int = Qt.ItemDataRole.DisplayRole) -> Any:
        """Return a column's head, and what it means as its tip."""
        if orientation == Qt.Orientation.Horizontal and role == Qt.ItemDataRole.DisplayRole:
            return self.columns[section].head
        if orientation == Qt.Orientation.Horizontal and role == Qt.ItemDataRole.ToolTipRole:
            return self.columns[section].meaning
        return None

    def sort(self, column: int, order: Any = Qt.SortOrder.AscendingOrder) -> None:
        """Sort by a column; equal rows keep their order."""
        if column >= 0 and len(self.frame):
            up = order == Qt.SortOrder.AscendingOrder
            name = self._name(self.columns[column])
            self.take(self.frame.sort_values(name, ascending=up, kind="stable", ignore_index=True))

    def _name(self, column: Column) -> str:
        return column.rather if column.rather in self.frame else column.name
