"""One band of one image, and how it comes onto a grid: GDAL resamples the window that is read.

Each read opens its file anew: GDAL data sets are not safe to share between threads or processes.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import rasterio
from affine import Affine
from numpy.typing import NDArray
from rasterio._err import CPLE_BaseError  # what its warped data sets raise; it has no public name
from rasterio.enums import Resampling
from rasterio.vrt import WarpedVRT
from rasterio.warp import transform_bounds
from rasterio.windows import Window as RasterioWindow

from cscl.errors import InputError
from cscl.grid import GeoBox
from cscl.raster import UNREADABLE, facts, one_thread

from .geotiff_folder import usable_grid

__all__ = ["Layer", "bounds_in", "known", "read_layer"]

_COARSER = 1.5  # pixels of a file across one of the grid from which on they are averaged
_WHOLE_PX = 1e-3


@dataclass(frozen=True)
class Layer:
    """One band of one image: where GDAL finds it, and what its numbers mean.

    Parameters
    ----------
    path : str
        Whatever GDAL opens: a file, ``/vsizip/...``, an address.
    index : int
        Band of that file, from 1.
    scale, offset : float or None
        Reflectance is ``stored * scale + offset``; None where nothing says so.
    nodata : float or None
        Stored value that means missing; None where nothing says so, not even the file.
    grid : GeoBox or None
        Where its pixels lie, as a catalogue tells; None: the header of the file says so. With grid and `dtype` no
        header is read at opening, which counts where each one is a request over the network.
    dtype : str or None
        Type of the stored values, such as ``uint16``, as a catalogue tells.
    """

    path: str
    index: int = 1
    scale: float | None = None
    offset: float | None = None
    nodata: float | None = None
    grid: GeoBox | None = None
    dtype: str | None = None


def known(layer: Layer, crs: str | None = None) -> Layer:
    """Return a layer whose grid and type are known, from the header of its file where they are not yet.

    ``crs`` stands in where the file has none. Nodata, scale and offset of the header count where the layer has none.

    Raises
    ------
    InputError, GridError
        If the file cannot be read, or does not lie north up on earth.
    """
    if layer.grid is not None and layer.dtype is not None:
        return layer
    raster = facts(layer.path)
    _require_band(layer, raster.count)
    b = layer.index - 1
    neutral = (raster.scales[b], raster.offsets[b]) == (1.0, 0.0)
    return replace(
        layer,
        grid=layer.grid or usable_grid(raster, crs),
        dtype=layer.dtype or raster.dtype,
        nodata=raster.nodata if layer.nodata is None else layer.nodata,
        scale=raster.scales[b] if layer.scale is None and not neutral else layer.scale,
        offset=raster.offsets[b] if layer.offset is None and not neutral else layer.offset,
    )


def read_layer(
    layer: Layer, target: GeoBox, fill: float, dtype: np.dtype[Any], *, nearest: bool = False, look: bool = False
) -> NDArray[Any]:
    """Read a layer onto a grid; axes (y, x).

    Parameters
    ----------
    layer : Layer
        With its grid known.
    target : GeoBox
        Where to read; it may reach beyond the layer.
    fill : float
        Stored value that means missing, also where the layer has nothing.
    dtype : dtype
        Type of the result.
    nearest : bool
        For classes: take the pixel in which the centre of the target's pixel lies.
    look : bool
        To look at from afar: the same, from the overviews of the file where it has any.

    Raises
    ------
    InputError
        If the file cannot be read, or is not what was told of it.
    """
    assert layer.grid is not None
    try:
        with one_thread(), rasterio.open(layer.path) as src:
            _require_as_told(src, layer, dtype)
            across_px = _across_px(layer.grid, target)
            if across_px == 1 and _whole_px_apart(layer.grid, target):
                return _read_plain(src, layer, target, fill, dtype)
            if not look:
                how = Resampling.average if across_px > _COARSER else Resampling.bilinear
                return _read_warped(src, layer, target, fill, Resampling.nearest if nearest else how).astype(dtype)
            level = sum(factor <= across_px for factor in src.overviews(layer.index)) - 1
        with one_thread(), rasterio.open(layer.path, **({"overview_level": level} if level >= 0 else {})) as src:
            return _read_warped(src, layer, target, fill, Resampling.nearest).astype(dtype)
    except (*UNREADABLE, CPLE_BaseError) as error:
        why = error.__cause__ or error
        raise InputError(
            f"{layer.path} cannot be read ({why}). The file may be damaged or was removed; get it again."
        ) from error


def bounds_in(grid: GeoBox, crs: Any) -> tuple[float, float, float, float]:
    """Left, bottom, right and top of a grid in a CRS."""
    box = grid.boundingbox
    if grid.crs == crs:
        return box.left, box.bottom, box.right, box.top
    left, bottom, right, top = transform_bounds(str(grid.crs), str(crs), *box.bbox)
    return left, bottom, right, top


def _across_px(grid: GeoBox, target: GeoBox) -> float:
    """How many pixels of a grid lie across one of the target."""
    if grid.crs == target.crs:
        return round(abs(target.resolution.x / grid.resolution.x), 9)
    left, bottom, right, top = bounds_in(grid, target.crs)
    area_px = grid.shape[0] * grid.shape[1] / ((right - left) * (top - bottom))
    return float(np.sqrt(area_px * abs(target.resolution.x * target.resolution.y)))


def _whole_px_apart(grid: GeoBox, target: GeoBox) -> bool:
    if grid.crs != target.crs or not np.isclose(grid.resolution.y, target.resolution.y, rtol=1e-9):
        return False
    col, row = ~grid.transform @ (target.transform.c, target.transform.f)
    return bool(max(abs(col - round(col)), abs(row - round(row))) < _WHOLE_PX)


def _require_as_told(src: Any, layer: Layer, dtype: np.dtype[Any]) -> None:
    """Refuse a file that is not of the size or type that a catalogue or the metadata of its product tells."""
    assert layer.grid is not None
    _require_band(layer, src.count)
    if (src.height, src.width) != tuple(layer.grid.shape) or not np.can_cast(src.dtypes[layer.index - 1], dtype):
        raise InputError(
            f"{layer.path} has {src.height} x {src.width} pixels of {src.dtypes[layer.index - 1]}, where "
            f"{layer.grid.shape[0]} x {layer.grid.shape[1]} of {dtype} are expected. Get the product again."
        )


def _require_band(layer: Layer, count: int) -> None:
    if layer.index > count:
        raise InputError(f"{layer.path} has {count} bands, where a band {layer.index} is expected. Get the file again.")


def _read_plain(src: Any, layer: Layer, target: GeoBox, fill: float, dtype: np.dtype[Any]) -> NDArray[Any]:
    """Read pixels as they are; the target may reach beyond the file."""
    assert layer.grid is not None
    out = np.full(tuple(target.shape), fill, dtype)
    col, row = (round(n) for n in ~layer.grid.transform @ (target.transform.c, target.transform.f))
    r0, c0 = max(0, row), max(0, col)
    r1, c1 = min(src.height, row + out.shape[0]), min(src.width, col + out.shape[1])
    if r0 < r1 and c0 < c1:
        window = RasterioWindow(c0, r0, c1 - c0, r1 - r0)
        out[r0 - row : r1 - row, c0 - col : c1 - col] = src.read(layer.index, window=window)
    return out


def _read_warped(src: Any, layer: Layer, target: GeoBox, fill: float, how: Resampling) -> NDArray[Any]:
    """Let GDAL resample; the kernel's scale is fixed, for GDAL's own guess differs from window to window: seams."""
    assert layer.grid is not None
    smaller = Affine.scale(layer.grid.shape[1] / src.width, layer.grid.shape[0] / src.height)  # of an overview
    scale = 1 / _across_px(layer.grid, target)
    with WarpedVRT(
        src, src_crs=str(layer.grid.crs), src_transform=layer.grid.transform @ smaller, crs=str(target.crs),
        transform=target.transform, height=target.shape[0], width=target.shape[1], resampling=how, src_nodata=fill,
        nodata=fill, tolerance=1e-6, XSCALE=scale, YSCALE=scale,
    ) as warped:  # fmt: skip
        read: NDArray[Any] = warped.read(layer.index)
        return read
