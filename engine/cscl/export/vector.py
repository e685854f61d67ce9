"""The crop map parcel by parcel: the majority class of each polygon, how sure it is, and the table as vector files.

Pixels at a parcel's edge mix two fields, so a parcel is judged by its interior pixels; only where it has none do the
others vote. The map is read window by window.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import geopandas as gpd
import numpy as np
from numpy.typing import NDArray
from rasterio.features import rasterize
from shapely.geometry import box

from cscl.errors import GridError
from cscl.events import Job, Note, Progress
from cscl.grid import GeoBox, Window, tile_count, tiles
from cscl.legend import UNKNOWN, Legend
from cscl.overlaps import precedence
from cscl.parcels import Parcels
from cscl.products import Prediction

from .draft import draft, refuse
from .fiboa import CodeList, write_code_list, write_fiboa
from .gpkg import Layer, beside, storable, write_layers
from .hectares import equal_area, hectares, pixel_hectares
from .parcel_tally import SMALL_PX, Burnt, ParcelTally
from .sld import vector_sld
from .styles import vector_style

__all__ = ["COLUMNS", "SMALL_PX", "STATUS", "export_parcels", "parcel_table"]

WINDOW_PX = 1024
AT_ONCE = 20_000  # parcels that are measured between two events

COLUMNS = (
    *("ref_code", "ref_name", "pred_id", "pred_code", "pred_name", "conf_mean", "conf_p10"),
    *("purity", "second_code", "second_share", "n_px", "n_px_interior"),
    *("area_ha", "area_valid_ha", "boundary_err", "status"),
)
"""Columns that `parcel_table` adds, in this order."""

STATUS = {
    "small": f"have fewer than {SMALL_PX} predicted pixels",
    "cloudy": "were not seen well enough (at most of their pixels no date was valid)",
    "void": "hold no pixel of the map (beyond it, too small, or covered by smaller parcels)",
}
"""What is wrong with parcels that are not ``ok``."""


def parcel_table(prediction: Prediction, parcels: Parcels) -> Job[gpd.GeoDataFrame]:
    """Judge each parcel by the predicted pixels whose centre lies in it.

    Returns
    -------
    geopandas.GeoDataFrame
        All rows and columns of the parcels, in their own CRS, with the columns

        - ``ref_code``, ``ref_name``: the declared crop, and what the legend of the map calls it, if it does;
        - ``pred_id``, ``pred_code``, ``pred_name``: the majority class (of two equal ones, the first in the legend),
          empty where nothing was predicted;
        - ``conf_mean``, ``conf_p10``: mean confidence of the voting pixels, 0..1, and the least confidence that a
          tenth of them does not exceed;
        - ``purity``: share of the majority class of the votes, 0..1; ``second_code``, ``second_share``: the
          runner-up, if any;
        - ``n_px``: pixels of the parcel with a predicted class; ``n_px_interior``: those of them whose eight
          neighbours lie in the parcel too. These vote; where there are none, all do;
        - ``area_ha``: area of the polygon on the ground, in an equal-area projection around the middle of the map;
        - ``area_valid_ha``: area of its pixels with a predicted class. Pixels count whole, so it can be a little more
          than ``area_ha``;
        - ``boundary_err``: of the parcel's boundary pixels (those with a predicted class that have at least one of
          their eight neighbours outside the parcel), the share that is mapped as another class than the declared one,
          0..1; empty where there is no such pixel, no crop is declared, or the legend does not know it. Mixed pixels
          count, too: what a parcel's neighbours take from it at its outline;
        - ``status``: ``void`` (no pixel of the map is the parcel's), ``cloudy`` (fewer than half of its pixels on the
          map have a predicted class, because no date was valid there), ``small`` (fewer than 4 pixels have), or
          ``ok``.

        A column of the same name that was there before is renamed with the ending ``_given``.

    Raises
    ------
    GridError
        If no parcel touches the map.
    """
    grid, legend = prediction.grid, prediction.legend
    here = parcels.table.geometry.to_crs(str(grid.crs))
    if not here.intersects(box(*grid.boundingbox.bbox)).any():
        raise GridError(
            f"No parcel of {parcels.name} lies on the map {prediction.name}. Check that both show the same place and "
            "that the CRS of each is right."
        )
    order = precedence(np.asarray(here.array, object), parcels.table["code"], parcels.table["parcel_id"])
    tally = ParcelTally(legend, _declared(parcels, legend))
    shape = int(grid.shape[0]), int(grid.shape[1])
    total, last = tile_count(shape, WINDOW_PX), _last_window(here, grid)
    for done, window in enumerate(tiles(shape, WINDOW_PX)):
        yield Progress("judging parcels", done, total, "window")
        burnt = _burn(here, order, grid, window)
        if burnt.rows.size:
            ids, confidence = prediction.read(window)
            tally.add(burnt, legend.to_index(ids), confidence)
        tally.close(np.flatnonzero(last == done))
    yield Progress("judging parcels", total, total, "window")
    area = yield from _areas(parcels.table.geometry, grid)
    verdict = tally.verdict()
    verdict = verdict.assign(
        ref_code=parcels.table["code"].to_numpy(object), area_ha=area,
        area_valid_ha=verdict["n_px"].to_numpy() * pixel_hectares(area, here, grid),
    )[list(COLUMNS)]  # fmt: skip
    verdict.index = parcels.table.index
    return beside(parcels.table, verdict)


def export_parcels(
    prediction: Prediction,
    parcels: Parcels,
    path: str | Path,
    *,
    geoparquet: bool = True,
    code_list: str | None = None,
    overwrite: bool = False,
    inputs: Iterable[str | Path] = (),
) -> Job[Path]:
    """Write the table of `parcel_table` as GeoPackage and as GeoParquet, with styles in ``.qml`` and ``.sld`` beside.

    The geometries are those of the parcels, in their own CRS, and their other columns are kept. The GeoParquet keeps
    to fiboa (`cscl.export.fiboa`); its ``crop:code`` is the predicted crop.

    Parameters
    ----------
    prediction, parcels
        What is written.
    path : path
        The GeoPackage; the others are called like it.
    geoparquet : bool
        Whether ``.parquet`` is written, and ``.codes.csv``, the list of codes that it refers to.
    code_list : str, optional
        Address of a public list of the codes, for the GeoParquet to refer to instead.
    overwrite, inputs
        As everywhere: replace former files when the new ones are whole; files that are never replaced.

    Raises
    ------
    OutputError
        If a file cannot or must not be written.
    GridError
        If no parcel touches the map.
    """
    path = Path(path)
    sources = [*inputs, *([parcels.path] if parcels.path is not None else [])]
    for made in (path, *([path.with_suffix(".parquet")] if geoparquet else [])):
        refuse(made, overwrite=overwrite, inputs=sources)
    table = yield from parcel_table(prediction, parcels)
    yield from _say(table)
    table, legend = storable(table, ("parcel_id", "code", *COLUMNS)), prediction.legend
    with draft(path.parent, path.name) as folder:
        yield from write_layers(folder / path.name, [Layer("parcels", table)])
        if geoparquet:
            beside_it = f"{path.stem}.codes.csv"
            ids = _names(parcels)
            listed = CodeList("pred_code", "pred_name", code_list or beside_it)
            yield from write_fiboa(folder / f"{path.stem}.parquet", table, ids, listed, parcels.name)
            if code_list is None:
                write_code_list(legend, folder / beside_it)
        (folder / f"{path.stem}.qml").write_text(vector_style(legend, "pred_code"), encoding="utf-8")
        (folder / f"{path.stem}.sld").write_text(vector_sld(legend, "pred_id", path.stem), encoding="utf-8")
    return path


def _areas(shapes: gpd.GeoSeries, grid: GeoBox) -> Job[NDArray[np.float64]]:
    flat, found = equal_area(grid), np.zeros(len(shapes))
    for start in range(0, len(shapes), AT_ONCE):
        yield Progress("measuring parcels", start, len(shapes), "parcel")
        found[start : start + AT_ONCE] = hectares(shapes.iloc[start : start + AT_ONCE], flat)
    return found


def _say(table: gpd.GeoDataFrame) -> Job[None]:
    counts = {status: int((table["status"] == status).sum()) for status in STATUS}
    words = [f"{count} {STATUS[status]}" for status, count in counts.items() if count]
    if words:
        yield Note(f"Of {len(table)} parcels {'; '.join(words)}: see the column 'status'.")


def _declared(parcels: Parcels, legend: Legend) -> NDArray[np.int16]:
    """Index of the class that each parcel is declared as; negative where none is, or the legend does not know it."""
    index = {c.code: place for place, c in enumerate(legend.classes)}
    return np.array([index.get(code, UNKNOWN) for code in parcels.table["code"]], np.int16)


def _names(parcels: Parcels) -> list[str]:
    """Give the user's ids where each parcel has one of its own, else our numbers."""
    own, ours = parcels.own_ids, parcels.table["parcel_id"].astype(str).tolist()
    unique = own.notna().all() and own.is_unique
    return own.astype(str).tolist() if unique else ours


def _last_window(here: gpd.GeoSeries, grid: GeoBox) -> NDArray[np.int64]:
    """Find the number of the window, in the order of `tiles`, after which no pixel of a parcel can come."""
    west, south, east, north = here.bounds.to_numpy().T
    with np.errstate(invalid="ignore"):  # what the CRS of the map cannot hold lies at infinity
        corners = [~grid.transform @ (x, y) for x in (west, east) for y in (south, north)]
    height, width = int(grid.shape[0]), int(grid.shape[1])
    col = np.nan_to_num(np.max([x for x, _ in corners], axis=0), nan=width, posinf=width, neginf=0)
    row = np.nan_to_num(np.max([y for _, y in corners], axis=0), nan=height, posinf=height, neginf=0)
    across = -(-width // WINDOW_PX)
    at_row, at_col = np.clip(row, 0, height - 1) // WINDOW_PX, np.clip(col, 0, width - 1) // WINDOW_PX
    return np.asarray(at_row * across + at_col, np.int64)


def _burn(here: gpd.GeoSeries, order: NDArray[np.int64], grid: GeoBox, window: Window) -> Burnt:
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
    return Burnt(rows, local, interior)
