"""The window of one pixel: how alike its neighbours are, as the contrastive loss saw it or by plain cosine.

`cscl.losses.affinity` computes all pixels of a map at once. A click asks for one pixel, and an answer at once: the same
formula, written out for the taps of a single window.

Axes: D embedding, A attention channel, G group, C channel of a group, k row or column of the window.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cscl.card import ModelCard
from cscl.data.network import load_weights
from cscl.grid import Window
from cscl.losses.affinity import EPSILON
from cscl.losses.cscl import CSCLOptions
from cscl.recipe import build

from .similarity import Overview

__all__ = ["WindowHead", "affinity_at", "cosine_at"]


@dataclass(frozen=True, eq=False)
class WindowHead:
    """The contrastive head of a model: projections to query and key, codes of the taps, and the window's geometry.

    Parameters
    ----------
    query_AD, key_AD : ndarray
        Projections, float32.
    code_Akk : ndarray
        Codes of the taps, float32.
    options : CSCLOptions
        Of the loss that made it.
    echo : bool
        Whether the network was trained further without this head: what it sees in the embedding then is an echo.
    """

    query_AD: NDArray[np.float32] = field(repr=False)
    key_AD: NDArray[np.float32] = field(repr=False)
    code_Akk: NDArray[np.float32] = field(repr=False)
    options: CSCLOptions
    echo: bool = False

    @classmethod
    def open(cls, model: str | Path) -> WindowHead | None:
        """Read the head of a model folder; None if it holds none, or one of another loss.

        Raises
        ------
        MissingError, InputError
            If it is not a model folder, or is damaged.
        """
        card = ModelCard.open(model)
        if card.head is None or card.head["loss"]["name"] != "cscl":
            return None
        plain = {key: value for key, value in card.head["loss"].items() if key != "name"}
        options = build(CSCLOptions, plain, f"the options of the head of {model}")
        weights = {k: v.numpy() for k, v in load_weights(Path(model) / "head.safetensors").items()}
        row_Ak, col_Ak = weights["head.row_Ak"], weights["head.col_Ak"]
        taps = options.window
        code_Akk = np.concatenate([np.repeat(row_Ak[:, :, None], taps, 2), np.repeat(col_Ak[:, None, :], taps, 1)])
        query_AD, key_AD = (weights[f"head.{name}.weight"][:, :, 0, 0] for name in ("query", "key"))
        return cls(query_AD, key_AD, code_Akk, options, not card.knows_affinity)


def affinity_at(seen: Overview, row: int, col: int, head: WindowHead) -> NDArray[np.float32]:
    """Similarity of a pixel to its window as the contrastive loss saw it: what `cscl.inference.embed.affinity` gives.

    Returns
    -------
    ndarray
        Axes (y, x), float32: the window with the pixel in the middle, (k - 1) * dilation + 1 pixels across. NaN outside
        the map, where there is no embedding, and between the taps of a dilated window.
    """
    options = head.options
    taps_kkD = _taps(seen, row, col, options.window, options.dilation)
    middle = options.window // 2
    query_GC = (head.query_AD @ taps_kkD[middle, middle]).reshape(options.groups, -1)
    key_kkA = taps_kkD @ head.key_AD.T + np.moveaxis(head.code_Akk, 0, -1)
    key_kkGC = key_kkA.reshape(*key_kkA.shape[:2], *query_GC.shape)
    if options.normalise:
        query_GC, key_kkGC = _of_length_1(query_GC), _of_length_1(key_kkGC)
    return _spread((query_GC * key_kkGC).sum((-2, -1)), options.dilation)


def cosine_at(seen: Overview, row: int, col: int, window: int = 3, dilation: int = 1) -> NDArray[np.float32]:
    """Cosine of a pixel's embedding with those of its window; axes and NaN as in `affinity_at`."""
    taps_kkD = _taps(seen, row, col, window, dilation)
    unit_kkD = _of_length_1(taps_kkD)
    return _spread(unit_kkD @ unit_kkD[window // 2, window // 2], dilation)


def _taps(seen: Overview, row: int, col: int, window: int, dilation: int) -> NDArray[np.float32]:
    """Embedding at the taps of a window, NaN outside the map, axes (k, k, D)."""
    reach = window // 2 * dilation
    inside = Window(row, col, 1, 1).grown(reach, seen.shape)
    around = np.full((2 * reach + 1, 2 * reach + 1, seen.values_YXD.shape[-1]), np.nan, np.float32)
    place = inside.within(Window(row - reach, col - reach, *around.shape[:2]))
    around[place.slices] = seen.vectors(inside)
    return around[::dilation, ::dilation]


def _spread(values_kk: NDArray[Any], dilation: int) -> NDArray[np.float32]:
    extent = (len(values_kk) - 1) * dilation + 1
    out = np.full((extent, extent), np.nan, np.float32)
    out[::dilation, ::dilation] = values_kk
    return out


def _of_length_1(vectors: NDArray[np.float32]) -> NDArray[np.float32]:
    return np.asarray(vectors / np.maximum(np.linalg.norm(vectors, axis=-1, keepdims=True), EPSILON), np.float32)
