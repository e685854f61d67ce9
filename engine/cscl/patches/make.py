"""The job that makes a dataset of images and parcels."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from cscl.cube import SITSCube
from cscl.data.scenes import with_crops
from cscl.errors import InputError
from cscl.events import Job, Note, Progress
from cscl.grid import pixel_size_m
from cscl.legend import Legend
from cscl.parcels import Parcels
from cscl.results import in_the_making, require_place

from .card import CARD, facts_of, scene_facts, write_card
from .check import check_folds
from .ground import Ground, ground_of
from .options import PatchOptions
from .plan import Plan, plan
from .store import begin, fill, shards
from .tally import PatchTally, joined

__all__ = ["make_dataset"]

MUCH = 0.25
AHEAD = 2  # shards a worker may have waiting


def make_dataset(
    pairs: Sequence[tuple[SITSCube, Parcels]],
    out: str | Path,
    options: PatchOptions | None = None,
    *,
    legend: Legend | None = None,
    workers: int = 1,
    overwrite: bool = False,
) -> Job[Path]:
    """Cut images and parcels into patches, and write them with a card.

    Parameters
    ----------
    pairs : sequence of (SITSCube, Parcels)
        Scenes, all with the same bands. Their dates may differ.
    out : path
        Folder to make: ``patches.zarr``, ``dataset.json``, ``dataset.md``.
    options : PatchOptions, optional
        Size of patches and blocks, folds and the like.
    legend : Legend, optional
        Classes to keep; by default all codes that occur.
    workers : int
        Threads. The result is the same whatever their number.
    overwrite : bool
        Replace a former dataset.

    Returns
    -------
    Path
        The folder.

    Raises
    ------
    CSCLError
        If scenes do not fit together, a patch is larger than a scene, no parcel lies on the images or no pixel has a
        class, there are too few blocks, or the result cannot be written; the message says the remedy.
    """
    options, out = options or PatchOptions(), Path(out)
    if workers < 1:
        raise InputError(f"{workers} workers cannot work. Give at least 1.")
    require_place(out, CARD, overwrite=overwrite)
    grounds = yield from _grounds(pairs, legend)
    planned = yield from plan(grounds, options)
    with in_the_making(out, "The dataset", overwrite=overwrite) as part:
        store = begin(part, planned.scenes, options)
        tallies = yield from _filled(store, planned, options, workers)
        facts = _finished(store, out.name, planned, options, tallies)
        check = yield from check_folds(part, facts["scenes"], options.patch_px, options.folds)
        for number, parcels in check.parcels.items():
            facts["folds"][str(number)]["parcels"] = parcels
        write_card(part, {**facts, "check": check.words})
    yield from _remarks(facts)
    yield Note(check.words)
    return out


def _grounds(pairs: Sequence[tuple[SITSCube, Parcels]], legend: Legend | None) -> Job[list[Ground]]:
    """Give each scene a name of its own, and all of them one legend.

    Raises
    ------
    InputError, GridError
        If their bands or pixels differ, a register has no crops, or a scene has no parcels.
    """
    if not pairs:
        raise InputError("A dataset needs images and parcels. Give at least one pair of them.")
    first = pairs[0][0]
    for cube, parcels in pairs:
        with_crops(parcels)
        if cube.bands != first.bands:
            raise InputError(
                f"{cube.name} has the bands {' '.join(cube.bands)}, {first.name} has {' '.join(first.bands)}. Name "
                "those that all have with --bands."
            )
        if not np.allclose(pixel_size_m(cube.grid), pixel_size_m(first.grid), rtol=1e-3):
            sizes = (" x ".join(f"{v:.4g}" for v in pixel_size_m(c.grid)) for c in (cube, first))
            raise InputError(
                f"Pixels of {cube.name} and {first.name} differ: {' m and '.join(sizes)} m. Make a dataset of each."
            )
    if legend is None:
        legend = pairs[0][1].legend()
        for _, parcels in pairs[1:]:
            legend = legend.extended(parcels.codes)
    names = _names([cube.name for cube, _ in pairs])
    grounds = []
    for name, pair in zip(names, pairs, strict=True):
        grounds.append((yield from ground_of(name, *pair, legend)))
    return grounds


def _names(names: Sequence[str]) -> list[str]:
    """Names of groups: without what a store's keys must not hold, and each once."""
    plain = ["".join(c if c.isalnum() or c in "-_." else "_" for c in name).strip("._") or "scene" for name in names]
    return [name if plain.count(name) == 1 else f"{name}_{number}" for number, name in enumerate(plain, 1)]


def _filled(store: Any, planned: Plan, options: PatchOptions, workers: int) -> Job[list[list[PatchTally]]]:
    """Write all shards, several at a time; return the counts of each scene's patches in their order."""
    todo, done = shards(planned.scenes, options), list[int]()
    total = sum(map(len, planned.scenes))
    ready: dict[int, list[PatchTally]] = {}
    with _pool(workers) as pool:
        waiting: dict[Future[list[PatchTally]], int] = {}
        for number, shard in enumerate(todo):
            waiting[pool.submit(fill, store, planned.scenes[shard.scene], shard, options, done)] = number
            while len(waiting) >= AHEAD * workers or (number == len(todo) - 1 and waiting):
                finished, _ = wait(waiting, timeout=0.5, return_when=FIRST_COMPLETED)
                ready.update({waiting.pop(one): one.result() for one in finished})
                yield Progress("writing patches", len(done), total, "patch")
    of_scene: list[list[PatchTally]] = [[] for _ in planned.scenes]
    for number, shard in enumerate(todo):
        of_scene[shard.scene] += ready[number]
    return of_scene


@contextmanager
def _pool(workers: int) -> Iterator[ThreadPoolExecutor]:
    """Lend threads; what has not begun when the job ends early never does."""
    pool = ThreadPoolExecutor(workers, "patches")
    try:
        yield pool
    finally:
        pool.shutdown(wait=True, cancel_futures=True)


def _finished(
    store: Any, name: str, planned: Plan, options: PatchOptions, tallies: Sequence[Sequence[PatchTally]]
) -> dict[str, Any]:
    """Take patches without any image out of their folds, and make the facts of the card."""
    legend, bands = planned.scenes[0].ground.legend, planned.scenes[0].ground.cube.bands
    usable, folds = [], []
    for scene, counted in zip(planned.scenes, tallies, strict=True):
        fold = scene.fold * np.array([t.bands.pixels > 0 for t in counted], np.uint8)
        if not np.array_equal(fold, scene.fold):
            store[scene.ground.name]["fold"][:] = fold
        pixels = max(1, len(counted)) * options.patch_px**2
        usable.append(sum((t.usable for t in counted), np.zeros(len(scene.ground.cube.dates), np.int64)) / pixels)
        folds.append(fold)
    total = joined((t for counted in tallies for t in counted), options.folds, len(bands), len(legend))
    if not any(fold.patches for fold in total.values()):
        raise InputError("No pixel of the patches is usable on any date. Check the nodata value and the masks.")
    return facts_of(name, planned, options, scene_facts(planned, usable, folds), total)


def _remarks(facts: dict[str, Any]) -> Job[None]:
    """Say what a user must not overlook."""
    for scene in facts["scenes"]:
        empty = [one["date"][:10] for one in scene["dates"] if not one["usable"]]
        if empty:
            yield Note(f"{scene['name']}: no pixel is usable on {', '.join(empty)}.", warning=True)
        if not scene["mask"]:
            yield Note(f"{scene['name']} has no mask: clouds count as usable.", warning=True)
    counts = {
        c["id"]: [f["classes"][str(c["id"])] for f in facts["folds"].values()] for c in facts["legend"]["classes"]
    }
    none = [c["code"] for c in facts["legend"]["classes"] if not any(counts[c["id"]])]
    if none:
        yield Note(f"No patch holds the classes {', '.join(none)}.", warning=True)
    some = [c["code"] for c in facts["legend"]["classes"] if any(counts[c["id"]]) and not all(counts[c["id"]])]
    if some:
        yield Note(f"Not every fold holds the classes {', '.join(some)}.")
    void, known = (sum(values) for values in zip(*map(_void, facts["folds"].values()), strict=True))
    if void > MUCH * (void + known):
        yield Note(
            f"{void / (void + known):.0%} of the labelled pixels are void, since their parcels belong to another fold. "
            "Larger blocks (--block-px) cut fewer parcels.",
            warning=True,
        )
    for what, count in facts["left_out"].items():
        if count:
            yield Note(f"Left out were {count} {what}.")


def _void(fold: dict[str, Any]) -> tuple[int, int]:
    """Void pixels and labelled ones of a fold."""
    return fold["void"], sum(fold["classes"].values())
