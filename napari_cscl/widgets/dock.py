"""The CSCL panel: composes the others, owns the session and the job runner, and stops both when it goes."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Generator
from typing import TYPE_CHECKING, Any

from napari.utils.notifications import show_error, show_info, show_warning
from qtpy.QtCore import QEvent, QTimer
from qtpy.QtWidgets import QVBoxLayout, QWidget

from cscl.errors import CSCLError
from cscl.events import Event, Note
from napari_cscl.bridge import LayerData, prepare_colours
from napari_cscl.runner import JobRunner
from napari_cscl.session import Session
from napari_cscl.settings import preferences, scratch_folder

from .affinity import AffinityPanel
from .boundary import BoundaryPanel
from .data import DataPanel
from .filler import Filler
from .finetune import FinetunePanel
from .help import HelpPanel
from .jobbar import JobBar
from .keeper import Keeper
from .keys import Keys
from .layerlist import LayerList
from .map import MapPanel
from .model import ModelPanel
from .pages import Pages
from .panel import Panel
from .pointer import Pointer
from .profiles import ProfilesPanel
from .train import TrainPanel

if TYPE_CHECKING:
    from napari.viewer import Viewer

__all__ = ["CSCLDock"]

MIN_WIDTH_PX = 340


class CSCLDock(QWidget):
    """Dock widget of the plugin; napari makes one for each viewer.

    Parameters
    ----------
    napari_viewer : napari.viewer.Viewer
        The viewer that it serves.
    """

    def __init__(self, napari_viewer: Viewer) -> None:
        super().__init__()
        # napari hands plugins a proxy, whose layers are new objects each time: no layer would be found in the list.
        self.viewer = getattr(napari_viewer, "__wrapped__", napari_viewer)
        self.session = Session()
        self.runner = JobRunner(self)
        self.folder = scratch_folder()
        self._name, self._scene = "", self.session.cube
        self._then: Callable[[Any], None] = lambda result: None
        self._on_event: Callable[[Event], None] | None = None
        self._open = True
        self._build()
        self._connect()
        # A window that closes as a whole destroys its docks without a word; Qt drops methods of the dying dock itself.
        self.destroyed.connect(lambda: self.shut())
        self.layers = LayerList(self)
        self._refresh()
        self.keeper.begin()
        QTimer.singleShot(0, prepare_colours)

    # --- making ----------------------------------------------------------------------------------------------------

    def _build(self) -> None:
        self.data, self.profiles = DataPanel(self), ProfilesPanel(self)
        self.model, self.train = ModelPanel(self), TrainPanel(self)
        self.affinity, self.map = AffinityPanel(self), MapPanel(self)
        self.boundary, self.finetune, self.help = BoundaryPanel(self), FinetunePanel(self), HelpPanel(self)
        self.panels: tuple[Panel, ...] = (
            self.data, self.profiles, self.model, self.train, self.affinity, self.map, self.boundary, self.finetune,
            self.help,
        )  # fmt: skip
        self.pages = Pages(self.panels)
        self.jobbar = JobBar()
        self.keeper = Keeper(self)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(4, 4, 4, 4)
        layout.addWidget(self.keeper.offer)
        layout.addWidget(self.pages, 1)
        layout.addWidget(self.keeper.removed)
        layout.addWidget(self.jobbar)
        self.setMinimumWidth(MIN_WIDTH_PX)

    def _connect(self) -> None:
        self.jobbar.cancel.clicked.connect(self.cancel)
        self.jobbar.keep.clicked.connect(self.finish)
        self.runner.reported.connect(self._report)
        self.runner.done.connect(self._done)
        self.runner.failed.connect(self.complain)
        self.runner.cancelled.connect(self._stopped)
        self.runner.finished.connect(self._idle)
        self.viewer.dims.events.current_step.connect(self._show_date)
        session = self.session
        session.cube_changed.connect(self._cube_changed)
        for signal in (session.cube_changed, session.labels_changed, session.model_changed, session.prediction_changed):
            signal.connect(self._refresh)
        self.filler = Filler(self.viewer, self)
        self.pointer = Pointer(self.viewer, session, lambda: self.pages.current.grid, self._picked, self._hovered)
        self.keys = Keys(self)
        self.help.list_keys(self.keys.shortcuts)

    # --- what panels ask for ---------------------------------------------------------------------------------------

    @property
    def device(self) -> str:
        """Where jobs compute, as the user's preferences say now: ``auto``, ``cpu``, ``cuda`` or ``mps``."""
        return preferences().device

    def run(
        self,
        job: Generator[Event, None, Any],
        name: str,
        then: Callable[[Any], None],
        *,
        on_event: Callable[[Event], None] | None = None,
        can_finish: bool = False,
    ) -> bool:
        """Start a job beside the window.

        Parameters
        ----------
        job : Job
            Generator of events.
        name : str
            What it does, for the status line, e.g. "Training".
        then : callable
            Gets the result in the window's thread; not called if the job fails or is cancelled.
        on_event : callable, optional
            Gets the events that are passed on, in the window's thread.
        can_finish : bool
            Whether the job, when `Finish` is thrown into it, returns what it has so far.

        Returns
        -------
        bool
            False if another job is running; this one is closed then.
        """
        if not self.runner.start(job, name, preferences().threads):
            self.say("Another job is running. Wait for it or cancel it.")
            return False
        self._name, self._then, self._on_event, self._scene = name, then, on_event, self.session.cube
        self.say(f"{name} ...")
        self.jobbar.begin(can_finish)
        self._refresh()
        return True

    def cancel(self) -> None:
        """Stop the running job at its next event; nothing is changed."""
        if self.runner.busy:
            self.jobbar.stopping()
            self.runner.cancel()

    def finish(self) -> None:
        """End the running job at its next event, with what it has so far."""
        if self.runner.busy:
            self.jobbar.stopping()
            self.runner.finish()

    def act(self, deed: Callable[[], None]) -> None:
        """Do something that may meet a user's mistake; a mistake becomes a message."""
        try:
            deed()
        except (CSCLError, OSError) as error:
            self.complain(error)

    def add(self, layer: LayerData) -> Any:
        """Show a layer, in the place of a former one of the same name; the active layer stays the active one."""
        return self.layers.add(layer)

    def say(self, text: str) -> None:
        """Show a sentence in the status line."""
        self.jobbar.status.setText(text)

    def inform(self, text: str) -> None:
        """Tell of something done, also as a notification."""
        self.say(text)
        show_info(text)

    def complain(self, error: BaseException) -> None:
        """Tell of an error: a user's mistake as its sentence, anything else with its kind."""
        text = str(error) if isinstance(error, CSCLError | OSError) else f"{type(error).__name__}: {error}"
        self.say(text)
        show_error(text)

    # --- jobs ------------------------------------------------------------------------------------------------------

    def _report(self, event: Event) -> None:
        self.jobbar.report(event)
        if isinstance(event, Note):
            (show_warning if event.warning else self.say)(event.text)
        if self._on_event is not None:
            self._on_event(event)

    def _done(self, result: Any) -> None:
        if self.session.cube is not self._scene:  # it ended just before it heard that it should
            self._stopped()
            return
        self.say(f"{self._name}: done.")
        self.act(lambda: self._then(result))

    def _stopped(self) -> None:
        if self.session.cube is self._scene:
            self.say("Cancelled: nothing was changed.")
        else:
            self.say(f"{self._name} was stopped, as its images were closed. {self.what_next()}")

    def _idle(self) -> None:
        self.jobbar.idle()
        self._refresh()

    def _cube_changed(self, cube: Any) -> None:
        """Results of a job belong to the images that it began with."""
        self.cancel()
        self._show_date()
        if cube is not None:
            self.say(f"{cube.name} is open. {self.what_next()}")

    def _refresh(self, *_: Any) -> None:
        for panel in self.panels:
            panel.refresh()

    # --- the viewer ------------------------------------------------------------------------------------------------

    def _picked(self, row: int, col: int, modifiers: frozenset[str]) -> None:
        if self.isVisible():
            self.act(lambda: self.pages.current.picked(row, col, modifiers))

    def _hovered(self, row: int, col: int, modifiers: frozenset[str]) -> None:
        if self.isVisible():
            self.act(lambda: self.pages.current.hovered(row, col, modifiers))

    def what_next(self) -> str:
        """Say what the user may want to do now."""
        if self.session.cube is None:
            return "Open images to begin."
        if self.session.model is not None:
            return "Predict its crops in the Map panel, or train another model."
        return (
            "Add parcels or labels, or a model." if self.session.labels is None else "Now open a model, or train one."
        )

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
        if not self._open:
            return
        self._open = False
        self.runner.close()
        self.filler.shut()
        self.layers.shut()
        self.keeper.shut()
        self.pointer.shut()
        self.keys.shut()
        for panel in self.panels:
            panel.shut()
        self.viewer.dims.events.current_step.disconnect(self._show_date)
        shutil.rmtree(self.folder, ignore_errors=True)
