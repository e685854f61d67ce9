"""Numbers about a map: how accurate it is by class, by nearness to a boundary and by parcel; as text, JSON and CSV."""

from .numbers import AccuracyReport, BoundaryReport, BoundarySplit, ClassScore, DistanceCurve, ParcelReport
from .parts import Part, Value
from .report import Report

__all__ = [
    "AccuracyReport", "BoundaryReport", "BoundarySplit", "ClassScore", "DistanceCurve", "ParcelReport", "Part",
    "Report", "Value",
]  # fmt: skip
