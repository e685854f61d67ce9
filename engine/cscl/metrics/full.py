"""The full report on a map: what takes longer than the default report, and what needs the map as a whole.

Two kinds of measures are told apart:

* sums over pixels and over pieces of edges: boundary F1, normalised surface dice, tolerant accuracy. `FullTally` counts
  them block by block, and the figures are those of the map in one piece. So are distances between edges as far as the
  reach; what lies further says so;
* measures of objects, which blocks would cut: errors of segmentation, Hoover's counts, objects by IoU, panoptic
  quality. `object_parts` needs the whole map at once.

`full_parts` makes all of them of three arrays.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cscl.events import Job, Progress
from cscl.grid import Window, tile_count, tiles
from cscl.legend import UNKNOWN, Legend
from cscl.report import Part

from .edge_parts import edge_part, tolerant_part
from .judged import WHOLE
from .object_parts import object_parts
from .surface import SurfaceTally, surface_margin_px
from .tolerance import ToleranceTally

__all__ = ["REACH_M", "TOLERANCES_M", "FullTally", "full_margin_px", "full_parts", "object_parts"]

TOLERANCES_M = (10.0, 20.0)
REACH_M = 200.0
"""How far edges are looked for, metres: with blocks of 512 pixels of 10 m this reads a sixth more pixels."""

BLOCK_PX = 512


@dataclass(frozen=True, eq=False)
class FullTally:
    """Counts of some pieces of a map, which add up.

    Parameters
    ----------
    corners, pixels : SurfaceTally
        Distances between edges as contours (surface dice, HD95, average distance) and as pixels (boundary F1).
    tolerant : ToleranceTally
        Judged pixels by the tolerance at which they are right.
    """

    corners: SurfaceTally = field(repr=False)
    pixels: SurfaceTally = field(repr=False)
    tolerant: ToleranceTally = field(repr=False)

    @classmethod
    def of(
        cls,
        truth_YX: NDArray[Any],
        guess_YX: NDArray[Any],
        *,
        classes: int,
        pixel_size_m: tuple[float, float],
        inner: tuple[slice, slice] = WHOLE,
        reach_m: float = REACH_M,
    ) -> FullTally:
        """Count a piece.

        Parameters
        ----------
        truth_YX, guess_YX : ndarray of int
            True and predicted class indices, axes (y, x), negative where unknown or not predicted: **both** of the
            piece and of `full_margin_px` around it, as far as the scene reaches. Pixels that are not to be judged are
            given as not predicted: then they make no edge either.
        classes : int
            How many classes there are.
        pixel_size_m : tuple of float
            Height and width of a pixel.
        inner : tuple of slice
            Where the piece lies in the arrays.
        reach_m : float
            How far to look for edges, metres; ``math.inf`` only where the piece is the whole scene.
        """
        edges: dict[str, Any] = {"classes": classes, "pixel_size_m": pixel_size_m, "inner": inner}
        near = max(TOLERANCES_M)
        return cls(
            SurfaceTally.of(truth_YX, guess_YX, elements="corners", reach_m=reach_m, **edges),
            SurfaceTally.of(truth_YX, guess_YX, elements="pixels", reach_m=near, **edges),
            ToleranceTally.of(truth_YX, guess_YX[inner], tolerances_m=TOLERANCES_M, **edges),
        )

    def __add__(self, other: FullTally) -> FullTally:
        return FullTally(
            self.corners + other.corners, self.pixels + other.pixels, self.tolerant + other.tolerant
        )  # fmt: skip

    def parts(self, legend: Legend) -> tuple[Part, ...]:
        """Read the parts "edge_distances" and "tolerant_accuracy" off the counts; classes in the order of `legend`."""
        corners, pixels = (tally.result(TOLERANCES_M) for tally in (self.corners, self.pixels))
        return edge_part(corners, pixels, self.corners.reach_m, legend), tolerant_part(self.tolerant.result(), legend)


def full_margin_px(pixel_size_m: tuple[float, float], reach_m: float = REACH_M) -> int:
    """Pixels of labels and map that must be read around a piece, so that no edge that matters to it is missed."""
    return max(surface_margin_px(pixel_size_m, max(reach_m, *TOLERANCES_M)))


def full_parts(
    truth_YX: NDArray[Any],
    guess_YX: NDArray[Any],
    parcels_YX: NDArray[Any] | None,
    *,
    legend: Legend,
    pixel_size_m: tuple[float, float],
    judged_YX: NDArray[np.bool_] | None = None,
    reach_m: float = REACH_M,
    block_px: int = BLOCK_PX,
) -> Job[tuple[Part, ...]]:
    """Make all parts of the full report, in the order of reading.

    Parameters
    ----------
    truth_YX, guess_YX : ndarray of int
        True and predicted class indices of the whole scene, axes (y, x), negative where unknown or not predicted.
    parcels_YX : ndarray of int or None
        Parcel ids, 0 outside all parcels. None: regions of one true class stand in for parcels.
    legend : Legend
        The classes, in the order of the indices.
    pixel_size_m : tuple of float
        Height and width of a pixel.
    judged_YX : ndarray of bool, optional
        Pixels that are judged; the others make neither edges nor objects. By default all.
    reach_m : float
        How far to look for edges, metres.
    block_px : int
        Side of the blocks in which edges are counted; it changes the memory and no figure.
    """
    tally, size, shape = None, {"pixel_size_m": pixel_size_m}, truth_YX.shape
    margin = full_margin_px(pixel_size_m, reach_m) if math.isfinite(reach_m) else max(shape)
    step = block_px if math.isfinite(reach_m) else max(shape)
    total = tile_count(shape, step)
    for number, block in enumerate(tiles(shape, step), 1):
        seen = block.grown(margin, shape)
        truth, guess = truth_YX[seen.slices], _judged(guess_YX, judged_YX, seen)
        piece = FullTally.of(
            truth, guess, classes=len(legend), inner=block.within(seen).slices, reach_m=reach_m, **size
        )
        tally = piece if tally is None else tally + piece
        yield Progress("measuring edges", number, total, "block")
    edges = () if tally is None else tally.parts(legend)
    objects = yield from object_parts(truth_YX, guess_YX, parcels_YX, legend=legend, judged_YX=judged_YX, **size)
    return (*edges, *objects)


def _judged(guess_YX: NDArray[Any], judged_YX: NDArray[np.bool_] | None, seen: Window) -> NDArray[Any]:
    guess = guess_YX[seen.slices]
    return guess if judged_YX is None else np.where(judged_YX[seen.slices], guess, UNKNOWN)
