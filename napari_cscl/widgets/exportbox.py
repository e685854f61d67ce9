"""The lower half of the map panel: the parts of an export, and the folder that they go to."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from qtpy.QtCore import QLocale, QUrl, Signal
from qtpy.QtGui import QDesktopServices
from qtpy.QtWidgets import QCheckBox, QFileDialog, QLineEdit, QPushButton, QVBoxLayout, QWidget

from cscl.export.bundle import ON_REQUEST, exported
from cscl.grid import same
from cscl.products import Embedding, Prediction
from napari_cscl.finer import deliver_map
from napari_cscl.settings import recall, remember

from .offer import Offer
from .parts import group, row, words

if TYPE_CHECKING:
    from .dock import CSCLDock

__all__ = ["ExportBox"]

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


class ExportBox(QWidget):
    """Choose parts and a folder, and write them; `changed` says that what can be exported may be another."""

    changed = Signal()

    def __init__(self, dock: CSCLDock) -> None:
        super().__init__()
        self.dock, self.session = dock, dock.session
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        self._build(layout)
        self.browse.clicked.connect(self._choose_place)
        self.export.clicked.connect(lambda: dock.act(self.start_exporting))
        self.open.clicked.connect(self._open_folder)
        self.folder.textChanged.connect(self.changed)
        for box in self.parts.values():
            box.toggled.connect(self.changed)

    def _build(self, layout: QVBoxLayout) -> None:
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
        layout.addWidget(group(
            "Export", row(self.folder, self.browse, wide=(self.folder,)),
            *(row(*boxes[first : first + 2]) for first in range(0, len(boxes), 2)), note, self.export, self.offer,
            self.written, self.open,
        ))  # fmt: skip

    def refresh(self) -> None:
        """Enable the parts that can be written now; an export needs a folder and a part."""
        for part, box in self.parts.items():
            missing = self._lacks(part)
            box.setEnabled(not missing)
            box.setToolTip(missing or PARTS[part][1])
        lacking = NO_FOLDER if not self.folder.text().strip() else "" if self._chosen() else "Choose a part first."
        if self.export.isEnabled() and lacking:
            self.export.setEnabled(False)
            self.export.setToolTip(lacking)
        self.offer.end()

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


def _has_model(prediction: Prediction) -> bool:
    folder = prediction.facts.get("model_folder")
    return bool(folder) and (Path(folder) / "card.json").is_file()
