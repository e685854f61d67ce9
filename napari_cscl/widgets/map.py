"""Map panel: predict the scene, see its errors, and export."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from qtpy.QtWidgets import QFileDialog, QLabel, QPushButton, QVBoxLayout

from cscl.products import Prediction
from napari_cscl.bridge import errors_layer, prediction_layer

from .panel import Panel

if TYPE_CHECKING:
    from .dock import CSCLDock

__all__ = ["MapPanel"]


class MapPanel(Panel):
    """Predict, assess, export."""

    title = "Map"
    purpose = "Predict the crops of the scene and export the map"

    def __init__(self, dock: CSCLDock) -> None:
        super().__init__(dock)
        self.predict = QPushButton("Predict crops")
        self.errors = QPushButton("Show boundary errors")
        self.export = QPushButton("Export the map ...")
        self.accuracy = QLabel("")
        self.accuracy.setWordWrap(True)
        layout = QVBoxLayout(self)
        for widget in (self.predict, self.errors, self.accuracy, self.export):
            layout.addWidget(widget)
        layout.addStretch()
        self.predict.clicked.connect(lambda: dock.act(self.start_predicting))
        self.errors.clicked.connect(lambda: dock.act(self.start_assessing))
        self.export.clicked.connect(self._choose_place)
        self.needs = {
            self.predict: ("cube", "model"),
            self.errors: ("labels", "prediction"),
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

    def start_assessing(self) -> None:
        """Compare the prediction with the labels: where the model was trained here, on the blocks it never saw."""
        session = self.dock.session
        if session.labels is None or session.prediction is None:
            return
        model = session.model.folder if session.model else None
        job = _assess(session.prediction, session.labels, model)
        self.dock.run(job, "Assessing", self._assessed)

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

    def _assessed(self, found: Any) -> None:
        report, errors, judged, grid = found
        split = report.boundary.split("class boundary")
        self.accuracy.setText(
            f"Right: {report.accuracy.overall_accuracy:.1%} of {report.accuracy.pixels} pixels {judged}; "
            f"{split.boundary.overall_accuracy:.1%} at class boundaries, {split.interior.overall_accuracy:.1%} inside."
        )
        self.dock.add(errors_layer(errors, grid, self.dock.session.origin))

    def _choose_place(self) -> None:
        path = QFileDialog.getExistingDirectory(self, "Folder for the exported files")
        if path:
            self.dock.act(lambda: self.export_to(path))


def _assess(prediction: Any, labels: Any, model: Path | None) -> Any:
    from cscl.data.split import Side, only
    from cscl.errors import MissingError
    from cscl.inference.assess import assess, error_map
    from cscl.training.save import split_of

    judged = "that the model never saw"
    if model is not None:
        try:
            labels = only(labels, split_of(model, labels.grid), Side.TEST)
            judged = "of the blocks that were held back"
        except MissingError:
            pass  # the model was not trained here, so all of it is unseen
    report = yield from assess(prediction, labels)
    return report, (yield from error_map(prediction, labels)), judged, labels.grid
