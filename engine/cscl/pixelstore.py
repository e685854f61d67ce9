"""Embeddings on disk, pixel by pixel, so that what a click asks for lies in one place.

A store is a Zarr group of version 2: ``embedding`` (y, x, feature), float16, in chunks of 128 x 128 pixels and all
features, not compressed; with ``x``, ``y`` and ``spatial_ref`` as CF has them, so that xarray and GDAL find the place.
GDAL 3.10 does not read version 3. Compression would save some tenth of the space and cost a click most of its time: a
chunk would be read and unpacked as a whole, while of plain numbers only the rows that are wanted are read. A chunk
without a finite number takes no space. Of a large scene, the group ``overview`` is such a store of every n-th pixel.

Axes: Y and X rows and columns, D features.
"""

from __future__ import annotations

import json
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr
from affine import Affine
from numpy.typing import NDArray
from xarray.backends import BackendArray
from xarray.core import indexing

from cscl.errors import InputError
from cscl.grid import GeoBox, Window, make_grid

__all__ = ["CHUNK_PX", "OVERVIEW", "PixelStore", "open_pixels", "spoilt"]

CHUNK_PX = 128
OVERVIEW = "overview"
_AXES = ("y", "x", "feature")
_FORMER_AXES = ("feature", "y", "x")  # of stores of version 3, in compressed chunks


class PixelStore:
    """A store in the making, to be filled window by window.

    Parameters
    ----------
    folder : Path
        Where it is made.
    grid : GeoBox
        Where its pixels lie.
    features : int
        How many numbers a pixel has.
    facts : dict
        Where it comes from.
    """

    def __init__(self, folder: Path, grid: GeoBox, features: int, facts: dict[str, Any]) -> None:
        import zarr

        group: Any = zarr.open_group(folder, mode="w", zarr_format=2)
        shape = (int(grid.shape[0]), int(grid.shape[1]), features)
        self._values = group.create_array(
            "embedding", shape=shape, chunks=(*(min(CHUNK_PX, n) for n in shape[:2]), features), dtype="float16",
            compressors=None, filters=None, fill_value=np.nan,
        )  # fmt: skip
        told = {"grid_mapping": "spatial_ref", "facts": json.dumps(facts), "long_name": "embedding of each pixel"}
        self._values.attrs.update({"_ARRAY_DIMENSIONS": list(_AXES), **told})
        _write_place(group, grid)

    def write(self, row: int, col: int, values_YXD: NDArray[Any]) -> None:
        """Write pixels from a row and column on; quickest where they are whole chunks."""
        height, width = values_YXD.shape[:2]
        self._values[row : row + height, col : col + width] = values_YXD.astype(np.float16)


def open_pixels(path: Path) -> tuple[xr.DataArray, GeoBox, dict[str, Any]]:
    """Open a store, of this kind or of the former one; nothing is read.

    Returns
    -------
    values : DataArray
        Axes (feature, y, x), lazy.
    grid : GeoBox
        Where the pixels lie.
    facts : dict
        Where they come from.

    Raises
    ------
    InputError
        If it is damaged.
    """
    try:
        data = xr.open_zarr(path, chunks=None, consolidated=False)
        values, place = data["embedding"], data["spatial_ref"].attrs
        transform = Affine.from_gdal(*(float(v) for v in str(place["GeoTransform"]).split()))
        if values.dims not in (_AXES, _FORMER_AXES) or values.dtype.kind != "f":
            raise ValueError(f"the embedding has the axes {values.dims} and the type {values.dtype}")
        told = dict(json.loads(values.attrs.get("facts", "{}")))
        shape = values.sizes["y"], values.sizes["x"]
        grid = make_grid(shape, transform, str(place["crs_wkt"]), str(path))
        stored = _plain(path) if values.dims == _AXES else None
    except Exception as error:  # Zarr, JSON and PROJ raise kinds of their own, without a common base
        raise spoilt(path, error) from error
    array: BackendArray = stored or _Checked(values.transpose(*_FORMER_AXES).variable, path)
    held = xr.Variable(_FORMER_AXES, indexing.LazilyIndexedArray(array), values.attrs)
    return xr.DataArray(held, {name: data[name] for name in ("y", "x") if name in data}), grid, told


def spoilt(path: Path, error: Exception) -> InputError:
    """Say that a store is damaged."""
    return InputError(f"{path} is a damaged embedding ({str(error)[:200] or type(error).__name__}). Embed again.")


class _Plain(BackendArray):
    """Pixels of chunks that are not compressed, seen with the axes (feature, y, x); reads the rows that are wanted."""

    def __init__(self, path: Path, array: Any) -> None:
        self._path, self._chunk, self._key = path, array.chunks, array.metadata.encode_chunk_key
        height, width, features = array.shape
        self.shape, self.dtype = (features, height, width), np.dtype(array.dtype)

    def __getitem__(self, key: indexing.ExplicitIndexer) -> NDArray[Any]:
        read: NDArray[Any] = indexing.explicit_indexing_adapter(
            key, self.shape, indexing.IndexingSupport.BASIC, self._read
        )
        return read

    def _read(self, key: tuple[Any, ...]) -> NDArray[Any]:
        features, *places = (k if isinstance(k, slice) else slice(k, k + 1) for k in key)
        rows, cols = (range(n)[k] for n, k in zip(self.shape[1:], places, strict=True))
        if not (len(rows) and len(cols)):
            nothing: NDArray[Any] = np.broadcast_to(np.zeros((), self.dtype), self.shape)[key]
            return nothing
        values_YXD = self._pixels(Window(rows[0], cols[0], rows[-1] + 1 - rows[0], cols[-1] + 1 - cols[0]))
        picked = np.moveaxis(values_YXD[:: rows.step, :: cols.step, features], -1, 0)
        wanted: NDArray[Any] = picked[tuple(slice(None) if isinstance(k, slice) else 0 for k in key)]
        return wanted

    def _pixels(self, window: Window) -> NDArray[Any]:
        """Read a window, axes (y, x, feature)."""
        out = np.empty((window.height, window.width, self.shape[0]), self.dtype)
        high, wide = self._chunk[:2]
        first, last = (window.row, window.col), (window.row + window.height - 1, window.col + window.width - 1)
        for down, across in product(
            *(range(a // n, b // n + 1) for a, b, n in zip(first, last, (high, wide), strict=True))
        ):
            r0, c0 = max(window.row, down * high), max(window.col, across * wide)
            r1, c1 = min(last[0] + 1, (down + 1) * high), min(last[1] + 1, (across + 1) * wide)
            here = slice(r0 - window.row, r1 - window.row), slice(c0 - window.col, c1 - window.col)
            rows_YXD = self._rows((down, across, 0), r0 - down * high, r1 - r0)
            out[here] = np.nan if rows_YXD is None else rows_YXD[:, c0 - across * wide : c1 - across * wide]
        return out

    def _rows(self, chunk: tuple[int, int, int], first: int, count: int) -> NDArray[Any] | None:
        """Read some rows of a chunk; None for a chunk without numbers, which has no file."""
        across = self._chunk[1] * self._chunk[2]
        skipped = first * across * self.dtype.itemsize
        try:
            values = np.fromfile(self._path / self._key(chunk), self.dtype, count * across, offset=skipped)
            return values.reshape(count, *self._chunk[1:])
        except FileNotFoundError:
            return None
        except (OSError, ValueError, MemoryError) as error:
            raise spoilt(self._path, error) from error


class _Checked(BackendArray):
    """An array of a store, whose damage is told in a sentence."""

    def __init__(self, array: xr.Variable, path: Path) -> None:
        self._array, self._path = array, path
        self.shape, self.dtype = array.shape, array.dtype

    def __getitem__(self, key: indexing.ExplicitIndexer) -> NDArray[Any]:
        read: NDArray[Any] = indexing.explicit_indexing_adapter(
            key, self.shape, indexing.IndexingSupport.OUTER, self._read
        )
        return read

    def _read(self, key: tuple[Any, ...]) -> NDArray[Any]:
        try:
            return np.asarray(self._array[key].values)
        except (OSError, RuntimeError, ValueError, MemoryError) as error:
            raise spoilt(self._path, error) from error


def _plain(path: Path) -> _Plain | None:
    """Return the array of a store, if its chunks are plain numbers; None if not: then Zarr reads it."""
    import zarr

    array: Any = zarr.open_array(path / "embedding", mode="r")
    plain = array.metadata.zarr_format == 2 and not array.compressors and not array.filters and array.order == "C"
    alike = array.dtype == array.dtype.newbyteorder("=") and array.chunks[2] == array.shape[2]
    empty = array.fill_value is not None and bool(np.isnan(array.fill_value))
    return _Plain(path / "embedding", array) if plain and alike and empty else None


def _write_place(group: Any, grid: GeoBox) -> None:
    """Write CF grid mapping and pixel-centre coordinates, so that xarray and GDAL find the place."""
    transform = grid.transform
    for name, count, start, step in (
        ("x", grid.shape[1], transform.c, transform.a),
        ("y", grid.shape[0], transform.f, transform.e),
    ):
        array = group.create_array(name, data=start + step * (np.arange(count) + 0.5), fill_value=None)
        told = {"standard_name": f"projection_{name}_coordinate", "units": "m", "_ARRAY_DIMENSIONS": [name]}
        array.attrs.update(told)
    reference = group.create_array("spatial_ref", data=np.array(0, np.int64), fill_value=None)
    wkt = str(grid.crs.to_wkt()) if grid.crs else ""
    numbers = " ".join(repr(float(v)) for v in transform.to_gdal())
    reference.attrs.update({"crs_wkt": wkt, "spatial_ref": wkt, "GeoTransform": numbers, "_ARRAY_DIMENSIONS": []})
    group.attrs["Conventions"] = "CF-1.10"
