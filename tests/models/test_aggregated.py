"""Attention to neighbours: against slow loops, nothing at first, and around every network."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from torch import Tensor

from cscl.losses.cscl import CSCLHead, CSCLOptions
from cscl.models import DataShape, Network, models
from cscl.models.aggregated import aggregated, tap_by_tap, window_mean

OPTIONS = CSCLOptions(window=3, dilation=2, width=8)


def slow_mean(x_BCHW: Tensor, s_BkkHW: Tensor, dilation: int) -> Tensor:
    """Average by loops over pixels and taps."""
    out = torch.zeros_like(x_BCHW)
    items, _, height, width = x_BCHW.shape
    half = s_BkkHW.shape[1] // 2
    for item in range(items):
        for y in range(height):
            for x in range(width):
                total, weights = 0.0, 0.0
                for a in range(-half, half + 1):
                    for b in range(-half, half + 1):
                        v, u = y + a * dilation, x + b * dilation
                        if 0 <= v < height and 0 <= u < width:
                            weight = s_BkkHW[item, a + half, b + half, y, x].exp()
                            total, weights = total + weight * x_BCHW[item, :, v, u], weights + weight
                out[item, :, y, x] = total / weights
    return out


@pytest.mark.parametrize(
    "options", [OPTIONS, replace(OPTIONS, window=5, dilation=1, groups=2), replace(OPTIONS, normalise=False)]
)
def test_similarities_that_are_written_down_are_those_of_the_head(options: CSCLOptions) -> None:
    torch.manual_seed(0)
    head, embedding = CSCLHead(options, 6), torch.randn(2, 6, 9, 7)
    torch.testing.assert_close(tap_by_tap(head, embedding), head.affinity(embedding), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(("window", "dilation"), [(3, 1), (3, 2), (5, 1)])
def test_window_mean_is_the_slow_loop_and_has_its_gradient(window: int, dilation: int) -> None:
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(2, 2, 5, 4, generator=generator, dtype=torch.float64, requires_grad=True)
    s = torch.randn(2, window, window, 5, 4, generator=generator, dtype=torch.float64, requires_grad=True)
    torch.testing.assert_close(window_mean(x, s, dilation), slow_mean(x, s, dilation), rtol=1e-12, atol=1e-12)
    assert torch.autograd.gradcheck(lambda x, s: window_mean(x, s, dilation), (x, s))


def made(name: str) -> Network:
    torch.manual_seed(0)
    return models.get(name).build(models.get(name).options(), DataShape(bands=3, classes=4, dates=8))


def answers(network: Network) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(0)
    x_BTCHW = torch.randn(1, network.needs.dates or 5, 3, 24, 24, generator=generator)
    day_BT = torch.arange(x_BTCHW.shape[1])[None] * 20
    logits, embedding = network.eval()(x_BTCHW, day_BT, torch.ones_like(x_BTCHW[:, :, 0], dtype=torch.bool))
    return logits.detach(), embedding.detach()


@pytest.mark.parametrize("name", models.names())
def test_every_network_starts_as_itself_and_then_attends(name: str) -> None:
    plain, embedding = answers(made(name))
    around = aggregated(made(name), OPTIONS)
    assert torch.equal(answers(around)[0], plain)
    torch.nn.init.normal_(around.get_parameter("attend.value.weight"), std=0.3)
    attending, same = answers(around)
    assert (attending - plain).abs().max() > 1e-3 * plain.std()
    assert torch.equal(same, embedding), "the losses that compare neighbours read the embedding as it is"


def test_attention_is_part_of_the_decoder_and_feels_a_window_more() -> None:
    network = aggregated(made("compact"), OPTIONS)
    assert network.attend in network.part("decoder")
    assert network.needs.margin_px == made("compact").needs.margin_px + 2


def test_stride_and_further_scales_of_the_loss_do_not_change_the_attention() -> None:
    network = aggregated(made("compact"), replace(OPTIONS, stride=2, more_dilations=(4,)))
    assert answers(network)[0].shape[-2:] == (24, 24)
    assert network.state_dict().keys() == aggregated(made("compact"), OPTIONS).state_dict().keys()
