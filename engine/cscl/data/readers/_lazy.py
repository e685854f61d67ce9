"""Arrays that are put together only when pixels are asked for: no dask graph, so opening costs nothing.

Axes: time, band, y, x. A read hands the wanted indices on to the arrays below, so a window stays a window all the way
down to the file.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import NDArray
from xarray.backends import BackendArray
from xarray.core import indexing

from cscl.errors import InputError

__all__ = ["Lazy", "all_clear", "clear_from", "lazy", "merged", "merged_clear", "planes"]

Dims = tuple[str, ...]
_CUBE = ("time", "band", "y", "x")
_STRIP_PX = 512


def planes(
    variables: Sequence[xr.Variable], axes: Mapping[str, str | None], dtype: np.dtype[Any], what: str
) -> xr.Variable:
    """View the variables of a file as one array with axes (time, band, y, x).

    Parameters
    ----------
    variables : sequence of Variable
        One with a band axis, or one a band; axes in any order.
    axes : mapping
        What ``time``, ``band``, ``y`` and ``x`` are called in the file; ``band`` is None without a band axis.
    dtype : dtype
        How the stored bits are read (NetCDF marks unsigned integers that are stored as signed ones).
    what : str
        The file, for messages.
    """
    return lazy(_Planes(variables, axes, dtype, what), _CUBE)


def clear_from(mask: xr.Variable, usable: bool, places: Sequence[int | None] | None = None) -> xr.Variable:
    """Turn a stored mask with axes (time, y, x) into one that is True where the pixel is usable.

    Parameters
    ----------
    mask : Variable
        Stored mask, usually lazy.
    usable : bool
        Whether a non-zero value means usable (a validity) or not usable (a cloud mask).
    places : sequence of int or None, optional
        For each date its place along the first axis of `mask`; None where the date has no mask: all usable.
    """
    return lazy(_Clear(mask, usable, range(mask.shape[0]) if places is None else places), ("time", "y", "x"))


def all_clear(masks: Sequence[xr.Variable]) -> xr.Variable | None:
    """Join masks with axes (time, y, x) into one that is True where all of them are; None of none."""
    if len(masks) < 2:
        return masks[0] if masks else None
    return lazy(_AllClear(masks), ("time", "y", "x"))


def merged(
    stored: xr.Variable, groups: Sequence[Sequence[int]], gaps: Sequence[float], clear: xr.Variable | None
) -> xr.Variable:
    """Merge images of the same time: each pixel comes whole from the first image of its group that shows it.

    Where none does, the pixel comes from an image that misses it, so that it stays missing: that has NaN or one of the
    stored values `gaps` there.
    """
    return lazy(_Merged(stored, groups, gaps, clear), _CUBE)


def merged_clear(clear: xr.Variable, groups: Sequence[Sequence[int]]) -> xr.Variable:
    """Merge the masks of the same groups: clear where any image of the group is."""
    return lazy(_MergedClear(clear, groups), ("time", "y", "x"))


def lazy(array: BackendArray, dims: Dims) -> xr.Variable:
    """Wrap an array for xarray."""
    return xr.Variable(dims, indexing.LazilyIndexedArray(array))


class Lazy(BackendArray):
    """Base: subclasses answer `_take(times, ...)` with index arrays; single indices drop their axis here."""

    shape: tuple[int, ...]
    dtype: np.dtype[Any]

    def __getitem__(self, key: indexing.ExplicitIndexer) -> NDArray[Any]:
        read: NDArray[Any] = indexing.explicit_indexing_adapter(
            key, self.shape, indexing.IndexingSupport.OUTER, self._read
        )
        return read

    def _read(self, key: tuple[Any, ...]) -> NDArray[Any]:
        whole = [
            k if isinstance(k, slice) else np.atleast_1d(np.arange(n)[k]) for k, n in zip(key, self.shape, strict=True)
        ]
        times = np.arange(self.shape[0])[whole[0]]
        return self._take(times, *whole[1:])[tuple(0 if isinstance(k, int | np.integer) else slice(None) for k in key)]

    @abstractmethod
    def _take(self, times: NDArray[np.intp], *rest: Any) -> NDArray[Any]: ...


class _Planes(Lazy):
    def __init__(
        self,
        variables: Sequence[xr.Variable],
        axes: Mapping[str, str | None],
        dtype: np.dtype[Any],
        what: str,
    ) -> None:
        self._variables, self._axes, self._what = variables, axes, what
        sizes = variables[0].sizes
        self.dtype = dtype
        self.shape = tuple(sizes[axes[a]] if axes[a] is not None else len(variables) for a in _CUBE)

    def _take(self, times: NDArray[np.intp], *rest: Any) -> NDArray[Any]:
        bands, rows, cols = rest
        key = {self._axes["time"]: _run(times), self._axes["y"]: rows, self._axes["x"]: cols}
        if self._axes["band"] is not None:
            return self._values(self._variables[0], {**key, self._axes["band"]: bands}, _CUBE)
        chosen = [self._variables[i] for i in np.arange(len(self._variables))[bands]]
        return np.stack([self._values(v, key, ("time", "y", "x")) for v in chosen], axis=1)

    def _values(self, variable: xr.Variable, key: Mapping[Any, Any], order: Dims) -> NDArray[Any]:
        cut = variable.isel(key)
        try:
            values = np.asarray(cut.values) if self._plain(key) else self._in_strips(variable, key)
        except (OSError, RuntimeError, ValueError) as error:  # what the HDF5 and Zarr libraries raise for damage
            raise InputError(
                f"{self._what} cannot be read ({error}). The file may be damaged or incomplete."
            ) from error
        values = values.astype(values.dtype.newbyteorder("="), copy=False).view(self.dtype)
        return values.transpose([cut.dims.index(self._axes[axis]) for axis in order])

    def _plain(self, key: Mapping[Any, Any]) -> bool:
        return all(not isinstance(k, slice) or k.step in (None, 1) for k in key.values())

    def _in_strips(self, variable: xr.Variable, key: Mapping[Any, Any]) -> NDArray[Any]:
        """Read every n-th row and column: HDF5 takes them one by one, so whole strips are read and thinned out.

        A strip is a row of chunks, so that each chunk is unpacked once and memory stays small.
        """
        y, x = self._axes["y"], self._axes["x"]
        rows, cols = (np.atleast_1d(np.arange(variable.sizes[d])[key[d]]) for d in (y, x))
        chunk = dict(variable.encoding.get("preferred_chunks") or {}).get(y) or _STRIP_PX
        strip = -(-_STRIP_PX // chunk) * chunk
        span = slice(int(cols.min()), int(cols.max()) + 1)
        parts = []
        for part in np.split(rows, np.flatnonzero(np.diff(rows // strip)) + 1):
            run = slice(int(part.min()), int(part.max()) + 1)
            values = np.asarray(variable.isel({**key, y: run, x: span}).values)
            at = {y: part - run.start, x: cols - span.start}
            parts.append(xr.Variable(variable.isel(key).dims, values).isel(at).values)
        return np.concatenate(parts, axis=variable.dims.index(y))


def _run(places: NDArray[np.intp]) -> NDArray[np.intp] | slice:
    """Return indices that follow one another as a slice: what reads Zarr takes lists of them one by one."""
    if len(places) and (np.diff(places) == 1).all():
        return slice(int(places[0]), int(places[-1]) + 1)
    return places


class _Clear(Lazy):
    def __init__(self, mask: xr.Variable, usable: bool, places: Sequence[int | None]) -> None:
        self._mask, self._usable, self._places = mask, usable, list(places)
        self.shape, self.dtype = (len(self._places), *mask.shape[1:]), np.dtype(bool)

    def _take(self, times: NDArray[np.intp], *rest: Any) -> NDArray[np.bool_]:
        stored = [self._places[t] for t in times]
        masks = self._mask.isel(time=[p for p in stored if p is not None], y=rest[0], x=rest[1]).values
        clear = np.ones((len(stored), *masks.shape[1:]), bool)
        clear[[p is not None for p in stored]] = (masks != 0) == self._usable
        return clear


class _AllClear(Lazy):
    def __init__(self, masks: Sequence[xr.Variable]) -> None:
        self._masks = list(masks)
        self.shape, self.dtype = masks[0].shape, np.dtype(bool)

    def _take(self, times: NDArray[np.intp], *rest: Any) -> NDArray[np.bool_]:
        parts = [mask.isel(time=times, y=rest[0], x=rest[1]).values for mask in self._masks]
        return np.asarray(np.logical_and.reduce(parts))


class _Merged(Lazy):
    def __init__(
        self,
        stored: xr.Variable,
        groups: Sequence[Sequence[int]],
        gaps: Sequence[float],
        clear: xr.Variable | None,
    ) -> None:
        self._stored, self._groups, self._gaps, self._clear = stored, groups, gaps, clear
        self.shape, self.dtype = (len(groups), *stored.shape[1:]), stored.dtype

    def _take(self, times: NDArray[np.intp], *rest: Any) -> NDArray[Any]:
        bands, rows, cols = rest
        firsts = [self._groups[t][0] for t in times]
        out = np.array(self._stored.isel(time=firsts, band=bands, y=rows, x=cols).values)
        for i, group in enumerate(self._groups[t] for t in times):
            if len(group) > 1:
                # All bands decide whether an image shows a pixel, whichever bands are wanted: no pixel is a mixture.
                every = self._stored.isel(time=list(group), y=rows, x=cols).values
                chosen = self._choose(every, list(group), rows, cols)
                out[i] = np.take_along_axis(every[:, np.arange(every.shape[1])[bands]], chosen, axis=0)[0]
        return out

    def _choose(self, values: NDArray[Any], group: list[int], rows: Any, cols: Any) -> NDArray[np.intp]:
        """Image of the group that each pixel comes from; axes (1, 1, y, x)."""
        missing = np.zeros(values.shape, bool)
        if values.dtype.kind == "f":
            missing = ~np.isfinite(values)
        for value in self._gaps:
            missing |= values == value
        absent = missing.any(axis=1)
        usable = ~absent
        if self._clear is not None:
            usable &= self._clear.isel(time=group, y=rows, x=cols).values
        chosen = np.where(usable.any(axis=0), usable.argmax(axis=0), absent.argmax(axis=0))
        return np.asarray(chosen)[None, None]


class _MergedClear(Lazy):
    def __init__(self, clear: xr.Variable, groups: Sequence[Sequence[int]]) -> None:
        self._clear, self._groups = clear, groups
        self.shape, self.dtype = (len(groups), *clear.shape[1:]), np.dtype(bool)

    def _take(self, times: NDArray[np.intp], *rest: Any) -> NDArray[np.bool_]:
        members = [m for t in times for m in self._groups[t]]
        clear = self._clear.isel(time=members, y=rest[0], x=rest[1]).values
        starts = np.cumsum([0, *(len(self._groups[t]) for t in times[:-1])])
        return np.asarray(np.logical_or.reduceat(clear, starts, axis=0))
