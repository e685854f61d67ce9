"""The head of the dock: a button for each panel, two rows of them, and the panel of the pressed one below."""

from __future__ import annotations

from collections.abc import Sequence

from qtpy.QtCore import Qt
from qtpy.QtWidgets import (
    QButtonGroup,
    QFrame,
    QGridLayout,
    QPushButton,
    QScrollArea,
    QSizePolicy,
    QStackedWidget,
    QVBoxLayout,
    QWidget,
)

from .panel import Panel

__all__ = ["Pages"]

COLUMNS = 4
SMALL_PX = 26


class Pages(QWidget):
    """Panels of which one is on top; each scrolls when the window is too low for it. The last one's button is small."""

    def __init__(self, panels: Sequence[Panel]) -> None:
        super().__init__()
        self.panels = tuple(panels)
        self.stack = QStackedWidget()
        self.buttons = QButtonGroup(self)
        grid = QGridLayout()
        grid.setSpacing(2)
        for number, panel in enumerate(self.panels):
            self.stack.addWidget(_scrolling(panel))
            button = self._button(number, panel)
            if number < len(self.panels) - 1:
                grid.addWidget(button, number // COLUMNS, number % COLUMNS)
            else:
                button.setFixedWidth(SMALL_PX)
                grid.addWidget(button, 0, COLUMNS)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addLayout(grid)
        layout.addWidget(self.stack, 1)
        self.buttons.idClicked.connect(self.turn_to)
        self.buttons.button(0).setChecked(True)
        self.former = self.panels[0]
        # napari adds a stretch below what does not ask for height itself, a larger one for each further window.
        self.setSizePolicy(QSizePolicy.Policy.Preferred, QSizePolicy.Policy.Expanding)

    @property
    def current(self) -> Panel:
        """The panel on top."""
        return self.panels[self.stack.currentIndex()]

    def turn_to(self, page: int | Panel) -> None:
        """Bring a panel to the top, by its number or itself."""
        number = page if isinstance(page, int) else self.panels.index(page)
        if self.current is not self.panels[number]:
            self.former = self.current
        self.buttons.button(number).setChecked(True)
        self.stack.setCurrentIndex(number)
        self.panels[number].shown()

    def bring_into_view(self, widget: QWidget) -> None:
        """Scroll the panel on top so that a part of it can be seen."""
        area = self.stack.currentWidget()
        if isinstance(area, QScrollArea) and area.isAncestorOf(widget):
            area.ensureWidgetVisible(widget)

    def _button(self, number: int, panel: Panel) -> QPushButton:
        button = QPushButton(panel.title)
        button.setCheckable(True)
        button.setToolTip(panel.purpose)
        button.setAccessibleName(panel.purpose)
        button.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Fixed)
        self.buttons.addButton(button, number)
        return button


def _scrolling(panel: Panel) -> QScrollArea:
    area = QScrollArea()
    area.setWidgetResizable(True)
    area.setFrameShape(QFrame.Shape.NoFrame)
    area.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
    area.setWidget(panel)
    return area
