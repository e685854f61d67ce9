"""Cost against work: a curve a form, time and memory, on logarithmic axes."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator, FuncFormatter, LogLocator, NullLocator

from cscl.export.paper import INK, LABEL_PT, label_text, open_axes, save_figure, sheet
from suite import Case

__all__ = ["curves_of", "drawn", "overview"]

Row = dict[str, Any]
# Okabe and Ito's colours (2008), told apart by the common kinds of colour vision; markers differ, too.
COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#56b4e9", "#e69f00")
MARKERS = "osD^vP"
ACROSS = 3


def curves_of(rows: Sequence[Row]) -> dict[str, list[Row]]:
    """Return rows by form (and part), by rising work; forms measured at one place only are points."""
    found: dict[str, list[Row]] = {}
    for row in rows:
        if "seconds" in row:
            found.setdefault(" ".join(filter(None, (row["form"], row["part"]))), []).append(row)
    return {name: sorted(points, key=lambda row: row["work"]) for name, points in found.items()}


def is_curve(case: Case, rows: Sequence[Row]) -> bool:
    """Whether there is something to draw: two places of work at least."""
    return bool(case.axis) and len({row["work"] for row in rows if "seconds" in row}) > 1


def panel(axes: Axes, case: Case, rows: Sequence[Row], what: str) -> None:
    """Draw seconds or peaks of all forms against the work."""
    many = list(curves_of(rows).items())
    for number, (name, points) in enumerate(many):
        points = [row for row in points if row[what]]
        if not points:
            continue
        values = [row[what] for row in points]
        low, high = ([row[at] for row in points] if what == "seconds" else values for at in ("least", "most"))
        bars = [[v - a for v, a in zip(values, low, strict=True)], [b - v for v, b in zip(values, high, strict=True)]]
        axes.errorbar(
            [row["work"] for row in points], values, bars, color=COLOURS[number % len(COLOURS)],
            marker=MARKERS[number % len(MARKERS)], label=label_text(name, 40), capsize=2, linewidth=1.4, markersize=4.5,
        )  # fmt: skip
    axes.set_xscale("log")
    axes.set_yscale("log")
    works = sorted({row["work"] for row in rows if "seconds" in row})
    axes.xaxis.set_major_locator(FixedLocator(works))
    axes.xaxis.set_minor_locator(NullLocator())
    axes.set_xticks(works, [f"{work:g}" for work in works])
    open_axes(axes, case.axis, "time" if what == "seconds" else "peak memory")
    roomy(axes, what)


def roomy(axes: Axes, what: str) -> None:
    """Show a factor of ten at least, so that small differences look small, with ticks at 1, 2 and 5."""
    low, high = axes.get_ylim()
    middle, room = math.sqrt(low * high), math.sqrt(max(high / low, 10.0))
    axes.set_ylim(middle / room, middle * room)
    few = (1, 2, 5) if room < 10 else (1,)
    axes.yaxis.set_major_locator(LogLocator(subs=few, numticks=12))
    axes.yaxis.set_minor_locator(NullLocator())
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: rounded(value, what)))


def rounded(value: float, what: str) -> str:
    """Label a tick with its unit."""
    if what != "seconds":
        return f"{value / 1e3:g} GB" if value >= 1e3 else f"{value:g} MB"
    size, unit = next((s, u) for s, u in ((1.0, "s"), (1e-3, "ms"), (1e-6, "µs"), (0.0, "s")) if value >= 0.999 * s)
    return f"{value / (size or 1):g} {unit}"


def drawn(case: Case, rows: Sequence[Row], folder: Path) -> Path | None:
    """Write the curves of a case as PNG, time beside memory; None if there are none to draw."""
    if not is_curve(case, rows):
        return None
    remembered = any(row.get("peak_mb") for row in rows)
    figure = sheet(9.5 if remembered else 5.5, 3.6, case.name)
    every = figure.subplots(1, 1 + remembered, squeeze=False)[0]
    for axes, what in zip(every, ("seconds", "peak_mb"), strict=False):
        panel(axes, case, rows, what)
    legend(every[-1])
    return save_figure(figure, folder / f"{case.name}.png", overwrite=True)


def overview(rows_by_case: Mapping[str, Sequence[Row]], cases: Mapping[str, Case]) -> Figure | None:
    """Show the time of all cases that have curves, on one sheet; not of windows, which have many parts."""
    chosen = [(cases[name], rows) for name, rows in rows_by_case.items() if is_curve(cases[name], rows)]
    chosen = [(case, rows) for case, rows in chosen if not case.screen]
    if not chosen:
        return None
    down, across = math.ceil(len(chosen) / ACROSS), min(ACROSS, len(chosen))
    figure = sheet(4.4 * across, 3.1 * down)
    every = figure.subplots(down, across, squeeze=False).flatten()
    for axes, (case, rows) in zip(every, chosen, strict=False):
        panel(axes, case, rows, "seconds")
        axes.set_title(label_text(case.name), fontsize=LABEL_PT, color=INK)
        axes.legend(fontsize=LABEL_PT - 3, labelcolor=INK, frameon=False)
    for axes in every[len(chosen) :]:
        axes.set_axis_off()
    return figure


def legend(axes: Axes) -> None:
    """Name the curves beside them."""
    axes.legend(fontsize=LABEL_PT - 1, labelcolor=INK, frameon=False, loc="upper left", bbox_to_anchor=(1.01, 1))
