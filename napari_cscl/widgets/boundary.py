"""Boundary panel: where the map is wrong, of what kind, and the parcels and edges where it is worst."""

from __future__ import annotations

from contextlib import suppress
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from qtpy.QtCore import QTimer, Signal
from qtpy.QtWidgets import QPushButton, QTabWidget, QVBoxLayout, QWidget

from cscl.grid import GeoBox
from cscl.inference.subset import Selection, Subset, choose, chosen_pairs, edge_near, select, sure
from napari_cscl.boundaryview import crossing, displacement_layer, near_px, pair_of, subset_in_words
from napari_cscl.errorjobs import find_errors
from napari_cscl.stage import Stage

from .boundaryparts import Asking
from .casebox import CaseBox
from .casewalk import CaseWalk
from .cropsview import CropsView
from .errormap import ErrorMap
from .overview import Overview
from .panel import Panel
from .parts import row, small, words
from .selectionexport import SelectionExport
from .surer import Surer
from .versusbox import VersusBox

if TYPE_CHECKING:
    from cscl.inference.errorcounts import ErrorCounts
    from cscl.inference.explore import ErrorAtlas

    from .dock import CSCLDock

__all__ = ["BoundaryPanel"]

COVERING = ("crops", "prediction", "confidence", "affinity", "edges", "colours")
MARGIN_PX = 4
HINT = "Predict the crops and open labels, then find the errors of the map."


class BoundaryPanel(Panel):
    """Where the map is wrong, and at which boundaries: all views show one subset of the errors.

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
        self.map, self.walk, self.surer = ErrorMap(dock), CaseWalk(self), Surer(self)
        self._stage = Stage(dock.viewer)
        self._soon = QTimer(self, singleShot=True, interval=0)
        self._stale: set[QWidget] = set()
        self._build()
        self._connect()
        self.forget()

    def _build(self) -> None:
        self.asking, self.overview, self.crops = Asking(), Overview(), CropsView()
        self.find, self.judged, self.reach = self.asking.find, self.asking.judged, self.asking.reach
        self.plot, self.filters = self.overview.plot, self.overview.filters
        self.casebox, self.versus = CaseBox(self), VersusBox(self)
        self.parcels, self.edges, self.tables = self.casebox.parcels, self.casebox.edges, self.casebox.tables
        self.pairs, self.confusion = self.crops.pairs, self.crops.confusion
        self.export = SelectionExport(self)
        self.hint, self.scope, self.reset = words(HINT), small(), QPushButton("Show all")
        self.scope.setToolTip("What all views show, as the filters in the overview say")
        self.reset.setToolTip("Take all filters away")
        self.scope_row = row(self.scope, self.reset, self.export.button, wide=(self.scope,))
        self.views = QTabWidget()
        for view, name, tip in (
            (self.overview, "Overview", "How good the map is, kinds of error, accuracy by distance, and the filters"),
            (self.crops, "Crops", "Which crops are taken for which, in all and at the edges that they share"),
            (self.casebox, "Cases", "Parcels and edges, the worst first, with pictures and notes"),
            (self.versus, "Compare", "A second map beside this one"),
        ):
            self.views.setTabToolTip(self.views.addTab(view, name), tip)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(*(MARGIN_PX,) * 4)
        layout.setSpacing(MARGIN_PX)
        for widget in (self.asking, self.hint, self.scope_row):
            layout.addWidget(widget)
        layout.addWidget(self.views, 1)
        layout.addStretch(0)
        always = *self.asking.stops, self.reset, self.export.button, self.views
        for before, after in pairwise((*always, *self.overview.stops, *self.casebox.stops)):
            self.setTabOrder(before, after)

    def _connect(self) -> None:
        self.needs = dict.fromkeys(
            (self.find, self.export.button, self.overview.moved, *self.versus.waiting), ("labels", "prediction")
        )
        self._soon.timeout.connect(lambda: self.dock.act(self.start_choosing))
        self.find.clicked.connect(lambda: self.dock.act(self.start_finding))
        self.overview.moved.clicked.connect(lambda wanted: self.dock.act(lambda: self.see_moved(wanted)))
        self.reset.clicked.connect(self.filters.clear)
        self.filters.changed.connect(self._soon.start)
        self.plot.brushed.connect(self.filters.choose_range)
        self.confusion.chosen.connect(self.filters.choose_pair)
        self.pairs.chosen.connect(lambda row: self.filters.choose_pair(pair_of(row)))
        for table in (self.parcels, self.edges):
            table.chosen.connect(self.fly_to)
        self.casebox.bar.stepped.connect(self.walk.step)
        self.views.currentChanged.connect(lambda _: self._freshen())
        for signal in (self.session.cube_changed, self.session.labels_changed, self.session.prediction_changed):
            signal.connect(self.forget)

    @property
    def grid(self) -> GeoBox | None:
        """Grid whose pixels can be picked: that of the map that is judged."""
        return self.atlas.grid if self.atlas is not None else self.session.origin

    @property
    def at_rest(self) -> bool:
        """Whether all that is shown is what the filters ask for, with its intervals."""
        return not self._soon.isActive() and not self.surer.busy

    @property
    def top(self) -> pd.DataFrame:
        """The table on top: of the overview, accuracy by distance."""
        view = self.views.currentWidget()
        if view is self.casebox:
            return self.tables.currentWidget().frame
        if view is self.crops:
            return self.confusion.cells.crossing.table()
        return self.versus.table.frame if view is self.versus and self.versus.duel else self.overview.table()

    # --- acts ------------------------------------------------------------------------------------------------------

    def start_finding(self) -> None:
        """Compare the map with the labels."""
        session = self.session
        if session.labels is None or session.prediction is None:
            return
        compared = session.prediction, session.labels
        model = session.model.folder if session.model else None
        job = find_errors(*compared, session.parcels, model, self.asking.everywhere, self.reach.value())
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

    def see_moved(self, wanted: bool) -> None:
        """Show how far edges moved, which is measured when it is first asked for, or the errors again."""
        from cscl.inference.moved import edge_displacement

        atlas, prediction = self.atlas, self.versus.judged_map
        if self.map.see_moved(wanted) or not wanted or atlas is None or prediction is None:
            return
        self.overview.moved.setChecked(False)  # until it is there
        self.map.see_moved(False)
        job = edge_displacement(atlas, prediction)
        self.dock.run(job, "Measuring edges", lambda moved: self._measured(moved, atlas))

    def judge(self, atlas: ErrorAtlas, counts: ErrorCounts) -> None:
        """Show the errors of another map of the same labels, under the filters that are set as far as they fit."""
        self.atlas, self.counts, self.selection = atlas, counts, None
        self.map.clear_moved()
        self.overview.take(atlas)
        subset = self.filters.subset()
        if {subset.declared, subset.predicted} - {None, *atlas.legend.ids}:
            self.filters.clear()
        self.start_choosing()
        self.casebox.show_case(self.case)

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
                self.walk.turn_to(self.edges)
                self.edges.go(number, tell=False)
                self.outline(self.edges.frame.iloc[number])
                return
        unit = int(self.atlas.units_YX[row, col])
        if unit and self.parcels.choose("id", unit, tell=False):
            self.walk.turn_to(self.parcels)
            self.outline(self.parcels.frame.iloc[self.parcels.number])
        else:
            what = f"{self.atlas.unit.capitalize()} {unit} is" if unit else "Land outside all parcels is"
            self.dock.say(f"{what} not in the table: it was not judged, or the filters leave it out.")

    def hovered(self, row: int, col: int, modifiers: frozenset[str]) -> None:
        """Mark the distance of the pixel under the mouse in the plot."""
        if self.atlas is not None:
            self.plot.show_mark(int(self.atlas.bins_YX[row, col]) if self.atlas.kinds_YX[row, col] else None)

    def forget(self, *_: Any) -> None:
        """Labels, map or scene are other ones: what was found no longer holds."""
        self._soon.stop()
        self.surer.stop()
        self.atlas = self.counts = self.selection = None
        self.walk.tell(None)
        self.map.clear()
        self.overview.moved.setChecked(False)
        self._reveal(False)

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
        with suppress(RuntimeError):  # Qt has deleted the timer where the window went as a whole
            self._soon.stop()
        self.surer.stop()

    # --- what comes back -------------------------------------------------------------------------------------------

    def _found(self, found: tuple[ErrorAtlas, ErrorCounts], compared: tuple[Any, Any]) -> None:
        if compared[0] is not self.session.prediction or compared[1] is not self.session.labels:
            return  # another map was opened meanwhile
        self.atlas, self.counts = atlas, counts = found
        self.selection = None
        self.map.clear_moved()
        self.overview.take(atlas)
        everything = choose(atlas, counts, Subset())
        declared = np.flatnonzero(everything.confusion.sum(1))
        self.filters.take(atlas, [atlas.legend.ids[i] for i in declared])
        self._reveal(True)
        self.start_choosing()
        if self.isVisible():
            self.shown()

    def _reveal(self, there: bool) -> None:
        """Show the views, or the hint in their place."""
        self.hint.setVisible(not there)
        for widget in (self.scope_row, self.views):
            widget.setVisible(there)

    def _show(self, selection: Selection) -> None:
        """Bring layer, plot, matrix and tables to one subset."""
        atlas, kinds = self.atlas, selection.kinds_YX
        if atlas is None or self.counts is None or kinds is None:
            return
        self.selection = selection
        self.map.show(kinds, atlas, right_too=selection.subset.of_pixels)
        self.scope.setText(f"Shown: {subset_in_words(selection.subset, atlas)}")
        self.casebox.show_rows(selection, atlas.unit)
        self._stale = {self.overview, self.crops}
        self._freshen()
        self.walk.keep()
        self.versus.filtered()
        self.surer.begin(sure(atlas, self.counts, selection), self._made_sure)

    def _made_sure(self, selection: Selection) -> None:
        self.selection = selection
        self._stale.add(self.overview)
        self._freshen()

    def _freshen(self) -> None:
        """Bring the view on top up to date; the others wait until somebody looks at them."""
        view, atlas, selection = self.views.currentWidget(), self.atlas, self.selection
        if view not in self._stale or atlas is None or selection is None:
            return
        self._stale.discard(view)
        if view is self.overview:
            self.overview.show_selection(selection)
        else:
            subset, matrix = selection.subset, crossing(selection.confusion, atlas.legend)
            self.crops.show_subset(subset, matrix, chosen_pairs(atlas, subset))

    def _measured(self, moved: Any, atlas: ErrorAtlas) -> None:
        if self.atlas is atlas:
            self.map.show_moved(displacement_layer(moved, atlas, self.session.origin))
            self.overview.moved.setChecked(True)
            self.dock.say("Blue: the parcel of the lower number has grown; red: that of the higher number has.")
