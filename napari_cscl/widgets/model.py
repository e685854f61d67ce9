"""Model panel: pick a model, read its card, and learn whether it suits the open images."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING, Any

from qtpy.QtWidgets import QFileDialog, QPushButton, QVBoxLayout

from cscl.data.describe import model_facts
from cscl.data.sample import sample_model
from cscl.data.suits import drift, misfits
from cscl.legend import Legend
from napari_cscl.runner import JobRunner
from napari_cscl.settings import recall, remember

from .panel import Panel
from .parts import described, row, words

if TYPE_CHECKING:
    from .dock import CSCLDock

__all__ = ["ModelPanel"]


class ModelPanel(Panel):
    """The model in use."""

    title = "Model"
    purpose = "Open a model and read its card"

    def __init__(self, dock: CSCLDock) -> None:
        super().__init__(dock)
        self.open = QPushButton("Open a model ...")
        self.open.setToolTip("A folder that training made, with a card.json in it")
        self.sample = QPushButton("Use the sample model")
        self.sample.setToolTip("A small model that comes with the plugin; it knows the simulated sample season")
        self.warnings, self.card, self.classes = (words(selectable=True) for _ in range(3))
        self._watcher = JobRunner(self)
        self._again = False
        layout = QVBoxLayout(self)
        for widget in (row(self.open, self.sample, wide=(self.open,)), self.warnings, self.card, self.classes):
            layout.addWidget(widget)
        layout.addStretch()
        self.open.clicked.connect(self._choose)
        self.sample.clicked.connect(lambda: dock.act(lambda: self.session.open_model(sample_model())))
        self.needs = {self.open: (), self.sample: ()}
        self._watcher.done.connect(self._warn)
        self._watcher.finished.connect(self._look_again)
        self.session.model_changed.connect(self._model_changed)
        self.session.cube_changed.connect(self._look)
        self._model_changed(None)

    def shut(self) -> None:
        """Compare nothing any more."""
        self._watcher.close()

    def _model_changed(self, model: Any) -> None:
        if model is None:
            self.card.setText("No model is open. Open one, use the sample model, or make one in the Train panel.")
            return
        self.card.setText(described(model.card.name, model_facts(model.card)))
        self.card.setToolTip(str(model.folder))
        self.classes.setText(_colours(model.card.legend))
        self._look()

    # --- does it suit the images? ----------------------------------------------------------------------------------

    def _look(self, *_: Any) -> None:
        """Say at once what does not suit, then look at the pixels beside the window."""
        cube, model = self.session.cube, self.session.model
        found = misfits(cube, model.card) if cube is not None and model is not None else []
        self._warn(found)
        if cube is None or model is None:
            return
        if self._watcher.busy:
            self._again = True
            self._watcher.cancel()
        else:
            self._watcher.start(_all_misfits(cube, model.card, found), "Comparing", None)

    def _look_again(self) -> None:
        if self._again:
            self._again = False
            self._look()

    def _warn(self, found: Sequence[str]) -> None:
        if self._again:
            return  # the answer is about images or a model that are not open any more
        self.warnings.setText("".join(f"<p><b>⚠</b> {escape(sentence)}</p>" for sentence in found))
        self.warnings.setVisible(bool(found))

    def _choose(self) -> None:
        path = QFileDialog.getExistingDirectory(self, "Model folder", recall("models", ""))
        if path:
            remember(models=str(Path(path).parent))
            self.dock.act(lambda: self.session.open_model(path))


def _all_misfits(cube: Any, card: Any, known: list[str]) -> Any:
    return [*known, *(yield from drift(cube, card))]


def _colours(legend: Legend) -> str:
    """Classes with a square in their colour."""
    squares = [
        f"<font color='{c.colour}'>■</font>&nbsp;{escape(c.name).replace(' ', '&nbsp;')}" for c in legend.classes
    ]
    return " &nbsp; ".join(squares)
