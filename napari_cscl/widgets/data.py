"""Data panel: open images and labels, say what is open, and choose how it is shown."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from qtpy.QtWidgets import QCheckBox, QComboBox, QFileDialog, QPushButton, QVBoxLayout, QWidget

from cscl.cube import SITSCube
from cscl.data.readers import ReadOptions
from cscl.data.warp import warped
from cscl.events import Job, run
from cscl.grid import same
from cscl.inference.offset import By
from napari_cscl.aligning import open_aligned
from napari_cscl.composite import Composite, fitting
from napari_cscl.forms import Form
from napari_cscl.opening import (
    Images,
    Labels,
    count_usable,
    elsewhere,
    facts_of,
    files_that_open,
    is_small,
    labels_at_hand,
    open_images,
    open_labels,
    show_images,
)

from .fromlayers import FromLayers
from .outlinecheck import OutlineCheck
from .panel import Panel
from .parts import described, form, group, row, words
from .strays import Strays

if TYPE_CHECKING:
    from .dock import CSCLDock

__all__ = ["DataPanel"]

ANY_BANDS = "three bands ..."
CHANNELS = ("Red", "Green", "Blue")
READING = {
    "": "For the images that are opened next", "crs": "CRS, if none", "warp": "Warp to CRS",
    "scl": "SCL left out", "pixel_m": "Pixel (m)", "dilate_m": "Cloud margin (m)",
    "cloud_probability": "Clouds above (%)", "mask": "Mask",
}  # fmt: skip
LABELS = "Parcels or labels (*.gpkg *.geojson *.json *.shp *.fgb *.parquet *.geoparquet *.tif *.tiff);;All files (*)"


class DataPanel(Panel):
    """Images, labels and how they are shown."""

    title = "Data"
    purpose = "Open images and labels, and choose how they are shown"

    def __init__(self, dock: CSCLDock) -> None:
        super().__init__(dock)
        self._labels_path: Path | None = None
        self._opened_labels: Labels | None = None
        self.strays = Strays(self)
        layout = QVBoxLayout(self)
        for widget in (self.strays.offer, self._build_images(), self._build_labels()):
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
        self.from_layers = FromLayers(self)
        self.reading = Form(ReadOptions(), titles=READING, more="How images are read")
        self.again = QPushButton("Open these images again so")
        self.again.setToolTip("Read the open images once more, as the form above says")
        self.reading.more.toggled.connect(self._arrange_again)
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
        return group(
            "Images", row(self.images, self.image_file), self.from_layers, self.reading, self.again, self.about,
            self.count, self._look, self.masked,
        )  # fmt: skip

    def _build_labels(self) -> QWidget:
        self.labels = QPushButton("Open parcels or labels ...")
        self.labels.setToolTip("Parcels as polygons in any reference system, or a raster of class ids")
        self.about_labels = words()
        self.column = QComboBox()
        self.column.setToolTip("Column of the parcels that holds the crop")
        self._crops = form(("Crop column", self.column))
        self.outlines = OutlineCheck(self)
        return group("Parcels and labels", self.labels, self.about_labels, self._crops, self.outlines)

    def _connect(self) -> None:
        self.images.clicked.connect(self._choose_folder)
        self.image_file.clicked.connect(self._choose_file)
        self.again.clicked.connect(lambda: self.dock.act(self._open_again))
        self.count.clicked.connect(lambda: self.dock.act(self._find_usable))
        self.labels.clicked.connect(self._choose_labels)
        self.column.textActivated.connect(lambda _: self.dock.act(self._open_labels_again))
        self.composite.textActivated.connect(lambda _: self.dock.act(self._show_cube))
        for box in self.bands:
            box.textActivated.connect(lambda _: self.dock.act(self._show_cube))
        self.masked.toggled.connect(lambda _: self.dock.act(self._show_cube))
        self.session.cube_changed.connect(self._cube_changed)
        self.session.labels_changed.connect(self._labels_changed)
        self.strays.tidied.connect(self._find_usable_of_small)
        self.needs |= {
            self.images: (),
            self.image_file: (),
            self.from_layers.start: (),
            self.labels: ("cube",),
            self.column: ("labels",),
        }
        self.needs |= dict.fromkeys((self.count, self.composite, *self.bands, self.masked), ("cube",))

    # --- images ----------------------------------------------------------------------------------------------------

    def open_images(self, path: str | Path) -> None:
        """Open a cube as the scene of the viewer; where another scene is open, ask what to do with it."""
        self.strays.offer.end()
        job = open_images(path, self.session.origin, self.reading.get())
        self._do(job, "Opening images", self._opened, is_small(path))

    def _open_again(self) -> None:
        """Read the open images once more; they replace the scene wherever they lie now."""
        cube = self.session.cube
        if cube is not None and cube.path is not None:
            job = open_images(cube.path, reading=self.reading.get())
            self._do(job, "Opening images", self.take_images, is_small(cube.path))

    def _arrange_again(self) -> None:
        cube = self.session.cube
        self.again.setVisible(self.reading.more.isChecked() and cube is not None and cube.path is not None)

    def _opened(self, images: Images) -> None:
        if images.layer is None:
            self.strays.ask_about_images(images.cube)
        else:
            self.take_images(images)

    def open_cube(self, cube: SITSCube) -> None:
        """Open images that are at hand as the scene; where another scene is open, ask what to do with them."""
        self.strays.offer.end()
        if self.session.origin is not None and not same(cube.grid, self.session.origin):
            self.strays.ask_about_images(cube)
        else:
            self._do(show_images(cube), "Opening images", self.take_images, is_small(cube))

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

    def _find_usable_of_small(self) -> None:
        """Count at once what is usable of images that came as a layer, where that takes no time."""
        if self.session.cube is not None and self._told.usable is None and is_small(self.session.cube):
            self.dock.act(self._find_usable)

    def _show_cube(self) -> None:
        cube = self.session.cube
        self.chosen_bands.setVisible(self.composite.currentText() == ANY_BANDS)
        if cube is not None:
            job = show_images(cube, self._composite(), self.masked.isChecked())
            self._do(job, "Showing images", self._put, is_small(cube))

    def _composite(self) -> str | Composite:
        name = self.composite.currentText()
        return Composite(tuple(box.currentText() for box in self.bands)) if name == ANY_BANDS else name

    def open_here(self, cube: SITSCube) -> None:
        """Open images that lie elsewhere on the grid of the scene."""
        if self.session.cube is not None:
            here = warped(cube, self.session.cube.grid)
            self._do(show_images(here), "Opening images", self.take_images, False)

    def open_anew(self, cube: SITSCube, others: Sequence[Any] = ()) -> None:
        """Open images in the place of the scene, and then the layers that came with them."""

        def then(images: Images) -> None:
            self.take_images(images)
            for layer in others:
                self.dock.viewer.add_layer(layer)

        self._do(show_images(cube), "Opening images", then, is_small(cube))

    def _cube_changed(self, cube: SITSCube | None) -> None:
        self.composite.clear()
        for box in self.bands:
            box.clear()
        self.chosen_bands.hide()
        self._look.setVisible(cube is not None)
        self.count.hide()
        self._arrange_again()
        self.masked.setVisible(cube is not None and cube.clear is not None)
        if cube is None:
            self.about.setText("No images are open.")
            return
        self.composite.addItems([*fitting(cube), ANY_BANDS])
        for number, box in enumerate(self.bands):
            box.addItems(cube.bands)
            box.setCurrentIndex(max(0, min(2, len(cube.bands) - 1) - number))
        self._tell(Images(cube))
        self.strays.tidy_soon()

    # --- labels ------------------------------------------------------------------------------------------------------

    @property
    def opened_labels(self) -> Labels | None:
        """The open labels, and what there is to say of them."""
        return self._opened_labels

    def open_labels(
        self, path: str | Path, column: str | None = None, warp: bool = False, by: By | None = None
    ) -> None:
        """Open parcels or a label raster of the scene; of parcels the crop column can be chosen afterwards.

        With `by`, outlines are moved back onto the images in this way.
        """
        self.strays.offer.end()
        self.unless_corrected(partial(self._open_labels, path, column, warp, by))

    def unless_corrected(self, go_on: Callable[[], None]) -> None:
        """Go on with other labels; where the open ones were corrected by hand, ask first."""
        if self.dock.finetune.region.has_corrections():
            self.strays.ask_about_corrections(lambda: self.dock.act(go_on))
        else:
            go_on()

    def _open_labels(self, path: str | Path, column: str | None, warp: bool, by: By | None) -> None:
        scene = self.session.cube
        if scene is None:
            return
        place = None if warp else elsewhere(path, scene.grid)
        if place is not None:
            self.strays.ask_about_labels(Path(path), place, scene.grid)
            return
        known = self.session.model.card.legend if self.session.model else None
        there = open_labels(path, scene.grid, column, known, warp)
        job = there if by is None else open_aligned(path, scene, column, known, by)
        small = by is None and is_small(path) and is_small(scene)
        self._do(job, "Opening labels", partial(self.take_labels, Path(path)), small)

    def _open_labels_again(self) -> None:
        parcels = self.session.parcels
        if self._labels_path is not None:
            by = parcels.aligned if parcels is not None and parcels.aligned != "no" else None
            self.open_labels(self._labels_path, self.column.currentText() or None, by=by)

    def show_column(self) -> None:
        """Show the column again that the open labels come from."""
        parcels = self.session.parcels
        self.column.setCurrentText((parcels.class_column if parcels is not None else None) or "")

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
        notes = opened.labels.notes
        self.about_labels.setText(described(opened.labels.name, opened.facts, notes))
        self.column.addItems(opened.columns)
        chosen = opened.parcels.class_column if opened.parcels is not None else None
        self.column.setCurrentText(chosen or "")
        self._crops.setVisible(bool(opened.columns))

    # --- what is asked of the user -------------------------------------------------------------------------------

    def _choose_folder(self) -> None:
        path = QFileDialog.getExistingDirectory(self, "Folder of images")
        if path:
            self.dock.act(lambda: self.open_images(path))

    def _choose_file(self) -> None:
        path, _ = QFileDialog.getOpenFileName(self, "Images", filter=files_that_open())
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
        self.strays.shut()
