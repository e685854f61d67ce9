"""What recurrent networks over the dates share: date channels, and states that wait while a pixel is unseen.

Axes: B item, T date, C band or feature, H row, W column.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Annotated, Literal

import torch
from torch import Tensor

from cscl.errors import InputError

from . import written_down
from .unet3d import DAY_SCALE, DAYS_PER_YEAR

__all__ = ["DateOptions", "State", "run_over_dates", "with_date_channels"]

State = tuple[Tensor, ...]  # the first is what the cell tells, each (B, C, H, W)


@dataclass(frozen=True)
class DateOptions:
    """Options that the recurrent networks share; date channels are derived as in `cscl.models.unet3d`."""

    num_features: Annotated[int, {"min": 1, "max": 64, "tooltip": "Width of all layers"}] = 16
    day_channels: Annotated[
        Literal[1, 2], {"tooltip": "Date channels beside the bands: 1 day of year, 2 day of year and year"}
    ] = 1
    reference_day_of_year: Annotated[
        int, {"min": 1, "max": 366, "tooltip": "Day of year of the date from which days are counted"}
    ] = 1


def with_date_channels(
    x_BTCHW: Tensor, day_BT: Tensor, valid_BTHW: Tensor, options: DateOptions, bands: int, multiple_px: int = 1
) -> Tensor:
    """Return bands and date channels, zero where unseen, ``(B, T, C + day_channels, H, W)``.

    The channels are the day of year over 365.0001 and, where there are two, the years since that of the reference date.

    Raises
    ------
    InputError
        If the series has other than `bands` bands, or height or width are no multiple of `multiple_px`.
    """
    found, *size_px = x_BTCHW.shape[2:]
    if found != bands:
        raise InputError(f"The network reads {bands} bands, the series has {found}: choose those bands.")
    if any(side_px % multiple_px for side_px in size_px):
        raise InputError(f"Height and width, {size_px} px, must be multiples of {multiple_px}: pad the tile.")
    day_BT = day_BT + (options.reference_day_of_year - 1)
    date_BTC = torch.stack([day_BT % DAYS_PER_YEAR + 1, day_BT // DAYS_PER_YEAR], dim=2).to(x_BTCHW.dtype)
    date_BTC = (date_BTC / date_BTC.new_tensor([DAY_SCALE, 1.0]))[:, :, : options.day_channels]
    date_BTCHW = date_BTC[..., None, None].expand(-1, -1, -1, *size_px)
    return torch.cat([x_BTCHW, date_BTCHW], dim=2).masked_fill(~valid_BTHW[:, :, None], 0.0)


def run_over_dates(
    step: Callable[[int, State], State], state: State, counted_BTHW: Tensor, dates: Sequence[int]
) -> Iterable[tuple[int, State]]:
    """Run a cell over `dates` in this order; yield each date that counts somewhere, with the state after it.

    Where a pixel's date does not count, the pixel's state waits. A date that counts nowhere is not computed.

    Parameters
    ----------
    step : callable
        From index of a date and state to the state that would follow.
    state : tuple of Tensor
        First state, each ``(B, C, H, W)``.
    counted_BTHW : Tensor
        bool, True where a date counts; H and W may be 1.
    dates : sequence of int
        Indices of dates, in the order in which they are read.
    """
    anywhere_T = None if written_down() else counted_BTHW.any(dim=3).any(dim=2).any(dim=0).tolist()
    for date in dates:
        if anywhere_T is None or anywhere_T[date]:
            counted_B1HW = counted_BTHW[:, date, None]
            pairs = zip(step(date, state), state, strict=True)
            state = tuple(torch.where(counted_B1HW, after.to(before.dtype), before) for after, before in pairs)
            yield date, state
