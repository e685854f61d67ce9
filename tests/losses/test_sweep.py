"""The sweep over strips: the same values and gradients as all similarities at once, plain, compiled and by boxes."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest
import torch
from torch import Tensor

from cscl import compiling
from cscl.losses import affinity, costs, sweep
from cscl.losses.contrast import contrast
from cscl.losses.cscl import CSCLLoss, CSCLOptions
from cscl.losses.ground import Ground

TOY = CSCLOptions(width=8)
OPTIONS = [
    TOY,
    replace(TOY, window=5, dilation=2, groups=2),
    replace(TOY, dilation=3, stride=3),
    replace(TOY, window=5, dilation=2, stride=2, mode="masked"),
    replace(TOY, mode="masked", masked_mean="total", normalise=False),
    replace(TOY, mode="reference", window=7),
    replace(TOY, form="sigmoid", more_dilations=(3,), more_windows=(5,)),
    replace(TOY, form="softmax", mode="masked"),
]
BOXES = [
    replace(options, position_codes=False) for options in OPTIONS if options.form == "linear" and options.stride < 3
]
FORMS = ["plain", pytest.param("compiled", marks=pytest.mark.skipif(not compiling.module("numba"), reason="no numba"))]


@pytest.fixture(params=FORMS)
def form(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """Strips of a few pixels, in plain torch or, small as they are, in compiled loops."""
    monkeypatch.setattr(sweep, "STRIP_PX", 36)
    monkeypatch.setattr(affinity, "WORTH_COMPILING", 0)
    if request.param == "plain":
        monkeypatch.setattr(compiling, "module", lambda name: None)
    return request.param


def made(options: CSCLOptions, dtype: torch.dtype = torch.float64, width: int = 3) -> CSCLLoss:
    torch.manual_seed(3)
    return CSCLLoss(options, width).type(dtype)


def batch(dtype: torch.dtype = torch.float64, size: tuple[int, ...] = (3, 3, 11, 9)) -> tuple[Tensor, Tensor]:
    drawn = torch.Generator().manual_seed(1)
    embedding = torch.randn(size, generator=drawn, dtype=torch.float64).type(dtype)
    return embedding, torch.randint(-1, 3, (size[0], *size[2:]), generator=drawn)


def shared(target_BHW: Tensor) -> Ground:
    """Two parcels in a pixel, and crops beside them."""
    drawn = torch.Generator().manual_seed(2)
    share = torch.rand(target_BHW.shape, generator=drawn, dtype=torch.float64)
    parcels = torch.stack([target_BHW + 1, target_BHW + 2], 1)
    return Ground(target_BHW, target_BHW.flip(1), parcels, torch.stack([share, 0.7 * (1 - share)], 1), True)


def at_once(loss: CSCLLoss, embedding: Tensor, ground: Ground) -> tuple[Tensor, dict[str, Tensor]]:
    """The loss from the similarities of all pairs."""
    options, found = loss.options, []
    for s_BkkHW, scale in zip(loss.head.affinities(embedding), options.scales, strict=True):
        pairs = ground.pairs(*scale, options.stride, all_pairs=options.mode == "reference")
        found.append(contrast(s_BkkHW, pairs, options, loss.threshold))
    return torch.stack([value for value, _ in found]).mean(), found[0][1]


def results(value_of: Callable, loss: CSCLLoss, embedding: Tensor, ground: Ground) -> list[Tensor]:
    embedding = embedding.detach().requires_grad_()
    value, measures = value_of(embedding, ground)
    weights = [weight for weight in loss.parameters() if weight.requires_grad]
    return [value.detach(), *measures.values(), *torch.autograd.grad(value, [embedding, *weights])]


@pytest.mark.parametrize("options", [*OPTIONS, *BOXES], ids=range(len(OPTIONS) + len(BOXES)))
@pytest.mark.parametrize("ground_of", [Ground, shared])
def test_strips_make_up_the_whole(
    options: CSCLOptions, ground_of: Callable, form: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    if ground_of is shared and options.mode == "reference":
        pytest.skip("the reference mode compares one map")
    embedding, target_BHW = batch()
    loss, ground = made(options), ground_of(target_BHW)
    made_of = costs.strip_costs(options, ground, torch.float64, 0.0)
    summed = options.form == "linear" and ground_of is Ground and form == "compiled"
    assert isinstance(made_of, costs.BoxCosts) == summed
    swept = results(loss, loss, embedding, ground)
    monkeypatch.setattr(compiling, "module", lambda name: None)
    whole = results(lambda *given: at_once(loss, *given), loss, embedding, ground)
    for one, other in zip(swept, whole, strict=True):
        torch.testing.assert_close(one, other, atol=1e-12, rtol=0)


@pytest.mark.parametrize("options", [TOY, BOXES[1]], ids=["codes", "boxes"])
@pytest.mark.parametrize(("dtype", "value", "slope"), [(torch.float32, 1e-6, 2e-6), (torch.bfloat16, 1e-2, 2e-2)])
def test_low_precision(options: CSCLOptions, dtype: torch.dtype, value: float, slope: float, form: str) -> None:
    """Tolerances: of the value by the mean |s|, because it is a difference; of gradients by their length."""
    options = replace(options, width=32)
    embedding, target_BHW = batch(dtype, (2, 16, 24, 24))
    low, exact = made(options, dtype, 16), made(options, dtype, 16).double()
    mean_s = exact.head.affinity(embedding.double()).abs().mean()
    found, *_, grad = results(low, low, embedding, Ground(target_BHW))[:7]
    expected, *_, exact_grad = results(exact, exact, embedding.double(), Ground(target_BHW))[:7]
    assert (found - expected).abs() < value * mean_s
    assert grad.dtype == dtype
    assert (grad.double() - exact_grad).norm() < slope * exact_grad.norm()


def test_memory_is_read_and_written_as_it_lies(form: str) -> None:
    embedding, target_BHW = batch()
    loss, grads = made(TOY), []
    for layout in (torch.contiguous_format, torch.channels_last):
        leaf = embedding.detach().to(memory_format=layout).requires_grad_()
        loss(leaf, target_BHW)[0].backward()
        assert leaf.grad.is_contiguous(memory_format=layout)
        grads.append(leaf.grad)
    torch.testing.assert_close(*grads)


def test_nothing_grows_with_the_window(form: str, monkeypatch: pytest.MonkeyPatch) -> None:
    embedding, target_BHW = batch(size=(2, 3, 40, 40))
    seen, addends = [], costs.addends
    monkeypatch.setattr(costs, "addends", lambda s, *given: seen.append(s.shape) or addends(s, *given))
    value, _ = made(replace(TOY, window=7, form="sigmoid"))(embedding.requires_grad_(), target_BHW)
    held = value.grad_fn.next_functions[0][0].saved_tensors  # the gradients, ready
    assert sum(x.numel() for x in held) < 1.1 * embedding.numel()
    assert {shape[:4] for shape in seen} == {(1, 7, 7, 12)} | {
        (1, 7, 7, 4)
    }  # four times the reach of rows, and the rest


def test_gradients_can_be_asked_for_twice_and_scaled(form: str) -> None:
    embedding, target_BHW = batch()
    leaf = embedding.requires_grad_()
    value, _ = made(TOY)(leaf, target_BHW)
    once, again, thrice = (torch.autograd.grad(n * value, leaf, retain_graph=True)[0] for n in (1, 1, 3))
    assert torch.equal(once, again)
    torch.testing.assert_close(3 * once, thrice)
    with torch.no_grad():
        assert torch.equal(made(TOY)(embedding, target_BHW)[0], value)


@pytest.mark.parametrize("options", [replace(TOY, window=5), replace(BOXES[1], window=5)], ids=["codes", "boxes"])
def test_threads_change_nothing(options: CSCLOptions, form: str) -> None:
    embedding, target_BHW = batch()
    loss, before, found = made(options), torch.get_num_threads(), []
    try:
        for count in (1, 3):
            torch.set_num_threads(count)
            found.append(results(loss, loss, embedding, Ground(target_BHW)))
    finally:
        torch.set_num_threads(before)
    for one, other in zip(*found, strict=True):
        torch.testing.assert_close(one, other, atol=1e-14, rtol=1e-12)


def test_without_codes_only_the_projections_learn() -> None:
    loss = made(BOXES[0])
    assert [name for name, weight in loss.named_parameters() if weight.requires_grad] == [
        "head.query.weight", "head.key.weight",
    ]  # fmt: skip
    assert not loss.head.row_Ak.any()
    made(TOY).load_state_dict(loss.state_dict())  # models are kept the same way
