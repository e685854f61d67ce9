"""From what a reader found, in file order, to a cube: bands named and chosen, dates sorted, identical ones merged."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from cscl.cube import Acquisition, Factor, Radiometry, SITSCube
from cscl.errors import InputError
from cscl.grid import GeoBox

from . import ReadOptions
from ._lazy import merged, merged_clear

__all__ = ["Found", "assemble", "band_names", "joined"]

Number = float | None


@dataclass(frozen=True, eq=False)
class Found:
    """What a reader found in the files, before anything is sorted or assumed.

    Parameters
    ----------
    stored : Variable
        Axes (time, band, y, x), lazy, dates in file order.
    times : ndarray
        Acquisition times, datetime64[ns], shape (time,).
    labels : tuple of str
        What messages call each date's image, e.g. its file name.
    bands : tuple of str
        Band names.
    grid : GeoBox
        Where the pixels lie.
    scales, offsets : tuple of float, tuple or None
        One a date, or for a date one a band; None where the file declares nothing.
    nodata : float or None
        As declared.
    fills : tuple of float, or None
        Further values that mean missing, where these and `nodata` are settled already; None: those that do by custom.
    clear : Variable or None
        Axes (time, y, x), bool, lazy.
    acquisitions : tuple of Acquisition, or None
        One a date, if the format tells of them.
    guessed : bool
        Whether offsets are the reader's guess, of which a note tells.
    """

    name: str
    stored: xr.Variable = field(repr=False)
    times: NDArray[np.datetime64]
    labels: tuple[str, ...]
    bands: tuple[str, ...]
    grid: GeoBox
    scales: tuple[Factor | None, ...]
    offsets: tuple[Factor | None, ...]
    nodata: Number
    fills: tuple[float, ...] | None = None
    clear: xr.Variable | None = None
    notes: tuple[str, ...] = ()
    acquisitions: tuple[Acquisition, ...] | None = None
    guessed: bool = False


def band_names(
    found: Sequence[str | None], options: ReadOptions, where: str
) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Name bands as the file does; where it does not, as the user does, or else ``band_1``, ``band_2``, ...

    Returns
    -------
    names, notes : tuples of str
        One name a band; what was decided.

    Raises
    ------
    InputError
        If two bands share a name, or the user names another number of bands than there are.
    """
    names = tuple(str(name or "").strip() for name in found)
    if all(names) and len(set(names)) == len(names):
        return names, ()
    if options.bands is None:
        if all(names):
            twice = sorted({name for name in names if names.count(name) > 1})
            raise InputError(f"{where} has more than one band called {', '.join(twice)}. Name all bands with --bands.")
        names = tuple(f"band_{i + 1}" for i in range(len(found)))
        called = names[0] if len(names) == 1 else f"{names[0]} to {names[-1]}"
        return names, (f"The bands have no names in the files; they are called {called}.",)
    if len(set(options.bands)) != len(found) or len(options.bands) != len(found):
        raise InputError(
            f"{where} has {len(found)} bands without names, and {len(set(options.bands))} different names are given. "
            "Name all bands, in order."
        )
    return options.bands, ("The bands have no names in the files; the given ones are used, in order.",)


def assemble(found: Found, options: ReadOptions) -> SITSCube:
    """Sort the dates, merge identical ones, settle scale, offset and nodata, and choose the bands.

    Raises
    ------
    InputError
        If the values are complex or no numbers, or images of the same time have different scales or offsets.
    UnknownNameError
        If a wanted band is not there.
    """
    if found.stored.dtype.kind not in "iuf":
        raise InputError(
            f"{found.name} holds values of the type {found.stored.dtype}, which are no reflectance. Convert them to "
            "whole or floating numbers."
        )
    order = np.argsort(found.times, kind="stable")
    starts = np.flatnonzero(np.r_[True, np.diff(found.times[order]) > np.timedelta64(0, "ns")])
    groups = [[int(i) for i in group] for group in np.split(order, starts[1:])]
    radiometry, assumed = _radiometry(found, groups, options)
    stored, clear, notes = found.stored, found.clear, [*found.notes, *assumed]
    if len(groups) < len(order):
        notes += _merge_notes(found, groups)
        gaps = [value for value in (radiometry.nodata, *radiometry.fills) if value is not None]
        stored = merged(stored, groups, gaps, clear)
        clear = None if clear is None else merged_clear(clear, groups)
    else:
        stored = stored.isel(time=order)
        clear = None if clear is None else clear.isel(time=order)
    known = found.acquisitions
    time = ("time", found.times[[group[0] for group in groups]])
    cube = SITSCube(
        xr.DataArray(stored, coords={"time": time, "band": ("band", list(found.bands))}),
        found.grid,
        radiometry,
        None if clear is None else xr.DataArray(clear, coords={"time": time}),
        found.name,
        tuple(notes),
        acquisitions=None if known is None else tuple(joined([known[i] for i in group]) for group in groups),
    )
    return cube if options.bands is None or options.bands == cube.bands else cube.select(bands=options.bands)


def _radiometry(found: Found, groups: Sequence[Sequence[int]], options: ReadOptions) -> tuple[Radiometry, list[str]]:
    whole = found.stored.dtype.kind in "iu"
    says: list[str] = []
    notes: list[str] = []
    scales = _settle("scale", found.scales, options.scale, 1e-4 if whole else 1.0, says)
    offsets = _settle("offset", found.offsets, options.offset, 0.0, says, "assumed" if found.guessed else "declared")
    nodata, fills = _missing(found, options, says, notes)
    for group in groups:
        if len({(scales[i], offsets[i]) for i in group}) > 1:
            raise InputError(
                f"{_names(found, group)} show the same time but differ in scale or offset (two processing baselines?). "
                "Keep one of them."
            )
    firsts = [group[0] for group in groups]
    return Radiometry(
        tuple(scales[i] for i in firsts), tuple(offsets[i] for i in firsts), nodata, ", ".join(says), fills
    ), notes


def _missing(found: Found, options: ReadOptions, says: list[str], notes: list[str]) -> tuple[Number, tuple[float, ...]]:
    """Settle which stored values mean missing: the one that is given or declared, and those that mean it by custom.

    Only a value that the user gives stands alone. What goes by custom is no reflectance at any usual scale.
    """
    dtype = found.stored.dtype
    if options.nodata is not None:
        says.append(f"nodata {options.nodata:g} given by the user")
        return options.nodata, ()
    if found.fills is not None:
        says.append("no nodata declared" if found.nodata is None else f"nodata {found.nodata:g} declared")
        return found.nodata, found.fills
    fills, words = _customary(dtype)
    fills = tuple(value for value in fills if value != found.nodata)
    if found.nodata is not None:
        says.append(f"nodata {found.nodata:g} declared" + (f" ({words} by custom)" if fills else ""))
        return found.nodata, fills
    if dtype.kind == "f":
        says.append(f"NaN means missing ({words} by custom)")
        return None, fills
    says.append(f"nodata {words} assumed" if fills else "no nodata declared")
    if fills:
        notes.append(
            f"No nodata value is declared; {words} by custom {'counts' if len(fills) == 1 else 'count'} as missing, "
            "and 0 as a value. Say with --nodata if it is otherwise."
        )
    return (fills[0], ()) if len(fills) == 1 else (None, fills)


def _customary(dtype: np.dtype[Any]) -> tuple[tuple[float, ...], str]:
    """Values of a type that mean missing by custom, and what messages call them."""
    if dtype == np.uint16:
        return (65535.0,), "65535"
    if dtype.kind == "u" or dtype.itemsize == 1:
        return (), ""
    lowest = float(np.finfo(dtype).min if dtype.kind == "f" else np.iinfo(dtype).min)
    return (-9999.0, -10000.0, lowest), f"-9999, -10000 and the lowest {dtype}"


def joined(parts: Sequence[Acquisition]) -> Acquisition:
    """Acquisition of images that become one: that of the first, which the others only fill."""
    return replace(parts[0], product=" + ".join(dict.fromkeys(part.product for part in parts)))


def _settle(
    what: str,
    declared: Sequence[Factor | None],
    given: Number,
    assumed: float,
    says: list[str],
    how: str = "declared",
) -> tuple[Factor, ...]:
    """Value of each date: given, else declared, else assumed; `says` learns which."""
    if given is not None:
        says.append(f"{what} {given:g} given by the user")
        return (given,) * len(declared)
    told = [value if isinstance(value, tuple) else (value,) for value in declared if value is not None]
    known = sorted({number for numbers in told for number in numbers})
    if known:
        says.append(f"{what} {' and '.join(f'{value:g}' for value in known)} {how}")
    lacking = sum(value is None for value in declared)
    if lacking:
        says.append(f"{what} {assumed:g} assumed" + (f" for {lacking} dates" if known else ""))
    return tuple(assumed if value is None else value for value in declared)


def _merge_notes(found: Found, groups: Sequence[Sequence[int]]) -> list[str]:
    return [
        f"{_names(found, group)} show the same time: merged, missing pixels of the first filled from the next."
        for group in groups
        if len(group) > 1
    ]


def _names(found: Found, group: Sequence[int]) -> str:
    return " and ".join(found.labels[i] for i in group)
