"""Images as space agencies deliver them, one file a band, at several pixel sizes: what is known of each before reading.

A reader of such a format (SAFE products, files a band, STAC items) lists `Image`; `cube_of` makes one cube of them.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import NDArray
from rasterio._err import CPLE_BaseError  # it has no public name
from rasterio.warp import transform

from cscl.cube import Acquisition, Factor, SITSCube
from cscl.errors import GridError, InputError
from cscl.grid import GeoBox
from cscl.registry import nearest

from . import ReadOptions
from ._aligned import Source, Stack
from ._assemble import Found, assemble, joined
from ._cloudmasks import both, usable_from
from ._layers import Layer, known
from ._lazy import lazy
from ._masks import masks_in
from ._union import union

__all__ = ["Image", "Layer", "cube_of"]


@dataclass(frozen=True)
class Image:
    """One acquisition.

    Parameters
    ----------
    time : datetime64[ns]
        When it was taken, UTC.
    origin : Acquisition
        Product, satellite, level, baseline, orbit, tile, provider.
    bands : mapping
        Name of a band to its layer; pixel sizes may differ.
    scene_classes : Layer or None
        Scene classification of level 2A (SCL), values 0 to 11.
    cloud_probability : Layer or None
        0 to 100 percent.
    made : datetime64[ns] or None
        When it was processed: of two versions of one image, the later counts.
    """

    time: np.datetime64
    origin: Acquisition
    bands: Mapping[str, Layer] = field(repr=False)
    scene_classes: Layer | None = field(default=None, repr=False)
    cloud_probability: Layer | None = field(default=None, repr=False)
    made: np.datetime64 | None = None


def cube_of(
    images: Sequence[Image],
    options: ReadOptions,
    name: str,
    *,
    notes: Sequence[str] = (),
    grid: GeoBox | None = None,
    folder: Path | None = None,
    guessed: bool = False,
) -> SITSCube:
    """Make one cube of images: all bands on one grid, one image a date, nothing read yet.

    Images of one day, orbit and satellite are one date: other tiles of the pass, parts of a split datastrip, or other
    versions. The one of the highest baseline goes first, then the one processed last; each next one fills what those
    before it miss. Scale and offset stay with each date.

    Parameters
    ----------
    images : sequence of Image
        In any order; each has all wanted bands.
    options : ReadOptions
        What the user says; it goes before what the images say.
    name : str
        What the cube is called, also in messages.
    notes : sequence of str
        What the reader has decided.
    grid : GeoBox, optional
        Where the pixels of the cube lie. Otherwise the union of all images, at the pixels of the finest band.
    folder : Path, optional
        Where the images lie, if the user's masks may lie there, too.
    guessed : bool
        Whether offsets are the reader's guess, of which a note tells.

    Raises
    ------
    InputError, GridError, UnknownNameError
        If there are no images, or they do not make one cube; the message says why, and what to do.
    """
    if not images:
        raise InputError(f"{name} holds no images that can be read.")
    if options.dates is not None:
        raise InputError(
            f"The images of {name} tell their own dates, so --dates has no use. Choose some with --first-date and "
            "--last-date."
        )
    images, twice = _once(images)
    _require_one_level(images, name)
    bands = _bands(images, options, name)
    images = [_known(image, bands, options) for image in images]
    dates = _dates(images)
    if grid is None:
        grid = union({g: image.origin.product for image in images for g in _grids(image)}, options, name)
    types = {layer.dtype for image in images for layer in image.bands.values() if layer.dtype}
    dtype = np.result_type(*sorted(types))
    nodata = _nodata(images, dtype, options, name)
    stack = Stack([[_source(image, date[0]) for image in date] for date in dates], grid, nodata, dtype)
    times = np.array([date[0].time for date in dates], "datetime64[ns]")
    clear, said = _clear(stack, dates, options, times, folder)
    factors = [_factors(date[0]) for date in dates]
    found = Found(
        name=name,
        stored=lazy(stack, ("time", "band", "y", "x")),
        times=times,
        labels=tuple(date[0].origin.product for date in dates),
        bands=bands,
        grid=grid,
        scales=tuple(scale for scale, _ in factors),
        offsets=tuple(offset for _, offset in factors),
        nodata=nodata,
        clear=clear,
        notes=(_summary(images), *twice, *_filled(dates), *said, *notes),
        acquisitions=tuple(joined([image.origin for image in date]) for date in dates),
        guessed=guessed,
    )
    return assemble(found, options)


def _once(images: Sequence[Image]) -> tuple[list[Image], list[str]]:
    """Leave out a product that is there twice, say as a folder and as a zip."""
    kept: dict[object, Image] = {}
    for image in images:
        kept.setdefault((image.origin.product, image.origin.tile), image)
    lost = len(images) - len(kept)
    return list(kept.values()), [f"{lost} products are there more than once; one of each is read."] if lost else []


def _require_one_level(images: Sequence[Image], name: str) -> None:
    levels = {image.origin.level: image.origin.product for image in images if image.origin.level}
    if len(levels) > 1:
        told = " and ".join(f"{level} ({product})" for level, product in sorted(levels.items()))
        raise InputError(
            f"{name} mixes {told}: reflectance at the top of the atmosphere and at the surface do not compare. "
            "Keep the products of one level in the folder."
        )


def _bands(images: Sequence[Image], options: ReadOptions, name: str) -> tuple[str, ...]:
    first = images[0]
    odd = next((image for image in images if set(image.bands) != set(first.bands)), None)
    if options.bands is None and odd is not None:
        common = [band for band in first.bands if all(band in image.bands for image in images)]
        raise InputError(
            f"The bands of {odd.origin.product} ({', '.join(odd.bands)}) are not those of {first.origin.product} "
            f"({', '.join(first.bands)}). Say which to use with --bands, e.g. {','.join(common) or 'those all have'}."
        )
    bands = tuple(options.bands or first.bands)
    for image in images:
        for band in bands:
            if band not in image.bands:
                raise nearest(band, image.bands, "band", f"{image.origin.product} of {name}")
    return bands


def _known(image: Image, bands: Sequence[str], options: ReadOptions) -> Image:
    """Return the image with wanted bands only, of which grid and type are known."""
    classes, clouds = (
        None if layer is None else known(layer, options.crs) for layer in (image.scene_classes, image.cloud_probability)
    )
    layers = {band: known(image.bands[band], options.crs) for band in bands}
    return replace(image, bands=layers, scene_classes=classes, cloud_probability=clouds)


def _dates(images: Sequence[Image]) -> list[list[Image]]:
    """Group images of one day, orbit and satellite, the best of each first; dates in order."""
    groups: dict[object, list[Image]] = {}
    for image in images:
        origin = image.origin
        when = image.time if origin.orbit is None else _solar_day(image)
        groups.setdefault((when, origin.orbit, origin.satellite), []).append(image)
    made = [sorted(group, key=_rank, reverse=True) for group in groups.values()]
    return sorted(made, key=lambda group: group[0].time)


def _rank(image: Image) -> tuple[tuple[int, ...], np.datetime64]:
    baseline = tuple(int(n) for n in re.findall(r"\d+", image.origin.baseline or "0"))
    return baseline, image.made if image.made is not None else np.datetime64(0, "ns")


def _solar_day(image: Image) -> str:
    """Day where the sun stands: near the date line one pass has two days of UTC."""
    grid = _grids(image)[0]
    x, y = grid.transform @ (grid.shape[1] / 2, grid.shape[0] / 2)
    try:
        (longitude,), _ = transform(str(grid.crs), "EPSG:4326", [x], [y])
    except CPLE_BaseError as error:
        raise GridError(
            f"{image.origin.product} lies nowhere on earth ({error}). Check its reference system and place."
        ) from error
    return str((image.time + np.timedelta64(round(longitude / 15 * 3600), "s")).astype("datetime64[D]"))


def _nodata(images: Sequence[Image], dtype: np.dtype[Any], options: ReadOptions, name: str) -> float:
    values = {layer.nodata for image in images for layer in image.bands.values() if layer.nodata is not None}
    if len(values) > 1 and options.nodata is None:
        raise InputError(
            f"The images of {name} declare different nodata values: {', '.join(f'{v:g}' for v in sorted(values))}. "
            "Say which holds with --nodata."
        )
    assumed = 0.0 if dtype.kind in "iu" else math.nan
    nodata = options.nodata if options.nodata is not None else next(iter(values), assumed)
    if dtype.kind in "iu" and not np.iinfo(dtype).min <= nodata <= np.iinfo(dtype).max:
        raise InputError(
            f"The images of {name} are {dtype}, which cannot hold the nodata value {nodata:g}. Say which holds with "
            "--nodata, e.g. 0."
        )
    return nodata


def _clear(
    stack: Stack,
    dates: Sequence[Sequence[Image]],
    options: ReadOptions,
    times: NDArray[np.datetime64],
    folder: Path | None,
) -> tuple[xr.Variable | None, list[str]]:
    """Usable pixels by scene classes, cloud probability and the user's masks; and what is known of which date."""
    clear, notes = None, [_known_clouds(dates, options)]
    images = [image for date in dates for image in date]
    probable = options.cloud_probability is not None
    if probable and not any(image.cloud_probability for image in images):
        raise InputError("No image has a cloud probability (MSK_CLDPRB). Leave out --cloud-probability.")
    if probable or any(image.scene_classes for image in images):
        clear = usable_from(stack, options)
    if options.mask is not None:
        near = (folder or Path()) / options.mask
        place = near if near.is_dir() else Path(options.mask).expanduser()
        own, note = masks_in(place, times, stack.grid, [date[0].origin.product for date in dates])
        clear = own if clear is None else both(clear, own)
        notes.append(note)
    return clear, notes


def _known_clouds(dates: Sequence[Sequence[Image]], options: ReadOptions) -> str:
    without = sum(any(image.scene_classes is None for image in date) for date in dates)
    if without == len(dates):
        lacking = "The images carry no scene classes (SCL), so no cloud is known"
        return lacking + (" but by the masks." if options.mask else ": only nodata is known to be missing.")
    classes = ", ".join(str(c) for c in sorted(options.scl)) or "none"
    note = f"Scene classes (SCL) that are not usable: {classes}; clouds and shadows grow by {options.dilate_m:g} m."
    return note + (f" {without} of {len(dates)} dates lack them in part or whole." if without else "")


def _grids(image: Image) -> list[GeoBox]:
    return [layer.grid for layer in image.bands.values() if layer.grid is not None]


def _factors(image: Image) -> tuple[Factor | None, Factor | None]:
    """Scale and offset of an image: one for all bands where they agree, None where nothing says so."""
    layers = image.bands.values()
    return _one([layer.scale for layer in layers], 1e-4), _one([layer.offset for layer in layers], 0.0)


def _one(values: Sequence[float | None], assumed: float) -> Factor | None:
    if all(value is None for value in values):
        return None
    told = tuple(assumed if value is None else value for value in values)
    return told[0] if len(set(told)) == 1 else told


def _source(image: Image, first: Image) -> Source:
    """Image as it goes into a date, its stored values moved to mean what those of the date's first image do."""
    shifts = []
    for band, layer in image.bands.items():
        one, other = layer, first.bands[band]
        scale = other.scale or 1e-4
        shift = ((one.offset or 0.0) - (other.offset or 0.0)) / scale
        if (one.scale or 1e-4) != scale or abs(shift - round(shift)) > 1e-6:
            raise InputError(
                f"{image.origin.product} and {first.origin.product} are one date, but band {band} has other scales "
                "there, which do not go into one image. Keep one of them."
            )
        shifts.append(round(shift))
    return Source(tuple(image.bands.values()), tuple(shifts), image.scene_classes, image.cloud_probability)


def _filled(dates: Sequence[Sequence[Image]]) -> list[str]:
    """Say which dates are put together of several images."""
    several = [[image.origin.product for image in date] for date in dates if len(date) > 1]
    if not several:
        return []
    some = "; ".join(", then ".join(products) for products in several[:3])
    more = f"; and {len(several) - 3} dates more" if len(several) > 3 else ""
    return [
        f"{len(several)} of {len(dates)} dates are of several images, each of which fills what those before it "
        f"miss: {some}{more}."
    ]


def _summary(images: Sequence[Image]) -> str:
    """Say in a line what the images are."""
    parts = []
    for what in ("satellite", "level", "baseline", "orbit", "tile", "provider"):
        values = sorted({str(getattr(image.origin, what)) for image in images if getattr(image.origin, what)})
        if values:
            parts.append(f"{what} {', '.join(values)}")
    return f"{len(images)} images: {'; '.join(parts)}." if parts else f"{len(images)} images."
