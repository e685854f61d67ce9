"""Sums over all processes that share a batch, which is what a loss divides by when each sees but its part.

Gradients of processes are averaged. A sum over a process's own pixels, divided by the mean of these counts over
processes, is averaged to the sum over all pixels divided by all of them, as if one process had seen the batch.
"""

from __future__ import annotations

import torch
from torch import Tensor, distributed

__all__ = ["mean_over_processes", "processes"]


def processes() -> int:
    """Count the processes that train together; 1 for one alone."""
    return distributed.get_world_size() if distributed.is_available() and distributed.is_initialized() else 1


@torch.no_grad()
def mean_over_processes(value: Tensor) -> Tensor:
    """Return the mean of a tensor over all processes, without gradient; the tensor itself where there is one alone."""
    if processes() == 1:
        return value
    total = value.detach().clone()
    if not total.is_floating_point():
        total = total.float()
    distributed.all_reduce(total)
    return total / processes()
