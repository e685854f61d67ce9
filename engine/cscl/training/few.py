"""Training on the crops of few parcels: which ones, and labels that know no others. All outlines stay."""

from __future__ import annotations

from collections.abc import Generator, Iterator, Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from cscl.data.split import Side
from cscl.events import Event, Note, Progress
from cscl.metrics.regions import class_regions
from cscl.products import LabelMap, Scene

__all__ = ["draw_parcels", "with_few_crops"]

STRIP_PX = 512


def with_few_crops(
    scenes: Sequence[Scene], sides: Sequence[NDArray[np.uint8]], share: float, seed: int
) -> Generator[Event, None, list[Scene]]:
    """Return the scenes with the crops of a share of their parcels; of the others the crop is unknown.

    Parcels are drawn on the training and on the validation side apart; what is held back for the test stays. Labels
    without parcels are drawn by regions of one class that hang together. In scenes of one place the same are drawn.

    Parameters
    ----------
    scenes : sequence of Scene
        Images and labels.
    sides : sequence of ndarray
        Values of `Side` for the pixels of the labels of each scene, axes (y, x).
    share : float
        Share of the parcels with a known crop that is kept, above 0; at least one parcel of each class trains.
    seed : int
        What is drawn follows from it; of a smaller share, nothing but what a larger share holds, too.
    """
    found, used, known = [], 0, 0
    for number, (scene, side_YX) in enumerate(zip(scenes, sides, strict=True)):
        yield Progress("drawing parcels", number, len(scenes), "scene")
        place = next(i for i, other in enumerate(scenes) if other.labels.grid == scene.labels.grid)
        labels, counts = _thinned(scene.labels, side_YX, share, seed + place)
        found.append(replace(scene, labels=labels))
        used, known = used + counts[0], known + counts[1]
    yield Progress("drawing parcels", len(scenes), len(scenes), "scene")
    yield Note(
        f"Crops of {used} of {known} parcels are used ({100 * used / max(1, known):.1f} %), as data.label_share says; "
        "at least one of each class."
    )
    return found


def draw_parcels(
    parcel_P: NDArray[np.int64], class_P: NDArray[np.int64], share: float, every_class: bool, seed: int
) -> NDArray[np.int64]:
    """Draw a share of parcels at random.

    Parameters
    ----------
    parcel_P, class_P : ndarray
        Ids and classes of the parcels.
    share : float
        Share that is drawn, rounded to whole parcels.
    every_class : bool
        Draw at least one of each class, however small the share.
    seed : int
        What is drawn follows from it; a larger share holds all of a smaller one.

    Returns
    -------
    ndarray
        The ids drawn.
    """
    order = np.random.default_rng([seed, 0xFE3]).permutation(len(parcel_P))
    first = np.zeros(len(order), bool)
    first[np.unique(class_P[order], return_index=True)[1]] = every_class
    order = np.concatenate([order[first], order[~first]])
    return parcel_P[order[: max(round(share * len(order)), int(first.sum()))]]


def _thinned(labels: LabelMap, side_YX: NDArray[np.uint8], share: float, seed: int) -> tuple[LabelMap, tuple[int, int]]:
    """Labels with the crops of a share of the parcels, and how many those are of how many."""
    parcels_YX = labels.parcel_ids
    if parcels_YX is None:
        parcels_YX = class_regions(labels.ids, labels.legend.ignore)
    ids, used, known = labels.ids.copy(), 0, 0
    for side in (Side.TRAIN, Side.VALIDATION):
        parcel_P, class_P = _parcels(labels, parcels_YX, side_YX == side)
        kept = draw_parcels(parcel_P, class_P, share, side == Side.TRAIN, seed)
        used, known = used + len(kept), known + len(parcel_P)
        for rows in _strips(len(ids)):
            dropped = (side_YX[rows] == side) & ~np.isin(parcels_YX[rows], kept)
            ids[rows][dropped] = labels.legend.ignore
    return replace(labels, ids=ids), (used, known)


def _parcels(
    labels: LabelMap, parcels_YX: NDArray[np.int32], here_YX: NDArray[np.bool_]
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Ids of the parcels that have pixels of a known class here, in order, and the class of each."""
    classes = len(labels.legend)
    keys = [np.zeros(0, np.int64)]
    for rows in _strips(len(parcels_YX)):
        index = labels.legend.to_index(labels.ids[rows])
        wanted = here_YX[rows] & (parcels_YX[rows] > 0) & (index >= 0)
        key = parcels_YX[rows][wanted].astype(np.int64) * classes + index[wanted]
        starts = np.flatnonzero(np.diff(key, prepend=-1))  # a parcel is many pixels of one row: sort runs, not pixels
        keys.append(np.unique(key[starts]))
    parcel, first = np.unique(np.concatenate(keys) // max(1, classes), return_index=True)
    return parcel, np.concatenate(keys)[first] % max(1, classes)


def _strips(height: int) -> Iterator[slice]:
    return (slice(row, row + STRIP_PX) for row in range(0, height, STRIP_PX))
