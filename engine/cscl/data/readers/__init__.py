"""Readers turn files into a `SITSCube`: one file a format, all of them lazy, none of them guessing in silence.

A reader says in one sentence what it reads, recognises its files by their look and opens them without reading pixels.
To add a format, add one file here with a ``matches``, an ``open`` and one ``register`` line. Files whose names begin
with an underscore are what the formats share: dates, grids, masks, and the common way from file order to a cube.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated, Any

from cscl.cube import SITSCube
from cscl.errors import CSCLError, InputError, MissingError
from cscl.recipe import plain
from cscl.registry import Registry

from ._region import between, inside, require_in_order

__all__ = ["ReadOptions", "Reader", "open_cube", "readers", "unusual"]


@dataclass(frozen=True)
class ReadOptions:
    """What the user says about the files; what is None is read from them.

    ``bands`` picks bands by name, in that order, where the files name them; where they do not, it names all of them.
    """

    bands: Annotated[
        tuple[str, ...] | None,
        {"tooltip": "Bands to use, in order; names for all bands where the files give none"},
    ] = None
    variable: Annotated[
        str | None,
        {"tooltip": "Variable or feature that holds the images, where there are several, e.g. BANDS of an EOPatch"},
    ] = None
    dates: Annotated[
        tuple[str, ...] | None,
        {"tooltip": "Acquisition dates in the order of the files (or of the time axis), e.g. 2021-05-03"},
    ] = None
    scale: Annotated[float | None, {"tooltip": "Reflectance = stored value x scale + offset; overrides the files"}] = (
        None
    )
    offset: Annotated[float | None, {"tooltip": "Reflectance = stored value x scale + offset; overrides the files"}] = (
        None
    )
    nodata: Annotated[float | None, {"tooltip": "Stored value that means missing; overrides the files"}] = None
    crs: Annotated[str | None, {"tooltip": "Reference system to assume where the files have none, e.g. EPSG:32631"}] = (
        None
    )
    mask: Annotated[
        str | None,
        {"tooltip": "Folder of mask rasters, one a date, or a variable of the cube; non-zero means not usable"},
    ] = None
    pixel_m: Annotated[
        float | None,
        {"tooltip": "Pixel size in metres for images whose bands differ in it; without, that of the finest band"},
    ] = None
    warp: Annotated[str | None, {"tooltip": "Reference system to bring images of several to, e.g. EPSG:32631"}] = None
    scl: Annotated[
        tuple[int, ...],
        {"tooltip": "Scene classes (SCL) of Sentinel-2 that are not usable; add 2 dark, 7 unclassified or 11 snow"},
    ] = (0, 1, 3, 8, 9, 10)
    cloud_probability: Annotated[
        float | None, {"tooltip": "Where Sentinel-2 gives a cloud probability above this, in percent, is not usable"}
    ] = None
    dilate_m: Annotated[
        float, {"min": 0, "max": 2000, "tooltip": "Metres by which clouds and shadows (SCL 3, 8, 9) of Sentinel-2 grow"}
    ] = 20.0
    first_date: Annotated[str | None, {"tooltip": "Leave out the dates before this day, e.g. 2021-03-01"}] = None
    last_date: Annotated[str | None, {"tooltip": "Leave out the dates after this day, e.g. 2021-10-31"}] = None
    region: Annotated[
        str | None,
        {
            "tooltip": "Part of the images to use: a file of polygons, or bounds WEST,SOUTH,EAST,NORTH in their "
            "reference system or in degrees"
        },
    ] = None

    def __post_init__(self) -> None:
        if self.scale is not None and not (math.isfinite(self.scale) and self.scale):
            raise InputError(f"The scale {self.scale} makes no reflectance. Give a number other than 0, e.g. 0.0001.")
        if self.offset is not None and not math.isfinite(self.offset):
            raise InputError(f"The offset {self.offset} is not a finite number. Give one, e.g. -0.1.")
        require_in_order(self.first_date, self.last_date)
        if self.pixel_m is not None and not 0.1 <= self.pixel_m <= 10_000:
            raise InputError(f"Pixels of {self.pixel_m:g} m make no images. Give their size in metres, e.g. 10.")
        if self.cloud_probability is not None and not 0 <= self.cloud_probability <= 100:
            raise InputError(f"The cloud probability {self.cloud_probability:g} is no percentage. Give 0 to 100.")
        if unknown := [c for c in self.scl if not 0 <= c <= 11]:
            raise InputError(f"There is no scene class {unknown[0]}. Those of Sentinel-2 are 0 to 11.")


@dataclass(frozen=True)
class Reader:
    """A format: `summary` for messages, `matches(path)`, and `open(path, options)`, which reads no pixels.

    A reader that matches ``loosely``, such as any folder, is asked after all others. ``files`` are the patterns by
    which a dialog shows what it opens; it is empty where that is folders.
    """

    summary: str
    matches: Callable[[Path], bool]
    open: Callable[[Path, ReadOptions], SITSCube]
    loosely: bool = False
    files: tuple[str, ...] = ()


readers: Registry[Reader] = Registry("reader", "cscl.data.readers")


def open_cube(path: str | Path, options: ReadOptions = ReadOptions()) -> SITSCube:
    """Open a satellite image time series of any known format; pixels are read when a window is asked for.

    Parameters
    ----------
    path : path
        A folder of GeoTIFFs, one a date; a NetCDF file or Zarr store; or one GeoTIFF of all dates and bands.
    options : ReadOptions
        What the files do not say, or say wrongly.

    Raises
    ------
    MissingError
        If there is nothing at `path`.
    InputError, GridError, UnknownNameError
        If the format is not known, the file is damaged, or its content does not make a cube; the message says why.
    """
    path = Path(path).expanduser()
    try:
        if not path.exists():
            raise MissingError(f"There is no file or folder {path}. Check the spelling, or give the full path.")
        for reader in sorted(map(readers.get, readers.names()), key=lambda reader: reader.loosely):
            if reader.matches(path):
                cube = replace(reader.open(path, options), path=path, reading=unusual(options))
                return _part(cube, options)
    except CSCLError:
        raise
    except OSError as error:
        raise InputError(
            f"{error.filename or path} cannot be read ({error.strerror or error}). Check that it is there and that "
            "you may read it."
        ) from error
    raise _unknown(path)


def unusual(options: ReadOptions) -> dict[str, Any]:
    """Options that are not the usual ones, as plain values."""
    values, usual = plain(options), plain(ReadOptions())
    return {name: value for name, value in values.items() if value != usual.get(name)}


def _unknown(path: Path) -> InputError:
    if path.suffix.lower() in {".pickle", ".pkl"}:
        return InputError(
            f"{path} is a pickle, as some datasets keep a sample in. Give the folder of the dataset, in its official "
            "layout, to cscl info or cscl dataset."
        )
    if path.suffix.lower() == ".npy":
        return InputError(f"{path} says neither where nor when its pixels are. Give the folder of its EOPatch.")
    known = "; ".join(readers.get(name).summary for name in readers.names())
    return InputError(f"{path} is of no known format. Understood are: {known}.")


def _part(cube: SITSCube, options: ReadOptions) -> SITSCube:
    """Return the dates and the region of a cube that are wanted."""
    if options.first_date is not None or options.last_date is not None:
        cube = between(cube, options.first_date, options.last_date)
    return cube if options.region is None else inside(cube, options.region)
