"""How far a class edge has moved: bleed depth of its pixels, and the length that its area is shared out over.

The sign tells the direction. An edge lies between unit a and unit b, a being the lower id; its normal points from a to
b. Displacement is positive where the edge has moved along that normal, so that **a has grown into b**, and negative
where b has grown into a.

*Bleed depth* of a pixel of a shifted boundary: how far from the true edge its far side lies, along the normal there;
as distances to edges are told for centres, this is the distance of its centre and half a pixel more. The greatest
depth of an edge is how far the wrong class reaches.

*Mean displacement* of an edge: area that a has gained less area that it has lost, by length of the edge. Areas of
pixels add up without bias, also where an edge has moved by less than a pixel; the sides of pixels, along which a
slanting edge runs in stairs, do not add up to its length. The length is therefore that of Cauchy and Crofton: the
number of times that lines of several directions cross the edge, each direction by its weight (Boykov and Kolmogorov,
ICCV 2003; Legland et al., Image Analysis and Stereology 2007). Here the lines join pixels that lie (0, 1), (1, 1) or
(1, 2) apart, mirrored and turned, which are eight directions; weights make straight edges of all directions as long as
they are, in the sense of least squares. With square pixels a straight edge is off by -2 to +1 % by its direction, and
by 0 on average (-3 to +2 % with pixels of 10 m x 7.5 m). Neither unknown land nor the scene's border makes an edge.
A gap of one or two unknown pixels between two units, as registers leave them, is closed for the length: an unknown
pixel goes to a unit that it shares a side with. Wider gaps have no length.
"""

from __future__ import annotations

from functools import cache
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy import optimize, sparse

from cscl.report.kinds import Kind

from .boundary import Mask, Metres, ground_distance, reach_px
from .counts import numbered
from .judged import WHOLE

__all__ = ["EDGE_MARGIN_PX", "bleed_depth", "edge_lengths", "signed_displacement"]

STEPS = ((0, 1), (1, 0), (1, 1), (1, -1), (1, 2), (1, -2), (2, 1), (2, -1))
BETWEEN = {
    **{(1, side): ((0, side), (1, 0)) for side in (1, -1)},
    **{(1, 2 * side): ((0, side), (1, side)) for side in (1, -1)},
    **{(2, side): ((1, 0), (1, side)) for side in (1, -1)},
}  # pixels that a slanting step passes
SAME_M = 1e-3
EDGE_MARGIN_PX = 3
"""Rows and columns that must be known around a piece for its lengths of edges to add up."""


def bleed_depth(distance_m: NDArray[np.float32], pixel_size_m: tuple[float, float]) -> NDArray[np.float32]:
    """Tell how far from the edge the far side of pixels lies.

    Parameters
    ----------
    distance_m : ndarray
        What `cscl.metrics.boundary.distance_to_class_edge` gives for their centres, finite, any axes.
    pixel_size_m : tuple of float
        Height and width of a pixel.

    Returns
    -------
    ndarray of float32
        Metres, same axes: the distance between the centres of the pixel and of the nearest one of another class.
    """
    if not distance_m.size:
        return distance_m.astype(np.float32)
    rows, cols = reach_px(pixel_size_m, float(distance_m.max()) + max(pixel_size_m))
    near = ground_distance(rows, cols, pixel_size_m)[:, :-1].ravel()
    dy, dx = np.mgrid[: rows + 1, : cols + 1].astype(float)
    far = np.hypot(dy * pixel_size_m[0], dx * pixel_size_m[1]).ravel()
    order = np.argsort(near, kind="stable")
    at = np.searchsorted(near[order], distance_m - np.float32(SAME_M))
    return np.asarray(far[order][at], np.float32)


def signed_displacement(
    kinds_YX: NDArray[np.uint8],
    distance_YX: Metres,
    units_YX: NDArray[Any],
    across_YX: NDArray[Any],
    pixel_size_m: tuple[float, float],
) -> Metres:
    """Tell how far the wrong class reaches beyond the true edge, pixel by pixel.

    Parameters
    ----------
    kinds_YX : ndarray of uint8
        `cscl.report.kinds.Kind`, axes (y, x).
    distance_YX : ndarray of float32
        To the class edge, metres.
    units_YX, across_YX : ndarray of int
        The pixel's unit and the one across its nearest class edge, 0 where there is none.
    pixel_size_m : tuple of float
        Height and width of a pixel.

    Returns
    -------
    ndarray of float32
        Metres, axes (y, x): the bleed depth of pixels of a shifted boundary, positive where the unit of the lower id
        has grown, negative where that of the higher id has; NaN elsewhere.
    """
    found = np.full(kinds_YX.shape, np.nan, np.float32)
    shifted = (kinds_YX == Kind.SHIFTED) & (across_YX > 0) & (units_YX > 0)
    depth = bleed_depth(distance_YX[shifted], pixel_size_m)
    found[shifted] = np.where(across_YX[shifted] < units_YX[shifted], depth, -depth)
    return found


def edge_lengths(
    truth_YX: NDArray[Any],
    units_YX: NDArray[Any],
    judged_YX: Mask | None,
    pixel_size_m: tuple[float, float],
    inner: tuple[slice, slice] = WHOLE,
) -> pd.DataFrame:
    """Measure the edges between units of different class, stairs smoothed.

    Parameters
    ----------
    truth_YX, units_YX : ndarray of int
        True class indices, negative where unknown, and units, 0 where there is none: of the piece and of
        `EDGE_MARGIN_PX` around it, as far as the scene reaches. Axes (y, x).
    judged_YX : ndarray of bool or None
        Same axes: an edge counts by half for each side that is judged; None for all.
    pixel_size_m : tuple of float
        Height and width of a pixel.
    inner : tuple of slice
        Where the piece lies in the arrays.

    Returns
    -------
    DataFrame
        One row an edge: ``a`` and ``b``, units, a the lower id, and ``edge_m``, metres. Sums over pieces are the
        lengths in the scene.
    """
    ids, of = numbered(units_YX.ravel())
    unit = np.where((truth_YX >= 0) & (units_YX > 0), of.reshape(units_YX.shape).astype(np.int32) + 1, 0)
    source = _closed(unit)
    unit, truth, weights = unit.ravel()[source], truth_YX.ravel()[source], _weights_m(pixel_size_m)
    judged = None if judged_YX is None else judged_YX.ravel()[source].astype(float)
    low, high, metres = [], [], []
    for step, weight in zip(STEPS, weights, strict=True):
        here, there = _meeting(unit, truth, truth_YX.shape, step, inner)
        low.append(np.minimum(unit[here], unit[there]))
        high.append(np.maximum(unit[here], unit[there]))
        share = np.ones(len(here)) if judged is None else (judged[here] + judged[there]) / 2
        metres.append(weight * share)
    pairs = (np.concatenate(low) - 1, np.concatenate(high) - 1)
    found = sparse.coo_array((np.concatenate(metres), pairs), shape=(len(ids), len(ids))).tocsr().tocoo()
    a, b = (ids[at].astype(np.int64) for at in found.coords)
    return pd.DataFrame({"a": a, "b": b, "edge_m": found.data})


def _meeting(
    unit: NDArray[np.int32],
    truth: NDArray[Any],
    shape: tuple[int, ...],
    step: tuple[int, int],
    inner: tuple[slice, slice],
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Pixels of the piece, counted row after row, and those a step away, where both are of units of different class."""
    (top, bottom, _), (left, right, _) = (part.indices(size) for part, size in zip(inner, shape, strict=True))
    width, (dy, dx) = shape[1], step
    first, last, shift = top * width, min(bottom, shape[0] - dy) * width - max(dx, 0), dy * width + dx
    last = max(first, last)
    here = np.flatnonzero(unit[first:last] != unit[first + shift : last + shift]) + first
    col = here % width  # the end of a row is no neighbour of the beginning of the next
    here = here[(col >= max(left, -dx)) & (col < min(right, width - max(dx, 0)))]
    there = here + shift
    meet = (unit[here] > 0) & (unit[there] > 0) & (truth[here] != truth[there])
    between = [here + (y * width + x) for y, x in BETWEEN.get(step, ())]
    if between:
        meet &= np.any([unit[at] > 0 for at in between], axis=0)
    return here[meet], there[meet]


def _closed(unit_YX: NDArray[np.int32]) -> NDArray[np.int64]:
    """Of each pixel, counted row after row, which one stands for it: unknown ones beside a parcel go to the parcel."""
    width, source = unit_YX.shape[1], np.arange(unit_YX.size)
    row, col = np.nonzero(unit_YX == 0)
    for dy, dx in ((-1, 0), (0, -1), (0, 1), (1, 0)):
        y, x = row + dy, col + dx
        inside = np.flatnonzero((y >= 0) & (y < unit_YX.shape[0]) & (x >= 0) & (x < width))
        inside = inside[unit_YX[y[inside], x[inside]] > 0]
        source[row[inside] * width + col[inside]] = y[inside] * width + x[inside]
    return source


@cache
def _weights_m(pixel_size_m: tuple[float, float]) -> tuple[float, ...]:
    """Metres of edge that one crossing is worth, by step.

    A straight edge of length L and normal n crosses L |g . n| / (area of a pixel) of the steps g: there are as many
    pixels in the strip that the step sweeps along it.
    """
    ground = np.array(STEPS) * pixel_size_m
    angle = np.linspace(0, np.pi, 720, endpoint=False)
    normals = np.stack([np.cos(angle), np.sin(angle)])
    crossings = np.abs(ground @ normals).T / (pixel_size_m[0] * pixel_size_m[1])
    return tuple(optimize.nnls(crossings, np.ones(len(angle)))[0].tolist())
