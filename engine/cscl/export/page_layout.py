"""How a map, its legend and its words share a sheet of paper: the arrangement that leaves the map the most room."""

from __future__ import annotations

import math
import textwrap
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache

from matplotlib import font_manager
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.font_manager import FontProperties

__all__ = [
    "FOOT_IN", "HEAD_IN", "MARGIN_IN", "ROW_IN", "SMALL_PT", "UNDER_IN", "Box", "Layout", "best_layout", "fitted",
    "letters", "width_of", "wrapped",
]  # fmt: skip

A4_IN = (8.27, 11.69)
MARGIN_IN, HEAD_IN, FOOT_IN, UNDER_IN, GAP_IN = 0.5, 0.5, 0.85, 0.55, 0.25
ROW_IN, SMALL_PT = 0.165, 7.0
COLUMN_IN, INTERVAL_IN, LEAST_MAP_IN = 2.55, 1.05, 3.0
# Of writings that the first font lacks, where the machine has them.
FURTHER = ("Noto Sans CJK SC", "Noto Sans CJK JP", "WenQuanYi Zen Hei", "PingFang SC", "Microsoft YaHei", "Noto Sans")


@dataclass(frozen=True)
class Box:
    """A rectangle on the sheet: left, bottom, width and height, in inches from its lower left corner."""

    left: float
    bottom: float
    width: float
    height: float


@dataclass(frozen=True)
class Layout:
    """A sheet: width and height in inches, the box for the map, and the columns and rows that the legend may have."""

    sheet: tuple[float, float]
    map: Box
    columns: int
    rows: int
    beside: bool

    def room(self, aspect: float) -> Box:
        """Where a picture lies in the map's box, whose height is `aspect` times its width: at its upper left."""
        width = min(self.map.width, self.map.height / aspect)
        return Box(self.map.left, self.map.bottom + self.map.height - width * aspect, width, width * aspect)

    def legend(self, room: Box) -> Box:
        """Where the legend lies, beside a picture or below it."""
        left, top = MARGIN_IN, room.bottom - UNDER_IN - GAP_IN
        if self.beside:
            left, top = room.left + room.width + GAP_IN, room.bottom + room.height
        bottom = MARGIN_IN + FOOT_IN
        return Box(left, bottom, self.sheet[0] - MARGIN_IN - left, top - bottom)


def best_layout(aspect: float, entries: int, *, intervals: bool) -> Layout:
    """Choose the arrangement for a map whose height is `aspect` times its width, and so many rows of a legend."""

    def worth(layout: Layout) -> float:
        room = layout.room(aspect)
        return room.width * room.height * min(1.0, layout.columns * layout.rows / entries)

    return max(_layouts(entries, COLUMN_IN + (INTERVAL_IN if intervals else 0)), key=worth)


def _layouts(entries: int, column_in: float) -> Iterator[Layout]:
    for wide, high in (A4_IN, A4_IN[::-1]):
        across, up = wide - 2 * MARGIN_IN, high - 2 * MARGIN_IN - HEAD_IN - FOOT_IN
        bottom = MARGIN_IN + FOOT_IN
        for columns in (1, 2):
            left = across - columns * column_in - GAP_IN
            if left > LEAST_MAP_IN:
                place = Box(MARGIN_IN, bottom + UNDER_IN, left, up - UNDER_IN)
                yield Layout((wide, high), place, columns, int(up / ROW_IN) - 1, True)
        columns = int(across / column_in)
        for share in (0.2, 0.3, 0.45, 0.6):
            rows = min(math.ceil(entries / columns), int(share * up / ROW_IN) - 1)
            taken = (rows + 1) * ROW_IN + GAP_IN + UNDER_IN
            yield Layout((wide, high), Box(MARGIN_IN, bottom + taken, across, up - taken), columns, rows, False)


@cache
def letters(size_pt: float, *, bold: bool = False) -> FontProperties:
    """Font of a size, with fonts for other writings behind it."""
    known = set(font_manager.get_font_names())
    families = ["DejaVu Sans", *(name for name in FURTHER if name in known)]
    return FontProperties(family=families, size=size_pt, weight="bold" if bold else "normal")


def fitted(figure: Figure, text: str, width_in: float, size_pt: float = SMALL_PT, *, bold: bool = False) -> str:
    """Cut a text in its middle so that it is no wider than this. Dollars are no formulas."""
    text = " ".join(text.split())
    if width_of(figure, text, size_pt, bold=bold) > width_in:
        low, high = 0, len(text) - 1
        while low < high:
            kept = (low + high + 1) // 2
            fits = width_of(figure, _shortened(text, kept), size_pt, bold=bold) <= width_in
            low, high = (kept, high) if fits else (low, kept - 1)
        text = _shortened(text, low)
    return text.replace("$", r"\$")


def _shortened(text: str, kept: int) -> str:
    """Keep so many letters, two of three from the beginning."""
    head = -(-2 * kept // 3)
    return f"{text[:head].rstrip()}…{text[len(text) - kept + head :].lstrip()}"


def wrapped(figure: Figure, text: str, width_in: float, most: int) -> str:
    """Break a text into at most so many lines of this width."""
    mean_in = width_of(figure, text, SMALL_PT) / max(1, len(text))
    lines = textwrap.wrap(text, max(20, int(width_in / mean_in * 0.97)))
    if len(lines) > most:
        lines = [*lines[: most - 1], " ".join(lines[most - 1 :])]
    return "\n".join(fitted(figure, line, width_in) for line in lines)


def width_of(figure: Figure, text: str, size_pt: float = SMALL_PT, *, bold: bool = False) -> float:
    """Width of a line of text, inches."""
    canvas = figure.canvas
    assert isinstance(canvas, FigureCanvasAgg)
    renderer = canvas.get_renderer()  # type: ignore[no-untyped-call]
    wide, _, _ = renderer.get_text_width_height_descent(text, letters(size_pt, bold=bold), ismath=False)
    return float(wide) / figure.dpi
