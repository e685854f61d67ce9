"""Ranked parcels as files: probable label errors, and where to label next, as page, CSV and GeoPackage."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from pyproj import Transformer

from cscl.errors import InputError
from cscl.events import Job, Progress
from cscl.export.gpkg import Layer, beside, storable, write_layers
from cscl.export.maps import class_map
from cscl.export.page import Figure, write_page
from cscl.export.part_files import part_markdown, part_section, result_folder, write_figures, write_table
from cscl.export.styles import vector_style
from cscl.grid import GeoBox
from cscl.legend import CropClass, Legend
from cscl.parcels import Parcels
from cscl.products import LabelMap
from cscl.report.parts import Part

from .own_ids import with_own_ids

__all__ = ["Ranking", "write_ranking"]

FIRST, SECOND = 20, 50
SHOWN_ROWS = 50
STRIP_ROWS = 256
PRIORITIES = Legend(
    (
        CropClass(1, "1", f"rank 1 to {FIRST}", "#b2182b"),
        CropClass(2, "2", f"rank {FIRST + 1} to {SECOND}", "#ef8a62"),
        CropClass(3, "3", "lower rank", "#fddbc7"),
    )
)

SUSPECTS = (
    "Parcels are ranked by how much the map and the embedding speak against their declared crop. The score, 0 to 1, "
    "ranks; it is no probability that the declaration is wrong. It is the mean of two doubts, (1 + share for the best "
    "other crop - share for the declared one) / 2: that of the mean probabilities of the parcel's interior, and that "
    "of the declared crops of the parcels whose mean embedding is most like its own (without an embedding the first "
    "alone). After confident learning (Northcutt et al. 2021) and deep k-NN (Bahri et al. 2020).\n\n"
    "How far to trust it: on three simulated scenes of 700 to 850 parcels that the network never saw, 3 % of them "
    "declared wrongly at random, 70 % of the first 20 parcels and 42 % of the first 50 were wrong ones; these first 50 "
    "held 91 % of all wrong ones. On real registers this was not measured: expect less where crops look alike.\n\n"
    "What it assumes: the network has not learnt from the ranked parcels, for a network learns wrong labels, too; most "
    "declarations are right, and wrong ones follow no rule (a crop that is always declared as another looks like the "
    "truth); a parcel holds one crop. Crops that the network confuses anyway and displaced outlines rank high without "
    "being declared wrongly: look at a parcel before correcting it."
)
LABEL_NEXT = (
    "Parcels are ranked by how much the network has yet to learn from them. The score, 0 to 1, is the mean of the "
    "uncertainty (mean entropy of the class probabilities of the parcel's pixels, as a share of the largest possible) "
    "and the boundary disagreement (share of its pixels beside another parcel or unregistered land that are mapped as "
    "another class than most of its interior). No label is used.\n\n"
    "How far to trust it: on three simulated scenes 58 % of the first 20 parcels were mapped wrongly, and 14 % of all. "
    "Whether labels of these parcels teach a network more than labels of others was not measured."
)


@dataclass(frozen=True, eq=False)
class Ranking:
    """A table of ranked parcels, with the words that say what the rank means.

    Parameters
    ----------
    key : str
        Name of the files, lower case with underscores.
    title, definition : str
        Heading, and what was ranked how (a blank line parts paragraphs).
    table : DataFrame
        One row a parcel, the first rank first, as `cscl.inference.suspects` gives it.
    shown : sequence of str
        Columns that the page shows.
    remarks : sequence of str
        What the reader must know of this ranking.
    """

    key: str
    title: str
    definition: str
    table: pd.DataFrame = field(repr=False)
    shown: Sequence[str]
    remarks: Sequence[str] = ()

    @classmethod
    def of_suspects(cls, table: pd.DataFrame, remarks: Sequence[str] = ()) -> Ranking:
        """Wrap the table of `cscl.inference.suspects.suspects`."""
        shown = ("rank", "id", "declared_crop", "suggested_crop", "score", "confident", "area_ha", "reasons")
        against = int((table["score"] > 0.5).sum())
        words = f"Of {len(table)} parcels {against} have a score above 0.5: more speaks against their crop than for it."
        title = "Crops that are probably declared wrongly"
        return cls("suspects", title, SUSPECTS, table, shown, (words, *remarks))

    @classmethod
    def of_label_next(cls, table: pd.DataFrame, remarks: Sequence[str] = ()) -> Ranking:
        """Wrap the table of `cscl.inference.suspects.label_next`."""
        shown = ("rank", "id", "declared_crop", "suggested_crop", "score", "area_ha", "reasons")
        return cls("label_next", "Parcels that are worth labelling next", LABEL_NEXT, table, shown, remarks)

    def rows(self, grid: GeoBox) -> pd.DataFrame:
        """Return the table with rank, priority and place: centre in the CRS of the grid, and in degrees."""
        rank = np.arange(1, len(self.table) + 1)
        priority = np.where(rank <= FIRST, "1", np.where(rank <= SECOND, "2", "3"))
        x, y = grid.transform @ np.stack([self.table["col"] + 0.5, self.table["row"] + 0.5])
        lon, lat = Transformer.from_crs(str(grid.crs), "EPSG:4326", always_xy=True).transform(x, y)
        table = self.table.assign(priority=priority, x=x, y=y, lon=lon, lat=lat)
        table.insert(0, "rank", rank)
        return table


def write_ranking(
    ranking: Ranking, labels: LabelMap, parcels: Parcels, out: str | Path, *, overwrite: bool = False
) -> Job[Path]:
    """Write ranked parcels into a folder.

    Parameters
    ----------
    ranking : Ranking
        The table and its words.
    labels : LabelMap
        What was ranked: for the map on the page.
    parcels : Parcels
        Polygons behind the labels, in any CRS.
    out : path
        Folder: ``index.html``, ``<key>.md``, ``<key>.csv``, ``<key>.gpkg`` (ranked parcels in their own CRS, with all
        columns that they had and a QGIS style) and ``<key>.png``.
    overwrite : bool
        Replace the files of a former ranking.

    Returns
    -------
    Path
        The page.

    Raises
    ------
    OutputError
        If something is there that may not be replaced, or the files cannot be written.
    InputError
        If the parcels are not those of the labels.
    """
    rows, key = ranking.rows(labels.grid), ranking.key
    layer = _layer(ranking, rows, parcels)
    rows, columns = _named(rows, parcels, list(ranking.shown))
    with result_folder(out, f"{key}.csv", overwrite=overwrite) as folder:
        yield from write_layers(folder / f"{key}.gpkg", [layer])
        write_table(rows, folder / f"{key}.csv")
        shown = rows.head(SHOWN_ROWS)[columns]
        more = f"; {key}.csv holds all {len(rows)}" if len(rows) > SHOWN_ROWS else ""
        table = Part("first", f"The first {len(shown)}{more}", "", tables={"parcels": shown})
        words = Part(key, ranking.title, ranking.definition, remarks=ranking.remarks)
        text = f"{part_markdown(words)}\n\n{part_markdown(table, most=SHOWN_ROWS)}\n"
        (folder / f"{key}.md").write_text(text, encoding="utf-8")
        ranked = yield from _priority_map(rows, labels)
        where = Figure(key, class_map(ranked, ranking.title), f"As in {key}.gpkg.")
        yield from write_figures([where], folder)
        write_page(folder, ranking.title, [part_section(words, [where]), part_section(table, most=SHOWN_ROWS)])
    return Path(out) / "index.html"


def _named(rows: pd.DataFrame, parcels: Parcels, shown: list[str]) -> tuple[pd.DataFrame, list[str]]:
    """Add what the user calls the parcels to a table and to the columns that are shown of it."""
    rows = with_own_ids(rows, parcels.names_of_ids)
    return rows, [c for column in shown for c in ((column, "own_id") if column == "id" else (column,)) if c in rows]


def _layer(ranking: Ranking, rows: pd.DataFrame, parcels: Parcels) -> Layer:
    polygons = parcels.table[parcels.table["parcel_id"].isin(rows["id"])].set_index("parcel_id", drop=False)
    if len(polygons) != len(rows):
        raise InputError(
            f"{len(rows) - len(polygons)} of {len(rows)} ranked parcels are not in {parcels.name}. Give the parcels "
            "that the labels were made of, with the same --id-column."
        )
    verdict = rows.set_index("id").drop(columns=["row0", "col0", "row1", "col1"])
    table = beside(polygons, verdict).sort_values("rank")
    style = vector_style(PRIORITIES, "priority", "not ranked")
    return Layer(ranking.key, storable(table, ("parcel_id", *verdict.columns)), ranking.title, style)


def _priority_map(rows: pd.DataFrame, labels: LabelMap) -> Job[LabelMap]:
    """Burn the priorities of the ranked parcels, some rows of the scene at a time."""
    ranked = rows.sort_values("id")
    ids, code = ranked["id"].to_numpy(), ranked["priority"].astype(np.uint8).to_numpy()
    found = np.zeros(labels.ids.shape, np.uint8)
    parcels: Any = labels.parcel_ids
    for row in range(0, len(found), STRIP_ROWS):
        part = parcels[row : row + STRIP_ROWS]
        at = np.minimum(np.searchsorted(ids, part), len(ids) - 1)
        found[row : row + STRIP_ROWS] = np.where(ids[at] == part, code[at], 0)
        yield Progress("mapping ranks", row, len(found), "row")
    legend = Legend((*PRIORITIES.classes, CropClass(0, "0", "not ranked", "#e4e4e4")))
    return LabelMap(found, labels.grid, legend, name="ranked parcels")
