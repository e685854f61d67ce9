"""TSViT: the published sizes, attention against slow loops, where pixels and dates belong, and what masks keep out."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from cscl.errors import InputError
from cscl.models import DataShape, models
from cscl.models.transformer import Everywhere, Layer, Nearby
from cscl.models.tsvit import TSViT, TSViTOptions, day_index, from_patches, to_patches

SHAPE = DataShape(bands=3, classes=4, first_day=-30, last_day=411)
TINY: dict[str, Any] = {"num_features": 8, "head_width": 4, "heads": 2, "temporal_depth": 1, "spatial_depth": 1}
MASKED = TSViTOptions(**TINY, knots=8)
PUBLISHED = TSViTOptions("published", **TINY, dates=6, tile_px=8)
Series = tuple[Tensor, Tensor, Tensor]


def make(options: TSViTOptions) -> TSViT:
    torch.manual_seed(0)
    return TSViT(options, SHAPE).double().eval()


def series(height_px: int = 8, width_px: int = 8, dates: int = 4) -> Series:
    generator = torch.Generator().manual_seed(dates)
    x_BTCHW = torch.randn(2, dates, 3, height_px, width_px, generator=generator, dtype=torch.float64)
    valid_BTHW = torch.ones(2, dates, height_px, width_px, dtype=torch.bool)
    return x_BTCHW, torch.arange(dates).expand(2, -1) * 90, valid_BTHW


@pytest.mark.parametrize(
    ("options", "bands", "classes", "total"),
    [
        (TSViTOptions("published"), 10, 19, 1_657_476),  # PASTIS
        (TSViTOptions("published", num_features=64, head_width=16), 10, 19, 435_524),  # PASTIS, the small one
        (TSViTOptions("published", head_width=64), 13, 17, 2_183_044),  # Germany
        (TSViTOptions("published", head_width=64, temporal_depth=8, patch_px=3, tile_px=48), 13, 20, 3_260_425),
    ],
)
def test_parameter_counts_before_the_classifier_are_the_published_ones(
    options: TSViTOptions, bands: int, classes: int, total: int
) -> None:
    network = models.get("tsvit").build(options, DataShape(bands=bands, classes=classes))
    ours, added = (sum(w.numel() for w in module.parameters()) for module in (network, network.classify))
    assert (ours - added, added) == (total, 2 * classes)


def test_published_variant_begins_with_its_classifier_out_of_the_way() -> None:
    with torch.no_grad():
        logits, embedding = make(PUBLISHED)(*series())
    assert torch.equal(logits, embedding)


def softmax_sum(scores: list[float], values: list[NDArray[np.float64]]) -> NDArray[np.float64]:
    weights = [math.exp(score - max(scores)) for score in scores]
    return np.sum([w * v for w, v in zip(weights, values, strict=True)], axis=0) / sum(weights)  # type: ignore[no-any-return]


def slow_layer(layer: Layer, x_LC: NDArray[np.float64], allowed_L: NDArray[np.bool_]) -> NDArray[np.float64]:
    """One sequence, place by place and head by head."""
    weights = {name: value.numpy() for name, value in layer.state_dict().items()}

    def norm(v: NDArray[np.float64], name: str) -> NDArray[np.float64]:
        normed = (v - v.mean()) / np.sqrt(v.var() + 1e-5)
        return normed * weights[f"{name}.weight"] + weights[f"{name}.bias"]  # type: ignore[no-any-return]

    heads, inner = layer.heads, weights["join.weight"].shape[1]
    width = inner // heads
    parts = [weights["project.weight"] @ norm(v, "norm_attention") for v in x_LC]
    q, k, v = ([p[start : start + inner] for p in parts] for start in (0, inner, 2 * inner))
    out = []
    for place in range(len(x_LC)):
        joined = []
        for head in range(heads):
            mine = slice(head * width, (head + 1) * width)
            others = [other for other in range(len(x_LC)) if allowed_L[other]]
            scores = [float(q[place][mine] @ k[other][mine]) / math.sqrt(width) for other in others]
            joined.append(softmax_sum(scores, [v[other][mine] for other in others]))
        x = x_LC[place] + weights["join.weight"] @ np.concatenate(joined) + weights["join.bias"]
        hidden = weights["mlp.0.weight"] @ norm(x, "norm_mlp") + weights["mlp.0.bias"]
        gelu = np.array([h * (1 + math.erf(h / math.sqrt(2))) / 2 for h in hidden])
        out.append(x + weights["mlp.2.weight"] @ gelu + weights["mlp.2.bias"])
    return np.array(out)


def test_layer_equals_slow_loops_over_the_places_that_are_allowed() -> None:
    torch.manual_seed(1)
    layer = Layer(6, 2, 3, Everywhere()).double()
    for norm in (layer.norm_attention, layer.norm_mlp):
        nn.init.normal_(norm.weight)
        nn.init.normal_(norm.bias)
    x_SLC = torch.randn(2, 5, 6, dtype=torch.float64)
    allowed_SL = torch.ones(2, 5, dtype=torch.bool)
    allowed_SL[1, [2, 4]] = False
    with torch.no_grad():
        found = layer(x_SLC, allowed_SL[:, None, None])
    for one in range(2):
        expected = slow_layer(layer, x_SLC[one].numpy(), allowed_SL[one].numpy())
        np.testing.assert_allclose(found[one].numpy(), expected, rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize(("rows", "columns", "radius"), [(5, 3, 1), (4, 7, 2), (2, 2, 3)])
def test_nearby_attention_equals_slow_loops_over_the_cells_around(rows: int, columns: int, radius: int) -> None:
    generator = torch.Generator().manual_seed(rows)
    items, tokens, heads, width, side = 2, 3, 2, 4, 2 * radius + 1
    nearby = Nearby(heads, radius).double()
    nn.init.normal_(nearby.bias, generator=generator)
    parts = torch.randn(3, items * tokens, heads, rows * columns, width, generator=generator, dtype=torch.float64)
    seen_BYX = torch.rand(items, rows, columns, generator=generator) > 0.3
    with torch.no_grad():
        found = nearby(*parts, seen_BYX).reshape(items, tokens, heads, rows, columns, width).numpy()
    q, k, v = parts.reshape(3, items, tokens, heads, rows, columns, width).numpy()
    bias = nearby.bias.detach().reshape(heads, side, side).numpy()
    for item, token, head, row, column in np.ndindex(items, tokens, heads, rows, columns):
        scores, values = [], []
        for down, right in np.ndindex(side, side):
            there = (row + down - radius, column + right - radius)
            if not (0 <= there[0] < rows and 0 <= there[1] < columns):
                continue
            if seen_BYX[item][there] or there == (row, column):
                dot = q[item, token, head, row, column] @ k[item, token, head][there]
                scores.append(float(dot) / math.sqrt(width) + float(bias[head, down, right]))
                values.append(v[item, token, head][there])
        expected = softmax_sum(scores, values)
        np.testing.assert_allclose(found[item, token, head, row, column], expected, rtol=1e-10, atol=1e-12)


def test_patches_come_back_as_the_image_they_were_cut_from() -> None:
    x_BTCHW = torch.randn(2, 1, 5, 6, 9)
    patches_BYXTC = to_patches(x_BTCHW, 3)
    assert patches_BYXTC.shape == (2, 2, 3, 1, 45)
    assert torch.equal(patches_BYXTC[1, 1, 2, 0, 5 * (3 * 1 + 2) + 4], x_BTCHW[1, 0, 4, 3 + 1, 6 + 2])
    assert torch.equal(from_patches(patches_BYXTC.permute(0, 3, 1, 2, 4), 3), x_BTCHW[:, 0])


class Numbered(nn.Module):
    """In place of the layer that makes pixels: the number of each feature of each patch, of every token alike."""

    def __init__(self, features: int) -> None:
        super().__init__()
        self.features = features

    def forward(self, x_BQYXC: Tensor) -> Tensor:
        items, tokens, rows, columns, _ = x_BQYXC.shape
        number = torch.arange(rows * columns * self.features, dtype=torch.float64)
        return number.reshape(1, 1, rows, columns, -1).expand(items, tokens, -1, -1, -1)


def test_each_feature_of_a_patch_lands_on_its_pixel() -> None:
    network = make(MASKED)
    share = MASKED.embedding_width // MASKED.tokens
    network.unfold = Numbered(4 * share)  # type: ignore[assignment]
    with torch.no_grad():
        _, embedding = network(*series(4, 6))
    for channel, row, column in np.ndindex(share, 4, 6):
        patch = (row // 2) * 3 + column // 2
        feature = ((row % 2) * 2 + column % 2) * share + channel
        assert float(embedding[0, 5 * share + channel, row, column]) == patch * 4 * share + feature


def test_published_layout_lines_patches_up_row_after_row() -> None:
    network = make(PUBLISHED)
    network.unfold = Numbered(4)  # type: ignore[assignment]
    with torch.no_grad():
        logits, _ = network(*series(4, 6))
    assert torch.equal(logits[1, 2], torch.arange(24, dtype=torch.float64).reshape(4, 6))


def test_codes_of_dates_are_interpolated_across_new_year_and_held_beyond_the_season() -> None:
    network = make(MASKED)  # knots every 63 days from -30 to 411
    day_BT = torch.tensor([[348, 348 + 21, 411, -30, -500, 10**6]])
    with torch.no_grad():
        code_TC = network._date_codes(day_BT, torch.ones(1, 6, 2, 2, dtype=torch.bool))[0]
    torch.testing.assert_close(code_TC[1], code_TC[0] * 2 / 3 + code_TC[2] / 3)
    torch.testing.assert_close(code_TC[4:], code_TC[[3, 2]])
    assert not torch.equal(code_TC[0], code_TC[2])


def test_published_dates_are_rows_of_a_table_by_day_of_year_cut_off_as_the_reference_does() -> None:
    index = day_index(torch.arange(365), reference_day_of_year=1)
    wrong = [day for day in range(1, 366) if int(index[day - 1]) != day]
    assert wrong[:5] == [13, 26, 52, 59, 104]
    assert len(wrong) == 18
    assert day_index(torch.tensor([0, 121, 122]), reference_day_of_year=244).tolist() == [244, 365, 1]


def test_published_variant_attends_to_padded_dates() -> None:
    network, (x_BTCHW, day_BT, valid_BTHW) = make(PUBLISHED), series()
    more = (x_BTCHW[:, [0, 1, 2, 3, 0]], day_BT[:, [0, 1, 2, 3, 3]], valid_BTHW[:, [0, 1, 2, 3, 0]])
    more[2][:, 4] = False
    with torch.no_grad():
        logits, padded = network(x_BTCHW, day_BT, valid_BTHW)[0], network(*more)[0]
        fewer = network(x_BTCHW[:, :3], day_BT[:, :3], valid_BTHW[:, :3])[0]
        network.options = TSViTOptions("published", **TINY, dates=4, tile_px=8)
        alone = network(x_BTCHW, day_BT, valid_BTHW)[0]
    torch.testing.assert_close(padded, logits)
    assert (fewer - logits).abs().max() > 1e-3
    assert (alone - logits).abs().max() > 1e-3, "two padded dates are attended to"


def test_codes_of_places_are_the_published_ones_at_their_size_and_interpolated_at_others() -> None:
    network = make(PUBLISHED)
    with torch.no_grad():
        network.place.copy_(torch.arange(4).repeat(4)[:, None])  # the column: of a ramp interpolation knows the answer
        assert torch.equal(network._places(4, 4), network.place)
        column_LC = network._places(2, 8)
    assert column_LC.shape == (16, 8)
    assert column_LC[3:5, 0].tolist() == pytest.approx([1.25, 1.75])
    assert column_LC[11:13, 7].tolist() == pytest.approx([1.25, 1.75])


def test_zero_is_a_value_and_what_was_never_seen_leaves_the_tile_alone() -> None:
    network, (x_BTCHW, day_BT, valid_BTHW) = make(MASKED), series()
    x_BTCHW[:, :, :, 3, 3] = 0
    with torch.no_grad():
        logits = network(x_BTCHW, day_BT, valid_BTHW)[0]
        sides = (0, 4, 0, 2)
        larger = network(nn.functional.pad(x_BTCHW, sides), day_BT, nn.functional.pad(valid_BTHW, sides))[0]
        valid_BTHW[:, :, 3, 3] = False
        unseen = network(x_BTCHW, day_BT, valid_BTHW)[0]
    torch.testing.assert_close(larger[..., :8, :8], logits)
    assert (unseen - logits).abs().max() > 1e-3


@pytest.mark.parametrize(
    ("options", "shape", "sentence"),
    [
        (MASKED, (1, 9, 2, 8, 8), "reads 3 bands"),
        (MASKED, (1, 9, 3, 8, 7), "multiples of 2"),
        (PUBLISHED, (1, 7, 3, 8, 8), "reads 6 dates"),
    ],
)
def test_what_does_not_fit_is_refused_in_a_sentence(
    options: TSViTOptions, shape: tuple[int, ...], sentence: str
) -> None:
    x_BTCHW = torch.zeros(shape, dtype=torch.float64)
    with pytest.raises(InputError, match=sentence):
        make(options)(x_BTCHW, torch.zeros(shape[:2], dtype=torch.int64), x_BTCHW[:, :, 0] == 0)


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        (TSViTOptions(tokens=12), "cannot be shared by 12 tokens"),
        (TSViTOptions("published", patch_px=5), "cannot be cut into patches of 5"),
    ],
)
def test_options_that_do_not_fit_each_other_are_refused(options: TSViTOptions, sentence: str) -> None:
    with pytest.raises(InputError, match=sentence):
        TSViT(options, SHAPE)
