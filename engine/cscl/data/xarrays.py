"""Cubes from xarray objects, and back, for those who have them in Python already, lazy or in memory.

Axes: T dates, C bands, Y and X rows and columns.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from uuid import uuid4

import dask.array as da
import numpy as np
import xarray as xr

from cscl.cube import SITSCube
from cscl.errors import InputError
from cscl.grid import GeoBox

from .readers import ReadOptions
from .readers._written import factors_by_date, value_attributes, whole_attributes
from .readers.cf_cube import cube_of

__all__ = ["VALID", "VALUES", "cube_from_xarray", "cube_to_xarray", "described"]

VALUES, VALID, MAPPING = "reflectance", "valid", "spatial_ref"
CHUNKS = {"time": 1, "band": -1, "y": 1024, "x": 1024}
_LEVELS = {"L1C": "toa_bidirectional_reflectance", "L2A": "surface_bidirectional_reflectance"}


def cube_from_xarray(
    data: xr.DataArray | xr.Dataset, options: ReadOptions | None = None, name: str | None = None
) -> SITSCube:
    """Make a cube of an xarray object, whatever its axes are called and however they are ordered; nothing is read.

    Parameters
    ----------
    data : DataArray or Dataset
        Axes of time, y and x, and of the bands, or one variable a band. Values are reflectance, or stored numbers with
        the attributes ``scale_factor``, ``add_offset`` and ``_FillValue`` (or ``nodata``, as odc-stac says it). What
        xarray has decoded already, as `xarray.open_dataset` does unless told otherwise, is taken as it is. The CRS is
        found where rioxarray, odc-geo and CF keep it.
    options : ReadOptions, optional
        What the object does not say: dates, bands, CRS, scale, mask and the like.
    name : str, optional
        What the cube is called; by default what `data` is called.

    Returns
    -------
    cube : SITSCube
        Reads windows of the object when asked for them, through dask where the object is of dask.

    Raises
    ------
    InputError, GridError, UnknownNameError
        If it makes no cube; the message says why.

    Examples
    --------
    >>> cube = cube_from_xarray(odc.stac.load(items, bands=["red", "nir"], chunks={}))  # doctest: +SKIP
    """
    if not isinstance(data, xr.DataArray | xr.Dataset):
        raise InputError(f"A {type(data).__name__} is no xarray object. Give a DataArray or a Dataset.")
    called = name or str(getattr(data, "name", None) or data.attrs.get("title") or "cube")
    whole = data if isinstance(data, xr.Dataset) else data.to_dataset(name=data.name or "images")
    return cube_of(_as_stored(whole), options or ReadOptions(), called, f"The xarray object '{called}'")


def cube_to_xarray(cube: SITSCube, *, decoded: bool = True, chunks: Mapping[str, int] = CHUNKS) -> xr.Dataset:
    """Make a dataset of a cube, of dask: nothing is read before something is computed.

    Parameters
    ----------
    cube : SITSCube
        Images of any source.
    decoded : bool
        Whether values are reflectance, float32, NaN where a pixel is not valid; or as stored, with attributes that say
        what they mean, so that `cube_from_xarray` and the file that `Dataset.to_zarr` or `to_netcdf` makes give the
        same cube again.
    chunks : mapping
        Pixels along ``time``, ``band``, ``y`` and ``x`` that are read at once; -1 for all.

    Returns
    -------
    data : Dataset
        ``reflectance`` (time, band, y, x); of stored values also ``valid`` (time, y, x) if a mask came with the images.
        Coordinates as in `described`.
    """
    values = _chunked(cube.stored, chunks)
    clear = None if cube.clear is None else _chunked(cube.clear, chunks)
    if not decoded:
        return described(cube, values, clear)
    valid_TYX = ~values.map_blocks(cube.radiometry.missing, dtype=bool).any(axis=1)
    if clear is not None:
        valid_TYX &= clear
    scale_TC, offset_TC = cube.radiometry.factors()
    reflectance = values.astype(np.float32) * scale_TC[..., None, None] + offset_TC[..., None, None]
    data = described(cube, da.where(valid_TYX[:, None], reflectance, np.float32(np.nan)), None)
    data[VALUES].attrs = {"long_name": "reflectance", "units": "1", "grid_mapping": MAPPING, **_standard_name(cube)}
    return data.drop_vars(list(factors_by_date(cube)))


def described(cube: SITSCube, values_TCYX: Any, valid_TYX: Any | None) -> xr.Dataset:
    """Describe arrays as those of a cube, in the words of the CF conventions.

    Variables: ``reflectance`` (time, band, y, x) as stored, ``valid`` (time, y, x) if a quality mask came with the
    images, and coordinates: ``time``, ``band``, ``y`` and ``x`` of pixel centres, ``spatial_ref``, and ``scale`` and
    ``offset`` where they are not the same for all dates and bands.
    """
    factors = factors_by_date(cube)
    placed = {"grid_mapping": MAPPING, "coordinates": " ".join((MAPPING, *factors))}
    told = {"long_name": _named(cube), "units": "1", **placed, **_standard_name(cube), **value_attributes(cube)}
    data: dict[str, Any] = {VALUES: (cube.stored.dims, values_TCYX, told)}
    if valid_TYX is not None:
        mask = {"long_name": "clear of clouds and the like; missing data are not marked here", **placed}
        data[VALID] = (("time", "y", "x"), valid_TYX, mask)
    whole = {"Conventions": "CF-1.10", "title": cube.name, **whole_attributes(cube)}
    return xr.Dataset(data, {**_coordinates(cube), **factors}, whole)


def _chunked(array: xr.DataArray, chunks: Mapping[str, int]) -> Any:
    """Cut an array into blocks of dask."""
    own = {dim: size for dim, size in chunks.items() if dim in array.dims}
    return array.variable.chunk(own, name=f"cube-{uuid4().hex}").data  # to make a name, dask would read all pixels


def _as_stored(data: xr.Dataset) -> xr.Dataset:
    """Return the dataset with what holds for its values now: what is in the encoding was decoded when it was opened."""
    plain = data.copy(deep=False)
    for name in plain.variables:
        variable = plain[name]
        variable.encoding = {key: value for key, value in variable.encoding.items() if key == "grid_mapping"}
        variable.attrs = _declared(variable)
    return plain


def _declared(variable: xr.DataArray) -> dict[str, Any]:
    """Attributes of a variable, without GDAL's neutral scale and offset, which rioxarray passes on as if declared."""
    told = dict(variable.attrs)
    neutral = (told.get("scale_factor"), told.get("add_offset")) == (1.0, 0.0) and "AREA_OR_POINT" in told
    if neutral:
        del told["scale_factor"], told["add_offset"]
    return told


def _named(cube: SITSCube) -> str:
    by_date = " as 'scale' and 'offset' tell for each date" if factors_by_date(cube) else ""
    return f"reflectance, as delivered{by_date}"


def _standard_name(cube: SITSCube) -> dict[str, str]:
    levels = {each.level for each in cube.acquisitions or ()}
    return {"standard_name": _LEVELS[level]} if len(levels) == 1 and (level := levels.pop()) in _LEVELS else {}


def _coordinates(cube: SITSCube) -> dict[str, Any]:
    grid, t = cube.grid, cube.grid.transform
    along = {each["axis"]: each for each in grid.crs.proj.cs_to_cf()} if grid.crs is not None else {}
    return {
        "time": ("time", cube.dates, {"standard_name": "time", "long_name": "time of acquisition, UTC"}),
        "band": ("band", np.array(cube.bands, object)),
        "y": ("y", t.f + t.e * (np.arange(grid.shape[0]) + 0.5), along.get("Y", {})),
        "x": ("x", t.c + t.a * (np.arange(grid.shape[1]) + 0.5), along.get("X", {})),
        MAPPING: ((), np.int64(0), _mapping(grid)),
    }


def _mapping(grid: GeoBox) -> dict[str, Any]:
    numbers = " ".join(repr(float(v)) for v in grid.transform.to_gdal())
    told = grid.crs.proj.to_cf() if grid.crs is not None else {}
    return {**told, "spatial_ref": told.get("crs_wkt", ""), "GeoTransform": numbers}
