"""What a run is told of its scenes: the crops of some parcels only, and outlines as they are or wrong on purpose."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import shapely
from numpy.typing import NDArray
from scipy.spatial import cKDTree

from cscl.errors import InputError
from cscl.parcels import Parcels, rasterise
from cscl.products import LabelMap, Scene

from .places import Data
from .protocol import Plan

__all__ = ["few_crops", "moved_ids", "random_ids", "scenes_of"]


def scenes_of(plan: Plan, data: Data) -> list[Scene]:
    """Training scenes as a run gets them; arms of one season, share and seed know the crops of the same parcels.

    Raises
    ------
    InputError
        If the run needs parcels and the labels are a raster.
    """
    kept = few_crops([scene.labels for scene in data.train], plan.share, plan.seed)
    scenes = []
    for number, (scene, labels, parcels) in enumerate(zip(data.train, kept, data.parcels, strict=True)):
        rng = np.random.default_rng([plan.seed, number, 0x0E7])
        if plan.arm.outlines == "random":
            labels = replace(labels, parcel_ids=random_ids(_ids(labels), rng))
        elif plan.arm.outlines == "shifted":
            if parcels is None:
                raise InputError(f"Outlines of {labels.name} cannot be moved: it is a raster. Give parcels.")
            labels = replace(labels, parcel_ids=moved_ids(parcels, labels, plan.arm.shift_m, plan.arm.jitter_m, rng))
        scenes.append(replace(scene, labels=labels))
    return scenes


def few_crops(maps: Sequence[LabelMap], share: float, seed: int) -> list[LabelMap]:
    """Keep the crops of a share of the parcels of all scenes together, drawn by a seed; outlines all stay.

    At least one parcel of each class is kept. What a smaller share keeps, a larger one of the same seed keeps, too. The
    turn of a parcel depends on its scene and id alone: outlines that lie otherwise change next to nothing.

    Raises
    ------
    InputError
        If less than all is to be kept and the labels come from a raster.
    """
    if share >= 1:
        return list(maps)
    declared = [_declared(number, labels, seed) for number, labels in enumerate(maps)]
    scene, parcel, crop, turn = (np.concatenate(column) for column in zip(*declared, strict=True))
    order = np.argsort(turn)
    first = order[np.unique(crop[order], return_index=True)[1]]
    kept = np.union1d(order[: round(share * len(order))], first)
    few = []
    for number, labels in enumerate(maps):
        known = np.isin(_ids(labels), parcel[kept][scene[kept] == number])
        ids = np.where(known, labels.ids, labels.ids.dtype.type(labels.legend.ignore))
        few.append(replace(labels, ids=ids))
    return few


def _declared(number: int, labels: LabelMap, seed: int) -> tuple[NDArray[Any], ...]:
    """Scene, id, class and random turn of each parcel of known class; of several classes in one, the first counts."""
    index, ids = labels.index(), _ids(labels)
    known = (index >= 0) & (ids > 0)
    parcel, at = np.unique(ids[known], return_index=True)
    turns = np.random.default_rng([seed, number, 0xFE3]).random(int(ids.max()) + 1)
    return np.full(len(parcel), number), parcel, index[known][at], turns[parcel]


def random_ids(ids_YX: NDArray[np.int32], rng: np.random.Generator) -> NDArray[np.int32]:
    """Ids of a Voronoi tessellation with as many cells as there are parcels, where there are parcels; axes (y, x)."""
    rows, cols = ids_YX.shape
    count = len(np.unique(ids_YX[ids_YX > 0]))
    centres = rng.random((max(1, count), 2)) * (rows, cols)
    pixels = np.indices((rows, cols)).reshape(2, -1).T + 0.5
    cell = np.asarray(cKDTree(centres).query(pixels)[1]).reshape(rows, cols) + 1
    return np.where(ids_YX > 0, cell, 0).astype(np.int32)


def moved_ids(
    parcels: Parcels, labels: LabelMap, shift_m: float, jitter_m: float, rng: np.random.Generator
) -> NDArray[np.int32]:
    """Ids of parcels that are all moved by `shift_m` in one random direction, and each by some more; axes (y, x)."""
    angle = rng.uniform(0, 2 * np.pi)
    table = parcels.table.to_crs(str(labels.grid.crs))
    moves = shift_m * np.array([np.cos(angle), np.sin(angle)]) + jitter_m * rng.standard_normal((len(table), 2))
    shapes = [
        shapely.transform(shape, lambda xy, move=move: xy + move)
        for shape, move in zip(table.geometry, moves, strict=True)
    ]
    moved = replace(parcels, table=table.set_geometry(shapes, crs=table.crs))
    return _ids(rasterise(moved, labels.grid, labels.legend))


def _ids(labels: LabelMap) -> NDArray[np.int32]:
    if labels.parcel_ids is None:
        raise InputError(f"{labels.name} has no parcel ids. Give parcels as polygons, or take all crops: shares = [1].")
    return labels.parcel_ids
