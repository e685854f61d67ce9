"""How far the outlines of a register lie off the images, for the scene and for each tile, with how sure that is."""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from typing import Annotated, Any

import geopandas as gpd
import numpy as np
import pandas as pd
import shapely
from numpy.typing import NDArray
from shapely.geometry import box

from cscl.cube import SITSCube
from cscl.errors import GridError, InputError
from cscl.events import Job, Progress
from cscl.grid import GeoBox, Window, pixel_size_m, tile_count, tiles
from cscl.metrics.shift_draws import ShiftSum, Verdict
from cscl.metrics.shift_match import UP, EdgeTensor, OutlinePoints, Shifts, match
from cscl.metrics.shift_own import noise_of, own_shifts
from cscl.parcels import Parcels

from .offset import Offset, smooth_field

__all__ = ["AlignOptions", "estimate_offset", "offsets_by_date"]

Floats = NDArray[np.float64]
SHARPEST = ("B02", "B03", "B04", "B08")
SPACING_PX = 0.5
DATES_AT_ONCE = 4
ROWS_AT_ONCE = 20_000


@dataclass(frozen=True)
class AlignOptions:
    """How the offset is looked for."""

    tile_px: Annotated[int, {"min": 64, "max": 4096, "step": 64, "tooltip": "Side of the tiles, pixels"}] = 512
    search_m: Annotated[float, {"min": 5.0, "max": 200.0, "tooltip": "Largest offset looked for, metres"}] = 30.0
    most_dates: Annotated[
        int, {"min": 0, "max": 1000, "tooltip": "Dates to look at, spread over the season; 0 for all"}
    ] = 32
    all_bands: Annotated[
        bool, {"tooltip": "Look at all bands; otherwise at B02, B03, B04 and B08 where they are there, the sharpest"}
    ] = False


def estimate_offset(
    cube: SITSCube, parcels: Parcels, options: AlignOptions | None = None, *, each: bool = False
) -> Job[Offset]:
    """Estimate how far outlines lie off the edges that the images show over the season. Read tile by tile.

    The outlines are moved over the season's edges by half pixels; the mean edge strength across them has its top where
    they fit (`cscl.metrics.shift_match`). Errors come from drawing whole parcels again and again (a Poisson bootstrap
    of 200 draws). What it assumes:

    - Most outlines are off by the same; what each is off by itself (careless digitising) averages out. With `each` it
      is estimated, too (`cscl.metrics.shift_own`).
    - Where dates are misregistered against each other, the offset is the one to their mean, in which dates with strong
      edges count more. The standard errors know nothing of that: `offsets_by_date` does.
    - Edges lie where parcels meet. Shadows of woods and hedges move them to the pole side, on outlines of land use more
      than on those of crops.
    - A blur that is not symmetric moves the edges that images show by about its centre of gravity; that is part of the
      offset, rightly so for labels, which meet these pixels.

    Parameters
    ----------
    cube : SITSCube
        The season; its mask is respected.
    parcels : Parcels
        Outlines in any CRS; their crops are not used.
    options : AlignOptions, optional
        Tiles, search, dates and bands.
    each : bool
        Whether to say how far each parcel is off by itself; takes some 700 bytes a parcel.

    Returns
    -------
    Offset
        With ``clear`` False, and why, where outlines are too few or no shift fits better than the others.

    Raises
    ------
    GridError
        If the images count in degrees, or no parcel lies on them.
    InputError
        If the tile is smaller than the search.
    """
    options = options or AlignOptions()
    shifts = Shifts(max(2, int(np.ceil(UP * options.search_m / min(pixel_size_m(cube.grid)) - 0.01))))
    if options.tile_px < 2 * shifts.margin_px:
        raise InputError(f"Tiles of {options.tile_px} pixels are too small to search {options.search_m:g} m in.")
    here = yield from _on_grid(parcels, cube.grid)
    chosen = _chosen(cube, options)
    scene, rows, total = ShiftSum(shifts), [], tile_count(cube.shape, options.tile_px)
    score_PSS = np.zeros((len(here) if each else 0, len(shifts.px), len(shifts.px)), np.float32)
    for done, window in enumerate(tiles(cube.shape, options.tile_px)):
        progress, tile = Progress("looking at tiles", done, total, "tile"), ShiftSum(shifts)
        yield progress
        parcel, found_PSS = yield from _tile(chosen, here, window, shifts, progress)
        tile.add(parcel, found_PSS)
        scene.join(tile)
        if each:
            score_PSS[parcel] += found_PSS
        rows.append(asdict(window) | _columns(tile.verdict(), cube.grid))
    yield Progress("looking at tiles", total, total, "tile")
    found = _columns(scene.verdict(), cube.grid)
    table, spread = smooth_field(pd.DataFrame(rows), found["east_m"], found["north_m"])
    offset = Offset(
        found["east_m"], found["north_m"], found["sd_east_m"], found["sd_north_m"], found["clear"], found["reason"],
        found["parcels"], table, spread, cube.grid, shifts.px, scene.score(), cube.name, parcels.name,
        len(chosen.dates), chosen.bands,
    )  # fmt: skip
    if each and offset.clear:
        return replace(offset, own=(yield from _own(offset, here, score_PSS, shifts)))
    return offset


def offsets_by_date(cube: SITSCube, parcels: Parcels, options: AlignOptions | None = None) -> Job[pd.DataFrame]:
    """Estimate the offset of each date alone: it tells dates that are misregistered against each other.

    Parameters
    ----------
    cube, parcels, options
        As for `estimate_offset`.

    Returns
    -------
    DataFrame
        One row a date: ``date`` (day), ``east_m``, ``north_m``, ``sd_east_m``, ``sd_north_m``, ``clear``, ``reason``.
        A date of which clouds leave little is not clear.

    Raises
    ------
    GridError, InputError
        As for `estimate_offset`.
    """
    chosen, rows = _chosen(cube, options or AlignOptions()), []
    for number, date in enumerate(chosen.dates):
        job = estimate_offset(chosen.select(times=[number]), parcels, options)
        try:
            while True:
                next(job)
                yield Progress("looking at dates", number, len(chosen.dates), "date")
        except StopIteration as stop:
            found: Offset = stop.value
        rows.append({
            "date": str(date.astype("datetime64[D]")), "east_m": found.dx_m, "north_m": found.dy_m,
            "sd_east_m": found.sd_x_m, "sd_north_m": found.sd_y_m, "clear": found.clear, "reason": found.reason,
        })  # fmt: skip
    yield Progress("looking at dates", len(chosen.dates), len(chosen.dates), "date")
    return pd.DataFrame(rows)


def _chosen(cube: SITSCube, options: AlignOptions) -> SITSCube:
    sharpest = [band for band in cube.bands if band in SHARPEST]
    if sharpest and not options.all_bands:
        cube = cube.select(bands=sharpest)
    dates = len(cube.dates)
    if 0 < options.most_dates < dates:
        cube = cube.select(times=np.linspace(0, dates - 1, options.most_dates).round().astype(int).tolist())
    return cube


def _on_grid(parcels: Parcels, grid: GeoBox) -> Job[gpd.GeoSeries]:
    """Outlines in the CRS of the grid, some rows at a time; those that touch the images."""
    geometry, parts, frame = parcels.table.geometry, [], box(*grid.boundingbox.bbox)
    for start in range(0, len(geometry), ROWS_AT_ONCE):
        yield Progress("reading outlines", start, len(geometry), "parcel")
        part = geometry.iloc[start : start + ROWS_AT_ONCE].to_crs(str(grid.crs))
        parts.append(part[part.intersects(frame)])
    here: gpd.GeoSeries = gpd.GeoSeries(pd.concat(parts), crs=str(grid.crs))
    if here.empty:
        raise GridError(
            f"No parcel of {parcels.name} lies on the images. Check that both show the same place and that the CRS of "
            "each is right."
        )
    return here


def _tile(
    cube: SITSCube, here: gpd.GeoSeries, window: Window, shifts: Shifts, progress: Progress
) -> Job[tuple[NDArray[np.int64], Floats]]:
    """Parcels of a tile and their scores; a point belongs to the tile that holds it."""
    points = outline_points(here, cube.grid, window)
    around = window.grown(shifts.margin_px, cube.shape)
    if not len(points.parcel):
        return points.parcel, np.zeros((0, 2 * shifts.reach + 1, 2 * shifts.reach + 1))
    tensor, part = EdgeTensor((around.height, around.width)), cube.select(window=around)
    for start in range(0, len(cube.dates), DATES_AT_ONCE):
        yield progress
        times = range(start, min(start + DATES_AT_ONCE, len(cube.dates)))
        for image, valid in zip(*part.select(times=list(times)).read(), strict=True):
            tensor.add(image, valid)
    yield progress
    moved = points.place_px - (around.row, around.col)
    return match(tensor.mean(), OutlinePoints(moved, points.normal, points.length_px, points.parcel), shifts)


def _own(offset: Offset, here: gpd.GeoSeries, score_PSS: NDArray[np.float32], shifts: Shifts) -> Job[pd.DataFrame]:
    """How far each outline lies off what its tile does, metres; indexed as the table of the parcels."""
    turn, middle = _metres(offset.grid), here.centroid
    length_px = here.length.to_numpy() / abs(offset.grid.resolution.x)
    field_m = np.stack(offset.at(middle.x.to_numpy(), middle.y.to_numpy(), by_tile=True), 1)
    common_px = np.asarray(-np.linalg.solve(turn, field_m.T).T, np.float64)
    few = slice(None, None, 1 + len(here) // ROWS_AT_ONCE)
    noise = noise_of(score_PSS[few], length_px[few], common_px[few], shifts)
    parts = []
    for start in range(0, len(here), ROWS_AT_ONCE):
        yield Progress("fitting each parcel", start, len(here), "parcel")
        some = slice(start, start + ROWS_AT_ONCE)
        parts.append(own_shifts(score_PSS[some], length_px[some], common_px[some], noise, shifts))
    yield Progress("fitting each parcel", len(here), len(here), "parcel")
    return pd.DataFrame(-np.concatenate(parts) @ turn.T - field_m, here.index, ["east_m", "north_m"])


def outline_points(here: gpd.GeoSeries, grid: GeoBox, window: Window) -> OutlinePoints:
    """Return points each half pixel along the outlines in a window; outlines are in the CRS of the grid.

    Places count from the centre of the first pixel of the grid.
    """
    frame = grid[window.rows, window.cols].boundingbox.bbox
    parcel = np.sort(here.sindex.query(box(*frame)))
    lines, of_line = shapely.get_parts(here.iloc[parcel].boundary.to_numpy(), return_index=True)
    lines, of_part = shapely.get_parts(shapely.clip_by_rect(lines, *frame), return_index=True)
    lines, of_piece = shapely.get_parts(lines, return_index=True)
    own = parcel[of_line[of_part[of_piece]]]
    xy, line = shapely.get_coordinates(lines, return_index=True)
    col, row = ~grid.transform @ (xy[:, 0], xy[:, 1])
    ends = np.stack([row, col], -1) - 0.5
    together = line[:-1] == line[1:]
    begin, way, own = ends[:-1][together], np.diff(ends, axis=0)[together], own[line[:-1][together]]
    length = np.hypot(*way.T)
    begin, way, own, length = (a[length > 0] for a in (begin, way, own, length))
    count = np.ceil(length / SPACING_PX).astype(np.int64)
    piece = np.repeat(np.arange(len(count)), count)
    along = (np.arange(len(piece)) - np.repeat(np.cumsum(count) - count, count) + 0.5) / count[piece]
    normal = (np.stack([-way[:, 1], way[:, 0]], 1) / length[:, None])[piece]
    place = begin[piece] + along[:, None] * way[piece]
    return OutlinePoints(place, normal, (length / count)[piece], np.asarray(own[piece], np.int64))


def _columns(verdict: Verdict, grid: GeoBox) -> dict[str, Any]:
    """Turn a verdict into columns of a table: metres east and north."""
    turn = _metres(grid)
    east, north = turn @ verdict.offset_px
    sd_east, sd_north = np.sqrt(np.diag(turn @ verdict.covariance_px2 @ turn.T))
    named = {"east_m": east, "north_m": north, "sd_east_m": sd_east, "sd_north_m": sd_north}
    metres = {name: float(value) for name, value in named.items()}
    return {"parcels": verdict.parcels, **metres, "clear": not verdict.reason, "reason": verdict.reason}


def _metres(grid: GeoBox) -> Floats:
    """Turn pixels down and right into metres east and north, axes (2, 2)."""
    a, unit_m = grid.transform, pixel_size_m(grid)[1] / abs(grid.resolution.x)
    return unit_m * np.array([[a.b, a.a], [a.e, a.d]])
