"""Training objectives: contrastive ones read the embedding, segmentation ones the logits.

A loss is an ``nn.Module`` built from its frozen options; contrastive ones own a small head that learns with the
network. Both kinds are called as

    loss(prediction, target_BHW) -> (scalar, measures)

with ``prediction`` the embedding (B, D, H, W) or the logits (B, K, H, W); ``target_BHW`` int64: class indices, or
parcel ids, with negative values where unknown; ``measures`` a dict of detached 0-d tensors to report. A batch without
any known pixel gives a loss of zero with zero gradients, never NaN. To add a loss, add one file with one ``register``.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

from torch import nn

from cscl.registry import Registry

__all__ = ["Objective", "losses"]


@dataclass(frozen=True)
class Objective:
    """A registered loss: what it reads, its options (a frozen dataclass) and how to build it.

    ``build(options, width)`` returns the module; ``width`` is D for the embedding or K for the logits.
    """

    reads: Literal["embedding", "logits"]
    options: type
    build: Callable[[Any, int], nn.Module]
    summary: str


losses: Registry[Objective] = Registry("loss", "cscl.losses")
