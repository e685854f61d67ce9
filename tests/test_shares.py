"""Shares of parcels in pixels: against areas known by hand and by polygons, for every form and any grid."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import shapely
from affine import Affine
from numpy.typing import NDArray
from shapely.geometry import MultiPolygon, Point, Polygon, box

from cscl.events import run
from cscl.grid import GeoBox, Window
from cscl.overlaps import apart, overlapping
from cscl.shares import PixelShares

CORNER = Affine(10, 0, 5e5, 0, -10, 5e6)
SHAPE = 7, 9
ALL = Window(0, 0, *SHAPE)


def placed(shapes: dict[int, Any], transform: Affine = CORNER) -> PixelShares:
    """Polygons that are given in pixels (column, row)."""
    world = [shapely.transform(s, lambda xy: np.array([transform @ tuple(p) for p in xy])) for s in shapes.values()]
    return PixelShares(np.array(world), np.array(list(shapes), np.int32), GeoBox(SHAPE, transform, "EPSG:32631"))


def share_of(shape: Any, transform: Affine = CORNER) -> NDArray[np.float64]:
    """Share of one parcel in each pixel; axes (y, x)."""
    return placed({1: shape}, transform).read(ALL, 1)[1][0]


SHAPES = {
    7: Polygon([(0.3, 0.6), (5.2, 0.1), (4.4, 3.9), (0.9, 3.3)]),
    3: Polygon([(5.2, 0.1), (8.7, 0.4), (8.5, 5.5), (4.4, 3.9)]),
    12: Polygon([(0.9, 3.3), (4.4, 3.9), (8.5, 5.5), (2, 6.6)], [[(3, 4.6), (4.5, 4.8), (4.2, 5.6)]]),
    5: MultiPolygon([Point(5.1, 3.2).buffer(1.3), box(0.2, 5.5, 1.1, 9)]),  # lies over the others and beyond the grid
}
ORDER = np.arange(4)  # the last one has what it lies over


@pytest.mark.parametrize("transform", [CORNER, CORNER @ Affine.rotation(20), Affine(3.3, 0, 7, 0, 9.1, 11)])
def test_shares_are_areas(transform: Affine) -> None:
    shapes = np.array(list(SHAPES.values()))
    cut = run(apart(shapes, ORDER, *run(overlapping(shapes))))
    parcels, share = placed(dict(zip(SHAPES, cut, strict=True)), transform).read(ALL, 4)
    assert parcels.shape == share.shape == (4, *SHAPE) and share.dtype == np.float64
    for row, col in np.ndindex(SHAPE):
        cell = box(col, row, col + 1, row + 1)
        exact = {parcel: shape.intersection(cell).area for parcel, shape in zip(SHAPES, cut, strict=True)}
        for parcel, area in zip(parcels[:, row, col], share[:, row, col], strict=True):
            assert area == pytest.approx(exact[parcel] if parcel else 0, abs=1e-9)
        assert share[:, row, col] == pytest.approx(sorted(exact.values(), reverse=True), abs=1e-9)


def test_areas_known_by_hand() -> None:
    triangle = share_of(Polygon([(1, 1), (4, 1), (1, 4)]))  # as wide as high: its long side halves three pixels
    assert triangle[1:4, 1:4] == pytest.approx(np.array([[1, 1, 0.5], [1, 0.5, 0], [0.5, 0, 0]]), abs=1e-9)
    assert triangle.sum() == pytest.approx(4.5, abs=1e-9)
    diamond = share_of(Polygon([(3, 1), (5, 3), (3, 5), (1, 3)]))  # a square turned by 45 degrees
    assert diamond[1:5, 1:5] == pytest.approx(
        np.array([[0, 0.5, 0.5, 0], [0.5, 1, 1, 0.5], [0.5, 1, 1, 0.5], [0, 0.5, 0.5, 0]]), abs=1e-9
    )
    ring = share_of(box(1, 1, 5, 5).difference(box(2.25, 2.5, 4, 3)))
    assert ring[2, 1:5] == pytest.approx([1, 1 - 0.75 * 0.5, 0.5, 1], abs=1e-9)
    assert ring.sum() == pytest.approx(16 - 0.5 * 1.75, abs=1e-9)
    circle = Point(4.3, 3.4).buffer(2.7, quad_segs=400)
    assert share_of(circle).sum() == pytest.approx(circle.area, abs=1e-8)


def test_nothing_is_shifted() -> None:
    """Parcels were once moved by up to a pixel, and those less than a pixel high lost (faults of DeepSatData)."""
    expected = np.zeros(SHAPE)
    expected[2:5, 3:7] = 1
    for transform in (CORNER, Affine(9.99479222007154, 0, 465181.0522318204, 0, -9.997448467363668, 5080254.63349641)):
        assert np.array_equal(share_of(box(3, 2, 7, 5), transform), expected), "exactly 1 and 0, no more parcels"
    flat = share_of(box(1, 3.1, 5, 3.9))  # 8 m high
    assert flat[3, 1:5] == pytest.approx(0.8, abs=1e-9) and flat.sum() == pytest.approx(3.2, abs=1e-9)
    rows = share_of(box(0, 1.49, 9, 4.51)).mean(1)
    assert rows == pytest.approx([0, 0.51, 1, 1, 0.51, 0, 0], abs=1e-9)


def test_a_window_is_a_piece_of_the_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    shares, window = placed(SHAPES), Window(2, 3, 4, 5)
    whole = shares.read(ALL)
    for part, piece in zip(shares.read(window), whole, strict=True):
        np.testing.assert_allclose(part, piece[:, *window.slices], atol=1e-12)
    monkeypatch.setattr("cscl.shares.AT_ONCE_PX", 4)
    for part, piece in zip(shares.read(ALL), whole, strict=True):
        np.testing.assert_allclose(part, piece, atol=1e-12)


def test_the_larger_share_comes_first_and_touching_is_nothing() -> None:
    parcels, share = placed({4: box(1, 1, 3.25, 3), 2: box(3.25, 1, 6, 3.5)}).read(ALL)
    assert parcels[:, 1, 3].tolist() == [2, 4] and share[:, 1, 3].tolist() == [0.75, 0.25]
    assert parcels[:, 3, 4].tolist() == [2, 0] and share[:, 3, 4].tolist() == [0.5, 0]
    assert not share[:, 0].any() and not parcels[:, :, 6:].any()
    halves = placed({9: box(1, 1, 2.5, 3), 2: box(2.5, 1, 4, 3)}, CORNER @ Affine.rotation(20)).read(ALL)
    assert halves[0][:, 1, 2].tolist() == [2, 9], "of equal shares the smaller id, in spite of rounding"
    parcels, share = placed({4: box(1, 1, 3, 3)}).read(Window(3, 3, 2, 2))
    assert not parcels.any() and not share.any()


def test_mixed_pixels() -> None:
    shares = placed({4: box(1, 1, 3.25, 3), 2: box(3.25, 1, 6, 3.5), 8: box(7.96, 0, 9, 1)})
    rims = np.zeros(SHAPE, bool)
    rims[1:3, 3] = rims[3, 3:6] = rims[0, 7] = True
    assert np.array_equal(shares.mixed(ALL), rims)
    rims[0, 7] = False  # 4 % of it lie in a parcel
    assert np.array_equal(shares.mixed(ALL, 0.05), rims)
    rims[3, 3:6] = False  # the rest of these lies in no parcel
    assert np.array_equal(shares.mixed(ALL, between=True), rims)
    assert not shares.mixed(ALL, 0.3, between=True).any()
