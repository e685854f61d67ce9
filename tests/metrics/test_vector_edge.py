"""Distances to outlines against shapely's, pixel by pixel, in pieces too, and small cases by hand."""

from __future__ import annotations

import math

import numpy as np
import pytest
import shapely

from cscl.metrics.vector_edge import Outlines

SHAPE = (45, 70)


def segments(polygons: list[shapely.Polygon]) -> tuple[np.ndarray, np.ndarray]:
    """Straight pieces, and the polygon of each."""
    rings = [(ring, n) for n, p in enumerate(polygons) for ring in (p.exterior, *p.interiors)]
    pieces = [np.stack([np.array(ring.coords)[:-1], np.array(ring.coords)[1:]], 1) for ring, _ in rings]
    return np.concatenate(pieces), np.repeat([n for _, n in rings], [len(piece) for piece in pieces])


def field_of(seed: int) -> tuple[list[shapely.Polygon], np.ndarray]:
    """Slanting parcels with gaps of half a pixel, one with a hole, partly outside; classes, some unknown."""
    rng = np.random.default_rng(seed)
    points = rng.random((14, 2)) * SHAPE[::-1]
    cells = shapely.voronoi_polygons(shapely.multipoints(points), extend_to=shapely.box(-20, -20, 90, 65)).geoms
    polygons = [cell.buffer(-0.25) for cell in cells]
    polygons[3] = polygons[3].difference(polygons[3].centroid.buffer(2))
    return polygons, rng.integers(-1, 3, len(polygons))


def expected(
    polygons: list[shapely.Polygon], classes: np.ndarray, index: np.ndarray, size: tuple[float, float], reach: float
) -> tuple[np.ndarray, np.ndarray]:
    lines = [shapely.transform(p.boundary, lambda xy: xy * size[::-1]) for p in polygons]
    y, x = np.mgrid[: SHAPE[0], : SHAPE[1]] + 0.5
    points = shapely.points(x * size[1], y * size[0])
    edge, outline = np.full(SHAPE, math.inf), np.full(SHAPE, math.inf)
    for line, own in zip(lines, classes, strict=True):
        away = shapely.distance(line, points)
        outline = np.minimum(outline, away)
        if own >= 0:
            edge = np.where(index != own, np.minimum(edge, away), edge)
    return tuple(np.where(index < 0, np.nan, np.where(d > reach, math.inf, d)) for d in (edge, outline))


@pytest.mark.parametrize("size", [(10.0, 10.0), (10.0, 7.5), (3.0, 20.0)])
@pytest.mark.parametrize("reach", [15.0, 80.0])
def test_against_shapely(size: tuple[float, float], reach: float) -> None:
    polygons, classes = field_of(1)
    pieces, of = segments(polygons)
    rng = np.random.default_rng(2)
    index = np.kron(rng.integers(-1, 3, (9, 14)), np.ones((5, 5), int))  # nothing says that labels fit the polygons
    outlines = Outlines.of(pieces, classes[of], SHAPE)
    edge, outline = expected(polygons, classes, index, size, reach)
    whole = outlines.distances(index, (0, 0), size, reach)
    assert np.isfinite(edge).mean() > 0.2 and np.isinf(edge).any()
    np.testing.assert_allclose(whole[0], edge, atol=1e-3)
    np.testing.assert_allclose(whole[1], outline, atol=1e-3)
    for row in range(0, SHAPE[0], 13):
        for col in range(0, SHAPE[1], 30):
            part = slice(row, row + 13), slice(col, col + 30)
            for cut, uncut in zip(outlines.distances(index[part], (row, col), size, reach), whole, strict=True):
                np.testing.assert_allclose(cut, uncut[part], atol=1e-3)


def test_a_gap_is_part_of_the_way() -> None:
    """Pixels of 10 m, parcels at 0-42 m and at 48-100 m; a third of unknown class below, and one of the same class."""
    boxes = [
        shapely.box(0, 0, 4.2, 2),
        shapely.box(4.8, 0, 10, 2),
        shapely.box(0, 2, 10, 4),
        shapely.box(0, -2, 4.2, 0),
    ]
    pieces, of = segments(boxes)
    index = np.repeat([0, 0, 0, 0, -1, 1, 1, 1, 1, 1], 2).reshape(10, 2).T
    edge, outline = Outlines.of(pieces, np.array([0, 1, -1, 0])[of], (2, 10)).distances(index, (0, 0), (10, 10), 40.0)
    np.testing.assert_allclose(edge, [[np.inf, 33, 23, 13, np.nan, 13, 23, 33, np.inf, np.inf]] * 2, atol=1e-3)
    np.testing.assert_allclose(outline, [[5, 5, 5, 5, np.nan, 5, 5, 5, 5, 5]] * 2, atol=1e-3)


def test_long_pieces_points_and_none_at_all() -> None:
    index = np.zeros((4, 600), int)
    long = np.array([[[-5000.0, 2.3], [9000.0, 2.3]], [[100.5, 0.5], [100.5, 0.5]]])
    edge, outline = Outlines.of(long, np.array([1, 0]), index.shape).distances(index, (0, 0), (10, 10), 30.0)
    np.testing.assert_allclose(edge, np.abs(np.arange(4) + 0.5 - 2.3)[:, None].repeat(600, 1) * 10, atol=1e-2)
    assert outline[0, 100] == 0 and outline[0, 0] == pytest.approx(18, abs=1e-2)
    none = Outlines.of(np.zeros((0, 2, 2)), np.zeros(0, int), index.shape).distances(index, (0, 0), (10, 10), 30.0)
    assert all(np.isinf(distance).all() and distance.shape == index.shape for distance in none)
    unknown = Outlines.of(long, np.array([1, 0]), index.shape).distances(index - 1, (0, 0), (10, 10), 30.0)
    assert all(np.isnan(distance).all() for distance in unknown)
