"""Context self-similarity: the cosine of each pixel's query with the keys of the window around it.

    s[i, t] = <q_i, k_(i+t) + r_t> / (|q_i| |k_(i+t) + r_t|)

for the k x k taps t of a window, with learned codes r of the tap's row and column (Tarasiou, Güler and Zafeiriou 2022,
IEEE TGRS 60, after Ramachandran et al. 2019, NeurIPS). A key outside the map is 0, its code stays.

Neither the k x k shifted copies of the keys nor their sums with the codes are ever formed, because

    <q, k + r> = <q, k> + <q, r>    and    |k + r|^2 = |k|^2 + 2 <k, r> + |r|^2 ,

where all but <q, k> are small matrix products. That one is a banded product, done block by block (`cscl.losses.blocks`)
or, on a CPU with numba, pixel by pixel in compiled loops (`cscl.losses.windows`).

Axes: B item, A attention channel, G group of channels, C channel of one group, N item (and phase, and group), H row,
W column, k row or column of the window (pairs of them: tap row, tap column), t tap row or tap column (2 k of them).
"""

from __future__ import annotations

import torch
from torch import Tensor, unflatten
from torch.nn.functional import pad

from cscl import compiling
from cscl.errors import InputError

from .blocks import by_blocks

__all__ = [
    "EPSILON", "EVERY", "affinity", "around", "code_table", "label_agreement", "neighbours", "similarity", "spacing",
    "worth_compiling",
]  # fmt: skip

EPSILON = 1e-6  # smallest norm that is divided by: bounds the gradient of an all-zero query or key
UNKNOWN, BEYOND = -1, -2  # targets inside and outside the map: neither is known, but they never agree
EVERY = slice(None)
WORTH_COMPILING = 2**20  # products of two numbers: below, nothing is gained by loading what is compiled


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
        Channels-last memory is read as it lies.
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
    step, dilation = spacing(window, dilation, stride)
    _require_shapes(q_BAHW, k_BAHW, row_Ak, col_Ak, window, groups)
    dtype = torch.promote_types(q_BAHW.dtype, torch.float32)
    with torch.autocast(q_BAHW.device.type, enabled=False):
        q, k, row_Ak, col_Ak = (x.type(dtype) for x in (q_BAHW, k_BAHW, row_Ak, col_Ak))
        q_BHWA, k_BHWA = (x.permute(0, 2, 3, 1)[:, ::step, ::step] for x in (q, k))
        return similarity(q_BHWA, k_BHWA, row_Ak, col_Ak, dilation=dilation, groups=groups, normalise=normalise)


def similarity(
    q_NHWA: Tensor, k_NHWA: Tensor, row_Ak: Tensor, col_Ak: Tensor, *, dilation: int, groups: int, normalise: bool,
    above_px: int = 0,
) -> Tensor:  # fmt: skip
    """Return s_NkkHW of rows of queries, `affinity` behind its checks.

    Keys are given for `above_px` rows above the queries and as many below as there are; what lies beyond the rows and
    columns of keys lies outside the map. All share one dtype, float32 or float64.
    """
    table_GCt = code_table(row_Ak, col_Ak, groups)
    worth = q_NHWA.is_cpu and worth_compiling(q_NHWA.numel(), row_Ak.shape[1])
    compiled = compiling.module("cscl.losses.windows") if worth else None
    form = by_blocks if compiled is None else compiled.by_loops
    s_NGkkHW: Tensor = form(q_NHWA, k_NHWA, table_GCt, dilation, above_px, EPSILON if normalise else None)
    return s_NGkkHW.sum(1)


def worth_compiling(numbers: int, window: int) -> bool:
    """Whether so many numbers in all queries, and such a window, are worth the time to load compiled loops."""
    return numbers * window**2 >= WORTH_COMPILING


def code_table(row_Ak: Tensor, col_Ak: Tensor, groups: int) -> Tensor:
    """Lay the codes of the taps' rows and columns, each 0 in the channels of the other, side by side: table_GCt."""
    zeros_Ak = torch.zeros_like(row_Ak)
    table_At = torch.cat([torch.cat([row_Ak, zeros_Ak]), torch.cat([zeros_Ak, col_Ak])], dim=1)
    return unflatten(table_At, 0, (groups, -1))


def label_agreement(
    target_BHW: Tensor, window: int, dilation: int = 1, stride: int = 1, *, rows: slice = EVERY
) -> tuple[Tensor, Tensor]:
    """Which taps of each pixel's window hold the pixel's own class or parcel, and which pairs are to be believed.

    Parameters
    ----------
    target_BHW : Tensor
        int64 class indices or parcel ids, negative where unknown; axes (item, row, column).
    window, dilation, stride : int
        As in `affinity`.
    rows : slice
        Rows of pixels to do, after the stride.

    Returns
    -------
    positive_BkkHW : Tensor
        bool, True where tap and centre are equal. Unknown is a value like any other here; a tap outside the map never
        agrees.
    kept_BkkHW : Tensor
        bool, True where tap and centre are both inside the map and known, and the tap is not the centre itself.
    """
    centre_B11HW, tap_BkkHW = neighbours(
        target_BHW.clamp_min(UNKNOWN), window, dilation, stride, beyond=BEYOND, rows=rows
    )
    kept_BkkHW = (tap_BkkHW >= 0) & (centre_B11HW >= 0)
    kept_BkkHW[:, window // 2, window // 2] = False
    return tap_BkkHW == centre_B11HW, kept_BkkHW


def neighbours(
    map_BHW: Tensor, window: int, dilation: int = 1, stride: int = 1, *, beyond: float, rows: slice = EVERY
) -> tuple[Tensor, Tensor]:
    """Values of each pixel (B11HW) and at the taps of its window (BkkHW, a view), which are `beyond` off the map."""
    step, dilation = spacing(window, dilation, stride)
    centre_BHW = map_BHW[:, ::step, ::step]
    reach_px, extent_px = window // 2 * dilation, (window - 1) * dilation + 1
    there, above_px, below_px = around(rows, centre_BHW.shape[1], reach_px)
    missing = (reach_px, reach_px, reach_px - above_px, reach_px - below_px)
    padded_BHW = pad(centre_BHW[:, there], missing, value=beyond)
    tap_BHWkk = padded_BHW.unfold(1, extent_px, 1).unfold(2, extent_px, 1)[..., ::dilation, ::dilation]
    # Still a view: nothing is copied k * k times.
    return centre_BHW[:, None, None, rows], tap_BHWkk.permute(0, 3, 4, 1, 2)


def around(rows: slice, height: int, reach_px: int) -> tuple[slice, int, int]:
    """Rows together with those of the map within reach of them, and how many these are above and below."""
    first, last, _ = rows.indices(height)
    top, bottom = max(first - reach_px, 0), min(last + reach_px, height)
    return slice(top, bottom), first - top, bottom - last


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


def spacing(window: int, dilation: int, stride: int) -> tuple[int, int]:
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
