"""Accuracy by distance to an edge, painted by Qt itself: it answers at once, and a range of it can be chosen."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from qtpy.QtCore import QEvent, QLineF, QPointF, QRectF, QSize, Qt, Signal
from qtpy.QtGui import QColor, QFont, QKeyEvent, QMouseEvent, QPainter, QPaintEvent, QPen, QPolygonF
from qtpy.QtWidgets import QSizePolicy, QToolTip, QWidget

from napari_cscl.boundaryview import CLASS_EDGE, Bar

__all__ = ["DistancePlot"]

FLOORS = (0.9, 0.8, 0.6, 0.0)  # where the axis of accuracy may begin
MIXED_PART, FOOT_GAP_PX = 0.22, 4
RIGHT, MIXED, BRUSH = QColor("#009e73"), QColor(140, 140, 140, 115), QColor(86, 180, 233, 60)
HOW = "Drag or click to choose distances, double click or Escape for all; keys: left, right, with Shift to widen"
FIXED = "All judged pixels, whatever the filters; distances are chosen on the class edge"

Range = tuple[int, int]


class DistancePlot(QWidget):
    """Bars of which a range can be chosen by mouse or keys.

    Signals
    -------
    brushed(object)
        The first and last bar that the user chose, a tuple; None for all.
    """

    brushed = Signal(object)

    def __init__(self) -> None:
        super().__init__()
        self.bars: list[Bar] = []
        self.range: Range | None = None
        self.mark: int | None = None
        self.edge, self.fixed, self.floor = CLASS_EDGE, False, 0.0
        self._pressed: int | None = None
        self._ends = (-1, -1)  # where the range began, and the end that moves
        font = QFont(self.font())
        font.setPixelSize(11)
        self.setFont(font)
        self.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.MinimumExpanding)
        self.setFocusPolicy(Qt.FocusPolicy.StrongFocus)

    def sizeHint(self) -> QSize:
        """Return a plot of four lines with three lines of text below and one above, at least."""
        return QSize(200, 9 * self.fontMetrics().height())

    def show_bars(self, bars: Sequence[Bar], chosen: Range | None, edge: str, *, fixed: bool = False) -> None:
        """Show other bars, and which of them are chosen; of a `fixed` plot none can be."""
        self.bars, self.range, self.edge, self.fixed = list(bars), chosen, edge, fixed
        lowest = min((x for bar in bars for x in (bar.right, bar.low) if not math.isnan(x)), default=0.0)
        self.floor = next(floor for floor in FLOORS if floor <= lowest)
        words = "\n".join(bar.words for bar in self.bars)
        self.setAccessibleName(f"Accuracy by distance to the {edge}")
        self.setAccessibleDescription(f"{words}\n{self.how}")
        self.update()

    @property
    def how(self) -> str:
        """What can be done with it."""
        return FIXED if self.fixed else HOW

    def show_mark(self, bar: int | None) -> None:
        """Mark the bar that the pixel under the mouse belongs to."""
        if bar != self.mark:
            self.mark = bar
            self.update()

    # --- mouse and keys --------------------------------------------------------------------------------------------

    def mousePressEvent(self, event: QMouseEvent) -> None:
        """Begin a range."""
        if event.button() == Qt.MouseButton.LeftButton and self.bars and not self.fixed:
            self._pressed = self.bar_at(event.position().x())
            self._choose((self._pressed, self._pressed))

    def mouseMoveEvent(self, event: QMouseEvent) -> None:
        """Widen the range to the bar under the mouse."""
        if self._pressed is not None:
            here = self.bar_at(event.position().x())
            self._choose((min(here, self._pressed), max(here, self._pressed)))

    def mouseReleaseEvent(self, event: QMouseEvent) -> None:
        """End the range."""
        self._pressed = None

    def mouseDoubleClickEvent(self, event: QMouseEvent) -> None:
        """Choose all distances."""
        self._pressed = None
        self._choose(None)

    def keyPressEvent(self, event: QKeyEvent) -> None:
        """Move the range by a bar, or one end of it; Escape chooses all."""
        steps = {Qt.Key.Key_Left: -1, Qt.Key.Key_Right: 1}
        if event.key() == Qt.Key.Key_Escape and self.range is not None:
            self._choose(None)
        elif event.key() in steps and self.bars:
            self._step(steps[Qt.Key(event.key())], bool(event.modifiers() & Qt.KeyboardModifier.ShiftModifier))
        else:
            super().keyPressEvent(event)

    def event(self, event: QEvent) -> bool:
        """Show what a bar says as a tip."""
        if event.type() == QEvent.Type.ToolTip and self.bars:
            help_event: Any = event
            words = self.bars[self.bar_at(help_event.pos().x())].words
            QToolTip.showText(help_event.globalPos(), f"{words}\n{self.how}", self)
            return True
        return super().event(event)

    def bar_at(self, x: float) -> int:
        """Find the bar at a place from the left."""
        area = self._area()
        return min(max(int((x - area.left()) / area.width() * len(self.bars)), 0), len(self.bars) - 1)

    def middle_of(self, bar: int) -> float:
        """Find where from the left the middle of a bar is."""
        area = self._area()
        return area.left() + (bar + 0.5) * area.width() / max(1, len(self.bars))

    def _step(self, by: int, widen: bool) -> None:
        """Move the range by a bar, or its one end alone."""
        last = len(self.bars) - 1
        if self.range is None:
            self._ends = (-1, -1) if by > 0 else (last + 1, last + 1)
        elif self.range != (min(self._ends), max(self._ends)):
            self._ends = self.range
        began, end = self._ends
        end = min(max(end + by, 0), last)
        self._ends = (began if widen and self.range is not None else end, end)
        self._choose((min(self._ends), max(self._ends)))

    def _choose(self, chosen: Range | None) -> None:
        if chosen == (0, len(self.bars) - 1):
            chosen = None
        if chosen != self.range and not self.fixed:
            self.range = chosen
            self.update()
            self.brushed.emit(chosen)

    # --- painting --------------------------------------------------------------------------------------------------

    def paintEvent(self, event: QPaintEvent) -> None:
        """Paint axes, bars, the line of accuracy with its intervals, the range and the mark."""
        painter = QPainter(self)
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        area, ink = self._area(), self.palette().windowText().color()
        self._paint_axes(painter, area, ink)
        if self.bars:
            self._paint_range(painter, area, ink)
            for number, bar in enumerate(self.bars):
                self._paint_bar(painter, area, number, bar)
            self._paint_line(painter, area)
        if self.hasFocus():
            painter.setPen(QPen(ink, 1, Qt.PenStyle.DotLine))
            painter.drawRect(QRectF(self.rect()).adjusted(0.5, 0.5, -0.5, -0.5))
        painter.end()

    def focusInEvent(self, event: Any) -> None:
        """Show that keys go here."""
        super().focusInEvent(event)
        self.update()

    focusOutEvent = focusInEvent

    def _area(self) -> QRectF:
        metrics = self.fontMetrics()
        line, left = metrics.height(), metrics.horizontalAdvance("97.5%") + 8
        height = max(1, self.height() - 4 * line - 10)
        return QRectF(left, line + 4, max(1, self.width() - left - 4), height * (1 - MIXED_PART * self._has_mixed))

    def _foot(self, area: QRectF) -> QRectF:
        """Where shares of mixed pixels are painted, from 0 to 100 %: below the accuracy; flat where none are known."""
        height = area.height() * MIXED_PART / (1 - MIXED_PART) if self._has_mixed else 0.0
        return QRectF(area.left(), area.bottom() + FOOT_GAP_PX, area.width(), max(0.0, height - FOOT_GAP_PX))

    @property
    def _has_mixed(self) -> bool:
        return any(not math.isnan(bar.mixed) for bar in self.bars)

    def _paint_axes(self, painter: QPainter, area: QRectF, ink: QColor) -> None:
        faint = QColor(ink)
        faint.setAlpha(50)
        line = self.fontMetrics().height()
        sides = Qt.AlignmentFlag.AlignRight | Qt.AlignmentFlag.AlignVCenter
        for share in (self.floor + part * (1 - self.floor) for part in (0.0, 0.25, 0.5, 0.75, 1.0)):
            y = self._y(area, share)
            painter.setPen(faint)
            painter.drawLine(QLineF(area.left(), y, area.right(), y))
            painter.setPen(ink)
            painter.drawText(QRectF(0, y - line / 2, area.left() - 4, line), sides, f"{100 * share:.3g}%")
        middle = Qt.AlignmentFlag.AlignHCenter
        foot = self._foot(area).bottom()
        below = QRectF(0, foot + 2 * line + 4, self.width(), line)
        painter.drawText(below, middle, f"distance to {self.edge} (m), {'all pixels' if self.fixed else 'pixels'}")
        wide = area.width() / max(1, len(self.bars))
        for number, bar in enumerate(self.bars):
            place = QRectF(area.left() + number * wide, foot + 3, wide, 2 * line)
            painter.drawText(place, middle, f"{bar.name}\n{bar.pixels}")
        self._paint_key(painter, area, line)

    def _paint_key(self, painter: QPainter, area: QRectF, line: int) -> None:
        """Say above the plot what its signs mean."""
        x, y = area.left(), line / 2
        if self._has_mixed:
            painter.fillRect(QRectF(x, y - 4, 14, 8), MIXED)
            painter.drawText(QPointF(x + 18, line - 3), "mixed pixels")
            x += 30 + self.fontMetrics().horizontalAdvance("mixed pixels")
        pen = painter.pen()
        painter.setPen(QPen(RIGHT, 2))
        painter.drawLine(QLineF(x, y, x + 18, y))
        painter.setPen(pen)
        painter.drawText(QPointF(x + 22, line - 3), "right, 95% interval")

    def _paint_range(self, painter: QPainter, area: QRectF, ink: QColor) -> None:
        wide = area.width() / len(self.bars)
        if self.range is not None:
            first, last = self.range
            place = QRectF(area.left() + first * wide, area.top(), (last - first + 1) * wide, area.height())
            painter.fillRect(place, BRUSH)
            painter.setPen(QPen(QColor("#56b4e9"), 2))
            painter.drawRect(place)
        if self.mark is not None and self.mark < len(self.bars) and not self.fixed:
            x, y = self.middle_of(self.mark), area.bottom() + 1
            painter.setPen(Qt.PenStyle.NoPen)
            painter.setBrush(ink)
            painter.drawPolygon(QPolygonF([QPointF(x, y - 8), QPointF(x - 5, y), QPointF(x + 5, y)]))
            painter.setBrush(Qt.BrushStyle.NoBrush)

    def _paint_bar(self, painter: QPainter, area: QRectF, number: int, bar: Bar) -> None:
        """Paint the share of mixed pixels, and the kinds of error above the right ones."""
        x, wide = self.middle_of(number), area.width() / len(self.bars)
        if bar.mixed > 0:
            foot = self._foot(area)
            high = bar.mixed * foot.height()
            painter.fillRect(QRectF(x - 0.45 * wide, foot.bottom() - high, 0.9 * wide, high), MIXED)
        base = bar.right
        for colour, share in bar.kinds:
            if share > 0:
                top, bottom = self._y(area, base + share), self._y(area, base)
                painter.fillRect(QRectF(x - 0.17 * wide, top, 0.34 * wide, bottom - top), QColor(colour))
                base += share

    def _paint_line(self, painter: QPainter, area: QRectF) -> None:
        there = [number for number, bar in enumerate(self.bars) if not math.isnan(bar.right)]
        points = [QPointF(self.middle_of(number), self._y(area, self.bars[number].right)) for number in there]
        painter.setPen(QPen(RIGHT, 2))
        painter.drawPolyline(QPolygonF(points))
        painter.setPen(QPen(RIGHT, 1.2))
        for number in there:
            bar, x = self.bars[number], self.middle_of(number)
            if not math.isnan(bar.low):
                low, high = self._y(area, bar.low), self._y(area, bar.high)
                for line in ((x, low, x, high), (x - 3, low, x + 3, low), (x - 3, high, x + 3, high)):
                    painter.drawLine(QLineF(*line))
        painter.setPen(Qt.PenStyle.NoPen)
        painter.setBrush(RIGHT)
        for point in points:
            painter.drawEllipse(point, 3, 3)
        painter.setBrush(Qt.BrushStyle.NoBrush)

    def _y(self, area: QRectF, share: float) -> float:
        return area.bottom() - (share - self.floor) / (1 - self.floor) * area.height()
