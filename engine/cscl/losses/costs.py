"""What the pairs of a strip cost: similarities of the strip, weighed by what is known of its ground, on every scale.

Axes as in `cscl.losses.cscl`; N some of the items.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import reduce
from operator import add
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from .affinity import similarity, spacing
from .contrast import Weights, addends
from .ground import Ground, Pairs
from .sweep import strips

if TYPE_CHECKING:
    from .cscl import CSCLOptions

__all__ = ["StripCosts"]


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

    @classmethod
    def of(cls, options: CSCLOptions, ground: Ground, dtype: torch.dtype, threshold: float) -> StripCosts:
        """Weigh the pairs of a batch, strip by strip."""
        items, height, width = ground.target_BHW[:, :: options.stride, :: options.stride].shape
        places = [(i, r) for i, rows in strips(items, height, width, ground.target_BHW.device) for r in rows]
        weights = [
            reduce(
                add, (Weights.of(_pairs(ground, options, scale, *place), dtype, options) for place in places)
            ).together()
            for scale in options.scales
        ]
        return cls(options, ground, weights, threshold)

    @property
    def reach_px(self) -> int:
        """Rows that the widest window reaches, after the stride."""
        return max(w // 2 * spacing(w, dilation, self.options.stride)[1] for w, dilation in self.options.scales)

    def __call__(
        self, q_NHWA: Tensor, k_NHWA: Tensor, items: slice, rows: slice, above_px: int, *learnt: Tensor
    ) -> Tensor:
        """Loss, averaged over the scales, and mean similarities of the alike and the unlike on the first: (3,)."""
        options, scales = self.options, self.options.scales
        threshold = learnt[-1] if len(learnt) > 2 * len(scales) else self.threshold
        found = []
        for number, (window, dilation) in enumerate(scales):
            s_NkkHW = similarity(
                q_NHWA, k_NHWA, learnt[2 * number], learnt[2 * number + 1],
                dilation=spacing(window, dilation, options.stride)[1], groups=options.groups,
                normalise=options.normalise, above_px=above_px,
            )  # fmt: skip
            pairs = _pairs(self.ground, options, (window, dilation), items, rows)
            found.append(addends(s_NkkHW, pairs, self.weights[number], options, threshold))
        return torch.stack([torch.stack([loss for loss, *_ in found]).mean(), *found[0][1:]])


def _pairs(ground: Ground, options: CSCLOptions, scale: tuple[int, int], items: slice, rows: slice) -> Pairs:
    return ground.items(items).pairs(*scale, options.stride, all_pairs=options.mode == "reference", rows=rows)
