"""One run: pre-training and training as its arm says, a map of each test scene in memory, and what that is worth."""

from __future__ import annotations

import platform
import time
from collections.abc import Callable, Generator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from cscl.cube import SITSCube
from cscl.device import pick
from cscl.events import Event, Job, Progress
from cscl.inference.enlarge import By, enlarged
from cscl.inference.sharpen import Sharpener, sharpener
from cscl.inference.stitch import overlapping_tiles
from cscl.inference.tiles import Model, load_model, suit_cube
from cscl.products import Scene
from cscl.recipe import Recipe
from cscl.training.pretrain import pretrain
from cscl.training.segment import train

from .figures import FIGURES, judge
from .places import Data, Test
from .protocol import Plan
from .regimes import scenes_of
from .settled import spelled_out
from .specs import Arm

__all__ = ["Steps", "carry_out", "device_name", "step_seconds", "steps_of"]

TILE_PX = 256
WARMING, TIMED = 4, 30


@dataclass(frozen=True)
class Steps:
    """Gradient steps of a run."""

    pretrain: int
    train: int


def steps_of(plan: Plan, costs: Sequence[float], plain_s: float) -> Steps:
    """Turn a budget into steps.

    Parameters
    ----------
    plan : Plan
        What is to be run.
    costs : sequence of float
        Time of a step of its pre-training and of its training, in steps of the baseline's training.
    plain_s : float
        Seconds of the latter; read for budgets in seconds.
    """
    share, budget = plan.arm.pretrain_share, plan.budget
    steps = budget.amount / plain_s if budget.unit == "s" else budget.amount
    return Steps(round(share * steps / costs[0]), max(1, round((1 - share) * steps / costs[1])))


def carry_out(plan: Plan, steps: Steps, data: Data, folder: Path, device: str) -> Job[dict[str, Any]]:
    """Carry out a run.

    Parameters
    ----------
    plan, steps : Plan, Steps
        What to run, and for how long.
    data : Data
        Scenes of its season, as its arm reads them.
    folder : Path
        Empty folder for its models, ``pretrained`` and ``model``.
    device : str
        Name of the device.

    Returns
    -------
    dict
        What goes into the ledger: figures, seconds, recipe, and what the run was told.
    """
    recipe = _with_steps(plan.recipe, steps)
    scenes, seconds = scenes_of(plan, data), {}
    clock, start = _Clock(), None
    if steps.pretrain:
        start = yield from pretrain(scenes, folder / "pretrained", recipe, device=device)
        seconds["pretraining"] = clock.lap()
    model = yield from train(scenes, folder / "model", recipe, start=start, device=device)
    seconds["training"] = clock.lap()
    found = yield from _judged(model, data.tests, plan.arm, device)
    seconds["judging"] = clock.lap()
    told = {"data": data.checksum, **_told(scenes, data)}
    return {**found, "seconds": seconds, "told": told, "recipe": spelled_out(recipe)}


def _with_steps(recipe: Recipe, steps: Steps) -> Recipe:
    pretraining = replace(recipe.pretrain, steps=max(1, steps.pretrain))
    return replace(recipe, pretrain=pretraining, train=replace(recipe.train, steps=steps.train))


def _judged(folder: Path, tests: Sequence[Test], arm: Arm, device: str) -> Generator[Event, None, dict[str, Any]]:
    """Map the test scenes, and compare each map with the truth, in its pixels and in those of the images."""
    model = load_model(folder, device)
    truths = list(zip(*(test.truths for test in tests), strict=True))
    guesses: list[list[NDArray[np.int64]]] = [[] for _ in truths]
    for test in tests:
        sharp = None
        if arm.sharpen:
            sharp, _ = sharpener(folder, test.cube, model.finer, arm.sharpen, arm.sharpen_temperature, device)
        probabilities, seen = yield from _mapped(model, test.cube, sharp)
        for truth, maps in zip(test.truths, guesses, strict=True):
            index = _index(probabilities, seen, truth.grid.shape[0], arm.finer_by)
            maps.append(truth.legend.to_index(model.card.legend.to_ids(index)).astype(np.int64))
    found, *coarse = (judge(truth, guess) for truth, guess in zip(truths, guesses, strict=True))
    for again in coarse:
        found["figures"] |= {f"coarse_{k}": v for k, v in again["figures"].items() if f"coarse_{k}" in FIGURES}
    return found


def _mapped(
    model: Model, cube: SITSCube, sharp: Sharpener | None
) -> Generator[Event, None, tuple[NDArray[np.float32], NDArray[np.bool_]]]:
    """Map a scene in memory: probabilities, axes (class, y, x), and where anything was seen, axes (y, x)."""
    cube, _ = suit_cube(cube, model.card, model.network.needs.least_dates)
    shape = [model.finer * n for n in cube.shape]
    found, seen = np.zeros((len(model.card.legend), *shape), np.float32), np.zeros(shape, bool)
    step_px, margin_px = model.step_px, model.margin_px
    if sharp is not None:
        step_px, margin_px = sharp.around(step_px, margin_px)
    for strip in overlapping_tiles(cube.shape, TILE_PX, margin_px, 0, step_px, model.finer):
        for tile in strip:
            probabilities, _, there = model.answer(cube, tile.read)
            if sharp is not None:
                probabilities = sharp(probabilities, there, tile.read)
            found[:, *tile.write.slices], seen[tile.write.slices] = probabilities[:, *tile.inner], there[tile.inner]
            yield Progress("mapping", 1, 0, "tile")
    return found, seen


def _index(probabilities: NDArray[np.float32], seen: NDArray[np.bool_], rows: int, by: By) -> NDArray[np.int64]:
    """Class indices of a map in pixels so fine that it has so many rows, axes (y, x); negative where nothing was seen.

    Pixels are enlarged, or joined by the mean of their probabilities.
    """
    if rows > len(seen):
        probabilities, seen = enlarged(probabilities, seen, rows // len(seen), by)
    elif rows < len(seen):
        times = len(seen) // rows
        probabilities = probabilities.reshape(len(probabilities), rows, times, -1, times).mean((2, 4))
        seen = seen[::times, ::times]
    return np.where(seen, probabilities.argmax(0), -1)


def _told(scenes: Sequence[Scene], data: Data) -> dict[str, int]:
    """How many parcels the register has, how many of known crop, and how many pixels those have.

    Parcels are those of the register, also where a run gets other outlines on purpose.
    """
    outlined = known = pixels = 0
    for scene, register in zip(scenes, data.train, strict=True):
        at, ids = scene.labels.index() >= 0, register.labels.parcel_ids
        pixels += int(at.sum())
        if ids is not None:
            outlined += np.unique(ids[ids > 0]).size
            known += np.unique(ids[at & (ids > 0)]).size
    return {"parcels": outlined, "parcels_with_crop": known, "pixels_with_crop": pixels}


class _Clock:
    """Seconds since the last lap: of the wall, and of all threads of this process."""

    def __init__(self) -> None:
        self.last = time.perf_counter(), time.process_time()

    def lap(self) -> dict[str, float]:
        """Return them and begin anew."""
        before, self.last = self.last, (time.perf_counter(), time.process_time())
        wall, cpu = (round(now - then, 2) for now, then in zip(self.last, before, strict=True))
        return {"wall": wall, "cpu": cpu}


def step_seconds(plan: Plan, data: Data, plain_data: Data, folder: Path, device: str) -> Job[dict[str, float]]:
    """Measure the steps whose costs an arm does not state, and beside them those of the baseline's training.

    Steps are taken in turns, so that whatever else the machine does slows all of them alike. `plain_data` is the data
    as the baseline reads it.

    Returns
    -------
    dict
        Medians in seconds, drawing included: ``plain_s`` of the baseline, ``pretrain_s`` and ``train_s``. On a
        processor, in time of this process.
    """
    scenes, stages = scenes_of(plan, data), dict[str, tuple[str, Job[Path]]]()
    recipe, plainly = (_with_steps(p.recipe, Steps(WARMING + TIMED, WARMING + TIMED)) for p in (plan, plan.baseline))
    stages["plain_s"] = (
        "training",
        train(scenes_of(plan.baseline, plain_data), folder / "plain", plainly, device=device),
    )
    if not plan.costs[0]:
        stages["pretrain_s"] = "pre-training", pretrain(scenes, folder / "pretrained", recipe, device=device)
    if not plan.costs[1]:
        stages["train_s"] = "training", train(scenes, folder / "model", recipe, device=device)
    try:
        times = yield from _in_turns(stages, _now(device))
    finally:
        for _, job in stages.values():
            job.close()
    return {name: float(np.median(values[WARMING:])) for name, values in times.items()}


def _in_turns(
    stages: Mapping[str, tuple[str, Job[Path]]], now: Callable[[], float]
) -> Generator[Event, None, dict[str, list[float]]]:
    """Advance jobs of training by one step each, again and again; return the times of all steps."""
    times: dict[str, list[float]] = {name: [] for name in stages}
    for _ in range(WARMING + TIMED):
        for name, (stage, job) in stages.items():
            start = now()
            for event in job:
                yield event
                if isinstance(event, Progress) and event.stage == stage:
                    break
            times[name].append(now() - start)
    return times


def _now(device: str) -> Callable[[], float]:
    """Clock that suits a device; a GPU is waited for."""
    if pick(device).type == "cpu":
        return time.process_time
    if pick(device).type == "cuda":
        return _waited
    return time.perf_counter


def _waited() -> float:
    torch.cuda.synchronize()
    return time.perf_counter()


def device_name(device: str) -> str:
    """Say what a device is, for the ledger."""
    where = pick(device)
    if where.type == "cuda":
        return torch.cuda.get_device_name(where)
    return f"one thread of {processor()}" if where.type == "cpu" else where.type


def processor() -> str:
    """Model of the processor, as far as the system says."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        lines = []
    named = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return (named or [platform.processor() or platform.machine()])[0]
