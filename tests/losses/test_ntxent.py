"""NT-Xent: golden values, the definition by slow loops, collapse, groups, and too few to compare."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor
from torch.autograd import gradcheck

from cscl.errors import InputError
from cscl.losses.ntxent import nt_xent

FIRST, SECOND = torch.tensor([[1.0, 0, 0], [0, 1, 0]]), torch.tensor([[0.6, 0.8, 0], [0, 0.6, 0.8]])


def vectors(count: int, channels: int, seed: int) -> Tensor:
    return torch.randn(count, channels, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


@pytest.mark.parametrize(("decoupled", "expected"), [(True, 0.246180), (False, 0.855528)])
def test_golden_values(decoupled: bool, expected: float) -> None:
    assert nt_xent(FIRST, 3 * SECOND, 0.5, decoupled=decoupled).item() == pytest.approx(expected, abs=1e-6)


@pytest.mark.parametrize(("count", "expected"), [(16, 3.4012), (256, 6.2344), (1024, 7.6236)])
def test_vectors_all_alike_give_the_logarithm_of_the_negatives(count: int, expected: float) -> None:
    alike = torch.ones(count, 8)
    assert nt_xent(alike, alike, 0.5).item() == pytest.approx(expected, abs=1e-4)
    assert nt_xent(alike, alike, 0.5, decoupled=False).item() == pytest.approx(math.log(2 * count - 1), abs=1e-4)


def test_random_directions_come_near_what_is_known() -> None:
    """One draw varies by 0.016, so sixteen are averaged; the logarithm is that of a normal distribution's mean."""
    first, second = ([vectors(256, 64, seed) for seed in range(start, 32, 2)] for start in (0, 1))
    pairs = list(zip(first, second, strict=True))
    decoupled, simclr = (sum(nt_xent(a, b, 0.5, decoupled=d).item() for a, b in pairs) / 16 for d in (True, False))
    assert decoupled == pytest.approx(math.log(510) + 0.5 * 2**2 / 64, abs=0.012)
    assert simclr - decoupled == pytest.approx(math.log(511 / 510), abs=2e-4)
    same = [nt_xent(first[0], first[0], 0.5, decoupled=d).item() for d in (True, False)]
    assert same == pytest.approx([4.266, 4.280], abs=0.005)


@pytest.mark.parametrize("decoupled", [True, False])
@pytest.mark.parametrize("group", [None, [0, 0, 1, 2, 2]])
def test_the_definition_by_slow_loops(decoupled: bool, group: list[int] | None) -> None:
    z = torch.cat([vectors(5, 3, 2), vectors(5, 3, 3)])
    groups = [*(group or range(5))] * 2
    cosine = [[float(a @ b / (a.norm() * b.norm())) for b in z] for a in z]
    total = 0.0
    for a in range(10):
        partner = (a + 5) % 10
        others = [b for b in range(10) if groups[b] != groups[a]] + ([] if decoupled else [partner])
        total += -cosine[a][partner] / 0.3 + math.log(sum(math.exp(cosine[a][b] / 0.3) for b in others))
    told = nt_xent(z[:5], z[5:], 0.3, decoupled=decoupled, group_N=None if group is None else torch.tensor(group))
    assert told.item() == pytest.approx(total / 10, abs=1e-9)


def test_order_and_sides_do_not_matter() -> None:
    first, second = vectors(7, 4, 4), vectors(7, 4, 5)
    order = torch.tensor([3, 1, 6, 0, 2, 5, 4])
    told = nt_xent(first, second, 0.5)
    assert torch.allclose(told, nt_xent(second, first, 0.5)) and torch.allclose(
        told, nt_xent(first[order], second[order], 0.5)
    )


def test_gradients() -> None:
    first, second = vectors(4, 3, 6).requires_grad_(), vectors(4, 3, 7).requires_grad_()
    assert gradcheck(lambda a, b: nt_xent(a, b, 0.5), (first, second))


@pytest.mark.parametrize("count", [0, 1])
def test_nothing_to_compare_with_gives_zero_and_gradients_of_zero(count: int) -> None:
    first = torch.randn(count, 3, requires_grad=True)
    loss = nt_xent(first, torch.randn(count, 3), 0.5)
    loss.backward()
    assert loss.item() == 0 and first.grad is not None and not first.grad.any()


def test_pairs_that_do_not_pair_are_refused() -> None:
    with pytest.raises(InputError, match="one shape"):
        nt_xent(FIRST, SECOND[:1], 0.5)
