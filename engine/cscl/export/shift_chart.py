"""Figures of how outlines lie against images: the fit at every offset, and the offset of each tile as an arrow."""

from __future__ import annotations

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import ArrayLike

from .paper import INK, LABEL_PT, MISSING, open_axes, sheet

__all__ = ["fit_by_offset", "offset_by_tile"]

_CROSS = "#d55e00"


def fit_by_offset(
    score: ArrayLike, east_m: ArrayLike, north_m: ArrayLike, found_m: tuple[float, float], sd_m: tuple[float, float], *,
    title: str = "", clear: bool = True,
) -> Figure:  # fmt: skip
    """Show how well outlines would fit were they off by so much.

    Parameters
    ----------
    score : array_like of float
        Axes (north, east), as the two next.
    north_m, east_m : array_like of float
        Offsets that were tried, metres.
    found_m, sd_m : tuple of float
        East and north of the best one, and its standard errors; the ellipse is its 95 % region.
    title : str
        Heading.
    clear : bool
        Whether the best one is marked.
    """
    values, east, north = (np.asarray(a, float) for a in (score, east_m, north_m))
    figure = sheet(5.2, 4.4, title)
    axes = figure.subplots()
    values = values / max(float(values.max()), 1e-30)
    mesh = axes.pcolormesh(east, north, values, cmap="cividis", shading="nearest")
    axes.contour(east, north, values, 8, colors="white", linewidths=0.5, alpha=0.6)
    axes.axhline(0, color="white", linewidth=0.6, linestyle=":")
    axes.axvline(0, color="white", linewidth=0.6, linestyle=":")
    if clear:
        turn = np.linspace(0, 2 * np.pi, 60)
        wide = [found_m[i] + 2.448 * sd_m[i] * f(turn) for i, f in enumerate((np.cos, np.sin))]
        axes.plot(*wide, color=_CROSS, linewidth=1.2)
        axes.plot(*found_m, "+", color=_CROSS, markersize=11, markeredgewidth=1.6)
    open_axes(axes, "outlines lie east of the edges (m)", "outlines lie north of the edges (m)")
    axes.grid(visible=False)
    axes.set_aspect("equal")
    bar = figure.colorbar(mesh, ax=axes, shrink=0.85)
    bar.set_label(
        "edge strength across the outlines, above that\nof the whole images; share of the best",
        fontsize=LABEL_PT,
        color=INK,
    )
    bar.ax.tick_params(labelsize=LABEL_PT - 1)
    return figure


def offset_by_tile(
    x_px: ArrayLike, y_px: ArrayLike, east_m: ArrayLike, north_m: ArrayLike, clear: ArrayLike, shape: tuple[int, int],
    *, title: str = "",
) -> Figure:  # fmt: skip
    """Show the offset of each tile as an arrow from its centre; tiles where it is not clear are grey points.

    Parameters
    ----------
    x_px, y_px : array_like of float
        Centres of the tiles, pixels.
    east_m, north_m : array_like of float
        Offsets, metres.
    clear : array_like of bool
        Whether the offset of the tile is clear.
    shape : tuple of int
        Rows and columns of the scene.
    title : str
        Heading.
    """
    x, y, east, north = (np.asarray(a, float) for a in (x_px, y_px, east_m, north_m))
    known = np.asarray(clear, bool)
    figure = sheet(5.2, 4.6, title)
    axes = figure.subplots()
    axes.plot(x[~known], y[~known], ".", color=MISSING, markersize=4)
    if known.any():
        longest = float(np.hypot(east[known], north[known]).max())
        per_px = max(longest, 1.0) / (0.12 * max(shape))
        arrows = axes.quiver(
            x[known], y[known], east[known], north[known], angles="uv", scale_units="x", scale=per_px, color=_CROSS,
            width=0.005,
        )  # fmt: skip
        axes.quiverkey(arrows, 0.85, 1.03, max(round(longest), 1), f"{max(round(longest), 1)} m", labelpos="E",
                       fontproperties={"size": LABEL_PT})  # fmt: skip
    open_axes(axes, "columns (pixels)", "rows (pixels)")
    axes.set_xlim(0, shape[1])
    axes.set_ylim(shape[0], 0)
    axes.set_aspect("equal")
    return figure
