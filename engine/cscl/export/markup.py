"""Pieces of pages that are one file: the frame around them, tables, and pictures as text. All text is escaped."""

from __future__ import annotations

import base64
import io
import math
import re
from collections.abc import Iterable, Iterator, Sequence
from html import escape
from importlib.resources import files
from typing import Any

import matplotlib
import matplotlib.figure
import numpy as np
from matplotlib.image import imsave
from numpy.typing import NDArray

from .paper import INK

__all__ = ["cell", "chart", "column_words", "document", "paragraphs", "picture", "png", "table"]

# What is drawn for white paper takes the colours of the page instead, which may be dark.
_PAGE_COLOURS = {
    INK: "currentColor", "#000000": "currentColor", "#e6e6e6": "var(--line)", "#c9d3da": "var(--bar)",
    "#6b7b86": "var(--soft)", "#ffffff": "var(--paper)",
}  # fmt: skip

LONG, BROAD = 36, 62


def document(title: str, body: Iterable[str], *styles: str, script: str = "") -> Iterator[str]:
    """Yield the lines of a page around its body; `styles` and `script` name files of this folder."""
    yield '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">'
    yield '<meta name="viewport" content="width=device-width, initial-scale=1">'
    yield '<meta name="color-scheme" content="light dark">\n<link rel="icon" href="data:,">'
    yield f"<title>{escape(title)}</title>\n<style>"
    yield from (_part(name) for name in ("page.css", *styles))
    yield "</style>\n</head>\n<body>"
    yield from body
    yield (f"<script>\n{_part(script)}</script>\n" if script else "") + "</body>\n</html>"


def _part(name: str) -> str:
    return files("cscl.export").joinpath(name).read_text(encoding="utf-8")


def paragraphs(text: str) -> Iterator[str]:
    """Yield the paragraphs of a text; a blank line parts them."""
    yield from (f"<p>{escape(part.strip())}</p>" for part in re.split(r"\n\s*\n", text) if part.strip())


def png(colours_YXC: NDArray[Any]) -> str:
    """Address that holds a picture itself, as PNG; axes (y, x, channel), uint8 or 0..1."""
    held = io.BytesIO()
    imsave(held, colours_YXC, format="png", pil_kwargs={"optimize": True})
    return _address(held.getvalue())


def _address(content: bytes) -> str:
    return f"data:image/png;base64,{base64.b64encode(content).decode('ascii')}"


def chart(drawing: matplotlib.figure.Figure, name: str, what: str) -> str:
    """Turn a drawing into a part of the page: lines and lettering that take its colours, or a PNG if it holds pixels.

    An inch of it is 96 px of the page, so that lettering has the same size in all of them.
    """
    held = io.BytesIO()
    if any(axes.images for axes in drawing.axes):
        drawing.savefig(held, format="png", bbox_inches="tight", pad_inches=0.12)
        width_px = int.from_bytes(held.getvalue()[16:20], "big")  # where the header of a PNG has it
        return picture(_address(held.getvalue()), what, round(width_px * 96 / drawing.dpi))
    with matplotlib.rc_context({"svg.fonttype": "none", "svg.hashsalt": name}):
        facts = dict.fromkeys(("Creator", "Date", "Format", "Type"))
        drawing.savefig(held, format="svg", bbox_inches="tight", pad_inches=0.05, transparent=True, metadata=facts)
    text = held.getvalue().decode("utf-8")
    text = re.sub(r"<metadata>.*?</metadata>|<style.*?</style>| xmlns(:\w+)?=\"[^\"]*\"", "", text, flags=re.DOTALL)
    text = text[text.index("<svg") :].replace("xlink:href", "href").rstrip()
    text = re.sub(r' id="(?!\w*[0-9a-f]{10}")[^"]*"', "", text)  # names of groups, the same in every drawing
    text = re.sub(r"'DejaVu Sans'[^;\"]*", "inherit", text)
    for colour, own in _PAGE_COLOURS.items():
        text = text.replace(colour, own)
    return text.replace("<svg", f'<svg class="chart" role="img" aria-label="{escape(what)}"', 1)


def picture(address: str, what: str, width_px: int | None = None) -> str:
    """Show a picture; `what` is read aloud in its place."""
    width = f' width="{width_px}"' if width_px else ""
    return f'<img src="{address}"{width} alt="{escape(what)}">'


def table(columns: Sequence[str], rows: Sequence[Sequence[Any]], caption: str = "") -> Iterator[str]:
    """Yield a table; columns of numbers are aligned right, long texts wrap."""
    numeric = [
        all(isinstance(row[i], int | float | np.number) or row[i] is None for row in rows) for i in range(len(columns))
    ]
    digits = [_digits(row[i] for row in rows) if numeric[i] else 3 for i in range(len(columns))]
    written = [[cell(value, digit) for value, digit in zip(row, digits, strict=True)] for row in rows]
    # Letters across, when heads wrap and texts do beyond LONG.
    widths = [max(map(len, (*name.split(), *(row[i][:LONG] for row in written), ""))) for i, name in enumerate(columns)]
    broad = " broad" if sum(widths) + 3 * len(widths) > BROAD else ""
    yield f'<div class="wide{broad}"><table>' + (f"\n<caption>{escape(caption)}</caption>" if caption else "")
    heads = "".join(
        f'<th scope="col"{_look(n, "")}>{escape(name)}</th>' for name, n in zip(columns, numeric, strict=True)
    )
    yield f"<thead><tr>{heads}</tr></thead>\n<tbody>"
    for row in written:
        cells = "".join(f"<td{_look(n, text)}>{escape(text)}</td>" for text, n in zip(row, numeric, strict=True))
        yield f"<tr>{cells}</tr>"
    yield "</tbody>\n</table></div>"


def _look(numeric: bool, text: str) -> str:
    return ' class="n"' if numeric else ' class="long"' if len(text) > LONG else ""


def cell(value: Any, digits: int = 3) -> str:
    """Write a value: thousands apart, floats to some digits, – where it is missing."""
    if isinstance(value, np.generic):
        value = value.item()
    if value is None or value != value:  # NaN is not equal to itself
        return "–"
    if isinstance(value, int | float) and not isinstance(value, bool):
        if value in (math.inf, -math.inf):
            return "∞" if value > 0 else "-∞"
        return f"{value:,.{digits if isinstance(value, float) else 0}f}"
    return {True: "yes", False: "no"}[value] if isinstance(value, bool) else str(value)


def _digits(values: Iterable[Any]) -> int:
    """Digits after the point that suit a column: none for whole and for large numbers, three for shares."""
    known = [abs(float(v)) for v in values if v is not None and math.isfinite(v)]
    if any(v > 1 and v.is_integer() for v in known) and all(v.is_integer() for v in known):
        return 0
    return 3 if max(known, default=0) < 10 else 1 if max(known) < 1000 else 0


def column_words(name: str) -> str:
    """Turn the name of a column into words: ``hd95_m`` is "hd95 (m)"."""
    words = name.replace("_", " ")
    for unit in ("m", "ha", "px", "m2"):
        if words.endswith(f" {unit}"):
            words = f"{words.removesuffix(f' {unit}')} ({unit})"
    return re.sub(r"\biou\b", "IoU", re.sub(r"\bf1\b", "F1", re.sub(r"\bhd95\b", "HD95", words)))
