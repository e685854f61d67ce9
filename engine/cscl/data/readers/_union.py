"""One grid for images of several tiles and pixel sizes."""

from __future__ import annotations

import math
from collections.abc import Mapping

import numpy as np
from affine import Affine
from odc.geo.crs import CRS

from cscl.errors import GridError
from cscl.grid import GeoBox, make_grid

from . import ReadOptions
from ._layers import bounds_in

__all__ = ["union"]

_TOUCH_PX = 1e-3
_LARGEST_PX = 2_000_000  # a zone of UTM from pole to pole, at 10 m


def union(grids: Mapping[GeoBox, str], options: ReadOptions, name: str) -> GeoBox:
    """Return the smallest grid that holds others, its pixels in line with those of the finest of them.

    Parameters
    ----------
    grids : mapping
        Grids, each with what messages call an image on it.
    options : ReadOptions
        Another pixel size, and the reference system to warp to.
    name : str
        What messages call the images.

    Raises
    ------
    GridError
        If the reference systems differ and none to warp to is given, or a pixel size in metres makes no sense there.
    """
    finest = min(grids, key=lambda grid: abs(grid.resolution.x))
    if options.warp is None:
        _require_one_system(grids, name)
    crs = make_grid((1, 1), Affine.identity(), options.warp or finest.crs, name).crs
    assert crs is not None
    there = [grid for grid in grids if grid.crs == crs]
    width, height = _pixel(finest, crs, options, name)
    anchor = min(there, key=lambda grid: abs(grid.resolution.x)).transform if there else Affine.identity()
    pixels = Affine(width, 0, anchor.c, 0, height, anchor.f)
    boxes = np.array([bounds_in(grid, crs) for grid in grids])
    (left, bottom), (right, top) = boxes[:, :2].min(axis=0), boxes[:, 2:].max(axis=0)
    col, row = (math.floor(n + _TOUCH_PX) for n in ~pixels @ (left, top))
    end_col, end_row = (math.ceil(n - _TOUCH_PX) for n in ~pixels @ (right, bottom))
    if max(end_row - row, end_col - col) > _LARGEST_PX:
        raise GridError(
            f"The images of {name} lie so far apart that one grid would have {end_row - row} x {end_col - col} pixels. "
            "Keep those of one place, or check what their files say of it."
        )
    return make_grid((end_row - row, end_col - col), pixels @ Affine.translation(col, row), crs, name)


def _require_one_system(grids: Mapping[GeoBox, str], name: str) -> None:
    systems = {str(grid.crs): product for grid, product in grids.items()}
    if len(systems) > 1:
        told = ", ".join(f"{crs} ({product})" for crs, product in sorted(systems.items()))
        raise GridError(
            f"{name} holds images of several reference systems: {told}. Keep those of one zone, or bring all to one "
            f"with --warp {min(systems)}."
        )


def _pixel(finest: GeoBox, crs: CRS, options: ReadOptions, name: str) -> tuple[float, float]:
    """Width and (negative) height of a pixel in the units of the reference system."""
    degrees = crs.geographic
    if options.pixel_m is not None:
        if degrees:
            raise GridError(
                f"{name} lies in degrees ({crs}), where pixels of {options.pixel_m:g} m have no size. "
                "Bring it to metres with --warp EPSG:326xx, the UTM zone."
            )
        return options.pixel_m, -options.pixel_m
    if finest.crs is not None and finest.crs.geographic != degrees:
        raise GridError(f"{name} is warped between degrees and metres. Give the pixel size in metres with --pixel-m.")
    return finest.resolution.x, finest.resolution.y
