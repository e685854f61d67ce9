"""The second stage: supervised training of the whole network, from scratch or from a pre-trained one."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Generator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from cscl.card import ModelCard
from cscl.data.batches import Batch, Patches
from cscl.data.datasets import Folds
from cscl.data.network import build_network, fill, load_weights, make_loss, save_weights
from cscl.data.split import Side
from cscl.device import autocast, memory_is_full, pick
from cscl.errors import InputError
from cscl.events import Event, Job, Note, Progress
from cscl.grid import Window
from cscl.legend import Legend
from cscl.metrics.confusion import ConfusionMatrix
from cscl.models import Needs, Network
from cscl.models.upsampled import lifted
from cscl.products import LabelMap, Scene
from cscl.recipe import Recipe, plain

from .begin import attention_of, inherited
from .checkpoint import run_facts, workplace
from .folds import prepared_of
from .joint import samples_of, settled
from .loop import Learner, fit
from .partly import Partly
from .prepare import Prepared, require_scenes, suited
from .save import finish_model
from .schemes import require_possible
from .supervised import Supervised
from .teacher import MEMORY, Teacher

__all__ = ["train"]

VALIDATION_PATCHES = 96


def train(
    scenes: Sequence[Scene] | Folds,
    out: str | Path,
    recipe: Recipe | None = None,
    *,
    start: str | Path | None = None,
    window: Window | None = None,
    device: str = "auto",
    resume: bool = False,
    overwrite: bool = False,
) -> Job[Path]:
    """Train a network on crop labels and write a model folder.

    Parameters
    ----------
    scenes : sequence of Scene, or Folds
        Cubes with labels on the same grid, or on one that is `recipe.data.finer` times finer, and of one legend. Or a
        published dataset: its folds say what is held back, and the recipe does not.
    out : path
        Model folder to make.
    recipe : Recipe, optional
        Settings; the parts ``model`` (unless `start` is given), ``data`` and ``train`` count here.
    start : path, optional
        Model folder to start from: its whole network is kept, and all of it learns unless ``train.scope``
        freezes a part; only the classifier starts afresh, unless the model was trained on the same classes.
        A model of coarser maps can be started from: what
        makes them finer begins afresh, too. Where it was trained on one of the scenes, what it held back there is held
        back again. Its contrastive head is carried along as it is, if maps stay as fine.
    window : Window, optional
        Train inside it only, and test outside it.
    device : str
        ``auto``, ``cpu``, ``cuda`` or ``mps``.
    resume, overwrite : bool
        Go on with an unfinished run, bit for bit on a CPU; replace what is there.

    Returns
    -------
    Path
        The model folder, as `pretrain` writes it. Where its network started from one that knows affinity, that one is
        carried in ``start``.

    Raises
    ------
    CSCLError
        For data that cannot be trained on and places that cannot be written; the message says the remedy.

    Notes
    -----
    A `cscl.events.Finish` thrown in after the first step ends the run early; ``card.steps`` tells when.
    """
    require_scenes(scenes)
    recipe = recipe or Recipe()
    settings, where = recipe.train, pick(device)
    before = ModelCard.open(start) if start is not None else None
    if before is not None:
        recipe = inherited(recipe, before)
    scenes = scenes if isinstance(scenes, Folds) else _one_legend(scenes)
    with workplace(Path(out), resume=resume, overwrite=overwrite) as place:
        prepared = yield from prepared_of(scenes, recipe, Path(out), start=start, window=window)
        counts = yield from _check_classes(prepared)
        torch.manual_seed(recipe.seed)  # the first weights, too, follow from the seed
        network, card = build_network(prepared.card)
        prepared = suited(prepared, network, card)
        if before is not None and start is not None:
            _take_over(network, Path(start), same_classes=_codes(before.legend) == _codes(card.legend))
        if start is None and settings.scope != "all":
            yield Note(
                f"All but the {settings.scope} keeps its first, random weights (train.scope). Start from a pre-trained "
                "model, or let all learn.",
                warning=True,
            )
        modules = Partly({"network": network}, settings.scope)
        if settings.joint_weight:
            require_possible(recipe.pretrain)
            modules["head"] = make_loss(recipe.pretrain.loss, "embedding", network.embedding_width)
        segmentation: Any = make_loss(settings.loss, "logits", len(card.legend))
        segmentation.set_class_frequencies(torch.tensor(counts))
        recipe = yield from settled(prepared, recipe)
        teacher = Teacher(network, recipe.unlabelled) if recipe.unlabelled.weight else None
        memory = settings.ema or (MEMORY if teacher else 0.0)
        learner = Learner.start(modules.to(where), replace(settings, ema=memory))
        segmentation.to(where)
        objective = Supervised(network, segmentation, recipe, learner, teacher)
        yield from fit(
            "training", learner, settings,
            samples_of(prepared, recipe), objective, place.checkpoint, where, seed=recipe.seed,
            facts=run_facts(card, prepared.sources),
            validate=_validation(prepared, network, where), validate_every=settings.validate_every,
            patience=settings.patience,
        )  # fmt: skip
        head = _keep_head(place.folder, learner, recipe, Path(start) if start is not None else None, before)
        card = replace(card, stage="trained", steps=learner.step, accuracy=_best_validation(learner), head=head)
        finish_model(place, card, learner.result("network"), learner.history, prepared.sources, start)
    return Path(out)


def _one_legend(scenes: Sequence[Scene]) -> list[Scene]:
    """Give all scenes the union of their legends, so that an index means one class everywhere."""
    classes = [c for scene in scenes for c in scene.labels.legend.classes]
    codes = {c.id: c.code for c in reversed(classes)}
    for crop in classes:
        if codes[crop.id] != crop.code:
            raise InputError(
                f"The id {crop.id} means '{codes[crop.id]}' in one scene and '{crop.code}' in another. Give all scenes "
                "one legend with --legend."
            )
    by_id = {c.id: c for c in reversed(classes)}
    union = Legend(tuple(by_id[i] for i in sorted(by_id)), scenes[0].labels.legend.ignore)
    return [replace(s, labels=_with_legend(s.labels, union)) for s in scenes]


def _with_legend(labels: LabelMap, legend: Legend) -> LabelMap:
    ids = labels.ids
    if labels.legend.ignore != legend.ignore:
        ids = np.where(ids == labels.legend.ignore, legend.ignore, ids).astype(legend.dtype)
    return replace(labels, legend=legend, ids=ids)


def _check_classes(prepared: Prepared) -> Generator[Event, None, tuple[int, ...]]:
    """Count training pixels by class; say which classes have none, and refuse fewer than two with any."""
    legend, counts = prepared.card.legend, prepared.class_counts()
    if (counts > 0).sum() < 2:
        raise InputError(
            f"The training part holds {int((counts > 0).sum())} class with pixels; two are the least to tell apart. "
            "Check the class column and the legend, or hold back fewer blocks (data.test_share)."
        )
    scarce = 20 * prepared.card.finer**2
    rare = [f"{c.name} ({n})" for c, n in zip(legend.classes, counts, strict=True) if n < scarce]
    if rare:
        more = f" and {len(rare) - 12} more" if len(rare) > 12 else ""
        yield Note(f"Too few training pixels to learn from: {', '.join(rare[:12])}{more}.", warning=True)
    return tuple(int(n) for n in counts)


def _codes(legend: Legend) -> list[tuple[int, str]]:
    return [(c.id, c.code) for c in legend.classes]


def _take_over(network: Network, start: Path, *, same_classes: bool) -> None:
    """Copy every weight of a model but its classifier; that too where the classes are the same and it was trained."""
    before = ModelCard.open(start)
    weights = lifted(load_weights(start / "network.safetensors"), network) | attention_of(network, start, before)
    trained = same_classes and before.stage == "trained"
    fresh = {} if trained else {k: v for k, v in network.state_dict().items() if k.startswith("classify.")}
    kept = {k: v for k, v in weights.items() if k not in fresh and (trained or not k.startswith("classify."))}
    fill(network, {**fresh, **kept}, str(start))


def _validation(
    prepared: Prepared, network: Network, device: torch.device
) -> Callable[[nn.Module], Generator[Event, None, dict[str, float]]] | None:
    """Make the job that scores a network on the validation blocks by mean IoU; None when there are no such pixels."""
    patches = prepared.patches(Side.VALIDATION, "class", augment=False)
    if not patches.pixels:
        return None
    return lambda net: _score(net, patches, len(prepared.card.legend), network.needs, device)


def _score(
    network: nn.Module, patches: Patches, classes: int, needs: Needs, device: torch.device
) -> Generator[Event, None, dict[str, float]]:
    matrix = ConfusionMatrix.empty(classes)
    for number, batch in enumerate(patches.fixed(16 // needs.finer, 64, VALIDATION_PATCHES, needs.multiple_px), 1):
        guess = _guess(network, batch, device)
        matrix = matrix + ConfusionMatrix.of(batch.class_BHW.numpy(), guess.numpy(), classes)
        yield Progress("validation", number, 0, "batch")
    return {"score": matrix.mean_iou, "overall accuracy": matrix.overall_accuracy, "mean IoU": matrix.mean_iou}


def _guess(network: nn.Module, batch: Batch, device: torch.device) -> Tensor:
    """Classes of a batch, axes (item, y, x); in halves where the memory does not hold it at once."""
    half = len(batch.class_BHW) // 2
    try:
        moved = batch.map(lambda t: t.to(device))
        with torch.inference_mode(), autocast(device):
            logits: Tensor = network(moved.x_BTCHW, moved.day_BT, moved.valid_BTHW)[0]
            return logits.argmax(1).cpu()
    except Exception as error:
        if not (half and memory_is_full(error)):
            raise
    halves = batch.map(lambda t: t[:half]), batch.map(lambda t: t[half:])
    return torch.cat([_guess(network, part, device) for part in halves])


def _best_validation(learner: Learner) -> dict[str, float]:
    rows = [row for row in learner.history if "validation_mean IoU" in row]
    best = max(rows, key=lambda row: row["validation_mean IoU"], default={})
    return {k: v for k, v in best.items() if k.startswith("validation_")}


def _keep_head(
    folder: Path, learner: Learner, recipe: Recipe, start: Path | None, before: ModelCard | None
) -> Mapping[str, object] | None:
    """Keep the contrastive head in the model folder: the one learnt beside the classes, or the one started from."""
    if "head" in learner.modules:
        save_weights(learner.result("head"), folder / "head.safetensors")
        return {"loss": plain(recipe.pretrain.loss), "target": recipe.pretrain.target}
    if before is None or start is None or before.head is None or before.finer != recipe.data.finer:
        return None
    shutil.copyfile(start / "head.safetensors", folder / "head.safetensors")
    return before.head
