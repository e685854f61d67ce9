"""Variants of the context-self contrastive loss against slow loops: forms, scales, what is alike, and shifts."""

from __future__ import annotations

import itertools
import math
from dataclasses import replace

import pytest
import torch
from torch import Tensor
from torch.autograd import gradcheck

from cscl.errors import InputError
from cscl.losses.contrast import contrast
from cscl.losses.cscl import CSCLLoss, CSCLOptions
from cscl.losses.ground import Ground, Pairs

TOY = CSCLOptions(width=4)
FORMS = [
    replace(TOY, form="sigmoid", temperature=0.3, threshold=0.2),
    replace(TOY, form="sigmoid", learn_threshold=False, mode="masked"),
    replace(TOY, form="softmax", temperature=0.5),
    replace(TOY, more_dilations=(2, 3), more_windows=(3, 5)),
    replace(TOY, form="softmax", more_dilations=(2,)),
    replace(TOY, shift_px=1),
    replace(TOY, form="sigmoid", shift_px=1, shift_temperature=0.2, more_dilations=(2,)),
]


def generator(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def random_ground(*, crops: bool, shares: bool, needed: bool = False, seed: int = 0) -> Ground:
    made = generator(seed)
    shape = (2, 5, 6)
    first = torch.rand(shape, generator=made, dtype=torch.float64) * torch.randint(0, 2, shape, generator=made)
    second = (1 - first) * torch.rand(shape, generator=made, dtype=torch.float64)
    parcels = torch.randint(1, 4, (2, 2, 5, 6), generator=made)
    parcels[:, 1] = parcels[:, 0] % 3 + 1  # a pixel names a parcel once
    return Ground(
        torch.randint(-1, 4, shape, generator=made),
        torch.randint(-1, 2, shape, generator=made) if crops else None,
        parcels if shares else None,
        torch.stack([first, second], 1) if shares else None,
        needed,
    )


def judged(ground: Ground, item: int, one: tuple[int, int], other: tuple[int, int]) -> tuple[float, float]:
    """Weights of one pair, by the words of `Ground`."""
    if ground.parcels_BNHW is not None and ground.share_BNHW is not None:
        here, there = (
            [(int(ground.parcels_BNHW[item, n, *at]), float(ground.share_BNHW[item, n, *at])) for n in range(2)]
            for at in (one, other)
        )
        alike = sum(a * b for (p, a), (q, b) in itertools.product(here, there) if p == q)
        unlike = sum(a * b for (p, a), (q, b) in itertools.product(here, there) if p != q)
    else:
        a, b = int(ground.target_BHW[item, *one]), int(ground.target_BHW[item, *other])
        alike, unlike = float(a == b >= 0), float(a != b and min(a, b) >= 0)
    if ground.crop_BHW is None:
        return alike, unlike
    a, b = int(ground.crop_BHW[item, *one]), int(ground.crop_BHW[item, *other])
    told = min(a, b) >= 0
    if ground.share_BNHW is not None:
        alike, unlike = (alike + unlike, 0.0) if told and a == b else (alike, unlike)
    elif told:
        alike = float(bool(alike) or a == b)
        unlike = 1 - alike
    return alike, unlike if told or not ground.crops_needed else 0.0


@pytest.mark.parametrize("shares", [False, True])
@pytest.mark.parametrize(("crops", "needed"), [(False, False), (True, False), (True, True)])
def test_pairs_by_loops(crops: bool, needed: bool, shares: bool) -> None:
    ground = random_ground(crops=crops, shares=shares, needed=needed)
    window, dilation = 5, 2
    alike, unlike = ground.pairs(window, dilation)
    assert alike.is_floating_point() == shares
    for item, a, b, y, x in itertools.product(*map(range, alike.shape)):
        v, u = y + (a - 2) * dilation, x + (b - 2) * dilation
        inside = 0 <= v < 5 and 0 <= u < 6 and (a, b) != (2, 2)
        expected = judged(ground, item, (y, x), (v, u)) if inside else (0, 0)
        assert (float(alike[item, a, b, y, x]), float(unlike[item, a, b, y, x])) == pytest.approx(expected, abs=1e-12)


def test_whole_shares_are_plain_parcels() -> None:
    ground = random_ground(crops=False, shares=False)
    target = ground.target_BHW
    parcels, share = torch.stack([target, target], 1), torch.stack([target >= 0, torch.zeros_like(target)], 1).double()
    for plain, soft in zip(ground.pairs(3), Ground(target, None, parcels, share).pairs(3), strict=True):
        assert torch.equal(plain.double(), soft)


def loss_slow(s_BkkHW: Tensor, pairs: Pairs, options: CSCLOptions, threshold: float) -> float:
    """The definitions of `cscl.losses.contrast`, pair by pair."""
    t, cost, weight = options.temperature, [0.0, 0.0], [0.0, 0.0]
    pixels, total = 0.0, 0.0
    items, k, _, height, width = s_BkkHW.shape
    for item, y, x in itertools.product(range(items), range(height), range(width)):
        taps = [(float(s_BkkHW[item, a, b, y, x]), *(float(side[item, a, b, y, x]) for side in pairs))
                for a, b in itertools.product(range(k), range(k))]  # fmt: skip
        own = [sum(tap[side] for tap in taps) for side in (1, 2)]
        if min(own) > 0:
            among = math.log(sum((p + n) * math.exp(s / t) for s, p, n in taps))
            share = min(1.0, *own)
            pixels, total = pixels + share, total + share * (among - sum(p * s / t for s, p, _ in taps) / own[0])
        for s, *sides in taps:
            for side, sign in ((0, -1), (1, 1)):
                each = sign * s if options.form == "linear" else math.log1p(math.exp(sign * (s - threshold) / t))
                cost[side] += sides[side] * each
                weight[side] += sides[side]
    if options.form == "softmax":
        return total / pixels
    if options.mode == "balanced":
        return cost[0] / weight[0] + cost[1] / weight[1]
    return (cost[1] + options.positive_weight * cost[0]) / sum(weight)


@pytest.mark.parametrize("form", ["linear", "sigmoid", "softmax"])
@pytest.mark.parametrize("mode", ["balanced", "masked"])
@pytest.mark.parametrize("shares", [False, True])
def test_costs_by_loops(form: str, mode: str, shares: bool) -> None:
    options = replace(TOY, form=form, mode=mode, temperature=0.4)
    s_BkkHW = torch.rand(2, 3, 3, 5, 6, generator=generator(1), dtype=torch.float64) * 2 - 1
    pairs = random_ground(crops=True, shares=shares).pairs(3)
    loss, measures = contrast(s_BkkHW, pairs, options, 0.3)
    assert loss.item() == pytest.approx(loss_slow(s_BkkHW, pairs, options, 0.3), abs=1e-12)
    # The measures are of the similarities, whatever the form.
    linear, _ = contrast(s_BkkHW, pairs, replace(TOY))
    assert measures["similarity_gap"].item() == pytest.approx(-linear.item(), abs=1e-12)


def made_loss(options: CSCLOptions) -> CSCLLoss:
    torch.manual_seed(3)
    return CSCLLoss(options, width=3).double()


@pytest.mark.parametrize("shares", [False, True])
@pytest.mark.parametrize("options", FORMS)
def test_gradients(options: CSCLOptions, shares: bool) -> None:
    ground = random_ground(crops=True, shares=shares, seed=2)
    embedding = torch.randn(2, 3, 5, 6, generator=generator(4), dtype=torch.float64, requires_grad=True)
    loss = made_loss(options)
    names, weights = zip(*((name, w.detach().requires_grad_()) for name, w in loss.named_parameters()), strict=True)
    if options.shift_temperature:
        # What shifts weigh is held fixed; without it they would have a gradient, too.
        value, _ = loss(embedding, ground)
        assert all(g.isfinite().all() and g.any() for g in torch.autograd.grad(value, list(loss.parameters())))
        return

    def value_of(embedding_BDHW: Tensor, *given: Tensor) -> Tensor:
        return torch.func.functional_call(loss, dict(zip(names, given, strict=True)), (embedding_BDHW, ground))[0]

    assert gradcheck(value_of, [embedding, *weights], fast_mode=True)


@pytest.mark.parametrize("options", FORMS)
def test_nothing_known_costs_nothing(options: CSCLOptions) -> None:
    embedding = torch.randn(2, 3, 5, 6, generator=generator(4), dtype=torch.float64, requires_grad=True)
    for target in (-1, 4):  # nothing known, and nothing unlike
        loss, measures = made_loss(options)(embedding, torch.full((2, 5, 6), target))
        (gradient,) = torch.autograd.grad(loss, embedding)
        assert all(value.isfinite().all() for value in (loss, gradient, *measures.values()))
        assert measures["collapsed"] == 0
        assert target > 0 or (loss == 0 and not gradient.any())


def test_scales_are_averaged_and_the_first_is_shown() -> None:
    embedding = torch.randn(2, 3, 7, 8, generator=generator(4), dtype=torch.float64)
    target_BHW = torch.randint(-1, 3, (2, 7, 8), generator=generator(5))
    whole = made_loss(replace(TOY, more_dilations=(2, 3), more_windows=(3, 5)))
    losses, state = [], whole.state_dict()
    for number, (window, dilation) in enumerate([(3, 1), (3, 2), (5, 3)]):
        alone = made_loss(replace(TOY, window=window, dilation=dilation))
        codes = [f"head.more_{name}_Ak.{number - 1}" if number else f"head.{name}_Ak" for name in ("row", "col")]
        alone.load_state_dict(
            {
                **{name: state[name] for name in ("head.query.weight", "head.key.weight")},
                **dict(zip(("head.row_Ak", "head.col_Ak"), (state[name] for name in codes), strict=True)),
            }
        )
        value, measures = alone(embedding, target_BHW)
        losses.append(value)
        if number == 0:
            assert torch.equal(whole.head(embedding), alone.head(embedding))
            assert whole(embedding, target_BHW)[1] == measures
    assert whole(embedding, target_BHW)[0].item() == pytest.approx(torch.stack(losses).mean().item())


def test_further_windows_need_their_dilations() -> None:
    with pytest.raises(InputError, match="2 further windows do not go with 1 further dilations"):
        CSCLLoss(replace(TOY, more_dilations=(2,), more_windows=(3, 5)), width=3)


@pytest.mark.parametrize("scales", [{}, {"more_dilations": (2,)}])
def test_the_least_loss_over_the_shifts(scales: dict) -> None:
    """By trying all shifts of each item, moved in NumPy's way."""
    embedding = torch.randn(3, 3, 9, 8, generator=generator(4), dtype=torch.float64)
    target_BHW = torch.randint(-1, 3, (3, 3, 4), generator=generator(5)).repeat_interleave(3, 1).repeat_interleave(2, 2)
    plain, shifting = made_loss(replace(TOY, **scales)), made_loss(replace(TOY, shift_px=2, **scales))
    for item in range(3):
        found = []
        for down, right in itertools.product(range(-2, 3), repeat=2):
            moved = torch.full((1, 9, 8), -1)
            for y, x in itertools.product(range(9), range(8)):
                if 0 <= y - down < 9 and 0 <= x - right < 8:
                    moved[0, y, x] = target_BHW[item, y - down, x - right]
            found.append(plain(embedding[item, None], moved)[0].item())
        one = shifting(embedding[item, None], target_BHW[item, None])[0]
        assert one.item() == pytest.approx(min(found), abs=1e-4)  # of equals, the shorter
    soft = made_loss(replace(TOY, shift_px=2, shift_temperature=1e-4, **scales))
    assert soft(embedding, target_BHW)[0].item() == pytest.approx(shifting(embedding, target_BHW)[0].item(), abs=1e-6)


@pytest.mark.parametrize("temperature", [0.0, 0.05])
def test_outlines_that_lie_off_are_found_item_by_item(temperature: float) -> None:
    parcels = torch.randint(1, 99, (3, 4, 4), generator=generator(0)).repeat_interleave(5, 1).repeat_interleave(5, 2)
    looks = torch.randn(99, 8, generator=generator(1), dtype=torch.float64)
    embedding = looks[parcels].permute(0, 3, 1, 2)
    moves = [(1, 0), (-1, 1), (0, 0)]
    ground = Ground(torch.stack([Ground(p[None]).moved(*m).target_BHW[0] for p, m in zip(parcels, moves, strict=True)]))
    options = replace(TOY, shift_px=1, shift_temperature=temperature)
    loss, blind = (CSCLLoss(o, width=8).double() for o in (options, TOY))
    with torch.no_grad():  # plain cosines
        for each in (loss, blind):
            plain = torch.nn.Parameter(torch.eye(8).double()[..., None, None])
            each.head.query.weight, each.head.key.weight = plain, plain
            each.head.row_Ak, each.head.col_Ak = (torch.nn.Parameter(torch.zeros(4, 3).double()) for _ in "rc")
    value, measures = loss(embedding, ground)
    right, _ = blind(embedding, parcels)
    assert measures["shift_px"].item() == pytest.approx((1 + math.sqrt(2)) / 3, abs=0.05 if temperature else 1e-12)
    assert value.item() == pytest.approx(right.item(), abs=0.05)
    assert blind(embedding, ground)[0] > value + 0.1


def test_an_item_that_fits_anyhow_is_not_moved() -> None:
    embedding = torch.ones(1, 3, 6, 6, dtype=torch.float64)
    target_BHW = torch.arange(6).repeat(1, 6, 1)
    loss = made_loss(replace(TOY, shift_px=2))
    with torch.no_grad():
        loss.head.row_Ak.zero_(), loss.head.col_Ak.zero_()
    assert loss(embedding, target_BHW)[1]["shift_px"] == 0


def test_the_reference_compares_one_map() -> None:
    loss = CSCLLoss(replace(TOY, mode="reference"), width=3).double()
    embedding = torch.zeros(2, 3, 5, 6, dtype=torch.float64)
    for both in (random_ground(crops=True, shares=False), random_ground(crops=False, shares=True)):
        with pytest.raises(InputError, match="compares one map"):
            loss(embedding, both)
