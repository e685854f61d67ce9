"""BiConvGRU and BiConvLSTM: convolutional recurrent networks that read the season forwards and backwards.

M. Rußwurm, M. Körner, "Multi-Temporal Land Cover Classification with Sequential Recurrent Encoders", ISPRS
International Journal of Geo-Information 7(4), 2018, doi 10.3390/ijgi7040129, in the sizes of M. Tarasiou et al., IEEE
TGRS 60, 2022, doi 10.1109/TGRS.2022.3198187. The cells are those of X. Shi et al., "Convolutional LSTM Network",
NeurIPS 2015, without peepholes, and of N. Ballas et al., "Delving Deeper into Convolutional Networks for Learning
Video Representations", ICLR 2016:

    GRU    u = sigmoid(Conv[x, h]),  r = sigmoid(Conv[x, h]),  n = tanh(Conv[x, r h]),  h' = (1 - u) h + u n
    LSTM   i, f, o = sigmoid(Conv[x, h]),  g = tanh(Conv[x, h]),  c' = f c + i g,  h' = o tanh(c')

Each direction starts from zero; its last states, side by side, are the embedding. In the published networks each date
of the series, clouded or not, moves the state, as far as the length of the series goes. By default here a
pixel's state waits while the pixel is unseen: a cloud is not read as a colour, and missing dates change nothing.

Axes: B item, T date, C band or feature, H row, W column, D embedding, K class.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Literal

import torch
from torch import Tensor, nn

from . import Architecture, DataShape, Needs, Network, models
from .recurrent import DateOptions, State, run_over_dates, with_date_channels

__all__ = ["BiConv", "BiConvOptions", "ConvGRU", "ConvLSTM"]

PUBLISHED = (
    "As published: clouded pixels are read as zeros, and every date up to the last one seen moves the state. "
    "Logits are logarithms of probabilities."
)
MASKED = "The state of a pixel waits while the pixel is unseen."


@dataclass(frozen=True)
class BiConvOptions(DateOptions):
    """Options of `BiConv`; the widths are the published ones, 64 and twice 256 features."""

    variant: Annotated[
        Literal["masked", "published"],
        {"tooltip": "masked: states wait while a pixel is unseen; published: unseen pixels are read as zeros"},
    ] = "masked"


class ConvGRU(nn.Module):
    """Cell of a convolutional gated recurrent unit; see the module's docstring.

    Parameters
    ----------
    channels, width : int
        Features of the input and of the state.
    """

    REACH_PX = 2  # by which a state's receptive field grows with each date: the reset gate looks around, then the rest

    def __init__(self, channels: int, width: int) -> None:
        super().__init__()
        self.gates = nn.Conv2d(channels + width, 2 * width, 3, padding=1)  # update, reset
        self.out = nn.Conv2d(channels + width, width, 3, padding=1)

    def start(self, x_BCHW: Tensor) -> State:
        """Return the state before the first date: zero."""
        return (x_BCHW.new_zeros(x_BCHW.shape[0], self.out.out_channels, *x_BCHW.shape[2:]),)

    def forward(self, x_BCHW: Tensor, state: State) -> State:
        """Return the state after `x_BCHW`."""
        (h_BCHW,) = state
        update_BCHW, reset_BCHW = self.gates(torch.cat([x_BCHW, h_BCHW], dim=1)).sigmoid().chunk(2, dim=1)
        new_BCHW = self.out(torch.cat([x_BCHW, reset_BCHW * h_BCHW], dim=1)).tanh()
        return (torch.lerp(h_BCHW.to(new_BCHW.dtype), new_BCHW, update_BCHW),)


class ConvLSTM(nn.Module):
    """Cell of a convolutional long short-term memory; see the module's docstring.

    Parameters
    ----------
    channels, width : int
        Features of the input and of the state.
    """

    REACH_PX = 1

    def __init__(self, channels: int, width: int) -> None:
        super().__init__()
        self.gates = nn.Conv2d(channels + width, 4 * width, 3, padding=1)  # input, forget, output, candidate

    def start(self, x_BCHW: Tensor) -> State:
        """Return the state and the memory before the first date: zero."""
        zero_BCHW = x_BCHW.new_zeros(x_BCHW.shape[0], self.gates.out_channels // 4, *x_BCHW.shape[2:])
        return zero_BCHW, zero_BCHW

    def forward(self, x_BCHW: Tensor, state: State) -> State:
        """Return the state and the memory after `x_BCHW`."""
        h_BCHW, c_BCHW = state
        i_BCHW, f_BCHW, o_BCHW, g_BCHW = self.gates(torch.cat([x_BCHW, h_BCHW], dim=1)).chunk(4, dim=1)
        c_BCHW = f_BCHW.sigmoid() * c_BCHW + i_BCHW.sigmoid() * g_BCHW.tanh()
        return o_BCHW.sigmoid() * c_BCHW.tanh(), c_BCHW


class BiConv(Network):
    """Convolution of each date, a recurrent cell for each direction in time, and a convolution of their last states.

    The embedding has ``32 * num_features`` channels, 512 by default, each in -1..1; 0 where a pixel was never seen.
    (The publications pre-train other networks; to pre-train this one on that embedding is our choice.)

    Parameters
    ----------
    options : BiConvOptions
        Variant, width and date channels.
    shape : DataShape
        Bands, classes, and the most dates, which bound the receptive field; any number of dates will do.
    cell : type
        `ConvGRU` or `ConvLSTM`.
    """

    decoder = ("forwards", "backwards")

    def __init__(self, options: BiConvOptions, shape: DataShape, cell: type[ConvGRU] | type[ConvLSTM]) -> None:
        super().__init__()
        width = 16 * options.num_features
        masked = options.variant == "masked"
        self.options, self.bands, self.embedding_width = options, shape.bands, 2 * width
        self.needs = Needs(
            margin_px=3 + cell.REACH_PX * (shape.dates - 1),  # input, first state and classifier 1 each
            masks_dates=masked,
            remarks=MASKED if masked else PUBLISHED,
        )
        self.look = nn.Conv2d(shape.bands + options.day_channels, 4 * options.num_features, 3, padding=1)
        self.forwards = cell(4 * options.num_features, width)
        self.backwards = cell(4 * options.num_features, width)
        self.classify = nn.Conv2d(2 * width, shape.classes, 3, padding=1)

    def forward(self, x_BTCHW: Tensor, day_BT: Tensor, valid_BTHW: Tensor) -> tuple[Tensor, Tensor]:
        """Return ``(logits_BKHW, embedding_BDHW)``.

        Raises
        ------
        InputError
            If the number of bands is not the one that the network was built for.
        """
        series_BTCHW = with_date_channels(x_BTCHW, day_BT, valid_BTHW, self.options, self.bands)
        published = self.options.variant == "published"
        counted_BTHW = _until_last(valid_BTHW) if published else valid_BTHW
        dates = range(x_BTCHW.shape[1])
        embedding_BDHW = torch.cat(
            [
                self._last(self.forwards, series_BTCHW, counted_BTHW, dates),
                self._last(self.backwards, series_BTCHW, counted_BTHW, dates[::-1]),
            ],
            dim=1,
        )
        return self.answer(embedding_BDHW)

    def score(self, embedding_BDHW: Tensor) -> Tensor:
        """Return the logits of an embedding; in the published variant they are logarithms of probabilities."""
        logits_BKHW = super().score(embedding_BDHW)
        return logits_BKHW.log_softmax(dim=1) if self.options.variant == "published" else logits_BKHW

    def _last(self, cell: ConvGRU | ConvLSTM, series_BTCHW: Tensor, counted_BTHW: Tensor, dates: range) -> Tensor:
        """Return the state of a cell after all dates, ``(B, C, H, W)``. Each date is looked at when its turn comes."""
        state: State = cell.start(series_BTCHW[:, 0])

        def step(date: int, before: State) -> State:
            after: State = cell(self.look(series_BTCHW[:, date]), before)
            return after

        last = state[0]
        for _, after in run_over_dates(step, state, counted_BTHW, dates):
            last = after[0]
        return last


class BiConvGRU(BiConv):
    """`BiConv` with gated recurrent units."""

    def __init__(self, options: BiConvOptions, shape: DataShape) -> None:
        super().__init__(options, shape, ConvGRU)


class BiConvLSTM(BiConv):
    """`BiConv` with long short-term memories."""

    def __init__(self, options: BiConvOptions, shape: DataShape) -> None:
        super().__init__(options, shape, ConvLSTM)


def _until_last(valid_BTHW: Tensor) -> Tensor:
    """Return which dates belong to an item's series: all up to the last that has a valid pixel, ``(B, T, 1, 1)``."""
    present_BT = valid_BTHW.flatten(2).any(dim=2)
    later_BT = present_BT.flip(1).int().cumsum(dim=1).flip(1) > 0
    return later_BT[..., None, None]


models.register("biconvgru")(
    Architecture(BiConvOptions, BiConvGRU, "Published convolutional GRU, reads the season forwards and backwards.")
)
models.register("biconvlstm")(
    Architecture(BiConvOptions, BiConvLSTM, "Published convolutional LSTM, reads the season forwards and backwards.")
)
