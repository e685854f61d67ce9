"""Training objectives: contrastive ones read the embedding or views of samples, segmentation ones the logits.

A loss is an ``nn.Module`` built from its frozen options; contrastive ones own a small head that learns with the
network. Those that read the embedding or the logits are called as

    loss(prediction, target_BHW) -> (scalar, measures)

with ``prediction`` the embedding (B, D, H, W) or the logits (B, K, H, W); ``target_BHW`` int64: class indices, or
parcel ids, with negative values where unknown, or, for those that read the embedding and where the recipe asks for it,
a `cscl.losses.ground.Ground` that knows both; ``measures`` a dict of detached 0-d tensors to report. A batch without
any known pixel gives a loss of zero with zero gradients, never NaN.

Those that read views are pre-training schemes that make their own tasks of samples without labels. Their file says what
is drawn, the loss and its head:

    draw(samples, options, side_px, dates, generator) -> drawn
    build(options, network, drawn) -> loss
    loss(network, drawn, done) -> (scalar, measures)

with ``samples`` as in `cscl.losses.views`, larger than the views by the option ``shift_px``, on the CPU; ``drawn`` any
`cscl.losses.tensors.Tensors`; ``done`` the share of the steps that are taken. All randomness of ``draw`` comes from the
generator. To add a loss, add one file with one ``register``.
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

    ``build(options, width)`` returns the module; ``width`` is D for the embedding or K for the logits. What reads views
    has ``draw``, options that are `cscl.losses.views.ViewOptions`, and ``build(options, network, drawn)``.
    """

    reads: Literal["embedding", "logits", "views"]
    options: type
    build: Callable[..., nn.Module]
    summary: str
    draw: Callable[..., Any] | None = None


losses: Registry[Objective] = Registry("loss", "cscl.losses")
