"""Patches out of shards: one read of the bytes of one patch, without what a general reader of Zarr does around it.

A shard of Zarr v3 ends with an index, the offset and length of each inner chunk, as 64-bit numbers, and a checksum of
four bytes; a chunk that was never written has the largest number in both places. What an array is says zarr, and where
its codecs are others than ours, zarr reads it.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import zarr
from numcodecs.zstd import Zstd
from numpy.typing import NDArray
from xarray.backends import BackendArray
from xarray.core import indexing

from cscl.errors import InputError

__all__ = ["LazyPatch", "PatchArray", "open_store"]

CHECKSUM_BYTES = 4
NEVER = 2**64 - 1
DAMAGED = "{} is damaged ({}). Make the dataset again with cscl make-dataset."


class PatchArray:
    """An array whose first axis counts patches, each of them an inner chunk.

    Parameters
    ----------
    array : zarr.Array
        As the store has it.
    folder : Path
        Of that array.
    """

    def __init__(self, array: Any, folder: Path) -> None:
        self.array, self.folder = array, folder
        self.shape: tuple[int, ...] = array.shape[1:]
        self.dtype: np.dtype[Any] = array.dtype
        self._a_shard = int(array.shards[0]) if _known(array) else 0
        self._zstd = Zstd() if array.compressors else None

    def read(self, number: int) -> NDArray[Any]:
        """Read one patch.

        Raises
        ------
        InputError
            If its file is damaged.
        """
        try:
            return self._read(number) if self._a_shard else np.asarray(self.array[number])
        except (OSError, ValueError, TypeError, LookupError, RuntimeError, MemoryError) as error:
            raise InputError(DAMAGED.format(self.folder, str(error)[:200])) from error

    def _read(self, number: int) -> NDArray[Any]:
        shard, place = divmod(number, self._a_shard)
        path = self.folder.joinpath("c", str(shard), *("0" * len(self.shape)))
        if not path.is_file():  # a shard of nothing but the fill value
            return np.full(self.shape, self.array.fill_value, self.dtype)
        with path.open("rb") as stream:
            stream.seek(16 * (place - self._a_shard) - CHECKSUM_BYTES, 2)
            start, length = np.frombuffer(stream.read(16), "<u8").tolist()
            if start == length == NEVER:
                return np.full(self.shape, self.array.fill_value, self.dtype)
            if start + length > path.stat().st_size:
                raise ValueError("it ends too early")
            stream.seek(start)
            raw = stream.read(length)
        values = np.frombuffer(raw if self._zstd is None else self._zstd.decode(raw), self.dtype.newbyteorder("<"))
        return values.reshape(self.shape)


def _known(array: Any) -> bool:
    """Whether an array is sharded by patches, bytes in order, with zstd or nothing, and the index at the end."""
    plain = array.metadata.to_dict()["codecs"]
    if array.shards is None or array.chunks != (1, *array.shape[1:]) or len(plain) != 1:
        return False
    inner, index = (_names(plain[0]["configuration"][key]) for key in ("codecs", "index_codecs"))
    at_end = plain[0]["configuration"].get("index_location", "end") == "end"
    return inner in (["bytes"], ["bytes", "zstd"]) and index == ["bytes", "crc32c"] and at_end


def _names(codecs: Any) -> list[str]:
    return [codec["name"] for codec in codecs]


class LazyPatch(BackendArray):
    """One patch of an array, which is read when values are asked for."""

    def __init__(self, array: PatchArray, number: int) -> None:
        self._array, self._number = array, number
        self.shape, self.dtype = array.shape, array.dtype

    def __getitem__(self, key: indexing.ExplicitIndexer) -> NDArray[Any]:
        values: NDArray[Any] = indexing.explicit_indexing_adapter(
            key, self.shape, indexing.IndexingSupport.BASIC, lambda part: self._array.read(self._number)[part]
        )
        return values


def open_store(path: Path) -> Any:
    """Open a store to read.

    Raises
    ------
    InputError
        If it is none.
    """
    try:
        return zarr.open_group(path, mode="r", zarr_format=3)
    except Exception as error:  # Zarr raises kinds of its own, and what JSON of another form leads to
        raise InputError(DAMAGED.format(path, str(error)[:200])) from error
