"""Targets for pixels without a crop: what a teacher says of them, averaged over each parcel.

A register knows the outlines of all parcels, and in one parcel grows one crop. So all pixels of a parcel share one
answer, and it comes from its inside: at the edge, where pixels are mixed, the teacher itself is least certain.

Axes: B item, K class, H row, W column, U parcel of an item, P pixel of the batch.
"""

from __future__ import annotations

import torch
from torch import Tensor

from .together import mean_over_processes

__all__ = ["answers_of_parcels", "consistency", "inside"]

EDGE_WEIGHT = 0.02  # of a pixel at the edge: it counts only where a parcel has no other


def answers_of_parcels(probability_BKHW: Tensor, parcel_BHW: Tensor) -> Tensor:
    """Average probabilities over the pixels of each parcel of each item, those at its edge all but left out.

    Parameters
    ----------
    probability_BKHW : Tensor
        Probabilities of the classes, 0..1.
    parcel_BHW : Tensor
        int64 parcel ids, negative outside; parts of a parcel in two items are averaged apart.

    Returns
    -------
    Tensor
        Axes and type of `probability_BKHW`; what lies outside parcels is averaged item by item.
    """
    items, classes = probability_BKHW.shape[:2]
    item_B11 = torch.arange(items, device=parcel_BHW.device)[:, None, None]
    number_BHW = parcel_BHW.clamp_min(-1) + 1
    unit_P = torch.unique(item_B11 * (number_BHW.max() + 1) + number_BHW, return_inverse=True)[1].flatten()
    weight_P = torch.where(inside(parcel_BHW), 1.0, EDGE_WEIGHT).flatten().to(probability_BKHW.dtype)
    seen_PK = probability_BKHW.movedim(1, -1).reshape(-1, classes)
    units = int(unit_P.max()) + 1
    sum_UK = seen_PK.new_zeros(units, classes).index_add_(0, unit_P, seen_PK * weight_P[:, None])
    mass_U = seen_PK.new_zeros(units).index_add_(0, unit_P, weight_P)
    answer_PK = (sum_UK / mass_U[:, None])[unit_P]
    return answer_PK.view(*parcel_BHW.shape, classes).movedim(-1, 1)


def inside(parcel_BHW: Tensor) -> Tensor:
    """Whether none of the four neighbours of a pixel lies in another parcel; beyond the patch there are none."""
    down, right = parcel_BHW.diff(dim=1) != 0, parcel_BHW.diff(dim=2) != 0
    at_edge = torch.zeros_like(parcel_BHW, dtype=torch.bool)
    at_edge[:, 1:] |= down
    at_edge[:, :-1] |= down
    at_edge[:, :, 1:] |= right
    at_edge[:, :, :-1] |= right
    return ~at_edge


def consistency(logits_BKHW: Tensor, answer_BKHW: Tensor, counts_BHW: Tensor) -> Tensor:
    """Cross-entropy of logits against answers, each weighed by its largest probability: a scalar.

    Parameters
    ----------
    logits_BKHW, answer_BKHW : Tensor
        What is learnt, and the probabilities to learn from.
    counts_BHW : Tensor
        Bool: the pixels that count. The mean is over all of them, so that doubtful answers weigh less, not others more.
    """
    loss_BHW = -(answer_BKHW * logits_BKHW.float().log_softmax(1)).sum(1)
    weight_BHW = answer_BKHW.amax(1) * counts_BHW
    count = mean_over_processes(counts_BHW.sum())
    return (loss_BHW * weight_BHW).sum() / torch.where(count > 0, count, 1)
