"""Attention to neighbours from pre-training to map: its head is the pre-training's, and any stage goes on with it."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import toys
from safetensors.numpy import load_file

from cscl.card import ModelCard
from cscl.events import run
from cscl.inference.predict import predict
from cscl.training.finetune import FinetuneOptions, finetune
from cscl.training.pretrain import pretrain
from cscl.training.segment import train

FEW = toys.QUICK.with_settings(["pretrain.loss.window=5", "pretrain.steps=12", "train.steps=12"])


@pytest.fixture(scope="module")
def pretrained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return run(pretrain([toys.scene()], tmp_path_factory.mktemp("m") / "start", FEW, device="cpu"))


def weights(folder: Path, name: str = "network") -> dict[str, Any]:
    return load_file(folder / f"{name}.safetensors")


def test_training_with_attention_takes_the_head_and_its_window_from_the_pretraining(
    pretrained: Path, tmp_path: Path
) -> None:
    recipe = toys.QUICK.with_settings(["aggregate=true", "train.steps=1", "train.learning_rate=1e-7"])
    card = ModelCard.open(run(train([toys.scene()], tmp_path / "m", recipe, start=pretrained, device="cpu")))
    assert card.recipe.aggregate and card.recipe.pretrain.loss.options["window"] == 5
    head, found = weights(pretrained, "head"), weights(tmp_path / "m")
    for name, before in head.items():
        np.testing.assert_allclose(found[f"attend.{name}"], before, atol=1e-5, err_msg=name)


def test_a_model_with_attention_maps_goes_on_and_is_fine_tuned(pretrained: Path, tmp_path: Path) -> None:
    recipe = FEW.with_settings(["aggregate=true"])
    first = run(train([toys.scene()], tmp_path / "first", recipe, start=pretrained, device="cpu"))
    assert np.abs(weights(first)["attend.value.weight"]).max() > 0
    small = FEW.with_settings(["train.steps=1", "train.learning_rate=1e-7"])
    second = run(train([toys.scene()], tmp_path / "second", small, start=first, device="cpu"))
    assert ModelCard.open(second).recipe.aggregate, "a network that attends goes on doing so"
    for name, before in weights(first).items():
        if "running" not in name and "tracked" not in name:
            np.testing.assert_allclose(weights(second)[name], before, atol=1e-5, err_msg=name)
    region = np.zeros((64, 64), bool)
    region[8:40, 8:40] = True
    tuned = run(finetune(toys.scene(), second, tmp_path / "tuned", region, FinetuneOptions(steps=2), device="cpu"))
    made = run(predict(tuned, toys.scene().cube, tmp_path / "map", device="cpu"))
    assert (made.ids.values != toys.LEGEND.ignore).mean() > 0.9
