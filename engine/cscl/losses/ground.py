"""What is known of the ground at each pixel, and which pairs of pixel and tap are alike or unlike by it.

Axes: B item, N parcel in a pixel, H row, W column, k row or column of the window.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import pad

from cscl.errors import InputError

from .affinity import EVERY, label_agreement, neighbours

__all__ = ["Ground", "Pairs"]

Pairs = tuple[Tensor, Tensor]
"""Weights of the pairs that are alike and of those that are unlike, axes BkkHW: bool, or float in 0..1."""


@dataclass(frozen=True)
class Ground:
    """What makes two pixels alike.

    Without `share_BNHW` pairs count as a whole. With it they count by what two points, one in each pixel, are to be
    expected to be: alike with weight ``sum_p share_p share'_p``, and unlike with the rest of ``sum_p share_p * sum_p
    share'_p``, so that what lies outside of all parcels counts nothing.

    Parameters
    ----------
    target_BHW : Tensor
        int64 parcel ids or class indices, negative where unknown.
    crop_BHW : Tensor, optional
        int64 class indices, negative where unknown, beside parcel ids: two parcels of one known crop are alike, too,
        and where a pixel has no parcel its crop is told from others.
    parcels_BNHW, share_BNHW : Tensor, optional
        Parcels in a pixel, int64, and their shares of its area, 0..1; a share of 0 means none. They go before
        `target_BHW`.
    crops_needed : bool
        Leave out pairs of two parcels whose crops are not both known; otherwise they are unlike.
    """

    target_BHW: Tensor
    crop_BHW: Tensor | None = None
    parcels_BNHW: Tensor | None = None
    share_BNHW: Tensor | None = None
    crops_needed: bool = False

    def pairs(
        self, window: int, dilation: int = 1, stride: int = 1, *, all_pairs: bool = False, rows: slice = EVERY
    ) -> Pairs:
        """Weigh the pairs of each pixel with the taps of its window; geometry as in `affinity`.

        With `all_pairs` unknown is a value like any other, and taps beyond the border and the pixel itself count.
        `rows` chooses rows of pixels, after the stride.

        Raises
        ------
        InputError
            If all pairs are to count, but more than one map says what is alike.
        """
        if all_pairs:
            if self.crop_BHW is not None or self.share_BNHW is not None:
                raise InputError(
                    "The reference mode of CSCL compares one map of parcels or crops. Choose mode=balanced for both at "
                    "once and for shares of mixed pixels."
                )
            alike, _ = label_agreement(self.target_BHW, window, dilation, stride, rows=rows)
            return alike, ~alike
        geometry = window, dilation, stride, rows
        alike, unlike = self._by_shares(*geometry) if self.share_BNHW is not None else self._by_target(*geometry)
        return (alike, unlike) if self.crop_BHW is None else self._with_crops(alike, unlike, *geometry)

    def items(self, items: slice) -> Ground:
        """Take some items."""
        return self._map(lambda x: x[items])

    def moved(self, down_px: int, right_px: int) -> Ground:
        """Move what is known; what comes in over the border is unknown."""
        sides = (right_px, -right_px, down_px, -down_px)
        return self._map(lambda x: pad(x, sides, value=0 if x.is_floating_point() else -1))

    def where(self, chosen_B: Tensor, other: Ground) -> Ground:
        """Take another ground for the chosen items."""
        others = iter([x for x in vars(other).values() if isinstance(x, Tensor)])
        return self._map(lambda x: torch.where(chosen_B.view(-1, *[1] * (x.ndim - 1)), next(others), x))

    def _map(self, change: Callable[[Tensor], Tensor]) -> Ground:
        changed: dict[str, Any] = {k: change(v) for k, v in vars(self).items() if isinstance(v, Tensor)}
        return replace(self, **changed)

    def _by_target(self, window: int, dilation: int, stride: int, rows: slice) -> Pairs:
        same, kept = label_agreement(self.target_BHW, window, dilation, stride, rows=rows)
        return same & kept, kept & ~same

    def _by_shares(self, window: int, dilation: int, stride: int, rows: slice) -> Pairs:
        assert self.parcels_BNHW is not None and self.share_BNHW is not None
        centre, tap = neighbours(self.share_BNHW.sum(1), window, dilation, stride, beyond=0, rows=rows)
        known_BkkHW = centre * tap
        known_BkkHW[:, window // 2, window // 2] = 0  # a pixel makes no pair with itself
        alike_BkkHW = torch.zeros_like(known_BkkHW)
        in_pixel = list(zip(self.parcels_BNHW.unbind(1), self.share_BNHW.unbind(1), strict=True))
        found = [[neighbours(x, window, dilation, stride, beyond=0, rows=rows) for x in pair] for pair in in_pixel]
        for (parcel, _), (share, _) in found:
            for (_, other), (_, other_share) in found:
                alike_BkkHW += torch.where(parcel == other, share * other_share, 0)
        alike_BkkHW = torch.minimum(alike_BkkHW, known_BkkHW)
        return alike_BkkHW, known_BkkHW - alike_BkkHW

    def _with_crops(self, alike: Tensor, unlike: Tensor, window: int, dilation: int, stride: int, rows: slice) -> Pairs:
        assert self.crop_BHW is not None
        same_crop, told = label_agreement(self.crop_BHW, window, dilation, stride, rows=rows)
        same_crop = same_crop & told
        if alike.dtype != torch.bool:
            alike, unlike = torch.where(same_crop, alike + unlike, alike), torch.where(same_crop, 0, unlike)
            return alike, torch.where(told, unlike, 0) if self.crops_needed else unlike
        alike, unlike = alike | same_crop, (unlike | told) & ~(alike | same_crop)
        return alike, unlike & told if self.crops_needed else unlike
