"""Networks that turn a satellite image time series into class logits and an embedding.

The contract, held by one test over every registered network:

    forward(x_BTCHW, day_BT, valid_BTHW) -> (logits_BKHW, embedding_BDHW)

=============  ===========================================================================================
x_BTCHW        float32, standardised reflectance; 0 wherever ``valid`` is False
day_BT         int64, days since the reference date on the model card; may exceed 365 and be negative
valid_BTHW     bool, True where the pixel was seen on that date; a padded date is False everywhere
logits_BKHW    one score per class, before the softmax, K in the order of the legend
embedding_BDHW what the classifier, and the contrastive head in its place, reads
=============  ===========================================================================================

The layer (or layers) that make the logits of the embedding are the attribute ``classify``: it alone starts afresh when
a pre-trained network meets its classes; the first axis of its weights is the class. ``forward`` ends with
``return self.answer(embedding_BDHW)``, and ``score`` says how ``classify`` is applied if not simply called, so that
what comes between embedding and classifier can be added to any network. One such thing makes logits and embedding
finer than the images (`cscl.models.upsampled`): their H and W are ``needs.finer`` times those of x.

``decoder`` names the modules before ``classify`` that combine what was found in a pixel's surroundings, for fine-tuning
of a part. ``bottleneck`` may name the module whose output, (B, C, h, w) or (B, C, t, h, w), is the coarsest map, for
losses that compare whole samples.

Any size H, W that is a multiple of ``needs.multiple_px`` is allowed, and any number of dates unless ``needs.dates``
fixes it. To add a network, add one file here: a frozen dataclass of options, a ``Network`` and one ``register`` line.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from cscl.registry import Registry

__all__ = ["Architecture", "DataShape", "Needs", "Network", "models", "written_down"]


@dataclass(frozen=True)
class DataShape:
    """What the data fix about a network, whatever its options.

    Parameters
    ----------
    bands, classes : int
        Numbers of input bands and of classes in the legend.
    dates : int
        Most dates that a sample holds; networks that need a fixed number are built for this one.
    first_day, last_day : int
        Span of the season, in days since the reference date.
    """

    bands: int
    classes: int
    dates: int = 24
    first_day: int = 0
    last_day: int = 365


@dataclass(frozen=True)
class Needs:
    """What a network demands of its input and promises about its output; goes onto the model card.

    Parameters
    ----------
    dates : int or None
        Exact number of dates, padded where fewer; None for any number.
    least_dates : int
        A series shorter than this cannot be told apart from a single image.
    multiple_px : int
        Tile height and width must be multiples of this.
    margin_px : int
        Radius of the receptive field: pixels farther than this from a tile's edge do not feel the edge.
    whole_tile : bool
        Whether there are norms or attention over all of a tile, so that no margin frees a pixel from the rest of it.
    masks_dates : bool
        Whether padded dates leave the output unchanged.
    finer : int
        How many pixels come out along a side of one that goes in. All other lengths count pixels that go in.
    remarks : str
        What a user must know, e.g. which published habit limits the network.
    """

    dates: int | None = None
    least_dates: int = 2
    multiple_px: int = 1
    margin_px: int = 0
    whole_tile: bool = False
    masks_dates: bool = True
    finer: int = 1
    remarks: str = ""


class Network(nn.Module):
    """Base of the registered networks: says what it needs, how wide its embedding is, and what its parts are."""

    needs: Needs
    embedding_width: int
    decoder: tuple[str, ...] = ()
    bottleneck: str = ""
    upsample: nn.Module | None
    attend: nn.Module | None

    def __init__(self) -> None:
        super().__init__()
        self.register_module("upsample", None)  # see `upsampled`
        self.register_module("attend", None)  # see `aggregated`

    def part(self, scope: str) -> list[nn.Module]:
        """Return the modules of a part: ``head``, the classifier; ``decoder``, that and the decoder; else ``all``."""
        if scope == "all":
            return [self]
        names = ("classify", *(self.decoder if scope == "decoder" else ()))
        return [self.get_submodule(name) for name in names]

    def score(self, embedding_BDHW: Tensor) -> Tensor:
        """Return the logits of an embedding."""
        logits_BKHW: Tensor = self.get_submodule("classify")(embedding_BDHW)
        return logits_BKHW

    def answer(self, embedding_BDHW: Tensor) -> tuple[Tensor, Tensor]:
        """Return what `forward` does: the logits and the embedding, made finer if that is wanted.

        Attention to the neighbours, if there is any, is for the logits alone: losses that compare neighbours read the
        embedding without it.
        """
        if self.upsample is not None:
            embedding_BDHW = self.upsample(embedding_BDHW)
        attended_BDHW = embedding_BDHW if self.attend is None else self.attend(embedding_BDHW)
        return self.score(attended_BDHW), embedding_BDHW

    def forward(self, x_BTCHW: Tensor, day_BT: Tensor, valid_BTHW: Tensor) -> tuple[Tensor, Tensor]:
        """Return ``(logits_BKHW, embedding_BDHW)``; see the module's docstring."""
        raise NotImplementedError(f"{type(self).__name__} does not define forward().")


@dataclass(frozen=True)
class Architecture:
    """A registered network: its options (a frozen dataclass) and how to build it from them.

    ``build(options, shape)`` returns a `Network`; ``summary`` is one sentence for lists.
    """

    options: type
    build: Callable[[Any, DataShape], Network]
    summary: str


models: Registry[Architecture] = Registry("model", "cscl.models")


def written_down() -> bool:
    """Whether a network is being written down for another program, such as ONNX, and not run.

    What `forward` does must then follow from shapes alone: no value may steer it, and nothing is done strip by strip.
    """
    return torch.compiler.is_compiling()
