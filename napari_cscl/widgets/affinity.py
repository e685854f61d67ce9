"""Affinity panel: what the model sees of each pixel: edges, likeness to a picked pixel, colours of the embedding."""

from __future__ import annotations

from collections.abc import Generator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from qtpy.QtWidgets import QLabel, QPushButton, QVBoxLayout

from cscl.cube import SITSCube
from cscl.events import Event
from cscl.grid import GeoBox
from napari_cscl.bridge import colours_layer, raster_layer

from .panel import Panel

if TYPE_CHECKING:
    from .dock import CSCLDock

__all__ = ["AffinityPanel"]

SIMILARITY = "similarity to the picked pixel (cosine of the embedding)"


@dataclass(frozen=True, eq=False)
class Seen:
    """What looking at the scene gave: unit vectors (y, x, feature), edge strength (y, x) and colours (y, x, 3)."""

    units_YXD: NDArray[np.float32]
    edges_YX: NDArray[np.float32]
    colours_YXC: NDArray[np.uint8]
    grid: GeoBox
    model: str


class AffinityPanel(Panel):
    """Look at the embedding of the scene and pick pixels in it."""

    title = "Affinity"
    purpose = "What the model sees: edges, and which pixels it holds for alike"

    def __init__(self, dock: CSCLDock) -> None:
        super().__init__(dock)
        self.seen: Seen | None = None
        self._layer: Any = None
        self.look = QPushButton("Look at the scene with the model")
        self.look.setToolTip("Computes the embedding of every pixel")
        self.note = QLabel("")
        self.note.setWordWrap(True)
        layout = QVBoxLayout(self)
        for widget in (self.look, self.note):
            layout.addWidget(widget)
        layout.addStretch()
        self.look.clicked.connect(lambda: dock.act(self.start_looking))
        self.needs = {self.look: ("cube", "model")}
        for signal in (dock.session.cube_changed, dock.session.model_changed):
            signal.connect(self._forget)

    def start_looking(self) -> None:
        """Embed the scene; edges and colours appear as layers, and pixels can be picked."""
        session = self.dock.session
        if session.cube is None or session.model is None:
            return
        job = _look(session.model.folder, session.model.card.name, session.cube, self.dock.folder / "embedding.zarr")
        self.dock.run(job, "Looking at the scene", self._looked)

    def picked(self, row: int, col: int, modifiers: frozenset[str]) -> None:
        """Show how alike every pixel is to this one."""
        from cscl.inference.similarity import similarity_to

        if self.seen is None:
            return
        if self._layer is None or self._layer not in self.dock.viewer.layers:
            values = similarity_to(self.seen.units_YXD, row, col)
            origin = self.dock.session.origin
            layer = raster_layer(values, self.seen.grid, SIMILARITY, (-1, 1), origin, "viridis", "affinity")
            self._layer = self.dock.add(layer)
        else:
            similarity_to(self.seen.units_YXD, row, col, out=self._layer.data)
            self._layer.refresh(thumbnail=False, highlight=False, extent=False)
        self.note.setText(f"Similarity to row {row}, column {col}, by {self.seen.model}.")

    def hovered(self, row: int, col: int, modifiers: frozenset[str]) -> None:
        """Follow the mouse while Shift is held."""
        if "Shift" in modifiers:
            self.picked(row, col, modifiers)

    def _looked(self, seen: Seen) -> None:
        self.seen = seen
        origin = self.dock.session.origin
        self.dock.add(colours_layer(seen.colours_YXC, seen.grid, f"embedding colours ({seen.model})", origin))
        self.dock.add(raster_layer(seen.edges_YX, seen.grid, f"edge strength ({seen.model})", (0, 1.2), origin))
        self.note.setText("Click a pixel; hold Shift and move to follow the mouse.")

    def _forget(self, *_: Any) -> None:
        """Another scene or model: what was seen no longer holds."""
        self.seen, self._layer = None, None


def _look(model: Path, name: str, cube: SITSCube, out: Path) -> Generator[Event, None, Seen]:
    from cscl.inference.embed import edge_strength, embed
    from cscl.inference.similarity import principal_colours, unit_vectors

    embedding = yield from embed(model, cube, out, overwrite=True)
    edges = yield from edge_strength(embedding)
    units = yield from unit_vectors(embedding)
    return Seen(units, edges, principal_colours(units), cube.grid, name)
