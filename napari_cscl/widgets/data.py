"""Data panel: open images and labels, say what is open, and choose how it is shown."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from qtpy.QtCore import QTimer
from qtpy.QtWidgets import QCheckBox, QComboBox, QFileDialog, QPushButton, QVBoxLayout, QWidget

from cscl.cube import SITSCube
from cscl.data.warp import warped
from cscl.errors import GridError
from cscl.events import Job, run
from cscl.grid import same
from napari_cscl.bridge import KEY, grid_of, role_of
from napari_cscl.composite import Composite, fitting
from napari_cscl.opening import (
    Images,
    Labels,
    count_usable,
    elsewhere,
    facts_of,
    is_small,
    labels_at_hand,
    open_images,
    open_labels,
    place_in_words,
    show_images,
)

from .offer import Offer
from .panel import Panel
from .parts import described, form, group, row, words

if TYPE_CHECKING:
    from .dock import CSCLDock

__all__ = ["DataPanel"]

ANY_BANDS = "three bands ..."
CHANNELS = ("Red", "Green", "Blue")
WITH_THE_PLACE = ("crops", "outlines", "region", "mark")  # what stays when other images of the place are opened
IMAGES = "Images (*.nc *.nc4 *.netcdf *.cdf *.tif *.tiff *.vrt *.jp2 zarr.json .zgroup .zmetadata);;All files (*)"
LABELS = "Parcels or labels (*.gpkg *.geojson *.json *.shp *.fgb *.parquet *.geoparquet *.tif *.tiff);;All files (*)"


class DataPanel(Panel):
    """Images, labels and how they are shown."""

    title = "Data"
    purpose = "Open images and labels, and choose how they are shown"

    def __init__(self, dock: CSCLDock) -> None:
        super().__init__(dock)
        self._labels_path: Path | None = None
        self._opened_labels: Labels | None = None
        self._aside: list[Any] = []
        self._soon = QTimer(self, singleShot=True)
        self.offer = Offer()
        layout = QVBoxLayout(self)
        for widget in (self.offer, self._build_images(), self._build_labels()):
            layout.addWidget(widget)
        layout.addStretch()
        self._connect()
        self._cube_changed(None)
        self._labels_changed(None)

    # --- making ----------------------------------------------------------------------------------------------------

    def _build_images(self) -> QWidget:
        self.images = QPushButton("Open folder ...")
        self.images.setToolTip("A folder with one GeoTIFF a date, the date in its name, or a Zarr store")
        self.image_file = QPushButton("Open file ...")
        self.image_file.setToolTip("A NetCDF file, or one GeoTIFF of all dates with a .json beside it that names them")
        self.about = words()
        self.count = QPushButton("Find how much is usable")
        self.count.setToolTip("Look at a part of every date; of large images this takes some seconds")
        self.composite = QComboBox()
        self.composite.setToolTip("Which bands are shown as red, green and blue; one stretch holds for all dates")
        self.bands = tuple(QComboBox() for _ in CHANNELS)
        for box, channel in zip(self.bands, CHANNELS, strict=True):
            box.setToolTip(f"Band that is shown as {channel.lower()}")
            box.setAccessibleName(f"{channel} band")
        self.masked = QCheckBox("Show unusable pixels as missing")
        self.masked.setToolTip("On: what the mask calls cloud and the like is grey. Off: what the sensor saw is shown")
        self.masked.setChecked(True)
        self.chosen_bands = row(*self.bands)
        self._look = form(("Show as", self.composite), ("", self.chosen_bands))
        return group("Images", row(self.images, self.image_file), self.about, self.count, self._look, self.masked)

    def _build_labels(self) -> QWidget:
        self.labels = QPushButton("Open parcels or labels ...")
        self.labels.setToolTip("Parcels as polygons in any reference system, or a raster of class ids")
        self.about_labels = words()
        self.column = QComboBox()
        self.column.setToolTip("Column of the parcels that holds the crop")
        self._crops = form(("Crop column", self.column))
        return group("Parcels and labels", self.labels, self.about_labels, self._crops)

    def _connect(self) -> None:
        self.images.clicked.connect(self._choose_folder)
        self.image_file.clicked.connect(self._choose_file)
        self.count.clicked.connect(lambda: self.dock.act(self._find_usable))
        self.labels.clicked.connect(self._choose_labels)
        self.column.textActivated.connect(lambda _: self.dock.act(self._open_labels_again))
        self.composite.textActivated.connect(lambda _: self.dock.act(self._show_cube))
        for box in self.bands:
            box.textActivated.connect(lambda _: self.dock.act(self._show_cube))
        self.masked.toggled.connect(lambda _: self.dock.act(self._show_cube))
        self.session.cube_changed.connect(self._cube_changed)
        self.session.labels_changed.connect(self._labels_changed)
        self._soon.timeout.connect(self._tidy)
        self.needs = {self.images: (), self.image_file: (), self.labels: ("cube",), self.column: ("labels",)}
        self.needs |= dict.fromkeys((self.count, self.composite, *self.bands, self.masked), ("cube",))

    # --- images ----------------------------------------------------------------------------------------------------

    def open_images(self, path: str | Path) -> None:
        """Open a cube as the scene of the viewer; where another scene is open, ask what to do with it."""
        self.offer.end()
        self._do(open_images(path, self.session.origin), "Opening images", self._opened, is_small(path))

    def _opened(self, images: Images) -> None:
        if images.layer is None:
            self._ask_where(images.cube)
        else:
            self.take_images(images)

    def take_images(self, images: Images) -> None:
        """Make images the scene, and show them."""
        self.session.open_cube(images.cube)
        self._put(images)
        if images.usable is not None and not images.usable.any():
            self.dock.say(f"No date of {images.cube.name} shows a usable pixel. Check its mask and its nodata value.")

    def _put(self, images: Images) -> None:
        """Show images at the date that is shown now."""
        step = self.dock.viewer.dims.current_step
        self.dock.add(images.layer)
        self._tell(images)
        if len(step) == 3:
            self.dock.viewer.dims.current_step = step

    def _tell(self, images: Images) -> None:
        """Say what is open. What is usable is found out later for images that came as a layer."""
        self._told = images
        self.about.setText(described(images.cube.name, facts_of(images), images.cube.notes))
        self.count.setVisible(images.usable is None)

    def _find_usable(self) -> None:
        if self.session.cube is not None:
            self._do(count_usable(self.session.cube), "Looking at all dates", self._tell, is_small(self.session.cube))

    def _show_cube(self) -> None:
        cube = self.session.cube
        self.chosen_bands.setVisible(self.composite.currentText() == ANY_BANDS)
        if cube is not None:
            job = show_images(cube, self._composite(), self.masked.isChecked())
            self._do(job, "Showing images", self._put, is_small(cube))

    def _composite(self) -> str | Composite:
        name = self.composite.currentText()
        return Composite(tuple(box.currentText() for box in self.bands)) if name == ANY_BANDS else name

    def _cube_changed(self, cube: SITSCube | None) -> None:
        self.composite.clear()
        for box in self.bands:
            box.clear()
        self.chosen_bands.hide()
        self._look.setVisible(cube is not None)
        self.count.hide()
        self.masked.setVisible(cube is not None and cube.clear is not None)
        if cube is None:
            self.about.setText("No images are open.")
            return
        self.composite.addItems([*fitting(cube), ANY_BANDS])
        for number, box in enumerate(self.bands):
            box.addItems(cube.bands)
            box.setCurrentIndex(max(0, min(2, len(cube.bands) - 1) - number))
        self._tell(Images(cube))
        self._soon.start(0)

    # --- images and layers that lie elsewhere ------------------------------------------------------------------------

    def arrived(self, layer: Any) -> bool:
        """Say whether a layer that came into the viewer lies on the open scene; what does not is set aside."""
        scene, grid = self.session.origin, grid_of(layer.metadata)
        if scene is None or grid is None or same(scene, grid):
            return True
        self._aside.append(layer)
        self._soon.start(0)
        return False

    def _tidy(self) -> None:
        """Take layers out that belong to a former scene, or lie elsewhere, and ask what to do with the latter."""
        layers, aside = self.dock.viewer.layers, self._aside
        self._aside = []
        for layer in [old for old in layers if old in aside or not self._belongs(old)]:
            layers.remove(layer)
        cubes = [layer.metadata[KEY]["cube"] for layer in aside if "cube" in layer.metadata[KEY]]
        if cubes:
            self._ask_where(cubes[-1], [layer for layer in aside if "cube" not in layer.metadata[KEY]])
        if self.session.cube is not None and self._told.usable is None and is_small(self.session.cube):
            self.dock.act(self._find_usable)
        if aside and not cubes:
            names = ", ".join(layer.name for layer in aside)
            place = place_in_words(aside[0].metadata[KEY]["grid"])
            scene = self.session.origin
            here = place_in_words(scene) if scene is not None else ""
            self.dock.complain(
                GridError(
                    f"Not shown, because they lie elsewhere than the open scene: {names} ({place}; the scene: {here}). "
                    "Open the images that they belong to first, or open them in a new viewer."
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
        return role in WITH_THE_PLACE and same(grid, scene.grid)

    def _ask_where(self, cube: SITSCube, others: Sequence[Any] = ()) -> None:
        scene = self.session.cube
        if scene is None:
            return
        self.offer.ask(
            f"{cube.name} does not lie on the grid of the open scene: {place_in_words(cube.grid)}; the scene "
            f"{scene.name}: {place_in_words(scene.grid)}.",
            [
                (
                    "Open it on the scene's grid",
                    "Warp each window when it is read: bilinear, or the mean for coarser pixels. Labels stay open",
                    lambda: self.dock.act(lambda: self._open_here(cube)),
                ),
                (
                    "Open it as a new scene",
                    "Close the open images, labels and predictions, and open these in their place",
                    lambda: self.dock.act(lambda: self._open_anew(cube, others)),
                ),
                ("Leave it", "Keep the open scene as it is", lambda: None),
            ],
        )
        self.dock.say(f"{cube.name} lies elsewhere than the open scene. Choose in the Data panel what to do.")
        self.dock.pages.turn_to(self)

    def _open_here(self, cube: SITSCube) -> None:
        if self.session.cube is not None:
            here = warped(cube, self.session.cube.grid)
            self._do(show_images(here), "Opening images", self.take_images, False)

    def _open_anew(self, cube: SITSCube, others: Sequence[Any]) -> None:
        def then(images: Images) -> None:
            self.take_images(images)
            for layer in others:
                self.dock.viewer.add_layer(layer)

        self._do(show_images(cube), "Opening images", then, is_small(cube))

    # --- labels ------------------------------------------------------------------------------------------------------

    def open_labels(self, path: str | Path, column: str | None = None, warp: bool = False) -> None:
        """Open parcels or a label raster of the scene; of parcels the crop column can be chosen afterwards."""
        scene = self.session.cube
        if scene is None:
            return
        self.offer.end()
        place = None if warp else elsewhere(path, scene.grid)
        if place is not None:
            self._ask_about_labels(Path(path), place_in_words(place), place_in_words(scene.grid))
            return
        known = self.session.model.card.legend if self.session.model else None
        job = open_labels(path, scene.grid, column, known, warp)
        small = is_small(path) and is_small(scene)
        self._do(job, "Opening labels", partial(self.take_labels, Path(path)), small)

    def _open_labels_again(self) -> None:
        if self._labels_path is not None:
            self.open_labels(self._labels_path, self.column.currentText() or None)

    def take_labels(self, path: Path, opened: Labels) -> None:
        """Make labels those of the scene, and show them."""
        self._opened_labels = opened
        self.session.open_labels(opened.labels, opened.parcels)
        for layer in opened.layers:
            self.dock.add(layer)
        self._labels_path = path
        if not len(opened.labels.legend):
            self.dock.say(f"{path.name} has no column with crops: its outlines are shown, enough for pre-training.")
        else:
            self.dock.say(f"{path.name} is open.")

    def _labels_changed(self, labels: Any) -> None:
        self._crops.hide()
        self.column.clear()
        if labels is None:
            self._labels_path = self._opened_labels = None
            self.about_labels.setText("No parcels or labels are open.")
        elif self._opened_labels is None or self._opened_labels.labels is not labels:
            parcels = self.session.parcels
            self._labels_path = parcels.path if parcels is not None else None
            self._tell_of(labels_at_hand(labels, parcels))
        else:
            self._tell_of(self._opened_labels)

    def _tell_of(self, opened: Labels) -> None:
        self._opened_labels = opened
        notes = opened.parcels.notes if opened.parcels is not None else ()
        self.about_labels.setText(described(opened.labels.name, opened.facts, notes))
        self.column.addItems(opened.columns)
        chosen = opened.parcels.class_column if opened.parcels is not None else None
        self.column.setCurrentText(chosen or "")
        self._crops.setVisible(bool(opened.columns))

    def _ask_about_labels(self, path: Path, place: str, scene: str) -> None:
        self.offer.ask(
            f"The labels {path.name} do not lie on the grid of the open scene: {place}; the scene: {scene}.",
            [
                (
                    "Put them onto the scene's grid",
                    "Each pixel takes the class in which its centre lies",
                    lambda: self.dock.act(lambda: self.open_labels(path, warp=True)),
                ),
                ("Leave them", "Open no labels", lambda: None),
            ],
        )
        self.dock.say(f"{path.name} lies elsewhere than the open scene. Choose in the Data panel what to do.")

    # --- what is asked of the user -------------------------------------------------------------------------------

    def _choose_folder(self) -> None:
        path = QFileDialog.getExistingDirectory(self, "Folder of images")
        if path:
            self.dock.act(lambda: self.open_images(path))

    def _choose_file(self) -> None:
        path, _ = QFileDialog.getOpenFileName(self, "Images", filter=IMAGES)
        if path:
            chosen = Path(path)
            inner = chosen.name in ("zarr.json", ".zgroup", ".zmetadata")  # the store is the folder around it
            self.dock.act(lambda: self.open_images(chosen.parent if inner else chosen))

    def _choose_labels(self) -> None:
        path, _ = QFileDialog.getOpenFileName(self, "Parcels or labels", filter=LABELS)
        if path:
            self.dock.act(lambda: self.open_labels(path))

    def _do(self, job: Job[Any], name: str, then: Callable[[Any], None], at_once: bool) -> None:
        """Run a job beside the window, or at once where it is over before anyone could see it run."""
        if at_once:
            then(run(job))
        else:
            self.dock.run(job, name, then)

    def shut(self) -> None:
        """Take nothing out of the viewer any more."""
        self._soon.stop()
