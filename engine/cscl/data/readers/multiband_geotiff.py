"""One GeoTIFF that holds all dates and bands as layers, with a JSON sidecar (or the user) that says which is which."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np

from cscl.cube import SITSCube
from cscl.errors import InputError
from cscl.raster import RasterFacts, facts, stack

from . import Reader, ReadOptions, readers
from ._assemble import Found, assemble, band_names
from ._dates import given_dates
from ._masks import RASTERS, masks_in
from .geotiff_folder import declared_radiometry, usable_grid

_ORDERS = ("time,band", "band,time")


def matches(path: Path) -> bool:
    """Whether the path is a raster file."""
    return path.is_file() and path.suffix.lower() in RASTERS


def open_multiband(path: Path, options: ReadOptions) -> SITSCube:
    """Open a raster whose layers are all bands of the first date, then of the second (or the other way round)."""
    raster = facts(path)
    dates, bands, order = _what_is_which(raster, options)
    grid = usable_grid(raster, options.crs)
    times = given_dates(dates, len(dates), f"The dates for {path}")
    layer = np.arange(raster.count).reshape((len(dates), -1) if order == _ORDERS[0] else (-1, len(dates)))
    layer = layer if order == _ORDERS[0] else layer.T
    scale, offset = declared_radiometry([raster], options)
    clear, notes = masks_in(Path(options.mask).expanduser(), times, grid) if options.mask else (None, None)
    found = Found(
        name=path.name,
        stored=stack([[(path, int(i) + 1) for i in row] for row in layer], raster.shape, raster.dtype),
        times=times,
        labels=tuple(f"image {i + 1}" for i in range(len(times))),
        bands=bands,
        grid=grid,
        scales=(scale,) * len(times),
        offsets=(offset,) * len(times),
        nodata=raster.nodata,
        clear=clear,
        notes=(notes,) if notes else (),
    )
    return assemble(found, options)


readers.register("multiband_geotiff")(
    Reader(
        "one GeoTIFF of all dates and bands, with a .json beside it that names them",
        matches,
        open_multiband,
        loosely=True,
    )
)


def _what_is_which(raster: RasterFacts, options: ReadOptions) -> tuple[tuple[str, ...], tuple[str, ...], str]:
    """Dates, bands and order of the layers: from the sidecar, where the user's dates and bands do not stand in."""
    sidecar = raster.path.with_suffix(".json")
    told = _read(sidecar) if sidecar.is_file() else {}
    dates = options.dates or tuple(str(d) for d in told.get("dates", ()))
    each = raster.count // len(dates) if dates else 0
    named: list[str | None] = [str(b) for b in told.get("bands", ())] or [None] * each
    order = str(told.get("order", _ORDERS[0])).replace(" ", "")
    example = '{"dates": ["2021-04-02", "2021-04-12"], "bands": ["B02", "B03", "B04", "B08"], "order": "time,band"}'
    if not dates or (not told.get("bands") and options.bands is None):
        raise InputError(
            f"{raster.path} has {raster.count} layers and nothing says which dates and bands they are. "
            f"Write {sidecar.name} beside it, such as {example}."
        )
    if order not in _ORDERS:
        raise InputError(f'The order \'{order}\' in {sidecar} is not known. Write "time,band" or "band,time".')
    if len(dates) * len(named) != raster.count:
        raise InputError(
            f"{raster.path} has {raster.count} layers, which are not {len(dates)} dates x {len(named)} bands. "
            f"Correct the lists, as in {example}."
        )
    return dates, band_names(named, options, str(raster.path))[0], order


def _read(sidecar: Path) -> dict[str, Any]:
    try:
        told = json.loads(sidecar.read_text(encoding="utf-8"))
        if not isinstance(told, dict) or not all(isinstance(told.get(k, []), list) for k in ("dates", "bands")):
            raise ValueError("not an object with the lists 'dates' and 'bands'")
    except ValueError as error:
        raise InputError(f"{sidecar} is not the description of a cube ({error}). Correct its JSON.") from error
    return told
