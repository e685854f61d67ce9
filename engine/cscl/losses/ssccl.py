"""SSCCL-style, reconstructed: two views agree as a whole, and point by point where they show the same ground.

Of SSCCL (Dong, Liu and Gu 2023, IEEE TGRS 61, 5621112) only the abstract is public: an *instance branch* makes the two
augmented views of a sample similar, a *consistency branch* their overlapping regions. All else is a reconstruction,
after BYOL (Grill et al. 2020), SCRL (Roh et al. 2021) and PixPro (Xie et al. 2021): say "SSCCL-style, reconstructed"
wherever its results are shown, and call none of them results of SSCCL.

    L = L_instance + w (L_spatial + v L_semantic)

each a mean of ``2 - 2 cos(prediction of one view, target of the other)``. The prediction comes from the network that
learns, the target from a second one that follows it as a moving average and gets no gradient. L_instance compares
pooled maps of the bottleneck, L_spatial points of the embedding on a jittered grid over what both views show.
L_semantic is, by `semantic`, absent; the same on regions; on points smoothed over those like them (PixPro's
propagation); or it makes the affinities among a sample's points alike.

Axes: B item, N item or point that is kept, M point, C channel, H row, W column.
"""

from __future__ import annotations

import copy
import math
from dataclasses import dataclass
from typing import Annotated, Literal

import torch
from torch import Generator, Tensor, nn
from torch.nn.functional import batch_norm, kl_div, log_softmax, normalize, relu

from cscl.models import Network

from . import Objective, losses
from .glcnet import LEAST_SHARE, alikeness
from .looking import Maps, bottleneck_width, look_at_both
from .ntxent import nt_xent
from .regions import Regions, grid_cells, moments, region_means, require_room, shared_points
from .tensors import Tensors
from .views import Pair, Samples, ViewOptions, draw_pair

__all__ = ["Overlapping", "SSCCLLoss", "SSCCLOptions", "draw_overlapping"]

PROPAGATION_POWER = 2
AFFINITY_TEMPERATURE = 0.1
MOST_WATCHED = 1024  # pairs whose likeness is reported


@dataclass(frozen=True)
class SSCCLOptions(ViewOptions):
    """Options of `SSCCLLoss` and of the views that it reads."""

    consistency_weight: Annotated[
        float, {"min": 0.0, "max": 100.0, "tooltip": "Weight of what compares places, beside whole samples"}
    ] = 1.0
    semantic: Annotated[
        Literal["none", "region", "propagate", "affinity"],
        {"tooltip": "Besides points, compare regions, points smoothed over those like them, or affinities of points"},
    ] = "none"
    semantic_weight: Annotated[float, {"min": 0.0, "max": 100.0, "tooltip": "Weight of that, beside the points"}] = 1.0
    negatives: Annotated[
        Literal["none", "batch"],
        {"tooltip": "Only attract, towards a slow copy of the network; or repel all else in the batch, without a copy"},
    ] = "none"
    temperature: Annotated[float, {"min": 0.01, "max": 10.0, "tooltip": "Temperature, where the batch repels"}] = 0.2
    momentum: Annotated[
        float, {"min": 0.0, "max": 1.0, "tooltip": "Share of the slow copy that is kept in a step, rising to 1"}
    ] = 0.99
    points_across: Annotated[int, {"min": 2, "max": 32, "tooltip": "Points down and across what both views show"}] = 8
    region_px: Annotated[int, {"min": 2, "max": 128, "tooltip": "Side of a region, where regions are compared"}] = 8
    region_count: Annotated[int, {"min": 1, "max": 256, "tooltip": "Most regions of a sample"}] = 8
    instance_width: Annotated[int, {"min": 2, "max": 1024, "tooltip": "Channels compared of a sample"}] = 128
    point_width: Annotated[int, {"min": 2, "max": 1024, "tooltip": "Channels compared of a point"}] = 64


@dataclass(frozen=True)
class Overlapping(Tensors):
    """Two views, and the points and regions that they share."""

    pair: Pair
    points: Regions
    cells: Regions


def draw_overlapping(
    samples: Samples, options: SSCCLOptions, side_px: int, dates: int, generator: Generator
) -> Overlapping:
    """Draw two views of each sample, and places on the ground that both show; see `draw_pair`."""
    if options.semantic == "region":
        require_room(options.region_px, side_px)
    pair = draw_pair(samples, options, side_px, dates, generator)
    points = shared_points(pair, options.points_across, generator)
    cells = grid_cells(pair, options.region_px, options.region_count, LEAST_SHARE, generator)
    return Overlapping(pair, points, cells)


class Projected(nn.Module):
    """A network with the projections of both branches: what there is twice, once learning and once following."""

    def __init__(self, network: nn.Module | None, width: int, embedding_width: int, options: SSCCLOptions) -> None:
        super().__init__()
        self.network = network
        self.instance = nn.Sequential(
            nn.Linear(width, 512), _Norm(512), nn.ReLU(inplace=True), nn.Linear(512, options.instance_width)
        )
        self.dense = nn.Sequential(
            nn.Conv2d(embedding_width, 128, 1), nn.BatchNorm2d(128), nn.ReLU(inplace=True),
            nn.Conv2d(128, options.point_width, 1),
        )  # fmt: skip

    def forward(self, maps: tuple[Maps, Maps], pair: Pair) -> tuple[list[Tensor], list[Tensor]]:
        """Return, of both views, the vectors of items (B, C) and the maps (B, C, H, W)."""
        views = pair.first, pair.second
        pooled = [moments(maps[v][1], views[v].use_BHW, "none")[0] for v in (0, 1)]
        vectors = self.instance(torch.cat(pooled)).chunk(2)
        return list(vectors), list(self.dense(torch.cat([maps[0][0], maps[1][0]])).chunk(2))


class SSCCLLoss(nn.Module):
    """Instance and consistency branch, with their heads and the copy of the network that follows it.

    Parameters
    ----------
    options : SSCCLOptions
    network : Network
        The network that learns; it is copied.
    example : Overlapping
        Of at least one item, on the network's device.
    """

    def __init__(self, options: SSCCLOptions, network: Network, example: Overlapping) -> None:
        super().__init__()
        self.options = options
        width = bottleneck_width(network, example.pair.first)
        self.online = Projected(None, width, network.embedding_width, options)
        self.target: Projected | None = None
        if options.negatives == "none":
            self.target = copy.deepcopy(self.online)
            self.target.network = copy.deepcopy(network)
            self.target.requires_grad_(False)
        self.predict_instance = nn.Sequential(
            nn.Linear(options.instance_width, 256), _Norm(256), nn.ReLU(inplace=True),
            nn.Linear(256, options.instance_width),
        )  # fmt: skip
        self.predict_dense = nn.Sequential(
            nn.Conv2d(options.point_width, 128, 1), nn.BatchNorm2d(128), nn.ReLU(inplace=True),
            nn.Conv2d(128, options.point_width, 1),
        )  # fmt: skip
        self.transform = nn.Linear(options.point_width, options.point_width)

    def forward(self, network: nn.Module, drawn: Overlapping, done: float = 0.0) -> tuple[Tensor, dict[str, Tensor]]:
        """Return the loss and measures.

        Parameters
        ----------
        network : nn.Module
            The network that learns.
        drawn : Overlapping
            As `draw_overlapping` makes it.
        done : float
            Share of the steps that are done: the momentum rises with it.

        Returns
        -------
        loss : Tensor
            0-d.
        measures : dict of 0-d Tensor
            ``instance``, ``spatial`` and ``semantic``, the parts; and those of `alikeness` over points.
        """
        options, pair = self.options, drawn.pair
        y, k = self.online(look_at_both(network, pair, at_once=True), pair)
        with torch.no_grad():
            y_t, k_t = self._targets(network, pair, done) if self.target is not None else (y, k)
            y_t, k_t = [t.detach() for t in y_t], [t.detach() for t in k_t]
        kept_B = drawn.points.kept_BR.any(1)
        points = [self._at(drawn.points, maps) for maps in (k, k_t)]
        if options.negatives == "batch":
            instance = nt_xent(y[0][kept_B], y[1][kept_B], options.temperature)
            kept_BM = drawn.points.kept_BR
            spatial = nt_xent(points[0][0][kept_BM], points[0][1][kept_BM], options.temperature)
        else:
            p = self.predict_instance(torch.cat(y)).chunk(2)
            instance = _apart(p, y_t, kept_B)
            c = self.predict_dense(torch.cat(k)).chunk(2)
            spatial = _apart(self._at(drawn.points, list(c)), points[1], drawn.points.kept_BR)
        semantic = self._semantic(drawn, k, k_t, points)
        loss = instance + options.consistency_weight * (spatial + options.semantic_weight * semantic)
        item_N = drawn.points.item_N
        watched = torch.linspace(
            0, max(0, len(item_N) - 1), min(MOST_WATCHED, len(item_N)), device=item_N.device
        ).long()
        seen = [points[1][v][drawn.points.kept_BR][watched] for v in (0, 1)]
        parts = {"instance": instance.detach(), "spatial": spatial.detach(), "semantic": semantic.detach()}
        return loss, {**parts, **alikeness(seen[0], seen[1], item_N[watched])}

    @torch.no_grad()
    def _targets(self, network: nn.Module, pair: Pair, done: float) -> tuple[list[Tensor], list[Tensor]]:
        """Let the copy follow the step before, buffers and all, and look through it."""
        target = self.target
        assert target is not None and target.network is not None
        if self.training:
            kept = 1 - (1 - self.options.momentum) * (math.cos(math.pi * done) + 1) / 2
            _follow(target.network, network, kept)
            _follow(target.instance, self.online.instance, kept)
            _follow(target.dense, self.online.dense, kept)
        found: tuple[list[Tensor], list[Tensor]] = target(look_at_both(target.network, pair, at_once=True), pair)
        return found

    def _at(self, places: Regions, maps: list[Tensor]) -> list[Tensor]:
        """Means of the maps of both views over places, axes (B, R, C)."""
        everywhere = [torch.ones_like(m[:, 0], dtype=torch.bool) for m in maps]
        boxes = places.first_BR4, places.second_BR4
        return [region_means(m, use, box) for m, use, box in zip(maps, everywhere, boxes, strict=True)]

    def _semantic(self, drawn: Overlapping, k: list[Tensor], k_t: list[Tensor], points: list[list[Tensor]]) -> Tensor:
        """Return the semantic term; 0 where there is none."""
        kept_BM = drawn.points.kept_BR
        if self.options.semantic == "region":
            c = list(self.predict_dense(torch.cat(k)).chunk(2))
            return _apart(self._at(drawn.cells, c), self._at(drawn.cells, k_t), drawn.cells.kept_BR)
        if self.options.semantic == "propagate":
            smooth = [propagated(p, self.transform(p), kept_BM) for p in points[0]]
            return _apart(smooth, points[1], kept_BM)
        if self.options.semantic == "affinity":
            log_a = [_log_affinity(p, kept_BM) for p in points[0]]
            log_t = [_log_affinity(p, kept_BM) for p in points[1]]
            return 0.5 * sum((_divergence(log_a[v], log_t[1 - v], kept_BM) for v in (0, 1)), k[0].new_zeros(()))
        return k[0].new_zeros(())


def _follow(slow: nn.Module, now: nn.Module, kept: float) -> None:
    for mine, its in zip(slow.parameters(), now.parameters(), strict=True):
        mine.lerp_(its, 1 - kept)
    for buffer, its_buffer in zip(slow.buffers(), now.buffers(), strict=True):
        buffer.copy_(its_buffer)


def propagated(k_BMC: Tensor, g_BMC: Tensor, kept_BM: Tensor) -> Tensor:
    """Sum over the points j of a sample of ``relu(cos(k_i, k_j))^2 g_j`` (PixPro, equation 4), axes (B, M, C)."""
    unit = normalize(k_BMC, dim=2)
    weight_BMM = relu(unit @ unit.mT) ** PROPAGATION_POWER
    return weight_BMM.masked_fill(~kept_BM[:, None], 0.0) @ g_BMC


def _log_affinity(k_BMC: Tensor, kept_BM: Tensor) -> Tensor:
    unit = normalize(k_BMC, dim=2)
    least = torch.finfo(unit.dtype).min
    return log_softmax((unit @ unit.mT / AFFINITY_TEMPERATURE).masked_fill(~kept_BM[:, None], least), 2)


def _divergence(log_a_BMM: Tensor, log_t_BMM: Tensor, kept_BM: Tensor) -> Tensor:
    """Mean over kept points of the divergence of the target's affinities from those of the network that learns."""
    each_BMM = kl_div(log_a_BMM, log_t_BMM, reduction="none", log_target=True)
    both_BMM = kept_BM[:, :, None] & kept_BM[:, None, :]
    return torch.where(both_BMM, each_BMM, 0.0).sum() / kept_BM.sum().clamp_min(1)


def _apart(guess: list[Tensor] | tuple[Tensor, ...], target: list[Tensor], kept: Tensor) -> Tensor:
    """Mean of ``2 - 2 cos`` of each view's guess and the other view's target, over both directions and what is kept."""
    total = guess[0].new_zeros((), dtype=torch.float32)
    for v in (0, 1):
        a, b = normalize(guess[v].float(), dim=-1), normalize(target[1 - v].float(), dim=-1)
        total = total + torch.where(kept, 2 - 2 * (a * b).sum(-1), 0.0).sum()
    return total / (2 * kept.sum()).clamp_min(1)


class _Norm(nn.BatchNorm1d):
    """Batch norm that takes a batch of one, whose variance says nothing, by its running statistics."""

    def forward(self, x_NC: Tensor) -> Tensor:
        if len(x_NC) > 1:
            return super().forward(x_NC)
        return batch_norm(x_NC, self.running_mean, self.running_var, self.weight, self.bias, eps=self.eps)


losses.register("ssccl-style-reconstructed")(
    Objective(
        reads="views",
        options=SSCCLOptions,
        build=SSCCLLoss,
        draw=draw_overlapping,
        summary="SSCCL-style, reconstructed: two views agree as a whole and where they overlap; reads no labels.",
    )
)
