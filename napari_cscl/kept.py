"""Tiles of pictures that were looked at last, and those that are still to be read because reading takes long."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cscl.events import Job, Progress

__all__ = ["Kept", "fill"]

LONG_S = 0.2  # what the window may wait for


class Kept:
    """Tiles, up to a number of bytes. napari may ask from several threads.

    A key is step, date and tile. Where somebody listens, the window's thread never waits long for a tile: what it lacks
    is noted in `wanted`, and `called` is called, so that `fill` is run beside the window.

    Parameters
    ----------
    limit_bytes : int
        What is kept at most.
    """

    def __init__(self, limit_bytes: int) -> None:
        self._limit, self.nbytes = limit_bytes, 0
        self._tiles: OrderedDict[Any, NDArray[np.uint8]] = OrderedDict()
        self._lock = threading.Lock()
        self._told: set[str] = set()
        self._wanted: dict[Any, Callable[[], None]] = {}
        self.called: Callable[[], None] | None = None
        self.pace: dict[int, float] = {}  # seconds that a pixel takes to be read, by step

    def __len__(self) -> int:
        return len(self._tiles)

    def get(self, key: Any) -> NDArray[np.uint8] | None:
        """Return a tile; None if it is not kept."""
        with self._lock:
            if key in self._tiles:
                self._tiles.move_to_end(key)
            return self._tiles.get(key)

    def put(self, key: Any, tile: NDArray[np.uint8]) -> None:
        """Keep a tile, at the cost of those that nobody looked at for long."""
        with self._lock:
            if key not in self._tiles:
                self._tiles[key] = tile
                self.nbytes += tile.nbytes
            while self.nbytes > self._limit:
                self.nbytes -= self._tiles.popitem(last=False)[1].nbytes

    def tell(self, text: str) -> None:
        """Warn the user, once."""
        from napari.utils.notifications import show_warning

        if text not in self._told:
            self._told.add(text)
            show_warning(text)

    def is_long(self, step: int, pixels: int) -> bool:
        """Whether this thread should not wait for so many pixels."""
        waits = self.called is not None and threading.current_thread() is threading.main_thread()
        return waits and self.pace.get(step, 0.0) * pixels > LONG_S

    def want(self, readers: Mapping[Any, Callable[[], None]]) -> None:
        """Ask for tiles of a date, each with what reads and puts it; tiles of other dates are no longer asked for."""
        times = {time for _, time, _ in readers}
        with self._lock:
            self._wanted = {key: read for key, read in self._wanted.items() if key[1] in times} | dict(readers)
        if self.called is not None:
            self.called()

    @property
    def wanted(self) -> int:
        """Number of tiles that are still asked for."""
        return len(self._wanted)

    def next_wanted(self) -> tuple[Any, Callable[[], None]] | None:
        """Return what was asked for last; it counts as asked for until it is `done`."""
        with self._lock:
            return next(reversed(self._wanted.items()), None)

    def done(self, key: Any) -> None:
        """Ask for a tile no longer."""
        with self._lock:
            self._wanted.pop(key, None)


def fill(kept: Kept) -> Job[None]:
    """Read the tiles that are asked for, until there are none."""
    while (found := kept.next_wanted()) is not None:
        key, read = found
        try:
            read()
        finally:
            kept.done(key)
        yield Progress("reading images", 1, 1 + kept.wanted, "tile")
