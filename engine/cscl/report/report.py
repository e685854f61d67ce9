"""All that an assessment found, as a page, as JSON and as tables."""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from cscl.errors import OutputError
from cscl.results import require_name

from .numbers import AccuracyReport, BoundaryReport, plain
from .page import markdown
from .parts import Part
from .tables import write_tables

__all__ = ["Report"]


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
    """

    accuracy: AccuracyReport
    boundary: BoundaryReport
    facts: Mapping[str, Any] = field(default_factory=dict)
    remarks: tuple[str, ...] = ()
    parts: tuple[Part, ...] = ()

    def to_dict(self) -> dict[str, Any]:
        """Return plain values for JSON."""
        known = {"accuracy": self.accuracy.to_dict(), "boundary": self.boundary.to_dict()}
        parts = {part.key: part.to_dict() for part in self.parts}
        return {"facts": plain(self.facts), "remarks": list(self.remarks), **known, "parts": parts}

    def to_markdown(self) -> str:
        """Return the report as a page to read: what each table counts, then the table."""
        return markdown(self.accuracy, self.boundary, self.facts, self.remarks)

    def write(self, folder: str | Path, *, overwrite: bool = False) -> Path:
        """Write report.md, report.json, confusion.csv, classes.csv, distance.csv and parcels.csv.

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
            (part / "report.md").write_text(self.to_markdown(), encoding="utf-8")
            text = json.dumps(self.to_dict(), indent=1, ensure_ascii=False, allow_nan=False)
            (part / "report.json").write_text(text, encoding="utf-8")
            write_tables(self.accuracy, self.boundary, part)
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
