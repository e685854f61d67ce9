"""A part of an error atlas: the same pixels, rows and figures for the map, the plot and the tables."""

from __future__ import annotations

import math
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from cscl.events import Job, Progress
from cscl.grid import Window, tile_count, tiles
from cscl.metrics.error_tally import class_pairs
from cscl.report.kinds import Kind

from .errorcounts import ErrorCounts, count_errors
from .explore import ErrorAtlas

__all__ = [
    "Selection", "Subset", "choose", "chosen_edges", "chosen_kinds", "chosen_pairs", "chosen_pixels", "edge_near",
    "select", "sure", "wrong_as",
]  # fmt: skip


Rows = NDArray[np.bool_]
ANYWHERE = (0.0, math.inf)


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
    distance_m: tuple[float, float] = ANYWHERE
    area_ha: tuple[float, float] = (0.0, math.inf)

    @property
    def of_pixels(self) -> bool:
        """Whether single pixels are chosen, and not only whole units."""
        return self.declared is not None or self.predicted is not None or self.distance_m != ANYWHERE


@dataclass(frozen=True, eq=False)
class Selection:
    """What a subset holds.

    Parameters
    ----------
    subset : Subset
        What was asked for.
    kinds_YX : ndarray of uint8 or None
        As in the atlas, 0 outside the subset; None where a large scene was asked at once.
    curve : DataFrame
        As in the atlas; classes of distance that are not asked for are empty.
    anywhere : DataFrame
        The same at all distances.
    parcels, edges : DataFrame
        Rows of the atlas. Those of units have a further column, ``wrong_here``: wrong pixels in the subset; where
        pixels are chosen the unit with most of them comes first.
    confusion : ndarray of int
        Pixels by true and predicted class, indices of the atlas's legend, at the distances and in the units that are
        asked for: whatever the classes that are asked for.
    """

    subset: Subset
    kinds_YX: NDArray[np.uint8] | None = field(repr=False)
    curve: pd.DataFrame = field(repr=False)
    anywhere: pd.DataFrame = field(repr=False)
    parcels: pd.DataFrame = field(repr=False)
    edges: pd.DataFrame = field(repr=False)
    confusion: NDArray[np.int64] = field(repr=False)

    @property
    def wrong(self) -> int:
        """Wrong pixels in the selection."""
        return int(self.curve["pixels"].sum() - self.curve["right"].sum())


def select(
    atlas: ErrorAtlas, subset: Subset, block_px: int = 1024, *, counts: ErrorCounts | None = None
) -> Job[Selection]:
    """Take a subset out of an atlas, complete with intervals; `counts`, from `count_errors`, spare it the counting."""
    if counts is None:
        counts = yield from count_errors(atlas, block_px)
    chosen = choose(atlas, counts, subset)
    if chosen.kinds_YX is None:
        chosen = replace(chosen, kinds_YX=(yield from chosen_kinds(atlas, subset, block_px)))
    return (yield from sure(atlas, counts, chosen))


def choose(atlas: ErrorAtlas, counts: ErrorCounts, subset: Subset, former: Selection | None = None) -> Selection:
    """Take a subset out of an atlas at once: the intervals of its curve are left for `sure`.

    Where a `former` selection differs by its distances alone, its accuracy by distance is taken over, with intervals.
    """
    declared, predicted, bins, units = _asked(atlas, counts, subset)
    here = counts.chosen(None, None, bins, units)
    rows = here & counts.chosen(declared, predicted) if subset.declared is not None or predicted is not None else here
    if replace(subset, distance_m=ANYWHERE) == Subset():
        anywhere = atlas.curve
    elif former is not None and replace(former.subset, distance_m=subset.distance_m) == subset:
        anywhere = former.anywhere
    else:
        anywhere = counts.curve(counts.chosen(declared, predicted, None, units), atlas)
    kinds = atlas.kinds_YX if subset == Subset() else None if counts.row_YX is None else counts.kinds(rows)
    edges = atlas.edges if subset == Subset() else atlas.edges[chosen_edges(atlas, subset)].reset_index(drop=True)
    return Selection(
        subset, kinds, anywhere if bins is None else _emptied(anywhere, ~bins), anywhere,
        _parcels(atlas, subset, counts, rows), edges, counts.confusion(here),
    )  # fmt: skip


def sure(atlas: ErrorAtlas, counts: ErrorCounts, selection: Selection) -> Job[Selection]:
    """Add the intervals to the curves of a selection, in short steps."""
    subset = selection.subset
    if not selection.anywhere["low"].isna().all():
        return selection
    declared, predicted, _, units = _asked(atlas, counts, subset)
    found = yield from counts.intervals(counts.chosen(declared, predicted, None, units))
    anywhere = selection.anywhere.assign(low=found.low, high=found.high)
    curve = anywhere if subset.distance_m == ANYWHERE else _emptied(anywhere, ~_bins(atlas, subset))
    return replace(selection, anywhere=anywhere, curve=curve)


def chosen_kinds(atlas: ErrorAtlas, subset: Subset, block_px: int = 1024) -> Job[NDArray[np.uint8]]:
    """Find the kinds of a subset's pixels, 0 elsewhere, axes (y, x), block by block."""
    kinds = np.zeros_like(atlas.kinds_YX)
    total = tile_count(kinds.shape, block_px)
    for number, block in enumerate(tiles(kinds.shape, block_px), 1):
        chosen = chosen_pixels(atlas, subset, block)
        np.copyto(kinds[block.slices], atlas.kinds_YX[block.slices], where=chosen)
        yield Progress("choosing errors", number, total, "block")
    return kinds


def chosen_pixels(atlas: ErrorAtlas, subset: Subset, block: Window | None = None) -> NDArray[np.bool_]:
    """Judged pixels of a block that belong to a subset, axes (y, x)."""
    part = slice(None) if block is None else block.slices
    kinds, labels = atlas.kinds_YX[part], atlas.labels
    chosen = kinds > 0
    if subset.declared is not None:
        chosen &= labels.ids[part] == subset.declared
    if subset.predicted is not None:
        chosen &= (kinds == Kind.RIGHT) | (atlas.guess_YX[part] == atlas.legend.ids.index(subset.predicted))
    if subset.distance_m != ANYWHERE:
        chosen &= _bins(atlas, subset)[atlas.bins_YX[part]]
    if subset.area_ha != ANYWHERE:
        wanted = atlas.parcels["id"][_of_size(atlas.parcels, subset)]
        chosen &= np.isin(atlas.units_YX[part], wanted)
    return chosen


def chosen_edges(atlas: ErrorAtlas, subset: Subset) -> Rows:
    """Rows of the table of edges: between chosen classes, with a unit of the right size, and within the distances."""
    a, b = atlas.edges["class_a"].to_numpy(), atlas.edges["class_b"].to_numpy()
    rows = np.ones(len(a), bool)
    for one in (subset.declared, subset.predicted):
        if one is not None:
            rows &= (a == one) | (b == one)
    if subset.area_ha != ANYWHERE:
        wanted = atlas.parcels["id"][_of_size(atlas.parcels, subset)]
        rows &= np.isin(atlas.edges["a"], wanted) | np.isin(atlas.edges["b"], wanted)
    near = atlas.curve["from_m"].to_numpy() < atlas.options.reach_m
    return rows & bool((_bins(atlas, subset) & near).any())


def chosen_pairs(atlas: ErrorAtlas, subset: Subset) -> pd.DataFrame:
    """Pairs of classes, as in the atlas, of the edges within the distances and of the right size, of any class."""
    rows = chosen_edges(atlas, replace(subset, declared=None, predicted=None))
    return atlas.pairs if rows.all() else class_pairs(atlas.edges[rows])


def wrong_as(atlas: ErrorAtlas, counts: ErrorCounts, subset: Subset, unit: int) -> tuple[str, int]:
    """Name the class that most wrong pixels of a unit, among those of a subset, are mapped as; and count them all."""
    declared, predicted, bins, units = _asked(atlas, counts, subset)
    by_class = counts.wrong_as(counts.chosen(declared, predicted, bins, units), unit)
    return (atlas.legend.names[int(by_class.argmax())] if by_class.any() else ""), int(by_class.sum())


def edge_near(atlas: ErrorAtlas, edges: pd.DataFrame, row: int, col: int, within_px: float) -> int | None:
    """Find the edge of a table that passes closest to a pixel: its row; None where none passes within a distance.

    Parameters
    ----------
    atlas : ErrorAtlas
        Where the units lie.
    edges : DataFrame
        Its edges, or some of them.
    row, col : int
        The pixel.
    within_px : float
        How far off an edge may pass, in pixels.
    """
    reach = max(1, math.ceil(within_px))
    top, left = max(0, row - reach), max(0, col - reach)
    part = atlas.units_YX[top : row + reach + 1, left : col + reach + 1]
    down, right = np.indices(part.shape)
    distance = np.hypot(down + top - row, right + left - col)
    seen = (part > 0) & (distance <= within_px)
    ids, of = np.unique(part[seen], return_inverse=True)
    nearest = np.full(len(ids), math.inf)
    np.minimum.at(nearest, of, distance[seen])
    there = np.flatnonzero(np.isin(edges["a"], ids) & np.isin(edges["b"], ids))
    if not len(there):
        return None
    a, b = (nearest[np.searchsorted(ids, edges[side].to_numpy()[there])] for side in "ab")
    return int(there[np.argmin(a + b)])


def _parcels(atlas: ErrorAtlas, subset: Subset, counts: ErrorCounts, rows: Rows) -> pd.DataFrame:
    """Rows of units of the right size and, where pixels are chosen, with a wrong one among them."""
    table = atlas.parcels
    if not subset.of_pixels:
        chosen = table if subset == Subset() else table[_of_size(table, subset)]
        return chosen.assign(wrong_here=chosen["wrong"]).reset_index(drop=True)
    here = counts.wrong(rows)[np.searchsorted(counts.ids, table["id"])]
    wanted = _of_size(table, subset) & (here > 0)
    chosen, here = table[wanted], here[wanted]
    found: pd.DataFrame = chosen.assign(wrong_here=here).iloc[np.argsort(-here, kind="stable")]
    return found.reset_index(drop=True)


def _asked(
    atlas: ErrorAtlas, counts: ErrorCounts, subset: Subset
) -> tuple[int | None, int | None, Rows | None, Rows | None]:
    """Turn a subset into what `ErrorCounts.chosen` is asked."""
    declared, predicted = (
        None if i is None else atlas.legend.ids.index(i) for i in (subset.declared, subset.predicted)
    )
    bins = None if subset.distance_m == ANYWHERE else _bins(atlas, subset)
    units = None
    if subset.area_ha != ANYWHERE:
        units = np.zeros(len(counts.ids), bool)
        units[np.searchsorted(counts.ids, atlas.parcels["id"])] = _of_size(atlas.parcels, subset)
    return declared, predicted, bins, units


def _emptied(curve: pd.DataFrame, bins: Rows) -> pd.DataFrame:
    """Take the pixels out of some classes of distance."""
    none = {name: 0 if values.dtype.kind in "iu" else math.nan for name, values in curve.items()}
    kept = {"from_m": curve["from_m"], "to_m": curve["to_m"]}
    return pd.DataFrame({name: np.where(bins, none[name], values) for name, values in curve.items()} | kept)


def _of_size(parcels: pd.DataFrame, subset: Subset) -> Any:
    return parcels["area_ha"].between(*subset.area_ha).to_numpy()


def _bins(atlas: ErrorAtlas, subset: Subset) -> Rows:
    low, high = subset.distance_m
    inside: Rows = ((atlas.curve["from_m"] >= low) & (atlas.curve["to_m"] <= high)).to_numpy()
    return inside
