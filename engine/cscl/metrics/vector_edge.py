"""Exact distances from pixels to the vector edge: to the digitised outlines of parcels of another class.

Edges read off a raster lie at the borders of pixels, up to half a pixel beside the land's. The vector edge is the line
as it was digitised: **for a pixel of a known class, the outline of the nearest parcel whose class is known and differs
from the pixel's.** Where two parcels share a border, that border is the edge. Registers often leave gaps of some
metres between neighbours, for ditches, tracks and margins: there the edge is the far side of the gap, so that the gap
is part of the way, as unknown pixels are for the class edge of a raster (`cscl.metrics.boundary`). Outlines towards
land that no parcel covers make no edge of themselves, nor do those of parcels of the same class or of unknown class.

Distances to outlines whatever grows on either side, the pixel's own parcel included, are told apart from these.

A pixel's distance is that of its centre to the nearest point of a straight piece of an outline, on the ground. All
pieces within reach are compared, a tile of pixels at a time; nothing is rasterised or sampled.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .boundary import Metres

__all__ = ["Outlines"]

Values = NDArray[np.float64]
Numbers = NDArray[np.int64]

LONGEST_PX = 32.0
CELL_PX = 256
TILE_PX = 8
AT_ONCE = 2**11


@dataclass(frozen=True, eq=False)
class Outlines:
    """Straight pieces of the outlines of parcels, sorted by where they lie.

    Parameters
    ----------
    start, end : ndarray of float
        Axes (piece, coordinate): column and row in pixels, from the upper left corner of the upper left pixel.
    index : ndarray of int
        Axis (piece,): class index of the parcel, negative where unknown.
    first : ndarray of int
        Number of the first piece of each cell of `CELL_PX` pixels, row of cells after row, and of all pieces.
    cells : tuple of int
        Rows and columns of cells.
    """

    start: Values = field(repr=False)
    end: Values = field(repr=False)
    index: NDArray[np.int16] = field(repr=False)
    first: Numbers = field(repr=False)
    cells: tuple[int, int]

    @classmethod
    def of(cls, segments_SEX: Values, index_S: NDArray[Any], shape: tuple[int, int]) -> Outlines:
        """Sort pieces of outlines.

        Parameters
        ----------
        segments_SEX : ndarray of float
            Axes (segment, end, coordinate): column and row of both ends in pixels, as for
            `cscl.metrics.mixed.crossed_pixels`. They may leave the raster; as many may be far outside as like.
        index_S : ndarray of int
            Axis (segment,): class index of the parcel, negative where unknown.
        shape : tuple of int
            Rows and columns of the raster.
        """
        length = np.hypot(*(segments_SEX[:, 1] - segments_SEX[:, 0]).T)
        parts = np.maximum(1, np.ceil(length / LONGEST_PX)).astype(np.int64)
        of = np.repeat(np.arange(len(parts)), parts)
        number = np.arange(len(of)) - np.repeat(np.cumsum(parts) - parts, parts)
        way = (segments_SEX[:, 1] - segments_SEX[:, 0])[of]
        start = segments_SEX[of, 0] + way * (number / parts[of])[:, None]
        end = segments_SEX[of, 0] + way * ((number + 1) / parts[of])[:, None]
        rows, cols = (max(1, -(-size // CELL_PX)) for size in shape)
        middle = np.floor((start + end) / 2 / CELL_PX).astype(np.int64)
        cell = np.clip(middle[:, 1], 0, rows - 1) * cols + np.clip(middle[:, 0], 0, cols - 1)
        order = np.argsort(cell, kind="stable")
        first = np.searchsorted(cell[order], np.arange(rows * cols + 1))
        return cls(start[order], end[order], np.asarray(index_S, np.int16)[of][order], first, (rows, cols))

    def distances(
        self,
        index_YX: NDArray[Any],
        corner: tuple[int, int],
        pixel_size_m: tuple[float, float],
        reach_m: float,
    ) -> tuple[Metres, Metres]:
        """Measure the distance of each pixel of known class to the vector edge, and to any outline.

        Parameters
        ----------
        index_YX : ndarray of int
            Class indices of a piece of the raster, axes (y, x), negative where unknown.
        corner : tuple of int
            Row and column of the piece in the raster.
        pixel_size_m : tuple of float
            Height and width of a pixel.
        reach_m : float
            How far to look; time grows with it.

        Returns
        -------
        tuple of ndarray
            Metres, float32, axes (y, x): to the nearest outline of a parcel of another class, and to the nearest
            outline of any parcel. Inf where none lies within `reach_m`, NaN where the class is unknown.
        """
        height, width = index_YX.shape
        rows, cols = -(-height // TILE_PX), -(-width // TILE_PX)
        padded = np.full((rows * TILE_PX, cols * TILE_PX), -1, np.int16)
        padded[:height, :width] = index_YX
        tiles = _tiled(padded, rows, cols)
        wanted: NDArray[np.bool_] = np.any(tiles >= 0, axis=1)
        piece, tile = self._pairs(wanted, corner, (rows, cols), pixel_size_m, reach_m)
        edge, outline = (np.full(tiles.shape, np.inf, np.float32) for _ in "ab")
        order = np.lexsort((self.index[piece], tile))
        piece, tile = piece[order], tile[order]
        new = np.ones(len(tile), bool)
        new[1:] = (tile[1:] != tile[:-1]) | (self.index[piece[1:]] != self.index[piece[:-1]])
        groups = np.append(np.flatnonzero(new), len(tile))
        for low, high in _chunks(groups):
            part, at = slice(groups[low], groups[high]), tile[groups[low:high]]
            squared = self._squared(piece[part], tile[part], cols, corner, pixel_size_m)
            nearest = np.minimum.reduceat(squared, groups[low:high] - groups[low], axis=0)
            first = np.flatnonzero(np.append(True, at[1:] != at[:-1]))
            for total, values in (
                (outline, nearest),
                (edge, self._others(nearest, piece[groups[low:high]], tiles[at])),
            ):
                total[at[first]] = np.minimum(total[at[first]], np.minimum.reduceat(values, first, axis=0))
        edge_m, outline_m = (
            _metres(values, padded, rows, cols, reach_m)[:height, :width] for values in (edge, outline)
        )
        return edge_m, outline_m

    def _others(self, nearest: Metres, piece: Numbers, tiles: NDArray[np.int16]) -> Metres:
        """Leave out distances to parcels of the pixel's own class or of unknown class."""
        index = self.index[piece][:, None]
        return np.where((index >= 0) & (index != tiles), nearest, np.float32(np.inf))

    def _pairs(
        self,
        wanted: NDArray[np.bool_],
        corner: tuple[int, int],
        tiles: tuple[int, int],
        pixel_size_m: tuple[float, float],
        reach_m: float,
    ) -> tuple[Numbers, Numbers]:
        """Pieces and tiles that may lie within reach of each other."""
        near = self._near(corner, (tiles[0] * TILE_PX, tiles[1] * TILE_PX), pixel_size_m, reach_m)
        size, margin = np.array(pixel_size_m[::-1]), reach_m / np.array(pixel_size_m[::-1])
        ends = np.stack([self.start[near], self.end[near]]) - corner[::-1]
        low = np.floor((ends.min(0) - margin - 0.5) / TILE_PX).astype(np.int64).clip(0)
        high = np.floor((ends.max(0) + margin + 0.5) / TILE_PX).astype(np.int64).clip(-1, np.array(tiles[::-1]) - 1)
        span = (high - low + 1).clip(0)
        count = span.prod(1)
        of = np.repeat(np.arange(len(near)), count)
        number = np.arange(len(of)) - np.repeat(np.cumsum(count) - count, count)
        col, row = low[of, 0] + number % span[of, 0], low[of, 1] + number // span[of, 0]
        tile = row * tiles[1] + col
        centre = (np.stack([col, row], 1) + 0.5) * TILE_PX
        away = _distance(centre * size, ends[0][of] * size, ends[1][of] * size)
        close = wanted[tile] & (away <= reach_m + np.hypot(*size) * TILE_PX / 2)
        return near[of[close]], tile[close]

    def _near(
        self, corner: tuple[int, int], shape_px: tuple[int, int], pixel_size_m: tuple[float, float], reach_m: float
    ) -> Numbers:
        """Pieces that may lie within reach of a window."""
        found = [np.zeros(0, np.int64)]
        spans = []
        for axis in (0, 1):
            margin = reach_m / pixel_size_m[axis] + LONGEST_PX
            low = int((corner[axis] - margin) // CELL_PX)
            high = int((corner[axis] + shape_px[axis] + margin) // CELL_PX)
            spans.append((min(max(low, 0), self.cells[axis] - 1), min(max(high, 0), self.cells[axis] - 1)))
        for row in range(spans[0][0], spans[0][1] + 1):
            first, last = (self.first[row * self.cells[1] + col] for col in (spans[1][0], spans[1][1] + 1))
            found.append(np.arange(first, last))
        return np.concatenate(found)

    def _squared(
        self, piece: Numbers, tile: Numbers, cols: int, corner: tuple[int, int], pixel_size_m: tuple[float, float]
    ) -> Metres:
        """Squared distances of the centres of a tile's pixels to a piece: axes (pair, pixel), counted from the tile."""
        size = np.array(pixel_size_m[::-1])
        origin = np.stack([tile % cols, tile // cols], 1) * TILE_PX + np.array(corner[::-1])
        start, way = (self.start[piece] - origin) * size, (self.end[piece] - self.start[piece]) * size
        length = np.hypot(*way.T)
        unit = np.divide(way, length[:, None], out=np.zeros_like(way), where=length[:, None] > 0)
        unit[length == 0, 0] = 1.0
        x, y = ((np.arange(TILE_PX) + 0.5) * side for side in size)
        dx, dy = x[None] - start[:, :1], y[None] - start[:, 1:]
        ux, uy = unit[:, :1], unit[:, 1:]
        along = ((dy * uy).astype(np.float32)[:, :, None] + (dx * ux).astype(np.float32)[:, None]).reshape(
            len(piece), -1
        )
        across = ((dy * ux).astype(np.float32)[:, :, None] - (dx * uy).astype(np.float32)[:, None]).reshape(
            len(piece), -1
        )
        beyond = along - length.astype(np.float32)[:, None]
        np.maximum(beyond, -along, out=beyond)
        np.maximum(beyond, 0, out=beyond)
        across *= across
        beyond *= beyond
        squared: Metres = across + beyond
        return squared


def _distance(point: Values, start: Values, end: Values) -> Values:
    """Distance from points to straight pieces, one each."""
    way = end - start
    square = (way**2).sum(1)
    share = np.divide(((point - start) * way).sum(1), square, out=np.zeros(len(way)), where=square > 0).clip(0, 1)
    return np.asarray(np.hypot(*(point - start - share[:, None] * way).T))


def _chunks(groups: Numbers) -> Iterator[tuple[int, int]]:
    """Cut groups of pairs, given by their beginnings and the end, into runs of about `AT_ONCE` pairs."""
    low = 0
    while low < len(groups) - 1:
        high = max(low + 1, int(np.searchsorted(groups, groups[low] + AT_ONCE, side="right")) - 1)
        yield low, high
        low = high


def _tiled(values: NDArray[Any], rows: int, cols: int) -> NDArray[Any]:
    """From axes (y, x) to (tile, pixel)."""
    return values.reshape(rows, TILE_PX, cols, TILE_PX).swapaxes(1, 2).reshape(rows * cols, TILE_PX**2)


def _metres(squared: Metres, index_YX: NDArray[np.int16], rows: int, cols: int, reach_m: float) -> Metres:
    """From squares, axes (tile, pixel), to distances, axes (y, x)."""
    away: Metres = np.sqrt(squared.reshape(rows, cols, TILE_PX, TILE_PX).swapaxes(1, 2).reshape(index_YX.shape))
    away[away > np.float32(reach_m)] = np.inf
    away[index_YX < 0] = np.nan
    return away
