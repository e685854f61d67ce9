"""A question in the panel, in place of a box that would stop everything: a sentence and a few ways to answer."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from qtpy.QtWidgets import QFrame, QPushButton, QSizePolicy, QVBoxLayout

from .parts import words

__all__ = ["Offer"]


class Offer(QFrame):
    """A frame that is there only while something is to be decided."""

    def __init__(self) -> None:
        super().__init__()
        self.setFrameShape(QFrame.Shape.StyledPanel)
        self.text = words()
        self.buttons: list[QPushButton] = []
        layout = QVBoxLayout(self)
        layout.addWidget(self.text)
        self.hide()

    def ask(self, text: str, answers: Sequence[tuple[str, str, Callable[[], None]]]) -> None:
        """Ask; each answer has a word on its button, a tooltip, and what it does. Any answer ends the question."""
        self.end()
        self.text.setText(text)
        for word, tip, deed in answers:
            button = QPushButton(word)
            button.setToolTip(tip)
            button.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Fixed)
            button.clicked.connect(lambda _=False, deed=deed: self._answer(deed))
            self.layout().addWidget(button)
            self.buttons.append(button)
        self.show()

    def end(self) -> None:
        """Take the question away."""
        self.hide()
        for button in self.buttons:
            button.setParent(None)
            button.deleteLater()
        self.buttons = []

    def _answer(self, deed: Callable[[], None]) -> None:
        self.end()
        deed()
