"""Estimate areas and accuracy of a map from a sample of it that was filled in."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import geopandas as gpd
import numpy as np
import pandas as pd
from numpy.typing import NDArray
from pyproj.exceptions import ProjError

from cscl.errors import GridError, InputError
from cscl.events import Job, Note, Progress
from cscl.grid import GeoBox, pixel_size_m
from cscl.legend import Legend
from cscl.metrics.area import AreaEstimate, estimate_area
from cscl.metrics.sample import count_strata
from cscl.products import Prediction
from cscl.registry import nearest

from .filled_sample import FilledSample
from .sample import RECORD, STRIP_PX, Merged, strips_of

__all__ = ["AreaOptions", "AreaResult", "estimate_areas"]

M2_PER_HA = 10_000


@dataclass(frozen=True)
class AreaOptions:
    """How a filled-in sample is read."""

    further_classes: Annotated[
        tuple[str, ...] | None, {"tooltip": "Codes in the sample that the map does not know, such as water"}
    ] = None
    leave_out_unfilled: Annotated[
        bool, {"tooltip": "Leave out points without a reference, as if they had not been drawn"}
    ] = False
    merge: Annotated[
        tuple[str, ...] | None, {"tooltip": "Classes to treat as one, each group as CODE+CODE (default: as drawn)"}
    ] = None


@dataclass(frozen=True, eq=False)
class AreaResult:
    """An estimate with the legend that its axes follow.

    Parameters
    ----------
    estimate : AreaEstimate
        Areas and accuracies.
    legend : Legend
        Classes of the axes: those of the map, then further ones that only the sample has.
    name, sample : str
        What the map and the sample are called.
    remarks : tuple of str
        What the reader must know.
    """

    estimate: AreaEstimate
    legend: Legend
    name: str
    sample: str
    remarks: tuple[str, ...] = ()


def estimate_areas(prediction: Prediction, filled: FilledSample, options: AreaOptions | None = None) -> Job[AreaResult]:
    """Estimate areas and accuracy from a sample that was drawn from a map. The map is read strip by strip.

    The class of the map at each point is read from the map itself. The estimators are those of Olofsson et al. 2014;
    see `cscl.metrics.area.estimate_area`.

    Parameters
    ----------
    prediction : Prediction
        The map that the sample was drawn from.
    filled : FilledSample
        From `cscl.inference.filled_sample.read_sample`.
    options : AreaOptions, optional
        What to do with codes that the map does not know and with points that are not filled in.

    Raises
    ------
    InputError
        If points are not filled in, have unknown codes, were moved, lie off the map or occur twice; if the map is not
        the one that they were drawn from; if a class has fewer than two.
    GridError
        If the grid counts degrees, or the place of the points cannot be told.
    """
    options = options or AreaOptions()
    height_m, width_m = pixel_size_m(prediction.grid)
    merged = Merged.of(prediction.legend, options.merge or filled.record.get("merge", ()))
    table, remarks = _answered(filled, options)
    row, col = _pixels(filled, table, prediction.grid)
    legend = merged.legend.extended(options.further_classes or ())
    truth = _codes(table, prediction.legend, merged, legend, filled.path)
    classes = len(merged.legend)
    mapped, pixels = np.full(len(table), -1), np.zeros(classes, np.int64)
    total = -(-int(prediction.grid.shape[0]) // STRIP_PX)
    for number, (top, index) in enumerate(strips_of(prediction, merged.index), 1):
        pixels += count_strata([(top, index)], classes)
        here = (row >= top) & (row < top + len(index))
        mapped[here] = index[row[here] - top, col[here]]
        yield Progress("counting the map", number, total, "strip")
    remarks += _as_drawn(filled, table, merged.legend, pixels)
    if (mapped < 0).any():
        raise InputError(
            f"The map {prediction.name} has no class at {_points(table, mapped < 0)}: they cannot be of its sample. "
            "Give the map that the sample was drawn from."
        )
    size = len(legend)
    counts = np.bincount(mapped * size + truth, minlength=size**2).reshape(size, size)
    everywhere = np.concatenate([pixels, np.zeros(size - classes, np.int64)])
    _require_two(counts, everywhere, legend)
    for remark in remarks:
        yield Note(remark, warning=True)
    found = estimate_area(counts, everywhere, height_m * width_m / M2_PER_HA)
    return AreaResult(found, legend, prediction.name, str(filled.path), (*remarks, *_certain(counts, legend)))


def _answered(filled: FilledSample, options: AreaOptions) -> tuple[pd.DataFrame, list[str]]:
    """Leave out the points that are not filled in, if that is wanted."""
    table = filled.table
    empty = (table["reference"] == "").to_numpy()
    if empty.all():
        raise InputError(
            f"No point of {filled.path} is filled in. Write what is really there into the column 'reference'."
        )
    if not empty.any():
        return table, []
    if not options.leave_out_unfilled:
        raise InputError(
            f"{int(empty.sum())} of {len(table)} points of {filled.path} are not filled in: {_points(table, empty)}. "
            "Fill them in, or add --leave-out-unfilled to do without them."
        )
    remark = (
        f"{int(empty.sum())} of {len(table)} points were left out as not filled in. The estimate holds only if that "
        "has nothing to do with what is there."
    )
    return table[~empty].reset_index(drop=True), [remark]


def _pixels(filled: FilledSample, table: pd.DataFrame, grid: GeoBox) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Find the pixel of each point, and refuse points that were moved, lie off the map, or occur twice."""
    named = (table["row"] >= 0).to_numpy()
    row, col = (table[name].to_numpy().astype(np.int64) for name in ("row", "col"))
    placed = table["x"].notna().to_numpy() & table["y"].notna().to_numpy()
    if placed.any():
        x, y = table["x"].to_numpy(), table["y"].to_numpy()
        if filled.crs is not None:
            try:
                moved_to = gpd.GeoSeries.from_xy(x, y, crs=filled.crs).to_crs(str(grid.crs))
            except ProjError as error:
                raise GridError(
                    f"The points of {filled.path} cannot be brought to {grid.crs} ({error}). "
                    "Save them in the reference system that cscl sample wrote."
                ) from error
            x, y = moved_to.x.to_numpy(), moved_to.y.to_numpy()
        across, down = ~grid.transform @ np.stack([x, y])
        there = np.floor(np.stack([down, across])).astype(np.int64)
        moved = placed & named & ((there[0] != row) | (there[1] != col))
        if moved.any():
            raise InputError(
                f"{_points(table, moved).capitalize()} of {filled.path} do not lie in the pixel that was drawn. Put "
                "them back: the columns row and col, and x and y in the other file of the sample, say where. If all "
                "points are off, the file is in another coordinate reference system than it says."
            )
        row, col = np.where(named, row, there[0]), np.where(named, col, there[1])
    off = (row < 0) | (col < 0) | (row >= grid.shape[0]) | (col >= grid.shape[1])
    if off.any():
        raise InputError(
            f"{_points(table, off).capitalize()} of {filled.path} lie off the map. Give the map they are of."
        )
    twice = pd.DataFrame({"row": row, "col": col}).duplicated(keep=False).to_numpy()
    if twice.any():
        raise InputError(
            f"{_points(table, twice).capitalize()} of {filled.path} lie in one pixel with another: a pixel is drawn "
            "once. Remove the copies."
        )
    return row, col


def _codes(table: pd.DataFrame, mapped: Legend, merged: Merged, legend: Legend, path: Path) -> NDArray[np.int64]:
    """Find the class of each reference in `legend`: by code, then by code or name in any case."""
    known = {c.code: i for i, c in enumerate(legend.classes)}
    known |= {c.code: int(i) for c, i in zip(mapped.classes, merged.index, strict=False)}
    loose = {c.name.lower(): known[c.code] for c in (*mapped.classes, *legend.classes)}
    loose |= {code.lower(): i for code, i in known.items()}
    found = table["reference"].map(lambda text: known.get(text, loose.get(text.lower(), -1))).to_numpy()
    if (found < 0).any():
        first = table["reference"][found < 0].iloc[0]
        others = sorted(set(table["reference"][found < 0]))
        error = nearest(first, known, "code", f"{path}, {_points(table, found < 0)}")
        raise InputError(f"{error} If {', '.join(others)} is right, add --further-classes {','.join(others)}.")
    return np.asarray(found, np.int64)


def _as_drawn(filled: FilledSample, table: pd.DataFrame, legend: Legend, pixels: NDArray[np.int64]) -> list[str]:
    """Hold the map and the points against what was noted when they were drawn."""
    drawn = {c["code"]: c for c in filled.record.get("classes", ())}
    if not drawn:
        return [
            f"{filled.path} comes without {RECORD}, so nothing tells whether it is a random sample of this map, "
            "stratified by its classes. Only then the figures hold."
        ]
    if set(drawn) != {c.code for c in legend.classes}:
        return ["Other classes were merged when the sample was drawn: the strata are those of now."]
    for c, px in zip(legend.classes, pixels.tolist(), strict=True):
        if drawn[c.code]["pixels"] != px:
            raise InputError(
                f"The sample was drawn from another map: there class {c.code} had {drawn[c.code]['pixels']:,} pixels, "
                f"here it has {px:,}. Give the very map that it was drawn from ({filled.record.get('map', '')})."
            )
    lost = sum(c["units"] for c in drawn.values()) - len(filled.table)
    if lost > 0:
        return [f"{lost} of the points that were drawn are not in {filled.path.name}: they count as never drawn."]
    if lost < 0:
        return [f"{-lost} points of {filled.path.name} were not drawn: points chosen by hand bias the figures."]
    return []


def _require_two(counts: NDArray[np.int64], pixels: NDArray[np.int64], legend: Legend) -> None:
    few = [
        f"{c.name} ({c.code}: {n} of {px:,} pixels)"
        for c, n, px in zip(legend.classes, counts.sum(1).tolist(), pixels.tolist(), strict=True)
        if px and n < 2
    ]
    if few:
        raise InputError(
            f"Fewer than two points lie in the mapped class {'; '.join(few)}: no standard error is defined without. "
            "Draw a sample in which each class gets more, or treat the class and another one as one: --merge CODE+CODE."
        )


def _certain(counts: NDArray[np.int64], legend: Legend) -> list[str]:
    """Say for which strata a standard error of zero means little."""
    units = counts.sum(1)
    sure = [
        f"{c.code} ({n})" for c, n, most in zip(legend.classes, units, counts.max(1), strict=True) if n and n == most
    ]
    if not sure:
        return []
    return [
        f"All points mapped as one of these are of one class, so that they add nothing to the standard errors: "
        f"{', '.join(sure)} (points). That no other was seen does not mean that there is none."
    ]


def _points(table: pd.DataFrame, which: Iterable[bool] | NDArray[np.bool_], most: int = 8) -> str:
    """Name points by their numbers."""
    units: Sequence[str] = table["unit"][np.asarray(which)].tolist()
    more = f" and {len(units) - most} more" if len(units) > most else ""
    return f"point{'s' if len(units) > 1 else ''} {', '.join(units[:most])}{more}"
