"""Curves over the season on a matplotlib figure: what is drawn, and how."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from cscl.data.profiles import Profile

from .plot import LINE_COLOURS

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = ["ALL_BANDS", "Curve", "draw_season", "nearest_date"]

ALL_BANDS = "all bands"
STYLES = ("-", "--", ":")
NAME_LENGTH = 16
LEAST_CONTRAST = 0.2  # of mean channels, 0..1


@dataclass(frozen=True, eq=False)
class Curve:
    """A profile with its name and colour; `behind` marks what is there to compare with."""

    name: str
    colour: str
    profile: Profile
    behind: bool = False


def draw_season(
    figure: Figure, curves: Sequence[Curve], quantity: str, bands: Sequence[str], now: np.datetime64 | None
) -> None:
    """Draw a quantity of some curves, or all bands of the last one in front, over the season.

    Points are valid dates; hollow marks at the lower edge are dates without a valid pixel. A spread is the middle
    80 % of the pixels.

    Parameters
    ----------
    figure : Figure
        Empty.
    curves : sequence of Curve
        What to draw, those behind first.
    quantity : str
        One of the profiles' names, or `ALL_BANDS`.
    bands : sequence of str
        Names of the bands.
    now : datetime64 or None
        Date that the viewer shows: a vertical line.
    """
    axes = figure.add_subplot()
    front = [c for c in curves if not c.behind]
    if not (front if quantity == ALL_BANDS else curves):
        axes.text(0.5, 0.5, "Click a pixel of the images", ha="center", transform=axes.transAxes, alpha=0.7)
        axes.set_axis_off()
        return
    if quantity == ALL_BANDS:
        for number, band in enumerate(bands):
            colour = LINE_COLOURS[number % len(LINE_COLOURS)]
            style = STYLES[number // len(LINE_COLOURS) % len(STYLES)]
            _line(axes, Curve(band, colour, front[-1].profile), band, style)
        _gaps(axes, front[-1:])
    else:
        for curve in curves:
            _spread(axes, curve, quantity)
            _line(axes, curve, quantity, "--" if curve.behind else "-")
        _gaps(axes, front)
    if now is not None:
        axes.axvline(now, color=axes.xaxis.label.get_color(), linewidth=1, alpha=0.7)
    title = f"reflectance of {front[-1].name}" if quantity == ALL_BANDS else quantity
    _finish(figure, axes, title)


def nearest_date(dates: NDArray[np.datetime64], place: float) -> int:
    """Position of the date nearest to a place on the time axis of `draw_season`."""
    from matplotlib.dates import date2num

    return int(np.abs(date2num(dates) - place).argmin())


def _line(axes: Axes, curve: Curve, quantity: str, style: str) -> None:
    profile = curve.profile
    values = profile.values[:, profile.names.index(quantity)]
    there = np.isfinite(values)
    look: dict[str, Any] = {"linewidth": 1.1} if curve.behind else {"linewidth": 1.6, "marker": "o", "markersize": 3}
    name = curve.name if len(curve.name) <= NAME_LENGTH else f"{curve.name[: NAME_LENGTH - 1]}…"
    colour = _readable(curve.colour, axes) if curve.behind else curve.colour
    axes.plot(profile.dates[there], values[there], style, color=colour, label=name, **look)


def _spread(axes: Axes, curve: Curve, quantity: str) -> None:
    profile = curve.profile
    if profile.pixels > 1:
        what = profile.names.index(quantity)
        there = np.isfinite(profile.values[:, what])
        low, high = profile.low[there, what], profile.high[there, what]
        shade = 0.12 if curve.behind else 0.25
        axes.fill_between(profile.dates[there], low, high, color=curve.colour, alpha=shade, linewidth=0)


def _readable(colour: str, axes: Axes) -> Any:
    """Colour of a crop, moved half way to that of the text where it would not stand out from the background."""
    from matplotlib.colors import to_rgb

    own, back, text = (np.array(to_rgb(c)) for c in (colour, axes.get_facecolor(), axes.xaxis.label.get_color()))
    return own if abs(own.mean() - back.mean()) > LEAST_CONTRAST else (own + text) / 2


def _gaps(axes: Axes, curves: Sequence[Curve]) -> None:
    """Mark dates without a valid pixel, one line of marks a curve, below the curves."""
    axes.margins(x=0.03, y=0.08 + 0.04 * len(curves))
    for number, curve in enumerate(curves):
        missing = curve.profile.dates[~curve.profile.valid]
        height = np.full(len(missing), 0.03 + 0.04 * number)
        look = {"markersize": 4, "markerfacecolor": "none", "markeredgewidth": 0.8, "alpha": 0.8}
        axes.plot(missing, height, "o", color=curve.colour, transform=axes.get_xaxis_transform(), **look)


def _finish(figure: Figure, axes: Axes, title: str) -> None:
    """Months below, the legend above: beside curves there is no room for it."""
    from matplotlib.dates import AutoDateLocator, ConciseDateFormatter

    where = AutoDateLocator(minticks=3, maxticks=7)
    axes.xaxis.set_major_locator(where)
    axes.xaxis.set_major_formatter(ConciseDateFormatter(where))
    axes.set_ylabel(title)
    lines, names = axes.get_legend_handles_labels()
    columns = max(1, int(figure.get_figwidth() * figure.dpi / (27 + 7 * max(map(len, names), default=0))))
    order = [place for column in range(columns) for place in range(column, len(names), columns)]  # read row by row
    axes.legend(
        [lines[i] for i in order], [names[i] for i in order], ncols=columns, loc="lower left",
        bbox_to_anchor=(-0.16, 1.0), handlelength=1.2, handletextpad=0.4, columnspacing=0.8, borderaxespad=0.2,
        borderpad=0.2, labelspacing=0.2,
    )  # fmt: skip
    height = float(figure.get_figheight() * figure.dpi)
    figure.subplots_adjust(left=0.15, bottom=26 / height, top=1 - (8 + 15 * -(-len(names) // columns)) / height)
