"""The first stage: contrastive pre-training, so that semantic boundaries show in the embedding.

Tarasiou, Güler and Zafeiriou, IEEE TGRS 60 (2022). By default two pixels are alike when they lie in the same parcel:
that needs the outlines of a register and no crop label.
"""

from __future__ import annotations

from collections.abc import Generator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import torch
from torch import Tensor, nn

from cscl.data.batches import Batch
from cscl.data.network import build_network, make_loss, save_weights
from cscl.data.split import Side
from cscl.device import pick
from cscl.errors import InputError
from cscl.events import Event, Job, Note
from cscl.grid import Window
from cscl.products import Scene
from cscl.recipe import Recipe, plain

from .checkpoint import run_facts, workplace
from .loop import Learner, fit
from .prepare import Prepared, prepare, require_scenes, suited
from .save import finish_model

__all__ = ["pretrain"]


def pretrain(
    scenes: Sequence[Scene],
    out: str | Path,
    recipe: Recipe | None = None,
    *,
    window: Window | None = None,
    device: str = "auto",
    resume: bool = False,
    overwrite: bool = False,
) -> Job[Path]:
    """Pre-train a network on outlines or crop labels and write a model folder.

    Only training blocks are used: the outlines of blocks that are held back stay unseen.

    Parameters
    ----------
    scenes : sequence of Scene
        Cubes with labels on the same grid; by parcel, only their parcel ids matter.
    out : path
        Model folder to make.
    recipe : Recipe, optional
        Settings; the parts ``model``, ``data`` and ``pretrain`` count here.
    window : Window, optional
        Train inside it only.
    device : str
        ``auto``, ``cpu``, ``cuda`` or ``mps``.
    resume, overwrite : bool
        Go on with an unfinished run; replace what is there.

    Returns
    -------
    Path
        The model folder: ``card.json``, ``network.safetensors``, ``head.safetensors``, ``recipe.toml``, ``log.csv``
        and the split maps.

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
    settings, where = recipe.pretrain, pick(device)
    with workplace(Path(out), resume=resume, overwrite=overwrite) as place:
        prepared = yield from prepare(scenes, recipe, Path(out), window=window)
        torch.manual_seed(recipe.seed)  # the first weights, too, follow from the seed
        network, card = build_network(prepared.card)
        prepared = suited(prepared, network, card)
        patches = prepared.patches(Side.TRAIN, settings.target, augment=recipe.data.augment)
        _require_targets(prepared, settings.target, patches.pixels)
        head = make_loss(settings.loss, "embedding", network.embedding_width)
        learner = Learner.start(nn.ModuleDict({"network": network, "head": head}).to(where), settings)

        def objective(batch: Batch) -> tuple[Tensor, Mapping[str, Tensor]]:
            embedding = network(batch.x_BTCHW, batch.day_BT, batch.valid_BTHW)[1]
            target = batch.parcel_BHW if settings.target == "parcel" else batch.class_BHW
            loss: tuple[Tensor, Mapping[str, Tensor]] = head(embedding, target)
            return loss

        yield from fit(
            "pre-training", learner, settings, patches.draw, objective, place.checkpoint, where, seed=recipe.seed,
            facts=run_facts(card, prepared.sources),
        )  # fmt: skip
        yield from _say_if_collapsed(learner.history)
        head_facts = {"loss": plain(settings.loss), "target": settings.target}
        card = replace(card, stage="pretrained", steps=learner.step, head=head_facts)
        save_weights(learner.result("head"), place.folder / "head.safetensors")
        finish_model(place, card, learner.result("network"), learner.history, prepared.sources)
    return Path(out)


def _require_targets(prepared: Prepared, target: str, pixels: int) -> None:
    if pixels:
        return
    names = ", ".join(source.scene.labels.name for source in prepared.sources)
    if target == "parcel":
        raise InputError(
            f"The labels {names} hold no parcel ids in the training part. Give parcels as polygons, or pre-train by "
            "crop class with --set pretrain.target=class."
        )
    raise InputError(f"The labels {names} hold no known class in the training part. Check the class column.")


def _say_if_collapsed(history: Sequence[Mapping[str, float]]) -> Generator[Event, None, None]:
    """Warn loudly when the loss was lowered without telling pairs apart."""
    recent = [row for row in history[-5:] if "collapsed" in row]
    if not recent or sum(row["collapsed"] for row in recent) < 0.5 * len(recent):
        return
    alike, unlike = (
        sum(row[k] for row in recent) / len(recent) for k in ("similarity_positive", "similarity_negative")
    )
    yield Note(
        f"The pre-training has collapsed: pairs that belong together have a mean similarity of {alike:.2f}, pairs that "
        f"do not {unlike:.2f}, so the embedding tells nothing apart. Use the balanced loss (pretrain.loss.mode), a "
        "lower learning rate or more steps; starting from this model gains nothing.",
        warning=True,
    )
