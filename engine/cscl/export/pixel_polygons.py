"""Polygons of pixels: outlines of units, and of wrong pixels of one kind that hang together.

Pixels are looked at strip by strip, and what meets at the seam of two strips is joined. Coordinates are columns and
rows (x, y) in corners of pixels, whole numbers, so joining is exact.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator
from typing import Any

import numpy as np
import shapely
from numpy.typing import NDArray
from rasterio.features import shapes
from scipy import ndimage, sparse

from cscl.events import Job, Progress
from cscl.report.kinds import WRONG

__all__ = ["error_regions", "unit_polygons"]

STRIP_PX = 256

Geometries = NDArray[np.object_]


def unit_polygons(units_YX: NDArray[Any], ids: NDArray[np.int64]) -> Job[Geometries]:
    """Outline units along the sides of their pixels.

    Parameters
    ----------
    units_YX : ndarray of int
        Ids of units, axes (y, x).
    ids : ndarray of int
        Units that are wanted, each once.

    Returns
    -------
    ndarray of object
        A polygon, or several in one, for each of `ids`; None where no pixel has it.
    """
    order = np.argsort(ids)
    pieces: dict[int, list[Any]] = {}
    for row, strip in _strips(units_YX):
        yield Progress("outlining pixels", row, len(units_YX), "row")
        at = np.minimum(np.searchsorted(ids[order], strip), len(ids) - 1)
        wanted = ids[order][at] == strip
        for place, polygon in _polygons(order[at].astype(np.int32), wanted, row):
            pieces.setdefault(place, []).append(polygon)
    found = np.full(len(ids), None, object)
    for done, (place, parts) in enumerate(pieces.items()):
        if done % 1000 == 0:
            yield Progress("joining outlines", done, len(pieces), "unit")
        found[place] = parts[0] if len(parts) == 1 else _joined(parts)
    yield Progress("joining outlines", len(pieces), len(pieces), "unit")
    return found


def error_regions(
    kinds_YX: NDArray[np.uint8], least_px: int, units_YX: NDArray[Any] | None = None, within: Collection[int] = ()
) -> Job[tuple[NDArray[np.uint8], Geometries]]:
    """Outline wrong pixels of one kind that hang together along rows and columns, and count at least `least_px`.

    Parameters
    ----------
    kinds_YX : ndarray of uint8
        `cscl.report.kinds.Kind`, axes (y, x).
    least_px : int
        Smaller regions are left out; there are very many of them.
    units_YX : ndarray of int, optional
        Ids of units; with them only the pixels of those in `within` are looked at.
    within : collection of int
        Ids of units.

    Returns
    -------
    tuple of ndarray
        Kind and polygon of each region.
    """
    height, chosen = len(kinds_YX), np.array(sorted(within), np.int64)
    whole: dict[int, list[Any]] = {int(kind): [] for kind in WRONG}
    cut: dict[int, list[Any]] = {int(kind): [] for kind in WRONG}
    for row, strip in _strips(kinds_YX):
        yield Progress("outlining errors", row, height, "row")
        wrong = np.isin(strip, WRONG)
        if units_YX is not None:
            wrong &= np.isin(units_YX[row : row + len(strip)], chosen)
        for kind, polygon in _polygons(strip, _large(strip, wrong, least_px), row):
            _, top, _, bottom = polygon.bounds
            at_seam = (top == row > 0) or (bottom == row + len(strip) < height)
            (cut if at_seam else whole)[kind].append(polygon)
    for kind, parts in cut.items():
        if not parts:
            continue
        whole[kind] += yield from _joined_at_seams(parts)
    kinds = np.repeat(np.array(list(whole), np.uint8), [len(parts) for parts in whole.values()])
    polygons = np.empty(len(kinds), object)
    polygons[:] = [polygon for parts in whole.values() for polygon in parts]
    large = shapely.area(polygons) >= least_px
    return kinds[large], polygons[large]


def _strips(array_YX: NDArray[Any]) -> Iterator[tuple[int, NDArray[Any]]]:
    for row in range(0, len(array_YX), STRIP_PX):
        yield row, array_YX[row : row + STRIP_PX]


def _polygons(values: NDArray[Any], mask: NDArray[np.bool_], row: int) -> Iterator[tuple[int, Any]]:
    """Outline pixels of one value that hang together; the rows of the strip begin at `row`."""
    for outline, value in shapes(values, mask=mask):
        outer, *holes = ([(x, y + row) for x, y in ring] for ring in outline["coordinates"])
        yield int(value), shapely.Polygon(outer, holes)


def _large(strip: NDArray[np.uint8], wrong: NDArray[np.bool_], least_px: int) -> NDArray[np.bool_]:
    """Leave out small regions, which are most of them; those at the first and last row may go on beyond."""
    kept = np.zeros(strip.shape, bool)
    for kind in WRONG:
        regions, count = ndimage.label(wrong & (strip == kind))
        large = np.bincount(regions.ravel(), minlength=count + 1) >= least_px
        large[regions[[0, -1]]] = True
        large[0] = False
        kept |= large[regions]
    return kept


def _joined_at_seams(parts: list[Any]) -> Job[list[Any]]:
    """Join polygons that have a side in common, one group of those that touch after the other."""
    found: list[Any] = []
    one, two = shapely.STRtree(parts).query(parts, predicate="intersects")
    links = sparse.coo_array((np.ones(len(one), np.int8), (one, two)), shape=(len(parts), len(parts)))
    count, group = sparse.csgraph.connected_components(links, directed=False)
    order = np.argsort(group, kind="stable")
    for done, own in enumerate(np.split(order, np.flatnonzero(np.diff(group[order])) + 1)):
        if done % 1000 == 0:
            yield Progress("joining errors", done, count, "group")
        found.extend(shapely.get_parts(_joined([parts[n] for n in own])))  # what meets at a corner stays apart
    return found


def _joined(parts: list[Any]) -> Any:
    """Join polygons, and drop the corners that are left where a seam was."""
    return shapely.simplify(shapely.union_all(parts), 0)
