"""A note on the case that is selected: a verdict and some words, kept as they are written."""

from __future__ import annotations

from html import escape

from qtpy.QtCore import QSignalBlocker, Qt
from qtpy.QtWidgets import QComboBox, QHBoxLayout, QPlainTextEdit, QSizePolicy, QVBoxLayout, QWidget

from napari_cscl.notes import VERDICTS, Notes, Spot

from .parts import words

__all__ = ["NoteEditor"]

NONE = "no verdict"
LINES, VERDICT_PX = 2, 120
MEANINGS = {
    "map error": "The label is right, the map is wrong",
    "label error": "The map is right: the declared crop, or the outline, is wrong",
    "mixed or shifted outline": "Neither is right: the pixels are mixed, or the outline lies beside the field",
    "unclear": "The images do not tell",
}


class NoteEditor(QWidget):
    """Verdict and words on one case, kept at each stroke.

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
            self.verdict.setItemData(place, MEANINGS[verdict], Qt.ItemDataRole.ToolTipRole)
        self.verdict.setFixedWidth(VERDICT_PX)
        self.verdict.view().setMinimumWidth(self.verdict.view().sizeHintForColumn(0) + 24)  # wider than the box
        self.verdict.setAccessibleName("Verdict on the case")
        self.verdict.setToolTip("\n".join(f"{verdict}: {meaning}" for verdict, meaning in MEANINGS.items()))
        self.text.setPlaceholderText("Note on this case")
        self.text.setAccessibleName("Note on the case")
        self.text.setTabChangesFocus(True)
        self.text.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Fixed)
        self.text.setFixedHeight(LINES * self.text.fontMetrics().lineSpacing() + 14)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(2)
        beside = QHBoxLayout()
        beside.addWidget(self.verdict)
        beside.addWidget(self.text, 1)
        layout.addLayout(beside)
        layout.addWidget(self.others)
        self.verdict.activated.connect(lambda _: self.keep())
        self.text.textChanged.connect(self.keep)

    def show_note(self, spot: Spot | None) -> None:
        """Show the note on a case; None for no case."""
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
        if self.spot is not None:
            self.notes.write(self.spot, *self._written())

    def follow(self) -> None:
        """Show the note on the case anew if it came from elsewhere."""
        note = self.notes.at(self.spot) if self.spot is not None else None
        if self._written() != ((note.verdict, note.text) if note is not None else ("", "")):
            self.show_note(self.spot)

    def _written(self) -> tuple[str, str]:
        verdict = self.verdict.currentText() if self.verdict.currentIndex() else ""
        return verdict, self.text.toPlainText().strip()
