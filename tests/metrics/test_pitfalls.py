"""Errors that published code and habits make, each shown beside what is measured here.

Tolerance of errors in the reference, and mixed pixels apart, are tested in ``test_trimap`` and ``test_mixed``.
"""

from __future__ import annotations

import numpy as np
import pytest
from scipy import ndimage

from cscl.metrics.boundary import distance_to_class_edge
from cscl.metrics.boundary_iou import IN_METRES, PUBLISHED, BoundaryIoUTally, published_width_px
from cscl.metrics.surface import SurfaceTally
from cscl.metrics.tolerance import ToleranceTally

SIZE = (10.0, 10.0)


def discs(side: int = 60) -> tuple[np.ndarray, np.ndarray]:
    """A disc on another class, and the same disc moved."""
    y, x = np.mgrid[:side, :side]
    return tuple((np.hypot(y - side / 2, x - side / 2 - step) < side / 3).astype(int) for step in (0, 2))


def iou(truth: np.ndarray, guess: np.ndarray, width_m: float = 20.0, classes: int = 2) -> np.ndarray:
    tally = BoundaryIoUTally.of(truth, guess, classes=classes, pixel_size_m=SIZE, widths_m=(width_m,))
    return tally.result().iou[0]


@pytest.mark.parametrize("n", [1, 2, 5])
def test_chessboard_and_euclidean_bands_differ_and_say_which_they_are(n: int) -> None:
    truth, guess = discs()
    chess = BoundaryIoUTally.published(truth, guess, classes=2, width_px=n).result()
    ground = BoundaryIoUTally.of(truth, guess, classes=2, pixel_size_m=SIZE, widths_m=(10.0 * n,)).result()
    if n == 1:  # the edge between diagonal neighbours lies 9.1 m from their centres: the two still agree
        assert ground.iou[0, 1] == chess.iou[0, 1]
    else:
        assert ground.iou[0, 1] < chess.iou[0, 1] - 0.01
    assert "chessboard" in chess.definition and "Euclidean" in ground.definition and IN_METRES != PUBLISHED


def test_a_width_by_the_diagonal_is_another_measure_in_each_tile() -> None:
    truth, guess = discs(120)
    tile = (slice(20, 60), slice(60, 120))
    widths = [published_width_px(t.shape) for t in (truth, truth[tile])]
    assert widths == [3, 1]
    by_tile = BoundaryIoUTally.published(truth[tile], guess[tile], classes=2, width_px=widths[1]).counts
    of_it = BoundaryIoUTally.published(truth, guess, classes=2, width_px=widths[0], inner=tile).counts
    assert (by_tile[0] < of_it[0]).all()
    cut, args = (slice(0, 80), slice(40, 120)), {"classes": 2, "pixel_size_m": SIZE}
    inside = (slice(20, 60), slice(20, 80))  # the same tile in what is cut
    alone = BoundaryIoUTally.of(truth[cut], guess[cut], inner=inside, **args).counts
    np.testing.assert_array_equal(alone, BoundaryIoUTally.of(truth, guess, inner=tile, **args).counts)


def test_a_band_on_both_sides_of_the_edge_is_more_lenient() -> None:
    truth, guess = discs()
    square = np.ones((3, 3), bool)
    both = [ndimage.binary_dilation(m, square) & ~ndimage.binary_erosion(m, square) for m in (truth > 0, guess > 0)]
    lenient = (both[0] & both[1]).sum() / (both[0] | both[1]).sum()
    assert iou(truth, guess, 10.0)[1] < lenient - 0.02
    hidden = np.where(np.arange(60) < 30, truth, -1)
    # Land of unknown class makes no band: what is seen of the disc keeps its own edge and gets no straight one.
    assert BoundaryIoUTally.of(hidden, hidden, classes=2, pixel_size_m=SIZE).counts[0, 0, 1] < truth[:, :30].sum() / 4
    assert not distance_to_class_edge(hidden, SIZE, 30.0)[30, 25:30].min() < np.inf


def test_numbers_of_classes_are_names() -> None:
    rng = np.random.default_rng(0)
    truth = np.kron(rng.integers(0, 4, (8, 8)), np.ones((6, 6), int))
    guess = np.roll(truth, 1, 1)
    other = np.array([2, 0, 3, 1])
    np.testing.assert_allclose(iou(other[truth], other[guess], classes=4)[other], iou(truth, guess, classes=4))
    pair = [
        SurfaceTally.of(f(truth), f(guess), classes=4, pixel_size_m=SIZE).result() for f in (lambda m: m, other.take)
    ]
    np.testing.assert_allclose(pair[1].f1[:, other], pair[0].f1)
    np.testing.assert_allclose(pair[1].hausdorff_m[other], pair[0].hausdorff_m)


def test_distances_are_metres_and_no_shares_of_the_greatest_in_a_patch() -> None:
    truth, _ = discs()
    whole, patch = (distance_to_class_edge(t, SIZE, 80.0) for t in (truth, truth[10:50, 10:50]))
    np.testing.assert_array_equal(whole[20:40, 20:40], patch[10:30, 10:30])
    assert whole[np.isfinite(whole)].max() > 1


def test_counts_are_summed_and_not_figures_averaged() -> None:
    truth, guess = np.zeros((20, 40), int), np.zeros((20, 40), int)
    truth[:, 5:] = truth[3:6, 3:5] = 1
    guess[:, 6:] = 1
    truth[15:, 30:] = guess[15:, 30:] = 0  # a small piece, all right
    args = {"classes": 2, "pixel_size_m": SIZE, "widths_m": (10.0,)}
    halves = [slice(0, 20), slice(20, 40)]
    pieces = [BoundaryIoUTally.of(truth, guess, inner=(slice(None), half), **args) for half in halves]
    whole, summed = BoundaryIoUTally.of(truth, guess, **args).result(), (pieces[0] + pieces[1]).result()
    np.testing.assert_array_equal(whole.iou, summed.iou)
    assert abs(np.mean([p.result().mean[0] for p in pieces]) - whole.mean[0]) > 0.05


def test_errors_as_small_as_those_of_the_reference_stand_beside_strict_ones() -> None:
    truth, guess = discs()
    found = ToleranceTally.of(truth, guess, classes=2, pixel_size_m=SIZE, tolerances_m=(10.0, 20.0)).result()
    strict, small, displaced = found.accuracy
    assert strict == (truth == guess).mean() < small < displaced == 1
