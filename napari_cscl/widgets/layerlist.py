"""The list of layers: what is open is what lies there, each layer of ours at its place, however it came."""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING, Any

from qtpy.QtCore import QObject, QTimer

from napari_cscl.bridge import KEY, LayerData, grid_of, is_of_other_labels, place_layer, replace_layer, take_out

if TYPE_CHECKING:
    from .dock import CSCLDock

__all__ = ["LayerList"]


class LayerList(QObject):
    """Keeps the session of a dock and the layers of its viewer the same.

    Parameters
    ----------
    dock : CSCLDock
        The dock, whose panels stand already.
    """

    def __init__(self, dock: CSCLDock) -> None:
        super().__init__(dock)
        self.dock, self.session, self.layers = dock, dock.session, dock.viewer.layers
        self._adding = self._lost = False
        self._brought: list[Any] = []  # layers that others put into the list, at its top
        self._soon = QTimer(self, singleShot=True, interval=0)
        self._soon.timeout.connect(self._tidy)
        self.layers.events.inserted.connect(self._inserted)
        self.layers.events.removed.connect(self._removed)
        for layer in list(self.layers):
            self._adopt(layer)

    def add(self, layer: LayerData) -> Any:
        """Show a layer, in the place of a former one of the same name; the active layer stays the active one."""
        active = self.layers.selection.active
        self.dock.filler.serve(layer[0])
        self._adding = True
        try:
            added = replace_layer(self.dock.viewer, layer)
        finally:
            self._adding = False
        if active is not None and active in self.layers:
            self.layers.selection.active = active
        return added

    def shut(self) -> None:
        """Leave the list alone."""
        with suppress(RuntimeError):  # Qt has deleted it where the window went as a whole
            self._soon.stop()
        self.layers.events.inserted.disconnect(self._inserted)
        self.layers.events.removed.disconnect(self._removed)

    # --- what comes ------------------------------------------------------------------------------------------------

    def _inserted(self, event: Any) -> None:
        self._adopt(event.value)
        if not self._adding:
            self._brought.append(event.value)
        self._soon.start()

    def _adopt(self, layer: Any) -> None:
        """Take up what a layer of ours holds."""
        dock, session = self.dock, self.session
        if not dock.data.strays.arrived(layer):
            return
        dock.filler.serve(layer.data)
        held = layer.metadata.get(KEY, {})
        if "cube" in held:
            dock.act(lambda: session.open_cube(held["cube"]))
            dock.viewer.canvas.overlays.scale_bar.visible = True
        if "labels" in held and held["labels"] is not session.labels:
            dock.act(lambda: session.open_labels(held["labels"], held.get("parcels")))
            dock.say(f"{held['labels'].name} is open. {dock.what_next()}")
        if "prediction" in held and held["prediction"] is not session.prediction:
            dock.act(lambda: session.open_prediction(held["prediction"]))

    # --- what goes -------------------------------------------------------------------------------------------------

    def _removed(self, event: Any) -> None:
        """Look a moment later whether something was closed: a layer that is shown anew is removed and inserted."""
        if KEY in event.value.metadata:
            self._lost = True
            self._soon.start()

    def _tidy(self) -> None:
        if self._lost:
            self._lost = False
            self._close_what_is_gone()
        self._take_up_labels()
        brought, self._brought = self._brought, []
        for layer in [la for la in brought if la in self.layers]:
            place_layer(self.dock.viewer, layer)

    def _close_what_is_gone(self) -> None:
        """Close what no layer shows any more."""
        held = [value for layer in self.layers for value in layer.metadata.get(KEY, {}).values()]
        for name in self.session.close_all_but(held):
            self.dock.say(f"{name} was closed, as its layer was removed.")

    def _take_up_labels(self) -> None:
        """Remove layers of former labels; where none are open, take up those that lie there still."""
        if self.session.cube is None:
            return
        if self.session.labels is None:
            for layer in [
                la for la in self.layers if grid_of(la.metadata) is not None and "labels" in la.metadata[KEY]
            ]:
                self._adopt(layer)
        else:
            take_out(self.dock.viewer, [la for la in self.layers if is_of_other_labels(la, self.session.labels)])
