"""A dataset in the pickles that DeepSatModels reads: ten bands as in PASTIS24, or all thirteen as in T31TFM_1618."""

from __future__ import annotations

import pickle
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import geopandas
import numpy as np
import shapely
from numpy.typing import NDArray

from cscl.cube import SITSCube
from cscl.data.datasets import Dataset, Entry, open_dataset, pastis, t31tfm
from cscl.data.datasets.own import CARD, mixed_of
from cscl.errors import InputError
from cscl.events import Job, Progress
from cscl.products import Scene

from .plain import classes_of, day_of_year, one_a_day, stored_as
from .to_pastis import FIRST_NUMBER

__all__ = ["write_pastis24", "write_t31tfm"]

STEP = {"B01": 6, "B09": 6, "B10": 6, "B02": 1, "B03": 1, "B04": 1, "B08": 1}  # pixels of 10 m along one; others: 2


def write_pastis24(dataset: Dataset, folder: Path, numbers: Sequence[int]) -> Job[list[str]]:
    """Write a pickle a patch with ``img``, ``labels`` and ``doy``, and the lists of the folds.

    `numbers` are those of the classes. Returns what is to be noted.
    """
    notes, lists = dict[str, None](), dict[str, list[str]]()
    for number, entry in enumerate(dataset.entries):
        scene = entry.open()
        cube = one_a_day(scene, notes)
        values = stored_as(cube, pastis.BANDS, pastis.NODATA + 1, 32767, pastis.NODATA).astype(np.int16)
        classes = classes_of(scene, numbers, pastis.VOID)
        name = f"pickle{values.shape[-1]}x{values.shape[-2]}/{FIRST_NUMBER + number}_0.pickle"
        _pickle(folder / name, {"img": values, "labels": classes[None], "doy": day_of_year(cube.dates)})
        lists.setdefault(entry.fold, []).append(name)
        yield Progress("writing PASTIS24", number + 1, len(dataset.entries), "patch")
    (folder / "fold-paths").mkdir()
    for fold, names in lists.items():
        (folder / "fold-paths" / f"fold_{fold}_paths.csv").write_text("\n".join(names) + "\n", encoding="utf-8")
    if {"1", "2", "3"} <= set(lists):
        names = [name for fold in "123" for name in lists[fold]]
        (folder / "fold-paths" / "folds_1_123_paths.csv").write_text("\n".join(names) + "\n", encoding="utf-8")
    notes["Only days of the year are held: years are lost. Unknown pixels are void (19)."] = None
    notes["DeepSatModels standardises by constants of PASTIS: put those of this dataset there."] = None
    return list(notes)


def write_t31tfm(dataset: Dataset, folder: Path, numbers: Sequence[int]) -> Job[list[str]]:
    """Write a pickle a patch with an array a band, at the band's own pixels, and labels; and two lists.

    `numbers` are those of the classes. Returns what is to be noted.
    """
    notes = dict[str, None]()
    fine, mixed = _beside(dataset)
    lists: dict[str, list[str]] = {"train": [], "eval": []}
    held_back = dataset.folds.split("/")[-1].split(",")
    for number, entry in enumerate(dataset.entries, 1):
        scene = entry.open()
        cube, year = _of_one_year(one_a_day(scene, notes), notes)
        content = {**_coarse_bands(cube, entry), "doy": day_of_year(cube.dates), "year": np.int32(year)}
        content |= _labels(scene, numbers, mixed.get(entry.name), "")
        if entry.name in fine:
            finer, its = fine[entry.name]
            content |= _labels(finer.open(), numbers, its, "_x4")
        name = f"{year}/pkl_timeseries/{entry.name.rsplit('_', 2)[0]}/{_corner(cube)}_{year}.pickle"
        _pickle(folder / name, content)
        lists["eval" if entry.fold in held_back else "train"].append(name)
        yield Progress("writing T31TFM_1618", number, len(dataset.entries), "patch")
    (folder / "paths").mkdir()
    for side, names in lists.items():
        (folder / "paths" / f"{side}_paths.csv").write_text("\n".join(names) + "\n", encoding="utf-8")
    notes[f"Fold {', '.join(held_back)} is the list 'eval', all others 'train'."] = None
    notes["part_ass marks all mixed pixels, which are unknown then; full_ass is 0. Names are corners in EPSG:2154."] = (
        None
    )
    return list(notes)


def _beside(dataset: Dataset) -> tuple[dict[str, tuple[Entry, Any]], dict[str, Any]]:
    """Finer entries of the same names and what reads their mixed pixels, and what reads those of the entries."""
    if not (dataset.path / CARD).is_file():
        return {}, {}
    mixed = mixed_of(dataset.path)
    try:
        finer = open_dataset(dataset.path, "cscl_finer").entries
    except InputError:  # it has none
        return {}, mixed
    if finer[0].open().finer != 4:
        return {}, mixed
    its = mixed_of(dataset.path, finer=True)
    return {entry.name: (entry, its[entry.name]) for entry in finer}, mixed


def _labels(
    scene: Scene, numbers: Sequence[int], mixed: Callable[[], NDArray[np.bool_]] | None, end: str
) -> dict[str, Any]:
    classes = classes_of(scene, numbers, 0)
    parcels = scene.labels.parcel_ids
    shared = np.zeros(classes.shape, bool) if mixed is None else mixed()
    layers = {
        "labels": classes.astype(np.float32),
        "groups": classes.astype(np.float32),
        "ids": np.zeros(classes.shape, np.int32) if parcels is None else parcels,  # floats would merge them
        "part_ass": shared.astype(np.float32),
        "full_ass": np.zeros(classes.shape, np.float32),
    }
    return {f"{name}{end}": layer for name, layer in layers.items()}


def _of_one_year(cube: SITSCube, notes: dict[str, None]) -> tuple[SITSCube, int]:
    """Keep the dates of the year that has most: a sample names one year."""
    years = cube.dates.astype("datetime64[Y]").astype(int) + 1970
    year = int(np.bincount(years).argmax())
    if (years == year).all():
        return cube, year
    notes[f"Only dates of {year} are written: a sample is of one year."] = None
    return cube.select(times=np.flatnonzero(years == year).tolist()), year


def _coarse_bands(cube: SITSCube, entry: Entry) -> dict[str, NDArray[np.uint16]]:
    """Make arrays (time, y, x) by band; those of 20 and 60 m are means of the 10 m pixels in them, 0 without data."""
    if cube.shape[0] % 6 or cube.shape[1] % 6:
        raise InputError(f"{entry.name} has {cube.shape[0]} x {cube.shape[1]} pixels; t31tfm needs a multiple of 6.")
    values = stored_as(cube, t31tfm.BANDS, 1, 65535, 0)
    found = {}
    for number, band in enumerate(t31tfm.BANDS):
        step = STEP.get(band, 2)
        times, rows, cols = values[:, number].shape
        blocks = values[:, number].reshape(times, rows // step, step, cols // step, step)
        mean = np.rint(blocks.mean((2, 4)))
        found[band] = np.where((blocks > 0).all((2, 4)), mean, 0).astype(np.uint16)
    return found


def _corner(cube: SITSCube) -> str:
    """North and west of the upper left corner, whole metres of Lambert-93, as the names of samples have it."""
    place = cube.grid.transform
    corner = geopandas.GeoSeries([shapely.Point(place.c, place.f)], crs=str(cube.grid.crs)).to_crs("EPSG:2154").iloc[0]
    return f"{corner.y:.0f}_{corner.x:.0f}"


def _pickle(path: Path, content: dict[str, Any]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(pickle.dumps(content, protocol=4))
