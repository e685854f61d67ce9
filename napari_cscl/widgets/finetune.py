"""Fine-tune panel: draw a region, correct its crops, improve the model there, and look before keeping it."""

from __future__ import annotations

import shutil
from collections.abc import Generator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from qtpy.QtWidgets import (
    QCheckBox,
    QComboBox,
    QFileDialog,
    QFormLayout,
    QHBoxLayout,
    QLabel,
    QPushButton,
    QSizePolicy,
    QSpinBox,
    QVBoxLayout,
)

from cscl.events import Event, Measure, Preview
from cscl.grid import require_same
from cscl.products import LabelMap, Prediction, Scene
from napari_cscl.bridge import KEY, place_layer, prediction_layer
from napari_cscl.region import (
    CORRECTED,
    LOOK,
    REGION,
    corrected_labels,
    corrected_layer,
    look_layer,
    region_layer,
    region_mask,
)
from napari_cscl.settings import preferences, recall, remember

from .changes import ChangesTable
from .panel import Panel
from .plot import LiveLine

if TYPE_CHECKING:
    from cscl.training.refine import Refined

    from .dock import CSCLDock

__all__ = ["FinetunePanel"]

SCOPES = {"everything": "all", "classifier and surroundings": "decoder", "classifier only": "head"}
CURVES = {"region_loss": "loss in the region", "rehearsal_loss": "outside"}
NOTHING = "Fine-tune first."


@dataclass(frozen=True, eq=False)
class Step:
    """One fine-tuning that can be undone: the model before it, its own folder, and what it made."""

    model: Path
    folder: Path
    found: Refined


class FinetunePanel(Panel):
    """Improve the model in a region that you draw."""

    title = "Fine-tune"
    purpose = "Improve the model in a region that you draw"

    def __init__(self, dock: CSCLDock) -> None:
        super().__init__(dock)
        self.steps: list[Step] = []
        self._count = 0
        self._own = False
        self._build()
        self._connect()
        self.needs = {
            self.rectangle: ("cube",),
            self.polygon: ("cube",),
            self.correct: ("labels",),
            self.start: ("cube", "labels", "model"),
        }

    # --- making ----------------------------------------------------------------------------------------------------

    def _build(self) -> None:
        self.rectangle = QPushButton("Draw a rectangle")
        self.rectangle.setToolTip("Drag on the canvas; what lies inside is learnt from")
        self.polygon = QPushButton("Draw a polygon")
        self.polygon.setToolTip("Click the corners on the canvas; a double click closes it")
        self.correct = QPushButton("Correct crops")
        self.correct.setToolTip("Paint on a copy of the known crops, to learn from that; the labels stay as they are")
        self.crop = QComboBox()
        self.crop.setToolTip("Crop that the brush paints")
        self.crop.setAccessibleName("Crop that the brush paints")
        self.scope = QComboBox()
        self.scope.addItems(list(SCOPES))
        self.scope.setToolTip("What of the network learns; the less, the less can be forgotten")
        self.seconds = QSpinBox()
        self.seconds.setRange(1, 7200)
        self.seconds.setValue(recall("effort_s", 30))
        self.seconds.valueChanged.connect(lambda seconds: remember(effort_s=seconds))
        self.seconds.setSuffix(" s")
        self.seconds.setToolTip("How long to learn; then the region and the scene are mapped again")
        self.start = QPushButton("Fine-tune")
        self.start.setToolTip("Improve a copy of the model in the region; the rest of the map is rehearsed beside it")
        self.curve = LiveLine()
        self.curve.hide()
        self.verdict = QLabel("")
        self.verdict.setWordWrap(True)
        self.table = ChangesTable()
        self.former = QCheckBox("Show the map before")
        self.keep = QPushButton("Keep ...")
        self.undo = QPushButton("Undo")
        for widget in (self.crop, self.scope):
            widget.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Fixed)
        self._lay_out()

    def _lay_out(self) -> None:
        form = QFormLayout()
        form.addRow("Learns", self.scope)
        form.addRow("Effort", self.seconds)
        layout = QVBoxLayout(self)
        layout.addLayout(_row(self.rectangle, self.polygon))
        painting = QHBoxLayout()
        painting.addWidget(self.correct)
        painting.addWidget(self.crop, 1)
        layout.addLayout(painting)
        layout.addLayout(form)
        for widget in (self.start, self.curve, self.verdict, self.table, self.former):
            layout.addWidget(widget)
        layout.addLayout(_row(self.keep, self.undo))
        layout.addStretch()

    def _connect(self) -> None:
        act = self.dock.act
        self.rectangle.clicked.connect(lambda: act(lambda: self.draw("add_rectangle")))
        self.polygon.clicked.connect(lambda: act(lambda: self.draw("add_polygon")))
        self.correct.clicked.connect(lambda: act(self.correct_crops))
        self.crop.activated.connect(lambda: act(self.correct_crops))
        self.start.clicked.connect(lambda: act(self.start_learning))
        self.former.toggled.connect(self._show_former)
        self.keep.clicked.connect(self._choose_place)
        self.undo.clicked.connect(lambda: act(self.take_back))
        self.session.cube_changed.connect(self._another_scene)
        self.session.labels_changed.connect(self._other_labels)
        self.session.model_changed.connect(self._other_model)

    def refresh(self) -> None:
        """Enable what can be done now; what was fine-tuned can be kept, undone, or compared with what was."""
        super().refresh()
        idle = not self.dock.runner.busy
        tips = {
            self.keep: "Save the fine-tuned model in a folder of yours",
            self.undo: "Go back to the model and the map before, exactly as they were",
            self.former: "See the map before in the place of the new one",
        }
        for widget, tip in tips.items():
            widget.setEnabled(bool(self.steps) and idle)
            widget.setToolTip(tip if self.steps else NOTHING)

    # --- region and corrections ------------------------------------------------------------------------------------

    def region_mask(self) -> NDArray[np.bool_] | None:
        """Pixels of the drawn region, axes (y, x); None without images or a region layer."""
        layer, cube = self._layer(REGION), self.session.cube
        return None if layer is None or cube is None else region_mask(layer, cube.grid, self.session.origin)

    def corrected_labels(self) -> LabelMap | None:
        """Return the open labels as they were corrected; None without labels.

        Raises
        ------
        InputError
            If a number was painted that stands for no crop.
        """
        layer, labels = self._layer(CORRECTED), self.session.labels
        if layer is None or labels is None or layer.metadata[KEY].get("corrects") is not labels:
            return labels
        return corrected_labels(layer, labels)

    def draw(self, mode: str) -> None:
        """Let the user draw on the region layer, made where there is none; `mode` is one of napari's for shapes."""
        if self.session.cube is None:
            return
        layer = self._layer(REGION) or self.dock.add(region_layer(self.session.cube.grid))
        layer.visible = True
        self.dock.viewer.layers.selection.active = layer
        layer.mode = mode
        self.dock.say("Draw the region on the canvas. Delete a shape with napari's tools for shapes.")

    def correct_crops(self) -> None:
        """Let the user paint crops on a copy of the labels, made where there is none."""
        labels = self.session.labels
        if labels is None:
            return
        layer = self._layer(CORRECTED) or self.dock.add(corrected_layer(labels, self.session.origin))
        layer.visible = True
        region = self._layer(REGION)
        if region is not None:
            place_layer(self.dock.viewer, region)  # its outline lies above what is painted
        self.dock.viewer.layers.selection.active = layer
        layer.selected_label = labels.legend.ids[max(0, self.crop.currentIndex())] + 1
        layer.mode = "paint"
        self.dock.say(f"Paint {self.crop.currentText()}; choose another crop beside the button. Ctrl+Z takes back.")

    def _layer(self, name: str) -> Any:
        return next((la for la in self.dock.viewer.layers if la.name == name and KEY in la.metadata), None)

    # --- learning --------------------------------------------------------------------------------------------------

    def start_learning(self) -> None:
        """Fine-tune a copy of the model in the region, map the region and the scene again, and compare."""
        from cscl.inference.predict import PredictOptions
        from cscl.training.finetune import FinetuneOptions
        from cscl.training.refine import refine

        session, labels = self.session, self.corrected_labels()
        if session.cube is None or session.model is None or labels is None:
            return
        region = self.region_mask()
        if region is None:
            region = np.zeros(session.cube.shape, bool)
        self._count += 1
        name = f"fine-tuned {self._count}"
        folder = self.dock.folder / f"finetuning_{self._count}"
        options = FinetuneOptions(scope=SCOPES[self.scope.currentText()], seconds=float(self.seconds.value()))  # type: ignore[arg-type]
        job = refine(
            Scene(session.cube, labels), session.model.folder, folder / name, region, folder / "maps", options,
            before=self._map_of_the_model(), mapping=PredictOptions(tile_px=preferences().tile_px),
            device=self.dock.device,
        )  # fmt: skip
        before = session.model.folder
        self.curve.clear()
        self.curve.show()
        for layer in (self._layer(REGION), self._layer(CORRECTED)):
            if layer is not None:
                layer.mode = "pan_zoom"
        self.dock.run(
            _held(job, folder, name), "Fine-tuning", lambda found: self._refined(Step(before, folder, found)),
            on_event=lambda event: self._heard(event, region), can_finish=True,
        )  # fmt: skip

    def _map_of_the_model(self) -> Prediction | None:
        """Return the open map if the open model made it of the open images."""
        made, model, cube = self.session.prediction, self.session.model, self.session.cube
        if made is None or model is None or cube is None:
            return None
        facts = made.facts
        own = facts.get("model_made") == dict(model.card.made) and facts.get("images") == cube.name
        return made if own else None

    def _heard(self, event: Event, region: NDArray[np.bool_]) -> None:
        if isinstance(event, Measure):
            for name, said in CURVES.items():
                if name in event.values:
                    self.curve.add(said, event.step, event.values[name])
        elif isinstance(event, Preview) and event.name == "region" and self.session.model and self.session.cube:
            from cscl.data.region import window_of

            legend, grid = self.session.model.card.legend, self.session.cube.grid
            self.dock.add(look_layer(event.array, window_of(region), grid, legend, self.session.origin))

    def _refined(self, step: Step) -> None:
        self._drop(LOOK)
        found, session = step.found, self.session
        if session.cube is None:
            return
        require_same(session.cube.grid, found.after.grid, "The open images and the fine-tuned map")
        if self._layer_of(found.before) is None:
            self.dock.add(prediction_layer(found.before, session.origin))
        self.steps.append(step)
        self._open_model(found.model)
        self.dock.add(prediction_layer(found.after, session.origin))
        painted = self._layer(CORRECTED)
        if painted is not None:
            painted.visible = False  # it lies above the maps
        self._tell()
        self.refresh()

    def _tell(self) -> None:
        """Show what the last fine-tuning changed, and its map."""
        if self.steps:
            self.table.show_changes(self.steps[-1].found.comparison)
            self.verdict.setText(self.steps[-1].found.comparison.verdict())
        else:
            self.curve.hide()
            self.table.clear_changes()
            self.verdict.setText("")
        self.former.setChecked(False)
        self._show_former(False)

    def _show_former(self, former: bool) -> None:
        if not self.steps:
            return
        found = self.steps[-1].found
        for prediction, shown in ((found.before, former), (found.after, not former)):
            layer = self._layer_of(prediction)
            if layer is not None:
                layer.visible = shown

    def _layer_of(self, prediction: Prediction) -> Any:
        held = ((la, la.metadata.get(KEY, {}).get("prediction")) for la in self.dock.viewer.layers)
        return next((layer for layer, shown in held if shown is prediction), None)

    # --- keeping and undoing ---------------------------------------------------------------------------------------

    def keep_in(self, folder: str | Path) -> None:
        """Save the fine-tuned model in a folder and go on with it there."""
        from cscl.training.save import copy_model

        if not self.steps:
            return
        kept = copy_model(self.steps[-1].found.model, folder)
        self._open_model(kept)
        self.dock.inform(f"The fine-tuned model lies in {kept}.")

    def take_back(self) -> None:
        """Return to the model and the map before the last fine-tuning, exactly as they were."""
        if not self.steps:
            return
        step = self.steps.pop()
        self._open_model(step.model)
        if self._layer_of(step.found.before) is None:
            self.dock.add(prediction_layer(step.found.before, self.session.origin))
        layer = self._layer_of(step.found.after)
        if layer is not None:
            self.dock.viewer.layers.remove(layer)
        self.session.open_prediction(step.found.before)
        self._layer_of(step.found.before).visible = True
        shutil.rmtree(step.folder, ignore_errors=True)
        self._tell()
        self.refresh()
        self.dock.say("Undone: the former model and its map are back.")

    def _open_model(self, folder: Path) -> None:
        self._own = True
        try:
            self.session.open_model(folder)
        finally:
            self._own = False

    def _choose_place(self) -> None:
        path = QFileDialog.getSaveFileName(
            self, "Folder for the fine-tuned model", str(Path(recall("models", "")) / "fine-tuned")
        )[0]
        if path:
            self.dock.act(lambda: self.keep_in(path))

    # --- what others change ----------------------------------------------------------------------------------------

    def _other_model(self, model: Any) -> None:
        if not self._own:
            self._forget()

    def _other_labels(self, labels: LabelMap | None) -> None:
        """Offer the crops of the labels to paint; corrections of other labels go."""
        self.crop.clear()
        self.crop.addItems([c.name for c in labels.legend.classes] if labels is not None else [])
        layer = self._layer(CORRECTED)
        if layer is not None and labels is not None and layer.metadata[KEY].get("corrects") is not labels:
            self.dock.viewer.layers.remove(layer)

    def _another_scene(self, cube: Any) -> None:
        self._forget()
        self._drop(LOOK)
        layer = self._layer(REGION)
        if layer is not None and cube is not None and layer.metadata[KEY]["grid"] != cube.grid:
            self.dock.viewer.layers.remove(layer)

    def _forget(self) -> None:
        """Nothing can be undone any more: another model or scene is open."""
        self.steps.clear()
        self._tell()
        self.refresh()

    def _drop(self, name: str) -> None:
        layer = self._layer(name)
        if layer is not None:
            self.dock.viewer.layers.remove(layer)


def _held(job: Any, folder: Path, name: str) -> Generator[Event, None, Refined]:
    """Run a refinement and take its maps into memory, so that they stay whatever becomes of their files.

    What it wrote goes if it ends in any other way.
    """
    folder.mkdir(parents=True, exist_ok=True)
    try:
        found: Refined = yield from job
        for prediction in (found.before, found.after):
            prediction.ids.load()
            prediction.confidence.load()
    except BaseException:
        shutil.rmtree(folder, ignore_errors=True)
        raise
    return replace(found, after=replace(found.after, name=name))


def _row(*widgets: Any) -> QHBoxLayout:
    row = QHBoxLayout()
    for widget in widgets:
        row.addWidget(widget, 1)
    return row
