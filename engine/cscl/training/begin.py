"""What a training takes over from the model that it starts from, besides weights: settings and affinity."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from torch import Tensor

from cscl.card import ModelCard
from cscl.data.network import load_weights
from cscl.errors import InputError
from cscl.models import Network
from cscl.recipe import Choice, Recipe

__all__ = ["attention_of", "inherited"]


def inherited(recipe: Recipe, before: ModelCard) -> Recipe:
    """Return the recipe with the network of the model that training starts from.

    Its maps stay as fine as they were, or get finer if the recipe says so: then the network begins to learn that.
    A network that attends to neighbours goes on doing so. Where it does, its head is the one of the pre-training, so
    the options of that loss are taken over.

    Raises
    ------
    InputError
        If the recipe asks for finer maps, but for coarser ones than that model's.
    """
    if 1 < recipe.data.finer < before.finer:
        raise InputError(
            f"{before.name} maps {before.finer} times finer than the images, and data.finer is {recipe.data.finer}. "
            "Leave out data.finer, or start from a model of coarser maps."
        )
    data = recipe.data
    if before.finer > 1:
        finer = data.finer if data.finer > before.finer else before.recipe.data.finer
        data = replace(data, finer=finer, doubling=before.recipe.data.doubling)
    recipe = replace(recipe, model=before.model, data=data, aggregate=recipe.aggregate or before.recipe.aggregate)
    if not recipe.aggregate:
        return recipe
    loss = before.recipe.pretrain.loss if before.recipe.aggregate else _head_of(before)
    return recipe if loss is None else replace(recipe, pretrain=replace(recipe.pretrain, loss=loss))


def attention_of(network: Network, start: Path, before: ModelCard) -> dict[str, Tensor]:
    """Weights that the attention of a network begins with; empty if it has none, or `start` trained it already.

    Its head is that of the pre-training, if by CSCL; all else is as new.
    """
    if network.attend is None or (before.stage == "trained" and before.recipe.aggregate):
        return {}
    weights = {f"attend.{name}": tensor for name, tensor in network.attend.state_dict().items()}
    if _head_of(before) is not None:
        head = load_weights(start / "head.safetensors")
        weights |= {f"attend.{name}": tensor for name, tensor in head.items() if f"attend.{name}" in weights}
    return weights


def _head_of(card: ModelCard) -> Choice | None:
    """Loss of the contrastive head that a model carries, if it is one of CSCL."""
    if card.head is None or card.head["loss"]["name"] != "cscl":
        return None
    options = dict(card.head["loss"])
    return Choice(options.pop("name"), options)
