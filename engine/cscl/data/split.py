"""Which pixels train, which steer and which judge: whole blocks of the scene, and never one parcel on two sides."""

from __future__ import annotations

from dataclasses import replace
from enum import IntEnum

import numpy as np
from numpy.typing import NDArray

from cscl.errors import InputError
from cscl.grid import Window
from cscl.products import LabelMap

__all__ = ["Side", "deal_blocks", "only", "split_blocks", "split_window", "without_strays"]


class Side(IntEnum):
    """Side of a pixel in a split map."""

    NONE = 0
    TRAIN = 1
    VALIDATION = 2
    TEST = 3


def split_blocks(
    labels: LabelMap, block_px: int, validation_share: float, test_share: float, seed: int, finer: int = 1
) -> NDArray[np.uint8]:
    """Assign the blocks of a scene to training, validation and test.

    Neighbouring pixels look alike, so pixels drawn at random would test on what was all but trained on. Of 64 random
    assignments of whole blocks the one is taken whose class shares are most alike on all sides. A parcel that lies in
    blocks of several sides goes to the side that holds most of it.

    Parameters
    ----------
    labels : LabelMap
        What is split.
    block_px : int
        Side of a block, in pixels of the images.
    validation_share, test_share : float
        Shares of the blocks.
    seed : int
        Of the random assignments.
    finer : int
        How many pixels of the labels lie along a side of one of the images.

    Returns
    -------
    ndarray
        Axes (y, x), uint8, values of `Side`; `Side.NONE` nowhere.

    Raises
    ------
    InputError
        If the scene has too few blocks for the shares wanted.
    """
    size = block_px * finer
    rows, cols = (-(-n // size) for n in labels.ids.shape)
    wanted = [round(share * rows * cols) for share in (validation_share, test_share)]
    needed = [max(1, n) if share > 0 else 0 for n, share in zip(wanted, (validation_share, test_share), strict=True)]
    if sum(needed) >= rows * cols:
        raise InputError(
            f"{labels.name}: {rows * cols} blocks of {block_px} pixels are too few to hold back {sum(needed)} of them. "
            "Set data.block_px lower, or data.validation_share and data.test_share to 0."
        )
    histogram = _class_histogram(labels, size)
    rng = np.random.default_rng([seed, 0x5B1])
    order = min((rng.permutation(rows * cols) for _ in range(64)), key=lambda o: _imbalance(histogram, o, needed))
    side_of_block = np.full(rows * cols, Side.TRAIN, np.uint8)
    side_of_block[order[: needed[0]]] = Side.VALIDATION
    side_of_block[order[needed[0] : sum(needed)]] = Side.TEST
    height, width = labels.ids.shape
    side = side_of_block.reshape(rows, cols).repeat(size, 0)[:height].repeat(size, 1)[:, :width]
    return side if labels.parcel_ids is None else _keep_parcels_whole(side, labels.parcel_ids)


def deal_blocks(histogram: NDArray[np.float64], folds: int, seed: int) -> NDArray[np.uint8]:
    """Deal blocks out to folds of nearly equal size: of 64 random ways the one whose class shares are most alike.

    Parameters
    ----------
    histogram : ndarray
        Pixels of each class in each block, axes (block, class).
    folds : int
        How many, at most as many as blocks.
    seed : int
        Of the random ways.

    Returns
    -------
    ndarray
        Shape (block,), uint8, fold 1, 2, ... of each.
    """
    sizes = [len(part) for part in np.array_split(np.arange(len(histogram)), folds)]
    rng = np.random.default_rng([seed, 0xF01D])
    orders = (rng.permutation(len(histogram)) for _ in range(64))
    order = min(orders, key=lambda o: _imbalance(histogram, o, sizes[:-1]))
    fold = np.empty(len(histogram), np.uint8)
    fold[order] = np.repeat(np.arange(1, folds + 1), sizes)
    return fold


def split_window(shape: tuple[int, int], train: Window) -> NDArray[np.uint8]:
    """Train inside a window, test outside it. A parcel that crosses the window's edge lies on both sides.

    The user draws this line, so it is exempt from the rule of whole parcels, and who uses it says so.
    """
    side = np.full(shape, Side.TEST, np.uint8)
    side[train.slices] = Side.TRAIN
    return side


def only(labels: LabelMap, side_YX: NDArray[np.uint8], side: Side) -> LabelMap:
    """Return the labels with every pixel on another side unknown, and its parcel left out."""
    keep = side_YX == side
    ids = np.where(keep, labels.ids, labels.ids.dtype.type(labels.legend.ignore))
    parcels = None if labels.parcel_ids is None else np.where(keep, labels.parcel_ids, np.int32(0))
    return replace(labels, ids=ids, parcel_ids=parcels)


def without_strays(side_YX: NDArray[np.uint8], parcel_ids: NDArray[np.int32] | None) -> NDArray[np.uint8]:
    """Take away the side of pixels that lie on another one than most of their parcel.

    A split that was made for other pixels or outlines cuts off rims of parcels: where one side learnt what grows there,
    the other must not judge it.
    """
    if parcel_ids is None:
        return side_YX
    return np.where(_keep_parcels_whole(side_YX, parcel_ids) == side_YX, side_YX, np.uint8(Side.NONE))


def _class_histogram(labels: LabelMap, block_px: int) -> NDArray[np.float64]:
    """Pixels of each class in each block, axes (block, class); one row of blocks at a time, for the sake of memory."""
    (height, width), classes = labels.ids.shape, len(labels.legend)
    first, cols = np.arange(width) // block_px * classes, -(-width // block_px)
    rows = []
    for row in range(0, height, block_px):
        index = labels.index(Window(row, 0, min(block_px, height - row), width))
        counts = np.bincount((first + index)[index >= 0], minlength=cols * classes)
        rows.append(counts.reshape(cols, classes))
    return np.concatenate(rows).astype(float)


def _imbalance(histogram: NDArray[np.float64], order: NDArray[np.int64], needed: list[int]) -> float:
    """Largest distance between the class shares of a side and of the scene; a side without pixels is worst."""
    total = histogram.sum(0) / max(1.0, histogram.sum())
    parts = np.split(order, np.cumsum(needed))
    worst = 0.0
    for part in parts:
        pixels = histogram[part].sum(0)
        if len(part):
            worst = max(worst, float(np.abs(pixels / max(1.0, pixels.sum()) - total).sum() if pixels.sum() else 2.0))
    return worst


def _keep_parcels_whole(side: NDArray[np.uint8], parcel_ids: NDArray[np.int32]) -> NDArray[np.uint8]:
    """Give each parcel to the side that holds most of it; pixels count by runs of one parcel and side along rows."""
    ids, sides = parcel_ids.ravel(), side.ravel()
    starts = np.flatnonzero((ids[1:] != ids[:-1]) | (sides[1:] != sides[:-1])) + 1
    starts = np.concatenate([[0], starts])
    length = np.diff(starts, append=ids.size)
    parcel, of_run = np.unique(ids[starts], return_inverse=True)
    votes = np.bincount(of_run * len(Side) + sides[starts], length, minlength=len(parcel) * len(Side))
    votes = votes.reshape(-1, len(Side))
    votes[:, Side.NONE] = 0
    most = votes.argmax(axis=1).astype(np.uint8)
    winner = np.where(ids[starts] > 0, most[of_run], sides[starts])
    return np.repeat(winner, length).reshape(side.shape)
