"""Targets that may lie off by whole pixels: each item takes the shift that its similarities agree with best.

Similarities are computed once, and what is known of the ground is moved over them; what comes in over the border is
unknown. How well a shift fits is the mean gap of an item: mean similarity of the pairs that are alike, minus that of
those that are unlike, averaged over the scales. Then

- the loss is that of the best shift of each item, the shortest among equals: for the linear form the minimum over them;
- with ``shift_temperature`` pairs count by the mean of their weights over the shifts, each shift weighed by the softmax
  of its gap over that temperature: a soft minimum. What shifts weigh is held fixed on the way back.

Axes: B item, M shift, H row, W column, k row or column of the window.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from .contrast import LEAST_WEIGHT, weighted
from .ground import Ground, Pairs

if TYPE_CHECKING:
    from .cscl import CSCLOptions

__all__ = ["best_pairs"]

LEAST_GAIN = 1e-5  # of the gap, by pixel, for which a shift is taken: rounding is no reason
UNFIT = -1e4  # gap of a shift that leaves an item without pairs of both kinds


def best_pairs(
    s_BkkHW: Sequence[Tensor], ground: Ground, options: CSCLOptions
) -> tuple[list[Pairs], dict[str, Tensor]]:
    """Pairs of each scale under the best shift of each item.

    Parameters
    ----------
    s_BkkHW : sequence of Tensor
        Similarities of each scale.
    ground : Ground
        Unmoved.
    options : CSCLOptions
        Its scales, and how far shifts go.

    Returns
    -------
    pairs : list of Pairs
        For each scale.
    measures : dict of 0-d Tensor
        With shifts, ``shift_px``: mean length of those that were taken.
    """
    if not options.shift_px:
        return _pairs(ground, options), {}
    reach = range(-options.shift_px, options.shift_px + 1)
    moves = sorted(((down, right) for down in reach for right in reach), key=lambda move: move[0] ** 2 + move[1] ** 2)
    with torch.no_grad():
        gap_MB = torch.stack([_gap(s_BkkHW, _pairs(ground.moved(*move), options)) for move in moves])
        length_M = gap_MB.new_tensor(moves).norm(dim=1)
        gap_MB -= LEAST_GAIN * length_M[:, None]
        share_MB = _shares(gap_MB, options.shift_temperature)
    if options.shift_temperature:
        pairs = _mixed(ground, moves, share_MB, options)
    else:
        best_B, chosen = gap_MB.argmax(0), ground
        for number, move in enumerate(moves[1:], 1):
            chosen = chosen.where(best_B == number, ground.moved(*move))
        pairs = _pairs(chosen, options)
    return pairs, {"shift_px": (share_MB * length_M[:, None]).sum(0).mean()}


def _pairs(ground: Ground, options: CSCLOptions) -> list[Pairs]:
    everything = options.mode == "reference"
    return [ground.pairs(*scale, options.stride, all_pairs=everything) for scale in options.scales]


def _gap(s_BkkHW: Sequence[Tensor], pairs: Sequence[Pairs]) -> Tensor:
    """Mean gap of each item over the scales: (B,)."""
    found = []
    for s, sides in zip(s_BkkHW, pairs, strict=True):
        weight = [side.sum((1, 2, 3, 4)).type(s.dtype) for side in sides]
        alike, unlike = (
            weighted(s, side, by_item=True) / w.clamp_min(LEAST_WEIGHT) for side, w in zip(sides, weight, strict=True)
        )
        both = torch.minimum(*weight) > 0
        found.append(torch.where(both, alike - unlike, UNFIT))
    return torch.stack(found).mean(0)


def _shares(gap_MB: Tensor, temperature: float) -> Tensor:
    if temperature:
        return (gap_MB / temperature).softmax(0)
    return torch.zeros_like(gap_MB).scatter_(0, gap_MB.argmax(0, keepdim=True), 1)


def _mixed(ground: Ground, moves: Sequence[tuple[int, int]], share_MB: Tensor, options: CSCLOptions) -> list[Pairs]:
    """Weights of pairs, averaged over the shifts."""
    sums: list[list[Tensor]] = []
    for move, share_B in zip(moves, share_MB, strict=True):
        share_B1111 = share_B.view(-1, 1, 1, 1, 1)
        here = [[share_B1111 * side for side in sides] for sides in _pairs(ground.moved(*move), options)]
        sums = [[a + b for a, b in zip(*both, strict=True)] for both in zip(sums, here, strict=True)] if sums else here
    return [(alike, unlike) for alike, unlike in sums]
