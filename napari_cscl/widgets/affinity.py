"""Affinity panel: what the model sees of each pixel, alone or beside what another model sees."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from qtpy.QtCore import Qt, QTimer
from qtpy.QtWidgets import (
    QButtonGroup,
    QComboBox,
    QFileDialog,
    QGridLayout,
    QHBoxLayout,
    QLabel,
    QPushButton,
    QSizePolicy,
    QVBoxLayout,
    QWidget,
)

from cscl.data.profiles import facts_at
from cscl.grid import GeoBox, pixel_there
from napari_cscl.looking import ALIKE, Lens, Seen, look_near, look_with, origins
from napari_cscl.sights import KINDS, Sights

from .panel import Panel
from .windowview import WindowView

if TYPE_CHECKING:
    from .dock import CSCLDock

__all__ = ["AffinityPanel"]

NAME_PX = 88  # of a model on its button
UNTRAINED = "the same network, untrained"
BEGIN = "Press the button, or click a pixel, to see the scene as the model does."
SAY = {
    "edges": "Edge strength: bright where a pixel is unlike its 8 neighbours. Good features show the parcels.",
    "similarity": "Yellow is alike to the picked pixel, blue unlike. Click, or hold Shift and move.",
    "colours": "Like colours, like features: the first three principal components as red, green and blue.",
}
LARGE = " Of this large scene, one pixel in {0} x {0} is shown; around one that you click, all of them are."
ECHO = " The head is of the pre-training: the features have moved on since."


class AffinityPanel(Panel):
    """Look at the embedding of the scene, pick pixels in it, and compare two models."""

    title = "Affinity"
    purpose = "What the model sees: edges, and which pixels it holds for alike"

    def __init__(self, dock: CSCLDock) -> None:
        super().__init__(dock)
        self.other: Lens | None = None
        self.point: tuple[int, int] | None = None
        self.sights = Sights(dock.viewer, dock.add, self._split_ended)
        self._held: dict[str, Seen] = {}
        self._offers: list[Lens | None] = []
        self._scene = 0
        self._soon = QTimer(self, singleShot=True)
        self._next = (0, 0)
        self._build()
        self._connect()
        self._offer()
        self._say()

    # --- making ----------------------------------------------------------------------------------------------------

    def _build(self) -> None:
        self.look = QPushButton("Look at the scene with the model")
        self.look.setToolTip("Computes the embedding of every pixel, once for each model; then pixels can be picked")
        self.compare = QComboBox()
        self.compare.setToolTip("See what a second model makes of the same scene, side by side")
        self.compare.setAccessibleName("Compare with")
        self.compare.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Fixed)
        self.kinds, kind_row = _choice([kind.capitalize() for kind in KINDS], list(SAY.values()))
        self.sides, self.side_row = _choice(["First", "Second", "Side by side"], ["", "", "Both models at once"])
        self.place, self.note = _text(), _text()
        self.windows = WindowView(ALIKE), WindowView(ALIKE)
        self.captions = _text(), _text()
        chosen, pictures = QHBoxLayout(), QGridLayout()
        chosen.addWidget(QLabel("Compare with"))
        chosen.addWidget(self.compare, 1)
        for side in range(2):
            pictures.addWidget(self.captions[side], 0, side)
            pictures.addWidget(self.windows[side], 1, side)
            pictures.setColumnStretch(side, 1)
        layout = QVBoxLayout(self)
        layout.addWidget(self.look)
        layout.addLayout(chosen)
        for widget in (kind_row, self.side_row, self.note, self.place):
            layout.addWidget(widget)
        layout.addLayout(pictures)
        layout.addStretch()

    def _connect(self) -> None:
        self.look.clicked.connect(lambda: self.dock.act(self.start_looking))
        self.compare.activated.connect(lambda index: self.dock.act(lambda: self._compare_chosen(index)))
        self.kinds.idClicked.connect(lambda _: self._arrange())
        self.sides.idClicked.connect(lambda _: self._arrange())
        self._soon.timeout.connect(lambda: self.dock.act(lambda: self._pick(*self._next)))
        self.needs = {self.look: ("cube", "model"), self.compare: ("cube", "model")}
        self.session.cube_changed.connect(self._another_cube)
        self.session.model_changed.connect(self._another_model)

    # --- what can be asked of it -----------------------------------------------------------------------------------

    @property
    def grid(self) -> GeoBox | None:
        """Grid whose pixels can be picked; a model of finer maps sees finer ones."""
        return self.sights.grid or self.session.origin

    def start_looking(self) -> None:
        """See the scene with the model, and with the one to compare with, if any; what was seen before is at hand."""
        if self.session.cube is None or self.session.model is None:
            return
        lenses = [Lens.of(self.session.model.folder)]
        if self.other is not None:
            lenses.append(self.other.beside(lenses[0]))
        known = [self._held.get(lens.key) for lens in lenses]
        if all(seen is not None for seen in known):
            self._looked([seen.through(lens) for seen, lens in zip(known, lenses, strict=True) if seen is not None])
            return
        place = self.dock.folder / "seen" / str(self._scene)
        job = look_with(lenses, known, self.session.cube, place, self.dock.device)
        self.dock.run(job, "Looking at the scene", self._looked)

    def compare_with(self, other: str | Path | Lens | None) -> None:
        """Choose what to compare with: a model folder, a lens, or nothing; and look with both.

        Raises
        ------
        CSCLError
            If it is no model folder.
        """
        self.other = Lens.of(other) if isinstance(other, str | Path) else other
        self._offer()
        self.sides.button(0 if self.other is None else 2).setChecked(True)
        self.start_looking()

    def picked(self, row: int, col: int, modifiers: frozenset[str]) -> None:
        """Show how alike every pixel is to this one, and its window."""
        self.point = row, col
        if self.sights.seen:
            self._pick(row, col)
            self._come_near(row, col)
        elif self.look.isEnabled():
            self.start_looking()

    def hovered(self, row: int, col: int, modifiers: frozenset[str]) -> None:
        """Follow the mouse while Shift is held; of many moves the last one counts."""
        if "Shift" in modifiers and self.sights.seen:
            self._next = row, col
            self._soon.start(0)

    def shown(self) -> None:
        """Bring what was seen back to the top."""
        if self.sights.seen:
            self._arrange()

    def hideEvent(self, event: Any) -> None:
        """Give the viewer back as it was: another panel comes to the top."""
        if not event.spontaneous():
            self.sights.restore()
        super().hideEvent(event)

    def shut(self) -> None:
        """Leave the viewer as it would be without the panel."""
        self._soon.stop()
        self.sights.shut()

    # --- showing ---------------------------------------------------------------------------------------------------

    def _looked(self, seen: Sequence[Seen]) -> None:
        self._held = {one.lens.key: one for one in seen}
        before = self.grid
        self.sights.show(seen, self.session.origin)
        if self.point is not None and before is not None and self.grid is not None:
            self._pick(*pixel_there(*self.point, before, self.grid))
        else:
            self._arrange()

    def _pick(self, row: int, col: int) -> None:
        self.point = row, col
        made = self.sights.pick(row, col)
        for side, taps_kk in self.sights.taps.items():
            self.windows[side].show_values(taps_kk)
        similarity = self.kinds.button(KINDS.index("similarity"))
        if made or not similarity.isChecked():
            similarity.setChecked(True)
            self._arrange()
        self.place.setText(self._facts(row, col))

    def _come_near(self, row: int, col: int) -> None:
        """Read the surroundings of a pixel of a large scene; a click meanwhile is answered from afar."""
        places = self.sights.lack_detail(row, col)
        if places and not self.dock.runner.busy:
            self.dock.run(look_near(self.sights.seen, places), "Reading the surroundings", self._came_near)

    def _came_near(self, seen: Sequence[Seen]) -> None:
        if [one.view for one in seen] != [one.view for one in self.sights.seen]:
            return  # another scene or model was chosen meanwhile
        self._held = {one.lens.key: one for one in seen}
        self.sights.come_near(seen)
        if self.point is not None:
            self._pick(*self.point)
        self._arrange()

    def _arrange(self) -> None:
        """Make visible what the buttons say."""
        side, two = self.sides.checkedId(), len(self.sights.seen) == 2
        if self.sights.seen and self.isVisible():
            self.sights.arrange(KINDS[self.kinds.checkedId()], (0, 1) if two and side == 2 else (side if two else 0,))
        self._say()

    def _say(self) -> None:
        seen = self.sights.seen
        step = max((one.view.step_px for one in seen), default=1)
        note = SAY[KINDS[self.kinds.checkedId()]] if seen else BEGIN
        self.note.setText(note + (LARGE.format(step) if step > 1 else ""))
        self.side_row.setVisible(len(seen) == 2)
        for side, (view, caption) in enumerate(zip(self.windows, self.captions, strict=True)):
            there = side < len(seen) and self.point is not None
            view.setVisible(there)
            caption.setVisible(there)
            if side < len(seen):
                name, echo = seen[side].lens.name, ECHO if seen[side].is_echo else ""
                caption.setText(f"{name}: {seen[side].measure}.{echo}")
                button = self.sides.button(side)
                button.setText(button.fontMetrics().elidedText(name, Qt.TextElideMode.ElideMiddle, NAME_PX))
                button.setToolTip(f"Show {name} alone")

    def _facts(self, row: int, col: int) -> str:
        if self.grid is None:
            return ""
        place = facts_at(self.grid, row, col, self.session.labels)
        crop = f", {place.crop}" if place.crop else ""
        return f"Picked: row {row}, column {col}{crop}\nE {place.easting:.0f}, N {place.northing:.0f}"

    # --- what changes elsewhere ------------------------------------------------------------------------------------

    def _split_ended(self) -> None:
        """Show one model alone: somebody else added or removed a layer."""
        self.sides.button(0).setChecked(True)
        QTimer.singleShot(0, self._arrange)

    def _another_cube(self, *_: Any) -> None:
        self._scene += 1
        self._held = {}
        self._forget()

    def _another_model(self, *_: Any) -> None:
        self.other = None
        self._forget()
        self._offer()

    def _forget(self) -> None:
        """Another scene or model: what was seen no longer holds."""
        self._soon.stop()
        self.sights.restore()
        self.sights.clear()
        self.point = None
        self.place.setText("")
        self._say()

    def _offer(self) -> None:
        """Fill the list of what to compare with."""
        model = self.session.model
        self._offers = [None]
        if model is not None:
            self._offers += [*origins(model.folder), Lens.of(model.folder, untrained=True)]
        if self.other not in self._offers:
            self._offers.append(self.other)
        self.compare.clear()
        words = ["nothing", *(UNTRAINED if lens.untrained else lens.name for lens in self._offers if lens)]
        self.compare.addItems([*words, "another model ..."])
        self.compare.setCurrentIndex(self._offers.index(self.other))

    def _compare_chosen(self, index: int) -> None:
        if index < len(self._offers):
            self.compare_with(self._offers[index])
            return
        self.compare.setCurrentIndex(self._offers.index(self.other))
        path = QFileDialog.getExistingDirectory(self, "Model folder to compare with")
        if path:
            self.compare_with(path)


def _text() -> QLabel:
    label = QLabel("")
    label.setWordWrap(True)
    label.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Preferred)
    return label


def _choice(titles: Sequence[str], tips: Sequence[str]) -> tuple[QButtonGroup, QWidget]:
    """Make a row of buttons of which one is down."""
    row = QWidget()
    layout = QHBoxLayout(row)
    layout.setContentsMargins(0, 0, 0, 0)
    layout.setSpacing(2)
    group = QButtonGroup(row)
    for number, (title, tip) in enumerate(zip(titles, tips, strict=True)):
        button = QPushButton(title)
        button.setCheckable(True)
        button.setToolTip(tip)
        button.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Fixed)
        group.addButton(button, number)
        layout.addWidget(button)
    group.button(0).setChecked(True)
    return group, row
