"""A network made ready to answer: the same function with its norms inside its convolutions, channels last in memory.

In evaluation a batch norm is a factor and a summand for each channel, so that the convolution, transposed convolution
or linear layer before it can carry them: exact, and one pass over memory less for each norm. Norms whose statistics are
those of the sample (over groups of channels, pixels or the tile) stay.
"""

from __future__ import annotations

import copy
from typing import Any, TypeVar

import torch
from torch import nn
from torch.nn.utils.fusion import fuse_conv_bn_eval, fuse_linear_bn_eval

from . import Network

__all__ = ["folded"]

N = TypeVar("N", bound=Network)

_TRANSPOSED = (nn.ConvTranspose1d, nn.ConvTranspose2d, nn.ConvTranspose3d)
_LINEAR = (nn.Linear, nn.Conv1d, nn.Conv2d, nn.Conv3d, *_TRANSPOSED)
_NORMS = (nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d)


def folded(network: N) -> N:
    """Return a copy of a network for inference alone; the network itself stays as it was.

    Parameters
    ----------
    network : Network
        In any mode; of its norms the running statistics count.

    Returns
    -------
    Network
        In evaluation, without gradients. It answers as `network` does in evaluation, to rounding. Its weights have the
        former names, but norms that were folded have none.
    """
    ready = copy.deepcopy(network).eval().requires_grad_(False)
    for module in list(ready.modules()):
        if isinstance(module, nn.Sequential):
            _fold_sequence(module)
    _channels_last(ready)
    return ready


def _channels_last(network: nn.Module) -> None:
    """Lay out the weights so that convolutions answer with the channels of a pixel side by side."""
    for weight in network.parameters():
        if weight.ndim in (4, 5):
            layout = torch.channels_last if weight.ndim == 4 else torch.channels_last_3d
            weight.data = weight.data.contiguous(memory_format=layout)


def _fold_sequence(layers: nn.Sequential) -> None:
    """Fold each norm that follows a linear layer directly into it, in place."""
    for place in range(len(layers) - 1):
        linear, norm = layers[place], layers[place + 1]
        if isinstance(norm, _NORMS) and norm.track_running_stats and isinstance(linear, _LINEAR):
            layers[place], layers[place + 1] = _fused(linear, norm), nn.Identity()


def _fused(linear: nn.Module, norm: nn.Module) -> nn.Module:
    """Return one layer for two, computed in float64."""
    dtype = next(linear.parameters()).dtype
    fuse: Any = fuse_linear_bn_eval if isinstance(linear, nn.Linear) else fuse_conv_bn_eval
    more = {"transpose": True} if isinstance(linear, _TRANSPOSED) else {}
    fused: nn.Module = fuse(copy.deepcopy(linear).double(), copy.deepcopy(norm).double(), **more)
    return fused.to(dtype)
