"""Both stages as one job: finished early, stopped and gone on with."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import toys
from safetensors.numpy import load_file

from cscl.card import ModelCard
from cscl.data.commands import Run
from cscl.errors import InputError
from cscl.events import Finish, Progress, run
from cscl.legend import Legend
from cscl.products import Scene
from cscl.recipe import build
from cscl.training.choices import choices
from cscl.training.stages import carry_out, is_unfinished

RECIPE = toys.QUICK.with_settings(["pretrain.steps=4", "train.steps=4", "train.validate_every=2"])


def meant(folder: Path) -> Run:
    return Run(Path("images"), Path("labels"), folder / "m", RECIPE, device="cpu")


def until(job: Any, stage: str, step: int) -> None:
    for event in job:
        if isinstance(event, Progress) and event.stage == stage and event.done >= step:
            return


@pytest.mark.parametrize(
    ("stage", "folder"), [("pre-training", "m-pretrained"), ("splitting", "m-pretrained"), ("training", "m")]
)
def test_told_to_finish_it_returns_the_last_model(stage: str, folder: str, tmp_path: Path) -> None:
    job = carry_out(meant(tmp_path), [toys.scene()])
    until(job, "pre-training", 4 if stage == "splitting" else 2)
    if stage != "pre-training":
        until(job, stage, 1)
    with pytest.raises(StopIteration) as end:
        job.throw(Finish())
        while True:
            next(job)
    assert end.value.value == tmp_path / folder and ModelCard.open(end.value.value).steps
    assert not list(tmp_path.glob("*.part"))


@pytest.mark.parametrize("stage", ["pre-training", "training"])
def test_a_stopped_run_goes_on_where_it_was(stage: str, tmp_path: Path) -> None:
    whole = run(carry_out(replace(meant(tmp_path), out=tmp_path / "whole"), [toys.scene()]))
    job = carry_out(meant(tmp_path), [toys.scene()])
    until(job, stage, 3)
    job.close()
    assert is_unfinished(meant(tmp_path).pretrained if stage == "pre-training" else meant(tmp_path).out)
    again = run(carry_out(meant(tmp_path), [toys.scene()], resume=True))
    wanted = load_file(whole / "network.safetensors")
    assert all(np.array_equal(value, wanted[key]) for key, value in load_file(again / "network.safetensors").items())


def test_labels_of_one_class_are_refused_before_pretraining(tmp_path: Path) -> None:
    scene = toys.scene()
    labels = replace(scene.labels, legend=Legend(toys.LEGEND.classes[:1]))
    with pytest.raises(InputError, match="fewer than two classes"):
        next(carry_out(meant(tmp_path), [Scene(scene.cube, labels)]))
    assert not list(tmp_path.iterdir())


def test_all_that_is_registered_can_be_chosen() -> None:
    assert {"compact", "unet3df"} <= set(choices()["model"])
    assert "cscl" in choices()["pretrain.loss"] and "cscl" not in choices()["train.loss"]
    for options in (o for things in choices().values() for o in things.values()):
        assert build(options, {}, "here") == options()
