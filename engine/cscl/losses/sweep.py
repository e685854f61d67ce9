"""The contrastive loss and its gradients in one sweep over strips of the map.

The loss is a sum over pixels once it is known what its means divide by, and that follows from the labels alone. So each
strip of rows gives its part of the loss and, at once, its part of all gradients; its similarities are forgotten before
the next one. What is kept is as large as the embedding, whatever the window. The two projections are part of the sweep:
the embedding is read, and its gradient written, as it lies in memory, and queries exist for one strip at a time.

Axes: B item, D embedding, A attention channel, H row, W column, k row or column of the window, S scale.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from .affinity import around

__all__ = ["Costs", "scaled", "strips", "swept"]

# Pixels of a strip: few enough for the caches of a CPU, many for a GPU, whose launches cost more than its arithmetic.
STRIP_PX, STRIP_PX_GPU = 2**13, 2**20
TALL = 4  # least rows of a strip by its reach: keys that two strips share are made twice
QUERY, KEY = 1, 2  # places of the projections among what is learnt

Costs = Callable[..., Tensor]
"""Called as ``costs(q_NHWA, k_NVWA, items, rows, above_px, *others)``: what a strip adds to each sum, (sums,), of which
the first is the loss. Keys reach beyond the rows of the queries, `above_px` of them above."""


def strips(
    items: int, height: int, width: int, device: torch.device, reach_px: int = 0
) -> Iterator[tuple[slice, slice]]:
    """Yield items and rows to take at a time: all rows of several small maps, or some of one."""
    size_px = STRIP_PX if device.type == "cpu" else STRIP_PX_GPU
    together = max(size_px // (height * width), 1)
    tall = min(max(size_px // width, TALL * reach_px, 1), height)
    for first in range(0, items, together):
        yield from ((slice(first, first + together), slice(row, row + tall)) for row in range(0, height, tall))


def swept(
    costs: Costs, reach_px: int, embedding_BDHW: Tensor, query_AD: Tensor, key_AD: Tensor, others: Sequence[Tensor]
) -> Tensor:
    """Sum costs over all strips of an embedding.

    Parameters
    ----------
    costs : callable
        See `Costs`. Queries and keys are float32 or float64.
    reach_px : int
        Rows of keys that a query reaches above and below its own.
    embedding_BDHW : Tensor
        Any layout, any floating dtype.
    query_AD, key_AD : Tensor
        Projections.
    others : sequence of Tensor
        What else the costs learn.

    Returns
    -------
    Tensor
        (sums,). Only the first can be differentiated, once.
    """
    tensors = embedding_BDHW, query_AD, key_AD, *others
    if not torch.is_grad_enabled():
        return _sweep(costs, reach_px, tensors, None)
    total: Tensor = _Sweep.apply(costs, reach_px, *tensors)  # type: ignore[no-untyped-call]
    return total


class _Sweep(torch.autograd.Function):
    """Gradients are made on the way forward; the way back hands them on, times that of the loss."""

    @staticmethod
    def forward(ctx: Any, costs: Costs, reach_px: int, *tensors: Tensor) -> Tensor:
        gradients = [torch.zeros_like(x) for x in tensors]
        total = _sweep(costs, reach_px, tensors, gradients)
        ctx.save_for_backward(*gradients)
        return total

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad_of_sums: Tensor) -> tuple[Tensor | None, ...]:
        return None, None, *(scaled(x, grad_of_sums[0]) for x in ctx.saved_tensors)


def scaled(gradient: Tensor, by: Tensor) -> Tensor:
    """Multiply a gradient that is there already by that of the loss."""
    if by.is_cpu and by == 1:  # the usual case; a copy costs a part of the sweep
        return gradient
    return gradient * by.type(gradient.dtype)


def _sweep(costs: Costs, reach_px: int, tensors: Sequence[Tensor], gradients: Sequence[Tensor] | None) -> Tensor:
    """Return the sums; add to `gradients`, if there are any."""
    embedding_BDHW, query_AD, key_AD, *others = tensors
    e_BHWD = embedding_BDHW.permute(0, 2, 3, 1)
    items, height, width, _ = e_BHWD.shape
    totals = []
    for some, rows in strips(items, height, width, e_BHWD.device, reach_px):
        there, above_px, _ = around(rows, height, reach_px)
        q_NHWA, k_NVWA = e_BHWD[some, rows] @ query_AD.T, e_BHWD[some, there] @ key_AD.T
        total, grads = _strip(costs, (some, rows, above_px), (q_NHWA, k_NVWA, *others), learns=gradients is not None)
        totals.append(total)
        if gradients is not None:
            _project_back(grads[0].type(q_NHWA.dtype), tensors, gradients, QUERY, some, rows)
            _project_back(grads[1].type(k_NVWA.dtype), tensors, gradients, KEY, some, there)
            for gradient, grad in zip(gradients[3:], grads[2:], strict=True):
                gradient += grad
    return torch.stack(totals).sum(0)


def _strip(
    costs: Costs, place: tuple[slice, slice, int], tensors: Sequence[Tensor], *, learns: bool
) -> tuple[Tensor, tuple[Tensor, ...]]:
    """Return what one strip adds to the sums, and the gradients of its queries, keys and of what else is learnt."""
    with torch.autocast(tensors[0].device.type, enabled=False), torch.set_grad_enabled(learns):
        q_NHWA, k_NVWA, *others = (x.detach().type(_computed(x)).requires_grad_(learns) for x in tensors)
        sums = costs(q_NHWA, k_NVWA, *place, *others)
        if not learns:
            return sums, ()
        learnt = [q_NHWA, k_NVWA, *others]
        return sums.detach(), torch.autograd.grad(sums[0], learnt, materialize_grads=True)


def _computed(x: Tensor) -> torch.dtype:
    return torch.promote_types(x.dtype, torch.float32)


def _project_back(
    grad_NHWA: Tensor, tensors: Sequence[Tensor], gradients: Sequence[Tensor], which: int, items: slice, rows: slice
) -> None:
    """Add to the gradients of the embedding and of a projection."""
    embedding_BDHW, weight_AD = tensors[0], tensors[which]
    e_PD = embedding_BDHW[items, :, rows].permute(0, 2, 3, 1).reshape(-1, embedding_BDHW.shape[1])
    gradients[0][items, :, rows] += (grad_NHWA @ weight_AD).permute(0, 3, 1, 2)
    gradients[which].add_(grad_NHWA.flatten(0, 2).T @ e_PD)
