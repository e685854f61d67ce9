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
from typing import Annotated

from cscl.cube import SITSCube
from cscl.errors import CSCLError, InputError, MissingError
from cscl.registry import Registry

__all__ = ["ReadOptions", "Reader", "open_cube", "readers"]


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

    def __post_init__(self) -> None:
        if self.scale is not None and not (math.isfinite(self.scale) and self.scale):
            raise InputError(f"The scale {self.scale} makes no reflectance. Give a number other than 0, e.g. 0.0001.")
        if self.offset is not None and not math.isfinite(self.offset):
            raise InputError(f"The offset {self.offset} is not a finite number. Give one, e.g. -0.1.")


@dataclass(frozen=True)
class Reader:
    """A format: `summary` for messages, `matches(path)`, and `open(path, options)`, which reads no pixels."""

    summary: str
    matches: Callable[[Path], bool]
    open: Callable[[Path, ReadOptions], SITSCube]


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
        for name in readers.names():
            if readers.get(name).matches(path):
                return replace(readers.get(name).open(path, options), path=path)
    except CSCLError:
        raise
    except OSError as error:
        raise InputError(
            f"{error.filename or path} cannot be read ({error.strerror or error}). Check that it is there and that "
            "you may read it."
        ) from error
    raise _unknown(path)


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
