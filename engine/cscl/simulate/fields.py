"""Variation within fields: which spectrum each sub-pixel shows, from its surface and how well things grow just there.

Axis letters: B bands, N surfaces, V vigour levels, L steps of vigour.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from cscl.events import Job, Progress

from .crops import Land
from .landscape import FINE_M, Landscape
from .noise import random_field
from .phenology import VIGOUR

__all__ = ["LEVELS", "headland", "levels", "spectrum_index"]

LEVELS = 16
BLOCK_ROWS = 256
PERIOD = 1536  # Sub-pixels after which the patches within fields repeat: 3.8 km, many fields on.

PATCHINESS = {Land.WOOD: 0.28, Land.GARDEN: 0.35, Land.ORCHARD: 0.3, Land.MARGIN: 0.25, 1: 0.15}


def levels(spectra_NVB: NDArray[np.float32]) -> NDArray[np.float32]:
    """Interpolate the spectra of surfaces to `LEVELS` equal steps of vigour, axes (B, N x L)."""
    at = np.linspace(VIGOUR[0], VIGOUR[-1], LEVELS)
    weights_LV = np.stack([np.interp(at, VIGOUR, unit) for unit in np.eye(len(VIGOUR))], 1).astype(np.float32)
    spectra_BNL = np.einsum("lv,nvb->bnl", weights_LV, spectra_NVB)
    return np.ascontiguousarray(spectra_BNL.reshape(len(spectra_BNL), -1))


def spectrum_index(land: Landscape, rng: np.random.Generator) -> Job[NDArray[np.int32]]:
    """Choose one of the spectra of `levels` for each sub-pixel, axes (y, x) as ``land.surface``, int32.

    Vigour varies in patches, along a slow wave of each parcel's own direction, and is lower along headlands.
    """
    n, shape = len(land.kind), land.surface.shape
    patchiness = np.full(n, 0.11, np.float32)
    for kind, sd in PATCHINESS.items():
        patchiness[land.kind == kind] = sd
    turn, phase = rng.uniform(0, 2 * np.pi, (2, n)).astype(np.float32)
    period = min(PERIOD, *shape)
    patches = random_field(rng, (period, period), 1.15, 90)
    wave = (2 * np.pi * FINE_M / 400) * np.arange(max(shape), dtype=np.float32)
    column = np.arange(shape[1]) % period
    index = np.empty(shape, np.int32)
    for top in range(0, shape[0], BLOCK_ROWS):
        yield Progress("growth within fields", top, shape[0], "row")
        rows = np.arange(top, min(top + BLOCK_ROWS, shape[0]))
        surface = land.surface[rows[0] : rows[-1] + 1]
        vigour = 1 + patchiness[surface] * patches[np.ix_(rows % period, column)]
        along = wave[: shape[1]] * np.cos(turn)[surface] + wave[rows, None] * np.sin(turn)[surface]
        vigour += 0.08 * np.sin(along + phase[surface])
        above = min(top, 2)
        near = headland(land.surface[top - above : rows[-1] + 3])
        vigour -= 0.12 * near[above : above + len(rows)]
        step = np.rint((vigour - VIGOUR[0]) * ((LEVELS - 1) / (VIGOUR[-1] - VIGOUR[0])))
        index[rows] = surface * LEVELS + np.clip(step, 0, LEVELS - 1).astype(np.int32)
    return index


def headland(surface: NDArray[np.int32]) -> NDArray[np.bool_]:
    """Find the sub-pixels within 5 m, along rows or columns, of another surface; axes (y, x)."""
    near = np.zeros(surface.shape, bool)
    for axis in (0, 1):
        length = surface.shape[axis]
        for step in range(1, min(3, length)):
            ahead, behind = (np.arange(step, length), np.arange(length - step))
            differs = np.take(surface, ahead, axis) != np.take(surface, behind, axis)
            place: list[slice | NDArray[np.intp]] = [slice(None), slice(None)]
            for part in (ahead, behind):
                place[axis] = part
                near[tuple(place)] |= differs
    return near
