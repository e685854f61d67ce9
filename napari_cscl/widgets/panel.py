"""What all panels share: a dock, a session, and buttons that say what they are waiting for."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from qtpy.QtWidgets import QWidget

from cscl.grid import GeoBox

if TYPE_CHECKING:
    from .dock import CSCLDock

__all__ = ["Panel"]

BUSY = "A job is running: wait for it, or cancel it below."


class Panel(QWidget):
    """One page of the dock.

    Parameters
    ----------
    dock : CSCLDock
        The dock that holds the panel, with the session, the viewer and the running job.
    """

    title: ClassVar[str] = ""
    purpose: ClassVar[str] = ""

    def __init__(self, dock: CSCLDock) -> None:
        super().__init__()
        self.dock, self.session = dock, dock.session
        self.needs: dict[QWidget, tuple[str, ...]] = {}
        self._tips: dict[QWidget, str] = {}

    @property
    def grid(self) -> GeoBox | None:
        """Grid whose pixels `picked` and `hovered` are told: that of the images, unless a panel shows finer ones."""
        return self.session.origin

    def refresh(self) -> None:
        """Enable what can be done now; what cannot says why. Called when the session changes and around jobs."""
        for widget, needed in self.needs.items():
            tip = self._tips.setdefault(widget, widget.toolTip())
            lacking = BUSY if self.dock.runner.busy else self.session.lacks(*needed)
            widget.setEnabled(not lacking)
            widget.setToolTip(lacking or tip)

    def shown(self) -> None:
        """Get ready to be looked at: this panel comes to the top."""

    def picked(self, row: int, col: int, modifiers: frozenset[str]) -> None:
        """Answer a click on a pixel of `grid` while this panel is on top."""

    def hovered(self, row: int, col: int, modifiers: frozenset[str]) -> None:
        """Answer the mouse above a pixel of `grid` while this panel is on top."""

    def shut(self) -> None:
        """Leave the viewer as it would be without the panel."""
