"""Estimated areas and accuracies as files: page, tables, figure."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd

from cscl.events import Job
from cscl.export.interval_charts import areas
from cscl.export.page import Figure, Section, Table, write_page
from cscl.export.part_files import in_words, part_section, result_folder, write_figures, write_part
from cscl.metrics.area import half_width
from cscl.report.parts import Part, Value

from .area import AreaResult

__all__ = ["area_part", "write_area"]

MARK = "area.json"
DEFINITION = (
    "A random sample of pixels, stratified by the classes of the map, whose true class an interpreter has said: "
    "unbiased estimates after Olofsson et al., Remote Sensing of Environment 148 (2014) 42-57, equations 1 to 11. "
    "Areas counted on the map are biased by its errors and are given for comparison only. Intervals are 95 % (1.96 "
    "standard errors, cut at 0 and at the whole); they hold errors of sampling and none of interpretation. User's "
    "accuracy: share of what is mapped as a class that is of it. Producer's accuracy: share of what is of a class that "
    "is mapped as it. The area is that of pixels with a class on the map."
)


def area_part(result: AreaResult) -> Part:
    """Return an estimate as a part of a report: values, areas, and the error matrix in points and in shares of area."""
    found, classes = result.estimate, result.legend.classes
    points = int(found.counts.sum())
    half = float(half_width(found.overall_se))
    values = [
        Value("overall_accuracy", "overall accuracy", found.overall, "share", *_ends(found.overall, half)),
        Value("overall_accuracy_se", "standard error of overall accuracy", found.overall_se, "share"),
        Value("total_ha", "area of the map", found.total_ha, "ha"),
        Value("points", "points of the sample", points),
    ]
    wide = half_width(found.area_ha_se)
    columns = {
        "code": [c.code for c in classes], "class": [c.name for c in classes], "points": found.counts.sum(1),
        "mapped_ha": found.mapped_ha, "area_ha": found.area_ha, "area_ha_se": found.area_ha_se,
        "area_low_ha": np.maximum(0, found.area_ha - wide),
        "area_high_ha": np.minimum(found.total_ha, found.area_ha + wide),
        "users_accuracy": found.user, "users_accuracy_se": found.user_se,
        "producers_accuracy": found.producer, "producers_accuracy_se": found.producer_se,
    }  # fmt: skip
    tables = {"areas": pd.DataFrame(columns)}
    for name, matrix in (("error_matrix_share_of_area", found.shares), ("error_matrix_points", found.counts)):
        table = pd.DataFrame(matrix, columns=[c.code for c in classes])
        table.insert(0, "mapped_as", [c.code for c in classes])
        tables[name] = table.assign(total=matrix.sum(1))
    remarks = (*result.remarks, "Rows of the error matrices are the map, columns what is really there.")
    return Part("area", f"Areas and accuracy of {result.name}, from a sample", DEFINITION, values, tables, remarks)


def write_area(result: AreaResult, out: str | Path, *, overwrite: bool = False) -> Job[Path]:
    """Write an estimate into a folder.

    Parameters
    ----------
    result : AreaResult
        From `cscl.inference.area.estimate_areas`.
    out : path
        Folder: ``index.html``, ``area.md``, ``area.json``, ``areas.csv``, ``error_matrix_share_of_area.csv``,
        ``error_matrix_points.csv`` and ``areas.png``.
    overwrite : bool
        Replace the files of a former estimate.

    Returns
    -------
    Path
        The page.

    Raises
    ------
    OutputError
        If something is there that may not be replaced, or the files cannot be written.
    """
    part = area_part(result)
    with result_folder(out, MARK, overwrite=overwrite) as folder:
        write_part(part, {"map": result.name, "sample": result.sample}, folder)
        table = part.tables["areas"]
        columns = [table[name] for name in ("mapped_ha", "area_ha", "area_low_ha", "area_high_ha")]
        drawing = areas(list(table["class"]), *columns, title=f"Area by class: {result.name}")
        figures = [Figure("areas", drawing, "Bars are 95 % intervals of the estimated area.")]
        yield from write_figures(figures, folder)
        text = f"Overall accuracy: {in_words(part.values[0])}, from {in_words(part.values[3])} points."
        text = "\n\n".join([text, *result.remarks])
        matrices = {name: part.tables[name] for name in part.tables if name != "areas"}
        sections = [
            Section("In short", text, figures, [_short(table)]),
            part_section(replace(part, tables=matrices, remarks=part.remarks[-1:])),
        ]
        write_page(folder, part.title, sections)
    return Path(out) / "index.html"


def _short(table: pd.DataFrame) -> Table:
    """Areas and accuracies as a table to read: intervals in one column, standard errors behind their figures."""
    rows = [
        (
            row["class"], row["points"], f"{row['mapped_ha']:,.1f}", f"{row['area_ha']:,.1f}",
            f"{row['area_low_ha']:,.1f} to {row['area_high_ha']:,.1f}",
            *(_with_error(row[name], row[f"{name}_se"]) for name in ("users_accuracy", "producers_accuracy")),
        )
        for row in table.to_dict("records")
    ]  # fmt: skip
    heads = ("class", "points", "on the map (ha)", "estimated (ha)", "95 % interval (ha)", "user's accuracy (SE)")
    return Table((*heads, "producer's accuracy (SE)"), rows, "Areas and accuracies; areas.csv holds all digits.")


def _with_error(share: float, error: float) -> str | None:
    return None if math.isnan(share) else f"{share:.1%} ({error:.1%})"


def _ends(share: float, half: float) -> tuple[float, float]:
    return max(0.0, share - half), min(1.0, share + half)
