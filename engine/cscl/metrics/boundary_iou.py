"""Boundary IoU of maps of several classes (Cheng et al., CVPR 2021, equation 1), in pieces that add up.

Of each class, in truth and in prediction, only those pixels are kept that lie within a distance d of where the class
ends: the *inner* band. Boundary IoU is the intersection of the two bands over their union. Intersections and unions are
summed over the whole map; a mean of Boundary IoUs of pieces is something else.

Two definitions of the band are told apart, and figures of one do not compare with figures of the other:

* in metres, the default: Euclidean ground distance to another *known* class. Unknown land and the scene's border are no
  edges, for nobody knows what lies there;
* published: what the authors' code does, a 3 x 3 erosion repeated n times, n being a share of the image's diagonal. Its
  distance is that of the chessboard, and both the border of the image and unknown land end a class.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from cscl.errors import InputError
from cscl.legend import UNKNOWN

from .boundary import Mask, Metres, distance_to_class_edge, over_window
from .judged import WHOLE, Indices, judged_only, mean_of, share

__all__ = [
    "IN_METRES",
    "PUBLISHED",
    "BoundaryIoU",
    "BoundaryIoUTally",
    "chessboard_band",
    "published_width_px",
    "width_bins",
]

SHIFTED_PX = 6  # up to this width shifting is faster than filters, whose time does not grow
IN_METRES = (
    "Boundary IoU of the inner bands, by width in metres: Euclidean ground distance from the pixel's centre to the "
    "nearest edge between known classes. Unknown pixels and the scene's border make no edge."
)
PUBLISHED = (
    "Boundary IoU as in the published code (Cheng et al., CVPR 2021): inner bands by a 3 x 3 erosion repeated n times, "
    "width in pixels of the chessboard. The scene's border and unknown pixels make an edge. Only for comparison."
)


@dataclass(frozen=True, eq=False)
class BoundaryIoU:
    """Boundary IoU by width of the band and class.

    Parameters
    ----------
    definition : str
        What a band is: `IN_METRES` or `PUBLISHED`.
    widths : tuple of float
        Widths of the band, in metres, or in pixels where published.
    truth_px, guess_px : ndarray of int
        Pixels of the bands, axes (width, class).
    iou : ndarray
        0..1, axes (width, class); 0 for a class with a band in one of the maps only, NaN for one with none in either.
    mean : ndarray
        Mean over the classes that have a band in the truth, axis (width,). A class that only the prediction has takes
        no part: the classes whose place it takes have paid for it.
    """

    definition: str
    widths: tuple[float, ...]
    truth_px: NDArray[np.int64] = field(repr=False)
    guess_px: NDArray[np.int64] = field(repr=False)
    iou: NDArray[np.float64] = field(repr=False)
    mean: NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class BoundaryIoUTally:
    """Counts of some pieces of a map.

    Parameters
    ----------
    definition, widths
        As in `BoundaryIoU`.
    counts : ndarray of int
        Pixels in the band of the truth, in that of the prediction and, with one class, in both: axes (3, width, class).
    """

    definition: str
    widths: tuple[float, ...]
    counts: NDArray[np.int64] = field(repr=False)

    @classmethod
    def of(
        cls,
        truth_YX: NDArray[Any],
        guess_YX: NDArray[Any],
        *,
        classes: int,
        pixel_size_m: tuple[float, float],
        widths_m: Sequence[float] = (10.0, 20.0, 30.0),
        inner: tuple[slice, slice] = WHOLE,
        counted_YX: Mask | None = None,
        truth_edge_m: Metres | None = None,
    ) -> BoundaryIoUTally:
        """Count a piece, bands in metres.

        Parameters
        ----------
        truth_YX, guess_YX : ndarray of int
            True and predicted class indices, axes (y, x), negative where unknown or not predicted: of the piece and of
            `cscl.metrics.boundary.reach_px` of the greatest width around it, as far as the scene reaches.
        classes : int
            How many classes there are.
        pixel_size_m : tuple of float
            Height and width of a pixel.
        widths_m : sequence of float
            Widths of the band, rising. At least half a pixel: no centre lies nearer to an edge.
        inner : tuple of slice
            Where the piece lies in the arrays.
        counted_YX : ndarray of bool, optional
            Which pixels of the piece are counted; by default all. Bands are those of all.
        truth_edge_m : ndarray, optional
            What `distance_to_class_edge` gives for `truth_YX`, at least as far as the greatest width, where it is known
            already. It is used where the prediction leaves no known pixel out.
        """
        widths = tuple(float(width) for width in widths_m)
        if not widths or min(widths) < min(pixel_size_m) / 2 or sorted(set(widths)) != list(widths):
            raise InputError(f"Widths of {list(widths)} m: give rising widths of at least half a pixel.")
        maps = judged_only(truth_YX, guess_YX, classes)
        of_map = distance_to_class_edge(maps[1], pixel_size_m, widths[-1])
        if truth_edge_m is None or ((truth_YX >= 0) & (guess_YX < 0)).any():
            truth_edge_m = distance_to_class_edge(maps[0], pixel_size_m, widths[-1])
        bins = [width_bins(edge_m[inner], widths) for edge_m in (truth_edge_m, of_map)]
        return cls(IN_METRES, widths, _counts(_counted(maps, inner, counted_YX), bins, classes, len(widths)))

    @classmethod
    def published(
        cls,
        truth_YX: NDArray[Any],
        guess_YX: NDArray[Any],
        *,
        classes: int,
        width_px: int,
        inner: tuple[slice, slice] = WHOLE,
        counted_YX: Mask | None = None,
    ) -> BoundaryIoUTally:
        """Count a piece as the published code does; pixels that are not judged shape the bands but are not counted.

        In the authors' code (bowenc0221/boundary-iou-api) the band of a segment is cut from its own mask, zeros around:
        so land of unknown class ends a segment and makes a band, as the image's border does. What the truth does not
        know is no segment there and, in its panoptic evaluation, is taken out of the predicted band before the union
        is formed; so it is here, class by class. In two points it differs: pixels without a prediction are not held
        against the true band here, and figures are not the lesser of mask and boundary IoU, which the authors match
        segments by. Their evaluation of instances does not take void out of the union.

        Parameters
        ----------
        truth_YX, guess_YX, classes, inner, counted_YX
            As for `of`, with `width_px` pixels around the piece.
        width_px : int
            How often to erode: `published_width_px` of the whole scene.
        """
        maps = judged_only(truth_YX, guess_YX, classes)
        bands = [chessboard_band(m, width_px)[inner] for m in (truth_YX, guess_YX)]
        bins = [np.where(band, 0, 1).astype(np.uint8) for band in bands]
        return cls(PUBLISHED, (float(width_px),), _counts(_counted(maps, inner, counted_YX), bins, classes, 1))

    def __add__(self, other: BoundaryIoUTally) -> BoundaryIoUTally:
        return BoundaryIoUTally(self.definition, self.widths, self.counts + other.counts)

    def result(self) -> BoundaryIoU:
        """Read the figures off the counts."""
        truth, guess, both = self.counts
        iou = share(both, truth + guess - both)
        return BoundaryIoU(self.definition, self.widths, truth, guess, iou, mean_of(iou, truth > 0))


def published_width_px(shape: tuple[int, int], dilation_ratio: float = 0.02) -> int:
    """Width of the published band for a scene of `shape`: a share of its diagonal, at least one pixel.

    The authors use 0.02 for COCO and LVIS and 0.005 for Cityscapes. It grows with the scene: what is 1 pixel for a
    patch of 24 x 24 is 58 for 2048 x 2048.
    """
    return max(1, round(dilation_ratio * math.hypot(*shape)))


def chessboard_band(index_YX: NDArray[Any], width_px: int) -> Mask:
    """Pixels of each class that a 3 x 3 erosion of its mask takes away in `width_px` steps, nothing around the array.

    n erosions take away the pixels within n of one that is not of the class, along rows, columns and diagonals alike:
    one filter does it for all classes.

    Parameters
    ----------
    index_YX : ndarray of int
        Class indices, axes (y, x), negative where unknown: there the band is False.
    width_px : int
        At least 1.
    """
    values = np.maximum(index_YX, -1).astype(np.int8 if index_YX.dtype == np.int8 else np.int16)
    if width_px <= SHIFTED_PX:
        padded = np.pad(values, width_px, constant_values=-2)
        crop = (slice(width_px, -width_px),) * 2
        highest, lowest = (over_window(padded, width_px, extreme)[crop] for extreme in (np.maximum, np.minimum))
        return np.asarray((highest != lowest) & (values >= 0))
    around: dict[str, Any] = {"size": 2 * width_px + 1, "mode": "constant", "cval": -2}
    mixed = ndimage.maximum_filter(values, **around) != ndimage.minimum_filter(values, **around)
    return np.asarray(mixed & (values >= 0))


def width_bins(distance_YX: Metres, widths_m: Sequence[float]) -> NDArray[np.uint8]:
    """Which width is the first to hold a pixel; their number where none does or the class is unknown."""
    bins = np.zeros(distance_YX.shape, np.uint8)
    for width in widths_m:
        bins += ~(distance_YX <= np.float32(width))  # NaN lies within none
    return bins


def _counted(maps: Sequence[Indices], inner: tuple[slice, slice], counted_YX: Mask | None) -> list[Indices]:
    parts = [m[inner] for m in maps]
    return parts if counted_YX is None else [np.where(counted_YX, m, np.int16(UNKNOWN)) for m in parts]


def _counts(maps: Sequence[Indices], bins: Sequence[NDArray[np.uint8]], classes: int, most: int) -> NDArray[np.int64]:
    """Cumulated counts of truth, prediction and both, axes (3, width, class)."""
    same = np.where(maps[0] == maps[1], np.maximum(*bins), np.uint8(most))
    counted, keys = [], np.int32 if (most + 2) * classes > 30_000 else np.int16
    for index, nearest in ((maps[0], bins[0]), (maps[1], bins[1]), (maps[0], same)):
        key = (nearest * keys(classes) + index.astype(keys)).ravel()
        key[(index < 0).ravel()] = most * classes  # nothing is copied: what is in no band is counted and dropped
        pixels = np.bincount(key, minlength=(most + 1) * classes)[: most * classes]
        counted.append(pixels.reshape(most, classes).cumsum(0))
    return np.stack(counted)
