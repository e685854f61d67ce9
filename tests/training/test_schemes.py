"""Pre-training schemes that read views: no label, no pixel of what is held back, and the same model folder."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import toys
from safetensors.numpy import load_file
from toyviews import STILL

from cscl.card import ModelCard
from cscl.data.network import build_network
from cscl.data.split import Side
from cscl.errors import InputError
from cscl.events import Measure, Progress, run
from cscl.grid import Window
from cscl.inference.embed import affinity
from cscl.inference.window import WindowHead
from cscl.losses import losses
from cscl.products import Scene
from cscl.recipe import Recipe
from cscl.training.needs import needs
from cscl.training.prepare import prepare
from cscl.training.pretrain import pretrain
from cscl.training.save import split_of
from cscl.training.schemes import scheme_of
from cscl.training.segment import train

SCHEMES = [name for name in losses.names() if losses.get(name).reads == "views"]


def recipe_of(scheme: str, *settings: str) -> Recipe:
    return toys.QUICK.with_settings([f"pretrain.loss={scheme}", "pretrain.steps=20", *settings])


def unlabelled(scene: Scene) -> Scene:
    ids = np.full_like(scene.labels.ids, scene.labels.legend.ignore)
    return Scene(scene.cube, replace(scene.labels, ids=ids, parcel_ids=None))


@pytest.fixture(scope="module", params=SCHEMES)
def scheme(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(scope="module")
def pretrained(scheme: str, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[Measure]]:
    out, seen = tmp_path_factory.mktemp("models") / scheme, list[Measure]()
    job = pretrain([unlabelled(toys.scene())], out, recipe_of(scheme), device="cpu")
    run(job, lambda e: seen.append(e) if isinstance(e, Measure) else None)
    return out, seen


def test_a_model_is_made_without_any_label(scheme: str, pretrained: tuple[Path, list[Measure]]) -> None:
    folder, seen = pretrained
    card = ModelCard.open(folder)
    assert card.stage == "pretrained" and card.head == {"loss": {"name": scheme}, "target": "views"}
    assert seen[-1].values["loss"] < seen[0].values["loss"] and (folder / "head.safetensors").is_file()
    assert Recipe.open(folder / "recipe.toml") == recipe_of(scheme) == card.recipe


def test_training_starts_from_all_of_it_but_the_classifier(pretrained: tuple[Path, Any], tmp_path: Path) -> None:
    still = ["train.steps=1", "train.learning_rate=1e-7", "train.weight_decay=0.0", "seed=1"]
    folder = run(
        train([toys.scene()], tmp_path / "m", toys.QUICK.with_settings(still), start=pretrained[0], device="cpu")
    )
    before, after = (load_file(f / "network.safetensors") for f in (pretrained[0], folder))
    learnt = [k for k in before if not k.startswith("classify.") and "running" not in k and "num_batches" not in k]
    assert set(before) == set(after) and all(np.allclose(before[k], after[k], atol=1e-6) for k in learnt)
    assert (folder / "head.safetensors").read_bytes() == (pretrained[0] / "head.safetensors").read_bytes()


def test_a_killed_run_resumes_bit_for_bit(scheme: str, pretrained: tuple[Path, Any], tmp_path: Path) -> None:
    again = recipe_of(scheme)
    job = pretrain([unlabelled(toys.scene())], tmp_path / "m", again, device="cpu")
    for event in job:
        if isinstance(event, Progress) and event.stage == "pre-training" and event.done >= 7:
            break
    job.close()
    folder = run(pretrain([unlabelled(toys.scene())], tmp_path / "m", again, device="cpu", resume=True))
    for name in ("network.safetensors", "head.safetensors", "log.csv"):
        assert (folder / name).read_bytes() == (pretrained[0] / name).read_bytes(), name


def test_pixels_that_are_held_back_are_not_learnt_from(scheme: str, tmp_path: Path) -> None:
    still = [f"pretrain.loss.{name}={value}" for name, value in vars(STILL).items() if value == 0]
    recipe, scene = recipe_of(scheme, *still), toys.scene(gap=False)
    training = run(prepare([scene], recipe, tmp_path / "m")).sources[0].side_YX == Side.TRAIN
    scene.cube.stored.values[:, 0] = np.where(training, 1000, 9000)
    prepared = run(prepare([scene], recipe, tmp_path / "m"))
    made = scheme_of(prepared, recipe.pretrain, build_network(prepared.card)[0])
    told = []
    for step in range(4):
        pair = made.draw(step, 4).pair
        assert torch.equal(made.draw(step, 4).pair.first.x_BTCHW, pair.first.x_BTCHW), "the step says what is drawn"
        told += [view.x_BTCHW[:, 0, 0][view.use_BHW] for view in (pair.first, pair.second)]
        assert not all(view.use_BHW.all() for view in (pair.first, pair.second)), "others are seen as surroundings"
    assert torch.cat(told).std() < 1e-4


def test_what_a_run_takes_is_estimated(scheme: str, tmp_path: Path) -> None:
    small, large = (
        run(needs(toys.scene(), tmp_path, recipe_of(scheme, f"pretrain.batch={n}"), training=False, device="cpu"))
        for n in (8, 64)
    )
    assert large.memory_bytes > small.memory_bytes > 40e6 and large.seconds and small.seconds


def test_what_needs_the_cscl_head_says_that_there_is_none(pretrained: tuple[Path, Any]) -> None:
    assert WindowHead.open(pretrained[0]) is None
    with pytest.raises(InputError, match="compares no neighbours"):
        affinity(pretrained[0], toys.scene().cube, Window(0, 0, 8, 8), device="cpu")
    job = train(
        [toys.scene()], pretrained[0].with_name("x"), recipe_of("glcnet", "train.joint_weight=0.1"), device="cpu"
    )
    with pytest.raises(InputError, match="reads the views"):
        run(job)


def test_a_scene_no_larger_than_a_view_will_do(scheme: str, tmp_path: Path) -> None:
    recipe = recipe_of(
        scheme, "data.patch_px=32", "data.test_share=0.0", "data.validation_share=0.0", "pretrain.steps=1"
    )
    folder = run(pretrain([toys.scene(32)], tmp_path / "m", recipe, device="cpu"))
    assert (split_of(folder, toys.scene(32).cube.grid) == Side.TRAIN).all()
