"""A comparison of two maps as files: page, tables, figures, and the map of what was won and lost."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr
from numpy.typing import NDArray

from cscl.events import Job, Progress
from cscl.export.geotiff import export_classes
from cscl.export.interval_charts import differences
from cscl.export.maps import class_map
from cscl.export.page import Figure, Section, write_page
from cscl.export.part_files import part_section, result_folder, write_figures, write_part
from cscl.grid import tile_count, tiles
from cscl.legend import CropClass, Legend
from cscl.metrics.boundary import class_boundary
from cscl.metrics.paired import Outcome
from cscl.products import LabelMap, Prediction
from cscl.report.parts import Part, Value

from .versus import Versus

__all__ = ["OUTCOMES", "outcome_map", "versus_part", "write_versus"]

MARK = "comparison.json"
BLOCK_PX = 1024
NOT_JUDGED = CropClass(0, "NONE", "not judged", "#bfbfbf")
OUTCOMES = Legend(
    (
        CropClass(1, "RI", "both right, inside", "#f2f2ee"),
        CropClass(2, "RB", "both right, class boundary", "#d9dbd2"),
        CropClass(3, "WI", "won, inside", "#7fc8ff"),
        CropClass(4, "WB", "won, class boundary", "#0072b2"),
        CropClass(5, "LI", "lost, inside", "#f7b267"),
        CropClass(6, "LB", "lost, class boundary", "#d55e00"),
        CropClass(7, "XI", "both wrong, inside", "#8c8c8c"),
        CropClass(8, "XB", "both wrong, class boundary", "#4d4d4d"),
    ),
    ignore=0,
)
"""What the map of a comparison shows: outcomes inside and at class boundaries; 0 is not judged."""

DEFINITION = (
    "Both maps are judged on the same pixels: those {judged} on which both say something. Differences are second minus "
    "first, {second} minus {first}. Their {level} intervals come from drawing {units} again (paired bootstrap, BCa), "
    "each with what both maps make of it. An interval that leaves out 0 is called clear; of 20 figures that "
    "do not differ one is expected to be clear all the same. Class boundary: pixels of known class with another known "
    "class in their 3 x 3 window; unknown pixels and the border of the scene make no edge. Distances are ground "
    "distances to the nearest class edge. What all of them share (season, region, the one training of each model) is "
    "in no interval."
)


def versus_part(found: Versus) -> Part:
    """Return a comparison as a part of a report: the main differences, and the table of all."""
    names = found.names
    units = "blocks of 320 m" if found.labels.parcel_ids is None else "whole parcels"
    definition = DEFINITION.format(
        judged=found.judged.words, first=names[0], second=names[1], level=f"{found.level:.0%}", units=units
    )
    values: list[Value] = []
    for row in found.table[found.table["figure"].isin(["accuracy", "mean IoU"])].to_dict("records"):
        if row["where"] in ("everywhere", "class boundary", "interior"):
            key = f"{row['figure']}_{row['where']}".replace(" ", "_").lower()
            words = f"{row['figure']}, {row['where']}"
            values += [
                Value(f"{key}_first", f"{words}: {names[0]}", row["first"], "share"),
                Value(f"{key}_second", f"{words}: {names[1]}", row["second"], "share"),
                Value(
                    f"{key}_difference",
                    f"{words}: difference in points",
                    row["difference"],
                    "share",
                    row["low"],
                    row["high"],
                ),
            ]
    for outcome in (Outcome.BOTH_RIGHT, Outcome.WON, Outcome.LOST, Outcome.BOTH_WRONG):
        for boundary, where in ((True, "class boundary"), (False, "interior")):
            key, words = outcome.name.lower(), outcome.name.lower().replace("_", " ")
            px = found.pixels(outcome, boundary=boundary)
            values.append(Value(f"{key}_{where.replace(' ', '_')}_px", f"pixels {words}, {where}", px, "px"))
    tables = {"differences": found.table}
    return Part("comparison", f"{names[1]} against {names[0]}", definition, values, tables, found.remarks)


def outcome_map(found: Versus) -> Job[Prediction]:
    """Make the class map of `OUTCOMES`: which pixels the second map wins and loses, inside and at class boundaries."""
    shape = found.outcomes_YX.shape
    codes, total = np.zeros(shape, np.uint8), tile_count(shape, BLOCK_PX)
    for number, block in enumerate(tiles(shape, BLOCK_PX), 1):
        seen = block.grown(1, shape)
        boundary = class_boundary(found.labels.index(seen))[block.within(seen).slices]
        outcome = found.outcomes_YX[block.slices]
        codes[block.slices] = np.where(outcome > 0, 2 * outcome + boundary - 1, 0)
        yield Progress("mapping what was won and lost", number, total, "block")
    axes = ("y", "x")
    none = xr.DataArray(np.broadcast_to(np.uint8(255), shape), dims=axes)
    return Prediction(xr.DataArray(codes, dims=axes), none, found.grid, OUTCOMES, name="won and lost")


def write_versus(found: Versus, out: str | Path, *, overwrite: bool = False) -> Job[Path]:
    """Write a comparison into a folder.

    Parameters
    ----------
    found : Versus
        From `cscl.inference.versus.versus`.
    out : path
        Folder: ``index.html``, ``comparison.md``, ``comparison.json``, ``differences.csv``, the map
        ``won_and_lost.tif`` with names, colours and a QGIS style, and figures as PNG.
    overwrite : bool
        Replace the files of a former comparison.

    Returns
    -------
    Path
        The page.

    Raises
    ------
    OutputError
        If something is there that may not be replaced, or the files cannot be written.
    """
    part = versus_part(found)
    facts = {"first": found.names[0], "second": found.names[1], "labels": found.labels.name}
    facts["judged"] = f"pixels {found.judged.words}"
    with result_folder(out, MARK, overwrite=overwrite) as folder:
        codes = yield from outcome_map(found)
        yield from export_classes(
            codes, folder / "won_and_lost.tif", description=f"pixels that {found.names[1]} wins and loses"
        )
        write_part(part, {**facts, "summary": found.summary()}, folder)
        figures = [_where(found, codes), *_figures(found)]
        yield from write_figures(figures, folder)
        sections = [
            Section("In short", found.summary(), figures[:1]),
            Section("Where the two differ", "", figures[1:]),
            part_section(part),
        ]
        write_page(folder, f"{part.title}, on the same truth", sections)
    return Path(out) / "index.html"


def _where(found: Versus, codes: Prediction) -> Figure:
    shown = LabelMap(codes.ids.values, found.grid, Legend((*OUTCOMES.classes, NOT_JUDGED)), name=codes.name)
    drawing = class_map(shown, f"Pixels that {found.names[1]} wins and loses")
    return Figure("won_and_lost", drawing, "As in won_and_lost.tif.")


def _figures(found: Versus) -> list[Figure]:
    first, second = found.names
    table, y_label = found.table, f"{second} minus {first} (points)"
    by_distance = table[(table["figure"] == "accuracy") & table["where"].str.contains("class edge")]
    halves = table[(table["figure"] == "accuracy") & table["where"].isin(["everywhere", "class boundary", "interior"])]
    by_class = table[(table["figure"] == "IoU") & table["difference"].notna()]
    how = "Bars through the dots are intervals; where they leave out zero they are blue (won) or orange (lost)."
    return [
        Figure(name, _chart(rows, places, title, x_label, y_label), how)
        for name, rows, places, title, x_label in (
            ("by_place", halves, list(halves["where"]), "Difference in accuracy by place", ""),
            ("by_distance", by_distance, _metres(by_distance["where"]), "Difference in accuracy by distance",
             "distance to the nearest class edge (m)"),
            ("by_class", by_class, list(by_class["where"]), "Difference in intersection over union by class", ""),
        )
        if len(rows)
    ]  # fmt: skip


def _chart(rows: pd.DataFrame, places: Sequence[str], title: str, x_label: str, y_label: str) -> Any:
    ends: list[NDArray[Any]] = [rows[name].to_numpy() for name in ("difference", "low", "high", "pixels")]
    return differences(places, *ends, title=title, x_label=x_label, y_label=y_label)


def _metres(wheres: pd.Series[Any]) -> list[str]:
    return [w.replace(" m from a class edge", "").replace(" to ", "–").replace("more than", ">") for w in wheres]
