"""Answers of parcels against slow loops, and what a consistency loss is."""

from __future__ import annotations

import torch

from cscl.losses.consistency import EDGE_WEIGHT, answers_of_parcels, consistency, inside


def patch() -> tuple[torch.Tensor, torch.Tensor]:
    """Probabilities of three classes, and parcels of all kinds: outside, thin, one pixel, of several items."""
    parcel_BHW = torch.tensor(
        [
            [[7, 7, 7, 7, 2], [7, 7, 7, 7, 2], [7, 7, 7, 7, 2], [-1, -1, 9, -1, 2]],
            [[7, 7, 7, 7, 7], [7, 7, 7, 7, 7], [7, 7, 7, 7, 7], [7, 7, 7, 7, -1]],
        ]
    )
    generator = torch.Generator().manual_seed(0)
    return torch.rand((2, 3, 4, 5), generator=generator, dtype=torch.float64).softmax(1), parcel_BHW


def test_a_parcel_has_one_answer_which_comes_from_its_inside() -> None:
    p, parcel = patch()
    answer = answers_of_parcels(p, parcel)
    for item in range(2):
        for number in parcel[item].unique():
            here = parcel[item] == number
            total, mass = torch.zeros(3, dtype=p.dtype), 0.0
            for row, col in here.nonzero().tolist():
                around = [(row - 1, col), (row + 1, col), (row, col - 1), (row, col + 1)]
                near = [parcel[item, r, c] for r, c in around if 0 <= r < 4 and 0 <= c < 5]
                weight = 1.0 if all(n == number for n in near) else EDGE_WEIGHT
                total, mass = total + weight * p[item, :, row, col], mass + weight
            assert torch.allclose(answer[item][:, here], (total / mass)[:, None], atol=1e-12)
    assert not torch.allclose(answer[0, :, 0, 0], answer[1, :, 0, 0]), "one parcel in two items has two answers"
    assert torch.allclose(answer.sum(1), torch.ones(2, 4, 5, dtype=p.dtype))


def test_beyond_the_patch_there_is_no_edge() -> None:
    assert inside(torch.full((1, 3, 3), 4)).all()
    assert inside(patch()[1])[0].int().tolist() == [
        [1, 1, 1, 0, 0], [1, 1, 1, 0, 0], [0, 0, 0, 0, 0], [0, 0, 0, 0, 0],
    ]  # fmt: skip


def test_doubtful_answers_weigh_less_and_what_does_not_count_weighs_nothing() -> None:
    logits = torch.randn((1, 2, 1, 3), generator=torch.Generator().manual_seed(1), requires_grad=True)
    answer = torch.tensor([[[[0.9, 0.5, 0.2]], [[0.1, 0.5, 0.8]]]])
    counts = torch.tensor([[[True, True, False]]])
    log_p = logits.detach().log_softmax(1)[0, :, 0]
    wanted = sum(w * -(answer[0, :, 0, i] * log_p[:, i]).sum() for i, w in enumerate((0.9, 0.5))) / 2
    loss = consistency(logits, answer, counts)
    assert torch.allclose(loss, wanted)
    loss.backward()
    assert logits.grad is not None and not logits.grad[..., 2].any() and logits.grad[..., :2].any()
    nothing = consistency(logits, answer, torch.zeros_like(counts))
    assert nothing == 0
