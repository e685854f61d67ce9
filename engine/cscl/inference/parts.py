"""Parts of a map: what each tile adds to it, ready to be kept, sent or written, and how parts become the map.

Most pixels of a tile are its own business, and are kept as the files of the map hold them, some two bytes each. Where
tiles blend, each keeps its weighted answers, which are added up in the order of the tiles, whoever made them, and
whenever: so a map that was interrupted, or made by many, has the very same pixels.
"""

from __future__ import annotations

import zipfile
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from uuid import uuid4

import numpy as np
from numpy.typing import NDArray

from cscl.legend import Legend

from .mapfiles import MapFiles, coded
from .stitch import Stitcher, Tile

__all__ = ["MapPart", "Merger", "part_of"]

_SEAMS = "seams"


@dataclass(frozen=True, eq=False)
class MapPart:
    """What a tile adds to the map.

    Parameters
    ----------
    files : mapping of str to ndarray
        For each file of the map its bands where the tile writes, axes (band, y, x); right where no tile blends in.
    seams_LP : ndarray
        Weighted answers where others blend in, axes (layer, pixel), float32: the classes, and whether it was seen.
    """

    files: Mapping[str, NDArray[Any]] = field(repr=False)
    seams_LP: NDArray[np.float32] = field(repr=False)

    def save(self, path: Path) -> None:
        """Write it to a file, which appears when it is whole; others may be writing the same one."""
        partial = path.with_suffix(f".{uuid4().hex}.partial")
        with partial.open("wb") as file:
            np.savez(file, **{**self.files, _SEAMS: self.seams_LP})  # type: ignore[arg-type]
        partial.replace(path)

    @classmethod
    def load(cls, path: Path) -> MapPart:
        """Read what `save` wrote.

        Raises
        ------
        OSError
            If the file is damaged.
        """
        try:
            with np.load(path) as stored:
                arrays = {name: stored[name] for name in stored.files}
            return cls(arrays, arrays.pop(_SEAMS))
        except (zipfile.BadZipFile, ValueError, KeyError, EOFError) as error:
            raise OSError(f"{path.name} is damaged ({error})") from error


def part_of(
    probabilities: NDArray[np.float32], seen: NDArray[np.bool_], weight: NDArray[np.float32], legend: Legend, *,
    many: bool,
) -> MapPart:  # fmt: skip
    """Make the part of a tile from its answer, axes (class, y, x) and (y, x), and its weights, axes (y, x).

    `many` is whether the map has a file of all probabilities.
    """
    shared = weight < 1
    answer_LP = np.concatenate([probabilities[:, shared], seen[None, shared]])
    return MapPart(coded(probabilities, seen, legend, many=many), answer_LP * weight[shared])


class Merger:
    """Writes parts to the files of the map, in the order of the tiles, as soon as those before are there.

    Parameters
    ----------
    tiles : sequence of Tile
        All tiles of the map.
    files : MapFiles
        Where they go to.
    shape : tuple of int
        Rows and columns of the map.
    blend_px : int
        Width over which tiles blend, pixels of the map.
    load : callable
        Gives the part of a number that was put without it.
    """

    def __init__(
        self, tiles: Sequence[Tile], files: MapFiles, shape: tuple[int, int], blend_px: int,
        load: Callable[[int], MapPart],
    ) -> None:  # fmt: skip
        self._tiles, self._files, self._load = tiles, files, load
        self._layers = len(files.legend) + 1
        self._stitcher = Stitcher(self._layers, shape, blend_px) if blend_px else None
        self._waiting: set[int] = set()
        self._next = 0

    def put(self, numbers: Iterable[int], parts: Iterable[MapPart] | None = None) -> None:
        """Take what tiles add; without the parts they are loaded when it is their turn."""
        at_hand = dict(zip(numbers, parts, strict=True)) if parts is not None else {}
        self._waiting |= set(numbers)
        while self._next in self._waiting:
            self._waiting.remove(self._next)
            part = at_hand.get(self._next)
            self._write(self._tiles[self._next], self._load(self._next) if part is None else part)
            self._next += 1

    def _write(self, tile: Tile, part: MapPart) -> None:
        if self._stitcher is None:
            self._files.put(tile.write, part.files)
            return
        shared = tile.weights(self._stitcher.shape, self._stitcher.blend_px) < 1
        sums = np.zeros((self._layers, *shared.shape), np.float32)
        sums[:, shared] = part.seams_LP
        place, done = self._stitcher.add_weighted(tile, sums)
        blended = coded(done[:-1], done[-1] > 0, self._files.legend, many=self._files.many)
        here = (slice(None, place.height), slice(None, place.width))
        own = {name: part.files[name][:, *here] for name in blended}
        self._files.put(place, {name: np.where(shared[here], blended[name], own[name]) for name in blended})
