"""A look at a register before anything is learnt from it: its crops, its faults, and where it contradicts itself."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import geopandas as gpd
import numpy as np
import pandas as pd
import shapely
from affine import Affine
from numpy.typing import NDArray
from rasterio.features import rasterize

from cscl.burning import SMALL_PX, rasterising
from cscl.events import Job, Progress
from cscl.grid import GeoBox
from cscl.legend import Legend
from cscl.overlaps import common_ground, overlapping
from cscl.parcels import Parcels
from cscl.products import LabelMap
from cscl.shares import in_pixels

__all__ = ["LEAST_M2", "ParcelCheck", "check_parcels"]

LEAST_M2 = 1.0
"""Overlaps of less are the noise of drawing, and are counted only."""

SAME = 0.99  # of both parcels: then they are drawn on the same ground
AT_ONCE = 500
STRIP_PX = 512

CONFLICTS = ("kind", "row", "id", "code", "other_row", "other_id", "other_code", "overlap_ha", "pixels")


@dataclass(frozen=True, eq=False)
class ParcelCheck:
    """What a look at a register found. Rows are those of the file, counted from 1; ids are the user's own.

    Parameters
    ----------
    parcels : DataFrame
        Of each parcel ``row``, ``id``, ``parcel_id`` (in rasters), ``code`` and ``area_ha``; with images ``pixels``,
        whose centre it holds, and ``small``, whether these are fewer than wanted.
    codes : DataFrame
        Of each crop ``code``, ``name``, ``parcels`` and ``area_ha``; with images ``pixels``.
    issues : DataFrame
        What was repaired, joined or left out: ``row``, ``id``, ``problem`` and ``done``.
    conflicts : DataFrame
        Pairs of parcels that share an id but no crop, or ground: ``kind``, ``row``, ``id`` and ``code`` of both,
        ``overlap_ha`` and, with images, ``pixels``, whose centre lies in both.
    slivers : int
        Overlaps of less than `LEAST_M2`, which are not listed.
    labels : LabelMap or None
        The parcels on the images.
    """

    parcels: pd.DataFrame = field(repr=False)
    codes: pd.DataFrame = field(repr=False)
    issues: pd.DataFrame = field(repr=False)
    conflicts: pd.DataFrame = field(repr=False)
    slivers: int
    labels: LabelMap | None = field(repr=False)


def check_parcels(
    parcels: Parcels, grid: GeoBox | None = None, *, names: Legend | None = None, small_px: int = SMALL_PX
) -> Job[ParcelCheck]:
    """Look at parcels, and at what they are on a grid.

    Parameters
    ----------
    parcels : Parcels
        The register.
    grid : GeoBox, optional
        Grid of images.
    names : Legend, optional
        Names of the crops.
    small_px : int
        Parcels that hold the centres of fewer pixels are small.

    Raises
    ------
    GridError
        If no parcel lies on the grid.
    """
    legend = names or (parcels.legend() if parcels.codes else Legend(()))
    labels = None if grid is None else (yield from rasterising(parcels, grid, legend))
    flat, unit_m2 = _flat(parcels.table)
    shapes: NDArray[Any] = np.asarray(flat.geometry.array, object)
    table = pd.DataFrame(
        {
            "row": parcels.table.index + 1, "id": parcels.own_ids.to_numpy(object),
            "parcel_id": parcels.table["parcel_id"], "code": parcels.table["code"],
            "area_ha": shapely.area(shapes) * unit_m2 / 1e4,
        }
    ).reset_index(drop=True)  # fmt: skip
    if labels is not None:
        table["pixels"] = yield from _pixels(labels, table["parcel_id"].to_numpy())
        table["small"] = table["pixels"] < small_px
    overlaps, slivers = yield from _overlaps(table, flat, shapes, unit_m2, grid)
    conflicts = pd.concat([_same_ids(table, parcels.id_column is not None), overlaps], ignore_index=True)
    if "pixels" in conflicts:
        conflicts["pixels"] = conflicts["pixels"].fillna(0).astype(np.int64)
    return ParcelCheck(table, _codes(table, legend), parcels.issues, conflicts, slivers, labels)


def _flat(table: gpd.GeoDataFrame) -> tuple[gpd.GeoDataFrame, float]:
    """Parcels in a CRS whose areas mean something, and the square metres of its unit."""
    flat = table.to_crs("EPSG:6933") if table.crs.is_geographic else table
    return flat, float(flat.crs.axis_info[0].unit_conversion_factor) ** 2


def _codes(table: pd.DataFrame, legend: Legend) -> pd.DataFrame:
    sums = {"parcels": ("row", "size"), "area_ha": ("area_ha", "sum")}
    if "pixels" in table:
        sums["pixels"] = "pixels", "sum"
    codes = table.groupby(table["code"].fillna(""), sort=True).agg(**sums).reset_index(names="code")
    codes.insert(1, "name", codes["code"].map({c.code: c.name for c in legend.classes} | {"": "not declared"}))
    return codes.sort_values("area_ha", ascending=False, ignore_index=True)


def _pixels(labels: LabelMap, ids: NDArray[Any]) -> Job[NDArray[np.int64]]:
    """Count the pixels of each parcel."""
    assert labels.parcel_ids is not None
    order = np.argsort(ids)
    ranked, held = ids[order], np.zeros(len(ids), np.int64)
    for first in range(0, len(labels.parcel_ids), STRIP_PX):
        yield Progress("counting pixels", first, len(labels.parcel_ids), "row")
        part = labels.parcel_ids[first : first + STRIP_PX]
        held[order] += np.bincount(np.searchsorted(ranked, part[part > 0]), minlength=len(ids))
    return held


def _same_ids(table: pd.DataFrame, named: bool) -> pd.DataFrame:
    """Pairs of parcels of one id and several crops: the first of them with each other."""
    known = table[table["id"].notna() & table["code"].notna()] if named else table[:0]
    twice = known[known["id"].duplicated(keep=False)].sort_values(["id", "code", "row"])
    first = twice.groupby("id")["row"].transform("first")
    others = twice[twice["row"] != first]
    by_row = table.set_index("row")
    one = by_row.loc[first[others.index]].reset_index()
    return _pairs("same id, different crops", one, others)


def _pairs(
    kind: Any, one: pd.DataFrame, other: pd.DataFrame, overlap_ha: Any = 0.0, pixels: Any = None
) -> pd.DataFrame:
    both = {name: one[name].to_numpy() for name in ("row", "id", "code")}
    both |= {f"other_{name}": other[name].to_numpy() for name in ("row", "id", "code")}
    found = pd.DataFrame({"kind": kind, **both, "overlap_ha": overlap_ha, "pixels": pixels}, columns=list(CONFLICTS))
    return found.drop(columns="pixels") if pixels is None else found


def _overlaps(
    table: pd.DataFrame, flat: gpd.GeoDataFrame, shapes: NDArray[Any], unit_m2: float, grid: GeoBox | None
) -> Job[tuple[pd.DataFrame, int]]:
    """Pairs of parcels that share ground, the largest overlap first, and how many overlaps are too small to tell."""
    a, b = yield from overlapping(shapes)
    common = common_ground(shapes, a, b)
    area = shapely.area(common) * unit_m2
    told = np.flatnonzero(area >= LEAST_M2)
    told = told[np.argsort(-area[told], kind="stable")]
    a, b, common, slivers = a[told], b[told], common[told], len(area) - len(told)
    pixels = None
    if grid is not None:
        there = gpd.GeoSeries(common, crs=flat.crs).to_crs(str(grid.crs))
        pixels = yield from _centres(in_pixels(np.asarray(there.array, object), grid), tuple(grid.shape))
    area, code = area[told], table["code"].fillna("").to_numpy(object)
    same = area >= SAME * np.maximum(table["area_ha"].to_numpy()[a], table["area_ha"].to_numpy()[b]) * 1e4
    torn = (code[a] != code[b]) & (code[a] != "") & (code[b] != "")
    kind = [
        f"{'same ground' if s else 'overlap'}, {'different crops' if t else 'no other crop'}"
        for s, t in zip(same, torn, strict=True)
    ]
    return _pairs(kind, table.iloc[a], table.iloc[b], area / 1e4, pixels), slivers


def _centres(shapes: NDArray[Any], size: tuple[int, ...]) -> Job[NDArray[np.int64]]:
    """Count the pixels whose centre each shape holds; shapes are counted in pixels."""
    count = np.zeros(len(shapes), np.int64)
    x0, y0, x1, y1 = np.clip(shapely.bounds(shapes), 0, np.array([size[1], size[0]] * 2)).T
    low, high = np.floor([y0, x0]).astype(int), np.ceil([y1, x1]).astype(int)
    for at in range(len(shapes)):
        if at % AT_ONCE == 0:
            yield Progress("looking at overlaps", at, len(shapes), "pair")
        rows, cols = high[:, at] - low[:, at]
        if rows > 0 and cols > 0:
            corner = Affine.translation(low[1, at], low[0, at])
            count[at] = rasterize([(shapes[at], 1)], (rows, cols), transform=corner, dtype="uint8").sum()
    return count
