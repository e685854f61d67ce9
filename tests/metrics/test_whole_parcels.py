"""Parcels that are wrong as a whole: by hand, against a loop, and counted in pieces."""

from __future__ import annotations

import numpy as np
from skimage.color import rgb2lab

from cscl.metrics.kinds import error_kinds
from cscl.metrics.whole_parcels import Votes
from cscl.report.kinds import WRONG, Kind


def test_by_hand() -> None:
    units = np.array([[5, 5, 5, 5, 5, 2, 2, 2, 2, 0, 0, 9, 9, 8]])
    truth = np.array([[0, 0, 0, 0, 0, 1, 1, 1, 1, 1, 1, 0, 0, -1]])
    guess = np.array([[1, 1, 1, 0, 2, 1, 1, 0, 0, 0, 0, 0, 1, 1]])
    kinds = error_kinds(truth, guess, (10.0, 10.0), 20.0)
    marked = Votes.of(units, truth, guess).wrong().marked(kinds, units, guess)
    # 5 is class 1 by three of five; its pixel of class 2 is another error. In 2 and 9 right and wrong are equally
    # frequent, which the first class decides: 0, wrong in 2 and right in 9. 8 is unknown, and 0 is no parcel.
    whole = [[1, 1, 1, 0, 0, 0, 0, 1, 1, 0, 0, 0, 0, 0]]
    assert (marked == Kind.PARCEL).astype(int).tolist() == whole
    assert np.array_equal(marked[marked != Kind.PARCEL], kinds[marked != Kind.PARCEL])
    held_out = np.arange(14)[None] >= 3  # of 5 only what is right, and one pixel of class 2: a tie
    assert not (Votes.of(units, truth, guess, held_out).wrong().marked(kinds, units, guess) == Kind.PARCEL)[0, :5].any()


def test_against_a_loop_and_in_pieces() -> None:
    rng = np.random.default_rng(0)
    units = np.kron(rng.permutation(40).reshape(5, 8), np.ones((3, 3), int))
    truth = np.where(rng.random(units.shape) < 0.1, -1, rng.integers(0, 3, 40)[units])
    guess = np.where(rng.random(units.shape) < 0.5, rng.integers(-1, 4, units.shape), rng.integers(0, 3, 40)[units])
    judged = rng.random(units.shape) < 0.7
    kinds = np.where(judged, error_kinds(truth, guess, (10.0, 10.0), 10.0), 0).astype(np.uint8)
    pieces = [Votes.of(*(a[y : y + 4, x : x + 7] for a in (units, truth, guess, judged)))
              for y in range(0, 15, 4) for x in range(0, 24, 7)]  # fmt: skip
    marked = sum(pieces, Votes((), ())).wrong().marked(kinds, units, guess)
    expected = kinds.copy()
    for unit in range(1, 40):
        here = (units == unit) & (truth >= 0)
        votes = guess[here & judged & (guess >= 0)]
        if votes.size and np.bincount(votes).argmax() != np.bincount(truth[here]).argmax():
            expected[(units == unit) & (kinds > 1) & (guess == np.bincount(votes).argmax())] = Kind.PARCEL
    assert np.array_equal(marked, expected) and (marked == Kind.PARCEL).sum() > 20


def test_colours_of_errors_differ_in_lightness() -> None:
    rgb = np.array([[int(kind.colour[i : i + 2], 16) / 255 for i in (1, 3, 5)] for kind in WRONG])
    lightness = np.sort(rgb2lab(rgb[None])[0, :, 0])
    assert np.diff(lightness).min() > 6.5 and np.round(lightness).astype(int).tolist() == [46, 54, 61, 70, 89]
