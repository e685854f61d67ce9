"""Changes of reflectance that the atmosphere, the sun and sensors make, for views of a sample.

Standardised values come and go, but what is changed is reflectance, so that a gain is a gain. What turns one crop's
season into another's (hue, large gains of single bands, time reversal) is not offered, nor what belongs to photographs
of 8 bits.

Axes: B item, T date, C band, H row, W column.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Literal

import torch
from torch import Generator, Tensor

__all__ = ["RadiometryOptions", "changed_values"]

CLOUD_REFLECTANCE = 0.3, 0.8
SHADOW = 0.3  # of the light that is left
MOST_BANDS_OUT = 0.25
GAP_SIDE = 1 / 8, 1 / 4  # of a view's side


@dataclass(frozen=True)
class RadiometryOptions:
    """How the values of a view are changed; all random, for each item anew. Reflectance is 0..1."""

    changed_views: Annotated[
        Literal["both", "second"], {"tooltip": "Which views have their values changed; as published, the second"}
    ] = "both"
    date_gain: Annotated[
        float, {"min": 0.0, "max": 0.5, "tooltip": "Most gain of a date, all bands alike (light), relative"}
    ] = 0.05
    band_gain: Annotated[
        float, {"min": 0.0, "max": 0.5, "tooltip": "Most gain of a band, all dates alike (calibration), relative"}
    ] = 0.03
    haze: Annotated[float, {"min": 0.0, "max": 0.2, "tooltip": "Most haze of a date, reflectance added in blue"}] = 0.02
    noise: Annotated[float, {"min": 0.0, "max": 0.1, "tooltip": "Standard deviation of noise, reflectance"}] = 0.005
    cloud_chance: Annotated[
        float, {"min": 0.0, "max": 1.0, "tooltip": "Chance that a date has a cloud or shadow that no mask tells"}
    ] = 0.3
    gap_chance: Annotated[
        float, {"min": 0.0, "max": 1.0, "tooltip": "Chance that a date has a gap, masked as missing"}
    ] = 0.3
    band_drop: Annotated[
        float, {"min": 0.0, "max": 0.5, "tooltip": "Chance that a band is left out of a view, at most a quarter of all"}
    ] = 0.1


def changed_values(
    x_BTCHW: Tensor, valid_BTHW: Tensor, mean_C: Tensor, std_C: Tensor, haze_C: Tensor, vital_C: Tensor,
    options: RadiometryOptions, generator: Generator,
) -> tuple[Tensor, Tensor]:  # fmt: skip
    """Change standardised values, and what of them is valid.

    Parameters
    ----------
    x_BTCHW, valid_BTHW : Tensor
        Standardised reflectance and validity.
    mean_C, std_C, haze_C, vital_C : Tensor
        As in `Samples`.

    Returns
    -------
    tuple of Tensor
        New values, which are 0 where a band is left out and undefined where not valid, and validity. A pixel that was
        valid on some date still is.
    """
    items, dates, bands = x_BTCHW.shape[:3]
    light = 1 + options.date_gain * _signed((items, dates, 1), generator)
    gain_BTC = light * (1 + options.band_gain * _signed((items, 1, bands), generator))
    haze_BTC = options.haze * torch.rand((items, dates, 1), generator=generator) * haze_C
    # (gain * (std x + mean) + haze - mean) / std, in one pass over the largest tensor of a step
    shift_BTC = ((gain_BTC - 1) * mean_C + haze_BTC) / std_C
    x = torch.addcmul(shift_BTC[..., None, None], x_BTCHW, gain_BTC[..., None, None])
    if options.noise:
        x += torch.randn(x.shape, generator=generator).mul_((options.noise / std_C)[:, None, None])
    if options.cloud_chance:
        _lay_clouds(x, mean_C, std_C, options.cloud_chance, generator)
    if options.band_drop:
        x.masked_fill_(_left_out(items, bands, vital_C, options.band_drop, generator)[:, None, :, None, None], 0.0)
    if options.gap_chance:
        open_BTHW = valid_BTHW & ~_gaps(valid_BTHW, options.gap_chance, generator)
        valid_BTHW = torch.where(open_BTHW.any(1, keepdim=True), open_BTHW, valid_BTHW)
    return x, valid_BTHW


def _signed(shape: tuple[int, ...], generator: Generator) -> Tensor:
    return 2 * torch.rand(shape, generator=generator) - 1


def _lay_clouds(x_BTCHW: Tensor, mean_C: Tensor, std_C: Tensor, chance: float, generator: Generator) -> None:
    """Lay a disc of cloud or of shadow over some dates, in place."""
    items, dates, _, height, width = x_BTCHW.shape
    on, dark, size, bright, down, across = torch.rand((6, items, dates), generator=generator)
    item_N, date_N = (on < chance).nonzero(as_tuple=True)
    dark, size, bright, down, across = (v[item_N, date_N, None, None] for v in (dark, size, bright, down, across))
    y, x = torch.arange(height)[:, None] - down * height, torch.arange(width) - across * width
    disc_NHW = y**2 + x**2 <= ((0.1 + 0.2 * size) * min(height, width)) ** 2
    low, high = CLOUD_REFLECTANCE
    mean, std = mean_C[:, None, None], std_C[:, None, None]
    cloud_NCHW = (low + (high - low) * bright[..., None] - mean) / std
    under_NCHW = x_BTCHW[item_N, date_N]
    shadow_NCHW = SHADOW * under_NCHW + (SHADOW - 1) * mean / std
    covered_NCHW = torch.where(dark[..., None] < 0.5, shadow_NCHW, cloud_NCHW)
    x_BTCHW[item_N, date_N] = torch.where(disc_NHW[:, None], covered_NCHW, under_NCHW)


def _left_out(items: int, bands: int, vital_C: Tensor, chance: float, generator: Generator) -> Tensor:
    """Bands to leave out, axes (item, band): at most a quarter, and never all of the vital ones."""
    draw = torch.rand((items, bands), generator=generator)
    out = (draw < chance) & (draw.argsort(1).argsort(1) < int(MOST_BANDS_OUT * bands))
    every = out[:, vital_C].all(1) if vital_C.any() else torch.zeros(items, dtype=torch.bool)
    return out & ~(every[:, None] & vital_C)


def _gaps(valid_BTHW: Tensor, chance: float, generator: Generator) -> Tensor:
    """Lay a rectangle over some dates, True inside."""
    items, dates, height, width = valid_BTHW.shape
    on, corner, size = (torch.rand((items, dates, 2), generator=generator) for _ in range(3))
    inside = []
    for axis, length in enumerate((height, width)):
        side = (GAP_SIDE[0] + (GAP_SIDE[1] - GAP_SIDE[0]) * size[..., axis]) * length
        start = corner[..., axis] * (length - side)
        place = torch.arange(length)
        inside.append((place >= start[..., None]) & (place < (start + side)[..., None]))
    return inside[0][..., :, None] & inside[1][..., None, :] & (on[..., 0] < chance)[..., None, None]
