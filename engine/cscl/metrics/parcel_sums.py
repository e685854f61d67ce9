"""What a network says of parcels: probabilities, votes and embeddings summed by parcel, in pieces that add up."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field, fields
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy import sparse

from .counts import extent, numbered

__all__ = ["ParcelSums", "Sight"]

Floats = NDArray[np.float64]
Counts = NDArray[np.int64]
BOUNDS = {"row0": np.minimum, "col0": np.minimum, "row1": np.maximum, "col1": np.maximum}


@dataclass(frozen=True, eq=False)
class Sight:
    """A piece of a scene; arrays have the axes (y, x) of the piece and, before them, class or feature.

    Parameters
    ----------
    parcels : ndarray of int
        Parcel ids, 0 outside all parcels.
    declared : ndarray of int
        Declared class, an index, negative where unknown.
    probabilities : ndarray of float
        Axes (class, y, x), 0..1, NaN where nothing was predicted.
    embedding : ndarray of float or None
        Axes (feature, y, x), NaN where there is none.
    interior : ndarray of bool
        Whether the pixel lies away from the boundary of its parcel.
    judged : ndarray of bool
        Whether the network has not learnt from the pixel.
    corner : tuple of int
        Row and column of the piece in the scene.
    """

    parcels: NDArray[Any]
    declared: NDArray[Any]
    probabilities: NDArray[np.float32]
    embedding: NDArray[np.float32] | None
    interior: NDArray[np.bool_]
    judged: NDArray[np.bool_]
    corner: tuple[int, int]


@dataclass(frozen=True, eq=False)
class ParcelSums:
    """Sums over the predicted pixels of parcels, axis (parcel,), or axes (boundary or interior, parcel, ...).

    Parameters
    ----------
    id : ndarray of int
        Parcels, each once, rising.
    declared : ndarray of int
        Axes (parcel, class): pixels by declared class.
    judged : ndarray of int
        Pixels that the network has not learnt from.
    px, probability, votes, entropy, feature : ndarray
        Pixels; probability by class; pixels by predicted class; entropy of the probabilities, as a share of the largest
        possible; embedding.
    rows, cols, row0, col0, row1, col1 : ndarray of int
        Sums of rows and columns of the scene, and bounds, ends exclusive.
    """

    id: Counts = field(repr=False)
    declared: Counts = field(repr=False)
    judged: Counts = field(repr=False)
    px: Counts = field(repr=False)
    probability: Floats = field(repr=False)
    votes: Counts = field(repr=False)
    entropy: Floats = field(repr=False)
    feature: Floats = field(repr=False)
    rows: Floats = field(repr=False)
    cols: Floats = field(repr=False)
    row0: Counts = field(repr=False)
    col0: Counts = field(repr=False)
    row1: Counts = field(repr=False)
    col1: Counts = field(repr=False)

    @classmethod
    def of(cls, sight: Sight) -> ParcelSums:
        """Sum up a piece; pixels outside parcels and those without prediction are left out."""
        here = (sight.parcels > 0) & ~np.isnan(sight.probabilities[0])
        probability, side = sight.probabilities[:, here].T.astype(float), sight.interior[here].astype(int)
        if sight.embedding is None:
            feature = np.zeros((len(side), 0))
        else:
            feature = np.nan_to_num(sight.embedding[:, here].T.astype(float))
        ids, of = numbered(sight.parcels[here])
        classes, declared = probability.shape[1], sight.declared[here]
        known, row = declared >= 0, side * len(ids) + of
        add: Any = sparse.csr_array((np.ones(len(row)), (row, np.arange(len(row)))), (2 * len(ids), len(row)))
        parts = -probability * np.log(np.maximum(probability, 1e-12)) / math.log(max(2, classes))
        votes = np.bincount(row * classes + probability.argmax(1), minlength=2 * len(ids) * classes)

        def both(values: NDArray[Any]) -> NDArray[Any]:
            return values.reshape(2, len(ids), *values.shape[1:])

        return cls(
            ids.astype(np.int64),
            np.bincount(of[known] * classes + declared[known], minlength=len(ids) * classes).reshape(-1, classes),
            np.bincount(of[sight.judged[here]], minlength=len(ids)),
            both(np.bincount(row, minlength=2 * len(ids))), both(add @ probability), both(votes.reshape(-1, classes)),
            both(add @ parts.sum(1)), both(add @ feature), **extent(of, len(ids), here, sight.corner),
        )  # fmt: skip

    @classmethod
    def merge(cls, pieces: Sequence[ParcelSums]) -> ParcelSums:
        """Add up pieces, at least one, by parcel."""
        ids, row = np.unique(np.concatenate([p.id for p in pieces]), return_inverse=True)
        merged: dict[str, Any] = {"id": ids}
        for name in (f.name for f in fields(cls) if f.name != "id"):
            sided = name in ("px", "probability", "votes", "entropy", "feature")
            parts = np.concatenate([getattr(p, name) for p in pieces], axis=int(sided))
            parts = np.moveaxis(parts, 1, 0) if sided else parts
            least = np.iinfo(np.int64).max if name in ("row0", "col0") else 0
            total = np.full((len(ids), *parts.shape[1:]), least, parts.dtype)
            BOUNDS.get(name, np.add).at(total, row, parts)
            merged[name] = np.moveaxis(total, 0, 1) if sided else total
        return cls(**merged)

    @property
    def pixels(self) -> Counts:
        """Predicted pixels of each parcel."""
        return np.asarray(self.px.sum(0))

    def mean(self, name: str) -> Floats:
        """Mean ``"probability"`` or ``"feature"`` of the interior of each parcel, or of all of it where it has none."""
        sums, inside = getattr(self, name), self.px[1] > 0
        total, px = np.where(inside[:, None], sums[1], sums.sum(0)), np.where(inside, self.px[1], self.pixels)
        return np.asarray(total / np.maximum(1, px)[:, None], float)

    def place(self) -> pd.DataFrame:
        """Centre of the pixels and bounds of each parcel, rows and columns of the scene."""
        bounds = {name: getattr(self, name) for name in BOUNDS}
        return pd.DataFrame({"row": self.rows / self.pixels, "col": self.cols / self.pixels, **bounds})
