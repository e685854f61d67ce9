"""Views of a series: where pixels go, which dates they take, and that nothing unseen is made up."""

from __future__ import annotations

from dataclasses import replace
from itertools import product

import pytest
import torch
from torch import Tensor
from toyviews import STILL, samples, seeded

from cscl.losses.radiometry import RadiometryOptions, changed_values
from cscl.losses.regions import grid_cells, matched_windows, moments, region_means, shared_points
from cscl.losses.views import Frame, Pair, ViewOptions, draw_pair

ROUGH = ViewOptions(band_drop=0.5, gap_chance=1.0)


@pytest.mark.parametrize(("flip", "turns"), list(product((False, True), range(4))))
def test_the_law_of_coordinates_holds_for_all_eight_elements(flip: bool, turns: int) -> None:
    ground = torch.arange(12 * 12).reshape(12, 12)
    crop = ground[2:9, 3:10]
    view = (crop.flip(1) if flip else crop).rot90(turns)
    frame = Frame(*(torch.tensor([v]) for v in (2, 3, 7, flip, turns)))
    y, x = torch.meshgrid(torch.arange(2, 9), torch.arange(3, 10), indexing="ij")
    to_y, to_x = frame.seen_at(y.reshape(1, -1), x.reshape(1, -1))
    assert torch.equal(view[to_y[0], to_x[0]], crop.flatten())
    (top, left, bottom, right) = frame.boxes(torch.tensor([[[3, 4, 6, 9]]]))[0, 0].tolist()
    assert sorted(view[top:bottom, left:right].flatten().tolist()) == sorted(ground[3:6, 4:9].flatten().tolist())


@pytest.mark.parametrize("draw", ["cells", "points"])
def test_matched_regions_are_the_same_ground_with_the_same_values(draw: str) -> None:
    pair = draw_pair(samples(8), replace(STILL, shift_px=8), 24, 24, seeded(1))
    found = grid_cells(pair, 4, 8, 0.75, seeded(2)) if draw == "cells" else shared_points(pair, 8, seeded(2))
    first, second, kept = vars(found).values()
    means = [_ground_means(view, box) for view, box in ((pair.first, first), (pair.second, second))]
    assert kept.sum() > 40 and torch.equal(means[0][kept], means[1][kept])


def _ground_means(view: object, box: Tensor) -> Tensor:
    """Mean number of the used pixels of each box, from whichever date saw them."""
    number_BHW = view.x_BTCHW[:, :, 0].amax(1)  # type: ignore[attr-defined]
    return region_means(number_BHW[:, None].double(), view.use_BHW, box)[..., 0]  # type: ignore[attr-defined]


def test_cells_of_a_sample_are_disjoint_usable_and_drawn_without_replacement() -> None:
    drawn = samples(6)
    drawn.use_BHW[0] = False
    drawn.use_BHW[1, :, :16] = False
    pair = draw_pair(drawn, STILL, 24, 24, seeded(3))
    first, _, kept = vars(grid_cells(pair, 6, 9, 0.75, seeded(4))).values()
    assert not kept[0].any() and kept[2:].any(1).all()
    for item in range(6):
        cover = torch.zeros(24, 24)
        for top, left, bottom, right in first[item, kept[item]].tolist():
            assert (bottom - top, right - left) == (6, 6)
            cover[top:bottom, left:right] += 1
            assert pair.first.use_BHW[item, top:bottom, left:right].float().mean() >= 0.75
        assert cover.max() <= 1


def test_published_windows_share_their_centre_and_a_sample_without_room_has_none() -> None:
    pair = draw_pair(samples(5), replace(STILL, turn=False), 24, 24, seeded(5))
    first, second, kept = vars(matched_windows(pair, 8, 4, 0.5, seeded(6))).values()
    means = [_ground_means(view, box) for view, box in ((pair.first, first), (pair.second, second))]
    assert kept.all() and torch.equal(*means)
    assert not matched_windows(pair, 24, 4, 0.5, seeded(6)).kept_BR.all()


@pytest.mark.parametrize("options", [STILL, ROUGH])
def test_views_share_no_date_and_keep_order_days_and_gaps(options: ViewOptions) -> None:
    drawn = samples()
    pair = draw_pair(drawn, options, 24, 24, seeded(7))
    for view in (pair.first, pair.second):
        assert not view.x_BTCHW.masked_select(~view.valid_BTHW[:, :, None].expand_as(view.x_BTCHW)).any()
        present = view.valid_BTHW.flatten(2).any(2)
        assert present.sum(1).min() >= 4
        for day, there in zip(view.day_BT, present, strict=True):
            assert (day[there].diff() >= 0).all()
    if options is STILL:
        for item in range(4):
            days = [
                set(v.day_BT[item][v.valid_BTHW[item].flatten(1).any(1)].tolist()) for v in (pair.first, pair.second)
            ]
            assert not days[0] & days[1] and len(days[0] | days[1]) == 18
    else:
        near = (pair.first.day_BT[:, :1] - drawn.day_BT[:, :2].amin(1, keepdim=True)).abs()
        assert near.max() <= 7 + 2 + 14 + 7


def test_short_series_are_drawn_alone_and_long_ones_thinned() -> None:
    short = draw_pair(samples(3, 8), STILL, 32, 24, seeded(8))
    assert short.first.day_BT.shape[1] == short.second.day_BT.shape[1] == round(0.75 * 6)
    long = draw_pair(samples(3, 40), STILL, 32, 6, seeded(8))
    assert long.first.day_BT.shape[1] == 6
    assert (long.first.day_BT.diff() > 7).all(), "spread over the season"


def test_the_same_seed_draws_the_same_and_another_one_does_not() -> None:
    a, b, c = (draw_pair(samples(), ROUGH, 24, 24, seeded(seed)) for seed in (1, 1, 2))
    assert torch.equal(a.first.x_BTCHW, b.first.x_BTCHW) and torch.equal(a.second.frame.top_B, b.second.frame.top_B)
    assert a.first.x_BTCHW.shape != c.first.x_BTCHW.shape or not torch.equal(a.first.x_BTCHW, c.first.x_BTCHW)


def test_views_always_share_a_third_and_whole_scenes_are_not_moved() -> None:
    drawn = samples(40, 3, 48)
    pair = draw_pair(drawn, STILL, 24, 24, seeded(9))
    shared = pair.shared_B4[:, 2:] - pair.shared_B4[:, :2]
    assert shared.min() >= 8 and shared.max() <= 24 and len(shared.unique()) > 8
    assert (draw_pair(samples(2), STILL, 32, 24, seeded(9)).shared_B4 == torch.tensor([0, 0, 32, 32])).all()


def test_one_sided_changes_leave_the_first_view_alone() -> None:
    options = replace(ROUGH, changed_views="second", turn=False, view_dates="overlap", date_drop=0.0)
    pair: Pair = draw_pair(samples(), options, 32, 99, seeded(1))
    number = torch.arange(32 * 32, dtype=torch.float32).reshape(32, 32)
    told = pair.first.x_BTCHW[:, :, 0], pair.second.x_BTCHW[:, :, 0]
    valid = pair.first.valid_BTHW, pair.second.valid_BTHW
    assert torch.equal(told[0][valid[0]], number.expand_as(told[0])[valid[0]])
    assert not torch.equal(told[1][valid[1]], number.expand_as(told[1])[valid[1]])


def change(options: RadiometryOptions, x: Tensor, valid: Tensor | None = None) -> tuple[Tensor, Tensor]:
    valid = torch.ones_like(x[:, :, 0], dtype=torch.bool) if valid is None else valid
    bands = x.shape[2]
    haze = torch.tensor([1.0, 0.6, 0.4] + [0.0] * (bands - 3))
    return changed_values(
        x,
        valid,
        torch.full((bands,), 0.2),
        torch.full((bands,), 0.1),
        haze,
        torch.arange(bands) >= 3,
        options,
        seeded(),
    )


NONE = RadiometryOptions("both", 0, 0, 0, 0, 0, 0, 0)


def test_gains_are_gains_of_reflectance() -> None:
    x = torch.randn(3, 5, 5, 4, 4, generator=seeded())
    told = [(0.1 * t + 0.2) for t in (x, change(replace(NONE, date_gain=0.5), x)[0])]
    ratio = told[1] / told[0]
    assert torch.allclose(ratio, ratio[:, :, :1, :1, :1].expand_as(ratio), atol=1e-3), "one gain a date: NDVI unchanged"
    assert ratio.min() >= 0.5 and ratio.max() <= 1.5 and ratio.std() > 0.1
    assert torch.allclose(change(NONE, x)[0], x, atol=1e-5)


def test_haze_is_bluest() -> None:
    x = torch.zeros(2, 3, 5, 2, 2)
    added = 0.1 * change(replace(NONE, haze=0.02), x)[0][..., 0, 0].flatten(0, 1)
    assert (added[:, 0] > added[:, 1]).all() and (added[:, 1] > added[:, 2]).all()
    assert added.max() <= 0.02 and not added[:, 3:].abs().gt(1e-6).any()


def test_left_out_bands_are_few_and_never_all_that_tell_plants() -> None:
    x = torch.randn(500, 1, 8, 1, 1, generator=seeded())
    out = change(replace(NONE, band_drop=0.5), x)[0].flatten(1) == 0
    assert 0 < out.sum(1).max() <= 2 and out.any(0).all()
    vital = torch.arange(8) >= 6
    few = changed_values(
        x, torch.ones(500, 1, 1, 1, dtype=torch.bool), torch.zeros(8), torch.ones(8), torch.zeros(8), vital,
        replace(NONE, band_drop=0.5), seeded(),
    )[0].flatten(1)  # fmt: skip
    assert not (few[:, vital] == 0).all(1).any()


def test_gaps_are_masked_clouds_are_not_and_no_pixel_is_lost() -> None:
    x, valid = torch.zeros(6, 4, 5, 24, 24), torch.ones(6, 4, 24, 24, dtype=torch.bool)
    valid[:, 1:] = False
    _, open_ = change(replace(NONE, gap_chance=1.0), x, valid)
    assert torch.equal(open_.any(1), valid.any(1))
    _, open_ = change(replace(NONE, gap_chance=1.0), x)
    assert 0.9 < open_.float().mean() < 0.99
    cloudy, open_ = change(replace(NONE, cloud_chance=1.0), x)
    assert open_.all() and ((0.1 * cloudy + 0.2 > 0.29).any() and (0.1 * cloudy + 0.2 < 0.07).any())


def test_style_of_counted_values() -> None:
    counted = torch.arange(24.0).reshape(1, 2, 3, 4)
    use = torch.ones(1, 3, 4, dtype=torch.bool)
    assert moments(counted, use, "variance")[0].tolist() == [[5.5, 17.5, 13.0, 13.0]]
    assert moments(counted, use, "none")[0].tolist() == [[5.5, 17.5]]
    assert moments(counted, use, "deviation")[0][0, 2:].tolist() == pytest.approx([13.0**0.5] * 2, abs=1e-5)
    use[0, 1:] = False
    counted[0, :, 1:] = torch.nan
    told, kept = moments(counted, use, "variance")
    assert told[0].tolist() == pytest.approx([1.5, 13.5, 5 / 3, 5 / 3]) and kept.all()
    assert not moments(counted, use & False, "variance")[1].any()


def test_region_means_against_slow_loops() -> None:
    made = seeded()
    values, use = (
        torch.randn(2, 3, 9, 7, generator=made, dtype=torch.float64),
        torch.rand(2, 9, 7, generator=made) > 0.3,
    )
    values.masked_fill_(~use[:, None], torch.nan)
    box = torch.tensor([[[0, 0, 9, 7], [2, 1, 5, 6]], [[8, 6, 9, 7], [3, 3, 4, 7]]])
    told = region_means(values, use, box)
    for item, region in product(range(2), range(2)):
        top, left, bottom, right = box[item, region].tolist()
        inside = [values[item, :, y, x] for y in range(top, bottom) for x in range(left, right) if use[item, y, x]]
        slow = torch.stack(inside).mean(0) if inside else torch.zeros(3, dtype=torch.float64)
        assert torch.allclose(told[item, region], slow, atol=1e-12)
