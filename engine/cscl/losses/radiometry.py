"""Changes of reflectance that the atmosphere, the sun and sensors make, for views of a sample.

They work on reflectance, before it is standardised, so that a gain is a gain. What turns one crop's season into
another's (hue, large gains of single bands, time reversal) is not offered, nor what belongs to photographs of 8 bits.

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
    mean, std = mean_C[:, None, None], std_C[:, None, None]
    x = x_BTCHW * std + mean
    x = x * (1 + options.date_gain * _signed((items, dates, 1, 1, 1), generator))
    x = x * (1 + options.band_gain * _signed((items, 1, bands, 1, 1), generator))
    x = x + options.haze * torch.rand((items, dates, 1, 1, 1), generator=generator) * haze_C[:, None, None]
    if options.noise:
        x = x + options.noise * torch.randn(x.shape, generator=generator)
    if options.cloud_chance:
        x = _clouded(x, options.cloud_chance, generator)
    x = (x - mean) / std
    if options.band_drop:
        x = x.masked_fill(_left_out(items, bands, vital_C, options.band_drop, generator)[:, None, :, None, None], 0.0)
    if options.gap_chance:
        open_BTHW = valid_BTHW & ~_gaps(valid_BTHW, options.gap_chance, generator)
        valid_BTHW = torch.where(open_BTHW.any(1, keepdim=True), open_BTHW, valid_BTHW)
    return x, valid_BTHW


def _signed(shape: tuple[int, ...], generator: Generator) -> Tensor:
    return 2 * torch.rand(shape, generator=generator) - 1


def _clouded(x_BTCHW: Tensor, chance: float, generator: Generator) -> Tensor:
    """Lay a disc of cloud or of shadow over some dates."""
    items, dates, _, height, width = x_BTCHW.shape
    on, dark, place, size, bright = (torch.rand((items, dates, 2), generator=generator) for _ in range(5))
    radius_BT = (0.1 + 0.2 * size[..., 0]) * min(height, width)
    down = torch.arange(height) - place[..., 0, None] * height
    across = torch.arange(width) - place[..., 1, None] * width
    disc_BTHW = (down[..., :, None] ** 2 + across[..., None, :] ** 2) <= radius_BT[..., None, None] ** 2
    disc_BTHW &= (on[..., 0] < chance)[..., None, None]
    low, high = CLOUD_REFLECTANCE
    cloud = (low + (high - low) * bright[..., 0])[..., None, None, None].expand_as(x_BTCHW)
    covered = torch.where((dark[..., 0] < 0.5)[..., None, None, None], SHADOW * x_BTCHW, cloud)
    return torch.where(disc_BTHW[:, :, None], covered, x_BTCHW)


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
