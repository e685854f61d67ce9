"""Similarities of windows and their gradients in compiled loops: what `cscl.losses.blocks` does, without its waste.

Each loop goes over rows of one map and writes to those rows alone, so that bands of rows can be done side by side.
Similarities are made at the queries; on the way back the gradient of the queries is gathered from the keys of their
windows, and then that of the keys from the queries that reach them.

With raw product p = <q, k + r>, square n^2 = |k + r|^2 and s = p / (|q| n),

    ds/dp = 1 / (|q| n)        ds/d(n^2) = -s / (2 n^2)        ds/dq = (k + r) / (|q| n) - s q / |q|^2 .

Axes as in `cscl.losses.affinity`: V row of the map of keys, t tap row or tap column.
"""

from __future__ import annotations

from typing import Any

import torch
from numpy import empty, int64, sqrt
from numpy.typing import NDArray
from torch import Tensor, unflatten
from torch.autograd.function import once_differentiable

from cscl.compiling import compiled, in_bands

__all__ = ["by_loops"]

Array = NDArray[Any]


def by_loops(
    q_NHWA: Tensor, k_NVWA: Tensor, table_GCt: Tensor, dilation: int, above_px: int, epsilon: float | None
) -> Tensor:
    """Return s_NGkkHW; see `cscl.losses.blocks.by_blocks`."""
    # Products with the codes of all groups at once.
    table_AGt: Tensor = torch.block_diag(*table_GCt.unbind())  # type: ignore[no-untyped-call]
    coded = (x @ table_AGt for x in (q_NHWA, k_NVWA))
    square_Gt = table_GCt.square().sum(1)
    geometry = dilation, above_px, 0.0 if epsilon is None else epsilon
    s_NGkkHW: Tensor = _Windows.apply(q_NHWA, k_NVWA, *coded, square_Gt, geometry)  # type: ignore[no-untyped-call]
    return s_NGkkHW


class _Windows(torch.autograd.Function):
    """Similarities from queries, keys, their products with the codes, and the squares of the codes."""

    @staticmethod
    def forward(
        ctx: Any, q_NHWA: Tensor, k_NVWA: Tensor, qt_NHWt: Tensor, kt_NVWt: Tensor, square_Gt: Tensor,
        geometry: tuple[int, int, float],
    ) -> Tensor:  # fmt: skip
        q, k, *coded = (x.detach().contiguous() for x in (q_NHWA, k_NVWA, qt_NHWt, kt_NVWt, square_Gt))
        (items, height, width, _), (groups, taps) = q.shape, square_Gt.shape
        s_NGkkHW = q.new_empty(items, groups, taps // 2, taps // 2, height, width)
        inverse_NGkkHW = torch.empty_like(s_NGkkHW)
        length_NHWG = _squares(q, groups).sqrt_()
        _by_rows(_similarities, (q, k, *coded, length_NHWG, _squares(k, groups), geometry, s_NGkkHW, inverse_NGkkHW), q)
        ctx.save_for_backward(q, k, length_NHWG, s_NGkkHW, inverse_NGkkHW)
        ctx.geometry = geometry
        return s_NGkkHW

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad_NGkkHW: Tensor) -> tuple[Tensor | None, ...]:
        q, k, length_NHWG, s_NGkkHW, inverse_NGkkHW = ctx.saved_tensors
        (_, groups, window), geometry = s_NGkkHW.shape[:3], ctx.geometry
        by_product, by_square = torch.empty_like(s_NGkkHW), torch.empty_like(s_NGkkHW)
        grad_q, grad_k = torch.empty_like(q), torch.empty_like(k)
        grad_qt, grad_kt = (x.new_empty(*x.shape[:3], groups * 2 * window) for x in (q, k))
        given = q, k, length_NHWG, s_NGkkHW, inverse_NGkkHW, grad_NGkkHW.contiguous()
        _by_rows(_at_queries, (*given, geometry, by_product, by_square, grad_q, grad_qt), q)
        _by_rows(_at_keys, (q, k, by_product, by_square, geometry, grad_k, grad_kt), k)
        sides = (by_square.sum((0, other, 4, 5)) for other in (3, 2))
        return grad_q, grad_k, grad_qt, grad_kt, torch.cat(list(sides), dim=1), None


def _by_rows(loops: Any, arguments: tuple[Any, ...], map_NHWA: Tensor) -> None:
    """Run loops over all rows of a map's items."""
    arrays = tuple(x.numpy() if isinstance(x, Tensor) else x for x in arguments)
    in_bands(loops, arrays, map_NHWA.shape[0] * map_NHWA.shape[1], torch.get_num_threads())


def _squares(x_NHWA: Tensor, groups: int) -> Tensor:
    """Squared length of each group of channels."""
    x_NHWGC = unflatten(x_NHWA, -1, (groups, -1))
    square_NHWG: Tensor = torch.linalg.vecdot(x_NHWGC, x_NHWGC)
    return square_NHWG


@compiled
def _dot(one: Array, other: Array) -> Any:
    total = one.dtype.type(0)
    for c in range(len(one)):
        total += one[c] * other[c]
    return total


@compiled
def _gather(x: Array, part: slice, taps: Array, factors: Array, count: int, onto: Array) -> None:
    """Add up vectors of a map (row, column, channel) at the first `count` taps (row, column), four at a time."""
    fours = count - count % 4
    for t in range(0, fours, 4):
        one, two = x[taps[t, 0], taps[t, 1], part], x[taps[t + 1, 0], taps[t + 1, 1], part]
        three, four = x[taps[t + 2, 0], taps[t + 2, 1], part], x[taps[t + 3, 0], taps[t + 3, 1], part]
        for c in range(len(onto)):
            onto[c] += (
                factors[t] * one[c] + factors[t + 1] * two[c] + factors[t + 2] * three[c] + factors[t + 3] * four[c]
            )
    for t in range(fours, count):
        one = x[taps[t, 0], taps[t, 1], part]
        for c in range(len(onto)):
            onto[c] += factors[t] * one[c]


@compiled
def _similarities(
    q: Array, k: Array, qt: Array, kt: Array, codes: Array, length: Array, energy: Array,
    geometry: tuple[int, int, float], s: Array, inverse: Array, first: int, last: int,
) -> None:  # fmt: skip
    (_, groups, window, _, height, width), (dilation, above, epsilon) = s.shape, geometry
    channels, least, unit = q.shape[3] // groups, s.dtype.type(epsilon), s.dtype.type(1)
    for line in range(first, last):
        n, y = divmod(line, height)
        for g in range(groups):
            part, rows, columns = slice(g * channels, (g + 1) * channels), 2 * g * window, (2 * g + 1) * window
            for x in range(width):
                one, scale = q[n, y, x, part], unit / max(length[n, y, x, g], least) if epsilon else unit
                for a in range(window):
                    v = y + above + (a - window // 2) * dilation
                    for b in range(window):
                        u = x + (b - window // 2) * dilation
                        product = qt[n, y, x, rows + a] + qt[n, y, x, columns + b]
                        square = codes[g, a] + codes[g, window + b]
                        if 0 <= v < k.shape[1] and 0 <= u < width:
                            product += _dot(one, k[n, v, u, part])
                            square += energy[n, v, u, g] + 2 * (kt[n, v, u, rows + a] + kt[n, v, u, columns + b])
                        if epsilon:
                            shrink = unit / max(sqrt(max(square, 0 * unit)), least)
                            inverse[n, g, a, b, y, x] = shrink
                            product = min(max(product * scale * shrink, -unit), unit)
                        s[n, g, a, b, y, x] = product


@compiled
def _at_queries(
    q: Array, k: Array, length: Array, s: Array, inverse: Array, grad: Array, geometry: tuple[int, int, float],
    by_product: Array, by_square: Array, grad_q: Array, grad_qt: Array, first: int, last: int,
) -> None:  # fmt: skip
    (_, groups, window, _, height, width), (dilation, above, epsilon) = s.shape, geometry
    channels, least, unit = q.shape[3] // groups, s.dtype.type(epsilon), s.dtype.type(1)
    taps, factors = empty((window * window, 2), int64), empty(window * window, s.dtype)
    for line in range(first, last):
        n, y = divmod(line, height)
        grad_q[n, y] = 0
        grad_qt[n, y] = 0
        for g in range(groups):
            part, rows, columns = slice(g * channels, (g + 1) * channels), 2 * g * window, (2 * g + 1) * window
            for x in range(width):
                scale = unit / max(length[n, y, x, g], least) if epsilon else unit
                along, count = 0 * unit, 0
                for a in range(window):
                    v = y + above + (a - window // 2) * dilation
                    for b in range(window):
                        u = x + (b - window // 2) * dilation
                        at = n, g, a, b, y, x
                        slope, turn = grad[at], 0 * unit
                        if epsilon:
                            if abs(s[at]) >= 1:  # clamped
                                slope = 0 * unit
                            along += slope * s[at]
                            if inverse[at] * least < 1:
                                turn = -slope * s[at] * inverse[at] * inverse[at] / 2
                            slope *= scale * inverse[at]
                        by_product[at], by_square[at] = slope, turn
                        grad_qt[n, y, x, rows + a] += slope
                        grad_qt[n, y, x, columns + b] += slope
                        if slope != 0 and 0 <= v < k.shape[1] and 0 <= u < width:
                            taps[count, 0], taps[count, 1], factors[count] = v, u, slope
                            count += 1
                _gather(k[n], part, taps, factors, count, grad_q[n, y, x, part])
                if epsilon and length[n, y, x, g] > least:
                    grad_q[n, y, x, part] -= along * scale * scale * q[n, y, x, part]


@compiled
def _at_keys(
    q: Array, k: Array, by_product: Array, by_square: Array, geometry: tuple[int, int, float], grad_k: Array,
    grad_kt: Array, first: int, last: int,
) -> None:  # fmt: skip
    (_, groups, window, _, height, width), (dilation, above, _) = by_product.shape, geometry
    channels = k.shape[3] // groups
    taps, factors = empty((window * window, 2), int64), empty(window * window, k.dtype)
    for line in range(first, last):
        n, v = divmod(line, k.shape[1])
        grad_k[n, v] = 0
        grad_kt[n, v] = 0
        for g in range(groups):
            part, rows, columns = slice(g * channels, (g + 1) * channels), 2 * g * window, (2 * g + 1) * window
            for u in range(width):
                stretch, count = 0 * by_square.dtype.type(1), 0
                for a in range(window):
                    y = v - above - (a - window // 2) * dilation
                    for b in range(window):
                        x = u - (b - window // 2) * dilation
                        if 0 <= y < height and 0 <= x < width and by_product[n, g, a, b, y, x] != 0:
                            taps[count, 0], taps[count, 1], factors[count] = y, x, by_product[n, g, a, b, y, x]
                            count += 1
                            turn = 2 * by_square[n, g, a, b, y, x]
                            stretch += turn
                            grad_kt[n, v, u, rows + a] += turn
                            grad_kt[n, v, u, columns + b] += turn
                _gather(q[n], part, taps, factors, count, grad_k[n, v, u, part])
                grad_k[n, v, u, part] += stretch * k[n, v, u, part]
