"""Doubts by hand and against slow loops; sums by parcel against loops over pixels."""

from __future__ import annotations

import numpy as np
import pytest

from cscl.metrics import label_errors
from cscl.metrics.label_errors import doubt, neighbour_votes, said_with_confidence
from cscl.metrics.parcel_sums import ParcelSums, Sight


def test_doubt_by_hand() -> None:
    shares = np.array([[1, 0, 0], [0, 1, 0], [0.5, 0.2, 0.3], [0.2, 0.2, 0.6]])
    score, other = doubt(shares, np.array([0, 0, 0, 1]))
    assert score == pytest.approx([0, 1, 0.4, 0.7]) and other[1:].tolist() == [1, 2, 2]


def test_confidence_by_hand() -> None:
    """Means of the declared: 0.8, 0.4, none. The fourth reaches that of class 1 alone, the last that of none."""
    probability = np.array([[0.9, 0.1, 0], [0.9, 0.1, 0], [0.6, 0.4, 0], [0.55, 0.45, 0], [0.1, 0.35, 0.55]])
    declared = np.array([0, 0, 0, 1, 1])
    assert said_with_confidence(probability, declared).tolist() == [0, 0, 1, 1, -1]


def test_neighbours_by_slow_loops(monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(0)
    feature, declared = rng.normal(size=(60, 5)), rng.integers(-1, 3, 60)
    asked = rng.random(60) < 0.5
    monkeypatch.setattr(label_errors, "AT_ONCE", 200)
    votes = neighbour_votes(feature, declared, asked, 3, 7)
    for row, unit in zip(votes, np.flatnonzero(asked), strict=True):
        cosine = feature @ feature[unit] / np.linalg.norm(feature, axis=1)
        others = [i for i in np.argsort(-cosine) if i != unit and declared[i] >= 0][:7]
        assert row.tolist() == (np.bincount(declared[others], minlength=3) / 7).tolist()
    assert neighbour_votes(feature[:2], np.array([0, 1]), np.array([True, True]), 2, 7).tolist() == [[0, 1], [1, 0]]
    assert not neighbour_votes(feature[:1], np.array([0]), np.array([True]), 2, 7).any()


def sight(rng: np.random.Generator, shape: tuple[int, int]) -> Sight:
    parcels = rng.integers(0, 4, (shape[0] // 4 + 1, shape[1] // 4 + 1))
    parcels = np.kron(parcels * 5, np.ones((4, 4), int))[: shape[0], : shape[1]]
    probability = rng.dirichlet(np.ones(3), shape).transpose(2, 0, 1).astype(np.float32)
    probability[:, rng.random(shape) < 0.1] = np.nan
    return Sight(
        parcels, rng.integers(-1, 3, shape), probability, rng.normal(size=(2, *shape)).astype(np.float32),
        rng.random(shape) < 0.6, rng.random(shape) < 0.5, (0, 0),
    )  # fmt: skip


def part(whole: Sight, rows: slice) -> Sight:
    fields = {name: getattr(whole, name)[..., rows, :] for name in vars(whole) if name != "corner"}
    return Sight(**fields, corner=(rows.start, 0))


def test_sums_by_slow_loops() -> None:
    whole = sight(np.random.default_rng(1), (23, 17))
    found = ParcelSums.merge([ParcelSums.of(part(whole, slice(a, b))) for a, b in ((0, 5), (5, 20), (20, 23))])
    at_once = ParcelSums.of(whole)
    assert found.id.tolist() == [5, 10, 15]
    predicted = ~np.isnan(whole.probabilities[0])
    for i, number in enumerate(found.id):
        here = (whole.parcels == number) & predicted
        y, x = np.nonzero(here)
        assert (found.pixels[i], found.judged[i]) == (here.sum(), (here & whole.judged).sum())
        assert found.declared[i].tolist() == [(here & (whole.declared == c)).sum() for c in range(3)]
        assert (found.row0[i], found.row1[i], found.col0[i], found.col1[i]) == (
            y.min(),
            y.max() + 1,
            x.min(),
            x.max() + 1,
        )
        assert found.place()["row"][i] == pytest.approx(y.mean()) and found.place()["col"][i] == pytest.approx(x.mean())
        for side, mask in enumerate((here & ~whole.interior, here & whole.interior)):
            p = whole.probabilities[:, mask].astype(float)
            assert found.px[side, i] == mask.sum()
            assert found.probability[side, i] == pytest.approx(p.sum(1))
            assert found.entropy[side, i] == pytest.approx(-(p * np.log(p)).sum() / np.log(3))
            assert found.votes[side, i].tolist() == np.bincount(p.argmax(0), minlength=3).tolist()
            assert found.feature[side, i] == pytest.approx(whole.embedding[:, mask].sum(1), abs=1e-4)
    for name in vars(found):
        assert np.allclose(getattr(found, name), getattr(at_once, name))


def test_means_are_those_of_the_interior_where_there_is_one() -> None:
    parcels = np.array([[1, 1, 2, 2]])
    probability = np.array([[[1, 0.5, 0.2, 0.4]], [[0, 0.5, 0.8, 0.6]]], np.float32)
    inside = np.array([[True, False, False, False]])
    sums = ParcelSums.of(Sight(parcels, parcels - 1, probability, None, inside, inside, (0, 0)))
    assert sums.mean("probability") == pytest.approx(np.array([[1, 0], [0.3, 0.7]]))
    assert sums.mean("feature").shape == (2, 0)
