"""Which case is looked at, and the way to the next."""

from __future__ import annotations

from qtpy.QtCore import Signal
from qtpy.QtWidgets import QHBoxLayout, QPushButton, QWidget

from .parts import small

__all__ = ["CaseBar"]

BUTTON_PX = 28
NONE_YET = "Next worst case: Alt+N"


class CaseBar(QWidget):
    """Two buttons and a sentence.

    Signals
    -------
    stepped(int)
        1 for the next case, -1 for the former.
    """

    stepped = Signal(int)

    def __init__(self) -> None:
        super().__init__()
        self.former = _button("◀", "Former case of the table (Alt+Shift+N)")
        self.next = _button("▶", "Next worst case of the table (Alt+N)")
        self.words = small(NONE_YET)
        layout = QHBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        for widget in (self.former, self.next):
            layout.addWidget(widget)
        layout.addWidget(self.words, 1)
        self.former.clicked.connect(lambda: self.stepped.emit(-1))
        self.next.clicked.connect(lambda: self.stepped.emit(1))

    def say(self, text: str) -> None:
        """Say which case it is; an empty text says how to come to one."""
        self.words.setText(text or NONE_YET)
        self.words.setToolTip(text)


def _button(sign: str, tip: str) -> QPushButton:
    button = QPushButton(sign)
    button.setFixedWidth(BUTTON_PX)
    button.setToolTip(tip)
    button.setAccessibleName(tip)
    return button
