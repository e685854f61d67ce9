"""The first view of the Boundary panel: how good the map is, what is wrong with it, how far from edges, and filters."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pandas as pd
from qtpy.QtCore import QSignalBlocker, Qt
from qtpy.QtWidgets import QComboBox, QPushButton, QVBoxLayout, QWidget

from napari_cscl.boundaryview import bars, edges_of

from .boundaryparts import Filters, KindLegend
from .distanceplot import DistancePlot
from .parts import form, words

if TYPE_CHECKING:
    from cscl.inference.explore import ErrorAtlas
    from cscl.inference.subset import Selection

__all__ = ["Overview"]


class Overview(QWidget):
    """Summary, kinds of error, accuracy by distance to an edge that can be chosen, and the filters."""

    def __init__(self) -> None:
        super().__init__()
        self.atlas: ErrorAtlas | None = None
        self.selection: Selection | None = None
        self.summary = words(selectable=True)
        self.summary.setAlignment(Qt.AlignmentFlag.AlignTop)
        self.kinds, self.plot, self.filters = KindLegend(), DistancePlot(), Filters()
        self.edge = QComboBox()
        self.edge.setAccessibleName("Edge that distances are counted from")
        self.edge.setToolTip(
            "Class edge: between pixels of different crops; distances on it can be chosen.\n"
            "Vector edge: the digitised outline towards another crop, finer than pixels.\n"
            "Parcel outline: any digitised outline, whatever grows beyond it."
        )
        self.edge_row = form(("Distance to", self.edge))
        self.moved = QPushButton("Show how far edges moved")
        self.moved.setCheckable(True)
        self.moved.setToolTip(
            "In the place of the errors, the depth of each shifted boundary, metres: blue, above 0, where the parcel\n"
            "of the lower number has grown into its neighbour, red, below 0, where that of the higher number has"
        )
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 4, 0, 0)
        layout.setSpacing(4)
        for widget in (self.summary, self.kinds, self.edge_row):
            layout.addWidget(widget)
        layout.addWidget(self.plot, 1)
        layout.addWidget(self.filters)
        layout.addWidget(self.moved)
        self.edge.currentIndexChanged.connect(lambda _: self.show_curve())

    @property
    def stops(self) -> tuple[QWidget, ...]:
        """What the Tab key goes through."""
        return self.edge, self.plot, *self.filters.stops, self.moved

    def take(self, atlas: ErrorAtlas) -> None:
        """Show another map: its summary, and the edges that are known."""
        self.atlas = atlas
        self.moved.setChecked(False)
        self.summary.setText(atlas.summary())
        before = self.edge.currentText()
        with QSignalBlocker(self.edge):
            self.edge.clear()
            self.edge.addItems(list(edges_of(atlas)))
            self.edge.setCurrentIndex(max(0, self.edge.findText(before)))
        self.edge_row.setVisible(self.edge.count() > 1)

    def show_selection(self, selection: Selection) -> None:
        """Show what a subset holds."""
        self.selection = selection
        self.kinds.show_counts(selection.curve)
        self.show_curve()

    def table(self) -> pd.DataFrame:
        """Accuracy by distance to the edge that is chosen, as it is plotted."""
        if self.atlas is None or self.selection is None:
            return pd.DataFrame()
        whole = edges_of(self.atlas)[self.edge.currentText()]
        return self.selection.anywhere if self.edge.currentIndex() == 0 else whole

    def show_curve(self) -> None:
        """Show accuracy by distance to the edge that is chosen: of what is filtered, or, to polygons, of the map."""
        if self.atlas is None or self.selection is None:
            return
        fixed = self.edge.currentIndex() > 0
        chosen = None if fixed else self.filters.range()
        self.plot.show_bars(bars(self.table(), self.atlas.unit), chosen, self.edge.currentText(), fixed=fixed)
