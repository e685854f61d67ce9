"""A mark in the first cell of rows that have a note, with the note as its tip."""

from __future__ import annotations

from collections.abc import Callable
from html import escape
from typing import Any

import pandas as pd
from qtpy.QtCore import QEvent, QPointF, Qt
from qtpy.QtGui import QBrush, QColor, QPainter, QPen
from qtpy.QtWidgets import QStyledItemDelegate, QToolTip

from napari_cscl.notes import CaseNote

from .table import Table

__all__ = ["Marker"]

MARK = QColor("#e69f00")
RADIUS_PX = 3.5


class Marker(QStyledItemDelegate):
    """Paints a disc where a note is about the map that is judged, a ring where it is about another map.

    Parameters
    ----------
    table : Table
        Whose column it paints.
    noted : callable
        Finds the notes of the rows of a frame, by position.
    """

    def __init__(self, table: Table, noted: Callable[[pd.DataFrame], dict[int, tuple[CaseNote, bool]]]) -> None:
        super().__init__(table)
        self.table, self.noted = table, noted

    def paint(self, painter: QPainter, option: Any, index: Any) -> None:
        """Paint the cell, and the mark on its left."""
        super().paint(painter, option, index)
        found = self.noted(self.table.frame).get(index.row())
        if found is None:
            return
        _, own = found
        painter.save()
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        painter.setPen(QPen(MARK, 1.5))
        painter.setBrush(QBrush(MARK) if own else Qt.BrushStyle.NoBrush)
        centre = QPointF(option.rect.left() + RADIUS_PX + 3, option.rect.center().y() + 0.5)
        painter.drawEllipse(centre, RADIUS_PX, RADIUS_PX)
        painter.restore()

    def helpEvent(self, event: Any, view: Any, option: Any, index: Any) -> bool:
        """Tell the note."""
        found = self.noted(self.table.frame).get(index.row())
        if found is not None and event.type() == QEvent.Type.ToolTip:
            QToolTip.showText(event.globalPos(), told(*found), view)
            return True
        return bool(super().helpEvent(event, view, option, index))


def told(note: CaseNote, own: bool) -> str:
    """Say a note in the words of a tip."""
    lines = [
        f"<b>{escape(note.verdict or 'note')}</b>",
        escape(note.text),
        "" if own else f"on {escape(note.spot.map)}",
    ]
    return "<br>".join(filter(None, lines))
