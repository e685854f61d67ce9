"""Parts of a report as files: Markdown, JSON, a CSV for each table, and a section of a page."""

from __future__ import annotations

import json
from collections.abc import Generator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from cscl.errors import OutputError
from cscl.events import Job, Progress
from cscl.report.numbers import plain
from cscl.report.part_text import MOST_ROWS, cell, in_words, part_markdown, write_table
from cscl.report.parts import Part
from cscl.results import require_place

from .draft import draft
from .markup import column_words
from .page import Figure, Section, Table
from .paper import save_figure

__all__ = [
    "CONTENTS", "files_listed", "in_words",
    "part_markdown", "part_section", "result_folder", "write_figures", "write_part", "write_table",
]  # fmt: skip

CONTENTS = ".cscl-files"
"""List of the files of a result, beside them."""


@contextmanager
def result_folder(out: str | Path, mark: str, *, overwrite: bool) -> Generator[Path, None, None]:
    """Lend a folder to write a result into; its files appear in `out` when all are whole. Other files in `out` stay.

    Files that a former result had and this one has not go, so that tables of two runs never lie side by side.

    Parameters
    ----------
    out : path
        Folder of the result, made if it is not there.
    mark : str
        File that each result of this kind holds: a folder without it is never written into.
    overwrite : bool
        Replace the files of a former result.

    Raises
    ------
    OutputError
        If something is there that may not be replaced, or the files cannot be written.
    """
    out = Path(out)
    require_place(out, mark, overwrite=overwrite)
    made = not out.exists()
    try:
        out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OutputError(f"The folder {out} cannot be made ({error}). Choose another place.") from error
    try:
        former = files_listed(out)
        with draft(out, "result") as folder:
            yield folder
            names = sorted(path.name for path in folder.iterdir())
            (folder / CONTENTS).write_text("\n".join(names), encoding="utf-8")
        for name in former.difference(names):
            (out / name).unlink(missing_ok=True)
        made = False
    finally:
        if made:
            with suppress(OSError):
                out.rmdir()


def files_listed(out: Path) -> set[str]:
    """Names of the files of a result that `result_folder` made; none where there is no result."""
    try:
        return {name for name in (out / CONTENTS).read_text(encoding="utf-8").splitlines() if Path(name).name == name}
    except OSError:
        return set()


def write_part(part: Part, facts: Mapping[str, Any], folder: Path) -> None:
    """Write ``<key>.md``, ``<key>.json`` and ``<table>.csv`` for each table; `facts` say what was compared."""
    text = f"{part_markdown(part, facts)}\n"
    (folder / f"{part.key}.md").write_text(text, encoding="utf-8")
    known = json.dumps({"facts": plain(facts), **part.to_dict()}, indent=1, ensure_ascii=False, allow_nan=False)
    (folder / f"{part.key}.json").write_text(known, encoding="utf-8")
    for name, table in part.tables.items():
        write_table(table, folder / f"{name}.csv")


def write_figures(figures: Sequence[Figure], folder: Path) -> Job[None]:
    """Write figures as PNG, each under its name."""
    for number, figure in enumerate(figures, 1):
        save_figure(figure.drawing, folder / f"{figure.name}.png")
        yield Progress("drawing figures", number, len(figures), "figure")


def part_section(part: Part, figures: Sequence[Figure] = (), *, text: str = "", most: int = MOST_ROWS) -> Section:
    """Return a part as a section of a page; `text` comes first, and tables are cut to their first rows."""
    tables = []
    if part.values:
        tables.append(Table(("figure", "value"), [(value.words, in_words(value)) for value in part.values]))
    for name, table in part.tables.items():
        rows = [[cell(value) for value in row] for row in table.head(most).itertuples(index=False)]
        more = f": the first {most} of {len(table)} rows, {name}.csv holds all" if len(table) > most else ""
        columns = [column_words(str(column)) for column in table.columns]
        tables.append(Table(columns, rows, name.replace("_", " ").capitalize() + more))
    return Section(part.title, "\n\n".join(b for b in (text, part.definition, *part.remarks) if b), figures, tables)
