"""The linear loss without position codes, by running sums: its cost hardly depends on the window.

All pairs of a side count the same then. With unit queries and keys, what their sums need of a pixel's window is

    S = sum of the keys of the pixel's own class or parcel ,    T = sum of those of all others ,

and both follow the window over the map: a row comes in below as one goes out above, in sums of columns; a column comes
in as one goes out, in sums of windows. There is a sum for each class that is there, which are few. The gradient of the
keys is of the same form, with sums of queries.

Axes as in `cscl.losses.affinity`; U row of the map that is summed, L item and row.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import torch
from numpy import empty, int64, sqrt, zeros
from numpy.typing import NDArray
from torch import Tensor
from torch.autograd.function import once_differentiable

from cscl.compiling import compiled, in_bands, inlined

from .sweep import scaled

__all__ = ["Boxes", "box_sums"]

Array = NDArray[Any]


class Boxes(NamedTuple):
    """Windows of a strip, and what a similarity in them adds to the loss."""

    window: int
    dilation: int
    above_px: int
    groups: int
    epsilon: float  # least norm that is divided by; 0 for plain products
    centre: bool  # whether a pixel makes a pair with itself, and one that is unlike with what lies off the map
    alike: float  # what a pair of each side adds to the loss by its similarity
    unlike: float


def box_sums(q_NHWA: Tensor, k_NVWA: Tensor, class_NHW: Tensor, class_NVW: Tensor, boxes: Boxes) -> Tensor:
    """Loss, and sums of similarities over the pairs that are alike and over those that are unlike: (3,), float64.

    Only the loss can be differentiated. Classes or parcels are int64, negative where unknown.
    """
    sums: Tensor = _BoxSums.apply(q_NHWA, k_NVWA, class_NHW, class_NVW, boxes)  # type: ignore[no-untyped-call]
    return sums


class _BoxSums(torch.autograd.Function):
    """Follows the windows over the keys on the way forward, over the queries on the way back."""

    @staticmethod
    def forward(ctx: Any, *given: Any) -> Tensor:
        *maps, class_NHW, class_NVW, boxes = given
        (q, q_scale), (k, k_scale) = (_units(x.detach(), boxes) for x in maps)
        grad_q, sums_L2 = _follow(k, class_NVW, q, class_NHW, boxes.above_px, boxes)
        ctx.save_for_backward(q, q_scale, k, k_scale, class_NHW, class_NVW, grad_q)
        ctx.boxes = boxes
        alike, unlike = sums_L2.sum(0)
        return torch.stack([boxes.alike * alike + boxes.unlike * unlike, alike, unlike])

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad_3: Tensor) -> tuple[Tensor | None, ...]:
        q, q_scale, k, k_scale, class_NHW, class_NVW, grad_q = ctx.saved_tensors
        grad_k, _ = _follow(q, class_NHW, k, class_NVW, -ctx.boxes.above_px, ctx.boxes)
        for unit, scale, grad in ((q, q_scale, grad_q), (k, k_scale, grad_k)):
            _by_rows(_before_units, (unit, scale, ctx.boxes.epsilon, grad), unit)
        return *(scaled(grad, grad_3[0]) for grad in (grad_q, grad_k)), None, None, None


def _units(x_NUWA: Tensor, boxes: Boxes) -> tuple[Tensor, Tensor]:
    """Bring each group of channels to length 1, and say by what each was scaled, axes NUWG."""
    x_NUWA = x_NUWA.contiguous()
    unit_NUWA, scale_NUWG = torch.empty_like(x_NUWA), x_NUWA.new_empty(*x_NUWA.shape[:3], boxes.groups)
    _by_rows(_to_units, (x_NUWA, boxes.epsilon, unit_NUWA, scale_NUWG), x_NUWA)
    return unit_NUWA, scale_NUWG


def _follow(
    x_NUWA: Tensor, class_NUW: Tensor, own_NHWA: Tensor, own_class_NHW: Tensor, offset_px: int, boxes: Boxes
) -> tuple[Tensor, Tensor]:
    """Return the gradient of the pixels' own vectors, and sums of similarities by line (item and row) and side."""
    grad_NHWA, sums_L2 = torch.empty_like(own_NHWA), torch.zeros(own_NHWA.shape[0] * own_NHWA.shape[1], 2).double()
    classes = (x.contiguous() for x in (class_NUW, own_class_NHW))
    class_NUW, own_class_NHW = classes
    vectors = (x_NUWA.flatten(0, 2), class_NUW, own_NHWA.flatten(0, 2), own_class_NHW)
    _by_rows(_follow_windows, (*vectors, offset_px, tuple(boxes), grad_NHWA.flatten(0, 2), sums_L2), own_NHWA)
    return grad_NHWA, sums_L2


def _by_rows(loops: Any, arguments: tuple[Any, ...], map_NHWA: Tensor) -> None:
    arrays = tuple(x.numpy() if isinstance(x, Tensor) else x for x in arguments)
    in_bands(loops, arrays, map_NHWA.shape[0] * map_NHWA.shape[1], torch.get_num_threads())


@compiled
def _to_units(x: Array, epsilon: float, unit: Array, scale: Array, first: int, last: int) -> None:
    groups = scale.shape[3]
    channels, one = x.shape[3] // groups, x.dtype.type(1)
    for line in range(first, last):
        n, u = divmod(line, x.shape[1])
        for w in range(x.shape[2]):
            for g in range(groups):
                given, made = x[n, u, w, g * channels : (g + 1) * channels], unit[n, u, w]
                square = 0 * one
                for c in range(channels):
                    square += given[c] * given[c]
                by = one / max(sqrt(square), x.dtype.type(epsilon)) if epsilon else one
                scale[n, u, w, g] = by
                for c in range(channels):
                    made[g * channels + c] = by * given[c]


@compiled
def _before_units(unit: Array, scale: Array, epsilon: float, grad: Array, first: int, last: int) -> None:
    """Turn the gradient of unit vectors into that of those they were made of, in place."""
    groups = scale.shape[3]
    channels, one = unit.shape[3] // groups, unit.dtype.type(1)
    for line in range(first, last):
        n, u = divmod(line, unit.shape[1])
        for w in range(unit.shape[2]):
            for g in range(groups):
                part = slice(g * channels, (g + 1) * channels)
                given, here, by = unit[n, u, w, part], grad[n, u, w, part], scale[n, u, w, g]
                along = 0 * one
                if epsilon and by * epsilon < 1:
                    for c in range(channels):
                        along += given[c] * here[c]
                for c in range(channels):
                    here[c] = by * (here[c] - along * given[c])


# Below, functions are given whole arrays and places in them, since a view of an array costs more than a short sum. Sums
# are kept at places (columns of the map, or the one window), a few at each: `used` says how many, `kinds` of what
# class and `counts` of how many vectors each is.


@inlined
def _find(kinds: Array, used: Array, place: int, kind: int) -> int:
    """Return the number of the sum of a class at a place; one more than there are if it has none."""
    k = 0
    while k < used[place] and kinds[place, k] != kind:
        k += 1
    return k


@inlined
def _change(
    kinds: Array, counts: Array, used: Array, sums: Array, place: int, kind: int, by: int, x: Array, at: int
) -> None:
    """Add a vector, which stands for so many, to the sum of a class, or take it from it; an empty sum goes."""
    k = _find(kinds, used, place, kind)
    if k == used[place]:
        kinds[place, k], counts[place, k] = kind, 0
        used[place] += 1
        for c in range(x.shape[1]):
            sums[place, k, c] = 0
    counts[place, k] += by
    sign = x.dtype.type(1 if by > 0 else -1)
    for c in range(x.shape[1]):
        sums[place, k, c] += sign * x[at, c]
    if counts[place, k] == 0:
        used[place] -= 1
        last = used[place]
        kinds[place, k], counts[place, k] = kinds[place, last], counts[place, last]
        for c in range(x.shape[1]):
            sums[place, k, c] = sums[place, last, c]


@inlined
def _at_pixel(
    own: Array, grad: Array, at: int, sums: Array, used: int, same: int, x: Array, but: int, boxes: Any
) -> tuple[float, float]:
    """Set the gradient of a pixel's vector, and return its similarities summed over the alike and the unlike."""
    f_alike, f_unlike = x.dtype.type(boxes[6]), x.dtype.type(boxes[7])
    alike, unlike, kept = x.dtype.type(0), x.dtype.type(0), x.dtype.type(0 if but < 0 else 1)
    but = max(but, 0)
    for c in range(own.shape[1]):
        grad[at, c] = 0
    for k in range(used):
        if k != same:
            for c in range(own.shape[1]):
                grad[at, c] += sums[0, k, c]
    for c in range(own.shape[1]):
        s, t = sums[0, same, c] - kept * x[but, c], grad[at, c]
        alike += own[at, c] * s
        unlike += own[at, c] * t
        grad[at, c] = f_alike * s + f_unlike * t
    return alike, unlike


@compiled
def _empty_sums(places: int, most: int, x: Array) -> tuple[Array, Array, Array, Array]:
    return (
        zeros((places, most), int64), zeros((places, most), int64), zeros(places, int64),
        empty((places, most, x.shape[1]), x.dtype),
    )  # fmt: skip


@compiled
def _follow_windows(
    x: Array, classes: Array, own: Array, own_classes: Array, offset: int, boxes: Any, grad: Array, totals: Array,
    first: int, last: int,
) -> None:  # fmt: skip
    window, dilation = boxes[0], boxes[1]
    (items, rows, width), (_, height, _), reach = classes.shape, own_classes.shape, window // 2 * dilation
    columns, here = _empty_sums(width, window + 1, x), _empty_sums(1, window * window + 2, x)
    kinds, counts, used, sums = columns
    sums_2d = sums.reshape(-1, x.shape[1])
    for n in range(items):
        top, bottom = max(first - n * height, 0), min(last - n * height, height)
        for start in range(top, min(top + dilation, bottom)):
            used[:] = 0
            for y in range(start, bottom, dilation):
                begun, middle = y > start, y + offset
                for u in range(middle - reach - (dilation if begun else 0), middle + reach + 1, dilation):
                    if not 0 <= u < rows or (begun and middle - reach <= u < middle + reach):
                        continue
                    by = -1 if u < middle - reach else 1
                    for w in range(width):
                        if classes[n, u, w] >= 0:
                            at = (n * rows + u) * width + w
                            _change(kinds, counts, used, sums, w, classes[n, u, w], by, x, at)
                for phase in range(dilation):
                    here[2][0] = 0
                    for v in range(phase, width, dilation):
                        begun = v > phase
                        for u in range(v - reach - (dilation if begun else 0), v + reach + 1, dilation):
                            if not 0 <= u < width or (begun and v - reach <= u < v + reach):
                                continue
                            for k in range(used[u]):
                                by = -counts[u, k] if u < v - reach else counts[u, k]
                                _change(*here, 0, kinds[u, k], by, sums_2d, u * (window + 1) + k)
                        at = (n * height + y) * width + v
                        if own_classes[n, y, v] < 0:
                            for c in range(x.shape[1]):
                                grad[at, c] = 0
                            continue
                        none = here[2][0]  # what a class that is not there is found at
                        for c in range(x.shape[1]):
                            here[3][0, none, c] = 0
                        same = _find(here[0], here[2], 0, own_classes[n, y, v])
                        but = -1 if boxes[5] or not 0 <= middle < rows else (n * rows + middle) * width + v
                        alike, unlike = _at_pixel(own, grad, at, here[3], none, same, x, but, boxes)
                        totals[n * height + y, 0] += alike
                        totals[n * height + y, 1] += unlike
