"""Arrays in files of their own, as NumPy and Zarr write them: looked at without reading, read in windows."""

from __future__ import annotations

import gzip
import math
import zlib
from collections.abc import Mapping, Sequence
from functools import lru_cache
from pathlib import Path
from tokenize import TokenError
from typing import Any

import numpy as np
import psutil
import xarray as xr
from numpy.lib import format as npy
from numpy.typing import NDArray

from cscl.errors import InputError, MemoryLimitError

from ._lazy import Lazy, lazy

__all__ = ["ENDINGS", "feature", "is_array"]

ENDINGS = (".npy", ".npy.gz", ".zarr")
BROKEN = (  # what NumPy, gzip and Zarr raise for damage
    *(OSError, ValueError, EOFError, LookupError, TypeError, AttributeError, RuntimeError, SyntaxError),
    *(TokenError, zlib.error),
)
KEPT = 4  # unpacked arrays at hand at once: a patch's images and its masks


def is_array(path: Path) -> bool:
    """Whether a file or folder is such an array by its name."""
    return path.name.lower().endswith(ENDINGS)


def feature(path: Path, dims: Sequence[str], axes: Sequence[str]) -> xr.Variable:
    """View an array as a lazy variable.

    Parameters
    ----------
    path : Path
        ``.npy``, ``.npy.gz`` or ``.zarr``.
    dims : sequence of str
        Axes of the array in the file.
    axes : sequence of str
        Axes that are wanted, the first of them in the file, too; an axis that is not wanted must have length 1.

    Raises
    ------
    InputError
        If the file is damaged, holds no numbers, or has other axes.
    """
    shape, dtype = _look(path)
    if len(shape) != len(dims):
        raise InputError(f"{path} has the shape {shape}, not the axes ({', '.join(dims)}). Restore it.")
    sizes = dict(zip(dims, shape, strict=True))
    rest = [dim for dim in dims if dim not in axes and sizes[dim] != 1]
    if rest:
        raise InputError(f"{path} has {sizes[rest[0]]} planes along the axis {rest[0]}, not one. Choose another.")
    return lazy(_Feature(path, dims, axes, sizes, dtype), tuple(axes))


class _Feature(Lazy):
    """Each read opens its file anew, so that a cube can travel to other processes."""

    def __init__(
        self, path: Path, dims: Sequence[str], axes: Sequence[str], sizes: Mapping[str, int], dtype: np.dtype[Any]
    ) -> None:
        self._path, self._dims, self._axes = path, tuple(dims), tuple(axes)
        self.shape, self.dtype = tuple(sizes[axis] for axis in axes), dtype.newbyteorder("=")

    def _take(self, times: NDArray[np.intp], *rest: Any) -> NDArray[Any]:
        wanted = dict(zip(self._axes, (times, *rest), strict=True))
        key = tuple(wanted.get(dim, slice(None)) for dim in self._dims)
        kept = [dim for dim in self._dims if dim in self._axes]
        values = np.asarray(_values(self._path, key), self.dtype)
        values = values.reshape([n for dim, n in zip(self._dims, values.shape, strict=True) if dim in kept])
        return values.transpose([kept.index(axis) for axis in self._axes])


def _look(path: Path) -> tuple[tuple[int, ...], np.dtype[Any]]:
    """Shape and type as the header says, with the file's size held against it."""
    try:
        if path.suffix == ".zarr":
            array = _zarr(path)
            shape, dtype = tuple(int(n) for n in array.shape), np.dtype(array.dtype)
        elif path.suffix == ".gz":
            with gzip.open(path) as stream:
                shape, _, dtype = _header(stream)
        else:
            with path.open("rb") as stream:
                shape, _, dtype = _header(stream)
                if math.prod(shape) * dtype.itemsize > path.stat().st_size - stream.tell():
                    raise ValueError("it ends too early")
    except BROKEN as error:
        raise _damaged(path, error) from error
    if dtype.kind not in "biuf":
        raise InputError(
            f"{path} holds values of the type {dtype}, not whole or floating numbers. Choose another feature."
        )
    return shape, dtype


def _values(path: Path, key: tuple[Any, ...]) -> NDArray[Any]:
    try:
        if path.suffix == ".zarr":
            read: NDArray[Any] = _zarr(path).oindex[key]
            return read
        if path.suffix == ".gz":
            return _cut(_unpacked(path, path.stat().st_mtime_ns), key)
        return _cut(np.load(path, mmap_mode="r", allow_pickle=False), key)
    except BROKEN as error:
        raise _damaged(path, error) from error


def _cut(array: NDArray[Any], key: tuple[Any, ...]) -> NDArray[Any]:
    """Take an outer product of indices, axis by axis, slices first: these copy nothing of what is mapped."""
    array = array[tuple(k if isinstance(k, slice) else slice(None) for k in key)]
    for axis, k in enumerate(key):
        if not isinstance(k, slice):
            array = array.take(k, axis=axis)
    return np.array(array)


def _zarr(path: Path) -> Any:
    import zarr

    return zarr.open_array(path, mode="r")


def _header(stream: Any) -> tuple[tuple[int, ...], bool, np.dtype[Any]]:
    version = npy.read_magic(stream)
    read = npy.read_array_header_1_0 if version == (1, 0) else npy.read_array_header_2_0
    shape, fortran, dtype = read(stream)
    return tuple(shape), bool(fortran), np.dtype(dtype)


@lru_cache(maxsize=KEPT)
def _unpacked(path: Path, changed: int) -> NDArray[Any]:
    """Read a packed array as a whole, as it has no windows; refused before it can fill the memory."""
    with gzip.open(path) as stream:
        shape, fortran, dtype = _header(stream)
        size, free = math.prod(shape) * dtype.itemsize, psutil.virtual_memory().available
        if size > free / 2:
            raise MemoryLimitError(
                f"{path} takes {size / 1e9:.1f} GB unpacked, and {free / 1e9:.1f} GB are free. Unpack the file with "
                "gunzip: an unpacked one is read in windows."
            )
        raw = stream.read(size)
    if len(raw) < size:
        raise ValueError("it ends too early")
    return np.frombuffer(raw, dtype).reshape(shape, order="F" if fortran else "C")


def _damaged(path: Path, error: Exception) -> InputError:
    first = str(error).splitlines()[0] if str(error) else type(error).__name__
    return InputError(f"{path} cannot be read as an array ({first}). It may be damaged or incomplete.")
