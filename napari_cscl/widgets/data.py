"""Data panel: open images and labels, choose the composite."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from qtpy.QtWidgets import QComboBox, QFileDialog, QFormLayout, QLabel, QPushButton, QSizePolicy, QVBoxLayout

from cscl.data.readers import open_cube
from cscl.data.scenes import LabelOptions, is_vector, label_map, open_labels, open_parcels
from cscl.parcels import Parcels
from napari_cscl.bridge import labels_layer, parcels_layer, season_layer
from napari_cscl.composite import fitting

from .panel import Panel

if TYPE_CHECKING:
    from .dock import CSCLDock

__all__ = ["DataPanel"]


class DataPanel(Panel):
    """Images, labels and how they are shown."""

    title = "Data"
    purpose = "Open images and labels, and choose how they are shown"

    def __init__(self, dock: CSCLDock) -> None:
        super().__init__(dock)
        self._labels_path: Path | None = None
        self.images = QPushButton("Open images ...")
        self.images.setToolTip("A folder of GeoTIFFs, one a date. NetCDF and Zarr: drop them on the viewer")
        self.labels = QPushButton("Open parcels or labels ...")
        self.column = QComboBox()
        self.column.setToolTip("Column of the parcels that holds the crop")
        self.composite = QComboBox()
        self.about = QLabel("No images are open.")
        self.about.setWordWrap(True)
        self.about.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Preferred)  # long lines wrap
        form = QFormLayout()
        form.addRow("Crop column", self.column)
        form.addRow("Show as", self.composite)
        layout = QVBoxLayout(self)
        for widget in (self.images, self.labels):
            layout.addWidget(widget)
        layout.addLayout(form)
        layout.addWidget(self.about)
        layout.addStretch()
        self.images.clicked.connect(self._choose_images)
        self.labels.clicked.connect(self._choose_labels)
        self.column.textActivated.connect(lambda _: self.dock.act(self._show_labels))
        self.composite.textActivated.connect(lambda _: self.dock.act(self._show_cube))
        dock.session.cube_changed.connect(self._cube_changed)
        self.needs = {self.images: (), self.labels: ("cube",)}

    def open_images(self, path: str | Path) -> None:
        """Open a cube as the scene of the viewer."""
        cube = open_cube(path)
        self.dock.session.open_cube(cube)
        self._show_cube()

    def open_labels(self, path: str | Path, column: str | None = None) -> None:
        """Open parcels or a label raster of the scene; of parcels the crop column can be chosen afterwards."""
        self._labels_path = Path(path)
        self.column.clear()
        if is_vector(path):
            columns = [str(c) for c in Parcels.open(path).table.columns if c not in ("geometry", "parcel_id", "code")]
            self.column.addItems(columns)
            self.column.setCurrentText(column or _likely(columns))
        self._show_labels()

    def _show_cube(self) -> None:
        cube = self.dock.session.cube
        if cube is not None:
            self.dock.add(season_layer(cube, self.composite.currentText()))

    def _show_labels(self) -> None:
        cube = self.dock.session.cube
        if cube is None or self._labels_path is None:
            return
        session = self.dock.session
        known = session.model.card.legend if session.model else None
        options = LabelOptions(class_column=self.column.currentText() or None)
        parcels = open_parcels(self._labels_path, options) if is_vector(self._labels_path) else None
        if parcels is None:
            labels = open_labels(self._labels_path, cube.grid, options)
        else:
            labels = label_map(parcels, cube.grid, options, known)
        session.open_labels(labels, parcels)
        self.dock.add(labels_layer(labels, cube.grid, parcels))
        if parcels is not None:
            self.dock.add(parcels_layer(labels, cube.grid))

    def _cube_changed(self, cube: Any) -> None:
        self.composite.clear()
        if cube is not None:
            self.composite.addItems(list(fitting(cube)))
            self.about.setText("\n".join(line.strip() for line in cube.iter_facts()))

    def _choose_images(self) -> None:
        path = QFileDialog.getExistingDirectory(self, "Folder of images")
        if path:
            self.dock.act(lambda: self.open_images(path))

    def _choose_labels(self) -> None:
        kinds = "Parcels or labels (*.gpkg *.geojson *.shp *.fgb *.parquet *.tif)"
        path, _ = QFileDialog.getOpenFileName(self, "Parcels or labels", filter=kinds)
        if path:
            self.dock.act(lambda: self.open_labels(path))


def _likely(columns: list[str]) -> str:
    """Column that most likely holds the crop, by its name; the first one if none does."""
    words = ("crop", "code_cultu", "class", "code", "lulc")
    found = [c for word in words for c in columns if word in c.lower()]
    return (found or columns or [""])[0]
