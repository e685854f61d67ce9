"""The segmentation loss: against torch's own cross-entropy and plain loops over the pixels."""

from dataclasses import replace

import pytest
import torch
from torch import Tensor
from torch.autograd import gradcheck
from torch.nn.functional import cross_entropy

from cscl.errors import InputError
from cscl.losses import losses
from cscl.losses.segmentation import SegmentationLoss, SegmentationOptions

PLAIN = SegmentationOptions()
COUNTS_K = torch.tensor([800, 150, 50, 0])
BALANCED_K = [1000 / (3 * 800), 1000 / (3 * 150), 1000 / (3 * 50), 1]
EVERYTHING = SegmentationOptions("balanced", label_smoothing=0.1, focal_gamma=2.0, dice_weight=0.5)


def random_case(seed: int = 0) -> tuple[Tensor, Tensor]:
    made = torch.Generator().manual_seed(seed)
    logits = 3 * torch.randn(2, 4, 5, 6, generator=made, dtype=torch.float64)
    return logits, torch.randint(-2, 3, (2, 5, 6), generator=made)


def build(options: SegmentationOptions) -> SegmentationLoss:
    loss = losses.get("cross-entropy").build(options, 4).double()
    loss.set_class_frequencies(COUNTS_K)
    return loss


@pytest.mark.parametrize("smoothing", [0.0, 0.2])
@pytest.mark.parametrize(
    ("weights", "weight_K"),
    [("none", [1, 1, 1, 1]), ("balanced", BALANCED_K), ("sqrt", [weight**0.5 for weight in BALANCED_K])],
)
def test_equals_torch_cross_entropy(weights: str, weight_K: list[float], smoothing: float) -> None:
    logits, target_BHW = random_case()
    value, measures = build(SegmentationOptions(weights, label_smoothing=smoothing))(logits, target_BHW)
    weight = torch.tensor(weight_K, dtype=torch.float64)
    only_known = target_BHW.clamp_min(-1)
    expected = cross_entropy(logits, only_known, weight=weight, ignore_index=-1, label_smoothing=smoothing)
    assert value.item() == pytest.approx(expected.item(), abs=1e-6)
    known = target_BHW >= 0
    assert measures["accuracy"].item() == pytest.approx((logits.argmax(1) == target_BHW)[known].double().mean().item())


def test_focal_and_dice_by_loops() -> None:
    logits, target_BHW = random_case(1)
    p_BKHW = logits.softmax(1)
    focal, shared, sizes = [], [0.0] * 4, [0.0] * 4
    for item, y, x in torch.nonzero(target_BHW >= 0).tolist():
        true = int(target_BHW[item, y, x])
        p_K = p_BKHW[item, :, y, x]
        focal.append(-((1 - p_K[true]) ** 1.5) * p_K[true].log())
        for k in range(4):
            shared[k] += (p_K[k] * (k == true)).item()
            sizes[k] += (p_K[k] + (k == true)).item()
    plain, _ = build(replace(PLAIN, focal_gamma=1.5))(logits, target_BHW)
    assert plain.item() == pytest.approx(torch.stack(focal).mean().item(), abs=1e-12)
    dice = sum(1 - 2 * shared[k] / sizes[k] for k in range(3)) / 3  # class 3 does not occur
    both, _ = build(replace(PLAIN, focal_gamma=1.5, dice_weight=0.7))(logits, target_BHW)
    assert (both - plain).item() == pytest.approx(0.7 * dice, abs=1e-12)


def test_gradients_and_unknown_pixels_have_none() -> None:
    logits, target_BHW = random_case(2)
    loss = build(EVERYTHING)
    assert gradcheck(lambda given: loss(given, target_BHW)[0], logits.requires_grad_())
    loss(logits, target_BHW)[0].backward()
    unknown = (target_BHW < 0)[:, None].expand_as(logits)
    assert not logits.grad[unknown].any()
    assert logits.grad[~unknown].all()


@pytest.mark.parametrize("options", [PLAIN, EVERYTHING])
def test_a_batch_without_known_pixels_counts_zero(options: SegmentationOptions) -> None:
    logits, target_BHW = random_case()
    value, measures = build(options)(logits.requires_grad_(), torch.full_like(target_BHW, -1))
    value.backward()
    assert value == 0
    assert measures["accuracy"] == 0
    assert not logits.grad.any()


def test_sure_and_half_precision_logits_stay_finite() -> None:
    target_BHW = torch.tensor([[[0, 1], [2, -1]]])
    logits = torch.full((1, 4, 2, 2), -100.0, dtype=torch.bfloat16)
    logits[0, 0] = 100  # one pixel surely right, two surely wrong
    loss = SegmentationLoss(replace(EVERYTHING, focal_gamma=0.5), 4)
    loss.set_class_frequencies(COUNTS_K)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        value, measures = loss(logits.requires_grad_(), target_BHW)
    value.backward()
    assert value.dtype == torch.float32
    assert value.isfinite()
    assert logits.grad.isfinite().all()
    assert measures["accuracy"].item() == pytest.approx(1 / 3)


def test_refuses_with_a_sentence() -> None:
    logits, target_BHW = random_case()
    with pytest.raises(InputError, match=r"set_class_frequencies\(\) first"):
        SegmentationLoss(EVERYTHING, 4)(logits, target_BHW)
    with pytest.raises(InputError, match="must be 4 numbers"):
        SegmentationLoss(EVERYTHING, 4).set_class_frequencies(torch.ones(3))
    with pytest.raises(InputError, match="does not lie on the pixels"):
        build(PLAIN)(logits, target_BHW[..., 1:])
