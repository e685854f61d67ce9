"""Datasets that ``cscl make-dataset`` wrote: patches in one sharded Zarr store, with true dates, places and parcels.

Folds are whole blocks of ground, and no parcel lies in two. The published mean and standard deviation are those of the
usable pixels of the training folds. Where there are finer labels, too, the layout ``cscl_finer`` reads these.
"""

from __future__ import annotations

import datetime as dt
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr
from affine import Affine
from numpy.typing import NDArray
from xarray.core import indexing

from cscl.cube import Factor, Radiometry, SITSCube
from cscl.errors import InputError
from cscl.grid import GeoBox, Window, crop, make_grid, refined
from cscl.legend import Legend
from cscl.products import LabelMap, Scene

from . import Dataset, Entry, Layout, Moments, datasets
from ._shards import LazyPatch, PatchArray, open_store

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
        store = open_store(path / STORE)
        entries = [e for scene in card["scenes"] for e in _entries(store, path, scene, legend, card, times)]
        names = list(card["folds"])
        split = f"{','.join(names[:-2])}/{names[-2]}/{names[-1]}"
        name = card["name"]
    except InputError:
        raise
    except Exception as error:  # Zarr and its codecs raise kinds of their own, and what JSON of another form leads to
        why = str(error)[:200] or type(error).__name__
        raise InputError(f"{path / CARD} or {STORE} is damaged ({why}). {REMEDY}") from error
    if not entries:
        raise InputError(f"{path} lists no patch. {REMEDY}")
    notes = () if times > 1 or card["finer"] == 1 else (f"Labels {card['finer']} times finer: --layout cscl_finer.",)
    return Dataset(name, path, tuple(entries), legend, reference, split, partial(_moments, card), notes)


def mixed_of(path: Path, finer: bool = False) -> dict[str, Callable[[], NDArray[np.bool_]]]:
    """Return what reads the mixed pixels, axes (y, x), of each entry of `open_own`, by its name."""
    card = json.loads((path / CARD).read_text(encoding="utf-8"))
    layer = f"mixed_x{card['finer']}" if finer else "mixed"
    found: dict[str, Callable[[], NDArray[np.bool_]]] = {}
    store = open_store(path / STORE)
    for scene in card["scenes"]:
        name, group = scene["name"], store[scene["name"]]
        array = PatchArray(group[layer], path / STORE / name / layer)
        for number, (row, col) in enumerate(zip(group["row"][:], group["col"][:], strict=True)):
            found[f"{name}_{row}_{col}"] = partial(array.read, number)
    return found


@dataclass(frozen=True, eq=False)
class _Patches:
    """The patches of one scene, each of them opened when it is asked for."""

    path: Path
    layers: Mapping[str, PatchArray]
    end: str
    axes: Mapping[str, Any]
    radiometry: Radiometry
    grid: GeoBox
    legend: Legend
    patch_px: int
    finer: int

    def open(self, number: int, row: int, col: int) -> Scene:
        """Open one patch; its images are read when they are asked for."""
        grid = crop(self.grid, Window(row, col, self.patch_px, self.patch_px))
        name = f"{self.path.name}, row {row}, column {col}"
        image, valid = (
            xr.Variable(dims, indexing.LazilyIndexedArray(LazyPatch(self.layers[layer], number)))
            for layer, dims in (("image", ("time", "band", "y", "x")), ("valid", ("time", "y", "x")))
        )
        stored = xr.DataArray(image, coords=self.axes)
        cube = SITSCube(stored, grid, self.radiometry, clear=xr.DataArray(valid), name=name, path=self.path)
        classes, parcels = (self.layers[layer].read(number) for layer in (f"class{self.end}", f"parcel{self.end}"))
        return Scene(cube, LabelMap(classes, refined(grid, self.finer), self.legend, parcels, name, self.path))


def _entries(store: Any, path: Path, scene: Mapping[str, Any], legend: Legend, card: Any, finer: int) -> list[Entry]:
    group, name, end = store[scene["name"]], scene["name"], "" if finer == 1 else f"_x{finer}"
    names = ("image", "valid", f"class{end}", f"parcel{end}")
    layers = {layer: PatchArray(group[layer], path / STORE / name / layer) for layer in names}
    whole = make_grid(tuple(scene["shape"]), Affine(*scene["transform"]), scene["crs"], name)
    scale, offset = (tuple(map(_factor, group[layer][:])) for layer in ("scale", "offset"))
    times, bands = group["time"][:].astype("datetime64[ns]"), list(map(str, group.attrs["bands"]))
    if layers["image"].shape[:2] != (len(times), len(bands)):
        raise InputError(f"{path / STORE}: {name} has other dates or bands than its images. {REMEDY}")
    patches = _Patches(
        path, layers, end, {"time": times, "band": bands},
        Radiometry(scale, offset, scene["nodata"], scene["radiometry"]), whole, legend, card["patch_px"], finer,
    )  # fmt: skip
    fold, row, col = (group[layer][:] for layer in ("fold", "row", "col"))
    return [
        Entry(f"{name}_{row[n]}_{col[n]}", str(fold[n]), partial(patches.open, int(n), int(row[n]), int(col[n])))
        for n in np.flatnonzero(fold)
    ]


def _factor(of_bands: NDArray[np.float64]) -> Factor:
    """Scale or offset of a date: one number where all bands have the same."""
    several = tuple(map(float, of_bands))
    return several if len(set(several)) > 1 else several[0]


def _moments(card: Mapping[str, Any], folds: Sequence[str]) -> Moments:
    """Mean and standard deviation of the usable pixels of some folds together."""
    try:
        pixels = np.array([card["folds"][f]["pixels"] for f in folds], float)
        mean, std = (np.array([card["folds"][f][key] for f in folds], float) for key in ("mean", "std"))
        if {mean.shape, std.shape} != {(len(folds), len(card["bands"]))}:
            raise ValueError(f"{mean.shape} and {std.shape} values")
    except (LookupError, TypeError, ValueError) as error:
        raise InputError(f"The statistics of the folds in {CARD} are damaged ({error}). {REMEDY}") from error
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
