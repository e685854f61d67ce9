"""Help: a tour in three lines, and the shortcuts."""

from __future__ import annotations

from typing import TYPE_CHECKING

from qtpy.QtWidgets import QVBoxLayout

from .panel import Panel
from .parts import table, words

if TYPE_CHECKING:
    from collections.abc import Sequence

    from .dock import CSCLDock
    from .keys import Shortcut

__all__ = ["HelpPanel"]

TOUR = (
    "<b>Data</b> opens images and parcels, <b>Model</b> a model, <b>Train</b> makes one. Or begin with "
    "File &gt; Open Sample &gt; CSCL.",
    "<b>Map</b> predicts the crops and exports them; <b>Boundary</b> shows where they are wrong, <b>Profiles</b> and "
    "<b>Affinity</b> why.",
    "<b>Fine-tune</b> improves the model in a region that you draw, and says what that changed elsewhere.",
)
KEPT = (
    "Regions, corrected crops and fine-tuned models are saved as you go on, and offered again after a crash. "
    "Device, threads, tiles and the scratch folder are set in File &gt; Preferences."
)


class HelpPanel(Panel):
    """A page to read."""

    title = "?"
    purpose = "Help: a short tour, and the keyboard shortcuts (F1)"

    def __init__(self, dock: CSCLDock) -> None:
        super().__init__(dock)
        self.text = words()
        layout = QVBoxLayout(self)
        layout.addWidget(self.text)
        layout.addStretch()

    def list_keys(self, shortcuts: Sequence[Shortcut]) -> None:
        """Show the tour, and the shortcuts as they are bound."""
        steps = "".join(f"<li>{line}</li>" for line in TOUR)
        rows = ((key.replace("-", "+"), meant) for key, meant in _together(shortcuts, len(self.dock.panels) - 1))
        self.text.setText(f"<ol style='margin-left: -20px'>{steps}</ol><p>{KEPT}</p>{table(rows)}")


def _together(shortcuts: Sequence[Shortcut], panels: int) -> list[tuple[str, str]]:
    """Keys and words; those of the panels, which come first, in one line."""
    first, rest = shortcuts[:panels], shortcuts[panels:]
    line = f"{first[0].key} ... {first[-1].key.rpartition('-')[2]}", ", ".join(s.words for s in first)
    return [line, *((s.key, s.words) for s in rest)]
