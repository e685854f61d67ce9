"""Objects against slow loops over every pair of masks, and against small maps counted by hand."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from cscl.errors import InputError
from cscl.metrics.objects import CORRECT, MISSED, OVER, UNDER, hoover, object_scores, panoptic_quality
from cscl.metrics.overlaps import Overlaps
from cscl.metrics.segmentation import object_class, persello_bruzzone, segmentation_errors

Ids = NDArray[np.int64]


def two_maps(seed: int) -> tuple[Ids, Ids, NDArray[np.bool_]]:
    """Blocky parcels with gaps, ids up to 90; segments that follow them in part; void here and there."""
    rng = np.random.default_rng(seed)
    parcels = np.kron(rng.permutation(np.arange(0, 90, 3)).reshape(5, 6), np.ones((5, 4), np.int64)).astype(np.int64)
    segments = np.roll(parcels, (1, 0), (0, 1)) + 1
    shuffled = np.kron(rng.integers(0, 12, (7, 6)), np.ones((4, 4), np.int64))[:25]
    segments = np.where(rng.random((25, 24)) < 0.3, shuffled, segments)
    return parcels, segments, np.kron(rng.random((5, 6)) < 0.2, np.ones((5, 4))).astype(bool)


def masks(ids: Ids, void: NDArray[np.bool_]) -> dict[int, NDArray[np.bool_]]:
    found = {int(i): (ids == i) & ~void for i in np.unique(ids) if i}
    return {i: mask for i, mask in found.items() if mask.any()}


@pytest.mark.parametrize("seed", range(4))
def test_overlaps_against_masks_and_pieces(seed: int) -> None:
    parcels, segments, void = two_maps(seed)
    found = Overlaps.of(parcels, segments, void)
    p, s = masks(parcels, void), masks(segments, np.zeros_like(void))
    assert found.parcel_id.tolist() == list(p) and found.segment_id.tolist() == list(s)
    assert found.parcel_px.tolist() == [m.sum() for m in p.values()]
    assert found.segment_px.tolist() == [(m & ~void).sum() for m in s.values()]
    assert found.void_px.tolist() == [(m & void).sum() for m in s.values()]
    pairs = {(i, j): int((a & b).sum()) for i, a in p.items() for j, b in s.items() if (a & b).any()}
    ids = zip(found.parcel_id[found.parcel].tolist(), found.segment_id[found.segment].tolist(), strict=True)
    assert dict(zip(ids, found.px.tolist(), strict=True)) == pairs
    tiles = [
        Overlaps.of(*(layer[y : y + 9, x : x + 7] for layer in (parcels, segments, void)))
        for y in range(0, 25, 9) for x in range(0, 24, 7)
    ]  # fmt: skip
    added = tiles[0]
    for tile in tiles[1:]:
        added = added + tile
    for name, value in vars(found).items():
        np.testing.assert_array_equal(getattr(added, name), value, err_msg=name)


def outline(mask: NDArray[np.bool_]) -> int:
    padded = np.pad(mask, 1)
    return sum(int((padded & ~np.roll(padded, step, axis)).sum()) for axis in (0, 1) for step in (1, -1))


def inner_edge(mask: NDArray[np.bool_], void: NDArray[np.bool_]) -> NDArray[np.bool_]:
    edge = np.zeros_like(mask)
    for y, x in np.argwhere(mask):
        window = np.s_[max(0, y - 1) : y + 2, max(0, x - 1) : x + 2]
        edge[y, x] = (~mask & ~void)[window].any()
    return edge


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("far", [1, 2**40])
def test_persello_bruzzone_against_loops(seed: int, far: int) -> None:
    parcels, segments, void = two_maps(seed)
    parcels = parcels * far
    found = persello_bruzzone(Overlaps.of(parcels, segments, void), parcels, segments, void)
    p, s = masks(parcels, void), masks(segments, void)
    assert len(p) == len(found.parcel_id)
    for n, (i, o) in enumerate(p.items()):
        best = max(s, key=lambda j: ((o & s[j]).sum(), -j))
        m, common = s[best], (o & s[best]).sum()
        if not common:
            assert found.segment_id[n] == 0 and np.isnan(found.shape[n]), i
            continue
        assert found.segment_id[n] == best
        edge = inner_edge(o, void)
        agree = (edge & inner_edge(m, void)).sum()
        expected = [
            1 - common / o.sum(), 1 - common / m.sum(), 1 - agree / edge.sum() if edge.any() else np.nan,
            (sum((o & other).any() for other in s.values()) - 1) / (o.sum() - 1),
            abs(outline(o) / (4 * np.sqrt(o.sum())) - outline(m) / (4 * np.sqrt(m.sum()))),
        ]  # fmt: skip
        values = [getattr(found, name)[n] for name in ("over", "under", "edge", "fragmentation", "shape")]
        np.testing.assert_allclose(values, expected, err_msg=str(i))
    assert found.mean["over"] == pytest.approx(found.over.mean())


def test_strips_of_rows_do_not_show(monkeypatch: pytest.MonkeyPatch) -> None:
    parcels, segments, void = two_maps(1)
    overlaps = Overlaps.of(parcels, segments, void)
    whole = persello_bruzzone(overlaps, parcels, segments, void, width_px=2)
    for rows in (1, 3):
        monkeypatch.setattr("cscl.metrics.segmentation.AT_ONCE_PX", rows * parcels.shape[1])
        strips = persello_bruzzone(overlaps, parcels, segments, void, width_px=2)
        np.testing.assert_array_equal(strips.edge, whole.edge)
        np.testing.assert_array_equal(strips.shape, whole.shape)


def test_segmentation_errors_by_hand() -> None:
    # Parcel 1 is 4 x 2 pixels, half of it in segment 5, half in 6; parcel 2 is 4 x 2, in 6 altogether; 3 is missed.
    parcels = np.repeat([[1, 1, 2, 2, 3]], 4, axis=0)
    segments = np.repeat([[5, 6, 6, 6, 0]], 4, axis=0)
    overlaps = Overlaps.of(parcels, segments)
    over = segmentation_errors(overlaps, "parcels")
    assert over.partner.tolist() == [5, 6, 0]
    np.testing.assert_allclose(over.over, [0.5, 0, 1])
    np.testing.assert_allclose(over.under, [0, 1 / 3, 1])
    np.testing.assert_allclose(over.total, [np.sqrt(1 / 8), np.sqrt(1 / 18), 1])
    back = segmentation_errors(overlaps, "segments")
    assert back.partner.tolist() == [1, 2]
    goc, guc, _ = back.by_area
    assert goc == pytest.approx((4 * 0.5 + 12 * 0) / 16)
    assert guc == pytest.approx((4 * 0 + 12 * (1 / 3)) / 16)
    with pytest.raises(InputError, match="fields"):
        segmentation_errors(overlaps, "fields")


def test_perfect_segments_have_no_error_and_a_shift_is_seen() -> None:
    parcels = np.kron(np.arange(1, 10).reshape(3, 3), np.ones((6, 6), np.int64))
    found = persello_bruzzone(Overlaps.of(parcels, parcels), parcels, parcels)
    assert set(found.mean.values()) == {0.0}
    shifted = np.roll(parcels, 1, axis=1)
    narrow, wide = (
        persello_bruzzone(Overlaps.of(parcels, shifted), parcels, shifted, width_px=width).mean["edge"]
        for width in (1, 3)
    )
    assert 0 < wide < narrow < 1


def hoover_by_loops(parcels: Ids, segments: Ids, void: NDArray[np.bool_], t: float) -> tuple[list[int], list[int]]:
    p, s = masks(parcels, void), masks(segments, void)
    whole = masks(segments, np.zeros_like(void))
    best: dict[tuple[str, int], tuple[float, int]] = {}

    def note(score: float, kind: int, *members: tuple[str, int]) -> None:
        for member in members:
            best[member] = max(best.get(member, (-1.0, 0)), (round(score, 12), -kind))

    for i, o in p.items():
        for j, m in s.items():
            a, b = (o & m).sum() / o.sum(), (o & m).sum() / m.sum()
            if a >= t and b >= t:
                note((a + b) / 2, CORRECT, ("p", i), ("s", j))
    for kind, ones, manies, name in ((OVER, p, s, "ps"), (UNDER, s, p, "sp")):
        for i, o in ones.items():
            inside = [j for j, m in manies.items() if (o & m).sum() >= t * m.sum()]
            common = sum((o & manies[j]).sum() for j in inside)
            if len(inside) > 1 and common >= t * o.sum():
                score = (common / o.sum() + common / sum(manies[j].sum() for j in inside)) / 2
                note(score, kind, (name[0], i), *((name[1], j) for j in inside))
    kinds_p = [-best.get(("p", i), (0, -MISSED))[1] for i in p]
    kinds_s = [-best.get(("s", j), (0, -MISSED))[1] for j in whole]
    mostly = [(m & void).sum() > m.sum() / 2 for m in whole.values()]
    return kinds_p, [-1 if v and k == MISSED else k for k, v in zip(kinds_s, mostly, strict=True)]


@pytest.mark.parametrize("t", [0.51, 0.6, 0.75, 0.8])
def test_hoover_against_loops(t: float) -> None:
    seen = set()
    for seed in range(12):
        rng = np.random.default_rng(seed)
        parcels = np.kron(rng.integers(0, 9, (4, 5)), np.ones((4, 4), np.int64))
        segments = np.where(rng.random((4, 5)) < 0.4, 3, np.arange(20).reshape(4, 5))
        segments = np.kron(segments, np.ones((4, 4), np.int64))
        cut = rng.random((16, 20)) < 0.15
        segments = np.where(cut, 30 + np.arange(20) // 3, np.where(rng.random((16, 20)) < 0.1, 0, segments))
        void = np.kron(rng.random((4, 5)) < 0.15, np.ones((4, 4))).astype(bool)
        found = hoover(Overlaps.of(parcels, segments, void), t)
        by_loops = hoover_by_loops(parcels, segments, void, t)
        assert (found.parcel_kind.tolist(), found.segment_kind.tolist()) == by_loops
        seen |= set(by_loops[0]) | {10 + k for k in by_loops[1]}
    assert {MISSED, 10 + MISSED, 9} <= seen


def test_hoover_by_hand() -> None:
    # 1 is right; 2 falls into 22 and 23; 3 and 4 share 24; 5 is missed; 25 and 26 are noise; 27 is mostly void.
    parcels = np.array([[1] * 10 + [2] * 10 + [3] * 5 + [4] * 5 + [5] * 10 + [0] * 10])
    segments = np.array([[21] * 9 + [0] + [22] * 5 + [23] * 5 + [24] * 10 + [25] * 3 + [26] * 3 + [0] * 3 + [27] * 11])
    found = hoover(Overlaps.of(parcels, segments), 0.8)
    assert found.parcel_kind.tolist() == [CORRECT, OVER, UNDER, UNDER, MISSED]
    assert found.segment_kind.tolist() == [CORRECT, OVER, OVER, UNDER, MISSED, MISSED, -1]
    counts = (found.correct, found.over, found.under, found.under_segments, found.missed, found.noise)
    assert counts == (1, 1, 2, 1, 1, 2)
    # A crumb inside the parcel: segment and parcel match, but all segments together match it better.
    crumb = hoover(Overlaps.of(np.ones((1, 10), int), np.array([[7] * 9 + [8]])), 0.8)
    assert crumb.parcel_kind.tolist() == [OVER] and (crumb.paired, found.paired) == (1, 1)
    with pytest.raises(InputError, match=r"above 0\.5"):
        hoover(Overlaps.of(parcels, segments), 0.5)


def test_a_share_of_exactly_the_threshold_counts() -> None:
    for t, part in ((0.55, 11), (0.7, 14), (0.6, 12), (0.95, 19)):
        ids = np.ones((1, 20), np.int64)
        half = np.where(np.arange(20) < part, 2, 0)[None]
        assert hoover(Overlaps.of(ids, half), t).correct == 1


def panoptic_by_loops(
    parcels: Ids, segments: Ids, void: NDArray[np.bool_], p_class: dict[int, int], s_class: dict[int, int], c: int
) -> tuple[float, int, int, int]:
    p = {i: m for i, m in masks(parcels, void).items() if p_class[i] == c}
    whole = {i: m for i, m in masks(segments, np.zeros_like(void)).items() if s_class[i] == c}
    total, used_p, used_s = 0.0, set(), set()
    for i, o in p.items():
        for j, m in whole.items():
            union = (o | (m & ~void)).sum()
            if (o & m).sum() / union > 0.5:
                total += (o & m).sum() / union
                used_p.add(i)
                used_s.add(j)
    wrong = [j for j, m in whole.items() if j not in used_s and (m & void).sum() / m.sum() <= 0.5]
    return total, len(used_p), len(p) - len(used_p), len(wrong)


@pytest.mark.parametrize("seed", range(6))
def test_panoptic_quality_against_loops(seed: int) -> None:
    parcels, segments, void = two_maps(seed)
    overlaps = Overlaps.of(parcels, segments, void)
    parcel_class, segment_class = overlaps.parcel_id % 4, (overlaps.segment_id - 1) % 4
    found = panoptic_quality(overlaps, parcel_class, segment_class, 4)
    classes = [dict(zip(i.tolist(), c.tolist(), strict=True))
               for i, c in ((overlaps.parcel_id, parcel_class), (overlaps.segment_id, segment_class))]  # fmt: skip
    for c in range(4):
        expected = panoptic_by_loops(parcels, segments, void, *classes, c)
        assert (found.matches[c], found.missed[c], found.wrong[c]) == expected[1:]
        assert found.iou[c] == pytest.approx(expected[0])
    np.testing.assert_allclose(found.pq, np.nan_to_num(found.sq) * found.rq)
    one = panoptic_quality(overlaps, 0 * parcel_class, 0 * segment_class, 1)
    scores = object_scores(overlaps, [0.5])
    assert (scores.matches[0], scores.f1[0]) == (one.matches[0], pytest.approx(one.rq[0]))
    assert scores.segments[0] == one.matches[0] + one.wrong[0]
    with pytest.raises(InputError, match="There are classes"):
        panoptic_quality(overlaps, parcel_class[1:], segment_class, 4)


def test_object_scores_by_hand() -> None:
    # IoU of 1 is 8 / 10 and of 2 exactly 1 / 2, which is no match; 3 is missed. The void part of 32 does not count.
    parcels = np.array([[1] * 10 + [2] * 10 + [3] * 4 + [0] * 9])
    segments = np.array([[31] * 8 + [0] * 2 + [32] * 5 + [0] * 5 + [0] * 4 + [32] * 2 + [33] * 7])
    found = object_scores(Overlaps.of(parcels, segments), [0.5, 0.75, 0.8])
    assert (found.matches.tolist(), found.parcels, found.segments.tolist()) == ([1, 1, 0], 3, [2, 2, 2])
    np.testing.assert_allclose(found.precision, [0.5, 0.5, 0])
    np.testing.assert_allclose(found.recall, [1 / 3, 1 / 3, 0])
    np.testing.assert_allclose(found.f1, [0.4, 0.4, 0])
    with pytest.raises(InputError, match=r"at least 0\.5"):
        object_scores(Overlaps.of(parcels, segments), [0.3])


def test_classes_of_objects() -> None:
    ids = np.array([[4, 4, 4, 9, 9, 0, 2]])
    index = np.array([[1, 0, 1, 2, 1, 5, -1]])
    assert object_class(ids, index, np.array([2, 4, 9, 77])).tolist() == [-1, 1, 1, -1]


def test_maps_without_objects() -> None:
    nothing, ids = np.zeros((3, 3), np.int64), np.ones((3, 3), np.int64)
    for parcels, segments in ((nothing, ids), (ids, nothing), (nothing, nothing), (ids[:0], ids[:0])):
        overlaps = Overlaps.of(parcels, segments)
        assert hoover(overlaps).correct == 0
        assert not object_scores(overlaps).matches.any()
        assert persello_bruzzone(overlaps, parcels, segments).px.sum() == parcels.sum()
    with pytest.raises(InputError, match="shape"):
        Overlaps.of(nothing, ids[1:])
    with pytest.raises(InputError, match="-3"):
        Overlaps.of(nothing - 3, ids)
