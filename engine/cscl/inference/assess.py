"""How good a map is: overall, at boundaries, by parcel. It is read block by block, so that memory stays flat."""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass, field, fields, replace
from functools import reduce
from operator import add
from typing import Annotated, Any

import numpy as np

import cscl
from cscl.events import Job, Note, Progress
from cscl.grid import Window, pixel_size_m
from cscl.legend import Legend
from cscl.metrics.boundary_iou import BoundaryIoUTally
from cscl.metrics.coverage import own_coverage
from cscl.metrics.full import full_margin_px, full_parts
from cscl.metrics.map_parts import atlas_parts, boundary_iou_part, kinds_part, tally_parts
from cscl.metrics.purity import purity_part, purity_tally
from cscl.metrics.stored import SAMPLE_PX, StoredTally, calibration_part
from cscl.metrics.strata import StrataTally, unit_sizes
from cscl.metrics.tally import Tally
from cscl.metrics.vector_curve import vector_curve, vector_part
from cscl.parcels import Parcels
from cscl.products import LabelMap, Prediction
from cscl.report import Part, Report
from cscl.report.kinds import Kind

from .explore import ErrorAtlas, explored
from .judging import Judged
from .look import ExploreOptions, Look, Matched, in_words
from .outlines import outlines

__all__ = ["AssessOptions", "Assessment", "assess"]

TRIMAP_M = (10.0, 20.0, 30.0, 40.0, 50.0, 60.0)
BANDS_M = (10.0, 20.0, 30.0)
NO_PARCELS = "The labels do not know their parcels: there is nothing on parcels and their edges."


@dataclass(frozen=True)
class AssessOptions(ExploreOptions):
    """How a map is assessed. Blocks change neither the figures nor, beyond their own size, the memory."""

    full: Annotated[
        bool,
        {"tooltip": "Also distances between edges, tolerance, segments, objects, mixed pixels: slower"},
    ] = False


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
        The polygons behind the labels: with them mixed pixels and the vector edge are known.
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
    matched = yield from Matched.of(prediction, labels, options, judged, parcels, max(*TRIMAP_M, *BANDS_M))

    every_px = max(1, matched.judged_px(window) // SAMPLE_PX)
    atlas, total = yield from explored(matched, window, "assessing", lambda look: _Counts.of(look, matched, every_px))
    yield Progress("drawing parcels for intervals", 0, 1, "set of draws")
    not_mapped = matched.common.not_mapped(total.pixels.overall)
    for remark in not_mapped:
        yield Note(remark, warning=True)
    remarks = (*matched.common.remarks, *not_mapped, *(() if total.pixels.parcels else (NO_PARCELS,)))
    parts = total.parts(atlas, prediction.legend, window)
    if options.full:
        parts = (*parts, *(yield from _full(atlas, matched, window)))
        if parcels is not None:
            parts = (*parts, (yield from _purity(atlas, matched, parcels, window)))
    accuracy, boundary = total.pixels.accuracy(atlas.legend), total.pixels.boundary(atlas.legend, options.distances_m)
    if atlas.vector:
        boundary = replace(boundary, curves=(*boundary.curves, vector_curve(atlas.vector)))
        parts = (*parts, vector_part(atlas.vector))
    return Assessment(Report(accuracy, boundary, _facts(matched, window), remarks, parts, matched.own_ids), atlas)


@dataclass(frozen=True, eq=False)
class _Counts:
    """All that a report counts of a block."""

    pixels: Tally
    bands: BoundaryIoUTally
    published_bands: BoundaryIoUTally
    stored: StoredTally
    strata: StrataTally

    @classmethod
    def of(cls, look: Look, matched: Matched, every_px: int) -> _Counts:
        size: dict[str, Any] = {"classes": look.classes, "inner": look.inner}
        limits = sorted({*matched.options.distances_m, *TRIMAP_M})
        pixels = Tally.of(
            look.truth_seen, look.guess, look.confidence, look.parcels_seen, **size, pixel_size_m=look.pixel_size_m,
            limits_m=limits, judged_YX=look.judged, drawn_YX=look.drawn,
            parcel_ids=look.unit_ids, class_edge_m=look.class_edge_m,
        )  # fmt: skip
        maps, counted = (look.truth_seen, look.guess_seen), look.judged
        widths = [width for width in BANDS_M if width >= min(look.pixel_size_m) / 2] or [max(look.pixel_size_m)]
        bands = BoundaryIoUTally.of(
            *maps, **size, pixel_size_m=look.pixel_size_m, widths_m=widths, counted_YX=counted,
            truth_edge_m=look.class_edge_m,
        )  # fmt: skip
        published = BoundaryIoUTally.published(*maps, **size, width_px=1, counted_YX=counted)
        right, judged = look.truth == look.guess, look.judged & (look.guess >= 0)
        stored = StoredTally.of(
            look.confidence, right, judged, matched.probabilities(look.block), matched.mapped_truth(look.truth),
            look.corner, every_px,
        )  # fmt: skip
        strata = StrataTally.of(
            look, look.classes, len(matched.options.distances_m) + 1, truth_seen=look.truth_seen,
            units_seen=look.units_seen,
        )  # fmt: skip
        return cls(pixels, bands, published, stored, strata)

    def __add__(self, other: _Counts) -> _Counts:
        return _Counts(*(getattr(self, f.name) + getattr(other, f.name) for f in fields(self)))

    def parts(self, atlas: ErrorAtlas, mapped: Legend, window: Window) -> tuple[Part, ...]:
        distance, trimap, split = tally_parts(self.pixels, atlas.options.distances_m, TRIMAP_M)
        size_m, limits_m = pixel_size_m(atlas.grid), atlas.options.distances_m
        sizes = None if window == Window(0, 0, *atlas.labels.ids.shape) else unit_sizes(atlas.units_YX)
        strata = self.strata.part(atlas.legend, limits_m, size_m[0] * size_m[1], unit=atlas.unit, sizes=sizes)
        bands = boundary_iou_part(self.bands.result(), self.published_bands.result(), atlas.legend)
        return (
            kinds_part(atlas.curve, atlas.options.reach_m), distance, strata, split, trimap, bands,
            calibration_part(self.stored, mapped), *atlas_parts(atlas.parcels, atlas.edges, atlas.pairs, atlas.unit),
        )  # fmt: skip


def _full(atlas: ErrorAtlas, matched: Matched, window: Window) -> Job[tuple[Part, ...]]:
    """Measure what needs more than a block: of a window, edges are seen as far around it as they reach."""
    labels, size_m = matched.labels, matched.pixel_size_m
    seen = window.grown(full_margin_px(size_m), labels.ids.shape)
    judged = np.zeros((seen.height, seen.width), bool)
    inner = window.within(seen).slices
    judged[inner] = atlas.judged.of(window)
    truth, parcels = labels.legend.to_index(labels.ids[seen.slices]), labels.parcel_ids
    return (
        yield from full_parts(
            truth, atlas.guess_YX[seen.slices], None if parcels is None else parcels[seen.slices],
            legend=atlas.legend, pixel_size_m=size_m, judged_YX=None if judged.all() else judged,
        )
    )  # fmt: skip


def _purity(atlas: ErrorAtlas, matched: Matched, parcels: Parcels, window: Window) -> Job[Part]:
    """Measure pure and mixed pixels strip by strip: each strip looks at all outlines."""
    segments, parcel, index = outlines(parcels, matched.labels)
    limits_m, counts = atlas.options.distances_m, []
    for top in range(window.row, window.row + window.height, atlas.options.block_px):
        height = min(atlas.options.block_px, window.row + window.height - top)
        strip = Window(top, window.col, height, window.width)
        kinds = atlas.kinds_YX[strip.slices]
        judged, truth = kinds > 0, matched.labels.legend.to_index(matched.labels.ids[strip.slices])
        coverage = own_coverage(segments, parcel, index, truth, (strip.row, strip.col))
        counts.append(
            purity_tally(
                coverage[judged], atlas.bins_YX[strip.slices][judged], kinds[judged] == Kind.RIGHT,
                matched.drawn(strip)[judged], len(limits_m) + 1,
            )
        )  # fmt: skip
        yield Progress("measuring mixed pixels", strip.row + strip.height - window.row, window.height, "row")
    return purity_part(reduce(add, counts), limits_m)


def _facts(matched: Matched, window: Window) -> dict[str, Any]:
    prediction, labels = matched.prediction, matched.labels
    height_m, width_m = pixel_size_m(labels.grid)
    crs = labels.grid.crs
    told = ("images", "model", "sharpened")
    source: dict[str, Any] = {key: prediction.facts[key] for key in told if key in prediction.facts}
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
