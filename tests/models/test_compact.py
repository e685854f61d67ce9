"""Compact: what its two temporal encoders promise, against slow loops, and what a pixel costs."""

import math

import pytest
import torch
from torch import Tensor
from torch.utils.flop_counter import FlopCounterMode

from cscl.errors import InputError
from cscl.models import DataShape
from cscl.models.compact import EMPTY, Compact, CompactOptions, Knots, OfBothKernels

ENCODERS = ["knots", "attention"]
SHAPE = DataShape(bands=2, classes=3, first_day=10, last_day=310)


def cloudy_pixels(dates: int, pixels: int) -> tuple[Tensor, Tensor, Tensor]:
    """Series (B, T, C, P) in float64 with unordered, irregular days."""
    generator = torch.Generator().manual_seed(7)
    valid_BTP = torch.rand(2, dates, pixels, generator=generator) > 0.4
    x_BTCP = torch.randn(2, dates, 2, pixels, generator=generator, dtype=torch.float64) * valid_BTP[:, :, None]
    return x_BTCP, torch.randint(0, 320, (2, dates), generator=generator), valid_BTP


def encoder(temporal: str) -> torch.nn.Module:
    torch.manual_seed(3)
    network = Compact(CompactOptions(temporal=temporal, num_features=4), SHAPE)  # type: ignore[arg-type]
    return network.pixel.double().eval()


def test_knots_are_kernel_regression_with_the_days_as_abscissa() -> None:
    knots = Knots(SHAPE, knots=8, num_features=4).double()
    x_BTCP, day_BT, valid_BTP = cloudy_pixels(dates=5, pixels=3)
    resampled_BMGPC = knots.resample(x_BTCP, day_BT, valid_BTP)
    bandwidths_days = knots.log_bandwidth_G.exp().tolist()
    for item, m, pixel in [(0, 0, 0), (0, 3, 2), (1, 7, 1)]:
        knot_day = 10 + m * 300 / 7
        for kernel, bandwidth_days in enumerate(bandwidths_days):
            seen = [t for t in range(5) if valid_BTP[item, t, pixel]]
            weights = [math.exp(-0.5 * ((int(day_BT[item, t]) - knot_day) / bandwidth_days) ** 2) for t in seen]
            values = [
                sum(w * float(x_BTCP[item, t, band, pixel]) for w, t in zip(weights, seen, strict=True))
                / (sum(weights) + EMPTY)
                for band in range(2)
            ]
            observed = sum(weights) / (sum(weights) + 1)
            found = resampled_BMGPC[item, m, kernel, pixel].tolist()
            assert found == pytest.approx([*values, observed], rel=1e-5, abs=1e-9)


@pytest.mark.parametrize("temporal", ENCODERS)
def test_a_pixel_is_what_its_seen_dates_say(temporal: str) -> None:
    pixel_encoder = encoder(temporal)
    x_BTCP, day_BT, valid_BTP = cloudy_pixels(dates=9, pixels=6)
    together_BCP = pixel_encoder(x_BTCP, day_BT, valid_BTP)
    for item in range(2):
        for pixel in range(6):
            seen = valid_BTP[item, :, pixel]
            series = x_BTCP[item : item + 1, seen, :, pixel : pixel + 1]
            alone_BCP = pixel_encoder(series, day_BT[item : item + 1, seen], torch.ones_like(series[:, :, 0]).bool())
            torch.testing.assert_close(alone_BCP[0, :, 0], together_BCP[item, :, pixel], rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("temporal", ENCODERS)
def test_order_of_dates_does_not_matter_but_their_days_do(temporal: str) -> None:
    pixel_encoder = encoder(temporal)
    x_BTCP, day_BT, valid_BTP = cloudy_pixels(dates=9, pixels=6)
    straight = pixel_encoder(x_BTCP, day_BT, valid_BTP)
    order = torch.randperm(9, generator=torch.Generator().manual_seed(0))
    shuffled = pixel_encoder(x_BTCP[:, order], day_BT[:, order], valid_BTP[:, order])
    torch.testing.assert_close(shuffled, straight, rtol=1e-9, atol=1e-12)
    assert not torch.allclose(pixel_encoder(x_BTCP, day_BT + 60, valid_BTP), straight, rtol=1e-3)


@pytest.mark.parametrize("temporal", ENCODERS)
def test_pixels_summarised_strip_by_strip_answer_as_together(temporal: str, monkeypatch: pytest.MonkeyPatch) -> None:
    torch.manual_seed(3)
    network = Compact(CompactOptions(temporal=temporal, num_features=4), SHAPE).double().eval()  # type: ignore[arg-type]
    x_BTCP, day_BT, valid_BTP = cloudy_pixels(dates=6, pixels=64)
    given = x_BTCP.unflatten(3, (8, 8)), day_BT, valid_BTP.unflatten(2, (8, 8))
    together = network(*given)[0]
    monkeypatch.setattr("cscl.models.compact.STRIP_PX", 2 * 27)  # two items, so 27 pixels of each, and 10 at last
    torch.testing.assert_close(network(*given)[0], together, rtol=1e-12, atol=1e-12)


def test_a_convolution_of_both_kernels_reads_rows_as_it_would_channels() -> None:
    torch.manual_seed(0)
    layer = OfBothKernels(6, 5, (5, 1), (2, 1), (2, 0), bias=False).double()
    x_BMGCP = torch.randn(2, 8, 2, 3, 7, dtype=torch.float64)
    plain = torch.nn.functional.conv2d(x_BMGCP.flatten(2, 3).transpose(1, 2), layer.weight, None, (2, 1), (2, 0))
    torch.testing.assert_close(layer(x_BMGCP.flatten(1, 2).transpose(1, 2)), plain, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("temporal", ENCODERS)
def test_values_under_clouds_are_not_read(temporal: str) -> None:
    network = Compact(CompactOptions(temporal=temporal, num_features=4), SHAPE).eval()  # type: ignore[arg-type]
    x_BTCP, day_BT, valid_BTP = cloudy_pixels(dates=6, pixels=64)
    x_BTCHW, valid_BTHW = x_BTCP.float().unflatten(3, (8, 8)), valid_BTP.unflatten(2, (8, 8))
    dirty_BTCHW = x_BTCHW.masked_fill(~valid_BTHW[:, :, None], torch.nan)
    assert torch.equal(network(dirty_BTCHW, day_BT, valid_BTHW)[0], network(x_BTCHW, day_BT, valid_BTHW)[0])


@pytest.mark.parametrize("temporal", ENCODERS)
def test_a_pixel_costs_at_most_a_million_operations(temporal: str) -> None:
    network = Compact(CompactOptions(temporal=temporal), DataShape(bands=10, classes=13)).eval()  # type: ignore[arg-type]
    valid_BTHW = torch.ones(1, 24, 24, 24, dtype=torch.bool)
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        network(torch.zeros(1, 24, 10, 24, 24), torch.arange(24)[None] * 15, valid_BTHW)
    assert 1e5 < counter.get_total_flops() / 24**2 <= 1e6  # one multiplication with its addition counts two
    assert sum(weight.numel() for weight in network.parameters()) < 500_000


def test_other_bands_than_built_for_are_refused_in_a_sentence() -> None:
    network = Compact(CompactOptions(num_features=4), SHAPE)
    with pytest.raises(InputError, match="reads 2 bands, the series has 3"):
        network(torch.zeros(1, 4, 3, 8, 8), torch.zeros(1, 4, dtype=torch.int64), torch.ones(1, 4, 8, 8).bool())
