"""Pickles of other people, read without running anything of theirs: arrays of numbers in plain containers, no more.

A pickle is a program, and ``pickle.load`` runs it. Here no name in it is looked up: the few that make a NumPy array are
answered by stand-ins that only note what they are given. What they noted is checked, and becomes arrays of our making.
Anything else is refused.
"""

from __future__ import annotations

import io
import math
import pickle
import pickletools
import re
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cscl.errors import InputError, MissingError

__all__ = ["array_of", "read_pickle"]

MOST_BYTES = 2**30  # a sample of the published layouts has some 2 MB
MOST_STEPS = 2_000_000
MOST_VALUES = 100_000  # containers that hold each other many times over would never end
DEEPEST = 4
BROKEN = (
    *(pickle.UnpicklingError, EOFError, AttributeError, IndexError, KeyError, ImportError),
    *(TypeError, ValueError, OverflowError, MemoryError, AssertionError),
)


def read_pickle(path: str | Path) -> dict[str, Any]:
    """Read a pickled mapping from texts to arrays, numbers, texts and plain containers of these.

    Raises
    ------
    MissingError, InputError
        If it is not there, is damaged or too large, or asks for anything else, such as code to be run.
    """
    path = Path(path)
    if not path.is_file():
        raise MissingError(f"There is no file {path}, which the dataset lists. Unpack or download it again.")
    if path.stat().st_size > MOST_BYTES:
        raise InputError(f"{path} has {path.stat().st_size / 1e9:.1f} GB: this is no sample of a dataset.")
    try:
        data = path.read_bytes()
        _require_modest(data)
        found = _Plain(data).load()
        made = _made(found, [MOST_VALUES], 0)
    except _Refused as error:
        raise InputError(f"{path} is not read: {error}. Use files from a source that you trust.") from error
    except BROKEN as error:
        raise InputError(f"{path} is damaged or no pickle ({error}). Unpack or download it again.") from error
    if not isinstance(made, dict):
        raise InputError(f"{path} holds a {type(made).__name__}, not a mapping of names to arrays.")
    return {str(key): value for key, value in made.items()}


def array_of(content: dict[str, Any], key: str, path: Path, official: str) -> NDArray[Any]:
    """Take an array out of what `read_pickle` found.

    Raises
    ------
    InputError
        If there is no such key; the message says what there is and what the official layout has.
    """
    if key not in content:
        there = ", ".join(sorted(content)) or "nothing"
        raise InputError(f"{path} has no '{key}'. It has {there}; the official layout has {official}.")
    value = np.asarray(content[key])
    if value.dtype.kind not in "biuf":
        raise InputError(f"{path}: '{key}' holds {type(content[key]).__name__}, not numbers.")
    return value


def _require_modest(data: bytes) -> None:
    """Refuse what would fill the memory before it makes anything: a place far off in the list of what was made.

    Raises
    ------
    _Refused, ValueError
        It does, has very many steps, or is cut off.
    """
    for step, (code, argument, _) in enumerate(pickletools.genops(data)):
        far = code.name in ("PUT", "LONG_BINPUT") and isinstance(argument, int) and not 0 <= argument <= len(data)
        if far or step > MOST_STEPS:
            raise _Refused("it takes more memory or steps than any sample needs")


class _Refused(Exception):
    """The pickle asks for something that is neither an array nor a plain container."""


class _Noted:
    """Stand-in that notes what a pickle gives it, and does nothing."""

    def __init__(self, *given: Any) -> None:
        self.given: tuple[Any, ...] = given
        self.state: tuple[Any, ...] = ()

    def __setstate__(self, state: Any) -> None:
        self.state = state


class _Dtype(_Noted):
    def dtype(self) -> np.dtype[Any]:
        name = self.given[0]
        order: Any = self.state[1] if len(self.state) > 1 else "="
        name = name.decode("ascii") if isinstance(name, bytes) else name
        if not isinstance(name, str) or not re.fullmatch(r"[biufSU?]\d*", name) or order not in ("<", ">", "=", "|"):
            raise _Refused(f"it holds an array of the type {name!r}, which is not of numbers")
        return np.dtype(name).newbyteorder(order)


class _Array(_Noted):
    """``_reconstruct(ndarray, (0,), b'b')`` and its state: version, shape, type, Fortran order, bytes."""

    def array(self) -> NDArray[Any]:
        _, shape, dtype, fortran, raw = self.state
        return _filled(raw, dtype, shape, "F" if fortran else "C")


class _Buffer(_Noted):
    """``_frombuffer(bytes, type, shape, order)``, which protocol 5 uses."""

    def array(self) -> NDArray[Any]:
        return _filled(*self.given)


class _Number(_Noted):
    """``scalar(type, bytes)``."""

    def array(self) -> Any:
        return _filled(self.given[1], self.given[0], (), "C").item()


class _Bytes(_Noted):
    """``_codecs.encode(text, 'latin1')``, or ``bytes()`` for none: how bytes are written in old protocols."""

    def bytes(self) -> bytes:
        text, encoding = self.given or ("", "latin1")
        if encoding != "latin1":
            raise _Refused(f"it encodes a text as {encoding!r}")
        return str(text).encode("latin1")


_STAND_INS: dict[tuple[str, str], Any] = {
    ("numpy", "ndarray"): object(),
    ("numpy", "dtype"): _Dtype,
    ("_codecs", "encode"): _Bytes,
    ("__builtin__", "bytes"): _Bytes,
    ("collections", "OrderedDict"): dict,
}
for _core in ("numpy.core", "numpy._core"):
    _STAND_INS[f"{_core}.multiarray", "_reconstruct"] = _Array
    _STAND_INS[f"{_core}.multiarray", "scalar"] = _Number
    _STAND_INS[f"{_core}.numeric", "_frombuffer"] = _Buffer


class _Plain(pickle.Unpickler):
    def __init__(self, data: bytes) -> None:
        super().__init__(io.BytesIO(data), encoding="latin1")  # so Python 2 wrote its bytes

    def find_class(self, module: str, name: str) -> Any:
        if (module, name) not in _STAND_INS:
            raise _Refused(f"it asks for {module}.{name}, and only arrays and plain containers are read")
        return _STAND_INS[module, name]


def _filled(raw: Any, dtype: Any, shape: Any, order: Any) -> NDArray[Any]:
    """Make an array of bytes; refuse bytes that are too few or too many for the shape."""
    if not isinstance(dtype, _Dtype):
        raise _Refused("it holds an array of no known type")
    raw = raw.bytes() if isinstance(raw, _Bytes) else raw.encode("latin1") if isinstance(raw, str) else raw
    if not isinstance(raw, bytes | bytearray):
        raise _Refused("it holds an array of objects")
    kind = dtype.dtype()
    if not isinstance(shape, tuple) or math.prod(shape) * kind.itemsize != len(raw):
        raise ValueError(f"an array of {len(raw)} bytes does not have the shape {shape}")
    return np.frombuffer(raw, kind).reshape(shape, order="F" if order == "F" else "C")


def _made(value: Any, left: list[int], depth: int) -> Any:
    """Turn notes into arrays, through containers of containers, down to a limit."""
    left[0] -= 1
    if left[0] < 0 or depth > DEEPEST:
        raise _Refused("its containers lie too deep, or are too many")
    if isinstance(value, _Array | _Buffer | _Number):
        return value.array()
    if isinstance(value, _Bytes):
        return value.bytes()
    if isinstance(value, dict):
        return {key: _made(item, left, depth + 1) for key, item in value.items()}
    if isinstance(value, list | tuple | set):
        return type(value)(_made(item, left, depth + 1) for item in value)
    if value is None or isinstance(value, bool | int | float | str | bytes):
        return value
    raise _Refused(f"it holds a {type(value).__name__}, and only arrays and plain containers are read")
