"""Where the pixels of a CF cube lie: the CRS from its many hiding places, the transform to full double precision."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import xarray as xr
from affine import Affine
from numpy.typing import NDArray
from pyproj import CRS
from pyproj.exceptions import CRSError

from cscl.errors import GridError
from cscl.grid import GeoBox, make_grid

__all__ = ["grid_of"]

_SPACE_NAMES = ("spatial_ref", "crs", "transverse_mercator", "projection", "grid_mapping")
_CRS_NAMES = ("crs_wkt", "spatial_ref", "proj:wkt2", "proj:code", "epsg_code", "proj:epsg", "epsg", "EPSG", "crs")
_AGREE_PX = 0.01


def grid_of(
    data: xr.Dataset, variable: xr.DataArray, y: str, x: str, crs: str | None, what: str
) -> tuple[GeoBox, tuple[bool, bool], tuple[str, ...]]:
    """Find the grid of a variable.

    The coordinates of pixel centres say where the pixels lie; a ``GeoTransform`` that agrees with them is used in
    their place, because it holds the corner and the pixel size as they were written. One that does not agree is a
    left-over of cropping.

    Returns
    -------
    grid, flipped, notes
        The grid, north up; whether the stored rows and columns run the other way; what was decided.

    Raises
    ------
    GridError, InputError
        If there is no CRS or no regular coordinates.
    """
    mapping = _grid_mapping(data, variable)
    size = variable.sizes[y], variable.sizes[x]
    notes: tuple[str, ...] = ()
    written = _geotransform(mapping, size[0])
    if y not in data.variables or x not in data.variables or min(size) < 2:
        if written is None:
            raise GridError(f"{what} has no coordinates '{y}' and '{x}' and no GeoTransform. Write them into the file.")
        flipped, transform = (_upside_down(mapping), False), written
    else:
        (x0, dx, x_flip), (y0, dy, y_flip) = (_axis(data[name].values, name, what) for name in (x, y))
        from_centres = Affine(dx, 0, x0, 0, -dy, y0 + dy * size[0])
        flipped, transform = (not y_flip, x_flip), from_centres
        if written is not None and _apart_px(written, from_centres, size) < _AGREE_PX:
            transform = written
        elif written is not None:
            notes = ("The GeoTransform does not fit the coordinates (it was not updated when cropping): left aside.",)
    return make_grid(size, transform, _crs(data, variable, mapping) or crs, what), flipped, notes


def _axis(centres: NDArray[Any], name: str, what: str) -> tuple[float, float, bool]:
    """Lowest edge and spacing of pixel centres, and whether they descend."""
    if not np.issubdtype(centres.dtype, np.number) or centres.ndim != 1:
        raise GridError(f"The coordinate '{name}' of {what} is not a line of numbers. Resample to a regular grid.")
    values = centres.astype(np.float64)
    step = (values[-1] - values[0]) / (len(values) - 1)
    # Coordinates in float32 are rounded at 5 000 000 m to half a metre; a tenth of a pixel still is a regular grid.
    if not np.isfinite(step) or step == 0 or np.abs(np.diff(values) - step).max() > 0.1 * abs(step):
        raise GridError(f"The coordinate '{name}' of {what} is not evenly spaced. Resample to a regular grid first.")
    return float(min(values[0], values[-1]) - abs(step) / 2), float(abs(step)), bool(step < 0)


def _grid_mapping(data: xr.Dataset, variable: xr.DataArray) -> dict[str, Any]:
    """Attributes of the variable that CF calls the grid mapping; empty if there is none."""
    named = str(variable.attrs.get("grid_mapping") or variable.encoding.get("grid_mapping") or "").split(":")[0]
    for name in (named, *_SPACE_NAMES):
        if name in data.variables and data[name].ndim == 0 and data[name].attrs:
            return dict(data[name].attrs)
    return {}


def _crs(data: xr.Dataset, variable: xr.DataArray, mapping: dict[str, Any]) -> str | None:
    for value in _told(data, variable, mapping):
        try:
            return str(CRS.from_user_input(int(value) if str(value).isdigit() else str(value)).to_wkt())
        except CRSError:
            continue
    try:
        return str(CRS.from_cf(mapping).to_wkt()) if "grid_mapping_name" in mapping else None
    except (CRSError, KeyError):
        return None


def _told(data: xr.Dataset, variable: xr.DataArray, mapping: dict[str, Any]) -> Iterator[Any]:
    """Whatever may be a CRS, the surest first: the grid mapping, attributes, scalar coordinates."""
    for attributes in (mapping, variable.attrs, data.attrs):
        yield from (attributes[name] for name in _CRS_NAMES if attributes.get(name) not in (None, ""))
    for name in _CRS_NAMES:
        if name in data.variables and data[name].ndim == 0 and data[name].dtype.kind in "iuUSO":
            yield data[name].values.item()


def _geotransform(mapping: dict[str, Any], rows: int) -> Affine | None:
    """Transform that the grid mapping writes down, turned north up; None if it does not, or is rotated."""
    told = mapping.get("GeoTransform")
    if told is None:
        return None
    try:
        numbers = [float(v) for v in (told.split() if isinstance(told, str) else np.ravel(told))]
        transform = Affine.from_gdal(*numbers)
    except (TypeError, ValueError):
        return None
    if transform.b or transform.d or transform.a <= 0 or transform.e == 0:
        return None
    if transform.e > 0:
        return Affine(transform.a, 0, transform.c, 0, -transform.e, transform.f + transform.e * rows)
    return transform


def _upside_down(mapping: dict[str, Any]) -> bool:
    told = mapping["GeoTransform"]
    return float((told.split() if isinstance(told, str) else np.ravel(told))[5]) > 0


def _apart_px(a: Affine, b: Affine, size: tuple[int, int]) -> float:
    """Largest distance of the corners of two north-up transforms, in pixels of the second."""
    across = max(abs(a.c - b.c), abs(a.c + a.a * size[1] - b.c - b.a * size[1])) / b.a
    down = max(abs(a.f - b.f), abs(a.f + a.e * size[0] - b.f - b.e * size[0])) / -b.e
    return float(max(across, down))
