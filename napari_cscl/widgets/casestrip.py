"""The strip of pictures of a case: the season, truth, map, errors and edges, read beside the window."""

from __future__ import annotations

import math
import time
from contextlib import suppress
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
from qtpy.QtCore import QSize, Qt, QTimer
from qtpy.QtWidgets import QDialog, QPushButton, QVBoxLayout, QWidget

from cscl.events import Event, Job, Preview
from cscl.grid import pixel_size_m
from napari_cscl.bridge import role_of
from napari_cscl.cases import DATES, Case, Picture, dates_to_try, map_pictures, season_image, season_pictures
from napari_cscl.runner import JobRunner

from .parts import row, small
from .picturegrid import PictureGrid

if TYPE_CHECKING:
    from cscl.inference.explore import ErrorAtlas

    from .dock import CSCLDock

__all__ = ["CaseStrip"]

Read: TypeAlias = tuple[tuple[Picture, ...], float]
AT_ONCE_S = 0.05  # what the window may wait for
PAUSE_MS = 30  # the map goes first; of cases that are stepped over quickly only the last is read
SMALL_PX, LARGE_PX, LARGE_WIDTH_PX = 84, 320, 950


class CaseStrip(QWidget):
    """Pictures of the case that is selected; a click on a date shows it, a double click enlarges them all.

    Pictures of the maps are there at once. The season is read in a thread of its own, so that the window never waits
    and a job that runs goes on; what was read for a case that is no longer selected is dropped.

    Parameters
    ----------
    dock : CSCLDock
        Whose scene it shows.
    """

    def __init__(self, dock: CSCLDock) -> None:
        super().__init__()
        self.dock = dock
        self.case: Case | None = None
        self.atlas: ErrorAtlas | None = None
        self.season: list[Picture] = []
        self.maps: tuple[Picture, ...] = ()
        self.runner = JobRunner(self)
        self._read: Case | None = None  # the case that the running job reads
        self._come = 0
        self._seconds: dict[int, float] = {}  # that the season of a case took to read, by the cube
        self._soon = QTimer(self, singleShot=True, interval=PAUSE_MS)
        self._soon.timeout.connect(self._go_on)
        self._build()
        self.runner.reported.connect(self._came)
        self.runner.done.connect(self._done)
        self.runner.failed.connect(dock.complain)
        self.runner.finished.connect(self._go_on)
        dock.viewer.dims.events.current_step.connect(self._show_now)
        dock.viewer.layers.events.inserted.connect(self._other_colours)
        self.show_case(None, None)

    def _build(self) -> None:
        self.title, self.larger = small(lines=1), QPushButton("Larger ...")
        self.larger.setToolTip("Show these pictures in a window of their own, which follows the selection")
        self.grid, self.large = PictureGrid(SMALL_PX), PictureGrid(LARGE_PX)
        self.dialog = QDialog(self)
        self.dialog.setWindowTitle("Case")
        self.dialog.setWindowFlag(Qt.WindowType.WindowMaximizeButtonHint)
        QVBoxLayout(self.dialog).addWidget(self.large)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(2)
        layout.addWidget(row(self.title, self.larger, wide=(self.title,)))
        layout.addWidget(self.grid)
        self.larger.clicked.connect(self.enlarge)
        self.grid.show_rows([[Picture("", None)] * DATES, [Picture("", None)] * 4], np.zeros((0, 2, 2)))  # their room
        for grid in (self.grid, self.large):
            grid.pressed.connect(lambda picture: self.dock.act(lambda: self._pressed(picture)))
            grid.opened.connect(lambda _: self.enlarge())

    # --- what can be asked of it -----------------------------------------------------------------------------------

    def show_case(self, atlas: ErrorAtlas | None, row: Any) -> None:
        """Picture a row of the tables of an atlas; None shows nothing."""
        self.atlas, self.case = atlas, None
        if atlas is None or row is None:
            self.dialog.hide()
            self.runner.cancel()
            return
        self.case = Case.of(atlas, row)
        across_m = self.case.window.width * pixel_size_m(atlas.grid)[1]
        self.title.setText(f"{self.case.name[:1].upper()}{self.case.name[1:]}, {across_m:,.0f} m across")
        self.dialog.setWindowTitle(self.case.name)
        self._begin()

    def refresh(self) -> None:
        """Picture the case anew, e.g. as the scene was looked at meanwhile, or is shown in other colours."""
        if self.case is not None:
            self.show_case(self.atlas, self.case.row)

    @property
    def at_rest(self) -> bool:
        """Whether all that is known of the case is shown."""
        return not self._soon.isActive() and not self.runner.busy

    @property
    def pictures(self) -> list[Picture]:
        """What is shown: the season, then the maps."""
        return [*self.season, *self.maps]

    def enlarge(self) -> None:
        """Show the pictures in a window of their own."""
        if self.case is not None:
            self.dialog.resize(self.large.fitting(LARGE_WIDTH_PX) + QSize(24, 24))
            self.dialog.show()
            self.dialog.raise_()

    def shut(self) -> None:
        """Read nothing any more, and leave the viewer's events."""
        self.dock.viewer.dims.events.current_step.disconnect(self._show_now)
        self.dock.viewer.layers.events.inserted.disconnect(self._other_colours)
        with suppress(RuntimeError):  # Qt has deleted it where the window went as a whole
            self._soon.stop()
        self.runner.close()

    # --- reading ---------------------------------------------------------------------------------------------------

    def _begin(self) -> None:
        """Show the maps at once, and read the season."""
        cube, case, atlas = self.dock.session.cube, self.case, self.atlas
        if case is None or atlas is None:
            return
        seen = self.dock.affinity.sights.seen
        self.maps = map_pictures(atlas, case, seen[0].edges_YX if seen else None)
        self.season = [Picture("", None) for _ in dates_to_try(len(cube.dates))] if cube is not None else []
        self._show()
        if self.runner.busy:
            self.runner.cancel()  # the new one begins once the former one has ended
        else:
            self._soon.start()

    def _go_on(self) -> None:
        """Read the season of the case that is selected, unless it was read already."""
        cube, case = self.dock.session.cube, self.case
        image = None if cube is None else season_image(self.dock.viewer.layers, cube)
        if case is None or case is self._read or cube is None or image is None:
            return
        self._read, self._come = case, 0
        job = _timed(season_pictures(image, cube.dates, case))
        if self._seconds.get(id(cube), math.inf) < AT_ONCE_S and self._hurry(job):
            return
        self.runner.start(job, "Reading the case", None)

    def _hurry(self, job: Job[Read]) -> bool:
        """Read what was quick to read for the former case without a thread; False if it takes longer this time."""
        until = time.perf_counter() + AT_ONCE_S
        try:
            while time.perf_counter() < until:
                self._came(next(job))
        except StopIteration as end:
            self._done(end.value)
            return True
        return False

    def _came(self, event: Event) -> None:
        """Show a date as soon as it is there; what comes late is of a case that is no longer selected."""
        if isinstance(event, Preview) and self._read is self.case and self._come < len(self.season):
            self.season[self._come] = Picture(event.name, event.array, time=int(event.stage))
            self._come += 1
            self._show()

    def _done(self, read: Read) -> None:
        pictures, seconds = read
        self._seconds = {id(self.dock.session.cube): seconds}
        if self._read is self.case:
            self.season = list(pictures)
            self._show()

    def _show(self) -> None:
        if self.case is not None:
            for grid in (self.grid, self.large):
                grid.show_rows([self.season, self.maps], self.case.sides)
            self._show_now()

    def _show_now(self, event: Any = None) -> None:
        dims = self.dock.viewer.dims
        now = dims.current_step[-3] if dims.ndim > 2 else None
        for grid in (self.grid, self.large):
            grid.show_now(now)

    def _other_colours(self, event: Any) -> None:
        """Picture the case in the colours that the images are shown in now."""
        if role_of(event.value) == "season":
            self.refresh()

    def showEvent(self, event: Any) -> None:
        """Take up the edges, if the scene was looked at meanwhile."""
        super().showEvent(event)
        if self.maps and self.maps[-1].colours_YXC is None and self.dock.affinity.sights.seen:
            self.refresh()

    def _pressed(self, picture: Picture) -> None:
        """Go to the date; look at the scene if that is what the picture waits for."""
        dims, affinity = self.dock.viewer.dims, self.dock.affinity
        if picture.time is not None and dims.ndim > 2:
            dims.set_current_step(dims.ndim - 3, picture.time)
        elif picture.colours_YXC is None and picture.note:
            self.dock.say(picture.note)
            self.dock.pages.turn_to(affinity)


def _timed(job: Job[tuple[Picture, ...]]) -> Job[Read]:
    """Drive a job, and return with its result the seconds that it worked, waiting left out."""
    spent = 0.0
    while True:
        began = time.perf_counter()
        try:
            event = next(job)
        except StopIteration as end:
            return end.value, spent + time.perf_counter() - began
        spent += time.perf_counter() - began
        yield event
