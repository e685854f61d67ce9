"""A region that a user draws: from polygons to pixels, and which part of it is held back to judge by."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from rasterio.features import rasterize

from cscl.card import ModelCard
from cscl.data.split import Side
from cscl.errors import InputError
from cscl.grid import GeoBox, Window
from cscl.legend import Legend
from cscl.parcels import Parcels, rasterise
from cscl.products import LabelMap

__all__ = [
    "drawn_region", "hold_back", "in_legend", "region_of", "region_sides", "require_plain", "require_region",
    "window_of",
]  # fmt: skip

BLOCK_PX = 8

Mask = NDArray[np.bool_]


def drawn_region(polygons_px: Sequence[NDArray[Any]], shape: tuple[int, int]) -> Mask:
    """Find the pixels whose centre lies in one of some drawn polygons.

    Parameters
    ----------
    polygons_px : sequence of ndarray
        Corners of each polygon, axes (corner, 2): row and column, counted in pixels from the outer corner of the first
        pixel, whose centre is (0.5, 0.5). They may reach beyond the raster.
    shape : tuple of int
        Rows and columns of the raster.

    Returns
    -------
    ndarray of bool
        Axes (y, x).
    """
    rings = [np.asarray(corners, float)[:, ::-1].tolist() for corners in polygons_px if len(corners) > 2]
    if not rings:
        return np.zeros(shape, bool)
    shapes = [{"type": "Polygon", "coordinates": [[*ring, ring[0]]]} for ring in rings]
    return np.asarray(rasterize(shapes, out_shape=shape, fill=0, default_value=1, dtype="uint8"), bool)


def region_of(grid: GeoBox, window: str | None = None, polygons: str | Path | None = None) -> Mask:
    """Make a region from rows and columns, or else from a file of polygons.

    Parameters
    ----------
    grid : GeoBox
        Of the scene.
    window : str, optional
        As `Window.parse` reads it.
    polygons : path, optional
        Any file that `Parcels.open` reads; pixels whose centre lies in one of them belong to the region.

    Returns
    -------
    ndarray of bool
        Axes (y, x).

    Raises
    ------
    CSCLError
        If the window or the file cannot be read, or lies elsewhere.
    """
    height, width = grid.shape
    if window is not None or polygons is None:
        region = np.zeros((height, width), bool)
        region[Window.parse(window or ":,:", (height, width)).slices] = True
        return region
    inside = rasterise(Parcels.open(polygons), grid, Legend(())).parcel_ids
    return np.zeros((height, width), bool) if inside is None else np.asarray(inside > 0)


def hold_back(region_YX: Mask, labels: LabelMap, share: float, seed: int) -> Mask:
    """Choose the part of a region that is not learnt from, so that it can judge what was learnt.

    Whole parcels, class by class, so that each class has a parcel to learn from before one is held back; where the
    region holds too few parcels for that, blocks of 8 x 8 pixels. Pixels beside blocks were all but seen, so that
    what they say is the rosier of the two.

    Parameters
    ----------
    region_YX : ndarray of bool
        Axes (y, x).
    labels : LabelMap
        Of the same grid.
    share : float
        Of the parcels or blocks, 0..0.5.

    Returns
    -------
    ndarray of bool
        Axes (y, x), True inside the region only, and for pixels of known class only where parcels are held back.
    """
    rng = np.random.default_rng([seed, 0x4E6])
    held = np.zeros(region_YX.shape, bool)
    known = region_YX & (labels.legend.to_index(labels.ids) >= 0)
    if not share or not known.any():
        return held
    if labels.parcel_ids is not None:
        numbers = _every_so_many(*_parcels(labels, known & (labels.parcel_ids > 0)), share, rng)
        held = region_YX & np.isin(labels.parcel_ids, numbers)
    if not held.any():
        rows, cols = np.indices(region_YX.shape) // BLOCK_PX
        blocks = rows * (cols.max() + 1) + cols
        there = np.unique(blocks[known])
        held = region_YX & np.isin(blocks, _every_so_many(there, np.zeros_like(there), share, rng))
    return held


def region_sides(former_YX: NDArray[np.uint8] | None, region_YX: Mask, held_YX: Mask, labels: LabelMap) -> NDArray[Any]:
    """Sides of all pixels once a model was fine-tuned on a region; axes (y, x), uint8, values of `Side`.

    The region is training, what was held back of it validation: the user saw it and judges by it, so none of it may
    pass for unseen later. Elsewhere the former sides stay; without any, labels outside were never seen: test. Of
    parcels that the region's edge cuts, nothing is test.

    Parameters
    ----------
    former_YX : ndarray or None
        Sides in the training of the model that was fine-tuned; None if it was not trained on this grid.
    region_YX, held_YX : ndarray of bool
        The region, and what `hold_back` chose of it.
    labels : LabelMap
        Of the same grid.
    """
    side = np.full(region_YX.shape, Side.TEST, np.uint8) if former_YX is None else former_YX.copy()
    if labels.parcel_ids is not None:
        numbers = np.unique(labels.parcel_ids[region_YX])
        side[np.isin(labels.parcel_ids, numbers[numbers > 0]) & (side == Side.TEST)] = Side.NONE
    side[region_YX] = Side.TRAIN
    side[held_YX] = Side.VALIDATION
    return side


def require_plain(folder: Path, card: ModelCard) -> None:
    """Refuse a model whose maps are finer than the images: a region is drawn, and held back, in pixels of these.

    Raises
    ------
    InputError
        If it is one.
    """
    if card.finer > 1:
        raise InputError(
            f"{folder} maps {card.finer} times finer than the images, and regions are fine-tuned at the pixels of the "
            "images. Go on training it with cscl train --start."
        )


def require_region(region_YX: Mask, labels: LabelMap) -> None:
    """Refuse a region of another shape than the scene, without a pixel, or without a pixel of known class.

    Raises
    ------
    InputError
        The message says what to do.
    """
    if region_YX.shape != labels.ids.shape:
        raise InputError(
            f"The region has {region_YX.shape} pixels and the scene {labels.ids.shape}. Draw the region on this scene."
        )
    if not region_YX.any():
        raise InputError("The region is empty: no pixel of the scene has its centre in it. Draw it on the scene.")
    if not (labels.legend.to_index(labels.ids[region_YX]) >= 0).any():
        raise InputError(
            f"The labels {labels.name} know no class in the region, so there is nothing to learn from. Draw it where "
            "crops are known, or correct the labels there first."
        )


def window_of(region: NDArray[np.bool_]) -> Window:
    """Find the smallest window that holds all of a region, which is not empty; axes (y, x)."""
    (top, bottom), (left, right) = (np.flatnonzero(region.any(axis))[[0, -1]].tolist() for axis in (1, 0))
    return Window(top, left, bottom - top + 1, right - left + 1)


def in_legend(labels: LabelMap, known: Legend, region_YX: Mask) -> LabelMap:
    """Give labels the legend of a model, matched by code; what else occurs in the region goes behind it.

    A class whose code is its bare id, as in a raster without a legend, is matched by id. Other classes that do not
    occur in the region, axes (y, x), become unknown.
    """
    counts, by_code, classes = labels.counts(region_YX), dict(known.id_by_code()), list(known.classes)
    taken = {*known.ids, known.ignore}
    for c in labels.legend.classes:
        if c.code == str(c.id) and c.id in known.ids:
            by_code.setdefault(c.code, c.id)
        elif counts[c.id] and c.code not in by_code:
            number = c.id if c.id not in taken else next(i for i in range(1, 65536) if i not in taken)
            classes.append(replace(c, id=number))
            taken.add(number)
            by_code[c.code] = number
    legend = Legend(tuple(classes), known.ignore)
    table = np.array([*(by_code.get(c.code, legend.ignore) for c in labels.legend.classes), legend.ignore])
    return replace(labels, ids=table.astype(legend.dtype)[labels.index()], legend=legend)


def _parcels(labels: LabelMap, where_YX: Mask) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Numbers of the parcels of a mask and the class that most of each one's pixels have."""
    assert labels.parcel_ids is not None
    numbers, row = np.unique(labels.parcel_ids[where_YX].astype(np.int64), return_inverse=True)
    classes = len(labels.legend)
    votes = np.bincount(row * classes + labels.legend.to_index(labels.ids[where_YX]), minlength=len(numbers) * classes)
    return numbers, votes.reshape(-1, classes).argmax(1)


def _every_so_many(
    numbers: NDArray[np.int64], classes: NDArray[np.int64], share: float, rng: np.random.Generator
) -> list[int]:
    """Take a share of some numbers, evenly over the classes that they have; the first of a class is never taken."""
    taken, due, former = [], 0.0, -1
    for place in np.lexsort((rng.random(len(numbers)), classes)):
        due += share
        if due >= 1 and classes[place] == former:
            taken.append(int(numbers[place]))
            due -= 1
        former = classes[place]
    return taken
