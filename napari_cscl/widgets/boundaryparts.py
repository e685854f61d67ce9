"""Parts of the boundary panel: the legend of the kinds, and the filters."""

from __future__ import annotations

import math
from collections.abc import Collection
from typing import TYPE_CHECKING

import pandas as pd
from qtpy.QtCore import QSignalBlocker, Signal
from qtpy.QtWidgets import (
    QComboBox,
    QDoubleSpinBox,
    QGridLayout,
    QLabel,
    QPushButton,
    QSizePolicy,
    QVBoxLayout,
    QWidget,
)

from cscl.inference.subset import Subset
from cscl.report.kinds import WRONG
from napari_cscl.boundaryview import kinds_in_words

from .parts import row

if TYPE_CHECKING:
    from cscl.inference.explore import ErrorAtlas

__all__ = ["Asking", "Filters", "KindLegend"]

ANY = "any"
HELD_OUT, ALL = "held out", "labelled"


class Asking(QWidget):
    """What is to be found: the button, which pixels are judged, and how far an edge reaches."""

    def __init__(self) -> None:
        super().__init__()
        self.find = QPushButton("Find errors")
        self.find.setToolTip("Compare the predicted map with the labels (Alt+E)")
        self.judged = QComboBox()
        self.judged.addItems([HELD_OUT, ALL])
        self.judged.setAccessibleName("Pixels that are judged")
        self.judged.setToolTip(
            "Held out: where the model was trained on this scene, only the blocks that it never saw.\n"
            "Labelled: all of them, also the pixels that it has learnt from, which flatters it."
        )
        self.reach = QDoubleSpinBox(
            minimum=1, maximum=200, value=20, singleStep=5, decimals=0, prefix="within ", suffix=" m"
        )
        self.reach.setButtonSymbols(QDoubleSpinBox.ButtonSymbols.NoButtons)
        self.reach.setAccessibleName("Reach of an edge")
        self.reach.setToolTip("How far from a class edge an error is laid to it")
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addWidget(row(self.find, self.judged, self.reach, wide=(self.judged,)))

    @property
    def stops(self) -> tuple[QWidget, ...]:
        """What the Tab key goes through."""
        return self.find, self.judged, self.reach

    @property
    def everywhere(self) -> bool:
        """Whether all labelled pixels are judged."""
        return self.judged.currentText() == ALL


class KindLegend(QWidget):
    """Colours of the kinds of error, with their pixels and their shares of all wrong pixels."""

    def __init__(self) -> None:
        super().__init__()
        grid = QGridLayout(self)
        grid.setContentsMargins(0, 0, 0, 0)
        grid.setVerticalSpacing(0)
        grid.setColumnStretch(1, 1)
        self.counts: dict[int, QLabel] = {}
        for line, kind in enumerate(WRONG):
            swatch, name = QLabel(), QLabel(kind.title)
            swatch.setFixedSize(14, 10)
            swatch.setStyleSheet(f"background: {kind.colour}; border: 1px solid #808080;")
            self.counts[kind] = QLabel()
            for column, widget in enumerate((swatch, name, self.counts[kind])):
                widget.setToolTip(kind.meaning)
                grid.addWidget(widget, line, column)
            for widget in (name, self.counts[kind]):
                widget.setStyleSheet("font-size: 11px; padding: 0px;")

    def show_counts(self, curve: pd.DataFrame) -> None:
        """Say how many pixels of each kind there are."""
        for kind, count, share in kinds_in_words(curve):
            self.counts[kind].setText(f"{count:,} px   {share:.0%}")


class Filters(QWidget):
    """Which errors are wanted: a pair of classes, a range of distances, a range of parcel sizes."""

    changed = Signal()

    def __init__(self) -> None:
        super().__init__()
        self.declared, self.predicted = _combo("Declared crop"), _combo("Predicted crop")
        self.nearest, self.farthest = _combo("Distance from"), _combo("Distance up to")
        self.smallest, self.largest = _hectares("Smallest parcel"), _hectares("Largest parcel")
        grid = QGridLayout(self)
        grid.setContentsMargins(0, 0, 0, 0)
        grid.setVerticalSpacing(3)
        lines = (
            ("Declared", self.declared, "as", self.predicted),
            ("Distance", self.nearest, "to", self.farthest),
            ("Size", self.smallest, "to", self.largest),
        )
        for number, (word, first, between, last) in enumerate(lines):
            for column, widget in enumerate((QLabel(word), first, QLabel(between), last)):
                grid.addWidget(widget, number, column)
        for column in (1, 3):
            grid.setColumnStretch(column, 1)
        for combo in (self.declared, self.predicted, self.nearest, self.farthest):
            combo.currentIndexChanged.connect(lambda _: self.changed.emit())
        for spin in (self.smallest, self.largest):
            spin.valueChanged.connect(lambda _: self.changed.emit())
        self.nearest.currentIndexChanged.connect(self._keep_order)
        self.farthest.currentIndexChanged.connect(self._keep_order)

    @property
    def stops(self) -> tuple[QWidget, ...]:
        """What the Tab key goes through."""
        return self.declared, self.predicted, self.nearest, self.farthest, self.smallest, self.largest

    def take(self, atlas: ErrorAtlas, declared: Collection[int]) -> None:
        """Offer the classes and distances of an atlas, and the ids of the classes that occur; nothing is filtered."""
        with QSignalBlocker(self):
            there = {self.declared: set(declared), self.predicted: set(atlas.legend.ids)}
            for combo, ids in there.items():
                _fill(combo, [(ANY, None), *((c.name, c.id) for c in atlas.legend.classes if c.id in ids)])
            limits = atlas.options.distances_m
            _fill(self.nearest, [(f"{low:g} m", low) for low in (0.0, *limits)])
            _fill(self.farthest, [*((f"{high:g} m", high) for high in limits), (ANY, math.inf)])
            self.clear()

    def range(self) -> tuple[int, int] | None:
        """Return the first and the last class of distance that are wanted; None for all."""
        chosen = self.nearest.currentIndex(), self.farthest.currentIndex()
        return None if chosen == (0, self.farthest.count() - 1) else chosen

    def choose_range(self, chosen: tuple[int, int] | None) -> None:
        """Ask for a range of classes of distance; None for all."""
        first, last = chosen or (0, self.farthest.count() - 1)
        self._set({self.nearest: first, self.farthest: last})

    def choose_pair(self, pair: tuple[int, int | None] | None) -> None:
        """Ask for the ids of a declared and a predicted class; None for any. A class that does not occur is passed by.

        In a matrix a class may have a row though it was declared nowhere: taking it for any would show other pixels.
        """
        asked = zip((self.declared, self.predicted), pair or (None, None), strict=True)
        places = {combo: 0 if i is None else combo.findData(int(i)) for combo, i in asked}
        if min(places.values()) >= 0:
            self._set(places)

    def _set(self, places: dict[QComboBox, int]) -> None:
        """Change several at once, and tell of it once."""
        with QSignalBlocker(self):
            for combo, place in places.items():
                blocker = QSignalBlocker(combo)
                combo.setCurrentIndex(place)
                blocker.unblock()
        self.changed.emit()

    def clear(self) -> None:
        """Take all filters away."""
        with QSignalBlocker(self):
            for combo in (self.declared, self.predicted, self.nearest):
                combo.setCurrentIndex(0)
            self.farthest.setCurrentIndex(self.farthest.count() - 1)
            for spin in (self.smallest, self.largest):
                spin.setValue(0)
        self.changed.emit()

    def subset(self) -> Subset:
        """Return what is asked for; a largest parcel of 0 means any."""
        distances = (self.nearest.currentData() or 0.0, self.farthest.currentData() or math.inf)
        sizes = (self.smallest.value(), self.largest.value() or math.inf)
        return Subset(self.declared.currentData(), self.predicted.currentData(), distances, sizes)

    def _keep_order(self) -> None:
        """Let the one end of the distances give way to the other."""
        first, last = self.nearest.currentIndex(), self.farthest.currentIndex()
        if 0 <= last < first:
            other = self.farthest if self.sender() is self.nearest else self.nearest
            other.setCurrentIndex(first if other is self.farthest else last)


def _combo(name: str) -> QComboBox:
    combo = QComboBox()
    combo.setAccessibleName(name)
    combo.setToolTip(f"{name} of the pixels that are shown")
    combo.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Fixed)
    return combo


def _hectares(name: str) -> QDoubleSpinBox:
    spin = QDoubleSpinBox(minimum=0, maximum=99_999, decimals=2, singleStep=0.5, suffix=" ha")
    spin.setSpecialValueText(ANY)
    spin.setAccessibleName(name)
    spin.setToolTip(f"{name} that is shown, hectares")
    spin.setKeyboardTracking(False)
    spin.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Fixed)
    return spin


def _fill(combo: QComboBox, items: list[tuple[str, object]]) -> None:
    combo.clear()
    for text, value in items:
        combo.addItem(text, value)
    combo.view().setMinimumWidth(combo.view().sizeHintForColumn(0) + 24)  # names are longer than the box is wide
