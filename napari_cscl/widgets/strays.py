"""Strays: images, labels and layers that do not lie on the open scene, and the question what to do with them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from qtpy.QtCore import QObject, QTimer, Signal

from cscl.cube import SITSCube
from cscl.errors import GridError
from cscl.grid import GeoBox, same, times_finer
from napari_cscl.bridge import KEY, grid_of, role_of, take_out
from napari_cscl.opening import place_in_words

from .offer import Offer

if TYPE_CHECKING:
    from .data import DataPanel

__all__ = ["Strays"]

WITH_THE_PLACE = ("crops", "outlines", "region", "mark")  # roles that stay when other images of the place are opened


class Strays(QObject):
    """Keeps the list of layers to one place: what lies elsewhere is taken out, and asked about.

    Parameters
    ----------
    panel : DataPanel
        Which opens what the user chooses.

    Signals
    -------
    tidied()
        The list of layers holds the open scene alone.
    """

    tidied = Signal()

    def __init__(self, panel: DataPanel) -> None:
        super().__init__(panel)
        self.panel, self.dock, self.session = panel, panel.dock, panel.session
        self.offer = Offer()
        self._aside: list[Any] = []
        self._scene: SITSCube | None = None
        self._replaced = False
        self._soon = QTimer(self, singleShot=True, interval=0)
        self._soon.timeout.connect(self._tidy)

    def arrived(self, layer: Any) -> bool:
        """Say whether a layer that came into the viewer lies on the open scene; what does not is set aside."""
        scene, grid = self.session.origin, grid_of(layer.metadata)
        if scene is None or grid is None or _lies_on(scene, layer):
            return True
        self._aside.append(layer)
        self._soon.start()
        return False

    def tidy_soon(self) -> None:
        """Take out what belongs to a former scene, once the viewer has done what it is about."""
        self._replaced |= self._scene is not None
        self._scene = self.session.cube
        self._soon.start()

    def shut(self) -> None:
        """Take nothing out of the viewer any more."""
        self._soon.stop()

    # --- what is taken out -----------------------------------------------------------------------------------------

    def _tidy(self) -> None:
        """Take layers out that belong to a former scene, or lie elsewhere, and ask what to do with the latter."""
        layers, aside = self.dock.viewer.layers, self._aside
        self._aside = []
        take_out(self.dock.viewer, [old for old in layers if old in aside or not self._belongs(old)])
        cubes = [layer.metadata[KEY]["cube"] for layer in aside if "cube" in layer.metadata[KEY]]
        if cubes:
            self.ask_about_images(cubes[-1], [layer for layer in aside if "cube" not in layer.metadata[KEY]])
        elif aside and self.session.origin is not None:
            self._complain_of(aside, self.session.origin)
        self._replaced = False
        self.tidied.emit()

    def _complain_of(self, layers: Sequence[Any], scene: GeoBox) -> None:
        names = ", ".join(layer.name for layer in layers)
        place = place_in_words(layers[0].metadata[KEY]["grid"])
        self.dock.complain(
            GridError(
                f"Not shown, because they lie elsewhere than the open scene: {names} ({place}; the scene: "
                f"{place_in_words(scene)}). Open the images that they belong to first, or open them in a new viewer."
            )
        )

    def _belongs(self, layer: Any) -> bool:
        """Whether a layer is somebody else's, or shows the open images or something that stays with them."""
        scene, grid, role = self.session.cube, grid_of(layer.metadata), role_of(layer)
        if scene is None or grid is None or role is None:
            return True
        if role == "season":
            return layer.metadata[KEY]["cube"] is scene
        if role == "prediction" and layer.metadata[KEY].get("prediction") is self.session.prediction:
            return True
        return _lies_on(scene.grid, layer) and (role in WITH_THE_PLACE or not self._replaced)

    # --- what is asked ---------------------------------------------------------------------------------------------

    def ask_about_images(self, cube: SITSCube, others: Sequence[Any] = ()) -> None:
        """Ask what to do with images that lie elsewhere; `others` are layers that came with them."""
        scene, act = self.session.cube, self.dock.act
        if scene is None:
            return
        self.offer.ask(
            f"{cube.name} does not lie on the grid of the open scene: {place_in_words(cube.grid)}; the scene "
            f"{scene.name}: {place_in_words(scene.grid)}.",
            [
                (
                    "Open it on the scene's grid",
                    "Warp each window when it is read: bilinear, or the mean for coarser pixels. Labels stay open",
                    lambda: act(lambda: self.panel.open_here(cube)),
                ),
                (
                    "Open it as a new scene",
                    "Close the open images, labels and predictions, and open these in their place",
                    lambda: act(lambda: self.panel.open_anew(cube, others)),
                ),
                ("Leave it", "Keep the open scene as it is", lambda: None),
            ],
        )
        self.dock.say(f"{cube.name} lies elsewhere than the open scene. Choose in the Data panel what to do.")
        self.dock.pages.turn_to(self.panel)

    def ask_about_labels(self, path: Path, place: GeoBox, scene: GeoBox) -> None:
        """Ask what to do with a label raster that lies elsewhere."""
        self.offer.ask(
            f"The labels {path.name} do not lie on the grid of the open scene: {place_in_words(place)}; the scene: "
            f"{place_in_words(scene)}.",
            [
                (
                    "Put them onto the scene's grid",
                    "Each pixel takes the class in which its centre lies",
                    lambda: self.dock.act(lambda: self.panel.open_labels(path, warp=True)),
                ),
                ("Leave them", "Open no labels", lambda: None),
            ],
        )
        self.dock.say(f"{path.name} lies elsewhere than the open scene. Choose in the Data panel what to do.")

    def ask_about_corrections(self, go_on: Callable[[], None]) -> None:
        """Ask before other labels are opened, as corrections by hand belong to those that are open."""
        self.offer.ask(
            "The crops were corrected by hand. Other labels take the place of the open ones and their corrections.",
            [
                ("Go on without them", "The corrections are gone then", go_on),
                ("Keep them", "Keep the open labels and their corrections", self.panel.show_column),
            ],
        )
        self.dock.say("Other labels would remove your corrections. Choose in the Data panel what to do.")
        self.dock.pages.turn_to(self.panel)


def _lies_on(scene: GeoBox, layer: Any) -> bool:
    """Whether a layer of ours lies on the grid of a scene; what is no images or labels may have finer pixels."""
    held = layer.metadata[KEY]
    exact = "cube" in held or "labels" in held
    return same(scene, held["grid"]) if exact else times_finer(held["grid"], scene) is not None
