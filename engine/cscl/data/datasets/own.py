"""Datasets that ``cscl make-dataset`` wrote: patches in one sharded Zarr store, with true dates, places and parcels.

Folds are whole blocks of ground, and no parcel lies in two. The published mean and standard deviation are those of the
usable pixels of the training folds. Where there are finer labels, too, the layout ``cscl_finer`` reads these.
"""

from __future__ import annotations

import datetime as dt
import json
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr
from affine import Affine
from numpy.typing import NDArray

from cscl.cube import Radiometry, SITSCube
from cscl.errors import InputError
from cscl.grid import Window, crop, make_grid, refined
from cscl.legend import Legend
from cscl.products import LabelMap, Scene

from . import Dataset, Entry, Layout, Moments, datasets

__all__ = ["mixed_of", "open_own"]

CARD, STORE = "dataset.json", "patches.zarr"
REMEDY = "Make the dataset again with cscl make-dataset."


def open_own(path: Path, finer: bool = False) -> Dataset:
    """Open the folder that holds ``dataset.json`` and ``patches.zarr``.

    Parameters
    ----------
    path : Path
        The folder.
    finer : bool
        Take the finer labels.

    Raises
    ------
    InputError
        If it is damaged, of a newer version, or has no finer labels.
    """
    try:
        card: Mapping[str, Any] = json.loads((path / CARD).read_text(encoding="utf-8"))
        if card["format"] != "cscl patches" or card["version"] != 1:
            raise InputError(f"{path} is of the version {card['version']}, which a newer cscl reads.")
        legend = Legend.from_dict(card["legend"])
        reference = dt.date.fromisoformat(card["reference_date"])
        if finer and card["finer"] == 1:
            raise InputError(f"{path} has no finer labels. Make it with --finer 4, or leave out --layout.")
        times = card["finer"] if finer else 1
        entries = [e for scene in card["scenes"] for e in _entries(path, scene, legend, card["patch_px"], times)]
        names = list(card["folds"])
        split = f"{','.join(names[:-2])}/{names[-2]}/{names[-1]}"
        name = card["name"]
    except (OSError, ValueError, KeyError, TypeError, IndexError) as error:
        if isinstance(error, InputError):
            raise
        raise InputError(f"{path / CARD} or {STORE} is damaged ({error!r}). {REMEDY}") from error
    if not entries:
        raise InputError(f"{path} lists no patch. {REMEDY}")
    notes = () if times > 1 or card["finer"] == 1 else (f"Labels {card['finer']} times finer: --layout cscl_finer.",)
    return Dataset(name, path, tuple(entries), legend, reference, split, partial(_moments, card), notes)


def mixed_of(path: Path, finer: bool = False) -> dict[str, Callable[[], NDArray[np.bool_]]]:
    """Return what reads the mixed pixels, axes (y, x), of each entry of `open_own`, by its name."""
    card = json.loads((path / CARD).read_text(encoding="utf-8"))
    name = f"mixed_x{card['finer']}" if finer else "mixed"
    found: dict[str, Callable[[], NDArray[np.bool_]]] = {}
    for scene in card["scenes"]:
        group = _group(path, scene)
        for number, (row, col) in enumerate(zip(group["row"].values, group["col"].values, strict=True)):
            found[f"{scene['name']}_{row}_{col}"] = partial(_layer, path, group, name, number)
    return found


def _group(path: Path, scene: Mapping[str, Any]) -> xr.Dataset:
    """Open the arrays of a scene, lazy: of a patch only the chunks that are asked for are read."""
    group: xr.Dataset = xr.open_zarr(
        path / STORE, group=scene["name"], chunks=None, consolidated=False, mask_and_scale=False
    )
    return group


def _layer(path: Path, group: xr.Dataset, name: str, number: int) -> NDArray[Any]:
    try:
        return np.asarray(group[name][number].values)
    except (OSError, ValueError, RuntimeError) as error:
        raise InputError(f"{path / STORE} is damaged ({error}). {REMEDY}") from error


def _entries(path: Path, scene: Mapping[str, Any], legend: Legend, patch_px: int, finer: int) -> list[Entry]:
    if not scene["patches"]:
        return []
    group = _group(path, scene)
    fold, row, col = (group[name].values for name in ("fold", "row", "col"))
    whole = make_grid(tuple(scene["shape"]), Affine(*scene["transform"]), scene["crs"], scene["name"])
    scale, offset = (tuple(tuple(map(float, t)) for t in group[name].values) for name in ("scale", "offset"))
    seeing = Radiometry(scale, offset, scene["nodata"], scene["radiometry"])
    times = {"time": group["time"].values.astype("datetime64[ns]"), "band": group.attrs["bands"]}
    opening = partial(_open, path, group, times, seeing, whole, legend, patch_px, finer)
    return [
        Entry(f"{scene['name']}_{row[n]}_{col[n]}", str(fold[n]), partial(opening, int(n), int(row[n]), int(col[n])))
        for n in np.flatnonzero(fold)
    ]


def _open(
    path: Path, group: xr.Dataset, axes: Any, seeing: Radiometry, whole: Any, legend: Legend, patch_px: int, finer: int,
    number: int, row: int, col: int,
) -> Scene:  # fmt: skip
    grid = crop(whole, Window(row, col, patch_px, patch_px))
    stored = group["image"][number].drop_vars("time", errors="ignore").assign_coords(axes)
    name, end = f"{path.name}, row {row}, column {col}", "" if finer == 1 else f"_x{finer}"
    cube = SITSCube(stored, grid, seeing, clear=group["valid"][number], name=name, path=path)
    classes, parcels = (_layer(path, group, f"{layer}{end}", number) for layer in ("class", "parcel"))
    return Scene(cube, LabelMap(classes, refined(grid, finer), legend, parcels, name, path))


def _moments(card: Mapping[str, Any], folds: Sequence[str]) -> Moments:
    """Mean and standard deviation of the usable pixels of some folds together."""
    pixels = np.array([card["folds"][f]["pixels"] for f in folds], float)
    mean, std = (np.array([card["folds"][f][key] for f in folds]) for key in ("mean", "std"))
    if not pixels.sum():
        raise InputError(f"No pixel of fold {', '.join(folds)} is usable on any date. Train on other folds.")
    weight = (pixels / pixels.sum())[:, None]
    middle = (weight * mean).sum(0)
    spread = np.sqrt((weight * (std**2 + (mean - middle) ** 2)).sum(0))
    return tuple(map(float, middle)), tuple(map(float, spread))


def _matches(path: Path) -> bool:
    return (path / CARD).is_file() and (path / STORE).is_dir()


datasets.register("cscl")(Layout("patches of cscl make-dataset (dataset.json, patches.zarr)", _matches, open_own))
datasets.register("cscl_finer")(
    Layout("these with their finer labels, if named", lambda path: False, partial(open_own, finer=True))
)
