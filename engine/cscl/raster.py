"""Bands of GeoTIFFs (or whatever GDAL opens) as one lazy array: only the pixels that are asked for are read.

A stack is handed to xarray as a backend array, not as a dask graph: a season of a whole Sentinel-2 tile would make
some 10^5 dask tasks before the first pixel is seen, while a window read here goes straight to GDAL.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import rasterio
import xarray as xr
from numpy.typing import NDArray
from rasterio.windows import Window as RasterioWindow
from xarray.backends import BackendArray
from xarray.core import indexing

from cscl.errors import InputError, MissingError
from cscl.grid import GeoBox, make_grid

__all__ = ["UNREADABLE", "RasterFacts", "Span", "facts", "one_thread", "spans", "stack"]


UNREADABLE = (rasterio.errors.RasterioError, UnicodeDecodeError)  # the latter of what GDAL says about damaged text


@dataclass(frozen=True)
class RasterFacts:
    """What a raster file says of itself; `crs` is None and `grid` unset where it has no CRS.

    `nodata` is that of the first band, `nodatas` those of all; `band_tags` are the tags of each band. `placed_by` says
    what places the pixels where no transform does: ground control points, or a model of the sensor.
    """

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
    nodatas: tuple[float | None, ...] = ()
    band_tags: tuple[dict[str, str], ...] = ()
    placed_by: str = ""

    def grid(self, crs: str | None = None) -> GeoBox:
        """Grid of the raster; `crs` stands in where the file has none."""
        return make_grid(self.shape, self.transform, self.crs or crs, str(self.path))


def facts(path: str | Path) -> RasterFacts:
    """Read the header of a raster.

    Raises
    ------
    MissingError, InputError
        If there is no such file, GDAL cannot read it, or its values are complex or of several types.
    """
    where, path = str(path), Path(path)
    elsewhere = where.startswith("/vsi") or "://" in where  # in an archive, or over the network
    if not elsewhere and not path.exists():
        raise MissingError(f"There is no file {path}, or it is a link to nowhere. Restore it, or take it out.")
    try:
        with rasterio.open(where) as src:
            _require_numbers(path, src.dtypes)
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
                tuple(src.nodatavals),
                tuple(src.tags(index) for index in src.indexes),
                "ground control points" if src.gcps[0] else "a model of the sensor (RPC)" if src.rpcs else "",
            )
    except UNREADABLE as error:
        raise InputError(
            f"{path} cannot be read as a raster ({error}). It may be damaged or of an unknown format."
        ) from error


def _require_numbers(path: Path, dtypes: Sequence[str]) -> None:
    if len(set(dtypes)) > 1:
        raise InputError(
            f"The bands of {path} are of several types: {', '.join(sorted(set(dtypes)))}. Bring them to one, e.g. with "
            "gdal_translate -ot."
        )
    if dtypes[0].startswith("complex"):
        raise InputError(
            f"{path} holds values of the type {dtypes[0]}, which are neither reflectance nor classes. Convert them, "
            "e.g. with gdal_translate -ot Float32."
        )


def stack(layers: Sequence[Sequence[tuple[Path, int]]], shape: tuple[int, int], dtype: Any) -> xr.Variable:
    """Make a lazy array with axes (time, band, y, x) of raster bands.

    Rows and columns that are taken with one step n, from the middle of a block of n pixels on, as `SITSCube.coarser`
    takes them, come from the overviews of the file where it has any: such a read is for looking, not for measuring.

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


def lazy_bands(path: str | Path) -> xr.DataArray:
    """Open all bands of a raster, axes (band, y, x), as stored; pixels are read when asked for.

    Raises
    ------
    MissingError, InputError
        As `facts`.
    """
    raster = facts(path)
    layers = [[(Path(path), band + 1) for band in range(raster.count)]]
    return xr.DataArray(stack(layers, raster.shape, raster.dtype))[0]


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
        _, y, x = spans(key[2:], self.shape[2:])
        out = np.empty((len(times), len(bands), y.pixels, x.pixels), self.dtype)
        for i, time in enumerate(times if out.size else ()):
            chosen = [self._layers[time][band] for band in bands]
            for path in dict.fromkeys(path for path, _ in chosen):
                places = [j for j, (p, _) in enumerate(chosen) if p == path]
                window = RasterioWindow(x.first, y.first, x.length, y.length)
                out[i, places] = _read_bands(path, [chosen[j][1] for j in places], window, (y.pixels, x.pixels))
        scalar = tuple(0 if isinstance(k, int | np.integer) else slice(None) for k in key)
        return out[:, :, y.wanted][..., x.wanted][scalar]


def one_thread() -> Any:
    """Keep GDAL to one thread: where its own unpack JPEG 2000, a file cut short reads as 0, without an error."""
    return rasterio.Env(GDAL_NUM_THREADS="1")


class Span(NamedTuple):
    """A run of rows or columns: where it begins and how long it is, how many are read of it, and which are wanted."""

    first: int
    length: int
    pixels: int
    wanted: Any


def spans(key: Sequence[Any], shape: Sequence[int]) -> tuple[int, Span, Span]:
    """Turn an index of rows and columns into the runs to read, and the step at which to read them (see `stack`)."""
    steps = [_block(k, n) for k, n in zip(key, shape, strict=True)]
    step = steps[0] if steps[0] == steps[1] else 1
    y, x = (_span(k, n, step) for k, n in zip(key, shape, strict=True))
    return step, y, x


def _block(key: Any, size: int) -> int:
    """Length of the blocks whose middles a slice takes; 1 for any other index."""
    if not isinstance(key, slice):
        return 1
    start, stop, step = key.indices(size)
    first = start - step // 2
    whole = step > 1 and first >= 0 and first + len(range(start, stop, step)) * step <= size
    return step if whole else 1


def _span(key: Any, size: int, step: int) -> Span:
    """Run that holds all wanted indices; with a step the run is read coarsely, one value a block."""
    wanted = np.atleast_1d(np.arange(size)[key])
    if not wanted.size:
        return Span(0, 0, 0, wanted)
    if step > 1:
        return Span(int(wanted[0]) - step // 2, len(wanted) * step, len(wanted), slice(None))
    first, last = int(wanted.min()), int(wanted.max())
    whole = isinstance(key, slice) and key.step in (None, 1)
    return Span(first, last - first + 1, last - first + 1, slice(None) if whole else wanted - first)


def _read_bands(path: Path, indexes: list[int], window: RasterioWindow, shape: tuple[int, int]) -> NDArray[Any]:
    try:
        with one_thread(), rasterio.open(path) as src:
            read: NDArray[Any] = src.read(indexes, window=window, out_shape=(len(indexes), *shape))
            return read
    except UNREADABLE as error:
        why = error.__cause__ or error
        raise InputError(f"{path} cannot be read ({why}). The file may be damaged or was removed.") from error
