"""A map from overlapping tiles: how a raster is cut, and how answers become one map again.

A network sees a margin around each tile that is thrown away, as wide as its receptive field, and tiles lie in steps
that its halvings allow, so a map does not depend on how it was cut. Two things do: norms or attention over a whole
tile, and dates. What seams they leave are blended.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from cscl.grid import Window

__all__ = ["Stitcher", "Tile", "overlapping_tiles"]


@dataclass(frozen=True)
class Tile:
    """One step of a tiled run: what is read, and what of it is written with which weight.

    Parameters
    ----------
    read : Window
        What the network sees of the images, margins included.
    write : Window
        What its answer is good for: the core and half the blend on each inner side. In pixels of the map.
    finer : int
        How many pixels of the map lie along a side of one of the images.
    """

    read: Window
    write: Window
    finer: int = 1

    @property
    def inner(self) -> tuple[slice, slice]:
        """Index of what is written in an answer to what is read."""
        return self.write.within(self.read.refined(self.finer)).slices

    def weights(self, shape: tuple[int, int], blend_px: int) -> NDArray[np.float32]:
        """Weight of each written pixel, axes (y, x): 1 in the core, a linear ramp across the blend.

        Ramps of neighbours add up to 1, so a weighted sum of all tiles is an average. Shape and blend are the map's.
        """
        rows = _ramp(self.write.row, self.write.height, shape[0], blend_px)
        cols = _ramp(self.write.col, self.write.width, shape[1], blend_px)
        return rows[:, None] * cols


def overlapping_tiles(
    shape: tuple[int, int], core_px: int, margin_px: int, blend_px: int, step_px: int = 1, finer: int = 1
) -> list[list[Tile]]:
    """Cut a raster into rows of overlapping tiles, top to bottom. All lengths count pixels of the images.

    Parameters
    ----------
    shape : tuple of int
        Rows and columns.
    core_px : int
        Distance between tiles.
    margin_px : int
        Width that is read around what is written.
    blend_px : int
        Even width over which neighbours blend.
    step_px : int
        What is read starts at multiples of this.
    finer : int
        How many pixels of the map lie along a side of one of the images.
    """
    strips = []
    for row, height in _cuts(shape[0], core_px, blend_px):
        cores = [Window(row, col, height, width) for col, width in _cuts(shape[1], core_px, blend_px)]
        writes = [core.grown(blend_px // 2, shape) for core in cores]
        strips.append([Tile(w.grown(margin_px, shape, step_px), w.refined(finer), finer) for w in writes])
    return strips


class Stitcher:
    """Adds up overlapping tiles and hands out each part of the map once no later tile touches it.

    Of a map only the seams are kept, so that memory grows with its width times the blend, not times the tile.

    Parameters
    ----------
    layers : int
        First axis of the answers.
    shape : tuple of int
        Rows and columns of the map.
    blend_px : int
        Width of a seam, pixels of the map.
    """

    def __init__(self, layers: int, shape: tuple[int, int], blend_px: int) -> None:
        self.shape, self.blend_px = shape, blend_px
        self._below = np.zeros((layers, blend_px, shape[1]), np.float32)
        self._beside = np.zeros((layers, 0, 0), np.float32)

    def add(self, tile: Tile, answer: NDArray[np.float32]) -> tuple[Window, NDArray[np.float32]]:
        """Add a tile, left to right and top to bottom.

        Parameters
        ----------
        tile : Tile
            The next one.
        answer : ndarray
            Axes (layer, y, x): what it has to say where it writes.

        Returns
        -------
        window : Window
            The part of the map that is finished now; parts do not overlap, and make the whole map.
        finished : ndarray
            Axes (layer, y, x), float32: the weighted mean of the answers there.
        """
        return self.add_weighted(tile, answer * tile.weights(self.shape, self.blend_px))

    def add_weighted(self, tile: Tile, sums: NDArray[np.float32]) -> tuple[Window, NDArray[np.float32]]:
        """Add a tile whose answer is multiplied by its weights already, and is written over; otherwise like `add`."""
        write, blend = tile.write, self.blend_px
        left = blend if write.col else 0
        if left:
            sums[:, :, :blend] += self._beside
        if write.row and blend:
            sums[:, :blend, left:] += self._below[:, :, write.cols][:, :, left:]
        height = write.height - (blend if write.row + write.height < self.shape[0] else 0)
        width = write.width - (blend if write.col + write.width < self.shape[1] else 0)
        self._beside = sums[:, :, width:].copy()
        self._below[:, : write.height - height, write.col : write.col + width] = sums[:, height:, :width]
        return Window(write.row, write.col, height, width), sums[:, :height, :width]


def _cuts(length: int, core_px: int, blend_px: int) -> list[tuple[int, int]]:
    """Return starts and lengths; a remainder too short to blend in belongs to the piece before it."""
    starts = [start for start in range(0, length, core_px) if start == 0 or length - start > blend_px]
    return [(start, end - start) for start, end in pairwise([*starts, length])]


def _ramp(start: int, length: int, end: int, blend_px: int) -> NDArray[np.float32]:
    weight = np.ones(length, np.float32)
    if blend_px:
        rise = ((np.arange(blend_px) + 0.5) / blend_px).astype(np.float32)[:length]
        if start > 0:
            weight[: len(rise)] *= rise
        if start + length < end:
            weight[length - len(rise) :] *= rise[::-1]
    return weight
