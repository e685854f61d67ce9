"""Train panel: a form made from the recipe, what the run takes, live curves, and the run as text to copy."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Mapping
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any

from qtpy.QtCore import QTimer
from qtpy.QtWidgets import (
    QApplication,
    QCheckBox,
    QComboBox,
    QFileDialog,
    QLineEdit,
    QPushButton,
    QVBoxLayout,
    QWidget,
)

from cscl.card import ModelCard
from cscl.data.commands import Run, command_of, python_of
from cscl.errors import CSCLError, InputError, MemoryLimitError, OutputError
from cscl.events import Event, Measure, Note, run
from cscl.products import Scene
from cscl.recipe import Recipe
from napari_cscl.forms import Form
from napari_cscl.runner import JobRunner
from napari_cscl.settings import recall, remember
from napari_cscl.training import estimate, free_name, is_unfinished, list_choices, make, repeatable, run_of

from .panel import Panel
from .parts import form, row, words
from .plot import LiveLine

if TYPE_CHECKING:
    from .dock import CSCLDock

__all__ = ["TrainPanel"]

STAGES = {
    "Pre-train, then train": (True, True),
    "Train on the crops only": (False, True),
    "Pre-train only": (True, False),
}
TITLES = {
    **{"model": "Network", "data": "Samples", "pretrain": "Pre-training", "train": "Training"},
    **{"pretrain.loss": "Pre-training scheme", "train.loss": "Segmentation loss", "": "Run", "num_features": "Width"},
    **dict.fromkeys(("pretrain.ema", "train.ema"), "Averaging"),
    **dict.fromkeys(("pretrain.clip", "train.clip"), "Gradient limit"),
    "unlabelled": "Parcels without a crop",
    "data.finer": "Maps, times finer",
    "aggregate": "Attention to neighbours",
}
CURVES = {"loss": "loss", "similarity_gap": "similarity gap", "overall accuracy": "validation accuracy"}
SETTLE_MS = 500


class TrainPanel(Panel):
    """Make a model from the open images and labels."""

    title = "Train"
    purpose = "Make a model from the open images and labels"

    def __init__(self, dock: CSCLDock) -> None:
        super().__init__(dock)
        self.form: Form[Recipe] | None = None
        self._estimator = JobRunner(self)
        self._unfinished, self._mine = False, False
        self._hint, self._stage = "", ""
        self._settled = QTimer(self, singleShot=True, interval=SETTLE_MS)
        self._build()
        self._connect()
        self.out.setText(str(free_name(Path(recall("models", str(Path.home()))) / "cscl-model")))
        self.needs = {self.start: ("cube", "labels"), self.from_model: ("model",)}
        self._stage_changed()

    # --- making ----------------------------------------------------------------------------------------------------

    def _build(self) -> None:
        self.stages = QComboBox()
        self.stages.addItems(list(STAGES))
        self.stages.setToolTip("Outlines teach where parcels end without any crop; crops teach the classes")
        self.from_model = QCheckBox("Start from the open model")
        self.from_model.setToolTip("Keep its network and go on with it; its bands and its split are kept, too")
        self.waiting = words("The settings appear in a moment.")
        self.out = QLineEdit()
        self.out.setToolTip("Folder of the model that is made")
        self.browse = QPushButton("Browse ...")
        self.browse.setToolTip("Choose where the model folder is made")
        self.resume = QCheckBox("Go on with the unfinished run there")
        self.resume.setToolTip("Off: what it has learnt so far is dropped, and the run begins anew")
        self.resume.hide()
        self.said = words()
        self.start = QPushButton("Start")
        self.start.setToolTip("Make the model, and use it then")
        self.curves = LiveLine()
        self.curves.hide()
        self.notes = words(selectable=True)
        self.notes.hide()
        self.command, self.python = QPushButton("Copy as command line"), QPushButton("Copy as Python")
        self.command.setToolTip("Copy lines for a terminal that do the same run")
        self.python.setToolTip("Copy a script that does the same run")
        layout = QVBoxLayout(self)
        for widget in (
            form(("Stages", self.stages)), self.from_model, self.waiting,
            form(("Model folder", row(self.out, self.browse, wide=(self.out,)))), self.resume, self.said, self.start,
            self.curves, self.notes, row(self.command, self.python, wide=(self.python,)),
        ):  # fmt: skip
            layout.addWidget(widget)
        layout.addStretch()

    def _connect(self) -> None:
        self.stages.currentTextChanged.connect(self._stage_changed)
        self.from_model.toggled.connect(self._stage_changed)
        self.out.textChanged.connect(self._changed)
        self.browse.clicked.connect(self._choose_place)
        self.start.clicked.connect(lambda: self.dock.act(self._start))
        self.command.clicked.connect(lambda: self.dock.act(lambda: self._copy(command_of, "command line")))
        self.python.clicked.connect(lambda: self.dock.act(lambda: self._copy(python_of, "Python script")))
        self._settled.timeout.connect(self._estimate)
        self._estimator.done.connect(self._estimated)
        self._estimator.failed.connect(self._cannot)
        self.dock.runner.failed.connect(self._failed)
        self.dock.runner.finished.connect(self._changed)
        for signal in (self.session.cube_changed, self.session.labels_changed):
            signal.connect(self._changed)
        self.session.model_changed.connect(self._stage_changed)

    def shown(self) -> None:
        """Build the form when it is first looked at: what it lists comes with torch, which takes a second."""
        if self.form is None and not self._estimator.busy:
            self._estimator.start(list_choices(), "Listing", None)
        else:
            self._changed()

    def refresh(self) -> None:
        """Enable what can be done now."""
        super().refresh()
        for button in (self.command, self.python):  # while a job runs, too
            button.setEnabled(not self.session.lacks("cube", "labels"))
        if self.form is not None:
            self.form.setEnabled(not self.dock.runner.busy)

    def shut(self) -> None:
        """Estimate nothing any more."""
        self._settled.stop()
        self._estimator.close()

    # --- settings --------------------------------------------------------------------------------------------------

    def _listed(self, options: Any) -> None:
        """Build the form in the place of the words that wait for it."""
        self.form = Form(Recipe(), options, TITLES)
        self.form.changed.connect(self._changed)
        self.layout().replaceWidget(self.waiting, self.form)
        self.waiting.hide()
        for before, after in pairwise([self.from_model, *self.form.stops, self.out]):
            QWidget.setTabOrder(before, after)
        self.refresh()
        self._stage_changed()

    def _stage_changed(self, *_: Any) -> None:
        pretraining, training = STAGES[self.stages.currentText()]
        self.from_model.setVisible(training and not pretraining)
        if self.form is not None:
            start = self.session.model.card if self._start_from() is not None and self.session.model else None
            hidden = {
                "pretrain": not pretraining, **dict.fromkeys(("train", "unlabelled"), not training),
                "model": start is not None, "data.finer": start is not None and start.finer > 1,
            }  # fmt: skip
            self.form.hide_parts(place for place, out_of_use in hidden.items() if out_of_use)
        self._changed()

    def _start_from(self) -> Path | None:
        pretraining, training = STAGES[self.stages.currentText()]
        wanted = training and not pretraining and self.from_model.isChecked()
        return self.session.model.folder if wanted and self.session.model is not None else None

    def run_meant(self) -> Run:
        """Return the run that the panel describes.

        Raises
        ------
        InputError
            If a setting is none, or no folder is named.
        """
        text = self.out.text().strip()
        if not text:
            raise InputError("Name a folder for the model, e.g. with Browse.")
        recipe = self.form.get() if self.form is not None else Recipe()
        stages = STAGES[self.stages.currentText()]
        return run_of(self.session, Path(text).expanduser(), recipe, stages, self._start_from(), self.dock.device)

    def _changed(self, *_: Any) -> None:
        self._settled.start()
        unfinished = self.form is not None and any(map(is_unfinished, self._folders()))
        if unfinished != self._unfinished:
            self._unfinished = unfinished
            self.resume.setVisible(unfinished)
            self.resume.setChecked(unfinished)

    def _folders(self) -> list[Path]:
        """Folders that the run makes."""
        with contextlib.suppress(CSCLError):
            meant = self.run_meant()
            wanted = {meant.pretrained: meant.pretraining, meant.out: True}
            return [folder for folder, made in wanted.items() if made]
        return []

    def _estimate(self) -> None:
        """Say what the run takes, a moment after the last change."""
        session = self.session
        if self.form is None or session.cube is None or session.labels is None or not self.isVisible():
            return
        if self._estimator.busy:
            self._settled.start()
        elif not self.dock.runner.busy:
            try:
                job = estimate(Scene(session.cube, session.labels), session.parcels, self.run_meant())
            except CSCLError as error:
                self._cannot(error)
            else:
                self._estimator.start(job, "Estimating", None)

    def _estimated(self, result: Any) -> None:
        if isinstance(result, Mapping):
            self._listed(result)
        else:
            room = "" if result.fits else " <b>That is more than there is:</b> use a smaller batch, or make room."
            self.said.setText(f"{self._hint}{result}{room}")

    def _cannot(self, error: BaseException) -> None:
        self.said.setText(str(error))

    def _choose_place(self) -> None:
        path, _ = QFileDialog.getSaveFileName(self, "Model folder to make", self.out.text())
        if path:
            self.out.setText(path)

    # --- the run ---------------------------------------------------------------------------------------------------

    def train_into(
        self, folder: str | Path, recipe: Recipe | None = None, stages: tuple[bool, bool] | None = None
    ) -> None:
        """Set folder, settings and stages (pre-training, training), and start."""
        if self.form is None:
            self._listed(run(list_choices()))
        assert self.form is not None
        self.out.setText(str(folder))
        if stages is not None:
            self.stages.setCurrentText(next(name for name, meant in STAGES.items() if meant == stages))
        if recipe is not None:
            self.form.set(recipe)
        self._changed()
        self.dock.act(self._start)

    def _start(self) -> None:
        session, meant, resume = self.session, self.run_meant(), self.resume.isChecked() and self._unfinished
        if session.cube is None or session.labels is None:
            self.dock.say(session.lacks("cube", "labels"))
            return
        there = [folder for folder in self._folders() if folder.exists()]
        if there and not (resume and meant.out not in there):
            raise OutputError(f"{there[0]} exists already. Choose another model folder.")
        self._settled.stop()
        self._estimator.close()
        self.curves.clear()
        self.curves.show()
        self.notes.clear()
        self.notes.hide()
        self._hint, self._stage = "", ""
        job = make(replace(meant, overwrite=True), Scene(session.cube, session.labels), session.parcels, resume)
        self._mine = self.dock.run(job, "Training", self._made, on_event=self._follow, can_finish=True)

    def _follow(self, event: Event) -> None:
        """Draw the figures of the run, and keep what it says; another stage begins other curves."""
        if isinstance(event, Note):
            self.notes.setText("\n".join(filter(None, [self.notes.text(), event.text])))
            self.notes.show()
        if isinstance(event, Measure):
            stage = event.stage.removesuffix(" validation")
            if stage != self._stage:
                self.curves.clear()
            self._stage = stage
            for name, label in CURVES.items():
                if name in event.values:
                    self.curves.add(label, event.step, event.values[name])

    def _made(self, folder: Path) -> None:
        self.session.open_model(folder)
        card = ModelCard.open(folder)
        accuracy = card.accuracy.get("validation_overall accuracy")
        told = "" if accuracy is None else f", with an accuracy of {accuracy:.0%} on the validation blocks"
        self.dock.inform(f"'{card.name}' is made in {card.steps} steps{told}, and is the open model now.")
        remember(models=str(Path(self.out.text()).parent))
        self.out.setText(str(free_name(Path(self.out.text()))))

    def _failed(self, error: BaseException) -> None:
        """Set the batch to what the memory holds, if that is what the run failed of."""
        mine, self._mine = self._mine, False
        if mine and isinstance(error, MemoryLimitError) and error.batch and self.form is not None:
            self.form.widget(error.setting).value = error.batch
            self._hint = f"The memory did not hold the batch: it is set to {error.batch} now, press Start again. "
            self.said.setText(self._hint)
            self.resume.setChecked(False)

    def _copy(self, say: Callable[[Run], str], what: str) -> None:
        meant, remark = repeatable(self.session, self.run_meant())
        QApplication.clipboard().setText(say(meant))
        self.dock.say(f"Copied as {what}.{remark}")
