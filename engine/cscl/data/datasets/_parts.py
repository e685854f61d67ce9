"""What the layouts share: a scene from arrays, bands brought to 10 m, grids that have no place, and lists of paths."""

from __future__ import annotations

import csv
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr
from affine import Affine
from numpy.typing import NDArray

from cscl.cube import Radiometry, SITSCube
from cscl.errors import InputError
from cscl.grid import GeoBox, make_grid, refined
from cscl.legend import CropClass, Legend, default_colours
from cscl.products import LabelMap, Scene

__all__ = [
    "PIXEL_M", "dates_in", "enlarged", "legend_of", "listed", "local_grid", "numbered", "require_classes",
    "require_shape", "scene_of",
]  # fmt: skip

LOCAL = 'LOCAL_CS["local metres",UNIT["metre",1],AXIS["Easting",EAST],AXIS["Northing",NORTH]]'
PIXEL_M = 10.0


def scene_of(
    name: str,
    values: NDArray[Any],
    dates: NDArray[np.datetime64],
    bands: Sequence[str],
    grid: GeoBox,
    labels: NDArray[Any],
    parcels: NDArray[np.int32] | None,
    legend: Legend,
    *,
    nodata: float | None,
    source: str,
    notes: tuple[str, ...] = (),
    path: Path | None = None,
) -> Scene:
    """Make a scene of arrays: values with axes (time, band, y, x), digital numbers of 0.0001 reflectance each.

    Labels and parcels have axes (y, x), of the images or some times finer. Dates are put in order; of a date that comes
    twice the first image is kept, as the authors of the datasets do.

    Raises
    ------
    InputError
        If the axes do not fit together.
    """
    if values.ndim != 4 or values.shape[:2] != (len(dates), len(bands)):
        raise InputError(
            f"{name}: {values.shape} values do not fit {len(dates)} dates and {len(bands)} bands. Unpack or download "
            "it again."
        )
    known, first = np.unique(dates, return_index=True)
    if not np.array_equal(first, np.arange(len(dates))):  # what is in order stays on the disk
        values = values[first]
    if len(known) < len(dates):
        notes = (*notes, "Some dates come twice: of these the first image is kept.")
    count = len(known)
    axes = {"time": known.astype("datetime64[ns]"), "band": list(bands)}
    stored = xr.DataArray(values, dims=("time", "band", "y", "x"), coords=axes)
    radiometry = Radiometry((1e-4,) * count, (0.0,) * count, nodata, source)
    cube = SITSCube(stored, grid, radiometry, name=name, notes=notes, path=path)
    pixels = refined(grid, len(labels) // grid.shape[0])
    return Scene(cube, LabelMap(labels, pixels, legend, parcels, name, path))


def dates_in(year: int, days: NDArray[Any], path: Path) -> NDArray[np.datetime64]:
    """Dates of days of a year, which count from 1.

    Raises
    ------
    InputError
        If one is no day of a year.
    """
    if days.ndim != 1 or not ((days >= 1) & (days <= 366)).all():
        raise InputError(f"{path} holds days of the year that are none: {np.asarray(days).tolist()[:8]}. Restore it.")
    dates: NDArray[np.datetime64] = np.datetime64(f"{year}-01-01", "D") + (days.astype(np.int64) - 1)
    return dates


def legend_of(names: Mapping[int, str], ignore: int, codes: Mapping[int, str] | None = None) -> Legend:
    """Make the legend of a dataset's class ids, in our colours."""
    codes = codes or {}
    triples = zip(names.items(), default_colours(len(names)), strict=True)
    return Legend(tuple(CropClass(i, codes.get(i, str(i)), name, colour) for (i, name), colour in triples), ignore)


def local_grid(shape: tuple[int, int], what: str) -> GeoBox:
    """Grid of 10 m pixels that lies nowhere: right for lengths and areas, of no use as a place."""
    return make_grid(shape, Affine(PIXEL_M, 0, 0, 0, -PIXEL_M, shape[0] * PIXEL_M), LOCAL, what)


def enlarged(values: NDArray[Any], shape: tuple[int, int]) -> NDArray[Any]:
    """Bring values, axes (..., y, x), to a finer shape, bilinearly between pixel centres, rounded to their type.

    A pixel that a 0, which means no data, takes part in becomes 0.
    """
    if values.shape[-2:] == shape:
        return values
    rows, cols = (_weights(n, m) for n, m in zip(values.shape[-2:], shape, strict=True))
    fine = rows @ values.astype(np.float32) @ cols.T
    known = rows @ (values != 0).astype(np.float32) @ cols.T
    whole = np.rint(np.where(known > 1 - 1e-4, fine, 0))
    return whole.astype(values.dtype) if values.dtype.kind in "iu" else whole.astype(np.float32)


def _weights(coarse: int, fine: int) -> NDArray[np.float32]:
    """Weights of coarse pixels in fine ones, axes (fine, coarse); beyond the outer centres the outer pixel counts."""
    if fine % coarse:
        raise InputError(f"{coarse} pixels cannot be cut into {fine}: the sample is not of the official layout.")
    place = np.clip((np.arange(fine) + 0.5) * coarse / fine - 0.5, 0, coarse - 1)
    weights: NDArray[np.float32] = np.maximum(0, 1 - np.abs(place[:, None] - np.arange(coarse))).astype(np.float32)
    return weights


def numbered(ids: NDArray[Any]) -> NDArray[np.int32]:
    """Parcel ids, 0 outside, as 1, 2, ... in one scene: those of a register may be too large."""
    found, of = np.unique(ids, return_inverse=True)
    numbers = np.where(found > 0, np.cumsum(found > 0), 0).astype(np.int32)
    return numbers[of].reshape(ids.shape)


def require_shape(array: NDArray[Any], shape: tuple[int, int], what: str) -> NDArray[Any]:
    """Refuse an array that does not lie on the pixels of the images.

    Raises
    ------
    InputError
        If its last two axes are of another length.
    """
    if array.shape[-2:] != shape:
        raise InputError(f"{what} has {array.shape} pixels, the images have {shape}. Download it again.")
    return array


def require_classes(classes: NDArray[Any], most: int, path: Path) -> NDArray[np.uint8]:
    """Refuse classes that the dataset does not have.

    Raises
    ------
    InputError
        If one is below 0, above `most` or no number.
    """
    if not ((classes >= 0) & (classes <= most)).all():
        raise InputError(f"{path} holds classes from {classes.min()} to {classes.max()}, not 0 to {most}. Restore it.")
    return classes.astype(np.uint8)


def listed(path: Path) -> list[str]:
    """Read a list of paths, one a line, without a header; each path once.

    Raises
    ------
    InputError
        If it cannot be read, or a path leads out of the dataset.
    """
    try:
        with path.open(newline="", encoding="utf-8-sig") as stream:
            rows = [row[0].strip().replace("\\", "/") for row in csv.reader(stream) if row and row[0].strip()]
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise InputError(f"The list {path} cannot be read ({error}). Download it again.") from error
    for row in rows:
        if Path(row).is_absolute() or ".." in Path(row).parts:
            raise InputError(f"{path} lists {row}, which lies outside the dataset. Make its paths relative.")
    return list(dict.fromkeys(rows))
