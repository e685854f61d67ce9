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

from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy import optimize, sparse

from cscl.report.kinds import Kind

from .boundary import Mask, Metres, ground_distance, reach_px
from .counts import small_numbers
from .judged import WHOLE
from .rows import Rows

__all__ = ["EDGE_MARGIN_PX", "bleed_depth", "edge_lengths", "measured", "signed_displacement"]

STEPS = ((0, 1), (1, 0), (1, 1), (1, -1), (1, 2), (1, -2), (2, 1), (2, -1))
BETWEEN = {
    **{(1, side): ((0, side), (1, 0)) for side in (1, -1)},
    **{(1, 2 * side): ((0, side), (1, side)) for side in (1, -1)},
    **{(2, side): ((1, 0), (1, side)) for side in (1, -1)},
}  # pixels that a slanting step passes
SIDES = STEPS[:2]
BORDER_PX = 2
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
    rows = measured(truth_YX, units_YX, judged_YX, pixel_size_m, inner)
    return pd.DataFrame({name: rows[name] for name in ("a", "b", "edge_m")})


def measured(
    truth_YX: NDArray[Any],
    units_YX: NDArray[Any],
    judged_YX: Mask | None,
    pixel_size_m: tuple[float, float],
    inner: tuple[slice, slice] = WHOLE,
) -> Rows:
    """Measure what `edge_lengths` does, and ``length_m``: along the sides of pixels, in stairs, no gap closed."""
    ids, number = (
        small_numbers(units_YX) if units_YX.dtype.itemsize > 4 else (np.arange(units_YX.max(initial=0) + 1), units_YX)
    )
    layers = _Layers.of(truth_YX, number, judged_YX, inner)
    pairs, metres, sides = [], [], []
    for step, weight in zip(STEPS, _weights_m(pixel_size_m), strict=True):
        here, there = layers.meeting(step)
        one, two = layers.unit[here], layers.unit[there]
        pairs.append((np.minimum(one, two), np.maximum(one, two)))
        metres.append(weight * layers.judged_share(here, there))
        if step in SIDES:
            sides.append(pixel_size_m[SIDES.index(step)] * ((layers.open[here] > 0) & (layers.open[there] > 0)))
    keys = tuple(np.concatenate(side) for side in zip(*pairs, strict=True))
    shape = (len(ids), len(ids))
    smooth = sparse.coo_array((np.concatenate(metres), keys), shape=shape).tocsr().tocoo()
    short = sum(len(of) for of in sides)  # sides of pixels come first, and so their pairs do
    few = tuple(of[:short] for of in keys)
    stairs = sparse.coo_array((np.concatenate(sides), few), shape=shape).tocsr().tocoo()
    a, b = smooth.coords
    length = np.zeros(len(a))
    every, some = (of.coords[0].astype(np.int64) * len(ids) + of.coords[1] for of in (smooth, stairs))
    length[np.searchsorted(every, some)] = stairs.data
    return {"a": ids[a].astype(np.int64), "b": ids[b].astype(np.int64), "edge_m": smooth.data, "length_m": length}


@dataclass(frozen=True, eq=False)
class _Layers:
    """A piece row after row, with a border in which no unit is, so that steps never lead into the next row.

    `open` and `unit` hold the units before and after narrow gaps are closed, 0 where there is none.
    """

    open: NDArray[Any]
    unit: NDArray[Any]
    truth: NDArray[Any]
    judged: Mask | None
    inner: Mask
    width: int

    @classmethod
    def of(
        cls, truth_YX: NDArray[Any], units_YX: NDArray[Any], judged_YX: Mask | None, inner: tuple[slice, slice]
    ) -> _Layers:
        height, width = truth_YX.shape
        inside, counted = np.zeros((2, height + 2 * BORDER_PX, width + 2 * BORDER_PX), bool)
        middle = (slice(BORDER_PX, BORDER_PX + height), slice(BORDER_PX, BORDER_PX + width))
        inside[middle] = True
        counted[middle][inner] = True

        def bordered(layer: NDArray[Any]) -> NDArray[Any]:
            found = np.zeros(inside.shape, layer.dtype)
            found[middle] = layer
            return found.ravel()

        unit, truth = bordered(np.where(truth_YX >= 0, np.maximum(units_YX, 0), 0)), bordered(truth_YX)
        judged = None if judged_YX is None or judged_YX.all() else bordered(judged_YX)
        closed, layers = unit.copy(), [truth] if judged is None else [truth, judged]
        empty = np.flatnonzero(inside.ravel() & (unit == 0))
        for step in (-inside.shape[1], -1, 1, inside.shape[1]):  # unknown ones beside a unit go to it, the last counts
            here = empty[unit[empty + step] > 0]
            closed[here] = unit[here + step]
            for layer in layers:
                layer[here] = layer[here + step]  # what lies there is of a unit, and stays
        return cls(unit, closed, truth, judged, counted.ravel(), inside.shape[1])

    def meeting(self, step: tuple[int, int]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Pixels of the piece and those a step away, where both are of units of different class."""
        shift = step[0] * self.width + step[1]
        here = np.flatnonzero((self.unit[:-shift] != self.unit[shift:]) & self.inner[:-shift])
        there = here + shift
        meet = (self.unit[here] > 0) & (self.unit[there] > 0) & (self.truth[here] != self.truth[there])
        here = here[meet]
        between = [self.unit[here + (y * self.width + x)] > 0 for y, x in BETWEEN.get(step, ())]
        if between:
            here = here[np.logical_or(*between)]
        return here, here + shift

    def judged_share(self, here: NDArray[np.int64], there: NDArray[np.int64]) -> NDArray[np.float64]:
        """Share of the two sides that is judged."""
        if self.judged is None:
            return np.ones(len(here))
        return (self.judged[here].astype(float) + self.judged[there]) / 2


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
