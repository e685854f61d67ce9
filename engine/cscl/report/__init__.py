"""Numbers about a map: how accurate it is by class, by nearness to a boundary and by parcel; as text, JSON and CSV."""

from .numbers import AccuracyReport, BoundaryReport, BoundarySplit, ClassScore, DistanceCurve, ParcelReport
from .report import Report

__all__ = [
    "AccuracyReport", "BoundaryReport", "BoundarySplit", "ClassScore", "DistanceCurve", "ParcelReport", "Report",
]  # fmt: skip
