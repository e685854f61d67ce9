"""Parcels that claim the same ground: which they are, whose it is, and where two crops contradict each other.

One rule holds everywhere, whatever the order of a file and the number of workers: ground that several parcels claim
belongs to the smallest of them. So a small parcel inside a large one keeps its pixels. Its crop is known where all who
claim it and declare a crop declare the same one; where they do not, it is unknown.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import shapely
from numpy.typing import NDArray

from cscl.events import Job, Progress

__all__ = ["apart", "common_ground", "overlapping", "precedence"]

AT_ONCE = 2000  # polygons whose neighbours are looked at between two events
FEW = 200  # polygons that are cut between two events
AREA = 2  # digit of a DE-9IM that says that insides share an area

Places = NDArray[np.int64]


def overlapping(geometry: NDArray[Any]) -> Job[tuple[Places, Places]]:
    """Find the pairs of polygons that share an area, by a spatial index.

    Parameters
    ----------
    geometry : ndarray of shapely geometries
        Valid polygons.

    Returns
    -------
    a, b : ndarray of int
        Places of both in `geometry`, a before b.
    """
    tree, found = shapely.STRtree(geometry), []
    for first in range(0, len(geometry), AT_ONCE):
        yield Progress("looking for overlaps", first, len(geometry), "parcel")
        a, b = tree.query(geometry[first : first + AT_ONCE])
        a += first
        a, b = a[a < b], b[a < b]
        share = shapely.relate_pattern(geometry[a], geometry[b], f"{AREA}********")
        found.append(np.stack([a[share], b[share]]).astype(np.int64))
    a, b = np.concatenate(found, axis=1) if found else np.zeros((2, 0), np.int64)
    return a, b


def precedence(geometry: NDArray[Any], code: pd.Series[Any], parcel_id: pd.Series[Any]) -> Places:
    """Put polygons into the order in which they are drawn, one over the other: the smallest comes last.

    Polygons of equal area are ordered by where they lie, by code and by id, so that the order of a file never counts.

    Returns
    -------
    ndarray of int
        Places in `geometry`.
    """
    area = shapely.area(geometry).astype(np.float32)  # equal squares differ in the last digits of a float64
    west, south, east, north = shapely.bounds(geometry).T
    spelt = np.unique(code.fillna("").astype(str).to_numpy(str), return_inverse=True)[1]
    return np.lexsort((parcel_id.to_numpy(), spelt, north, east, south, west, -area)).astype(np.int64)


def apart(geometry: NDArray[Any], order: Places, a: Places, b: Places) -> Job[NDArray[Any]]:
    """Cut from each polygon what belongs to others.

    Parameters
    ----------
    geometry : ndarray of shapely geometries
        Polygons.
    order : ndarray of int
        As `precedence` gives it.
    a, b : ndarray of int
        As `overlapping` gives them.

    Returns
    -------
    ndarray of shapely geometries
        Polygons without common ground; those of which nothing is left are empty.
    """
    rank = np.empty(len(order), np.int64)
    rank[order] = np.arange(len(order))
    loses = np.where(rank[a] < rank[b], a, b)
    wins, by = a + b - loses, np.argsort(loses, kind="stable")
    losers, first = np.unique(loses[by], return_index=True)
    cut, last = geometry.copy(), np.append(first[1:], len(by))
    for number, loser in enumerate(losers):
        if number % FEW == 0:
            yield Progress("cutting overlaps", number, len(losers), "parcel")
        winners = geometry[wins[by[first[number] : last[number]]]]
        cut[loser] = shapely.difference(geometry[loser], shapely.union_all(winners))
    return cut


def common_ground(geometry: NDArray[Any], a: Places, b: Places) -> NDArray[Any]:
    """Cut the polygons out that pairs have in common: multipolygons, without the lines along which they also touch."""
    common = shapely.intersection(geometry[a], geometry[b])
    mixed = np.flatnonzero(shapely.get_type_id(common) == shapely.GeometryType.GEOMETRYCOLLECTION)
    parts, of = shapely.get_parts(common[mixed], return_index=True)
    polygons = shapely.get_type_id(parts) == shapely.GeometryType.POLYGON
    common[mixed] = np.full(len(mixed), shapely.MultiPolygon(), object)
    common[mixed] = shapely.multipolygons(parts[polygons], indices=of[polygons], out=common[mixed])
    return np.asarray(common)
