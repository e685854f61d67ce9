"""From parcels to pixels: whose each pixel is, which crop it has, and what parcels share of it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import geopandas as gpd
import numpy as np
import pandas as pd
import shapely
from affine import Affine
from numpy.typing import NDArray
from rasterio.features import rasterize
from shapely.geometry import box

from cscl.errors import GridError
from cscl.events import Job, Progress, run
from cscl.grid import GeoBox
from cscl.legend import Legend
from cscl.overlaps import apart, common_ground, overlapping, precedence
from cscl.products import LabelMap
from cscl.shares import PixelShares, in_pixels

if TYPE_CHECKING:
    from cscl.parcels import Parcels

__all__ = ["SMALL_PX", "on_grid", "rasterise", "rasterising"]

SMALL_PX = 4
"""Parcels that hold the centres of fewer pixels than this teach and tell little."""

STRIP_PX = 256  # rows that are burned together: on a whole tile at once GDAL takes nine times as long
AT_ONCE = 20_000  # parcels that are reprojected between two events

Shapes = NDArray[Any]


def rasterise(parcels: Parcels, grid: GeoBox, legend: Legend) -> LabelMap:
    """Burn parcels onto a grid, as `rasterising` does, without a word on the way."""
    return run(rasterising(parcels, grid, legend))


def rasterising(parcels: Parcels, grid: GeoBox, legend: Legend) -> Job[LabelMap]:
    """Burn parcels onto a grid by the pixel-centre rule: a pixel belongs to the parcel that holds its centre.

    Where several do, it belongs to the smallest of them, and its class is known only if all of them that declare a crop
    declare the same (`cscl.overlaps`). Neither the order of the parcels nor the part of the grid that is asked for
    makes a difference. Pixels outside all parcels, in parcels without a code, or with a code that is not in the legend
    have the legend's ignore id.

    Returns
    -------
    LabelMap
        ``ids`` (y, x) in the legend's dtype and ``parcel_ids`` (y, x) int32, 0 outside all parcels; ``shares`` tells
        what the polygons share of single pixels. Its notes count the pixels with several crops and the small parcels.

    Raises
    ------
    GridError
        If no parcel touches the grid.
    """
    table = yield from on_grid(parcels, grid)
    if table.empty:
        raise GridError(_nowhere(parcels, grid))
    shapes: Shapes = np.asarray(table.geometry.array, object)
    a, b = yield from overlapping(shapes)
    order = precedence(shapes, table["code"], table["parcel_id"])
    yield Progress("looking for overlaps", len(shapes), len(shapes), "parcel")
    class_of = np.array([legend.id_by_code().get(code, legend.ignore) for code in table["code"]], legend.dtype)
    id_of = table["parcel_id"].to_numpy(np.int32)
    pixels = in_pixels(shapes, grid)
    patches = _patches(table, pixels, class_of, order, a, b)
    ids, places = np.full(tuple(grid.shape), legend.ignore, legend.dtype), np.zeros(tuple(grid.shape), np.int32)
    contested = yield from _burn(ids, places, pixels[order], class_of[order], *patches, legend.ignore)
    held = np.zeros(len(order) + 1, np.int64)
    for first in range(0, len(places), STRIP_PX):
        part = places[first : first + STRIP_PX]
        held += np.bincount(part.ravel(), minlength=len(held))
        part[...] = np.append(np.int32(0), id_of[order])[part]
    cut = yield from apart(shapes, order, a, b)
    notes = (*parcels.notes, *_notes(held[1:], contested))
    shares = PixelShares(cut, id_of, grid)
    return LabelMap(ids, grid, legend, places, parcels.name, parcels.path, notes, shares=shares)


def _patches(
    table: gpd.GeoDataFrame, pixels: Shapes, class_of: NDArray[Any], order: NDArray[Any], a: Any, b: Any
) -> tuple[Shapes, NDArray[Any], Shapes]:
    """Find common ground that takes the class of the larger parcel, with that class, and ground of two crops."""
    rank = np.empty(len(order), np.int64)
    rank[order] = np.arange(len(order))
    wins, loses = np.where(rank[a] > rank[b], a, b), np.where(rank[a] > rank[b], b, a)
    code, silent = table["code"].to_numpy(object), table["code"].isna().to_numpy()
    differ = ~silent[wins] & ~silent[loses] & (code[wins] != code[loses])
    lent = silent[wins] & ~silent[loses]
    return (
        common_ground(pixels, wins[lent], loses[lent]), class_of[loses[lent]],
        common_ground(pixels, wins[differ], loses[differ]),
    )  # fmt: skip


def _burn(
    ids: NDArray[Any], places: NDArray[np.int32], shapes: Shapes, class_of: NDArray[Any], lent: Shapes,
    lent_class: NDArray[Any], torn: Shapes, ignore: int,
) -> Job[int]:  # fmt: skip
    """Burn shapes, counted in pixels, in their order, strip by strip: classes, and places in the order from 1 up.

    Returns how many pixels are claimed by several crops.
    """
    rows = len(ids)
    classes, contested = np.append(np.array([ignore], ids.dtype), class_of), 0
    for first in range(0, rows, STRIP_PX):
        yield Progress("rasterising parcels", first, rows, "row")
        part, place = ids[first : first + STRIP_PX], places[first : first + STRIP_PX]
        _burn_rows(shapes, np.arange(1, len(shapes) + 1), place, first)
        part[...] = classes[place]
        _burn_rows(lent, lent_class, part, first)
        void = _burn_rows(torn, np.ones(len(torn)), np.zeros(part.shape, np.uint8), first) > 0
        part[void] = ignore
        contested += int(np.count_nonzero(void))
    return contested


def _burn_rows(shapes: Shapes, values: NDArray[Any], out: NDArray[Any], first: int) -> NDArray[Any]:
    """Burn values where shapes hold the centres of pixels in the rows from `first` on; later ones go over earlier."""
    _, low, _, high = shapely.bounds(shapes).T
    here = np.flatnonzero((high > first) & (low < first + len(out)))
    if here.size:
        pairs = zip(shapes[here], values[here].tolist(), strict=True)
        rasterize(pairs, out=out, transform=Affine.translation(0, first))
    return out


def _notes(held: NDArray[np.int64], contested: int) -> list[str]:
    """Say what must be known of the pixels of parcels; `held` are the pixels of each."""
    notes = []
    if contested:
        notes.append(f"{contested} pixels lie in overlapping parcels of different crops: their class stays unknown.")
    small = held < SMALL_PX
    if small.any():
        notes.append(
            f"{int(small.sum())} of {len(held)} parcels on the images hold fewer than {SMALL_PX} pixel centres, "
            f"{int((held == 0).sum())} of them none."
        )
    return notes


# --- parcels on a grid -------------------------------------------------------------------------------------------


def on_grid(parcels: Parcels, grid: GeoBox) -> Job[gpd.GeoDataFrame]:
    """Bring the parcels that touch a grid into its CRS; polygons that this makes invalid are repaired."""
    table = _perhaps_on(parcels.table, grid)
    pieces, inside = [], box(*grid.boundingbox.bbox)
    for first in range(0, len(table), AT_ONCE):
        yield Progress("bringing parcels to the images", first, len(table), "parcel")
        piece = table.iloc[first : first + AT_ONCE]
        piece = piece.to_crs(str(grid.crs)) if piece.crs != grid.crs else piece
        shapes: Shapes = np.array(piece.geometry.array, object)
        there = np.isfinite(shapely.bounds(shapes)).all(axis=1)
        there[there] = shapely.intersects(shapes[there], inside)
        if not (valid := shapely.is_valid(shapes)).all():
            shapes[~valid] = shapely.make_valid(shapes[~valid], method="structure", keep_collapsed=False)
            piece = piece.set_geometry(shapes, crs=piece.crs)
        pieces.append(piece[there])
    return gpd.GeoDataFrame(pd.concat(pieces)) if pieces else table.to_crs(str(grid.crs))


def _perhaps_on(table: gpd.GeoDataFrame, grid: GeoBox) -> gpd.GeoDataFrame:
    """Leave out parcels that are surely not on a grid, by its outline in their CRS, so that few are reprojected."""
    west, south, east, north = grid.boundingbox.bbox
    outline = shapely.segmentize(box(west, south, east, north), max(east - west, north - south) / 32)
    bounds = gpd.GeoSeries([outline], crs=str(grid.crs)).to_crs(table.crs).total_bounds
    if not np.isfinite(bounds).all():
        return table
    margin = 0.05 * max(bounds[2] - bounds[0], bounds[3] - bounds[1])
    x0, y0, x1, y1 = table.bounds.to_numpy().T
    near = (x1 >= bounds[0] - margin) & (x0 <= bounds[2] + margin)
    return table[near & (y1 >= bounds[1] - margin) & (y0 <= bounds[3] + margin)]


def _nowhere(parcels: Parcels, grid: GeoBox) -> str:
    west, south, east, north = (float(v) for v in parcels.table.total_bounds)
    span = gpd.GeoSeries([box(west, south, east, north)], crs=parcels.table.crs)
    hint = "Check that both show the same place and that the CRS of each is right."
    if _lies_on(gpd.GeoSeries([box(south, west, north, east)], crs=span.crs), grid):
        hint = (
            "With x and y swapped they would lie there: the file seems to hold latitude before longitude. Swap them, "
            "e.g. with 'Swap X and Y coordinates' in QGIS."
        )
    elif not span.crs.is_geographic and max(abs(west), abs(east)) <= 180 and max(abs(south), abs(north)) <= 90:
        hint = "Their coordinates look like degrees: if they are, say so with --parcels-crs EPSG:4326."
    return (
        f"No parcel of {parcels.name} lies on the images: the parcels span {_degrees(span)} and the images "
        f"{' '.join(f'{v:.3f}' for v in grid.geographic_extent.boundingbox.bbox)} (degrees, west south east north). "
        f"{hint}"
    )


def _lies_on(span: gpd.GeoSeries, grid: GeoBox) -> bool:
    there = span.to_crs(str(grid.crs))
    return bool(np.isfinite(there.total_bounds).all() and there.intersects(box(*grid.boundingbox.bbox)).any())


def _degrees(span: gpd.GeoSeries) -> str:
    return " ".join(f"{v:.3f}" for v in span.to_crs("EPSG:4326").total_bounds)
