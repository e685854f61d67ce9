"""TSViT: a transformer over the dates of each patch, then one over the patches of each token.

M. Tarasiou, E. Chavez, S. Zafeiriou, "ViTs for SITS: Vision Transformers for Satellite Image Time Series", CVPR 2023.
Each date of a patch of p x p pixels becomes a token, to which a learned code of its date is added. Learned tokens go
before them, gather the season in the temporal encoder, and go on alone. The spatial encoder relates equal tokens of all
patches, and a layer that the tokens share makes the p x p pixels of a patch of each.

In the published network (``variant=published``) there is one token for each class, and that layer makes its logits.
Padded dates are attended to like all others, the code of a date is that of its day of the year, and the spatial
encoder sees the whole tile, through codes of the places in tiles of one size. The logits are laid out as
(patch, pixel of the patch), one row of the tile after the other, so that most lie elsewhere than their pixels.

By default (``masked``) the number of tokens is free. Unseen pixels are marked beside the bands, and dates that did not
see a patch are left out. Codes of dates lie on knots over the season, begin as sines and cosines, and are interpolated
between them: neither new year nor a new date is special. A patch attends to the patches within a radius, with a bias
for each offset, so that tiles may have any size. The pixels of the tokens, put where they belong, are together the
embedding.

Axes: B item, T date, M knot, C band or feature, H row, W column, Y row and X column of patches, Q token, D embedding,
K class.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Annotated, Literal

import torch
from torch import Tensor, nn
from torch.nn.functional import interpolate, one_hot, pad

from cscl.errors import InputError

from . import Architecture, DataShape, Needs, Network, models, written_down
from .transformer import Encoder, Everywhere, Nearby
from .unet3d import DAY_SCALE, DAYS_PER_YEAR

__all__ = ["TSViT", "TSViTOptions", "day_index", "from_patches", "to_patches"]

SEQUENCES, TOKENS = 1024, 4  # at once, outside training

MASKED = "Tiles agree in their interiors when their corners differ by multiples of {0} pixels."
PUBLISHED = (
    "As published: padded dates and clouded pixels are read as zeros, not masked, and dates a year apart look alike; "
    "every pixel feels its whole tile, and the codes of places are made for tiles of {0} x {0} pixels and interpolated "
    "for others, so maps show seams; most logits lie elsewhere than their pixels, so losses that compare neighbours "
    "mean nothing; tokens are classes, so a legend cannot change after pre-training. The codes of dates begin faint: "
    "expect hundreds of steps before anything but the mean of the season is learnt."
)


@dataclass(frozen=True)
class TSViTOptions:
    """Options of `TSViT`; widths and depths are those published for PASTIS."""

    variant: Annotated[
        Literal["masked", "published"],
        {"tooltip": "masked: unseen pixels are left out, any tile and legend; published: fixed tiles, no masks"},
    ] = "masked"
    num_features: Annotated[int, {"min": 8, "max": 512, "step": 8, "tooltip": "Width of a token"}] = 128
    heads: Annotated[int, {"min": 1, "max": 16, "tooltip": "Heads of the attention"}] = 4
    head_width: Annotated[int, {"min": 4, "max": 128, "step": 4, "tooltip": "Width of a head"}] = 32
    temporal_depth: Annotated[int, {"min": 1, "max": 16, "tooltip": "Layers over the dates"}] = 4
    spatial_depth: Annotated[int, {"min": 1, "max": 16, "tooltip": "Layers over the patches"}] = 4
    patch_px: Annotated[int, {"min": 1, "max": 8, "tooltip": "Side of a patch, pixels"}] = 2
    tokens: Annotated[int, {"min": 1, "max": 64, "tooltip": "masked: number of learned tokens"}] = 16
    embedding_width: Annotated[
        int, {"min": 8, "max": 256, "step": 8, "tooltip": "masked: channels of the embedding, shared by the tokens"}
    ] = 64
    radius: Annotated[int, {"min": 1, "max": 12, "tooltip": "masked: how many patches far each layer looks"}] = 3
    knots: Annotated[int, {"min": 8, "max": 366, "tooltip": "masked: days of the season with a learned code"}] = 64
    dates: Annotated[int, {"min": 2, "max": 128, "tooltip": "published: number of dates, padded where fewer"}] = 16
    tile_px: Annotated[int, {"min": 8, "max": 256, "tooltip": "published: side of the tiles it is made for"}] = 24
    reference_day_of_year: Annotated[
        int, {"min": 1, "max": 366, "tooltip": "published: day of year of the date from which days are counted"}
    ] = 1


class TSViT(Network):
    """Temporal, then spatial transformer; see the module's docstring.

    The published network has no layer behind its logits. Here they are the embedding, one channel for each class, and
    ``classify`` a factor and a summand for each class, which begin as 1 and 0.

    Parameters
    ----------
    options : TSViTOptions
        Variant, widths and depths.
    shape : DataShape
        Bands, classes, and the season that the knots span.

    Raises
    ------
    InputError
        If the embedding cannot be shared out to the tokens, or the published tile cannot be cut into patches.
    """

    knot_M: Tensor
    decoder = ("space", "unfold")

    def __init__(self, options: TSViTOptions, shape: DataShape) -> None:
        super().__init__()
        _check_options(options)
        masked, width, patch = options.variant == "masked", options.num_features, options.patch_px
        self.options, self.bands, self.masked, self.needs = options, shape.bands, masked, _needs(options)
        tokens = options.tokens if masked else shape.classes
        self.embedding_width = options.embedding_width if masked else shape.classes
        self.embed_patch = nn.Linear((shape.bands + masked) * patch**2, width)
        self.embed_day = nn.Linear(options.knots if masked else DAYS_PER_YEAR + 1, width)
        knot_M = torch.linspace(shape.first_day, max(shape.last_day, shape.first_day + 1), options.knots)
        self.register_buffer("knot_M", knot_M, persistent=False)
        if masked:
            _begin_with_waves(self.embed_day)
        self.tokens = nn.Parameter(torch.randn(tokens, width))
        self.time = Encoder(
            width, options.heads, options.head_width, (Everywhere() for _ in range(options.temporal_depth))
        )
        attends = (
            Nearby(options.heads, options.radius) if masked else Everywhere() for _ in range(options.spatial_depth)
        )
        self.space = Encoder(width, options.heads, options.head_width, attends)
        if not masked:
            self.place = nn.Parameter(torch.randn((options.tile_px // patch) ** 2, width))
        share = patch**2 * self.embedding_width // tokens
        self.unfold = nn.Sequential(nn.LayerNorm(width), nn.Linear(width, share))
        self.classify = nn.Conv2d(self.embedding_width, shape.classes, 1, groups=1 if masked else shape.classes)
        if not masked:
            nn.init.ones_(self.classify.weight)
            nn.init.zeros_(self.classify.get_parameter("bias"))

    def forward(self, x_BTCHW: Tensor, day_BT: Tensor, valid_BTHW: Tensor) -> tuple[Tensor, Tensor]:
        """Return ``(logits_BKHW, embedding_BDHW)``.

        Raises
        ------
        InputError
            If bands, size or, in the published variant, the number of dates do not fit the network.
        """
        self._check(x_BTCHW)
        series_BTCHW = x_BTCHW.masked_fill(~valid_BTHW[:, :, None], 0.0)
        if self.masked:
            series_BTCHW = torch.cat([series_BTCHW, valid_BTHW[:, :, None].to(x_BTCHW.dtype)], dim=2)
        patch_BYXTC = self.embed_patch(to_patches(series_BTCHW, self.options.patch_px))
        seen_BYXT = to_patches(valid_BTHW[:, :, None], self.options.patch_px).any(dim=4)
        code_BTC = self._date_codes(day_BT, valid_BTHW)
        season_BQYXC = self._over_dates(patch_BYXTC, code_BTC, seen_BYXT)
        pixels_BQYXC = self.unfold(self._over_patches(season_BQYXC, seen_BYXT.any(dim=3)))
        if self.masked:
            embedding_BDHW = from_patches(pixels_BQYXC, self.options.patch_px)
        else:
            embedding_BDHW = pixels_BQYXC.reshape(*pixels_BQYXC.shape[:2], *x_BTCHW.shape[-2:])  # see the docstring
        return self.answer(embedding_BDHW)

    def _date_codes(self, day_BT: Tensor, valid_BTHW: Tensor) -> Tensor:
        """Return the learned code of each date, ``(B, T, C)``; beyond the season those of its first or last day."""
        if self.masked:
            spacing_days = self.knot_M[1] - self.knot_M[0]
            knot_BT = ((day_BT - self.knot_M[0]) / spacing_days).clamp(0, len(self.knot_M) - 1)
            step_BTM = knot_BT[..., None] - torch.arange(len(self.knot_M), device=day_BT.device)
            near_BTM = (1 - step_BTM.abs()).clamp_min(0)
        else:
            index_BT = day_index(day_BT, self.options.reference_day_of_year)
            index_BT = torch.where(valid_BTHW.any(dim=3).any(dim=2), index_BT, 0)
            near_BTM = one_hot(index_BT, DAYS_PER_YEAR + 1)
        code_BTC: Tensor = self.embed_day(near_BTM.to(self.embed_day.weight.dtype))
        return code_BTC

    def _over_dates(self, patch_BYXTC: Tensor, code_BTC: Tensor, seen_BYXT: Tensor) -> Tensor:
        """Return the tokens of each patch after the dates, ``(B, Q, Y, X, C)``."""
        items, rows, columns, dates, width = patch_BYXTC.shape
        tokens = len(self.tokens)
        date_BYXTC = (patch_BYXTC + code_BTC[:, None, None]).to(self.tokens.dtype)
        date_STC, allowed_SL = date_BYXTC.flatten(0, 2), None
        if self.masked:
            allowed_SL = pad(seen_BYXT.flatten(0, 2), (tokens, 0), value=True)
        else:  # the padded dates at the end: no bands, and the code of day 0
            padded_C = self.embed_patch.bias + self.embed_day.weight[:, 0] + self.embed_day.bias
            date_STC = torch.cat([date_STC, padded_C.expand(date_STC.shape[0], self.options.dates - dates, -1)], dim=1)
        step, parts = date_STC.shape[0] if self.training or written_down() else SEQUENCES, []
        for first in _starts(date_STC, step):
            part_STC = date_STC[first : first + step]
            series_SLC = torch.cat([self.tokens.expand(part_STC.shape[0], -1, -1), part_STC], dim=1)
            allowed_S11L = None if allowed_SL is None else allowed_SL[first : first + step, None, None]
            parts.append(self.time(series_SLC, allowed_S11L)[:, :tokens])
        season_BYXQC = torch.cat(parts).reshape(items, rows, columns, tokens, width)
        return season_BYXQC.permute(0, 3, 1, 2, 4)

    def _over_patches(self, season_BQYXC: Tensor, seen_BYX: Tensor) -> Tensor:
        """Return the tokens of each patch after their surroundings, ``(B, Q, Y, X, C)``."""
        allowed, place_LC = (seen_BYX, 0) if self.masked else (None, self._places(*seen_BYX.shape[1:]))
        tokens = season_BQYXC.shape[1]
        step, parts = tokens if self.training or written_down() else TOKENS, []
        for first in _starts(self.tokens, step):
            some_BQYXC = season_BQYXC[:, first : first + step]
            features_SLC = self.space(some_BQYXC.flatten(2, 3).flatten(0, 1) + place_LC, allowed)
            parts.append(features_SLC.reshape(some_BQYXC.shape))
        return torch.cat(parts, dim=1)

    def _places(self, rows: int, columns: int) -> Tensor:
        """Return the codes of the places in a tile, ``(L, C)``; for other tiles than the published, interpolated."""
        side = self.options.tile_px // self.options.patch_px
        place_LC: Tensor = self.place
        if (rows, columns) != (side, side):
            grid_1CYX = place_LC.T.reshape(1, -1, side, side)
            place_LC = interpolate(grid_1CYX, (rows, columns), mode="bilinear", align_corners=False)[0].flatten(1).T
        return place_LC

    def _check(self, x_BTCHW: Tensor) -> None:
        dates, bands, *size_px = x_BTCHW.shape[1:]
        patch_px = self.options.patch_px
        if bands != self.bands:
            raise InputError(f"The network reads {self.bands} bands, the series has {bands}: choose those bands.")
        if not self.masked and dates > self.options.dates:
            raise InputError(f"The network reads {self.options.dates} dates, the series has {dates}: choose fewer.")
        if any(side_px % patch_px for side_px in size_px):
            raise InputError(f"Height and width, {size_px} px, must be multiples of {patch_px}: pad the tile.")


def _starts(parts: Tensor, step: int) -> Iterable[int]:
    """Where every `step`-th of the first axis is; a network that is written down takes all at once, however many."""
    return (0,) if written_down() else range(0, len(parts), step)


def to_patches(x_BTCHW: Tensor, patch_px: int) -> Tensor:
    """Cut into patches, ``(B, Y, X, T, patch_px * patch_px * C)``: pixels row by row, all channels of one together."""
    items, dates, channels, height_px, width_px = x_BTCHW.shape
    cut = x_BTCHW.reshape(items, dates, channels, height_px // patch_px, patch_px, width_px // patch_px, patch_px)
    return cut.permute(0, 3, 5, 1, 4, 6, 2).flatten(4)


def from_patches(x_BQYXC: Tensor, patch_px: int) -> Tensor:
    """Put the pixels of patches where they belong, ``(B, Q * C / patch_px ** 2, H, W)``.

    The features of a patch are ordered as in `to_patches`: pixels row by row, all channels of one together.
    """
    items, _, rows, columns, _ = x_BQYXC.shape
    cut = x_BQYXC.reshape(items, -1, rows, columns, patch_px, patch_px, x_BQYXC.shape[4] // patch_px**2)
    return cut.permute(0, 1, 6, 2, 4, 3, 5).reshape(items, -1, rows * patch_px, columns * patch_px)


def day_index(day_BT: Tensor, reference_day_of_year: int) -> Tensor:
    """Return the row of the published table of dates for each day since the reference date.

    It is the day of the year, 1 to 365, but for some, e.g. 13, 26 and 52, one less: the reference stores the day of the
    year over 365.0001 in single precision, and cuts off the fraction after multiplying again.
    """
    day_of_year = (day_BT + (reference_day_of_year - 1)) % DAYS_PER_YEAR + 1
    return (day_of_year.float() / DAY_SCALE * DAY_SCALE).long()


def _begin_with_waves(embed_day: nn.Linear) -> None:
    """Let the codes of the knots begin as sines and cosines, from half a turn a season to one every four knots.

    The published first codes are independent noise, a tenth as large as the bands: the first layers hardly tell one
    date from another, and hundreds of steps go by before anything but the mean of the season is learnt.
    """
    width, knots = embed_day.weight.shape
    turns_C = torch.logspace(0, 1, -(-width // 2), base=knots / 2).repeat_interleave(2)[:width] / 2
    phase_CM = 2 * torch.pi * turns_C[:, None] * torch.linspace(0, 1, knots)
    with torch.no_grad():
        embed_day.weight[0::2] = phase_CM[0::2].sin()
        embed_day.weight[1::2] = phase_CM[1::2].cos()


def _check_options(options: TSViTOptions) -> None:
    if options.variant == "masked" and options.embedding_width % options.tokens:
        raise InputError(
            f"An embedding of {options.embedding_width} channels cannot be shared by {options.tokens} tokens: "
            "choose a multiple of their number."
        )
    if options.variant == "published" and options.tile_px % options.patch_px:
        raise InputError(
            f"Tiles of {options.tile_px} px cannot be cut into patches of {options.patch_px} px: choose a multiple."
        )


def _needs(options: TSViTOptions) -> Needs:
    if options.variant == "published":
        return Needs(
            dates=options.dates,
            multiple_px=options.patch_px,
            whole_tile=True,
            masks_dates=False,
            remarks=PUBLISHED.format(options.tile_px),
        )
    reach_px = options.spatial_depth * options.radius * options.patch_px
    return Needs(
        multiple_px=options.patch_px,
        margin_px=reach_px + options.patch_px - 1,  # to the far side of the farthest patch
        remarks=MASKED.format(options.patch_px),
    )


models.register("tsvit")(
    Architecture(TSViTOptions, TSViT, "Published transformer over dates, then over patches, TSViT.")
)
