"""How far edges moved, as a raster: the sign and the metres of a known shift, and the same in blocks."""

from __future__ import annotations

import numpy as np
import toys
from window import map_of

from cscl.events import run
from cscl.inference.explore import ExploreOptions, explore
from cscl.inference.moved import edge_displacement


def test_a_parcel_that_has_grown_by_two_pixels() -> None:
    labels = toys.scene().labels
    labels.ids[:] = np.repeat([4, 9], 32)
    assert labels.parcel_ids is not None
    labels.parcel_ids[:] = np.repeat([1, 2], 32)
    guess = labels.ids.copy()
    guess[:20, 32:34] = 4  # parcel 1, of the lower number, has grown: 20 m and, in its first column, 10 m
    guess[30:50, 31] = 9
    prediction = map_of(guess, labels)
    moved = run(edge_displacement(run(explore(prediction, labels)), prediction))
    expected = np.full(labels.ids.shape, np.nan)
    expected[:20, 32], expected[:20, 33], expected[30:50, 31] = 10, 20, -10
    np.testing.assert_array_equal(moved, expected)
    in_blocks = run(explore(prediction, labels, ExploreOptions(block_px=16)))
    np.testing.assert_array_equal(run(edge_displacement(in_blocks, prediction)), expected)
