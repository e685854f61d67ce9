"""The door from the entries of a dataset to tensors: each entry once an epoch, opened when its turn comes.

Batches are those of `cscl.data.batches`. One is a pure function of the seed and the step here, too.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from cscl.cube import SITSCube
from cscl.data.batches import Batch, Patches, Source, collate, filled_up, wanted
from cscl.data.datasets import Entry
from cscl.data.split import Side
from cscl.errors import InputError
from cscl.grid import Window, tiles
from cscl.products import Scene

__all__ = ["EntryPatches", "whole_source"]


def whole_source(scene: Scene, side: Side, bands: Sequence[str], days: NDArray[np.int64]) -> Source:
    """Make a source of a scene that lies on one side as a whole, in some of its bands."""
    side_YX = np.broadcast_to(np.uint8(side), scene.labels.ids.shape)  # takes no memory
    return Source(replace(scene, cube=scene.cube.select(bands=bands)), side_YX, days)


class EntryPatches(Patches):
    """Draws batches of patches from the entries of a dataset.

    Each entry is drawn once before any is drawn again, in a new order each time, as published protocols do; of an entry
    that is larger than a patch, a piece is cut at random.

    Parameters
    ----------
    entries : sequence of Entry
        All of one side.
    side : Side
        Their side.
    bands : sequence of str
        Bands to read, in order.
    days_of : callable
        ``days_of(dates)`` returns the days since the reference date of the model.
    target, patch_px, dates, mean, std, augment, seed, date_dropout, jitter
        As for `Patches`.
    """

    def __init__(
        self,
        entries: Sequence[Entry],
        side: Side,
        target: str,
        patch_px: int,
        dates: int,
        mean: NDArray[np.float64],
        std: NDArray[np.float64],
        *,
        bands: Sequence[str],
        days_of: Callable[[NDArray[np.datetime64]], NDArray[np.int64]],
        **drawing: Any,
    ) -> None:
        super().__init__((), side, target, patch_px, dates, mean, std, **drawing)
        self.entries, self.bands, self.days_of, self.patch_px = entries, bands, days_of, patch_px
        self.pixels = len(entries)  # whether there are any is all that is asked
        self._order = lru_cache(2)(self._shuffled)

    def draw(self, step: int, size: int) -> Batch:
        """Draw the batch of a step: `size` patches."""
        samples = []
        for number, rng in self._random(step, size):
            epoch, place = divmod(step * size + number, len(self.entries))
            source = self._source(self.entries[self._order(epoch)[place]])
            samples.append(self._sample(source, self._piece(source.scene.cube, rng), rng))
        return collate(samples)

    def fixed(self, size: int, patch_px: int, most: int, multiple_px: int = 1) -> Iterator[Batch]:
        """Yield batches that tile the wanted pixels of all entries, unaugmented and always the same.

        Patches have the side that is trained on, whatever is asked for, and none is left out: a published figure counts
        every pixel.
        """
        waiting: dict[tuple[int, int], list[tuple[Tensor, ...]]] = {}
        for entry in self.entries:
            source = self._source(entry)
            for window in tiles(source.scene.cube.shape, self.patch_px):
                if not wanted(source, self.side, self.target, window).any():
                    continue
                group = waiting.setdefault((window.height, window.width), [])
                group.append(self._sample(source, window, None))
                if len(group) == size:
                    yield filled_up(collate(group), multiple_px)
                    group.clear()
        for group in filter(None, waiting.values()):
            yield filled_up(collate(group), multiple_px)

    def _shuffled(self, epoch: int) -> NDArray[np.int64]:
        return np.random.default_rng([self.seed, int(self.side), 0xE70C, epoch]).permutation(len(self.entries))

    def _source(self, entry: Entry) -> Source:
        scene = entry.open()
        return whole_source(scene, self.side, self.bands, self.days_of(scene.cube.dates))

    def _piece(self, cube: SITSCube, rng: np.random.Generator) -> Window:
        """Cut a patch out of an entry, anywhere.

        Raises
        ------
        InputError
            If the entry is smaller.
        """
        if min(cube.shape) < self.patch_px:
            raise InputError(
                f"{cube.name} has {cube.shape[0]} x {cube.shape[1]} pixels, fewer than a patch of {self.patch_px}. Use "
                f"--set data.patch_px={min(cube.shape)}."
            )
        row, col = (int(rng.integers(n - self.patch_px + 1)) for n in cube.shape)
        return Window(row, col, self.patch_px, self.patch_px)
