"""Contrast of matched pairs against all others: the normalised, temperature-scaled cross-entropy (NT-Xent).

For an anchor a with its positive p, and s(a, b) the cosine of a and b over the temperature:

    l(a) = -s(a, p) + log(sum over b of exp s(a, b))

Decoupled, as GLCNet has it (Li et al. 2022, IEEE TGRS 60; the form of Yeh et al. 2022, ECCV), b runs over the negatives
alone. In SimCLR (Chen et al. 2020, ICML) it runs over the positive as well: another loss, the more so the smaller the
batch.

Axes: N matched pair, D channel.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn.functional import normalize

from cscl.errors import InputError

__all__ = ["nt_xent"]

EPSILON = 1e-6  # smallest norm that is divided by


def nt_xent(
    first_ND: Tensor, second_ND: Tensor, temperature: float, *, decoupled: bool = True, group_N: Tensor | None = None
) -> Tensor:
    """Mean of l(a) over the 2 N anchors.

    Parameters
    ----------
    first_ND, second_ND : Tensor
        Vectors of any length; row i of the one and row i of the other are a pair. Half precision is computed in
        float32.
    temperature : float
        Above 0.
    decoupled : bool
        Leave the positive out of the sum.
    group_N : Tensor, optional
        Number of the group of each pair, e.g. the sample that it comes from: what shares a group is no negative.

    Returns
    -------
    Tensor
        0-d. Anchors without any negative do not count; if there is none with one, 0 with gradients of 0. Vectors that
        are all alike give log(2 N - 2), decoupled, or log(2 N - 1).

    Raises
    ------
    InputError
        If the two shapes differ.
    """
    if first_ND.shape != second_ND.shape or first_ND.ndim != 2:
        raise InputError(f"Pairs must share one shape (pair, channel): {(*first_ND.shape,)}, {(*second_ND.shape,)}.")
    count = len(first_ND)
    with torch.autocast(first_ND.device.type, enabled=False):
        z = torch.cat([first_ND, second_ND])
        z = normalize(z.type(torch.promote_types(z.dtype, torch.float32)), dim=1, eps=EPSILON)
        s = z @ z.T / temperature
        number = torch.arange(2 * count, device=z.device)
        partner = (number + count) % max(1, 2 * count)
        group = (number % max(1, count)) if group_N is None else torch.cat([group_N, group_N])
        negative = group[:, None] != group[None, :]
        summed = negative if decoupled else negative | (partner[:, None] == number[None, :])
        counts = negative.any(1)
        log_sum = torch.logsumexp(s.masked_fill(~summed, -torch.inf)[counts], 1)
        loss = log_sum - s[number, partner][counts]
        return loss.sum() / counts.sum().clamp_min(1)
