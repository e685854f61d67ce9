"""Training on the crops of few parcels: which ones, and labels that know no others. All outlines stay."""

from __future__ import annotations

from collections.abc import Generator, Iterator, Mapping, Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from cscl.data.split import Side
from cscl.events import Event, Note, Progress
from cscl.metrics.regions import class_regions
from cscl.products import LabelMap, Scene

__all__ = ["draw_parcels", "with_few_crops"]

STRIP_PX = 512
ID_BITS = 32  # of a number that holds place and parcel, those of the parcel
ID_MASK = 2**ID_BITS - 1


def with_few_crops(
    scenes: Sequence[Scene], sides: Sequence[NDArray[np.uint8]], share: float, seed: int
) -> Generator[Event, None, list[Scene]]:
    """Return the scenes with the crops of a share of their parcels; of the others the crop is unknown.

    Parcels are drawn from all scenes together, on the training and on the validation side apart; what is held back for
    the test stays. Of scenes of one place the same are drawn. Labels without parcels are drawn by regions of one class
    that hang together.

    Parameters
    ----------
    scenes : sequence of Scene
        Images and labels of one legend.
    sides : sequence of ndarray
        Values of `Side` for the pixels of the labels of each scene, axes (y, x).
    share : float
        Share of the parcels with a known crop that is kept, above 0; at least one parcel of each class trains.
    seed : int
        What is drawn follows from it; of a smaller share, nothing but what a larger share holds, too.
    """
    numbered, total = [], 2 * len(scenes)
    for number, scene in enumerate(scenes):
        yield Progress("drawing parcels", number, total, "scene")
        numbered.append(_numbered(scene.labels))
    place = _places(scenes)
    kept = {side: _drawn(scenes, sides, numbered, place, side, share, seed) for side in (Side.TRAIN, Side.VALIDATION)}
    found = []
    for number, (scene, side_YX) in enumerate(zip(scenes, sides, strict=True)):
        yield Progress("drawing parcels", len(scenes) + number, total, "scene")
        own = {side: keys[keys >> ID_BITS == place[number]] & ID_MASK for side, (keys, _) in kept.items()}
        found.append(replace(scene, labels=_thinned(scene.labels, numbered[number], side_YX, own)))
    yield Progress("drawing parcels", total, total, "scene")
    used, known = sum(len(keys) for keys, _ in kept.values()), sum(count for _, count in kept.values())
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


def _numbered(labels: LabelMap) -> NDArray[np.int32]:
    """Ids of the parcels, axes (y, x); of regions of one class where there are none."""
    return class_regions(labels.ids, labels.legend.ignore) if labels.parcel_ids is None else labels.parcel_ids


def _places(scenes: Sequence[Scene]) -> list[int]:
    """Say which scenes know the same parcels: those of one grid, unless they know none."""
    known: dict[object, int] = {}
    return [
        known.setdefault(number if scene.labels.parcel_ids is None else scene.labels.grid, number)
        for number, scene in enumerate(scenes)
    ]


def _drawn(
    scenes: Sequence[Scene], sides: Sequence[NDArray[np.uint8]], numbered: Sequence[NDArray[np.int32]],
    place: Sequence[int], side: Side, share: float, seed: int,
) -> tuple[NDArray[np.int64], int]:  # fmt: skip
    """Draw from a side of all scenes; return place and id of each parcel in one number, and from how many."""
    found = [
        _parcels(scene.labels, parcels_YX, side_YX == side)
        for scene, side_YX, parcels_YX in zip(scenes, sides, numbered, strict=True)
    ]
    keys = np.concatenate([(at << ID_BITS) + parcel_P for at, (parcel_P, _) in zip(place, found, strict=True)])
    key_P, first = np.unique(keys, return_index=True)
    class_P = np.concatenate([classes for _, classes in found])[first]
    return draw_parcels(key_P, class_P, share, side == Side.TRAIN, seed), len(key_P)


def _thinned(
    labels: LabelMap, parcels_YX: NDArray[np.int32], side_YX: NDArray[np.uint8], kept: Mapping[Side, NDArray[np.int64]]
) -> LabelMap:
    """Labels that know no crops on these sides but those of the parcels that are kept."""
    ids = labels.ids.copy()
    for rows in _strips(len(ids)):
        for side, parcel_P in kept.items():
            dropped = (side_YX[rows] == side) & ~np.isin(parcels_YX[rows], parcel_P)
            ids[rows][dropped] = labels.legend.ignore
    return replace(labels, ids=ids)


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
