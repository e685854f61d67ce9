"""Classes of a map with their areas, as the rows of a legend: those that occur, or the largest and the rest."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import rasterio
from numpy.typing import NDArray
from rasterio.windows import Window as RasterioWindow

from cscl.data.attributes import read_attributes
from cscl.errors import InputError, MissingError
from cscl.events import Job, Progress
from cscl.grid import tile_count, tiles
from cscl.legend import Legend

__all__ = ["NOTHING", "AreaRow", "area_rows", "class_counts", "read_areas", "shortened"]

NOTHING = "#ffffff"
"""Where no class was found; many legends have a grey of their own."""

WINDOW_PX = 2048
COLUMNS = ("code", "class", "mapped_ha", "area_ha", "area_low_ha", "area_high_ha")


@dataclass(frozen=True)
class AreaRow:
    """A class: colour (empty for none on the map), name, pixels on the map, hectares, and their 95 % interval."""

    colour: str
    name: str
    pixels: int
    area_ha: float | None = None
    low_ha: float | None = None
    high_ha: float | None = None


def class_counts(path: str | Path, legend: Legend) -> Job[dict[int, int]]:
    """Count the pixels of each class id of a class map: from its attribute table if it has one, else window by window.

    The id of pixels without a class counts all that is no class.
    """
    told = _told(path)
    with rasterio.open(path) as src:
        shape = src.height, src.width
        if told is None or not set(legend.ids) <= set(told):
            counts: NDArray[np.int64] = np.zeros(65536, np.int64)
            for done, window in enumerate(tiles(shape, WINDOW_PX)):
                yield Progress("counting classes", done, tile_count(shape, WINDOW_PX), "window")
                place = RasterioWindow(window.col, window.row, window.width, window.height)
                counts += np.bincount(src.read(1, window=place).ravel(), minlength=65536)
            told = dict(enumerate(counts.tolist()))
    known = {number: told[number] for number in legend.ids}
    return {**known, legend.ignore: shape[0] * shape[1] - sum(known.values())}


def _told(path: str | Path) -> dict[int, int] | None:
    """Return the counts that the attribute table of a map holds; None without such a table."""
    try:
        return {int(row["Value"]): int(row["Count"]) for row in read_attributes(path) or ()} or None
    except (KeyError, ValueError):
        return None


def area_rows(
    legend: Legend, counts: Mapping[int, int], pixel_ha: float | None, areas: pd.DataFrame | None = None
) -> list[AreaRow]:
    """Return a row for each class that occurs, in the order of the legend, then one for pixels without a class.

    Parameters
    ----------
    legend : Legend
        Names and colours.
    counts : mapping
        Pixels by class id, as `class_counts` has them.
    pixel_ha : float or None
        Area of a pixel; None where it has no single one.
    areas : DataFrame, optional
        Estimates of ``cscl area``, as its ``areas.csv`` holds them: they replace what is counted. Classes that only the
        sample knows come last.
    """
    known = {} if areas is None else {str(row["code"]): row for row in areas.to_dict("records")}

    def row(code: str, name: str, colour: str, pixels: int) -> AreaRow:
        if areas is None:
            return AreaRow(colour, name, pixels, None if pixel_ha is None else pixels * pixel_ha)
        told = [known[code][key] for key in COLUMNS[3:]] if code in known else [np.nan] * 3
        return AreaRow(colour, name, pixels, *(None if np.isnan(v) else float(v) for v in told))

    found = {code for code, told in known.items() if told["area_ha"] > 0}
    rows = [row(c.code, c.name, c.colour, counts[c.id]) for c in legend.classes if counts[c.id] or c.code in found]
    mapped = {c.code for c in legend.classes}
    rows += [row(code, str(told["class"]), "", 0) for code, told in known.items() if code in found - mapped]
    if nothing := counts.get(legend.ignore, 0):
        counted = None if pixel_ha is None else nothing * pixel_ha
        rows.append(AreaRow(NOTHING, "no prediction", nothing, counted if areas is None else None))
    return rows


def shortened(rows: Sequence[AreaRow], most: int) -> list[AreaRow]:
    """Keep the rows of the largest classes, in their order, and join the rest to one row, if there are too many."""
    if len(rows) <= most:
        return list(rows)
    nothing = [row for row in rows if row.colour == NOTHING]
    classes = [row for row in rows if row.colour != NOTHING]
    order = sorted(range(len(classes)), key=lambda i: (-classes[i].pixels, i))
    count = max(0, most - 1 - len(nothing))
    rest = [classes[i] for i in order[count:]]
    known = [row.area_ha for row in rest if row.area_ha is not None]
    area = sum(known) if len(known) == len(rest) else None
    together = AreaRow("", f"{len(rest)} smaller classes", sum(row.pixels for row in rest), area)
    return [*(classes[i] for i in sorted(order[:count])), together, *nothing]


def read_areas(path: str | Path) -> pd.DataFrame:
    """Read the estimates that ``cscl area`` wrote: its folder, or the ``areas.csv`` in it.

    Raises
    ------
    MissingError, InputError
        If there are none, or the table is another.
    """
    path = Path(path) / "areas.csv" if Path(path).is_dir() else Path(path)
    if not path.is_file():
        raise MissingError(f"There are no areas at {path}. Make them with cscl sample and cscl area.")
    try:
        table = pd.read_csv(path, dtype={"code": str, "class": str}, keep_default_na=False, na_values={
            column: [""] for column in COLUMNS[2:]
        })  # fmt: skip
        table[list(COLUMNS[2:])] = table[list(COLUMNS[2:])].astype(float)
    except (ValueError, KeyError, UnicodeDecodeError) as error:
        raise InputError(f"{path} is no table of cscl area ({error}). Give the folder that it made.") from error
    if lacking := [column for column in COLUMNS if column not in table]:
        raise InputError(f"{path} has no column {', '.join(lacking)}. Give the folder that cscl area made.")
    return table
