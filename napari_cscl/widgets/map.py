"""Map panel: predict the scene, see how sure the map is, and export it."""

from __future__ import annotations

from collections.abc import Generator
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from qtpy.QtCore import QLocale, QUrl
from qtpy.QtGui import QDesktopServices
from qtpy.QtWidgets import (
    QCheckBox,
    QComboBox,
    QFileDialog,
    QGroupBox,
    QLineEdit,
    QPushButton,
    QSpinBox,
    QVBoxLayout,
)

from cscl.card import affinity_folder
from cscl.data.scenes import require_room
from cscl.events import Event, Job, Note
from cscl.export.bundle import ON_REQUEST, exported
from cscl.grid import GeoBox, refined, same
from cscl.products import Embedding, Prediction
from napari_cscl.bridge import LayerData, confidence_layer, prediction_layer, role_of, take_out
from napari_cscl.finer import deliver_map
from napari_cscl.session import Model
from napari_cscl.settings import preferences, recall, remember

from .offer import Offer
from .panel import Panel
from .parts import form, group, row, words

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
# Part of an export: words on its box, what it is written as, and what the engine calls it.
PARTS = {
    "crop map": (
        "Crop map", "GeoTIFF with class names and colours, styles beside it, and the legend as CSV", ["crop map"]
    ),
    "confidence": (
        "Confidence",
        "GeoTIFF of the probability of the predicted class, and of its margin over the runner-up, stored as 0 to 250",
        ["confidence", "margin"],
    ),
    "parcels": (
        "Parcels", "GeoPackage and GeoParquet: the parcels with their majority crop, its share and confidence",
        ["parcels"],
    ),
    "fields": ("Fields", "GeoPackage: outlines of the fields that the map shows, with crop and area", ["fields"]),
    "report": (
        "Report", "Page, tables and layers for a GIS: accuracy, and errors at boundaries", ["report"]
    ),
    "figures": (
        "Figures", "PNG: the map; with labels also its errors, accuracy by distance, and confusion of crops",
        ["figures"],
    ),
    "page": ("Page", "PNG and PDF to print: the map with legend, scale, north and the area of each crop", ["page"]),
    "metadata": (
        "Metadata", "A card of the model, a catalogue entry (STAC), and checksums of all files",
        ["model card", "catalogue", "checksums"],
    ),
    "probabilities": (
        "All probabilities", "GeoTIFF with a band for each class, stored as 0 to 250: a large file", ["probabilities"]
    ),
    "edge strength": (
        "Edge strength", "GeoTIFF: where neighbouring pixels differ in what the network sees", ["edge strength"]
    ),
    "model": ("Model", "The model that made the map, to map other images with", ["model"]),
    "onnx": ("ONNX", "The network for other programs, such as those that read ONNX on a server", ["onnx"]),
}  # fmt: skip
NO_FOLDER = "Choose a folder first."
NO_AFFINITY = "The open model does not know which pixels are alike: train from one that was pre-trained by CSCL."


class MapPanel(Panel):
    """Predict, look, export."""

    title = "Map"
    purpose = "Predict the crops of the scene and export the map"

    def __init__(self, dock: CSCLDock) -> None:
        super().__init__(dock)
        self.former: Prediction | None = None
        self._knows_affinity = False
        layout = QVBoxLayout(self)
        layout.addWidget(self._build_map())
        layout.addWidget(self._build_export())
        layout.addStretch()
        self._connect()
        self.needs = {
            self.predict: ("cube", "model"),
            self.pixels: ("model",),
            self.rounds: ("model",),
            self.back: ("prediction",),
            self.sure: ("prediction",),
            self.export: ("prediction",),
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

    def _build_export(self) -> QGroupBox:
        self.folder = QLineEdit(recall("export_folder", ""))
        self.folder.setPlaceholderText("Folder for the exported files")
        self.folder.setAccessibleName("Folder for the exported files")
        self.folder.setToolTip("Where the files go; it is made if it is not there")
        self.browse = QPushButton("Browse ...")
        self.browse.setToolTip("Choose a folder")
        chosen = recall("export_parts", [part for part in PARTS if part not in ON_REQUEST])
        self.parts = {part: QCheckBox(title) for part, (title, *_) in PARTS.items()}
        for part, box in self.parts.items():
            box.setToolTip(PARTS[part][1])
            box.setChecked(part in chosen)
        self.export = QPushButton("Export")
        self.export.setToolTip("Write the chosen parts into the folder")
        self.offer = Offer()
        self.written = words(selectable=True)
        self.open = QPushButton("Open the folder")
        self.open.setToolTip("Show the files in the system's file manager")
        self.written.hide()
        self.open.hide()
        boxes = list(self.parts.values())
        note = words("Maps are GeoTIFF, parcels and fields GeoPackage; QGIS finds names and colours by itself.")
        return group(
            "Export", row(self.folder, self.browse, wide=(self.folder,)),
            *(row(*boxes[first : first + 2]) for first in range(0, len(boxes), 2)), note, self.export, self.offer,
            self.written, self.open,
        )  # fmt: skip

    def _connect(self) -> None:
        act = self.dock.act
        self.predict.clicked.connect(lambda: act(self.start_predicting))
        self.back.clicked.connect(lambda: act(self.show_former))
        self.sure.toggled.connect(lambda: act(self._show_confidence))
        self.browse.clicked.connect(self._choose_place)
        self.export.clicked.connect(lambda: act(self.start_exporting))
        self.open.clicked.connect(self._open_folder)
        self.folder.textChanged.connect(lambda _: self.refresh())
        for box in self.parts.values():
            box.toggled.connect(lambda _: self.refresh())
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
        for part, box in self.parts.items():
            missing = self._lacks(part)
            box.setEnabled(not missing)
            box.setToolTip(missing or PARTS[part][1])
        lacking = NO_FOLDER if not self.folder.text().strip() else "" if self._chosen() else "Choose a part first."
        if self.export.isEnabled() and lacking:
            self.export.setEnabled(False)
            self.export.setToolTip(lacking)
        if self.former is None:
            self.back.setEnabled(False)
            self.back.setToolTip("There is no former map of this scene.")
        self.offer.end()

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

    # --- the export ------------------------------------------------------------------------------------------------

    def start_exporting(self) -> None:
        """Write the chosen parts; where files of a former export would be replaced, ask first."""
        folder = Path(self.folder.text().strip()).expanduser()
        there = exported(folder, *self._chosen()) if folder.is_dir() else []
        if not there:
            self.export_to(folder)
            return
        self.offer.ask(
            f"{folder} holds {len(there)} files of a former export, the first of them {there[0].name}.",
            [
                ("Replace them", "The former files go when the new ones are whole", lambda: self.export_to(folder)),
                ("Leave them", "Export nothing", lambda: None),
            ],
        )

    def export_to(self, folder: str | Path) -> None:
        """Write the chosen parts into a folder, over those of a former export."""
        session = self.session
        if session.prediction is None:
            return
        self.folder.setText(str(folder))
        remember(export_folder=str(folder), export_parts=[part for part, box in self.parts.items() if box.isChecked()])
        self.written.hide()
        self.open.hide()
        model = session.model.folder if session.model is not None else None
        job = deliver_map(
            session.prediction, Path(folder), self._chosen(), session.labels, session.parcels, model,
            cube=session.cube, embedding=self._embedding(),
        )  # fmt: skip
        self.dock.run(job, "Exporting", lambda files: self._exported(Path(folder), files))

    def _exported(self, folder: Path, files: list[Path]) -> None:
        sizes: dict[str, int] = {}
        for path in files:  # what lies in a folder of its own is one line
            name = path.relative_to(folder).parts[0]
            sizes[name] = sizes.get(name, 0) + path.stat().st_size
        shown = QLocale().formattedDataSize
        self.written.setText("\n".join(f"{name}  ({shown(size)})" for name, size in sizes.items()))
        self.written.show()
        self.open.show()
        self.dock.inform(f"{len(files)} files were written into {folder}.")

    def _chosen(self) -> list[str]:
        chosen = (part for part, box in self.parts.items() if box.isChecked() and not self._lacks(part))
        return [name for part in chosen for name in PARTS[part][2]]

    def _lacks(self, part: str) -> str:
        """Say what is still to be done before a part can be exported; nothing if it can."""
        prediction = self.session.prediction
        if part == "parcels" and self.session.parcels is None:
            return "Open parcels as polygons first."
        if part == "report" and self.session.labels is None:
            return "Open labels first: the map is judged by them."
        if part == "probabilities" and prediction is not None and prediction.probabilities is None:
            return "Tick 'Keep all probabilities' above and predict again."
        if part == "edge strength" and prediction is not None and self._embedding() is None:
            return "Look at the embedding of the scene first: Affinity panel."
        if part in ("model", "onnx") and prediction is not None and not _has_model(prediction):
            return "The model that made this map is not known, or no longer where it was."
        return ""

    def _embedding(self) -> Embedding | None:
        """Return what was looked at last, if it has the pixels of the map."""
        prediction = self.session.prediction
        seen = (one.view.embedding for one in self.dock.affinity.sights.seen)
        return next((each for each in seen if prediction is not None and same(each.grid, prediction.grid)), None)

    def _choose_place(self) -> None:
        path = QFileDialog.getExistingDirectory(self, "Folder for the exported files", self.folder.text())
        if path:
            self.folder.setText(path)

    def _open_folder(self) -> None:
        if not QDesktopServices.openUrl(QUrl.fromLocalFile(self.folder.text())):
            self.dock.say(f"No file manager could be opened. The files lie in {self.folder.text()}.")


def _shown(job: Job[Prediction], origin: GeoBox | None, sure: bool) -> Job[tuple[Prediction, list[LayerData]]]:
    """Go on from a prediction to its layers, which takes a while on a large scene."""
    prediction = replace((yield from job), name="prediction")
    layers = [prediction_layer(prediction, origin)]
    return prediction, [*layers, confidence_layer(prediction, origin)] if sure else layers


def _has_model(prediction: Prediction) -> bool:
    folder = prediction.facts.get("model_folder")
    return bool(folder) and (Path(folder) / "card.json").is_file()


def _at_once(prediction: Prediction) -> Generator[Event, None, Prediction]:
    yield Note("Reading the former map ...")
    return prediction


def _confidence(prediction: Prediction, origin: GeoBox | None) -> Generator[Event, None, LayerData]:
    yield Note("Reading the confidence ...")
    return confidence_layer(prediction, origin)
