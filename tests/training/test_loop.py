"""The loop on its own, with the least that it asks of networks and batches."""

import itertools
from collections.abc import Generator
from pathlib import Path
from typing import Any

import pytest
import torch
import toys
from torch import nn

from cscl.events import Note, run
from cscl.training.loop import Learner, fit, learning_rate


def test_kept_weights_are_those_of_the_best_look_head_and_network_alike() -> None:
    recipe = toys.QUICK.with_settings(["train.ema=0.5", "train.steps=3"])
    modules = nn.ModuleDict({"network": nn.BatchNorm1d(2), "head": nn.Linear(2, 1)})
    learner = Learner.start(modules, recipe.train)
    kept: list[dict[str, torch.Tensor]] = []

    def objective(batch: torch.Tensor) -> Any:
        return modules["head"](modules["network"](batch)).square().mean(), {}

    def score(network: nn.Module) -> Generator[Any, None, dict[str, float]]:
        kept.append({k: v.clone() for k, v in modules.state_dict().items()})
        yield Note("looking")
        return {"score": [0.2, 0.7, 0.4][len(kept) - 1]}

    draw: Any = lambda step, size: Numbers(torch.arange(8.0).reshape(4, 2) + step)  # noqa: E731
    args = (draw, objective, Path("never"), torch.device("cpu"))
    run(fit("training", learner, recipe.train, *args, seed=0, validate=score, validate_every=1))
    for part in ("network", "head"):
        for name, value in learner.result(part).items():
            assert torch.equal(value, kept[1][f"{part}.{name}"])
    running, average = modules["network"].running_mean, learner.weights()["network.running_mean"]
    assert average.mean() < running.mean(), "buffers are averaged too: they lag behind rising inputs"


class Numbers:
    """The least that the loop asks of a batch."""

    def __init__(self, values: torch.Tensor) -> None:
        self.values = values

    def map(self, change: Any) -> torch.Tensor:
        return change(self.values)


def test_the_rate_rises_then_falls_to_a_hundredth() -> None:
    settings = toys.QUICK.with_settings(["train.steps=100", "train.learning_rate=0.01"]).train
    rates = [learning_rate(step, settings) for step in range(100)]
    assert rates[0] == pytest.approx(0.01 / 15) and max(rates) == rates[14] == pytest.approx(0.01)
    assert all(b < a for a, b in itertools.pairwise(rates[15:])) and rates[-1] < 0.0002
