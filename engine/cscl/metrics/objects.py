"""Parcels found, split, merged and missed: how many objects of a map are right.

All is read from a table of overlaps (`cscl.metrics.overlaps`), which also says what void is and how it is dealt with.
Figures that are not defined are NaN and left out of means.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cscl.errors import InputError

from .overlaps import Counts, Overlaps, Values, mean, ratio, sums

__all__ = [
    "CORRECT", "IOU_THRESHOLDS", "MISSED", "OVER", "UNDER", "HooverCounts", "ObjectScores", "PanopticQuality",
    "hoover", "object_scores", "panoptic_quality",
]  # fmt: skip

IOU_THRESHOLDS = (0.5, 0.55, 0.6, 0.65, 0.7, 0.75, 0.8, 0.85, 0.9, 0.95)
MISSED, CORRECT, OVER, UNDER = range(4)
ROUNDING = 1e-9


@dataclass(frozen=True, eq=False)
class HooverCounts:
    """Parcels and segments by the kind of instance that they take part in, at one threshold.

    Parameters
    ----------
    threshold : float
        Share of a region that must lie in the other, T.
    parcel_kind, segment_kind : ndarray of int
        Axes (parcel,) and (segment,): `CORRECT`, `OVER`, `UNDER`, or `MISSED` (a segment: noise). -1 for a segment
        that is mostly void and takes part in nothing.
    paired : int
        Parcels of which one segment alone is the match, whatever else lies in them. A single wrong pixel inside a
        parcel is a segment of its own and turns *correct* into *over-segmented*; it leaves this number as it is.
    """

    threshold: float
    parcel_kind: NDArray[np.int8] = field(repr=False)
    segment_kind: NDArray[np.int8] = field(repr=False)
    paired: int

    @property
    def correct(self) -> int:
        """Parcels found as one segment."""
        return int((self.parcel_kind == CORRECT).sum())

    @property
    def over(self) -> int:
        """Parcels that fall into several segments."""
        return int((self.parcel_kind == OVER).sum())

    @property
    def under(self) -> int:
        """Parcels that share a segment; Hoover's instances of it are `under_segments`."""
        return int((self.parcel_kind == UNDER).sum())

    @property
    def under_segments(self) -> int:
        """Segments that cover several parcels."""
        return int((self.segment_kind == UNDER).sum())

    @property
    def missed(self) -> int:
        """Parcels in no instance."""
        return int((self.parcel_kind == MISSED).sum())

    @property
    def noise(self) -> int:
        """Segments in no instance."""
        return int((self.segment_kind == MISSED).sum())


def hoover(overlaps: Overlaps, threshold: float = 0.8) -> HooverCounts:
    """Sort parcels and segments into instances (Hoover et al., IEEE PAMI 18(7), 1996, section 3).

    *Correct*: a pair of which each lies in the other by at least T. *Over-segmented*: a parcel and two or more
    segments, each in it by T, that together cover T of it. *Under-segmented*: the same with the roles changed. With T
    above 0.5 a region takes part in at most one instance of each kind. What takes part in several is counted once,
    where the mean of the two shares that define it (of the parcel side and of the segment side) is highest.

    The order where these means are equal, which is the order given here, is a choice: we found no public code that
    counts each region once. The filter of the Orfeo ToolBox (`otb::HooverInstanceFilter`, default T = 0.8) leaves
    regions in all instances that they take part in: its correct detections are `HooverCounts.paired`.

    Raises
    ------
    InputError
        If the threshold is not above 0.5 and at most 1; matches are unique only then.
    """
    if not 0.5 < threshold <= 1:
        raise InputError(f"Hoover's threshold is {threshold}; it must be above 0.5 and at most 1, commonly 0.8.")
    o = overlaps
    parcel_px, segment_px = o.parcel_px[o.parcel], o.segment_px[o.segment]
    in_parcel = o.px >= (threshold - ROUNDING) * segment_px  # the segment lies in the parcel
    in_segment = o.px >= (threshold - ROUNDING) * parcel_px
    parcels, segments = np.full((3, len(o.parcel_id)), -1.0), np.full((3, len(o.segment_id)), -1.0)
    pair = in_parcel & in_segment
    score = (o.px / parcel_px + o.px / segment_px)[pair] / 2
    parcels[0, o.parcel[pair]] = segments[0, o.segment[pair]] = score
    _groups(o.parcel, o.segment, o.px, segment_px, o.parcel_px, in_parcel, threshold, (parcels[1], segments[1]))
    _groups(o.segment, o.parcel, o.px, parcel_px, o.segment_px, in_segment, threshold, (segments[2], parcels[2]))
    kinds = [np.where(s.max(0) < 0, MISSED, s.argmax(0) + CORRECT).astype(np.int8) for s in (parcels, segments)]
    kinds[1][(kinds[1] == MISSED) & ~o.judged] = -1
    return HooverCounts(threshold, kinds[0], kinds[1], int(pair.sum()))


def _groups(
    one: Counts, many: Counts, px: Counts, many_px: Counts, one_px: Counts, inside: NDArray[np.bool_],
    threshold: float, scores: tuple[Values, Values],
) -> None:  # fmt: skip
    """Find objects that several of the other kind make up, and note the score of that instance with all of them."""
    one, many, px, many_px = one[inside], many[inside], px[inside], many_px[inside]
    common = sums(one, px, len(one_px))
    group = (np.bincount(one, minlength=len(one_px)) > 1) & (common >= (threshold - ROUNDING) * one_px)
    with np.errstate(invalid="ignore", divide="ignore"):
        score = (common / one_px + common / sums(one, many_px, len(one_px))) / 2
    scores[0][group] = score[group]
    member = group[one]
    scores[1][many[member]] = score[one[member]]


@dataclass(frozen=True, eq=False)
class ObjectScores:
    """Objects found, by how much parcel and segment must overlap.

    Parameters
    ----------
    thresholds : ndarray of float
        Axis (threshold,): a match is a pair whose IoU is above it.
    matches : ndarray of int
        Axis (threshold,): pairs matched.
    parcels : int
        Parcels that could be found.
    segments : ndarray of int
        Axis (threshold,): segments, without those that are mostly void and match nothing.
    """

    thresholds: Values
    matches: Counts
    parcels: int
    segments: Counts

    @property
    def precision(self) -> Values:
        """Share of segments that match."""
        return ratio(self.matches, self.segments)

    @property
    def recall(self) -> Values:
        """Share of parcels that are matched."""
        return ratio(self.matches, np.full_like(self.matches, self.parcels))

    @property
    def f1(self) -> Values:
        """Harmonic mean of precision and recall: 2 TP / (2 TP + FP + FN)."""
        return ratio(2 * self.matches, self.parcels + self.segments)


def object_scores(overlaps: Overlaps, thresholds: Sequence[float] = IOU_THRESHOLDS) -> ObjectScores:
    """Count parcels and segments that match, at thresholds of 0.5 or more, where a match is unique by construction.

    Raises
    ------
    InputError
        If a threshold is below 0.5 or not below 1.
    """
    limits = np.asarray(thresholds, np.float64)
    if not ((limits >= 0.5) & (limits < 1)).all():
        raise InputError(f"Thresholds of IoU are {list(thresholds)}; each must be at least 0.5 and below 1.")
    pair = overlaps.iou[None] > limits[:, None]
    freed = pair & ~overlaps.judged[overlaps.segment]
    matches = pair.sum(1)
    return ObjectScores(limits, matches, len(overlaps.parcel_id), overlaps.judged.sum() + freed.sum(1))


@dataclass(frozen=True, eq=False)
class PanopticQuality:
    """Panoptic quality by class.

    Parameters
    ----------
    matches, missed, wrong : ndarray of int
        Axis (class,): true positives, false negatives (parcels), false positives (segments).
    iou : ndarray of float
        Axis (class,): sum of the IoU of the matches.
    """

    matches: Counts
    missed: Counts
    wrong: Counts
    iou: Values

    @property
    def sq(self) -> Values:
        """Segmentation quality: mean IoU of the matches; NaN where there is none."""
        return ratio(self.iou, self.matches)

    @property
    def rq(self) -> Values:
        """Recognition quality: TP / (TP + FP / 2 + FN / 2)."""
        return ratio(self.matches, self.matches + (self.missed + self.wrong) / 2)

    @property
    def pq(self) -> Values:
        """Panoptic quality: the sum of IoU over TP + FP / 2 + FN / 2, which is SQ times RQ; 0 without a match."""
        return ratio(self.iou, self.matches + (self.missed + self.wrong) / 2)

    @property
    def mean(self) -> tuple[float, float, float]:
        """PQ, SQ and RQ, means over the classes that have parcels or segments."""
        return mean(self.pq), mean(self.sq), mean(self.rq)


def panoptic_quality(
    overlaps: Overlaps, parcel_class: NDArray[Any], segment_class: NDArray[Any], classes: int
) -> PanopticQuality:
    """Measure panoptic quality (Kirillov et al., CVPR 2019): a match has one class and an IoU above 0.5.

    Parameters
    ----------
    overlaps : Overlaps
        The table.
    parcel_class, segment_class : ndarray of int
        Class indices in the order of `overlaps.parcel_id` and `overlaps.segment_id`; an object of
        a negative class is not counted.
    classes : int
        How many classes there are.

    Raises
    ------
    InputError
        If the classes do not belong to the objects one by one.
    """
    if (len(parcel_class), len(segment_class)) != (len(overlaps.parcel_id), len(overlaps.segment_id)):
        raise InputError(
            f"There are classes for {len(parcel_class)} parcels and {len(segment_class)} segments, but "
            f"{len(overlaps.parcel_id)} parcels and {len(overlaps.segment_id)} segments in the table of overlaps."
        )
    o, iou = overlaps, overlaps.iou
    mine, yours = parcel_class[o.parcel], segment_class[o.segment]
    match = (iou > 0.5) & (mine == yours) & (mine >= 0)
    found, used = np.zeros(len(o.parcel_id), bool), np.zeros(len(o.segment_id), bool)
    found[o.parcel[match]] = used[o.segment[match]] = True

    def count(values: NDArray[Any]) -> Counts:
        return np.bincount(values[values >= 0], minlength=classes)

    return PanopticQuality(
        count(mine[match]),
        count(parcel_class[~found]),
        count(segment_class[~used & o.judged]),
        np.bincount(mine[match], iou[match], minlength=classes).astype(np.float64),
    )
