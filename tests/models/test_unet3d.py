"""UNet3D and UNet3Df: the published sizes, the date channels, and the merged last layers against the plain ones."""

import pytest
import torch
from torch import Tensor

from cscl.errors import InputError
from cscl.models import DataShape, models
from cscl.models.unet3d import UNet3D, UNet3Df, UNet3DOptions

FRANCE = (UNet3DOptions(day_channels=1), DataShape(bands=13, classes=20))
GERMANY = (UNet3DOptions(day_channels=2), DataShape(bands=13, classes=18))
TINY = UNet3DOptions(dates=8, num_features=1, day_channels=2, reference_day_of_year=244)


def count(module: torch.nn.Module) -> int:
    return sum(weight.numel() for weight in module.parameters())


@pytest.mark.parametrize(
    ("name", "data", "total"),
    [
        ("unet3d", FRANCE, 6_183_429),
        ("unet3d", GERMANY, 6_183_427),
        ("unet3df", FRANCE, 7_219_941),
        ("unet3df", GERMANY, 7_221_411),
    ],
)
def test_parameter_counts_are_the_published_ones(name: str, data: tuple[UNet3DOptions, DataShape], total: int) -> None:
    assert count(models.get(name).build(*data)) == total


@pytest.mark.parametrize(("data", "backbone"), [(FRANCE, 7_217_361), (GERMANY, 7_219_089)])
def test_unet3df_backbone_has_the_published_size_and_width(
    data: tuple[UNet3DOptions, DataShape], backbone: int
) -> None:
    network = UNet3Df(*data)
    assert count(network) - count(network.classify) == backbone
    assert network.embedding_width == 128


def small_series(dates: int) -> tuple[Tensor, Tensor, Tensor]:
    generator = torch.Generator().manual_seed(dates)
    x_BTCHW = torch.randn(1, dates, 3, 8, 12, generator=generator, dtype=torch.float64)
    day_BT = torch.arange(dates)[None] * 40
    return x_BTCHW, day_BT, torch.ones(1, dates, 8, 12, dtype=torch.bool)


@pytest.mark.parametrize("network_type", [UNet3D, UNet3Df])
def test_merged_last_layers_equal_convolution_then_sum_over_dates(network_type: type[UNet3D] | type[UNet3Df]) -> None:
    torch.manual_seed(0)
    network = network_type(TINY, DataShape(bands=3, classes=4)).double().eval()
    series = small_series(8)
    features_BCTHW = network.trunk(network._series(*series))
    last = network.last if isinstance(network, UNet3Df) else network.classify
    plain = network.temporal(last(features_BCTHW).movedim(2, -1))[..., 0]
    logits, embedding = network(*series)
    torch.testing.assert_close(embedding if isinstance(network, UNet3Df) else logits, plain, rtol=1e-12, atol=1e-12)


def test_date_channels_cross_new_year_and_missing_dates_are_zero_at_the_end() -> None:
    network = UNet3D(TINY, DataShape(bands=3, classes=4))
    x_BTCHW, _, valid_BTHW = small_series(3)
    valid_BTHW[0, 2, 0, 0] = False
    day_BT = torch.tensor([[0, 121, 122]])  # 1 September (day 244), 31 December, 1 January
    series_BCTHW = network._series(x_BTCHW, day_BT, valid_BTHW)
    assert (series_BCTHW[0, 3, :3, 5, 5] * 365.0001).tolist() == pytest.approx([244, 365, 1])
    assert series_BCTHW[0, 4, :3, 5, 5].tolist() == [0, 0, 1]
    assert series_BCTHW.shape == (1, 5, 8, 8, 12)
    assert not series_BCTHW[:, :, 3:].any()
    assert not series_BCTHW[0, :, 2, 0, 0].any(), "an unseen pixel keeps neither bands nor date"
    torch.testing.assert_close(series_BCTHW[:, :3, :2], x_BTCHW.transpose(1, 2)[:, :, :2])


@pytest.mark.parametrize(
    ("shape", "sentence"),
    [((1, 9, 3, 8, 8), "reads 8 dates"), ((1, 4, 2, 8, 8), "reads 3 bands"), ((1, 4, 3, 8, 10), "multiples of 4")],
)
def test_what_does_not_fit_is_refused_in_a_sentence(shape: tuple[int, ...], sentence: str) -> None:
    network = UNet3D(TINY, DataShape(bands=3, classes=4))
    x_BTCHW = torch.zeros(shape)
    with pytest.raises(InputError, match=sentence):
        network(x_BTCHW, torch.zeros(shape[:2], dtype=torch.int64), torch.ones_like(x_BTCHW[:, :, 0], dtype=torch.bool))


def test_dates_that_cannot_be_halved_twice_are_refused() -> None:
    with pytest.raises(InputError, match="no multiple of 4"):
        UNet3D(UNet3DOptions(dates=10), DataShape(bands=3, classes=4))
