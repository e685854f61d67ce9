"""GLCNet: two views of a sample are alike in their style as a whole and, place by place, in what the decoder says.

Li, Li, Zhang, Liu, Huang, Zhu and Tao 2022, "Global and Local Contrastive Self-Supervised Learning for Semantic
Segmentation of HR Remote Sensing Images", IEEE TGRS 60, carried over to series of images. No labels are read.

    L = w L_global + (1 - w) L_local

L_global contrasts the samples of a batch by the means and variances of the network's coarsest map (global style
contrast), L_local small regions by the mean of the embedding (local matching contrast); both by `nt_xent`. One network
sees both views; there is no momentum, no memory and no predictor. Written from the equations and a description of the
published code, none of which is copied; a patent covers the method in China (see docs/methods.md).

What differs from the publication: views of one series with different dates, cut and turned, never enlarged, and changed
as reflectance is, not as photographs are (`views`, `radiometry`). And by default, each with a switch: values changed in
both views (`changed_views`); regions of the same ground, 8 of 8 px, not windows with one centre (`regions`); less
weight on the style, which tells soil and climate as well as crops (`global_weight`); 128 channels of the style
(`global_width`); no dropout before the style (`style_dropout`); both views in one batch (`passes`).

Axes: B item, R region, N pair, D embedding, C channel, H row, W column.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Literal

import torch
from torch import Generator, Tensor, nn
from torch.nn.functional import normalize

from cscl.models import Network

from . import Objective, losses
from .looking import bottleneck_width, look_at_both
from .ntxent import nt_xent
from .regions import Regions, grid_cells, matched_windows, moments, region_means, require_room
from .tensors import Tensors
from .views import Pair, Samples, ViewOptions, draw_pair

__all__ = ["GLCNetLoss", "GLCNetOptions", "Matched", "draw_matched"]

LEAST_SHARE = 0.75  # of a region's pixels that must be usable
COLLAPSE_SIMILARITY = 0.9
COLLAPSE_SPREAD = 0.02


@dataclass(frozen=True)
class GLCNetOptions(ViewOptions):
    """Options of `GLCNetLoss` and of the views that it reads."""

    global_weight: Annotated[
        float, {"min": 0.0, "max": 1.0, "tooltip": "Weight of the style contrast; as published 0.5"}
    ] = 0.25
    temperature: Annotated[float, {"min": 0.01, "max": 10.0, "tooltip": "Temperature of both contrasts"}] = 0.5
    denominator: Annotated[
        Literal["decoupled", "simclr"],
        {"tooltip": "Leave the pair itself out of the sum over the others, as published; or not, as in SimCLR"},
    ] = "decoupled"
    negatives: Annotated[
        Literal["all", "other samples"],
        {"tooltip": "Regions to be unlike: all others, as published; or those of other samples only"},
    ] = "all"
    style: Annotated[
        Literal["variance", "deviation", "none"],
        {"tooltip": "Second half of the style: variance as published, standard deviation, or the means alone"},
    ] = "variance"
    style_dropout: Annotated[
        float,
        {"min": 0.0, "max": 0.9, "tooltip": "Dropout before the style; 0.5 as published, which inflates variances"},
    ] = 0.0
    global_width: Annotated[
        int, {"min": 2, "max": 1024, "tooltip": "Channels compared as a style; 64 as published"}
    ] = 128
    local_width: Annotated[int, {"min": 2, "max": 1024, "tooltip": "Channels compared in a region"}] = 64
    regions: Annotated[
        Literal["cells", "windows"],
        {"tooltip": "Cells of a grid, the same ground in both views; or windows around one pixel, as published"},
    ] = "cells"
    region_px: Annotated[
        int, {"min": 2, "max": 128, "tooltip": "Side of a region; as published a fifth of a view's"}
    ] = 8
    region_count: Annotated[int, {"min": 1, "max": 256, "tooltip": "Most regions of a sample; 4 as published"}] = 8
    passes: Annotated[
        Literal["one", "two"],
        {"tooltip": "Both views in one batch; or, as published, one after the other, with norms of their own"},
    ] = "one"


@dataclass(frozen=True)
class Matched(Tensors):
    """Two views, and the regions that they share."""

    pair: Pair
    regions: Regions


def draw_matched(samples: Samples, options: GLCNetOptions, side_px: int, dates: int, generator: Generator) -> Matched:
    """Draw two views of each sample and the regions to match; see `draw_pair`."""
    require_room(options.region_px, side_px)
    pair = draw_pair(samples, options, side_px, dates, generator)
    draw = grid_cells if options.regions == "cells" else matched_windows
    return Matched(pair, draw(pair, options.region_px, options.region_count, LEAST_SHARE, generator))


class GLCNetLoss(nn.Module):
    """Global style contrast and local matching contrast, with their heads.

    Parameters
    ----------
    options : GLCNetOptions
    network : Network
        Only its widths are read here.
    example : Matched
        Of at least one item, on the network's device.
    """

    def __init__(self, options: GLCNetOptions, network: Network, example: Matched) -> None:
        super().__init__()
        self.options = options
        width = bottleneck_width(network, example.pair.first)
        style_width = width if options.style == "none" else 2 * width
        self.dropout = nn.Dropout(options.style_dropout)
        self.global_head = nn.Sequential(
            nn.Linear(style_width, 256), nn.ReLU(inplace=True), nn.Linear(256, options.global_width)
        )
        self.project = nn.Conv2d(network.embedding_width, options.local_width, 1)
        self.local_head = nn.Sequential(
            nn.Linear(options.local_width, options.local_width),
            nn.ReLU(inplace=True),
            nn.Linear(options.local_width, options.local_width),
        )

    def forward(self, network: nn.Module, drawn: Matched, done: float = 0.0) -> tuple[Tensor, dict[str, Tensor]]:
        """Return the loss and measures.

        Parameters
        ----------
        network : nn.Module
            The network that learns.
        drawn : Matched
            As `draw_matched` makes it.
        done : float
            Share of the steps that are done; nothing here depends on it.

        Returns
        -------
        loss : Tensor
            0-d.
        measures : dict of 0-d Tensor
            ``global`` and ``local``, the two parts; ``retrieval``, the share of regions whose nearest one in the other
            view is their own; and those of `alikeness`.
        """
        options, pair, regions = self.options, drawn.pair, drawn.regions
        (first_e, first_b), (second_e, second_b) = look_at_both(network, pair, at_once=options.passes == "one")
        styles = self.styles(first_b, pair.first.use_BHW), self.styles(second_b, pair.second.use_BHW)
        kept_B = styles[0][1] & styles[1][1]
        local_BRC = [
            self.local_head(region_means(self.project(e), view.use_BHW, box))
            for e, view, box in (
                (first_e, pair.first, regions.first_BR4), (second_e, pair.second, regions.second_BR4)
            )
        ]  # fmt: skip
        first_NC, second_NC = (local[regions.kept_BR] for local in local_BRC)
        decoupled = options.denominator == "decoupled"
        of_style = nt_xent(styles[0][0][kept_B], styles[1][0][kept_B], options.temperature, decoupled=decoupled)
        of_regions = nt_xent(
            first_NC, second_NC, options.temperature, decoupled=decoupled,
            group_N=regions.item_N if options.negatives == "other samples" else None,
        )  # fmt: skip
        loss = options.global_weight * of_style + (1 - options.global_weight) * of_regions
        measures = {"global": of_style.detach(), "local": of_regions.detach()}
        return loss, {**measures, **alikeness(first_NC.detach(), second_NC.detach(), regions.item_N)}

    def styles(self, map_BChw: Tensor, use_BHW: Tensor) -> tuple[Tensor, Tensor]:
        """Return what is compared of each item as a whole, and which items have enough to compare."""
        style_BS, kept_B = moments(self.dropout(map_BChw), use_BHW, self.options.style)
        vector: Tensor = self.global_head(style_BS)
        return vector, kept_B


def alikeness(first_NC: Tensor, second_NC: Tensor, item_N: Tensor) -> dict[str, Tensor]:
    """Tell pairs from what is not paired, as measures to watch; all 0-d.

    Returns
    -------
    dict of 0-d Tensor
        ``retrieval`` among all of the other view; ``similarity_positive``, mean cosine of pairs;
        ``similarity_negative``, of regions of different items in the two views; their difference ``similarity_gap``;
        ``spread``, standard deviation of the unit vectors' channels, 1 / sqrt(C) where they fill all directions; and
        ``collapsed``: 1 if there is something to tell apart and either all is alike (above 0.9) or the spread is below
        0.02.
    """
    first, second = normalize(first_NC.float(), dim=1), normalize(second_NC.float(), dim=1)
    s_NN, count = first @ second.T, max(1, len(first))
    apart_NN = item_N[:, None] != item_N[None, :]
    positive = s_NN.diagonal().sum() / count
    negative = torch.where(apart_NN, s_NN, 0).sum() / apart_NN.sum().clamp_min(1)
    own = torch.arange(len(first), device=first.device)
    hits = (s_NN.argmax(1) == own).float().mean() if len(first) else positive.new_zeros(())
    spread = torch.cat([first, second]).std(0).mean() if len(first) else positive.new_zeros(())
    alike = (negative > COLLAPSE_SIMILARITY) | (spread < COLLAPSE_SPREAD)
    return {
        "retrieval": hits,
        "similarity_positive": positive,
        "similarity_negative": negative,
        "similarity_gap": positive - negative,
        "spread": spread,
        "collapsed": (apart_NN.any() & alike).float(),
    }


losses.register("glcnet")(
    Objective(
        reads="views",
        options=GLCNetOptions,
        build=GLCNetLoss,
        draw=draw_matched,
        summary="GLCNet: two views of a sample agree in style and place by place; reads no labels.",
    )
)
