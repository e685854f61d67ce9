"""A map of classes as polygons: one for each region of one class, with no trace of the strips that it is read in.

Coordinates are columns and rows (x, y) of corners of pixels, whole numbers, so what meets at the seam of two strips is
joined exactly. A region is given away as soon as its last row has been seen; only those that go on are held.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import partial
from itertools import chain
from typing import Any

import numpy as np
import shapely
from affine import Affine
from numpy.typing import NDArray
from rasterio.features import shapes
from scipy import sparse

from cscl.aside import side_thread, waited
from cscl.events import Job, Progress
from cscl.grid import Window
from cscl.legend import UNKNOWN

from .sieve import Index, Sieve, connected

__all__ = ["Regions", "polygonise"]

STRIP_PX, SMOOTHED_PX = 2**22, 2**21
LEAST_ROWS = 64

Geometries = NDArray[np.object_]
ReadIndex = Callable[[Window], Index]
ReadConfidence = Callable[[Window], NDArray[np.float32]]


@dataclass(frozen=True, eq=False)
class Regions:
    """Regions of one class each; axis (region,).

    Parameters
    ----------
    index : ndarray of int16
        Index of the class.
    sums : ndarray of float64
        Axes (region, kind): pixels; those that the map gives this class; those of them with a confidence; its sum.
    shapes : ndarray of object
        Polygons; coordinates are columns and rows of corners of pixels.
    """

    index: Index
    sums: NDArray[np.float64]
    shapes: Geometries

    @classmethod
    def none(cls) -> Regions:
        """No regions at all."""
        return cls(np.zeros(0, np.int16), np.zeros((0, 4)), np.zeros(0, object))

    def __len__(self) -> int:
        return len(self.index)

    def take(self, which: NDArray[Any]) -> Regions:
        """Keep some."""
        return Regions(self.index[which], self.sums[which], self.shapes[which])


def polygonise(
    read: ReadIndex, confidence: ReadConfidence, shape: tuple[int, int], sink: Callable[[Regions], None],
    sieve: Sieve, smooth_px: float = 0,
) -> Job[None]:  # fmt: skip
    """Outline all regions of known class.

    Parameters
    ----------
    read, confidence : callable
        Give class indices, negative where unknown, and confidence, NaN where there is none, of a window, axes (y, x).
    shape : tuple of int
        Rows and columns of the map.
    sink : callable
        Takes regions that are complete, some at a time.
    sieve : Sieve
        What is too small.
    smooth_px : float
        Leave out corners whose triangle with the corners beside is smaller than the square of this; 0 keeps the sides
        of pixels. Neighbours keep the same line between them (Visvalingam and Whyatt, on the arcs of the coverage).
        Where a strip ended, a line beside unknown pixels or a region that goes on keeps a corner or two more.
    """
    rows = max(LEAST_ROWS, (SMOOTHED_PX if smooth_px > 0 else STRIP_PX) // shape[1])
    seam = _Seam(smooth_px)
    with side_thread(dropping=True) as thread:
        for first in range(0, shape[0], rows):
            end = min(first + rows, shape[0])
            thirds = [Progress("outlining fields", first + k * (end - first) // 3, shape[0], "row") for k in range(3)]
            yield thirds[0]
            strip = yield from waited(thread.submit(_Strip.of, read, confidence, shape, first, end, sieve), thirds[0])
            outline = partial(strip.smoothed, smooth_px) if smooth_px > 0 else strip.outlined
            polygons = yield from waited(thread.submit(outline), thirds[1])
            sink((yield from waited(thread.submit(seam.pass_by, strip, polygons), thirds[2])))
    yield Progress("outlining fields", shape[0], shape[0], "row")


@dataclass(frozen=True, eq=False)
class _Strip:
    """Rows of a map: the class of each pixel, and the region, from 0 up; `above` and `below` are the rows beside it."""

    first: int
    index: Index
    regions: NDArray[np.int32]
    above: Index | None
    below: Index | None
    classes: Index
    sums: NDArray[np.float64]

    @classmethod
    def of(
        cls, read: ReadIndex, confidence: ReadConfidence, shape: tuple[int, int], first: int, end: int, sieve: Sieve
    ) -> _Strip:
        top, bottom = max(0, first - 1), min(shape[0], end + 1)
        around = sieve.rows(read, shape, top, bottom)
        index = np.ascontiguousarray(around[first - top : end - top])
        regions = (connected(index) - 1).astype(np.int32)
        above, below = around[0] if top < first else None, around[-1] if bottom > end else None
        here = Window(first, 0, end - first, shape[1])
        sure = confidence(here)
        count = int(regions.max()) + 1
        classes = np.empty(count, np.int16)
        classes[regions.ravel()] = index.ravel()
        own = (read(here) == index) & (index >= 0)
        known = own & np.isfinite(sure)
        sums = [
            np.bincount(regions.ravel(), minlength=count),
            *(np.bincount(regions[where], minlength=count) for where in (own, known)),
            np.bincount(regions[known], sure[known], minlength=count),
        ]
        return cls(first, index, regions, above, below, classes, np.stack(sums, axis=1).astype(np.float64))

    def outlined(self) -> Geometries:
        """Outline the regions along the sides of their pixels; None for those of unknown class."""
        return _polygons(self.regions, self.index >= 0, len(self.classes), (0, self.first))

    def smoothed(self, smooth_px: float) -> Geometries:
        """Outline the regions with fewer corners; what two of them share stays shared, also with the next strip.

        A frame of foreign pixels makes the seam an outline of its own, whose corners are where the class changes in
        one of the two rows beside it: the same ones, seen from both strips. They are kept, like all corners where
        three regions meet.
        """
        count, height, width = len(self.classes), *self.regions.shape
        framed = np.empty((height + 2, width + 2), np.int32)
        framed[1:-1, 1:-1] = self.regions
        framed[0, 1:-1], next_one = _frame(self.above, count, width)
        framed[-1, 1:-1], next_one = _frame(self.below, next_one, width)
        framed[:, 0], framed[:, -1] = next_one, next_one + 1
        polygons = _polygons(framed, np.ones(framed.shape, bool), next_one + 2, (-1, self.first - 1))
        # A corner at every side of a pixel, so that neighbours have the same ones.
        dense = shapely.transform(shapely.segmentize(polygons, 1.0), np.rint)
        return np.asarray(shapely.coverage_simplify(dense, smooth_px)[:count], object)


def _frame(row: Index | None, start: int, width: int) -> tuple[NDArray[np.int32], int]:
    """Give numbers to the runs of one class in a row beside the strip, from `start` up; and the next number."""
    if row is None:
        return np.full(width, start, np.int32), start + 1
    runs = np.append(0, np.cumsum(row[1:] != row[:-1])) + start
    return runs.astype(np.int32), int(runs[-1]) + 1


def _polygons(regions: NDArray[np.int32], where: NDArray[np.bool_], count: int, corner: tuple[int, int]) -> Geometries:
    """Outline regions, one polygon each; None for those that are not `where`. The first pixel lies at (x, y)."""
    rings, of_ring = [], []
    for outline, value in shapes(regions, mask=where, transform=Affine.translation(*corner)):
        rings += outline["coordinates"]
        of_ring += [int(value)] * len(outline["coordinates"])
    found = np.full(count, None, object)
    if rings:
        lengths = [len(ring) for ring in rings]
        points = np.fromiter(chain.from_iterable(chain.from_iterable(rings)), float, 2 * sum(lengths)).reshape(-1, 2)
        order = np.argsort(of_ring, kind="stable")  # outer rings come first, and stay so
        linear = shapely.linearrings(points, indices=np.repeat(np.arange(len(rings)), lengths))[order]
        values, at = np.unique(np.array(of_ring)[order], return_inverse=True)
        found[values] = shapely.polygons(linear, indices=at)
    return found


@dataclass(frozen=True, eq=False)
class _Open:
    """A region that goes on below: its class, sums and the polygons of its parts."""

    index: int
    sums: NDArray[np.float64]
    parts: list[Any]


class _Seam:
    """Regions that reach the last row seen."""

    def __init__(self, smooth_px: float) -> None:
        self.smooth_px = smooth_px
        self.open: list[_Open] = []
        self.at = np.zeros(0, np.int64)  # for each column, the place in `open`; UNKNOWN for none

    def pass_by(self, strip: _Strip, polygons: Geometries) -> Regions:
        """Join what a strip continues, hold what goes on below it, and give back what is complete."""
        before = len(self.open)
        group = self._groups(strip, before)
        goes_on = np.zeros(int(group.max(initial=-1)) + 1, bool)
        if strip.below is not None:
            goes_on[group[before + strip.regions[-1][strip.index[-1] >= 0]]] = True
        alone = np.bincount(group, minlength=len(goes_on))[group[before:]] == 1
        simple = alone & ~goes_on[group[before:]] & (strip.classes >= 0)
        complete = Regions(strip.classes, strip.sums, polygons).take(simple)
        rest = np.flatnonzero(~simple & (strip.classes >= 0))
        pieces = [*self.open, *(_Open(int(strip.classes[n]), strip.sums[n], [polygons[n]]) for n in rest)]
        merged = dict(_merged(pieces, group[[*range(before), *(before + rest)]]))
        joined = [region for number, region in merged.items() if not goes_on[number]]
        place = np.full(len(goes_on), UNKNOWN)
        held = [number for number in merged if goes_on[number]]
        place[held] = np.arange(len(held))
        self.open = [merged[number] for number in held]
        known = strip.index[-1] >= 0
        self.at = np.where(known, place[group[before + strip.regions[-1]]], UNKNOWN)
        return self._without_corners(_with(complete, joined, self._joined))

    def _joined(self, parts: list[Any]) -> Any:
        if len(parts) == 1:
            return parts[0]
        whole = shapely.union_all(parts)
        return whole if self.smooth_px > 0 else shapely.simplify(whole, 0)

    def _without_corners(self, regions: Regions) -> Regions:
        """Leave out corners that a seam fixed, on lines between two regions that are both complete."""
        if self.smooth_px == 0 or len(regions) < 2:
            return regions
        return replace(
            regions, shapes=shapely.coverage_simplify(regions.shapes, self.smooth_px, simplify_boundary=False)
        )

    def _groups(self, strip: _Strip, before: int) -> NDArray[np.int64]:
        """Give one number to what hangs together of the open regions, which come first, and the regions of a strip."""
        size = before + len(strip.classes)
        one, two = np.zeros(0, np.int64), np.zeros(0, np.int64)
        if before:
            col = np.flatnonzero(self.at >= 0)
            upper = np.array([region.index for region in self.open])[self.at[col]]
            col = col[upper == strip.index[0, col]]
            one, two = self.at[col], before + strip.regions[0, col]
        links = sparse.coo_array((np.ones(len(one), np.int8), (one, two)), shape=(size, size))
        return np.asarray(sparse.csgraph.connected_components(links, directed=False)[1], np.int64)


def _merged(pieces: list[_Open], group: NDArray[np.int64]) -> Iterator[tuple[int, _Open]]:
    found: dict[int, _Open] = {}
    for number, piece in zip(group.tolist(), pieces, strict=True):
        other = found.get(number)
        if other is None:
            found[number] = replace(piece, parts=list(piece.parts))
        else:
            other.parts.extend(piece.parts)
            found[number] = replace(other, sums=other.sums + piece.sums)
    yield from found.items()


def _with(complete: Regions, joined: list[_Open], join: Callable[[list[Any]], Any]) -> Regions:
    if not joined:
        return complete
    shapes = np.empty(len(joined), object)
    shapes[:] = [join(region.parts) for region in joined]
    return Regions(
        np.append(complete.index, np.array([region.index for region in joined], np.int16)),
        np.concatenate([complete.sums, [region.sums for region in joined]]),
        np.append(complete.shapes, shapes),
    )
