"""Pre-training and training one after the other, as a `Run` says."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from cscl.card import ModelCard
from cscl.data.commands import Run
from cscl.errors import InputError
from cscl.events import Finish, Job
from cscl.products import Scene

from .checkpoint import Workplace
from .pretrain import pretrain
from .segment import train

__all__ = ["carry_out", "is_unfinished"]


def carry_out(run: Run, scenes: Sequence[Scene], *, resume: bool = False) -> Job[Path]:
    """Make the model of a run.

    A `cscl.events.Finish` ends it with what there is: in pre-training, and before the first step of training, with the
    pre-trained model.

    Parameters
    ----------
    run : Run
        Settings, stages and folders.
    scenes : sequence of Scene
        Images and labels; those that `run` names are not opened here.
    resume : bool
        Go on with an unfinished run of these folders; without it what is unfinished is dropped, if `run.overwrite`.

    Raises
    ------
    CSCLError
        As `pretrain` and `train` do.
    """
    start = run.start
    if run.training and max(len(scene.labels.legend) for scene in scenes) < 2:
        raise InputError(  # before hours of pre-training
            f"The labels {scenes[0].labels.name} know fewer than two classes, so there is nothing to tell apart. Check "
            "the class column, or only pre-train on the outlines."
        )
    if run.pretraining:
        if resume and (run.pretrained / "card.json").is_file():
            start = run.pretrained
        else:
            start = yield from pretrain(
                scenes, run.pretrained, run.recipe, device=run.device,
                resume=resume and is_unfinished(run.pretrained), overwrite=run.overwrite,
            )  # fmt: skip
        if not run.training or ModelCard.open(start).steps < run.recipe.pretrain.steps:
            return start
    try:
        return (
            yield from train(
                scenes, run.out, run.recipe, start=start, device=run.device,
                resume=resume and is_unfinished(run.out), overwrite=run.overwrite,
            )
        )  # fmt: skip
    except Finish:
        if run.pretraining and start is not None:
            return Path(start)
        raise


def is_unfinished(out: Path) -> bool:
    """Whether a run into this folder was stopped and can be gone on with."""
    return Workplace(out).checkpoint.is_file()
