"""L-TAE: attention over the dates of each pixel, with one learned query for each head.

V. Sainte Fare Garnot and L. Landrieu, "Lightweight Temporal Self-Attention for Classifying Satellite Images Time
Series", AALTD 2020. For each head one learned query q, keys k_t linear in the features of a date, which carry its day
as sines and cosines, and

    a_t = softmax_t(q . k_t / sqrt(KEYS)),   pooled = sum_t a_t v_t

where the values v_t are the head's share of the features.

Axes: B item, T date, P pixel of any item, C feature, G head or group of the norm, H row, W column.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

__all__ = ["TemporalAttention", "norm_over_dates"]

HEADS, KEYS = 16, 4
PERIOD_DAYS = 1000.0  # the longest wave of the day codes is this times 2 pi
UNSEEN = -1e4


class TemporalAttention(nn.Module):
    """L-TAE at every pixel; see the module's docstring.

    Parameters
    ----------
    width : int
        Features of a date and of the result, a multiple of 16.
    """

    wave_C: Tensor

    def __init__(self, width: int) -> None:
        super().__init__()
        wide = 2 * width
        self.in_norm = nn.GroupNorm(HEADS, width)
        self.widen = nn.Conv1d(width, wide, 1)
        self.query = nn.Parameter(torch.randn(HEADS, KEYS) * (2 / KEYS) ** 0.5)
        self.key = nn.Linear(wide, HEADS * KEYS)
        self.mix = nn.Sequential(nn.Linear(wide, width), nn.BatchNorm1d(width), nn.ReLU())
        self.out_norm = nn.GroupNorm(HEADS, width)
        self.drop_dates, self.drop_features = nn.Dropout(0.1), nn.Dropout(0.2)
        share = wide // HEADS
        pair_C = torch.arange(share, dtype=torch.float32) // 2
        self.register_buffer("wave_C", PERIOD_DAYS ** (-2 * pair_C / share), persistent=False)

    def forward(
        self, x_BTCHW: Tensor, day_BT: Tensor, seen_BTHW: Tensor, counted_BTHW: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Pool the dates.

        Parameters
        ----------
        x_BTCHW : Tensor
            Features of each date.
        day_BT : Tensor
            int64, days since the reference date.
        seen_BTHW : Tensor
            bool, the dates that a pixel attends to; where there is none, the features pool to zero.
        counted_BTHW : Tensor
            bool, the dates over which the norm before the attention takes its statistics.

        Returns
        -------
        pooled : Tensor
            ``(B, C, H, W)``.
        attention : Tensor
            ``(B, G, T, H, W)``, summing over the dates to 1 (but for dropout), to 0 where none was seen.
        """
        items, _, _, height_px, width_px = x_BTCHW.shape
        x_PTC = x_BTCHW.permute(0, 3, 4, 1, 2).flatten(0, 2)
        seen_PT, counted_PT = (mask.permute(0, 2, 3, 1).flatten(0, 2) for mask in (seen_BTHW, counted_BTHW))
        x_PTC = norm_over_dates(x_PTC, counted_PT, self.in_norm)
        x_PTC = self.widen(x_PTC.transpose(1, 2)).transpose(1, 2)
        day_PT = day_BT[:, None].expand(-1, height_px * width_px, -1).flatten(0, 1)
        x_PTGC = x_PTC.unflatten(2, (HEADS, -1)) + self._code(day_PT)[:, :, None].to(x_PTC.dtype)
        key_PTGC = self.key(x_PTGC.flatten(2)).unflatten(2, (HEADS, KEYS))
        score_PTG = (key_PTGC * self.query).sum(dim=3) / KEYS**0.5
        attention_PTG = score_PTG.masked_fill(~seen_PT[:, :, None], UNSEEN).softmax(dim=1)
        attention_PTG = self.drop_dates(attention_PTG * seen_PT[:, :, None])
        pooled_PC = (attention_PTG[..., None] * x_PTGC).sum(dim=1).flatten(1)
        pooled_PC = self.out_norm(self.drop_features(self.mix(pooled_PC)))
        size = (items, height_px, width_px)
        return pooled_PC.unflatten(0, size).movedim(3, 1), attention_PTG.unflatten(0, size).permute(0, 4, 3, 1, 2)

    def _code(self, day_PT: Tensor) -> Tensor:
        """Return sines (even) and cosines (odd) of the days, one wavelength for each pair, ``(P, T, share)``."""
        phase_PTC = day_PT[..., None].to(self.wave_C.dtype) * self.wave_C
        return torch.stack([phase_PTC[..., 0::2].sin(), phase_PTC[..., 1::2].cos()], dim=-1).flatten(-2)


def norm_over_dates(x_PTC: Tensor, counted_PT: Tensor, norm: nn.GroupNorm) -> Tensor:
    """Apply `norm` to each pixel's series, with statistics over the dates that count alone."""
    x_PTGC = x_PTC.reshape(*x_PTC.shape[:2], norm.num_groups, -1)
    counted_PT11 = counted_PT[:, :, None, None].to(x_PTC.dtype)
    count_P111 = (counted_PT11.sum(dim=1, keepdim=True) * x_PTGC.shape[3]).clamp_min(1)
    mean_P1G1 = (x_PTGC * counted_PT11).sum(dim=(1, 3), keepdim=True) / count_P111
    variance_P1G1 = ((x_PTGC - mean_P1G1).square() * counted_PT11).sum(dim=(1, 3), keepdim=True) / count_P111
    normed_PTC = ((x_PTGC - mean_P1G1) / (variance_P1G1 + norm.eps).sqrt()).flatten(2)
    return normed_PTC * norm.weight + norm.bias
