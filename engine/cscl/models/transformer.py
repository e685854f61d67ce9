"""Transformer encoders: layers that normalise first, with attention to a whole sequence or to what lies near.

A. Vaswani et al., "Attention Is All You Need", NeurIPS 2017; norms first after R. Xiong et al., ICML 2020.
Attention is ``softmax_k(q . k / sqrt(C) + bias) v``. `Nearby` lets a cell of a grid look at the cells within a radius,
with a learned bias for each offset (Z. Liu et al., "Swin Transformer", ICCV 2021; A. Hassani et al., "Neighborhood
Attention Transformer", CVPR 2023), so that its answer does not depend on where a grid begins or how large it is.

Axes: B item, S sequence, L place in a sequence, G head, C feature, Q token, Y row and X column of a grid, N block,
q query and k key of a block.
"""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import Tensor, nn
from torch.nn.functional import pad, scaled_dot_product_attention

__all__ = ["Encoder", "Everywhere", "Nearby"]

MLP_RATIO = 4


class Everywhere(nn.Module):
    """Attention to all places of a sequence, or to those that a mask allows."""

    def forward(self, q_SGLC: Tensor, k_SGLC: Tensor, v_SGLC: Tensor, allowed_S11L: Tensor | None) -> Tensor:
        """Return the attended values, ``(S, G, L, C)``."""
        return scaled_dot_product_attention(q_SGLC, k_SGLC, v_SGLC, attn_mask=allowed_S11L)


class Nearby(nn.Module):
    """Attention of each cell to the seen cells within a square of `radius` cells around it, and to itself.

    Queries go by blocks of ``2 * radius`` cells a side, keys by those blocks and a margin, so time and memory grow
    with the number of cells, not with its square. What is too far is masked: where a block lies does not matter.

    Parameters
    ----------
    heads : int
        Number of heads, each with its own bias for each offset.
    radius : int
        Reach in cells.
    """

    offset_qk: Tensor
    near_qk: Tensor
    self_qk: Tensor

    def __init__(self, heads: int, radius: int) -> None:
        super().__init__()
        self.radius, self.block, self.reach = radius, 2 * radius, 4 * radius
        self.bias = nn.Parameter(torch.zeros(heads, (2 * radius + 1) ** 2))
        query, key = torch.arange(self.block) + radius, torch.arange(self.reach)
        step_qk = key - query[:, None]
        shape = (self.block, self.block, self.reach, self.reach)
        down_qk = step_qk[:, None, :, None].expand(shape).reshape(self.block**2, -1)
        right_qk = step_qk[None, :, None, :].expand(shape).reshape(self.block**2, -1)
        near_qk = torch.maximum(down_qk.abs(), right_qk.abs()) <= radius
        offset_qk = ((down_qk + radius) * (2 * radius + 1) + right_qk + radius) * near_qk
        self.register_buffer("offset_qk", offset_qk, persistent=False)
        self.register_buffer("near_qk", near_qk, persistent=False)
        self.register_buffer("self_qk", (down_qk == 0) & (right_qk == 0), persistent=False)

    def forward(self, q_SGLC: Tensor, k_SGLC: Tensor, v_SGLC: Tensor, seen_BYX: Tensor) -> Tensor:
        """Return the attended values, ``(S, G, L, C)``.

        Parameters
        ----------
        q_SGLC, k_SGLC, v_SGLC : Tensor
            Queries, keys and values. The sequences are the tokens of the first item, then of the second one, and so
            on; the places are cells, row by row.
        seen_BYX : Tensor
            bool, the cells that may be attended to.
        """
        items, rows, columns = seen_BYX.shape
        sides = (0, -columns % self.block, 0, -rows % self.block)
        margins = (self.radius, self.radius + sides[1], self.radius, self.radius + sides[3])
        grid = (items, -1, q_SGLC.shape[1], rows, columns, q_SGLC.shape[3])
        q_QNLC = self._cut(pad(q_SGLC.reshape(grid), (0, 0, *sides)), self.block)
        k_QNLC, v_QNLC = (self._cut(pad(part.reshape(grid), (0, 0, *margins)), self.reach) for part in (k_SGLC, v_SGLC))
        bias_1Nqk = self._bias(pad(seen_BYX, margins), q_SGLC)
        out_QNLC = scaled_dot_product_attention(q_QNLC, k_QNLC, v_QNLC, attn_mask=bias_1Nqk)
        down, right = (rows + sides[3]) // self.block, (columns + sides[1]) // self.block
        cut = (-1, items, down, right, q_SGLC.shape[1], self.block, self.block, q_SGLC.shape[3])
        out = out_QNLC.reshape(cut).permute(1, 0, 4, 2, 5, 3, 6, 7)  # B Q G down row right column C
        out = out.reshape(*q_SGLC.shape[:2], down * self.block, right * self.block, -1)
        return out[:, :, :rows, :columns].flatten(2, 3)

    def _cut(self, x_BQGYXC: Tensor, side: int) -> Tensor:
        """Cut into blocks of `side` cells, one every `block` cells; return ``(Q, B * blocks * G, side * side, C)``."""
        cut = x_BQGYXC.unfold(3, side, self.block).unfold(4, side, self.block)  # B Q G down right C row column
        cut = cut.permute(1, 0, 3, 4, 2, 6, 7, 5)
        return cut.reshape(cut.shape[0], -1, side * side, cut.shape[-1])

    def _bias(self, seen_BYX: Tensor, like: Tensor) -> Tensor:
        """Return what is added to the scores, ``(1, B * blocks * G, q, k)``: -inf for what is not attended to."""
        seen_BNk = seen_BYX.unfold(1, self.reach, self.block).unfold(2, self.reach, self.block)
        seen_BNk = seen_BNk.reshape(seen_BYX.shape[0], -1, self.reach**2)
        allowed_BNqk = self.self_qk | (self.near_qk & seen_BNk[:, :, None])
        bias_Gqk = self.bias[:, self.offset_qk].to(like.dtype)
        return bias_Gqk.masked_fill(~allowed_BNqk[:, :, None], float("-inf")).flatten(0, 2)[None]


class Layer(nn.Module):
    """Self-attention, then a perceptron at each place, each behind a norm and added to its input."""

    def __init__(self, width: int, heads: int, head_width: int, attend: nn.Module) -> None:
        super().__init__()
        self.heads, self.attend = heads, attend
        self.norm_attention, self.norm_mlp = nn.LayerNorm(width), nn.LayerNorm(width)
        self.project = nn.Linear(width, 3 * heads * head_width, bias=False)
        self.join = nn.Linear(heads * head_width, width)
        self.mlp = nn.Sequential(nn.Linear(width, MLP_RATIO * width), nn.GELU(), nn.Linear(MLP_RATIO * width, width))

    def forward(self, x_SLC: Tensor, allowed: Tensor | None) -> Tensor:
        """Return ``(S, L, C)``."""
        parts = self.project(self.norm_attention(x_SLC)).reshape(*x_SLC.shape[:2], 3, self.heads, -1)
        q_SGLC, k_SGLC, v_SGLC = parts.permute(2, 0, 3, 1, 4)
        x_SLC = x_SLC + self.join(self.attend(q_SGLC, k_SGLC, v_SGLC, allowed).transpose(1, 2).flatten(2))
        out_SLC: Tensor = x_SLC + self.mlp(self.norm_mlp(x_SLC))
        return out_SLC


class Encoder(nn.Module):
    """Layers of self-attention, then a norm.

    Parameters
    ----------
    width, heads, head_width : int
        Features of a place, number of heads, and features of a head.
    attends : iterable of nn.Module
        The attention of each layer: `Everywhere` or `Nearby`.
    """

    def __init__(self, width: int, heads: int, head_width: int, attends: Iterable[nn.Module]) -> None:
        super().__init__()
        self.layers = nn.ModuleList(Layer(width, heads, head_width, attend) for attend in attends)
        self.norm = nn.LayerNorm(width)

    def forward(self, x_SLC: Tensor, allowed: Tensor | None) -> Tensor:
        """Return ``(S, L, C)``; `allowed` is what the attention may look at, in the form that it wants."""
        for layer in self.layers:
            x_SLC = layer(x_SLC, allowed)
        out_SLC: Tensor = self.norm(x_SLC)
        return out_SLC
