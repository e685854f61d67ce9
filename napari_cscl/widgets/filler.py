"""Pictures that take long to read appear when they have been read: meanwhile the window answers."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import TYPE_CHECKING, Any
from weakref import WeakSet

from qtpy.QtCore import QObject

from napari_cscl.bridge import role_of
from napari_cscl.composite import SeasonImage
from napari_cscl.kept import Kept, fill
from napari_cscl.runner import JobRunner

if TYPE_CHECKING:
    from napari.viewer import Viewer

__all__ = ["Filler"]


class Filler(QObject):
    """Reads what the images on show lack, beside the window, and shows it tile by tile.

    Parameters
    ----------
    viewer : Viewer
        Whose images it serves.
    parent : QObject
        What it goes with.
    """

    def __init__(self, viewer: Viewer, parent: QObject) -> None:
        super().__init__(parent)
        self.viewer = viewer
        self.runner = JobRunner(self)
        self._served: WeakSet[Kept] = WeakSet()
        self.runner.reported.connect(self._show)
        self.runner.done.connect(self._show)

    def serve(self, data: Any) -> None:
        """Read for a layer's data from now on, best before it is shown; only images with levels need that."""
        first = next(iter(data), None) if isinstance(data, Sequence) else None
        if isinstance(first, SeasonImage):
            first.kept.called = partial(self._begin, first.kept)
            self._served.add(first.kept)

    def shut(self) -> None:
        """Read nothing any more."""
        for kept in self._served:
            kept.called = None
        self.runner.close()

    def _begin(self, kept: Kept) -> None:
        if not self.runner.busy:
            self.runner.start(fill(kept), "Reading images", None)

    def _show(self, _: Any = None) -> None:
        """Show what has come; that asks for what still lacks."""
        for layer in self.viewer.layers:
            if role_of(layer) == "season" and layer.multiscale:
                layer.refresh(extent=False, highlight=False)
