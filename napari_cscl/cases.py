"""One case where the map is wrong, a parcel or an edge, in small pictures: the season, truth, map, errors and edges.

All pictures of a case show the same window, its bounds and what lies around. It knows no Qt.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from cscl.errors import CSCLError
from cscl.events import Job, Preview, Progress
from cscl.grid import GeoBox, Window
from cscl.legend import Legend
from cscl.report.kinds import Kind

from .boundaryview import MARK, outlines
from .composite import SeasonImage
from .notes import NO_UNIT, CaseNote, Notes, Spot

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from cscl.inference.explore import ErrorAtlas

__all__ = [
    "DATES", "Case", "Picture", "annotated", "case_figure", "dates_to_try", "map_pictures", "noted", "season_image",
    "season_pictures", "spot_of",
]  # fmt: skip

T = TypeVar("T", bound=np.generic)
AROUND = 1.6  # side of the window, as a multiple of the longer side of the case
LEAST_PX, MOST_PX = 24, 400
DATES, TRIES = 5, 4
CLEAR = 0.95  # share of usable pixels with which a date is good enough
UNKNOWN_RGB = (70, 70, 70)
UNKNOWN = "unknown"
COLUMNS = 5  # of the figure


@dataclass(frozen=True, eq=False)
class Case:
    """A row of the tables of parcels and edges, and where it lies.

    Parameters
    ----------
    units : tuple of int
        Id of the parcel or region, or of the two on either side of an edge.
    bounds : Window
        Rows and columns that it covers.
    window : Window
        What is shown: the bounds and what lies around, square where the scene allows.
    grid : GeoBox
        Whose rows and columns these are: that of the map, which may have finer pixels than the images.
    sides : ndarray
        Outline, axes (side, start and step, coordinate): row and column from the upper left corner of the window, in
        pixels.
    name : str
        What it is called.
    row : Series
        The row.
    """

    units: tuple[int, ...]
    bounds: Window
    window: Window
    grid: GeoBox
    sides: NDArray[np.float64] = field(repr=False)
    name: str
    row: pd.Series[Any] = field(repr=False)

    @classmethod
    def of(cls, atlas: ErrorAtlas, row: pd.Series[Any]) -> Case:
        """Describe a row of the tables of an atlas."""
        units = units_of(row)
        bounds = bounds_of(row)
        window = _around(bounds, atlas.kinds_YX.shape)
        sides = outlines(atlas, row)
        sides[:, 0] += 0.5 - np.array([window.row, window.col])  # from the centre of the first pixel to its corner
        name = f"{atlas.unit} {units[0]}" if len(units) == 1 else f"edge {units[0]} | {units[1]}"
        return cls(units, bounds, window, atlas.grid, sides, name, row)


def units_of(row: pd.Series[Any]) -> tuple[int, ...]:
    """Id of the parcel of a row, or of both sides of an edge, the smaller first."""
    return tuple(sorted(int(row[name]) for name in ("id", "a", "b") if name in row))


def bounds_of(row: pd.Series[Any]) -> Window:
    """Rows and columns that a row covers."""
    r0, c0, r1, c1 = (int(row[name]) for name in ("row0", "col0", "row1", "col1"))
    return Window(r0, c0, r1 - r0, c1 - c0)


@dataclass(frozen=True, eq=False)
class Picture:
    """A small picture of a case.

    Parameters
    ----------
    name : str
        What it shows; a date as ISO.
    colours_YXC : ndarray of uint8 or None
        Axes (y, x, channel); None where it is not known, and `note` says why.
    values_YX : ndarray or None
        What lies behind the colours: a number of `words`, or a measure.
    words : mapping of int to str
        What the values are called; a value without a word is told as a number.
    time : int or None
        Position of the date in the season.
    note : str
        What there is to say.
    """

    name: str
    colours_YXC: NDArray[np.uint8] | None = field(repr=False)
    values_YX: NDArray[Any] | None = field(default=None, repr=False)
    words: Mapping[int, str] = field(default_factory=dict, repr=False)
    time: int | None = None
    note: str = ""

    def at(self, row: int, col: int) -> str:
        """Say what is at a pixel of the window; empty where there is nothing to say."""
        if self.values_YX is None:
            return ""
        value = self.values_YX[row, col]
        return self.words.get(int(value), "") if self.words else f"{value:.2f}"


def spot_of(atlas: ErrorAtlas, row: pd.Series[Any], map_name: str) -> Spot:
    """Return what a note on a row is kept by: labels, map, ids, and where it lies on earth."""
    units, bounds, to = units_of(row), bounds_of(row), atlas.grid.transform
    ends = [to * (bounds.col, bounds.row), to * (bounds.col + bounds.width, bounds.row + bounds.height)]
    (left, bottom), (right, top) = np.min(ends, axis=0).tolist(), np.max(ends, axis=0).tolist()
    other = units[1] if len(units) > 1 else NO_UNIT
    return Spot(atlas.labels.name, map_name, units[0], other, left, bottom, right, top, str(atlas.grid.crs))


def noted(atlas: ErrorAtlas, frame: pd.DataFrame, notes: Notes, map_name: str) -> dict[int, CaseNote]:
    """Find the rows of a table of parcels or edges that have a note, by position.

    A note of the same parcel or edge about another map stands in where there is none about this map.
    """
    if not len(frame) or not len(notes):
        return {}
    ids = frame[["id"]].assign(other=NO_UNIT) if "id" in frame else frame[["a", "b"]]
    low, high = np.sort(ids.to_numpy(), axis=1).T if "id" not in frame else ids.to_numpy().T
    found: dict[int, CaseNote] = {}
    for note in sorted(notes, key=lambda note: note.spot.map == map_name):  # those about this map last: they win
        for at in np.flatnonzero((low == note.spot.a) & (high == note.spot.b)).tolist():
            if note.spot.is_place_of(spot_of(atlas, frame.iloc[at], map_name)):
                found[at] = note
    return found


def annotated(atlas: ErrorAtlas, frame: pd.DataFrame, notes: Notes, map_name: str) -> pd.DataFrame:
    """Add the columns ``verdict``, ``note`` and ``note_on``, the map that it is about; empty where there is none."""
    columns = {name: [""] * len(frame) for name in ("verdict", "note", "note_on")}
    for at, note in noted(atlas, frame, notes, map_name).items():
        columns["verdict"][at], columns["note"][at], columns["note_on"][at] = note.verdict, note.text, note.spot.map
    return frame.assign(**columns)


# --- the maps -------------------------------------------------------------------------------------------------------


def map_pictures(atlas: ErrorAtlas, case: Case, edges_YX: NDArray[np.float32] | None = None) -> tuple[Picture, ...]:
    """Picture the truth, the map and the kinds of error of a case, and the edge strength (y, x) where it is known.

    The edge strength has the pixels of the atlas, or coarser ones; of finer ones nothing is shown.
    """
    part = case.window.slices
    truth = atlas.legend.to_index(atlas.labels.ids[part])
    truth = np.where(atlas.labels.ids[part] == atlas.labels.legend.ignore, -1, truth)
    kinds = atlas.kinds_YX[part]
    colours = np.array([_rgb("#404040" if kind is Kind.NONE else kind.colour) for kind in Kind], np.uint8)
    errors = Picture("errors", colours[kinds], kinds, {int(kind): kind.title for kind in Kind})
    return (
        _crops("truth", truth, atlas.legend),
        _crops("map", atlas.guess_YX[part], atlas.legend),
        errors,
        _edges(None if edges_YX is None else _part(edges_YX, case)),
    )


def _part(values_YX: NDArray[np.float32], case: Case) -> NDArray[np.float32] | None:
    """Cut the window of a case out of a raster of its pixels or of coarser ones; None out of one of finer ones."""
    finer = int(case.grid.shape[0]) // len(values_YX)
    seen = case.window.coarsened(max(1, finer))
    return _repeated(values_YX[seen.slices], seen, case.window, finer) if finer else None


def _repeated(values: NDArray[T], seen: Window, window: Window, finer: int) -> NDArray[T]:
    """Repeat pixels of a coarse window, so that they are those of a window in it; axes (y, x, ...)."""
    return values.repeat(finer, 0).repeat(finer, 1)[window.within(seen.refined(finer)).slices]


def _crops(name: str, index_YX: NDArray[Any], legend: Legend) -> Picture:
    table = np.array([*(c.rgb for c in legend.classes), UNKNOWN_RGB], np.uint8)  # -1 is the last one
    words = {-1: UNKNOWN, **{i: c.name for i, c in enumerate(legend.classes)}}
    return Picture(name, table[index_YX], index_YX, words)


def _edges(edges_YX: NDArray[np.float32] | None) -> Picture:
    if edges_YX is None:
        return Picture("edges", None, note="Edge strength is known once the scene was looked at in the Affinity panel.")
    from matplotlib import colormaps

    colours = colormaps["cividis"](np.clip(edges_YX, 0, 1), bytes=True)[..., :3]
    return Picture("edges", np.ascontiguousarray(colours), edges_YX)


def _rgb(colour: str) -> tuple[int, ...]:
    return tuple(int(colour[i : i + 2], 16) for i in (1, 3, 5))


# --- the season -----------------------------------------------------------------------------------------------------


def season_image(layers: Any, cube: Any) -> SeasonImage | None:
    """Full detail of the layer that shows a cube, in the colours that it has now; None if no layer does."""
    for layer in layers:
        if layer.metadata.get("cscl", {}).get("cube") is cube:
            data = layer.data if isinstance(layer.data, SeasonImage) else next(iter(layer.data), None)
            return data if isinstance(data, SeasonImage) else None
    return None


def season_pictures(image: SeasonImage, dates: NDArray[np.datetime64], case: Case) -> Job[tuple[Picture, ...]]:
    """Picture a case on clear dates spread over the season; only its window is read.

    The season is cut into as many parts as there are pictures, and in each part dates are tried, from its middle
    outwards, until one is clear in the window; after a few the clearest of them is taken. Each yields a `Preview`,
    whose stage is the position of the date.
    """
    found, finer = [], int(case.grid.shape[0]) // image.shape[1]
    for parts, times in enumerate(dates_to_try(len(dates)), 1):
        best: tuple[float, Picture] | None = None
        for time in times:
            share, picture = _look(image, dates, case.window, time, finer)
            if best is None or share > best[0]:
                best = share, picture
            yield Progress("reading the season of the case", parts, DATES, "date")
            if share >= CLEAR:
                break
        if best is not None:
            found.append(best[1])
            if best[1].colours_YXC is not None:
                yield Preview(str(best[1].time), best[1].name, best[1].colours_YXC)
    return tuple(found)


def dates_to_try(count: int) -> list[list[int]]:
    """Positions of some of `count` dates: of each of at most `DATES` parts a few, from its middle outwards."""
    if not count:
        return []
    parts = np.array_split(np.arange(count), min(DATES, count))
    return [sorted(part.tolist(), key=lambda time, part=part: abs(time - part.mean()))[:TRIES] for part in parts]


def _look(
    image: SeasonImage, dates: NDArray[np.datetime64], window: Window, time: int, finer: int
) -> tuple[float, Picture]:
    """Read a window of a date; where it counts in finer pixels, those of the images are repeated."""
    name = str(dates[time].astype("datetime64[D]"))
    seen = window.coarsened(finer)
    try:
        colours, share = image.look(time, seen)
    except CSCLError as error:
        return 0.0, Picture(name, None, time=time, note=str(error))
    note = "" if share >= CLEAR else f"{share:.0%} of the window usable"
    return share, Picture(name, _repeated(colours, seen, window, finer), time=time, note=note)


def _around(bounds: Window, shape: tuple[int, int]) -> Window:
    """Square around the bounds, moved where it would leave the scene, and cut where that is smaller."""
    side = int(np.clip(round(AROUND * max(bounds.height, bounds.width)), LEAST_PX, MOST_PX))
    first, size = [], []
    for low, length, whole in zip((bounds.row, bounds.col), (bounds.height, bounds.width), shape, strict=True):
        size.append(min(side, whole))
        first.append(int(np.clip(low + length // 2 - side // 2, 0, whole - size[-1])))
    return Window(first[0], first[1], size[0], size[1])


# --- a sheet of them ------------------------------------------------------------------------------------------------


def case_figure(case: Case, pictures: Sequence[Picture], title: str = "") -> Figure:
    """Draw the pictures of a case on a sheet, with its outline, and with the names of the classes that are seen."""
    from matplotlib.collections import LineCollection
    from matplotlib.patches import Patch

    from cscl.export.paper import LABEL_PT, label_text, sheet

    shown = [picture for picture in pictures if picture.colours_YXC is not None]
    rows = -(-len(shown) // COLUMNS)
    figure = sheet(2 * COLUMNS, 2.3 * rows + 0.9, title or case.name)
    grid = figure.subplots(rows, COLUMNS, squeeze=False)
    named: dict[str, Patch] = {}
    for axes, picture in zip(grid.flat, shown, strict=False):
        height, width = case.window.height, case.window.width
        axes.imshow(picture.colours_YXC, interpolation="nearest", extent=(0, width, height, 0))
        lines = np.stack([case.sides[:, 0, ::-1], case.sides.sum(axis=1)[:, ::-1]], axis=1)
        axes.add_collection(LineCollection(list(lines), colors=MARK, linewidths=1.0))
        axes.set_title(label_text(picture.name), fontsize=LABEL_PT)
        for value, word in picture.words.items():
            where = picture.values_YX == value
            if np.any(where):
                colour = picture.colours_YXC[where][0] / 255  # type: ignore[index]
                named.setdefault(word, Patch(facecolor=colour, edgecolor="#808080", label=label_text(word)))
    for axes in grid.flat:
        axes.set_axis_off()
    if named:
        figure.legend(handles=list(named.values()), loc="outside lower center", ncols=COLUMNS, fontsize=LABEL_PT)
    return figure
