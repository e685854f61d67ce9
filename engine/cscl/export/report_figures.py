"""The figures of an assessment: accuracy by distance to each kind of edge, confusion of classes, and the error map."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from cscl.grid import GeoBox
from cscl.report import DistanceCurve, Report

from .charts import accuracy_by_distance, confusion
from .error_charts import kinds_by_distance
from .maps import error_map
from .page import Figure

__all__ = ["distance_figures", "report_figures"]


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


def distance_figures(report: Report, curve: pd.DataFrame) -> list[Figure]:
    """Draw accuracy by distance, with intervals and the other kinds of edges beside, and the errors of each distance.

    Parameters
    ----------
    report : Report
        Accuracy by distance to each kind of edge.
    curve : DataFrame
        Accuracy, intervals and errors by distance to the class edge, as `cscl.metrics.error_tally.curve_table` has it.
    """
    limits_m = (0.0, *curve["to_m"])
    others = [c for c in report.boundary.curves if c.limits_m == limits_m[1:] and c.name != "class edge"]
    counts = np.array([curve["pixels"], *(c.pixels for c in others)])
    right = np.array([curve["right"], *(c.right for c in others)])
    low, high = (np.array([curve[end], *(_ends(report, c, end) for c in others)], float) for end in ("low", "high"))
    accuracy = accuracy_by_distance(
        limits_m, counts, right, ["class edge", *(c.name for c in others)],
        "Accuracy by distance", "distance to the nearest edge (m)", low, high,
    )  # fmt: skip
    accuracy.set_size_inches(5.8, 3.8)  # two stand side by side
    words = "".join(f" {c.name.capitalize()}: {c.definition}" for c in report.boundary.curves)
    return [
        Figure(
            "accuracy_by_distance", accuracy, "Bars: judged pixels by distance to the class edge. Thick lines: "
            f"95 % intervals by drawing whole parcels, or blocks where none are known.{words}",
        ),
        Figure(
            "kinds_by_distance", kinds_by_distance(limits_m, curve), "What is wrong at each distance to the nearest "
            "class edge" + (
                ", and the share of mixed pixels, through which the outline of a parcel runs."
                if curve["mixed"].notna().any() else ". Which pixels are mixed is not known without polygons."
            ),
        ),
    ]  # fmt: skip


def _ends(report: Report, curve: DistanceCurve, end: str) -> NDArray[np.float64]:
    """Find the ends of the intervals of a curve in a table of this name of some part that fits it; else NaN."""
    for part in report.parts:
        table = part.tables.get(curve.name.replace(" ", "_"))
        if table is not None and {"to_m", end} <= set(table) and tuple(table["to_m"]) == curve.limits_m:
            return table[end].to_numpy(float)
    return np.full(len(curve.limits_m), np.nan)
