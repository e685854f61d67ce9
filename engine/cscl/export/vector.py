"""The crop map parcel by parcel: the majority class of each polygon, how sure it is, and the table as GeoPackage.

Pixels at a parcel's edge mix two fields, so a parcel is judged by its interior pixels; only where it has none do the
others vote. The map is read window by window.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import geopandas as gpd
import numpy as np
import pandas as pd
from numpy.typing import NDArray
from rasterio.features import rasterize
from shapely.geometry import box

from cscl.errors import GridError
from cscl.events import Job, Note, Progress
from cscl.grid import GeoBox, Window, tile_count, tiles
from cscl.legend import Legend
from cscl.overlaps import precedence
from cscl.parcels import Parcels
from cscl.products import Prediction

from .draft import draft, refuse
from .gpkg import Layer, beside, storable, write_layers
from .styles import vector_style

__all__ = ["COLUMNS", "SMALL_PX", "export_parcels", "parcel_table"]

SMALL_PX = 4
"""Parcels of fewer pixels than this are marked: their majority says little."""

WINDOW_PX = 1024

COLUMNS = (
    *("pred_id", "pred_code", "pred_name", "purity", "second_code", "second_share", "conf_mean"),
    *("n_px", "n_px_interior", "area_ha", "status"),
)
"""Columns that `parcel_table` adds, in this order."""


def parcel_table(prediction: Prediction, parcels: Parcels) -> Job[gpd.GeoDataFrame]:
    """Judge each parcel by the predicted pixels whose centre lies in it.

    Returns
    -------
    geopandas.GeoDataFrame
        All rows and columns of the parcels, in their own CRS, with the columns

        - ``pred_id``, ``pred_code``, ``pred_name``: the majority class (of two equal ones, the first in the legend),
          empty where nothing was predicted;
        - ``purity``: its share of the votes, 0..1; ``second_code``, ``second_share``: the runner-up, if any;
        - ``conf_mean``: mean confidence of the voting pixels, 0..1;
        - ``n_px``: pixels of the parcel with a predicted class; ``n_px_interior``: those of them whose eight
          neighbours lie in the parcel too. These vote; where there are none, all do;
        - ``area_ha``: area of the polygon in the CRS of the map (of equal-area EPSG:6933 if that one counts degrees);
        - ``status``: ``ok``, ``small`` (fewer than 4 pixels) or ``none`` (no predicted pixel).

        A column of the same name that was there before is renamed with the ending ``_given``.

    Raises
    ------
    GridError
        If no parcel touches the map.
    """
    here = parcels.table.geometry.to_crs(str(prediction.grid.crs))
    if not here.intersects(box(*prediction.grid.boundingbox.bbox)).any():
        raise GridError(
            f"No parcel of {parcels.name} lies on the map {prediction.name}. Check that both show the same place and "
            "that the CRS of each is right."
        )
    order = precedence(np.asarray(here.array, object), parcels.table["code"], parcels.table["parcel_id"])
    tally = _Tally(len(here), len(prediction.legend))
    shape = int(prediction.grid.shape[0]), int(prediction.grid.shape[1])
    total = tile_count(shape, WINDOW_PX)
    for done, window in enumerate(tiles(shape, WINDOW_PX)):
        yield Progress("judging parcels", done, total, "window")
        burnt = _burn(here, order, prediction.grid, window)
        if burnt.rows.size:
            ids, confidence = prediction.read(window)
            tally.add(burnt, prediction.legend.to_index(ids), confidence)
    yield Progress("judging parcels", total, total, "window")
    verdict = tally.verdict(prediction.legend).assign(area_ha=_area_ha(here, prediction.grid))[list(COLUMNS)]
    verdict.index = parcels.table.index
    return beside(parcels.table, verdict)


def export_parcels(
    prediction: Prediction,
    parcels: Parcels,
    path: str | Path,
    *,
    overwrite: bool = False,
    inputs: Iterable[str | Path] = (),
) -> Job[Path]:
    """Write the table of `parcel_table` as GeoPackage, with a QGIS style in ``.qml`` beside it.

    The geometries are those of the parcels, in their own CRS, and their other columns are kept.

    Raises
    ------
    OutputError
        If a file cannot or must not be written.
    GridError
        If no parcel touches the map.
    """
    path = Path(path)
    refuse(path, overwrite=overwrite, inputs=inputs)
    table = yield from parcel_table(prediction, parcels)
    small, none = (int((table["status"] == status).sum()) for status in ("small", "none"))
    if small or none:
        yield Note(
            f"Of {len(table)} parcels {small} have fewer than {SMALL_PX} predicted pixels and {none} have none: "
            "see the column 'status'."
        )
    with draft(path.parent, path.name) as folder:
        layer = Layer("parcels", storable(table, ("parcel_id", "code", *COLUMNS)))
        yield from write_layers(folder / path.name, [layer])
        style = vector_style(prediction.legend, "pred_code")
        (folder / path.with_suffix(".qml").name).write_text(style, encoding="utf-8")
    return path


@dataclass(frozen=True)
class _Burnt:
    """Parcels of a window.

    `rows` are their places in the table; `local` (y, x) the place in `rows`, from 1, and 0 outside all parcels;
    `interior` (y, x) tells whether the eight neighbours of a pixel lie in the same parcel.
    """

    rows: NDArray[np.int64]
    local: NDArray[np.int32]
    interior: NDArray[np.bool_]


def _burn(here: gpd.GeoSeries, order: NDArray[np.int64], grid: GeoBox, window: Window) -> _Burnt:
    """Burn the parcels of a window and of a ring of one pixel around it, also beyond the map: there polygons go on."""
    ring = grid[window.rows, window.cols].pad(1)
    rows = order[np.isin(order, here.sindex.query(box(*ring.boundingbox.bbox)))]  # the smallest are burned last
    burnt = np.zeros((window.height + 2, window.width + 2), np.int32)
    if rows.size:
        shapes = zip(here.iloc[rows], range(1, len(rows) + 1), strict=True)
        rasterize(shapes, out=burnt, transform=ring.transform)
    local = burnt[1:-1, 1:-1]
    interior: NDArray[np.bool_] = local > 0
    for dy in range(3):
        for dx in range(3):
            interior &= burnt[dy : dy + window.height, dx : dx + window.width] == local
    return _Burnt(rows, local, interior)


class _Tally:
    """Votes and confidence of each parcel, added up window by window; axes (parcel, class), interior and edge apart."""

    def __init__(self, parcels: int, classes: int) -> None:
        self.votes = np.zeros((2, parcels, classes), np.uint32)
        self.confidence = np.zeros((2, parcels))
        self.confident = np.zeros((2, parcels), np.uint32)

    def add(self, burnt: _Burnt, index: NDArray[np.int16], confidence: NDArray[np.float32]) -> None:
        """Add a window; axes (y, x)."""
        classes, n = self.votes.shape[2], len(burnt.rows)
        for side, part in enumerate((burnt.interior, ~burnt.interior)):
            voting = part & (burnt.local > 0) & (index >= 0)
            local, values = burnt.local[voting] - 1, confidence[voting]
            counts = np.bincount(local * classes + index[voting], minlength=n * classes)
            self.votes[side, burnt.rows] += counts.reshape(n, classes).astype(np.uint32)
            known = np.isfinite(values)
            self.confidence[side, burnt.rows] += np.bincount(local[known], values[known], minlength=n)
            self.confident[side, burnt.rows] += np.bincount(local[known], minlength=n).astype(np.uint32)

    def verdict(self, legend: Legend) -> pd.DataFrame:
        """Columns of the table that come from the pixels; one row a parcel."""
        n_interior, n_px = self.votes[0].sum(1).astype(np.int64), self.votes.sum((0, 2)).astype(np.int64)
        by_interior = n_interior > 0
        votes = np.where(by_interior[:, None], self.votes[0], self.votes[1])
        confidence = np.where(by_interior, self.confidence[0], self.confidence[1])
        confident = np.where(by_interior, self.confident[0], self.confident[1])
        first = _Place.of(votes, 0, legend)
        second = _Place.of(votes, 1, legend)
        small = np.where(n_px < SMALL_PX, "small", "ok")
        return pd.DataFrame(
            {
                "pred_id": pd.Series(first.column([c.id for c in legend.classes]), dtype="Int32"),
                "pred_code": first.column([c.code for c in legend.classes]),
                "pred_name": first.column([c.name for c in legend.classes]),
                "purity": first.share,
                "second_code": second.column([c.code for c in legend.classes]),
                "second_share": second.share,
                "conf_mean": np.where(confident > 0, confidence / np.maximum(confident, 1), np.nan),
                "n_px": n_px,
                "n_px_interior": n_interior,
                "status": np.where(n_px == 0, "none", small),
            }
        )


@dataclass(frozen=True)
class _Place:
    """Who came first, or second, in each parcel: index of the class (-1 for nobody) and share of the votes."""

    index: NDArray[np.int64]
    share: NDArray[np.float64]

    @classmethod
    def of(cls, votes: NDArray[np.uint32], place: int, legend: Legend) -> _Place:
        if place >= len(legend):
            return cls(np.full(len(votes), -1), np.full(len(votes), np.nan))
        index = np.argsort(-votes.astype(np.int64), axis=1, kind="stable")[:, place]
        won = np.take_along_axis(votes, index[:, None], 1)[:, 0]
        share = np.where(won > 0, won / np.maximum(votes.sum(1), 1), np.nan)
        return cls(np.where(won > 0, index, -1), share)

    def column(self, values: list[Any]) -> NDArray[np.object_]:
        """Look up a value for each parcel; None for nobody."""
        found: NDArray[np.object_] = np.array([*values, None], object)[self.index]
        return found


def _area_ha(here: gpd.GeoSeries, grid: GeoBox) -> NDArray[np.float64]:
    flat = here.to_crs("EPSG:6933") if here.crs.is_geographic else here
    metres = flat.crs.axis_info[0].unit_conversion_factor
    area_m2: NDArray[np.float64] = np.asarray(flat.area, float) * metres**2
    return area_m2 / 10_000
