"""How far a map has moved the edges of its labels, pixel by pixel, as a raster for the whole scene."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from cscl.events import Job, Progress
from cscl.grid import Window, tile_count
from cscl.metrics.displacement import signed_displacement
from cscl.products import Prediction
from cscl.report.kinds import Kind

from .explore import ErrorAtlas
from .look import Matched

__all__ = ["edge_displacement"]


def edge_displacement(atlas: ErrorAtlas, prediction: Prediction) -> Job[NDArray[np.float32]]:
    """Tell how far the wrong class reaches beyond the true edge, block by block.

    Parameters
    ----------
    atlas : ErrorAtlas
        Errors of the map.
    prediction : Prediction
        The map.

    Returns
    -------
    ndarray of float32
        Metres, axes (y, x), as `cscl.metrics.displacement.signed_displacement` gives it: positive where the unit of
        the lower id has grown, negative where that of the higher id has; NaN where no boundary is shifted.
    """
    matched = yield from Matched.of(prediction, atlas.labels, atlas.options, atlas.judged)
    shape = atlas.kinds_YX.shape
    found = np.full(shape, np.nan, np.float32)
    total = tile_count(shape, atlas.options.block_px)
    for number, block in enumerate(matched.blocks(Window(0, 0, *shape)), 1):
        kinds = atlas.kinds_YX[block.slices]
        if (kinds == Kind.SHIFTED).any():
            look = matched.look(block)
            distance = look.class_edge_m[look.inner]
            found[block.slices] = signed_displacement(kinds, distance, look.units, look.across, look.pixel_size_m)
        yield Progress("measuring how far edges moved", number, total, "block")
    return found
