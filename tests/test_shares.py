"""Shares of parcels in pixels: against areas, overlaps, holes, rotated grids, and where they are asked for."""

from __future__ import annotations

import numpy as np
import pytest
import shapely
from affine import Affine
from shapely.geometry import Point, Polygon, box

from cscl.grid import GeoBox, Window
from cscl.shares import PixelShares

CORNER = Affine(10, 0, 5e5, 0, -10, 5e6)
SHAPE = 7, 9


def placed(shapes: dict[int, Polygon], transform: Affine = CORNER) -> PixelShares:
    """Polygons that are given in pixels (column, row)."""
    world = [shapely.transform(s, lambda xy: np.array([transform @ p for p in xy])) for s in shapes.values()]
    return PixelShares(np.array(world), np.array(list(shapes), np.int32), GeoBox(SHAPE, transform, "EPSG:32631"))


def areas(shapes: dict[int, Polygon], row: int, col: int) -> list[tuple[float, int]]:
    cell, found = box(col, row, col + 1, row + 1), []
    for number, (parcel, shape) in enumerate(shapes.items()):
        later = shapely.union_all(list(shapes.values())[number + 1 :])
        found.append((shape.difference(later).intersection(cell).area, parcel))
    return sorted(found, key=lambda pair: -pair[0])


SHAPES = {
    7: Polygon([(0.3, 0.6), (5.2, 0.1), (4.4, 3.9), (0.9, 3.3)]),
    3: Polygon([(5.2, 0.1), (8.7, 0.4), (8.5, 5.5), (4.4, 3.9)]),
    12: Polygon([(0.9, 3.3), (4.4, 3.9), (8.5, 5.5), (2, 6.6)], [[(3, 4.6), (4.5, 4.8), (4.2, 5.6)]]),
    5: Point(5.1, 3.2).buffer(1.3),  # lies over the others
}


@pytest.mark.parametrize("transform", [CORNER, CORNER * Affine.rotation(20)])
def test_shares_are_areas(transform: Affine) -> None:
    shares = placed(SHAPES, transform)
    parcels, share = shares.read(Window(0, 0, *SHAPE), 3)
    assert parcels.shape == share.shape == (3, *SHAPE) and share.dtype == np.float32
    for row, col in np.ndindex(SHAPE):
        exact = {parcel: area for area, parcel in areas(SHAPES, row, col)}
        found = dict(zip(parcels[:, row, col].tolist(), share[:, row, col].tolist(), strict=True))
        assert all(abs(exact[p] - a) < 0.07 for p, a in found.items() if p), "a side of a pixel has eight points"
        ranked = [area for area, _ in areas(SHAPES, row, col)][:3]
        assert share[:, row, col] == pytest.approx(ranked, abs=0.07)
    two = shares.read(Window(0, 0, *SHAPE))
    assert np.array_equal(two[0], parcels[:2]) and np.array_equal(two[1], share[:2])


def test_a_window_is_a_piece_of_the_whole() -> None:
    shares, window = placed(SHAPES), Window(2, 3, 4, 5)
    for part, whole in zip(shares.read(window), shares.read(Window(0, 0, *SHAPE)), strict=True):
        assert np.array_equal(part, whole[:, *window.slices])


def test_straight_edges_are_exact_and_touching_is_nothing() -> None:
    parcels, share = placed({4: box(1, 1, 3.25, 3), 2: box(3.25, 1, 6, 3.5)}).read(Window(0, 0, *SHAPE))
    assert parcels[:, 1, 3].tolist() == [2, 4] and share[:, 1, 3].tolist() == [0.75, 0.25]
    assert parcels[:, 3, 4].tolist() == [2, 0] and share[:, 3, 4].tolist() == [0.5, 0]
    assert not share[:, 0].any() and not parcels[:, :, 6:].any()
    parcels, share = placed({4: box(1, 1, 3, 3)}).read(Window(3, 3, 2, 2))
    assert not parcels.any() and not share.any()
