"""The data of a benchmark: simulated places, made once and kept in a cache, and real scenes, opened into memory."""

from __future__ import annotations

import hashlib
import os
import sys
import time
from collections.abc import Generator, Iterable, Sequence
from dataclasses import dataclass, replace
from importlib.resources import files
from pathlib import Path
from zlib import crc32

import numpy as np
import shapely
from numpy.typing import NDArray

import cscl.simulate
from cscl.cube import SITSCube
from cscl.data.at_hand import held_in_memory
from cscl.data.readers import open_cube
from cscl.data.scenes import LabelOptions, is_vector, open_parcels
from cscl.data.split import Side, only, split_blocks
from cscl.errors import InputError
from cscl.events import Event, Job, Progress
from cscl.grid import refined
from cscl.inference.align_labels import read_labels
from cscl.legend import Legend
from cscl.parcels import Parcels, rasterise
from cscl.products import LabelMap, Scene
from cscl.recipe import plain
from cscl.simulate import SeasonOptions, simulate, write_season

from .ledger import try_lock
from .protocol import Plan, label_options
from .specs import SeasonSpec

__all__ = ["Data", "cache_folder", "make_places", "open_data"]

BLOCK_PX = 32


@dataclass(frozen=True, eq=False)
class Test:
    """What a map is judged on: images, and the truth; where that is finer, also in pixels of the images."""

    cube: SITSCube
    truths: tuple[LabelMap, ...]


@dataclass(frozen=True, eq=False)
class Data:
    """What runs learn from and are judged on, in memory.

    Parameters
    ----------
    train : tuple of Scene
        With all crops of the register, but for scenes whose outlines alone are known.
    parcels : tuple of Parcels or None
        The register of each of them, as it is in its file; None where labels are a raster.
    tests : tuple of Test
        What judges.
    checksum : str
        Of images, register and truth, however an arm reads them: runs are compared on the same data only.
    """

    train: tuple[Scene, ...]
    parcels: tuple[Parcels | None, ...]
    tests: tuple[Test, ...]
    checksum: str


def cache_folder() -> Path:
    """Folder of this user for what can be made anew."""
    if sys.platform == "win32":
        return Path(os.environ.get("LOCALAPPDATA", Path.home())) / "cscl" / "cache"
    fallback = Path.home() / ("Library/Caches" if sys.platform == "darwin" else ".cache")
    return Path(os.environ.get("XDG_CACHE_HOME") or fallback) / "cscl"


def make_places(seasons: Iterable[SeasonSpec], cache: Path) -> Job[None]:
    """Simulate the places of seasons that the cache does not hold yet; two processes do not make one twice."""
    wanted = dict.fromkeys(o for s in seasons for o in (*_taught(s), *_judged(s)))
    missing = [options for options in wanted if not _folder(options, cache).is_dir()]
    for number, options in enumerate(missing):
        yield Progress("simulating places", number, len(missing), "place")
        folder = _folder(options, cache)
        while (lock := try_lock(folder.with_suffix(".lock"))) is None:
            yield Progress("simulating places", number, len(missing), "place")
            time.sleep(0.5)
        with lock:
            if not folder.is_dir():
                for _ in (job := _made(options, folder)):
                    yield Progress("simulating places", number, len(missing), "place")
                job.close()


def _made(options: SeasonOptions, folder: Path) -> Generator[Event, None, None]:
    season = yield from simulate(options)
    yield from write_season(season, folder)


def _taught(season: SeasonSpec) -> list[SeasonOptions]:
    return [replace(season.simulated, mosaic_seed=place) for place in season.train]


def _judged(season: SeasonSpec) -> list[SeasonOptions]:
    """Places that judge have a register without errors."""
    right = replace(season.simulated, outline_shift_m=0.0, outline_jitter_m=0.0, misdeclared_share=0.0)
    return [replace(right, mosaic_seed=place) for place in season.test]


def _folder(options: SeasonOptions, cache: Path) -> Path:
    """Where a place is kept: another place for other options, and for another simulator."""
    key = hashlib.sha256(repr(sorted(plain(options).items())).encode())
    for file in sorted(files(cscl.simulate).iterdir(), key=lambda f: f.name):
        if file.is_file():
            key.update(file.read_bytes())
    return cache / "seasons" / f"place_{options.mosaic_seed}_{key.hexdigest()[:16]}"


def open_data(plan: Plan, cache: Path) -> Job[Data]:
    """Open the scenes of a season as an arm reads them; `make_places` has made the simulated ones.

    Raises
    ------
    CSCLError
        If images or labels cannot be read.
    """
    season, finer = plan.season, plan.recipe.data.finer
    if season.train:
        folders = [_folder(options, cache) for options in _taught(season)]
        reading = replace(label_options((*CROPS, *season.reading, *plan.arm.reading)), legend=str(folders[0] / LEGEND))
        train = yield from _opened([(f, f / "parcels.gpkg") for f in folders], reading, finer)
        tests = []
        for options in _judged(season):
            tests.append((yield from _simulated_test(_folder(options, cache), season.finer)))
    else:
        train, tests = yield from _real(plan, finer)
    silent = [place in season.outlines_only for place in (season.train or range(1, len(train) + 1))]
    scenes = [_without_crops(scene) if quiet else scene for (scene, _), quiet in zip(train, silent, strict=True)]
    registers = tuple(register for _, register in train)
    return Data(tuple(scenes), registers, tuple(tests), _checksum(scenes, registers, tests))


CROPS = ("class_column=crop", "name_column=crop_name")
LEGEND = "legend.csv"
Opened = list[tuple[Scene, Parcels | None]]


def _opened(
    given: Sequence[tuple[Path, Path]], options: LabelOptions, finer: int, known: Legend | None = None
) -> Generator[Event, None, Opened]:
    """Open images with their labels, in pixels that are so many times finer; what reading them says is left out."""
    found: Opened = []
    for images, path in given:
        cube = yield from held_in_memory(open_cube(images))
        labels = yield from read_labels(path, cube, options, grid=refined(cube.grid, finer), known=known)
        known = labels.legend
        found.append((Scene(cube, labels), open_parcels(path, options) if is_vector(path) else None))
    return found


def _simulated_test(folder: Path, finer: int) -> Generator[Event, None, Test]:
    """Open a place with what truly grows there, and the parcels as they truly lie."""
    cube = yield from held_in_memory(open_cube(folder))
    legend, parcels = Legend.from_csv(folder / LEGEND), Parcels.open(folder / "parcels.gpkg", "crop")
    truths = []
    for times, name in ((4, "labels_2m5.tif"), (1, "labels.tif")):
        if times <= finer:
            grid = refined(cube.grid, times)
            ids = rasterise(parcels, grid, legend).parcel_ids
            truths.append(replace(LabelMap.open(folder / name, grid, legend), parcel_ids=ids))
    return Test(cube, tuple(truths))


def _real(plan: Plan, finer: int) -> Generator[Event, None, tuple[Opened, list[Test]]]:
    """Scenes of the user; without one that judges, some blocks do, which are the same ones for all arms and seeds."""
    season, base = plan.season, Path(plan.protocol.folder)
    given = {test: [(base / s.images, base / s.labels) for s in season.scenes if s.test == test] for test in (0, 1)}
    usual = label_options(season.reading)
    train = yield from _opened(given[0], label_options((*season.reading, *plan.arm.reading)), finer)
    judging = yield from _opened(given[1] or given[0], usual, season.finer, train[0][0].labels.legend)
    truths = [scene.labels for scene, _ in judging]
    if not given[1]:
        sides = [split_blocks(labels, BLOCK_PX, 0.0, season.test_share, n) for n, labels in enumerate(truths)]
        truths = [only(labels, side, Side.TEST) for labels, side in zip(truths, sides, strict=True)]
        train = [(_outside(s, truth, side), p) for (s, p), truth, side in zip(train, truths, sides, strict=True)]
    return train, [Test(scene.cube, (truth,)) for (scene, _), truth in zip(judging, truths, strict=True)]


def _outside(scene: Scene, truth: LabelMap, side_YX: NDArray[np.uint8]) -> Scene:
    """Leave out labels and outlines where others judge."""
    if scene.labels.grid != truth.grid:
        raise InputError(f"{scene.labels.name}: blocks that judge need labels of one grid. Name test scenes instead.")
    return replace(scene, labels=only(scene.labels, side_YX, Side.TRAIN))


def _without_crops(scene: Scene) -> Scene:
    labels = scene.labels
    return replace(scene, labels=replace(labels, ids=np.full_like(labels.ids, labels.legend.ignore)))


def _checksum(scenes: Sequence[Scene], registers: Sequence[Parcels | None], tests: Sequence[Test]) -> str:
    parts = [scene.cube.stored.values.tobytes() for scene in scenes]
    parts += [b"".join(shapely.to_wkb(p.table.geometry)) for p in registers if p is not None]
    parts += [scene.labels.ids.tobytes() for scene, p in zip(scenes, registers, strict=True) if p is None]
    parts += [array.tobytes() for test in tests for array in (test.cube.stored.values, *(t.ids for t in test.truths))]
    total = 0
    for part in parts:
        total = crc32(part, total)
    return f"{total:08x}"
