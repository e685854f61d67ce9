"""What is counted while a dataset is written: means and spreads of the bands, classes, mixed pixels, usable dates.

Mean and spread are those of the usable pixels, in float64: each patch in two passes, patches joined by the update of
Chan, Golub and LeVeque (1979). They are joined in the order of the patches, whichever was ready first.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cscl.legend import Legend

__all__ = ["Bands", "FoldTally", "PatchTally", "joined"]

LEAST_VARIANCE = 1e-8  # as in cscl.data.batches.statistics: a band that never changes has a spread, too


@dataclass(frozen=True, eq=False)
class Bands:
    """Usable pixels, mean reflectance of each band, and the sum of squared distances from it; shape (band,)."""

    pixels: int
    mean: NDArray[np.float64]
    squares: NDArray[np.float64]

    @classmethod
    def of(cls, x_BN: NDArray[np.float64]) -> Bands:
        """Count reflectances, axes (band, pixel)."""
        if not x_BN.shape[1]:
            return cls(0, np.zeros(len(x_BN)), np.zeros(len(x_BN)))
        mean = x_BN.mean(1)
        return cls(x_BN.shape[1], mean, ((x_BN - mean[:, None]) ** 2).sum(1))

    def __add__(self, other: Bands) -> Bands:
        pixels = self.pixels + other.pixels
        apart = other.mean - self.mean
        part = other.pixels / max(1, pixels)
        squares = self.squares + other.squares + apart**2 * self.pixels * part
        return Bands(pixels, self.mean + apart * part, squares)

    @property
    def std(self) -> NDArray[np.float64]:
        """Standard deviation of each band."""
        return np.sqrt(np.maximum(self.squares / max(1, self.pixels), LEAST_VARIANCE))


@dataclass(frozen=True, eq=False)
class PatchTally:
    """Counts of one patch.

    Parameters
    ----------
    fold : int
        Its fold.
    bands : Bands
        Of its usable pixels on all dates.
    usable : ndarray
        Usable pixels of each date, shape (time,).
    classes : ndarray
        Pixels of each class, shape (class,), in the finest labels.
    mixed, touched : int
        Pixels of the images that a parcel fills in part, and that are mixed or lie in a parcel.
    void : int
        Pixels whose class is void since their parcel belongs to another fold, in the finest labels.
    """

    fold: int
    bands: Bands
    usable: NDArray[np.int64]
    classes: NDArray[np.int64]
    mixed: int
    touched: int
    void: int

    @classmethod
    def of(
        cls,
        patch: Mapping[str, NDArray[Any]],
        scale_TC: NDArray[np.float64],
        offset_TC: NDArray[np.float64],
        legend: Legend,
        fold: int,
        void: int,
    ) -> PatchTally:
        """Count a patch, the layers of which have the names of the store; `void` was counted before."""
        valid, image = patch["valid"], patch["image"]
        bands = [
            image[:, b][valid] * np.repeat(scale_TC[:, b], valid.sum((1, 2)))
            + np.repeat(offset_TC[:, b], valid.sum((1, 2)))
            for b in range(image.shape[1])
        ]
        finest = max((name for name in patch if name.startswith("class")), key=lambda n: patch[n].size)
        index = legend.to_index(patch[finest])
        return cls(
            fold,
            Bands.of(np.array(bands, np.float64)),
            valid.sum((1, 2)),
            np.bincount(index[index >= 0], minlength=len(legend)),
            int(patch["mixed"].sum()),
            int((patch["mixed"] | (patch["parcel"] > 0)).sum()),
            void,
        )


@dataclass(frozen=True, eq=False)
class FoldTally:
    """Counts of one fold: as those of a patch, summed; `patches` counts those that have an image."""

    patches: int
    bands: Bands
    classes: NDArray[np.int64]
    mixed: int
    touched: int
    void: int


def joined(tallies: Iterable[PatchTally], folds: int, bands: int, classes: int) -> dict[int, FoldTally]:
    """Add up patches by fold; those without any usable pixel are left out, as they are when the dataset is read."""
    empty = FoldTally(0, Bands(0, np.zeros(bands), np.zeros(bands)), np.zeros(classes, np.int64), 0, 0, 0)
    total = dict.fromkeys(range(1, folds + 1), empty)
    for patch in tallies:
        if patch.bands.pixels:
            then = total[patch.fold]
            total[patch.fold] = FoldTally(
                then.patches + 1, then.bands + patch.bands, then.classes + patch.classes, then.mixed + patch.mixed,
                then.touched + patch.touched, then.void + patch.void,
            )  # fmt: skip
    return total
