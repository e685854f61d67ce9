"""What the pairs of a strip cost, on every scale: by their similarities one by one, or by sums over boxes.

Axes as in `cscl.losses.affinity`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import reduce
from operator import add
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from cscl import compiling

from .affinity import EPSILON, around, code_table, similarity, spacing, worth_compiling
from .contrast import Weights, addends, factors
from .ground import Ground, Pairs
from .sweep import strips

if TYPE_CHECKING:
    from .cscl import CSCLOptions

__all__ = ["BoxCosts", "StripCosts", "strip_costs"]

Place = tuple[slice, slice, int]
"""Items, rows of the queries, and how many rows of keys are above these."""


def strip_costs(options: CSCLOptions, ground: Ground, dtype: torch.dtype, threshold: float) -> StripCosts:
    """Weigh the pairs of a batch, and choose how the costs of its strips are made.

    Parameters
    ----------
    options : CSCLOptions
    ground : Ground
        Of the whole batch.
    dtype : dtype
        Of queries and keys.
    threshold : float
        Of the sigmoid form, unless it is learnt.
    """
    one_map = ground.crop_BHW is None and ground.share_BNHW is None
    summed = options.form == "linear" and one_map and ground.target_BHW.is_cpu
    if options.position_codes:
        summed = summed and worth_compiling(ground.target_BHW.numel() * options.width, options.window)
    form = BoxCosts if summed and compiling.module("cscl.losses.windows") is not None else StripCosts
    weights = [form.weigh(options, ground, scale, dtype).together() for scale in options.scales]
    return form(options, ground, weights, threshold)


@dataclass(frozen=True)
class StripCosts:
    """Costs of strips, as `cscl.losses.sweep` wants them; of what else is learnt it takes codes, and a threshold.

    Parameters
    ----------
    options : CSCLOptions
    ground : Ground
        Of the whole batch.
    weights : sequence of Weights
        Of the whole batch, for each scale.
    threshold : float
        Unless it is learnt.
    """

    options: CSCLOptions
    ground: Ground
    weights: Sequence[Weights]
    threshold: float

    @staticmethod
    def weigh(options: CSCLOptions, ground: Ground, scale: tuple[int, int], dtype: torch.dtype) -> Weights:
        """Weigh the pairs of a batch on one scale, strip by strip."""
        items, height, width = ground.target_BHW[:, :: options.stride, :: options.stride].shape
        places = strips(items, height, width, ground.target_BHW.device)
        pairs = (_pairs(ground, options, scale, *place) for place in places)
        return reduce(add, (Weights.of(each, dtype, options) for each in pairs))

    @property
    def reach_px(self) -> int:
        """Rows that the widest window reaches, after the stride."""
        return max(w // 2 * self._dilation((w, dilation)) for w, dilation in self.options.scales)

    def __call__(
        self, q_NHWA: Tensor, k_NVWA: Tensor, items: slice, rows: slice, above_px: int, *learnt: Tensor
    ) -> Tensor:
        """Loss, averaged over the scales, and mean similarities of the alike and the unlike on the first: (3,)."""
        place = items, rows, above_px
        found = [self._on_scale(n, q_NHWA, k_NVWA, place, learnt) for n in range(len(self.options.scales))]
        return torch.stack([torch.stack([loss for loss, *_ in found]).mean(), *found[0][1:]])

    def _on_scale(
        self, number: int, q_NHWA: Tensor, k_NVWA: Tensor, place: Place, learnt: Sequence[Tensor]
    ) -> tuple[Tensor, Tensor, Tensor]:
        options, scale, (items, rows, above_px) = self.options, self.options.scales[number], place
        codes, threshold = learnt[2 * number : 2 * number + 2], learnt[2 * len(options.scales) :]
        s_NkkHW = similarity(
            q_NHWA, k_NVWA, *codes, dilation=self._dilation(scale), groups=options.groups,
            normalise=options.normalise, above_px=above_px,
        )  # fmt: skip
        pairs = _pairs(self.ground, options, scale, items, rows)
        return addends(s_NkkHW, pairs, self.weights[number], options, threshold[0] if threshold else self.threshold)

    def _dilation(self, scale: tuple[int, int]) -> int:
        """Dilation of a scale that is left after the stride."""
        return spacing(*scale, self.options.stride)[1]


class BoxCosts(StripCosts):
    """Costs that are linear in the similarities of one map's pairs, so that sums over windows are enough."""

    @staticmethod
    def weigh(options: CSCLOptions, ground: Ground, scale: tuple[int, int], dtype: torch.dtype) -> Weights:
        """Count the pairs of a batch on one scale: sums of similarities that are all 1."""
        classes = _classes(options, ground)
        ones = torch.ones(*classes.shape, 1, dtype=dtype)
        _, alike, unlike = _box_sums(ones, ones, classes, classes, options, scale, 0, (1.0, 1.0), plain=True)
        number = alike.new_tensor(classes.numel() * scale[0] ** 2)
        if options.mode == "reference":  # taps beyond the border are unlike, and their similarity is 0
            unlike = number - alike
        return Weights(torch.stack([alike, unlike, number, number]), 1)

    def _on_scale(
        self, number: int, q_NHWA: Tensor, k_NVWA: Tensor, place: Place, learnt: Sequence[Tensor]
    ) -> tuple[Tensor, Tensor, Tensor]:
        options, (items, rows, above_px), weights = self.options, place, self.weights[number]
        classes = _classes(options, self.ground)[items]
        there, *_ = around(rows, classes.shape[1], self.reach_px)
        by_alike, by_unlike = (factor.item() for factor in factors(weights, options))
        codes = (learnt[2 * number], learnt[2 * number + 1]) if options.position_codes else None
        loss, *sums = _box_sums(
            q_NHWA, k_NVWA, classes[:, rows], classes[:, there], options, options.scales[number], above_px,
            (-by_alike, by_unlike), plain=not options.normalise, codes=codes,
        )  # fmt: skip
        return loss, *weights.means(*sums)


def _pairs(ground: Ground, options: CSCLOptions, scale: tuple[int, int], items: slice, rows: slice) -> Pairs:
    return ground.items(items).pairs(*scale, options.stride, all_pairs=options.mode == "reference", rows=rows)


def _classes(options: CSCLOptions, ground: Ground) -> Tensor:
    """Classes or parcels after the stride; in the reference mode unknown is one of them."""
    classes_BHW = ground.target_BHW[:, :: options.stride, :: options.stride]
    return classes_BHW.clamp_min(-1) + 1 if options.mode == "reference" else classes_BHW


def _box_sums(
    q_NHWA: Tensor, k_NVWA: Tensor, class_NHW: Tensor, class_NVW: Tensor, options: CSCLOptions,
    scale: tuple[int, int], above_px: int, by_side: tuple[float, float], *, plain: bool,
    codes: tuple[Tensor, Tensor] | None = None,
) -> Tensor:  # fmt: skip
    """Sum over windows: running sums where a pair counts the same wherever it lies, that is, without codes."""
    from .boxes import Boxes, box_sums
    from .windows import window_sums

    boxes = Boxes(
        scale[0], spacing(*scale, options.stride)[1], above_px, groups=1 if plain else options.groups,
        epsilon=0.0 if plain else EPSILON, centre=options.mode == "reference", alike=by_side[0], unlike=by_side[1],
    )  # fmt: skip
    given = q_NHWA, k_NVWA, class_NHW, class_NVW, boxes
    sums = window_sums(*given, code_table(*codes, boxes.groups)) if codes else box_sums(*given)
    return sums.type(q_NHWA.dtype)
