"""UNet2D-CLSTM: the published size and first weights, the normalised cell against slow loops, and what is masked."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from cscl.errors import InputError
from cscl.models import DataShape, models
from cscl.models.recurrent import with_date_channels
from cscl.models.unet2d_clstm import NormedConvLSTM, PixelNorm, StepNorm, UNet2DCLSTM, UNet2DCLSTMOptions

SHAPE = DataShape(bands=3, classes=4, dates=5)
TINY = UNet2DCLSTMOptions(num_features=1, day_channels=2, dates=5)
PUBLISHED = replace(TINY, variant="published")
BOTH = pytest.mark.parametrize("options", [TINY, PUBLISHED], ids=["masked", "published"])
Series = tuple[Tensor, Tensor, Tensor]


@pytest.mark.parametrize("variant", ["masked", "published"])
@pytest.mark.parametrize(("days", "classes", "total"), [(2, 18, 3_093_298), (1, 20, 3_095_028)])
def test_parameter_count_is_the_published_one(variant: Any, days: Any, classes: int, total: int) -> None:
    options = UNet2DCLSTMOptions(day_channels=days, variant=variant)
    network = models.get("unet2d_clstm").build(options, DataShape(bands=13, classes=classes))
    assert sum(weight.numel() for weight in network.parameters()) == total
    assert sum(weight.numel() for weight in network.get_submodule("recurrence").parameters()) == 1_181_824
    assert network.embedding_width == 128


def test_first_weights_are_the_published_ones() -> None:
    torch.manual_seed(0)
    network = UNet2DCLSTM(UNet2DCLSTMOptions(variant="published"), SHAPE)
    layer = network.recurrence.state
    assert float(layer.weight.detach().std()) == pytest.approx((2 / (128 * 9)) ** 0.5, rel=0.01)
    assert layer.bias is not None
    assert not layer.bias.any()
    assert (network.recurrence.norm_memory.weight == 0.1).all()
    groups = [m.num_channels // m.num_groups for m in network.modules() if isinstance(m, nn.GroupNorm)]
    assert groups == [16] * 6


def slow_conv(x_BCHW: NDArray, layer: nn.Conv2d) -> NDArray:
    """3 x 3 convolution with zeros around, in plain loops."""
    weight, bias = (p.detach().numpy() for p in layer.parameters())
    out = np.zeros((len(x_BCHW), len(weight), *x_BCHW.shape[2:]))
    for b, o, y, x in np.ndindex(*out.shape):
        out[b, o, y, x] = bias[o]
        for c, i, j in np.ndindex(*weight.shape[1:]):
            if 0 <= y + i - 1 < x_BCHW.shape[2] and 0 <= x + j - 1 < x_BCHW.shape[3]:
                out[b, o, y, x] += weight[o, c, i, j] * x_BCHW[b, c, y + i - 1, x + j - 1]
    return out


def slow_norm(x_BCHW: NDArray, weight: NDArray, axes: tuple[int, ...]) -> NDArray:
    mean, variance = x_BCHW.mean(axes, keepdims=True), x_BCHW.var(axes, keepdims=True)
    return weight[None, :, None, None] * (x_BCHW - mean) / np.sqrt(variance + 1e-5)


def sigmoid(x: NDArray) -> NDArray:
    return 1 / (1 + np.exp(-x))


@pytest.mark.parametrize(("norm", "axes"), [(PixelNorm, (1,)), (lambda width: StepNorm(width, 3), (0, 2, 3))])
def test_cell_equals_slow_loops(norm: Any, axes: tuple[int, ...]) -> None:
    torch.manual_seed(0)
    cell = NormedConvLSTM(2, norm).double()
    for parameter in cell.parameters():
        nn.init.normal_(parameter)
    x, h, c = (a.numpy() for a in torch.randn(3, 2, 2, 3, 4, dtype=torch.float64))
    scale = {name: getattr(cell, name).weight.detach().numpy() for name in ("norm_state", "norm_input", "norm_memory")}
    z = slow_norm(slow_conv(h, cell.state), scale["norm_state"], axes)
    z += slow_norm(slow_conv(x, cell.input), scale["norm_input"], axes)
    i, f, o, g = np.split(z, 4, axis=1)
    after = sigmoid(f) * c + sigmoid(i) * np.tanh(g)
    expected = sigmoid(o) * slow_norm(np.tanh(after), scale["norm_memory"], axes)
    found = cell(torch.from_numpy(x), (torch.from_numpy(h), torch.from_numpy(c)), 1)
    np.testing.assert_allclose(found[0].detach(), expected, rtol=1e-10, atol=1e-12)
    np.testing.assert_allclose(found[1].detach(), after, rtol=1e-10, atol=1e-12)


def test_statistics_of_a_date_move_as_after_two_runs_and_others_stay() -> None:
    x_BCHW = 3 + torch.randn(2, 4, 5, 5, generator=torch.Generator().manual_seed(0))
    ours, twice = StepNorm(4, 3).train(), nn.BatchNorm2d(4, momentum=0.1).train()
    ours(x_BCHW, 1)
    twice(twice(x_BCHW) * 0 + x_BCHW)
    torch.testing.assert_close(ours.mean_TC[1], twice.running_mean)
    torch.testing.assert_close(ours.variance_TC[1], twice.running_var)
    assert not ours.mean_TC[[0, 2]].any()
    assert (ours.variance_TC[[0, 2]] == 1).all()


def make(options: UNet2DCLSTMOptions) -> UNet2DCLSTM:
    torch.manual_seed(0)
    network = UNet2DCLSTM(options, SHAPE).double()
    with torch.no_grad():
        network.train()(*series(5))
    return network.eval()


def series(dates: int, size_px: int = 8) -> Series:
    generator = torch.Generator().manual_seed(dates)
    x_BTCHW = torch.randn(2, dates, 3, size_px, size_px, generator=generator, dtype=torch.float64)
    valid_BTHW = torch.rand(2, dates, size_px, size_px, generator=generator) > 0.4
    return x_BTCHW, torch.arange(dates).expand(2, -1) * 40, valid_BTHW


@BOTH
def test_embedding_is_the_mean_state_over_the_dates_seen_or_as_published_over_all(options: UNet2DCLSTMOptions) -> None:
    network = make(options)
    given = series(4)
    shown_BTCHW = with_date_channels(*given, options, 3)
    seen_BTHW = given[2]
    if options.variant == "published":
        shown_BTCHW = torch.cat([shown_BTCHW, torch.zeros_like(shown_BTCHW[:, :1])], dim=1)
        seen_BTHW = torch.ones(2, 5, 8, 8, dtype=torch.bool)
    h = c = sum_BDHW = torch.zeros(2, 8, 8, 8, dtype=torch.float64)
    for t in range(seen_BTHW.shape[1]):
        seen = seen_BTHW[:, t, None]
        new_h, new_c = network.recurrence(network.unet(shown_BTCHW[:, t]), (h, c), t)
        h, c = torch.where(seen, new_h, h), torch.where(seen, new_c, c)
        sum_BDHW = sum_BDHW + seen * new_h
    count_B1HW = seen_BTHW.sum(dim=1, keepdim=True)
    assert (seen_BTHW.sum(dim=1) == 0).any() == (options.variant == "masked"), "a pixel that nobody saw belongs here"
    torch.testing.assert_close(network(*given)[1], sum_BDHW / count_B1HW.clamp_min(1), rtol=1e-12, atol=1e-12)


@BOTH
def test_values_of_unseen_pixels_do_not_matter_and_days_do(options: UNet2DCLSTMOptions) -> None:
    network = make(options)
    x_BTCHW, day_BT, valid_BTHW = series(5)
    expected = network(x_BTCHW, day_BT, valid_BTHW)[0]
    assert torch.equal(network(torch.where(valid_BTHW[:, :, None], x_BTCHW, 1e6), day_BT, valid_BTHW)[0], expected)
    assert not torch.allclose(network(x_BTCHW, day_BT + 30, valid_BTHW)[0], expected)


def test_padding_changes_nothing_that_training_learns() -> None:
    """The norms' statistics too: no frame of padding goes through the U-Net."""
    given = series(3)
    longer = tuple(torch.cat([a, torch.zeros_like(a[:, :2])], dim=1) for a in given)
    states = []
    for one in (given, longer):
        torch.manual_seed(0)
        network = UNet2DCLSTM(TINY, SHAPE).double().train()
        network(*one)[0].square().mean().backward()
        states.append([*network.buffers(), *(p.grad for p in network.parameters())])
    for short, padded in zip(*states, strict=True):
        torch.testing.assert_close(padded, short, rtol=1e-9, atol=1e-12)


def test_mapping_reads_a_date_at_a_time_and_none_that_nobody_saw() -> None:
    network, frames = make(TINY), []
    network.unet.register_forward_hook(lambda _, given, __: frames.append(len(given[0])))
    x_BTCHW, day_BT, valid_BTHW = series(5)
    valid_BTHW[:, 3] = False
    network(x_BTCHW, day_BT, valid_BTHW)
    assert frames == [2, 2, 2, 2]


def test_margin_is_how_far_a_pixel_feels() -> None:
    network, size_px, centre = make(TINY), 72, range(36, 40)
    x_BTCHW = torch.randn(1, 5, 3, size_px, size_px, dtype=torch.float64, requires_grad=True)
    valid_BTHW = torch.ones(1, 5, size_px, size_px, dtype=torch.bool)
    logits = network(x_BTCHW, torch.arange(5)[None] * 40, valid_BTHW)[0]
    felt_px = 0
    for y in centre:
        gradient = torch.autograd.grad(logits[0, :, y, 36].sum(), x_BTCHW, retain_graph=True)[0]
        felt_px = max(felt_px, int((gradient.abs().sum(dim=(0, 1, 2)).nonzero()[:, 0] - y).abs().max()))
    assert network.needs.margin_px - 4 < felt_px <= network.needs.margin_px


def test_card_says_what_the_published_habits_break() -> None:
    published, masked = UNet2DCLSTM(PUBLISHED, SHAPE).needs, UNet2DCLSTM(TINY, SHAPE).needs
    assert (published.dates, published.whole_tile, published.masks_dates) == (5, True, False)
    assert (masked.dates, masked.whole_tile, masked.masks_dates) == (None, False, True)


@pytest.mark.parametrize(
    ("shape", "sentence"),
    [((1, 6, 3, 8, 8), "reads 5 dates"), ((1, 4, 2, 8, 8), "reads 3 bands"), ((1, 4, 3, 8, 10), "multiples of 4")],
)
def test_what_does_not_fit_is_refused_in_a_sentence(shape: tuple[int, ...], sentence: str) -> None:
    x_BTCHW = torch.zeros(shape)
    with pytest.raises(InputError, match=sentence):
        UNet2DCLSTM(PUBLISHED, SHAPE)(x_BTCHW, torch.zeros(shape[:2], dtype=torch.int64), x_BTCHW[:, :, 0] == 0)
