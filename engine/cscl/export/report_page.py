"""The page of an assessment: one file with plots, tables and the worst cases as pictures that can be enlarged."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from html import escape
from pathlib import Path
from typing import Any

import numpy as np

from cscl.cube import SITSCube
from cscl.events import Job, Progress
from cscl.products import Prediction
from cscl.report import AccuracyReport, Part, Report
from cscl.report.kinds import WRONG, Kind
from cscl.report.part_text import in_words

from .case_markup import case_list, overview
from .cases import Atlas, Case, worst_cases
from .draft import draft, refuse
from .markup import cell, column_words, document, paragraphs, table
from .page import shown
from .part_charts import part_charts
from .report_figures import distance_figures

__all__ = ["write_report_page"]

CASES, ROWS = 12, 20
OWN_SECTIONS = 7
NUMBERS = ("id", "a", "b", "parcel_id")  # of parcels: names rather than amounts
NO_IMAGES = "Without the images of the season, the cases show the labels, the map and its errors only."
ZOOM = (
    "Click a picture, or its button, to enlarge it: the wheel or + and - zoom, dragging or the arrow keys with Shift "
    "move all pictures of the case together, and the left and right arrow keys go to the next case."
)


def write_report_page(
    path: str | Path,
    report: Report,
    atlas: Atlas,
    prediction: Prediction,
    cube: SITSCube | None = None,
    *,
    overwrite: bool = False,
    cases: int = CASES,
) -> Job[Path]:
    """Write a report as one HTML file that holds all it shows and asks for nothing from elsewhere.

    It can be read without JavaScript and printed; only enlarging the worst cases needs a script, which is in the file.

    Parameters
    ----------
    path : path
        The file.
    report : Report
        Figures and tables, all parts included.
    atlas : Atlas
        Errors of the same map, such as `cscl.inference.explore.ErrorAtlas`.
    prediction : Prediction
        The map.
    cube : SITSCube, optional
        The images. Only windows around the worst cases are read.
    overwrite : bool
        Replace a former page.
    cases : int
        How many of the worst parcels, and how many of the worst edges are shown.

    Raises
    ------
    OutputError
        If the file exists and `overwrite` is not set, or it cannot be written. Nothing half-written stays.
    GridError
        If the images lie on another grid.
    """
    path = Path(path)
    refuse(path, overwrite=overwrite)
    parcels, edges = yield from worst_cases(atlas, cube, cases)
    sections: list[tuple[str, str, list[str]]] = []
    total = len(report.parts) + OWN_SECTIONS
    for section in _sections(report, atlas, parcels, edges, cube is not None):
        yield Progress("writing the page", len(sections), total, "section")
        sections.append(section)
    title = f"Accuracy of {report.facts.get('prediction', prediction.name)}"
    body = [*_head(title, report, atlas), *_contents(sections), "<main>"]
    for key, heading, lines in sections:
        body += [f'<section id="{key}">\n<h2>{escape(heading)}</h2>', *lines, "</section>"]
    body.append("</main>")
    with draft(path.parent, path.name) as folder:
        text = "\n".join(document(title, body, "report.css", script="zoom.js"))
        (folder / path.name).write_text(text + "\n", encoding="utf-8")
    yield Progress("writing the page", total, total, "section")
    return path


Sections = Sequence[tuple[str, str, list[str]]]


def _sections(
    report: Report, atlas: Atlas, parcels: list[Case], edges: list[Case], images: bool
) -> Iterator[tuple[str, str, list[str]]]:
    unit = atlas.unit
    yield (
        "where",
        "Where the map is wrong",
        ['<div class="two">', *overview(atlas, parcels, edges), "<div>", *_kinds(atlas), "</div></div>"],
    )
    charts = [line for figure in distance_figures(report, atlas.curve) for line in shown(figure)]
    yield "distance", "Accuracy by distance to the edge", charts
    note = (
        []
        if not parcels + edges
        else [f'<p class="help">{escape(ZOOM)}</p>', *(() if images else paragraphs(NO_IMAGES))]
    )
    yield "worst-parcels", f"Worst {unit}s", [*_worst(parcels, f"{unit}s", atlas), *note, *case_list(parcels)]
    yield "worst-edges", "Worst edges", [*_worst(edges, "edges", atlas), *case_list(edges)]
    yield "classes", "Classes", list(_classes(report))
    yield "confusion", "Which crops are taken for which", list(_confusion(report.accuracy))
    for part in report.parts:
        yield f"part-{part.key}", part.title, list(_part(part))
    yield "facts", "What was compared", list(_facts(report))


# --- the head ----------------------------------------------------------------------------------------------------


def _head(title: str, report: Report, atlas: Atlas) -> Iterator[str]:
    facts = report.facts
    yield f'<header>\n<h1>{escape(title)}</h1>\n<p class="summary">{escape(atlas.summary())}</p>'
    said = [f"Compared with {facts['labels']}" if "labels" in facts else "", str(facts.get("window", ""))]
    said += [
        str(facts.get("assessed", ""))[:10],
        "" if not report.accuracy.subset else f"over {report.accuracy.subset}",
    ]
    yield f'<p class="soft">{escape(" · ".join(text for text in said if text))}</p>'
    yield '<ul class="key">'
    for value, words, below in _key_figures(report, atlas):
        yield f"<li><b>{escape(value)}</b><span>{escape(words)}</span><small>{escape(below)}</small></li>"
    yield "</ul>"
    remarks = list(dict.fromkeys((*report.remarks, *report.accuracy.remarks, *atlas.remarks)))
    if remarks:
        yield '<ul class="remarks">' + "".join(f"<li>{escape(text)}</li>" for text in remarks) + "</ul>"
    yield "</header>"


def _key_figures(report: Report, atlas: Atlas) -> Iterator[tuple[str, str, str]]:
    near, right = atlas.near
    reach = f"{atlas.options.reach_m:g} m"
    pixels, all_right = int(atlas.curve["pixels"].sum()), int(atlas.curve["right"].sum())
    whole, edge, inside = _intervals(report, atlas.options.reach_m)
    shares = [
        (report.accuracy.overall_accuracy, "of pixels right", f"{cell(report.accuracy.pixels)} pixels{whole}"),
        (_ratio(right, near), f"right within {reach} of a class edge", f"{cell(near)} pixels{edge}"),
        (_ratio(all_right - right, pixels - near), "right further inside", f"{cell(pixels - near)} pixels{inside}"),
    ]
    if report.boundary.parcels is not None:
        judged = int(report.boundary.parcels.judged.sum())
        shares.append((report.boundary.parcels.share_right, "of parcels with the right majority crop",
                       f"{cell(judged)} parcels"))  # fmt: skip
    for share, words, below in shares:
        yield "–" if math.isnan(share) else f"{share:.1%}", words, below
    yield cell(report.accuracy.mean_iou), "mean IoU of the classes", "0 to 1, more is better"


def _intervals(report: Report, reach_m: float) -> tuple[str, str, str]:
    """Intervals of accuracy over all, within reach of a class edge and beyond, in words, where the parts have them."""
    parts = {part.key: part for part in report.parts}
    found = {"all": (math.nan, math.nan), "boundary": (math.nan, math.nan), "interior": (math.nan, math.nan)}
    if "distance" in parts:
        found["all"] = next((v.low, v.high) for v in parts["distance"].values if v.key == "accuracy")
    if "split" in parts:
        rows = parts["split"].tables["split"]
        rows = rows[rows["definition"] == f"within {reach_m:g} m"]
        found |= {part: (low, high) for part, low, high in zip(rows["part"], rows["low"], rows["high"], strict=True)}
    whole, edge, inside = (
        "" if math.isnan(low) else f"; 95 % interval {low:.1%} to {high:.1%}" for low, high in found.values()
    )
    return whole, edge, inside


def _ratio(part: int, whole: int) -> float:
    return part / whole if whole else math.nan


def _contents(sections: Sections) -> Iterator[str]:
    yield '<nav aria-label="Contents"><h2>Contents</h2>\n<ol>'
    yield from (f'<li><a href="#{key}">{escape(heading)}</a></li>' for key, heading, _ in sections)
    yield "</ol></nav>"


# --- sections ----------------------------------------------------------------------------------------------------


def _kinds(atlas: Atlas) -> Iterator[str]:
    counts = {kind: int(atlas.curve[kind.name.lower()].sum()) for kind in WRONG}
    wrong = max(1, sum(counts.values()))
    yield '<dl class="kinds">'
    for kind in (*WRONG, Kind.RIGHT, Kind.NONE):
        share = f": {cell(counts[kind])} px, {counts[kind] / wrong:.0%} of what is wrong" if kind in counts else ""
        swatch = f'<i style="background:{kind.colour}" data-name="{escape(kind.title)}" data-of="errors"></i>'
        yield f"<dt>{swatch}{escape(kind.title + share)}</dt><dd>{escape(kind.meaning)}</dd>"
    yield "</dl>"
    yield from paragraphs(
        f"Within reach means within {atlas.options.reach_m:g} m of the nearest class edge, which is the edge between "
        "two known classes; unknown land and the scene's border make no edge."
    )


def _worst(cases: list[Case], what: str, atlas: Atlas) -> Iterator[str]:
    total = int((getattr(atlas, "edges" if what == "edges" else "parcels")["wrong"] > 0).sum())
    if not cases:
        yield f"<p>No {escape(what)} with a wrong pixel.</p>"
    else:
        yield f"<p>The {len(cases)} of {cell(total)} {escape(what)} with wrong pixels that have most of them.</p>"


def _classes(report: Report) -> Iterator[str]:
    yield from paragraphs(
        "Recall (producer's accuracy) is the share of a class in the labels that the map found; precision (user's "
        "accuracy) the share of the pixels mapped as a class that are of it. IoU and F1 weigh both. "
        + "".join(f"{split.name.capitalize()}: {split.definition} " for split in report.boundary.splits[:1])
    )
    halves = [half for split in report.boundary.splits[:1] for half in (split.boundary, split.interior)]
    columns = ["class", "pixels in labels", "pixels in map", "precision", "recall", "F1", "IoU"]
    columns += ["IoU at the boundary", "IoU inside"] if halves else []
    rows = []
    for number, score in enumerate(report.accuracy.classes):
        if not score.absent:
            known = [score.name, score.truth_px, score.predicted_px, score.precision, score.recall, score.f1, score.iou]
            rows.append([*known, *(half.classes[number].iou for half in halves)])
    yield from table(columns, rows)
    absent = [score.name for score in report.accuracy.classes if score.absent]
    if absent:
        yield from paragraphs(f"Neither in the labels nor in the map: {', '.join(absent)}.")


def _confusion(accuracy: AccuracyReport) -> Iterator[str]:
    counts, k = accuracy.counts, len(accuracy.legend)
    here = np.flatnonzero(counts.sum(1) + counts[:, :k].sum(0))
    names, none = accuracy.legend.names, bool(counts[:, k].any())
    columns = [*here, k] if none else list(here)
    heads = [names[i] if i < k else "no prediction" for i in columns]
    yield "<p>Rows are the labels, columns the map, in percent of the row; empty cells are under half a percent.</p>"
    yield '<div class="wide"><table class="confusion"><thead><tr><th scope="col">labels \\ map</th>'
    yield "".join(f'<th scope="col"><span>{escape(name)}</span></th>' for name in heads)
    yield '<th scope="col" class="n"><span>pixels</span></th></tr></thead><tbody>'
    for i in here:
        total = int(counts[i].sum())
        cells = "".join(_share(int(counts[i, j]), total, i == j) for j in columns)
        yield f'<tr><th scope="row">{escape(names[i])}</th>{cells}<td class="n">{cell(total)}</td></tr>'
    yield "</tbody></table></div>"


def _share(count: int, total: int, same: bool) -> str:
    share = count / total if total else 0.0
    if share < 0.005:
        return "<td></td>"
    rgb, light = ("0,114,178", share > 0.6) if same else ("213,94,0", share > 0.6)
    look = f"background:rgba({rgb},{0.12 + 0.88 * share:.2f})" + (";color:#fff" if light else "")
    return f'<td style="{look}" title="{count} px">{100 * share:.0f}</td>'


def _part(part: Part) -> Iterator[str]:
    yield from paragraphs(part.definition)
    yield from (line for remark in part.remarks for line in paragraphs(remark))
    yield '<div class="flow">'
    if part.values:
        yield from table(("figure", "value"), [(value.words, in_words(value)) for value in part.values])
    for figure in part_charts(part):
        yield from shown(figure)
    for name, rows in part.tables.items():
        file = part.files[name]
        more = f"the first {ROWS} of {cell(len(rows))} rows, all are in {file}" if len(rows) > ROWS else f"also {file}"
        columns = [column_words(str(column)) for column in rows.columns]
        first = rows.head(ROWS)
        first = first.assign(**{name: first[name].astype(str) for name in first if name in NUMBERS})
        shown_rows = list(first.itertuples(index=False, name=None))
        yield from table(columns, shown_rows, f"{name.replace('_', ' ').capitalize()} ({more})")
    yield "</div>"


def _facts(report: Report) -> Iterator[str]:
    known = [(name, str(value)) for name, value in _flat(report.facts)]
    yield from table(("", ""), known)
    for split in report.boundary.splits:
        yield from paragraphs(f"{split.name}: {split.definition}")


def _flat(facts: Mapping[str, Any]) -> Iterable[tuple[str, Any]]:
    return ((name, value) for name, value in facts.items() if value is not None and not isinstance(value, Mapping))
