"""Boundary panel: where the map is wrong, of what kind, and the parcels and edges where it is worst."""

from __future__ import annotations

from collections.abc import Generator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from qtpy.QtCore import Qt, Signal
from qtpy.QtWidgets import (
    QComboBox,
    QDoubleSpinBox,
    QFileDialog,
    QPushButton,
    QTabWidget,
    QVBoxLayout,
)

from cscl.events import Event, run
from cscl.inference.subset import Selection, Subset, select
from napari_cscl.boundaryview import (
    EDGE_COLUMNS,
    PARCEL_COLUMNS,
    accuracy_plot,
    bins_in_words,
    errors_layer,
    outline_layer,
    outlines,
    view_of,
)
from napari_cscl.stage import Stage

from .boundaryparts import Filters, KindLegend
from .panel import Panel
from .parts import row, words
from .plot import PlotCanvas
from .table import Table

if TYPE_CHECKING:
    from cscl.inference.explore import ErrorAtlas

    from .dock import CSCLDock

__all__ = ["BoundaryPanel"]

AT_ONCE_PX = 2**22  # a subset of so many pixels takes less than a fifth of a second
COVERING = ("crops", "prediction", "confidence", "affinity", "edges", "colours")
HELD_OUT, ALL = "held out", "labelled"


class BoundaryPanel(Panel):
    """Where the map is wrong, and at which boundaries.

    Signals
    -------
    case_changed(object)
        The row, a pandas Series of `atlas.parcels` or `atlas.edges`, that is looked at now; None when there is none.
    """

    case_changed = Signal(object)

    title = "Boundary"
    purpose = "Where the map is wrong, and at which boundaries"

    def __init__(self, dock: CSCLDock) -> None:
        super().__init__(dock)
        self.atlas: ErrorAtlas | None = None
        self.selection: Selection | None = None
        self._layer: Any = None
        self._mark: Any = None
        self._stage = Stage(dock.viewer)
        self._build()
        self.needs = {self.find: ("labels", "prediction")}
        self._parts = (self.kinds, self.plot, self.filters, self.tables, self.save, self.filters.reset)
        self.find.clicked.connect(lambda: dock.act(self.start_finding))
        self.save.clicked.connect(self._choose_place)
        self.filters.changed.connect(lambda: dock.act(self.start_choosing))
        for table in (self.parcels, self.edges):
            table.chosen.connect(self.fly_to)
        for signal in (self.session.cube_changed, self.session.labels_changed, self.session.prediction_changed):
            signal.connect(self.forget)
        self.forget()

    def _build(self) -> None:
        self.find = QPushButton("Find errors")
        self.find.setToolTip("Compare the predicted map with the labels")
        self.judged = QComboBox()
        self.judged.addItems([HELD_OUT, ALL])
        self.judged.setAccessibleName("Pixels that are judged")
        self.judged.setToolTip(
            "Held out: where the model was trained on this scene, only the blocks that it never saw.\n"
            "Labelled: all of them, also the pixels that it has learnt from, which flatters it."
        )
        self.reach = QDoubleSpinBox(
            minimum=1, maximum=200, value=20, singleStep=5, decimals=0, prefix="within ", suffix=" m"
        )
        self.reach.setButtonSymbols(QDoubleSpinBox.ButtonSymbols.NoButtons)
        self.reach.setAccessibleName("Reach of an edge")
        self.reach.setToolTip("How far from a class edge an error is laid to it")
        self.summary = words()
        self.summary.setAlignment(Qt.AlignmentFlag.AlignTop)
        self.kinds, self.filters = KindLegend(), Filters()
        self.plot = PlotCanvas(self.dock.viewer, 200)
        self.plot.setAccessibleName("Accuracy by distance to the class edge")
        self.parcels, self.edges = Table(PARCEL_COLUMNS, "Worst parcels"), Table(EDGE_COLUMNS, "Worst edges")
        self.tables = QTabWidget()
        self.tables.addTab(self.parcels, "Parcels")
        self.tables.addTab(self.edges, "Edges")
        self.save = QPushButton("Save as CSV ...")
        self.save.setToolTip("Write the table that is shown, as it is filtered")
        layout = QVBoxLayout(self)
        for widget in (row(self.find, self.judged, self.reach), self.summary, self.kinds, self.plot, self.filters):
            layout.addWidget(widget)
        layout.addWidget(self.tables, 1)
        self.case_place = QVBoxLayout()  # what belongs to one case stands here
        layout.addLayout(self.case_place)
        layout.addWidget(row(self.filters.reset, self.save))

    # --- acts ------------------------------------------------------------------------------------------------------

    def start_finding(self) -> None:
        """Compare the map with the labels."""
        session = self.session
        if session.labels is None or session.prediction is None:
            return
        model = session.model.folder if session.model else None
        job = _find(session, model, self.judged.currentText() == ALL, self.reach.value())
        compared = session.labels, session.prediction
        self.dock.run(job, "Finding errors", lambda atlas: self._found(atlas, compared))

    def start_choosing(self) -> None:
        """Show the part of the errors that the filters ask for."""
        if self.atlas is None:
            return
        atlas, subset = self.atlas, self.filters.subset()
        job = select(atlas, subset)
        if atlas.kinds_YX.size <= AT_ONCE_PX or subset == Subset():
            self._show(run(job))
        else:
            self.dock.run(job, "Choosing errors", lambda chosen: self._show(chosen) if self.atlas is atlas else None)

    def fly_to(self, row: Any) -> None:
        """Look at the parcel or edge of a row of the tables, and outline it."""
        if self.atlas is None:
            return
        viewer = self.dock.viewer
        centre, zoom = view_of(row, self.atlas.grid, self.session.origin, viewer.canvas.size)
        viewer.scene.camera.center = centre
        viewer.scene.camera.zoom = zoom
        self.outline(row)

    def outline(self, row: Any) -> None:
        """Outline the parcel of a row, or the two of an edge."""
        if self.atlas is None:
            return
        self._drop("_mark")
        sides = outlines(self.atlas, row)
        self._mark = self.dock.add(outline_layer(sides, self.atlas.grid, self.session.origin))
        self.case_changed.emit(row)

    def picked(self, row: int, col: int, modifiers: frozenset[str]) -> None:
        """Go to the row of the parcel that was clicked in the scene; the view stays."""
        if self.atlas is None:
            return
        unit = int(self.atlas.units_YX[row, col])
        if unit and self.parcels.choose("id", unit, tell=False):
            self.tables.setCurrentWidget(self.parcels)
            self.outline(self.parcels.frame.iloc[self.parcels.currentIndex().row()])
        else:
            what = f"{self.atlas.unit.capitalize()} {unit} is" if unit else "Land outside all parcels is"
            self.dock.say(f"{what} not in the table: it was not judged, or the filters leave it out.")

    def save_to(self, path: str | Path) -> None:
        """Write the table on top as CSV."""
        table = self.tables.currentWidget()
        table.frame.to_csv(path, index=False)
        self.dock.inform(f"{len(table.frame)} rows lie in {path}.")

    def forget(self, *_: Any) -> None:
        """Labels, map or scene are other ones: what was found no longer holds."""
        self.atlas = self.selection = None
        self.case_changed.emit(None)
        self._drop("_layer")
        self._drop("_mark")
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
        """Leave the viewer's events."""
        self.plot.shut()

    # --- what comes back -------------------------------------------------------------------------------------------

    def _found(self, atlas: ErrorAtlas, compared: tuple[Any, Any]) -> None:
        if compared[0] is not self.session.labels or compared[1] is not self.session.prediction:
            return  # another map was opened meanwhile
        self.atlas = atlas
        self.summary.setText(atlas.summary())
        self.filters.take(atlas)
        for widget in self._parts:
            widget.setVisible(True)
        self._show(run(select(atlas, Subset())))
        if self.isVisible():
            self.shown()

    def _show(self, selection: Selection) -> None:
        """Bring layer, legend, plot and tables to one subset."""
        atlas = self.atlas
        if atlas is None:
            return
        self.selection = selection
        if self._layer is None or self._layer not in self.dock.viewer.layers:
            self._layer = self.dock.add(errors_layer(selection.kinds_YX, atlas.grid, self.session.origin))
        else:
            self._layer.data[:] = selection.kinds_YX
            self._layer.refresh(extent=False)
        self.kinds.show_counts(selection.curve)
        self.plot.show_plot(accuracy_plot(selection.curve))
        self.plot.setToolTip(bins_in_words(selection.curve, atlas.unit))
        self.parcels.show_frame(selection.parcels)
        self.edges.show_frame(selection.edges)
        self.tables.setTabText(0, f"{atlas.unit.capitalize()}s ({len(selection.parcels)})")
        self.tables.setTabText(1, f"Edges ({len(selection.edges)})")

    def _drop(self, name: str) -> None:
        layer = getattr(self, name)
        setattr(self, name, None)
        if layer is not None and layer in self.dock.viewer.layers:
            self.dock.viewer.layers.remove(layer)

    def _choose_place(self) -> None:
        path, _ = QFileDialog.getSaveFileName(self, "Table as CSV", filter="Tables (*.csv)")
        if path:
            self.dock.act(lambda: self.save_to(path))


def _find(session: Any, model: Path | None, everywhere: bool, reach_m: float) -> Generator[Event, None, ErrorAtlas]:
    """Read which pixels were held out and explore these, or all."""
    from cscl.inference.explore import ExploreOptions, everything, explore, held_out

    labels, parcels, prediction = session.labels, session.parcels, session.prediction
    judged = (everything if everywhere else held_out)(labels, model)
    options = ExploreOptions(reach_m=reach_m)
    return (yield from explore(prediction, labels, options, judged=judged, parcels=parcels))
