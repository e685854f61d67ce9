"""The worst parcels and edges of a map as pictures: the season, the truth, the map and its errors, side by side."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np
import pandas as pd
from matplotlib.colors import to_rgb
from numpy.typing import NDArray
from pyproj import Transformer
from pyproj.exceptions import ProjError

from cscl.cube import SITSCube
from cscl.events import Job, Progress
from cscl.grid import GeoBox, Window, require_same
from cscl.legend import CropClass, Legend
from cscl.products import LabelMap
from cscl.report.kinds import WRONG, Kind

from .paper import MISSING
from .windows import Pane, Picture, Season

__all__ = ["Atlas", "Case", "sides", "worst_cases"]

LEAST_PX, MOST_PX = 24, 96
THINNED_PX = 2048


class Atlas(Protocol):
    """What is asked of the errors of a map; `cscl.inference.explore.ErrorAtlas` has it all."""

    @property
    def kinds_YX(self) -> NDArray[np.uint8]: ...  # noqa: D102
    @property
    def guess_YX(self) -> NDArray[Any]: ...  # noqa: D102
    @property
    def units_YX(self) -> NDArray[Any]: ...  # noqa: D102
    @property
    def legend(self) -> Legend: ...  # noqa: D102
    @property
    def labels(self) -> LabelMap: ...  # noqa: D102
    @property
    def curve(self) -> pd.DataFrame: ...  # noqa: D102
    @property
    def parcels(self) -> pd.DataFrame: ...  # noqa: D102
    @property
    def edges(self) -> pd.DataFrame: ...  # noqa: D102
    @property
    def near(self) -> tuple[int, int]: ...  # noqa: D102
    @property
    def unit(self) -> str: ...  # noqa: D102
    @property
    def options(self) -> Any: ...  # noqa: D102
    @property
    def remarks(self) -> tuple[str, ...]: ...  # noqa: D102
    def summary(self) -> str: ...  # noqa: D102


@dataclass(frozen=True, eq=False)
class Case:
    """A parcel or an edge where a map is wrong.

    Parameters
    ----------
    key : str
        Name that no other case has: letters, digits and hyphens.
    title : str
        Which parcels and which crops.
    facts : tuple of str
        How wrong, where, and how.
    place : tuple of str
        Row and column, coordinates of the scene, latitude and longitude where they are known.
    window : Window
        The pixels that are shown.
    centre : tuple of float
        Row and column of the scene, from the corner of the first pixel.
    crops : tuple of CropClass
        Classes in truth or map, the most frequent first.
    outlines, marked : str
        Sides of pixels between all units, and around those of the case: path of an SVG, in pixels of the window.
    panes : tuple of Pane
        Pictures.
    """

    key: str
    title: str
    facts: tuple[str, ...]
    place: tuple[str, ...]
    window: Window
    centre: tuple[float, float]
    crops: tuple[CropClass, ...]
    outlines: str = field(repr=False)
    marked: str = field(repr=False)
    panes: tuple[Pane, ...] = field(repr=False)


def worst_cases(atlas: Atlas, cube: SITSCube | None, count: int = 12) -> Job[tuple[list[Case], list[Case]]]:
    """Picture the parcels and the edges with most wrong pixels, as many as there are up to `count` of each.

    Of the images only the windows of the cases are read, at a few dates: of each quarter of the dates the first that
    shows the window without clouds, beginning with dates that were clear in former cases.

    Parameters
    ----------
    atlas : Atlas
        Errors of a map.
    cube : SITSCube or None
        Images; without them the cases have no picture of the season.
    count : int
        How many parcels, and how many edges.

    Raises
    ------
    GridError
        If the images lie on another grid.
    """
    if cube is not None:
        require_same(cube.grid, atlas.labels.grid, f"The images {cube.name} and the labels {atlas.labels.name}")
    tables = [table[table["wrong"] > 0].head(count) for table in (atlas.parcels, atlas.edges)]
    rows = [row for table in tables for _, row in table.iterrows()]
    windows = [_window(atlas, row) for row in rows]
    season = None if cube is None else Season(cube)
    seen = []
    for number, window in enumerate(windows):
        yield Progress("picturing the worst cases", number, len(rows), "case")
        seen.append([] if season is None else (yield from season.look(window)))
    pictures = [[] for _ in rows] if season is None else season.pictures(seen)
    cases = [_case(atlas, *known) for known in zip(rows, windows, pictures, strict=True)]
    yield Progress("picturing the worst cases", len(rows), len(rows), "case")
    return cases[: len(tables[0])], cases[len(tables[0]) :]


def sides(ids_YX: NDArray[Any]) -> str:
    """Sides between pixels of different ids as the path of an SVG, straight runs in one piece; the border has none."""
    path = []
    for across, step in ((ids_YX, "h"), (ids_YX.T, "v")):
        differ = np.pad(across[1:] != across[:-1], ((0, 0), (1, 1))).astype(np.int8)
        change = np.diff(differ, axis=1)
        for (line, start), (_, end) in zip(np.argwhere(change == 1), np.argwhere(change == -1), strict=True):
            x, y = (start, line + 1) if step == "h" else (line + 1, start)
            path.append(f"M{x} {y}{step}{end - start}")
    return "".join(path)


# --- where -------------------------------------------------------------------------------------------------------


def _window(atlas: Atlas, row: pd.Series[Any]) -> Window:
    """Square around a row of the tables with some room; where that is too large, around the most errors."""
    shape = atlas.kinds_YX.shape
    bounds = Window(*(int(row[name]) for name in ("row0", "col0")), *(int(row[f"{n}1"] - row[f"{n}0"]) for n in _AXES))
    side = round(1.6 * max(bounds.height, bounds.width))
    middle = (bounds.row + bounds.height / 2, bounds.col + bounds.width / 2)
    if side > MOST_PX:
        middle = _most_errors(atlas, row, bounds)
    height, width = (min(size, max(LEAST_PX, min(side, MOST_PX))) for size in shape)
    first = [
        min(max(0, round(at - size / 2)), whole - size)
        for at, size, whole in zip(middle, (height, width), shape, strict=True)
    ]
    return Window(first[0], first[1], height, width)


_AXES = ("row", "col")


def _most_errors(atlas: Atlas, row: pd.Series[Any], bounds: Window) -> tuple[float, float]:
    """Middle of the cell, half as wide as the largest picture, that holds most wrong pixels of a row's units."""
    step = max(1, max(bounds.height, bounds.width) // THINNED_PX)
    kinds, units = (array[bounds.slices][::step, ::step] for array in (atlas.kinds_YX, atlas.units_YX))
    here = (kinds > Kind.RIGHT) & np.isin(units, _units(row))
    if not here.any():
        return float(row["row"]), float(row["col"])
    cells = np.stack(np.nonzero(here), 1) * step // (MOST_PX // 2)
    found, counts = np.unique(cells, axis=0, return_counts=True)
    at = (found[counts.argmax()] + 0.5) * (MOST_PX // 2)
    return float(at[0] + bounds.row), float(at[1] + bounds.col)


def _units(row: pd.Series[Any]) -> list[int]:
    return [int(row[name]) for name in ("id", "a", "b") if name in row.index]


def _place(row: pd.Series[Any], grid: GeoBox) -> tuple[str, ...]:
    at_row, at_col = float(row["row"]) + 0.5, float(row["col"]) + 0.5  # the tables count from the middle of a pixel
    t = grid.transform
    x, y = t.a * at_col + t.b * at_row + t.c, t.d * at_col + t.e * at_row + t.f
    told = (f"row {int(at_row)}, column {int(at_col)}", f"{grid.crs}: {x:.0f} E, {y:.0f} N")
    try:
        lon, lat = Transformer.from_crs(str(grid.crs), "EPSG:4326", always_xy=True).transform(x, y, errcheck=True)
    except ProjError:
        return told
    return (*told, f"{abs(lat):.5f}° {'N' if lat >= 0 else 'S'}, {abs(lon):.5f}° {'E' if lon >= 0 else 'W'}")


# --- what --------------------------------------------------------------------------------------------------------


def _case(atlas: Atlas, row: pd.Series[Any], window: Window, pictures: Sequence[Pane]) -> Case:
    here = window.slices
    units = atlas.units_YX[here]
    truth, guess = atlas.legend.to_index(atlas.labels.ids[here]), atlas.guess_YX[here]
    order = np.bincount(np.concatenate([truth[truth >= 0], guess[guess >= 0]]), minlength=len(atlas.legend))
    crops = tuple(atlas.legend.classes[i] for i in np.argsort(-order, kind="stable") if order[i])
    classes = _palette([c.colour for c in atlas.legend.classes] + [MISSING])
    errors = _palette([kind.colour for kind in Kind])
    ids = _units(row)
    told = (_parcel if len(ids) == 1 else _edge)(row, atlas)
    panes = (
        *(pane for pane in pictures if pane.kind == "image"),
        Pane("truth", "labels", "", classes[truth]), Pane("map", "map", "", classes[guess]),
        Pane("errors", "errors", "", errors[atlas.kinds_YX[here]]),
        *(pane for pane in pictures if pane.kind == "season"),
    )  # fmt: skip
    return Case(
        "-".join([atlas.unit if len(ids) == 1 else "edge", *map(str, ids)]), *told, _place(row, atlas.labels.grid),
        window, (float(row["row"]) + 0.5, float(row["col"]) + 0.5), crops, sides(units),
        sides(np.where(np.isin(units, ids), units, 0)), panes,
    )  # fmt: skip


def _palette(colours: Sequence[str]) -> Picture:
    return np.round(np.array([to_rgb(colour) for colour in colours]) * 255).astype(np.uint8)


def _parcel(row: pd.Series[Any], atlas: Atlas) -> tuple[str, tuple[str, ...]]:
    crop = row["predicted_crop"]
    mapped = f"mostly mapped as {crop}" if row["declared"] != row["predicted"] else "partly mapped as other crops"
    title = f"{atlas.unit.capitalize()} {row.get('own_id', row['id'])}: {row['declared_crop']}, {mapped}"
    told = [_wrong(row, 1 - row["share_right"]), f"{row['area_ha']:.2f} ha", *_kinds(row)]
    if not np.isnan(row["confidence"]):
        told.append(f"mean confidence {row['confidence']:.2f}")
    return title, tuple(told)


def _edge(row: pd.Series[Any], atlas: Atlas) -> tuple[str, tuple[str, ...]]:
    a, b = (f"{row[f'crop_{side}']} ({atlas.unit} {row.get(f'own_{side}', row[side])})" for side in "ab")
    told = [f"{_wrong(row, row['share_wrong'])} within {atlas.options.reach_m:g} m", f"{row['length_m']:.0f} m long"]
    for own, other in ("ab", "ba"):
        if row[f"into_{own}"]:
            told.append(f"{row[f'into_{own}']} px of {row[f'crop_{own}']} mapped as {row[f'crop_{other}']}")
    if row["third"]:
        told.append(f"{row['third']} px a third class")
    return f"{a} beside {b}", tuple(told)


def _wrong(row: pd.Series[Any], share: float) -> str:
    return f"{row['wrong']:,} of {row['pixels']:,} px wrong ({share:.0%})"


def _kinds(row: pd.Series[Any]) -> Iterator[str]:
    counts = {kind: int(row[kind.name.lower()]) for kind in WRONG}
    for kind in sorted(WRONG, key=lambda kind: -counts[kind]):
        if counts[kind]:
            yield f"{counts[kind]} px {kind.title}"
