"""The training loop, in plain sight. Everything random in a step follows from the seed and the step's number."""

from __future__ import annotations

import contextlib
import math
import time
from collections.abc import Callable, Generator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import Any

import torch
from torch import Tensor, nn

from cscl.data.batches import Batch
from cscl.device import autocast, memory_is_full
from cscl.errors import MemoryLimitError
from cscl.events import Event, Finish, Measure, Progress
from cscl.recipe import StageSettings

from . import team
from .ahead import drawn_ahead
from .checkpoint import load_state, require_same_run, save_state

__all__ = ["Learner", "fit", "learning_rate", "train_step"]

REPORT_EVERY = 10
CHECKPOINT_EVERY_S = 60.0

Objective = Callable[[Batch], tuple[Tensor, Mapping[str, Tensor]]]
Validation = Callable[[nn.Module], Generator[Event, None, dict[str, float]]]


@dataclass
class Learner:
    """All that changes while a network learns; `state` and `restore` are what a checkpoint holds.

    Parameters
    ----------
    modules : nn.ModuleDict
        ``network`` and, where the loss learns too, ``head``.
    optimiser : torch.optim.Optimizer
        Over the parameters of both.
    ema : float
        Share of the former average that is kept in each step; 0 for no averaging.
    precision : str
        Of the sums in the network, see `cscl.device.autocast`.
    best, averages : dict or None
        Weights and buffers of all modules: those of the best look at the validation blocks, and the running averages.
    looked, waited : int
        Step of the last look, and looks since the best one.
    sums : dict
        Measures added up since the last report.
    """

    modules: nn.ModuleDict
    optimiser: torch.optim.Optimizer
    ema: float = 0.0
    precision: str = "auto"
    step: int = 0
    best_score: float = -math.inf
    best: dict[str, Tensor] | None = None
    looked: int = 0
    waited: int = 0
    averages: dict[str, Tensor] | None = None
    sums: dict[str, Tensor] = field(default_factory=dict)
    history: list[dict[str, float]] = field(default_factory=list)

    @classmethod
    def start(cls, modules: nn.ModuleDict, settings: StageSettings) -> Learner:
        """Begin with fresh optimiser state."""
        optimiser = torch.optim.AdamW(
            modules.parameters(), lr=settings.learning_rate, weight_decay=settings.weight_decay, fused=True
        )
        return cls(modules, optimiser, settings.ema, settings.precision)

    def average(self) -> None:
        """Move the averages towards the present weights and buffers; less of the first steps stays than of later ones.

        The share kept rises as ``(1 + step) / (10 + step)`` up to `ema`, so that short runs are averaged too.
        """
        if not self.ema:
            return
        now = self.modules.state_dict()
        if self.averages is None:
            self.averages = {k: v.clone() for k, v in now.items()}
            return
        kept = min(self.ema, (1 + self.step) / (10 + self.step))
        for name, value in now.items():
            if value.is_floating_point():
                self.averages[name].lerp_(value, 1 - kept)
            else:
                self.averages[name].copy_(value)

    def weights(self) -> dict[str, Tensor]:
        """Weights and buffers of all modules to use now: averaged if they are averaged."""
        source = self.averages if self.averages is not None else self.modules.state_dict()
        return {name: tensor.detach().clone() for name, tensor in source.items()}

    def result(self, module: str) -> dict[str, Tensor]:
        """Weights of a module to keep: of the best look at the validation blocks if there was one, else of the end."""
        prefix = f"{module}."
        kept = self.best or self.weights()
        return {name.removeprefix(prefix): tensor for name, tensor in kept.items() if name.startswith(prefix)}

    def state(self) -> dict[str, Any]:
        """Return all of it as tensors and plain values."""
        names = ("step", "best_score", "best", "looked", "waited", "averages", "sums", "history")
        plain = {name: getattr(self, name) for name in names}
        return {"modules": self.modules.state_dict(), "optimiser": self.optimiser.state_dict(), **plain}

    def restore(self, state: Mapping[str, Any], device: torch.device) -> None:
        """Take up a state that `state` gave."""
        state = dict(state)
        self.modules.load_state_dict(state.pop("modules"))
        self.optimiser.load_state_dict(state.pop("optimiser"))
        for name, value in state.items():
            moved = (
                {k: v.to(device) for k, v in value.items()} if name in ("best", "averages", "sums") and value else value
            )
            setattr(self, name, moved)


def learning_rate(step: int, settings: StageSettings) -> float:
    """Rate of a step: a linear rise over the first 15 % of the steps, then half a cosine down to 1 % of the peak."""
    rise = max(1, round(0.15 * settings.steps))
    if step < rise:
        return settings.learning_rate * (step + 1) / rise
    fall = (step - rise) / max(1, settings.steps - rise)
    return settings.learning_rate * (0.01 + 0.99 * 0.5 * (1 + math.cos(math.pi * fall)))


def fit(
    stage: str,
    learner: Learner,
    settings: StageSettings,
    draw: Callable[[int, int], Batch],
    objective: Objective,
    checkpoint: Path,
    device: torch.device,
    *,
    seed: int,
    facts: Mapping[str, str] = MappingProxyType({}),
    validate: Validation | None = None,
    validate_every: int = 1,
    patience: int = 0,
) -> Generator[Event, None, None]:
    """Train until the last step, until validation has not improved for `patience` looks, or until a `Finish`.

    Parameters
    ----------
    stage : str
        Name of the stage in events.
    learner : Learner
        What learns; changed in place. If a checkpoint file exists it is taken up first.
    draw : callable
        ``draw(step, size)`` makes the batch of a step.
    objective : callable
        ``objective(batch)`` returns the loss, a scalar, and detached measures.
    checkpoint : Path
        Written every minute, and when the job is closed; a run taken up from it repeats what it would have done.
    facts : mapping
        What makes this run this run; a checkpoint of another one is refused.
    validate : callable, optional
        Job that returns measures, among them ``score``; the best-scoring weights are kept.

    Raises
    ------
    MemoryLimitError
        If the memory does not hold a step; `batch` of the error is what it does hold.
    """
    if checkpoint.is_file():
        state = load_state(checkpoint)
        require_same_run(facts, state.pop("facts", {}), checkpoint)
        learner.restore(state, device)
    team.alike(learner, device)
    objective, validate = team.spread(objective, learner.modules), team.judged_once(validate)
    saved = time.monotonic()
    try:
        with drawn_ahead(draw, settings.steps, device) as draw:
            try:
                while True:
                    due = learner.step and (learner.step % validate_every == 0 or learner.step == settings.steps)
                    if validate and due and learner.looked < learner.step:  # also what a closed job left to do
                        yield from _look(stage, learner, validate)
                    if learner.step >= settings.steps or (patience and learner.waited >= patience):
                        return
                    measures = _step(learner, settings, draw, objective, device, seed)
                    if measures is None:
                        raise (yield from _too_large(stage, learner, settings, draw, objective, device))
                    _add(learner.sums, measures)
                    if learner.step % REPORT_EVERY == 0 or learner.step == settings.steps:
                        yield _report(stage, learner)
                    yield Progress(stage, learner.step, settings.steps)
                    if time.monotonic() - saved > CHECKPOINT_EVERY_S:
                        save_state({**learner.state(), "facts": dict(facts)}, checkpoint)
                        saved = time.monotonic()
            except Finish:
                yield from _end_early(stage, learner, validate)
    except GeneratorExit:
        save_state({**learner.state(), "facts": dict(facts)}, checkpoint)
        raise


def _end_early(stage: str, learner: Learner, validate: Validation | None) -> Generator[Event, None, None]:
    """Report the last steps and look at the validation blocks once more; a second `Finish` skips the look."""
    with contextlib.suppress(Finish):
        if learner.sums:
            yield _report(stage, learner)
        if validate and learner.looked < learner.step:
            yield from _look(stage, learner, validate)


def _step(
    learner: Learner, settings: StageSettings, draw: Callable[[int, int], Batch], objective: Objective,
    device: torch.device, seed: int,
) -> dict[str, Tensor] | None:  # fmt: skip
    """Take the next step; None if the memory does not hold it. What it held is free again on return."""
    number, _ = team.part() or (0, 1)
    # Dropout, too, follows from the step, and differs among processes.
    torch.manual_seed((seed * 1_000_003 + learner.step + number * 7_368_787) % 2**63)
    rate = learning_rate(learner.step, settings)
    try:
        return train_step(learner, draw(learner.step, settings.batch), objective, device, rate, settings.clip)
    except Exception as error:
        if not memory_is_full(error):
            raise
    return None


def _too_large(
    stage: str, learner: Learner, settings: StageSettings, draw: Callable[[int, int], Batch], objective: Objective,
    device: torch.device,
) -> Generator[Event, None, MemoryLimitError]:  # fmt: skip
    """Halve the batch until one fits, and return the error that says so."""
    key = "pretrain.batch" if stage == "pre-training" else "train.batch"
    size = settings.batch // 2
    while size and not _fits(learner, draw(learner.step, size), objective, device):
        yield Progress("finding the batch that fits", settings.batch // size, settings.batch, "part")
        size //= 2
    what = f"The memory of the device '{device}' does not hold a step on {settings.batch} samples"
    if size:
        return MemoryLimitError(f"{what}. One on {size} fits: set {key}={size}.", size, key)
    return MemoryLimitError(f"{what}, nor on a single one. Set data.patch_px or data.dates lower, or use the CPU.")


def _fits(learner: Learner, batch: Batch, objective: Objective, device: torch.device) -> bool:
    """Whether the memory holds the gradients of a batch; weights and buffers stay as they are."""
    before = {k: v.clone() for k, v in learner.modules.state_dict().items()}
    try:
        learner.optimiser.zero_grad(set_to_none=True)
        with autocast(device, learner.precision):
            loss, _ = objective(batch.map(lambda t: t.to(device)))
        loss.backward()  # type: ignore[no-untyped-call]
    except Exception as error:
        if not memory_is_full(error):
            raise
        return False
    finally:
        learner.optimiser.zero_grad(set_to_none=True)
        learner.modules.load_state_dict(before)
    return True


def train_step(
    learner: Learner, batch: Batch, objective: Objective, device: torch.device, rate: float, clip: float
) -> dict[str, Tensor]:
    """Take one gradient step at a learning rate, with gradients of at most norm `clip` (0 for no limit).

    Returns
    -------
    dict
        The loss and the objective's measures, detached.
    """
    batch = batch.map(lambda t: t.to(device, non_blocking=True))
    for group in learner.optimiser.param_groups:
        group["lr"] = rate
    learner.modules.train()
    with autocast(device, learner.precision):
        loss, measures = objective(batch)
    learner.optimiser.zero_grad(set_to_none=True)
    loss.backward()  # type: ignore[no-untyped-call]
    if clip:
        nn.utils.clip_grad_norm_(learner.modules.parameters(), clip)
    learner.optimiser.step()
    learner.step += 1
    learner.average()
    return {"loss": loss.detach(), **measures}


def _add(sums: dict[str, Tensor], measures: Mapping[str, Tensor]) -> None:
    for name, value in {**measures, "count": torch.ones(())}.items():
        sums[name] = sums[name] + value if name in sums else value


def _report(stage: str, learner: Learner) -> Measure:
    count = float(learner.sums.pop("count"))
    values = {name: float(value) / count for name, value in team.averaged(learner.sums).items()}
    learner.sums.clear()
    learner.history.append({"step": learner.step, **values})
    return Measure(stage, learner.step, values)


def _look(stage: str, learner: Learner, validate: Validation) -> Generator[Event, None, None]:
    """Score the weights to use; whatever happens, learning goes on with the present ones."""
    now = {k: v.clone() for k, v in learner.modules.state_dict().items()}
    try:
        learner.modules.load_state_dict(learner.weights())
        learner.modules.eval()
        values = yield from validate(learner.modules["network"])
    finally:
        learner.modules.load_state_dict(now)
    learner.looked = learner.step
    learner.history.append({"step": learner.step, **{f"validation_{k}": v for k, v in values.items() if k != "score"}})
    if values["score"] > learner.best_score:
        learner.best_score, learner.best, learner.waited = values["score"], learner.weights(), 0
    else:
        learner.waited += 1
    yield Measure(f"{stage} validation", learner.step, values)
