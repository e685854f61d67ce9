"""Any network, made to answer at finer pixels than those of the images it reads.

M. Tarasiou, R. A. Güler, S. Zafeiriou, "Context-Self Contrastive Pretraining for Crop Type Semantic Segmentation",
IEEE TGRS 60, 2022, doi 10.1109/TGRS.2022.3198187, segment images of 10 m at 2.5 m: between the embedding and whichever
head is active lie two blocks that double rows and columns, each a transposed convolution, a norm and a leaky ReLU.
They learn with the rest, from pre-training on, and the heads stay what they were.

Their kernels of 3 pixels meet in one, two or four taps by turns, so that maps and embeddings show a checkerboard
(A. Odena, V. Dumoulin, C. Olah, "Deconvolution and checkerboard artifacts", Distill 2016, doi 10.23915/distill.00003).
Here kernels are of 4, which meet evenly, and begin as bilinear interpolation of mixed channels; what was published is a
choice.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from math import log2
from typing import Literal, TypeVar

import torch
from torch import Tensor, nn

from . import Network

__all__ = ["lifted", "upsampled"]

N = TypeVar("N", bound=Network)
Doubling = Literal["smooth", "published"]


def upsampled(network: N, finer: int, by: Doubling = "smooth") -> N:
    """Let a network answer at finer pixels; it is changed in place.

    Parameters
    ----------
    network : Network
        Any network whose ``forward`` ends with ``answer``.
    finer : int
        How many pixels come out along a side of one that goes in: a power of 2.
    by : {'smooth', 'published'}
        Kernels of 4 pixels that begin as interpolation, or of 3 that begin at random.
    """
    doubled = _smooth if by == "smooth" else _published
    network.upsample = nn.Sequential(*(_block(doubled(network.embedding_width)) for _ in range(round(log2(finer)))))
    network.decoder = (*network.decoder, "upsample")
    # A block looks one of its pixels to every side, or as published to the right and down: two see less than two pixels
    # of the images more, or than one.
    more_px = 2 if by == "smooth" else 1
    network.needs = replace(network.needs, finer=finer, margin_px=network.needs.margin_px + more_px)
    return network


def lifted(weights: Mapping[str, Tensor], network: Network) -> dict[str, Tensor]:
    """Return the weights of a network for the same one made finer, whose doubling blocks begin afresh."""
    fresh = {name: weight for name, weight in network.state_dict().items() if name.startswith("upsample.")}
    return {**fresh, **weights}


def _block(twice: nn.ConvTranspose2d) -> nn.Sequential:
    return nn.Sequential(twice, nn.BatchNorm2d(twice.out_channels), nn.LeakyReLU(inplace=True))


def _published(width: int) -> nn.ConvTranspose2d:
    return nn.ConvTranspose2d(width, width, 3, stride=2, padding=1, output_padding=1)


def _smooth(width: int) -> nn.ConvTranspose2d:
    twice = nn.ConvTranspose2d(width, width, 4, stride=2, padding=1)
    tap_4 = torch.tensor([0.25, 0.75, 0.75, 0.25])  # a pixel lies a quarter off the nearer of two, three off the other
    reach = (3 / width) ** 0.5  # keeps the spread of what comes in
    with torch.no_grad():
        twice.weight.copy_(torch.empty(width, width, 1, 1).uniform_(-reach, reach) * tap_4[:, None] * tap_4)
    return twice
