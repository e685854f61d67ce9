"""U-TAE: a U-Net encoder shared by all dates, attention over the dates at its lowest level, a U-Net decoder.

V. Sainte Fare Garnot and L. Landrieu, "Panoptic Segmentation of Satellite Image Time Series with Convolutional
Temporal Attention Networks", ICCV 2021. The attention is L-TAE, see `cscl.models.ltae`. Its weights, enlarged
bilinearly, collapse the dates of every finer level too: a head weights its share of the channels.

In the published network (``variant=published``) a date is masked as a whole, the norm before the attention takes
statistics over the padded dates too, the encoder normalises groups of channels over the whole tile, and batch norm and
ReLU follow the last convolution, so that no logit is negative. By default (``masked``) validity is a channel beside the
bands, statistics and weights go to the dates that saw a cell, at each level, the encoder's norms take statistics of
each pixel alone, and the last convolution makes the logits.

Axes: B item, T date, F frame (an item's date), P pixel of the lowest level, C band or feature, G head, H row, W column,
D embedding, K class.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Annotated, Literal

import torch
from torch import Tensor, nn
from torch.nn.functional import conv2d, interpolate, layer_norm, max_pool2d, pad

from cscl.errors import InputError

from . import Architecture, DataShape, Needs, Network, models, written_down
from .ltae import TemporalAttention

__all__ = ["UTAE", "UTAEOptions", "collapse"]

MULTIPLE = 8  # three halvings of rows and columns
RADIUS_PX = 67  # by interval arithmetic through the layers
LEAST_MASS = 1e-2  # below this share of the attention a cell's dates are not scaled up any more
FRAMES = 2  # at once, outside training

MASKED = f"Tiles agree in their interiors when their corners differ by multiples of {MULTIPLE} pixels."
PUBLISHED = (
    "As published: clouded pixels are read as zeros, padded dates change the statistics of the norm before the "
    "attention, and norms take statistics over the whole tile, so maps show seams unless tiles are of the size trained "
    "on. Logits are never negative."
)


@dataclass(frozen=True)
class UTAEOptions:
    """Options of `UTAE`; the widths are the published ones."""

    variant: Annotated[
        Literal["masked", "published"],
        {"tooltip": "masked: unseen pixels are left out, any tile; published: zeros, norms over the tile"},
    ] = "masked"
    num_features: Annotated[int, {"min": 4, "max": 64, "step": 4, "tooltip": "Width of all layers"}] = 16


class Mirrored(nn.Conv2d):
    """Convolution whose padding of one pixel mirrors the image; of a single row or column it repeats the edge."""

    def forward(self, x_FCHW: Tensor) -> Tensor:
        """Return the convolution of `x_FCHW`."""
        mode = "reflect" if min(x_FCHW.shape[-2:]) > 1 else "replicate"
        stride = (int(self.stride[0]), int(self.stride[1]))
        return conv2d(pad(x_FCHW, (1, 1, 1, 1), mode=mode), self.weight, self.bias, stride)


class PixelGroups(nn.GroupNorm):
    """Group norm with statistics of each pixel alone.

    In its place batch norm does not depend on the tile either, but from the published first weights it learnt nothing
    in 100 steps on toy seasons that this norm, and the published one, learn in half of them.
    """

    def forward(self, x_FCHW: Tensor) -> Tensor:
        """Return `x_FCHW` normalised."""
        share = self.num_channels // self.num_groups
        x_FHWGC = x_FCHW.movedim(1, -1).reshape(x_FCHW.shape[0], *x_FCHW.shape[2:], self.num_groups, share)
        normed_FHWC = layer_norm(x_FHWGC, (share,), eps=self.eps).flatten(3)
        return torch.addcmul(self.bias, normed_FHWC, self.weight).movedim(-1, 1)


class Residual(nn.Module):
    """Two convolutions; the second one adds to the first."""

    def __init__(self, width_in: int, width_out: int, norm: Callable[[int], nn.Module]) -> None:
        super().__init__()
        self.first, self.second = _around(width_in, width_out, norm), _around(width_out, width_out, norm)

    def forward(self, x_FCHW: Tensor) -> Tensor:
        """Return ``(F, width_out, H, W)``."""
        first_FCHW = self.first(x_FCHW)
        both_FCHW: Tensor = first_FCHW + self.second(first_FCHW)
        return both_FCHW


class FrameEncoder(nn.Module):
    """Encoder of four levels that reads each date alone."""

    def __init__(self, channels: int, num_features: int, norm: Callable[[int], nn.Module]) -> None:
        super().__init__()
        fine, coarse = 4 * num_features, 8 * num_features
        self.enter = nn.Sequential(_around(channels, fine, norm), _around(fine, fine, norm))
        self.down = nn.ModuleList(
            nn.Sequential(_normed(Mirrored(fine, fine, 4, stride=2), norm), Residual(fine, width, norm))
            for width in (fine, fine, coarse)
        )

    def forward(self, x_FCHW: Tensor) -> list[Tensor]:
        """Return the features of each frame, the finest level first, each of half the height and width."""
        levels = [self.enter(x_FCHW)]
        for down in self.down:
            levels.append(down(levels[-1]))
        return levels


class Up(nn.Module):
    """A step of the decoder: enlarge, join the finer level, two convolutions."""

    def __init__(self, width_in: int, width_skip: int, width_out: int) -> None:
        super().__init__()
        self.enlarge = _normed(nn.ConvTranspose2d(width_in, width_out, 4, stride=2, padding=1), nn.BatchNorm2d)
        self.skip = _normed(nn.Conv2d(width_skip, width_skip, 1), nn.BatchNorm2d)
        self.join = Residual(width_out + width_skip, width_out, nn.BatchNorm2d)

    def forward(self, x_BCHW: Tensor, skip_BCHW: Tensor) -> Tensor:
        """Return features at the height and width of `skip_BCHW`."""
        joined_BCHW: Tensor = self.join(torch.cat([self.enlarge(x_BCHW), self.skip(skip_BCHW)], dim=1))
        return joined_BCHW


class UTAE(Network):
    """U-Net with temporal attention; see the module's docstring.

    The embedding has ``2 * num_features`` channels, 32 by default; the ReLU after it belongs to the classifier.

    Parameters
    ----------
    options : UTAEOptions
        Variant and width.
    shape : DataShape
        Bands and classes; its number of dates and season are not used.
    """

    decoder = ("up", "embed")
    bottleneck = "coarsest"

    def __init__(self, options: UTAEOptions, shape: DataShape) -> None:
        super().__init__()
        self.masked = masked = options.variant == "masked"
        self.bands, narrow = shape.bands, 2 * options.num_features
        self.embedding_width = narrow
        self.needs = Needs(
            multiple_px=MULTIPLE,
            margin_px=RADIUS_PX,
            whole_tile=not masked,
            masks_dates=masked,
            remarks=MASKED if masked else PUBLISHED,
        )
        norm = partial(PixelGroups if masked else nn.GroupNorm, 4)
        self.frames = FrameEncoder(shape.bands + masked, options.num_features, norm)
        self.attention = TemporalAttention(4 * narrow)
        self.coarsest = nn.Identity()  # its output alone is a map: that of the attention has weights beside it
        self.up = nn.ModuleList(
            Up(width_in, 2 * narrow, width_out)
            for width_in, width_out in ((4 * narrow, 2 * narrow), (2 * narrow, narrow), (narrow, narrow))
        )
        self.embed = nn.Sequential(Mirrored(narrow, narrow, 3), nn.BatchNorm2d(narrow))
        last = [nn.BatchNorm2d(shape.classes), nn.ReLU()] if not masked else []
        self.classify = nn.Sequential(nn.ReLU(), Mirrored(narrow, shape.classes, 3), *last)
        self.apply(_begin)
        if masked:
            nn.init.zeros_(self.classify.get_parameter("1.bias"))

    def forward(self, x_BTCHW: Tensor, day_BT: Tensor, valid_BTHW: Tensor) -> tuple[Tensor, Tensor]:
        """Return ``(logits_BKHW, embedding_BDHW)``.

        Raises
        ------
        InputError
            If bands or size do not fit the network.
        """
        self._check(x_BTCHW)
        series_BTCHW = x_BTCHW.masked_fill(~valid_BTHW[:, :, None], 0.0)
        if self.masked:
            series_BTCHW = torch.cat([series_BTCHW, valid_BTHW[:, :, None].to(x_BTCHW.dtype)], dim=2)
        present_BT = valid_BTHW.any(dim=3).any(dim=2)
        *finer, coarsest_BTCHW = self._levels(series_BTCHW, present_BT)
        step_px = MULTIPLE
        seen_BTHW = self._seen(valid_BTHW, present_BT, coarsest_BTCHW, step_px)
        counted_BTHW = seen_BTHW if self.masked else torch.ones_like(seen_BTHW)
        x_BCHW, attention_BGTHW = self.attention(coarsest_BTCHW, day_BT, seen_BTHW, counted_BTHW)
        x_BCHW = self.coarsest(x_BCHW)
        for up, level_BTCHW in zip(self.up, reversed(finer), strict=True):
            step_px //= 2
            seen_BTHW = self._seen(valid_BTHW, present_BT, level_BTCHW, step_px)
            x_BCHW = up(x_BCHW, collapse(level_BTCHW, attention_BGTHW, seen_BTHW, rescale=self.masked))
        embedding_BDHW = self.embed(x_BCHW)
        return self.answer(embedding_BDHW)

    def _levels(self, series_BTCHW: Tensor, present_BT: Tensor) -> list[Tensor]:
        """Return the encoder's levels, ``(B, T, C, H, W)``, zero on the dates that nothing saw."""
        if written_down():
            run_BT = present_BT | ~present_BT.any()
            found = self.frames(series_BTCHW.flatten(0, 1))
            return [part.unflatten(0, run_BT.shape) * run_BT[..., None, None, None] for part in found]
        run_BT = present_BT if present_BT.any() else torch.ones_like(present_BT)
        which_F = run_BT.flatten().nonzero()[:, 0]
        step = len(which_F) if self.training else FRAMES
        levels: list[Tensor] = []
        for first in range(0, len(which_F), step):
            some_F = which_F[first : first + step]
            found = self.frames(series_BTCHW.flatten(0, 1)[some_F])
            levels = levels or [_room(part, run_BT.flatten()) for part in found]
            for level, part in zip(levels, found, strict=True):
                level[some_F] = part
        return [level.reshape(*run_BT.shape, *level.shape[1:]) for level in levels]

    def _seen(self, valid_BTHW: Tensor, present_BT: Tensor, level_BTCHW: Tensor, step_px: int) -> Tensor:
        """Return which dates saw each cell of a level: any of its pixels, or as published any pixel of the tile."""
        if not self.masked:
            return present_BT[..., None, None].expand(-1, -1, *level_BTCHW.shape[-2:])
        return max_pool2d(valid_BTHW.to(level_BTCHW.dtype), step_px) > 0

    def _check(self, x_BTCHW: Tensor) -> None:
        bands, *size_px = x_BTCHW.shape[2:]
        if bands != self.bands:
            raise InputError(f"The network reads {self.bands} bands, the series has {bands}: choose those bands.")
        if any(side_px % MULTIPLE for side_px in size_px):
            raise InputError(f"Height and width, {size_px} px, must be multiples of {MULTIPLE}: pad the tile.")


def collapse(x_BTCHW: Tensor, attention_BGTHW: Tensor, seen_BTHW: Tensor, *, rescale: bool) -> Tensor:
    """Sum a level over its dates, weighted by the attention of the lowest level: a head weights its share of channels.

    Parameters
    ----------
    x_BTCHW : Tensor
        Features of each date, at any multiple of the attention's height and width.
    attention_BGTHW : Tensor
        Attention of each head.
    seen_BTHW : Tensor
        bool, the dates that saw each pixel of the level; the others get no weight.
    rescale : bool
        Whether the weights of the dates that saw a pixel are scaled up to what they are together elsewhere.
    """
    items, heads, dates = attention_BGTHW.shape[:3]
    size_px = x_BTCHW.shape[-2:]
    if written_down():
        return _collapse_at_once(x_BTCHW, attention_BGTHW, seen_BTHW, rescale)
    total_BHWGC = attention_BGTHW.new_zeros(items, *size_px, heads, x_BTCHW.shape[2] // heads)
    mass_BHWG1 = torch.zeros_like(total_BHWGC[..., :1])
    for date in range(dates):  # one at a time: all products together would be another copy of the level
        large_BGHW = interpolate(attention_BGTHW[:, :, date], size_px, mode="bilinear", align_corners=False)
        weight_BHWG1 = (large_BGHW * seen_BTHW[:, date, None]).movedim(1, -1)[..., None]
        total_BHWGC.addcmul_(weight_BHWG1, x_BTCHW[:, date].movedim(1, -1).reshape(total_BHWGC.shape))
        mass_BHWG1 += weight_BHWG1
    if rescale:
        total_BHWGC = total_BHWGC / mass_BHWG1.clamp_min(LEAST_MASS)
    return total_BHWGC.flatten(3).movedim(-1, 1)


def _collapse_at_once(x_BTCHW: Tensor, attention_BGTHW: Tensor, seen_BTHW: Tensor, rescale: bool) -> Tensor:
    """Do what `collapse` does for any number of dates without a loop, at the price of memory."""
    items, heads, dates = attention_BGTHW.shape[:3]
    size_px = x_BTCHW.shape[-2:]
    large_BFHW = interpolate(attention_BGTHW.flatten(1, 2), size_px, mode="bilinear", align_corners=False)
    weight_BGTHW = large_BFHW.reshape(items, heads, dates, *size_px) * seen_BTHW[:, None]
    x_BTGCHW = x_BTCHW.reshape(items, dates, heads, -1, *size_px)
    total_BGCHW = torch.einsum("bgthw,btgchw->bgchw", weight_BGTHW, x_BTGCHW)
    if rescale:
        total_BGCHW = total_BGCHW / weight_BGTHW.sum(dim=2)[:, :, None].clamp_min(LEAST_MASS)
    return total_BGCHW.flatten(1, 2)


def _room(part_FCHW: Tensor, run_F: Tensor) -> Tensor:
    """Make room for a level of all frames, channels last if a part of it is; zero for frames that are not run."""
    layout = torch.channels_last if part_FCHW.is_contiguous(memory_format=torch.channels_last) else None
    shape = (len(run_F), *part_FCHW.shape[1:])
    room_FCHW = torch.empty(
        shape, dtype=part_FCHW.dtype, device=part_FCHW.device, memory_format=layout or torch.contiguous_format
    )
    room_FCHW[~run_F] = 0
    return room_FCHW


def _normed(linear: nn.Conv2d | nn.ConvTranspose2d, norm: Callable[[int], nn.Module]) -> nn.Sequential:
    return nn.Sequential(linear, norm(linear.out_channels), nn.ReLU())


def _around(width_in: int, width_out: int, norm: Callable[[int], nn.Module]) -> nn.Sequential:
    return _normed(Mirrored(width_in, width_out, 3), norm)


def _begin(module: nn.Module) -> None:
    """Draw the first weights as the published training does."""
    if isinstance(module, (nn.Conv2d, nn.ConvTranspose2d, nn.Linear)):
        nn.init.xavier_normal_(module.weight)
    elif isinstance(module, nn.Conv1d):
        nn.init.normal_(module.weight)
    elif isinstance(module, (nn.BatchNorm1d, nn.BatchNorm2d)):
        nn.init.normal_(module.weight, mean=1, std=0.02)
    if isinstance(module, (nn.Conv1d, nn.Conv2d, nn.ConvTranspose2d, nn.Linear)) and module.bias is not None:
        nn.init.normal_(module.bias)


models.register("utae")(
    Architecture(UTAEOptions, UTAE, "Published U-Net with attention over the dates at its lowest level, U-TAE.")
)
