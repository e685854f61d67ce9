"""The confusion matrix: declared by predicted class, of which a cell can be chosen."""

from __future__ import annotations

from typing import Any

import numpy as np
from qtpy.QtCore import QAbstractTableModel, QModelIndex, QSize, Qt, Signal
from qtpy.QtGui import QColor, QFont, QKeyEvent, QPainter, QPen
from qtpy.QtWidgets import (
    QAbstractItemView,
    QButtonGroup,
    QHeaderView,
    QRadioButton,
    QStyledItemDelegate,
    QTableView,
    QVBoxLayout,
    QWidget,
)

from napari_cscl.boundaryview import Crossing

from .parts import row

__all__ = ["Confusion"]

NOTHING = QModelIndex()
WRONG, RIGHT = (213, 94, 0), (0, 158, 115)
CELL_PX, HEAD_PX = 40, 92
FONT_PX, ROW_PX, LEAST_PX = 11, 18, 130
DEEPEST = 190  # of 255: text must stay legible on it
HOW = "Click: only these pixels. Click again, or on a head: all."

Pair = tuple[int, int]


class Confusion(QWidget):
    """A confusion matrix that filters by a cell, as numbers of pixels or percent of the declared class.

    Signals
    -------
    chosen(object)
        Ids of the declared and the predicted class, a tuple; the second is None for pixels of the declared class,
        whatever they are mapped as: on the diagonal. None for all pixels.
    """

    chosen = Signal(object)

    def __init__(self) -> None:
        super().__init__()
        self.cells = _Cells()
        self.view = _View()
        self.view.setModel(self.cells)
        percent, pixels = QRadioButton("% of declared"), QRadioButton("pixels")
        percent.setToolTip("Share of the pixels of the declared crop")
        pixels.setToolTip("Number of pixels")
        percent.setChecked(True)
        self.unit = QButtonGroup(self)
        self.unit.addButton(percent, 0)
        self.unit.addButton(pixels, 1)
        self.unit.idToggled.connect(lambda number, on: self.cells.count(number == 1) if on else None)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(2)
        layout.addWidget(row(percent, pixels))
        layout.addWidget(self.view, 1)
        self.view.clicked.connect(lambda index: self._choose(index.row(), index.column()))
        self.view.struck.connect(self._choose)
        for header in (self.view.horizontalHeader(), self.view.verticalHeader()):
            header.sectionClicked.connect(lambda _: self._tell(None))

    def show_matrix(self, crossing: Crossing, pair: tuple[int | None, int | None]) -> None:
        """Show other numbers, and the cell of the declared and the predicted class that are asked for."""
        self.cells.take(crossing, self._cell(crossing, pair))

    def _cell(self, crossing: Crossing, pair: tuple[int | None, int | None]) -> Pair | None:
        ids = [c.id for c in crossing.classes]
        declared, predicted = pair[0], pair[0] if pair[1] is None else pair[1]
        return (ids.index(declared), ids.index(predicted)) if declared in ids and predicted in ids else None

    def _choose(self, declared: int, predicted: int) -> None:
        """Ask for the pixels of a cell; of a cell that is asked for already, for all."""
        classes = self.cells.crossing.classes
        if (declared, predicted) == self.cells.pair:
            self._tell(None)
        else:
            self._tell((classes[declared].id, None if declared == predicted else classes[predicted].id))

    def _tell(self, pair: tuple[int, int | None] | None) -> None:
        self.chosen.emit(pair)


class _View(QTableView):
    """A table whose cells are chosen by Enter and Space, too; Escape takes the choice back."""

    struck = Signal(int, int)

    def __init__(self) -> None:
        super().__init__()
        self.setAccessibleName("Confusion matrix: rows declared, columns predicted crops")
        self.setSelectionMode(QAbstractItemView.SelectionMode.SingleSelection)
        self.setItemDelegate(_Cell(self))
        self.setCornerButtonEnabled(False)
        self.setMinimumHeight(LEAST_PX)
        font = QFont(self.font())
        font.setPixelSize(FONT_PX)
        self.setFont(font)
        across, down = self.horizontalHeader(), self.verticalHeader()
        across.setDefaultSectionSize(CELL_PX)
        across.setMinimumSectionSize(24)
        down.setDefaultSectionSize(ROW_PX)
        down.setFixedWidth(HEAD_PX)
        down.setDefaultAlignment(Qt.AlignmentFlag.AlignRight | Qt.AlignmentFlag.AlignVCenter)
        for header in (across, down):
            header.setSectionResizeMode(QHeaderView.ResizeMode.Fixed)
            header.setSectionsClickable(True)
            header.setHighlightSections(True)
        across.setTextElideMode(Qt.TextElideMode.ElideRight)
        down.setTextElideMode(Qt.TextElideMode.ElideMiddle)  # "winter wheat" and "winter barley" begin alike

    def sizeHint(self) -> QSize:
        """Return the least height: it takes what others leave."""
        return QSize(200, LEAST_PX)

    def keyPressEvent(self, event: QKeyEvent) -> None:
        """Choose the cell that has the focus."""
        at, model = self.currentIndex(), self.model()
        pair = getattr(model, "pair", None)
        if event.key() in (Qt.Key.Key_Return, Qt.Key.Key_Enter, Qt.Key.Key_Space) and at.isValid():
            self.struck.emit(at.row(), at.column())
        elif event.key() == Qt.Key.Key_Escape and pair is not None:
            self.struck.emit(*pair)
        else:
            super().keyPressEvent(event)


class _Cell(QStyledItemDelegate):
    """Paints a frame around the cell that is asked for."""

    def paint(self, painter: QPainter, option: Any, index: Any) -> None:
        super().paint(painter, option, index)
        if (index.row(), index.column()) == index.model().pair:
            painter.save()
            painter.setPen(QPen(option.palette.windowText().color(), 2))
            painter.drawRect(option.rect.adjusted(1, 1, -1, -1))
            painter.restore()


class _Cells(QAbstractTableModel):
    """The model behind the matrix."""

    def __init__(self) -> None:
        super().__init__()
        self.crossing = Crossing((), np.zeros((0, 0), np.int64), np.zeros((0, 0)))
        self.pair: Pair | None = None
        self.counts = False

    def take(self, crossing: Crossing, pair: Pair | None) -> None:
        """Show another matrix; where its classes are the same, place and focus stay."""
        same = crossing.classes == self.crossing.classes
        if not same:
            self.beginResetModel()
        self.crossing, self.pair = crossing, pair
        if not same:
            self.endResetModel()
        else:
            self._changed()

    def count(self, counts: bool) -> None:
        """Show numbers of pixels, or percent."""
        self.counts = counts
        self._changed()

    def _changed(self) -> None:
        if last := len(self.crossing.classes):
            self.dataChanged.emit(self.index(0, 0), self.index(last - 1, last - 1))

    def rowCount(self, parent: QModelIndex = NOTHING) -> int:
        """Return the number of classes."""
        return 0 if parent.isValid() else len(self.crossing.classes)

    columnCount = rowCount

    def data(self, index: QModelIndex, role: int = Qt.ItemDataRole.DisplayRole) -> Any:
        """Return a cell's number, colour and words."""
        at = index.row(), index.column()
        pixels, share = int(self.crossing.pixels[at]), float(self.crossing.shares[at])
        if role == Qt.ItemDataRole.DisplayRole:
            return (
                ""
                if not pixels
                else _short(pixels)
                if self.counts
                else f"{100 * share:.1f}"
                if share < 0.9995
                else "100"
            )
        if role == Qt.ItemDataRole.BackgroundRole and pixels:
            return QColor(*(RIGHT if at[0] == at[1] else WRONG), int(DEEPEST * share**0.5))
        if role == Qt.ItemDataRole.TextAlignmentRole:
            return Qt.AlignmentFlag.AlignRight | Qt.AlignmentFlag.AlignVCenter
        if role in (Qt.ItemDataRole.ToolTipRole, Qt.ItemDataRole.AccessibleDescriptionRole):
            return f"{self.crossing.words(*at)}\n{HOW}"
        return None

    def headerData(self, section: int, orientation: Any, role: int = Qt.ItemDataRole.DisplayRole) -> Any:
        """Return a class: its name beside the rows, its code above the columns."""
        crop, rows = self.crossing.classes[section], orientation == Qt.Orientation.Vertical
        if role == Qt.ItemDataRole.DisplayRole:
            return crop.name if rows else crop.code
        if role == Qt.ItemDataRole.ToolTipRole:
            return f"{'Declared' if rows else 'Mapped as'} {crop.name} ({crop.code})"
        return None


def _short(number: int) -> str:
    return f"{number:,}" if number < 100_000 else f"{number / 1000:,.0f}k"
