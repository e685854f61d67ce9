"""Worst cases as parts of a page: a map that says where they lie, and a card of pictures for each."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from html import escape

import numpy as np
from matplotlib.colors import to_rgb

from cscl.legend import CropClass
from cscl.report.kinds import Kind

from .cases import Atlas, Case
from .markup import picture, png
from .paper import MISSING
from .windows import Pane

__all__ = ["case_list", "overview"]

OVERVIEW_PX = 800

_WORDS = {
    "image": "Image of {name}", "season": "Image of {name}", "truth": "Crops in the labels", "map": "Crops in the map",
    "errors": "Right and wrong pixels by kind of error",
}  # fmt: skip


def overview(atlas: Atlas, parcels: Sequence[Case], edges: Sequence[Case]) -> Iterator[str]:
    """Yield the whole map of errors, with numbers that lead to the cases: parcels as circles, edges as squares."""
    height, width = atlas.kinds_YX.shape
    step = max(1, -(-max(height, width) // OVERVIEW_PX))
    palette = np.round(np.array([to_rgb(kind.colour) for kind in Kind]) * 255).astype(np.uint8)
    what = "Map of right and wrong pixels by kind of error"
    thinned = f" Every {step}th pixel is shown." if step > 1 else ""
    yield '<figure class="overview">\n<div class="view">'
    yield picture(png(palette[atlas.kinds_YX[::step, ::step]]), what)
    yield f'<svg viewBox="0 0 {width} {height}" role="group" aria-label="Worst cases on the map">'
    for number, case in [*enumerate(edges, 1), *enumerate(parcels, 1)][::-1]:
        yield _mark(case, number, (height, width))
    yield "</svg></div>"
    yield f"<figcaption>{what}. Circles are the worst {escape(atlas.unit)}s, squares the worst edges.{thinned}"
    yield "</figcaption>\n</figure>"


def _mark(case: Case, number: int, shape: tuple[int, int]) -> str:
    """Draw the number of a case beside its place, so that the map stays seen: of parcels above, of edges below."""
    (y, x), edge, size = case.centre, case.key.startswith("edge"), max(shape) / 62
    away = size if edge else -size
    at_x, at_y = (min(max(at + 1.4 * away, size), end - size) for at, end in ((x, shape[1]), (y, shape[0])))
    line = f'<path d="M{x:.1f} {y:.1f}L{at_x:.1f} {at_y:.1f}"/>'
    drawn = (
        f'<rect x="{at_x - size:.1f}" y="{at_y - size:.1f}" width="{2 * size:.1f}" height="{2 * size:.1f}"/>'
        if edge
        else f'<circle cx="{at_x:.1f}" cy="{at_y:.1f}" r="{1.1 * size:.1f}"/>'
    )
    text = f'<text x="{at_x:.1f}" y="{at_y + 0.42 * size:.1f}" font-size="{1.25 * size:.1f}">{number}</text>'
    return f'<a href="#{case.key}"><title>{escape(case.title)}</title>{line}{drawn}{text}</a>'


def case_list(cases: Sequence[Case]) -> Iterator[str]:
    """Yield a card for each case."""
    yield '<div class="cases">'
    for number, case in enumerate(cases, 1):
        yield from _card(number, case)
    yield "</div>"


def _card(number: int, case: Case) -> Iterator[str]:
    seen = case.window
    yield f'<article class="case" id="{case.key}">\n<header><h3><span class="number">{number}</span> '
    yield f'{escape(case.title)}</h3><button type="button" hidden>Enlarge</button></header>'
    yield f"<p>{escape(' · '.join(case.facts))}</p>"
    yield f'<svg class="defs" aria-hidden="true"><defs><g id="o-{case.key}" class="outlines">'
    yield f'<path class="all" d="{case.outlines}"/><path class="this" d="{case.marked}"/></g></defs></svg>'
    yield f'<div class="panes" style="--aspect:{seen.width}/{seen.height}" data-row="{seen.row}" data-col="{seen.col}">'
    for pane in case.panes:
        yield _pane(case, pane)
    yield "</div>"
    yield '<ul class="legend">' + "".join(_entry(crop) for crop in case.crops)
    yield f'<li><i style="background:{MISSING}" data-name="unknown" data-of="crops"></i>unknown or missing</li></ul>'
    yield f'<p class="soft">{escape(" · ".join(case.place))}</p>\n</article>'


def _pane(case: Case, pane: Pane) -> str:
    words = f"{_WORDS[pane.kind].format(name=f'{pane.name} ({pane.second})')}, {case.title}"
    lines = f'<svg viewBox="0 0 {case.window.width} {case.window.height}" aria-hidden="true">'
    lines += f'<use href="#o-{case.key}"/></svg>'
    view = f'<div class="view"><div class="layer">{picture(png(pane.colours_YXC), words)}{lines}</div></div>'
    caption = f"<figcaption>{escape(pane.name)} <span>{escape(pane.second)}</span></figcaption>"
    return f'<figure class="pane {pane.kind}">{view}{caption}</figure>'


def _entry(crop: CropClass) -> str:
    swatch = f'<i style="background:{crop.colour}" data-name="{escape(crop.name)}" data-of="crops"></i>'
    return f"<li>{swatch}{escape(crop.name)}</li>"
