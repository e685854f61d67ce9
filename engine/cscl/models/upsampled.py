"""Any network, made to answer at finer pixels than those of the images it reads.

M. Tarasiou, R. A. Güler, S. Zafeiriou, "Context-Self Contrastive Pretraining for Crop Type Semantic Segmentation",
IEEE TGRS 60, 2022, doi 10.1109/TGRS.2022.3198187, segment images of 10 m at 2.5 m: between the embedding and whichever
head is active lie two blocks that double rows and columns, each a transposed convolution, a norm and a leaky ReLU.
They learn with the rest, from pre-training on, and the heads stay what they were.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from math import log2
from typing import TypeVar

from torch import Tensor, nn

from . import Network

__all__ = ["lifted", "upsampled"]

N = TypeVar("N", bound=Network)


def upsampled(network: N, finer: int) -> N:
    """Let a network answer at finer pixels; it is changed in place.

    Parameters
    ----------
    network : Network
        Any network whose ``forward`` ends with ``answer``.
    finer : int
        How many pixels come out along a side of one that goes in: a power of 2.
    """
    network.upsample = nn.Sequential(*(_doubled(network.embedding_width) for _ in range(round(log2(finer)))))
    network.decoder = (*network.decoder, "upsample")
    # A block looks one of its pixels to the right and down: all together see less than one pixel of the images more.
    network.needs = replace(network.needs, finer=finer, margin_px=network.needs.margin_px + 1)
    return network


def lifted(weights: Mapping[str, Tensor], network: Network) -> dict[str, Tensor]:
    """Return the weights of a network for the same one made finer, whose doubling blocks begin afresh."""
    fresh = {name: weight for name, weight in network.state_dict().items() if name.startswith("upsample.")}
    return {**fresh, **weights}


def _doubled(width: int) -> nn.Sequential:
    twice = nn.ConvTranspose2d(width, width, 3, stride=2, padding=1, output_padding=1)
    return nn.Sequential(twice, nn.BatchNorm2d(width), nn.LeakyReLU(inplace=True))
