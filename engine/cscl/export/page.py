"""A page to read in a browser: one folder with index.html and its pictures, nothing fetched from elsewhere."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from html import escape
from pathlib import Path
from typing import Any

import matplotlib.figure

from cscl.errors import InputError, OutputError

from .draft import draft
from .paper import save_figure

__all__ = ["Figure", "Section", "Table", "write_page"]


@dataclass(frozen=True, eq=False)
class Figure:
    """A figure of a page: the `name` of its PNG (letters, digits, ``-`` and ``_``), the drawing, and what it shows."""

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


_CSS = """
body { max-width: 62rem; margin: 2.5rem auto 4rem; padding: 0 1.2rem; color: #222; background: #fff;
  font: 1rem/1.55 system-ui, "Segoe UI", Roboto, "Helvetica Neue", sans-serif; }
h1 { font-size: 1.9rem; line-height: 1.2; margin-bottom: 1.5rem; }
h2 { font-size: 1.3rem; margin: 2.6rem 0 0.6rem; padding-top: 1rem; border-top: 1px solid #ddd; }
p { max-width: 46rem; margin: 0.6rem 0; }
figure { margin: 1.4rem 0; }
img { max-width: 100%; height: auto; }
figcaption, caption { color: #555; font-size: 0.9rem; text-align: left; padding: 0.4rem 0; }
table { border-collapse: collapse; margin: 1.2rem 0; font-variant-numeric: tabular-nums; }
th, td { padding: 0.25rem 1.2rem 0.25rem 0; border-bottom: 1px solid #e5e5e5; text-align: left; }
th { border-bottom: 2px solid #999; }
.n { text-align: right; }
"""


def write_page(folder: str | Path, title: str, sections: Sequence[Section], *, overwrite: bool = False) -> Path:
    """Write ``index.html`` and a PNG for each figure.

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
        figures = [figure for section in sections for figure in section.figures]
        widths = {f.name: _width(save_figure(f.drawing, part / f"{f.name}.png"), f.drawing.dpi) for f in figures}
        (part / "index.html").write_text("\n".join(_page(title, sections, widths)) + "\n", encoding="utf-8")
    return page


def _width(picture: Path, dpi: float) -> int:
    """Width on the page, where an inch has 96 px: lettering then has the same size in all figures."""
    with picture.open("rb") as stream:
        width_px = int.from_bytes(stream.read(20)[16:], "big")  # where the header of a PNG has it
    return round(width_px * 96 / dpi)


def _page(title: str, sections: Sequence[Section], widths: Mapping[str, int]) -> Iterator[str]:
    yield '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">'
    yield '<meta name="viewport" content="width=device-width, initial-scale=1">'
    yield f"<title>{escape(title)}</title>\n<style>{_CSS}</style>\n</head>\n<body>\n<h1>{escape(title)}</h1>"
    for section in sections:
        yield f"<section>\n<h2>{escape(section.heading)}</h2>"
        yield from (f"<p>{escape(part.strip())}</p>" for part in re.split(r"\n\s*\n", section.text) if part.strip())
        for table in section.tables:
            yield from _table(table)
        for figure in section.figures:
            source = f'src="{figure.name}.png" width="{widths[figure.name]}"'
            image = f'<img {source} alt="{escape(figure.caption or figure.name)}">'
            caption = f"<figcaption>{escape(figure.caption)}</figcaption>" if figure.caption else ""
            yield f"<figure>\n{image}\n{caption}\n</figure>"
        yield "</section>"
    yield "</body>\n</html>"


def _table(table: Table) -> Iterator[str]:
    numeric = [
        all(isinstance(row[i], int | float) or row[i] is None for row in table.rows) for i in range(len(table.columns))
    ]
    kinds = [' class="n"' if n else "" for n in numeric]
    yield "<table>" + (f"\n<caption>{escape(table.caption)}</caption>" if table.caption else "")
    heads = "".join(f"<th{kind}>{escape(name)}</th>" for kind, name in zip(kinds, table.columns, strict=True))
    yield f"<thead><tr>{heads}</tr></thead>\n<tbody>"
    for row in table.rows:
        cells = "".join(f"<td{kind}>{escape(_cell(v))}</td>" for kind, v in zip(kinds, row, strict=True))
        yield f"<tr>{cells}</tr>"
    yield "</tbody>\n</table>"


def _cell(value: Any) -> str:
    if value is None or value != value:  # NaN is not equal to itself
        return "–"
    if isinstance(value, int) and not isinstance(value, bool):
        return f"{value:,}".replace(",", " ")
    return f"{value:.3f}" if isinstance(value, float) else str(value)
