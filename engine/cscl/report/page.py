"""The page of a report, in markdown: what each table counts, then the table."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from .numbers import FIGURES, PARCEL_FIGURES, AccuracyReport, BoundaryReport, DistanceCurve, ParcelReport
from .part_text import part_markdown
from .parts import Part

__all__ = ["markdown"]

ROWS = 15


def markdown(
    accuracy: AccuracyReport,
    boundary: BoundaryReport,
    facts: Mapping[str, Any],
    remarks: Iterable[str],
    further: Sequence[Part] = (),
) -> str:
    """Return the page of a report; the arguments are the fields of `cscl.report.Report`."""
    parts = [f"# Accuracy of {facts.get('prediction', 'the crop map')}"]
    parts.append(_table(("", ""), [(k, v) for k, v in facts.items() if v is not None and not isinstance(v, Mapping)]))
    parts.append("\n".join(f"- {remark}" for remark in (*remarks, *accuracy.remarks)))
    parts += [*_overall_part(accuracy), *_class_part(accuracy)]
    told = {part.key for part in further}
    if "split" not in told:
        parts += _boundary_part(boundary)
    for curve in boundary.curves if "distance" not in told else ():
        parts += _distance_part(curve)
    if boundary.parcels is not None:
        parts += _parcel_part(boundary.parcels)
    parts += [part_markdown(part, most=ROWS, level=2, files=part.files) for part in further]
    return "\n\n".join(part for part in parts if part) + "\n"


def _overall_part(accuracy: AccuracyReport) -> Iterator[str]:
    yield f"## Over {accuracy.subset}"
    yield "Accuracies run from 0 to 1, more is better; kappa is 0 for a map no better than chance. – is undefined."
    yield _table(("figure", "value"), [(text, getattr(accuracy, name)) for name, text in FIGURES.items()])


def _class_part(accuracy: AccuracyReport) -> Iterator[str]:
    yield "## Classes"
    yield (
        "Recall (producer's accuracy) is the share of a class in the labels that the map found; precision (user's "
        "accuracy) the share of the pixels mapped as a class that are of it. IoU and F1 weigh both."
    )
    columns = ("id", "name", "truth_px", "predicted_px", "precision", "recall", "f1", "iou")
    rows = [[getattr(score, name) for name in columns] for score in accuracy.classes]
    yield _table((*columns[:2], "pixels in labels", "pixels in map", *columns[4:6], "F1", "IoU", ""), [
        (*row, "no pixels" if score.absent else "") for row, score in zip(rows, accuracy.classes, strict=True)
    ])  # fmt: skip
    mistakes = _frequent_mistakes(accuracy, 5)
    if mistakes:
        yield "The most frequent mistakes; confusion.csv holds all."
        yield _table(("class in labels", "class in map", "pixels"), mistakes)


def _frequent_mistakes(accuracy: AccuracyReport, most: int) -> list[tuple[str, str, int]]:
    wrong = accuracy.counts[:, :-1].copy()
    np.fill_diagonal(wrong, 0)
    pairs = [divmod(int(i), len(wrong)) for i in np.argsort(-wrong, axis=None, kind="stable")[:most]]
    names = accuracy.legend.names
    return [(names[t], names[p], int(wrong[t, p])) for t, p in pairs if wrong[t, p]]


def _boundary_part(boundary: BoundaryReport) -> Iterator[str]:
    yield "## At boundaries and inside"
    yield (
        "Each pair of lines splits the same pixels into boundary and interior, by one definition of the boundary. The "
        "difference between the two says what the boundary costs."
    )
    rows = [
        (split.name, part, half.pixels, half.overall_accuracy, half.mean_iou)
        for split in boundary.splits
        for part, half in (("boundary", split.boundary), ("interior", split.interior))
    ]
    yield _table(("definition", "part", "pixels", "overall accuracy", "mean IoU"), rows)
    yield "\n".join(f"- **{split.name}**: {split.definition}" for split in boundary.splits)


def _distance_part(curve: DistanceCurve) -> Iterator[str]:
    yield f"## By distance to the nearest {curve.name}"
    yield curve.definition
    bins = [f"{low:g} to {high:g}" if math.isfinite(high) else f"more than {low:g}" for low, high in curve.bins]
    yield _table(("metres", "pixels", "accuracy"), zip(bins, curve.pixels, curve.accuracy, strict=True))


def _parcel_part(parcels: ParcelReport) -> Iterator[str]:
    yield "## Parcels"
    yield (
        f"{len(parcels)} parcels hold pixels that are to be judged; {int(parcels.judged.sum())} of them have a "
        "prediction. A parcel is right when its most frequent class on the map is the declared one; of two equally "
        "frequent classes the first in the legend counts. parcels.csv holds one row a parcel."
    )
    yield _table(("figure", "value"), [(text, getattr(parcels, name)) for name, text in PARCEL_FIGURES.items()])


def _table(header: Iterable[str], rows: Iterable[Iterable[Any]]) -> str:
    header = tuple(header)
    lines = [header, ("---",) * len(header), *([_shown(value) for value in row] for row in rows)]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _shown(value: Any) -> str:
    if isinstance(value, float):
        return "–" if math.isnan(value) else f"{value:.3f}"
    return str(value).replace("|", "\\|")
