"""How well the regions of a map are the parcels of the truth, as parts of a report."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from cscl.events import Job, Progress
from cscl.legend import UNKNOWN, Legend
from cscl.report import Part, Value

from .objects import IOU_THRESHOLDS, hoover, object_scores, panoptic_quality
from .overlaps import Overlaps, mean
from .regions import class_regions
from .segmentation import PERSELLO_BRUZZONE, object_class, persello_bruzzone, segmentation_errors

__all__ = ["object_parts"]

AT_ONCE_PX = 2**22
HEADLINE_T = 0.8
HOOVER_T = (0.55, 0.6, 0.65, 0.7, 0.75, 0.8, 0.85, 0.9, 0.95)

WHOLE_MAP = "Needs the whole map at once; not the same in blocks, which would cut objects."
OBJECTS = (
    "Objects are {parcels} in the truth, and in the map segments: regions of one predicted class that hang together "
    "along rows and columns. Land of unknown class is void: taken out of segments, and segments that are mostly void "
    "are not held against the map (Kirillov et al., CVPR 2019, section 4.2)."
)
SEGMENTATION = (
    "Against the object of largest overlap: over-segmentation 1 - |O and M| / |O|, under-segmentation "
    "1 - |O and M| / |M| and their total, root of the mean square (Persello and Bruzzone, IEEE TGRS 48, 2010; Clinton "
    "et al., 2010), O being the parcel and M the segment. 'Over parcels' goes through the parcels; 'over segments', "
    "weighted by area, are the global errors GOC, GUC and GTC. Edge location: inner edges of one pixel, parcel edge; "
    "unknown land and the scene's border make no edge. 0 is good."
)
HOOVER = (
    "Hoover et al. (IEEE PAMI 18, 1996): a parcel and a segment that each lie in the other by at least T are correct; "
    "one parcel made of several segments is over-segmented, several parcels in one segment are under-segmented, the "
    "rest is missed, or noise. What takes part in several is counted where the mean of its two shares is highest, so "
    "that one wrong pixel inside a parcel makes it over-segmented; 'paired' parcels have their match all the same. "
    "Headline T = 0.8."
)
FOUND = (
    "A parcel and a segment match where their IoU is above the threshold. Panoptic quality (Kirillov et al., CVPR "
    "2019): IoU above 0.5 and the same class; parcels and segments have the class that most of their pixels have."
)


def object_parts(
    truth_YX: NDArray[Any],
    guess_YX: NDArray[Any],
    parcels_YX: NDArray[Any] | None,
    *,
    legend: Legend,
    pixel_size_m: tuple[float, float],
    judged_YX: NDArray[np.bool_] | None = None,
) -> Job[tuple[Part, ...]]:
    """Make the parts "segmentation", "hoover" and "objects" of a whole map.

    Parameters
    ----------
    truth_YX, guess_YX, parcels_YX, legend, pixel_size_m, judged_YX
        As for `cscl.metrics.full.full_parts`.
    """
    yield Progress("finding segments", 0, 1, "step")
    words, remarks = "parcels", []
    if parcels_YX is None:
        parcels_YX = class_regions(truth_YX, UNKNOWN)
        words, remarks = (
            "regions of one class",
            ["The labels do not know their parcels: regions of one class stand in."],
        )
    segments = class_regions(guess_YX, UNKNOWN)
    void = (parcels_YX == 0) | (truth_YX < 0)
    if judged_YX is not None:
        void |= ~judged_YX
    yield Progress("finding segments", 1, 1, "step")
    overlaps = yield from _overlaps(parcels_YX, segments, void)
    yield Progress("measuring segmentation", 0, 4, "step")
    definition = f"{OBJECTS.format(parcels=words)} {{}} {WHOLE_MAP}"
    outlines = persello_bruzzone(overlaps, parcels_YX, segments, void)
    yield Progress("measuring segmentation", 1, 4, "step")
    segmentation = _segmentation(overlaps, outlines, definition.format(SEGMENTATION), remarks)
    yield Progress("measuring segmentation", 2, 4, "step")
    classes = (
        object_class(np.where(void, 0, parcels_YX), truth_YX, overlaps.parcel_id),
        object_class(segments, guess_YX, overlaps.segment_id),
    )
    yield Progress("measuring segmentation", 3, 4, "step")
    matched = _hoover(overlaps, definition.format(HOOVER), remarks)
    yield Progress("measuring segmentation", 4, 4, "step")
    return segmentation, matched, _found(overlaps, classes, definition.format(FOUND), legend, remarks)


def _overlaps(parcels_YX: NDArray[Any], segments_YX: NDArray[Any], void_YX: NDArray[np.bool_]) -> Job[Overlaps]:
    """Count common pixels some rows at a time; tables are added in pairs, so that each is gone through a few times."""
    tables: list[tuple[int, Overlaps]] = []  # how many strips each holds, powers of 2
    height, step = len(parcels_YX), max(1, AT_ONCE_PX // max(1, parcels_YX.shape[1]))
    for row in range(0, height, step):
        strip = slice(row, row + step)
        tables.append((1, Overlaps.of(parcels_YX[strip], segments_YX[strip], void_YX[strip])))
        while len(tables) > 1 and tables[-1][0] == tables[-2][0]:
            (strips, last), (_, former) = tables.pop(), tables.pop()
            tables.append((2 * strips, former + last))
        yield Progress("overlapping parcels and segments", min(row + step, height), height, "row")
    total = Overlaps.of(parcels_YX[:0], segments_YX[:0], void_YX[:0])
    for _, table in reversed(tables):
        total += table
    return total


def _segmentation(overlaps: Overlaps, outlines: Any, definition: str, remarks: list[str]) -> Part:
    found = {of: segmentation_errors(overlaps, of) for of in ("parcels", "segments")}
    means = {(of, "equal"): errors.mean for of, errors in found.items()}
    means |= {(of, "area"): errors.by_area for of, errors in found.items()}
    names = ("over_segmentation", "under_segmentation", "total_segmentation")
    directions = pd.DataFrame(
        [{"direction": of, "weight": weight, **dict(zip(names, figures, strict=True))}
         for (of, weight), figures in means.items()]
    )  # fmt: skip
    quantiles = {f"p{q:g}": [_quantile(getattr(outlines, n), q / 100) for n in PERSELLO_BRUZZONE] for q in (25, 50, 75)}
    errors_of = pd.DataFrame(
        {
            "error": PERSELLO_BRUZZONE, "mean": outlines.mean.values(), "mean_by_area": outlines.by_area.values(),
            **quantiles,
        }
    )  # fmt: skip
    words = ("over-segmentation", "under-segmentation", "total segmentation")
    values = [
        *(
            Value(name, f"{word} error over parcels, mean", figure, "share")
            for name, word, figure in zip(names, words, means["parcels", "equal"], strict=True)
        ),
        *(
            Value(name, f"{word} error over segments, by area ({name.upper()})", figure, "share")
            for name, word, figure in zip(("goc", "guc", "gtc"), words, means["segments", "area"], strict=True)
        ),
        *(
            Value(f"{name}_error", f"{words}, mean over parcels", outlines.mean[name], unit)
            for name, words, unit in (
                ("edge", "edge location error", "share"),
                ("fragmentation", "fragmentation error", "share"),
                ("shape", "shape error, difference of shape factors", ""),
            )
        ),
    ]
    tables = {"directions": directions, "persello_bruzzone": errors_of}
    return Part("segmentation", "How well segments outline parcels", definition, values, tables, remarks)


def _hoover(overlaps: Overlaps, definition: str, remarks: list[str]) -> Part:
    names = ("paired", "correct", "over", "under", "under_segments", "missed", "noise")
    found = {t: hoover(overlaps, t) for t in HOOVER_T}
    table = pd.DataFrame([{"threshold": t, **{n: getattr(found[t], n) for n in names}} for t in HOOVER_T])
    head = found[HEADLINE_T]
    words = {
        "paired": "parcels that one segment matches, whatever else lies in them",
        "correct": "parcels found as one segment", "over": "parcels that fall into several segments",
        "under": "parcels that share a segment", "under_segments": "segments that cover several parcels",
        "missed": "parcels missed", "noise": "segments in no instance",
    }  # fmt: skip
    values = [Value("parcels", "parcels", len(overlaps.parcel_id))]
    values += [Value(name, f"{words[name]}, T = {HEADLINE_T}", getattr(head, name)) for name in names]
    return Part(
        "hoover", "Parcels found, split, merged and missed", definition, values, {"by_threshold": table}, remarks
    )


def _found(
    overlaps: Overlaps, classes: tuple[NDArray[Any], NDArray[Any]], definition: str, legend: Legend, remarks: list[str]
) -> Part:
    scores, panoptic = object_scores(overlaps), panoptic_quality(overlaps, *classes, len(legend))
    by_iou = pd.DataFrame(
        {
            "iou": IOU_THRESHOLDS, "matches": scores.matches, "parcels": scores.parcels, "segments": scores.segments,
            "precision": scores.precision, "recall": scores.recall, "f1": scores.f1,
        }
    )  # fmt: skip
    values = []
    for iou in (0.5, 0.75):
        n = IOU_THRESHOLDS.index(iou)
        for name in ("precision", "recall", "f1"):
            figure = float(getattr(scores, name)[n])
            values.append(Value(f"{name}_{iou * 100:.0f}", f"object {name} at IoU {iou:g}", figure, "share"))
    values += [
        Value(f"{name}_mean", f"object {name}, mean of IoU 0.5 to 0.95", mean(getattr(scores, name)), "share")
        for name in ("precision", "recall", "f1")
    ]
    values += [
        Value(name, f"{words}, mean over classes", figure, "share")
        for name, words, figure in zip(
            ("pq", "sq", "rq"), ("panoptic quality", "segmentation quality", "recognition quality"), panoptic.mean,
            strict=True,
        )
    ]  # fmt: skip
    by_class = pd.DataFrame(
        {
            "class": legend.ids, "crop": legend.names, "matches": panoptic.matches, "missed": panoptic.missed,
            "wrong": panoptic.wrong, "pq": panoptic.pq, "sq": panoptic.sq, "rq": panoptic.rq,
        }
    )  # fmt: skip
    return Part(
        "objects", "Parcels found as objects", definition, values, {"by_iou": by_iou, "by_class": by_class}, remarks
    )


def _quantile(values: NDArray[np.float64], share: float) -> float:
    defined = values[~np.isnan(values)]
    return float(np.quantile(defined, share)) if defined.size else float("nan")
