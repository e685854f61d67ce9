"""Judged pixels of an error atlas, counted by all that one may ask for: each subset of them is a sum of a few rows."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from cscl.events import Job, Progress
from cscl.grid import Window, tile_count, tiles
from cscl.metrics.bootstrap import Intervals, draw_ratios
from cscl.metrics.counts import numbered
from cscl.metrics.error_tally import curve_table
from cscl.report.kinds import Kind

from .explore import ErrorAtlas

__all__ = ["ErrorCounts", "count_errors"]

AT_ONCE_PX = 2**24  # more pixels than these do not keep their rows: four bytes each
Rows = NDArray[np.bool_]
Column = NDArray[Any]


@dataclass(frozen=True, eq=False)
class ErrorCounts:
    """A table of pixels, one row for those of a block that agree in everything; row 0 holds those that are not judged.

    Parameters
    ----------
    ids : ndarray of int
        Ids of the units, rising.
    unit, drawn : ndarray of int
        Row of the unit in `ids`, `len(ids)` outside all of them; number of what is drawn whole for intervals.
    bin, kind, truth, guess : ndarray of int
        Class of distance; `cscl.report.kinds.Kind`; true and predicted class as indices of the atlas's legend.
    mixed : ndarray of bool
        Whether the outline of a parcel runs through the pixels.
    pixels : ndarray of int
        How many there are.
    bins, classes : int
        Number of classes of distance, and of the legend.
    row_YX : ndarray of int32 or None
        Each pixel's row, axes (y, x); None for scenes of more than 2^24 pixels.
    """

    ids: NDArray[np.int64] = field(repr=False)
    unit: Column = field(repr=False)
    drawn: Column = field(repr=False)
    bin: Column = field(repr=False)
    kind: Column = field(repr=False)
    truth: Column = field(repr=False)
    guess: Column = field(repr=False)
    mixed: Rows = field(repr=False)
    pixels: NDArray[np.int64] = field(repr=False)
    bins: int
    classes: int
    row_YX: NDArray[np.int32] | None = field(default=None, repr=False)

    def chosen(
        self, declared: int | None = None, predicted: int | None = None, bins: Rows | None = None,
        units: Rows | None = None,
    ) -> Rows:  # fmt: skip
        """Choose rows.

        Parameters
        ----------
        declared, predicted : int or None
            Class indices. With `predicted`, pixels that are wrong in another way are left out; right ones stay.
        bins : ndarray of bool or None
            Which classes of distance are wanted.
        units : ndarray of bool or None
            Which of `ids` are wanted; land outside all units is not, then.
        """
        rows: Rows = self.kind > 0
        if declared is not None:
            rows &= self.truth == declared
        if predicted is not None:
            rows &= (self.kind == Kind.RIGHT) | (self.guess == predicted)
        if bins is not None:
            rows &= bins[self.bin]
        if units is not None:
            rows &= np.append(units, False)[self.unit]
        return rows

    def kinds(self, rows: Rows) -> NDArray[np.uint8]:
        """Kind of each pixel of the rows, axes (y, x), 0 elsewhere; for scenes of at most 2^24 pixels only."""
        assert self.row_YX is not None
        found: NDArray[np.uint8] = np.take(np.where(rows, self.kind, 0).astype(np.uint8), self.row_YX)
        return found

    def wrong(self, rows: Rows) -> NDArray[np.int64]:
        """Count wrong pixels by unit, axis (unit,)."""
        rows = rows & (self.kind != Kind.RIGHT)
        return _sums(self.unit[rows], self.pixels[rows], len(self.ids) + 1)[:-1]

    def wrong_as(self, rows: Rows, unit: int) -> NDArray[np.int64]:
        """Count wrong pixels of a unit by the class that they are mapped as, axis (class,); `unit` is an id."""
        rows = rows & (self.kind != Kind.RIGHT) & (self.unit == np.searchsorted(self.ids, unit))
        return _sums(self.guess[rows], self.pixels[rows], self.classes)

    def confusion(self, rows: Rows) -> NDArray[np.int64]:
        """Count pixels by true and predicted class, axes (true, predicted)."""
        key = self.truth[rows].astype(np.int64) * self.classes + self.guess[rows]
        return _sums(key, self.pixels[rows], self.classes**2).reshape(self.classes, self.classes)

    def curve(self, rows: Rows, atlas: ErrorAtlas) -> pd.DataFrame:
        """Accuracy by distance, as `cscl.metrics.error_tally.curve_table` has it, without intervals yet."""
        bin, kind, px = self.bin[rows].astype(np.int64), self.kind[rows], self.pixels[rows]
        by_bin = _sums(bin * len(Kind) + kind, px, self.bins * len(Kind)).reshape(self.bins, len(Kind))
        mixed = None if atlas.mixed_YX is None else _sums(bin[self.mixed[rows]], px[self.mixed[rows]], self.bins)
        there = np.zeros((self.bins, len(self.ids) + 1), bool)
        there[bin, self.unit[rows]] = True
        none = {name: np.zeros(0, np.int64) for name in ("id", "value", "px", "right")}
        return curve_table(by_bin, mixed, there[:, :-1].sum(1), atlas.options.distances_m, [none])

    def intervals(self, rows: Rows) -> Job[Intervals]:
        """Find how sure the accuracy in each class of distance is, by drawing whole parcels."""
        count = int(self.drawn.max(initial=0)) + 1
        key = self.drawn[rows].astype(np.int64) * self.bins + self.bin[rows]
        px = self.pixels[rows]
        right = np.where(self.kind[rows] == Kind.RIGHT, px, 0)
        part, whole = (_sums(key, pixels, count * self.bins).reshape(count, -1) for pixels in (right, px))
        return (yield from draw_ratios(part, whole))


def count_errors(atlas: ErrorAtlas, block_px: int = 1024) -> Job[ErrorCounts]:
    """Count the judged pixels of an atlas, block by block."""
    shape = atlas.kinds_YX.shape
    ids = np.sort(atlas.parcels["id"].to_numpy(np.int64))
    row = np.zeros(shape, np.int32) if atlas.kinds_YX.size <= AT_ONCE_PX else None
    tables = [pd.DataFrame({name: [0] for name in (*_FIELDS, "drawn", "unit", "pixels")})]
    first, total = 1, tile_count(shape, block_px)
    for number, block in enumerate(tiles(shape, block_px), 1):
        table, of = _table(atlas, block)
        if row is not None:
            part = row[block.slices]
            part[atlas.kinds_YX[block.slices] > 0] = of + first
        first += len(table)
        tables.append(table)
        yield Progress("counting errors", number, total, "block")
    whole = pd.concat(tables, ignore_index=True)
    drawn = np.unique(whole["drawn"], return_inverse=True)[1].astype(np.int32)
    unit = np.where(whole["unit"] > 0, np.searchsorted(ids, whole["unit"]), len(ids)).astype(np.int32)
    small = {name: whole[name].to_numpy(np.uint8 if name in ("bin", "kind") else np.int16) for name in _FIELDS[:-1]}
    return ErrorCounts(
        ids, unit, drawn, **small, mixed=whole["mixed"].to_numpy(bool), pixels=whole["pixels"].to_numpy(np.int64),
        bins=len(atlas.curve), classes=len(atlas.legend), row_YX=row,
    )  # fmt: skip


_FIELDS = ("bin", "kind", "truth", "guess", "mixed")


def _table(atlas: ErrorAtlas, block: Window) -> tuple[pd.DataFrame, NDArray[np.int64]]:
    """Count the judged pixels of a block, and tell the row of each of them."""
    part = block.slices
    judged = atlas.kinds_YX[part] > 0
    mixed = np.zeros(judged.shape, bool) if atlas.mixed_YX is None else atlas.mixed_YX[part]
    truth = atlas.labels.legend.to_index(atlas.labels.ids[part])
    sizes = (len(atlas.curve), len(Kind), len(atlas.legend), len(atlas.legend), 2)
    values = [a[judged] for a in (atlas.bins_YX[part], atlas.kinds_YX[part], truth, atlas.guess_YX[part], mixed)]
    units, unit = numbered(atlas.units_YX[part][judged].astype(np.int64))
    drawn, draw = numbered(atlas.drawn(block)[judged])
    # Of units and what is drawn few pairs occur: numbered first, so that no key outgrows 64 bits.
    pairs, pair = numbered(draw * np.int64(max(1, len(units))) + unit)
    key = pair
    for value, size in zip(values, sizes, strict=True):
        key = key * size + value
    keys, of = numbered(key)
    columns: dict[str, Any] = {"pixels": np.bincount(of, minlength=len(keys))}
    for name, size in zip(reversed(_FIELDS), reversed(sizes), strict=True):
        keys, columns[name] = np.divmod(keys, size)
    columns["drawn"], columns["unit"] = (
        drawn[pairs[keys] // max(1, len(units))],
        units[pairs[keys] % max(1, len(units))],
    )
    return pd.DataFrame(columns), of


def _sums(key: NDArray[Any], pixels: NDArray[np.int64], size: int) -> NDArray[np.int64]:
    """Sum up pixels by a small number; exact, as their sum stays far below 2^53."""
    return np.bincount(key, pixels, minlength=size).astype(np.int64)
