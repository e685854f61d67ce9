"""Boundary panel: where the map is wrong, of what kind, and the parcels and edges where it is worst."""

from __future__ import annotations

from collections.abc import Generator
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from qtpy.QtCore import Qt, QTimer, Signal
from qtpy.QtWidgets import QTabWidget, QVBoxLayout

from cscl.events import Event
from cscl.inference.subset import Selection, Subset, choose, chosen_pairs, edge_near, select, sure
from napari_cscl.boundaryview import (
    EDGE_COLUMNS,
    PAIR_COLUMNS,
    PARCEL_COLUMNS,
    bars,
    crossing,
    near_px,
    pair_of,
)
from napari_cscl.stage import Stage

from .boundaryparts import Asking, Filters, KindLegend
from .casebar import CaseBar
from .casebox import CaseBox
from .casewalk import CaseWalk
from .confusion import Confusion
from .distanceplot import DistancePlot
from .errormap import ErrorMap
from .panel import Panel
from .parts import row, words
from .table import Table

if TYPE_CHECKING:
    from cscl.inference.errorcounts import ErrorCounts
    from cscl.inference.explore import ErrorAtlas

    from .dock import CSCLDock

__all__ = ["BoundaryPanel"]

COVERING = ("crops", "prediction", "confidence", "affinity", "edges", "colours")
PAUSE_MS = 60  # between an answer and its intervals: what is clicked meanwhile goes first


class BoundaryPanel(Panel):
    """Where the map is wrong, and at which boundaries: map, plot, matrix and tables show one subset of the errors.

    Signals
    -------
    case_changed(object)
        The row, a pandas Series of `atlas.parcels` or `atlas.edges`, that is looked at now; None when there is none.
    """

    title = "Boundary"
    purpose = "Where the map is wrong, and at which boundaries"
    case_changed = Signal(object)

    def __init__(self, dock: CSCLDock) -> None:
        super().__init__(dock)
        self.atlas: ErrorAtlas | None = None
        self.counts: ErrorCounts | None = None
        self.selection: Selection | None = None
        self.case: Any = None
        self.map, self.walk = ErrorMap(dock), CaseWalk(self)
        self._surer: Generator[Event, None, Selection] | None = None
        self._stage = Stage(dock.viewer)
        self._soon, self._later = _timer(self._answer, 0), _timer(self._make_surer, PAUSE_MS)
        self._build()
        self._connect()
        self.forget()

    def _build(self) -> None:
        self.asking = Asking()
        self.find, self.judged, self.reach = self.asking.find, self.asking.judged, self.asking.reach
        self.summary = words()
        self.summary.setAlignment(Qt.AlignmentFlag.AlignTop)
        self.kinds, self.filters, self.plot = KindLegend(), Filters(), DistancePlot()
        self.parcels, self.edges = Table(PARCEL_COLUMNS, "Worst parcels"), Table(EDGE_COLUMNS, "Worst edges")
        self.pairs, self.confusion = Table(PAIR_COLUMNS, "Pairs of crops that share edges"), Confusion()
        self.tables = QTabWidget()
        for widget, name, tip in (
            (self.parcels, "Parcels", "Parcels, the one with most wrong pixels first"),
            (self.edges, "Edges", "Edges between parcels of different crops, the worst first"),
            (self.pairs, "Pairs", "Pairs of crops that meet at edges, the worst first; a click filters by the pair"),
            (self.confusion, "Confusion", "Confusion matrix, the classes with most wrong pixels first"),
        ):
            self.tables.setTabToolTip(self.tables.addTab(widget, name), tip)
        self.cases = CaseBar()
        layout = QVBoxLayout(self)
        layout.setSpacing(4)
        for widget in (self.asking, self.summary, self.kinds, self.plot, self.filters):
            layout.addWidget(widget)
        layout.addWidget(self.cases)
        layout.addWidget(self.tables, 1)
        self.case_place = QVBoxLayout()  # what belongs to one case stands here
        layout.addLayout(self.case_place)
        self.casebox = CaseBox(self)
        self.case_place.addWidget(self.casebox)
        layout.addWidget(row(self.filters.reset, self.casebox.export))

        stops = (*self.asking.stops, self.plot, *self.filters.stops, self.cases.former, self.cases.next, self.tables)
        for before, after in pairwise(stops):
            self.setTabOrder(before, after)

    def _connect(self) -> None:
        self.needs = dict.fromkeys((self.find, *self.casebox.waiting), ("labels", "prediction"))
        self._parts = (
            self.kinds, self.plot, self.filters, self.tables, self.cases, self.casebox, self.casebox.export,
            self.filters.reset,
        )  # fmt: skip
        self.find.clicked.connect(lambda: self.dock.act(self.start_finding))
        self.filters.changed.connect(self._soon.start)
        self.plot.brushed.connect(self.filters.choose_range)
        self.confusion.chosen.connect(self.filters.choose_pair)
        self.pairs.chosen.connect(lambda row: self.filters.choose_pair(pair_of(row)))
        for table in (self.parcels, self.edges):
            table.chosen.connect(self.fly_to)
        self.cases.stepped.connect(self.step)
        self.tables.currentChanged.connect(lambda _: self._show_pairs())
        for signal in (self.session.cube_changed, self.session.labels_changed, self.session.prediction_changed):
            signal.connect(self.forget)

    @property
    def at_rest(self) -> bool:
        """Whether all that is shown is what the filters ask for, with its intervals."""
        return not self._soon.isActive() and self._surer is None

    # --- acts ------------------------------------------------------------------------------------------------------

    def start_finding(self) -> None:
        """Compare the map with the labels."""
        session = self.session
        if session.labels is None or session.prediction is None:
            return
        model = session.model.folder if session.model else None
        job = _find(session, model, self.asking.everywhere, self.reach.value())
        compared = session.labels, session.prediction
        self.dock.run(job, "Finding errors", lambda found: self._found(found, compared))

    def start_choosing(self) -> None:
        """Show the part of the errors that the filters ask for."""
        self._soon.stop()
        if self.atlas is None or self.counts is None:
            return
        atlas, subset = self.atlas, self.filters.subset()
        selection = choose(atlas, self.counts, subset, self.selection)
        if selection.kinds_YX is not None:
            self._show(selection)
        else:
            job = select(atlas, subset, counts=self.counts)
            self.dock.run(job, "Choosing errors", lambda chosen: self._show(chosen) if self.atlas is atlas else None)

    def step(self, by: int) -> None:
        """Go to the next case of the table on top, or the former one."""
        self.walk.step(by)

    def fly_to(self, row: Any) -> None:
        """Look at the parcel or edge of a row of the tables, and outline it."""
        if self.atlas is not None:
            self.map.fly_to(row, self.atlas)
            self.outline(row)

    def outline(self, row: Any) -> None:
        """Outline the parcel of a row, or the two of an edge, and tell of it as the case that is looked at."""
        if self.atlas is not None:
            self.map.outline(row, self.atlas)
            self.walk.tell(row)

    def picked(self, row: int, col: int, modifiers: frozenset[str]) -> None:
        """Go to the row of what was clicked in the scene, an edge while edges are shown or a parcel; the view stays."""
        if self.atlas is None:
            return
        self.hovered(row, col, modifiers)
        if self.tables.currentWidget() is self.edges:
            within = near_px(self.dock.viewer.scene.camera.zoom, self.atlas.grid)
            number = edge_near(self.atlas, self.edges.frame, row, col, within)
            if number is not None:
                self.edges.go(number, tell=False)
                self.outline(self.edges.frame.iloc[number])
                return
        unit = int(self.atlas.units_YX[row, col])
        if unit and self.parcels.choose("id", unit, tell=False):
            self.tables.setCurrentWidget(self.parcels)
            self.outline(self.parcels.frame.iloc[self.parcels.number])
        else:
            what = f"{self.atlas.unit.capitalize()} {unit} is" if unit else "Land outside all parcels is"
            self.dock.say(f"{what} not in the table: it was not judged, or the filters leave it out.")

    def hovered(self, row: int, col: int, modifiers: frozenset[str]) -> None:
        """Mark the distance of the pixel under the mouse in the plot."""
        if self.atlas is not None:
            self.plot.show_mark(int(self.atlas.bins_YX[row, col]) if self.atlas.kinds_YX[row, col] else None)

    def save_to(self, path: str | Path) -> None:
        """Write the table on top as CSV: of a matrix, its pixels by declared and predicted crop."""
        widget = self.tables.currentWidget()
        frame = self.confusion.cells.crossing.table() if widget is self.confusion else widget.frame
        frame.to_csv(path, index=False)
        self.dock.inform(f"{len(frame)} rows lie in {path}.")

    def forget(self, *_: Any) -> None:
        """Labels, map or scene are other ones: what was found no longer holds."""
        self._soon.stop()
        self._stop_surer()
        self.atlas = self.counts = self.selection = None
        self.walk.tell(None)
        self.map.clear()
        self.summary.setText("Predict the crops and open labels, then find the errors of the map.")
        for widget in self._parts:
            widget.setVisible(False)

    def shown(self) -> None:
        """Show the errors on the images alone: on a map of crops they would drown."""
        if self.atlas is not None:
            self._stage.uncover(COVERING)

    def hideEvent(self, event: Any) -> None:
        """Show again what was hidden."""
        super().hideEvent(event)
        self._stage.restore()

    def shut(self) -> None:
        """Forget what was asked for."""
        self.casebox.shut()
        self._soon.stop()
        self._stop_surer()

    # --- what comes back -------------------------------------------------------------------------------------------

    def _found(self, found: tuple[ErrorAtlas, ErrorCounts], compared: tuple[Any, Any]) -> None:
        if compared[0] is not self.session.labels or compared[1] is not self.session.prediction:
            return  # another map was opened meanwhile
        self.atlas, self.counts = atlas, counts = found
        self.selection = None
        self.summary.setText(atlas.summary())
        everything = choose(atlas, counts, Subset())
        declared = np.flatnonzero(everything.confusion.sum(1))
        self.filters.take(atlas, [atlas.legend.ids[i] for i in declared])
        for widget in self._parts:
            widget.setVisible(True)
        self.start_choosing()
        if self.isVisible():
            self.shown()

    def _answer(self) -> None:
        self.dock.act(self.start_choosing)

    def _show(self, selection: Selection) -> None:
        """Bring layer, legend, plot, matrix and tables to one subset."""
        atlas, kinds = self.atlas, selection.kinds_YX
        if atlas is None or kinds is None:
            return
        self._stop_surer()
        self.selection = selection
        self.map.show(kinds, atlas, right_too=selection.subset.of_pixels)
        self._show_curves()
        self.parcels.show_frame(self.casebox.wanted(selection.parcels))
        self.edges.show_frame(self.casebox.wanted(selection.edges))
        self.tables.setTabText(0, f"{atlas.unit.capitalize()}s ({len(selection.parcels):,})")
        self.tables.setTabText(1, f"Edges ({len(selection.edges):,})")
        subset = selection.subset
        self.confusion.show_matrix(crossing(selection.confusion, atlas.legend), (subset.declared, subset.predicted))
        self._show_pairs()
        self.walk.keep()
        self.casebox.selected_anew()
        if self.counts is not None:
            self._surer = sure(atlas, self.counts, selection)
            self._later.start()

    def _show_curves(self) -> None:
        selection, atlas = self.selection, self.atlas
        if selection is not None and atlas is not None:
            self.kinds.show_counts(selection.curve)
            self.plot.show_bars(bars(selection.anywhere, atlas.unit), self.filters.range())

    def _show_pairs(self) -> None:
        """Bring the table of pairs up to date when somebody looks at it."""
        if self.atlas is not None and self.selection is not None and self.tables.currentWidget() is self.pairs:
            self.pairs.show_frame(chosen_pairs(self.atlas, self.selection.subset))

    def _make_surer(self) -> None:
        """Find the intervals of the curve, a step at a time, while nobody asks for anything else."""
        if self._surer is None:
            return
        try:
            next(self._surer)
            self._later.start(0)
        except StopIteration as stop:
            self.selection, self._surer = stop.value, None
            self._show_curves()

    def _stop_surer(self) -> None:
        self._later.stop()
        self._later.setInterval(PAUSE_MS)
        self._surer = None


def _find(
    session: Any, model: Path | None, everywhere: bool, reach_m: float
) -> Generator[Event, None, tuple[ErrorAtlas, ErrorCounts]]:
    """Read which pixels were held out, explore these, or all, and count their errors."""
    from cscl.inference.errorcounts import count_errors
    from cscl.inference.explore import ExploreOptions, everything, explore, held_out

    labels, parcels, prediction = session.labels, session.parcels, session.prediction
    judged = (everything if everywhere else held_out)(labels, model)
    options = ExploreOptions(reach_m=reach_m)
    atlas = yield from explore(prediction, labels, options, judged=judged, parcels=parcels)
    return atlas, (yield from count_errors(atlas))


def _timer(deed: Any, pause_ms: int) -> QTimer:
    timer = QTimer(singleShot=True, interval=pause_ms)
    timer.timeout.connect(deed)
    return timer
