"""Profiles panel: curves over the season of the pixels or parcels that are clicked."""

from __future__ import annotations

from collections.abc import Generator, Mapping
from html import escape
from typing import TYPE_CHECKING, Any

from qtpy.QtCore import QTimer
from qtpy.QtWidgets import QCheckBox, QComboBox, QLabel, QPushButton, QRadioButton, QVBoxLayout

from cscl.cube import SITSCube
from cscl.data.profiles import Place, Profile, facts_at, parcel_profile, pixel_profile, quantities
from cscl.events import Event
from cscl.products import LabelMap
from napari_cscl.marks import marks_layer, move_marks
from napari_cscl.runner import JobRunner

from .cropsbeside import CropsBeside
from .panel import Panel
from .parts import row, words
from .plot import LINE_COLOURS, PlotCanvas
from .seasonplot import ALL_BANDS, Curve, draw_season, nearest_date

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from .dock import CSCLDock

__all__ = ["ProfilesPanel"]

MARKS = "profiles: clicked pixels"
SLIDER_WAIT_MS = 250
HINT = "Click a pixel of the images; hold Shift to keep the former ones."

Pixel = tuple[int, int]


class ProfilesPanel(Panel):
    """Curves of clicked pixels or parcels, what is known about them, and the average curves of crops beside them.

    Pixels are read beside the window by a runner of the panel's own, so that one can look while a job runs.
    """

    title = "Profiles"
    purpose = "Curves of clicked pixels or parcels over the season"

    def __init__(self, dock: CSCLDock) -> None:
        super().__init__(dock)
        self.picks: list[Pixel] = []
        self.curves: dict[Pixel, Profile] = {}
        self.places: dict[Pixel, Place] = {}
        self.reader = JobRunner(self)
        self._age = 0  # what was asked before the scene changed is not wanted any more
        self._listening = False
        self._build()
        self._connect()
        self._cube_changed(self.session.cube)

    def _build(self) -> None:
        self.quantity = QComboBox()
        self.quantity.setToolTip("Index or band to draw; all bands are those of the last click")
        self.pixel, self.parcel = QRadioButton("Pixel"), QRadioButton("Parcel")
        self.pixel.setToolTip("Curve of the clicked pixel")
        self.pixel.setChecked(True)
        self.compare = QCheckBox("Compare")
        self.compare.setToolTip("Keep former clicks, up to six. Shift + click does the same once")
        self.clear = QPushButton("Clear")
        self.clear.setToolTip("Forget the clicked pixels")
        self.plot = PlotCanvas(self.dock.viewer, 225)
        self.plot.setAccessibleName("Curves over the season")
        self.plot.setToolTip("Click to show a date. Hollow marks: dates without a usable pixel")
        self.beside = CropsBeside(self.dock)
        self.facts = words(HINT)
        self.needs |= dict.fromkeys(self.beside.lists, ("cube", "labels"))
        shown = row(QLabel("Show"), self.quantity, self.pixel, self.parcel, wide=(self.quantity,))
        layout = QVBoxLayout(self)
        for widget in (shown, self.beside, self.plot, row(self.compare, self.clear), self.facts):
            layout.addWidget(widget)
        layout.addStretch()

    def _connect(self) -> None:
        self._slider = QTimer(self, singleShot=True, interval=SLIDER_WAIT_MS)
        self._slider.timeout.connect(self.plot.redraw)
        self.plot.show_plot(self._paint)
        self.quantity.currentTextChanged.connect(lambda _: self.plot.redraw())
        self.parcel.toggled.connect(lambda _: self._read_anew())
        self.clear.clicked.connect(self._forget)
        self.beside.changed.connect(self.plot.redraw)
        self.reader.done.connect(self._was_read)
        self.reader.failed.connect(self._not_read)
        self.reader.finished.connect(self._read_next)
        self.session.cube_changed.connect(self._cube_changed)
        self.session.labels_changed.connect(self._labels_changed)
        self.session.prediction_changed.connect(lambda _: self._tell())
        self.dock.viewer.dims.events.current_step.connect(self._slid)

    # --- clicks ----------------------------------------------------------------------------------------------------

    def picked(self, row: int, col: int, modifiers: frozenset[str]) -> None:
        """Show the curve of a pixel or its parcel, in place of the former ones or beside them."""
        pixel = (row, col)
        keep = self.compare.isChecked() or "Shift" in modifiers
        if keep and pixel in self.picks:
            return
        if keep and len(self.picks) == len(LINE_COLOURS):
            self.dock.say(f"{len(self.picks)} places are compared already. Clear them, or turn Compare off.")
            return
        if not keep:
            self._drop()
        self.picks.append(pixel)
        self._mark()
        self._tell()
        self._read_next()

    def refresh(self) -> None:
        """Offer parcels where they are known; forget the wish for a crop whose job came to nothing."""
        super().refresh()
        labels = self.session.labels
        known = labels is not None and labels.parcel_ids is not None
        self.parcel.setEnabled(known)
        tip = "Mean of the parcel's valid pixels, with the middle 80 % of them"
        self.parcel.setToolTip(tip if known else "Open parcels first: labels from a raster know none.")
        if not known:
            self.pixel.setChecked(True)
        if not self.dock.runner.busy:
            self.beside.drop_unread()

    def shut(self) -> None:
        """Stop reading and leave the viewer's events."""
        self.reader.close()
        self.plot.shut()
        self.dock.viewer.dims.events.current_step.disconnect(self._slid)

    def _drop(self) -> None:
        """Forget the clicks, and what is being read of them."""
        self._age += 1
        self.reader.cancel()
        self.picks.clear()
        self.curves.clear()
        self.places.clear()

    def _forget(self) -> None:
        self._drop()
        self._mark()
        self._tell()
        self.plot.redraw()

    # --- reading ---------------------------------------------------------------------------------------------------

    def _read_next(self) -> None:
        cube = self.session.cube
        waiting = [pixel for pixel in self.picks if pixel not in self.curves]
        if cube is None or not waiting or self.reader.busy:
            return
        labels = self.session.labels if self.parcel.isChecked() else None
        parcel = self.places[waiting[0]].parcel
        self.reader.start(_read(self._age, waiting[0], cube, labels, parcel), "Reading a profile", threads=None)

    def _read_anew(self) -> None:
        """Read all clicks again, of the other kind."""
        self._age += 1
        self.reader.cancel()
        self.curves.clear()
        self._tell()
        self.plot.redraw()
        self._read_next()

    def _was_read(self, found: tuple[int, Pixel, Profile]) -> None:
        age, pixel, profile = found
        if age == self._age and pixel in self.picks:
            self.curves[pixel] = profile
            self._tell()
            self.plot.redraw()

    def _not_read(self, error: BaseException) -> None:
        self._forget()
        self.dock.complain(error)

    # --- the session -----------------------------------------------------------------------------------------------

    def _cube_changed(self, cube: SITSCube | None) -> None:
        self._drop()
        self.beside.forget()
        before = self.quantity.currentText()
        self.quantity.clear()
        if cube is not None:
            several = (ALL_BANDS,) if len(cube.bands) > 1 else ()
            self.quantity.addItems([*quantities(cube.bands), *several])
            self.quantity.setCurrentIndex(max(0, self.quantity.findText(before)))
        self._forget()

    def _labels_changed(self, labels: LabelMap | None) -> None:
        self.beside.offer(labels)
        if self.parcel.isChecked():
            self._read_anew()
        self._tell()
        self.plot.redraw()

    # --- showing ---------------------------------------------------------------------------------------------------

    def _paint(self, figure: Figure) -> None:
        cube, shown = self.session.cube, self.beside.curves()
        for number, pixel in enumerate(self.picks):
            if pixel in self.curves:
                shown.append(Curve(str(number + 1), LINE_COLOURS[number], self.curves[pixel]))
        time = self._time()
        now = cube.dates[time] if cube is not None and time is not None else None
        draw_season(figure, shown, self.quantity.currentText(), cube.bands if cube is not None else (), now)
        if not self._listening:
            self._listening = True
            figure.canvas.mpl_connect("button_press_event", self._to_date)

    def _tell(self) -> None:
        """Say what is known about each clicked pixel."""
        cube, session = self.session.cube, self.session
        if cube is None or not self.picks:
            self.facts.setText(HINT)
            return
        self.places = {p: facts_at(cube.grid, *p, session.labels, session.prediction) for p in self.picks}
        names = (session.parcels.names_of_ids if session.parcels else None) or {}
        lines = []
        for number, pixel in reversed(list(enumerate(self.picks))):  # the last click is what one wants to read
            text = _said(self.places[pixel], self._kind(pixel), names)
            head = f"<b style='color: {LINE_COLOURS[number]}'>{number + 1}</b>"
            lines.append(f"<p style='margin: 3px 0'>{head} {text}</p>")
        self.facts.setText("".join(lines))

    def _kind(self, pixel: Pixel) -> str:
        if pixel not in self.curves:
            return "reading ..."
        if not self.parcel.isChecked():
            return ""
        return (
            "outside all parcels: curve of the pixel"
            if self.places[pixel].parcel is None
            else (f"mean of {self.curves[pixel].pixels} pixels")
        )

    def _mark(self) -> None:
        layers, cube = self.dock.viewer.layers, self.session.cube
        if MARKS in layers and (cube is None or not self.picks):
            layers.remove(MARKS)
        elif MARKS in layers:
            move_marks(layers[MARKS], self.picks, LINE_COLOURS)
        elif cube is not None and self.picks:
            self.dock.add(marks_layer(self.picks, LINE_COLOURS, cube.grid, MARKS, self.session.origin))

    # --- the time slider -------------------------------------------------------------------------------------------

    def _time(self) -> int | None:
        """Position of the date that the viewer shows."""
        dims, cube = self.dock.viewer.dims, self.session.cube
        return min(dims.current_step[-3], len(cube.dates) - 1) if cube is not None and dims.ndim > 2 else None

    def _slid(self, event: Any = None) -> None:
        if not self._slider.isActive():
            self._slider.start()

    def _to_date(self, event: Any) -> None:
        """Show the date that is clicked in the plot."""
        if event.xdata is not None and self._time() is not None:
            dims, cube = self.dock.viewer.dims, self.session.cube
            dims.set_current_step(dims.ndim - 3, nearest_date(cube.dates, event.xdata))


def _read(
    age: int, pixel: Pixel, cube: SITSCube, labels: LabelMap | None, parcel: int | None
) -> Generator[Event, None, tuple[int, Pixel, Profile]]:
    if labels is not None and parcel is not None:
        profile = yield from parcel_profile(cube, labels, parcel)
    else:
        profile = yield from pixel_profile(cube, *pixel)
    return age, pixel, profile


def _said(place: Place, more: str, names: Mapping[int, str]) -> str:
    """Two lines on a place: what grows there, and where it is."""
    what = [escape(place.crop) if place.crop else "crop unknown"]
    if place.predicted:
        sure = f" ({place.confidence:.0%})" if place.confidence is not None else ""
        what.append(f"predicted {escape(place.predicted)}{sure}")
    if place.parcel is not None:
        what.append(f"parcel {escape(names.get(place.parcel, str(place.parcel)))}")
    if more:
        what.append(more)
    north, east = "N" if place.latitude >= 0 else "S", "E" if place.longitude >= 0 else "W"
    where = f"E {place.easting:.0f}, N {place.northing:.0f}; "
    where += f"{abs(place.latitude):.4f}° {north}, {abs(place.longitude):.4f}° {east}"
    return f"{', '.join(what)}<br><span style='font-size: small'>{where}</span>"
