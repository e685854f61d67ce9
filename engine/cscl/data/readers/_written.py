"""What `cscl cube` writes of a cube beside its pixels, and how the same cube comes of it again.

A CF file has one scale and one offset for all dates, one value for missing data, and no place for where images come
from. What does not fit goes into coordinates (``scale`` and ``offset`` by date) and into attributes, as JSON.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from cscl.cube import Acquisition, Factor, Radiometry, SITSCube
from cscl.errors import InputError

from . import ReadOptions
from ._assemble import Found, assemble

__all__ = [
    "UNFINISHED", "Written", "factors_by_date", "require_finished", "value_attributes", "whole_attributes",
    "written_in",
]  # fmt: skip

UNFINISHED = "unfinished.json"
_FACTORS = ("scale", "offset")


def factors_by_date(cube: SITSCube) -> dict[str, tuple[tuple[str, ...], NDArray[np.float64]]]:
    """Scale and offset as coordinates, axes (time) or (time, band); none where one value holds for the whole cube."""
    radiometry = cube.radiometry
    if _one(radiometry.scale) is not None and _one(radiometry.offset) is not None:
        return {}
    return {name: _as_coordinate(getattr(radiometry, name), len(cube.bands)) for name in _FACTORS}


def value_attributes(cube: SITSCube) -> dict[str, Any]:
    """Attributes of the variable that holds the stored values: those of CF as far as they go, and the rest as JSON."""
    radiometry, dtype = cube.radiometry, cube.stored.dtype
    told: dict[str, Any] = {}
    if not factors_by_date(cube):
        told = {"scale_factor": _one(radiometry.scale), "add_offset": _one(radiometry.offset)}
    nodata = radiometry.nodata
    if nodata is not None and _fits(nodata, dtype):
        told["_FillValue"] = dtype.type(nodata)
    more = {"source": radiometry.source, "nodata": nodata, "fills": radiometry.fills}
    by_date = bool(factors_by_date(cube))
    return {**told, "radiometry": json.dumps({**more, "stored_as": str(dtype), "by_date": by_date})}


def whole_attributes(cube: SITSCube) -> dict[str, Any]:
    """Attributes of the whole: notes, and one acquisition a date."""
    told: dict[str, Any] = {"notes": json.dumps(cube.notes, ensure_ascii=False)}
    if cube.acquisitions is not None:
        known = [{k: v for k, v in asdict(each).items() if v is not None} for each in cube.acquisitions]
        dated = [{"time": str(t), **each} for t, each in zip(cube.dates, known, strict=True)]
        told["acquisitions"] = json.dumps(dated, ensure_ascii=False)
    return told


@dataclass(frozen=True, eq=False)
class Written:
    """What was written beside the pixels.

    Parameters
    ----------
    notes : tuple of str
        What opening and cutting the images decided.
    acquisitions : tuple of Acquisition, or None
        One a date; None where none are known, or dates were changed since.
    radiometry : Radiometry or None
        Of the stored values; its scale and offset are empty where the file declares them for all dates. None where
        another program has turned the stored values into something else.
    """

    notes: tuple[str, ...]
    acquisitions: tuple[Acquisition, ...] | None
    radiometry: Radiometry | None

    def cube(self, found: Found, options: ReadOptions) -> SITSCube:
        """Make the cube that was written of what a reader found, with what the user says otherwise."""
        found = replace(found, notes=(*self.notes, *found.notes), acquisitions=self.acquisitions)
        kept = self.radiometry
        if kept is None:
            return assemble(found, options)
        found = replace(found, nodata=kept.nodata, fills=kept.fills)
        if kept.scale:
            found = replace(found, scales=kept.scale, offsets=kept.offset)
        cube = assemble(found, options)
        if (options.scale, options.offset, options.nodata) != (None, None, None):
            return cube
        return replace(cube, radiometry=replace(cube.radiometry, source=kept.source))


def require_finished(path: Path) -> None:
    """Refuse a store that lacks chunks: they would be read as zeros.

    Raises
    ------
    InputError
        If the store is in the making.
    """
    if (path / UNFINISHED).is_file():
        raise InputError(f"{path} is not finished. Go on with the same cscl cube command and --resume.")


def written_in(
    data: xr.Dataset, variable: xr.DataArray, times: NDArray[np.datetime64], axes: Mapping[str, str | None], what: str
) -> Written | None:
    """Find what `cscl cube` wrote beside a variable; None in files of other programs.

    Raises
    ------
    InputError
        If it is damaged, or values with a scale and an offset of each date were changed.
    """
    if "radiometry" not in variable.attrs or "notes" not in data.attrs:
        return None
    notes = tuple(str(note) for note in _parsed(data.attrs, "notes", what, list))
    told = _parsed(variable.attrs, "radiometry", what, dict)
    kept = None
    if str(variable.dtype) == told.get("stored_as"):
        by_date = bool(told.get("by_date"))
        scale, offset = (_factors(data, name, axes, len(times), what) if by_date else () for name in _FACTORS)
        kept = Radiometry(scale, offset, told.get("nodata"), str(told.get("source")), tuple(told.get("fills", ())))
    elif told.get("by_date"):
        raise InputError(
            f"{what} holds {variable.dtype} in place of the stored {told.get('stored_as')}, so it is not clear whether "
            "the scale and offset of each date still apply. Write it as it was stored (in xarray, open it with "
            "mask_and_scale=False)."
        )
    return Written(notes, _acquisitions(data, times, what), kept)


def _parsed(attributes: Mapping[Any, Any], name: str, what: str, kind: type) -> Any:
    try:
        value = json.loads(attributes[name])
    except (TypeError, ValueError, RecursionError):
        value = None
    if not isinstance(value, kind):
        raise InputError(f"The attribute '{name}' of {what} is damaged. Write the cube again, or delete the attribute.")
    return value


def _acquisitions(data: xr.Dataset, times: NDArray[np.datetime64], what: str) -> tuple[Acquisition, ...] | None:
    if "acquisitions" not in data.attrs:
        return None
    names = {field.name for field in fields(Acquisition)}
    known = {}
    try:
        for each in _parsed(data.attrs, "acquisitions", what, list):
            known[np.datetime64(each["time"], "ns")] = Acquisition(**{k: v for k, v in each.items() if k in names})
    except (AttributeError, LookupError, TypeError, ValueError) as error:
        if isinstance(error, InputError):
            raise
        raise InputError(
            f"The attribute 'acquisitions' of {what} is damaged. Write the cube again, or delete the attribute."
        ) from error
    return tuple(known[t] for t in times) if all(t in known for t in times) else None


def _factors(data: xr.Dataset, name: str, axes: Mapping[str, str | None], dates: int, what: str) -> tuple[Factor, ...]:
    """Read a scale or offset of each date, and of each band where they differ."""
    wanted = [axis for axis in (axes["time"], axes["band"]) if name in data and axis in data[name].dims]
    if axes["time"] not in wanted or data[name].ndim != len(wanted) or len(data[name][axes["time"]]) != dates:
        raise InputError(f"{what} has lost the coordinate '{name}', one value a date. Write the cube again.")
    values = data[name].transpose(*wanted).values.tolist()
    return tuple(tuple(map(float, v)) if isinstance(v, list) else float(v) for v in values)


def _fits(value: float, dtype: np.dtype[Any]) -> bool:
    """Whether a type has a value: what a file declares may never occur in it."""
    if dtype.kind == "f":
        return bool(np.isfinite(value)) and float(dtype.type(value)) == value
    return float(value).is_integer() and np.iinfo(dtype).min <= value <= np.iinfo(dtype).max


def _one(factors: Sequence[Factor]) -> float | None:
    """Value of all dates and bands, if it is one."""
    values = {value for factor in factors for value in (factor if isinstance(factor, tuple) else (factor,))}
    return values.pop() if len(values) == 1 else None


def _as_coordinate(factors: Sequence[Factor], bands: int) -> tuple[tuple[str, ...], NDArray[np.float64]]:
    if not any(isinstance(factor, tuple) for factor in factors):
        return ("time",), np.array(factors, np.float64)
    rows = [factor if isinstance(factor, tuple) else (factor,) * bands for factor in factors]
    return ("time", "band"), np.array(rows, np.float64)
