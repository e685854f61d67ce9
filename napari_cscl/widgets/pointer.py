"""The mouse in the scene: clicks that are no drags, as pixels of what is on show."""

from __future__ import annotations

from collections.abc import Callable, Generator
from typing import TYPE_CHECKING, Any

import numpy as np

from cscl.grid import GeoBox
from napari_cscl.bridge import pixel_at
from napari_cscl.session import Session

if TYPE_CHECKING:
    from napari.viewer import Viewer

__all__ = ["Pointer"]

CLICK_PX = 4
Heard = Callable[[int, int, frozenset[str]], None]


class Pointer:
    """Tells of clicks and moves above the open images; while a layer is painted or drawn on it keeps silent.

    Parameters
    ----------
    viewer : Viewer
        Whose mouse it listens to.
    session : Session
        Whose images lie in the scene.
    grid : callable
        Says of which grid pixels are told now.
    clicked, moved : callable
        Called with row, column and the held modifier keys, e.g. ``{"Shift"}``.
    """

    def __init__(
        self, viewer: Viewer, session: Session, grid: Callable[[], GeoBox | None], clicked: Heard, moved: Heard
    ) -> None:
        self.viewer, self.session, self._grid = viewer, session, grid
        self._heard_click, self._heard_move = clicked, moved
        viewer.mouse_drag_callbacks.append(self._press)
        viewer.mouse_move_callbacks.append(self._move)

    def shut(self) -> None:
        """Stop listening."""
        for callbacks, callback in (
            (self.viewer.mouse_drag_callbacks, self._press),
            (self.viewer.mouse_move_callbacks, self._move),
        ):
            if callback in callbacks:
                callbacks.remove(callback)

    def _press(self, viewer: Any, event: Any) -> Generator[None, None, None]:
        """Count as a click when released, unless the mouse was dragged to pan."""
        start = np.array(event.pos)
        yield
        while event.type == "mouse_move":
            if np.abs(np.array(event.pos) - start).max() > CLICK_PX:
                return
            yield
        self._tell(event, self._heard_click)

    def _move(self, viewer: Any, event: Any) -> None:
        self._tell(event, self._heard_move)

    def _tell(self, event: Any, heard: Heard) -> None:
        active, grid = self.viewer.layers.selection.active, self._grid()
        if grid is None or str(getattr(active, "mode", "pan_zoom")) not in ("pan_zoom", "transform"):
            return
        pixel = pixel_at(grid, self.session.origin, event.position)
        if pixel is not None:
            heard(*pixel, frozenset(str(key.name) for key in event.modifiers))
