"""The figures of an assessment: accuracy by distance to each kind of edge, confusion of classes, and the error map."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from numpy.typing import NDArray

from cscl.grid import GeoBox
from cscl.report import Report

from .charts import accuracy_by_distance, confusion
from .maps import error_map
from .page import Figure
from .paper import save_figure

__all__ = ["report_figures", "write_report_figures"]


def report_figures(report: Report, error_YX: NDArray[Any], grid: GeoBox) -> list[Figure]:
    """Draw the figures of a report.

    Parameters
    ----------
    report : Report
        Figures by class and by distance.
    error_YX : ndarray of uint8
        Axes (y, x), values of `cscl.report.kinds.Kind`.
    grid : GeoBox
        Of the error map.
    """
    drawn = [Figure("error_map", error_map(error_YX, grid), "Right and wrong pixels, by the kind of error.")]
    for curve in report.boundary.curves:
        chart = accuracy_by_distance(
            (0.0, *curve.limits_m),
            curve.pixels,
            curve.right,
            title=f"Accuracy by distance to the nearest {curve.name}",
            x_label=f"distance to the nearest {curve.name} (m)",
        )
        drawn.append(Figure(f"accuracy_by_{curve.name.replace(' ', '_')}", chart, curve.definition))
    matrix = confusion(report.accuracy.counts, report.accuracy.legend)
    return [*drawn, Figure("confusion", matrix, "Rows are the truth, columns the map, in percent of the row.")]


def write_report_figures(report: Report, error_YX: NDArray[Any], grid: GeoBox, folder: str | Path) -> None:
    """Write the figures of a report as PNG into its folder, replacing former ones."""
    for figure in report_figures(report, error_YX, grid):
        save_figure(figure.drawing, Path(folder) / f"{figure.name}.png", overwrite=True)
