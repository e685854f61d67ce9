"""How large tiles can be: large enough that little is lost to their margins, small enough for the memory.

What a network takes is measured on a small tile, by adding up what of its tensors lives at the same time.
"""

from __future__ import annotations

import math
import weakref
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from cscl.cube import SITSCube
from cscl.device import free_memory

from .mapper import LEAST_TILE_PX, Mapper
from .tiles import Model, Sample

__all__ = ["bytes_per_px", "fitted_core_px", "overlap"]

STEP_PX = 32
GOOD, FAIR = 0.15, 0.25  # what is computed twice, as a share of the map
ROOMY = 2.5e9  # bytes that a tile may take for a good share; more only for a fair one
WHOLE_PX = 256  # of networks that look at the whole tile, whose map the memory is not to decide about
SAMPLE_PX, LARGE_SAMPLE_PX = 64, 256
SETTLED = 0.9
KERNELS = 1.1  # what kernels take besides tensors


def overlap(core_px: int, margin_px: int, step_px: int) -> float:
    """Share of pixels that are read and computed besides those of the map: 0 for none, 1 for as many again."""
    return float((1 + (2 * margin_px + -margin_px % step_px) / core_px) ** 2 - 1)


def fitted_core_px(mapper: Mapper, processes: int = 1) -> int:
    """Distance between tiles that suits the network, the images and the free memory.

    Parameters
    ----------
    mapper : Mapper
        Model and cube.
    processes : int
        How many share the memory.
    """
    model, cube = mapper.model, mapper.cube
    step_px, margin_px = mapper.around_px
    most = -(-max(cube.shape) // STEP_PX) * STEP_PX
    if model.network.needs.whole_tile or most <= WHOLE_PX:
        return WHOLE_PX
    free = 0.5 * min(free_memory(model.device), free_memory(torch.device("cpu"))) / processes
    each = bytes_per_px(model, cube)

    def largest(room: float, share: float) -> int:
        """Return the least distance of that share, or the largest that there is room for."""
        around_px = 2 * margin_px + -margin_px % step_px
        wanted = -(-around_px / (math.sqrt(1 + share) - 1) // STEP_PX) * STEP_PX
        fits = (math.sqrt(room / each) - around_px) // STEP_PX * STEP_PX
        return int(max(LEAST_TILE_PX, min(wanted, fits, most)))

    return max(largest(min(free, ROOMY), GOOD), largest(free, FAIR))


def bytes_per_px(model: Model, cube: SITSCube) -> float:
    """Memory that a pixel of a tile takes at most, bytes: reading it, the next one that waits, and the network."""
    dates, bands = cube.stored.shape[:2]
    values = dates * (4 * bands + 1)
    reading = dates * bands * (cube.stored.dtype.itemsize + 1)
    return 2 * values + reading + KERNELS * _network_bytes(model, cube)


def _network_bytes(model: Model, cube: SITSCube) -> float:
    """Measure what a network takes for a pixel besides what it reads.

    What it takes for a strip of a tile weighs less the larger the tile is, so ever larger ones are tried.
    """
    side_px, found = SAMPLE_PX, _sampled_bytes(model, cube, SAMPLE_PX)
    while side_px < LARGE_SAMPLE_PX:
        side_px, former = 2 * side_px, found
        found = _sampled_bytes(model, cube, side_px)
        if found > SETTLED * former:
            break
    return found


def _sampled_bytes(model: Model, cube: SITSCube, side_px: int) -> float:
    """Measure what a network takes for a pixel of a tile of noise."""
    side = -(-side_px // model.network.needs.multiple_px) * model.network.needs.multiple_px
    dates, bands = cube.stored.shape[:2]
    random = np.random.default_rng(0)
    x_BTCHW = torch.from_numpy(random.normal(size=(1, dates, bands, side, side)).astype(np.float32))
    valid_BTHW = torch.ones(1, dates, side, side, dtype=torch.bool)
    day_BT = torch.from_numpy(model.card.days_of(cube.dates))[None]
    with _Living() as living:
        model.probabilities(Sample(x_BTCHW, day_BT, valid_BTHW, np.ones((1, side, side), bool)))
    most: int = living.most
    return most / side**2


class _Living(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Adds up the bytes of the tensors that are made inside and live at the same time."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.now = self.most = 0
        self._known: set[int] = set()

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        made = func(*args, **(kwargs or {}))
        given = {t.untyped_storage().data_ptr() for t in tree_leaves((args, kwargs)) if isinstance(t, Tensor)}
        for tensor in tree_leaves(made):
            if isinstance(tensor, Tensor) and tensor.untyped_storage().data_ptr() not in given:
                self._note(tensor)
        return made

    def _note(self, tensor: Tensor) -> None:
        storage = tensor.untyped_storage()
        key, size = storage.data_ptr(), storage.nbytes()
        if key in self._known or not size:
            return
        self._known.add(key)
        self.now += size
        self.most = max(self.most, self.now)
        weakref.finalize(storage, self._forget, key, size)

    def _forget(self, key: int, size: int) -> None:
        self._known.discard(key)
        self.now -= size
