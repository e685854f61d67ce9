"""Map panel: predict the scene and export."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from qtpy.QtWidgets import QFileDialog, QPushButton, QVBoxLayout

from cscl.products import Prediction
from napari_cscl.bridge import prediction_layer

from .panel import Panel

if TYPE_CHECKING:
    from .dock import CSCLDock

__all__ = ["MapPanel"]


class MapPanel(Panel):
    """Predict and export."""

    title = "Map"
    purpose = "Predict the crops of the scene and export the map"

    def __init__(self, dock: CSCLDock) -> None:
        super().__init__(dock)
        self.predict = QPushButton("Predict crops")
        self.export = QPushButton("Export the map ...")
        layout = QVBoxLayout(self)
        for widget in (self.predict, self.export):
            layout.addWidget(widget)
        layout.addStretch()
        self.predict.clicked.connect(lambda: dock.act(self.start_predicting))
        self.export.clicked.connect(self._choose_place)
        self.needs = {
            self.predict: ("cube", "model"),
            self.export: ("prediction",),
        }

    def start_predicting(self) -> None:
        """Map the scene with the model."""
        from cscl.inference.predict import PredictOptions, predict

        session = self.dock.session
        if session.cube is None or session.model is None:
            return
        out = self.dock.folder / "prediction"
        options = PredictOptions(tile_px=128)  # a tile is as long as Cancel waits
        job = predict(session.model.folder, session.cube, out, options, overwrite=True)
        self.dock.run(job, "Predicting", self._predicted)

    def export_to(self, folder: str | Path) -> None:
        """Write the map and its parcels for QGIS."""
        from cscl.export.bundle import export

        session = self.dock.session
        if session.prediction is None:
            return
        job = export(session.prediction, folder, session.parcels, overwrite=True)
        self.dock.run(job, "Exporting", lambda out: self.dock.inform(f"The map lies in {out}."))

    def _predicted(self, prediction: Prediction) -> None:
        self.dock.session.open_prediction(prediction)
        self.dock.add(prediction_layer(prediction, self.dock.session.origin))

    def _choose_place(self) -> None:
        path = QFileDialog.getExistingDirectory(self, "Folder for the exported files")
        if path:
            self.dock.act(lambda: self.export_to(path))
