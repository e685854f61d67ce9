"""How a map is compared with labels: the size of blocks, the classes of distance, the reach of an edge."""

from __future__ import annotations

import itertools
import math
from dataclasses import dataclass
from typing import Annotated

from cscl.errors import InputError

__all__ = ["BlockOptions", "ExploreOptions"]

BLOCK_PX = 512
REACH_M = 20.0


@dataclass(frozen=True)
class BlockOptions:
    """How maps and labels meet. Blocks change neither the figures nor, beyond their own size, the memory."""

    block_px: Annotated[
        int, {"min": 64, "max": 4096, "step": 64, "tooltip": "Side of the blocks that are read, pixels"}
    ] = BLOCK_PX
    distances_m: Annotated[
        tuple[float, ...], {"tooltip": "Upper limits of the classes of distance to an edge, metres, rising"}
    ] = (10.0, 20.0, 30.0, 50.0, 80.0)

    def __post_init__(self) -> None:
        limits = (0.0, *self.distances_m)
        if len(limits) < 2 or not all(a < b < math.inf for a, b in itertools.pairwise(limits)):
            raise InputError(
                f"The distances {self.distances_m} must be positive, finite and rising, e.g. 10, 20, 50. "
                "What lies beyond the last one is a class of its own."
            )


@dataclass(frozen=True)
class ExploreOptions(BlockOptions):
    """How errors are explored."""

    reach_m: Annotated[
        float,
        {"min": 1.0, "max": 200.0, "step": 5.0, "tooltip": "How far from an edge an error is laid to it, metres"},
    ] = REACH_M

    def __post_init__(self) -> None:
        super().__post_init__()
        if not 0 < self.reach_m < math.inf:
            raise InputError(f"The reach of an edge must be more than 0 m, not {self.reach_m}. Try 20.")
