"""Similarities of windows in plain torch: square blocks of queries meet the keys around them in one matrix product.

Of the products of a block with its surroundings the windows are a diagonal view. Blocks waste some of the products (at
8 x 8 pixels and a window of 7 three in four), but matrix products are that much faster than anything else.

Axes as in `cscl.losses.affinity`; M item and block of a strip, P pixel of a block, or of a block and its margin; Y, X
row and column with a margin.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, unflatten
from torch.autograd.function import once_differentiable
from torch.nn.functional import normalize, pad

__all__ = ["by_blocks"]

BLOCK_PX = 8  # rows and columns of queries that share one matrix product with the keys around them


def by_blocks(
    q_NHWA: Tensor, k_NHWA: Tensor, table_GCt: Tensor, dilation: int, above_px: int, epsilon: float | None
) -> Tensor:
    """Return s_NGkkHW.

    Parameters
    ----------
    q_NHWA, k_NHWA : Tensor
        Queries, and keys from `above_px` rows above them on.
    table_GCt : Tensor
        Codes of the window's rows, then of its columns.
    dilation, above_px : int
    epsilon : float, optional
        Least norm that is divided by; None for plain products.
    """
    (groups, _, taps), (height, width) = table_GCt.shape, q_NHWA.shape[1:3]
    reach_px = taps // 4 * dilation
    bottom, right = (-size % (BLOCK_PX * dilation) for size in (height, width))
    below = height + bottom + 2 * reach_px - (reach_px - above_px) - k_NHWA.shape[1]
    q_NHWA = pad(q_NHWA, (0, 0, 0, right, 0, bottom))
    k_NYXA = pad(k_NHWA, (0, 0, reach_px, reach_px + right, reach_px - above_px, below))
    q_NHWC, k_NYXC = (_grouped(_phases(x, dilation), groups) for x in (q_NHWA, k_NYXA))
    if epsilon is not None:
        q_NHWC = normalize(q_NHWC, dim=-1, eps=epsilon)
    content = _WindowProduct.apply(q_NHWC, k_NYXC, taps // 2)  # type: ignore[no-untyped-call]
    s_NGkkHW: Tensor = unflatten(content, 0, (-1, groups)) + _with_codes(q_NHWC, table_GCt)
    if epsilon is not None:
        # A cosine lies in -1..1; rounding can push it out only where key and code all but cancel.
        s_NGkkHW = (s_NGkkHW / _norm(k_NYXC, table_GCt, epsilon)).clamp(-1, 1)
    return _interleaved(s_NGkkHW, dilation)[..., :height, :width]


def _phases(x_NHWA: Tensor, dilation: int) -> Tensor:
    """Put the d * d interleaved images, each a map of every d-th pixel, among the items: (N * d * d, H/d, W/d, A)."""
    if dilation == 1:
        return x_NHWA
    x_NHdWdA = unflatten(unflatten(x_NHWA, 2, (-1, dilation)), 1, (-1, dilation))
    return x_NHdWdA.permute(0, 2, 4, 1, 3, 5).flatten(0, 2)


def _interleaved(s_NGkkHW: Tensor, dilation: int) -> Tensor:
    """Undo `_phases` for the similarities."""
    if dilation == 1:
        return s_NGkkHW
    s_NddGkkHW = unflatten(s_NGkkHW, 0, (-1, dilation, dilation))
    return s_NddGkkHW.permute(0, 3, 4, 5, 6, 1, 7, 2).flatten(6, 7).flatten(4, 5)


def _grouped(x_NHWA: Tensor, groups: int) -> Tensor:
    """Put the groups of channels among the items: (N * G, H, W, C)."""
    return unflatten(x_NHWA, 3, (groups, -1)).movedim(3, 1).flatten(0, 1)


def _with_codes(x_NHWC: Tensor, table_GCt: Tensor) -> Tensor:
    """Products with the code of each tap, which is that of its row plus that of its column: axes NGkkHW."""
    x_NGHWC = unflatten(x_NHWC, 0, (-1, table_GCt.shape[0]))
    row_NGkHW, col_NGkHW = torch.einsum("nghwc,gct->ngthw", x_NGHWC, table_GCt).chunk(2, dim=2)
    return row_NGkHW[:, :, :, None] + col_NGkHW[:, :, None]


def _norm(k_NYXC: Tensor, table_GCt: Tensor, epsilon: float) -> Tensor:
    """Return |k + r| of the key and code at each tap, axes NGkkHW."""
    energy_NGYX = unflatten(torch.linalg.vecdot(k_NYXC, k_NYXC), 0, (-1, table_GCt.shape[0]))
    at_key_NGkkYX = energy_NGYX[:, :, None, None] + 2 * _with_codes(k_NYXC, table_GCt)
    row_Gk, col_Gk = table_GCt.square().sum(1).chunk(2, dim=1)
    code_Gkk = row_Gk[:, :, None] + col_Gk[:, None]
    margin = code_Gkk.shape[1] - 1
    height, width = (size - margin for size in at_key_NGkkYX.shape[-2:])
    square_NGkkHW = _aligned(at_key_NGkkYX, height, width) + code_Gkk[..., None, None]
    return square_NGkkHW.clamp_min(epsilon**2).sqrt()


def _aligned(x_yxYX: Tensor, height: int, width: int) -> Tensor:
    """View ``out[..., y, x, a, b] = x[..., y, x, y + a, x + b]`` with a < `height` and b < `width`, without a copy."""
    *lead, y, x, Y, X = x_yxYX.stride()
    size = (*x_yxYX.shape[:-2], height, width)
    return x_yxYX.as_strided(size, (*lead, y + Y, x + X, Y, X), x_yxYX.storage_offset())


class _WindowProduct(torch.autograd.Function):
    """Banded product ``p[n, a, b, y, x] = <q[n, y, x], k[n, y + a, x + b]>``, q in whole blocks and k a margin wider.

    The map is worked off in strips of blocks. Only q and k are saved.
    """

    @staticmethod
    def forward(ctx: Any, q_NHWC: Tensor, k_NYXC: Tensor, window: int) -> Tensor:
        ctx.save_for_backward(q_NHWC, k_NYXC)
        ctx.window = window
        items, height, width, _ = q_NHWC.shape
        p_NkkHW = q_NHWC.new_empty(items, window, window, height, width)
        for row in range(0, height, BLOCK_PX):
            q_MPC, k_MPC = _blocks(q_NHWC, row, 1), _blocks(k_NYXC, row, window)
            windows = _aligned(_square(q_MPC @ k_MPC.mT, window), window, window)
            strip = unflatten(windows, 0, (items, -1)).permute(0, 4, 5, 2, 1, 3)
            unflatten(p_NkkHW[..., row : row + BLOCK_PX, :], -1, (-1, BLOCK_PX)).copy_(strip)
        return p_NkkHW

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad_NkkHW: Tensor) -> tuple[Tensor, Tensor, None]:
        q_NHWC, k_NYXC = ctx.saved_tensors
        window = ctx.window
        grad_q_NHWC, grad_k_NYXC = torch.empty_like(q_NHWC), torch.zeros_like(k_NYXC)
        with torch.autocast(q_NHWC.device.type, enabled=False):
            for row in range(0, q_NHWC.shape[1], BLOCK_PX):
                q_MPC, k_MPC = _blocks(q_NHWC, row, 1), _blocks(k_NYXC, row, window)
                grad_MPP = _band(grad_NkkHW[..., row : row + BLOCK_PX, :], window)
                grad_q_MyxC = unflatten(grad_MPP @ k_MPC, 1, (BLOCK_PX, BLOCK_PX))
                strip_NHWC = grad_q_NHWC[:, row : row + BLOCK_PX]
                unflatten(strip_NHWC, 2, (-1, BLOCK_PX)).copy_(_beside(grad_q_MyxC, len(q_NHWC)))
                _add_blocks(grad_k_NYXC, grad_MPP.mT @ q_MPC, row, window)
        return grad_q_NHWC, grad_k_NYXC, None


def _blocks(x_NHWC: Tensor, row: int, window: int) -> Tensor:
    """Cut the strip that starts at `row` into blocks with the margin that a window needs: x_MPC."""
    size = BLOCK_PX + window - 1
    blocks_NyMCx = x_NHWC[:, row : row + size].unfold(2, size, BLOCK_PX)
    return blocks_NyMCx.permute(0, 2, 1, 4, 3).flatten(2, 3).flatten(0, 1)


def _beside(blocks_MyxC: Tensor, items: int) -> Tensor:
    """Put the rows of a strip's blocks side by side: (N, y, M, x, C)."""
    return unflatten(blocks_MyxC, 0, (items, -1)).permute(0, 2, 1, 3, 4)


def _add_blocks(x_NHWC: Tensor, blocks_MPC: Tensor, row: int, window: int) -> None:
    """Add to `x_NHWC` what `_blocks` would cut from it; pixels that blocks share receive the sum."""
    size = BLOCK_PX + window - 1
    blocks_NyMxC = _beside(unflatten(blocks_MPC, 1, (size, size)), len(x_NHWC))
    strip_NyWC, apart = x_NHWC[:, row : row + size], -(-size // BLOCK_PX)
    for first in range(min(apart, blocks_NyMxC.shape[2])):  # every so many blocks no pixel is added to twice at once
        cut_NyMCx = strip_NyWC[:, :, first * BLOCK_PX :].unfold(2, size, apart * BLOCK_PX)
        cut_NyMCx.add_(blocks_NyMxC[:, :, first::apart].transpose(3, 4))


def _square(product_MPP: Tensor, window: int) -> Tensor:
    """Name rows and columns of the pixels: (M, block row, block column, row with margin, column with margin)."""
    size = BLOCK_PX + window - 1
    return unflatten(unflatten(product_MPP, 2, (size, size)), 1, (BLOCK_PX, BLOCK_PX))


def _band(grad_NkkyW: Tensor, window: int) -> Tensor:
    """Lay the gradient of a strip's windows into matrices, 0 outside the windows: grad_MPP."""
    windows_Myxkk = unflatten(grad_NkkyW, -1, (-1, BLOCK_PX)).permute(0, 4, 3, 5, 1, 2).flatten(0, 1)
    size = BLOCK_PX + window - 1
    grad_MPP = grad_NkkyW.new_zeros(windows_Myxkk.shape[0], BLOCK_PX**2, size**2)
    _aligned(_square(grad_MPP, window), window, window).copy_(windows_Myxkk)
    return grad_MPP
