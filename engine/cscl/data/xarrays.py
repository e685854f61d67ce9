"""Cubes from xarray objects, for those who have them in Python already, lazy or in memory."""

from __future__ import annotations

from typing import Any

import xarray as xr

from cscl.cube import SITSCube
from cscl.errors import InputError

from .readers import ReadOptions
from .readers.cf_cube import cube_of

__all__ = ["cube_from_xarray"]


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
