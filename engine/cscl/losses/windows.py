"""Similarities of windows and their gradients in compiled loops: what `cscl.losses.blocks` does, without its waste.

Similarities are made at the queries; on the way back the gradient of the queries is gathered from the keys of their
windows, and then that of the keys from the queries that reach them. Where the loss is linear in the similarities, the
gradient of each is known before it is made, and the similarities of one row are all that there ever is of them. The
loops are in `cscl.losses.kernels`.

Axes as in `cscl.losses.affinity`: V row of the map of keys, t tap row or tap column, P pixel of any item.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import torch
from torch import Tensor, unflatten
from torch.autograd.function import once_differentiable

from cscl.compiling import in_bands

from . import kernels
from .boxes import Boxes
from .sweep import scaled

__all__ = ["by_loops", "window_sums"]


def by_loops(
    q_NHWA: Tensor, k_NVWA: Tensor, table_GCt: Tensor, dilation: int, above_px: int, epsilon: float | None
) -> Tensor:
    """Return s_NGkkHW; see `cscl.losses.blocks.by_blocks`."""
    geometry = dilation, above_px, 0.0 if epsilon is None else epsilon
    s_NGkkHW: Tensor = _Windows.apply(q_NHWA, k_NVWA, table_GCt, geometry)  # type: ignore[no-untyped-call]
    return s_NGkkHW


def window_sums(
    q_NHWA: Tensor, k_NVWA: Tensor, class_NHW: Tensor, class_NVW: Tensor, boxes: Boxes, table_GCt: Tensor
) -> Tensor:
    """Loss, and sums of similarities over the pairs that are alike and over those that are unlike: (3,), float64.

    As `cscl.losses.boxes.box_sums`, with position codes.
    """
    given = q_NHWA, k_NVWA, table_GCt, class_NHW, class_NVW, boxes
    sums: Tensor = _LinearWindows.apply(*given)  # type: ignore[no-untyped-call]
    return sums


class _Windows(torch.autograd.Function):
    """Similarities, kept for the way back."""

    @staticmethod
    def forward(
        ctx: Any, q_NHWA: Tensor, k_NVWA: Tensor, table_GCt: Tensor, geometry: tuple[int, int, float]
    ) -> Tensor:
        maps, groups, window = _Maps.of(q_NHWA, k_NVWA, table_GCt), table_GCt.shape[0], table_GCt.shape[2] // 2
        s_NHGkkW = q_NHWA.new_empty(*q_NHWA.shape[:2], groups, window, window, q_NHWA.shape[2])
        inverse_NHGkkW = torch.empty_like(s_NHGkkW)
        _by_rows(kernels.similarities, *maps, geometry, s_NHGkkW, inverse_NHGkkW)
        ctx.save_for_backward(*maps, table_GCt, s_NHGkkW, inverse_NHGkkW)
        ctx.geometry = geometry
        return s_NHGkkW.movedim(1, 4)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad_NGkkHW: Tensor) -> tuple[Tensor | None, ...]:
        *tensors, table_GCt, s_NHGkkW, inverse_NHGkkW = ctx.saved_tensors
        maps = _Maps(*tensors)
        room = maps.room(s_NHGkkW.shape[3])
        similar = s_NHGkkW, inverse_NHGkkW, grad_NGkkHW.movedim(4, 1).contiguous()
        _by_rows(kernels.at_queries, maps.q_NHWA, maps.k_NVWA, maps.length_GNHW, *similar, ctx.geometry, *room)
        return *maps.gradients(table_GCt, ctx.geometry, *room), None


class _LinearWindows(torch.autograd.Function):
    """Sums of similarities, and their gradients with them."""

    @staticmethod
    def forward(ctx: Any, *given: Any) -> Tensor:
        q_NHWA, k_NVWA, table_GCt, class_NHW, class_NVW, boxes = given
        maps, geometry = _Maps.of(q_NHWA, k_NVWA, table_GCt), (boxes.dilation, boxes.above_px, boxes.epsilon)
        room, learns = maps.room(boxes.window), any(ctx.needs_input_grad)
        classes, sums_NH2 = (class_NHW.contiguous(), class_NVW.contiguous()), torch.zeros(*q_NHWA.shape[:2], 2).double()
        _by_rows(kernels.linear, *maps, geometry, *classes, tuple(boxes), sums_NH2, learns, *room)
        if learns:
            ctx.save_for_backward(*maps.gradients(table_GCt, geometry, *room))
        alike, unlike = sums_NH2.sum((0, 1))
        return torch.stack([boxes.alike * alike + boxes.unlike * unlike, alike, unlike])

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad_3: Tensor) -> tuple[Tensor | None, ...]:
        return *(scaled(gradient, grad_3[0]) for gradient in ctx.saved_tensors), None, None, None


class _Maps(NamedTuple):
    """What the similarities of a strip are made of. Products with the codes lie tap by tap."""

    q_NHWA: Tensor
    k_NVWA: Tensor
    qt_GtNHW: Tensor
    kt_GtNVW: Tensor
    codes_Gt: Tensor  # squares
    length_GNHW: Tensor  # of queries
    energy_GNVW: Tensor  # squares of keys

    @classmethod
    def of(cls, q_NHWA: Tensor, k_NVWA: Tensor, table_GCt: Tensor) -> _Maps:
        q_NHWA, k_NVWA = q_NHWA.detach().contiguous(), k_NVWA.detach().contiguous()
        (qt_GtNHW, energy_GNHW), (kt_GtNVW, energy_GNVW) = (_coded(x, table_GCt) for x in (q_NHWA, k_NVWA))
        codes_Gt = table_GCt.square().sum(1)
        return cls(q_NHWA, k_NVWA, qt_GtNHW, kt_GtNVW, codes_Gt, energy_GNHW.sqrt_(), energy_GNVW)

    def room(self, window: int) -> tuple[Tensor, ...]:
        """Make room for gradients: of all products and squares, of queries, and of their products with the codes."""
        (items, height, width, _), groups = self.q_NHWA.shape, len(self.codes_Gt)
        by_product_NHGkkW = self.q_NHWA.new_empty(items, height, groups, window, window, width)
        return by_product_NHGkkW, *(torch.empty_like(x) for x in (by_product_NHGkkW, self.q_NHWA, self.qt_GtNHW))

    def gradients(
        self, table_GCt: Tensor, geometry: tuple[int, int, float], by_product: Tensor, by_square: Tensor,
        grad_q: Tensor, grad_qt: Tensor,
    ) -> tuple[Tensor, Tensor, Tensor]:  # fmt: skip
        """Return the gradients of queries, keys and codes; those at the queries are there already."""
        grad_k, grad_kt = torch.empty_like(self.k_NVWA), torch.empty_like(self.kt_GtNVW)
        _by_rows(kernels.at_keys, self.k_NVWA, self.q_NHWA, by_product, by_square, geometry, grad_k, grad_kt)
        sides = [by_square.sum((0, 1, other, 5)) for other in (4, 3)]
        grad_GCt = 2 * table_GCt * torch.cat(sides, dim=1)[:, None]
        for x, grad, by_code in ((self.q_NHWA, grad_q, grad_qt), (self.k_NVWA, grad_k, grad_kt)):
            by_code_GtP = by_code.flatten(2)
            grad_GCt += (by_code_GtP @ _by_group(x, len(table_GCt))).mT
            _by_group(grad, len(table_GCt)).baddbmm_(by_code_GtP.mT, table_GCt.mT)
        return grad_q, grad_k, grad_GCt


def _coded(x_NHWA: Tensor, table_GCt: Tensor) -> tuple[Tensor, Tensor]:
    """Return products with the codes, and squared lengths."""
    size, groups = x_NHWA.shape[:3], len(table_GCt)
    energy_GNHW = x_NHWA.new_empty(groups, *size)
    _by_rows(kernels.energies, x_NHWA, energy_GNHW)
    return unflatten(table_GCt.mT @ _by_group(x_NHWA, groups).mT, 2, size), energy_GNHW


def _by_group(x_NHWA: Tensor, groups: int) -> Tensor:
    """View the vectors of each group of channels: axes GPC, P pixel."""
    return unflatten(x_NHWA.flatten(0, 2), 1, (groups, -1)).transpose(0, 1)


def _by_rows(loops: Any, map_NHWA: Tensor, *others: Any) -> None:
    """Run loops over all rows of the items of a map."""
    arrays = tuple(x.numpy() if isinstance(x, Tensor) else x for x in (map_NHWA, *others))
    in_bands(loops, arrays, map_NHWA.shape[0] * map_NHWA.shape[1], torch.get_num_threads())
