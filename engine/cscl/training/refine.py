"""Fine-tuning with its consequences: learn in a region, map it and then the scene again, and compare with before."""

from __future__ import annotations

import shutil
from collections.abc import Generator
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from cscl.card import ModelCard
from cscl.data.region import in_legend, require_plain, window_of
from cscl.data.split import Side
from cscl.events import Event, Finish, Job, Preview
from cscl.inference.compare import Comparison, compare
from cscl.inference.predict import PredictOptions, predict
from cscl.products import Prediction, Scene

from .finetune import FinetuneOptions, finetune
from .save import split_of

__all__ = ["Refined", "refine"]

R = TypeVar("R")
LOOK_PX = 64  # a first look reads this much more on each side than the region: no registered network sees farther


@dataclass(frozen=True, eq=False)
class Refined:
    """A fine-tuned model folder, the map before and after, and how they compare."""

    model: Path
    before: Prediction
    after: Prediction
    comparison: Comparison


def refine(
    scene: Scene,
    model: str | Path,
    out: str | Path,
    region: NDArray[np.bool_],
    maps: str | Path,
    options: FinetuneOptions | None = None,
    *,
    before: Prediction | None = None,
    mapping: PredictOptions | None = None,
    device: str = "auto",
    overwrite: bool = False,
) -> Job[Refined]:
    """Fine-tune a model on a region, then map the region and the scene with it and say what changed.

    Parameters
    ----------
    scene, model, out, region, options, device, overwrite
        As for `cscl.training.finetune.finetune`.
    maps : path
        Folder for the maps; what it holds of an earlier run is replaced.
    before : Prediction, optional
        The scene's map by `model`; made if it is not given.
    mapping : PredictOptions, optional
        How maps are made.

    Returns
    -------
    Refined
        Where the scene is much larger than the region, a `Preview` named ``region`` comes before: the new class ids
        in the window around the region, `cscl.data.region.window_of`, axes (y, x).

    Raises
    ------
    CSCLError
        As `finetune` and `predict`.

    Notes
    -----
    A `Finish` ends the learning only: the maps are made all the same. Closed early, nothing of it is left.
    """
    out, maps = Path(out), Path(maps)
    require_plain(Path(model), ModelCard.open(model))  # before a map is made
    if before is None:
        before = yield from predict(model, scene.cube, maps / "before", mapping, device=device, overwrite=True)
    tuned = yield from finetune(scene, model, out, region, options, device=device, overwrite=overwrite)
    try:
        window = window_of(region)
        around = window.grown(LOOK_PX, scene.cube.shape, LOOK_PX)
        if around.height * around.width < 0.5 * region.size:
            cube = scene.cube.select(window=around)
            look = yield from _to_the_end(predict(tuned, cube, maps / "region", mapping, device=device, overwrite=True))
            yield Preview("mapping", "region", look.read(window.within(around))[0])
        after = yield from _to_the_end(
            predict(tuned, scene.cube, maps / "after", mapping, device=device, overwrite=True)
        )
        held = region & (split_of(tuned, scene.cube.grid) == Side.VALIDATION)
        labels = in_legend(scene.labels, after.legend, np.ones_like(region))  # maps and labels meet by id
        comparison = yield from _to_the_end(compare(before, after, labels, region, held))
    except BaseException:
        shutil.rmtree(tuned, ignore_errors=True)
        raise
    return Refined(tuned, before, after, comparison)


def _to_the_end(job: Job[R]) -> Generator[Event, None, R]:
    """Drive a job that a `Finish` does not end."""
    try:
        while True:
            event = next(job)
            try:
                yield event
            except Finish:
                continue
    except StopIteration as end:
        result: R = end.value
        return result
    finally:
        job.close()
