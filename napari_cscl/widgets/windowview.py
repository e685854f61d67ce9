"""The window of a picked pixel, large enough to read: its similarities as numbers on their colours."""

from __future__ import annotations

from typing import Any

import numpy as np
from matplotlib import colormaps
from numpy.typing import NDArray
from qtpy.QtCore import QRectF, QSize, Qt
from qtpy.QtGui import QColor, QPainter, QPaintEvent
from qtpy.QtWidgets import QSizePolicy, QWidget

__all__ = ["WindowView"]

SIDE_PX = 126
LEGIBLE_PX = 24  # cells smaller than this hold no number


class WindowView(QWidget):
    """Paints a square of values between two limits; NaN stays empty.

    Parameters
    ----------
    limits : tuple of float
        Values of the ends of the colour map.
    colormap : str
        As matplotlib calls it.
    """

    def __init__(self, limits: tuple[float, float], colormap: str = "viridis") -> None:
        super().__init__()
        self.values: NDArray[Any] | None = None
        self._limits, self._colours = limits, colormaps[colormap]
        self.setFixedHeight(SIDE_PX)
        self.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Fixed)

    def sizeHint(self) -> QSize:
        """Ask for a square."""
        return QSize(SIDE_PX, SIDE_PX)

    def show_values(self, values: NDArray[Any] | None) -> None:
        """Show a square of values, axes (y, x); None empties it."""
        self.values = values
        self.update()

    def paintEvent(self, event: QPaintEvent) -> None:
        """Paint cell by cell."""
        if self.values is None:
            return
        painter = QPainter(self)
        count = len(self.values)
        side = min(self.width(), self.height()) / count
        low, high = self._limits
        for (row, col), value in np.ndenumerate(self.values):
            if not np.isfinite(value):
                continue
            cell = QRectF(col * side, row * side, side - 1, side - 1)
            red, green, blue, _ = self._colours((float(value) - low) / (high - low), bytes=True)
            painter.fillRect(cell, QColor(int(red), int(green), int(blue)))
            if side >= LEGIBLE_PX:
                bright = 0.3 * red + 0.6 * green + 0.1 * blue > 128
                painter.setPen(QColor("black" if bright else "white"))
                painter.drawText(cell, Qt.AlignmentFlag.AlignCenter, f"{value:.2f}")
        painter.end()
