"""How well the regions of a map outline the parcels: errors of segmentation, object by object.

All but edges and outlines is read from a table of overlaps (`cscl.metrics.overlaps`), which also says what void is and
how it is dealt with. Figures that are not defined are NaN and left out of means.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cscl.errors import InputError

from .boundary import parcel_boundary
from .overlaps import Counts, Overlaps, Values, mean, ratio, sums

__all__ = ["PerselloBruzzone", "SegmentationErrors", "object_class", "persello_bruzzone", "segmentation_errors"]

AT_ONCE_PX = 2**22
PERSELLO_BRUZZONE = ("over", "under", "edge", "fragmentation", "shape")


@dataclass(frozen=True, eq=False)
class SegmentationErrors:
    """Over-, under- and total segmentation error of objects, 0 (good) to 1.

    Parameters
    ----------
    of : str
        ``"parcels"`` or ``"segments"``: what was gone through.
    object_id, px : ndarray of int
        Axis (object,): id and pixels.
    partner : ndarray of int
        Id of the object of the other kind that overlaps it most, 0 where none does.
    over, under, total : ndarray of float
        Axis (object,): 1 - |O and M| / |O|, 1 - |O and M| / |M|, and the root of the mean of their squares. O is the
        parcel and M the segment, whichever was gone through; all three are 1 where nothing overlaps.
    """

    of: str
    object_id: Counts = field(repr=False)
    px: Counts = field(repr=False)
    partner: Counts = field(repr=False)
    over: Values = field(repr=False)
    under: Values = field(repr=False)
    total: Values = field(repr=False)

    @property
    def mean(self) -> tuple[float, float, float]:
        """Means over objects of the over-, under- and total segmentation error."""
        return tuple(mean(v) for v in (self.over, self.under, self.total))  # type: ignore[return-value]

    @property
    def by_area(self) -> tuple[float, float, float]:
        """Means weighted by pixels; over segments these are GOC, GUC and GTC."""
        return tuple(mean(v, self.px) for v in (self.over, self.under, self.total))  # type: ignore[return-value]


def segmentation_errors(overlaps: Overlaps, of: str = "parcels") -> SegmentationErrors:
    """Measure over-, under- and total segmentation error against the object of largest overlap.

    Over parcels these are OS and US of Persello and Bruzzone (IEEE TGRS 48, 2010) and Clinton et al. (2010), whose D
    is the total. Over segments, weighted by area, they are the global errors GOC, GUC and GTC by which field
    delineation is judged; segments that are mostly void are left out there. The two directions differ: say which.

    Raises
    ------
    InputError
        If `of` is neither ``"parcels"`` nor ``"segments"``.
    """
    if of not in ("parcels", "segments"):
        raise InputError(f"Segmentation errors go over 'parcels' or 'segments', not over '{of}'.")
    ids, px, others = (
        (overlaps.parcel_id, overlaps.parcel_px, overlaps.segment_id[overlaps.segment])
        if of == "parcels"
        else (overlaps.segment_id, overlaps.segment_px, overlaps.parcel_id[overlaps.parcel])
    )
    best = overlaps.largest(of)
    found, pair = best >= 0, best[best >= 0]
    partner, (over, under) = np.zeros_like(ids), np.ones((2, len(ids)))
    partner[found] = others[pair]
    over[found] = 1 - overlaps.px[pair] / overlaps.parcel_px[overlaps.parcel[pair]]
    under[found] = 1 - overlaps.px[pair] / overlaps.segment_px[overlaps.segment[pair]]
    total = np.sqrt((over**2 + under**2) / 2)
    keep = np.ones(len(ids), bool) if of == "parcels" else overlaps.judged
    return SegmentationErrors(of, ids[keep], px[keep], partner[keep], over[keep], under[keep], total[keep])


@dataclass(frozen=True, eq=False)
class PerselloBruzzone:
    """The five errors of Persello and Bruzzone, parcel by parcel; 0 is good.

    Parameters
    ----------
    parcel_id, px, segment_id : ndarray of int
        Axis (parcel,): id, pixels, and the segment M of largest overlap, 0 where none overlaps.
    over, under : ndarray of float
        Over-segmentation 1 - |O and M| / |O| and under-segmentation 1 - |O and M| / |M|, 0..1; 1 without a segment.
    edge : ndarray of float
        Edge location 1 - |edge of O and edge of M| / |edge of O|, 0..1; 1 without a segment, NaN where the parcel
        borders on nothing known.
    fragmentation : ndarray of float
        (r - 1) / (|O| - 1), 0..1, for r segments that overlap the parcel; 0 for a parcel of one pixel, NaN without a
        segment.
    shape : ndarray of float
        |sf(O) - sf(M)| with the shape factor sf = outline / (4 square root of area), in sides of pixels and pixels: 1
        for a square, more for anything longer or more ragged. NaN without a segment.
    """

    parcel_id: Counts = field(repr=False)
    px: Counts = field(repr=False)
    segment_id: Counts = field(repr=False)
    over: Values = field(repr=False)
    under: Values = field(repr=False)
    edge: Values = field(repr=False)
    fragmentation: Values = field(repr=False)
    shape: Values = field(repr=False)

    @property
    def mean(self) -> dict[str, float]:
        """Means over parcels, as in the paper, by the name of the error."""
        return {name: mean(getattr(self, name)) for name in PERSELLO_BRUZZONE}

    @property
    def by_area(self) -> dict[str, float]:
        """Means weighted by the pixels of the parcels, by the name of the error."""
        return {name: mean(getattr(self, name), self.px) for name in PERSELLO_BRUZZONE}


def persello_bruzzone(
    overlaps: Overlaps,
    parcels_YX: NDArray[Any],
    segments_YX: NDArray[Any],
    void_YX: NDArray[np.bool_] | None = None,
    width_px: int = 1,
) -> PerselloBruzzone:
    """Measure how segments outline parcels (Persello and Bruzzone, IEEE TGRS 48(3), 2010).

    The width of an edge is a choice. Ours is that of the one public code that we know, `GeometricMetrics` of
    sentinel-hub/eo-flow: edges of 1 pixel inside the objects, diagonal neighbours included, of which those in the
    parcel are compared with those in its segment. Unlike there, where a Sobel filter runs over ids and zeros lie around
    the image, the border of the scene is no edge, and ids cannot cancel each other.

    Edges lie inside objects: their pixels within `width_px`, also diagonally, of a known pixel of another object or of
    none. Void makes no edge and neither does the border of the scene, but both end an object's outline. Edges and
    outlines need the map as a whole: unlike the table of overlaps, they do not add up from pieces.

    Parameters
    ----------
    overlaps : Overlaps
        Table of the same three arrays.
    parcels_YX, segments_YX, void_YX : ndarray
        As in `Overlaps.of`.
    width_px : int
        Width of the edges, at least 1; more forgives small displacements.
    """
    errors = segmentation_errors(overlaps, "parcels")
    best = overlaps.largest("parcels")
    found, pair = best >= 0, best[best >= 0]
    edge, fragmentation, shape = np.ones(len(best)), *np.full((2, len(best)), np.nan)

    length, agree = np.zeros(len(best), np.int64), Overlaps.of(*np.zeros((2, 0, 0), np.int64))
    sides = [np.zeros(len(ids), np.int64) for ids in (overlaps.parcel_id, overlaps.segment_id)]
    for parcels, segments, void, inner in _strips(parcels_YX, segments_YX, void_YX, width_px):
        own, other = _edge(parcels, void, width_px)[inner], _edge(segments, void, width_px)[inner]
        length += _count_ids(parcels[inner][own], overlaps.parcel_id)
        agree += Overlaps.of(*(layer[inner][own & other][None] for layer in (parcels, segments)))
        for of, ids, known in zip(sides, (parcels, segments), (overlaps.parcel_id, overlaps.segment_id), strict=True):
            of += _sides(ids, inner, known)
    edge[found] = 1 - _common(agree, overlaps, pair) / np.maximum(1, length[found])
    edge[length == 0] = np.nan

    touching = np.bincount(overlaps.parcel, minlength=len(best))
    fragmentation[found] = ((touching - 1) / np.maximum(1, overlaps.parcel_px - 1))[found]
    of_parcel, of_segment = (  # shape factor: outline over 4 times the square root of the area
        ratio(of, 4 * np.sqrt(px)) for of, px in zip(sides, (overlaps.parcel_px, overlaps.segment_px), strict=True)
    )
    shape[found] = np.abs(of_parcel[found] - of_segment[overlaps.segment[pair]])
    return PerselloBruzzone(
        overlaps.parcel_id, overlaps.parcel_px, errors.partner, errors.over, errors.under, edge, fragmentation, shape
    )


def object_class(ids_YX: NDArray[Any], index_YX: NDArray[Any], object_id: NDArray[Any]) -> Counts:
    """Find the most frequent class of objects; of equally frequent ones the first.

    Parameters
    ----------
    ids_YX, index_YX : ndarray of int
        Ids of objects, 0 for none, and class indices, negative where unknown; axes (y, x).
    object_id : ndarray of int
        The objects asked for.

    Returns
    -------
    ndarray of int
        Axis (object,): class index, -1 where no class is known.
    """
    table = Overlaps.of(ids_YX, np.maximum(index_YX, -1).astype(np.int32) + 1)
    best = table.largest("parcels")
    index = np.full(len(best), -1)
    index[best >= 0] = table.segment_id[table.segment[best[best >= 0]]] - 1
    found: Counts = np.append(index, -1)[_places(object_id, table.parcel_id)]
    return found


def _edge(ids_YX: NDArray[Any], void_YX: NDArray[np.bool_], width_px: int) -> NDArray[np.bool_]:
    """Pixels of objects near a known pixel of something else; known land of no object is one more neighbour."""
    if ids_YX.max(initial=0) >= np.iinfo(np.int32).max:  # the filters below count in 32 bits
        ids_YX = np.unique(np.append(ids_YX.ravel(), 0), return_inverse=True)[1][:-1].reshape(ids_YX.shape)
    none = ids_YX.max(initial=0) + 1
    near = parcel_boundary(np.where((ids_YX == 0) & ~void_YX, none, ids_YX), width_px)
    return near & (ids_YX > 0)


def _strips(
    parcels_YX: NDArray[Any], segments_YX: NDArray[Any], void_YX: NDArray[np.bool_] | None, margin_px: int
) -> Iterator[tuple[NDArray[Any], NDArray[Any], NDArray[np.bool_], slice]]:
    """Yield some rows of parcels and segments without what is void, void, and which of the rows are the strip's own."""
    height, step = len(parcels_YX), max(1, AT_ONCE_PX // max(1, parcels_YX.shape[1]))
    for row in range(0, height, step):
        low, high = max(0, row - margin_px), min(height, row + step + margin_px)
        parcels, segments = parcels_YX[low:high], segments_YX[low:high]
        void = parcels == 0 if void_YX is None else void_YX[low:high]
        inner = slice(row - low, min(height, row + step) - low)
        yield np.where(void, 0, parcels), np.where(void, 0, segments), void, inner


def _sides(ids_YX: NDArray[Any], inner: slice, object_id: Counts) -> Counts:
    """Count the sides of pixels that outline objects in the rows of a strip; those above a row are the row's own."""
    own, below = ids_YX[inner], ids_YX[inner.start + 1 : inner.stop + 1]
    above = ids_YX[max(0, inner.start - 1) : inner.stop - 1]
    upper = own[len(own) - len(above) :]
    step, down, right = upper != above, own[: len(below)] != below, own[:, 1:] != own[:, :-1]
    ends = [own[:1]] if len(above) < len(own) else []
    ends += [own[-1:]] if len(below) < len(own) else []
    outline = (upper[step], own[: len(below)][down], own[:, 1:][right], own[:, :-1][right], own[:, :1], own[:, -1:])
    return sum((_count_ids(side, object_id) for side in (*outline, *ends)), np.zeros(len(object_id), np.int64))


def _places(ids: NDArray[Any], known: Counts) -> Counts:
    """Places of ids in a sorted list of ids, -1 where they are not in it."""
    if not len(known):
        return np.full(ids.shape, -1)
    place = np.minimum(np.searchsorted(known, ids), len(known) - 1)
    return np.where(known[place] == ids, place, -1)


def _count_ids(ids: NDArray[Any], known: Counts) -> Counts:
    """Count how often each id of a sorted list occurs; others are not counted."""
    there, number = np.unique(ids, return_counts=True)
    place = _places(there, known)
    return sums(place[place >= 0], number[place >= 0], len(known))


def _common(part: Overlaps, whole: Overlaps, pair: Counts) -> Counts:
    """Look up common pixels of pairs of the whole table in the table of a part of the pixels."""
    wide = len(whole.segment_id)
    key = _places(part.parcel_id, whole.parcel_id)[part.parcel] * wide
    key += _places(part.segment_id, whole.segment_id)[part.segment]
    order = np.argsort(key)
    place = _places(whole.parcel[pair] * wide + whole.segment[pair], key[order])
    return np.append(part.px[order], 0)[place]
