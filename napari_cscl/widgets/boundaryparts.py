"""Parts of the boundary panel: the legend of the kinds, and the filters."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import pandas as pd
from qtpy.QtCore import QSignalBlocker, Signal
from qtpy.QtWidgets import (
    QComboBox,
    QDoubleSpinBox,
    QFormLayout,
    QGridLayout,
    QLabel,
    QPushButton,
    QSizePolicy,
    QWidget,
)

from cscl.inference.subset import Subset
from cscl.report.kinds import WRONG
from napari_cscl.boundaryview import kinds_in_words

from .parts import row

if TYPE_CHECKING:
    from cscl.inference.explore import ErrorAtlas

__all__ = ["Filters", "KindLegend"]

ANY = "any"


class KindLegend(QWidget):
    """Colours of the kinds of error, with their pixels and their shares of all wrong pixels."""

    def __init__(self) -> None:
        super().__init__()
        grid = QGridLayout(self)
        grid.setContentsMargins(0, 0, 0, 0)
        grid.setVerticalSpacing(1)
        grid.setColumnStretch(1, 1)
        self.counts: dict[int, QLabel] = {}
        for line, kind in enumerate(WRONG):
            swatch, name = QLabel(), QLabel(kind.title)
            swatch.setFixedSize(14, 12)
            swatch.setStyleSheet(f"background: {kind.colour}; border: 1px solid #808080;")
            name.setToolTip(kind.meaning)
            self.counts[kind] = QLabel()
            for column, widget in enumerate((swatch, name, self.counts[kind])):
                grid.addWidget(widget, line, column)

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
        self.reset = QPushButton("Show all")
        self.reset.setToolTip("Take all filters away")
        form = QFormLayout(self)
        form.setContentsMargins(0, 0, 0, 0)
        form.setVerticalSpacing(3)
        form.addRow("Declared", self.declared)
        form.addRow("Mapped as", self.predicted)
        for word, ends in (("Distance", (self.nearest, self.farthest)), ("Size", (self.smallest, self.largest))):
            form.addRow(word, row(ends[0], QLabel("to"), ends[1], wide=ends))
        for combo in (self.declared, self.predicted, self.nearest, self.farthest):
            combo.currentIndexChanged.connect(lambda _: self.changed.emit())
        for spin in (self.smallest, self.largest):
            spin.valueChanged.connect(lambda _: self.changed.emit())
        self.nearest.currentIndexChanged.connect(self._keep_order)
        self.farthest.currentIndexChanged.connect(self._keep_order)
        self.reset.clicked.connect(self.clear)

    def take(self, atlas: ErrorAtlas) -> None:
        """Offer the classes and distances of an atlas; nothing is filtered."""
        with QSignalBlocker(self):
            for combo, name in ((self.declared, "declared"), (self.predicted, "predicted")):
                there = (
                    set(atlas.parcels[name]) | set(atlas.legend.ids)
                    if name == "predicted"
                    else set(atlas.parcels[name])
                )
                _fill(combo, [(ANY, None), *((c.name, c.id) for c in atlas.legend.classes if c.id in there)])
            limits = atlas.options.distances_m
            _fill(self.nearest, [(f"{low:g} m", low) for low in (0.0, *limits)])
            _fill(self.farthest, [*((f"{high:g} m", high) for high in limits), (ANY, math.inf)])
            self.clear()

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
    combo.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Fixed)
    return combo


def _hectares(name: str) -> QDoubleSpinBox:
    spin = QDoubleSpinBox(minimum=0, maximum=99_999, decimals=2, singleStep=0.5, suffix=" ha")
    spin.setSpecialValueText(ANY)
    spin.setAccessibleName(name)
    spin.setToolTip(f"{name} that is shown, hectares")
    spin.setKeyboardTracking(False)
    return spin


def _fill(combo: QComboBox, items: list[tuple[str, object]]) -> None:
    combo.clear()
    for text, value in items:
        combo.addItem(text, value)
