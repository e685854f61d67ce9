"""What a recipe can name: the networks and losses that are registered, with their options."""

from __future__ import annotations

from collections.abc import Mapping

from cscl.losses import losses
from cscl.models import models

__all__ = ["choices"]


def choices() -> Mapping[str, Mapping[str, type]]:
    """Names that fit a setting of the recipe, e.g. ``train.loss``, each with the class of its options."""
    fitting = {
        reads: {name: losses.get(name).options for name in losses.names() if losses.get(name).reads == reads}
        for reads in ("embedding", "views", "logits")
    }
    networks = {name: models.get(name).options for name in models.names()}
    return {
        "model": networks,
        "pretrain.loss": {**fitting["embedding"], **fitting["views"]},
        "train.loss": fitting["logits"],
    }
