"""The layers of what models see of a scene: one model's, or two models' side by side. It knows napari and no Qt."""

from __future__ import annotations

from collections.abc import Callable, Generator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from numpy.typing import NDArray

from cscl.grid import GeoBox, pixel_there
from napari_cscl.bridge import LayerData, frame, take_out
from napari_cscl.looking import Seen
from napari_cscl.stage import Stage

if TYPE_CHECKING:
    from napari.viewer import Viewer

__all__ = ["KINDS", "Sights"]

KINDS = ("edges", "similarity", "colours")


class Sights:
    """Layers of one model or two, one kind of them visible at a time; and those of a picked pixel.

    Parameters
    ----------
    viewer : Viewer
        Where they lie.
    add : callable
        Adds a layer at its place in the list and returns it.
    split_ended : callable
        Called when somebody else changes the list of layers: they no longer fit side by side then.
    """

    def __init__(self, viewer: Viewer, add: Callable[[LayerData], Any], split_ended: Callable[[], None]) -> None:
        self.viewer, self._add, self._split_ended = viewer, add, split_ended
        self.seen: tuple[Seen, ...] = ()
        self.origin: GeoBox | None = None
        self.taps: dict[int, NDArray[Any]] = {}  # similarities of the picked pixel to its window, (k, k), by model
        self._stage = Stage(viewer)
        self._layers: dict[tuple[int, str], Any] = {}
        self._busy = 0
        for event in (viewer.layers.events.inserted, viewer.layers.events.removed):
            event.connect(self._changed)

    @property
    def grid(self) -> GeoBox | None:
        """Grid whose pixels can be picked: the finest of those that the models see; None if nothing was seen."""
        return max((one.view.embedding.grid for one in self.seen), key=lambda grid: grid.shape[0], default=None)

    def show(self, seen: Sequence[Seen], origin: GeoBox | None) -> None:
        """Take up what was seen, in the place of what was seen before."""
        self.clear()
        self.seen, self.origin = tuple(seen), origin
        for side, one in enumerate(self.seen):
            self._put(side, "edges", one.edges(origin))
            self._put(side, "colours", one.colours(origin))

    def pick(self, row: int, col: int) -> bool:
        """Show how alike a pixel of `grid` is to the scene and to its window; return whether a layer had to be made."""
        grid = self.grid
        if grid is None:
            return False
        places = [pixel_there(row, col, grid, one.view.embedding.grid) for one in self.seen]
        made = [self._similarity(side, *place) for side, place in enumerate(places)]
        made += [self._near(side, *place) for side, place in enumerate(places)]
        made += [self._window(side, *place) for side, place in enumerate(places)]
        return any(made)

    def lack_detail(self, row: int, col: int) -> list[tuple[int, int]]:
        """Places, one in each of what was seen, around which a large scene is still to be read; none if it is there."""
        if self.grid is None:
            return []
        places = [pixel_there(row, col, self.grid, one.view.embedding.grid) for one in self.seen]
        return places if any(one.lacks_detail(*at) for one, at in zip(self.seen, places, strict=True)) else []

    def come_near(self, seen: Sequence[Seen]) -> None:
        """Take up what was seen around a pixel, in the place of what was seen around another."""
        self.seen = tuple(seen)
        for side, one in enumerate(self.seen):
            self._put(side, "edges near", one.near_edges(self.origin))
            with self._quiet():
                former = self._layer(side, "similarity near")
                if former is not None:  # its place and size change
                    self.viewer.layers.remove(former)

    def arrange(self, kind: str, sides: Sequence[int]) -> None:
        """Make one kind visible, of the given sides; two of them lie side by side."""
        with self._quiet():
            for (side, what), layer in self._layers.items():
                layer.visible = side in sides and what in (kind, f"{kind} near", "window")
            self._stage.uncover()
            kinds = [what for (side, what) in self._layers if side == 0]
            groups = [[self._layer(side, what) for what in kinds] for side in range(len(self.seen))]
            if len(sides) == 2 and all(layer is not None for group in groups for layer in group):
                self._stage.split(*groups)
            else:
                self._stage.join()

    def restore(self) -> None:
        """Give the viewer back as it was; our layers stay."""
        with self._quiet():
            self._stage.restore()

    def clear(self) -> None:
        """Remove our layers, and forget what was seen."""
        with self._quiet():
            self._stage.join()
            take_out(self.viewer, self._layers.values())
        self._layers, self.taps, self.seen = {}, {}, ()

    def shut(self) -> None:
        """Leave the viewer's events."""
        self.restore()
        for event in (self.viewer.layers.events.inserted, self.viewer.layers.events.removed):
            event.disconnect(self._changed)

    def _similarity(self, side: int, row: int, col: int) -> bool:
        from cscl.inference.similarity import similarity_to

        seen, layer = self.seen[side], self._layer(side, "similarity")
        if layer is None:
            self._put(side, "similarity", seen.similarity(similarity_to(seen.view, row, col), self.origin))
            return True
        similarity_to(seen.view, row, col, out=layer.data)
        layer.refresh(thumbnail=False, highlight=False, extent=False)
        return False

    def _near(self, side: int, row: int, col: int) -> bool:
        from cscl.inference.similarity import similarity_to

        seen, layer = self.seen[side], self._layer(side, "similarity near")
        if seen.near is None:
            return False
        if layer is None:
            self._put(side, "similarity near", seen.near_similarity(similarity_to(seen.near, row, col), self.origin))
            return True
        similarity_to(seen.near, row, col, out=layer.data)
        layer.refresh(thumbnail=False, highlight=False, extent=False)
        return False

    def _window(self, side: int, row: int, col: int) -> bool:
        seen, layer = self.seen[side], self._layer(side, "window")
        values, dilation = self._window_values(side, row, col)
        self.taps[side] = values[::dilation, ::dilation]
        if layer is None:
            made = self._put(side, "window", seen.window(values, row, col, self.origin))
            made.bounding_box.points, made.bounding_box.line_color = False, "white"
            made.bounding_box.visible = True
            return True
        layer.data[:] = values
        # Told of a move, the viewer would work out the extent of all layers again: that takes longer than all else.
        with layer.events.translate.blocker(), layer.events.extent.blocker():
            layer.translate = frame(seen.window_grid(len(values), row, col), self.origin)["translate"]
        return False

    def _window_values(self, side: int, row: int, col: int) -> tuple[NDArray[Any], int]:
        """Return the window of a pixel and its dilation; without a head it is as large as that of the other side."""
        from cscl.inference.window import affinity_at, cosine_at

        seen = self.seen[side]
        heads = [one.head for one in (seen, *self.seen) if one.head is not None]
        window, dilation = (heads[0].options.window, heads[0].options.dilation) if heads else (3, 1)
        if seen.head is not None:
            return affinity_at(seen.view, row, col, seen.head), dilation
        return cosine_at(seen.view, row, col, window, dilation), dilation

    def _put(self, side: int, what: str, layer: LayerData) -> Any:
        with self._quiet():
            self._layers[side, what] = self._add(layer)
        return self._layers[side, what]

    def _layer(self, side: int, what: str) -> Any:
        """Layer of ours that is still in the list; None if there is none, or the user removed it."""
        layer = self._layers.get((side, what))
        return layer if layer is not None and layer in self.viewer.layers else None

    @contextmanager
    def _quiet(self) -> Generator[None, None, None]:
        """Change the list of layers ourselves."""
        self._busy += 1
        try:
            yield
        finally:
            self._busy -= 1

    def _changed(self, event: Any) -> None:
        if not self._busy and self._stage.is_split:
            self._split_ended()
