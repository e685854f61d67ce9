"""The first stage: contrastive pre-training, so that semantic boundaries show in the embedding.

By default CSCL (Tarasiou, Güler and Zafeiriou, IEEE TGRS 60, 2022) by parcel: two pixels are alike when they lie in the
same one, which needs the outlines of a register and no crop label. Other losses read views of a sample and no label.
"""

from __future__ import annotations

from collections.abc import Generator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from cscl.data.datasets import Folds
from cscl.data.network import build_network, save_weights
from cscl.device import pick
from cscl.errors import InputError
from cscl.events import Event, Job, Note
from cscl.grid import Window
from cscl.products import Scene
from cscl.recipe import PretrainSettings, Recipe, plain

from .checkpoint import run_facts, workplace
from .folds import prepared_of
from .loop import Learner, fit
from .prepare import require_scenes, suited
from .save import finish_model
from .schemes import reads_views, scheme_of

__all__ = ["pretrain", "require_own_pixels"]


def pretrain(
    scenes: Sequence[Scene] | Folds,
    out: str | Path,
    recipe: Recipe | None = None,
    *,
    window: Window | None = None,
    device: str = "auto",
    resume: bool = False,
    overwrite: bool = False,
) -> Job[Path]:
    """Pre-train a network on outlines, on crop labels or on images alone, and write a model folder.

    Only training blocks are used: the outlines of blocks that are held back stay unseen, and losses that read views
    learn from no pixel of theirs, though they, too, show their surroundings.

    Parameters
    ----------
    scenes : sequence of Scene, or Folds
        Cubes with labels on the same grid, or on one that is `recipe.data.finer` times finer; by parcel, only their
        parcel ids matter, and by views none of them. Or the folds of a published dataset.
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
    require_own_pixels(recipe)
    with workplace(Path(out), resume=resume, overwrite=overwrite) as place:
        prepared = yield from prepared_of(scenes, recipe, Path(out), window=window)
        torch.manual_seed(recipe.seed)  # the first weights, too, follow from the seed
        network, card = build_network(prepared.card)
        prepared = suited(prepared, network, card)
        scheme = scheme_of(prepared, settings, network)
        modules = nn.ModuleDict({"network": network, "head": scheme.head})
        learner = Learner.start(modules.to(where), settings)

        def objective(drawn: Any) -> tuple[Tensor, Mapping[str, Tensor]]:
            return scheme.loss(network, drawn, learner.step / settings.steps)

        yield from fit(
            "pre-training", learner, settings, scheme.draw, objective, place.checkpoint, where, seed=recipe.seed,
            facts=run_facts(card, prepared.sources),
        )  # fmt: skip
        yield from _say_if_collapsed(learner.history, settings)
        head_facts = {"loss": plain(settings.loss), "target": scheme.target}
        card = replace(card, stage="pretrained", steps=learner.step, head=head_facts)
        save_weights(learner.result("head"), place.folder / "head.safetensors")
        finish_model(place, card, learner.result("network"), learner.history, prepared.sources)
    return Path(out)


def require_own_pixels(recipe: Recipe) -> None:
    """Refuse to compare views of images where embeddings are finer than these."""
    if recipe.data.finer > 1 and reads_views(recipe.pretrain.loss):
        raise InputError(
            f"The scheme '{recipe.pretrain.loss.name}' compares views of images at their own pixels. Pre-train with "
            f"data.finer=1, and start a training with data.finer={recipe.data.finer} from that."
        )


def _say_if_collapsed(
    history: Sequence[Mapping[str, float]], settings: PretrainSettings
) -> Generator[Event, None, None]:
    """Warn loudly when the loss was lowered without telling pairs apart."""
    recent = [row for row in history[-5:] if "collapsed" in row]
    if not recent or sum(row["collapsed"] for row in recent) < 0.5 * len(recent):
        return
    alike, unlike = (
        sum(row[k] for row in recent) / len(recent) for k in ("similarity_positive", "similarity_negative")
    )
    remedy = "a larger batch" if reads_views(settings.loss) else "the balanced loss (pretrain.loss.mode)"
    yield Note(
        f"The pre-training has collapsed: pairs that belong together have a mean similarity of {alike:.2f}, pairs that "
        f"do not {unlike:.2f}, so the embedding tells nothing apart. Use {remedy}, a "
        "lower learning rate or more steps; starting from this model gains nothing.",
        warning=True,
    )
