"""Where classes and parcels meet, and how far a pixel lies from there.

Two edges are told apart: between *classes*, which is what a crop map can get wrong, and between *parcels*, whatever
grows in them. Pixels that are unknown (class index below 0, parcel id 0) make no edge, and neither does the border of
the array: what lies beyond is not known.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .counts import small_ids

__all__ = [
    "by_distance", "class_boundary", "distance_to_class_edge", "distance_to_parcel_edge", "distance_to_unknown",
    "ground_distance", "over_window", "parcel_boundary", "reach_px",
]  # fmt: skip

Mask = NDArray[np.bool_]
Metres = NDArray[np.float32]

STRIP_PX = 128


def class_boundary(index_YX: NDArray[Any], *, void_counts: bool = False) -> Mask:
    """Known pixels whose 3 x 3 window holds another known class.

    Parameters
    ----------
    index_YX : ndarray of int
        Class indices, axes (y, x), negative where unknown.
    void_counts : bool
        The definition behind the published figures (Tarasiou et al., IEEE TGRS 2022): "unknown" is one more class,
        so that known pixels beside unknown ones are boundary too.

    Returns
    -------
    ndarray of bool
        Axes (y, x); never True where the class is unknown.
    """
    known = index_YX >= 0
    mixed = _mixed(np.maximum(index_YX, -1), np.ones_like(known) if void_counts else known, 1)
    return mixed & known


def parcel_boundary(parcel_ids_YX: NDArray[Any], n_px: int) -> Mask:
    """Pixels of a parcel that lie within `n_px` pixels of another parcel, whatever grows there.

    Pixels are counted along rows, columns and diagonals alike: the window is 2 n + 1 pixels across, as that of the
    class boundary is for n = 1.

    Parameters
    ----------
    parcel_ids_YX : ndarray of int
        Axes (y, x), 0 outside all parcels.
    n_px : int
        At least 1.
    """
    inside = parcel_ids_YX > 0
    return _mixed(parcel_ids_YX, inside, n_px) & inside


def distance_to_class_edge(index_YX: NDArray[Any], pixel_size_m: tuple[float, float], max_m: float) -> Metres:
    """Ground distance from each known pixel to the nearest edge between known classes.

    The edge lies half a pixel short of the centre of the nearest pixel of another class: (D - 1/2) r for a distance D
    between centres in square pixels of r metres. Distances are Euclidean.

    Parameters
    ----------
    index_YX : ndarray of int
        Class indices, axes (y, x), negative where unknown.
    pixel_size_m : tuple of float
        Height and width of a pixel.
    max_m : float
        How far to look; time grows with it.

    Returns
    -------
    ndarray of float32
        Metres, axes (y, x); inf where no edge lies within `max_m`, NaN where the class is unknown.
    """
    return _distance(index_YX, index_YX >= 0, pixel_size_m, max_m)


def distance_to_parcel_edge(parcel_ids_YX: NDArray[Any], pixel_size_m: tuple[float, float], max_m: float) -> Metres:
    """Ground distance from each pixel of a parcel to the nearest edge of another parcel, as `distance_to_class_edge`.

    Parameters
    ----------
    parcel_ids_YX : ndarray of int
        Axes (y, x), 0 outside all parcels; there the distance is NaN.
    pixel_size_m, max_m
        As for `distance_to_class_edge`.
    """
    return _distance(parcel_ids_YX, parcel_ids_YX > 0, pixel_size_m, max_m)


def distance_to_unknown(index_YX: NDArray[Any], pixel_size_m: tuple[float, float], max_m: float) -> Metres:
    """Ground distance from each known pixel to where the unknown begins, as `distance_to_class_edge`.

    The scene's border is not the beginning of the unknown: what lies beyond it was never asked for.

    Parameters
    ----------
    index_YX, pixel_size_m, max_m
        As for `distance_to_class_edge`; NaN where the class is unknown.
    """
    known = index_YX >= 0
    distance = _distance(known.astype(np.int8), np.ones_like(known), pixel_size_m, max_m)
    distance[~known] = np.nan
    return distance


def reach_px(pixel_size_m: tuple[float, float], max_m: float) -> tuple[int, int]:
    """Rows and columns that must be known around a pixel to find every edge within `max_m` of it."""
    return math.floor(max_m / pixel_size_m[0] + 0.5), math.floor(max_m / pixel_size_m[1] + 0.5)


def by_distance(
    distance_YX: Metres, right_YX: Mask, limits_m: Sequence[float]
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Count pixels, and right pixels, by their distance to an edge.

    Parameters
    ----------
    distance_YX : ndarray
        Metres; NaN pixels are left out.
    right_YX : ndarray of bool
        Whether the predicted class is right.
    limits_m : sequence of float
        Upper limits of the bins, rising; a pixel on a limit belongs to the nearer bin. One more bin holds the rest.

    Returns
    -------
    tuple of ndarray
        Pixels and right pixels, one count per bin, ``len(limits_m) + 1`` bins.
    """
    there = ~np.isnan(distance_YX)
    bins = np.searchsorted(np.asarray(limits_m, np.float32), distance_YX[there], side="left")
    count = len(limits_m) + 1
    return np.bincount(bins, minlength=count), np.bincount(bins[right_YX[there]], minlength=count)


def _mixed(values: NDArray[Any], taking_part: Mask, n_px: int) -> Mask:
    """Whether the pixels taking part in the window of 2 n + 1 pixels have more than one value."""
    values = small_ids(values)
    limits = np.iinfo(values.dtype)
    highest = over_window(np.where(taking_part, values, values.dtype.type(limits.min)), n_px, np.maximum)
    lowest = over_window(np.where(taking_part, values, values.dtype.type(limits.max)), n_px, np.minimum)
    return np.asarray(highest > lowest)


def over_window(values: NDArray[Any], n_px: int, extreme: np.ufunc) -> NDArray[Any]:
    """Highest or lowest of each window, by shifting: several times as fast as SciPy's filters on such small windows."""
    for axis in (0, 1):
        source = np.moveaxis(values, axis, 0)
        found = source.copy()
        for step in range(1, min(n_px, len(source) - 1) + 1):
            extreme(found[step:], source[:-step], out=found[step:])
            extreme(found[:-step], source[step:], out=found[:-step])
        values = np.moveaxis(found, 0, axis)
    return values


def _distance(values: NDArray[Any], known: Mask, pixel_size_m: tuple[float, float], max_m: float) -> Metres:
    """Distance to the nearest known pixel of another value, a strip of rows at a time: the arrays stay in the cache."""
    reach, values = reach_px(pixel_size_m, max_m)[0], small_ids(values)
    step = max(STRIP_PX, 4 * reach)
    best = np.empty(values.shape, np.float32)
    for row in range(0, len(values), step):
        low, high = max(0, row - reach), row + step + reach
        strip = _distance_of_strip(values[low:high], known[low:high], pixel_size_m, max_m)
        best[row : row + step] = strip[row - low : row - low + step]
    return best


def _distance_of_strip(values: NDArray[Any], known: Mask, pixel_size_m: tuple[float, float], max_m: float) -> Metres:
    """Distance to the nearest known pixel of another value, for any number of values in two passes.

    Per row, each pixel learns its nearest known value and how far along the row that and the nearest *other* value
    are. Then, for a pixel of value v and each row within reach, the nearest pixel that is not v is one of those two.
    """
    rows, cols = reach_px(pixel_size_m, max_m)
    if pixel_size_m[0] == pixel_size_m[1]:
        best = _of_squares(values, known, rows, pixel_size_m[0])
    else:
        best = _of_any(values, known, rows, cols, pixel_size_m)
    best[best > np.float32(max_m)] = np.inf
    best[~known] = np.nan
    return best


def _of_any(values: NDArray[Any], known: Mask, rows: int, cols: int, pixel_size_m: tuple[float, float]) -> Metres:
    first, near, second = _along_rows(values, known, cols)
    table = ground_distance(rows, cols, pixel_size_m)
    best = np.full(values.shape, np.inf, np.float32)
    for dy, here, there in _row_shifts(rows, values.shape[0]):
        dx = np.where(first[there] != values[here], near[there], second[there])
        np.minimum(best[here], table[abs(dy)].take(dx), out=best[here])
    return best


def _of_squares(values: NDArray[Any], known: Mask, reach: int, pixel_m: float) -> Metres:
    """Square pixels: the squared distance in pixels is a small integer, and the least one the nearest. Twice as fast.

    What lies farther than `reach` is not exact: whoever calls takes it for infinite.
    """
    small = np.min_scalar_type((reach + 1) ** 2 + reach**2)
    first, near, second = (a.astype(small) if n else a for n, a in enumerate(_along_rows(values, known, reach)))
    near *= near
    second *= second
    best = np.full(values.shape, np.iinfo(small).max, small)
    for dy, here, there in _row_shifts(reach, values.shape[0]):
        # The nearest pixel of another value: near where that is one, else second, which is never less.
        found = (first[there] == values[here]).astype(small)
        found *= second[there]
        np.maximum(found, near[there], out=found)
        found += small.type(dy * dy)
        np.minimum(best[here], found, out=best[here])
    metres = (np.sqrt(np.arange(2 * (reach + 1) ** 2)) - 0.5) * pixel_m
    return np.append(metres, np.inf).astype(np.float32)[np.minimum(best, len(metres))]


def _along_rows(values: NDArray[Any], known: Mask, reach: int) -> tuple[NDArray[Any], NDArray[Any], NDArray[Any]]:
    """Nearest known value in the row, its distance, and the distance of the nearest other one; reach + 1 is 'none'.

    All is arithmetic on small integers: that is several times as fast as choosing by masks.
    """
    small = np.min_scalar_type(reach + 1)
    none = small.type(reach + 1)
    first, near, gaps = values.copy(), (~known).astype(small) * none, not known.all()
    unseen, second = near.copy(), np.full(values.shape, none, small)
    width = values.shape[1]
    for step in range(1, min(reach, width - 1) + 1):
        low, high = slice(0, width - step), slice(step, width)
        for here, there in ((low, high), (high, low)):
            seen: Any = small.type(step)
            if gaps:
                seen = np.maximum(unseen[:, there], seen)  # the step where the pixel there is known, else 'none'
                np.copyto(first[:, here], values[:, there], where=seen < near[:, here])
                np.minimum(near[:, here], seen, out=near[:, here])
            other = (values[:, there] == first[:, here]).astype(small)
            other *= none
            np.maximum(other, seen, out=other)
            np.minimum(second[:, here], other, out=second[:, here])
    return first, near, second


def ground_distance(rows: int, cols: int, pixel_size_m: tuple[float, float]) -> Metres:
    """Metres to an edge half a pixel short of the centre that lies (dy, dx) away; inf for the column 'none'."""
    dy, dx = np.mgrid[: rows + 1, : cols + 2].astype(float)
    metres = np.hypot(dy * pixel_size_m[0], dx * pixel_size_m[1])
    pixels = np.hypot(dy, dx)
    pixels[0, 0] = np.inf
    table: Metres = (metres * (1 - 0.5 / pixels)).astype(np.float32)
    table[:, -1] = np.inf
    return table


def _row_shifts(reach: int, height: int) -> Iterator[tuple[int, slice, slice]]:
    """Yield dy, the rows that have a row dy away, and those rows."""
    for dy in range(-min(reach, height - 1), min(reach, height - 1) + 1):
        yield dy, slice(max(0, -dy), height - max(0, dy)), slice(max(0, dy), height - max(0, -dy))
