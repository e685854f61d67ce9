"""Charts of the tables of a report's parts, known by their columns: any measure whose table has these is drawn."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pandas as pd
from matplotlib.figure import Figure as Drawing

from cscl.report import Part

from .error_charts import by_class, over_metres, reliability
from .markup import column_words
from .page import Figure

__all__ = ["part_charts"]

METRES = ("width_m", "tolerance_m", "within_m")
SHARES = (
    "boundary_iou", "iou", "mean_boundary_iou", "mean_iou", "accuracy", "overall_accuracy", "balanced_accuracy", "f1",
    "surface_dice", "recall", "precision",
)  # fmt: skip
"""Columns that are drawn, the most telling first."""

MOST_CLASSES, MOST_CURVES = 40, 6


def part_charts(part: Part) -> Iterator[Figure]:
    """Draw the tables of a part: what confidence is worth, shares over a width or a tolerance, shares by class."""
    for name, table in part.tables.items():
        drawing = _drawn(table)
        if drawing is not None:
            yield Figure(f"{part.key}_{name}", drawing, f"{part.title}, {name.replace('_', ' ')}.")


def _drawn(table: pd.DataFrame) -> Drawing | None:
    columns = set(table.columns)
    metres = next((name for name in METRES if name in columns), None)
    shares = [name for name in SHARES if name in columns]
    if {"confidence", "accuracy", "pixels"} <= columns and "crop" not in columns:
        return reliability(table["confidence"], table["accuracy"], table["pixels"])
    if metres is not None:
        table = table[np.isfinite(table[metres])]
    if "crop" in columns:
        return _by_class(table, metres, shares)
    if metres is None or not shares or len(table) < 2 or not table[metres].is_monotonic_increasing:
        return None
    curves = {column_words(name): table[name] for name in shares[:MOST_CURVES]}
    ends = {"accuracy": (table["low"], table["high"])} if {"accuracy", "low", "high"} <= columns else {}
    return over_metres(table[metres], curves, column_words(metres), ends=ends)


def _by_class(table: pd.DataFrame, metres: str | None, shares: list[str]) -> Drawing | None:
    """Draw some shares of each class, or where they depend on a width the first share at each width."""
    by = ["crop"] if metres is None else ["crop", metres]
    if not shares or table.empty or table.duplicated(by).any():  # a row is about more than a class: no such figure
        return None
    if metres is None:
        figures = {column_words(name): table.set_index("crop")[name] for name in shares[:MOST_CURVES]}
    else:
        wide = table.pivot(index="crop", columns=metres, values=shares[0]).reindex(table["crop"].unique())
        figures = {f"{column_words(shares[0])}, {width:g} m": wide[width] for width in wide.columns[:MOST_CURVES]}
    shown = pd.DataFrame(figures, dtype=float).dropna(how="all")
    if shown.empty or len(shown) > MOST_CLASSES:
        return None
    return by_class([str(name) for name in shown.index], {str(k): v for k, v in shown.items()})
