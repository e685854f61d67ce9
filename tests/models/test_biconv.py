"""BiConvGRU and BiConvLSTM: the published sizes, the cells against slow loops, and which dates move a state."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor

from cscl.errors import InputError
from cscl.losses.cscl import CSCLLoss, CSCLOptions
from cscl.models import DataShape, models
from cscl.models.biconv import BiConv, BiConvGRU, BiConvLSTM, BiConvOptions, ConvGRU, ConvLSTM
from cscl.models.recurrent import with_date_channels

FRANCE = (BiConvOptions(day_channels=1), DataShape(bands=13, classes=20))
GERMANY = (BiConvOptions(day_channels=2), DataShape(bands=13, classes=18))
BOTH = pytest.mark.parametrize("kind", [BiConvGRU, BiConvLSTM])
Series = tuple[Tensor, Tensor, Tensor]


@pytest.mark.parametrize(
    ("name", "data", "total"),
    [
        ("biconvgru", GERMANY, 4_516_882),
        ("biconvgru", FRANCE, 4_525_524),
        ("biconvlstm", GERMANY, 5_991_954),
        ("biconvlstm", FRANCE, 6_000_596),
    ],
)
def test_parameter_counts_are_the_published_ones(name: str, data: Any, total: int) -> None:
    assert sum(weight.numel() for weight in models.get(name).build(*data).parameters()) == total


def slow_conv(x_CHW: NDArray, layer: torch.nn.Conv2d) -> NDArray:
    """3 x 3 convolution with zeros around, in plain loops."""
    weight, bias = (p.detach().numpy() for p in (layer.weight, layer.bias))
    out = np.zeros((len(weight), *x_CHW.shape[1:]))
    for o, y, x in np.ndindex(*out.shape):
        out[o, y, x] = bias[o]
        for c, i, j in np.ndindex(*weight.shape[1:]):
            if 0 <= y + i - 1 < x_CHW.shape[1] and 0 <= x + j - 1 < x_CHW.shape[2]:
                out[o, y, x] += weight[o, c, i, j] * x_CHW[c, y + i - 1, x + j - 1]
    return out


def sigmoid(x: NDArray) -> NDArray:
    return 1 / (1 + np.exp(-x))


def slow_gru(cell: ConvGRU, x: NDArray, h: NDArray) -> NDArray:
    u, r = np.split(sigmoid(slow_conv(np.concatenate([x, h]), cell.gates)), 2)
    n = np.tanh(slow_conv(np.concatenate([x, r * h]), cell.out))
    return (1 - u) * h + u * n


def slow_lstm(cell: ConvLSTM, x: NDArray, h: NDArray, c: NDArray) -> tuple[NDArray, NDArray]:
    i, f, o, g = np.split(slow_conv(np.concatenate([x, h]), cell.gates), 4)
    c = sigmoid(f) * c + sigmoid(i) * np.tanh(g)
    return sigmoid(o) * np.tanh(c), c


def test_cells_equal_slow_loops() -> None:
    torch.manual_seed(0)
    x, h, c = torch.randn(3, 1, 2, 3, 4, dtype=torch.float64)
    gru, lstm = ConvGRU(2, 2).double(), ConvLSTM(2, 2).double()
    np.testing.assert_allclose(gru(x, (h,))[0][0].detach(), slow_gru(gru, x[0].numpy(), h[0].numpy()), rtol=1e-12)
    found = lstm(x, (h, c))
    expected = slow_lstm(lstm, *(a[0].numpy() for a in (x, h, c)))
    for one, other in zip(found, expected, strict=True):
        np.testing.assert_allclose(one[0].detach(), other, rtol=1e-12)


def make(kind: type[BiConv], variant: Any = "masked") -> BiConv:
    torch.manual_seed(0)
    options = BiConvOptions(num_features=1, day_channels=2, variant=variant)
    return kind(options, DataShape(bands=3, classes=4, dates=5)).double().eval()  # type: ignore[call-arg]


def series(dates: int, size_px: int = 6) -> Series:
    generator = torch.Generator().manual_seed(dates)
    x_BTCHW = torch.randn(2, dates, 3, size_px, size_px, generator=generator, dtype=torch.float64)
    valid_BTHW = torch.rand(2, dates, size_px, size_px, generator=generator) > 0.4
    return x_BTCHW, torch.arange(dates).expand(2, -1) * 40, valid_BTHW


def test_states_wait_while_a_pixel_is_unseen_as_in_slow_loops() -> None:
    network = make(BiConvGRU)
    x_BTCHW, day_BT, valid_BTHW = series(3, 4)
    states = []
    for cell, order in [(network.forwards, range(3)), (network.backwards, range(2, -1, -1))]:
        h = np.zeros((16, 4, 4))
        for t in order:
            seen = valid_BTHW[0, t].numpy()
            days = np.full((2, 4, 4), [[[(40 * t + 1) / 365.0001]], [[0]]])
            looked = slow_conv(np.where(seen, np.concatenate([x_BTCHW[0, t], days]), 0), network.look)
            h = np.where(seen, slow_gru(cell, looked, h), h)
        states.append(h)
    embedding_BDHW = network(x_BTCHW, day_BT, valid_BTHW)[1]
    np.testing.assert_allclose(embedding_BDHW[0].detach(), np.concatenate(states), rtol=1e-10, atol=1e-14)


@BOTH
def test_values_of_unseen_pixels_do_not_matter_and_days_do(kind: type[BiConv]) -> None:
    x_BTCHW, day_BT, valid_BTHW = series(5)
    garbage = torch.where(valid_BTHW[:, :, None], x_BTCHW, 1e6)
    network = make(kind)
    expected = network(x_BTCHW, day_BT, valid_BTHW)[0]
    assert torch.equal(network(garbage, day_BT, valid_BTHW)[0], expected)
    assert not torch.allclose(network(x_BTCHW, day_BT + 30, valid_BTHW)[0], expected)


@BOTH
def test_published_variant_reads_gaps_as_zeros_and_ends_with_each_series(kind: type[BiConv]) -> None:
    network = make(kind, "published")
    x_BTCHW, day_BT, valid_BTHW = series(5)
    valid_BTHW[:, 2] = False  # a gap counts
    valid_BTHW[1, 3:] = False  # the padded end of the second item does not, nor the gap before it
    logits, embedding = network(x_BTCHW, day_BT, valid_BTHW)
    torch.testing.assert_close(logits.exp().sum(dim=1), torch.ones(2, 6, 6, dtype=torch.float64))
    shown_BTCHW = with_date_channels(x_BTCHW, day_BT, valid_BTHW, network.options, 3)
    for item, length in enumerate([5, 2]):
        ends = []
        for cell, order in [(network.forwards, range(length)), (network.backwards, range(length)[::-1])]:
            state = cell.start(shown_BTCHW[:1, 0])
            for t in order:
                state = cell(network.look(shown_BTCHW[item : item + 1, t]), state)
            ends.append(state[0])
        torch.testing.assert_close(embedding[item : item + 1], torch.cat(ends, dim=1), rtol=1e-12, atol=1e-12)


@BOTH
def test_dates_that_nobody_saw_cost_nothing(kind: type[BiConv]) -> None:
    network, calls = make(kind), []
    network.forwards.register_forward_hook(lambda *_: calls.append(1))
    x_BTCHW, day_BT, valid_BTHW = series(5)
    valid_BTHW[:, 3:] = False
    network(x_BTCHW, day_BT, valid_BTHW)
    assert len(calls) == 3


@BOTH
def test_margin_is_how_far_a_pixel_feels(kind: type[BiConv]) -> None:
    network, dates, size_px = make(kind), 5, 33
    x_BTCHW = torch.randn(1, dates, 3, size_px, size_px, dtype=torch.float64, requires_grad=True)
    valid_BTHW = torch.ones(1, dates, size_px, size_px, dtype=torch.bool)
    network(x_BTCHW, torch.arange(dates)[None], valid_BTHW)[0][0, :, 16, 16].sum().backward()
    assert x_BTCHW.grad is not None
    felt_px = (x_BTCHW.grad.abs().sum(dim=(0, 1, 2)).nonzero() - 16).abs().max()
    assert felt_px == network.needs.margin_px


@BOTH
def test_contrastive_loss_stays_finite_where_a_pixel_was_never_seen(kind: type[BiConv]) -> None:
    """There the embedding is zero, which has no direction."""
    network = make(kind).train()
    x_BTCHW, day_BT, valid_BTHW = series(3)
    valid_BTHW[0, :, 2:5, 2:5] = False
    embedding_BDHW = network(x_BTCHW, day_BT, valid_BTHW)[1]
    assert not embedding_BDHW[0, :, 3, 3].any()
    loss = CSCLLoss(CSCLOptions(width=8), network.embedding_width).double()
    loss(embedding_BDHW, torch.arange(6).expand(2, 6, 6) // 3)[0].backward()
    reached = [weight for name, weight in network.named_parameters() if not name.startswith("classify")]
    assert all(weight.grad is not None and weight.grad.isfinite().all() for weight in reached)


def test_a_series_of_other_bands_is_refused_in_a_sentence() -> None:
    x_BTCHW, day_BT, valid_BTHW = series(3)
    with pytest.raises(InputError, match="reads 3 bands, the series has 2"):
        make(BiConvGRU)(x_BTCHW[:, :, :2], day_BT, valid_BTHW)
