"""What a run will take, before it starts: memory, disk and time, from one sample that goes forth and back once."""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor, nn

from cscl.card import ModelCard
from cscl.cube import SITSCube
from cscl.data.at_hand import DISK_SHARE, MEMORY_SHARE, stored_bytes
from cscl.data.batches import Batch
from cscl.data.network import build_network, make_loss
from cscl.device import free_memory, pick
from cscl.events import Job, Progress, time_in_words
from cscl.models import Network
from cscl.products import Scene
from cscl.recipe import Recipe, StageSettings
from cscl.results import existing

from .partly import Partly
from .prepare import new_card
from .pretrain import require_own_pixels
from .schemes import Viewer, reads_views

__all__ = ["Needs", "needs"]

COPIES = 8  # of each weight: itself, its gradient, two moments, the average, the best, two while looking
KERNELS = 1.5  # what kernels and gradients take besides what is remembered for the way back; measured
FORWARD = 3  # tensors of the largest kind that live at once where nothing is remembered; measured
OTHERS = 120e6  # what reading, splitting, writing and the first step of a process take, bytes; measured
ROUNDS, ROUNDS_S = 5, 1.0  # of the sample, at most, and seconds after which no further one begins
LOOK_PX = 16 * 64 * 64  # pixels of a batch of the validation blocks

Step = Callable[[], Tensor]


@dataclass(frozen=True)
class Needs:
    """What a run takes, and what there is.

    Parameters
    ----------
    memory_bytes, disk_bytes : int
        Needed at most at any moment, beyond what the process holds already; a GPU's own memory if it runs on one.
    memory_free, disk_free : int
        Still to be had there.
    seconds : float or None
        Time of all steps; None where it cannot be told beforehand, as on a GPU.
    device : str
        Where the run computes.
    """

    memory_bytes: int
    memory_free: int
    disk_bytes: int
    disk_free: int
    seconds: float | None
    device: str

    @property
    def fits(self) -> bool:
        """Whether there is room."""
        return self.memory_bytes <= self.memory_free and self.disk_bytes <= self.disk_free

    def __str__(self) -> str:
        """Say it in one sentence."""
        memory = f"{_said(self.memory_bytes)} of memory ({_said(self.memory_free)} free)"
        disk = f"{_said(self.disk_bytes)} of disk ({_said(self.disk_free)} free)"
        long = "" if self.seconds is None else f" and {time_in_words(self.seconds)}"
        return f"Needs about {memory}, {disk}{long} on the device '{self.device}'."


def needs(
    scene: Scene,
    out: str | Path,
    recipe: Recipe | None = None,
    *,
    pretraining: bool = True,
    training: bool = True,
    device: str = "auto",
) -> Job[Needs]:
    """Estimate what pre-training and training on a scene will take.

    On CPUs the memory was 0.9 to 1.0 times what runs of the compact network took (8 to 48 samples a step, also at finer
    pixels), and up to 1.4 times for larger networks; the time was 0.7 to 1.4 times. On GPUs, which compute in shorter
    numbers, the memory is an upper bound.

    Parameters
    ----------
    scene : Scene
        Cube and labels.
    out : path
        Where the model folder is to be; only to know which disk.
    recipe : Recipe, optional
        Settings of the run.
    pretraining, training : bool
        Which of the two stages are meant; one after the other they share the memory, not the disk.
    device : str
        ``auto``, ``cpu``, ``cuda`` or ``mps``.

    Raises
    ------
    CSCLError
        If the recipe cannot be built.
    """
    recipe, where = recipe or Recipe(), pick(device)
    stages = [s for s, wanted in (("pretrain", pretraining), ("train", training)) if wanted]
    costs = []
    for number, stage in enumerate(stages):
        yield Progress("estimating", number, len(stages), "stage")
        costs.append(_cost(stage, scene, recipe))
    yield Progress("estimating", len(stages), len(stages), "stage")
    memory = max((cost.memory_bytes for cost in costs), default=0)
    memory += _cube_bytes(scene.cube) if where.type == "cpu" else 0
    fine_px = scene.cube.shape[0] * scene.cube.shape[1] * recipe.data.finer**2
    free = shutil.disk_usage(existing(Path(out))).free
    disk = sum(cost.disk_bytes for cost in costs) + len(costs) * fine_px + _copy_bytes(scene.cube, free)
    return Needs(
        memory, free_memory(where), disk, free,
        sum(cost.seconds for cost in costs) if where.type == "cpu" else None, str(where),
    )  # fmt: skip


@dataclass(frozen=True)
class _Cost:
    memory_bytes: int
    disk_bytes: int
    seconds: float


def _cost(stage: str, scene: Scene, recipe: Recipe) -> _Cost:
    """Cost of a stage, from a sample of noise."""
    settings: StageSettings = getattr(recipe, stage)
    network, card = build_network(new_card([scene], recipe))
    if stage == "pretrain":
        require_own_pixels(recipe)
    views = stage == "pretrain" and reads_views(recipe.pretrain.loss)
    modules, step = (_on_views if views else _on_labels)(stage, recipe, network, card)
    sizes, step_s = _forth_and_back(modules, step)
    weights = sum(4 * p.numel() for p in modules.parameters())
    side, read = recipe.data.patch_px, 4 * card.dates * len(card.bands) * recipe.data.patch_px**2
    items = settings.batch
    once = items * (KERNELS * sum(sizes) + (6 if views else 3) * read)
    samples = min(LOOK_PX / card.finer, scene.cube.shape[0] * scene.cube.shape[1]) / side**2 if stage == "train" else 0
    look = samples * (FORWARD * max(sizes) + 3 * read)
    memory = OTHERS + COPIES * weights + max(once, look)
    return _Cost(int(memory), 6 * weights, step_s * items * settings.steps)


def _noise(card: ModelCard, side: int, dates: int, finer: int = 1) -> Batch:
    """One sample of noise, all of it valid, in as many classes and parcels as there are classes."""
    x = torch.randn(1, dates, len(card.bands), side, side)
    day = torch.linspace(card.first_day, card.last_day, dates).long()[None]
    row = torch.arange(side * finer)
    target = row[None, :, None].expand(1, -1, len(row)) % max(1, len(card.legend))
    nothing = target[:, None][:, :0]
    seen = torch.ones_like(x[:, :, 0], dtype=torch.bool)
    return Batch(x, day, seen, target, target, target >= 0, nothing, nothing.float())


def _on_labels(stage: str, recipe: Recipe, network: Network, card: ModelCard) -> tuple[nn.ModuleDict, Step]:
    scope = recipe.train.scope if stage == "train" else "all"
    modules = Partly({"network": network, **_losses(stage, recipe, network, len(card.legend))}, scope)
    batch = _noise(card, recipe.data.patch_px, card.dates, card.finer)

    def step() -> Tensor:
        logits, embedding = network(batch.x_BTCHW, batch.day_BT, batch.valid_BTHW)
        reads = {"class": logits, "head": embedding}
        found = [module(reads[name], batch.class_BHW)[0] for name, module in modules.items() if name in reads]
        return torch.stack(found).sum()

    return modules, step


def _on_views(stage: str, recipe: Recipe, network: Network, card: ModelCard) -> tuple[nn.ModuleDict, Step]:
    viewer = Viewer.of(recipe.pretrain.loss, recipe.data.patch_px, card.dates, card.bands, recipe.seed)
    drawn = viewer(_noise(card, viewer.side_px + viewer.options.shift_px, 2 * card.dates), 0)
    head = viewer.head(network, drawn)

    def step() -> Tensor:
        loss: Tensor = head(network, drawn, 0.0)[0]
        return loss

    return nn.ModuleDict({"network": network, "head": head}), step


def _forth_and_back(modules: nn.ModuleDict, step: Step) -> tuple[list[int], float]:
    """Sizes of what one sample has remembered for its way back, and the seconds of the quickest round.

    The first round sets things up and does not count; short ones are repeated, as any of them may meet a busy moment.
    """
    own, rounds_s = {p.untyped_storage().data_ptr() for p in modules.parameters()}, list[float]()
    while len(rounds_s) < 2 or (len(rounds_s) < ROUNDS and sum(rounds_s) < ROUNDS_S):
        began, remembered = time.monotonic(), dict[int, int]()
        with _noting(remembered):
            loss = step()
        loss.backward()  # type: ignore[no-untyped-call]
        rounds_s.append(time.monotonic() - began)
    return [size for place, size in remembered.items() if place not in own], min(rounds_s[1:])


def _losses(stage: str, recipe: Recipe, network: Network, classes: int) -> dict[str, nn.Module]:
    found: dict[str, nn.Module] = {}
    if stage == "train":
        found["class"] = make_loss(recipe.train.loss, "logits", max(1, classes))
    if stage == "pretrain" or recipe.train.joint_weight:
        found["head"] = make_loss(recipe.pretrain.loss, "embedding", network.embedding_width)
    return found


def _noting(remembered: dict[int, int]) -> torch.autograd.graph.saved_tensors_hooks:
    """Note the size of what is remembered between the way forth and the way back, by its place in memory."""

    def note(tensor: Tensor) -> Tensor:
        storage = tensor.untyped_storage()
        remembered[storage.data_ptr()] = storage.nbytes()
        return tensor.detach()  # the tensor itself would keep its own maker alive

    return torch.autograd.graph.saved_tensors_hooks(note, lambda kept: kept)


def _cube_bytes(cube: SITSCube) -> int:
    stored = stored_bytes(cube)
    return stored if stored < MEMORY_SHARE * free_memory(pick("cpu")) else 0


def _copy_bytes(cube: SITSCube, free: int) -> int:
    """Bytes of the copy of a cube that the memory does not hold, see `cscl.data.at_hand`."""
    stored = 0 if _cube_bytes(cube) else stored_bytes(cube)
    return stored if stored < DISK_SHARE * free else 0


def _said(size: float) -> str:
    power = 3 if size >= 999.5e6 else 2 if size >= 999.5e3 else 1
    size /= 1000**power
    return f"{size:.{0 if size >= 9.95 else 1}f} {('kB', 'MB', 'GB')[power - 1]}"
