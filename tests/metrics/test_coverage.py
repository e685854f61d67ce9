"""Coverage of pixels by parcels of their own class, against areas of intersections that shapely makes."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import shapely
from numpy.typing import NDArray

from cscl.metrics.coverage import own_coverage


def segments(shapes: list[Any]) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """Straight pieces of the outlines of polygons in pixels, and which polygon each is of."""
    lines, parcel = shapely.get_parts(shapely.boundary(shapely.orient_polygons(shapes)), return_index=True)
    points, line = shapely.get_coordinates(lines, return_index=True)
    same = line[1:] == line[:-1]
    return np.stack([points[:-1][same], points[1:][same]], 1), parcel[line[1:][same]]


def slow(shapes: list[Any], index_P: list[int], index_YX: NDArray[Any]) -> NDArray[np.float64]:
    """Area of each pixel within the union of the polygons of its class."""
    found = np.full(index_YX.shape, np.nan)
    for row, col in np.argwhere(index_YX >= 0):
        own = [shape for shape, index in zip(shapes, index_P, strict=True) if index == index_YX[row, col]]
        found[row, col] = shapely.box(col, row, col + 1, row + 1).intersection(shapely.union_all(own)).area
    return found


SHAPES = [
    shapely.Polygon([(1.3, 0.7), (7.2, 1.1), (6.5, 6.4), (2.1, 5.9)], [[(3.1, 2.2), (4.9, 2.6), (4.0, 4.3)]]),
    shapely.MultiPolygon([shapely.box(7.5, 2.25, 9.75, 8.5), shapely.Polygon([(0, 7), (3.5, 6.5), (2, 11.5)])]),
    shapely.Point(5.2, 8.1).buffer(2.3),
    shapely.box(-4, -3, 0.5, 2.2),  # leaves the raster to the left and above
    shapely.Polygon([(9.1, 0.2), (14, -2), (13, 12), (9.9, 9.4)]),  # and to the right and below
]


@pytest.mark.parametrize("at_once", [2**22, 60])
def test_areas_are_those_of_intersections(at_once: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("cscl.metrics.coverage.AT_ONCE", at_once)
    index_YX = np.random.default_rng(0).integers(-1, 3, (10, 11))
    classes = [0, 1, 2, 1, 0]
    found = own_coverage(*segments(SHAPES), np.array(classes), index_YX)
    np.testing.assert_allclose(found, slow(SHAPES, classes, index_YX), atol=1e-6)
    part = own_coverage(*segments(SHAPES), np.array(classes), index_YX[3:8, 2:9], (3, 2))
    np.testing.assert_allclose(part, found[3:8, 2:9], atol=1e-6)


def test_the_way_round_does_not_matter_and_overlaps_count_once() -> None:
    square = shapely.box(1, 1, 4, 4)
    index_YX = np.zeros((5, 5), int)
    for shapes in ([square], [square.reverse()], [square, square]):
        lines, parcel = segments(shapes)
        if shapes[0] is not square:
            lines = lines[:, ::-1]
        found = own_coverage(lines, parcel, np.zeros(len(shapes), int), index_YX)
        np.testing.assert_array_equal(found, np.pad(np.ones((3, 3)), 1))


def test_nothing_is_covered_without_parcels_of_known_class() -> None:
    index_YX = np.array([[0, -1]])
    for shapes, classes in (([], []), ([shapely.box(0, 0, 2, 1)], [-1])):
        found = own_coverage(*segments(shapes), np.array(classes, int), index_YX)
        np.testing.assert_array_equal(found, [[0, np.nan]])
