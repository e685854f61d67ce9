"""The errors on the map: their layer, the outline of what is looked at, and the way there."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from napari_cscl.boundaryview import error_colours, errors_layer, outline_layer, outlines, view_of
from napari_cscl.bridge import take_out

if TYPE_CHECKING:
    from cscl.inference.explore import ErrorAtlas

    from .dock import CSCLDock

__all__ = ["ErrorMap"]


class ErrorMap:
    """Layers of a viewer, made when they are first needed and written anew afterwards.

    Parameters
    ----------
    dock : CSCLDock
        Whose viewer has them.
    """

    def __init__(self, dock: CSCLDock) -> None:
        self.dock = dock
        self._layer: Any = None
        self._mark: Any = None
        self._moved: Any = None
        self._veiled = False

    def show(self, kinds_YX: NDArray[np.uint8], atlas: ErrorAtlas, *, right_too: bool) -> None:
        """Show kinds of error, and where some pixels were chosen also the right ones of these, as a veil."""
        if self._there(self._layer):
            np.copyto(self._layer.data, kinds_YX)
        else:
            self._layer = self.dock.add(errors_layer(kinds_YX, atlas.grid, self.dock.session.origin))
            self._veiled = False
        if right_too != self._veiled:
            self._layer.colormap, self._veiled = error_colours(right_too), right_too
        else:
            self._layer.refresh(thumbnail=False, highlight=False, extent=False)

    def show_moved(self, layer: Any) -> None:
        """Show how far edges moved, with a bar that tells the colours."""
        self._moved = self.dock.add(layer)
        self._moved.colorbar.visible = True
        self.see_moved(True)

    def see_moved(self, wanted: bool) -> bool:
        """Let how far edges moved be seen instead of the errors, or these again; False if it is not there."""
        for layer, seen in ((self._moved, wanted), (self._layer, not wanted)):
            if self._there(layer):
                layer.visible = seen
        return self._there(self._moved)

    def fly_to(self, row: Any, atlas: ErrorAtlas) -> None:
        """Look at the pixels of a row of the tables."""
        viewer = self.dock.viewer
        camera = viewer.scene.camera
        camera.center, camera.zoom = view_of(row, atlas.grid, self.dock.session.origin, viewer.canvas.size)

    def outline(self, row: Any, atlas: ErrorAtlas) -> None:
        """Outline the parcel of a row, or the two of an edge."""
        sides = outlines(atlas, row)
        if self._there(self._mark):
            self._mark.data, self._mark.visible = sides, True
        else:
            self._mark = self.dock.add(outline_layer(sides, atlas.grid, self.dock.session.origin))

    def unmark(self) -> None:
        """Hide the outline: napari takes half a second to remove a layer, as it collects garbage then."""
        if self._there(self._mark):
            self._mark.visible = False

    def clear_moved(self) -> None:
        """Take away how far edges moved: the errors are those of another map."""
        take_out(self.dock.viewer, [self._moved])
        self._moved = None

    def clear(self) -> None:
        """Take all of them away."""
        take_out(self.dock.viewer, (self._mark, self._moved, self._layer))
        self._mark = self._moved = self._layer = None

    def _there(self, layer: Any) -> bool:
        return layer is not None and layer in self.dock.viewer.layers
