"""The context-self contrastive loss: golden values, its modes by their definitions, empty batches and collapse."""

from dataclasses import replace

import pytest
import torch
from torch import Tensor
from torch.autograd import gradcheck

from cscl.errors import InputError
from cscl.losses import losses
from cscl.losses.affinity import label_agreement
from cscl.losses.contrast import contrast
from cscl.losses.cscl import CSCLHead, CSCLLoss, CSCLOptions
from cscl.losses.ground import Ground, Pairs

LABELS_BHW = torch.tensor([[[0, 0, 1, 1], [0, 0, 1, 1], [2, 2, 1, 9], [2, 2, 9, 9]]])
UNKNOWN_BHW = torch.where(LABELS_BHW == 9, -1, LABELS_BHW)
TOY = CSCLOptions(width=4)
MODES = [
    TOY,
    replace(TOY, mode="masked"),
    replace(TOY, mode="masked", masked_mean="total"),
    replace(TOY, mode="reference"),
]


def counted(*shape: int) -> Tensor:
    return torch.arange(torch.Size(shape).numel(), dtype=torch.float64).reshape(shape)


def pairs_of(target_BHW: Tensor, options: CSCLOptions) -> Pairs:
    return Ground(target_BHW).pairs(options.window, all_pairs=options.mode == "reference")


def golden_loss(options: CSCLOptions) -> CSCLLoss:
    loss = CSCLLoss(options, width=3).double()
    with torch.no_grad():
        loss.head.query.weight.copy_(torch.cos(1 + counted(4, 3, 1, 1)))
        loss.head.key.weight.copy_(torch.sin(2 + counted(4, 3, 1, 1)))
        loss.head.row_Ak.copy_(torch.cos(3 + counted(2, 3)))
        loss.head.col_Ak.copy_(torch.sin(4 + counted(2, 3)))
    return loss


def random_case(seed: int = 0) -> tuple[Tensor, Tensor]:
    made = torch.Generator().manual_seed(seed)
    embedding = torch.randn(2, 3, 6, 7, generator=made, dtype=torch.float64)
    return embedding, torch.randint(-1, 3, (2, 6, 7), generator=made)


@pytest.mark.parametrize(
    ("mode", "masked_mean", "weight", "expected"),
    [
        ("reference", "kept", 1.0, -0.0461373257),
        ("reference", "kept", 0.125, -0.0816442390),
        ("masked", "total", 0.125, -0.0278201618),
        ("masked", "kept", 0.125, -0.0625953641),
        ("masked", "total", 1.0, -0.0258698374),
        ("masked", "kept", 1.0, -0.0582071342),
        ("balanced", "kept", 0.125, -0.1605684857),
    ],
)
def test_golden_losses(mode: str, masked_mean: str, weight: float, expected: float) -> None:
    options = replace(TOY, mode=mode, masked_mean=masked_mean, positive_weight=weight)
    loss, _ = golden_loss(options)(torch.sin(1 + counted(1, 3, 4, 4)), UNKNOWN_BHW)
    assert loss.item() == pytest.approx(expected, abs=1e-9)


def test_golden_measures() -> None:
    loss, measures = golden_loss(TOY)(torch.sin(1 + counted(1, 3, 4, 4)), UNKNOWN_BHW)
    assert measures["positive_share"].item() == pytest.approx(40 / 64)
    assert measures["similarity_gap"].item() == pytest.approx(0.1605684857, abs=1e-9)
    positive, negative = measures["similarity_positive"], measures["similarity_negative"]
    assert (negative - positive).item() == pytest.approx(loss.item())
    assert all(value.ndim == 0 and not value.requires_grad for value in measures.values())


def test_the_published_head_has_33152_parameters() -> None:
    assert sum(weight.numel() for weight in CSCLHead(CSCLOptions(), width=128).parameters()) == 33_152


@pytest.mark.parametrize("options", MODES)
def test_gradients(options: CSCLOptions) -> None:
    embedding, target_BHW = random_case()
    loss = CSCLLoss(replace(options, dilation=2, groups=2), width=3).double()
    weights = [weight.detach().requires_grad_() for weight in loss.parameters()]
    names = [name for name, _ in loss.named_parameters()]

    def value(embedding_BDHW: Tensor, *given: Tensor) -> Tensor:
        arguments = (embedding_BDHW, target_BHW)
        return torch.func.functional_call(loss, dict(zip(names, given, strict=True)), arguments)[0]

    assert gradcheck(value, [embedding.requires_grad_(), *weights], fast_mode=True)


@pytest.mark.parametrize("options", MODES)
def test_loss_by_its_definition(options: CSCLOptions) -> None:
    s_BkkHW = torch.rand(2, 3, 3, 6, 7, generator=torch.Generator().manual_seed(1), dtype=torch.float64) * 2 - 1
    _, target_BHW = random_case(2)
    positive, kept = label_agreement(target_BHW, 3)
    weight = options.positive_weight
    if options.mode == "balanced":
        expected = s_BkkHW[kept & ~positive].mean() - s_BkkHW[kept & positive].mean()
    else:
        pairs = torch.where(positive, -weight * s_BkkHW, s_BkkHW)
        chosen = pairs if options.mode == "reference" else pairs[kept]
        expected = chosen.sum() / (pairs.numel() if options.masked_mean == "total" else chosen.numel())
    assert contrast(s_BkkHW, pairs_of(target_BHW, options), options)[0].item() == pytest.approx(
        expected.item(), abs=1e-14
    )


@pytest.mark.parametrize("similarity", [-1.0, 0.3, 1.0])
def test_constant_similarity_costs_what_the_formula_says(similarity: float) -> None:
    _, target_BHW = random_case()
    s_BkkHW = torch.full((2, 3, 3, 6, 7), similarity, dtype=torch.float64)
    for options in (replace(TOY, mode="masked"), replace(TOY, mode="reference")):
        loss, measures = contrast(s_BkkHW, pairs_of(target_BHW, options), options)
        negatives = 1 - measures["positive_share"].item()
        expected = similarity * (negatives - options.positive_weight * (1 - negatives))
        assert loss.item() == pytest.approx(expected, abs=1e-6)
        assert measures["collapsed"] == 1
    assert contrast(s_BkkHW, pairs_of(target_BHW, TOY), TOY)[0].item() == pytest.approx(0, abs=1e-12)


@pytest.mark.parametrize("options", MODES)
def test_any_names_of_parcels_will_do(options: CSCLOptions) -> None:
    embedding, target_BHW = random_case()
    loss = CSCLLoss(options, width=3).double()
    names = torch.tensor([2**53 + 1, 7, 2**53, -5])  # apart in int64, not in float; the last stands for -1
    assert torch.equal(loss(embedding, target_BHW)[0], loss(embedding, names[target_BHW])[0])


@pytest.mark.parametrize("options", MODES[:3])
@pytest.mark.parametrize("target", [-1, 4])
def test_an_empty_side_counts_zero(options: CSCLOptions, target: int) -> None:
    embedding, _ = random_case()
    loss = CSCLLoss(options, width=3).double()
    value, measures = loss(embedding.requires_grad_(), torch.full((2, 6, 7), target))
    value.backward()
    gradients = [embedding.grad, *(weight.grad for weight in loss.parameters())]
    assert all(figure.isfinite().all() for figure in [value, *gradients, *measures.values()])
    assert measures["collapsed"] == 0
    assert measures["similarity_negative"] == 0
    if target < 0:
        assert value == 0
        assert not any(gradient.any() for gradient in gradients)
    else:
        assert measures["positive_share"] == 1
        assert value.item() == pytest.approx(
            -measures["similarity_positive"].item() * (1 if options.mode == "balanced" else 0.125)
            * (1 if options.masked_mean == "kept" else (2 * 2 * (6 * 6 + 5 * 7 + 2 * 5 * 6)) / (2 * 9 * 42))
        )  # fmt: skip


def test_reference_mode_counts_border_unknown_and_centre() -> None:
    s_BkkHW = torch.ones(1, 3, 3, 1, 1)
    options = replace(TOY, mode="reference")
    loss, measures = contrast(s_BkkHW, pairs_of(torch.tensor([[[-1]]]), options), options)
    assert loss.item() == pytest.approx((8 - 0.125) / 9)  # eight taps beyond the border, and the pixel itself
    assert measures["positive_share"].item() == pytest.approx(1 / 9)


def test_collapse_is_told_from_contrast() -> None:
    target_BHW = torch.arange(8).repeat(1, 8, 1)  # columns are parcels
    positive, _ = label_agreement(target_BHW, 3)
    for low, high, collapsed in [(0.92, 0.99, 1), (0.5, 0.51, 1), (0.8, 0.99, 0), (-0.2, 0.3, 0)]:
        _, measures = contrast(torch.where(positive, high, low), pairs_of(target_BHW, TOY), TOY)
        assert measures["collapsed"] == collapsed


def test_a_few_steps_open_the_gap() -> None:
    made = torch.Generator().manual_seed(0)
    target_BHW = torch.randint(0, 3, (2, 4, 4), generator=made).repeat_interleave(4, 1).repeat_interleave(4, 2)
    embedding = torch.randn(3, 8, generator=made)[target_BHW].permute(0, 3, 1, 2)
    torch.manual_seed(0)
    loss = losses.get("cscl").build(CSCLOptions(width=16), 8)
    optimiser = torch.optim.Adam(loss.parameters(), lr=0.01)
    gaps = []
    for _ in range(40):
        value, measures = loss(embedding, target_BHW)
        optimiser.zero_grad()
        value.backward()
        optimiser.step()
        gaps.append(measures["similarity_gap"].item())
    assert gaps[-1] > gaps[0] + 0.5
    assert measures["collapsed"] == 0


def test_autocast_gives_a_float32_loss_and_gradients() -> None:
    embedding, target_BHW = random_case()
    loss = CSCLLoss(TOY, width=3)
    exact, _ = loss(embedding.float(), target_BHW)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        value, _ = loss(embedding.float(), target_BHW)
        value.backward()
    assert value.dtype == torch.float32
    assert value.item() == pytest.approx(exact.item(), abs=0.02)
    assert loss.head.key.weight.grad.isfinite().all()


def test_refuses_what_does_not_fit() -> None:
    embedding, target_BHW = random_case()
    with pytest.raises(InputError, match="does not lie on the pixels"):
        CSCLLoss(TOY, width=3).double()(embedding, target_BHW[:, 1:])
    with pytest.raises(InputError, match="cut into 3 groups"):
        CSCLLoss(replace(TOY, groups=3), width=3)
