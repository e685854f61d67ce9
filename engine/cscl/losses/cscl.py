"""Context-self contrastive loss: neighbours of one class or parcel attract, neighbours of two repel.

After Tarasiou, Güler and Zafeiriou 2022, "Context-self contrastive pretraining for crop type semantic segmentation",
IEEE TGRS 60. The loss is linear in the similarity s of pixel and tap: positives count -s, negatives +s. Linear losses
can collapse onto one constant similarity when the two sides are out of balance; so the default weighs both sides alike,
and the measures tell the two means apart.

Axes: B item, D embedding, A attention channel, H row, W column, k row or column of the window.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Literal

import torch
from torch import Tensor, nn

from cscl.errors import InputError

from . import Objective, losses
from .affinity import affinity, label_agreement

__all__ = ["CSCLHead", "CSCLLoss", "CSCLOptions", "contrast"]

COLLAPSE_SIMILARITY = 0.9  # both means above this share of the largest similarity: everything looks alike
COLLAPSE_GAP = 0.02  # or positives exceed negatives by less than this share of it
CODE_DEVIATION = 0.02  # of the position codes at the start; the published 1 drowns the content


@dataclass(frozen=True)
class CSCLOptions:
    """Options of `CSCLLoss`.

    ``mode`` decides which pairs of pixel and tap count, and how:

    - ``balanced``: mean similarity of the negatives minus that of the positives, over the whole batch; an empty side
      counts 0. Pairs with the border, with unknown pixels and of a pixel with itself are left out.
    - ``masked``: the same pairs, with ``positive_weight`` on the positives, over the number of ``masked_mean``.
    - ``reference``: as published: the mean over all pairs, where taps beyond the border are negatives, unknown is a
      class like any other (so an all-unknown batch does not count 0) and the centre is a positive.
    """

    window: Annotated[int, {"min": 3, "max": 15, "step": 2, "tooltip": "CSCL window, pixels across"}] = 3
    dilation: Annotated[int, {"min": 1, "max": 8, "tooltip": "Pixels between neighbouring taps of the window"}] = 1
    stride: Annotated[
        int, {"min": 1, "max": 8, "tooltip": "Pixels between the centres of windows: 1, or the same as the dilation"}
    ] = 1
    width: Annotated[int, {"min": 2, "max": 512, "step": 2, "tooltip": "Attention channels of the head"}] = 128
    groups: Annotated[int, {"min": 1, "max": 16, "tooltip": "Groups of channels, each with its own similarity"}] = 1
    normalise: Annotated[bool, {"tooltip": "Compare directions only (cosine), not lengths"}] = True
    mode: Annotated[
        Literal["balanced", "reference", "masked"],
        {"tooltip": "Balance positives and negatives; or weigh them as published, with all pairs or the known ones"},
    ] = "balanced"
    positive_weight: Annotated[
        float, {"min": 0.0, "max": 10.0, "step": 0.005, "tooltip": "Weight of positives, unless balanced"}
    ] = 0.125
    masked_mean: Annotated[
        Literal["kept", "total"], {"tooltip": "What the masked mode divides by: the pairs kept, or all of them"}
    ] = "kept"


class CSCLHead(nn.Module):
    """Projections to queries and keys, and position codes: what turns an embedding into similarities.

    The codes start from a normal distribution: with deviation 1 in the reference mode, as published, otherwise 0.02,
    because codes of length sqrt(A) are several times longer than keys at the start and leave cosines blind to content.

    Parameters
    ----------
    options : CSCLOptions
    width : int
        Channels D of the embedding.
    """

    def __init__(self, options: CSCLOptions, width: int) -> None:
        super().__init__()
        if options.width % 2 or options.width % options.groups:
            raise InputError(
                f"A CSCL width of {options.width} channels cannot be halved and cut into {options.groups} groups: "
                "choose a multiple of both."
            )
        self.options = options
        self.query = nn.Conv2d(width, options.width, 1, bias=False)
        self.key = nn.Conv2d(width, options.width, 1, bias=False)
        deviation = 1.0 if options.mode == "reference" else CODE_DEVIATION
        self.row_Ak = nn.Parameter(deviation * torch.randn(options.width // 2, options.window))
        self.col_Ak = nn.Parameter(deviation * torch.randn(options.width // 2, options.window))

    def affinity(self, embedding_BDHW: Tensor) -> Tensor:
        """Return s_BkkHW, float32 or float64, from an embedding; H and W shrink by the stride. See `affinity`."""
        options = self.options
        return affinity(
            self.query(embedding_BDHW),
            self.key(embedding_BDHW),
            self.row_Ak,
            self.col_Ak,
            window=options.window,
            dilation=options.dilation,
            stride=options.stride,
            groups=options.groups,
            normalise=options.normalise,
        )

    def forward(self, embedding_BDHW: Tensor) -> Tensor:
        """Return `affinity` of the embedding."""
        return self.affinity(embedding_BDHW)


class CSCLLoss(nn.Module):
    """Context-self contrastive loss of an embedding against class indices or parcel ids.

    Parameters
    ----------
    options : CSCLOptions
    width : int
        Channels D of the embedding.
    """

    def __init__(self, options: CSCLOptions, width: int) -> None:
        super().__init__()
        self.options = options
        self.head = CSCLHead(options, width)

    def forward(self, embedding_BDHW: Tensor, target_BHW: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
        """Return the loss and the measures of `contrast`.

        Parameters
        ----------
        embedding_BDHW : Tensor
            Any floating dtype.
        target_BHW : Tensor
            int64 class indices or parcel ids, negative where unknown, on the pixels of the embedding.

        Raises
        ------
        InputError
            If target and embedding do not share items, rows and columns.
        """
        if target_BHW.shape != (embedding_BDHW.shape[0], *embedding_BDHW.shape[2:]):
            raise InputError(
                f"The target {tuple(target_BHW.shape)} (item, row, column) does not lie on the pixels of the "
                f"embedding {tuple(embedding_BDHW.shape)} (item, channel, row, column)."
            )
        return contrast(self.head.affinity(embedding_BDHW), target_BHW, self.options)


def contrast(s_BkkHW: Tensor, target_BHW: Tensor, options: CSCLOptions) -> tuple[Tensor, dict[str, Tensor]]:
    """Context-self contrastive loss of given similarities.

    Parameters
    ----------
    s_BkkHW : Tensor
        Similarities of `affinity`.
    target_BHW : Tensor
        int64 class indices or parcel ids, negative where unknown, before any stride.
    options : CSCLOptions
        Its window, dilation and stride are those that `s_BkkHW` was made with.

    Returns
    -------
    loss : Tensor
        0-d.
    measures : dict of 0-d Tensor
        ``similarity_positive`` and ``similarity_negative``, means over the pairs that count (0 for no pair), their
        difference ``similarity_gap``, ``positive_share`` of the pairs that count, and ``collapsed``: 1 if both sides
        have pairs and either both means exceed 0.9 of the largest similarity or the gap is below 0.02 of it. Every
        network starts so; one that stays so has learned nothing.
    """
    positive, kept = label_agreement(target_BHW, options.window, options.dilation, options.stride)
    kept = torch.ones_like(kept) if options.mode == "reference" else kept
    positive, negative = kept & positive, kept & ~positive
    count_positive, count_negative = positive.sum(), negative.sum()
    # where() remembers the masks, a byte a pair, and not the similarities.
    sum_positive = torch.where(positive, s_BkkHW, 0).sum()
    sum_negative = torch.where(negative, s_BkkHW, 0).sum()
    mean_positive, mean_negative = (
        sum_positive / count_positive.clamp_min(1),
        sum_negative / count_negative.clamp_min(1),
    )
    if options.mode == "balanced":
        loss = mean_negative - mean_positive
    else:
        total = options.mode == "masked" and options.masked_mean == "total"
        pairs = torch.full_like(count_positive, kept.numel()) if total else count_positive + count_negative
        loss = (sum_negative - options.positive_weight * sum_positive) / pairs.clamp_min(1)
    measures = _measures(mean_positive.detach(), mean_negative.detach(), count_positive, count_negative, options)
    return loss, measures


def _measures(
    mean_positive: Tensor, mean_negative: Tensor, count_positive: Tensor, count_negative: Tensor, options: CSCLOptions
) -> dict[str, Tensor]:
    largest = options.groups if options.normalise else float("inf")
    gap = mean_positive - mean_negative
    alike = torch.minimum(mean_positive, mean_negative) > COLLAPSE_SIMILARITY * largest
    flat = gap < COLLAPSE_GAP * (options.groups if options.normalise else 1)
    both = (count_positive > 0) & (count_negative > 0)
    return {
        "similarity_positive": mean_positive,
        "similarity_negative": mean_negative,
        "similarity_gap": gap,
        "positive_share": count_positive / (count_positive + count_negative).clamp_min(1),
        "collapsed": (both & (alike | flat)).type(gap.dtype),
    }


losses.register("cscl")(
    Objective(
        reads="embedding",
        options=CSCLOptions,
        build=CSCLLoss,
        summary="Contrasts each pixel with its neighbours: one class or parcel attracts, two repel.",
    )
)
