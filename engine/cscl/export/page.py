"""A page to read in a browser: one file that holds its pictures and fetches nothing."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from html import escape
from pathlib import Path
from typing import Any

import matplotlib.figure

from cscl.errors import InputError, OutputError

from .draft import draft
from .markup import chart, document, paragraphs, table

__all__ = ["Figure", "Section", "Table", "shown", "write_page"]


@dataclass(frozen=True, eq=False)
class Figure:
    """A figure: its `name`, also as a file (letters, digits, ``-`` and ``_``), the drawing, and what it shows."""

    name: str
    drawing: matplotlib.figure.Figure = field(repr=False)
    caption: str = ""

    def __post_init__(self) -> None:
        if not re.fullmatch(r"[A-Za-z0-9_-]+", self.name):
            raise InputError(f"'{self.name}' is no name for a figure. Use letters, digits, - and _ only.")


@dataclass(frozen=True)
class Table:
    """A table of a page: names of the columns, rows of plain values (floats are shown to 3 digits), what it shows."""

    columns: Sequence[str]
    rows: Sequence[Sequence[Any]]
    caption: str = ""


@dataclass(frozen=True)
class Section:
    """A part of a page: heading, text (a blank line parts paragraphs), then tables, then figures."""

    heading: str
    text: str = ""
    figures: Sequence[Figure] = ()
    tables: Sequence[Table] = ()


def write_page(folder: str | Path, title: str, sections: Sequence[Section], *, overwrite: bool = False) -> Path:
    """Write ``index.html``, one file with all figures in it.

    Parameters
    ----------
    folder : path
        Folder to write into; made if it is not there. Other files in it stay.
    title : str
        Heading of the page.
    sections : sequence of Section
        In this order. All text is escaped: it may hold any character.
    overwrite : bool
        Replace a former page.

    Returns
    -------
    Path
        The page, ``folder/index.html``.

    Raises
    ------
    OutputError
        If there is a page already and `overwrite` is not set, or something cannot be written.
    InputError
        If two figures have the same name.
    """
    folder = Path(folder)
    names = [figure.name for section in sections for figure in section.figures]
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise InputError(f"Two figures of the page are named {', '.join(twice)}. Give each its own name.")
    page = folder / "index.html"
    if page.exists() and not overwrite:
        raise OutputError(f"{page} exists already. Choose another folder, or add --overwrite to replace the page.")
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OutputError(f"The folder {folder} cannot be made ({error}). Choose another place.") from error
    with draft(folder, "index.html") as part:
        body = (f"<h1>{escape(title)}</h1>", *(line for section in sections for line in _section(section)))
        (part / "index.html").write_text("\n".join(document(title, body)) + "\n", encoding="utf-8")
    return page


def _section(section: Section) -> Iterator[str]:
    yield f"<section>\n<h2>{escape(section.heading)}</h2>"
    yield from paragraphs(section.text)
    for known in section.tables:
        yield from table(known.columns, known.rows, known.caption)
    for figure in section.figures:
        yield from shown(figure)
    yield "</section>"


def shown(figure: Figure) -> Iterator[str]:
    """Yield a figure with its caption."""
    yield f"<figure>\n{chart(figure.drawing, figure.name, figure.caption or figure.name)}"
    yield (f"<figcaption>{escape(figure.caption)}</figcaption>\n" if figure.caption else "") + "</figure>"
