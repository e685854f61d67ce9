"""One GeoTIFF that holds all dates and bands as layers; descriptions, a JSON file beside it or the user say which."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from cscl.cube import SITSCube
from cscl.errors import InputError
from cscl.raster import RasterFacts, facts, stack

from . import Reader, ReadOptions, readers
from ._assemble import Found, assemble, band_names
from ._bands import dated_layers, item_beside, named_bands
from ._dates import given_dates
from ._masks import RASTERS, masks_in
from .geotiff_folder import declared_nodata, declared_radiometry, usable_grid

_ORDERS = ("time,band", "band,time")


def matches(path: Path) -> bool:
    """Whether the path is a raster file."""
    return path.is_file() and path.suffix.lower() in RASTERS


def open_multiband(path: Path, options: ReadOptions) -> SITSCube:
    """Open a raster whose layers are all bands of the first date, then of the second, or in any order that it tells."""
    raster = facts(path)
    grid = usable_grid(raster, options.crs)
    layers = _what_is_which(raster, options)
    count = len(layers.times)
    scale, offset = declared_radiometry([raster], options)
    clear, notes = masks_in(Path(options.mask).expanduser(), layers.times, grid) if options.mask else (None, None)
    found = Found(
        name=path.name,
        stored=stack([[(path, int(i) + 1) for i in row] for row in layers.places_TC], raster.shape, raster.dtype),
        times=layers.times,
        labels=tuple(f"image {i + 1}" for i in range(count)),
        bands=layers.bands,
        grid=grid,
        scales=(scale,) * count,
        offsets=(offset,) * count,
        nodata=declared_nodata([raster], options),
        clear=clear,
        notes=(*layers.notes, *((notes,) if notes else ())),
    )
    return assemble(found, options)


readers.register("multiband_geotiff")(
    Reader(
        "one GeoTIFF of all dates and bands, with descriptions or a .json beside it that name them",
        matches,
        open_multiband,
        loosely=True,
        files=("*.tif", "*.tiff", "*.vrt", "*.jp2"),
    )
)


class _Layers(NamedTuple):
    """What each layer is: times (time,), names of the bands, and positions of the layers, axes (time, band)."""

    times: NDArray[np.datetime64]
    bands: tuple[str, ...]
    places_TC: NDArray[np.intp]
    notes: tuple[str, ...] = ()


def _what_is_which(raster: RasterFacts, options: ReadOptions) -> _Layers:
    """Dates, bands and order of the layers: from the user, else from the sidecar, else from their descriptions."""
    sidecar = raster.path.with_suffix(".json")
    told = _read(raster, sidecar) if sidecar.is_file() else {}
    dates = options.dates or tuple(str(d) for d in told.get("dates", ()))
    if not dates:
        found = _told_by_layers(raster)
        if found is not None:
            return found
    bands, notes = _bands_told(raster, told, len(dates))
    order = str(told.get("order", _ORDERS[0])).replace(" ", "")
    example = '{"dates": ["2021-04-02", "2021-04-12"], "bands": ["B02", "B03", "B04", "B08"], "order": "time,band"}'
    if not dates or (not any(bands) and options.bands is None):
        raise InputError(
            f"{raster.path} has {raster.count} layers and nothing says which dates and bands they are. "
            f"Write {sidecar.name} beside it, such as {example}."
        )
    if order not in _ORDERS:
        raise InputError(f'The order \'{order}\' in {sidecar} is not known. Write "time,band" or "band,time".')
    if len(dates) * len(bands) != raster.count:
        raise InputError(
            f"{raster.path} has {raster.count} layers, which are not {len(dates)} dates x {len(bands)} bands. "
            f"Correct the lists, as in {example}."
        )
    places = np.arange(raster.count).reshape((len(dates), -1) if order == _ORDERS[0] else (-1, len(dates)))
    times = given_dates(dates, len(dates), f"The dates for {raster.path}")
    names = band_names(bands, options, str(raster.path))[0]
    return _Layers(times, names, places if order == _ORDERS[0] else places.T, notes)


def _bands_told(raster: RasterFacts, told: dict[str, Any], dates: int) -> tuple[list[str | None], tuple[str, ...]]:
    """Names of the bands of one date: from the sidecar, else from the file where each date repeats them."""
    if told.get("bands"):
        return [str(b) for b in told["bands"]], ()
    each = raster.count // dates if dates else 0
    names, notes = named_bands(raster)
    first = list(names[:each])
    repeated = bool(each) and all(first) and names == tuple(first) * dates
    return (first, notes) if repeated else ([None] * each, ())


def _told_by_layers(raster: RasterFacts) -> _Layers | None:
    """Take what the descriptions tell, such as ``2021-05-03_B04``; None where not every layer has a date.

    Raises
    ------
    InputError
        If the dates do not have the same bands.
    """
    told = dated_layers(raster)
    if told is None:
        return None
    by_date: dict[np.datetime64, dict[str, int]] = {}
    for place, (date, name) in enumerate(zip(*told, strict=True)):
        bands = by_date.setdefault(date, {})
        if name is None or name in bands:
            raise InputError(
                f"{raster.path}: the layer {place + 1}, '{raster.descriptions[place]}', names no band, or one that its "
                "date has already. Describe each layer by date and band, as 2021-05-03_B04."
            )
        bands[name] = place
    first = next(iter(by_date.values()))
    for date, bands in by_date.items():
        if set(bands) != set(first):
            raise InputError(
                f"{raster.path}: {date.astype('datetime64[s]')} has the bands {', '.join(bands)}, and the first date "
                f"{', '.join(first)}. All dates need the same bands."
            )
    places = np.array([[bands[name] for name in first] for bands in by_date.values()], np.intp)
    note = "Dates and bands come from the descriptions of the layers."
    return _Layers(np.array(list(by_date), "datetime64[ns]"), tuple(first), places, (note,))


def _of_item(raster: RasterFacts) -> dict[str, Any]:
    bands, time = item_beside(raster)
    alone = time is not None and len(bands or raster.descriptions) == raster.count and dated_layers(raster) is None
    return {"dates": [time] if alone else [], "bands": list(bands)}


def _read(raster: RasterFacts, sidecar: Path) -> dict[str, Any]:
    try:
        told = json.loads(sidecar.read_text(encoding="utf-8"))
        if isinstance(told, dict) and "assets" in told:  # a STAC item, of one date at most
            return _of_item(raster)
        if not isinstance(told, dict) or not all(isinstance(told.get(k, []), list) for k in ("dates", "bands")):
            raise ValueError("not an object with the lists 'dates' and 'bands'")
    except (ValueError, RecursionError) as error:
        raise InputError(f"{sidecar} is not the description of a cube ({error}). Correct its JSON.") from error
    return told
