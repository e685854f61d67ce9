"""The CSCL panel: composes the others, owns the session and the job runner, and stops both when it goes."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Callable, Generator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from napari.utils.notifications import show_error, show_info, show_warning
from qtpy.QtCore import QEvent
from qtpy.QtWidgets import QLabel, QProgressBar, QPushButton, QTabWidget, QVBoxLayout, QWidget

from cscl.errors import CSCLError
from cscl.events import Event, Measure, Note, Progress
from napari_cscl.bridge import KEY, LayerData, replace_layer
from napari_cscl.runner import JobRunner
from napari_cscl.session import Session

from .affinity import AffinityPanel
from .data import DataPanel
from .map import MapPanel
from .model import ModelPanel

if TYPE_CHECKING:
    from napari.viewer import Viewer

__all__ = ["CSCLDock"]


class CSCLDock(QWidget):
    """Dock widget of the plugin; napari makes one for each viewer.

    Parameters
    ----------
    napari_viewer : napari.viewer.Viewer
        The viewer that it serves.
    """

    def __init__(self, napari_viewer: Viewer) -> None:
        super().__init__()
        self.viewer = napari_viewer
        self.session = Session()
        self.runner = JobRunner(self)
        self.folder = Path(tempfile.mkdtemp(prefix="cscl-"))
        self._then: Callable[[Any], None] = lambda result: None
        self._build()
        self._connect()
        for layer in self.viewer.layers:
            self._adopt(layer)

    # --- making ----------------------------------------------------------------------------------------------------

    def _build(self) -> None:
        self.data, self.model = DataPanel(self), ModelPanel(self)
        self.affinity, self.map = AffinityPanel(self), MapPanel(self)
        self.panels = {"Data": self.data, "Model": self.model, "Affinity": self.affinity, "Map": self.map}
        self.tabs = QTabWidget()
        for name, panel in self.panels.items():
            self.tabs.addTab(panel, name)
        self.status = QLabel("Open images to begin, or File > Open Sample > CSCL.")
        self.status.setWordWrap(True)
        self.progress = QProgressBar()
        self.progress.hide()
        self.cancel = QPushButton("Cancel")
        self.cancel.setToolTip("Stop the running job; nothing half-made is kept")
        self.cancel.hide()
        layout = QVBoxLayout(self)
        for widget in (self.tabs, self.status, self.progress, self.cancel):
            layout.addWidget(widget)
        self.setMinimumWidth(300)

    def _connect(self) -> None:
        self.cancel.clicked.connect(self.runner.cancel)
        self.runner.reported.connect(self._report)
        self.runner.done.connect(self._done)
        self.runner.failed.connect(self.complain)
        self.runner.cancelled.connect(lambda: self.say("Cancelled: nothing was changed."))
        self.runner.finished.connect(self._idle)
        self.viewer.layers.events.inserted.connect(self._inserted)
        self.viewer.dims.events.current_step.connect(self._show_date)
        self.session.cube_changed.connect(self._show_date)

    # --- what panels ask for ---------------------------------------------------------------------------------------

    def run(self, job: Generator[Event, None, Any], name: str, then: Callable[[Any], None]) -> None:
        """Start a job; `then` gets its result in the window's thread."""
        if not self.runner.start(job, name):
            self.say("Another job is running. Wait for it or cancel it.")
            return
        self._then = then
        self.say(f"{name} ...")
        self.progress.setRange(0, 0)
        self.progress.show()
        self.cancel.show()
        self._enable(False)

    def act(self, deed: Callable[[], None]) -> None:
        """Do something that may meet a user's mistake; a mistake becomes a message."""
        try:
            deed()
        except (CSCLError, OSError) as error:
            self.complain(error)

    def add(self, layer: LayerData) -> Any:
        """Show a layer, in the place of a former one of the same name; the active layer stays the active one."""
        active = self.viewer.layers.selection.active
        added = replace_layer(self.viewer, layer)
        if active is not None and active in self.viewer.layers:
            self.viewer.layers.selection.active = active
        return added

    def say(self, text: str) -> None:
        """Show a sentence in the status line."""
        self.status.setText(text)

    def complain(self, error: BaseException) -> None:
        """Tell of an error: a user's mistake as its sentence, anything else with its kind."""
        text = str(error) if isinstance(error, CSCLError | OSError) else f"{type(error).__name__}: {error}"
        self.say(text)
        show_error(text)

    # --- jobs ------------------------------------------------------------------------------------------------------

    def _report(self, event: Event) -> None:
        if isinstance(event, Progress):
            self.progress.setRange(0, event.total)
            self.progress.setValue(event.done)
            self.progress.setFormat(f"{event.stage}  %v / %m")
        elif isinstance(event, Measure):
            values = "  ".join(f"{k} {v:.3g}" for k, v in event.values.items() if k in ("loss", "accuracy", "mean IoU"))
            self.say(f"{event.stage}, step {event.step}: {values}")
        elif isinstance(event, Note):
            (show_warning if event.warning else self.say)(event.text)

    def _done(self, result: Any) -> None:
        self.say("Done.")
        self.act(lambda: self._then(result))

    def _idle(self) -> None:
        self.progress.hide()
        self.cancel.hide()
        self._enable(True)

    def _enable(self, on: bool) -> None:
        for panel in self.panels.values():
            panel.setEnabled(on)

    # --- the viewer ------------------------------------------------------------------------------------------------

    def _inserted(self, event: Any) -> None:
        self._adopt(event.value)

    def _adopt(self, layer: Any) -> None:
        """Take up what a layer of ours holds, however it came into the viewer."""
        held = layer.metadata.get(KEY, {})
        if "cube" in held:
            self.act(lambda: self.session.open_cube(held["cube"]))
            self.viewer.canvas.overlays.scale_bar.visible = True
            self.say(f"{held['cube'].name} is open. Add parcels or labels, and a model.")
        if "labels" in held and held["labels"] is not self.session.labels:
            self.act(lambda: self.session.open_labels(held["labels"], held.get("parcels")))
        if "prediction" in held and held["prediction"] is not self.session.prediction:
            self.act(lambda: self.session.open_prediction(held["prediction"]))

    def _show_date(self, event: Any = None) -> None:
        text = self.viewer.canvas.overlays.text
        cube = self.session.cube
        if cube is None or self.viewer.dims.ndim < 3:
            text.visible = False
            return
        time = min(self.viewer.dims.current_step[-3], len(cube.dates) - 1)
        text.text = str(cube.dates[time].astype("datetime64[D]"))
        text.visible = True

    # --- the end ---------------------------------------------------------------------------------------------------

    def event(self, event: QEvent) -> bool:
        """Clean up when the dock is taken out of its window: napari only re-parents it then."""
        if event.type() == QEvent.Type.ParentChange and self.parent() is None:
            self.shut()
        return super().event(event)

    def closeEvent(self, event: Any) -> None:
        """Clean up when the widget closes."""
        self.shut()
        super().closeEvent(event)

    def shut(self) -> None:
        """Stop the job, leave the viewer's events, and remove what was made in passing."""
        self.runner.close()
        self.affinity.shut()
        self.viewer.layers.events.inserted.disconnect(self._inserted)
        self.viewer.dims.events.current_step.disconnect(self._show_date)
        shutil.rmtree(self.folder, ignore_errors=True)

    def inform(self, text: str) -> None:
        """Tell of something done, also as a notification."""
        self.say(text)
        show_info(text)
