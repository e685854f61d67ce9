"""A note on the case that is selected: a verdict and some words, kept as they are written."""

from __future__ import annotations

from contextlib import suppress
from html import escape
from typing import Any

from qtpy.QtCore import QEvent, QSignalBlocker, QTimer
from qtpy.QtWidgets import QComboBox, QPlainTextEdit, QSizePolicy, QVBoxLayout, QWidget

from napari_cscl.notes import VERDICTS, Notes, Spot

from .parts import form, words

__all__ = ["NoteEditor"]

NONE = "no verdict"
WAIT_MS = 500
LINES = 2
MEANINGS = {
    "map error": "The label is right, the map is wrong",
    "label error": "The map is right: the declared crop, or the outline, is wrong",
    "mixed or shifted outline": "Neither is right: the pixels are mixed, or the outline lies beside the field",
    "unclear": "The images do not tell",
}


class NoteEditor(QWidget):
    """Verdict and words on one case. What is written is kept half a second later, and when another case is chosen.

    Parameters
    ----------
    notes : Notes
        Where they are kept.
    """

    def __init__(self, notes: Notes) -> None:
        super().__init__()
        self.notes = notes
        self.spot: Spot | None = None
        self.verdict, self.text, self.others = QComboBox(), QPlainTextEdit(), words()
        self.verdict.addItems([NONE, *VERDICTS])
        for place, verdict in enumerate(VERDICTS, 1):
            self.verdict.setItemData(place, MEANINGS[verdict], 3)  # the tip
        self.verdict.setAccessibleName("Verdict on the case")
        self.verdict.setToolTip("\n".join(f"{verdict}: {meaning}" for verdict, meaning in MEANINGS.items()))
        self.text.setPlaceholderText("Note on this case")
        self.text.setAccessibleName("Note on the case")
        self.text.setTabChangesFocus(True)
        self.text.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Fixed)
        self.text.setFixedHeight(LINES * self.text.fontMetrics().lineSpacing() + 14)
        self.text.installEventFilter(self)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        for widget in (form(("Verdict", self.verdict)), self.text, self.others):
            layout.addWidget(widget)
        self._soon = QTimer(self, singleShot=True, interval=WAIT_MS)
        self._soon.timeout.connect(self.keep)
        self.verdict.activated.connect(lambda _: self.keep())
        self.text.textChanged.connect(self._soon.start)

    def show_note(self, spot: Spot | None) -> None:
        """Show the note on a case, once what was written on the former one is kept; None for no case."""
        self.keep()
        self.spot = spot
        note = self.notes.at(spot) if spot is not None else None
        with QSignalBlocker(self.verdict), QSignalBlocker(self.text):
            self.verdict.setCurrentIndex(1 + VERDICTS.index(note.verdict) if note and note.verdict in VERDICTS else 0)
            self.text.setPlainText(note.text if note else "")
        others = self.notes.of_other_maps(spot) if spot is not None else []
        said = [f"On {other.spot.map}: {', '.join(filter(None, (other.verdict, other.text)))}" for other in others]
        self.others.setText("<br>".join(map(escape, said)))
        self.others.setVisible(bool(said))
        self.setEnabled(spot is not None)

    def keep(self) -> None:
        """Keep what is written now."""
        self._soon.stop()
        if self.spot is not None:
            verdict = self.verdict.currentText() if self.verdict.currentIndex() else ""
            self.notes.write(self.spot, verdict, self.text.toPlainText().strip())

    @property
    def is_writing(self) -> bool:
        """Whether the user is at it."""
        return self.text.hasFocus() or self._soon.isActive()

    def shut(self) -> None:
        """Keep what is written, for the last time."""
        with suppress(RuntimeError):  # Qt has deleted the parts where the window went as a whole
            self.keep()

    def eventFilter(self, watched: Any, event: Any) -> bool:
        """Keep the words when one goes on to something else."""
        if event.type() == QEvent.Type.FocusOut:
            self.keep()
        return super().eventFilter(watched, event)
