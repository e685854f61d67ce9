"""Model panel: pick a model folder, or train one on the open parcels."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from qtpy.QtWidgets import (
    QCheckBox,
    QFileDialog,
    QFormLayout,
    QLabel,
    QPushButton,
    QSizePolicy,
    QSpinBox,
    QVBoxLayout,
)

from cscl.data.describe import describe_model
from cscl.products import Scene
from cscl.recipe import Recipe

from .panel import Panel

if TYPE_CHECKING:
    from .dock import CSCLDock

__all__ = ["ModelPanel"]


class ModelPanel(Panel):
    """The model in use, and training."""

    title = "Model"
    purpose = "Open a model and read its card"

    def __init__(self, dock: CSCLDock) -> None:
        super().__init__(dock)
        self.open = QPushButton("Open a model ...")
        self.card = QLabel("No model is open.")
        self.card.setWordWrap(True)
        self.card.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Preferred)  # long lines wrap
        self.first = QCheckBox("Pre-train on the outlines first")
        self.first.setToolTip("CSCL by parcel: needs no crop labels, and costs as much time as the steps say")
        self.steps = QSpinBox()
        self.steps.setRange(1, 100000)
        self.steps.setValue(Recipe().train.steps)
        self.train = QPushButton("Train on the open parcels ...")
        form = QFormLayout()
        form.addRow("Steps", self.steps)
        layout = QVBoxLayout(self)
        for widget in (self.open, self.card, self.first):
            layout.addWidget(widget)
        layout.addLayout(form)
        layout.addWidget(self.train)
        layout.addStretch()
        self.open.clicked.connect(self._choose)
        self.train.clicked.connect(self._choose_place)
        self.needs = {self.open: (), self.train: ("cube", "labels")}
        dock.session.model_changed.connect(self._model_changed)

    def train_into(self, folder: str | Path, settings: tuple[str, ...] = ()) -> None:
        """Train on the scene and its labels, and use the model then."""
        session = self.dock.session
        lacking = session.lacks("cube", "labels")
        if lacking or session.cube is None or session.labels is None:
            self.dock.say(lacking)
            return
        recipe = Recipe().with_settings([f"train.steps={self.steps.value()}", *settings])
        job = _train(Scene(session.cube, session.labels), Path(folder), recipe, self.first.isChecked())
        self.dock.run(job, "Training", lambda model: session.open_model(model))

    def _model_changed(self, model: Any) -> None:
        self.card.setText("\n".join(describe_model(model.card)))

    def _choose(self) -> None:
        path = QFileDialog.getExistingDirectory(self, "Model folder")
        if path:
            self.dock.act(lambda: self.dock.session.open_model(path))

    def _choose_place(self) -> None:
        path, _ = QFileDialog.getSaveFileName(self, "Model folder to make")
        if path:
            self.dock.act(lambda: self.train_into(path))


def _train(scene: Scene, folder: Path, recipe: Recipe, first: bool) -> Any:
    from cscl.training.pretrain import pretrain
    from cscl.training.segment import train

    start = None
    if first:
        start = yield from pretrain([scene], folder.with_name(f"{folder.name}-pretrained"), recipe)
    return (yield from train([scene], folder, recipe, start=start))
