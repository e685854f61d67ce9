"""Shares: how much of a pixel's area lies in which parcels, measured from the polygons where it is asked for."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np
import shapely
from numpy.typing import NDArray

from cscl.cells import CellAreas, cell_areas
from cscl.grid import GeoBox, Window, crop, tiles

__all__ = ["PixelShares", "in_pixels"]

AT_ONCE_PX = 128  # side of the windows that areas are measured in
DIGITS = 9  # of a share: what lies beyond is what rounding leaves of outlines that run along a pixel's border

Ids = NDArray[np.int32]


@dataclass(frozen=True, eq=False)
class PixelShares:
    """Parcels that share the pixels of a grid.

    Nothing is held but the polygons: a whole tile has 10^8 pixels, and a patch of it is worked out in milliseconds.

    Parameters
    ----------
    geometry : ndarray of shapely geometries
        Polygons in the CRS of the grid that do not overlap: `cscl.overlaps.apart` makes them so.
    parcel_ids : ndarray
        Ids of the polygons, int32, at least 1.
    grid : GeoBox
        Where the pixels lie.
    """

    geometry: NDArray[Any] = field(repr=False)
    parcel_ids: Ids = field(repr=False)
    grid: GeoBox

    def read(self, window: Window, most: int = 2) -> tuple[Ids, NDArray[np.float64]]:
        """Find the parcels with the largest shares, at most so many, in the pixels of a window.

        Returns
        -------
        parcels : ndarray
            Axes (n, y, x), int32: the parcel of the largest share first, of equals the smaller id; 0 for no more.
        share : ndarray
            Axes (n, y, x), float64, 0..1 of the pixel's area, to 1e-9: exactly 1 where a pixel lies in a parcel as a
            whole, exactly 0 where they only touch.
        """
        parcels = np.zeros((most, window.height, window.width), np.int32)
        share = np.zeros(parcels.shape)
        for part in tiles((window.height, window.width), AT_ONCE_PX):
            there = Window(window.row + part.row, window.col + part.col, part.height, part.width)
            cells, ids = self._areas(there)
            area, pixel = cells.area, cells.row * part.width + cells.col
            area = np.where(area.round(DIGITS) == area.round(), area.round(), area)
            some = area > 0
            found = _ranked(pixel[some], ids[cells.box[some]], area[some], part.height * part.width, most)
            shape = most, part.height, part.width
            parcels[:, *part.slices], share[:, *part.slices] = (ranked.reshape(shape) for ranked in found)
        return parcels, share

    def mixed(self, window: Window, least: float = 0.0, *, between: bool = False) -> NDArray[np.bool_]:
        """Find the pixels that no parcel fills: more than `least` of them lies in one, and more than that elsewhere.

        Parameters
        ----------
        window : Window
            Where.
        least : float
            Share of a pixel's area, from 0 up to 0.5.
        between : bool
            Take only pixels in which two parcels have more than `least` each. Else what lies outside of all parcels
            counts like another one.

        Returns
        -------
        ndarray
            Axes (y, x), bool.
        """
        _, (first, second) = self.read(window, 2)
        rest = second if between else 1 - first
        return np.asarray((first > least) & (rest > least))

    @cached_property
    def _tree(self) -> shapely.STRtree:
        return shapely.STRtree(self.geometry)

    def _areas(self, window: Window) -> tuple[CellAreas, Ids]:
        """Areas of parcels in the pixels of a window, and the id of each box of them."""
        there = crop(self.grid, window)
        size = window.width, window.height
        corners = [there.transform @ xy for xy in ((0, 0), (size[0], 0), (0, size[1]), size)]
        near = np.sort(self._tree.query(shapely.MultiPoint(corners).envelope))
        shapes = shapely.orient_polygons(in_pixels(self.geometry[near], there))
        limits = np.array(size * 2)
        x0, y0, x1, y1 = np.clip(np.nan_to_num(shapely.bounds(shapes)), 0, limits).T
        boxes = np.stack([np.floor(y0), np.floor(x0), np.ceil(y1), np.ceil(x1)], 1).astype(np.int64)
        inside = (boxes[:, 2] > boxes[:, 0]) & (boxes[:, 3] > boxes[:, 1])
        shapes, boxes = shapes[inside], boxes[inside]
        parts, of = shapely.get_parts(shapes, return_index=True)  # rings of multipolygons are had of their parts alone
        rings, part = shapely.get_rings(parts, return_index=True)
        points, ring = shapely.get_coordinates(rings, return_index=True)
        same = ring[1:] == ring[:-1]
        pieces = np.stack([points[:-1][same], points[1:][same]], 1)
        return cell_areas(pieces, of[part[ring[1:][same]]], boxes), self.parcel_ids[near][inside]


def in_pixels(geometry: NDArray[Any], grid: GeoBox) -> NDArray[Any]:
    """Return geometries in pixels of a grid: column and row, counted from its upper left corner.

    They are first counted from that corner and then in pixels: of coordinates in whole metres nothing is lost.
    """
    origin, linear = np.array([grid.transform.c, grid.transform.f]), grid.transform
    if linear.b == linear.d == 0:
        size = np.array([linear.a, linear.e])
        return np.asarray(shapely.transform(geometry, lambda xy: (xy - origin) / size))
    back = np.linalg.inv(np.array([[linear.a, linear.b], [linear.d, linear.e]]))
    return np.asarray(shapely.transform(geometry, lambda xy: (xy - origin) @ back.T))


def _ranked(
    pixel: NDArray[Any], parcel: NDArray[Any], share: NDArray[Any], pixels: int, most: int
) -> tuple[Ids, NDArray[np.float64]]:
    """Put shares, in any order, into axes (n, pixel): the largest first, of equals that of the smaller id."""
    order = np.lexsort((parcel, -share.round(DIGITS), pixel))
    pixel, parcel, share = pixel[order], parcel[order], share[order]
    rank = np.arange(len(pixel)) - np.searchsorted(pixel, pixel)
    kept = rank < most
    parcels, shares = np.zeros((most, pixels), np.int32), np.zeros((most, pixels))
    parcels[rank[kept], pixel[kept]] = parcel[kept]
    shares[rank[kept], pixel[kept]] = share[kept]
    return parcels, shares
