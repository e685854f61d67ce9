"""Figures of errors: their kinds by distance, what confidence is worth, curves over a width, and figures by class."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import PercentFormatter
from numpy.typing import ArrayLike

from cscl.report.kinds import WRONG

from .charts import bin_names
from .paper import FAINT, INK, LABEL_PT, label_text, open_axes, sheet

__all__ = ["by_class", "kinds_by_distance", "over_metres", "reliability"]

_COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#56b4e9", "#e69f00")
_MARKERS = "osD^vP"


def kinds_by_distance(edges_m: Sequence[float], curve: pd.DataFrame) -> Figure:
    """Show the share of wrong pixels by kind in classes of distance, and as a line the share of mixed pixels.

    Parameters
    ----------
    edges_m : sequence of float
        Limits of the classes in metres, one more than there are classes; the last may be infinite.
    curve : DataFrame
        A row a class, with the columns ``pixels``, ``mixed`` (NaN where not known) and one a kind of error.
    """
    figure = sheet(5.8, 3.8, "What is wrong, by distance to the class edge")
    axes = figure.subplots()
    places, whole = np.arange(len(curve)), np.maximum(curve["pixels"].to_numpy(float), 1)
    below = np.zeros(len(curve))
    for kind in WRONG:
        share = curve[kind.name.lower()].to_numpy(float) / whole
        if share.any():
            axes.bar(places, share, bottom=below, width=0.7, color=kind.colour, edgecolor="#555555", linewidth=0.4,
                     label=kind.title)  # fmt: skip
        below += share
    if curve["mixed"].notna().any():
        beside = axes.twinx()
        beside.plot(places, curve["mixed"], color=INK, marker="o", markersize=4, linewidth=1.2, linestyle="--")
        open_axes(beside, "", "share of mixed pixels, right or wrong (dashed)")
        beside.grid(visible=False)
        beside.set_ylim(0, 1)
        beside.yaxis.set_major_formatter(PercentFormatter(1, decimals=0))
    axes.set_xticks(places, bin_names(edges_m), rotation=45 if len(places) > 10 else 0)
    open_axes(axes, "distance to the nearest class edge (m)", "share of judged pixels that are wrong (bars)")
    axes.yaxis.set_major_formatter(PercentFormatter(1))
    _key(axes)
    return figure


def reliability(confidence: ArrayLike, accuracy: ArrayLike, pixels: ArrayLike, title: str = "") -> Figure:
    """Show how often the map is right where it is how confident; on the diagonal confidence means what it says.

    Parameters
    ----------
    confidence, accuracy : array_like of float
        Mean confidence and share of right pixels of each bin, NaN in an empty one.
    pixels : array_like of int
        Pixels of each bin.
    title : str
        Heading.
    """
    x, y, px = (np.asarray(a, float) for a in (confidence, accuracy, pixels))
    figure = sheet(5.2, 4.4, title)
    axes = figure.subplots()
    bars = axes.twinx()
    bars.bar(x, px, width=0.045, color=FAINT, alpha=0.55)
    bars.set_axis_off()
    axes.set_zorder(bars.get_zorder() + 1)
    axes.patch.set_visible(False)
    axes.plot([0, 1], [0, 1], color=INK, linewidth=0.8, linestyle=":")
    axes.plot(x[px > 0], y[px > 0], color=_COLOURS[0], marker="o", markersize=4, linewidth=1.6)
    open_axes(axes, "mean confidence (light bars: pixels)", "share of right pixels")
    axes.set(xlim=(0, 1.02), ylim=(0, 1.02))
    for axis in (axes.xaxis, axes.yaxis):
        axis.set_major_formatter(PercentFormatter(1, decimals=0))
    return figure


def over_metres(
    x_m: ArrayLike, curves: Mapping[str, ArrayLike], x_label: str, title: str = "",
    ends: Mapping[str, tuple[ArrayLike, ArrayLike]] | None = None,
) -> Figure:  # fmt: skip
    """Show shares over a width or a tolerance.

    Parameters
    ----------
    x_m : array_like of float
        Widths, metres, ascending.
    curves : mapping
        Shares, 0..1, by the name of the curve.
    x_label, title : str
        Name of the width, and heading.
    ends : mapping, optional
        Lower and upper ends of intervals by the name of the curve, NaN where there is none.
    """
    figure = sheet(5.8, 3.8, title)
    axes, x = figure.subplots(), np.asarray(x_m, float)
    for number, (name, values) in enumerate(curves.items()):
        colour = _COLOURS[number % 6]
        if ends and name in ends:
            low, high = (np.asarray(end, float) for end in ends[name])
            axes.vlines(x, low, high, linewidth=5, alpha=0.35, color=colour)
        axes.plot(x, np.asarray(values, float), marker=_MARKERS[number % 6], markersize=5, linewidth=1.6,
                  label=label_text(name, 40), color=colour)  # fmt: skip
    open_axes(axes, x_label, "")
    axes.set_xlim(left=0)
    axes.yaxis.set_major_formatter(PercentFormatter(1))
    _key(axes)
    return figure


def by_class(names: Sequence[str], figures: Mapping[str, ArrayLike], title: str = "") -> Figure:
    """Show shares of each class as dots in a row, so that several figures can be compared; missing ones are left out.

    Parameters
    ----------
    names : sequence of str
        The classes.
    figures : mapping
        Shares, 0..1, axis (class,), by their name.
    title : str
        Heading.
    """
    figure = sheet(5.8, 0.26 * len(names) + 1.4, title)
    axes = figure.subplots()
    rows = np.arange(len(names))[::-1]
    axes.hlines(rows, 0, 1, color="#e6e6e6", linewidth=0.8)
    for number, (name, values) in enumerate(figures.items()):
        axes.plot(np.asarray(values, float), rows, color=_COLOURS[number % 6], marker=_MARKERS[number % 6],
                  markersize=6, linestyle="none", label=label_text(name, 40))  # fmt: skip
    axes.set_yticks(rows, [label_text(name, 30) for name in names])
    open_axes(axes, "", "")
    axes.grid(visible=False)
    axes.set_xlim(-0.01, 1.01)
    axes.xaxis.set_major_formatter(PercentFormatter(1, decimals=0))
    _key(axes)
    return figure


def _key(axes: Axes) -> None:
    handles, _ = axes.get_legend_handles_labels()
    if len(handles) > 1:
        axes.legend(fontsize=LABEL_PT, frameon=False, labelcolor=INK, loc="best")
