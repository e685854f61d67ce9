"""Compact: the default network. Each pixel's dates become one vector, then a small U-Net looks around.

Built for laptops as much as for GPUs. The season of every pixel is summarised first, from whichever dates saw it and
at their true days, by one of two temporal encoders:

- ``knots``: kernel regression (Nadaraya 1964, Watson 1964) of the valid dates onto equally spaced days, with learned
  bandwidths, then temporal convolutions over those days (after Pelletier et al. 2019, TempCNN);
- ``attention``: learned master queries over the dates (after Sainte Fare Garnot and Landrieu 2020, L-TAE), beside a
  maximum over the dates.

Axes: B item, T date, C band or feature, H row, W column, P pixel (row and column), G kernel, M knot, F frequency,
Q query, D embedding, K class.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Literal

import torch
from torch import Tensor, nn
from torch.nn.functional import conv2d, interpolate, pad, relu

from cscl.errors import InputError

from . import Architecture, DataShape, Needs, Network, models, written_down

__all__ = ["Compact", "CompactOptions"]

STEP_PX = 4  # two halvings: rows and columns are padded to a multiple of this
STRIP_PX = 4096  # pixels summarised at once outside training: what is made of their dates then stays in the cache
EMPTY = 1e-2  # kernel mass below which a knot counts as unobserved


@dataclass(frozen=True)
class CompactOptions:
    """Options of `Compact`; the defaults give 0.4 million parameters and 0.43 MFLOP a pixel (24 dates, 10 bands)."""

    temporal: Annotated[
        Literal["knots", "attention"], {"tooltip": "How the dates of a pixel are summarised into one vector"}
    ] = "knots"
    num_features: Annotated[int, {"min": 4, "max": 64, "step": 4, "tooltip": "Width of all layers"}] = 16
    embedding_width: Annotated[int, {"min": 8, "max": 256, "step": 8, "tooltip": "Channels of the embedding"}] = 64
    knots: Annotated[
        int, {"min": 8, "max": 64, "step": 4, "tooltip": "Equally spaced days that 'knots' resamples the season to"}
    ] = 16


class OfBothKernels(nn.Conv2d):
    """Convolution over the knots that reads both kernels' rows in turn, instead of channels side by side.

    As they come from one matrix product, no copy is made to bring them together.
    """

    def forward(self, x_BCNP: Tensor) -> Tensor:
        """Return the convolution of rows that go (first knot, narrow), (first knot, wide), (second knot, narrow)..."""
        width, channels, taps, _ = self.weight.shape
        weight = self.weight.reshape(width, 2, channels // 2, taps, 1).permute(0, 2, 3, 1, 4).flatten(2, 3)
        return conv2d(x_BCNP, weight, self.bias, (2 * self.stride[0], 1), (2 * int(self.padding[0]), 0))


class Knots(nn.Module):
    """Resample irregular, gappy dates to equally spaced knots, then convolve over the knots.

    The value of band c at knot m is ``sum_t w_mt v_t x_tc / (sum_t w_mt v_t + EMPTY)`` with Gaussian weights ``w`` of
    the distance in days and validity ``v``. A narrow and a wide kernel run side by side: one keeps detail, the other
    bridges gaps. Their kernel masses, squashed to 0..1, tell the convolutions how well a knot was observed.
    """

    knot_M: Tensor

    def __init__(self, shape: DataShape, knots: int, num_features: int) -> None:
        super().__init__()
        spacing_days = max(shape.last_day - shape.first_day, 1) / (knots - 1)
        knot_M = shape.first_day + spacing_days * torch.arange(knots, dtype=torch.float32)
        self.register_buffer("knot_M", knot_M, persistent=False)
        self.log_bandwidth_G = nn.Parameter(torch.log(spacing_days * torch.tensor([0.6, 2.0])))
        half = -(-knots // 2)
        quarter = -(-half // 2)
        wide, wider, widest = 2 * num_features, 3 * num_features, 4 * num_features
        self.convolutions = nn.Sequential(
            _normed(OfBothKernels(2 * (shape.bands + 1), wide, (5, 1), (2, 1), (2, 0), bias=False)),
            _normed(nn.Conv2d(wide, wider, (5, 1), (2, 1), (2, 0), bias=False)),
            _normed(nn.Conv2d(wider, widest, (quarter, 1), bias=False)),
        )

    def resample(self, x_BTCP: Tensor, day_BT: Tensor, valid_BTP: Tensor) -> Tensor:
        """Return ``(B, M, G, P, C + 1)``: bands and observedness at the knots, with the narrow kernel and the wide."""
        distance_BMT = self.knot_M[:, None] - day_BT[:, None, :].to(self.knot_M.dtype)
        bandwidth_G1 = self.log_bandwidth_G.exp()[:, None]
        weight_BMGT = torch.exp(-0.5 * (distance_BMT[:, :, None] / bandwidth_G1) ** 2).to(x_BTCP.dtype)
        seen_BTPC = torch.cat([x_BTCP, valid_BTP.to(x_BTCP.dtype)[:, :, None]], dim=2).transpose(2, 3).contiguous()
        sums_BMGPC = (weight_BMGT.flatten(1, 2) @ seen_BTPC.flatten(2)).view(
            *weight_BMGT.shape[:3], *seen_BTPC.shape[2:]
        )
        empty_C = torch.full_like(sums_BMGPC[0, 0, 0, 0], EMPTY)
        empty_C[-1] = 1.0
        return sums_BMGPC / (sums_BMGPC[..., -1:] + empty_C)

    def forward(self, x_BTCP: Tensor, day_BT: Tensor, valid_BTP: Tensor) -> Tensor:
        """Return one vector per pixel, ``(B, 4 * num_features, P)``."""
        series_BCNP = self.resample(x_BTCP, day_BT, valid_BTP).flatten(1, 2).permute(0, 3, 1, 2)  # channels last
        vector: Tensor = self.convolutions(series_BCNP)[:, :, 0]
        return vector


class Attention(nn.Module):
    """Pool the dates of each pixel under learned queries, and by their maximum.

    A query meets a key that is linear in the date's features, so query and key fold into one linear layer with one
    score per query. Values are the features themselves. Pixels that no date saw pool to zero.
    """

    QUERIES = 8
    pulse_F: Tensor

    def __init__(self, shape: DataShape, num_features: int) -> None:
        super().__init__()
        width = 2 * num_features
        period_days = max(shape.last_day - shape.first_day, 1) / torch.tensor([0.5, 1.0, 2.0, 4.0, 8.0, 16.0])
        self.register_buffer("pulse_F", 2 * torch.pi / period_days, persistent=False)
        self.spectrum = nn.Linear(shape.bands, width)
        self.season = nn.Linear(2 * len(period_days), width, bias=False)
        self.mix = nn.Linear(width, width)
        self.score = nn.Linear(width, self.QUERIES, bias=False)
        nn.init.normal_(self.score.weight)  # wide, so that the queries look at different dates from the first step
        self.project = _normed(nn.Conv1d((self.QUERIES + 1) * width + 1, 4 * num_features, 1, bias=False))

    def forward(self, x_BTCP: Tensor, day_BT: Tensor, valid_BTP: Tensor) -> Tensor:
        """Return one vector per pixel, ``(B, 4 * num_features, P)``."""
        phase_BTF = day_BT[..., None].to(self.pulse_F.dtype) * self.pulse_F
        season_BTC = self.season(torch.cat([phase_BTF.sin(), phase_BTF.cos()], dim=-1).to(x_BTCP.dtype))
        spectrum_BPTC = self.spectrum(x_BTCP.permute(0, 3, 1, 2).contiguous())
        seen_BPT1 = valid_BTP.transpose(1, 2)[..., None].to(spectrum_BPTC.dtype)
        unseen_BPT1 = -1e4 * (1 - seen_BPT1)  # before a ReLU or a softmax this leaves nothing of an unseen date
        mixed_BPTC = self.mix(relu(spectrum_BPTC + season_BTC[:, None]))
        feature_BPTC = relu(mixed_BPTC + unseen_BPT1)
        score_BPTQ = self.score(feature_BPTC) + unseen_BPT1
        pooled_BPC = (score_BPTQ.softmax(dim=2).transpose(2, 3) @ feature_BPTC).flatten(2)
        peak_BPC = feature_BPTC.amax(dim=2)  # features are >= 0, so an unseen date never wins
        count_BP1 = seen_BPT1.sum(dim=2)
        vector_BPC = torch.cat([pooled_BPC, peak_BPC, count_BP1 / (count_BP1 + 8)], dim=-1)
        vector_BCP: Tensor = self.project(vector_BPC.transpose(1, 2))
        return vector_BCP


class Surroundings(nn.Module):
    """U-Net of three levels (after Ronneberger et al. 2015) on the per-pixel vectors; any height and width.

    Nothing in it takes statistics over the tile in evaluation, so a pixel answers alike in any tile that shows its
    receptive field at the same phase of the two halvings.
    """

    RADIUS_PX = 20  # 1 + 2 * 2 + 2 * 4 + 2 + 1 for the convolutions, 3 for the halvings, in whole steps of 4

    def __init__(self, num_features: int, embedding_width: int) -> None:
        super().__init__()
        fine, middle, coarse = 3 * num_features, 4 * num_features, 6 * num_features
        self.down0 = _around(4 * num_features, fine)
        self.down1 = nn.Sequential(nn.MaxPool2d(2), _around(fine, middle), _around(middle, middle))
        self.down2 = nn.Sequential(nn.MaxPool2d(2), _around(middle, coarse), _around(coarse, coarse))
        self.lift1 = _normed(nn.Conv2d(coarse, middle, 1, bias=False))
        self.up1 = _around(2 * middle, middle)
        self.lift0 = _normed(nn.Conv2d(middle, fine, 1, bias=False))
        self.up0 = _around(2 * fine, 4 * num_features)
        self.embed = nn.Conv2d(4 * num_features, embedding_width, 1)

    def forward(self, vector_BCHW: Tensor) -> Tensor:
        """Return the embedding, ``(B, D, H, W)``, of vectors ``(B, 4 * num_features, H, W)``."""
        height_px, width_px = vector_BCHW.shape[-2:]
        padded = pad(vector_BCHW, (0, -width_px % STEP_PX, 0, -height_px % STEP_PX))
        fine = self.down0(padded)
        middle = self.down1(fine)
        middle = self.up1(torch.cat([middle, _twice(self.lift1(self.down2(middle)))], dim=1))
        fine = self.up0(torch.cat([fine, _twice(self.lift0(middle))], dim=1))
        embedding: Tensor = self.embed(fine)
        return embedding[..., :height_px, :width_px]


class Compact(Network):
    """Per-pixel temporal encoder, then a small U-Net; see the module's docstring.

    Parameters
    ----------
    options : CompactOptions
        Encoder and widths.
    shape : DataShape
        Bands, classes and the season's span; its number of dates is not used, any number will do.
    """

    decoder = ("surroundings",)
    bottleneck = "surroundings.down2"

    def __init__(self, options: CompactOptions, shape: DataShape) -> None:
        super().__init__()
        self.bands = shape.bands
        self.embedding_width = options.embedding_width
        self.needs = Needs(
            margin_px=Surroundings.RADIUS_PX,
            remarks=f"Tiles agree in their interiors when their corners differ by multiples of {STEP_PX} pixels.",
        )
        self.pixel: Knots | Attention
        if options.temporal == "knots":
            self.pixel = Knots(shape, options.knots, options.num_features)
        else:
            self.pixel = Attention(shape, options.num_features)
        self.surroundings = Surroundings(options.num_features, options.embedding_width)
        self.classify = nn.Conv2d(options.embedding_width, shape.classes, 1)

    def forward(self, x_BTCHW: Tensor, day_BT: Tensor, valid_BTHW: Tensor) -> tuple[Tensor, Tensor]:
        """Return ``(logits_BKHW, embedding_BDHW)``.

        Raises
        ------
        InputError
            If the number of bands is not the one that the network was built for.
        """
        if x_BTCHW.shape[2] != self.bands:
            raise InputError(
                f"The network reads {self.bands} bands, the series has {x_BTCHW.shape[2]}; choose those bands."
            )
        vector_BCP = self._summarise(x_BTCHW.flatten(3), day_BT, valid_BTHW.flatten(2))
        embedding_BDHW = self.surroundings(vector_BCP.reshape(*vector_BCP.shape[:2], *x_BTCHW.shape[-2:]))
        return self.answer(embedding_BDHW)

    def _summarise(self, x_BTCP: Tensor, day_BT: Tensor, valid_BTP: Tensor) -> Tensor:
        """Return one vector per pixel, ``(B, C, P)``; outside training strip by strip, channels last in memory."""
        if written_down():
            vector_BCP: Tensor = self.pixel(x_BTCP.masked_fill(~valid_BTP[:, :, None], 0.0), day_BT, valid_BTP)
            return vector_BCP
        step = x_BTCP.shape[3] if self.training else max(1, STRIP_PX // len(x_BTCP))
        strips = zip(torch.split(x_BTCP, step, 3), torch.split(valid_BTP, step, 2), strict=True)
        vectors = (self.pixel(x.masked_fill(~valid[:, :, None], 0.0), day_BT, valid) for x, valid in strips)
        return torch.cat([part_BCP.transpose(1, 2) for part_BCP in vectors], dim=1).transpose(1, 2)


def _normed(linear: nn.Conv1d | nn.Conv2d) -> nn.Sequential:
    norm = nn.BatchNorm1d if isinstance(linear, nn.Conv1d) else nn.BatchNorm2d
    return nn.Sequential(linear, norm(linear.out_channels), nn.ReLU(inplace=True))


def _around(width_in: int, width_out: int) -> nn.Sequential:
    return _normed(nn.Conv2d(width_in, width_out, 3, padding=1, bias=False))


def _twice(x_BCHW: Tensor) -> Tensor:
    return interpolate(x_BCHW, scale_factor=2.0, mode="nearest")


models.register("compact")(
    Architecture(
        options=CompactOptions,
        build=Compact,
        summary="Small and quick: summarises the dates of each pixel first, then looks around with a small U-Net.",
    )
)
