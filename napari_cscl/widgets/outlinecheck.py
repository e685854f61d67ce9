"""Whether the outlines of the open parcels fit the images: by how much they do not, and outlines moved on request."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from qtpy.QtCore import QTimer
from qtpy.QtWidgets import QComboBox, QPushButton, QVBoxLayout, QWidget

from napari_cscl.aligning import PREVIEW, WAYS, Checked, check, move, preview_layer
from napari_cscl.bridge import named_layer
from napari_cscl.opening import Labels

from .parts import form, words

if TYPE_CHECKING:
    from .data import DataPanel

__all__ = ["OutlineCheck"]

SETTLE_MS = 50  # until what was found has its place in the panel


class OutlineCheck(QWidget):
    """A button that checks the outlines, what it found, and what can be done then.

    Parameters
    ----------
    panel : DataPanel
        The panel that holds it, and opens labels.
    """

    def __init__(self, panel: DataPanel) -> None:
        super().__init__()
        self.panel, self.dock, self.session = panel, panel.dock, panel.session
        self._before: Labels | None = None
        self._found: Checked | None = None
        self._soon = QTimer(self, singleShot=True, interval=SETTLE_MS)
        self._soon.timeout.connect(lambda: self.dock.pages.bring_into_view(self))
        self._build()
        self.start.clicked.connect(lambda: self.dock.act(self._check))
        self.way.textActivated.connect(lambda _: self.dock.act(self._move))
        self.use.clicked.connect(lambda: self.dock.act(self._use))
        self.undo.clicked.connect(lambda: self.dock.act(self._undo))
        self.dock.runner.cancelled.connect(self._show_way)
        self.session.cube_changed.connect(self._forget)
        self.session.labels_changed.connect(self._labels_changed)
        panel.needs |= dict.fromkeys((self.start, self.way, self.use, self.undo), ("cube", "labels"))
        self._labels_changed(None)

    def _build(self) -> None:
        self.start = QPushButton("Check outlines against the images")
        self.start.setToolTip("Find how far the outlines lie off the edges that the season shows; nothing is changed")
        self.said = words(selectable=True)
        self.way = QComboBox()
        self.way.addItems(list(WAYS))
        self.way.setToolTip(
            "Each by itself pays where parcels lie off by 2 m and more beside what all do; else it adds 1 m of noise"
        )
        self.use = QPushButton("Use the moved outlines")
        self.use.setToolTip("Labels are made of the moved outlines from now on; the file stays as it is")
        self.undo = QPushButton("Undo the move of the outlines")
        self.undo.setToolTip("Make labels of the outlines as the file has them again")
        self._ways = form(("Move them", self.way))
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        for widget in (self.start, self.said, self._ways, self.use, self.undo):
            layout.addWidget(widget)

    # --- acts --------------------------------------------------------------------------------------------------------

    def _check(self) -> None:
        opened, cube = self.panel.opened_labels, self.session.cube
        if opened is not None and cube is not None:
            job = check(opened, cube, WAYS[self.way.currentText()])
            self.dock.run(job, "Checking outlines", partial(self._checked, opened))

    def _checked(self, opened: Labels, found: Checked) -> None:
        if opened is self.panel.opened_labels:  # else others were opened meanwhile
            self._before = opened
            self._show(found)
            self._soon.start()

    def _move(self) -> None:
        if self._before is not None and self._found is not None:
            offset = self._found.offset
            job = move(self._before, offset, WAYS[self.way.currentText()])
            self.dock.run(job, "Moving outlines", lambda moved: self._show(Checked(offset, moved)))

    def _use(self) -> None:
        if self._found is not None and self._found.moved is not None:
            self.panel.unless_corrected(
                partial(self._take, self._found.moved, "Labels are made of moved outlines now.")
            )

    def _take(self, labels: Labels, told: str) -> None:
        self.panel.take_labels(labels.labels.path or Path(labels.labels.name), labels)
        self.dock.say(told)
        self._soon.start()

    def _undo(self) -> None:
        path = self.session.labels.path if self.session.labels is not None else None
        if self._before is not None:
            self.panel.unless_corrected(partial(self._take, self._before, "The outlines are those of the file again."))
        elif path is not None:
            self.panel.open_labels(path, self.panel.column.currentText() or None)

    # --- what is shown -----------------------------------------------------------------------------------------------

    def _show(self, found: Checked) -> None:
        """Say what was found, and show the outlines as they would lie."""
        self._found = found
        seen = " Orange outlines show where they would lie." if found.moved is not None else ""
        self.said.setText(found.offset.words + seen)
        if found.moved is not None:
            self.dock.add(preview_layer(found.moved, self.session.origin))
        self._refresh()

    def _labels_changed(self, _: Any) -> None:
        """Forget what was found of other outlines; what was found stays as long as it can be used or undone."""
        layers, parcels = self.dock.viewer.layers, self.session.parcels
        if (shown := named_layer(self.dock.viewer, PREVIEW)) is not None:
            layers.remove(shown)
        known = [opened.parcels for opened in (self._before, self._found and self._found.moved) if opened is not None]
        if not any(parcels is each for each in known):
            self._forget(None)
        self._refresh()
        if self._found is not None and self._before is not None and parcels is self._before.parcels:
            self._show(self._found)

    def _forget(self, _: Any) -> None:
        """Forget what was found: it holds for those outlines and those images alone."""
        self._before = self._found = None
        self.said.setText("")

    def _show_way(self) -> None:
        """Name the way again in which the outlines on show are moved."""
        if self._found is not None and self._found.moved is not None and self._found.moved.parcels is not None:
            by = self._found.moved.parcels.aligned
            self.way.setCurrentText(next(word for word, way in WAYS.items() if way == by))

    def _refresh(self) -> None:
        parcels = self.session.parcels
        moved = parcels is not None and parcels.aligned != "no"
        can_move = not moved and self._found is not None and self._found.moved is not None
        for widget, there in (
            (self, parcels is not None), (self.start, not moved), (self.said, bool(self.said.text()) and not moved),
            (self._ways, can_move), (self.use, can_move), (self.undo, moved),
        ):  # fmt: skip
            widget.setVisible(there)
