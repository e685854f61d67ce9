"""GLCNet: the two parts by hand, what must not matter, where gradients go, and that regions are found again."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import get_type_hints

import pytest
import torch
from torch import Tensor, nn
from toyviews import STILL, samples, seeded

from cscl.errors import InputError
from cscl.losses import losses
from cscl.losses.glcnet import GLCNetLoss, GLCNetOptions, Matched, draw_matched
from cscl.losses.looking import look, look_at_both
from cscl.losses.ntxent import nt_xent
from cscl.losses.regions import moments, region_means
from cscl.models import DataShape, Network, models
from cscl.models.compact import CompactOptions

OPTIONS = GLCNetOptions(**{**vars(STILL), "region_px": 4})
SHAPE = DataShape(bands=8, classes=3, dates=24, first_day=0, last_day=200)


def network(name: str = "compact") -> Network:
    torch.manual_seed(0)
    options = models.get(name).options
    least = get_type_hints(options, include_extras=True)["num_features"].__metadata__[0]["min"]
    return models.get(name).build(options(num_features=least), SHAPE)


def drawn(options: GLCNetOptions = OPTIONS, items: int = 6, seed: int = 0) -> Matched:
    made = samples(items)
    made = replace(made, x_BTCHW=made.x_BTCHW / made.x_BTCHW.abs().amax((0, 1, 3, 4), keepdim=True))
    return draw_matched(made, options, 24, 24, seeded(seed))


def made(options: GLCNetOptions = OPTIONS, name: str = "compact") -> tuple[Network, Matched, GLCNetLoss]:
    net, task = network(name), drawn(options)
    return net, task, GLCNetLoss(options, net, task).eval()


def test_both_parts_are_what_they_say() -> None:
    net, task, loss = made()
    net.eval()
    told, measures = loss(net, task)
    (first_e, first_b), (second_e, second_b) = look_at_both(net, task.pair, at_once=False)
    of_style = nt_xent(
        *(loss.global_head(moments(b, v.use_BHW, "variance")[0])
          for b, v in ((first_b, task.pair.first), (second_b, task.pair.second))), 0.5,
    )  # fmt: skip
    sides = (first_e, task.pair.first, task.regions.first_BR4), (second_e, task.pair.second, task.regions.second_BR4)
    means = [region_means(loss.project(e), view.use_BHW, box) for e, view, box in sides]
    of_regions = nt_xent(*(loss.local_head(mean)[task.regions.kept_BR] for mean in means), 0.5)
    assert torch.allclose(measures["global"], of_style, atol=1e-4)
    assert torch.allclose(measures["local"], of_regions, atol=1e-4)
    assert torch.allclose(told, 0.25 * of_style + 0.75 * of_regions, atol=1e-4)
    assert first_b.shape[1:] != first_e.shape[1:], "the style is that of the coarse map"


def test_order_of_samples_sides_and_padded_dates_do_not_matter() -> None:
    net, task, loss = made()
    net.eval()
    told = loss(net, task)[0]
    order = torch.tensor([4, 0, 5, 2, 1, 3])
    swapped = replace(
        task, pair=replace(task.pair, first=task.pair.second, second=task.pair.first),
        regions=replace(task.regions, first_BR4=task.regions.second_BR4, second_BR4=task.regions.first_BR4),
    )  # fmt: skip
    view = task.pair.first
    longer = {
        n: torch.cat([getattr(view, n), torch.zeros_like(getattr(view, n))], 1)
        for n in ("x_BTCHW", "day_BT", "valid_BTHW")
    }
    padded = replace(task, pair=replace(task.pair, first=replace(view, **longer)))
    for other in (task.map(lambda t: t[order]), swapped, padded):
        assert torch.allclose(loss(net, other)[0], told, atol=1e-4)


def test_a_collapsed_network_gives_the_logarithm_of_the_negatives_and_says_so() -> None:
    net, task, loss = made()
    for layer in (loss.global_head[-1], loss.local_head[-1]):
        nn.init.zeros_(layer.weight)
        nn.init.ones_(layer.bias)
    _, measures = loss(net, task)
    assert measures["global"].item() == pytest.approx(math.log(2 * 6 - 2), abs=1e-4)
    assert measures["local"].item() == pytest.approx(math.log(2 * int(task.regions.kept_BR.sum()) - 2), abs=1e-4)
    assert measures["collapsed"] == 1 and measures["spread"] < 1e-4


@pytest.mark.parametrize("weight", [0.0, 1.0])
def test_gradients_reach_what_each_part_reads(weight: float) -> None:
    net, task, loss = made(replace(OPTIONS, global_weight=weight))
    loss(net.train(), task)[0].backward()
    reached = {
        n.split(".")[0] + "." + n.split(".")[1]
        for n, p in net.named_parameters()
        if p.grad is not None and p.grad.any()
    }
    assert "pixel.convolutions" in reached and "surroundings.down2" in reached
    assert ("surroundings.up0" in reached) == (weight == 0.0), "the style does not teach the decoder, regions do"


@pytest.mark.parametrize(
    "changes",
    [
        {"regions": "windows", "region_px": 6, "region_count": 4, "global_weight": 0.5, "global_width": 64},
        {"denominator": "simclr"}, {"negatives": "other samples"}, {"style": "deviation"}, {"style": "none"},
        {"style_dropout": 0.5}, {"passes": "two"}, {"changed_views": "second"},
    ],
)  # fmt: skip
def test_every_switch_learns(changes: dict[str, object]) -> None:
    net, task, loss = made(replace(OPTIONS, **changes))
    told, measures = loss.train()(net.train(), task)
    told.backward()
    assert torch.isfinite(told) and all(torch.isfinite(v) for v in measures.values())
    assert all(p.grad is not None and torch.isfinite(p.grad).all() for p in loss.parameters())


@pytest.mark.parametrize("name", ["unet3df", "utae"])
def test_networks_with_dates_in_their_coarsest_map_and_without_any_can_be_taught(name: str) -> None:
    net, task, loss = made(name=name)
    told, _ = loss(net.train(), task)
    told.backward()
    assert torch.isfinite(told) and embeds(net, task).shape[1] == net.embedding_width


def embeds(net: nn.Module, task: Matched) -> Tensor:
    view = task.pair.first
    return look(net, view.x_BTCHW, view.day_BT, view.valid_BTHW)[0]


def test_samples_without_a_usable_pixel_give_zero() -> None:
    net, task, loss = made()
    task.regions.kept_BR[:] = False
    for view in (task.pair.first, task.pair.second):
        view.use_BHW[:] = False
    told, measures = loss(net, task)
    told.backward()
    assert told.item() == 0 and measures["collapsed"] == 0
    assert not any(p.grad.any() for p in net.parameters() if p.grad is not None)


def test_eight_samples_are_learnt_by_heart() -> None:
    made = samples(8, 6, 20)
    ground = torch.randn(8, 1, 8, 20, 20, generator=seeded(5)) + 0.2 * torch.randn(
        made.x_BTCHW.shape, generator=seeded(6)
    )
    made = replace(made, x_BTCHW=ground.masked_fill(~made.valid_BTHW[:, :, None], 0.0))
    options = replace(OPTIONS, global_weight=0.0, region_count=4)
    task = draw_matched(made, options, 16, 24, seeded())
    torch.manual_seed(0)
    net = models.get("compact").build(CompactOptions(num_features=4, knots=8), replace(SHAPE, last_day=40))
    loss = GLCNetLoss(options, net, task)
    optimiser = torch.optim.AdamW([*net.parameters(), *loss.parameters()], lr=5e-3)
    for _ in range(60):
        told, measures = loss(net.train(), task)
        optimiser.zero_grad()
        told.backward()
        optimiser.step()
    assert measures["retrieval"] > 0.95 and measures["collapsed"] == 0


def test_regions_too_large_for_a_view_are_refused_not_ignored() -> None:
    with pytest.raises(InputError, match=r"region_px to 12 or less, or data\.patch_px to 26"):
        drawn(replace(OPTIONS, region_px=13))


def test_it_is_registered_as_a_scheme_that_reads_views() -> None:
    assert losses.get("glcnet").reads == "views" and losses.get("glcnet").draw is draw_matched
