"""The contract of networks, held by every registered network in each of its variants, and that each of them learns."""

from __future__ import annotations

import copy
import dataclasses
import math
import zlib
from collections.abc import Callable
from itertools import product
from pathlib import Path
from typing import Any, Literal, get_args, get_origin, get_type_hints

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from cscl.losses.cscl import CSCLOptions
from cscl.models import DataShape, Network, models
from cscl.models.aggregated import aggregated
from cscl.models.folded import folded
from cscl.models.upsampled import upsampled

BANDS, CLASSES = 3, 4
SHAPE = DataShape(bands=BANDS, classes=CLASSES, dates=8, first_day=-30, last_day=330)
Series = tuple[Tensor, Tensor, Tensor]


def variants(name: str) -> list[tuple[str, Any]]:
    """Options of a network at its least width: the defaults, then each other choice of each Literal option."""
    options_type = models.get(name).options
    hints = get_type_hints(options_type, include_extras=True)
    small = {width: hints[width].__metadata__[0]["min"] for width in ("num_features", "head_width") if width in hints}
    default = options_type(**small)
    found = [(name, default)]
    for field in dataclasses.fields(options_type):
        choices = get_args(hints[field.name])[0]
        if get_origin(choices) is Literal:
            others = [choice for choice in get_args(choices) if choice != getattr(default, field.name)]
            found += [(name, dataclasses.replace(default, **{field.name: choice})) for choice in others]
    return found


VARIANTS = [variant for name in models.names() for variant in variants(name)]

# What can be added to any network, and the networks that are tried with it.
ADDED: dict[str, Callable[[Network], Network]] = {
    "finer": lambda network: upsampled(network, 4),
    "attending": lambda network: attending(network),
    "finer, attending": lambda network: attending(upsampled(network, 4)),
}
WITH_MORE = [(f"{name} {added}", variants(name)[0][1]) for added in ADDED for name in ("compact", "unet3d")]


def attending(network: Network) -> Network:
    """Add attention to neighbours that, unlike at the start, does something."""
    network = aggregated(network, CSCLOptions(dilation=2, width=8))
    nn.init.normal_(network.get_parameter("attend.value.weight"), std=0.3)
    return network


def series(network: Network, items: int, height_px: int, width_px: int, dates: int | None = None) -> Series:
    """Random series with clouds in the network's own precision, of fewer dates than the network may read."""
    dates = dates or (network.needs.dates or 8) - 2
    dtype = next(network.parameters()).dtype
    generator = torch.Generator().manual_seed(zlib.crc32(f"{items} {dates} {height_px} {width_px}".encode()))
    valid_BTHW = torch.rand(items, dates, height_px, width_px, generator=generator) > 0.3
    x_BTCHW = torch.randn(items, dates, BANDS, height_px, width_px, generator=generator, dtype=dtype)
    day_BT = torch.randint(SHAPE.first_day, SHAPE.last_day, (items, dates), generator=generator).sort(dim=1)[0]
    return x_BTCHW * valid_BTHW[:, :, None], day_BT, valid_BTHW


def make(name: str, options: Any) -> Network:
    torch.manual_seed(0)
    name, _, added = name.partition(" ")
    network = models.get(name).build(options, SHAPE)
    return ADDED[added](network) if added else network


@pytest.fixture(scope="module", params=[*VARIANTS, *WITH_MORE], ids=lambda variant: f"{variant[0]}-{variant[1]}")
def variant(request: pytest.FixtureRequest) -> tuple[str, Any]:
    found: tuple[str, Any] = request.param
    return found


@pytest.fixture(scope="module")
def network(variant: tuple[str, Any]) -> Network:
    """A network in evaluation whose running statistics have met data; float64, so that equal means equal."""
    made = make(*variant).double()
    with torch.no_grad():
        for _ in range(5):
            made.train()(*series(made, 4, 16, 16))
    return made.eval()


def predict(network: Network, given: Series) -> Tensor:
    """Logits and embedding, stacked on the channel axis."""
    with torch.no_grad():
        return torch.cat(network(*given), dim=1)


def assert_same(found: Tensor, expected: Tensor) -> None:
    """Equal to rounding, measured against how much the output varies rather than against its level."""
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-9 * float(expected.std()))


def test_folded_it_answers_alike_and_stays_as_it_was(network: Network) -> None:
    given, before = series(network, 2, 16, 16), {k: v.clone() for k, v in network.state_dict().items()}
    for precise, bound in ((network, 1e-12), (copy.deepcopy(network).float(), 1e-5)):
        given = tuple(
            part.type(next(precise.parameters()).dtype) if part.is_floating_point() else part for part in given
        )
        ready, expected = folded(precise), predict(precise, given)
        torch.testing.assert_close(predict(ready, given), expected, rtol=0, atol=bound * float(expected.abs().max()))
        assert not any(isinstance(m, nn.modules.batchnorm._BatchNorm) for m in ready.modules())
    assert all(torch.equal(before[name], value) for name, value in network.state_dict().items())


def test_shapes_for_any_allowed_size_and_number_of_dates(variant: tuple[str, Any]) -> None:
    network = make(*variant).eval()
    step_px = network.needs.multiple_px
    for height_px, width_px in [(4 * step_px, 3 * step_px), (step_px, step_px), (7 * step_px, 13 * step_px)]:
        for dates in (1, 3, network.needs.dates or 11):
            with torch.no_grad():
                logits, embedding = network(*series(network, 2, height_px, width_px, dates))
            size_px = (height_px * network.needs.finer, width_px * network.needs.finer)
            assert logits.shape == (2, CLASSES, *size_px)
            assert embedding.shape == (2, network.embedding_width, *size_px)
            assert logits.dtype == embedding.dtype == torch.float32


def test_gradient_reaches_every_parameter(network: Network) -> None:
    logits, embedding = network(*series(network, 2, 16, 16))
    network.zero_grad()
    (logits.square().mean() + embedding.square().mean()).backward()
    lost = [name for name, weight in network.named_parameters() if weight.grad is None or not weight.grad.any()]
    assert lost == []


def test_classify_alone_makes_the_logits_of_the_embedding(network: Network) -> None:
    given = series(network, 1, 16, 16)
    logits, embedding = network(*given)
    network.zero_grad()
    embedding.square().mean().backward(retain_graph=True)
    touched = [weight.grad for weight in network.classify.parameters()]
    assert all(gradient is None or not gradient.any() for gradient in touched)
    logits.square().mean().backward()
    assert all(weight.grad is not None and weight.grad.any() for weight in network.classify.parameters())


def test_padded_dates_do_not_change_the_output_or_the_card_says_so(network: Network) -> None:
    if not network.needs.masks_dates:
        assert network.needs.remarks
        return
    x_BTCHW, day_BT, valid_BTHW = series(network, 2, 16, 16)
    for padded_day in (0, 150, 10**6):
        padded = (
            torch.cat([x_BTCHW[:, :2], torch.zeros_like(x_BTCHW[:, :3]), x_BTCHW[:, 2:]], dim=1),
            torch.cat([day_BT[:, :2], torch.full_like(day_BT[:, :3], padded_day), day_BT[:, 2:]], dim=1),
            torch.cat([valid_BTHW[:, :2], torch.zeros_like(valid_BTHW[:, :3]), valid_BTHW[:, 2:]], dim=1),
        )
        assert_same(predict(network, padded), predict(network, (x_BTCHW, day_BT, valid_BTHW)))


def test_items_of_a_batch_are_independent(network: Network) -> None:
    given = series(network, 3, 16, 16)
    together = predict(network, given)
    for item in range(3):
        one = slice(item, item + 1)
        alone = predict(network, (given[0][one], given[1][one], given[2][one]))
        assert_same(alone, together[one])


@pytest.mark.parametrize("hidden", [(0, slice(None), 5, 7), (0,)], ids=["pixel", "item"])
def test_what_was_never_seen_gives_finite_output_and_gradients(variant: tuple[str, Any], hidden: tuple[Any]) -> None:
    network = make(*variant).train()
    x_BTCHW, day_BT, valid_BTHW = series(network, 2, 16, 16)
    valid_BTHW[hidden] = False
    x_BTCHW = x_BTCHW * valid_BTHW[:, :, None]
    logits, embedding = network(x_BTCHW, day_BT, valid_BTHW)
    (logits.square().mean() + embedding.square().mean()).backward()
    assert logits.isfinite().all()
    assert embedding.isfinite().all()
    assert all(weight.grad is not None and weight.grad.isfinite().all() for weight in network.parameters())


def test_save_and_load_give_the_same_output(network: Network, variant: tuple[str, Any], tmp_path: Path) -> None:
    save_file(network.state_dict(), tmp_path / "weights.safetensors")
    loaded = make(*variant).double()
    for weight in loaded.parameters():
        nn.init.uniform_(weight)
    given = series(network, 1, 16, 16)
    loaded.load_state_dict(load_file(tmp_path / "weights.safetensors"))
    assert torch.equal(predict(loaded.eval(), given), predict(network, given))


def test_interior_of_a_tile_does_not_feel_its_edge_or_the_card_says_so(network: Network) -> None:
    if network.needs.whole_tile:
        assert network.needs.remarks
        return
    margin_px, start_px = network.needs.margin_px, 16
    size_px = 2 * margin_px + 8 + -2 * margin_px % 8
    x_BTCHW, day_BT, valid_BTHW = series(network, 1, size_px + 24, size_px + 24)
    inside, finer = slice(start_px, start_px + size_px), network.needs.finer
    there = slice(finer * inside.start, finer * inside.stop)
    scene = predict(network, (x_BTCHW, day_BT, valid_BTHW))[..., there, there]
    tile = predict(network, (x_BTCHW[..., inside, inside], day_BT, valid_BTHW[..., inside, inside]))
    core = slice(finer * margin_px, finer * (size_px - margin_px))
    assert_same(tile[..., core, core], scene[..., core, core])
    if margin_px:
        assert (tile - scene).abs().max() > 1e-3 * scene.std(), "the card claims an edge that is not felt"


def test_margin_is_how_far_a_pixel_looks_to_a_few_pixels(network: Network) -> None:
    if network.needs.whole_tile:
        return
    margin_px, finer = network.needs.margin_px, network.needs.finer
    size_px = 2 * margin_px + 16 + -2 * margin_px % 8
    x_BTCHW, day_BT, valid_BTHW = series(network, 1, size_px, size_px, network.needs.dates or SHAPE.dates)
    there, reach_px = x_BTCHW.requires_grad_(), 0
    # Pixels see more to one side, as they lie in the halvings (the third of four sees farthest in a U-Net) and, where
    # they are finer, in the pixel that is read.
    for here, part in product((size_px // 2 + 2, size_px // 2 + 3), {0, finer - 1}):
        place = finer * here + part
        answer = torch.cat(network(there, day_BT, valid_BTHW), dim=1)[..., place, place]
        (felt_BTCHW,) = torch.autograd.grad(answer.square().sum(), there)
        reach_px = max(reach_px, int((felt_BTCHW.abs().sum((0, 1, 2)).nonzero() - here).abs().max()))
    assert margin_px - 4 <= reach_px <= margin_px


def test_same_seed_same_network_same_output(variant: tuple[str, Any]) -> None:
    first, second = make(*variant).eval(), make(*variant).eval()
    given = series(first, 1, 16, 16)
    assert torch.equal(predict(first, given), predict(first, given))
    assert torch.equal(predict(first, given), predict(second, given))


def test_bottleneck_names_what_makes_one_coarser_map_of_each_item(network: Network) -> None:
    found: list[Any] = []
    if network.bottleneck:
        part = network.get_submodule(network.bottleneck)
        handle = part.register_forward_hook(lambda _, __, out: found.append(out))
        predict(network, series(network, 3, 32, 32))
        handle.remove()
    for out in found:
        assert len(out) == 3
        assert out.ndim in (4, 5)
        assert max(out.shape[-2:]) < 32
    assert len(found) == bool(network.bottleneck)


def test_parts_nest_and_the_classifier_keeps_one_row_a_class(network: Network) -> None:
    """Fine-tuning of a part relies on it: head in decoder in all, and the encoder is none of the first two."""
    head, decoder, whole = (
        {p for part in network.part(s) for p in part.parameters()} for s in ("head", "decoder", "all")
    )
    assert head and head < decoder < whole == set(network.parameters())
    assert all(len(p) == CLASSES for p in head)


DATES, SIZE_PX, ITEMS = 8, 16, 4
SEASON = DataShape(BANDS, classes=2, dates=DATES)
CHANCE = math.log(2)
STEPS, RATE = 40, 0.01
LONGER = {("tsvit", "published"): 100, ("unet2d_clstm", "published"): 70}

# As narrow and as quick as learns; what is not named is as in the contract.
TRANSFORMER = {"head_width": 8, "heads": 2, "temporal_depth": 2, "spatial_depth": 1, "tokens": 4, "tile_px": SIZE_PX}
OPTIONS: dict[str, dict[str, int]] = {
    "tsvit": {"num_features": 32, "embedding_width": 16, **TRANSFORMER},
    "unet2d_clstm": {"num_features": 2},
    "utae": {"num_features": 8},
}


def season(generator: torch.Generator) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Draw series, days, validity and crops: one crop high in spring, the other in autumn, each by the same amount.

    Run backwards and the other way up, a season of one crop is one of the other, with the same mean: whoever knows the
    mean alone is left at chance. The level of a field is random. A field is half a tile and as wide as the tile,
    because the published layout of TSViT moves pixels along their row.
    """
    crop_BHW = torch.randint(0, 2, (ITEMS, 2, 1), generator=generator).repeat_interleave(SIZE_PX // 2, 1)
    crop_BHW = crop_BHW.expand(-1, -1, SIZE_PX)
    day_BT = ((torch.arange(DATES) + torch.rand(ITEMS, DATES, generator=generator)) * 365 / DATES).long()
    wave_BT11 = (2 * torch.pi * day_BT / 365).sin()[..., None, None]
    level_B1CHW = torch.randn(ITEMS, 1, BANDS, 2, 1, generator=generator).repeat_interleave(SIZE_PX // 2, 3)
    noise_BTCHW = torch.randn(ITEMS, DATES, BANDS, SIZE_PX, SIZE_PX, generator=generator)
    signal_BTHW = 1.4 * wave_BT11 * (2 * crop_BHW[:, None] - 1)
    x_BTCHW = signal_BTHW[:, :, None] + 0.5 * level_B1CHW + 0.3 * noise_BTCHW
    valid_BTHW = torch.rand(ITEMS, DATES, SIZE_PX, SIZE_PX, generator=generator) > 0.2
    return x_BTCHW * valid_BTHW[:, :, None], day_BT, valid_BTHW, crop_BHW


def learner(name: str, options: Any) -> Network:
    own = {"dates": DATES, **OPTIONS.get(name, {})}
    known = {field.name for field in dataclasses.fields(options)}
    torch.manual_seed(0)
    chosen = dataclasses.replace(options, **{key: value for key, value in own.items() if key in known})
    return models.get(name).build(chosen, SEASON).train()


def loss_after(network: nn.Module, steps: int) -> float:
    """Train on fresh draws, so that nothing can be learnt by heart; return the mean loss of the last six."""
    generator = torch.Generator().manual_seed(1)
    optimiser = torch.optim.AdamW([w for w in network.parameters() if w.requires_grad], lr=RATE, weight_decay=0)
    losses = []
    for step in range(steps):
        optimiser.param_groups[0]["lr"] = RATE * min(1, (step + 1) / 6)
        *series, crop_BHW = season(generator)
        loss = cross_entropy(network(*series)[0], crop_BHW)
        optimiser.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        nn.utils.clip_grad_norm_(network.parameters(), 1.0)
        optimiser.step()
        losses.append(float(loss.detach()))
    return sum(losses[-6:]) / 6


@pytest.mark.parametrize(("name", "options"), VARIANTS, ids=str)
def test_the_order_of_the_dates_is_learnt(name: str, options: Any) -> None:
    steps = LONGER.get((name, getattr(options, "variant", "")), STEPS)
    assert loss_after(learner(name, options), steps) < CHANCE / 2


class MeanOfSeason(nn.Module):
    """What knows no more of a pixel than the mean of its dates."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.guess = nn.Sequential(nn.Conv2d(3, 32, 1), nn.ReLU(), nn.Conv2d(32, 32, 1), nn.ReLU(), nn.Conv2d(32, 2, 1))

    def forward(self, x_BTCHW: Tensor, day_BT: Tensor, valid_BTHW: Tensor) -> tuple[Tensor]:
        """Return the logits alone."""
        return (self.guess(x_BTCHW.sum(dim=1) / valid_BTHW.sum(dim=1).clamp_min(1)[:, None]),)


def test_what_knows_the_mean_alone_or_hardly_tells_dates_apart_or_is_frozen_stays_near_chance() -> None:
    losses = {"mean": loss_after(MeanOfSeason(), 100)}
    faint = learner("tsvit", models.get("tsvit").options())
    nn.init.normal_(faint.get_parameter("embed_day.weight"), std=0.05)  # what the masked variant, too, once began with
    losses["faint codes"] = loss_after(faint, STEPS)
    frozen = learner("tsvit", models.get("tsvit").options())
    for weight in set(frozen.parameters()) - set(frozen.classify.parameters()):
        weight.requires_grad_(False)
    losses["frozen"] = loss_after(frozen, STEPS)
    assert all(loss > 0.8 * CHANCE for loss in losses.values()), losses
