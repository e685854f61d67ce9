"""The map as a page for people, PNG and PDF: picture, legend with areas, scale, north, season and where it comes from.

Made of the files of an export: the picture is read from the overviews of the class map, so that a map of any size costs
no more memory than a page.
"""

from __future__ import annotations

import datetime as dt
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import matplotlib
import numpy as np
import pandas as pd
import rasterio
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure
from matplotlib.patches import Polygon, Rectangle
from numpy.typing import NDArray
from rasterio.enums import Resampling

import cscl
from cscl.errors import GridError, InputError
from cscl.events import Job, Progress
from cscl.grid import GeoBox, pixel_size_m
from cscl.legend import Legend
from cscl.raster import UNREADABLE
from cscl.raster import facts as raster_facts

from .area_rows import NOTHING, AreaRow, area_rows, class_counts, shortened
from .draft import draft, refuse
from .ground import Ground, ground, system_name
from .page_layout import FOOT_IN, MARGIN_IN, ROW_IN, SMALL_PT, Box, best_layout, fitted, letters, width_of, wrapped
from .paper import INK

__all__ = ["map_page", "write_map_page"]

MAP_DPI = 250
PNG_DPI = 200
SOFT = "#666666"
ESTIMATED = (
    "Areas are estimated from a sample of points, unbiased by errors of the map, with 95 % intervals (Olofsson et al. "
    "2014)."
)
COUNTED = "Areas are pixels counted on the map: its errors bias them, and no interval is known."


def write_map_page(
    folder: str | Path,
    legend: Legend,
    facts: Mapping[str, Any],
    *,
    title: str = "",
    areas: pd.DataFrame | None = None,
    crop_map: str = "crop_map.tif",
    overwrite: bool = False,
) -> Job[list[Path]]:
    """Write ``map.png`` and ``map.pdf`` into the folder of an export. Both appear when both are whole.

    Parameters
    ----------
    folder : path
        An export that holds the class map.
    legend : Legend
        Of the map.
    facts : mapping
        Of the prediction: images, dates, model.
    title : str
        Heading; by default that of a crop map, with the year.
    areas : DataFrame, optional
        Estimates of ``cscl area``, from `cscl.export.area_rows.read_areas`. Without them the page has areas as counted.
    crop_map : str
        Name of the class map in the folder.
    overwrite : bool
        Replace former pages.

    Raises
    ------
    OutputError
        If they are there and may not be replaced, or cannot be written.
    MissingError, InputError
        If there is no such map, or it cannot be read.
    """
    folder = Path(folder)
    paths = [folder / "map.png", folder / "map.pdf"]
    for path in paths:
        refuse(path, overwrite=overwrite, inputs=[folder / crop_map])
    try:
        counts = yield from class_counts(folder / crop_map, legend)
        yield Progress("drawing the page", 0, 2, "file")
        page = map_page(folder / crop_map, legend, facts, counts, title=title, areas=areas)
    except UNREADABLE as error:
        raise InputError(f"{folder / crop_map} cannot be read ({error}). Export the map again.") from error
    with draft(folder, "map") as part, matplotlib.rc_context({"pdf.fonttype": 42}):
        page.savefig(part / "map.png", dpi=PNG_DPI)
        yield Progress("drawing the page", 1, 2, "file")
        said = {"Title": title or _title(facts), "Creator": f"cscl {cscl.__version__}", "CreationDate": None}
        page.savefig(part / "map.pdf", metadata=said)
    yield Progress("drawing the page", 2, 2, "file")
    return paths


def map_page(
    crop_map: str | Path,
    legend: Legend,
    facts: Mapping[str, Any],
    counts: Mapping[int, int],
    *,
    title: str = "",
    areas: pd.DataFrame | None = None,
) -> Figure:
    """Draw the page of `write_map_page`: its arguments, and the pixels by class id that `class_counts` found."""
    grid = raster_facts(crop_map).grid()
    there = ground(grid)
    pixel_ha = _pixel_ha(grid)
    rows = area_rows(legend, counts, pixel_ha, areas)
    aspect = _aspect(grid, there)
    layout = best_layout(aspect, len(rows), intervals=areas is not None)
    page = Figure(figsize=layout.sheet, dpi=100, facecolor="white")
    FigureCanvasAgg(page)
    room = layout.room(aspect)
    _draw_map(_axes(page, room), crop_map, grid, legend, room)
    _draw_under(page, room, grid, there)
    _draw_legend(
        page, layout.legend(room), shortened(rows, layout.columns * layout.rows), layout.columns, areas is not None
    )
    wide, high = layout.sheet
    width = wide - 2 * MARGIN_IN
    head = fitted(page, title or _title(facts), width, 14, bold=True)
    page.text(MARGIN_IN / wide, 1 - (MARGIN_IN + 0.2) / high, head, fontproperties=letters(14, bold=True), color=INK)
    area = ESTIMATED if areas is not None else COUNTED if pixel_ha is not None else "Pixels have no single area here."
    lines = [_source(facts), _place(grid, there), f"{area}{_distortion(there) if areas is None else ''}"]
    foot = "\n".join(wrapped(page, line, width, 2) for line in lines)
    place = (MARGIN_IN / wide, (MARGIN_IN + FOOT_IN - 0.18) / high)
    page.text(*place, foot, fontproperties=letters(SMALL_PT), color=SOFT, va="top", linespacing=1.35)
    return page


def _axes(page: Figure, box: Box) -> Axes:
    wide, high = page.get_size_inches()
    axes = page.add_axes((box.left / wide, box.bottom / high, box.width / wide, box.height / high))
    axes.set(xlim=(0, box.width), ylim=(0, box.height))
    axes.set_axis_off()
    return axes


def _draw_map(axes: Axes, path: str | Path, grid: GeoBox, legend: Legend, room: Box) -> None:
    """Draw the classes in the colours of the legend, read at the size that they have on paper."""
    rows, cols = (int(n) for n in grid.shape)
    shape = min(rows, round(room.height * MAP_DPI) or 1), min(cols, round(room.width * MAP_DPI) or 1)
    with rasterio.open(path) as src:
        ids: NDArray[Any] = src.read(1, out_shape=shape, resampling=Resampling.nearest)
    palette = np.full((65536, 3), np.round(np.multiply(to_rgb(NOTHING), 255)), np.uint8)
    palette[list(legend.ids)] = [c.rgb for c in legend.classes]
    axes.imshow(palette[ids], extent=(0, room.width, 0, room.height), interpolation="nearest", aspect="auto")
    axes.add_patch(Rectangle((0, 0), room.width, room.height, fill=False, edgecolor=SOFT, linewidth=0.6, clip_on=False))


def _draw_under(page: Figure, room: Box, grid: GeoBox, there: Ground | None) -> None:
    """Draw scale bar and north arrow under the map; neither where the ground is not known."""
    if there is None:
        return
    axes = _axes(page, Box(room.left, room.bottom - 0.5, room.width, 0.45))
    metres_an_inch = grid.shape[1] * there.across_m / room.width
    longest_m = max(0.35 * room.width, min(1.0, room.width - 0.6)) * metres_an_inch
    decade = 10.0 ** math.floor(math.log10(longest_m))
    length_m = max(f * decade for f in (1, 2, 5) if f * decade <= longest_m)
    end = length_m / metres_an_inch
    for part, colour in enumerate((INK, "white")):
        half = Rectangle((part * end / 2, 0.26), end / 2, 0.06, facecolor=colour, edgecolor=INK, linewidth=0.7)
        axes.add_patch(half)
    unit, name = (1000, "km") if length_m >= 1000 else (1, "m")
    font = letters(SMALL_PT)
    for share, ha in ((0.0, "left"), (1.0, "right")):
        text = f"{share * length_m / unit:g}" + (f" {name}" if share else "")
        axes.text(share * end, 0.36, text, fontproperties=font, color=INK, ha=ha, va="bottom")
    scale = metres_an_inch / 0.0254
    scale = round(scale, 1 - math.floor(math.log10(scale)))
    axes.text(0, 0.2, f"about 1 : {scale:,.0f} on A4", fontproperties=font, color=SOFT, va="top")
    _draw_north(axes, room.width - 0.2, there.true_north_deg)


def _draw_north(axes: Axes, middle: float, angle_deg: float) -> None:
    turn = math.radians(angle_deg)
    right, up = np.array([math.cos(turn), -math.sin(turn)]), np.array([math.sin(turn), math.cos(turn)])
    centre = np.array([middle, 0.18])
    tip, tail = centre + 0.17 * up, centre - 0.15 * up
    for side, colour in ((-1, INK), (1, "white")):
        corners = [tip, tail + 0.09 * side * right, centre - 0.09 * up]
        axes.add_patch(Polygon(corners, facecolor=colour, edgecolor=INK, linewidth=0.6, clip_on=False))
    axes.text(middle - 0.2, 0.18, "N", fontproperties=letters(9, bold=True), color=INK, ha="right", va="center")


def _draw_legend(page: Figure, box: Box, rows: Sequence[AreaRow], columns: int, intervals: bool) -> None:
    """Draw swatch, name, area and interval of each row, column by column, under heads."""
    deep, axes = max(1, math.ceil(len(rows) / columns)), _axes(page, box)
    numbers_in = (0.8, 1.15) if intervals else (0.75,)
    widest_in = max((width_of(page, " ".join(row.name.split())) for row in rows), default=0)
    name_in = min(widest_in + 0.05, box.width / columns - 0.24 - sum(numbers_in) - 0.2)
    width = 0.24 + name_in + sum(numbers_in) + 0.2
    ends = [0.24 + name_in + sum(numbers_in[: n + 1]) for n in range(len(numbers_in))]
    measured = any(row.area_ha is not None for row in rows)
    heads = ["area (ha)" if measured else "pixels", *(["95 % interval"] if intervals else [])]
    font, bold = letters(SMALL_PT), letters(SMALL_PT, bold=True)
    for number, row in enumerate(rows):
        column, line = divmod(number, deep)
        left, y = column * width, box.height - (line + 1.5) * ROW_IN
        if not line:
            for end, head in zip(ends, heads, strict=True):
                axes.text(left + end, y + ROW_IN, head, fontproperties=bold, color=INK, ha="right", va="center")
        if row.colour:
            place = (left, y - 0.05)
            axes.add_patch(Rectangle(place, 0.17, 0.1, facecolor=row.colour, edgecolor=SOFT, linewidth=0.4))
        axes.text(left + 0.24, y, fitted(page, row.name, name_in), fontproperties=font, color=INK, va="center")
        for end, cell in zip(ends, _cells(row, measured, intervals), strict=True):
            axes.text(left + end, y, cell, fontproperties=font, color=INK, ha="right", va="center")


def _cells(row: AreaRow, measured: bool, intervals: bool) -> list[str]:
    area = _hectares(row.area_ha) if measured else f"{row.pixels:,}"
    if not intervals:
        return [area]
    known = row.low_ha is not None and row.high_ha is not None
    return [area, f"{_hectares(row.low_ha)} – {_hectares(row.high_ha)}" if known else "–"]


def _hectares(area: float | None) -> str:
    if area is None:
        return "–"
    return f"{area:,.0f}" if area >= 1000 else f"{area:.1f}" if area >= 10 else f"{area:.2f}"


def _aspect(grid: GeoBox, there: Ground | None) -> float:
    """Height of the picture by its width, as on the ground at its centre."""
    pixel = there.down_m / there.across_m if there else abs(grid.resolution.y / grid.resolution.x)
    return float(grid.shape[0] * pixel / grid.shape[1])


def _pixel_ha(grid: GeoBox) -> float | None:
    try:
        height_m, width_m = pixel_size_m(grid)
    except GridError:  # degrees
        return None
    return height_m * width_m / 10_000


def _distortion(there: Ground | None) -> str:
    """Say where areas of the reference system are not those of the ground."""
    if there is None or abs(there.area_factor - 1) < 0.01:
        return ""
    return (
        f" In this reference system areas are not true: at the centre they are {there.area_factor:.2f} times as large "
        "on the ground."
    )


def _title(facts: Mapping[str, Any]) -> str:
    days = sorted(str(day) for day in facts.get("dates") or ())
    years = sorted({days[0][:4], days[-1][:4]}) if days else []
    return " ".join(["Crop map", "–".join(years)]).strip()


def _source(facts: Mapping[str, Any]) -> str:
    days = sorted(str(day)[:10] for day in facts.get("dates") or ())
    season = f"{len(days)} dates, {_day(days[0])} to {_day(days[-1])}" if days else "dates unknown"
    made = str((facts.get("model_made") or {}).get("when", ""))[:10]
    model = f"Model: {facts.get('model', 'unknown')}{f' ({made})' if made else ''}."
    when = f"Mapped {_day(str(facts['when'])[:10])} " if facts.get("when") else "Mapped "
    return f"Images: {facts.get('images', 'unknown')}, {season}. {model} {when}with cscl {facts.get('cscl', '?')}."


def _place(grid: GeoBox, there: Ground | None) -> str:
    pixel = f"{grid.resolution.x:g}" if grid.crs.geographic else f"{_pixel_m(grid):g}"  # type: ignore[union-attr]
    text = f"{system_name(grid)}; pixels of {pixel} {'degrees' if grid.crs.geographic else 'm'}."  # type: ignore[union-attr]
    if there is None:
        return text
    side = "right" if there.convergence_deg > 0 else "left"
    off = abs(there.convergence_deg)
    grid_north = f"grid north lies {off:.1f}° to its {side}" if off >= 0.05 else "grid north is the same"
    lat, lon = (f"{abs(v):.3f}° {names[v < 0]}" for v, names in ((there.lat, "NS"), (there.lon, "EW")))
    return f"{text} Centre: {lat}, {lon}. The arrow points to true north there; {grid_north}."


def _pixel_m(grid: GeoBox) -> float:
    height_m, width_m = pixel_size_m(grid)
    return round(math.sqrt(height_m * width_m), 2)


def _day(text: str) -> str:
    try:
        return f"{dt.date.fromisoformat(text):%d %b %Y}".lstrip("0")
    except ValueError:
        return text
