"""Small pictures of one window beside each other: outline, a pixel marked in all of them, and its values in words."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from qtpy.QtCore import QLineF, QPointF, QRectF, QSize, Qt, Signal
from qtpy.QtGui import QColor, QImage, QKeyEvent, QMouseEvent, QPainter, QPaintEvent, QPen
from qtpy.QtWidgets import QGridLayout, QSizePolicy, QToolTip, QVBoxLayout, QWidget

from napari_cscl.boundaryview import MARK
from napari_cscl.cases import Picture

from .parts import small

__all__ = ["PictureGrid", "Thumb"]

GAP_PX, LEAST_PX, FIRST_WIDTH_PX = 3, 24, 300
HINT = "Point at a pixel to see what it is; click a date to go there."
UNKNOWN = "not known yet: click"
EMPTY = QColor(70, 70, 70)
PRESS_KEYS = (Qt.Key.Key_Return, Qt.Key.Key_Enter, Qt.Key.Key_Space)


class Thumb(QWidget):
    """One picture, its pixels as squares, with its name below.

    Signals
    -------
    pressed(), opened()
        A click or a key; a double click.
    pointed(object)
        Row and column of the window under the mouse; None when it leaves.
    """

    pressed = Signal()
    opened = Signal()
    pointed = Signal(object)

    def __init__(self) -> None:
        super().__init__()
        self.picture = Picture("", None)
        self.is_now = False
        self._sides = np.zeros((0, 2, 2))
        self._image: QImage | None = None
        self._mark: tuple[int, int] | None = None
        self.setMouseTracking(True)
        self.setFocusPolicy(Qt.FocusPolicy.StrongFocus)
        self.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Fixed)

    def show_picture(self, picture: Picture, sides: NDArray[np.float64]) -> None:
        """Show a picture, with an outline counted from its upper left corner."""
        self.picture, self._sides, self._image = picture, sides, None
        if picture.colours_YXC is not None:
            pixels = np.ascontiguousarray(picture.colours_YXC)
            height, width = pixels.shape[:2]
            self._image = QImage(pixels.data, width, height, 3 * width, QImage.Format.Format_RGB888).copy()
        self.setAccessibleName(" ".join(filter(None, (picture.name, picture.note))))
        self.setToolTip("" if self._image else picture.note)
        self.update()

    def mark(self, pixel: tuple[int, int] | None) -> None:
        """Mark a pixel of the window."""
        self._mark = pixel
        self.update()

    def set_now(self, now: bool) -> None:
        """Underline the name: this is the date that the viewer shows."""
        if now != self.is_now:
            self.is_now = now
            self.update()

    def place(self) -> QRectF:
        """Where the picture is painted: as large as fits above the name, pixels square."""
        room = QRectF(0, 0, self.width(), self.height() - self.fontMetrics().height())
        rows, cols = (1, 1) if self._image is None else (self._image.height(), self._image.width())
        scale = min(room.width() / cols, room.height() / rows)
        return QRectF((room.width() - cols * scale) / 2, 0, cols * scale, rows * scale)

    def pixel_under(self, at: QPointF) -> tuple[int, int] | None:
        """Row and column of the window at a place of the widget; None beside the picture."""
        place = self.place()
        if self._image is None or not place.contains(at):
            return None
        row = int((at.y() - place.y()) / place.height() * self._image.height())
        col = int((at.x() - place.x()) / place.width() * self._image.width())
        return min(row, self._image.height() - 1), min(col, self._image.width() - 1)

    # --- Qt --------------------------------------------------------------------------------------------------------

    def paintEvent(self, event: QPaintEvent) -> None:
        """Paint the picture, the outline, the marked pixel and the name."""
        painter, place = QPainter(self), self.place()
        if self._image is None:
            painter.fillRect(place, EMPTY)
            painter.setPen(QColor("white"))
            wrap = Qt.TextFlag.TextWordWrap | Qt.AlignmentFlag.AlignCenter
            painter.drawText(place, int(wrap), UNKNOWN if self.picture.note else "...")
        else:
            painter.drawImage(place, self._image)  # without smoothing: pixels stay squares
            scale = place.width() / self._image.width()
            painter.translate(place.topLeft())
            painter.setPen(QPen(QColor(MARK), 1))
            painter.setClipRect(QRectF(0, 0, place.width(), place.height()))
            painter.drawLines([
                QLineF(start[1] * scale, start[0] * scale, (start + step)[1] * scale, (start + step)[0] * scale)
                for start, step in self._sides
            ])  # fmt: skip
            self._paint_mark(painter, scale)
            painter.setClipping(False)
            painter.resetTransform()
        self._paint_name(painter)
        painter.end()

    def _paint_mark(self, painter: QPainter, scale: float) -> None:
        if self._mark is not None:
            cell = QRectF(self._mark[1] * scale, self._mark[0] * scale, scale, scale)
            for grown, colour in ((2.0, "black"), (1.0, "white")):
                painter.setPen(QPen(QColor(colour), 1))
                painter.drawRect(cell.adjusted(-grown, -grown, grown, grown))

    def _paint_name(self, painter: QPainter) -> None:
        below = QRectF(0, self.height() - self.fontMetrics().height(), self.width(), self.fontMetrics().height())
        font = painter.font()
        font.setUnderline(self.is_now)
        painter.setFont(font)
        painter.setPen(self.palette().windowText().color())
        name = self.picture.name[5:] if self.picture.time is not None else self.picture.name  # the year is the same
        painter.drawText(below, int(Qt.AlignmentFlag.AlignCenter), name)
        if self.hasFocus():
            painter.setPen(QPen(self.palette().highlight().color(), 2))
            painter.drawRect(QRectF(self.rect()).adjusted(1, 1, -1, -1))

    def mouseMoveEvent(self, event: QMouseEvent) -> None:
        """Say which pixel is under the mouse, and what is there."""
        pixel = self.pixel_under(event.position())
        self.pointed.emit(pixel)
        text = "" if pixel is None else self.picture.at(*pixel) or self.picture.name
        if text:
            QToolTip.showText(event.globalPosition().toPoint(), text, self)

    def leaveEvent(self, event: Any) -> None:
        """Mark nothing."""
        self.pointed.emit(None)
        super().leaveEvent(event)

    def mouseReleaseEvent(self, event: QMouseEvent) -> None:
        """Press."""
        if event.button() == Qt.MouseButton.LeftButton and self.rect().contains(event.position().toPoint()):
            self.pressed.emit()

    def mouseDoubleClickEvent(self, event: QMouseEvent) -> None:
        """Open."""
        self.opened.emit()

    def keyPressEvent(self, event: QKeyEvent) -> None:
        """Press by key."""
        if event.key() in PRESS_KEYS:
            self.pressed.emit()
        else:
            super().keyPressEvent(event)


class PictureGrid(QWidget):
    """Rows of pictures of one window.

    Parameters
    ----------
    largest_px : int
        Side of a picture at most.

    Signals
    -------
    pressed(object), opened(object)
        The picture that was clicked, or double-clicked.
    """

    pressed = Signal(object)
    opened = Signal(object)

    def __init__(self, largest_px: int) -> None:
        super().__init__()
        self.largest_px = largest_px
        self.resize(FIRST_WIDTH_PX, 1)  # until it has its place: Qt's own 640 would make it ask for much height
        self.rows: list[list[Thumb]] = []
        self.told = small(HINT)
        self._grid = QGridLayout()
        self._grid.setSpacing(GAP_PX)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(GAP_PX)
        layout.addLayout(self._grid)
        layout.addWidget(self.told)

    @property
    def thumbs(self) -> list[Thumb]:
        """All pictures, row by row."""
        return [thumb for row in self.rows for thumb in row]

    def show_rows(self, rows: Sequence[Sequence[Picture]], sides: NDArray[np.float64]) -> None:
        """Show pictures, with an outline counted from the upper left corner of their window."""
        if [len(row) for row in rows] != [len(row) for row in self.rows]:
            self._lay_out([len(row) for row in rows])
        for thumbs, pictures in zip(self.rows, rows, strict=True):
            for thumb, picture in zip(thumbs, pictures, strict=True):
                thumb.show_picture(picture, sides)

    def mark(self, pixel: tuple[int, int] | None) -> None:
        """Mark a pixel in all pictures, and say what they show there."""
        for thumb in self.thumbs:
            thumb.mark(pixel)
        self.told.setText(HINT if pixel is None else self.say(pixel))

    def say(self, pixel: tuple[int, int]) -> str:
        """Say what all pictures show at a pixel of the window."""
        known = [(thumb.picture.name, thumb.picture.at(*pixel)) for thumb in self.thumbs]
        return "; ".join(f"{name}: {value}" for name, value in known if value)

    def show_now(self, time: int | None) -> None:
        """Underline the date that the viewer shows."""
        for thumb in self.thumbs:
            thumb.set_now(time is not None and thumb.picture.time == time)

    def _lay_out(self, counts: Sequence[int]) -> None:
        for thumb in self.thumbs:
            self._grid.removeWidget(thumb)
            thumb.setParent(None)
            thumb.deleteLater()
        self.rows = [[self._thumb() for _ in range(count)] for count in counts]
        for line, row in enumerate(self.rows):
            for column, thumb in enumerate(row):
                self._grid.addWidget(thumb, line, column)
        for column in range(max(counts, default=0)):
            self._grid.setColumnStretch(column, 1)
        self._fit()

    def _thumb(self) -> Thumb:
        thumb = Thumb()
        thumb.pressed.connect(lambda: self.pressed.emit(thumb.picture))
        thumb.opened.connect(lambda: self.opened.emit(thumb.picture))
        thumb.pointed.connect(self.mark)
        return thumb

    def resizeEvent(self, event: Any) -> None:
        """Make the pictures as large as the width allows."""
        super().resizeEvent(event)
        self._fit()

    def fitting(self, width_px: int) -> QSize:
        """Size that all pictures and words take up at a width."""
        return QSize(width_px, len(self.rows) * (self._height(width_px) + GAP_PX) + self.told.minimumHeight())

    def _height(self, width_px: int) -> int:
        columns = max((len(row) for row in self.rows), default=1)
        side = min(self.largest_px, (width_px - (columns - 1) * GAP_PX) // max(1, columns))
        return max(LEAST_PX, side) + self.fontMetrics().height()

    def _fit(self) -> None:
        for thumb in self.thumbs:
            thumb.setFixedHeight(self._height(self.width()))
