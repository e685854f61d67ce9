"""What runs are told: crops of few parcels, and outlines that are wrong on purpose."""

from dataclasses import replace

import numpy as np
import pytest
from toys import scene

from cscl.benchmark.figures import judge
from cscl.benchmark.regimes import few_crops, moved_ids, random_ids
from cscl.errors import InputError
from cscl.events import run
from cscl.parcels import Parcels, rasterise
from cscl.simulate import SeasonOptions, simulate


def known(labels) -> set[int]:
    return {*np.unique(labels.parcel_ids[labels.index() >= 0]).tolist()}


def test_few_crops_are_drawn_over_all_scenes_and_nested() -> None:
    maps = [scene(64, seed=seed).labels for seed in (1, 2)]
    shares = {share: few_crops(maps, share, 5) for share in (0.01, 0.1, 0.5, 1.0)}
    total = sum(len(known(labels)) for labels in maps)
    counts = {share: sum(len(known(labels)) for labels in drawn) for share, drawn in shares.items()}
    assert counts[0.01] == 3 and counts[1.0] == total  # one of each class at least
    assert abs(counts[0.5] - 0.5 * total) <= 2 and abs(counts[0.1] - 0.1 * total) <= 3
    for small, large in ((0.01, 0.1), (0.1, 0.5), (0.5, 1.0)):
        assert all(known(a) <= known(b) for a, b in zip(shares[small], shares[large], strict=True))
    assert {*np.concatenate([np.unique(m.index()) for m in shares[0.01]])} == {-1, 0, 1, 2}
    assert all((a.parcel_ids == b.parcel_ids).all() for a, b in zip(maps, shares[0.1], strict=True))
    assert [known(m) for m in few_crops(maps, 0.1, 6)] != [known(m) for m in shares[0.1]]


def test_a_parcel_that_vanishes_changes_no_other_draw() -> None:
    """Outlines that were moved lose a small parcel here and there; arms must still know the same crops."""
    labels = scene(64).labels
    gone = sorted(known(labels))[7]
    without = replace(labels, parcel_ids=np.where(labels.parcel_ids == gone, 0, labels.parcel_ids).astype(np.int32))
    first, second = known(few_crops([labels], 0.4, 1)[0]), known(few_crops([without], 0.4, 1)[0])
    assert len(first ^ second) <= 2


def test_labels_without_parcels_are_refused() -> None:
    labels = replace(scene(32).labels, parcel_ids=None)
    assert few_crops([labels], 1.0, 0)[0] is labels
    with pytest.raises(InputError, match="shares"):
        few_crops([labels], 0.5, 0)


def test_random_ids_are_as_many_and_lie_where_parcels_lie() -> None:
    labels = scene(64).labels
    ids = np.where(np.eye(64, dtype=bool), 0, labels.parcel_ids).astype(np.int32)
    drawn = random_ids(ids, np.random.default_rng(0))
    assert ((drawn > 0) == (ids > 0)).all() and 50 < len(np.unique(drawn)) <= 65
    pairs = len(np.unique(np.stack([drawn, ids]).reshape(2, -1), axis=1).T)
    assert pairs > 150  # cells cross parcels


def test_moved_ids_lie_as_far_off_as_is_said() -> None:
    season = run(simulate(SeasonOptions(size_px=64, dates=2, parcel_size="small")))
    parcels = Parcels(season.parcels.assign(code=season.parcels["crop"]))
    labels = rasterise(parcels, season.grid, season.legend)
    rng = np.random.default_rng(3)
    assert (moved_ids(parcels, labels, 0.0, 0.0, rng) == labels.parcel_ids).all()
    moved = moved_ids(parcels, labels, 20.0, 0.0, np.random.default_rng(3))
    angle = np.random.default_rng(3).uniform(0, 2 * np.pi)
    rows, cols = -20 * np.sin(angle) / 10, 20 * np.cos(angle) / 10
    offsets = []
    for parcel in np.unique(labels.parcel_ids[20:-20, 20:-20]):
        before, after = (np.argwhere(ids == parcel) for ids in (labels.parcel_ids, moved))
        if parcel and len(before) > 20 and before.min() > 4 and before.max() < 59:
            offsets.append(after.mean(0) - before.mean(0))
    assert np.allclose(np.median(offsets, 0), (rows, cols), atol=0.25)


def test_figures_are_those_of_slow_loops() -> None:
    labels = scene(24, parcel_px=6).labels
    truth, rng = labels.index(), np.random.default_rng(0)
    guess = np.where(rng.random(truth.shape) < 0.3, rng.integers(0, 3, truth.shape), truth)
    guess[0] = -1
    right: dict[str, list[bool]] = {"accuracy": [], "boundary_accuracy": [], "edge_1px_accuracy": []}
    right |= {"edge_2px_accuracy": [], "interior_accuracy": []}
    for row, col in np.argwhere((truth >= 0) & (guess >= 0)):

        def around(n, values, row=row, col=col):
            return values[max(0, row - n) : row + n + 1, max(0, col - n) : col + n + 1]

        fine = truth[row, col] == guess[row, col]
        right["accuracy"].append(fine)
        if len({*around(1, truth).ravel().tolist()} - {-1}) > 1:
            right["boundary_accuracy"].append(fine)
        near = [n for n in (1, 2) if len({*around(n, labels.parcel_ids).ravel().tolist()}) > 1]
        right[f"edge_{near[0]}px_accuracy" if near else "interior_accuracy"].append(fine)
    found = judge([labels], [guess])
    assert found["pixels"]["known"] == (truth >= 0).sum()
    for name, values in right.items():
        assert found["figures"][name] == pytest.approx(np.mean(values)), name
    several = judge([labels, labels], [guess, guess])
    assert several["figures"]["common_miou"] == pytest.approx(found["figures"]["common_miou"])
    assert "coarse_accuracy" not in found["figures"]
