"""Outlines of parcels in the pixels of a grid, for measures that are finer than pixels."""

from __future__ import annotations

from typing import Any

import numpy as np
import shapely
from numpy.typing import NDArray

from cscl.legend import UNKNOWN
from cscl.parcels import Parcels
from cscl.products import LabelMap

__all__ = ["outlines"]


def outlines(parcels: Parcels, labels: LabelMap) -> tuple[NDArray[np.float64], NDArray[Any], NDArray[np.int16]]:
    """Cut the outlines of parcels into straight pieces.

    Returns
    -------
    tuple of ndarray
        Pieces, float64, axes (segment, end, coordinate): column and row in pixels, counted from the upper left corner
        of the upper left pixel, outer rings one way round and holes the other; the row of the parcel of each; and the
        class index of each parcel by its code, negative where the legend of the labels does not know it.
    """
    grid, legend, table = labels.grid, labels.legend, parcels.table
    if table.crs != grid.crs:
        table = table.to_crs(str(grid.crs))
    rings = shapely.boundary(shapely.orient_polygons(table.geometry.values))
    lines, parcel = shapely.get_parts(rings, return_index=True)
    points, line = shapely.get_coordinates(lines, return_index=True)
    back = ~grid.transform
    x, y = points.T
    places = np.stack([back.a * x + back.b * y + back.c, back.d * x + back.e * y + back.f], axis=1)
    same = line[1:] == line[:-1]
    of_code = {crop.code: int(legend.to_index(np.array([crop.id]))[0]) for crop in legend.classes}
    index = np.array([of_code.get(code, UNKNOWN) for code in table["code"]], np.int16)
    return np.stack([places[:-1][same], places[1:][same]], axis=1), parcel[line[1:][same]], index
