"""Images and the parcels on them, rasterised where they are asked for: a window at a time, never the whole tile."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray
from shapely.geometry import box

from cscl.burning import on_grid, rasterise, rasterising
from cscl.cube import SITSCube
from cscl.events import Job
from cscl.grid import GeoBox, Window, crop, refined
from cscl.legend import Legend
from cscl.parcels import Parcels
from cscl.products import LabelMap

__all__ = ["Ground", "cut", "ground_of", "mixed"]

HAIR = 1e-6  # share of a pixel that does not count: vertices on the edges of pixels are rounded


@dataclass(frozen=True, eq=False)
class Ground:
    """One cube, its parcels and the classes that count.

    Parameters
    ----------
    name : str
        Name of the scene, unique in its dataset.
    cube : SITSCube
        The images.
    parcels : Parcels
        In the CRS of the images, every vertex reprojected: windows of both then have the same four corners.
    legend : Legend
        Classes of the dataset.
    """

    name: str
    cube: SITSCube = field(repr=False)
    parcels: Parcels = field(repr=False)
    legend: Legend = field(repr=False)

    def labels(self, window: Window, finer: int = 1) -> LabelMap:
        """Rasterise the parcels of a window, in pixels `finer` times as fine; axes (y, x).

        A window without parcels is unknown as a whole.
        """
        grid = refined(crop(self.cube.grid, window), finer)
        table = self.parcels.table
        near = table.sindex.query(box(*grid.boundingbox.bbox), predicate="intersects", sort=True)
        if not len(near):
            return _blank(grid, self.legend)
        return rasterise(replace(self.parcels, table=table.iloc[near]), grid, self.legend)


def ground_of(name: str, cube: SITSCube, parcels: Parcels, legend: Legend) -> Job[Ground]:
    """Bring the parcels that touch the images into their CRS.

    Raises
    ------
    GridError
        If there are none.
    """
    table = yield from on_grid(parcels, cube.grid)
    if table.empty:
        yield from rasterising(parcels, cube.grid, legend)  # says where both lie
    table.sindex.query(box(0, 0, 0, 0))  # made now: several threads will ask for it
    return Ground(name, cube, replace(parcels, table=table), legend)


def _blank(grid: GeoBox, legend: Legend) -> LabelMap:
    ids = np.full(tuple(grid.shape), legend.ignore, legend.dtype)
    return LabelMap(ids, grid, legend, np.zeros(ids.shape, np.int32))


def mixed(labels: LabelMap, window: Window) -> NDArray[np.bool_]:
    """Say which pixels of a window of labels lie in a parcel with a part only; axes (y, x).

    A pixel that touches no parcel is not mixed. Shares are those of the pixel's area.
    """
    if labels.shares is None:
        return np.zeros((window.height, window.width), bool)
    return labels.shares.mixed(window, HAIR)


def cut(block: Window, patch_px: int, step_px: int) -> Iterator[Window]:
    """Yield the patches of a block, row by row; what is left over at its right and lower edge is in none."""
    for row in range(block.row, block.row + block.height - patch_px + 1, step_px):
        for col in range(block.col, block.col + block.width - patch_px + 1, step_px):
            yield Window(row, col, patch_px, patch_px)
