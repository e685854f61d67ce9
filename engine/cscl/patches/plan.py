"""Which patches a dataset has, and the fold of each: whole blocks of ground, and no parcel in two folds.

Labels are looked at block by block, so that a tile takes no more memory than a field. Blocks are dealt out to folds; a
parcel that lies in blocks of several folds belongs to the one that holds most of its pixels, and its pixels elsewhere
are void. Scenes on one grid, such as several years of a tile, share the folds of their blocks, and parcels of one
file that of their parcels.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray
from shapely.geometry import box

from cscl.data.split import deal_blocks
from cscl.errors import InputError
from cscl.events import Job, Note, Progress
from cscl.grid import Window, same, tile_count, tiles

from .ground import Ground, cut
from .options import PatchOptions

__all__ = ["Plan", "PlannedScene", "file_of", "grid_of", "plan"]

ENOUGH_BLOCKS = 3  # a fold, so that folds can be alike
MOST_PATCHES = 10  # along a block


@dataclass(frozen=True, eq=False)
class PlannedScene:
    """The patches of one scene.

    Parameters
    ----------
    ground : Ground
        Images and parcels.
    row, col : ndarray
        Upper left pixel of each patch in the images; shape (patch,), int32.
    fold : ndarray
        Fold of each patch, from 1; shape (patch,), uint8.
    parcels, fold_of_parcel : ndarray
        Ids of the parcels that hold a pixel, ascending, and the fold of each; shape (parcel,).
    """

    ground: Ground
    row: NDArray[np.int32] = field(repr=False)
    col: NDArray[np.int32] = field(repr=False)
    fold: NDArray[np.uint8] = field(repr=False)
    parcels: NDArray[np.int64] = field(repr=False)
    fold_of_parcel: NDArray[np.uint8] = field(repr=False)

    def __len__(self) -> int:
        return len(self.row)

    def folds_at(self, parcel_ids: NDArray[np.int32]) -> NDArray[np.uint8]:
        """Fold of the parcel of each pixel; 0 where there is none. Same shape."""
        return _folds_at(parcel_ids, self.parcels, self.fold_of_parcel)


@dataclass(frozen=True)
class Plan:
    """What is to be written, and what is left out.

    Parameters
    ----------
    scenes : tuple of PlannedScene
        Those that have patches, or none.
    block_px : int
        Side of a block, pixels of the images.
    unlabelled : int
        Patches left out since no pixel of them has a class.
    divided : int
        Parcels that lie in blocks of several folds.
    """

    scenes: tuple[PlannedScene, ...]
    block_px: int
    unlabelled: int
    divided: int


@dataclass(frozen=True, eq=False)
class _Seen:
    """What one scene shows: places of its patches, their blocks, the parcels with a class in them, and all parcels."""

    places: list[Window]
    block: NDArray[np.int64]
    known: list[NDArray[np.int32]]
    histogram: NDArray[np.float64]
    votes: NDArray[np.int64]  # axes (vote, 3): parcel, block, pixels


def grid_of(grounds: Sequence[Ground]) -> list[int]:
    """Find the first scene that each lies on the same grid as."""
    return [next(i for i, other in enumerate(grounds) if same(g.cube.grid, other.cube.grid)) for g in grounds]


def file_of(grounds: Sequence[Ground]) -> list[int]:
    """Find the first scene that each has its parcels from the same file as; or, in memory, of the same name."""
    names = [str(g.parcels.path or g.parcels.name) for g in grounds]
    return [names.index(name) for name in names]


def plan(grounds: Sequence[Ground], options: PatchOptions) -> Job[Plan]:
    """Look at all labels, and choose patches and folds.

    Raises
    ------
    InputError
        If a scene is smaller than a patch, there are too few blocks, or no patch has a label.
    """
    _require_fitting(grounds, options)
    block_px = options.block_px or _block_px(grounds, options)
    yield from _overlaps(grounds)
    seen: list[_Seen] = []
    for ground in grounds:
        seen.append((yield from _looked_at(ground, block_px, options)))
    on = grid_of(grounds)
    fold_of_block = _dealt(seen, on, block_px, options)
    parcels = _voted(seen, on, file_of(grounds), fold_of_block, options.folds)
    scenes = [
        _chosen(ground, one, fold_of_block[grid], *parcels[file], keep=options.unlabelled)
        for ground, one, grid, file in zip(grounds, seen, on, file_of(grounds), strict=True)
    ]
    if not any(len(scene) for scene in scenes):
        raise InputError(
            f"No pixel of the patches has a class: {sum(len(s.places) for s in seen)} patches were looked at. Check "
            "the class column, or the legend, whose codes must be those of the parcels."
        )
    left = sum(len(s.places) for s in seen) - sum(map(len, scenes))
    return Plan(tuple(scenes), block_px, left, _divided(seen, on, file_of(grounds), fold_of_block))


def _require_fitting(grounds: Sequence[Ground], options: PatchOptions) -> None:
    for ground in grounds:
        rows, cols = ground.cube.shape
        if min(rows, cols) < options.patch_px:
            raise InputError(
                f"{ground.name} has {rows} x {cols} pixels, fewer than a patch of {options.patch_px}. Use --patch-px "
                f"{min(rows, cols)} or less."
            )


def _block_px(grounds: Sequence[Ground], options: PatchOptions) -> int:
    """As large as leaves enough blocks, at most ten patches."""
    enough = ENOUGH_BLOCKS * options.folds
    for patches in range(MOST_PATCHES, 1, -1):
        size = patches * options.patch_px
        shapes = {(*g.cube.shape, number) for g, number in zip(grounds, grid_of(grounds), strict=True)}
        if sum(_whole(rows, size, options) * _whole(cols, size, options) for rows, cols, _ in shapes) >= enough:
            return size
    return options.patch_px


def _whole(pixels: int, size: int, options: PatchOptions) -> int:
    """How many blocks along a side hold a patch."""
    return pixels // size + (pixels % size >= options.patch_px)


def _overlaps(grounds: Sequence[Ground]) -> Job[None]:
    """Say where scenes on different grids show one place: its images may then lie in two folds."""
    extents = [box(*g.cube.grid.geographic_extent.boundingbox.bbox) for g in grounds]
    for number, on in enumerate(grid_of(grounds)):
        for other in range(number):
            if on != grid_of(grounds)[other] and extents[number].intersection(extents[other]).area > 0:
                yield Note(
                    f"{grounds[other].name} and {grounds[number].name} may show the same place on different grids: its "
                    "images can lie in two folds. Bring both onto one grid to be sure.",
                    warning=True,
                )


def _looked_at(ground: Ground, block_px: int, options: PatchOptions) -> Job[_Seen]:
    """Rasterise block by block, in the finest pixels that are wanted, and note what each patch shows."""
    finer, classes = options.finer, len(ground.legend)
    places, blocks, known, rows, votes = [], [], [], [], []
    total = tile_count(ground.cube.shape, block_px)
    for number, block in enumerate(tiles(ground.cube.shape, block_px)):
        labels = ground.labels(block, finer)
        index, parcels = labels.index(), labels.parcel_ids
        assert parcels is not None
        rows.append(np.bincount(index[index >= 0], minlength=classes))
        ids, count = np.unique(parcels[parcels > 0], return_counts=True)
        votes.append(np.stack([ids, np.full(len(ids), number), count], 1).astype(np.int64))
        for place in cut(block, options.patch_px, options.step_px):
            inside = place.within(block).refined(finer).slices
            places.append(place)
            blocks.append(number)
            known.append(np.unique(parcels[inside][index[inside] >= 0]))
        yield Progress(f"looking at {ground.name}", number + 1, total, "block")
    return _Seen(places, np.array(blocks, np.int64), known, np.array(rows, float), np.concatenate(votes))


def _dealt(seen: Sequence[_Seen], on: Sequence[int], block_px: int, options: PatchOptions) -> dict[int, Any]:
    """Fold of each block of each grid; 0 for blocks in which no patch has a label."""
    histograms = {g: sum(s.histogram for s, grid in zip(seen, on, strict=True) if grid == g) for g in sorted(set(on))}
    used: dict[int, NDArray[np.bool_]] = {}
    for grid, histogram in histograms.items():
        used[grid] = np.zeros(len(np.asarray(histogram)), bool)
        for one in (s for s, number in zip(seen, on, strict=True) if number == grid):
            used[grid][[b for b, ids in zip(one.block, one.known, strict=True) if len(ids) or options.unlabelled]] = (
                True
            )
    joined = np.concatenate([np.asarray(histograms[grid])[used[grid]] for grid in histograms])
    if len(joined) < options.folds:
        raise InputError(
            f"{len(joined)} blocks of {block_px} pixels have labelled patches, too few for {options.folds} folds. "
            "Give smaller blocks with --block-px, smaller patches, or --folds 3."
        )
    folds = deal_blocks(joined, options.folds, options.seed)
    dealt, start = {}, 0
    for grid, mask in used.items():
        dealt[grid] = np.zeros(len(mask), np.uint8)
        dealt[grid][mask] = folds[start : start + mask.sum()]
        start += int(mask.sum())
    return dealt


def _by_parcel(
    seen: Sequence[_Seen], on: Sequence[int], files: Sequence[int], fold_of_block: dict[int, Any]
) -> dict[int, NDArray[np.int64]]:
    """Parcel, fold and pixels of each vote, axes (vote, 3), by file of parcels."""
    found: dict[int, list[NDArray[np.int64]]] = {file: [] for file in files}
    for one, grid, file in zip(seen, on, files, strict=True):
        fold = fold_of_block[grid][one.votes[:, 1]].astype(np.int64)
        found[file].append(np.stack([one.votes[:, 0], fold, one.votes[:, 2]], 1)[fold > 0])
    return {file: np.concatenate(parts) for file, parts in found.items()}


def _voted(
    seen: Sequence[_Seen], on: Sequence[int], files: Sequence[int], fold_of_block: dict[int, Any], folds: int
) -> dict[int, tuple[NDArray[np.int64], NDArray[np.uint8]]]:
    """Parcels of each file, and the fold that holds most of each; of equals the first."""
    fold_of = {}
    for file, votes in _by_parcel(seen, on, files, fold_of_block).items():
        parcels, of = np.unique(votes[:, 0], return_inverse=True)
        table = np.bincount(of * (folds + 1) + votes[:, 1], votes[:, 2], len(parcels) * (folds + 1))
        fold_of[file] = parcels, table.reshape(-1, folds + 1).argmax(1).astype(np.uint8)
    return fold_of


def _divided(seen: Sequence[_Seen], on: Sequence[int], files: Sequence[int], fold_of_block: dict[int, Any]) -> int:
    """Count the parcels that lie in blocks of several folds."""
    pairs = (np.unique(votes[:, :2], axis=0) for votes in _by_parcel(seen, on, files, fold_of_block).values())
    return sum(int((np.unique(pair[:, 0], return_counts=True)[1] > 1).sum()) for pair in pairs)


def _chosen(
    ground: Ground,
    seen: _Seen,
    fold_of_block: NDArray[np.uint8],
    parcels: NDArray[np.int64],
    fold_of_parcel: NDArray[np.uint8],
    *,
    keep: bool,
) -> PlannedScene:
    """Keep the patches in which a parcel of their fold has a class."""
    fold = fold_of_block[seen.block]
    kept = [
        number
        for number, ids in enumerate(seen.known)
        if fold[number] and (keep or (_folds_at(ids, parcels, fold_of_parcel) == fold[number]).any())
    ]
    row, col = (np.array([getattr(seen.places[n], axis) for n in kept], np.int32) for axis in ("row", "col"))
    return PlannedScene(ground, row, col, fold[kept], parcels, fold_of_parcel)


def _folds_at(ids: NDArray[Any], parcels: NDArray[np.int64], fold_of_parcel: NDArray[np.uint8]) -> NDArray[np.uint8]:
    if not len(parcels):
        return np.zeros(ids.shape, np.uint8)
    place = np.searchsorted(parcels, ids).clip(max=len(parcels) - 1)
    return np.where(parcels[place] == ids, fold_of_parcel[place], np.uint8(0))
