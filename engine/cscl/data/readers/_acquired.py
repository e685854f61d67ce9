"""Images as space agencies deliver them, one file a band, at several pixel sizes: what is known of each before reading.

A reader of such a format (SAFE products, files a band, STAC items) lists `Image`; `cube_of` makes one cube of them.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
from affine import Affine

from cscl.cube import Acquisition, Factor, SITSCube
from cscl.errors import GridError, InputError
from cscl.grid import GeoBox, make_grid
from cscl.registry import nearest

from . import ReadOptions
from ._aligned import Source, aligned
from ._assemble import Found, assemble
from ._layers import Layer, bounds_in, known

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
    images: Sequence[Image], options: ReadOptions, name: str, *, notes: Sequence[str] = (), grid: GeoBox | None = None
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

    Raises
    ------
    InputError, GridError, UnknownNameError
        If there are no images, or they do not make one cube; the message says why, and what to do.
    """
    if not images:
        raise InputError(f"{name} holds no images that can be read.")
    _require_one_level(images, name)
    bands = _bands(images, options, name)
    images = [_known(image, bands, options) for image in images]
    dates = _dates(images)
    nodata = _nodata(images, options, name)
    dtype = np.result_type(*(layer.dtype for image in images for layer in image.bands.values() if layer.dtype))
    grid = _grid(images, options, name) if grid is None else grid
    sources = [[_source(image, date[0]) for image in date] for date in dates]
    factors = [_factors(date[0], bands) for date in dates]
    found = Found(
        name=name,
        stored=aligned(sources, grid, nodata, dtype),
        times=np.array([date[0].time for date in dates], "datetime64[ns]"),
        labels=tuple(date[0].origin.product for date in dates),
        bands=bands,
        grid=grid,
        scales=tuple(scale for scale, _ in factors),
        offsets=tuple(offset for _, offset in factors),
        nodata=nodata,
        notes=(_summary(images), *notes),
        acquisitions=tuple(_joined([image.origin for image in date]) for date in dates),
    )
    return assemble(found, options)


def _require_one_level(images: Sequence[Image], name: str) -> None:
    levels = {image.origin.level: image.origin.product for image in images if image.origin.level}
    if len(levels) > 1:
        told = " and ".join(f"{level} ({product})" for level, product in sorted(levels.items()))
        raise InputError(
            f"{name} mixes {told}: reflectance at the top of the atmosphere and at the surface do not compare. "
            "Keep the products of one level in the folder."
        )


def _bands(images: Sequence[Image], options: ReadOptions, name: str) -> tuple[str, ...]:
    bands = tuple(options.bands or images[0].bands)
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
    baseline = tuple(int(n) for n in (image.origin.baseline or "0").split("."))
    return baseline, image.made if image.made is not None else np.datetime64(0, "ns")


def _solar_day(image: Image) -> str:
    """Day where the sun stands: near the date line one pass has two days of UTC."""
    grid = next(iter(image.bands.values())).grid
    assert grid is not None
    west, _, east, _ = bounds_in(grid, "EPSG:4326")
    hours = (west + east) / 2 / 15
    return str((image.time + np.timedelta64(round(hours * 3600), "s")).astype("datetime64[D]"))


def _nodata(images: Sequence[Image], options: ReadOptions, name: str) -> float:
    if options.nodata is not None:
        return options.nodata
    values = {layer.nodata for image in images for layer in image.bands.values() if layer.nodata is not None}
    if len(values) > 1:
        raise InputError(
            f"The images of {name} declare different nodata values: {', '.join(f'{v:g}' for v in sorted(values))}. "
            "Say which holds with --nodata."
        )
    return values.pop() if values else 0.0


def _grid(images: Sequence[Image], options: ReadOptions, name: str) -> GeoBox:
    """Union of all images, at the pixels of the finest band."""
    grids = list(dict.fromkeys(layer.grid for image in images for layer in image.bands.values() if layer.grid))
    systems = {str(grid.crs): image.origin.product for image in images for grid in [_first(image)]}
    if len(systems) > 1:
        raise GridError(
            f"{name} holds images of several reference systems: "
            f"{', '.join(f'{crs} ({product})' for crs, product in sorted(systems.items()))}. Keep those of one."
        )
    finest = min(grids, key=lambda grid: abs(grid.resolution.x))
    boxes = np.array([bounds_in(grid, finest.crs) for grid in grids])
    (left, bottom), (right, top) = boxes[:, :2].min(axis=0), boxes[:, 2:].max(axis=0)
    col, row = (math.floor(n + 1e-3) for n in ~finest.transform @ (left, top))
    end_col, end_row = (math.ceil(n - 1e-3) for n in ~finest.transform @ (right, bottom))
    return make_grid((end_row - row, end_col - col), finest.transform @ Affine.translation(col, row), finest.crs, name)


def _first(image: Image) -> GeoBox:
    grid = next(iter(image.bands.values())).grid
    assert grid is not None
    return grid


def _factors(image: Image, bands: Sequence[str]) -> tuple[Factor | None, Factor | None]:
    """Scale and offset of an image: one for all bands where they agree, None where nothing says so."""
    layers = [image.bands[band] for band in bands]
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


def _joined(parts: Sequence[Acquisition]) -> Acquisition:
    """Acquisition of images that become one: that of the first, which the others only fill."""
    return replace(parts[0], product=" + ".join(dict.fromkeys(part.product for part in parts)))


def _summary(images: Sequence[Image]) -> str:
    """Say in a line what the images are."""
    parts = []
    for what in ("satellite", "level", "baseline", "orbit", "tile", "provider"):
        values = sorted({str(getattr(image.origin, what)) for image in images if getattr(image.origin, what)})
        if values:
            parts.append(f"{what} {', '.join(values)}")
    return f"{len(images)} images: {'; '.join(parts)}." if parts else f"{len(images)} images."
