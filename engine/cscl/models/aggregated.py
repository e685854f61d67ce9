"""Attention to the neighbours before the classifier, weighed by the affinity that contrastive pre-training learns.

    a_i = e_i + sum_t softmax_t(s[i, t]) V e_(i+t)

over the taps t of the window that lie inside the map, where s is the context self-similarity of `cscl.losses.affinity`
and V a 1 x 1 projection (the last stage of the published code of Tarasiou, Güler and Zafeiriou 2022, IEEE TGRS 60,
which reports no result of it). V begins as zero, so that a network starts as the one that it would be without.

Beyond the published form, a learned scale multiplies the similarities; it begins as 1. Cosines alone can weigh a tap at
most e^2 = 7.4 times as much as another.

Axes: B item, D embedding, H row, W column, k row or column of the window.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TypeVar

import torch
from torch import Tensor, nn
from torch.nn.functional import pad

from cscl.losses.affinity import EPSILON
from cscl.losses.cscl import CSCLHead, CSCLOptions

from . import Network, written_down

__all__ = ["Attend", "aggregated", "tap_by_tap", "window_mean"]

N = TypeVar("N", bound=Network)


class Attend(nn.Module):
    """Add to each pixel's embedding what its neighbours hold, as far as they are alike.

    Parameters
    ----------
    options : CSCLOptions
        Of the head. Its first scale is the one attended to, and every pixel has its window whatever the stride.
    width : int
        Channels D of the embedding.
    """

    def __init__(self, options: CSCLOptions, width: int) -> None:
        super().__init__()
        self.options = replace(options, stride=1, more_dilations=None, more_windows=None)
        self.head = CSCLHead(self.options, width)
        self.value = nn.Conv2d(width, width, 1, bias=False)
        nn.init.zeros_(self.value.weight)
        self.log_scale = nn.Parameter(torch.zeros(()))

    def forward(self, embedding_BDHW: Tensor) -> Tensor:
        """Return the attended embedding, of the same shape."""
        affinity = tap_by_tap(self.head, embedding_BDHW) if written_down() else self.head.affinity(embedding_BDHW)
        s_BkkHW = affinity * self.log_scale.exp()
        return embedding_BDHW + window_mean(self.value(embedding_BDHW), s_BkkHW, self.options.dilation)


def tap_by_tap(head: CSCLHead, embedding_BDHW: Tensor) -> Tensor:
    """Return what ``head.affinity`` does for a head without stride, by its definition, for a map of any size.

    Slower than that, whose blocks are cut to the size of the map.
    """
    options, q_BAHW, k_BAHW = head.options, head.query(embedding_BDHW), head.key(embedding_BDHW)
    (row_Ak, col_Ak), (items, _, height, width) = head.codes[0], q_BAHW.shape
    window, dilation = options.window, options.dilation
    around_BAHW = pad(k_BAHW, (window // 2 * dilation,) * 4)
    grouped = (items, options.groups, -1, height, width)
    q_BGCHW, found = q_BAHW.reshape(grouped), []
    for row, col in [(row, col) for row in range(window) for col in range(window)]:
        rows, cols = (slice(tap * dilation, tap * dilation + n) for tap, n in ((row, height), (col, width)))
        code_A11 = torch.cat([row_Ak[:, row], col_Ak[:, col]])[:, None, None]
        key_BGCHW = (around_BAHW[:, :, rows, cols] + code_A11).reshape(grouped)
        s_BGHW = (q_BGCHW * key_BGCHW).sum(dim=2)
        if options.normalise:
            s_BGHW = s_BGHW / (_length(q_BGCHW) * _length(key_BGCHW))
        found.append(s_BGHW.sum(dim=1))
    return torch.stack(found, dim=1).reshape(items, window, window, height, width)


def _length(x_BGCHW: Tensor) -> Tensor:
    length_BGHW: Tensor = torch.linalg.vector_norm(x_BGCHW, dim=2)
    return length_BGHW.clamp_min(EPSILON)


def window_mean(x_BCHW: Tensor, s_BkkHW: Tensor, dilation: int = 1) -> Tensor:
    """Average a map over each pixel's window, weighed by the softmax of similarities.

    Parameters
    ----------
    x_BCHW : Tensor
        What is averaged.
    s_BkkHW : Tensor
        Similarities, axes (item, tap row, tap column, row, column); taps outside the map take no part.
    dilation : int
        Pixels between neighbouring taps.

    Returns
    -------
    Tensor
        Like `x_BCHW`. Memory for k * k copies of the map is never taken.
    """
    window, (height, width) = s_BkkHW.shape[1], x_BCHW.shape[2:]
    reach_px = window // 2 * dilation
    inside = pad(torch.ones_like(s_BkkHW[:1, 0, 0], dtype=torch.bool), (reach_px,) * 4)
    around_BCHW = pad(x_BCHW, (reach_px,) * 4)
    taps = [
        (slice(row * dilation, row * dilation + height), slice(col * dilation, col * dilation + width))
        for row in range(window)
        for col in range(window)
    ]
    here_1tHW = torch.stack([inside[:, rows, cols] for rows, cols in taps], 1)
    weight_BtHW = s_BkkHW.flatten(1, 2).masked_fill(~here_1tHW, -torch.inf).softmax(1).type(x_BCHW.dtype)
    mean_BCHW = torch.zeros_like(x_BCHW)
    for tap, (rows, cols) in enumerate(taps):
        mean_BCHW = mean_BCHW + weight_BtHW[:, tap, None] * around_BCHW[:, :, rows, cols]
    return mean_BCHW


def aggregated(network: N, options: CSCLOptions) -> N:
    """Let the classifier of a network read attended embeddings; the network is changed in place.

    The neighbours are those of the embedding, whose pixels are finer than those of the images once `upsampled` made
    them so.

    Parameters
    ----------
    network : Network
        Any network whose ``forward`` ends with ``answer``.
    options : CSCLOptions
        Of the head whose affinity is used.
    """
    network.attend = Attend(options, network.embedding_width)
    network.decoder = (*network.decoder, "attend")
    reach_px = -(-(options.window // 2 * options.dilation) // network.needs.finer)  # in pixels of the images
    network.needs = replace(network.needs, margin_px=network.needs.margin_px + reach_px)
    return network
