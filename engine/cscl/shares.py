"""Shares: how much of a pixel's area lies in which parcels, worked out from the polygons where it is asked for."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np
import shapely
from affine import Affine
from numpy.typing import NDArray
from rasterio.features import rasterize
from shapely.geometry import box

from cscl.grid import GeoBox, Window

__all__ = ["PixelShares"]

POINTS = 8  # across a pixel: shares are counted in 64ths


@dataclass(frozen=True, eq=False)
class PixelShares:
    """Parcels that share the pixels of a grid.

    Nothing is held but the polygons: a whole tile has 10^8 pixels, and a patch of it is worked out in milliseconds.

    Parameters
    ----------
    geometry : ndarray of shapely geometries
        Polygons in the CRS of the grid. Where they overlap the later one counts, as in `cscl.parcels.rasterise`.
    parcel_ids : ndarray
        Ids of the polygons, int32, at least 1.
    grid : GeoBox
        Where the pixels lie.
    """

    geometry: NDArray[Any] = field(repr=False)
    parcel_ids: NDArray[np.int32] = field(repr=False)
    grid: GeoBox

    def read(self, window: Window, most: int = 2) -> tuple[NDArray[np.int32], NDArray[np.float32]]:
        """Find the parcels with the largest shares, at most so many, in the pixels of a window.

        Returns
        -------
        parcels : ndarray
            Axes (n, y, x), int32: the parcel of the largest share first, of equals the smaller id; 0 for no more.
        share : ndarray
            Axes (n, y, x), float32, 0..1 of the pixel's area, to 1 / 64.
        """
        fine = self._points(window)
        rows = fine.reshape(window.height, POINTS, window.width, POINTS).swapaxes(1, 2)
        points_PS = np.sort(rows.reshape(-1, POINTS**2), axis=1)
        first = np.ones(points_PS.shape, bool)
        first[:, 1:] = points_PS[:, 1:] != points_PS[:, :-1]
        begin = np.flatnonzero(first)
        count = np.diff(begin, append=points_PS.size)
        parcel = points_PS.ravel()[begin]
        order = np.lexsort((parcel, -count, begin // POINTS**2))
        order = order[parcel[order] > 0]
        pixel, parcel, count = (begin // POINTS**2)[order], parcel[order], count[order]
        rank = np.arange(len(pixel)) - np.searchsorted(pixel, pixel)
        kept = rank < most
        parcels = np.zeros((most, len(points_PS)), np.int32)
        share = np.zeros((most, len(points_PS)), np.float32)
        parcels[rank[kept], pixel[kept]] = parcel[kept]
        share[rank[kept], pixel[kept]] = count[kept] / POINTS**2
        shape = most, window.height, window.width
        return parcels.reshape(shape), share.reshape(shape)

    @cached_property
    def _tree(self) -> shapely.STRtree:
        return shapely.STRtree(self.geometry)

    def _points(self, window: Window) -> NDArray[np.int32]:
        """Parcels at the points of a window, axes (y, x), 8 along each side of a pixel; 0 outside of all."""
        place = self.grid.transform @ Affine.translation(window.col, window.row)
        shape = window.height * POINTS, window.width * POINTS
        corners = [place @ xy for xy in ((0, 0), (window.width, 0), (window.width, window.height), (0, window.height))]
        bounds = shapely.Polygon(corners).bounds
        near = np.sort(self._tree.query(box(*bounds)))
        pieces = shapely.clip_by_rect(self.geometry[near], *bounds)
        # Pieces that only touch are lines and points, which would be burned as such.
        burned = [(p, i) for p, i in zip(pieces, self.parcel_ids[near], strict=True) if shapely.area(p)]
        if not burned:
            return np.zeros(shape, np.int32)
        points: NDArray[np.int32] = rasterize(
            burned, shape, fill=0, transform=place @ Affine.scale(1 / POINTS), dtype="int32"
        )
        return points
