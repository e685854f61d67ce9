"""Bands of GeoTIFFs (or whatever GDAL opens) as one lazy array: only the pixels that are asked for are read.

A stack is handed to xarray as a backend array, not as a dask graph: a season of a whole Sentinel-2 tile would make
some 10^5 dask tasks before the first pixel is seen, while a window read here goes straight to GDAL.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import rasterio
import xarray as xr
from numpy.typing import NDArray
from rasterio.windows import Window as RasterioWindow
from xarray.backends import BackendArray
from xarray.core import indexing

from cscl.errors import InputError, MissingError
from cscl.grid import GeoBox, make_grid

__all__ = ["RasterFacts", "facts", "stack"]


@dataclass(frozen=True)
class RasterFacts:
    """What a raster file says of itself; `crs` is None and `grid` unset where it has no CRS."""

    path: Path
    shape: tuple[int, int]
    count: int
    dtype: str
    transform: Any
    crs: str | None
    nodata: float | None
    scales: tuple[float, ...]
    offsets: tuple[float, ...]
    descriptions: tuple[str | None, ...]
    tags: dict[str, str]

    def grid(self, crs: str | None = None) -> GeoBox:
        """Grid of the raster; `crs` stands in where the file has none."""
        return make_grid(self.shape, self.transform, self.crs or crs, str(self.path))


def facts(path: str | Path) -> RasterFacts:
    """Read the header of a raster.

    Raises
    ------
    MissingError, InputError
        If there is no such file, or GDAL cannot read it.
    """
    path = Path(path)
    if not path.exists():
        raise MissingError(f"There is no file {path}.")
    try:
        with rasterio.open(path) as src:
            return RasterFacts(
                path,
                (src.height, src.width),
                src.count,
                src.dtypes[0],
                src.transform,
                src.crs.to_wkt() if src.crs else None,
                src.nodata,
                tuple(src.scales),
                tuple(src.offsets),
                tuple(src.descriptions),
                src.tags(),
            )
    except rasterio.errors.RasterioIOError as error:
        raise InputError(
            f"{path} cannot be read as a raster ({error}). It may be damaged or of an unknown format."
        ) from error


def stack(layers: Sequence[Sequence[tuple[Path, int]]], shape: tuple[int, int], dtype: Any) -> xr.Variable:
    """Make a lazy array with axes (time, band, y, x) of raster bands.

    Parameters
    ----------
    layers : sequence of sequences of (path, band index from 1)
        One inner sequence a date, one pair a band.
    shape : tuple of int
        Rows and columns, the same for all.
    dtype : dtype
        Type of the values.
    """
    array = _Stack(layers, shape, np.dtype(dtype))
    return xr.Variable(("time", "band", "y", "x"), indexing.LazilyIndexedArray(array))


class _Stack(BackendArray):
    """Each read opens its files anew: GDAL data sets are not safe to share between threads or processes."""

    def __init__(self, layers: Sequence[Sequence[tuple[Path, int]]], shape: tuple[int, int], dtype: np.dtype[Any]):
        self._layers = layers
        self.shape = (len(layers), len(layers[0]), *shape)
        self.dtype = dtype

    def __getitem__(self, key: indexing.ExplicitIndexer) -> NDArray[Any]:
        read: NDArray[Any] = indexing.explicit_indexing_adapter(
            key, self.shape, indexing.IndexingSupport.OUTER, self._read
        )
        return read

    def _read(self, key: tuple[Any, ...]) -> NDArray[Any]:
        times, bands = (np.atleast_1d(np.arange(n)[k]) for n, k in zip(self.shape[:2], key[:2], strict=True))
        (row, height, rows), (col, width, cols) = (_span(k, n) for k, n in zip(key[2:], self.shape[2:], strict=True))
        out = np.empty((len(times), len(bands), height, width), self.dtype)
        for i, time in enumerate(times if height and width else ()):
            chosen = [self._layers[time][band] for band in bands]
            for path in dict.fromkeys(path for path, _ in chosen):
                places = [j for j, (p, _) in enumerate(chosen) if p == path]
                window = RasterioWindow(col, row, width, height)
                out[i, places] = _read_bands(path, [chosen[j][1] for j in places], window)
        scalar = tuple(0 if isinstance(k, int | np.integer) else slice(None) for k in key)
        return out[:, :, rows][..., cols][scalar]


def _span(key: Any, size: int) -> tuple[int, int, Any]:
    """First index and length of the run that holds all wanted indices, and where they lie within it."""
    wanted = np.atleast_1d(np.arange(size)[key])
    if not wanted.size:
        return 0, 0, wanted
    first, last = int(wanted.min()), int(wanted.max())
    whole = isinstance(key, slice) and key.step in (None, 1)
    return first, last - first + 1, slice(None) if whole else wanted - first


def _read_bands(path: Path, indexes: list[int], window: RasterioWindow) -> NDArray[Any]:
    try:
        with rasterio.open(path) as src:
            read: NDArray[Any] = src.read(indexes, window=window)
            return read
    except rasterio.errors.RasterioIOError as error:
        why = error.__cause__ or error
        raise InputError(f"{path} cannot be read ({why}). The file may be damaged or was removed.") from error
