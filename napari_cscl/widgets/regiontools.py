"""Tools of the Fine-tune panel: draw the region on the canvas, and correct crops with the brush."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from qtpy.QtWidgets import QComboBox, QPushButton, QVBoxLayout, QWidget

from cscl.grid import GeoBox
from cscl.products import LabelMap
from napari_cscl.bridge import KEY, place_layer
from napari_cscl.region import (
    corrected_labels,
    corrected_layer,
    is_corrected,
    is_region,
    region_layer,
    region_mask,
)

from .parts import row

if TYPE_CHECKING:
    from .dock import CSCLDock

__all__ = ["RegionTools"]


class RegionTools(QWidget):
    """Buttons that begin drawing and painting, and what was drawn and painted.

    Parameters
    ----------
    dock : CSCLDock
        Whose viewer holds the layers.
    """

    def __init__(self, dock: CSCLDock) -> None:
        super().__init__()
        self.dock, self.session = dock, dock.session
        self.rectangle = QPushButton("Draw a rectangle")
        self.rectangle.setToolTip("Drag on the canvas; what lies inside is learnt from")
        self.polygon = QPushButton("Draw a polygon")
        self.polygon.setToolTip("Click the corners on the canvas; a double click closes it")
        self.correct = QPushButton("Correct crops")
        self.correct.setToolTip("Paint on a copy of the known crops, to learn from that; the labels stay as they are")
        self.crop = QComboBox()
        self.crop.setToolTip("Crop that the brush paints")
        self.crop.setAccessibleName("Crop that the brush paints")
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addWidget(row(self.rectangle, self.polygon))
        layout.addWidget(row(self.correct, self.crop, wide=(self.crop,)))
        self.rectangle.clicked.connect(lambda: dock.act(lambda: self.draw("add_rectangle")))
        self.polygon.clicked.connect(lambda: dock.act(lambda: self.draw("add_polygon")))
        self.correct.clicked.connect(lambda: dock.act(self.correct_crops))
        self.crop.activated.connect(lambda: dock.act(self.correct_crops))
        self.session.cube_changed.connect(self._cube_changed)
        self.session.labels_changed.connect(self._labels_changed)

    # --- what was drawn --------------------------------------------------------------------------------------------

    def mask(self, grid: GeoBox) -> NDArray[np.bool_]:
        """Find the pixels of a grid in the drawn region, axes (y, x); none where nothing was drawn."""
        found = np.zeros(grid.shape, bool)
        for layer in filter(is_region, self.dock.viewer.layers):
            found |= region_mask(layer, grid, self.session.origin)
        return found

    def corrected_labels(self) -> LabelMap | None:
        """Return the open labels as they were corrected; None without labels.

        Raises
        ------
        InputError
            If a number was painted that stands for no crop.
        """
        layer, labels = self._layer(is_corrected), self.session.labels
        if layer is None or labels is None or layer.metadata[KEY].get("corrects") is not labels:
            return labels
        return corrected_labels(layer, labels)

    def has_corrections(self) -> bool:
        """Whether crops of the open labels were painted over."""
        layer, labels = self._layer(is_corrected), self.session.labels
        if layer is None or labels is None or layer.metadata[KEY].get("corrects") is not labels:
            return False
        return not np.array_equal(layer.data, corrected_layer(labels, self.session.origin)[0])

    # --- drawing ---------------------------------------------------------------------------------------------------

    def draw(self, mode: str) -> None:
        """Let the user draw on the region layer, made where there is none; `mode` is one of napari's for shapes."""
        if self.session.cube is None:
            return
        layer = self._layer(is_region) or self.dock.add(region_layer(self.session.cube.grid))
        layer.visible = True
        self.dock.viewer.layers.selection.active = layer
        layer.mode = mode
        self.dock.say("Draw the region on the canvas. Delete a shape with napari's tools for shapes.")

    def correct_crops(self) -> None:
        """Let the user paint crops on a copy of the labels, made where there is none."""
        viewer, labels = self.dock.viewer, self.session.labels
        if labels is None:
            return
        layer = self._layer(is_corrected) or self.dock.add(corrected_layer(labels, self.session.origin))
        layer.visible = True
        region = self._layer(is_region)
        if region is not None:
            place_layer(viewer, region)  # its outline lies above what is painted
        viewer.layers.selection.active = layer
        layer.selected_label = labels.legend.ids[max(0, self.crop.currentIndex())] + 1
        layer.mode = "paint"
        self.dock.say(f"Paint {self.crop.currentText()}; choose another crop beside the button. Ctrl+Z takes back.")

    def put_down(self) -> None:
        """Let the mouse pan again, e.g. as learning begins."""
        for layer in self.dock.viewer.layers:
            if is_region(layer) or is_corrected(layer):
                layer.mode = "pan_zoom"

    def _layer(self, is_meant: Callable[[Any], bool]) -> Any:
        return next(filter(is_meant, self.dock.viewer.layers), None)

    # --- what others change ----------------------------------------------------------------------------------------

    def _labels_changed(self, labels: LabelMap | None) -> None:
        """Offer the crops of the labels to paint; corrections of other labels go."""
        self.crop.clear()
        self.crop.addItems([c.name for c in labels.legend.classes] if labels is not None else [])
        layer = self._layer(is_corrected)
        if layer is not None and labels is not None and layer.metadata[KEY].get("corrects") is not labels:
            self.dock.viewer.layers.remove(layer)

    def _cube_changed(self, cube: object) -> None:
        """Remove a region that was drawn on another place."""
        layers, grid = self.dock.viewer.layers, self.session.origin
        for layer in [la for la in layers if grid is not None and is_region(la) and la.metadata[KEY]["grid"] != grid]:
            layers.remove(layer)
