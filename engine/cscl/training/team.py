"""Training by several processes at once, started by torchrun, a GPU each: every process takes its part of a batch.

All of them run the same commands. The first writes the model; the others work in a folder that goes with them.
Gradients, the normalisers of losses, and on GPUs the norms of batches too, are those of the whole batch, so a run does
not depend on how many share it, but for rounding and dropout. On a CPU each norms its part by itself.
"""

from __future__ import annotations

import contextlib
import datetime as dt
import io
import os
import tempfile
from collections.abc import Callable, Generator, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, distributed, nn

from cscl.errors import InputError
from cscl.events import Event
from cscl.losses.together import processes

if TYPE_CHECKING:
    from .loop import Learner

__all__ = ["Seat", "alike", "averaged", "first", "is_lost", "joined", "judged_once", "part", "spread"]

PATIENCE = dt.timedelta(hours=2)  # that others wait while the first validates or writes
Objective = Callable[[Any], tuple[Tensor, Mapping[str, Tensor]]]
Validation = Callable[[nn.Module], Generator[Event, None, dict[str, float]]]


@dataclass(frozen=True)
class Seat:
    """Where one of the processes works: its device, and the folder that the others than the first write to."""

    device: str
    scratch: Path | None = None


@contextlib.contextmanager
def joined(device: str) -> Iterator[Seat | None]:
    """Join the processes that torchrun has started; None for a process that was started alone.

    Parameters
    ----------
    device : str
        What was asked for; ``auto`` and ``cuda`` become the GPU of this process.

    Raises
    ------
    InputError
        If there are more processes than GPUs on this machine.
    """
    if not {"RANK", "WORLD_SIZE", "MASTER_ADDR"} <= set(os.environ):
        yield None
        return
    number = int(os.environ.get("LOCAL_RANK", 0))
    there = torch.cuda.device_count() if device in ("auto", "cuda") else 0
    if there:
        if number >= there:
            raise InputError(
                f"This machine has {there} GPU, and process {number + 1} asks for one. Start one a GPU: "
                f"torchrun --nproc-per-node {there} ..."
            )
        torch.cuda.set_device(number)
        device = f"cuda:{number}"
    distributed.init_process_group("nccl" if there else "gloo", timeout=PATIENCE)
    try:
        if distributed.get_rank() == 0:
            yield Seat(device)
        else:
            with tempfile.TemporaryDirectory() as folder:
                yield Seat(device, Path(folder))
    finally:
        distributed.destroy_process_group()


def part() -> tuple[int, int] | None:
    """Say which samples of a batch are drawn here: this number, and every so many after it; None for all, alone."""
    return (distributed.get_rank(), processes()) if distributed.is_initialized() else None


def first() -> bool:
    """Whether this process writes, and decides; so does one that is alone."""
    return not distributed.is_initialized() or distributed.get_rank() == 0


def is_lost(error: RuntimeError) -> bool:
    """Whether an error says that another process is gone."""
    words = ("connection closed", "connection reset", "connection was", "socket", "nccl")
    return isinstance(error, distributed.DistError) or any(word in str(error).lower() for word in words)


def alike(learner: Learner, device: torch.device) -> None:
    """Give all processes what the first one has, which may go on from a checkpoint."""
    if processes() == 1:
        return
    stream = io.BytesIO()
    torch.save(learner.state(), stream)
    content = _told(stream.getvalue())
    if not first():
        learner.restore(torch.load(io.BytesIO(content), map_location="cpu", weights_only=True), device)


def spread(objective: Objective, modules: nn.Module) -> Objective:
    """Make the objective of a part of the batch whose gradients become those of the whole."""
    if processes() == 1:
        return objective
    if any(parameter.is_cuda for parameter in modules.parameters()):
        nn.SyncBatchNorm.convert_sync_batchnorm(modules)  # type: ignore[no-untyped-call]
    # The classifier, or the head, takes no part in some objectives, but in each step the same.
    whole: Objective = nn.parallel.DistributedDataParallel(_Whole(modules, objective), static_graph=True)
    return whole


class _Whole(nn.Module):
    """Everything that learns, with the objective as its forward pass."""

    def __init__(self, modules: nn.Module, objective: Objective) -> None:
        super().__init__()
        self.learning, self.objective = modules, objective

    def forward(self, batch: Any) -> tuple[Tensor, Mapping[str, Tensor]]:
        return self.objective(batch)


def averaged(values: Mapping[str, Tensor]) -> Mapping[str, Tensor]:
    """Average scalars over all processes."""
    if processes() == 1 or not values:
        return values
    stacked = torch.stack([value.float().to(next(iter(values.values())).device) for value in values.values()])
    distributed.all_reduce(stacked)
    return dict(zip(values, stacked / processes(), strict=True))


def judged_once(validate: Validation | None) -> Validation | None:
    """Let the first process look at the validation blocks, and tell the others what it found."""
    if validate is None or processes() == 1:
        return validate

    def look(network: nn.Module) -> Generator[Event, None, dict[str, float]]:
        found = (yield from validate(network)) if first() else {}
        return dict(_told(found))

    return look


def _told(value: Any) -> Any:
    """Return what the first process has."""
    told = [value if first() else None]
    distributed.broadcast_object_list(told)
    return told[0]
