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

from cscl.legend import UNKNOWN
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
    asked = (guess_YX >= 0) & (index_YX != guess_YX) if units_YX is None else index_YX >= 0
    asked &= distance_YX <= np.float32(reach_m)
    none, border = np.iinfo(np.int32).max, reach_px(pixel_size_m, reach_m)
    asked, index = _bordered(asked, border, False), _bordered(index_YX, border, UNKNOWN)
    guess = _bordered(guess_YX, border, UNKNOWN)
    swapped = np.zeros(index.shape, bool)
    if units_YX is not None:
        units = _bordered(np.where(units_YX > 0, units_YX, none).astype(np.int32), border, none)
        unit, kin = (np.full(index.size, none, np.int32) for _ in "ab")
    for here, there in _nearest_others(asked, index, distance_YX, pixel_size_m, reach_m):
        same = index.ravel()[there] == guess.ravel()[here]
        swapped.ravel()[here[same]] = True
        if units_YX is not None:
            found = units.ravel()[there]
            unit[here] = np.minimum(unit[here], found)
            kin[here[same]] = np.minimum(kin[here[same]], found[same])
    middle = tuple(slice(n, size - n) for n, size in zip(border, index.shape, strict=True))
    if units_YX is None:
        return swapped[middle], np.zeros((0, 0), np.int32)
    best = np.where(kin < none, kin, unit)
    best[best == none] = 0
    return swapped[middle], best.reshape(index.shape)[middle]


def _bordered(layer: NDArray[Any], border: tuple[int, int], value: Any) -> NDArray[Any]:
    """Put so many rows and columns of a value around an array, so that no step leads out of it."""
    found = np.full((layer.shape[0] + 2 * border[0], layer.shape[1] + 2 * border[1]), value, layer.dtype)
    found[border[0] : border[0] + layer.shape[0], border[1] : border[1] + layer.shape[1]] = layer
    return found


def _nearest_others(
    asked: Mask, index: NDArray[Any], distance_YX: Metres, pixel_size_m: tuple[float, float], reach_m: float
) -> Iterator[tuple[Pixels, Pixels]]:
    """Yield pixels, each once in a pair, and a known pixel of another class at their distance from the nearest one.

    A pixel's distance to the edge says in which few directions its nearest neighbours of another class can lie. Pixels
    are counted row after row of `asked` and `index`, which have a border as wide as the reach.
    """
    border = reach_px(pixel_size_m, reach_m)
    table = ground_distance(*border, pixel_size_m)[:, :-1]
    steps = np.round(table.astype(float), TIE_DECIMALS)
    middle = tuple(slice(n, size - n) for n, size in zip(border, index.shape, strict=True))
    places, width, index = np.flatnonzero(asked), index.shape[1], index.ravel()
    distance = np.round(distance_YX[asked[middle]].astype(float), TIE_DECIMALS)
    for value in np.unique(steps):
        pixels = places[distance == value]
        own = index[pixels]
        for dy, dx in _mirrored(np.argwhere(steps == value)) if len(pixels) else ():
            there = pixels + (dy * width + dx)
            class_there = index[there]
            other = (class_there >= 0) & (class_there != own)
            yield pixels[other], there[other]


def _mirrored(quadrant: NDArray[Any]) -> set[tuple[int, int]]:
    """Take steps of one quadrant to all four."""
    return {(sy * int(dy), sx * int(dx)) for dy, dx in quadrant for sy in (-1, 1) for sx in (-1, 1)}
