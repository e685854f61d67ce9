"""Crops to hold beside a profile: two lists to choose from, and the average curves of what is chosen."""

from __future__ import annotations

from typing import TYPE_CHECKING

from qtpy.QtCore import Signal
from qtpy.QtGui import QColor, QIcon, QPixmap
from qtpy.QtWidgets import QComboBox, QLabel, QVBoxLayout, QWidget

from cscl.data.profiles import Profile, class_profiles
from cscl.products import LabelMap

from .parts import row
from .seasonplot import Curve

if TYPE_CHECKING:
    from .dock import CSCLDock

__all__ = ["CropsBeside"]

NO_CROP = "none"


class CropsBeside(QWidget):
    """Two lists of the crops that the open labels know; curves are averaged in a job, once for each crop.

    Parameters
    ----------
    dock : CSCLDock
        Which runs the jobs.

    Signals
    -------
    changed()
        Other curves are to be drawn.
    """

    changed = Signal()

    def __init__(self, dock: CSCLDock) -> None:
        super().__init__()
        self.dock, self.session = dock, dock.session
        self.profiles: dict[int, Profile] = {}
        self.lists = (QComboBox(), QComboBox())
        for number, combo in enumerate(self.lists, 1):
            combo.setToolTip("Average curve of a crop, with the middle 80 % of its pixels, drawn behind")
            combo.setAccessibleName(f"Crop beside, {number}")
            combo.activated.connect(lambda _: dock.act(self._read_what_lacks))
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addWidget(row(QLabel("Beside"), *self.lists, wide=self.lists))

    def curves(self) -> list[Curve]:
        """Curves of the chosen crops, as far as they are known."""
        labels = self.session.labels
        crops = {c.id: c for c in labels.legend.classes} if labels is not None else {}
        chosen = [i for i in dict.fromkeys(combo.currentData() for combo in self.lists) if i in self.profiles]
        return [Curve(crops[i].name, crops[i].colour, self.profiles[i], True) for i in chosen]

    def forget(self) -> None:
        """Drop the curves: they are of other images or labels."""
        self.profiles.clear()

    def offer(self, labels: LabelMap | None) -> None:
        """Offer the crops of labels; none is chosen."""
        self.forget()
        for combo in self.lists:
            combo.clear()
            combo.addItem(NO_CROP, None)
            for crop in labels.legend.classes if labels is not None else ():
                combo.addItem(_swatch(crop.colour), crop.name, crop.id)

    def drop_unread(self) -> None:
        """Forget the wish for a crop whose job came to nothing."""
        for combo in self.lists:
            if combo.currentData() not in self.profiles:
                combo.setCurrentIndex(0)

    def _read_what_lacks(self) -> None:
        cube, labels = self.session.cube, self.session.labels
        wanted = [combo.currentData() for combo in self.lists]
        lacking = [number for number in wanted if number is not None and number not in self.profiles]
        if lacking and cube is not None and labels is not None:
            job = class_profiles(cube, labels, lacking)
            self.dock.run(job, "Averaging crops", lambda found: self._averaged(found, labels))
        self.changed.emit()

    def _averaged(self, found: dict[int, Profile], labels: LabelMap) -> None:
        if labels is not self.session.labels:
            return
        self.profiles.update(found)
        names = {c.id: c.name for c in labels.legend.classes}
        absent = [names[number] for number, profile in found.items() if not profile.pixels]
        if absent:
            self.dock.say(f"The labels hold no pixel of {' and '.join(absent)}.")
        self.changed.emit()


def _swatch(colour: str) -> QIcon:
    square = QPixmap(12, 12)
    square.fill(QColor(colour))
    return QIcon(square)
