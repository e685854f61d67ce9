"""UNet3D and UNet3Df: the published networks of context-self contrastive pre-training, layer by layer.

M. Tarasiou, R. A. Güler, S. Zafeiriou, "Context-Self Contrastive Pretraining for Crop Type Semantic Segmentation",
IEEE TGRS 60, 2022, doi 10.1109/TGRS.2022.3198187; the trunk follows R. Rustowicz et al., "Semantic Segmentation of
Crop Type in Africa", CVPR Workshops 2019. Both are 3-D U-Nets over (date, row, column) that end in a weighted sum over
a fixed number of dates; they know no mask, only the day of year as a further channel.

The last 3-D convolution and the weighted sum over dates are both linear, so they run as one: three weighted sums over
time (one for each temporal tap), then a 2-D convolution. Same parameters, same result, and for UNet3Df a
quarter less work.

Axes: B item, T date, C band or feature, H row, W column, D embedding, K class.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Literal

import torch
from torch import Tensor, nn
from torch.nn.functional import conv2d, max_pool3d, pad

from cscl.errors import InputError

from . import Architecture, DataShape, Needs, Network, models

__all__ = ["SummedDates", "UNet3D", "UNet3DOptions", "UNet3Df"]

MULTIPLE = 4  # two halvings of dates, rows and columns
DAYS_PER_YEAR = 365  # the years are not known, hence neither are the leap years
DAY_SCALE = 365.0001  # the published divisor: the last day stays below 1


@dataclass(frozen=True)
class UNet3DOptions:
    """Options of `UNet3D` and `UNet3Df`; the defaults are the published values.

    The networks derive day of year and year from the days since the reference date, whose day of year is given here.
    Every year counts 365 days: after each 29 February the day of year runs one day ahead.
    """

    dates: Annotated[int, {"min": 4, "max": 64, "step": 4, "tooltip": "Number of dates that the network reads"}] = 16
    num_features: Annotated[int, {"min": 1, "max": 64, "tooltip": "Width of all layers"}] = 16
    day_channels: Annotated[
        Literal[1, 2], {"tooltip": "Date channels beside the bands: 1 day of year, 2 day of year and year"}
    ] = 1
    reference_day_of_year: Annotated[
        int, {"min": 1, "max": 366, "tooltip": "Day of year of the date from which days are counted"}
    ] = 1


class Trunk(nn.Module):
    """3-D U-Net of three levels, ``(B, C, T, H, W)`` to ``(B, width_out, T, H, W)``."""

    def __init__(self, channels: int, num_features: int, width_mid: int, width_out: int) -> None:
        super().__init__()
        fine, middle, coarse = 4 * num_features, 8 * num_features, 16 * num_features
        self.en3 = _block(channels, fine, fine)
        self.en4 = _block(fine, middle, middle)
        self.center_in = _normed(nn.Conv3d(middle, coarse, 3, padding=1))
        self.center_out = nn.Sequential(_normed(nn.Conv3d(coarse, coarse, 3, padding=1)), _doubled(coarse, middle))
        self.dc4 = _block(2 * middle, middle, middle)
        self.trans3 = _normed(_doubled(middle, fine))
        self.dc3 = _block(2 * fine, width_mid, width_out)

    def forward(self, x_BCTHW: Tensor) -> Tensor:
        """Return features of every date and pixel."""
        en3 = self.en3(x_BCTHW)
        en4 = self.en4(max_pool3d(en3, 2))
        center = self.center_out(self.center_in(max_pool3d(en4, 2)))
        dc4 = self.dc4(torch.cat([center, en4], dim=1))
        features: Tensor = self.dc3(torch.cat([self.trans3(dc4), en3], dim=1))
        return features


class SummedDates(Network):
    """What both networks share: date channels, trunk, and the sum over dates merged with a last convolution.

    Raises
    ------
    InputError
        If the number of dates in `options` is not a multiple of 4.
    """

    decoder: tuple[str, ...] = ("trunk.dc4", "trunk.trans3", "trunk.dc3", "temporal")
    bottleneck = "trunk.center_in"

    def __init__(self, options: UNet3DOptions, shape: DataShape, width_mid: int, width_out: int) -> None:
        super().__init__()
        if options.dates % MULTIPLE:
            raise InputError(f"This network halves its dates twice: {options.dates} is no multiple of {MULTIPLE}.")
        self.options, self.bands = options, shape.bands
        self.needs = Needs(
            dates=options.dates,
            multiple_px=MULTIPLE,
            margin_px=28,  # 27 by interval arithmetic through the layers, in whole steps of 4
            masks_dates=False,
            remarks="As published: missing dates and clouded pixels are read as zeros, not masked.",
        )
        self.trunk = Trunk(shape.bands + options.day_channels, options.num_features, width_mid, width_out)
        self.temporal = nn.Linear(options.dates, 1)

    def sum_dates(self, x_BTCHW: Tensor, day_BT: Tensor, valid_BTHW: Tensor) -> Tensor:
        """Return ``(B, 3 * C, H, W)``: sums over time of the trunk's C features, one for each temporal tap.

        The tap that looks one date back meets a date with the weight of the next one, and the other way round.
        """
        features_BCTHW = self.trunk(self._series(x_BTCHW, day_BT, valid_BTHW))
        weight_T = self.temporal.weight[0]
        weight_3T = torch.stack([pad(weight_T[1:], (0, 1)), weight_T, pad(weight_T[:-1], (1, 0))])
        return torch.einsum("kt,bcthw->bkchw", weight_3T, features_BCTHW).flatten(1, 2)

    def convolve(self, sums_BCHW: Tensor, last: nn.Conv3d) -> Tensor:
        """Apply the 3-D convolution `last` to the sums over time, with its bias and that of the sum."""
        kernel = last.weight.transpose(1, 2).flatten(1, 2)  # (out, tap * C, row, column)
        bias: Tensor = self.temporal.bias
        if last.bias is not None:
            bias = bias + last.bias * self.temporal.weight.sum()
        return conv2d(sums_BCHW, kernel, bias, padding=1)

    def _series(self, x_BTCHW: Tensor, day_BT: Tensor, valid_BTHW: Tensor) -> Tensor:
        """Return bands and date channels, zero where unseen and on the dates that are missing, (B, C, T, H, W)."""
        self._check(x_BTCHW)
        day_BT = day_BT + (self.options.reference_day_of_year - 1)
        year_BT = (day_BT // DAYS_PER_YEAR).float()
        date_BTC = torch.stack([(day_BT % DAYS_PER_YEAR + 1) / DAY_SCALE, year_BT], dim=2)
        date_BTC = date_BTC[:, :, : self.options.day_channels].to(x_BTCHW.dtype)
        date_BTCHW = date_BTC[..., None, None].expand(-1, -1, -1, *x_BTCHW.shape[-2:])
        series_BTCHW = torch.cat([x_BTCHW, date_BTCHW], dim=2).masked_fill(~valid_BTHW[:, :, None], 0.0)
        series_BCTHW = pad(series_BTCHW.transpose(1, 2), (0, 0, 0, 0, 0, self.options.dates - x_BTCHW.shape[1]))
        return series_BCTHW.contiguous(memory_format=torch.channels_last_3d)  # and so is all that follows

    def _check(self, x_BTCHW: Tensor) -> None:
        dates, bands, *size_px = x_BTCHW.shape[1:]
        if bands != self.bands:
            raise InputError(f"The network reads {self.bands} bands, the series has {bands}: choose those bands.")
        if dates > self.options.dates:
            raise InputError(f"The network reads {self.options.dates} dates, the series has {dates}: choose fewer.")
        if any(side_px % MULTIPLE for side_px in size_px):
            raise InputError(f"Height and width, {size_px} px, must be multiples of {MULTIPLE}: pad the tile.")


class UNet3D(SummedDates):
    """The published UNet3D: its last convolution makes the classes of every date, then the dates are summed.

    The embedding is what that last convolution reads once it is merged with the sum over dates: ``6 * num_features``
    channels, three weighted sums over time of the trunk's features. (The publication pre-trains UNet3Df; to pre-train
    this one on that embedding is our choice.)

    Parameters
    ----------
    options : UNet3DOptions
        Dates, width and date channels.
    shape : DataShape
        Bands and classes; its number of dates and season are not used.
    """

    def __init__(self, options: UNet3DOptions, shape: DataShape) -> None:
        width = 2 * options.num_features
        super().__init__(options, shape, width_mid=2 * width, width_out=width)
        self.embedding_width = 3 * width
        self.classify = nn.Conv3d(width, shape.classes, 3, padding=1)

    def forward(self, x_BTCHW: Tensor, day_BT: Tensor, valid_BTHW: Tensor) -> tuple[Tensor, Tensor]:
        """Return ``(logits_BKHW, embedding_BDHW)``.

        Raises
        ------
        InputError
            If bands, number of dates or size do not fit the network.
        """
        return self.answer(self.sum_dates(x_BTCHW, day_BT, valid_BTHW))

    def score(self, embedding_BDHW: Tensor) -> Tensor:
        """Return the logits of an embedding."""
        return self.convolve(embedding_BDHW, self.classify)


class UNet3Df(SummedDates):
    """The published UNet3Df: the dates are summed to an embedding, which a pixel-wise layer classifies.

    The embedding has ``8 * num_features`` channels, 128 by default, without norm or activation.

    Parameters
    ----------
    options : UNet3DOptions
        Dates, width and date channels.
    shape : DataShape
        Bands and classes; its number of dates and season are not used.
    """

    def __init__(self, options: UNet3DOptions, shape: DataShape) -> None:
        width = 8 * options.num_features
        super().__init__(options, shape, width_mid=width, width_out=width)
        self.embedding_width = width
        self.decoder = (*self.decoder, "last")
        self.last = nn.Conv3d(width, width, 3, padding=1)
        self.classify = nn.Conv2d(width, shape.classes, 1)

    def forward(self, x_BTCHW: Tensor, day_BT: Tensor, valid_BTHW: Tensor) -> tuple[Tensor, Tensor]:
        """Return ``(logits_BKHW, embedding_BDHW)``.

        Raises
        ------
        InputError
            If bands, number of dates or size do not fit the network.
        """
        embedding_BDHW = self.convolve(self.sum_dates(x_BTCHW, day_BT, valid_BTHW), self.last)
        return self.answer(embedding_BDHW)


def _normed(linear: nn.Conv3d | nn.ConvTranspose3d) -> nn.Sequential:
    return nn.Sequential(linear, nn.BatchNorm3d(linear.out_channels), nn.LeakyReLU(inplace=True))


def _block(width_in: int, width_mid: int, width_out: int) -> nn.Sequential:
    first, second = nn.Conv3d(width_in, width_mid, 3, padding=1), nn.Conv3d(width_mid, width_out, 3, padding=1)
    return nn.Sequential(_normed(first), _normed(second))


def _doubled(width_in: int, width_out: int) -> nn.ConvTranspose3d:
    return nn.ConvTranspose3d(width_in, width_out, 3, stride=2, padding=1, output_padding=1)


models.register("unet3d")(
    Architecture(UNet3DOptions, UNet3D, "Published 3-D U-Net on a fixed number of dates; sums dates after its classes.")
)
models.register("unet3df")(
    Architecture(
        UNet3DOptions, UNet3Df, "Published network of CSCL pre-training: 3-D U-Net, 128-channel embedding, fixed dates."
    )
)
