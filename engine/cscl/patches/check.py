"""The proof, on what was written, that no parcel and no piece of ground lies in two folds."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import zarr
from numpy.typing import NDArray

from cscl.errors import InputError
from cscl.events import Job, Progress

from .store import STORE

__all__ = ["FoldCheck", "check_folds"]

AT_ONCE = 256  # patches


@dataclass(frozen=True)
class FoldCheck:
    """What was found apart: parcels of each fold, and the patches that were read."""

    parcels: Mapping[int, int]
    patches: int

    @property
    def words(self) -> str:
        """The finding as a sentence."""
        return (
            f"Checked on the {self.patches} patches written: each of {sum(self.parcels.values())} parcels lies in one "
            "fold only, and no pixel of the images is in two folds."
        )


def check_folds(folder: Path, scenes: Sequence[Mapping[str, Any]], patch_px: int, folds: int) -> Job[FoldCheck]:
    """Read the parcels of all patches, and see that each is in one fold, and each pixel, too.

    Parameters
    ----------
    folder : Path
        Of the dataset.
    scenes : sequence of mapping
        Of each its ``name``, number of the ``grid`` and of the ``parcel_file``, as on the card.
    patch_px, folds : int
        As on the card.

    Raises
    ------
    InputError
        If one is in two.
    """
    store: Any = zarr.open_group(folder / STORE, mode="r")
    fold_of: dict[tuple[int, int], int] = {}
    ground: dict[int, NDArray[np.uint8]] = {}
    count = 0
    for scene in scenes:
        group = store[scene["name"]]
        fold, row, col = (np.asarray(group[name][:]) for name in ("fold", "row", "col"))
        painted = ground.setdefault(scene["grid"], np.zeros(scene["shape"], np.uint8))
        for first in range(0, len(fold), AT_ONCE):
            part = slice(first, first + AT_ONCE)
            for parcels in (group[n][part] for n in group.array_keys() if n.startswith("parcel")):
                _note(fold_of, parcels, fold[part], scene)
            for r, c, f in zip(row[part], col[part], fold[part], strict=True):
                _paint(painted[r : r + patch_px, c : c + patch_px], int(f), scene)
            yield Progress("checking folds", min(first + AT_ONCE, len(fold)), len(fold), "patch")
        count += int((fold > 0).sum())
    number = np.bincount(list(fold_of.values()), minlength=folds + 1)
    return FoldCheck({f: int(number[f]) for f in range(1, folds + 1)}, count)


def _note(
    fold_of: dict[tuple[int, int], int], parcels: NDArray[np.int32], fold: NDArray[np.uint8], scene: Mapping[str, Any]
) -> None:
    for ids, f in zip(parcels, fold, strict=True):
        for parcel in np.unique(ids[ids > 0]) if f else ():
            known = fold_of.setdefault((scene["parcel_file"], int(parcel)), int(f))
            if known != f:
                raise InputError(
                    f"Parcel {parcel} of {scene['name']} lies in the folds {known} and {f}. Make the dataset again; it "
                    "was written by another version or changed."
                )


def _paint(painted: NDArray[np.uint8], fold: int, scene: Mapping[str, Any]) -> None:
    if fold and np.isin(painted, (0, fold), invert=True).any():
        raise InputError(f"Patches of {scene['name']} in two folds show the same pixels. Make the dataset again.")
    if fold:
        painted[:] = fold
