"""UNet2D-CLSTM: a 2-D U-Net on each date, then a convolutional LSTM over the dates, whose mean state is the embedding.

R. Rustowicz et al., "Semantic Segmentation of Crop Type in Africa: A Novel Dataset and Analysis of Deep Learning
Methods", CVPR Workshops 2019, as pre-trained by M. Tarasiou et al., "Context-Self Contrastive Pretraining for Crop
Type Semantic Segmentation", IEEE TGRS 60, 2022, doi 10.1109/TGRS.2022.3198187. With N the norms of the recurrence:

    i, f, o, g = N_h(Conv(h)) + N_x(Conv(x))
    c' = sigmoid(f) c + sigmoid(i) tanh(g),   h' = sigmoid(o) N_c(tanh(c'))

The published network (``variant=published``) is bound to a number of dates and to a size of tile: N is batch
normalisation with statistics of its own for each index of a date (T. Cooijmans et al., "Recurrent Batch Normalization",
ICLR 2017), the U-Net's encoder normalises groups of channels over the whole tile, and the mean runs over the missing
dates too. By default (``masked``) N is layer normalisation over the channels of a pixel (J. L. Ba et al. 2016), the
encoder has batch norms like the decoder, and a pixel's state waits while the pixel is unseen, without a part in
the mean. Both have the same parameters, begun alike.

Axes: B item, T date, F frame (an item's date), C band or feature, H row, W column, D embedding, K class.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated, Literal

import torch
from torch import Tensor, nn
from torch.nn.functional import batch_norm, layer_norm, max_pool2d, pad

from cscl.errors import InputError

from . import Architecture, DataShape, Needs, Network, models
from .recurrent import DateOptions, State, run_over_dates, with_date_channels

__all__ = ["NormedConvLSTM", "UNet2DCLSTM", "UNet2DCLSTMOptions"]

MULTIPLE = 4  # two halvings of rows and columns
FRAME_RADIUS_PX = 24  # of the U-Net, by interval arithmetic through its layers
FIRST_SCALE = 0.1  # of the norms in the recurrence, after Cooijmans et al.

MASKED = (
    "Statistics of the norms do not depend on the tile, and the state of a pixel waits while the pixel is unseen. "
    f"Tiles agree in their interiors when their corners differ by multiples of {MULTIPLE} pixels."
)
PUBLISHED = (
    "As published: missing dates and clouded pixels are read as zeros, not masked, and count in the mean over dates; "
    "norms take statistics over the whole tile, so maps show seams unless tiles are of the size trained on."
)


@dataclass(frozen=True)
class UNet2DCLSTMOptions(DateOptions):
    """Options of `UNet2DCLSTM`; the widths are the published ones."""

    variant: Annotated[
        Literal["masked", "published"],
        {"tooltip": "masked: any dates, any tile, unseen pixels wait; published: fixed dates, norms over the tile"},
    ] = "masked"
    dates: Annotated[
        int, {"min": 2, "max": 64, "tooltip": "Number of dates that the published variant reads; else not used"}
    ] = 16


class StepNorm(nn.Module):
    """Batch normalisation over items and pixels, with running statistics of its own for each index of a date.

    The reference runs its recurrence twice in each forward pass, which leaves the output alone and moves the running
    statistics twice, by 0.1 each time: here once, by as much as both together.

    Parameters
    ----------
    width, dates : int
        Number of channels and of dates.
    """

    mean_TC: Tensor
    variance_TC: Tensor
    MOMENTUM = 1 - (1 - 0.1) ** 2

    def __init__(self, width: int, dates: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.full((width,), FIRST_SCALE))
        self.register_buffer("mean_TC", torch.zeros(dates, width))
        self.register_buffer("variance_TC", torch.ones(dates, width))

    def forward(self, x_BCHW: Tensor, date: int) -> Tensor:
        """Return `x_BCHW`, features of the date of that index, normalised."""
        mean_C, variance_C = self.mean_TC[date], self.variance_TC[date]
        return batch_norm(x_BCHW, mean_C, variance_C, self.weight, None, self.training, self.MOMENTUM)


class PixelNorm(nn.Module):
    """Layer normalisation over the channels of each pixel, without shift; the same for every date.

    Parameters
    ----------
    width : int
        Number of channels.
    """

    def __init__(self, width: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.full((width,), FIRST_SCALE))

    def forward(self, x_BCHW: Tensor, date: int) -> Tensor:
        """Return `x_BCHW` normalised; `date` is not used."""
        return layer_norm(x_BCHW.movedim(1, -1), self.weight.shape, self.weight).movedim(-1, 1)


class NormedConvLSTM(nn.Module):
    """Cell of the normalised convolutional LSTM; see the module's docstring.

    Parameters
    ----------
    width : int
        Features of the input and of the state.
    norm : callable
        Makes the norm of a number of channels.
    """

    def __init__(self, width: int, norm: Callable[[int], nn.Module]) -> None:
        super().__init__()
        self.width = width
        self.state = nn.Conv2d(width, 4 * width, 3, padding=1)
        self.input = nn.Conv2d(width, 4 * width, 3, padding=1)
        self.norm_state, self.norm_input, self.norm_memory = norm(4 * width), norm(4 * width), norm(width)
        _begin(self)

    def forward(self, x_BCHW: Tensor, state: State, date: int) -> State:
        """Return the state and the memory after `x_BCHW`, the features of the date of that index."""
        h_BCHW, c_BCHW = state
        gates_BCHW = self.norm_state(self.state(h_BCHW), date) + self.norm_input(self.input(x_BCHW), date)
        i_BCHW, f_BCHW, o_BCHW, g_BCHW = gates_BCHW.chunk(4, dim=1)
        c_BCHW = f_BCHW.sigmoid() * c_BCHW + i_BCHW.sigmoid() * g_BCHW.tanh()
        return o_BCHW.sigmoid() * self.norm_memory(c_BCHW.tanh(), date), c_BCHW


class FrameUNet(nn.Module):
    """The 2-D U-Net of three levels that reads each date alone, ``(F, C, H, W)`` to ``(F, 8 * num_features, H, W)``."""

    def __init__(self, channels: int, num_features: int, norm: Callable[[int], nn.Module]) -> None:
        super().__init__()
        narrow, fine, middle, coarse = (factor * num_features for factor in (2, 4, 8, 16))
        self.enc3 = nn.Sequential(_around(channels, fine, norm), _around(fine, fine, norm))
        self.enc4 = nn.Sequential(_around(fine, middle, norm), _around(middle, middle, norm))
        self.center = _around(middle, coarse, norm)
        self.up = nn.Sequential(_around(coarse, coarse, norm), nn.ConvTranspose2d(coarse, middle, 2, stride=2))
        self.dec4 = nn.Sequential(
            _around(coarse, middle, nn.BatchNorm2d),
            _around(middle, middle, nn.BatchNorm2d),
            nn.ConvTranspose2d(middle, fine, 2, stride=2),
        )
        self.final = nn.Sequential(
            _around(middle, fine, nn.BatchNorm2d),
            _around(fine, narrow, nn.BatchNorm2d),
            nn.Conv2d(narrow, middle, 3, padding=1),
        )
        _begin(self)

    def forward(self, x_FCHW: Tensor) -> Tensor:
        """Return features of every frame and pixel."""
        enc3 = self.enc3(x_FCHW)
        enc4 = self.enc4(max_pool2d(enc3, 2))
        center = self.up(self.center(max_pool2d(enc4, 2)))
        dec4 = self.dec4(torch.cat([center, enc4], dim=1))
        features: Tensor = self.final(torch.cat([dec4, enc3], dim=1))
        return features


class UNet2DCLSTM(Network):
    """U-Net of each date, recurrence over the dates, mean state; see the module's docstring.

    The embedding has ``8 * num_features`` channels, 128 by default; 0 where a pixel was never seen.

    Parameters
    ----------
    options : UNet2DCLSTMOptions
        Variant, width, date channels, and the number of dates of the published variant.
    shape : DataShape
        Bands, classes, and the most dates, which bound the receptive field.
    """

    decoder = ("unet.up", "unet.dec4", "unet.final", "recurrence")

    def __init__(self, options: UNet2DCLSTMOptions, shape: DataShape) -> None:
        super().__init__()
        width, masked = 8 * options.num_features, options.variant == "masked"
        self.options, self.bands, self.embedding_width = options, shape.bands, width
        dates = shape.dates if masked else options.dates
        self.needs = Needs(
            dates=None if masked else dates,
            multiple_px=MULTIPLE,
            margin_px=FRAME_RADIUS_PX + dates + 1,  # each date moves the state by a pixel; the classifier looks one far
            whole_tile=not masked,
            masks_dates=masked,
            remarks=MASKED if masked else PUBLISHED,
        )
        channels = shape.bands + options.day_channels
        self.unet = FrameUNet(channels, options.num_features, nn.BatchNorm2d if masked else _groups)
        self.recurrence = NormedConvLSTM(width, PixelNorm if masked else lambda wide: StepNorm(wide, dates))
        self.classify = nn.Conv2d(width, shape.classes, 3, padding=1)

    def forward(self, x_BTCHW: Tensor, day_BT: Tensor, valid_BTHW: Tensor) -> tuple[Tensor, Tensor]:
        """Return ``(logits_BKHW, embedding_BDHW)``.

        Raises
        ------
        InputError
            If bands, size or, in the published variant, the number of dates do not fit the network.
        """
        series_BTCHW = with_date_channels(x_BTCHW, day_BT, valid_BTHW, self.options, self.bands, MULTIPLE)
        if self.options.variant == "published":
            missing = self.options.dates - x_BTCHW.shape[1]
            if missing < 0:
                raise InputError(
                    f"The network reads {self.options.dates} dates, the series has {x_BTCHW.shape[1]}: choose fewer."
                )
            series_BTCHW = pad(series_BTCHW, (0, 0, 0, 0, 0, 0, 0, missing))
            valid_BTHW = valid_BTHW.new_ones(series_BTCHW.shape[:2])[..., None, None]
        embedding_BDHW = self._mean_state(series_BTCHW, valid_BTHW)
        return self.answer(embedding_BDHW)

    def _mean_state(self, series_BTCHW: Tensor, counted_BTHW: Tensor) -> Tensor:
        """Return the mean of each pixel's states after the dates that count, ``(B, D, H, W)``."""
        features = self._features(series_BTCHW, counted_BTHW)
        items, dates, _, height_px, width_px = series_BTCHW.shape
        zero_BDHW = series_BTCHW.new_zeros(items, self.embedding_width, height_px, width_px)

        def step(date: int, state: State) -> State:
            after: State = self.recurrence(features(date), state, date)
            return after

        sum_BDHW = zero_BDHW
        for date, state in run_over_dates(step, (zero_BDHW, zero_BDHW), counted_BTHW, range(dates)):
            sum_BDHW = sum_BDHW + torch.where(counted_BTHW[:, date, None], state[0], 0)
        return sum_BDHW / counted_BTHW.sum(dim=1, keepdim=True).clamp_min(1)

    def _features(self, series_BTCHW: Tensor, counted_BTHW: Tensor) -> Callable[[int], Tensor]:
        """Return what gives the features of a date, ``(B, D, H, W)``.

        In training all frames that count somewhere go through the U-Net together, so that its norms meet the season
        and nothing of the padding. Otherwise each date goes alone, and memory does not grow with their number.
        """
        if not self.training:
            return lambda date: self.unet(series_BTCHW[:, date])
        present_BT = counted_BTHW.any(dim=3).any(dim=2)
        if not present_BT.any():
            present_BT = torch.ones_like(present_BT)
        found_FDHW = self.unet(series_BTCHW[present_BT])
        features_BTDHW = found_FDHW.new_zeros(*present_BT.shape, *found_FDHW.shape[1:])
        features_BTDHW[present_BT] = found_FDHW
        return lambda date: features_BTDHW[:, date]


def _around(width_in: int, width_out: int, norm: Callable[[int], nn.Module]) -> nn.Sequential:
    return nn.Sequential(nn.Conv2d(width_in, width_out, 3, padding=1), norm(width_out), nn.LeakyReLU(inplace=True))


def _groups(width: int) -> nn.GroupNorm:
    """Make the published norm of the encoder: 16 channels a group, over the whole tile."""
    return nn.GroupNorm(max(1, width // 16), width)


def _begin(part: nn.Module) -> None:
    """Draw the first weights as published: normal, after He et al. 2015, no bias; transposed ones as torch does."""
    for module in part.modules():
        if isinstance(module, nn.Conv2d):
            nn.init.kaiming_normal_(module.weight)
            if module.bias is not None:
                nn.init.zeros_(module.bias)


models.register("unet2d_clstm")(
    Architecture(
        UNet2DCLSTMOptions,
        UNet2DCLSTM,
        "Published 2-D U-Net on each date, then a convolutional LSTM over the dates; 128-channel embedding.",
    )
)
