"""Figures on a model card: of a report where there is one, else of the blocks that steered the training, called so."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import pairwise
from typing import Any

from cscl.card import ModelCard

__all__ = ["measured", "results", "table"]

_OVERALL = {
    "overall_accuracy": ("accuracy", "overall accuracy"), "mean_iou": ("mean_iou", "mean IoU"),
    "macro_f1": ("f1", "macro F1"), "kappa": ("kappa", "Cohen's kappa"),
}  # fmt: skip
_TOLD = ("prediction", "images", "labels", "window", "judged", "pixel size", "assessed")


def results(report: Mapping[str, Any]) -> dict[str, Any]:
    """Return the figures as front matter has them: task, data, metrics."""
    told, accuracy = report.get("facts", {}), report["accuracy"]
    known = [(kind, words, accuracy.get(key)) for key, (kind, words) in _OVERALL.items()]
    return {
        "task": {"type": "image-segmentation", "name": "crop mapping"},
        "dataset": {
            "name": f"{told.get('labels', 'unknown labels')} ({told.get('judged', 'judged pixels unknown')})",
            "type": "own-labels",
        },
        "metrics": [
            {"type": kind, "name": words, "value": round(float(value), 6)}
            for kind, words, value in known
            if value is not None
        ],
    }  # fmt: skip


def measured(card: ModelCard, report: Mapping[str, Any] | None) -> Iterator[str]:
    """Yield paragraphs and tables: what was measured, overall, by class, at boundaries and by distance to them."""
    if card.accuracy:
        rows = [(name.replace("_", ", ", 1), float(value)) for name, value in card.accuracy.items()]
        yield "On the blocks that chose the weights, which flatters:"
        yield table(("figure", "value"), rows)
    if report is None:
        yield (
            "Accuracy on pixels that it has never seen is unknown to this card. Measure it with `cscl assess`."
            if card.stage == "trained"
            else "It maps no crops, so it has no accuracy."
        )
        return
    told = report.get("facts", {})
    if told.get("model") not in (None, card.name):
        yield f"Mind that the report is of a map by a model called {told['model']}, not {card.name}."
    yield "Measured by `cscl assess`:\n\n" + "\n".join(f"- {key}: {told[key]}" for key in _TOLD if told.get(key))
    yield from (f"- {remark}" for remark in report.get("remarks", ()))
    accuracy = report["accuracy"]
    overall = [(words, accuracy.get(key)) for key, (_, words) in _OVERALL.items()]
    yield table(("figure", "value"), [*overall, ("pixels judged", accuracy.get("pixels"))])
    yield "### By class"
    columns = ("name", "truth_px", "predicted_px", "precision", "recall", "f1", "iou")
    heads = ("class", "pixels in labels", "pixels on map", "user's accuracy", "producer's accuracy", "F1", "IoU")
    scores = [[score.get(column) for column in columns] for score in accuracy["classes"]]
    yield table(heads, [row for row in scores if row[1] or row[2]])
    yield from _boundaries(report.get("boundary", {}))


def _boundaries(boundary: Mapping[str, Any]) -> Iterator[str]:
    yield "### At boundaries and inside"
    halves = [
        (split["name"], part, half.get("pixels"), half.get("overall_accuracy"), half.get("mean_iou"))
        for split in boundary.get("splits", ())
        for part, half in (("boundary", split["boundary"]), ("interior", split["interior"]))
    ]
    heads = ("boundary is", "part", "pixels", "overall accuracy", "mean IoU")
    yield table(heads, halves) if halves else "Not measured."
    for curve in boundary.get("curves", ()):
        if any(curve["pixels"]):
            yield f"By distance to the nearest {curve['name']}:"
            ends = [0.0, *(math.inf if end is None else end for end in curve["limits_m"])]
            pairs = pairwise(ends)
            bins = [f"{low:g} to {high:g} m" if high < math.inf else f"more than {low:g} m" for low, high in pairs]
            yield table(("distance", "pixels", "accuracy"), zip(bins, curve["pixels"], curve["accuracy"], strict=True))


def table(columns: Sequence[str], rows: Iterable[Sequence[Any]]) -> str:
    """Write a table in markdown: shares to three digits, thousands apart, – where a figure is not defined."""
    lines = [columns, ["---"] * len(columns), *([_cell(value) for value in row] for row in rows)]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _cell(value: Any) -> str:
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return "–"
    if isinstance(value, float):
        return f"{value:.3f}"
    if isinstance(value, int):
        return f"{value:,}"
    return " ".join(str(value).split()).replace("\\", "\\\\").replace("|", "\\|").replace("<", "&lt;")
