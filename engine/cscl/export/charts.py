"""Figures of numbers: accuracy by distance to an edge, confusion of classes, and how a training went."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from itertools import pairwise
from typing import Any

import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator, PercentFormatter
from numpy.typing import ArrayLike, NDArray

from cscl.errors import InputError
from cscl.legend import Legend

from .paper import FAINT, INK, LABEL_PT, label_text, open_axes, sheet

__all__ = ["accuracy_by_distance", "bin_names", "confusion", "learning_curve"]

# Okabe and Ito's colours (2008), told apart by the common kinds of colour vision; markers differ, too.
_COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#56b4e9", "#e69f00")
_MARKERS = "osD^vP"
_ROUND = (1, 2, 5, 10)  # steps of an axis that need no more digits than their labels have


def accuracy_by_distance(
    edges_m: Sequence[float],
    counts: ArrayLike,
    correct: ArrayLike,
    label: str | Sequence[str] = "accuracy",
    title: str = "Accuracy by distance to the boundary",
    x_label: str = "distance to the boundary (m)",
    low: ArrayLike | None = None,
    high: ArrayLike | None = None,
) -> Figure:
    """Show the share of right pixels in bins of distance, and as light bars how many pixels each bin holds.

    Parameters
    ----------
    edges_m : sequence of float
        Limits of the bins in metres, one more than there are bins, ascending; the last may be infinite.
    counts, correct : array_like of int
        Pixels and right pixels: axes (bin,), or (curve, bin) to compare several. Bars show the first curve's pixels.
    label : str or sequence of str
        Name of each curve.
    title : str
        Heading; say which boundary.
    x_label : str
        Name of the distance.
    low, high : array_like of float, optional
        Ends of intervals, axes as of `counts`, or (bin,) of the first curve; NaN where there is none.

    Raises
    ------
    InputError
        If the lengths do not fit together.
    """
    counts_KB, correct_KB = (np.atleast_2d(np.asarray(a, float)) for a in (counts, correct))
    labels = [label] if isinstance(label, str) else list(label)
    if counts_KB.shape != correct_KB.shape or counts_KB.shape != (len(labels), len(edges_m) - 1):
        raise InputError(
            f"{len(edges_m)} limits and {len(labels)} labels do not fit counts of shape {counts_KB.shape} and "
            f"right ones of shape {correct_KB.shape}: give (curve, bin) with one limit more than bins."
        )
    accuracy_KB = np.divide(correct_KB, counts_KB, out=np.full(counts_KB.shape, np.nan), where=counts_KB > 0)
    figure = sheet(7.2, 4.2, title)
    axes = figure.subplots()
    bars = axes.twinx()
    _bars_behind(bars, counts_KB[0])
    axes.set_zorder(bars.get_zorder() + 1)
    axes.patch.set_visible(False)
    places = np.arange(len(edges_m) - 1)
    low_KB, high_KB = (_whole(end, counts_KB.shape) for end in (low, high))
    for i, (name, values) in enumerate(zip(labels, accuracy_KB, strict=True)):
        beside = places + 0.09 * (i - (len(labels) - 1) / 2)  # so that intervals stay apart
        axes.vlines(beside, low_KB[i], high_KB[i], color=_COLOURS[i % 6], linewidth=4, alpha=0.35)
        axes.plot(
            beside, values, color=_COLOURS[i % 6], marker=_MARKERS[i % 6], linewidth=1.8, markersize=5, label=name
        )
    axes.set_xticks(places, bin_names(edges_m), rotation=45 if len(places) > 10 else 0)
    open_axes(axes, x_label, "share of right pixels")
    shown = np.stack([accuracy_KB, low_KB])
    lowest = np.nanmin(shown) if np.isfinite(shown).any() else 0
    axes.set_ylim(max(0.0, np.floor(20 * lowest - 0.5) / 20), 1.005)
    axes.yaxis.set_major_locator(MaxNLocator(8, steps=_ROUND))
    axes.yaxis.set_major_formatter(PercentFormatter(1, decimals=0))
    if len(labels) > 1:
        axes.legend(fontsize=LABEL_PT, loc="lower right", facecolor="white", framealpha=0.9, edgecolor="none")
    return figure


def confusion(matrix: ArrayLike, legend: Legend, title: str = "Confusion of classes") -> Figure:
    """Show which classes are taken for which: rows are the truth, columns the prediction, in percent of the row.

    Parameters
    ----------
    matrix : array_like of int
        Pixels, K x K in the order of the legend, or K x (K + 1) with the pixels without prediction last. Classes that
        occur neither in truth nor in prediction are left out.
    legend : Legend
        Names of the classes.
    title : str
        Heading.

    Raises
    ------
    InputError
        If the matrix does not fit the legend.
    """
    counts = np.asarray(matrix, float)
    k = len(legend)
    if counts.shape not in ((k, k), (k, k + 1)):
        raise InputError(f"A confusion matrix of shape {counts.shape} does not fit a legend of {k} classes.")
    here = np.flatnonzero(counts.sum(1) + counts[:, :k].sum(0))
    names = [label_text(legend.names[i], 24) for i in here]
    none = counts.shape[1] > k and counts[:, k].any()
    counts = counts[np.ix_(here, [*here, k] if none else here)]
    share = np.divide(counts, counts.sum(1, keepdims=True), out=np.zeros_like(counts), where=counts > 0)
    side = max(2.0, min(0.42 * len(here), 9.0))
    figure = sheet(side * counts.shape[1] / max(1, len(here)) + 3.4, side + 2.4, f"{title} (% of the true class)")
    axes = figure.subplots()
    axes.imshow(share, cmap="Blues", vmin=0, vmax=1, aspect="equal")
    rows = [f"{name}  ({int(n):,} px)" for name, n in zip(names, counts.sum(1), strict=True)]
    axes.set_yticks(range(len(rows)), rows, fontsize=LABEL_PT - 1)
    columns = [*names, "no prediction"] if none else names
    axes.set_xticks(
        range(len(columns)), columns, fontsize=LABEL_PT - 1, rotation=45, ha="right", rotation_mode="anchor"
    )
    axes.set_xlabel("predicted class", fontsize=LABEL_PT)
    axes.set_ylabel("true class", fontsize=LABEL_PT)
    _write_cells(axes, share)
    return figure


def learning_curve(rows: Iterable[Mapping[str, Any]], title: str = "Training") -> Figure:
    """Show what was measured while a model learnt, one panel a quantity; training and validation share one.

    Parameters
    ----------
    rows : iterable of mapping
        Each with ``step`` and some values; what is missing, empty or NaN leaves a gap. ``validation_x`` is drawn beside
        ``x``. Text is read as number, so the rows of a log in CSV will do.
    title : str
        Heading.

    Raises
    ------
    InputError
        If there is no value at all.
    """
    series = _series(rows)
    if not series:
        raise InputError("There is nothing to draw: no row holds a step and a value.")
    panels = list(dict.fromkeys(name.removeprefix("validation_") for name in series))
    columns = min(len(panels), 2)
    lines = -(-len(panels) // columns)
    figure = sheet(4.2 * columns, 2.4 * lines + 0.5, title)
    all_axes = np.atleast_1d(figure.subplots(lines, columns, squeeze=False)).ravel()
    last = max(max(steps) for steps, _ in series.values())
    for axes in all_axes[len(panels) :]:
        axes.set_axis_off()
    for axes, name in zip(all_axes, panels, strict=False):
        drawn = [(n, who) for n, who in ((name, "training"), (f"validation_{name}", "validation")) if n in series]
        for n, who in drawn:
            look = (_COLOURS[0], None) if who == "training" else (_COLOURS[1], "o")
            axes.plot(*series[n], color=look[0], marker=look[1], markersize=3, linewidth=1.4, label=who)
        open_axes(axes, "step", name.replace("_", " "))
        axes.set_xlim(0, 1.02 * last)
        axes.xaxis.set_major_locator(MaxNLocator(5, integer=True, steps=_ROUND))
        axes.legend(fontsize=LABEL_PT - 1, frameon=False)
    return figure


def _whole(ends: ArrayLike | None, shape: tuple[int, ...]) -> NDArray[np.float64]:
    """Fill up ends of intervals for all curves, with NaN where none are given."""
    whole = np.full(shape, np.nan)
    if ends is not None:
        given = np.atleast_2d(np.asarray(ends, float))
        whole[: len(given)] = given
    return whole


def _bars_behind(axes: Any, counts_B: NDArray[np.float64]) -> None:
    axes.bar(range(len(counts_B)), counts_B, color=FAINT, alpha=0.55, width=0.85)
    axes.set_ylabel("pixels (bars)", fontsize=LABEL_PT, color="#6b7b86")
    axes.tick_params(labelsize=LABEL_PT - 1, colors="#6b7b86")
    axes.spines[["top", "right", "left"]].set_visible(False)
    axes.yaxis.set_major_formatter(lambda value, _: f"{value:,.0f}")


def bin_names(edges_m: Sequence[float]) -> list[str]:
    """Name classes of distance by their limits."""
    return [f"{low:g}–{high:g}" if np.isfinite(high) else f"> {low:g}" for low, high in pairwise(edges_m)]


def _write_cells(axes: Any, share: NDArray[np.float64]) -> None:
    if len(share) > 25:
        return  # figures would be too small to read; the colours still tell
    for (row, col), value in np.ndenumerate(share):
        if value >= 0.005:
            colour = "white" if value > 0.55 else INK
            axes.text(col, row, f"{100 * value:.0f}", ha="center", va="center", fontsize=LABEL_PT - 1, color=colour)


def _series(rows: Iterable[Mapping[str, Any]]) -> dict[str, tuple[list[float], list[float]]]:
    series: dict[str, tuple[list[float], list[float]]] = {}
    for row in rows:
        for name, value in row.items():
            if name == "step" or value is None or value == "" or not np.isfinite(float(value)):
                continue
            steps, values = series.setdefault(name, ([], []))
            steps.append(float(row["step"]))
            values.append(float(value))
    return series
