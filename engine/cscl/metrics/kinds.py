"""What kind of error a wrong pixel is, told by the edges around it.

Edges are those between known classes, distances are ground distances to them (see `cscl.metrics.boundary`): neither the
scene's border nor unknown land makes a class edge. A class edge within reach goes before unknown land within reach: it
says which class a shifted boundary would bring, whereas nobody knows what a pixel beside unknown land is mixed with.
Parcels that are wrong as a whole are a kind of their own, `cscl.metrics.whole_parcels`, which goes before all of these.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cscl.report.kinds import Kind

from .boundary import Mask, Metres, distance_to_class_edge, distance_to_unknown, ground_distance, reach_px

__all__ = ["across_edge", "error_kinds"]

Pixels = NDArray[np.int64]


TIE_DECIMALS = 4  # distances that agree to a tenth of a millimetre are one distance


def error_kinds(
    index_YX: NDArray[Any],
    guess_YX: NDArray[Any],
    pixel_size_m: tuple[float, float],
    reach_m: float,
    *,
    distance_YX: Metres | None = None,
    swapped_YX: Mask | None = None,
) -> NDArray[np.uint8]:
    """Tell the kind of each pixel.

    Parameters
    ----------
    index_YX, guess_YX : ndarray of int
        True and predicted class indices, axes (y, x), negative where unknown or not predicted.
    pixel_size_m : tuple of float
        Height and width of a pixel.
    reach_m : float
        How far from an edge an error is still laid to it, metres.
    distance_YX : ndarray, optional
        What `distance_to_class_edge` gives, at least as far as `reach_m`, where it is known already.
    swapped_YX : ndarray of bool, optional
        The first result of `across_edge`, where it is known already.

    Returns
    -------
    ndarray of uint8
        Axes (y, x), values of `cscl.report.kinds.Kind`, without `Kind.PARCEL`.
    """
    if distance_YX is None:
        distance_YX = distance_to_class_edge(index_YX, pixel_size_m, reach_m)
    if swapped_YX is None:
        swapped_YX, _ = across_edge(index_YX, guess_YX, distance_YX, pixel_size_m, reach_m)
    judged = (index_YX >= 0) & (guess_YX >= 0)
    wrong, at_edge = judged & (index_YX != guess_YX), distance_YX <= np.float32(reach_m)
    beside_void = distance_to_unknown(index_YX, pixel_size_m, reach_m) <= np.float32(reach_m)
    kinds = judged.astype(np.uint8) * np.uint8(Kind.RIGHT)
    kinds[wrong] = Kind.INTERIOR
    kinds[wrong & beside_void] = Kind.VOID
    kinds[wrong & at_edge] = Kind.THIRD
    kinds[wrong & swapped_YX] = Kind.SHIFTED
    return kinds


def across_edge(
    index_YX: NDArray[Any],
    guess_YX: NDArray[Any],
    distance_YX: Metres,
    pixel_size_m: tuple[float, float],
    reach_m: float,
    units_YX: NDArray[Any] | None = None,
) -> tuple[Mask, NDArray[np.int32]]:
    """Look across the nearest class edge of each known pixel within reach of one.

    Where several classes lie at the same distance, each of them is across the edge.

    Parameters
    ----------
    index_YX, guess_YX, distance_YX, pixel_size_m, reach_m
        As for `error_kinds`.
    units_YX : ndarray of int, optional
        Ids of parcels, or of regions of one class, 0 where there is none. Without them only wrong pixels are looked at.

    Returns
    -------
    tuple of ndarray
        Whether the predicted class lies across the edge, bool; the unit across it, int32, 0 where there is none. Of
        several units at the same distance one of the predicted class is taken, and of these the lowest id.
    """
    index, guess = index_YX.ravel(), guess_YX.ravel()
    asked = (guess_YX >= 0) & (index_YX != guess_YX) if units_YX is None else index_YX >= 0
    swapped = np.zeros(index.size, bool)
    unit, kin = (np.full(0 if units_YX is None else index.size, np.iinfo(np.int32).max, np.int32) for _ in "ab")
    for here, there in _nearest_others(index_YX, asked, distance_YX, pixel_size_m, reach_m):
        same = index[there] == guess[here]
        swapped[here[same]] = True
        if units_YX is not None:
            found = units_YX.ravel()[there].astype(np.int32)
            found[found <= 0] = np.iinfo(np.int32).max
            unit[here] = np.minimum(unit[here], found)
            kin[here[same]] = np.minimum(kin[here[same]], found[same])
    best = np.where(kin < np.iinfo(np.int32).max, kin, unit)
    best[best == np.iinfo(np.int32).max] = 0
    return swapped.reshape(index_YX.shape), best.reshape(index_YX.shape if units_YX is not None else (0, 0))


def _nearest_others(
    index_YX: NDArray[Any], asked_YX: Mask, distance_YX: Metres, pixel_size_m: tuple[float, float], reach_m: float
) -> Iterator[tuple[Pixels, Pixels]]:
    """Yield pixels, each once in a pair, and a known pixel of another class at their distance from the nearest one.

    A pixel's distance to the edge says in which few directions its nearest neighbours of another class can lie.
    """
    height, width = index_YX.shape
    index = index_YX.ravel()
    table = ground_distance(*reach_px(pixel_size_m, reach_m), pixel_size_m)[:, :-1]
    steps = np.round(table.astype(float), TIE_DECIMALS)
    places = np.flatnonzero(asked_YX & (distance_YX <= np.float32(reach_m)))
    distance = np.round(distance_YX.ravel()[places].astype(float), TIE_DECIMALS)
    for value in np.unique(distance):
        pixels = places[distance == value]
        row, col = np.divmod(pixels, width)
        for dy, dx in _mirrored(np.argwhere(steps == value)):
            inside = (row + dy >= 0) & (row + dy < height) & (col + dx >= 0) & (col + dx < width)
            here = pixels[inside]
            there = here + dy * width + dx
            other = (index[there] >= 0) & (index[there] != index[here])
            yield here[other], there[other]


def _mirrored(quadrant: NDArray[Any]) -> set[tuple[int, int]]:
    """Take steps of one quadrant to all four."""
    return {(sy * int(dy), sx * int(dx)) for dy, dx in quadrant for sy in (-1, 1) for sx in (-1, 1)}
