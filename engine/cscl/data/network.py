"""The door from a card and its files to a network: built from its description, filled with its weights.

Weights are safetensors: reading them runs no code of whoever made them.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from cscl.card import ModelCard
from cscl.errors import InputError, MissingError, OutputError
from cscl.losses import losses
from cscl.losses.cscl import CSCLOptions
from cscl.models import DataShape, Network, models
from cscl.models.aggregated import aggregated
from cscl.models.upsampled import upsampled
from cscl.recipe import Choice, build

__all__ = ["build_network", "fill", "load_weights", "make_loss", "save_weights"]


def build_network(card: ModelCard) -> tuple[Network, ModelCard]:
    """Build the untrained network that a card describes; return it with the card completed by what it needs.

    Raises
    ------
    UnknownNameError, InputError
        If the network or one of its options is not known, or its tiles cannot be of the size in the recipe.
    """
    architecture = models.get(card.model.name)
    options: Any = build(architecture.options, card.model.options, f"the options of {card.model.name}")
    shape = DataShape(len(card.bands), max(1, len(card.legend)), card.dates, card.first_day, card.last_day)
    network = architecture.build(options, shape)
    if card.finer > 1:
        network = upsampled(network, card.finer, card.recipe.data.doubling)
    if card.recipe.aggregate:
        network = aggregated(network, _affinity_options(card.recipe.pretrain.loss))
    needs, patch_px = network.needs, card.recipe.data.patch_px
    if patch_px % needs.multiple_px:
        raise InputError(
            f"The network {card.model.name} needs samples of a multiple of {needs.multiple_px} pixels, "
            f"and data.patch_px is {patch_px}. Set it to {-(-patch_px // needs.multiple_px) * needs.multiple_px}."
        )
    count = sum(p.numel() for p in network.parameters())
    dates = min(card.dates, needs.dates or card.dates)
    return network, replace(card, needs=vars(needs).copy(), parameters=count, dates=dates)


def _affinity_options(loss: Choice) -> CSCLOptions:
    """Return the window of the attention: that of the pre-training by CSCL, else the default one."""
    options: Mapping[str, Any] = loss.options if loss.name == "cscl" else {}
    return build(CSCLOptions, options, f"the options of {loss.name}")


def make_loss(choice: Choice, reads: str, width: int) -> nn.Module:
    """Build a registered loss of a recipe.

    Raises
    ------
    UnknownNameError, InputError
        If the loss or an option is not known, or the loss does not read what this stage gives it.
    """
    objective = losses.get(choice.name)
    if objective.reads != reads:
        raise InputError(
            f"The loss '{choice.name}' reads the {objective.reads}, but here one is wanted that reads the {reads}. "
            f"Choose one of: {', '.join(n for n in losses.names() if losses.get(n).reads == reads)}."
        )
    options: Any = build(objective.options, choice.options, f"the options of {choice.name}")
    return objective.build(options, width)


def save_weights(weights: dict[str, Tensor], path: Path) -> None:
    """Write tensors as safetensors; the file appears only when whole."""
    part = path.with_name(path.name + ".part")
    try:
        save_file({name: tensor.detach().cpu().contiguous() for name, tensor in weights.items()}, part)
        part.replace(path)
    except (OSError, SafetensorError) as error:
        part.unlink(missing_ok=True)
        raise OutputError(f"The weights {path} cannot be written ({error}). Make room on the disk.") from error


def load_weights(path: Path) -> dict[str, Tensor]:
    """Read tensors from safetensors.

    Raises
    ------
    MissingError, InputError
        If the file is not there or is damaged.
    """
    if not path.is_file():
        raise MissingError(f"There are no weights {path}: the model folder is not whole. Train again.")
    try:
        return load_file(path)
    except SafetensorError as error:
        raise InputError(f"The weights {path} are damaged ({error}). Restore the file or train again.") from error


def fill(module: nn.Module, weights: dict[str, Tensor], what: str) -> None:
    """Fill a module with weights, refusing any that do not fit."""
    try:
        module.load_state_dict(weights)
    except RuntimeError as error:
        raise InputError(f"The weights of {what} do not fit the network on its card: {error}") from error
