"""Distances between edges against loops over all pairs of elements, scikit-image's contours and hand-computed cases."""

from __future__ import annotations

import math
from dataclasses import fields

import numpy as np
import pytest
from scipy.spatial.distance import directed_hausdorff
from skimage.measure import find_contours
from skimage.segmentation import find_boundaries

from cscl.errors import InputError
from cscl.metrics.surface import SurfaceTally, surface_margin_px

CLASSES = 5  # class 3 is nowhere, class 4 is only ever predicted
SIZE = (10.0, 7.5)


def maps(shape: tuple[int, int], seed: int = 0, void: float = 0.05) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    truth = np.kron(rng.integers(0, 3, (-(-shape[0] // 5), -(-shape[1] // 7))), np.ones((5, 7), int))
    truth = truth[: shape[0], : shape[1]]
    guess = np.where(rng.random(shape) < 0.05, 4, np.roll(truth, (1, -1), (0, 1)))
    return np.where(rng.random(shape) < void, -1, truth), np.where(rng.random(shape) < void / 2, -1, guess)


def slow_elements(index: np.ndarray, c: int, kind: str) -> tuple[np.ndarray, np.ndarray]:
    """Places in metres and weights."""
    found = []
    for y, x in np.ndindex(index.shape):
        if kind == "corners":
            window = index[y : y + 2, x : x + 2]
            own = window == c
            if window.shape == (2, 2) and (window >= 0).all() and 0 < own.sum() < 4:
                half = math.hypot(*SIZE) / 2
                facing = {True: 2 * half}.get(own[0, 0] == own[1, 1], SIZE[1] if own[0, 0] == own[0, 1] else SIZE[0])
                found.append((y, x, facing if own.sum() == 2 else half))
        elif index[y, x] == c:
            beside = [(y + 1, x), (y - 1, x), (y, x + 1), (y, x - 1)]
            inside = [index[p] for p in beside if 0 <= p[0] < index.shape[0] and 0 <= p[1] < index.shape[1]]
            if any(v >= 0 and v != c for v in inside):
                found.append((y, x, 1.0))
    rows = np.array(found).reshape(-1, 3)
    return rows[:, :2] * SIZE, rows[:, 2]


@pytest.mark.parametrize("kind", ["corners", "pixels"])
def test_against_all_pairs(kind: str) -> None:
    truth, guess = maps((19, 23))
    tolerances = (0.0, 8.0, 12.5)
    tally = SurfaceTally.of(truth, guess, classes=CLASSES, pixel_size_m=SIZE, elements=kind)
    found = tally.result(tolerances, 90)
    judged = (truth >= 0) & (guess >= 0)
    for c in range(3):
        (a, wa), (b, wb) = (slow_elements(np.where(judged, index, -1), c, kind) for index in (truth, guess))
        pairs = np.hypot(*(a[:, None] - b[None]).transpose(2, 0, 1))
        da, db = pairs.min(1), pairs.min(0)
        assert (found.truth[c], found.guess[c]) == (pytest.approx(wa.sum()), pytest.approx(wb.sum()))
        for n, tolerance in enumerate(tolerances):
            recall, precision = wa[da <= tolerance].sum() / wa.sum(), wb[db <= tolerance].sum() / wb.sum()
            assert found.recall[n, c] == pytest.approx(recall)
            assert found.precision[n, c] == pytest.approx(precision)
            assert found.f1[n, c] == pytest.approx(2 * recall * precision / (recall + precision))
            near = wa[da <= tolerance].sum() + wb[db <= tolerance].sum()
            assert found.nsd[n, c] == pytest.approx(near / (wa.sum() + wb.sum()))
        far = max(min(v for v in d if w[d <= v].sum() >= 0.9 * w.sum() - 1e-9) for d, w in ((da, wa), (db, wb)))
        assert found.hausdorff_m[c] == pytest.approx(far, abs=1e-4)
        assert found.average_m[c] == pytest.approx(
            ((da * wa).sum() + (db * wb).sum()) / (wa.sum() + wb.sum()), abs=1e-4
        )
        greatest = max(directed_hausdorff(a, b)[0], directed_hausdorff(b, a)[0])
        assert tally.result(percentile=100).hausdorff_m[c] == pytest.approx(greatest, abs=1e-4)
    assert found.mean_average_m == pytest.approx(found.average_m[:3].mean())


def test_edges_are_those_of_scikit_image() -> None:
    truth, _ = maps((40, 31), 1, void=0)
    truth = np.where(np.random.default_rng(2).random(truth.shape) < 0.1, 1, truth)  # corners that face each other, too
    given = {"classes": 3, "pixel_size_m": (10.0, 10.0)}
    corners = SurfaceTally.of(truth, truth, **given).result()
    pixels = SurfaceTally.of(truth, truth, **given, elements="pixels").result()
    inner = find_boundaries(truth + 1, connectivity=1, mode="inner")
    for c in range(3):
        lines = find_contours((truth == c).astype(float), 0.5)
        assert corners.truth[c] == pytest.approx(10 * sum(np.hypot(*np.diff(line, axis=0).T).sum() for line in lines))
        assert pixels.truth[c] == (inner & (truth == c)).sum()
    assert (corners.nsd == 1).all() and (corners.f1 == 1).all() and corners.mean_hausdorff_m == 0


@pytest.mark.parametrize("kind", ["corners", "pixels"])
def test_an_edge_moved_by_two_pixels(kind: str) -> None:
    truth = np.repeat([[0] * 5 + [1] * 7], 4, 0)
    guess = np.repeat([[0] * 7 + [1] * 5], 4, 0)
    found = SurfaceTally.of(truth, guess, classes=2, pixel_size_m=(10, 10), elements=kind).result((10, 20))
    np.testing.assert_array_equal(found.mean_f1, [0, 1])
    np.testing.assert_array_equal(found.mean_nsd, [0, 1])
    assert (found.mean_hausdorff_m, found.mean_average_m) == (20, 20)
    np.testing.assert_array_equal(found.truth, [30, 30] if kind == "corners" else [4, 4])


def test_classes_without_an_edge() -> None:
    truth = np.repeat([[0] * 5 + [1] * 5], 4, 0)
    guess = np.repeat([[0] * 5 + [2] * 5], 4, 0)
    found = SurfaceTally.of(truth, guess, classes=4, pixel_size_m=(10, 10)).result((10,))
    np.testing.assert_array_equal(found.f1, [[1, 0, 0, np.nan]])
    np.testing.assert_array_equal(found.nsd, [[1, 0, 0, np.nan]])
    np.testing.assert_array_equal(found.recall, [[1, 0, np.nan, np.nan]])
    np.testing.assert_array_equal(found.precision, [[1, np.nan, 0, np.nan]])
    for distance in (found.hausdorff_m, found.average_m):
        np.testing.assert_array_equal(distance, [0, np.inf, np.inf, np.nan])
    assert found.mean_f1[0] == found.mean_nsd[0] == 0.5  # of classes 0 and 1
    assert found.mean_hausdorff_m == math.inf


def test_neither_void_nor_border_is_an_edge() -> None:
    truth = np.zeros((6, 8), int)
    truth[:, 4:] = -1
    for kind in ("corners", "pixels"):
        tally = SurfaceTally.of(truth, np.where(truth < 0, 1, 0), classes=2, pixel_size_m=(10, 10), elements=kind)
        assert not tally.tables[0]["count"].sum() and np.isnan(tally.result().mean_nsd).all()


@pytest.mark.parametrize("kind", ["corners", "pixels"])
@pytest.mark.parametrize("block", [4, 11])
def test_blocks_give_the_same_numbers(kind: str, block: int) -> None:
    truth, guess = maps((19, 23), 3)
    given = {"classes": CLASSES, "pixel_size_m": SIZE, "elements": kind, "reach_m": 25.0}
    rows, cols = surface_margin_px(SIZE, 25)
    total = None
    for y, x in np.ndindex(-(-truth.shape[0] // block), -(-truth.shape[1] // block)):
        top, left = max(0, y * block - rows), max(0, x * block - cols)
        piece = truth[y * block : (y + 1) * block, x * block : (x + 1) * block].shape
        around = (slice(top, (y + 1) * block + rows), slice(left, (x + 1) * block + cols))
        start = (y * block - top, x * block - left)
        inner = tuple(slice(s, s + n) for s, n in zip(start, piece, strict=True))
        part = SurfaceTally.of(truth[around], guess[around], **given, inner=inner)
        total = part if total is None else total + part
    assert total is not None
    blocks, whole = (t.result((10, 25)) for t in (total, SurfaceTally.of(truth, guess, **given)))
    for field in fields(whole):
        np.testing.assert_array_equal(getattr(blocks, field.name), getattr(whole, field.name))


def test_reach_is_a_limit_and_no_distance() -> None:
    truth = np.repeat([[0] * 5 + [1] * 7], 4, 0)
    guess = np.repeat([[0] * 8 + [1] * 4], 4, 0)
    given = {"classes": 2, "pixel_size_m": (10.0, 10.0)}
    assert SurfaceTally.of(truth, guess, **given, reach_m=30).result().mean_hausdorff_m == 30
    short = SurfaceTally.of(truth, guess, **given, reach_m=29)
    assert short.result().mean_hausdorff_m == math.inf
    with pytest.raises(InputError, match="up to 29 m only"):
        short.result((30,))
    with pytest.raises(InputError, match="give one of corners, pixels"):
        SurfaceTally.of(truth, guess, **given, elements="edges")
