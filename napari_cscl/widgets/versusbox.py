"""A second map beside the first, A and B: compare them, judge the one or the other, see what B wins and loses."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from qtpy.QtWidgets import QButtonGroup, QFileDialog, QMenu, QPushButton, QSizePolicy, QVBoxLayout, QWidget

from cscl.products import Prediction
from napari_cscl.bridge import named_layer, take_out
from napari_cscl.settings import preferences, recall, remember
from napari_cscl.versusview import (
    VERSUS_COLUMNS,
    Duel,
    Rival,
    compare,
    duel_in_words,
    outcome_layer,
    rival_layer,
    versus_rows,
)

from .parts import row, words
from .table import Table

if TYPE_CHECKING:
    from .boundary import BoundaryPanel

__all__ = ["VersusBox"]

A, B, BOTH = range(3)
WIDTHS_PX = (78, 50, 50, 46, 88)
HINT = "See what a second map of this scene wins and loses against the open one: where, and by how much."
FORMER = "The map before this one"


class VersusBox(QWidget):
    """Compare the open map, A, with another one, B. The open map stays A; the panel can judge either.

    Parameters
    ----------
    panel : BoundaryPanel
        Whose labels, pixels and filters hold for both maps.
    """

    def __init__(self, panel: BoundaryPanel) -> None:
        super().__init__()
        self.panel, self.dock = panel, panel.dock
        self.duel: Duel | None = None
        self._layers: list[Any] = []
        self._build()
        self.forget()

    def _build(self) -> None:
        self.start = QPushButton("Compare with ...")
        self.start.setToolTip("Choose a second map of this scene, or a model to make it; the open map stays as it is")
        self.menu = QMenu(self.start)
        self.menu.aboutToShow.connect(self._offer)
        self.start.setMenu(self.menu)
        self.sides = QButtonGroup(self)
        tips = ("Judge map A, the open one", "Judge map B", "Pixels that B wins (blue) and loses (orange)")
        buttons = [QPushButton(word) for word in ("A", "B", "Won and lost")]
        for number, (button, tip) in enumerate(zip(buttons, tips, strict=True)):
            button.setCheckable(True)
            button.setToolTip(tip)
            button.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Fixed)
            self.sides.addButton(button, number)
        self.end = QPushButton("End the comparison")
        self.end.setToolTip("Take map B and what it wins and loses away; map A stays")
        self.summary = words(selectable=True)
        self.table = Table(VERSUS_COLUMNS, "Differences of two maps")
        self.side_row = row(*buttons)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 4, 0, 0)
        for widget in (self.start, self.side_row, self.summary):
            layout.addWidget(widget)
        layout.addWidget(self.table, 1)
        layout.addWidget(self.end)
        layout.addStretch(0)
        self.sides.idClicked.connect(lambda side: self.dock.act(lambda: self.show_side(side)))
        self.end.clicked.connect(lambda: self.dock.act(self.stop))
        session = self.panel.session
        for signal in (session.cube_changed, session.labels_changed, session.prediction_changed):
            signal.connect(self.forget)

    # --- what can be asked of it -----------------------------------------------------------------------------------

    def start_comparing(self, source: Prediction | str | Path) -> None:
        """Compare with a prediction, or with the folder of a prediction or of a model."""
        from cscl.inference.explore import ExploreOptions

        panel, session = self.panel, self.panel.session
        if session.prediction is None or session.labels is None:
            return
        errors = (panel.atlas, panel.counts) if self.duel is None else (self.duel.atlases[A], self.duel.counts[A])
        known = None if None in errors else errors
        options = errors[0].options if errors[0] is not None else ExploreOptions(reach_m=panel.reach.value())
        rival = Rival(
            source if isinstance(source, Prediction) else Path(source), self.dock.folder / "prediction_b",
            self.dock.device, preferences().tile_px,
        )  # fmt: skip
        everywhere = panel.asking.everywhere
        job = compare(session, rival, known, options, everywhere)
        compared = session.labels, session.prediction
        self.dock.run(job, "Comparing two maps", lambda duel: self._compared(duel, compared))

    def show_side(self, side: int) -> None:
        """Judge map A or B, or see what B wins and loses."""
        if self.duel is None:
            return
        self.sides.button(side).setChecked(True)
        if side != BOTH:
            self.panel.judge(self.duel.atlases[side], self.duel.counts[side])
        self._see()

    def toggle(self) -> None:
        """Judge the other one of the two maps."""
        if self.duel is None:
            self.dock.say("Compare with a second map first.")
        else:
            self.show_side(A if self.sides.checkedId() == B else B)
            self.dock.say(f"Now judged: {'AB'[self.sides.checkedId()]}, {self.map_name}.")

    def filtered(self) -> None:
        """Show of what B wins and loses what the filters of the panel leave; errors found anew end the comparison."""
        if self.duel is not None and not any(self.panel.atlas is atlas for atlas in self.duel.atlases):
            self.forget()
        selection, layer = self.panel.selection, self._outcome_layer()
        if self.duel is not None and selection is not None and layer is not None:
            layer.data[:] = self.duel.outcomes(selection.kinds_YX)
            layer.refresh(extent=False)

    def stop(self) -> None:
        """End the comparison; map A is judged again."""
        duel = self.duel
        self.forget()
        if duel is not None:
            self.panel.judge(duel.atlases[A], duel.counts[A])

    def forget(self, *_: Any) -> None:
        """Labels, map or scene are other ones: the comparison no longer holds."""
        self.duel = None
        take_out(self.dock.viewer, self._layers)
        self._layers = []
        self.summary.setText(HINT)
        self.summary.setToolTip("")
        for widget in (self.side_row, self.table, self.end):
            widget.setVisible(False)

    @property
    def waiting(self) -> tuple[QWidget, ...]:
        """Buttons that wait for the running job."""
        return self.start, *self.sides.buttons()

    @property
    def judged_map(self) -> Prediction | None:
        """The map that is judged: the open one, or B while B is."""
        return self.panel.session.prediction if self.duel is None else self.duel.maps[self._judged]

    @property
    def map_name(self) -> str | None:
        """Name of the map that is judged while two are compared; None while not."""
        return None if self.duel is None else self.duel.names[self._judged]

    @property
    def _judged(self) -> int:
        return B if self.duel is not None and self.panel.atlas is self.duel.atlases[B] else A

    # --- inside ----------------------------------------------------------------------------------------------------

    def _offer(self) -> None:
        """List what to compare with."""
        self.menu.clear()
        former = self.dock.map.former
        tuned = [(step.found.before, f"The map before {step.folder.name}") for step in self.dock.finetune.steps]
        for prediction, text in [*([(former, FORMER)] if former is not None else []), *tuned]:
            self.menu.addAction(text, lambda p=prediction: self.dock.act(lambda: self.start_comparing(p)))
        self.menu.addAction("A prediction or a model in a folder ...", self._choose)

    def _choose(self) -> None:
        path = QFileDialog.getExistingDirectory(
            self, "Folder of a prediction, or of a model that is to map the scene", recall("rival", "")
        )
        if path:
            remember(rival=str(Path(path).parent))
            self.dock.act(lambda: self.start_comparing(path))

    def _compared(self, duel: Duel, compared: tuple[Any, Any]) -> None:
        session = self.panel.session
        if compared[0] is not session.labels or compared[1] is not session.prediction:
            return  # another map was opened meanwhile
        self.forget()
        self.duel = duel
        self._layers = [
            self.dock.add(rival_layer(duel, session.origin)),
            self.dock.add(outcome_layer(duel.versus.outcomes_YX.copy(), duel, session.origin)),
        ]
        for side, name in enumerate(duel.names):
            self.sides.button(side).setToolTip(f"Judge map {'AB'[side]}: {name} (Alt+V for the other one)")
        self.summary.setText(duel_in_words(duel))
        self.summary.setToolTip("\n".join([duel.versus.summary(), *duel.versus.remarks]))
        self.table.show_frame(versus_rows(duel.versus))
        for column, width in enumerate(WIDTHS_PX):
            self.table.setColumnWidth(column, width)
        for widget in (self.side_row, self.table, self.end):
            widget.setVisible(True)
        self.panel.judge(duel.atlases[A], duel.counts[A])
        self.show_side(BOTH)

    def _outcome_layer(self) -> Any:
        layers = [la for la in self._layers[1:] if la in self.dock.viewer.layers]
        return layers[0] if layers else None

    def _see(self) -> None:
        """Show either the errors of one map, or what B wins and loses."""
        both = self.sides.checkedId() == BOTH
        outcome, errors = self._outcome_layer(), named_layer(self.dock.viewer, "errors")
        for layer, seen in ((outcome, both), (errors, not both)):
            if layer is not None:
                layer.visible = seen
        self.filtered()
