"""What a network makes of two views: the embedding, and the coarse map that a style is taken of."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn.functional import pad

from cscl.models import Network

from .views import Pair, View

__all__ = ["bottleneck_width", "look", "look_at_both"]

LEAST_PLACES = 16  # of fewer, a variance is noise

Maps = tuple[Tensor, Tensor]


def look(network: nn.Module, x_BTCHW: Tensor, day_BT: Tensor, valid_BTHW: Tensor) -> Maps:
    """Return the embedding (B, D, H, W) and the map of the bottleneck (B, C, h, w), its dates averaged.

    A network without a ``bottleneck``, and one whose bottleneck has fewer than 16 places, gives its embedding for it.
    """
    found: list[Tensor] = []
    name = getattr(network, "bottleneck", "")
    handle = network.get_submodule(name).register_forward_hook(lambda _, __, out: found.append(out)) if name else None
    try:
        embedding_BDHW = network(x_BTCHW, day_BT, valid_BTHW)[1]
    finally:
        if handle is not None:
            handle.remove()
    if not found or found[-1].shape[-2:].numel() < LEAST_PLACES:
        return embedding_BDHW, embedding_BDHW
    return embedding_BDHW, found[-1].mean(2) if found[-1].ndim == 5 else found[-1]


def look_at_both(network: nn.Module, pair: Pair, *, at_once: bool) -> tuple[Maps, Maps]:
    """Look at both views, in one batch, so that norms see both, or one after the other."""
    if not at_once:
        return _of(network, pair.first), _of(network, pair.second)
    longest = max(view.day_BT.shape[1] for view in (pair.first, pair.second))
    joined = [
        torch.cat([_longer(getattr(view, name), longest) for view in (pair.first, pair.second)])
        for name in ("x_BTCHW", "day_BT", "valid_BTHW")
    ]
    (first_e, second_e), (first_b, second_b) = (both.chunk(2) for both in look(network, *joined))
    return (first_e, first_b), (second_e, second_b)


def bottleneck_width(network: Network, view: View) -> int:
    """Channels of the map that `look` gives for a bottleneck, found by looking once; nothing is learnt from it."""
    training = network.training
    network.eval()
    with torch.no_grad():
        width = _of(network, view.map(lambda t: t[:1]))[1].shape[1]
    network.train(training)
    return int(width)


def _of(network: nn.Module, view: View) -> Maps:
    return look(network, view.x_BTCHW, view.day_BT, view.valid_BTHW)


def _longer(tensor_BT: Tensor, length: int) -> Tensor:
    """Add dates, valid nowhere, at the end of the second axis."""
    return pad(tensor_BT, (0, 0) * (tensor_BT.ndim - 2) + (0, length - tensor_BT.shape[1]))
