"""Labels of a scene: the truth as rasters at 2.5 m and 10 m, and the parcel register with its imperfections."""

from __future__ import annotations

from typing import Any

import geopandas as gpd
import numpy as np
import shapely
from numpy.typing import NDArray

from cscl.grid import GeoBox

from .crops import CROPS
from .landscape import FINE_PER_PX, MARGIN_PX, Landscape
from .options import SeasonOptions

__all__ = ["MIXED", "majority", "register", "truth"]

MIXED = 255
"""Label of a 10 m pixel of which no class holds more than half."""


def truth(land: Landscape) -> tuple[NDArray[np.uint8], NDArray[np.uint8], NDArray[np.int32], NDArray[np.int32]]:
    """Rasters of what really grows where, without any error of the register.

    Returns
    -------
    labels, labels_2m5, parcel_ids, parcel_ids_2m5 : ndarray
        Axes (y, x). Labels are crop ids, 0 where no registered crop grows, and, at 10 m, `MIXED` where no class holds
        more than half of the 16 sub-pixels. Parcel ids are 0 outside parcels and where no parcel holds more than half.
    """
    inner = slice(MARGIN_PX * FINE_PER_PX, -MARGIN_PX * FINE_PER_PX)
    fine_ids = np.ascontiguousarray(land.parcel_ids[inner, inner])
    fine_labels = np.concatenate([[0], land.parcel_kind]).astype(np.uint8)[fine_ids]
    labels = majority(fine_labels, FINE_PER_PX, MIXED)
    return labels, fine_labels, majority(fine_ids, FINE_PER_PX, 0), fine_ids


def majority(fine: NDArray[Any], factor: int, otherwise: int) -> NDArray[Any]:
    """Value that more than half of each factor x factor block holds, else `otherwise`; axes (y, x)."""
    rows, cols = (n // factor for n in fine.shape)
    coarse = np.empty((rows, cols), fine.dtype)
    for r in range(rows):
        block = fine[r * factor : (r + 1) * factor].reshape(factor, cols, factor)
        values = np.sort(block.transpose(1, 0, 2).reshape(cols, factor**2), axis=1)
        # Of sorted values, one that holds more than half stands in the middle.
        middle = values[:, factor**2 // 2]
        held = (values == middle[:, None]).sum(1)
        coarse[r] = np.where(2 * held > factor**2, middle, otherwise)
    return coarse


def register(land: Landscape, grid: GeoBox, options: SeasonOptions) -> gpd.GeoDataFrame:
    """Parcels as a register has them, in the CRS of the grid.

    Returns
    -------
    GeoDataFrame
        Columns ``parcel_id``, ``crop`` and ``crop_name`` (as declared), ``true_crop``, ``geometry`` (as declared:
        moved by the shift of the scene and the jitter of the parcel).
    """
    rng = np.random.default_rng([options.seed, options.mosaic_seed, 4])
    n, codes = len(land.outlines), {crop.id: (crop.code, crop.name) for crop in CROPS}
    declared = _declared(land.parcel_kind, options.misdeclared_share, rng)
    angle = rng.uniform(0, 2 * np.pi)
    shift = options.outline_shift_m * np.array([np.cos(angle), np.sin(angle)])
    moves = shift + options.outline_jitter_m * rng.standard_normal((n, 2))
    west, north = grid.transform.c, grid.transform.f
    shapes = [
        shapely.transform(shape, lambda xy, move=move: (xy + move) * (1, -1) + (west, north))
        for shape, move in zip(land.outlines, moves, strict=True)
    ]
    columns = {
        "parcel_id": np.arange(1, n + 1, dtype=np.int32),
        "crop": [codes[k][0] for k in declared],
        "crop_name": [codes[k][1] for k in declared],
        "true_crop": [codes[k][0] for k in land.parcel_kind],
    }
    return gpd.GeoDataFrame(columns, geometry=shapes, crs=str(grid.crs))


def _declared(true: NDArray[np.int16], share: float, rng: np.random.Generator) -> list[int]:
    """Crops as declared: wrong ones are mostly of the same group, else as frequent as they are in the region."""
    declared = [int(k) for k in true]
    group = {crop.id: crop.group for crop in CROPS}
    for i in rng.permutation(len(true))[: round(share * len(true))]:
        weight = np.array(
            [0 if c.id == true[i] else c.share * (5 if c.group == group[int(true[i])] else 1) for c in CROPS]
        )
        declared[i] = int(rng.choice([c.id for c in CROPS], p=weight / weight.sum()))
    return declared
