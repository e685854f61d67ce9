"""U-TAE: the published size and layers, the attention against slow loops, and what unseen pixels may touch."""

from __future__ import annotations

from typing import Literal

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn.functional import interpolate

from cscl.errors import InputError
from cscl.models import DataShape, models
from cscl.models.ltae import TemporalAttention, norm_over_dates
from cscl.models.utae import UTAE, Mirrored, UTAEOptions, collapse

SHAPE = DataShape(bands=3, classes=4)


def make(variant: Literal["masked", "published"]) -> UTAE:
    torch.manual_seed(0)
    return UTAE(UTAEOptions(variant=variant, num_features=4), SHAPE).double().eval()


def series(dates: int = 5, size_px: int = 16) -> tuple[Tensor, Tensor, Tensor]:
    generator = torch.Generator().manual_seed(dates)
    x_BTCHW = torch.randn(2, dates, 3, size_px, size_px, generator=generator, dtype=torch.float64)
    return x_BTCHW, torch.arange(dates).expand(2, -1) * 90, torch.ones(2, dates, size_px, size_px, dtype=torch.bool)


def test_parameter_count_is_the_published_one() -> None:
    network = models.get("utae").build(UTAEOptions(variant="published"), DataShape(bands=10, classes=20))
    assert sum(weight.numel() for weight in network.parameters()) == 1_087_260  # 1.087 million; summed by hand


@pytest.mark.parametrize(("kernel", "stride", "size"), [(3, 1, (5, 7)), (4, 2, (8, 6))])
def test_mirrored_is_the_reflecting_convolution(kernel: int, stride: int, size: tuple[int, int]) -> None:
    torch.manual_seed(0)
    ours = Mirrored(2, 3, kernel, stride=stride)
    theirs = nn.Conv2d(2, 3, kernel, stride=stride, padding=1, padding_mode="reflect")
    theirs.load_state_dict(ours.state_dict())
    x_FCHW = torch.randn(2, 2, *size)
    torch.testing.assert_close(ours(x_FCHW), theirs(x_FCHW))


def test_norm_over_all_dates_is_group_norm_and_uncounted_dates_leave_it_alone() -> None:
    generator = torch.Generator().manual_seed(1)
    norm = nn.GroupNorm(16, 32).double()
    nn.init.normal_(norm.weight, generator=generator)
    nn.init.normal_(norm.bias, generator=generator)
    x_PTC = torch.randn(3, 5, 32, generator=generator, dtype=torch.float64)
    counted_PT = torch.ones(3, 5, dtype=torch.bool)
    plain_PTC = norm(x_PTC.transpose(1, 2)).transpose(1, 2)
    torch.testing.assert_close(norm_over_dates(x_PTC, counted_PT, norm), plain_PTC)
    counted_PT[:, 3:] = False
    three_PTC = norm(x_PTC[:, :3].transpose(1, 2)).transpose(1, 2)
    torch.testing.assert_close(norm_over_dates(x_PTC, counted_PT, norm)[:, :3], three_PTC)


def loops(layer: TemporalAttention, x_TC: Tensor, days: list[int], seen: list[bool]) -> tuple[list[float], list[float]]:
    """L-TAE at one pixel without masks but by leaving dates out: attention of head 3, and the pooled features."""
    weights = {name: value.detach().numpy() for name, value in layer.state_dict().items()}
    dates = [t for t, s in enumerate(seen) if s]
    given = x_TC.numpy()
    wide, share = 64, 4
    features = {t: np.zeros(wide) for t in dates}
    for group in range(16):
        mine = [2 * group, 2 * group + 1]
        values = np.array([given[t][c] for t in dates for c in mine])
        for t in dates:
            for c in mine:
                normed = (given[t][c] - values.mean()) / np.sqrt(values.var() + 1e-5)
                normed = normed * weights["in_norm.weight"][c] + weights["in_norm.bias"][c]
                features[t] += weights["widen.weight"][:, c, 0] * normed
    for t in dates:
        features[t] += weights["widen.bias"]
        for c in range(wide):
            angle = days[t] / 1000 ** (2 * ((c % share) // 2) / share)
            features[t][c] += np.sin(angle) if c % 2 == 0 else np.cos(angle)
    pooled, kept = [], []
    for head in range(16):
        scores = []
        for t in dates:
            key = weights["key.weight"][4 * head : 4 * head + 4] @ features[t] + weights["key.bias"][4 * head :][:4]
            scores.append(float(weights["query"][head] @ key) / 2)
        exponentials = [np.exp(s - max(scores)) for s in scores]
        attention = [e / sum(exponentials) for e in exponentials]
        if head == 3:
            kept = [attention[dates.index(t)] if t in dates else 0.0 for t in range(len(days))]
        for c in range(share * head, share * (head + 1)):
            pooled.append(sum(a * features[t][c] for a, t in zip(attention, dates, strict=True)))
    with torch.no_grad():
        mixed = layer.out_norm(layer.mix(torch.tensor([pooled], dtype=torch.float64)))[0]
    return kept, mixed.tolist()


def test_attention_equals_slow_loops_that_leave_unseen_dates_out() -> None:
    torch.manual_seed(3)
    layer = TemporalAttention(32).double().eval()
    x_BTCHW = torch.randn(1, 5, 32, 1, 2, dtype=torch.float64)
    days = [-20, 3, 130, 364, 400]
    seen_BTHW = torch.ones(1, 5, 1, 2, dtype=torch.bool)
    seen_BTHW[0, [1, 4], 0, 1] = False
    with torch.no_grad():
        pooled_BCHW, attention_BGTHW = layer(x_BTCHW, torch.tensor([days]), seen_BTHW, seen_BTHW)
    for pixel in range(2):
        attention, pooled = loops(layer, x_BTCHW[0, :, :, 0, pixel], days, seen_BTHW[0, :, 0, pixel].tolist())
        assert attention_BGTHW[0, 3, :, 0, pixel].tolist() == pytest.approx(attention, abs=1e-6)
        assert pooled_BCHW[0, :, 0, pixel].tolist() == pytest.approx(pooled, abs=1e-6)


def test_collapse_weights_a_heads_channels_and_gives_unseen_dates_nothing() -> None:
    generator = torch.Generator().manual_seed(2)
    attention_BGTHW = torch.rand(1, 2, 3, 2, 2, generator=generator, dtype=torch.float64).softmax(dim=2)
    x_BTCHW = torch.randn(1, 3, 4, 4, 4, generator=generator, dtype=torch.float64)
    seen_BTHW = torch.ones(1, 3, 4, 4, dtype=torch.bool)
    seen_BTHW[0, 1, 2, 3] = False
    seen_BTHW[0, :, 0, 0] = False
    found_BCHW = collapse(x_BTCHW, attention_BGTHW, seen_BTHW, rescale=True)
    large_GTHW = interpolate(attention_BGTHW[0], (4, 4), mode="bilinear", align_corners=False)
    for channel in range(4):
        weight_THW, values_THW = large_GTHW[channel // 2], x_BTCHW[0, :, channel]
        whole = float((weight_THW[:, 1, 1] * values_THW[:, 1, 1]).sum())
        assert float(found_BCHW[0, channel, 1, 1]) == pytest.approx(whole)
        weight, values = weight_THW[[0, 2], 2, 3], values_THW[[0, 2], 2, 3]
        assert float(found_BCHW[0, channel, 2, 3]) == pytest.approx(float((weight * values).sum() / weight.sum()))
        assert float(found_BCHW[0, channel, 0, 0]) == 0


def test_days_count_on_across_new_year() -> None:
    network = make("masked")
    x_BTCHW, day_BT, valid_BTHW = series()
    with torch.no_grad():
        first, later = (network(x_BTCHW, days, valid_BTHW)[0] for days in (day_BT, day_BT + 365))
    assert (first - later).abs().max() > 1e-3


def test_published_variant_feels_padded_dates_and_has_no_negative_logits() -> None:
    network = make("published")
    x_BTCHW, day_BT, valid_BTHW = series()
    longer = torch.zeros_like(x_BTCHW[:, :2])
    with torch.no_grad():
        logits, embedding = network(x_BTCHW, day_BT, valid_BTHW)
        padded, _ = network(
            torch.cat([x_BTCHW, longer], dim=1),
            torch.cat([day_BT, torch.zeros_like(day_BT[:, :2])], dim=1),
            torch.cat([valid_BTHW, torch.zeros_like(valid_BTHW[:, :2])], dim=1),
        )
    assert (padded - logits).abs().max() > 1e-3
    assert not network.needs.masks_dates
    assert (logits >= 0).all()
    assert (embedding < 0).any(), "the embedding comes before the ReLU"


@pytest.mark.parametrize(
    ("shape", "sentence"), [((1, 4, 2, 8, 8), "reads 3 bands"), ((1, 4, 3, 8, 12), "multiples of 8")]
)
def test_what_does_not_fit_is_refused_in_a_sentence(shape: tuple[int, ...], sentence: str) -> None:
    x_BTCHW = torch.zeros(shape, dtype=torch.float64)
    with pytest.raises(InputError, match=sentence):
        make("masked")(x_BTCHW, torch.zeros(shape[:2], dtype=torch.int64), x_BTCHW[:, :, 0] == 0)
