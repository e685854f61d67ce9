"""Loops over the pixels of an embedding, compiled by numba; `cscl.inference.pixelwise` has plain forms of them.

Half-precision numbers, which numba does not know, come as the 16 bits that they are.

Axes: N pixels, Y and X rows and columns, D features.
"""

from __future__ import annotations

import platform
from typing import Any

import numpy as np
from llvmlite import ir  # type: ignore[import-untyped]
from llvmlite.binding import get_host_cpu_features  # type: ignore[import-untyped]
from numba import types
from numba.extending import intrinsic
from numpy.typing import NDArray

from cscl.compiling import compiled

__all__ = ["edges", "similarity"]

if platform.machine().lower() in ("x86_64", "amd64") and not get_host_cpu_features().get("f16c"):
    raise ImportError("This processor does not know half precision.")


def _read_number(_context, stored):  # type: ignore[no-untyped-def]
    """Read a stored number, float32 or the bits of a float16, as float32."""

    def generate(_target, builder, _signature, values):  # type: ignore[no-untyped-def]
        if stored == types.float32:
            return values[0]
        return builder.fpext(builder.bitcast(values[0], ir.HalfType()), ir.FloatType())

    return types.float32(stored), generate


_number: Any = intrinsic(_read_number)


@compiled
def similarity(stored_ND: Any, scale_N: NDArray[np.float32], vector_D: Any, out_N: NDArray[np.float32]) -> None:
    """Fill `out_N` with the product of each pixel's vector and `vector_D`, times `scale_N`."""
    for n in range(stored_ND.shape[0]):
        total: Any = np.float32(0)
        for d in range(stored_ND.shape[1]):
            total += _number(stored_ND[n, d]) * vector_D[d]
        out_N[n] = total * scale_N[n]


@compiled
def _units(stored_XD: Any, unit_XD: NDArray[np.float32], finite_X: NDArray[np.bool_]) -> None:
    """Bring the vectors of a row to length 1; those that are not finite to 0."""
    for x in range(stored_XD.shape[0]):
        square: Any = np.float32(0)
        for d in range(stored_XD.shape[1]):
            value = _number(stored_XD[x, d])
            unit_XD[x, d] = value
            square += value * value
        finite_X[x] = square < np.inf  # not isfinite: that asks for x - x, which sums in any order make 0
        scale = np.float32(1) / max(np.sqrt(square), np.float32(1e-12))
        for d in range(stored_XD.shape[1]):
            unit_XD[x, d] *= scale


@compiled
def _cosine(a_D: Any, b_D: Any) -> Any:
    total: Any = np.float32(0)
    for d in range(a_D.shape[0]):
        total += a_D[d] * b_D[d]
    return total


@compiled
def _add(cosine: Any, total_YX: Any, count_YX: Any, y: int, x: int, other_y: int, other_x: int) -> None:
    total_YX[y, x] += cosine
    total_YX[other_y, other_x] += cosine
    count_YX[y, x] += 1
    count_YX[other_y, other_x] += 1


@compiled
def edges(stored_YXD: Any, out_YX: NDArray[np.float32]) -> None:
    """Fill `out_YX` with one minus the mean cosine with the 8 neighbours, as far as both are finite; NaN without any.

    Row by row: each pair of neighbours is compared once, with what is kept of the row above.
    """
    height, width, features = stored_YXD.shape
    above_XD, here_XD = np.zeros((width, features), np.float32), np.zeros((width, features), np.float32)
    above_X, here_X = np.zeros(width, np.bool_), np.zeros(width, np.bool_)
    count_YX = np.zeros((height, width), np.uint8)
    out_YX[:] = 0
    for y in range(height):
        above_XD, here_XD, above_X, here_X = here_XD, above_XD, here_X, above_X
        _units(stored_YXD[y], here_XD, here_X)
        for x in range(width):
            if x and here_X[x] and here_X[x - 1]:
                _add(_cosine(here_XD[x], here_XD[x - 1]), out_YX, count_YX, y, x, y, x - 1)
            for other in range(max(0, x - 1), min(width, x + 2)):
                if y and here_X[x] and above_X[other]:
                    _add(_cosine(here_XD[x], above_XD[other]), out_YX, count_YX, y, x, y - 1, other)
    for y in range(height):
        for x in range(width):
            count = count_YX[y, x]
            out_YX[y, x] = 1 - out_YX[y, x] / np.float32(count) if count else np.nan
