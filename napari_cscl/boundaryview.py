"""How an error atlas is shown: colours, layers, a plot, words, and where to look. It knows no Qt."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from cscl.grid import GeoBox, pixel_size_m
from cscl.inference.subset import Subset
from cscl.legend import CropClass, Legend
from cscl.report.kinds import WRONG, Kind

from .bridge import KEY, LayerData, frame, raster_layer

if TYPE_CHECKING:
    from cscl.inference.explore import ErrorAtlas

__all__ = [
    "CLASS_EDGE", "Bar", "Crossing", "bars", "case_in_words", "crossing", "displacement_layer", "edges_of",
    "error_colours",
    "errors_layer", "kinds_in_words", "near_px", "outline_layer", "outlines", "pair_of", "subset_in_words", "view_of",
]  # fmt: skip

MARK = "#ff2dd1"  # no crop and no error has it
MARK_PX = 0.25
MOVED_COLOURS = ("#b2182b", "#ef8a62", "#f7f7f7", "#67a9cf", "#2166ac")  # told apart with any kind of colour vision
CLASS_EDGE = "class edge"
VEIL = "70"  # of right pixels, hexadecimal opacity: the land below stays in sight
LEAST_PX = 8
LEAST_NEAR_PX, MOST_NEAR_PX, NEAR_ON_SCREEN_PX = 1.0, 25.0, 12
PART_OF_VIEW = 1 / 3


@dataclass(frozen=True)
class Bar:
    """A class of distance in the plot: its name, its pixels in short, shares 0..1 or NaN, and all of it in words."""

    name: str
    pixels: str
    right: float
    low: float
    high: float
    mixed: float
    kinds: tuple[tuple[str, float], ...]
    words: str


@dataclass(frozen=True, eq=False)
class Crossing:
    """A confusion matrix as it is shown: its classes; pixels, and shares of the declared class, axes (true, mapped)."""

    classes: tuple[CropClass, ...]
    pixels: NDArray[np.int64]
    shares: NDArray[np.float64]

    def table(self) -> pd.DataFrame:
        """Return the pixels as a table: a row a declared crop, a column a predicted one."""
        names = [c.name for c in self.classes]
        return pd.DataFrame(self.pixels, pd.Index(names, name="declared"), names).reset_index()

    def words(self, declared: int, predicted: int) -> str:
        """Say what a cell holds."""
        name, other = self.classes[declared].name, self.classes[predicted].name
        count, share = self.pixels[declared, predicted], self.shares[declared, predicted]
        done = "mapped right" if declared == predicted else f"mapped as {other}"
        return f"{name} {done}: {count:,} pixels, {share:.1%} of {name}"


def error_colours(right_too: bool = False) -> Any:
    """Make the colours of the kinds of error; right pixels are clear, or a veil where they are to be seen, too."""
    from napari.utils.colormaps import DirectLabelColormap

    right = f"{Kind.RIGHT.colour}{VEIL}" if right_too else "#00000000"
    colours: dict[int | None, Any] = {None: np.zeros(4, np.float32), 0: "#00000000", int(Kind.RIGHT): right}
    return DirectLabelColormap(color_dict=colours | {int(kind): kind.colour for kind in WRONG})


def errors_layer(kinds_YX: NDArray[np.uint8], grid: GeoBox, origin: GeoBox | None = None) -> LayerData:
    """Show wrong pixels by kind; right ones and those that are not judged are clear. The layer owns its array."""
    look = {
        "name": "errors", "metadata": {KEY: {"role": "errors", "grid": grid}}, **frame(grid, origin),
        "axis_labels": ("y", "x"), "colormap": error_colours(), "opacity": 0.9,
        "features": pd.DataFrame({"index": [int(k) for k in Kind if k], "error": [k.title for k in Kind if k]}),
    }  # fmt: skip
    return kinds_YX.copy(), look, "labels"


def displacement_layer(moved_YX: NDArray[np.float32], atlas: ErrorAtlas, origin: GeoBox | None = None) -> LayerData:
    """Show how far edges have moved, metres, blue where the neighbour of the lower id has grown, red for the other."""
    from napari.utils.colormaps import Colormap

    limit = atlas.options.reach_m
    data, look, kind = raster_layer(moved_YX, atlas.grid, "edges moved (m)", (-limit, limit), origin, role="errors")
    colours = Colormap(MOVED_COLOURS, name="edges moved", nan_color="#00000000")
    return data, {**look, "colormap": colours, "interpolation2d": "nearest"}, kind


def outlines(atlas: ErrorAtlas, row: pd.Series[Any]) -> NDArray[np.float64]:
    """Outline of the unit, or of both units, of a row of the tables, along the sides of pixels.

    Returns
    -------
    ndarray
        Axes (side, start and step, coordinate): row and column as napari counts them, from the centre of the first
        pixel.
    """
    sides = [np.zeros((0, 2, 2))]
    for unit in [int(row[name]) for name in ("id", "a", "b") if name in row]:
        part, first_row, first_col = _around(atlas, unit, row)
        part = np.pad(part, 1)
        for axis, step in enumerate(((0.0, 1.0), (1.0, 0.0))):
            # Where a pixel and the next differ, the side between them begins at the corner of the next.
            starts = np.argwhere(np.diff(part, axis=axis)) + np.eye(2)[axis] - 1 + (first_row - 0.5, first_col - 0.5)
            sides.append(np.stack([starts, np.broadcast_to(step, starts.shape)], axis=1))
    return np.concatenate(sides)


def outline_layer(sides: NDArray[np.float64], grid: GeoBox, origin: GeoBox | None = None) -> LayerData:
    """Show the outline of what is selected; napari draws vectors at once, whereas its shapes take seconds at first."""
    look = {
        "name": "selected", "metadata": {KEY: {"role": "mark", "grid": grid}}, **frame(grid, origin),
        "axis_labels": ("y", "x"), "edge_width": MARK_PX, "edge_color": MARK, "vector_style": "line",
    }  # fmt: skip
    return sides, look, "vectors"


def view_of(
    row: pd.Series[Any], grid: GeoBox, origin: GeoBox | None, canvas_px: tuple[int, int]
) -> tuple[tuple[float, float], float]:
    """Where the camera looks so that a row's pixels fill about a third of the view: centre and zoom.

    Parameters
    ----------
    row : Series
        With the bounds ``row0, col0, row1, col1``, pixels of the scene.
    grid, origin : GeoBox
        Of the atlas and of the scene.
    canvas_px : tuple of int
        Height and width of the view on the screen.
    """
    place = frame(grid, origin)
    low, high = np.array([row["row0"], row["col0"]], float), np.array([row["row1"], row["col1"]], float)
    centre = ((low + high) / 2 - 0.5) * place["scale"] + place["translate"]
    extent_m = np.maximum(high - low, LEAST_PX) * place["scale"]
    return (float(centre[0]), float(centre[1])), float((PART_OF_VIEW * np.array(canvas_px) / extent_m).min())


def near_px(zoom: float, grid: GeoBox) -> float:
    """How far from an edge a click still means it, in pixels of the grid: so and so far on the screen."""
    return min(MOST_NEAR_PX, LEAST_NEAR_PX + NEAR_ON_SCREEN_PX / (zoom * min(pixel_size_m(grid))))


def pair_of(row: pd.Series[Any]) -> tuple[int, int]:
    """Ids of the declared and the predicted class of a pair of crops: of the two mistakes the more frequent one."""
    a, b = int(row["class_a"]), int(row["class_b"])
    return (a, b) if row["into_a"] >= row["into_b"] else (b, a)


def kinds_in_words(curve: pd.DataFrame) -> list[tuple[Kind, int, float]]:
    """Kinds of error with their pixels, and the share of all wrong pixels that these are."""
    counts = {kind: int(curve[kind.name.lower()].sum()) for kind in WRONG}
    wrong = max(1, sum(counts.values()))
    return [(kind, count, count / wrong) for kind, count in counts.items()]


def bars(curve: pd.DataFrame, unit: str) -> list[Bar]:
    """Turn accuracy by distance into the bars of a plot."""
    found = []
    for row, name in zip(curve.itertuples(), _names(curve), strict=True):
        kinds = tuple((kind.colour, getattr(row, kind.name.lower()) / max(1, row.pixels)) for kind in WRONG)
        words = f"{name} m: no judged pixel"
        if row.pixels:
            sure = "" if np.isnan(row.low) else f" (95% interval {row.low:.1%} to {row.high:.1%})"
            mixed = "" if np.isnan(row.mixed) else f", {row.mixed:.0%} mixed"
            count = f"{row.pixels:,} pixels in {row.parcels:,} {unit}{'' if row.parcels == 1 else 's'}"
            words = f"{name} m: {row.accuracy:.1%}{sure} of {count} right{mixed}"
        found.append(Bar(name, _short(row.pixels), row.accuracy, row.low, row.high, row.mixed, kinds, words))
    return found


def edges_of(atlas: ErrorAtlas) -> dict[str, pd.DataFrame]:
    """Accuracy by distance to each kind of edge that is known, by its name; the class edge is the first."""
    return {CLASS_EDGE: atlas.curve, **atlas.vector}


def subset_in_words(subset: Subset, atlas: ErrorAtlas) -> str:
    """Say which errors a subset holds."""
    names = {c.id: c.name for c in atlas.legend.classes}
    crops = [] if subset.declared is None else [names[subset.declared]]
    crops += [] if subset.predicted is None else [f"as {names[subset.predicted]}"]
    ranges = [
        _range_in_words(*limits, unit)
        for limits, unit in ((subset.distance_m, "m from an edge"), (subset.area_ha, "ha"))
        if limits != (0.0, math.inf)
    ]
    return ", ".join(filter(None, (" ".join(crops), *ranges))) or "all errors"


def crossing(counts: NDArray[np.int64], legend: Legend) -> Crossing:
    """Order the classes of a confusion matrix that occur in it, those with most wrong pixels first.

    Parameters
    ----------
    counts : ndarray of int
        Axes (declared, predicted), indices of the legend.
    legend : Legend
        Its classes.
    """
    wrong = counts.sum(0) + counts.sum(1) - 2 * np.diag(counts)
    there = np.flatnonzero(counts.sum(0) + counts.sum(1))
    order = there[np.lexsort((there, -counts.sum(1)[there], -wrong[there]))]
    square = counts[np.ix_(order, order)]
    shares = square / np.maximum(1, square.sum(1, keepdims=True))
    return Crossing(tuple(legend.classes[i] for i in order), square, shares)


def case_in_words(row: pd.Series[Any], number: int, of: int, mapped_as: str, wrong: int) -> str:
    """Say which case is looked at.

    Parameters
    ----------
    row : Series
        Of the table of units or of edges.
    number, of : int
        Its place in the table, from 1, and how many there are.
    mapped_as : str
        The class that most of its wrong pixels are mapped as; empty where there is none.
    wrong : int
        Its wrong pixels.
    """
    where = f"Case {number:,} of {of:,}"
    if "crop_a" in row:
        return f"{where}: {row['crop_a']} beside {row['crop_b']}, {wrong:,} of {row['pixels']:,.0f} px wrong"
    crops = f"{row['declared_crop']} mapped as {mapped_as}" if mapped_as else str(row["declared_crop"])
    return f"{where}: {crops}, {wrong:,} px wrong"


def _around(atlas: ErrorAtlas, unit: int, row: pd.Series[Any]) -> tuple[NDArray[np.bool_], int, int]:
    """Mask of a unit in a window that grows until it holds all of it, and the window's corner."""
    units, (r0, c0, r1, c1) = atlas.units_YX, (int(row[name]) for name in ("row0", "col0", "row1", "col1"))
    while True:
        part = units[r0:r1, c0:c1] == unit
        grown = (
            max(0, r0 - 16 * part[:1].any()), max(0, c0 - 16 * part[:, :1].any()),
            min(units.shape[0], r1 + 16 * part[-1:].any()), min(units.shape[1], c1 + 16 * part[:, -1:].any()),
        )  # fmt: skip
        if grown == (r0, c0, r1, c1):
            return part, r0, c0
        r0, c0, r1, c1 = grown


def _range_in_words(low: float, high: float, unit: str) -> str:
    return f"{low:g} to {high:g} {unit}" if high < math.inf else f"{low:g} {unit} and more"


def _names(curve: pd.DataFrame) -> list[str]:
    limits = [f"{low:g}–{high:g}" for low, high in zip(curve["from_m"], curve["to_m"], strict=True)]
    return [*limits[:-1], f"> {curve['from_m'].iloc[-1]:g}"]


def _short(number: int) -> str:
    """Write a number in at most four signs: 950, 12k, 3M."""
    for size, sign in ((10**6, "M"), (10**3, "k")):
        if number >= size:
            return f"{number / size:.0f}{sign}" if number >= 10 * size else f"{number / size:.1f}{sign}"
    return str(number)
