"""Samples of noise to draw views of, in which each pixel says its number."""

from __future__ import annotations

import torch
from torch import Generator

from cscl.losses.views import Samples, ViewOptions

STILL = ViewOptions(
    date_gain=0.0, band_gain=0.0, haze=0.0, noise=0.0, cloud_chance=0.0, gap_chance=0.0, band_drop=0.0, date_drop=0.0,
    season_shift_days=0, date_shift_days=0,
)  # fmt: skip


def seeded(seed: int = 0) -> Generator:
    return torch.Generator().manual_seed(seed)


def samples(items: int = 4, dates: int = 20, side: int = 32, seed: int = 0) -> Samples:
    """Series whose first band is the pixel's number on all dates; with clouds, and two padded dates at the end."""
    made = seeded(seed)
    x = torch.randn(items, dates, 8, side, side, generator=made)
    x[:, :, 0] = torch.arange(side * side, dtype=torch.float32).reshape(side, side)
    valid = torch.rand(items, dates, side, side, generator=made) > 0.2
    valid[:, -2:] = False
    day = (7 * torch.arange(dates)).expand(items, -1).clone()
    use = torch.rand(items, side, side, generator=made) > 0.02
    vital = torch.arange(8) >= 6
    band = torch.zeros(8), torch.ones(8), torch.zeros(8)
    return Samples(x.masked_fill(~valid[:, :, None], 0.0), day, valid, use, *band, vital)
