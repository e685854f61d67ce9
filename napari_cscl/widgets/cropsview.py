"""The second view of the Boundary panel: the confusion matrix, and the pairs of crops that share edges."""

from __future__ import annotations

import pandas as pd
from qtpy.QtCore import Qt
from qtpy.QtWidgets import QSplitter, QVBoxLayout, QWidget

from cscl.inference.subset import Subset
from napari_cscl.boundaryview import Crossing
from napari_cscl.casecolumns import PAIR_COLUMNS

from .confusion import Confusion
from .parts import headed
from .table import Table

__all__ = ["CropsView"]


class CropsView(QWidget):
    """Matrix above, pairs below; the line between them can be moved."""

    def __init__(self) -> None:
        super().__init__()
        self.confusion, self.pairs = Confusion(), Table(PAIR_COLUMNS, "Pairs of crops that share edges")
        split = QSplitter(Qt.Orientation.Vertical)
        split.setChildrenCollapsible(False)
        split.addWidget(headed("Declared (rows) mapped as (columns)", self.confusion))
        split.addWidget(headed("Pairs of crops at the edges that they share", self.pairs))
        split.setStretchFactor(0, 3)
        split.setStretchFactor(1, 2)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 4, 0, 0)
        layout.addWidget(split)

    def show_subset(self, subset: Subset, crossing: Crossing, pairs: pd.DataFrame) -> None:
        """Show other numbers, and the pair that is asked for."""
        self.confusion.show_matrix(crossing, (subset.declared, subset.predicted))
        self.pairs.show_frame(pairs)
