"""A way in for images that are in the viewer already: the selected layers become the scene."""

from __future__ import annotations

from typing import TYPE_CHECKING

from qtpy.QtWidgets import QPushButton, QVBoxLayout, QWidget

from cscl.errors import CSCLError
from napari_cscl.forms import Form
from napari_cscl.fromlayers import LayerFacts, cube_of_layers, image_layers

from .parts import words

if TYPE_CHECKING:
    from .data import DataPanel

__all__ = ["FromLayers"]

TITLES = {"": "Of the selected layers", "crs": "CRS", "pixel_m": "Pixel (m)"}


class FromLayers(QWidget):
    """A button, and a form that appears where the layers do not say all that is needed.

    Parameters
    ----------
    panel : DataPanel
        Which opens the images.
    """

    def __init__(self, panel: DataPanel) -> None:
        super().__init__()
        self.panel = panel
        self.start = QPushButton("Use selected layers ...")
        self.start.setToolTip(
            "Take image layers of the viewer: one of (time, y, x) or (time, band, y, x), or one a band"
        )
        self.told = words()
        self.form = Form(LayerFacts(), titles=TITLES, more="What the layers do not say")
        self.make = QPushButton("Make a scene of them")
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        for widget in (self.start, self.told, self.form, self.make):
            layout.addWidget(widget)
        self._ask("")
        self.start.clicked.connect(lambda: self._open(LayerFacts()))
        self.make.clicked.connect(lambda: panel.dock.act(lambda: self._open(self.form.get())))

    def _open(self, facts: LayerFacts) -> None:
        """Open what is selected, in the order of the list; what is lacking is asked for."""
        chosen = self.panel.dock.viewer.layers.selection
        layers = image_layers([layer for layer in self.panel.dock.viewer.layers if layer in chosen])
        try:
            cube = cube_of_layers(layers, facts)
        except CSCLError as error:
            self._ask(str(error), bool(layers))
            return
        self._ask("")
        for layer in layers:
            layer.visible = False  # they lie in a frame of their own
        self.panel.open_cube(cube)

    def _ask(self, lacking: str, form: bool = False) -> None:
        """Say what is lacking, with a form for it where a form can mend it."""
        self.told.setText(lacking)
        self.told.setVisible(bool(lacking))
        self.form.setVisible(form)
        self.form.more.setChecked(form)
        self.make.setVisible(form)
