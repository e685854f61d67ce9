"""Fine-tuning on a region that the user draws: the model gets better there, and the rest of the map is rehearsed."""

from __future__ import annotations

import math
import shutil
import time
from collections.abc import Generator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated, Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from cscl.card import ModelCard
from cscl.data.at_hand import held_in_memory
from cscl.data.batches import Patches, Source, joined
from cscl.data.network import build_network, fill, load_weights
from cscl.data.region import hold_back, in_legend, region_sides, require_plain, require_region, window_of
from cscl.data.split import Side
from cscl.errors import InputError, MissingError
from cscl.events import Event, Finish, Job, Measure, Note, Progress
from cscl.grid import crop
from cscl.inference.tiles import Model, load_model, suit_cube
from cscl.legend import Legend
from cscl.models import Network
from cscl.products import LabelMap, Scene
from cscl.recipe import plain

from .checkpoint import workplace
from .loop import Learner, train_step
from .prepare import describe_scene, versions
from .rehearsal import learnt_classes, objective, rehearsed, trust
from .save import finish_model, split_of

__all__ = ["FinetuneOptions", "finetune"]

STAGE = "fine-tuning"
CLIP = 1.0
MEASURE_EVERY = 5
RISE = 0.1  # share of the effort over which the learning rate rises


@dataclass(frozen=True)
class FinetuneOptions:
    """How a model is fine-tuned on a region."""

    scope: Annotated[
        Literal["head", "decoder", "all"],
        {"tooltip": "What learns: the classifier (head), also what looks around a pixel (decoder), or all"},
    ] = "all"
    seconds: Annotated[float, {"min": 1.0, "max": 7200.0, "tooltip": "How long to learn, seconds"}] = 30.0
    steps: Annotated[
        int, {"min": 0, "max": 1_000_000, "tooltip": "Gradient steps to take whatever the time; 0: go by the time"}
    ] = 0
    learning_rate: Annotated[float, {"min": 1e-7, "max": 0.1, "tooltip": "Peak learning rate"}] = 2e-3
    batch: Annotated[int, {"min": 2, "max": 256, "tooltip": "Samples a step"}] = 8
    rehearsal: Annotated[
        float, {"min": 0.0, "max": 0.9, "tooltip": "Share of each batch from outside the region, against forgetting"}
    ] = 0.5
    held_back: Annotated[
        float, {"min": 0.0, "max": 0.5, "tooltip": "Share of the region that is not learnt from but judges"}
    ] = 0.2
    seed: Annotated[int, {"min": 0, "max": 2**31 - 1, "tooltip": "Seed of everything random"}] = 0


def finetune(
    scene: Scene,
    model: str | Path,
    out: str | Path,
    region: NDArray[np.bool_],
    options: FinetuneOptions | None = None,
    *,
    device: str = "auto",
    overwrite: bool = False,
) -> Job[Path]:
    """Go on training a model inside a region and write the result as a new model folder; the former one stays.

    Parameters
    ----------
    scene : Scene
        Images and labels, corrected ones too; outside the region, labels are read only where the model was trained.
    model : path
        Folder of a trained model. Where its training held pixels back, they stay unseen, but for the region: that is
        training data now, and the split map of the new model says so.
    out : path
        Model folder to make.
    region : ndarray of bool
        Axes (y, x) of the scene.
    options : FinetuneOptions, optional
        What learns, and for how long.
    device : str
        ``auto``, ``cpu``, ``cuda`` or ``mps``.
    overwrite : bool
        Replace a former model folder at `out`; never the one that is fine-tuned.

    Returns
    -------
    Path
        The model folder, as `cscl.training.segment.train` writes it. ``tuned`` on its card says where it comes from.

    Raises
    ------
    CSCLError
        For regions, labels and models that cannot be used and places that cannot be written; the message says the
        remedy.

    Notes
    -----
    Running statistics of normalisations stay as they are: a region is too small a sample to take them anew. A
    `cscl.events.Finish` thrown in while it learns ends it early; the result is what was learnt by then.
    """
    options, out, model = options or FinetuneOptions(), Path(out), Path(model)
    if out.resolve() == model.resolve():
        raise InputError(f"The model {model} is fine-tuned on a copy, so it stays as it is. Choose another place.")
    before = load_model(model, device)
    with workplace(out, resume=False, overwrite=overwrite) as place:
        lesson = yield from _prepare(scene, before, model, np.asarray(region, bool), options)
        network, card = _grown(model, before.card, lesson)
        card = replace(card, name=out.name, tuned=_parentage(model, before.card, lesson, options), made=versions())
        learner = _learner(network.to(before.device), options)
        yield from _learn(learner, before, lesson, options)
        head = model / "head.safetensors"
        if head.is_file():
            shutil.copyfile(head, place.folder / head.name)
        card = replace(card, steps=learner.step, accuracy={}, data=(*card.data, lesson.facts))
        finish_model(place, card, learner.result("network"), learner.history, [lesson.source], model)
    return out


@dataclass(frozen=True, eq=False)
class Lesson:
    """What a fine-tuning learns from: the scene with its sides after it, the region alone, and what is rehearsed."""

    source: Source
    region: Patches
    rest: Patches | None
    region_YX: NDArray[np.bool_]
    held_YX: NDArray[np.bool_]
    learnt: list[int]

    @property
    def facts(self) -> dict[str, Any]:
        """The scene for the card; classes are counted where they were learnt from."""
        facts = describe_scene(self.source.scene)
        counts = self.source.scene.labels.counts(self.region_YX & ~self.held_YX)
        return {**facts, "classes": {str(k): v for k, v in counts.items()}}


def _prepare(
    scene: Scene, before: Model, folder: Path, region_YX: NDArray[np.bool_], options: FinetuneOptions
) -> Generator[Event, None, Lesson]:
    """Check the region and the labels, read the images, and make ready to draw from both."""
    card = before.card
    if card.stage != "trained":
        raise InputError(f"{folder} is only pre-trained: its classifier knows nothing yet. Train it with cscl train.")
    require_plain(folder, card)
    require_region(region_YX, scene.labels)
    cube, warnings = suit_cube(scene.cube, card, before.network.needs.least_dates)
    for warning in warnings:
        yield Note(warning, warning=True)
    cube = yield from held_in_memory(cube)
    held_YX = hold_back(region_YX, scene.labels, options.held_back, options.seed)
    labels = in_legend(scene.labels, card.legend, region_YX)
    yield from _remarks(labels, card.legend, region_YX & ~held_YX, held_YX, options)
    former_YX = _former_sides(folder, scene)
    side_YX = region_sides(former_YX, region_YX, held_YX, labels)
    source = Source(Scene(cube, labels), side_YX, card.days_of(cube.dates))
    inside = replace(source, side_YX=np.where(region_YX, side_YX, Side.NONE).astype(np.uint8))
    rest = _patches(rehearsed(source, former_YX, region_YX), "parcel", card, options.seed + 1)
    return Lesson(
        source, _patches(inside, "class", card, options.seed), rest if rest.pixels and options.rehearsal else None,
        region_YX, held_YX, learnt_classes(card, labels.legend),
    )  # fmt: skip


def _patches(source: Source, target: str, card: ModelCard, seed: int) -> Patches:
    data = card.recipe.data
    return Patches(
        [source], Side.TRAIN, target, data.patch_px, card.dates, np.array(card.mean), np.array(card.std),
        augment=data.augment, seed=seed, date_dropout=data.date_dropout, jitter=data.jitter,
    )  # fmt: skip


def _former_sides(folder: Path, scene: Scene) -> NDArray[np.uint8] | None:
    try:
        return split_of(folder, scene.cube.grid)
    except MissingError:
        return None


def _remarks(
    labels: LabelMap, known: Legend, learnt_YX: NDArray[np.bool_], held_YX: NDArray[np.bool_], options: FinetuneOptions
) -> Generator[Event, None, None]:
    """Say what a user must know before a model is changed."""
    counts = labels.counts(learnt_YX)
    here = [c for c in labels.legend.classes if counts[c.id]]
    new = [c.name for c in here if c.id not in known.ids]
    if new:
        yield Note(f"New to the model, which learns them from the region alone: {', '.join(new)}.", warning=True)
    if len(here) == 1:
        yield Note(
            f"The region holds one class only, {here[0].name}: the model may come to see it everywhere. Draw a region "
            "that also holds what it is confused with.",
            warning=True,
        )
    if options.held_back and not held_YX.any():
        yield Note("The region is too small to hold a part of it back: only what was learnt from can be judged.")


def _grown(folder: Path, card: ModelCard, lesson: Lesson) -> tuple[Network, ModelCard]:
    """Copy a model's network; classes that it never learnt and that the region holds start afresh in its classifier.

    What training without a pixel of a class leaves there says "never" loudly, which takes long to unlearn.
    """
    labels = lesson.source.scene.labels
    counts = labels.counts(lesson.region_YX)
    fresh = [k for k, i in enumerate(labels.legend.ids) if counts[i] and k not in lesson.learnt]
    torch.manual_seed(card.recipe.seed)
    network, card = build_network(replace(card, legend=labels.legend))
    weights = load_weights(folder / "network.safetensors")
    for name, start in network.state_dict().items():
        if name.startswith("classify.") and len(start) == len(labels.legend):
            grown = torch.cat([weights[name], start[len(weights[name]) :]])
            grown[fresh] = start[fresh]
            weights[name] = grown
    fill(network, weights, str(folder))
    return network, card


class _Still(nn.ModuleDict):
    """Modules in training whose running statistics stay as they are."""

    def train(self, mode: bool = True) -> _Still:
        super().train(mode)
        for module in self.modules():
            if getattr(module, "running_mean", None) is not None:
                module.eval()
        return self


def _learner(network: Network, options: FinetuneOptions) -> Learner:
    """Make ready to learn in a part of the network; the rest is frozen."""
    network.requires_grad_(False)
    for part in network.part(options.scope):
        part.requires_grad_(True)
    learning = [p for p in network.parameters() if p.requires_grad]
    return Learner(_Still({"network": network}), torch.optim.AdamW(learning, weight_decay=0.0))


def _learn(learner: Learner, before: Model, lesson: Lesson, options: FinetuneOptions) -> Generator[Event, None, None]:
    """Take steps until the effort is spent or a `Finish` comes."""
    old = round(options.batch * options.rehearsal) if lesson.rest is not None else 0
    new = max(1, options.batch - old)
    weights = yield from trust(before, lesson.region, lesson.learnt)
    loss = objective(learner.modules["network"], before.network, lesson.learnt, weights, new)  # type: ignore[arg-type]
    began, recent = time.monotonic(), list[Mapping[str, Tensor]]()
    try:
        while (spent := _spent(options, learner.step, time.monotonic() - began)) < 1:
            torch.manual_seed((options.seed * 1_000_003 + learner.step) % 2**63)
            batch = lesson.region.draw(learner.step, new)
            if lesson.rest is not None and old:
                batch = joined(batch, lesson.rest.draw(learner.step, old))
            recent.append(train_step(learner, batch, loss, before.device, _rate(spent, options), CLIP))
            if learner.step % MEASURE_EVERY == 0:
                yield _measure(learner, recent)
            yield _progress(options, learner.step, time.monotonic() - began)
    except Finish:
        yield Note("Stopped early: what was learnt so far is kept.")
    if recent:
        yield _measure(learner, recent)


def _spent(options: FinetuneOptions, step: int, seconds: float) -> float:
    """Share of the effort that is spent."""
    return step / options.steps if options.steps else seconds / options.seconds


def _rate(spent: float, options: FinetuneOptions) -> float:
    """Learning rate after a share of the effort: a linear rise from a tenth, then half a cosine down to 1 %."""
    if spent < RISE:
        return options.learning_rate * (0.1 + 0.9 * spent / RISE)
    return options.learning_rate * (0.01 + 0.99 * 0.5 * (1 + math.cos(math.pi * (spent - RISE) / (1 - RISE))))


def _progress(options: FinetuneOptions, step: int, seconds: float) -> Progress:
    if options.steps:
        return Progress(STAGE, step, options.steps)
    return Progress(STAGE, min(int(seconds), int(options.seconds)), int(options.seconds), "s")


def _measure(learner: Learner, recent: list[Mapping[str, Tensor]]) -> Measure:
    values = {name: float(torch.stack([m[name] for m in recent]).mean()) for name in recent[0]}
    recent.clear()
    learner.history.append({"step": learner.step, **values})
    return Measure(STAGE, learner.step, values)


def _parentage(model: Path, card: ModelCard, lesson: Lesson, options: FinetuneOptions) -> dict[str, Any]:
    """Say on the card where a fine-tuned model comes from and what it was fine-tuned on."""
    grid = lesson.source.scene.cube.grid
    part = crop(grid, window_of(lesson.region_YX))
    return {
        "parent": card.name,
        "parent_folder": str(model),
        "parent_made": card.made.get("when", ""),
        "images": lesson.source.scene.cube.name,
        "region_bounds": list(part.boundingbox.bbox),
        "region_crs": str(grid.crs),
        "region_px": int(lesson.region_YX.sum()),
        "held_back_px": int(lesson.held_YX.sum()),
        "options": plain(options),
    }
