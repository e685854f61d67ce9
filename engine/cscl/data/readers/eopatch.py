"""EOPatch folders, as eo-learn writes them: one array a feature, a bounding box, and a list of times.

Features are NumPy files (packed or not) or Zarr arrays with the axes (time, y, x, band), rows from north to south, in
folders named after their kind: ``data`` for images, ``mask`` for masks, ``mask_timeless`` for labels.
"""

from __future__ import annotations

import gzip
import json
import re
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr
from affine import Affine
from numpy.typing import NDArray

from cscl.cube import SITSCube
from cscl.errors import GridError, InputError
from cscl.grid import GeoBox, make_grid
from cscl.registry import nearest

from . import Reader, ReadOptions, readers
from ._assemble import Found, assemble, band_names
from ._dates import given_dates
from ._features import feature, is_array
from ._lazy import all_clear, clear_from
from ._masks import masks_in

__all__ = ["timeless"]

_AXES = ("time", "y", "x", "band")
_SQUARE_PX = 1e-6
# Masks that eo-learn and Sentinel Hub write: of these non-zero is usable, of clouds it is not.
_USABLE = re.compile(r"(?:is[_-]?)?(?:valid|data)(?:[_-]?(?:data|mask))*", re.IGNORECASE)
_CLOUDS = re.compile(r"(?:is[_-]?)?(?:clm|clouds?|cloud[_-]?mask|shadows?|snow)(?:[_-]?mask)?", re.IGNORECASE)


def matches(path: Path) -> bool:
    """Whether the path is a folder with a bounding box, or with arrays in ``data``."""
    return path.is_dir() and bool(_named(path, "bbox") or _features(path, "data"))


def open_eopatch(path: Path, options: ReadOptions) -> SITSCube:
    """Open an EOPatch; masks of known meaning are used, and the notes say how they are understood."""
    name, file = _chosen(path, options.variable)
    stored = feature(file, _AXES, ("time", "band", "y", "x"))
    grid = _grid(path, (stored.shape[2], stored.shape[3]), options.crs)
    times = _times(path, stored.shape[0], options)
    told = [name] if stored.shape[1] == 1 else [None] * stored.shape[1]
    names, notes = band_names(told, options, f"The feature {name} of {path}")
    clear, mask_notes = _clear(path, (times, grid), options)
    found = Found(
        name=path.resolve().name,
        stored=stored,
        times=times,
        labels=tuple(f"image {i + 1} ({t.astype('datetime64[s]')})" for i, t in enumerate(times)),
        bands=names,
        grid=grid,
        scales=(None,) * len(times),
        offsets=(None,) * len(times),
        nodata=None,
        clear=clear,
        notes=(*notes, *mask_notes),
    )
    return assemble(found, options)


readers.register("eopatch")(Reader("an EOPatch folder of eo-learn", matches, open_eopatch))


def timeless(path: Path) -> tuple[NDArray[Any], GeoBox] | None:
    """Read a timeless feature of an EOPatch, such as ``mask_timeless/LULC.npy``: axes (y, x), and its grid.

    None if the path is no such feature.
    """
    folder = path.parent.parent
    if path.parent.name not in ("mask_timeless", "data_timeless") or not is_array(path) or not matches(folder):
        return None
    array = feature(path, _AXES[1:], ("y", "x"))
    return array.values, _grid(folder, (array.shape[0], array.shape[1]), None)


def _features(path: Path, kind: str) -> dict[str, Path]:
    """Arrays of one kind, by name."""
    folder = path / kind
    files = sorted(p for p in folder.iterdir() if is_array(p)) if folder.is_dir() else []
    return {file.name.split(".")[0]: file for file in files}


def _named(path: Path, *stems: str) -> Path | None:
    """File of the patch by its name without endings; a readable one rather than a pickle."""
    files = sorted(p for p in path.iterdir() if p.is_file() and p.name.split(".")[0] in stems)
    return min(files, key=lambda p: ".pkl" in p.name, default=None)


def _chosen(path: Path, wanted: str | None) -> tuple[str, Path]:
    images = _features(path, "data")
    if wanted is not None:
        name = wanted.removeprefix("data/")
        if name not in images:
            raise nearest(wanted, images, "feature", f"{path / 'data'}")
        return name, images[name]
    if not images:
        raise InputError(f"{path} is an EOPatch without images: its folder data holds no .npy, .npy.gz or .zarr.")
    if len(images) > 1:
        raise InputError(f"{path} holds several images: {', '.join(images)}. Say which to use with --variable.")
    return next(iter(images.items()))


def _json(path: Path) -> Any:
    """Read a JSON file, packed or not; a pickle is refused, as it would have to be run."""
    if ".pkl" in path.name:
        raise InputError(
            f"{path} is a pickle of an old eo-learn, and pickles are programs. Open the patch with eo-learn 1.0 or "
            "newer, and save it again."
        )
    try:
        with gzip.open(path, "rt", encoding="utf-8") if path.suffix == ".gz" else path.open(encoding="utf-8") as file:
            return json.load(file)
    except (ValueError, EOFError, gzip.BadGzipFile, zlib.error, RecursionError) as error:
        raise InputError(f"{path} is damaged ({error}). Restore it.") from error


def _times(path: Path, count: int, options: ReadOptions) -> NDArray[np.datetime64]:
    if options.dates is not None:
        return given_dates(options.dates, count, "The given dates")
    file = _named(path, "timestamps", "timestamp")
    if file is None:
        raise InputError(f"{path} has no timestamps.json. Restore it, or give all dates with --dates.")
    told = _json(file)
    if not isinstance(told, list):
        raise InputError(f"{file} holds no list of times. Restore it, or give all dates with --dates.")
    return given_dates([str(time) for time in told], count, str(file))


def _grid(path: Path, shape: tuple[int, int], crs: str | None) -> GeoBox:
    """Grid of the patch: its box cut into pixels; these need be neither square nor whole metres."""
    file = _named(path, "bbox")
    if file is None:
        raise GridError(f"{path} has no bbox.geojson, so it lies nowhere. Restore it.")
    told = _json(file)
    try:
        name = told.get("crs", {}).get("properties", {}).get("name") or crs
        ring = np.array(told["coordinates"][0], float)[:, :2]
        (west, south), (east, north) = ring.min(axis=0), ring.max(axis=0)
    except (AttributeError, KeyError, IndexError, TypeError, ValueError) as error:
        raise InputError(f"{file} holds no box ({error}). Restore it.") from error
    edges = (np.isin(ring[:, 0], (west, east)) & np.isin(ring[:, 1], (south, north))).all()
    if not edges or not np.isfinite(ring).all() or west == east or south == north:
        raise GridError(f"{file} holds no upright box. Straighten the images with gdalwarp first.")
    height, width = (north - south) / shape[0], (east - west) / shape[1]
    return make_grid(shape, Affine(width, 0, west, 0, -height, north), name, str(file))


def _clear(
    path: Path, place: tuple[NDArray[np.datetime64], GeoBox], options: ReadOptions
) -> tuple[xr.Variable | None, tuple[str, ...]]:
    """Usable pixels, axes (time, y, x): by the mask that the user names, else by all whose name says what they mean."""
    masks = _features(path, "mask")
    if options.mask is not None:
        name = options.mask.removeprefix("mask/")
        if name not in masks:
            if Path(options.mask).expanduser().is_dir():
                clear, note = masks_in(Path(options.mask).expanduser(), *place)
                return clear, (note,)
            raise nearest(options.mask, masks, "mask", str(path))
        chosen = {name: bool(_USABLE.fullmatch(name))}
    else:
        chosen = {name: bool(_USABLE.fullmatch(name)) for name in masks if _is_known(name)}
    shape = (len(place[0]), *place[1].shape)
    parts = [clear_from(_mask(masks[name], shape), usable) for name, usable in chosen.items()]
    return all_clear(parts), tuple(_mask_notes(chosen, [name for name in masks if name not in chosen]))


def _is_known(name: str) -> bool:
    return bool(_USABLE.fullmatch(name) or _CLOUDS.fullmatch(name))


def _mask(file: Path, shape: tuple[int, ...]) -> xr.Variable:
    mask = feature(file, _AXES, ("time", "y", "x"))
    if mask.shape != shape:
        raise InputError(f"The mask {file} has the shape {mask.shape}, the images {shape}. Choose another with --mask.")
    return mask


def _mask_notes(chosen: dict[str, bool], others: list[str]) -> list[str]:
    notes = [
        f"Mask from the feature {name}: {'non-zero is usable' if usable else 'non-zero is not usable'}."
        for name, usable in chosen.items()
    ]
    if others:
        notes.append(
            f"Not used as a mask, though they may be one: {', '.join(others)}. Name one with --mask to use it."
        )
    return notes
