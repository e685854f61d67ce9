"""Figures of a benchmark: differences to a baseline with their intervals, and means along a budget or a share."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator, NullLocator
from numpy.typing import ArrayLike

from .paper import INK, LABEL_PT, label_text, open_axes, sheet

__all__ = ["mean_curves", "paired_differences"]

# Okabe and Ito's colours (2008), told apart by the common kinds of colour vision; markers differ, too.
_COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#56b4e9", "#e69f00")
_MARKERS = "osD^vPX*"


def paired_differences(
    names: Sequence[str], series: Mapping[str, tuple[ArrayLike, ArrayLike, ArrayLike]], *, title: str, x_label: str
) -> Figure:
    """Show differences with their intervals, one row a name and one mark a series.

    Parameters
    ----------
    names : sequence of str
        Rows, from top to bottom.
    series : mapping
        By name: difference, lower and upper end, each of axis (row,); ends are NaN where there is no interval.
    title, x_label : str
        Heading, and what the differences are.
    """
    figure = sheet(8.2, max(2.2, 0.42 * len(names) + 1.5), title)
    axes = figure.subplots()
    places = np.arange(len(names), dtype=float)
    for number, (name, values) in enumerate(series.items()):
        middle, low, high = (np.asarray(v, float) for v in values)
        at = places + 0.18 * (number - (len(series) - 1) / 2)
        colour = _COLOURS[number % len(_COLOURS)]
        axes.hlines(at, low, high, color=colour, linewidth=2)
        axes.plot(middle, at, _MARKERS[number % len(_MARKERS)], color=colour, markersize=5, label=name)
    open_axes(axes, x_label, "")
    axes.axvline(0, color=INK, linewidth=0.8)
    axes.set_yticks(places, [label_text(name, 60) for name in names])
    axes.set_ylim(len(names) - 0.5, -0.5)
    axes.grid(axis="y", visible=False)
    axes.grid(axis="x", color="#e6e6e6", linewidth=0.8)
    axes.legend(fontsize=LABEL_PT - 1, labelcolor=INK, frameon=False, loc="upper left", bbox_to_anchor=(1.01, 1))
    return figure


def mean_curves(
    along: ArrayLike, panels: Mapping[str, Mapping[str, tuple[ArrayLike, ArrayLike]]], *, title: str, x_label: str
) -> Figure:
    """Show means with their standard deviations along a quantity on a logarithmic axis, panel beside panel.

    Parameters
    ----------
    along : array_like of float
        Axis (place,): budgets or shares, above 0.
    panels : mapping
        By heading, and in each by curve: mean and standard deviation, axis (place,), NaN where there is none.
    title, x_label : str
        Heading, and what `along` is.
    """
    x = np.asarray(along, float)
    figure = sheet(4.4 * len(panels) + 1.8, 3.8, title)
    every = np.atleast_1d(figure.subplots(1, len(panels)))
    for axes, (heading, curves) in zip(every, panels.items(), strict=True):
        for number, (name, (mean, spread)) in enumerate(curves.items()):
            middle, width = np.asarray(mean, float), np.nan_to_num(np.asarray(spread, float))
            shifted = x * (1 + 0.012 * (number - (len(curves) - 1) / 2))  # so that bars do not hide one another
            axes.errorbar(
                shifted, middle, width, color=_COLOURS[number % len(_COLOURS)], marker=_MARKERS[number % len(_MARKERS)],
                label=label_text(name, 40), capsize=2, linewidth=1.4, elinewidth=0.9, markersize=4.5,
            )  # fmt: skip
        axes.set_xscale("log")
        axes.xaxis.set_major_locator(FixedLocator(x.tolist()))
        axes.xaxis.set_minor_locator(NullLocator())
        axes.set_xticks(x, [f"{value:g}" for value in x])
        axes.set_title(label_text(heading), fontsize=LABEL_PT, color=INK)
        open_axes(axes, x_label, "per cent" if axes is every[0] else "")
    every[-1].legend(fontsize=LABEL_PT - 1, labelcolor=INK, frameon=False, loc="upper left", bbox_to_anchor=(1.01, 1))
    return figure
