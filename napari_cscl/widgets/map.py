"""Map panel: predict the scene, see how sure the map is, and go back; its lower half exports the map."""

from __future__ import annotations

from collections.abc import Generator
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from qtpy.QtWidgets import (
    QCheckBox,
    QComboBox,
    QGroupBox,
    QPushButton,
    QSpinBox,
    QVBoxLayout,
)

from cscl.card import affinity_folder
from cscl.data.scenes import require_room
from cscl.events import Event, Job, Note
from cscl.grid import GeoBox, refined
from cscl.products import Prediction
from napari_cscl.bridge import LayerData, confidence_layer, prediction_layer, role_of, take_out
from napari_cscl.session import Model
from napari_cscl.settings import preferences, recall, remember

from .exportbox import ExportBox
from .panel import Panel
from .parts import form, group, words

if TYPE_CHECKING:
    from .dock import CSCLDock

__all__ = ["MapPanel"]

# How the pixels of a map are cut: words in the list, and options of a prediction.
PIXELS: dict[str, dict[str, Any]] = {
    "as the model maps them": {},
    "2 × 2 in each, interpolated": {"finer": 2},
    "4 × 4 in each, interpolated": {"finer": 4},
    "2 × 2 in each, repeated": {"finer": 2, "finer_by": "nearest"},
    "4 × 4 in each, repeated": {"finer": 4, "finer_by": "nearest"},
}
FINER_BY_ITSELF = "The open model maps finer pixels than those of the images by itself."
SHOWN_BYTES = 12  # of a pixel of the map, while its layers are made; up to 10 were measured
NO_AFFINITY = "The open model does not know which pixels are alike: train from one that was pre-trained by CSCL."


class MapPanel(Panel):
    """Predict, look, export."""

    title = "Map"
    purpose = "Predict the crops of the scene and export the map"

    def __init__(self, dock: CSCLDock) -> None:
        super().__init__(dock)
        self.former: Prediction | None = None
        self._knows_affinity = False
        self.files = ExportBox(dock)
        layout = QVBoxLayout(self)
        layout.addWidget(self._build_map())
        layout.addWidget(self.files)
        layout.addStretch()
        self._connect()
        self.files.changed.connect(self.refresh)
        self.needs = {
            self.predict: ("cube", "model"),
            self.pixels: ("model",),
            self.rounds: ("model",),
            self.back: ("prediction",),
            self.sure: ("prediction",),
            self.files.export: ("prediction",),
        }

    # --- making ----------------------------------------------------------------------------------------------------

    def _build_map(self) -> QGroupBox:
        self.predict = QPushButton("Predict crops")
        self.predict.setToolTip("Map the whole scene with the open model")
        self.pixels = QComboBox()
        self.pixels.setToolTip("Cut the pixels of the map, e.g. to hold it beside the finer map of another model")
        self.pixels.addItems(list(PIXELS))
        self.rounds = QSpinBox(minimum=0, maximum=50, specialValueText="not at all", suffix=" ×")
        self.rounds.setAccessibleName("Sharpen")
        self.rounds.setToolTip(
            "How often each pixel takes over what neighbours say that the pre-trained network finds alike. "
            "For models that learnt from few labels; where all crops are known it can do harm"
        )
        self.sure = QCheckBox("Show how sure the model is")
        self.sure.setToolTip(
            "A layer above the map: the probability of the predicted crop, from dark (0) to bright (1)"
        )
        self.sure.setChecked(recall("show_confidence", False))
        self.every = QCheckBox("Keep all probabilities")
        self.every.setToolTip("Write the probability of every class, too, for an export of them")
        self.back = QPushButton("Back to the former map")
        self.back.setToolTip("Show the map before the last prediction again; press once more for the newer one")
        self.warning = words()
        self.warning.hide()
        return group(
            "Map",
            form(("Pixels", self.pixels), ("Sharpen", self.rounds)),
            self.every,
            self.predict,
            self.sure,
            self.warning,
            self.back,
        )

    def _connect(self) -> None:
        act = self.dock.act
        self.predict.clicked.connect(lambda: act(self.start_predicting))
        self.back.clicked.connect(lambda: act(self.show_former))
        self.sure.toggled.connect(lambda: act(self._show_confidence))
        self.session.model_changed.connect(self._model_changed)
        self.session.cube_changed.connect(self._cube_changed)
        self.session.prediction_changed.connect(self._prediction_changed)

    def refresh(self) -> None:
        """Enable what can be done now; an export needs a folder and a part."""
        super().refresh()
        if self.rounds.isEnabled() and not self._knows_affinity:
            self.rounds.setEnabled(False)
            self.rounds.setToolTip(NO_AFFINITY)
        if self.pixels.isEnabled() and self._is_finer():
            self.pixels.setEnabled(False)
            self.pixels.setToolTip(FINER_BY_ITSELF)
        self.files.refresh()
        if self.former is None:
            self.back.setEnabled(False)
            self.back.setToolTip("There is no former map of this scene.")

    # --- the map ---------------------------------------------------------------------------------------------------

    def start_predicting(self) -> None:
        """Map the scene with the model; the map before it stays to go back to."""
        from cscl.inference.predict import PredictOptions, predict

        session = self.session
        if session.cube is None or session.model is None:
            return
        finer: dict[str, Any] = PIXELS[self.pixels.currentText()]
        options = PredictOptions(
            tile_px=preferences().tile_px, blend_px=16, sharpen=self.rounds.value(),
            probabilities=self.every.isChecked(), **finer,
        )  # fmt: skip
        grid = refined(session.cube.grid, session.model.card.finer * options.finer)
        require_room(grid, "The layers of the map", SHOWN_BYTES)
        job = predict(
            session.model.folder, session.cube, self._free_place(), options, device=self.dock.device, overwrite=True
        )
        self.warning.clear()
        self.warning.hide()
        shown = _shown(job, session.origin, self.sure.isChecked())
        self.dock.run(shown, "Predicting", self._predicted, on_event=self._heard)

    def show_former(self) -> None:
        """Change places with the map before."""
        if self.former is not None:
            shown = _shown(_at_once(self.former), self.session.origin, self.sure.isChecked())
            self.dock.run(shown, "Going back", self._predicted)

    def _free_place(self) -> Path:
        """Of two places the one in which the map on show does not lie."""
        first, second = (self.dock.folder / name for name in ("prediction", "prediction_2"))
        now = self.session.prediction
        return second if now is not None and now.path == first else first

    def _heard(self, event: Event) -> None:
        if isinstance(event, Note) and event.warning:
            self.warning.setText("\n".join(filter(None, [self.warning.text(), f"Warning: {event.text}"])))
            self.warning.show()

    def _predicted(self, found: tuple[Prediction, list[LayerData]]) -> None:
        prediction, layers = found
        former, shown = self.session.prediction, self.sure.isChecked()
        self.session.open_prediction(prediction)
        self.former = former
        for layer in layers:
            self.dock.add(layer)
        self._tick(shown)
        self.refresh()

    def _show_confidence(self) -> None:
        """Add the layer of confidence, or take it away."""
        remember(show_confidence=self.sure.isChecked())
        self._drop_confidence()
        prediction = self.session.prediction
        if self.sure.isChecked() and prediction is not None:
            self.dock.run(_confidence(prediction, self.session.origin), "Reading the confidence", self._add)

    def _add(self, layer: LayerData) -> None:
        self.dock.add(layer)

    def _drop_confidence(self) -> bool:
        found = [la for la in self.dock.viewer.layers if role_of(la) == "confidence"]
        take_out(self.dock.viewer, found)
        return bool(found)

    def _tick(self, shown: bool) -> None:
        self.sure.blockSignals(True)
        self.sure.setChecked(shown)
        self.sure.blockSignals(False)

    def _prediction_changed(self, prediction: Prediction | None) -> None:
        """Drop the confidence on show: it is that of another map."""
        if self._drop_confidence():
            self._tick(False)

    def _is_finer(self) -> bool:
        """Whether the open model maps finer pixels than the images by itself."""
        return self.session.model is not None and self.session.model.card.finer > 1

    def _model_changed(self, model: Model) -> None:
        if self._is_finer():
            self.pixels.setCurrentIndex(0)
        self._knows_affinity = affinity_folder(model.folder) is not None
        if not self._knows_affinity:
            self.rounds.setValue(0)
        self.refresh()

    def _cube_changed(self, *_: Any) -> None:
        self.former = None
        self.warning.hide()


def _shown(job: Job[Prediction], origin: GeoBox | None, sure: bool) -> Job[tuple[Prediction, list[LayerData]]]:
    """Go on from a prediction to its layers, which takes a while on a large scene."""
    prediction = replace((yield from job), name="prediction")
    layers = [prediction_layer(prediction, origin)]
    return prediction, [*layers, confidence_layer(prediction, origin)] if sure else layers


def _at_once(prediction: Prediction) -> Generator[Event, None, Prediction]:
    yield Note("Reading the former map ...")
    return prediction


def _confidence(prediction: Prediction, origin: GeoBox | None) -> Generator[Event, None, LayerData]:
    yield Note("Reading the confidence ...")
    return confidence_layer(prediction, origin)
