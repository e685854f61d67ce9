"""The tables of a report as CSV: one row a class, a distance bin, a parcel; undefined figures are empty cells."""

from __future__ import annotations

import csv
import math
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from cscl.legend import Legend

from .numbers import AccuracyReport, BoundaryReport, DistanceCurve, ParcelReport

__all__ = ["write_tables"]

_CLASS_COLUMNS = (
    *("subset", "id", "code", "name", "truth_px", "predicted_px", "no_prediction_px"),
    *("precision", "recall", "f1", "iou"),
)
_DISTANCE_COLUMNS = ("edge", "more_than_m", "up_to_m", "pixels", "right", "accuracy")
_PARCEL_COLUMNS = (
    *("parcel_id", "declared_id", "declared_code", "majority_id", "majority_code", "majority_share"),
    *("pixel_accuracy", "mean_confidence", "n_px", "n_px_predicted", "n_px_interior"),
)


def write_tables(
    accuracy: AccuracyReport, boundary: BoundaryReport, folder: Path, own_ids: Mapping[int, str] | None = None
) -> None:
    """Write confusion.csv, classes.csv, distance.csv and parcels.csv into a folder.

    With `own_ids` the last one has them in a column of its own, ``own_id``.
    """
    codes = [c.code for c in accuracy.legend.classes]
    confusion = ([code, *row] for code, row in zip(codes, accuracy.counts.tolist(), strict=True))
    _write_csv(folder / "confusion.csv", ("truth \\ prediction", *codes, "no prediction"), confusion)
    _write_csv(folder / "classes.csv", _CLASS_COLUMNS, _class_rows(accuracy, boundary))
    _write_csv(folder / "distance.csv", _DISTANCE_COLUMNS, _distance_rows(boundary.curves))
    parcels = _parcel_rows(boundary.parcels, accuracy.legend)
    if own_ids is None:
        _write_csv(folder / "parcels.csv", _PARCEL_COLUMNS, parcels)
    else:
        named = ((*row, own_ids.get(int(row[0]), "")) for row in parcels)
        _write_csv(folder / "parcels.csv", (*_PARCEL_COLUMNS, "own_id"), named)


def _write_csv(path: Path, columns: Iterable[str], rows: Iterable[Iterable[Any]]) -> None:
    with path.open("w", newline="", encoding="utf-8") as stream:
        writer = csv.writer(stream)
        writer.writerow(columns)
        writer.writerows([_cell(value) for value in row] for row in rows)


def _cell(value: Any) -> Any:
    """Six digits after the point; empty where undefined; inf stays."""
    if isinstance(value, float):
        return "" if math.isnan(value) else f"{value:.6f}".rstrip("0").rstrip(".")
    return value


def _class_rows(accuracy: AccuracyReport, boundary: BoundaryReport) -> Iterator[tuple[Any, ...]]:
    halves = [half for split in boundary.splits for half in (split.boundary, split.interior)]
    for part in (accuracy, *halves):
        yield from ((part.subset, *(getattr(score, name) for name in _CLASS_COLUMNS[1:])) for score in part.classes)


def _distance_rows(curves: Iterable[DistanceCurve]) -> Iterator[tuple[Any, ...]]:
    for curve in curves:
        for limits, *counts in zip(curve.bins, curve.pixels, curve.right, curve.accuracy, strict=True):
            yield curve.name, *limits, *counts


def _parcel_rows(parcels: ParcelReport | None, legend: Legend) -> Iterator[tuple[Any, ...]]:
    names = [(c.id, c.code) for c in legend.classes] + [("", "")]  # index -1, no majority, finds the last
    for p in zip(*vars(parcels).values(), strict=True) if parcels is not None else ():
        parcel_id, declared, majority, majority_px, right_px, predicted_px, px, interior_px, confidence = p
        shares = [float(n / predicted_px) if predicted_px else math.nan for n in (majority_px, right_px)]
        yield parcel_id, *names[declared], *names[majority], *shares, float(confidence), px, predicted_px, interior_px
