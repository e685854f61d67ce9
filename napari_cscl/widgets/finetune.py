"""Fine-tune panel: draw a region, correct its crops, improve the model there, and look before keeping it."""

from __future__ import annotations

import shutil
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from qtpy.QtWidgets import QCheckBox, QComboBox, QFileDialog, QPushButton, QSpinBox, QVBoxLayout

from cscl.data.region import window_of
from cscl.errors import OutputError
from cscl.events import Event, Measure, Preview
from cscl.grid import require_same
from cscl.products import Prediction, Scene
from napari_cscl.bridge import KEY, named_layer, prediction_layer
from napari_cscl.finetuning import SCOPES, Step, fine_tune, map_of_the_model
from napari_cscl.region import LOOK, is_corrected, look_layer
from napari_cscl.settings import preferences, recall, remember

from .changes import ChangesTable
from .panel import Panel
from .parts import form, row, words
from .plot import LiveLine
from .regiontools import RegionTools

if TYPE_CHECKING:
    from .dock import CSCLDock

__all__ = ["FinetunePanel"]

CURVES = {"region_loss": "loss in the region", "rehearsal_loss": "outside"}
NOTHING = "Fine-tune first."
FINER = (
    "The open model maps {} times finer than the images, and regions are fine-tuned at the pixels of the images. Go on "
    "training it in the Train panel, with Start from the open model."
)


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
            self.region.rectangle: ("cube",),
            self.region.polygon: ("cube",),
            self.region.correct: ("labels",),
            self.start: ("cube", "labels", "model"),
        }

    # --- making ----------------------------------------------------------------------------------------------------

    def _build(self) -> None:
        self.cannot = words()
        self.region = RegionTools(self.dock)
        self.scope = QComboBox()
        self.scope.addItems(list(SCOPES))
        self.scope.setToolTip("What of the network learns; the less, the less can be forgotten")
        self.seconds = QSpinBox(minimum=1, maximum=7200, value=recall("effort_s", 30), suffix=" s")
        self.seconds.setToolTip("How long to learn; then the region and the scene are mapped again")
        self.start = QPushButton("Fine-tune")
        self.start.setToolTip("Improve a copy of the model in the region; the rest of the map is rehearsed beside it")
        self.curve = LiveLine()
        self.curve.hide()
        self.verdict, self.table = words(), ChangesTable()
        self.former = QCheckBox("Show the map before")
        self.keep, self.undo = QPushButton("Keep ..."), QPushButton("Undo")
        layout = QVBoxLayout(self)
        for widget in (
            self.cannot, self.region, form(("Learns", self.scope), ("Effort", self.seconds)), self.start, self.curve,
            self.verdict, self.table, self.former, row(self.keep, self.undo),
        ):  # fmt: skip
            layout.addWidget(widget)
        layout.addStretch()

    def _connect(self) -> None:
        act = self.dock.act
        self.seconds.valueChanged.connect(lambda seconds: remember(effort_s=seconds))
        self.start.clicked.connect(lambda: act(self.start_learning))
        self.former.toggled.connect(self._show_former)
        self.keep.clicked.connect(self._choose_place)
        self.undo.clicked.connect(lambda: act(self.take_back))
        self.session.cube_changed.connect(self._cube_changed)
        self.session.model_changed.connect(self._model_changed)
        self.dock.runner.finished.connect(lambda: self._drop(LOOK))

    def refresh(self) -> None:
        """Enable what can be done now; what was fine-tuned can be kept, undone, or compared with what was."""
        super().refresh()
        self._say_whether()
        idle = not self.dock.runner.busy
        model = self.session.model
        passing = model is not None and model.folder.is_relative_to(self.dock.folder)
        tips = {
            self.keep: "Save the fine-tuned model in a folder of yours",
            self.undo: "Go back to the model and the map before, exactly as they were",
            self.former: "See the map before in the place of the new one",
        }
        for widget, tip in tips.items():
            can = bool(self.steps) or (widget is self.keep and passing)
            widget.setEnabled(can and idle)
            widget.setToolTip(tip if can else NOTHING)

    def _say_whether(self) -> None:
        """Switch off what a model of finer maps cannot learn, and say why."""
        model = self.session.model
        finer = model.card.finer if model is not None else 1
        self.cannot.setText(FINER.format(finer))
        self.cannot.setVisible(finer > 1)
        for widget in (self.region, self.scope, self.seconds):
            widget.setEnabled(finer == 1)
        if finer > 1:
            self.start.setEnabled(False)
            self.start.setToolTip(self.cannot.text())

    # --- learning --------------------------------------------------------------------------------------------------

    def start_learning(self) -> None:
        """Fine-tune a copy of the model in the region, map the region and the scene again, and compare."""
        session, labels = self.session, self.region.corrected_labels()
        if session.cube is None or session.model is None or labels is None:
            return
        region_YX = self.region.mask(session.cube.grid)
        self._count += 1
        job = fine_tune(
            Scene(session.cube, labels), session.model.folder, region_YX,
            self.dock.folder / f"finetuning_{self._count}" / f"fine-tuned {self._count}",
            scope=SCOPES[self.scope.currentText()], seconds=float(self.seconds.value()),
            before=map_of_the_model(session), tile_px=preferences().tile_px, device=self.dock.device,
        )  # fmt: skip
        self.curve.clear()
        self.curve.show()
        self.region.put_down()
        heard = partial(self._heard, region_YX)
        self.dock.run(job, "Fine-tuning", self._fine_tuned, on_event=heard, can_finish=True)

    def _heard(self, region_YX: NDArray[np.bool_], event: Event) -> None:
        if isinstance(event, Measure):
            for name, label in CURVES.items():
                if name in event.values:
                    self.curve.add(label, event.step, event.values[name])
        elif isinstance(event, Preview) and event.name == "region" and self.session.model and self.session.cube:
            legend, grid = self.session.model.card.legend, self.session.cube.grid
            self.dock.add(look_layer(event.array, window_of(region_YX), grid, legend, self.session.origin))

    def _fine_tuned(self, step: Step) -> None:
        found, session = step.found, self.session
        if session.cube is None:
            return
        require_same(session.cube.grid, found.after.grid, "The open images and the fine-tuned map")
        if self._layer_of(found.before) is None:
            self.dock.add(prediction_layer(found.before, session.origin))
        self.steps.append(step)
        self._open_model(found.model)
        self.dock.add(prediction_layer(found.after, session.origin))
        for painted in filter(is_corrected, self.dock.viewer.layers):
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

        if self.session.model is None:
            return
        if Path(folder).exists():
            raise OutputError(f"{folder} exists already. Choose another name.")
        kept = copy_model(self.session.model.folder, folder)
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

    def _model_changed(self, model: Any) -> None:
        if not self._own:
            self._forget()

    def _cube_changed(self, cube: Any) -> None:
        self._forget()
        self._drop(LOOK)

    def _forget(self) -> None:
        """Nothing can be undone any more: another model or scene is open."""
        self.steps.clear()
        self._tell()
        self.refresh()

    def _drop(self, name: str) -> None:
        layer = named_layer(self.dock.viewer, name)
        if layer is not None:
            self.dock.viewer.layers.remove(layer)
