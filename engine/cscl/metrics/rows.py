"""Counts of pieces of a map as columns of small integers, and their sums by key.

A piece has a few thousand rows; pandas takes longer to make a table of them than counting its pixels takes. So tables
of pandas are made of the sums alone.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

__all__ = ["Rows", "distinct", "rows_of", "stacked", "summed"]

Rows: TypeAlias = Mapping[str, Any]
"""Columns of one length by name."""

EXTREMES = {"row0": np.minimum, "col0": np.minimum, "row1": np.maximum, "col1": np.maximum, "bleed_m": np.maximum}
"""Columns that do not add up; of all others the sum is taken."""


def rows_of(**columns: NDArray[Any]) -> Rows:
    """Make rows of columns; whole numbers are kept as small as they are."""
    return {name: _small(column) for name, column in columns.items()}


def stacked(pieces: Sequence[Rows]) -> dict[str, NDArray[Any]]:
    """Put the rows of pieces, at least one, below each other."""
    return {name: np.concatenate([np.asarray(piece[name]) for piece in pieces]) for name in list(pieces[0])}


def summed(pieces: Sequence[Rows], by: Sequence[str]) -> dict[str, NDArray[Any]]:
    """Add up rows that agree in the columns `by`; the result is sorted by them. Sums are int64 or float64."""
    names, keys = list(pieces[0]), stacked([{name: piece[name] for name in by} for piece in pieces])
    order, first = distinct(*(keys[name] for name in by))
    found: dict[str, NDArray[Any]] = {}
    for name in names:
        column = keys[name] if name in by else np.concatenate([np.asarray(piece[name]) for piece in pieces])
        wide = np.float64 if column.dtype.kind == "f" else np.int64
        if name in by:
            found[name] = column[order[first]].astype(wide)
        else:
            found[name] = EXTREMES.get(name, np.add).reduceat(column[order].astype(wide), first)
    return found


def distinct(*keys: NDArray[Any]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Sort rows by keys, the first foremost: their order, and where in it each distinct key begins."""
    if len(keys) == 2 and all(_fits(key, np.int32) for key in keys) and keys[1].min(initial=0) >= 0:
        keys = (keys[0].astype(np.int64) << 32 | keys[1].astype(np.int64),)
    order = np.lexsort(keys[::-1]) if len(keys) > 1 else np.argsort(keys[0], kind="stable")
    new = np.ones(len(order), bool)
    if len(order):
        new[1:] = np.any([key[order[1:]] != key[order[:-1]] for key in keys], axis=0)
    return order, np.flatnonzero(new)


def _small(column: NDArray[Any]) -> NDArray[Any]:
    if column.dtype.kind not in "iu" or column.dtype.itemsize <= 2:
        return column
    return next((column.astype(dtype) for dtype in (np.int16, np.int32) if _fits(column, dtype)), column)


def _fits(column: NDArray[Any], dtype: Any) -> bool:
    limits = np.iinfo(dtype)
    return bool(column.min(initial=0) >= limits.min and column.max(initial=0) <= limits.max)
