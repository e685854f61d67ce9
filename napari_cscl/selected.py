"""Export of what is selected: rows with their notes, the error map, and the pictures of a case. No Qt."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from cscl.errors import InputError
from cscl.events import Job, Progress
from cscl.export.draft import draft, refuse
from cscl.parcels import Parcels
from cscl.report.kinds import Kind

from .cases import Case, Picture, annotated, case_figure
from .notes import Notes, notes_to_csv

if TYPE_CHECKING:
    from cscl.inference.explore import ErrorAtlas

__all__ = ["FILTERS", "Selected", "export_selected", "with_suffix"]

TABLE, NOTES, PACKAGE, MAP, PICTURES = "table", "notes", "package", "map", "pictures"
# What can be written, as a file dialog lists it: the words with the suffix, and which of the above it is.
FILTERS = {
    "Table on top, as filtered, with notes (*.csv)": TABLE,
    "Parcels and edges, as filtered, with notes (*.gpkg)": PACKAGE,
    "Map of the errors, as filtered (*.tif)": MAP,
    "Pictures of the selected case (*.png)": PICTURES,
    "Notes alone, to be read again (*.csv)": NOTES,
}


@dataclass(frozen=True, eq=False)
class Selected:
    """What is on show in the Boundary panel.

    Parameters
    ----------
    atlas : ErrorAtlas
        All errors of the map.
    kinds_YX : ndarray of uint8
        Kinds of the selected pixels, axes (y, x); 0 elsewhere.
    parcels, edges : DataFrame
        Rows as they are filtered and sorted.
    top : DataFrame
        The table on top: one of the two, or another one.
    notes : Notes
        Notes on cases.
    map_name : str
        Name of the map that is judged.
    outlines : Parcels or None
        Polygons behind the labels.
    case : Case or None
        The selected case.
    pictures : sequence of Picture
        Its pictures.
    """

    atlas: ErrorAtlas
    kinds_YX: NDArray[np.uint8] = field(repr=False)
    parcels: pd.DataFrame = field(repr=False)
    edges: pd.DataFrame = field(repr=False)
    top: pd.DataFrame = field(repr=False)
    notes: Notes
    map_name: str
    outlines: Parcels | None = None
    case: Case | None = None
    pictures: Sequence[Picture] = ()

    def annotated(self, frame: pd.DataFrame) -> pd.DataFrame:
        """Return rows with their notes."""
        return annotated(self.atlas, frame, self.notes, self.map_name)


def export_selected(chosen: Selected, what: str, path: str | Path, *, overwrite: bool = False) -> Job[str]:
    """Write one of `FILTERS`; return a sentence that says what lies where.

    Raises
    ------
    InputError
        If there is nothing of that kind.
    OutputError
        If the file cannot or must not be written.
    """
    path = Path(path)
    refuse(path, overwrite=overwrite, inputs=_inputs(chosen))
    yield Progress("exporting", 0, 1, "file")
    if what == TABLE:
        has_cases = chosen.top is chosen.parcels or chosen.top is chosen.edges
        frame = chosen.annotated(chosen.top) if has_cases else chosen.top
        _write_text(path, lambda: frame.to_csv(index=False, lineterminator="\n"))
        said = f"{len(frame)} rows lie in {path}."
    elif what == NOTES:
        _write_text(path, lambda: notes_to_csv(chosen.notes))
        count = len(chosen.notes)
        said = f"{count} notes lie in {path}." if count != 1 else f"One note lies in {path}."
    elif what == PACKAGE:
        said = yield from _package(chosen, path, overwrite)
    elif what == MAP:
        said = yield from _error_map(chosen, path, overwrite)
    else:
        said = _sheet(chosen, path, overwrite)
    yield Progress("exporting", 1, 1, "file")
    return said


def with_suffix(path: str | Path, chosen: str) -> Path:
    """Add the suffix of a filter to a name that has none; another suffix is the user's own."""
    path = Path(path)
    return path if path.suffix else path.with_name(path.name + chosen[chosen.rindex("*") + 1 : -1])


def _inputs(chosen: Selected) -> list[Path]:
    paths = [chosen.atlas.labels.path, chosen.outlines.path if chosen.outlines is not None else None]
    return [path for path in paths if path is not None]


def _write_text(path: Path, make: Callable[[], str]) -> None:
    with draft(path.parent, path.name) as folder:
        (folder / path.name).write_text(make(), encoding="utf-8", newline="")


def _package(chosen: Selected, path: Path, overwrite: bool) -> Job[str]:
    from cscl.export.errors_gpkg import Rows, export_errors

    parcels, edges = chosen.annotated(chosen.parcels), chosen.annotated(chosen.edges)
    rows = Rows(parcels["id"].tolist(), list(zip(edges["a"].tolist(), edges["b"].tolist(), strict=True)))
    errors = replace(chosen.atlas, kinds_YX=chosen.kinds_YX, parcels=parcels, edges=edges)
    yield from export_errors(path, errors, chosen.outlines, rows=rows, overwrite=overwrite)
    return f"{len(parcels)} {chosen.atlas.unit}s and {len(edges)} edges lie in {path}."


def _error_map(chosen: Selected, path: Path, overwrite: bool) -> Job[str]:
    from cscl.export.errors_gpkg import export_error_map

    errors = replace(chosen.atlas, kinds_YX=chosen.kinds_YX)
    yield from export_error_map(path, errors, overwrite=overwrite, inputs=_inputs(chosen))
    wrong = int((chosen.kinds_YX > Kind.RIGHT).sum())
    return f"The map of {wrong:,} wrong pixels lies in {path}."


def _sheet(chosen: Selected, path: Path, overwrite: bool) -> str:
    from cscl.export.paper import save_figure

    if chosen.case is None:
        raise InputError("No case is selected. Choose a row of the tables, or click a parcel, first.")
    save_figure(case_figure(chosen.case, chosen.pictures, f"{chosen.case.name}: {chosen.map_name}"), path,
                overwrite=overwrite)  # fmt: skip
    return f"The pictures of {chosen.case.name} lie in {path}."
