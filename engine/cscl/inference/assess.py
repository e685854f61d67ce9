"""How good a map is: overall, at boundaries, by parcel. It is read block by block, so that memory stays flat."""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass, field
from typing import Any

import cscl
from cscl.events import Job, Note
from cscl.grid import Window, pixel_size_m
from cscl.metrics.tally import Tally
from cscl.parcels import Parcels
from cscl.products import LabelMap, Prediction
from cscl.report import Report

from .explore import ErrorAtlas, explored
from .judging import Judged
from .look import ExploreOptions, Look, Matched, in_words

__all__ = ["AssessOptions", "Assessment", "assess"]

TRIMAP_M = (10.0, 20.0, 30.0, 40.0, 50.0, 60.0)
NO_PARCELS = "The labels do not know their parcels: there is nothing on parcels and their edges."


@dataclass(frozen=True)
class AssessOptions(ExploreOptions):
    """How a map is assessed. Blocks change neither the figures nor, beyond their own size, the memory."""


@dataclass(frozen=True, eq=False)
class Assessment:
    """What an assessment found, twice: as figures to read, and as a map of errors to explore.

    Parameters
    ----------
    report : Report
        Figures and tables.
    atlas : ErrorAtlas
        Pixels, parcels and edges. Outside the window that was assessed its pixels are not judged.
    """

    report: Report
    atlas: ErrorAtlas = field(repr=False)


def assess(
    prediction: Prediction,
    labels: LabelMap,
    options: AssessOptions | None = None,
    *,
    judged: Judged | None = None,
    parcels: Parcels | None = None,
    window: Window | None = None,
) -> Job[Assessment]:
    """Compare a map with labels, overall, at boundaries, by distance to them and by parcel. Each block is read once.

    Classes are matched by id. Where the labels know a class that the model does not, its pixels count as wrong and the
    report says so. Known pixels without a prediction are counted apart. Edges are those of all labels, judged or not.

    Parameters
    ----------
    prediction : Prediction
        The map; read block by block.
    labels : LabelMap
        The truth, on the same grid. Without parcel ids the report has no part on parcels.
    options : AssessOptions, optional
        Reach of an edge, classes of distance, size of blocks.
    judged : Judged, optional
        From `cscl.inference.judging.held_out` or `everything`; by default all labelled pixels.
    parcels : Parcels, optional
        The polygons behind the labels: with them mixed pixels are known.
    window : Window, optional
        Compare these pixels only; edges are those of the whole label map, parcels are judged by their part inside.

    Raises
    ------
    GridError
        If the grids differ or count degrees.
    InputError
        If there is no known pixel in the window, or none of those to be judged has a prediction.
    """
    options, window = options or AssessOptions(), window or Window(0, 0, *labels.ids.shape)
    matched = yield from Matched.of(prediction, labels, options, judged, parcels, max(TRIMAP_M))

    limits = sorted({*options.distances_m, *TRIMAP_M})

    def count(look: Look) -> Tally:
        return Tally.of(
            look.truth_seen, look.guess, look.confidence, look.parcels_seen, inner=look.inner, classes=look.classes,
            pixel_size_m=look.pixel_size_m, limits_m=limits, judged_YX=look.judged, drawn_YX=look.drawn,
            class_edge_m=look.class_edge_m,
        )  # fmt: skip

    atlas, total = yield from explored(matched, window, "assessing", count)
    not_mapped = matched.common.not_mapped(total.overall)
    for remark in not_mapped:
        yield Note(remark, warning=True)
    remarks = (*matched.common.remarks, *not_mapped, *(() if total.parcels else (NO_PARCELS,)))
    boundary = total.boundary(atlas.legend, options.distances_m)
    report = Report(total.accuracy(atlas.legend), boundary, _facts(matched, window), remarks)
    return Assessment(report, atlas)


def _facts(matched: Matched, window: Window) -> dict[str, Any]:
    prediction, labels = matched.prediction, matched.labels
    height_m, width_m = pixel_size_m(labels.grid)
    crs = labels.grid.crs
    source: dict[str, Any] = {key: prediction.facts[key] for key in ("images", "model") if key in prediction.facts}
    return {
        "prediction": prediction.name,
        "labels": labels.name,
        **source,
        "window": in_words(window),
        "judged": f"pixels {matched.judged.words}",
        "pixel size": f"{height_m:g} m x {width_m:g} m",
        "coordinate reference system": f"EPSG:{crs.epsg}" if crs is not None and crs.epsg else str(crs),
        "assessed": dt.datetime.now(dt.UTC).isoformat(timespec="seconds"),
        "cscl": cscl.__version__,
    }
