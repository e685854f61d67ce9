"""What is on the canvas: some layers alone, or two groups of them side by side, and the viewer as it was afterwards.

It knows napari and no Qt. napari's grid puts each ``stride`` neighbours of the list into one cell, counted from the
top, and makes no cell where nothing is visible: so the two groups go to the top, one above the other, and all else is
hidden meanwhile.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from typing import TYPE_CHECKING, Any

from napari_cscl.bridge import place_layer, role_of

if TYPE_CHECKING:
    from napari.viewer import Viewer

__all__ = ["Stage"]

COVERING = ("crops", "prediction", "errors")  # roles that lie above a raster and would hide it


class Stage:
    """Hides what is in the way in one viewer, and gives it back.

    Parameters
    ----------
    viewer : Viewer
        The viewer.
    """

    def __init__(self, viewer: Viewer) -> None:
        self.viewer = viewer
        self._hidden: list[Any] = []
        self._raised: list[Any] = []
        self._before: dict[str, Any] | None = None

    @property
    def is_split(self) -> bool:
        """Whether two groups are side by side."""
        return self._before is not None

    def uncover(self, covering: Collection[str] = COVERING) -> None:
        """Hide the layers of some roles: by default maps of classes, which would lie above a raster."""
        self._hide(layer for layer in self.viewer.layers if role_of(layer) in covering)

    def split(self, left: Sequence[Any], right: Sequence[Any]) -> None:
        """Show two groups, as many layers in each, side by side under one camera; those that are not visible stay so.

        The same part of the scene is seen in each half.
        """
        ours = [*left, *right]
        self._hide(layer for layer in self.viewer.layers if layer not in ours)
        grid, camera = self.viewer.canvas.grid, self.viewer.scene.camera
        if self._before is None:
            self._before = {name: getattr(grid, name) for name in ("enabled", "shape", "stride")}
            self._before |= {"center": camera.center, "zoom": camera.zoom}
        self._raised = ours
        for layer in (*right, *left):
            self.viewer.layers.move(self.viewer.layers.index(layer), len(self.viewer.layers))
        grid.stride, grid.shape = -len(left), (1, 2)
        if not grid.enabled:
            center, zoom = camera.center, camera.zoom
            grid.enabled = True
            camera.center, camera.zoom = center, zoom / 2

    def join(self) -> None:
        """End the side by side: grid, camera and order of the layers are as they were."""
        if self._before is None:
            return
        before, self._before = self._before, None
        grid, camera = self.viewer.canvas.grid, self.viewer.scene.camera
        for name in ("enabled", "shape", "stride"):
            setattr(grid, name, before[name])
        camera.center, camera.zoom = before["center"], before["zoom"]
        for layer in self._raised:
            if layer in self.viewer.layers:
                place_layer(self.viewer, layer)
        self._raised = []

    def restore(self) -> None:
        """Show what was hidden, in one cell."""
        self.join()
        hidden, self._hidden = self._hidden, []
        for layer in hidden:
            if layer in self.viewer.layers:
                layer.visible = True

    def _hide(self, layers: Iterable[Any]) -> None:
        for layer in layers:
            if layer.visible:
                layer.visible = False
                self._hidden.append(layer)
