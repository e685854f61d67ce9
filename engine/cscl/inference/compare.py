"""Before and after: what changed between two maps of a scene, inside a region and outside it, measured by labels."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from cscl.errors import GridError
from cscl.events import Job, Progress
from cscl.grid import Window, require_same, tile_count, tiles
from cscl.metrics.boundary import class_boundary
from cscl.metrics.classes import CommonLegend
from cscl.products import LabelMap, Prediction

__all__ = ["HELD_BACK", "LEARNT", "OUTSIDE", "Change", "Comparison", "compare"]

BLOCK_PX = 512
LEARNT, HELD_BACK, OUTSIDE = "region, learnt from", "region, held back", "outside the region"


@dataclass(frozen=True)
class Change:
    """Two maps in one place of a scene, at class boundaries (3 x 3 definition) or inside.

    Parameters
    ----------
    place : str
        Where.
    boundary : bool
        Whether the pixels lie at a class boundary.
    pixels : int
        Pixels of known class that both maps say something about.
    before, after : int
        Right ones among them.
    changed : int
        Those on which the maps differ.
    """

    place: str
    boundary: bool
    pixels: int
    before: int
    after: int
    changed: int

    @property
    def accuracy(self) -> tuple[float, float]:
        """Share of right pixels before and after, 0..1; NaN without pixels."""
        if not self.pixels:
            return float("nan"), float("nan")
        return self.before / self.pixels, self.after / self.pixels


@dataclass(frozen=True)
class Comparison:
    """What changed between two maps: two rows a place, boundary and interior."""

    changes: tuple[Change, ...]

    def at(self, place: str, *, boundary: bool | None = None) -> Change:
        """Change in a place, at boundaries or inside or, by default, both together."""
        rows = [c for c in self.changes if c.place == place and boundary in (None, c.boundary)]
        sums = (sum(getattr(c, name) for c in rows) for name in ("pixels", "before", "after", "changed"))
        return Change(place, bool(boundary), *sums)

    @property
    def places(self) -> tuple[str, ...]:
        """Places that hold pixels."""
        return tuple(dict.fromkeys(c.place for c in self.changes if c.pixels))

    def verdict(self) -> str:
        """Say in a sentence or two what was gained in the region and what it cost outside."""
        sentences = []
        for place in (HELD_BACK if HELD_BACK in self.places else LEARNT, OUTSIDE):
            change = self.at(place)
            if change.pixels:
                then, now = change.accuracy
                moved = change.changed / change.pixels
                sentences.append(
                    f"{place.capitalize()}: {then:.1%} right before, {now:.1%} now; {moved:.1%} of it changed."
                )
        return " ".join(sentences)

    def to_markdown(self) -> str:
        """Return a table of accuracies in percent."""
        lines = ["| where | pixels | before | after | changed |", "|---|---|---|---|---|"]
        for c in self.changes:
            if c.pixels:
                then, now = c.accuracy
                where = f"{c.place}, {'class boundary' if c.boundary else 'interior'}"
                lines.append(f"| {where} | {c.pixels} | {then:.1%} | {now:.1%} | {c.changed / c.pixels:.1%} |")
        return "\n".join(lines)


def compare(
    before: Prediction,
    after: Prediction,
    labels: LabelMap,
    region: NDArray[np.bool_],
    held_back: NDArray[np.bool_] | None = None,
) -> Job[Comparison]:
    """Compare two maps with labels inside and outside a region.

    Parameters
    ----------
    before, after : Prediction
        Maps of one scene; classes are matched with the labels by id.
    labels : LabelMap
        The truth as far as it is known.
    region : ndarray of bool
        Axes (y, x).
    held_back : ndarray of bool, optional
        Part of the region that was not learnt from, axes (y, x): counted apart.

    Raises
    ------
    GridError
        If the grids differ, or the region has another shape.
    """
    for prediction in (before, after):
        require_same(prediction.grid, labels.grid, f"The map {prediction.name} and the labels {labels.name}")
    if region.shape != labels.ids.shape:
        raise GridError(f"The region has {region.shape} pixels, the labels {labels.ids.shape}. Draw it on this scene.")
    place = np.where(region, 0, 2).astype(np.uint8)
    if held_back is not None:
        place[region & held_back] = 1
    common = CommonLegend.of_all(labels.legend, before.legend, after.legend)
    counts = np.zeros((3, 2, 4), np.int64)
    total = tile_count(region.shape, BLOCK_PX)
    for number, block in enumerate(tiles(region.shape, BLOCK_PX), 1):
        counts += _counts((before, after), common, labels, place[block.slices], block)
        yield Progress("comparing", number, total, "block")
    names = (LEARNT, HELD_BACK, OUTSIDE)
    return Comparison(tuple(
        Change(name, bool(edge), *(int(n) for n in counts[number, edge]))
        for number, name in enumerate(names) for edge in (1, 0)
    ))  # fmt: skip


def _counts(
    maps: tuple[Prediction, ...], common: tuple[CommonLegend, ...], labels: LabelMap, place: NDArray[np.uint8],
    block: Window,
) -> NDArray[np.int64]:  # fmt: skip
    """Count a block: axes (place, interior or boundary, what): known pixels, right before, right after, changed."""
    around = block.grown(1, labels.ids.shape)
    seen, inner = labels.index(around), block.within(around).slices
    truth, edge = seen[inner], class_boundary(seen)[inner]
    then, now = (known.index(one.read(block)[0]) for known, one in zip(common, maps, strict=True))
    counted = (truth >= 0) & (then >= 0) & (now >= 0)
    kinds = (np.ones_like(counted), then == truth, now == truth, then != now)
    row = place * 2 + edge
    return np.stack([np.bincount(row[counted & kind], minlength=6) for kind in kinds], -1).reshape(3, 2, 4)
