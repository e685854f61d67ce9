"""Two views of each sample: two crops, flipped and turned, each with other dates of the season.

What is the same on the ground is known in both: a `Frame` says where each pixel of the sample lies in a view. Nothing
is resampled, no day of the year is changed by more than a few days, and what was not seen stays not seen.

Axes: B item, T date, C band, H row, W column, R region or point. y and x are rows and columns, pixels.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Literal

import torch
from torch import Generator, Tensor
from torch.nn.functional import pad

from .radiometry import RadiometryOptions, changed_values
from .tensors import Tensors

__all__ = ["Frame", "Pair", "Samples", "View", "ViewOptions", "draw_pair"]

LEAST_DATES = 16  # of fewer dates, halves are too thin to show a season
THIN_SHARE = 0.75  # of the dates, in a view of so thin a season
LEAST_SHARED = 1 / 3  # of a view's side, that the two views have in common, and at least
LEAST_SHARED_PX = 8


@dataclass(frozen=True)
class ViewOptions(RadiometryOptions):
    """How two views of a sample are made; labels are not needed."""

    shift_px: Annotated[
        int, {"min": 0, "max": 256, "tooltip": "Most pixels that the two views lie apart, down and across"}
    ] = 8
    turn: Annotated[bool, {"tooltip": "Flip and turn each view by quarters, all its dates alike"}] = True
    view_dates: Annotated[
        Literal["disjoint", "overlap"],
        {"tooltip": "Share no date between the views, if a sample has 16 or more; or draw the dates of each alone"},
    ] = "disjoint"
    date_drop: Annotated[
        float, {"min": 0.0, "max": 0.9, "tooltip": "Chance that a date is left out of a view, besides"}
    ] = 0.1
    season_shift_days: Annotated[
        int, {"min": 0, "max": 15, "tooltip": "Most days that the whole season of a view is shifted by"}
    ] = 7
    date_shift_days: Annotated[
        int, {"min": 0, "max": 5, "tooltip": "Most days that each single date is shifted by"}
    ] = 2


@dataclass(frozen=True)
class Samples(Tensors):
    """What views are made of.

    Parameters
    ----------
    x_BTCHW, day_BT, valid_BTHW : Tensor
        As networks read them.
    use_BHW : Tensor
        bool, pixels that may be learnt from; others are surroundings only.
    mean_C, std_C : Tensor
        With which the reflectance was standardised.
    haze_C : Tensor
        How much haze a band sees, 0..1.
    vital_C : Tensor
        bool, bands of which one must stay when bands are left out.
    """

    x_BTCHW: Tensor
    day_BT: Tensor
    valid_BTHW: Tensor
    use_BHW: Tensor
    mean_C: Tensor
    std_C: Tensor
    haze_C: Tensor
    vital_C: Tensor


@dataclass(frozen=True)
class Frame(Tensors):
    """Where a square view lies in its sample: ``rot90^turns(flip^flip(crop))``, counter-clockwise, columns flipped.

    All of shape (B,): row and column of the crop's corner, side in pixels, whether flipped, quarter turns 0..3.
    """

    top_B: Tensor
    left_B: Tensor
    side_B: Tensor
    flip_B: Tensor
    turns_B: Tensor

    def seen_at(self, y_BR: Tensor, x_BR: Tensor) -> tuple[Tensor, Tensor]:
        """Rows and columns in the view of pixels of the sample; outside 0..side - 1 where it does not show them."""
        y, x, last = y_BR - self.top_B[:, None], x_BR - self.left_B[:, None], self.side_B[:, None] - 1
        x = torch.where(self.flip_B[:, None], last - x, x)
        for turn in range(3):
            on = self.turns_B[:, None] > turn
            y, x = torch.where(on, last - x, y), torch.where(on, y, x)
        return y, x

    def boxes(self, box_BR4: Tensor) -> Tensor:
        """Boxes of the sample (top, left, bottom, right; the last two exclusive) as boxes of the view."""
        top, left, bottom, right = box_BR4.unbind(2)
        y0, x0 = self.seen_at(top, left)
        y1, x1 = self.seen_at(bottom - 1, right - 1)
        low, high = (torch.minimum(y0, y1), torch.minimum(x0, x1)), (torch.maximum(y0, y1), torch.maximum(x0, x1))
        return torch.stack([*low, high[0] + 1, high[1] + 1], 2)


@dataclass(frozen=True)
class View(Tensors):
    """One view of each sample: what the network reads, the pixels that count, and where it lies."""

    x_BTCHW: Tensor
    day_BT: Tensor
    valid_BTHW: Tensor
    use_BHW: Tensor
    frame: Frame


@dataclass(frozen=True)
class Pair(Tensors):
    """Two views of each sample.

    ``use_BHW`` are the pixels of the sample that may be learnt from and that both views see on some date; each view has
    them in its own frame. ``shared_B4`` is the rectangle of the sample that both views show.
    """

    first: View
    second: View
    use_BHW: Tensor
    shared_B4: Tensor


def draw_pair(samples: Samples, options: ViewOptions, side_px: int, dates: int, generator: Generator) -> Pair:
    """Draw two views of each sample.

    Parameters
    ----------
    samples : Samples
        On the CPU, of at least `side_px` rows and columns.
    options : ViewOptions
        How they are drawn.
    side_px, dates : int
        Side of a view, and most dates in one.
    generator : Generator
        All that is random comes from it.
    """
    chosen = [_two_seasons(valid_THW, options, dates, generator) for valid_THW in samples.valid_BTHW]
    frames = _two_frames(len(chosen), samples.use_BHW.shape[-1], samples.use_BHW.shape[-2], side_px, options, generator)
    seen = [
        torch.stack([valid_THW[which[v]].any(0) for valid_THW, which in zip(samples.valid_BTHW, chosen, strict=True)])
        for v in (0, 1)
    ]
    use_BHW = samples.use_BHW & seen[0] & seen[1]
    first, second = (
        _view(samples, use_BHW, [which[v] for which in chosen], frames[v], options, v, generator) for v in (0, 1)
    )
    low = [torch.maximum(getattr(frames[0], e), getattr(frames[1], e)) for e in ("top_B", "left_B")]
    high = [torch.minimum(getattr(frames[0], e), getattr(frames[1], e)) + side_px for e in ("top_B", "left_B")]
    return Pair(first, second, use_BHW, torch.stack([*low, *high], 1))


def _two_seasons(valid_THW: Tensor, options: ViewOptions, dates: int, generator: Generator) -> tuple[Tensor, Tensor]:
    """Choose the dates of both views among those that show any pixel, in order: two index tensors."""
    there = valid_THW.any((1, 2)).nonzero()[:, 0]
    there = there if len(there) else torch.arange(len(valid_THW))
    if options.view_dates == "disjoint" and len(there) >= LEAST_DATES:
        # Of each two neighbours one goes to each view: both show the whole season, and no date twice.
        to_first = torch.rand(-(-len(there) // 2), generator=generator) < 0.5
        to_first = torch.stack([to_first, ~to_first], 1).flatten()[: len(there)]
        halves = there[to_first], there[~to_first]
    else:
        count = max(2, round(THIN_SHARE * len(there)))
        halves = _spread(there, count, generator), _spread(there, count, generator)
    first, second = (_spread(_dropped(half, options.date_drop, generator), dates, generator) for half in halves)
    return first, second


def _dropped(there: Tensor, chance: float, generator: Generator) -> Tensor:
    kept = there[torch.rand(len(there), generator=generator) >= chance]
    return kept if len(kept) >= 2 else there


def _spread(there: Tensor, count: int, generator: Generator) -> Tensor:
    """Draw at most `count` dates, one from each of so many equal stretches."""
    if len(there) <= count:
        return there
    edge = torch.linspace(0, len(there), count + 1).round().long()
    place = edge[:-1] + (torch.rand(count, generator=generator) * (edge[1:] - edge[:-1])).long()
    return there[place]


def _two_frames(
    items: int, width: int, height: int, side_px: int, options: ViewOptions, generator: Generator
) -> tuple[Frame, Frame]:
    apart = side_px - min(side_px, max(LEAST_SHARED_PX, round(LEAST_SHARED * side_px)))
    corners = []
    for length in (height, width):
        first = (torch.rand(items, generator=generator) * (length - side_px + 1)).long()
        low, high = (first - apart).clamp_min(0), (first + apart).clamp_max(length - side_px)
        corners.append((first, low + (torch.rand(items, generator=generator) * (high - low + 1)).long()))
    side_B = torch.full((items,), side_px)
    frames = []
    for v in (0, 1):
        flip, turns = torch.randint(2, (items,), generator=generator), torch.randint(4, (items,), generator=generator)
        flip, turns = (flip, turns) if options.turn else (0 * flip, 0 * turns)
        frames.append(Frame(corners[0][v], corners[1][v], side_B, flip.bool(), turns))
    return frames[0], frames[1]


def _view(
    samples: Samples, use_BHW: Tensor, which: list[Tensor], frame: Frame, options: ViewOptions, number: int,
    generator: Generator,
) -> View:  # fmt: skip
    """Cut the crops of all items, change their values, and shift their days."""
    longest = max(len(dates) for dates in which)
    columns: list[list[Tensor]] = [[], [], [], []]
    for item, dates in enumerate(which):
        cut = [_cut(t, frame, item) for t in (samples.x_BTCHW[item], samples.valid_BTHW[item], use_BHW[item])]
        parts = (cut[0][dates], samples.day_BT[item][dates], cut[1][dates], cut[2])
        for column, part in zip(columns, parts, strict=True):
            column.append(part if column is columns[3] else _longer(part, longest))
    x, day, valid, use = (torch.stack(column) for column in columns)
    present = torch.tensor([len(dates) for dates in which])[:, None] > torch.arange(longest)
    if options.changed_views == "both" or number == 1:
        scale = (samples.mean_C, samples.std_C, samples.haze_C, samples.vital_C)
        x, valid = changed_values(x, valid, *scale, options, generator)
    day = torch.where(present, _shifted(day, present, options, generator), day)
    return View(x.masked_fill(~valid[:, :, None], 0.0), day, valid, use, frame)


def _cut(tensor: Tensor, frame: Frame, item: int) -> Tensor:
    """Crop, flip and turn the last two axes of one item."""
    top, left, side = (int(value[item]) for value in (frame.top_B, frame.left_B, frame.side_B))
    crop = tensor[..., top : top + side, left : left + side]
    crop = crop.flip(-1) if frame.flip_B[item] else crop
    return crop.rot90(int(frame.turns_B[item]), (-2, -1))


def _longer(tensor: Tensor, length: int) -> Tensor:
    return pad(tensor, (0, 0) * (tensor.ndim - 1) + (0, length - len(tensor)))


def _shifted(day_BT: Tensor, present_BT: Tensor, options: ViewOptions, generator: Generator) -> Tensor:
    """Shift each season as a whole and each date by itself; dates keep their order."""
    season, single = options.season_shift_days, options.date_shift_days
    shift_B1 = torch.randint(-season, season + 1, (len(day_BT), 1), generator=generator)
    shift_BT = torch.randint(-single, single + 1, day_BT.shape, generator=generator)
    last = torch.iinfo(day_BT.dtype).max
    return (day_BT + shift_B1 + shift_BT).masked_fill(~present_BT, last).sort(1)[0]
