"""Figures of numbers with their intervals: differences of two maps by place, and areas from a map and from a sample."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator
from numpy.typing import ArrayLike

from .paper import FAINT, INK, LABEL_PT, label_text, open_axes, sheet

__all__ = ["areas", "differences"]

_WON, _LOST, _OPEN = "#0072b2", "#d55e00", "#7f7f7f"  # of Okabe and Ito, told apart by all kinds of colour vision


def differences(
    places: Sequence[str], difference: ArrayLike, low: ArrayLike, high: ArrayLike, pixels: ArrayLike, *,
    title: str, x_label: str, y_label: str,
) -> Figure:  # fmt: skip
    """Show differences of shares with their intervals, and as light bars how many pixels each rests on.

    Parameters
    ----------
    places : sequence of str
        What each figure is about.
    difference, low, high : array_like of float
        Axis (place,): shares, -1..1; the ends are NaN where there is no interval. Intervals that leave out zero are
        drawn blue (gain) or orange (loss), all others grey.
    pixels : array_like of int
        Axis (place,).
    title, x_label, y_label : str
        Heading and names of the axes.
    """
    value, bottom, top = (100 * np.asarray(a, float) for a in (difference, low, high))
    figure = sheet(max(5.5, 0.75 * len(places) + 1.8), 4.2, title)
    axes = figure.subplots()
    bars = axes.twinx()
    bars.bar(range(len(places)), np.asarray(pixels, float), color=FAINT, alpha=0.55, width=0.85)
    bars.set_ylabel("pixels (bars)", fontsize=LABEL_PT, color="#6b7b86")
    bars.tick_params(labelsize=LABEL_PT - 1, colors="#6b7b86")
    bars.spines[["top", "right", "left"]].set_visible(False)
    bars.yaxis.set_major_formatter(lambda number, _: f"{number:,.0f}")
    axes.set_zorder(bars.get_zorder() + 1)
    axes.patch.set_visible(False)
    axes.axhline(0, color=INK, linewidth=0.8)
    for at, (middle, least, most) in enumerate(zip(value, bottom, top, strict=True)):
        colour = _WON if least > 0 else _LOST if most < 0 else _OPEN
        if np.isfinite(least):
            axes.plot([at, at], [least, most], color=colour, linewidth=2.4, solid_capstyle="butt")
        axes.plot([at], [middle], "o", markersize=6, color=colour, fillstyle="none" if colour == _OPEN else "full")
    tilted = len(places) > 7 or max(map(len, places), default=0) > 12
    axes.set_xticks(
        range(len(places)), [label_text(place, 30) for place in places], rotation=45 if tilted else 0,
        ha="right" if tilted else "center", rotation_mode="anchor" if tilted else "default",
    )  # fmt: skip
    open_axes(axes, x_label, y_label)
    axes.yaxis.set_major_locator(MaxNLocator(8, steps=(1, 2, 5, 10)))
    axes.yaxis.set_major_formatter(lambda number, _: f"{number:+g}" if number else "0")
    return figure


def areas(
    names: Sequence[str], mapped_ha: ArrayLike, area_ha: ArrayLike, low_ha: ArrayLike, high_ha: ArrayLike, *,
    title: str = "Area by class", level: float = 0.95,
) -> Figure:  # fmt: skip
    """Show the area of each class as estimated, with its interval, beside what counting the map gives.

    Parameters
    ----------
    names : sequence of str
        Classes, drawn from top to bottom.
    mapped_ha, area_ha, low_ha, high_ha : array_like of float
        Axis (class,): hectares on the map, estimated, and the ends of the interval.
    title : str
        Heading.
    level : float
        Level of confidence of the intervals, for the key.
    """
    mapped, area, low, high = (np.asarray(a, float) for a in (mapped_ha, area_ha, low_ha, high_ha))
    figure = sheet(7.2, max(2.4, 0.32 * len(names) + 1.6), title)
    axes = figure.subplots()
    places = np.arange(len(names))
    axes.hlines(places, low, high, color=_WON, linewidth=2.4, label=f"{level:.0%} interval")
    axes.plot(area, places, "o", color=_WON, markersize=6, label="estimated from the sample")
    axes.plot(mapped, places, "D", color=_LOST, markersize=6, fillstyle="none", label="counted on the map")
    open_axes(axes, "hectares", "")
    axes.set_yticks(places, [label_text(name, 30) for name in names])
    axes.set_ylim(len(names) - 0.5, -0.5)
    axes.set_xlim(left=0)
    axes.grid(axis="y", visible=False)
    axes.grid(axis="x", color="#e6e6e6", linewidth=0.8)
    axes.legend(fontsize=LABEL_PT - 1, loc="upper left", bbox_to_anchor=(1.01, 1), frameon=False)
    return figure
