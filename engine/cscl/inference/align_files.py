"""An offset of outlines as files: corrected outlines, and a report with figures."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import geopandas as gpd
import numpy as np
import pandas as pd

from cscl.errors import InputError
from cscl.events import Job, Progress
from cscl.export.draft import draft, refuse
from cscl.export.gpkg import Layer, storable, write_layers
from cscl.export.page import Figure, Section, write_page
from cscl.export.part_files import part_section, result_folder, write_figures, write_part
from cscl.export.shift_chart import fit_by_offset, offset_by_tile
from cscl.grid import pixel_size_m
from cscl.report.parts import Part, Value

from .offset import CHANCE, MOVED, By, Offset

__all__ = ["MARK", "offset_part", "require_corrected", "write_corrected", "write_offset"]

MARK = "offset.json"
ROWS_AT_ONCE = 20_000
DEFINITION = (
    "How far the outlines lie off the edges that the images show over the season: the outlines are moved by half "
    "pixels, and the mean edge strength across them (gradient tensor of all dates, each band divided by its median "
    "gradient) has its top where they fit; a paraboloid finds it between the half pixels. Standard errors come from "
    "drawing whole parcels 200 times. Positive is east and north, along the axes of the images' CRS. Crops are not "
    "used. Where dates are misregistered against each other, the offset is the one to their mean, and how far that "
    "mean is chance the standard errors do not say. Shadows of woods and hedges move edges, too, to the pole side."
)


def offset_part(offset: Offset, dates: pd.DataFrame | None = None) -> Part:
    """Return an offset as a part of a report, with the table of `offsets_by_date` if there is one."""
    half_x, half_y = 1.96 * offset.sd_x_m, 1.96 * offset.sd_y_m
    values = [
        Value(*_EAST, offset.dx_m, "m", offset.dx_m - half_x, offset.dx_m + half_x),
        Value(*_NORTH, offset.dy_m, "m", offset.dy_m - half_y, offset.dy_m + half_y),
        Value("clear", "clear (1) or not (0)", int(offset.clear)),
        Value("parcels", "parcels looked at", offset.parcels),
        Value("dates", "dates looked at", offset.dates),
        Value("between_tiles_m", "real differences between tiles, standard deviation", offset.spread_m, "m"),
    ]
    if offset.own is not None:
        values.append(Value("own_m", f"each parcel by itself, rms along one axis; {CHANCE}", offset.own_m, "m"))
    remarks = [offset.words, f"Looked at were the bands {', '.join(offset.bands)}."]
    if not offset.clear:
        remarks.append("The figures mean nothing, since the offset is not clear.")
    if dates is not None and (clear := dates[dates["clear"]]).shape[0] > 1:
        spread = float(np.sqrt(clear[["east_m", "north_m"]].var().mean()))
        remarks.append(
            f"Of {len(dates)} dates {len(clear)} are clear by themselves; they lie {spread:.1f} m apart (standard "
            "deviation along one axis, their own errors included)."
        )
    tables = {"tiles": offset.tiles} | ({} if dates is None else {"dates": dates})
    title = f"Offset of {offset.parcels_name} against {offset.cube_name}"
    return Part("offset", title, DEFINITION, values, tables, remarks)


_EAST = ("east_m", "the outlines lie east of the edges by")
_NORTH = ("north_m", "the outlines lie north of the edges by")


def write_corrected(
    offset: Offset,
    source: str | Path,
    out: str | Path,
    *,
    layer: str | None = None,
    crs: str | None = None,
    by: By = "scene",
    overwrite: bool = False,
    inputs: Iterable[str | Path] = (),
) -> Job[Path]:
    """Write outlines, moved back onto the edges, as GeoPackage: all rows and columns of the file, in its CRS.

    Parameters
    ----------
    offset : Offset
        From `cscl.inference.align.estimate_offset`.
    source, layer, crs : path, str, str
        File of the outlines, its layer, and the CRS to assume where it has none.
    out : path
        File to make.
    by : str
        ``"scene"``, ``"tiles"`` or ``"parcels"``, as `Offset.corrected` has it.
    overwrite : bool
        Replace a former file; never an input.
    inputs : iterable of path
        Further files that must not be replaced.

    Raises
    ------
    InputError
        If the offset is not clear.
    OutputError
        If the file cannot or must not be written.
    """
    out = Path(out)
    if out.suffix.lower() != ".gpkg":
        raise InputError(
            f"The corrected outlines are written as GeoPackage. Give a name that ends in .gpkg, not {out}."
        )
    refuse(out, overwrite=overwrite, inputs=[source, *inputs])
    table, parts = _read(source, layer), []
    if table.crs is None and crs:
        table = table.set_crs(crs)
    step = max(1, len(table)) if by == "parcels" else ROWS_AT_ONCE  # neighbours that touch are moved together
    for start in range(0, len(table), step):
        yield Progress("moving outlines", start, len(table), "parcel")
        parts.append(offset.corrected(table.iloc[start : start + step], by=by))
    table = pd.concat(parts)
    note = f"{Path(source).name}, moved back {MOVED[by]}. {offset.words}"
    with draft(out.parent, out.name) as folder:
        yield from write_layers(folder / out.name, [Layer("parcels", storable(table), note)])
    return out


def require_corrected(out: Path, *, overwrite: bool, inputs: Iterable[str | Path]) -> None:
    """Refuse a place for corrected outlines.

    Raises
    ------
    InputError, OutputError
        If the name does not end in ``.gpkg``; if something would be lost.
    """
    if out.suffix.lower() != ".gpkg":
        raise InputError(f"The corrected outlines are written as GeoPackage. End the name in .gpkg, not as {out}.")
    refuse(out, overwrite=overwrite, inputs=inputs)


def _read(source: str | Path, layer: str | None) -> gpd.GeoDataFrame:
    if Path(source).suffix.lower() in {".parquet", ".geoparquet"}:
        return gpd.read_parquet(source).reset_index(drop=True)
    table: gpd.GeoDataFrame = gpd.read_file(source, **({"layer": layer} if layer else {}))
    return table


def write_offset(
    offset: Offset, out: str | Path, dates: pd.DataFrame | None = None, *, overwrite: bool = False
) -> Job[Path]:
    """Write what was found into a folder: a page, figures, JSON, Markdown and the tables of tiles and dates.

    Returns
    -------
    Path
        The page.

    Raises
    ------
    OutputError
        If something is there that may not be replaced, or the files cannot be written.
    """
    part = offset_part(offset, dates)
    with result_folder(out, MARK, overwrite=overwrite) as folder:
        write_part(part, {"images": offset.cube_name, "parcels": offset.parcels_name}, folder)
        figures = _figures(offset)
        yield from write_figures(figures, folder)
        write_page(folder, part.title, [Section("In short", offset.words, figures), part_section(part)])
    return Path(out) / "index.html"


def _figures(offset: Offset) -> list[Figure]:
    high, wide = pixel_size_m(offset.grid)
    north_up = offset.score[::-1] if offset.grid.transform.e < 0 else offset.score
    east, north, found = wide * offset.shifts_px, high * offset.shifts_px, (offset.dx_m, offset.dy_m)
    fit = fit_by_offset(
        north_up, east, north, found, (offset.sd_x_m, offset.sd_y_m), clear=offset.clear,
        title="How well the outlines would fit",
    )  # fmt: skip
    figures = [Figure("fit", fit, "The cross is the offset that was found, the ellipse its 95 % region.")]
    tiles, (rows, cols) = offset.tiles, offset.grid.shape
    if len(tiles) > 1:
        x, y = tiles["col"] + tiles["width"] / 2, tiles["row"] + tiles["height"] / 2
        clear = tiles["clear"] & np.isfinite(tiles["east_m"])
        arrows = offset_by_tile(
            x, y, tiles["east_m"], tiles["north_m"], clear, (int(rows), int(cols)), title="Offset of each tile"
        )
        caption = "Arrows point from the edges to the outlines. Points: tiles where it is not clear."
        figures.append(Figure("tiles", arrows, caption))
    return figures
