"""The loop on its own, with the least that it asks of networks and batches."""

import itertools
from collections.abc import Generator
from pathlib import Path
from typing import Any

import pytest
import torch
import toys
from torch import nn

from cscl.data.network import save_weights
from cscl.errors import MemoryLimitError, OutputError
from cscl.events import Note, run
from cscl.training.checkpoint import save_state
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


CPU_IS_FULL = "[enforce fail at alloc_cpu.cpp:117] DefaultCPUAllocator: can't allocate memory: you tried to allocate 9"


@pytest.mark.parametrize("full", [RuntimeError(CPU_IS_FULL), MemoryError(), torch.OutOfMemoryError("CUDA")])
def test_a_full_memory_is_told_with_the_batch_that_fits(full: Exception) -> None:
    settings = toys.QUICK.with_settings(["train.batch=24"]).train
    modules = nn.ModuleDict({"network": nn.BatchNorm1d(2)})
    learner = Learner.start(modules, settings)
    before = {k: v.clone() for k, v in learner.modules.state_dict().items()}

    def objective(batch: torch.Tensor) -> Any:
        output = modules["network"](batch).square().mean()
        if len(batch) > 7:
            raise full
        return output, {}

    draw: Any = lambda step, size: Numbers(torch.arange(2.0 * size).reshape(size, 2))  # noqa: E731
    job = fit("training", learner, settings, draw, objective, Path("never"), torch.device("cpu"), seed=0)
    with pytest.raises(MemoryLimitError, match=r"24 samples\. One on 6 fits: set train\.batch=6\.") as told:
        run(job)
    assert (told.value.batch, told.value.setting) == (6, "train.batch") and not Path("never").exists()
    after = modules.state_dict()
    assert torch.equal(after["network.weight"], before["network.weight"])
    assert after["network.num_batches_tracked"] == 1, "the step that failed; looking for a batch leaves no trace"
    with pytest.raises(RuntimeError, match="another"):
        run(fit("training", learner, settings, draw, Failing(), Path("never"), torch.device("cpu"), seed=0))


class Failing:
    def __call__(self, batch: torch.Tensor) -> Any:
        raise RuntimeError("another error goes on")


def test_the_rate_rises_then_falls_to_a_hundredth() -> None:
    settings = toys.QUICK.with_settings(["train.steps=100", "train.learning_rate=0.01"]).train
    rates = [learning_rate(step, settings) for step in range(100)]
    assert rates[0] == pytest.approx(0.01 / 15) and max(rates) == rates[14] == pytest.approx(0.01)
    assert all(b < a for a, b in itertools.pairwise(rates[15:])) and rates[-1] < 0.0002


def test_a_full_disk_is_said_and_leaves_the_former_file(tmp_path: Path) -> None:
    resource = pytest.importorskip("resource", reason="this system cannot limit the size of files")
    weights = {"weights": torch.zeros(100_000)}
    former = resource.getrlimit(resource.RLIMIT_FSIZE)
    for name, save in (("checkpoint.pt", save_state), ("network.safetensors", save_weights)):
        (tmp_path / name).write_text("former")
        try:
            resource.setrlimit(resource.RLIMIT_FSIZE, (10_000, former[1]))
            with pytest.raises(OutputError, match=f"{name} .*Make room on the disk"):
                save(weights, tmp_path / name)
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, former)
    assert [path.read_text() for path in tmp_path.iterdir()] == ["former", "former"]


def test_the_precision_of_a_recipe_reaches_the_sums_and_float32_the_loss() -> None:
    for precision, kind in (("auto", torch.float32), ("float32", torch.float32), ("bfloat16", torch.bfloat16)):
        settings = toys.QUICK.with_settings([f"train.precision={precision}", "train.steps=1"]).train
        modules = nn.ModuleDict({"network": nn.Linear(2, 3)})
        kinds = []

        def objective(batch: torch.Tensor, modules: nn.ModuleDict = modules, kinds: list[Any] = kinds) -> Any:
            out = modules["network"](batch)
            kinds.append(out.dtype)
            return out.float().square().mean(), {}

        draw: Any = lambda step, size: Numbers(torch.arange(8.0).reshape(4, 2) + step)  # noqa: E731
        run(fit("training", Learner.start(modules, settings), settings, draw, objective, Path("never"),
                torch.device("cpu"), seed=0))  # fmt: skip
        assert kinds == [kind]
        assert modules["network"].weight.dtype == torch.float32


def test_a_checkpoint_of_the_optimiser_in_parts_goes_on_alike() -> None:
    """As they were written before the optimiser worked on all weights at once."""
    settings = toys.QUICK.train
    weights = [nn.ModuleDict({"network": nn.Linear(3, 3)}) for _ in range(2)]
    weights[1].load_state_dict(weights[0].state_dict())
    former = torch.optim.AdamW(weights[0].parameters(), lr=settings.learning_rate, weight_decay=settings.weight_decay)
    now = Learner.start(weights[1], settings)
    for _ in range(3):
        for modules, optimiser in ((weights[0], former), (weights[1], now.optimiser)):
            optimiser.zero_grad()
            modules["network"](torch.arange(6.0).reshape(2, 3)).square().sum().backward()
            optimiser.step()
    for name, value in weights[0].state_dict().items():
        torch.testing.assert_close(weights[1].state_dict()[name], value, rtol=1e-5, atol=1e-7)
    now.restore({**now.state(), "optimiser": former.state_dict()}, torch.device("cpu"))
    weights[1]["network"](torch.ones(2, 3)).sum().backward()
    now.optimiser.step()
