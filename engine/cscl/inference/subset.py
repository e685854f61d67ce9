"""A part of an error atlas: the same pixels, rows and figures for the map, the plot and the tables."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from cscl.events import Job, Progress
from cscl.grid import Window, tile_count, tiles
from cscl.metrics.counts import counted_right
from cscl.metrics.error_tally import curve_table
from cscl.report.kinds import Kind

from .explore import ErrorAtlas

__all__ = ["Selection", "Subset", "chosen_edges", "chosen_parcels", "chosen_pixels", "select"]

Rows = NDArray[np.bool_]


@dataclass(frozen=True)
class Subset:
    """Which errors are wanted; by default all.

    Parameters
    ----------
    declared, predicted : int or None
        Class ids. With `predicted`, pixels that are wrong in another way are left out, and right ones stay, so that
        accuracy says how well the two are told apart.
    distance_m : tuple of float
        Classes of distance that lie wholly in this interval, metres from the class edge.
    area_ha : tuple of float
        Smallest and largest unit, both included.
    """

    declared: int | None = None
    predicted: int | None = None
    distance_m: tuple[float, float] = (0.0, math.inf)
    area_ha: tuple[float, float] = (0.0, math.inf)

    @property
    def of_pixels(self) -> bool:
        """Whether single pixels are chosen, and not only whole units."""
        return self.declared is not None or self.predicted is not None or self.distance_m != (0.0, math.inf)


@dataclass(frozen=True, eq=False)
class Selection:
    """What a subset holds: `kinds_YX` is 0 elsewhere; `curve`, `parcels` and `edges` are as in the atlas."""

    subset: Subset
    kinds_YX: NDArray[np.uint8] = field(repr=False)
    curve: pd.DataFrame = field(repr=False)
    parcels: pd.DataFrame = field(repr=False)
    edges: pd.DataFrame = field(repr=False)

    @property
    def wrong(self) -> int:
        """Wrong pixels in the selection."""
        return int(self.curve["pixels"].sum() - self.curve["right"].sum())


def chosen_pixels(atlas: ErrorAtlas, subset: Subset, block: Window | None = None) -> NDArray[np.bool_]:
    """Judged pixels of a block that belong to a subset, axes (y, x)."""
    part = slice(None) if block is None else block.slices
    kinds, labels = atlas.kinds_YX[part], atlas.labels
    chosen = kinds > 0
    if subset.declared is not None:
        chosen &= labels.ids[part] == subset.declared
    if subset.predicted is not None:
        chosen &= (kinds == Kind.RIGHT) | (atlas.guess_YX[part] == atlas.legend.ids.index(subset.predicted))
    if subset.distance_m != (0.0, math.inf):
        chosen &= _bins(atlas, subset)[atlas.bins_YX[part]]
    if subset.area_ha != (0.0, math.inf):
        wanted = atlas.parcels["id"][_of_size(atlas.parcels, subset)]
        chosen &= np.isin(atlas.units_YX[part], wanted)
    return chosen


def chosen_parcels(atlas: ErrorAtlas, subset: Subset, wrong_in: NDArray[np.int64]) -> Rows:
    """Rows of the table of units: those of the right size and, where pixels are chosen, with a wrong one among them.

    `wrong_in` holds the ids of the units that have a chosen wrong pixel.
    """
    rows: Rows = _of_size(atlas.parcels, subset)
    return rows & np.isin(atlas.parcels["id"], wrong_in) if subset.of_pixels else rows


def chosen_edges(atlas: ErrorAtlas, subset: Subset) -> Rows:
    """Rows of the table of edges: between chosen classes, with a unit of the right size, and within the distances."""
    a, b = atlas.edges["class_a"].to_numpy(), atlas.edges["class_b"].to_numpy()
    rows = np.ones(len(a), bool)
    for one in (subset.declared, subset.predicted):
        if one is not None:
            rows &= (a == one) | (b == one)
    if subset.area_ha != (0.0, math.inf):
        wanted = atlas.parcels["id"][_of_size(atlas.parcels, subset)]
        rows &= np.isin(atlas.edges["a"], wanted) | np.isin(atlas.edges["b"], wanted)
    near = atlas.curve["from_m"].to_numpy() < atlas.options.reach_m
    return rows & bool((_bins(atlas, subset) & near).any())


def select(atlas: ErrorAtlas, subset: Subset, block_px: int = 1024) -> Job[Selection]:
    """Take a subset out of an atlas."""
    if subset == Subset():
        return Selection(subset, atlas.kinds_YX, atlas.curve, atlas.parcels, atlas.edges)
    ids = np.sort(atlas.parcels["id"].to_numpy())
    kinds, bins = np.zeros_like(atlas.kinds_YX), len(atlas.curve)
    by_bin, mixed = np.zeros((bins, len(Kind)), np.int64), np.zeros(bins, np.int64)
    there, wrong, drawn = np.zeros((bins, len(ids)), bool), np.zeros(len(ids), bool), []
    total = tile_count(kinds.shape, block_px)
    for number, block in enumerate(tiles(kinds.shape, block_px), 1):
        chosen = chosen_pixels(atlas, subset, block)
        np.copyto(kinds[block.slices], atlas.kinds_YX[block.slices], where=chosen)
        kind, bin, unit = (a[block.slices][chosen] for a in (atlas.kinds_YX, atlas.bins_YX, atlas.units_YX))
        by_bin += np.bincount(bin * np.int64(len(Kind)) + kind, minlength=by_bin.size).reshape(by_bin.shape)
        if atlas.mixed_YX is not None:
            mixed += np.bincount(bin[atlas.mixed_YX[block.slices][chosen]], minlength=bins)
        row = np.searchsorted(ids, unit)
        inside = unit > 0
        there[bin[inside], row[inside]] = True
        wrong[row[inside & (kind != Kind.RIGHT)]] = True
        drawn.append(counted_right(atlas.drawn(block)[chosen], bin, kind == Kind.RIGHT))
        yield Progress("choosing errors", number, total, "block")
    mixed_too = None if atlas.mixed_YX is None else mixed
    curve = curve_table(by_bin, mixed_too, there.sum(1), atlas.options.distances_m, drawn)
    parcels = atlas.parcels[chosen_parcels(atlas, subset, ids[wrong])]
    edges = atlas.edges[chosen_edges(atlas, subset)]
    return Selection(subset, kinds, curve, parcels.reset_index(drop=True), edges.reset_index(drop=True))


def _of_size(parcels: pd.DataFrame, subset: Subset) -> Any:
    return parcels["area_ha"].between(*subset.area_ha).to_numpy()


def _bins(atlas: ErrorAtlas, subset: Subset) -> Rows:
    low, high = subset.distance_m
    inside: Rows = ((atlas.curve["from_m"] >= low) & (atlas.curve["to_m"] <= high)).to_numpy()
    return inside
