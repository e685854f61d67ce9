"""Keyboard shortcuts of the panel, in its own viewer only, and none of napari's."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from qtpy.QtWidgets import QPushButton

from napari_cscl.bridge import role_of

if TYPE_CHECKING:
    from .dock import CSCLDock
    from .panel import Panel

__all__ = ["Keys", "Shortcut"]


@dataclass(frozen=True)
class Shortcut:
    """A key as napari spells it, e.g. ``Alt-M``, what it does in words, and the deed."""

    key: str
    words: str
    deed: Callable[[], None]


class Keys:
    """The shortcuts of a dock, bound to its viewer until `shut`.

    Parameters
    ----------
    dock : CSCLDock
        Whose panels they work on.
    """

    def __init__(self, dock: CSCLDock) -> None:
        self.dock = dock
        self.shortcuts = (
            *(self._turn(number, panel) for number, panel in enumerate(dock.panels[:-1], 1)),
            Shortcut("F1", "this help, and back", self._help),
            Shortcut("Alt-M", "predict the crops", lambda: self._press(dock.map, dock.map.predict)),
            Shortcut("Alt-E", "find the errors", lambda: self._press(dock.boundary, dock.boundary.find)),
            Shortcut("Alt-N", "next worst parcel or edge of the table", lambda: self._case(1)),
            Shortcut("Alt-Shift-N", "the one before", lambda: self._case(-1)),
            Shortcut("Alt-V", "judge the other of two maps that are compared", dock.boundary.versus.toggle),
            Shortcut("Alt-U", "fine-tune in the region", lambda: self._press(dock.finetune, dock.finetune.start)),
            Shortcut("Alt-X", "export the map", lambda: self._press(dock.map, dock.map.files.export)),
            Shortcut("Alt-Right", "next colours of the images", lambda: self._composite(1)),
            Shortcut("Alt-Left", "former colours of the images", lambda: self._composite(-1)),
            Shortcut("Alt-B", "the map before fine-tuning and after; else the map and what lies below", self._blink),
            Shortcut("Alt-Q", "stop the job; what can be kept of it is kept", self._stop),
            Shortcut("Escape", "the same, where it ends no drawing", self._stop),
        )
        for shortcut in self.shortcuts:
            dock.viewer.bind_key(shortcut.key, lambda _, deed=shortcut.deed: dock.act(deed), overwrite=True)

    def shut(self) -> None:
        """Give the keys back."""
        for shortcut in self.shortcuts:
            self.dock.viewer.bind_key(shortcut.key, None)

    def _turn(self, number: int, panel: Panel) -> Shortcut:
        return Shortcut(f"Alt-{number}", panel.title, lambda: self.dock.pages.turn_to(panel))

    def _help(self) -> None:
        pages = self.dock.pages
        pages.turn_to(pages.former if pages.current is self.dock.help else self.dock.help)

    def _press(self, panel: Panel, button: QPushButton) -> None:
        """Press a button where it can be seen; one that cannot be pressed says why."""
        self.dock.pages.turn_to(panel)
        if button.isEnabled():
            button.click()
        else:
            self.dock.say(button.toolTip())

    def _case(self, by: int) -> None:
        self.dock.pages.turn_to(self.dock.boundary)
        self.dock.boundary.walk.step(by)

    def _composite(self, step: int) -> None:
        box = self.dock.data.composite
        if self.dock.session.cube is not None and box.count():
            box.setCurrentIndex((box.currentIndex() + step) % box.count())
            box.textActivated.emit(box.currentText())

    def _blink(self) -> None:
        former = self.dock.finetune.former
        if former.isEnabled():
            former.toggle()
            return
        for layer in self.dock.viewer.layers:
            if role_of(layer) == "prediction":
                layer.visible = not layer.visible

    def _stop(self) -> None:
        keeps = not self.dock.jobbar.keep.isHidden()
        (self.dock.finish if keeps else self.dock.cancel)()
