"""Vectors of neighbouring or of all pixels compared: by compiled loops, or without numba by NumPy and torch.

Both ways give the same but for the last digit of float32. Vectors are taken as they are stored, float16 or float32.

Axes: N pixels, Y and X rows and columns, D features.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from cscl.compiling import module

__all__ = ["edges_between", "one_over_length", "products"]

KERNELS = "cscl.inference.pixel_kernels"
STRIP_BYTES = 2_000_000  # of float32, so that a strip stays close to the core
BLOCK_PX = 64
LEAST = np.float32(1e-12)


def products(
    values_YXD: NDArray[Any], scale_YX: NDArray[np.float32], vector_D: NDArray[np.float32], out_YX: NDArray[np.float32]
) -> None:
    """Fill `out_YX` with the product of each pixel's vector and `vector_D`, times `scale_YX`.

    Parameters
    ----------
    values_YXD : ndarray
        float16 or float32, contiguous.
    scale_YX, out_YX : ndarray
        float32, contiguous.
    vector_D : ndarray
        float32.
    """
    values_ND, scale_N, out_N = values_YXD.reshape(-1, len(vector_D)), scale_YX.reshape(-1), out_YX.reshape(-1)
    vector_D = np.ascontiguousarray(vector_D, np.float32)
    if (loops := module(KERNELS)) is not None:
        loops.similarity(_stored(values_ND), scale_N, vector_D, out_N)
        return
    for first, strip_ND in _strips(values_ND):
        np.dot(strip_ND, vector_D, out=out_N[first : first + len(strip_ND)])
    out_N *= scale_N


def one_over_length(values_YXD: NDArray[Any]) -> NDArray[np.float32]:
    """One over the length of each pixel's vector, axes (y, x), float32; NaN where it is 0 or not finite."""
    values_ND = np.ascontiguousarray(values_YXD).reshape(-1, values_YXD.shape[-1])
    square_N = np.empty(len(values_ND), np.float32)
    for first, strip_ND in _strips(values_ND):
        np.einsum("nd,nd->n", strip_ND, strip_ND, out=square_N[first : first + len(strip_ND)])
    square_N[~((square_N > 0) & (square_N < np.inf))] = np.nan
    return np.asarray(1 / np.sqrt(square_N), np.float32).reshape(values_YXD.shape[:2])


def edges_between(values_YXD: NDArray[Any]) -> NDArray[np.float32]:
    """One minus the mean cosine of each pixel with its 8 neighbours, those of finite vectors.

    Parameters
    ----------
    values_YXD : ndarray
        float16 or float32.

    Returns
    -------
    ndarray
        Axes (y, x), float32, in [0, 2]; NaN where the vector is not finite, or no neighbour's is.
    """
    out = np.empty(values_YXD.shape[:2], np.float32)
    if (loops := module(KERNELS)) is not None:
        loops.edges(_stored(np.ascontiguousarray(values_YXD)), out)
        return out
    height, width = values_YXD.shape[:2]
    for row in range(0, height, BLOCK_PX):
        for col in range(0, width, BLOCK_PX):
            top, left = max(0, row - 1), max(0, col - 1)
            around = _edges_of_block(values_YXD[top : row + BLOCK_PX + 1, left : col + BLOCK_PX + 1])
            block = out[row : row + BLOCK_PX, col : col + BLOCK_PX]
            block[:] = around[row - top :, col - left :][: block.shape[0], : block.shape[1]]
    return out


def _edges_of_block(values_YXD: NDArray[Any]) -> NDArray[np.float32]:
    """Edges by sums over 3 x 3 pixels: the cosines of a vector with several add up to its product with their sum."""
    height, width, features = values_YXD.shape
    framed = np.zeros((height + 2, width + 2, features), np.float32)
    unit_YXD = framed[1:-1, 1:-1]
    _widen(values_YXD, unit_YXD)
    square_YX = np.einsum("yxd,yxd->yx", unit_YXD, unit_YXD)
    finite = np.isfinite(square_YX)
    if not finite.all():
        unit_YXD[~finite], square_YX[~finite] = 0, 0
    unit_YXD *= (1 / np.maximum(np.sqrt(square_YX), LEAST))[..., None]
    own_YX = square_YX > 0  # the product of a vector with itself
    total_YX = np.einsum("yxd,yxd->yx", unit_YXD, _sums_of_3x3(framed)) - own_YX
    count_YX = _sums_of_3x3(np.pad(finite.astype(np.float32), 1)) - finite
    strength = 1 - total_YX / np.maximum(count_YX, 1)
    return np.where(finite & (count_YX > 0), strength, np.float32(np.nan)).astype(np.float32)


def _sums_of_3x3(framed: NDArray[np.float32]) -> NDArray[np.float32]:
    """Add up 3 x 3 pixels, but for those of the frame; axes (y, x) and any others."""
    rows = framed[:-2] + framed[1:-1]
    rows += framed[2:]
    sums = rows[:, :-2] + rows[:, 1:-1]
    sums += rows[:, 2:]
    return sums


def _strips(values_ND: NDArray[Any]) -> Iterator[tuple[int, NDArray[np.float32]]]:
    """Yield the first row of each strip, and the strip in float32, which lasts until the next one."""
    count = max(1, STRIP_BYTES // (4 * values_ND.shape[1]))
    buffer = np.empty((min(count, len(values_ND)), values_ND.shape[1]), np.float32)
    for first in range(0, len(values_ND), count):
        strip = values_ND[first : first + count]
        _widen(strip, buffer[: len(strip)])
        yield first, buffer[: len(strip)]


def _widen(values: NDArray[Any], out: NDArray[np.float32]) -> None:
    """Copy numbers as float32: by torch, which does so with half precision in a tenth of NumPy's time."""
    torch.from_numpy(out).copy_(torch.from_numpy(np.require(values, requirements="W")))


def _stored(values: NDArray[Any]) -> NDArray[Any]:
    """Numbers as the compiled loops take them."""
    return values.view(np.uint16) if values.dtype == np.float16 else values
