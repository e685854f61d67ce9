"""What pairs of pixel and tap cost by their similarity s, and how the costs are put together.

``form`` says what a pair costs, with t the temperature and b the threshold:

- ``linear``: -s if it is alike, s if it is unlike, as published;
- ``sigmoid``: its binary cross-entropy, log(1 + exp(-(s - b) / t)) if alike and log(1 + exp((s - b) / t)) if unlike
  (Zhai et al. 2023, "Sigmoid loss for language image pre-training", ICCV, whose bias is -b / t);
- ``softmax``: the taps of a pixel compete: log sum_taps exp(s / t) minus the mean of s / t over the taps that are alike
  (Khosla et al. 2020, "Supervised contrastive learning", NeurIPS, their L_out, within one window).

``mode`` says which pairs count, and how those of the first two forms are put together:

- ``balanced``: mean cost of the pairs that are alike plus that of those that are unlike, over the whole batch; an empty
  side counts 0. Pairs with the border, with unknown pixels and of a pixel with itself are left out. Linear costs
  collapse onto one constant similarity when the two sides are out of balance.
- ``masked``: the same pairs, with ``positive_weight`` on those that are alike, over the number of ``masked_mean``.
- ``reference``: as published: the mean over all pairs, where taps beyond the border are unlike, unknown is a class like
  any other (so an all-unknown batch does not count 0) and the pixel itself is alike.

The softmax balances each pixel by itself; its loss is the mean over the pixels that have taps of both kinds. Where
pairs have weights, all sums and means are weighted, and such a pixel by the lighter of its sides, but at most 1.

Axes: B item, T tap, H row, W column, k row or column of the window.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import Tensor
from torch.nn.functional import softplus

from .ground import Pairs
from .together import mean_over_processes, processes

if TYPE_CHECKING:
    from .cscl import CSCLOptions

__all__ = ["Weights", "addends", "contrast", "factors", "measures", "weighted"]

COLLAPSE_SIMILARITY = 0.9  # both means above this share of the largest similarity: everything looks alike
COLLAPSE_GAP = 0.02  # or those alike exceed the unlike by less than this share of it
LEAST_WEIGHT = 1e-6  # of a side; below, it is empty


def contrast(
    s_BkkHW: Tensor, pairs: Pairs, options: CSCLOptions, threshold: Tensor | float = 0.0
) -> tuple[Tensor, dict[str, Tensor]]:
    """Context-self contrastive loss of given similarities.

    Parameters
    ----------
    s_BkkHW : Tensor
        Similarities of `affinity`.
    pairs : tuple of Tensor
        Weights of the pairs that are alike and of those that are unlike, axes as `s_BkkHW`, bool or float in 0..1.
    options : CSCLOptions
        Its form and mode.
    threshold : Tensor or float
        Of the sigmoid form.

    Returns
    -------
    loss : Tensor
        0-d.
    measures : dict of 0-d Tensor
        See `measures`.
    """
    weights = Weights.of(pairs, s_BkkHW.dtype, options).together()
    loss, mean_alike, mean_unlike = addends(s_BkkHW, pairs, weights, options, threshold)
    return loss, measures(mean_alike, mean_unlike, weights, options)


@dataclass(frozen=True)
class Weights:
    """What is divided by: sums over all pairs of a batch, known before any similarity is.

    Parameters
    ----------
    sums_4 : Tensor
        Weight of the pairs that are alike and of those that are unlike; of the pixels that have taps of both kinds (for
        the softmax alone); and the number of pairs, whatever they weigh.
    least : float
        A side that weighs less is empty.
    """

    sums_4: Tensor
    least: float

    @classmethod
    def of(cls, pairs: Pairs, dtype: torch.dtype, options: CSCLOptions) -> Weights:
        """Weigh some pairs."""
        alike, unlike = pairs
        number = alike.new_full((), alike.numel(), dtype=dtype)
        pixels = _pixels(alike.flatten(1, 2), unlike.flatten(1, 2)).sum() if options.form == "softmax" else number
        sums_4 = torch.stack([x.type(dtype) for x in (alike.sum(), unlike.sum(), pixels, number)])
        return cls(sums_4, LEAST_WEIGHT if alike.is_floating_point() else 1)

    def means(self, of_alike: Tensor | float, of_unlike: Tensor | float) -> tuple[Tensor, Tensor]:
        """Divide sums over the pairs of each side by their weight; an empty side has a mean of 0."""
        alike, unlike = self.sums_4[:2].clamp_min(self.least)
        return of_alike / alike, of_unlike / unlike

    def __add__(self, other: Weights) -> Weights:
        """Weigh the pairs of both."""
        return Weights(self.sums_4 + other.sums_4, self.least)

    def together(self) -> Weights:
        """Weigh what all processes see of a batch, per process: see `cscl.losses.together`."""
        return Weights(mean_over_processes(self.sums_4), self.least / processes())


def addends(
    s_BkkHW: Tensor, pairs: Pairs, weights: Weights, options: CSCLOptions, threshold: Tensor | float
) -> tuple[Tensor, Tensor, Tensor]:
    """Loss and mean similarity of the pairs that are alike and unlike: what some pairs of a batch add to each.

    `weights` are those of the whole batch, so that what its parts add makes up the whole. The means are detached.
    """
    sum_alike, sum_unlike = (weighted(s_BkkHW, side) for side in pairs)
    means = weights.means(sum_alike.detach(), sum_unlike.detach())
    if options.form == "softmax":
        taps = (x.flatten(1, 2) for x in (s_BkkHW / options.temperature, *pairs))
        return _among_taps(*taps) / weights.sums_4[2].clamp_min(LEAST_WEIGHT), *means
    cost_alike, cost_unlike = -sum_alike, sum_unlike
    if options.form == "sigmoid":
        z_BkkHW = (s_BkkHW - threshold) / options.temperature
        cost_alike, cost_unlike = weighted(softplus(-z_BkkHW), pairs[0]), weighted(softplus(z_BkkHW), pairs[1])
    by_alike, by_unlike = factors(weights, options)
    return by_alike * cost_alike + by_unlike * cost_unlike, *means


def factors(weights: Weights, options: CSCLOptions) -> tuple[Tensor, Tensor]:
    """Say what the cost of a pair of each side counts in the loss, unless in the softmax form."""
    if options.mode == "balanced":
        return weights.means(1, 1)
    total = options.mode == "masked" and options.masked_mean == "total"
    number = weights.sums_4[3] if total else weights.sums_4[:2].sum().clamp_min(weights.least)
    return options.positive_weight / number, 1 / number


def weighted(value_BkkHW: Tensor, weight_BkkHW: Tensor, *, by_item: bool = False) -> Tensor:
    """Sum values by their weights, over all or over each item: 0-d, or (B,)."""
    if weight_BkkHW.dtype == torch.bool:  # where() remembers the masks, a byte a pair, and not the values
        product = torch.where(weight_BkkHW, value_BkkHW, 0)
    else:
        product = value_BkkHW * weight_BkkHW
    return product.sum((1, 2, 3, 4)) if by_item else product.sum()


def _among_taps(z_BTHW: Tensor, alike_BTHW: Tensor, unlike_BTHW: Tensor) -> Tensor:
    """Sum over the pixels of the cross-entropy of the taps that are alike among those of each window."""
    alike_BTHW, unlike_BTHW = (side.type(z_BTHW.dtype) for side in (alike_BTHW, unlike_BTHW))
    pixel_BHW = _pixels(alike_BTHW, unlike_BTHW)
    weight_BTHW = alike_BTHW + unlike_BTHW
    weight_BTHW = torch.where(pixel_BHW[:, None] > 0, weight_BTHW, 1)  # what has no weight is to stay finite
    # A weight of 0 gives -inf, whose gradient is 0.
    among_BHW = (z_BTHW + weight_BTHW.log()).logsumexp(1)
    own_BHW = (z_BTHW * alike_BTHW).sum(1) / alike_BTHW.sum(1).clamp_min(LEAST_WEIGHT)
    return ((among_BHW - own_BHW) * pixel_BHW).sum()


def _pixels(alike_BTHW: Tensor, unlike_BTHW: Tensor) -> Tensor:
    """Weigh pixels by the lighter of their sides, but at most 1."""
    return torch.minimum(alike_BTHW.sum(1), unlike_BTHW.sum(1)).clamp_max(1)


def measures(mean_alike: Tensor, mean_unlike: Tensor, weights: Weights, options: CSCLOptions) -> dict[str, Tensor]:
    """Report on a batch besides its loss.

    Returns
    -------
    dict of 0-d Tensor
        ``similarity_positive`` and ``similarity_negative``, means of s over the pairs that are alike and unlike (0 for
        no pair), their difference ``similarity_gap``, ``positive_share`` of the pairs that count, and ``collapsed``: 1
        if both sides have pairs and either both means exceed 0.9 of the largest similarity or the gap is below 0.02 of
        it. Every network starts so; one that stays so has learned nothing.
    """
    weight_alike, weight_unlike = weights.sums_4[:2]
    largest = options.groups if options.normalise else float("inf")
    gap = mean_alike - mean_unlike
    same = torch.minimum(mean_alike, mean_unlike) > COLLAPSE_SIMILARITY * largest
    flat = gap < COLLAPSE_GAP * (options.groups if options.normalise else 1)
    both = (weight_alike > 0) & (weight_unlike > 0)
    return {
        "similarity_positive": mean_alike,
        "similarity_negative": mean_unlike,
        "similarity_gap": gap,
        "positive_share": weight_alike / (weight_alike + weight_unlike).clamp_min(LEAST_WEIGHT),
        "collapsed": (both & (same | flat)).type(gap.dtype),
    }
