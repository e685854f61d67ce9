"""All that an assessment found, as a page, as JSON and as tables."""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from cscl.errors import OutputError
from cscl.results import require_name

from .numbers import AccuracyReport, BoundaryReport, plain
from .page import markdown
from .part_text import write_table
from .parts import Part
from .tables import write_tables

__all__ = ["Report"]

MOST_ROWS = 2000  # of a table in JSON: those of a national register have a million


@dataclass(frozen=True, eq=False)
class Report:
    """All that an assessment found, with the facts that say what was compared, how and when.

    Parameters
    ----------
    accuracy : AccuracyReport
        Over all known pixels.
    boundary : BoundaryReport
        At boundaries and away from them.
    facts : mapping
        Names of prediction and labels, date, window, pixel size: plain values.
    remarks : tuple of str
        What the reader must know about the comparison.
    parts : tuple of Part
        What further measures say.
    own_ids : mapping or None
        What the user calls the parcels, by their ids here; None where these are the user's own.
    """

    accuracy: AccuracyReport
    boundary: BoundaryReport
    facts: Mapping[str, Any] = field(default_factory=dict)
    remarks: tuple[str, ...] = ()
    parts: tuple[Part, ...] = ()
    own_ids: Mapping[int, str] | None = None

    def to_dict(self) -> dict[str, Any]:
        """Return plain values for JSON. Of tables with very many rows it says how many, and which CSV holds them."""
        known = {"accuracy": self.accuracy.to_dict(), "boundary": self.boundary.to_dict()}
        parts = {part.key: _known(part) for part in self.parts}
        return {"facts": plain(self.facts), "remarks": list(self.remarks), **known, "parts": parts}

    def to_markdown(self) -> str:
        """Return the report as a page to read: what each table counts, then the table."""
        return markdown(self.accuracy, self.boundary, self.facts, self.remarks, self.parts)

    def write(self, folder: str | Path, *, overwrite: bool = False) -> Path:
        """Write report.md, report.json, confusion.csv, classes.csv, distance.csv, parcels.csv, and the tables of parts.

        A table of a part is called ``<part>_<table>.csv``, or ``<part>.csv`` where both have one name.

        The files are written under another name first, so that none is ever seen half-written. An existing folder
        keeps its other files.

        Raises
        ------
        OutputError
            If the folder exists (and `overwrite` is False) or cannot be written.
        """
        folder = Path(folder)
        require_name(folder)
        if folder.exists() and not (overwrite and folder.is_dir()):
            remedy = "add --overwrite to replace the report in it" if folder.is_dir() else "remove that file"
            raise OutputError(f"{folder} exists already. Choose another name, or {remedy}.")
        part = folder.with_name(folder.name + ".part")
        try:
            shutil.rmtree(part, ignore_errors=True)
            part.mkdir(parents=True)
            self.write_into(part)
            folder.mkdir(exist_ok=True)
            for file in part.iterdir():
                file.replace(folder / file.name)
        except OSError as error:
            raise OutputError(
                f"The report {folder} cannot be written ({error}). Make room, or choose another place."
            ) from error
        finally:
            shutil.rmtree(part, ignore_errors=True)
        return folder

    def write_into(self, folder: Path) -> None:
        """Write the files of `write` into a folder that is there, such as one that gets its name when all is whole."""
        (folder / "report.md").write_text(self.to_markdown(), encoding="utf-8")
        text = json.dumps(self.to_dict(), indent=1, ensure_ascii=False, allow_nan=False)
        (folder / "report.json").write_text(text, encoding="utf-8")
        write_tables(self.accuracy, self.boundary, folder, self.own_ids)
        for part in self.parts:
            for name, table in part.tables.items():
                write_table(table, folder / part.files[name])


def _known(part: Part) -> dict[str, Any]:
    """Return a part as plain values, without the rows of long tables."""
    short = {name: table for name, table in part.tables.items() if len(table) <= MOST_ROWS}
    known = replace(part, tables=short).to_dict()
    for name, table in part.tables.items():
        if name not in short:
            known["tables"][name] = {"rows": len(table), "file": part.files[name]}
    return known
