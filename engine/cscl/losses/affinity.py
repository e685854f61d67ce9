"""Context self-similarity: the cosine of each pixel's query with the keys of the window around it.

    s[i, t] = <q_i, k_(i+t) + r_t> / (|q_i| |k_(i+t) + r_t|)

for the k x k taps t of a window, with learned codes r of the tap's row and column (Tarasiou, Güler and Zafeiriou 2022,
IEEE TGRS 60, after Ramachandran et al. 2019, NeurIPS). A key outside the map is 0, its code stays.

Neither the k x k shifted copies of the keys nor their sums with the codes are ever formed, because

    <q, k + r> = <q, k> + <q, r>    and    |k + r|^2 = |k|^2 + 2 <k, r> + |r|^2 ,

where all but <q, k> are 1 x 1 convolutions, and <q, k> is a banded matrix product, done block by block.

Axes: B item, A attention channel, G group of channels, C channel of one group, N item and phase (and group), H row,
W column, k row or column of the window (pairs of them: tap row, tap column).
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, unflatten
from torch.autograd.function import once_differentiable
from torch.nn.functional import normalize, pad

from cscl.errors import InputError

__all__ = ["affinity", "label_agreement", "neighbours"]

BLOCK_PX = 8  # rows and columns of queries that share one matrix product with the keys around them
EPSILON = 1e-6  # smallest norm that is divided by: bounds the gradient of an all-zero query or key
UNKNOWN, BEYOND = -1, -2  # targets inside and outside the map: neither is known, but they never agree


def affinity(
    q_BAHW: Tensor,
    k_BAHW: Tensor,
    row_Ak: Tensor,
    col_Ak: Tensor,
    *,
    window: int,
    dilation: int = 1,
    stride: int = 1,
    groups: int = 1,
    normalise: bool = True,
) -> Tensor:
    """Similarity of each pixel's query with the positioned keys of its window.

    Parameters
    ----------
    q_BAHW, k_BAHW : Tensor
        Queries and keys, axes (item, channel, row, column), any floating dtype; half precision is computed in float32.
    row_Ak, col_Ak : Tensor
        Codes of the taps' rows, for the first half of the channels, and columns, for the second: (A/2, window) each.
    window : int
        Taps across; odd.
    dilation : int
        Pixels between neighbouring taps.
    stride : int
        Pixels between queries: 1, or the dilation, which is an undilated window on every stride-th row and column.
    groups : int
        Channels are cut into this many contiguous groups; the similarities of the groups are summed.
    normalise : bool
        Cosines, in -groups..groups; otherwise plain dot products. Norms below 1e-6 count as 1e-6.

    Returns
    -------
    Tensor
        s_BkkHW, float32 or float64, axes (item, tap row, tap column, row, column).

    Raises
    ------
    InputError
        If the shapes or the window's geometry do not fit.
    """
    step, dilation = _spacing(window, dilation, stride)
    _require_shapes(q_BAHW, k_BAHW, row_Ak, col_Ak, window, groups)
    dtype = torch.promote_types(q_BAHW.dtype, torch.float32)
    with torch.autocast(q_BAHW.device.type, enabled=False):
        q, k, row_Ak, col_Ak = (x.type(dtype) for x in (q_BAHW, k_BAHW, row_Ak, col_Ak))
        q, k = q[:, :, ::step, ::step], k[:, :, ::step, ::step]
        code_Akk = torch.cat(
            [row_Ak[:, :, None].expand(-1, -1, window), col_Ak[:, None, :].expand(-1, window, -1)],
        )
        q_NGCHW, k_NGCHW = (unflatten(_phases(x, dilation), 1, (groups, -1)) for x in (q, k))
        s_NkkHW = _similarity(q_NGCHW, k_NGCHW, unflatten(code_Akk, 0, (groups, -1)), normalise)
        return _interleaved(s_NkkHW, dilation, q.shape[2], q.shape[3])


def label_agreement(target_BHW: Tensor, window: int, dilation: int = 1, stride: int = 1) -> tuple[Tensor, Tensor]:
    """Which taps of each pixel's window hold the pixel's own class or parcel, and which pairs are to be believed.

    Parameters
    ----------
    target_BHW : Tensor
        int64 class indices or parcel ids, negative where unknown; axes (item, row, column).
    window, dilation, stride : int
        As in `affinity`.

    Returns
    -------
    positive_BkkHW : Tensor
        bool, True where tap and centre are equal. Unknown is a value like any other here; a tap outside the map never
        agrees.
    kept_BkkHW : Tensor
        bool, True where tap and centre are both inside the map and known, and the tap is not the centre itself.
    """
    centre_B11HW, tap_BkkHW = neighbours(target_BHW.clamp_min(UNKNOWN), window, dilation, stride, beyond=BEYOND)
    kept_BkkHW = (tap_BkkHW >= 0) & (centre_B11HW >= 0)
    kept_BkkHW[:, window // 2, window // 2] = False
    return tap_BkkHW == centre_B11HW, kept_BkkHW


def neighbours(
    map_BHW: Tensor, window: int, dilation: int = 1, stride: int = 1, *, beyond: float
) -> tuple[Tensor, Tensor]:
    """Values of each pixel (B11HW) and at the taps of its window (BkkHW, a view), which are `beyond` off the map."""
    step, dilation = _spacing(window, dilation, stride)
    centre_BHW = map_BHW[:, ::step, ::step]
    reach_px, extent_px = window // 2 * dilation, (window - 1) * dilation + 1
    padded_BHW = pad(centre_BHW, (reach_px,) * 4, value=beyond)
    tap_BHWkk = padded_BHW.unfold(1, extent_px, 1).unfold(2, extent_px, 1)[..., ::dilation, ::dilation]
    # Still a view: nothing is copied k * k times.
    return centre_BHW[:, None, None], tap_BHWkk.permute(0, 3, 4, 1, 2)


def _require_shapes(q: Tensor, k: Tensor, row: Tensor, col: Tensor, window: int, groups: int) -> None:
    if q.ndim != 4 or q.shape != k.shape:
        raise InputError(
            f"Queries {tuple(q.shape)} and keys {tuple(k.shape)} must share one shape (item, channel, row, column)."
        )
    width = q.shape[1]
    if groups < 1 or width % 2 or width % groups:
        raise InputError(f"{width} attention channels cannot be halved and cut into {groups} groups: change the width.")
    if row.shape != (width // 2, window) or col.shape != (width // 2, window):
        raise InputError(
            f"Position codes {tuple(row.shape)} and {tuple(col.shape)} must both be ({width // 2}, {window}): "
            "half the attention channels by the window."
        )


def _spacing(window: int, dilation: int, stride: int) -> tuple[int, int]:
    """Return the step of sub-sampling and the dilation that is left on the sub-sampled map."""
    if window < 1 or window % 2 == 0:
        raise InputError(f"A window of {window} pixels has no centre: choose an odd number.")
    if dilation < 1 or stride < 1:
        raise InputError(f"Dilation {dilation} and stride {stride} must both be at least 1.")
    if stride not in (1, dilation):
        raise InputError(
            f"Stride {stride} does not go with dilation {dilation}: choose 1 or {dilation} for the stride."
        )
    return stride, dilation // stride


def _phases(x_BAHW: Tensor, dilation: int) -> Tensor:
    """Put the d * d interleaved images, each a map of every d-th pixel, among the items: (B * d * d, A, H/d, W/d)."""
    height, width = x_BAHW.shape[2:]
    x_BAHW = pad(x_BAHW, (0, -width % dilation, 0, -height % dilation))
    x_BAHdWd = unflatten(unflatten(x_BAHW, 3, (-1, dilation)), 2, (-1, dilation))
    return x_BAHdWd.permute(0, 3, 5, 1, 2, 4).flatten(0, 2)


def _interleaved(s_NkkHW: Tensor, dilation: int, height: int, width: int) -> Tensor:
    """Undo `_phases` for the similarities: (B, k, k, height, width)."""
    s_BddkkHW = unflatten(s_NkkHW, 0, (-1, dilation, dilation))
    return s_BddkkHW.permute(0, 3, 4, 5, 1, 6, 2).flatten(5, 6).flatten(3, 4)[..., :height, :width]


def _similarity(q_NGCHW: Tensor, k_NGCHW: Tensor, code_GCkk: Tensor, normalise: bool) -> Tensor:
    """Return s_NkkHW for undilated windows, summed over the groups."""
    window, groups = code_GCkk.shape[-1], code_GCkk.shape[0]
    if normalise:
        q_NGCHW = normalize(q_NGCHW, dim=2, eps=EPSILON)
    content = _WindowProduct.apply(q_NGCHW.flatten(0, 1), k_NGCHW.flatten(0, 1), window)  # type: ignore[no-untyped-call]
    s_NGkkHW: Tensor = unflatten(content, 0, (-1, groups)) + torch.einsum("ngchw,gckl->ngklhw", q_NGCHW, code_GCkk)
    if normalise:
        # A cosine lies in -1..1; rounding can push it out only where key and code all but cancel.
        s_NGkkHW = (s_NGkkHW / _norm(k_NGCHW, code_GCkk)).clamp(-1, 1)
    return s_NGkkHW.sum(1)


def _norm(k_NGCHW: Tensor, code_GCkk: Tensor) -> Tensor:
    """Return |k + r| of the key and code at each tap, axes NGkkHW."""
    height, width, window = *k_NGCHW.shape[-2:], code_GCkk.shape[-1]
    energy_NGHW = torch.linalg.vecdot(k_NGCHW, k_NGCHW, dim=2)
    cross_NGkkHW = torch.einsum("ngchw,gckl->ngklhw", k_NGCHW, code_GCkk)
    at_key_NGkkHW = pad(energy_NGHW[:, :, None, None] + 2 * cross_NGkkHW, (window // 2,) * 4)
    square_NGkkHW = _aligned(at_key_NGkkHW, height, width) + code_GCkk.square().sum(1)[:, :, :, None, None]
    return square_NGkkHW.clamp_min(EPSILON**2).sqrt()


def _aligned(x_yxYX: Tensor, height: int, width: int) -> Tensor:
    """View ``out[..., y, x, a, b] = x[..., y, x, y + a, x + b]`` with a < `height` and b < `width`, without a copy."""
    *lead, y, x, Y, X = x_yxYX.stride()
    size = (*x_yxYX.shape[:-2], height, width)
    return x_yxYX.as_strided(size, (*lead, y + Y, x + X, Y, X), x_yxYX.storage_offset())


class _WindowProduct(torch.autograd.Function):
    """Banded product ``p[n, a, b, y, x] = <q[n, :, y, x], k[n, :, y + a - r, x + b - r]>`` with ``r = window // 2``.

    The map is worked off in strips of `BLOCK_PX` rows. Each square block of queries meets the keys of the block and the
    margin around it in one matrix product, of whose entries the windows are a diagonal view. Only q and k are saved.
    """

    @staticmethod
    def forward(ctx: Any, q_NCHW: Tensor, k_NCHW: Tensor, window: int) -> Tensor:
        ctx.save_for_backward(q_NCHW, k_NCHW)
        ctx.window = window
        items, _, height, width = q_NCHW.shape
        p_NkkHW = q_NCHW.new_empty(items, window, window, height, width)
        for row in range(0, height, BLOCK_PX):
            q_MPC, k_MPC = _blocks(q_NCHW, row, 0), _blocks(k_NCHW, row, window // 2)
            windows = _aligned(_square(q_MPC @ k_MPC.mT, window), window, window)
            strip = unflatten(windows, 0, (items, -1)).permute(0, 4, 5, 2, 1, 3).flatten(-2)
            p_NkkHW[..., row : row + BLOCK_PX, :] = strip[..., : height - row, :width]
        return p_NkkHW

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad_NkkHW: Tensor) -> tuple[Tensor, Tensor, None]:
        q_NCHW, k_NCHW = ctx.saved_tensors
        window = ctx.window
        grad_q_NCHW, grad_k_NCHW = torch.zeros_like(q_NCHW), torch.zeros_like(k_NCHW)
        with torch.autocast(q_NCHW.device.type, enabled=False):
            for row in range(0, q_NCHW.shape[2], BLOCK_PX):
                q_MPC, k_MPC = _blocks(q_NCHW, row, 0), _blocks(k_NCHW, row, window // 2)
                grad_MPP = _band(grad_NkkHW, row, window)
                _add_blocks(grad_q_NCHW, grad_MPP @ k_MPC, row, 0)
                _add_blocks(grad_k_NCHW, grad_MPP.mT @ q_MPC, row, window // 2)
        return grad_q_NCHW, grad_k_NCHW, None


# Axes below: M item and block of the strip, P pixel of the block (or of the block and its margin).


def _rows(height: int, row: int, margin_px: int) -> tuple[slice, int, int]:
    """Rows of a strip with its margin that lie inside the map, and how many are missing above and below."""
    top, bottom = max(row - margin_px, 0), min(row + BLOCK_PX + margin_px, height)
    return slice(top, bottom), top - (row - margin_px), row + BLOCK_PX + margin_px - bottom


def _blocks(x_NCHW: Tensor, row: int, margin_px: int) -> Tensor:
    """Cut the strip that starts at `row` into blocks with a margin, 0 outside the map: x_MPC."""
    rows, above, below = _rows(x_NCHW.shape[2], row, margin_px)
    right = -x_NCHW.shape[3] % BLOCK_PX
    strip_NCHW = pad(x_NCHW[:, :, rows], (margin_px, margin_px + right, above, below))
    blocks_NCHMW = strip_NCHW.unfold(3, BLOCK_PX + 2 * margin_px, BLOCK_PX)
    return blocks_NCHMW.permute(0, 3, 2, 4, 1).flatten(2, 3).flatten(0, 1)


def _add_blocks(x_NCHW: Tensor, blocks_MPC: Tensor, row: int, margin_px: int) -> None:
    """Add to `x_NCHW` what `_blocks` would cut from it; pixels that blocks share receive the sum."""
    items, channels, height, width = x_NCHW.shape
    rows, above, below = _rows(height, row, margin_px)
    size = BLOCK_PX + 2 * margin_px
    blocks_NCHMW = unflatten(unflatten(blocks_MPC, 1, (size, size)), 0, (items, -1)).permute(0, 4, 2, 1, 3)
    count, apart = blocks_NCHMW.shape[3], -(-size // BLOCK_PX)
    strip_NCHW = x_NCHW.new_zeros(items, channels, size, count * BLOCK_PX + 2 * margin_px)
    for first in range(min(apart, count)):  # every so many blocks do not overlap: no pixel is added to twice at once
        strip_NCHW[..., first * BLOCK_PX :].unfold(3, size, apart * BLOCK_PX).add_(blocks_NCHMW[:, :, :, first::apart])
    x_NCHW[:, :, rows] += strip_NCHW[:, :, above : size - below, margin_px : margin_px + width]


def _square(product_MPP: Tensor, window: int) -> Tensor:
    """Name rows and columns of the pixels: (M, block row, block column, row with margin, column with margin)."""
    size = BLOCK_PX + window - 1
    return unflatten(unflatten(product_MPP, 2, (size, size)), 1, (BLOCK_PX, BLOCK_PX))


def _band(grad_NkkHW: Tensor, row: int, window: int) -> Tensor:
    """Lay the gradient of a strip's windows into matrices, 0 outside the windows: grad_MPP."""
    strip = grad_NkkHW[..., row : row + BLOCK_PX, :]
    strip = pad(strip, (0, -strip.shape[-1] % BLOCK_PX, 0, BLOCK_PX - strip.shape[-2]))
    windows_Myxkk = unflatten(strip, -1, (-1, BLOCK_PX)).permute(0, 4, 3, 5, 1, 2).flatten(0, 1)
    size = BLOCK_PX + window - 1
    grad_MPP = strip.new_zeros(windows_Myxkk.shape[0], BLOCK_PX**2, size**2)
    _aligned(_square(grad_MPP, window), window, window).copy_(windows_Myxkk)
    return grad_MPP
