"""How an error atlas is shown: colours, layers, a plot, columns of tables, and where to look. It knows no Qt."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from cscl.grid import GeoBox
from cscl.report.kinds import WRONG, Kind

from .bridge import KEY, LayerData, frame

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from cscl.inference.explore import ErrorAtlas

__all__ = [
    "EDGE_COLUMNS", "PARCEL_COLUMNS", "Column", "accuracy_plot", "bins_in_words", "errors_layer",
    "kinds_in_words", "outline_layer", "outlines", "view_of",
]  # fmt: skip

MARK = "#ff2dd1"  # no crop and no error has it
MARK_PX = 0.25
LEAST_PX = 8
PART_OF_VIEW = 1 / 3


@dataclass(frozen=True)
class Column:
    """A column of a table: the name in the frame, the head, what it means, and how a number is written."""

    name: str
    head: str
    meaning: str
    form: str = "{}"


PLACE = "{:,.0f}"
PARCEL_COLUMNS = (
    Column("id", "id", "Number of the parcel or region"),
    Column("wrong", "wrong", "Judged pixels whose class is wrong", PLACE),
    Column("share_right", "right", "Share of its judged pixels whose class is right", "{:.0%}"),
    Column("declared_crop", "declared", "Crop in the labels"),
    Column("predicted_crop", "predicted", "Most frequent crop in the map"),
    Column("area_ha", "ha", "Area of its judged pixels, hectares", "{:.2f}"),
    Column("share_right_boundary", "at edge", "Share right within reach of a class edge", "{:.0%}"),
    Column("share_right_interior", "inside", "Share right out of reach of any class edge", "{:.0%}"),
    Column("confidence", "conf.", "Mean confidence of the prediction", "{:.2f}"),
    *(Column(kind.name.lower(), kind.title, kind.meaning, PLACE) for kind in WRONG),
)
EDGE_COLUMNS = (
    Column("wrong", "wrong", "Wrong pixels within reach of the edge, on both sides", PLACE),
    Column("share_wrong", "share", "Share of the judged pixels within reach that are wrong", "{:.0%}"),
    Column("crop_a", "crop a", "Crop of parcel a"),
    Column("crop_b", "crop b", "Crop of parcel b"),
    Column("share_into_a", "into a", "Share of the pixels where b has grown into a", "{:.0%}"),
    Column("share_into_b", "into b", "Share of the pixels where a has grown into b", "{:.0%}"),
    Column("length_m", "m", "Length along the sides of pixels, metres; 0 across a gap or a corner", PLACE),
    Column("pixels", "pixels", "Judged pixels within reach, on both sides", PLACE),
    Column("a", "a", "Number of parcel a"),
    Column("b", "b", "Number of parcel b"),
)


def errors_layer(kinds_YX: NDArray[np.uint8], grid: GeoBox, origin: GeoBox | None = None) -> LayerData:
    """Show wrong pixels by kind; right ones and those that are not judged are clear. The layer owns its array."""
    colours: dict[int | None, Any] = {None: np.zeros(4, np.float32), 0: "#00000000", 1: "#00000000"}
    colours |= {int(kind): kind.colour for kind in WRONG}
    from napari.utils.colormaps import DirectLabelColormap

    look = {
        "name": "errors", "metadata": {KEY: {"role": "errors", "grid": grid}}, **frame(grid, origin),
        "axis_labels": ("y", "x"), "colormap": DirectLabelColormap(color_dict=colours), "opacity": 0.9,
        "features": pd.DataFrame({"index": [int(k) for k in Kind if k], "error": [k.title for k in Kind if k]}),
    }  # fmt: skip
    return kinds_YX.copy(), look, "labels"


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


def kinds_in_words(curve: pd.DataFrame) -> list[tuple[Kind, int, float]]:
    """Kinds of error with their pixels, and the share of all wrong pixels that these are."""
    counts = {kind: int(curve[kind.name.lower()].sum()) for kind in WRONG}
    wrong = max(1, sum(counts.values()))
    return [(kind, count, count / wrong) for kind, count in counts.items()]


def bins_in_words(curve: pd.DataFrame, unit: str) -> str:
    """Say what lies behind the plot, a line a class of distance."""
    lines = []
    for row, name in zip(curve.itertuples(), _names(curve), strict=True):
        if row.pixels:
            mixed = "" if np.isnan(row.mixed) else f", {row.mixed:.0%} mixed"
            lines.append(f"{name} m: {row.accuracy:.1%} of {row.pixels:,} pixels in {row.parcels} {unit}s right{mixed}")
    return "\n".join(lines) or "No pixel is left."


def accuracy_plot(curve: pd.DataFrame) -> Callable[[Figure], None]:
    """Paint accuracy by distance, with the share of mixed pixels behind it and the kinds of error above it.

    The intervals come from drawing whole parcels anew (`cscl.metrics.bootstrap`).
    """

    def paint(figure: Figure) -> None:
        axes = figure.add_axes((0.13, 0.32, 0.85, 0.56))
        at = np.arange(len(curve))
        right = 100 * curve["accuracy"].to_numpy()
        if curve["mixed"].notna().any():
            axes.bar(at, 100 * curve["mixed"], 0.9, color="#8c8c8c", alpha=0.45, label="mixed pixels", zorder=1)
        base = right.copy()
        for kind in WRONG:
            share = 100 * curve[kind.name.lower()] / curve["pixels"].clip(lower=1)
            axes.bar(at, share, 0.34, bottom=base, color=kind.colour, edgecolor="#808080", linewidth=0.4, zorder=2)
            base += share
        unsure = np.abs(100 * curve[["low", "high"]].to_numpy().T - right)  # NaN, not drawn, where parcels are few
        axes.errorbar(
            at, right, unsure, fmt="o-", color="#009e73", linewidth=1.8, markersize=4, capsize=3, elinewidth=1,
            label="right, 95% interval", zorder=3,
        )  # fmt: skip
        axes.set_xticks(at, [f"{name}\n{_short(n)}" for name, n in zip(_names(curve), curve["pixels"], strict=True)])
        axes.set_ylim(0, 100)
        axes.set_xlim(-0.6, len(curve) - 0.4)
        axes.set_yticks([0, 25, 50, 75, 100], ["0%", "25%", "50%", "75%", "100%"])
        axes.set_xlabel("distance to class edge (m), number of pixels")
        axes.legend(loc="lower center", bbox_to_anchor=(0.5, 0.98), ncols=2, frameon=False)

    return paint


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


def _names(curve: pd.DataFrame) -> list[str]:
    limits = [f"{low:g}–{high:g}" for low, high in zip(curve["from_m"], curve["to_m"], strict=True)]
    return [*limits[:-1], f"> {curve['from_m'].iloc[-1]:g}"]


def _short(number: int) -> str:
    """Write a number in at most four signs: 950, 12k, 3M."""
    for size, sign in ((10**6, "M"), (10**3, "k")):
        if number >= size:
            return f"{number / size:.0f}{sign}" if number >= 10 * size else f"{number / size:.1f}{sign}"
    return str(number)
