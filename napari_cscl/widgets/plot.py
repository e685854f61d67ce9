"""Plots: a matplotlib figure that follows the theme, and a live line that costs next to nothing."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from qtpy.QtCore import QPointF, QSize, Qt
from qtpy.QtGui import QColor, QPainter, QPaintEvent, QPen, QPolygonF
from qtpy.QtWidgets import QSizePolicy, QVBoxLayout, QWidget

if TYPE_CHECKING:
    from matplotlib.figure import Figure
    from napari.viewer import Viewer

__all__ = ["LINE_COLOURS", "LiveLine", "PlotCanvas"]

LINE_COLOURS = ("#56b4e9", "#e69f00", "#009e73", "#cc79a7", "#d55e00", "#f0e442")  # Okabe and Ito, seen on both themes

DPI = 100


class PlotCanvas(QWidget):
    """A matplotlib figure in the colours of napari's theme, drawn only when it can be seen.

    Parameters
    ----------
    viewer : Viewer
        Whose theme it follows.
    height_px : int
        Height on the screen.
    """

    def __init__(self, viewer: Viewer, height_px: int = 220) -> None:
        super().__init__()
        self.viewer = viewer
        self._paint: Callable[[Figure], None] | None = None
        self._canvas: Any = None
        self._stale = False
        self.setFixedHeight(height_px)
        self.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Fixed)
        QVBoxLayout(self).setContentsMargins(0, 0, 0, 0)
        viewer.events.theme.connect(self.redraw)

    def show_plot(self, paint: Callable[[Figure], None]) -> None:
        """Draw a plot, now or as soon as it can be seen.

        Parameters
        ----------
        paint : callable
            Adds axes to an empty figure. It is called again when the theme changes.
        """
        self._paint = paint
        self.redraw()

    def redraw(self, event: Any = None) -> None:
        """Draw anew."""
        self._stale = True
        if self.isVisible():
            self._draw()

    def showEvent(self, event: Any) -> None:
        """Draw what was left undrawn while nobody could see it."""
        super().showEvent(event)
        self._draw()

    def shut(self) -> None:
        """Leave the viewer's events."""
        self.viewer.events.theme.disconnect(self.redraw)

    def _draw(self) -> None:
        if self._paint is None or not self._stale:
            return
        import matplotlib as mpl

        self._stale = False
        canvas = self._made()
        with mpl.rc_context(_look(self.viewer.theme)):
            canvas.figure.clear()
            canvas.figure.set_facecolor(mpl.rcParams["figure.facecolor"])
            self._paint(canvas.figure)
            canvas.draw()

    def _made(self) -> Any:
        """Canvas, made at first use: matplotlib takes a third of a second to import."""
        if self._canvas is None:
            from matplotlib.backends.backend_qtagg import FigureCanvasQTAgg
            from matplotlib.figure import Figure

            size = self.width() / DPI, self.height() / DPI  # margins in pixels are right from the first picture on
            self._canvas = FigureCanvasQTAgg(Figure(figsize=size, dpi=DPI))
            self.layout().addWidget(self._canvas)
        return self._canvas


def _look(theme: str) -> dict[str, Any]:
    """Matplotlib settings in the colours of a theme, with fixed margins: fitting them takes longer than drawing."""
    from napari.utils.theme import get_theme

    colours = get_theme(theme)
    text, back, line = colours.text.as_hex(), colours.background.as_hex(), colours.primary.as_hex()
    return {
        "figure.facecolor": back, "axes.facecolor": back, "axes.edgecolor": line, "grid.color": line,
        "text.color": text, "axes.labelcolor": text, "xtick.color": text, "ytick.color": text,
        "legend.labelcolor": text, "legend.framealpha": 0, "legend.fontsize": 8, "font.size": 8,
        "axes.grid": True, "grid.alpha": 0.4, "axes.spines.top": False, "axes.spines.right": False,
        "figure.subplot.left": 0.14,
        "figure.subplot.right": 0.97, "figure.subplot.bottom": 0.2, "figure.subplot.top": 0.93,
    }  # fmt: skip


class LiveLine(QWidget):
    """Curves that grow while a job runs, painted by Qt itself: a tenth of a millisecond a time.

    Parameters
    ----------
    x_label : str
        What the curves run over.
    """

    def __init__(self, x_label: str = "step") -> None:
        super().__init__()
        self.x_label = x_label
        self.curves: dict[str, list[tuple[float, float]]] = {}
        self.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Fixed)
        self.setAccessibleName("Live curves")

    def sizeHint(self) -> QSize:
        """Return a strip as high as six lines of text."""
        return QSize(200, 6 * self.fontMetrics().height())

    def clear(self) -> None:
        """Forget all curves."""
        self.curves.clear()
        self.update()

    def add(self, name: str, x: float, y: float) -> None:
        """Add a point to a curve, which is begun with its first point."""
        self.curves.setdefault(name, []).append((x, y))
        self.update()

    def paintEvent(self, event: QPaintEvent) -> None:
        """Paint each curve on its own scale, with its name and last value."""
        painter = QPainter(self)
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        line = self.fontMetrics().height()
        ends = [x for points in self.curves.values() for x, _ in points]
        left = 0
        for number, (name, points) in enumerate(self.curves.items()):
            painter.setPen(QPen(QColor(LINE_COLOURS[number % len(LINE_COLOURS)]), 1.5))
            painter.drawPolyline(self._polygon(points, min(ends), max(ends), line))
            text = f"{name} {points[-1][1]:.3g}   "
            painter.drawText(left, line - 4, text)
            left += self.fontMetrics().horizontalAdvance(text)
        painter.setPen(self.palette().windowText().color())
        if ends:
            where = Qt.AlignmentFlag.AlignRight | Qt.AlignmentFlag.AlignBottom
            painter.drawText(self.rect(), where, f"{self.x_label} {max(ends):g}")
        painter.end()

    def _polygon(self, points: list[tuple[float, float]], first: float, last: float, line: int) -> QPolygonF:
        low, high = min(y for _, y in points), max(y for _, y in points)
        wide, tall = self.width() - 2, self.height() - 2 * line - 4
        across = wide / ((last - first) or 1.0)
        up = tall / ((high - low) or 1.0)
        return QPolygonF([QPointF(1 + (x - first) * across, line + 2 + (high - y) * up) for x, y in points])
