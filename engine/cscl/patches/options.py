"""How a dataset is cut and stored."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Literal

from cscl.errors import InputError

__all__ = ["PatchOptions"]

MOST_LABELS_PX = 8192  # along a block
LEAST_FOLDS, MOST_FOLDS = 3, 200  # one to learn from, one to choose by, one to judge by; a byte holds their number


@dataclass(frozen=True)
class PatchOptions:
    """How a dataset is cut and stored."""

    patch_px: Annotated[int, {"min": 1, "max": 2048, "tooltip": "Side of a patch, pixels of the images"}] = 48
    stride_px: Annotated[
        int | None,
        {"tooltip": "From one patch to the next, pixels; less than a patch makes them overlap (default: one)"},
    ] = None
    block_px: Annotated[
        int | None,
        {
            "tooltip": "Side of the blocks that folds are made of, pixels; no patch crosses one (default: 10 patches, "
            "fewer where that leaves less than 3 blocks a fold)"
        },
    ] = None
    folds: Annotated[int, {"min": 3, "max": 200, "tooltip": "Folds that the blocks are dealt out to"}] = 5
    finer: Annotated[
        int, {"min": 1, "max": 16, "tooltip": "Also labels this many times finer, e.g. 4 for 2.5 m on 10 m images"}
    ] = 1
    unlabelled: Annotated[bool, {"tooltip": "Keep patches in which no pixel has a class, too"}] = False
    compression: Annotated[
        Literal["zstd", "none"],
        {"tooltip": "Of each patch: zstd, or none, which is larger and some times faster to read"},
    ] = "zstd"
    shard_mb: Annotated[
        int, {"min": 1, "max": 1000, "tooltip": "Largest size of a file of patches, MB before compression"}
    ] = 128
    seed: Annotated[int, {"min": 0, "tooltip": "Of the random dealing of blocks"}] = 0
    licence: Annotated[str, {"tooltip": "Licence of the dataset, for its card, e.g. CC-BY-4.0"}] = ""

    def __post_init__(self) -> None:
        for name, least in (("patch_px", 1), ("folds", LEAST_FOLDS), ("finer", 1), ("shard_mb", 1), ("seed", 0)):
            if getattr(self, name) < least:
                raise InputError(f"{name} is {getattr(self, name)}; it must be at least {least}.")
        if self.folds > MOST_FOLDS:
            raise InputError(f"folds is {self.folds}; it must be at most {MOST_FOLDS}.")
        if self.stride_px is not None and self.stride_px < 1:
            raise InputError(f"stride_px is {self.stride_px}; from one patch to the next it is at least 1 pixel.")
        if self.block_px is not None and self.block_px < self.patch_px:
            raise InputError(
                f"A block of {self.block_px} pixels holds no patch of {self.patch_px}. Give larger blocks or smaller "
                "patches."
            )

        if self.block_px is not None and self.block_px * self.finer > MOST_LABELS_PX:
            raise InputError(
                f"The labels of a block of {self.block_px} pixels, {self.finer} times finer, take too much memory at "
                f"once. Give blocks of at most {MOST_LABELS_PX // self.finer} pixels."
            )

    @property
    def step_px(self) -> int:
        """From one patch to the next, pixels."""
        return self.stride_px or self.patch_px
