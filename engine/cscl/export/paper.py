"""The sheet that figures are drawn on: size, lettering, and how it becomes a file. Never pyplot, which keeps state."""

from __future__ import annotations

from pathlib import Path

from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from .draft import draft, refuse

__all__ = ["FAINT", "INK", "LABEL_PT", "MISSING", "TITLE_PT", "label_text", "open_axes", "save_figure", "sheet"]

INK = "#222222"
FAINT = "#c9d3da"
MISSING = "#bfbfbf"
TITLE_PT, LABEL_PT = 11, 9


def label_text(text: str, most: int = 120) -> str:
    """Text as it is, not as formula, cut to `most` characters."""
    return (text if len(text) <= most else text[: most - 1] + "…").replace("$", r"\$")


def sheet(width_in: float, height_in: float, title: str = "") -> Figure:
    """Make an empty white figure, with a title or without, whose parts find their places by themselves."""
    figure = Figure(figsize=(width_in, height_in), dpi=150, facecolor="white", layout="constrained")
    FigureCanvasAgg(figure)
    if title:
        figure.suptitle(label_text(title), fontsize=TITLE_PT, color=INK)
    return figure


def open_axes(axes: Axes, x_label: str, y_label: str) -> None:
    """Dress the axes of a chart: labels, a faint grid across, no box."""
    axes.set_xlabel(x_label, fontsize=LABEL_PT, color=INK)
    axes.set_ylabel(y_label, fontsize=LABEL_PT, color=INK)
    axes.tick_params(labelsize=LABEL_PT - 1, colors=INK)
    axes.spines[["top", "right"]].set_visible(False)
    axes.grid(axis="y", color="#e6e6e6", linewidth=0.8)
    axes.set_axisbelow(True)


def save_figure(figure: Figure, path: str | Path, *, overwrite: bool = False) -> Path:
    """Write a figure as PNG.

    Raises
    ------
    OutputError
        If the file exists and `overwrite` is not set, or it cannot be written.
    """
    path = Path(path)
    refuse(path, overwrite=overwrite)
    with draft(path.parent, path.name) as folder:
        figure.savefig(folder / path.name, format="png", bbox_inches="tight", pad_inches=0.12)
    return path
