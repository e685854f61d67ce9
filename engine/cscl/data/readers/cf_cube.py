"""NetCDF files and Zarr stores: one variable with a band axis, or one variable a band, as CF, odc and openEO write."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from cscl.cube import SITSCube
from cscl.errors import InputError
from cscl.registry import nearest

from . import Reader, ReadOptions, readers
from ._assemble import Found, assemble, band_names
from ._bands import shortened
from ._cf_grid import grid_of
from ._dates import given_dates
from ._lazy import clear_from, planes
from ._masks import masks_in
from ._written import require_finished, written_in

Place = Path | str
_SMALL = 1_000_000  # values; a swath has coordinates of each pixel
_NAMES = {
    "time": ("time", "t", "date", "datetime"),
    "y": ("y", "northing", "lat", "latitude"),
    "x": ("x", "easting", "lon", "longitude"),
}
# Sentinel-2 bands at the end of a name, and the common names of the STAC electro-optical extension.
_OPTICAL = re.compile(
    r"(?:^|.*[^A-Za-z0-9])(B\d{1,2}|B8A|coastal|blue|green|red|rededge\d{0,3}|nir(?:08|09|_\d)?|swir(?:16|22|_\d)?)",
    re.IGNORECASE,
)


def matches(path: Path) -> bool:
    """Whether the path is a NetCDF file or a Zarr group."""
    if path.is_dir():
        return any((path / name).exists() for name in ("zarr.json", ".zgroup", ".zmetadata"))
    return path.suffix.lower() in {".nc", ".nc4", ".netcdf", ".cdf"}


def open_cf(path: Path, options: ReadOptions) -> SITSCube:
    """Open a NetCDF file or a Zarr group."""
    require_finished(path)
    return cube_of(_dataset(path, decode_times=options.dates is None), options, path.resolve().name, path)


def cube_of(data: xr.Dataset, options: ReadOptions, name: str, path: Place) -> SITSCube:
    """Make a cube of a dataset whose values are as stored; scale, offset and fill value are attributes.

    Parameters
    ----------
    data : Dataset
        Lazy or not.
    options : ReadOptions
        What the dataset does not say.
    name : str
        What the cube is called.
    path : Path or str
        What messages call the dataset.

    Raises
    ------
    InputError, GridError, UnknownNameError
        If it makes no cube; the message says why.
    """
    variables, names, notes = _choose(data, options, path)
    first = variables[0]
    axes = _axes(first, path)
    grid, (flip_y, flip_x), grid_notes = grid_of(data, first, str(axes["y"]), str(axes["x"]), options.crs, str(path))
    turned = {axes[a]: slice(None, None, -1) for a, flip in (("y", flip_y), ("x", flip_x)) if flip}
    dtype = _dtype(first)
    times = _times(data, str(axes["time"]), first.sizes[axes["time"]], options, path)
    clear, mask_notes = _clear(data, axes, turned, (times, grid), options, path)
    radiometry = _radiometry(variables, dtype, path)
    written = written_in(data, first, times, axes, str(path))
    found = Found(
        name=name,
        stored=planes([v.variable.isel(turned) for v in variables], axes, dtype, str(path)),
        times=times,
        labels=tuple(f"image {i + 1} ({t.astype('datetime64[s]')})" for i, t in enumerate(times)),
        bands=names,
        grid=grid,
        scales=(radiometry["scale_factor"],) * len(times),
        offsets=(radiometry["add_offset"],) * len(times),
        nodata=radiometry["_FillValue"],
        clear=clear,
        notes=(*notes, *grid_notes, *(mask_notes if written is None or options.mask is not None else ())),
    )
    return assemble(found, options) if written is None else written.cube(found, options)


readers.register("cf_cube")(
    Reader(
        "a NetCDF file or Zarr store with the axes time, y, x and band (or one variable a band)",
        matches,
        open_cf,
        files=("*.nc", "*.nc4", "*.netcdf", "*.cdf", "zarr.json", ".zgroup", ".zmetadata"),
    )
)


def _dataset(path: Path, decode_times: bool) -> xr.Dataset:
    store: dict[str, Any] = {"engine": "zarr", "consolidated": False} if path.is_dir() else {"engine": "netcdf4"}
    try:
        data = xr.open_dataset(path, mask_and_scale=False, decode_times=decode_times, chunks=None, cache=False, **store)
        for small in (name for name, stored in data.coords.items() if stored.size < _SMALL):
            np.asarray(data[small].values)  # damage in them shows here
        return data
    except Exception as error:  # HDF5, Zarr, JSON and time decoding raise kinds of their own, without a common base
        raise InputError(
            f"{path} cannot be read as a {'Zarr store' if path.is_dir() else 'NetCDF file'} "
            f"({(str(error) or type(error).__name__).splitlines()[0][:300]}). It may be damaged or incomplete."
        ) from error


def _axis(dims: Sequence[Any], which: str) -> str | None:
    return next((str(d) for name in _NAMES[which] for d in dims if str(d).lower() == name), None)


def _has_axes(variable: xr.DataArray) -> bool:
    return all(_axis(variable.dims, which) for which in _NAMES)


def _axes(variable: xr.DataArray, path: Place) -> dict[str, str | None]:
    """Say what time, band, y and x are called."""
    axes = {which: _axis(variable.dims, which) for which in _NAMES}
    rest = [str(d) for d in variable.dims if d not in axes.values()]
    return {**axes, "band": rest[0] if rest else None}


def _choose(
    data: xr.Dataset, options: ReadOptions, path: Place
) -> tuple[list[xr.DataArray], tuple[str, ...], tuple[str, ...]]:
    """Variables that hold the images, their band names, and notes on the variables that were left out."""
    images = [v for v in data.data_vars.values() if _has_axes(v)]
    cubes, flat = [v for v in images if v.ndim == 4 and not _is_mask(v)], [v for v in images if v.ndim == 3]
    if not cubes and not flat:
        told = "; ".join(f"{name} {variable.dims}" for name, variable in data.data_vars.items()) or "no variables"
        raise InputError(f"{path} holds no variable with the axes time, y and x (found: {told}). Rename its axes.")
    if options.variable is not None:
        wanted = [v for v in images if v.name == options.variable]
        if not wanted:
            raise nearest(options.variable, [str(v.name) for v in images], "variable", str(path))
        if wanted[0].ndim == 3:
            return wanted, (options.variable,), _left_out([v for v in images if v is not wanted[0]], options)
        cubes = wanted
    if len(cubes) > 1:
        names_told = ", ".join(str(v.name) for v in cubes)
        raise InputError(f"{path} holds {len(cubes)} cubes: {names_told}. Say which to use with --variable.")
    if cubes:
        dim = _axes(cubes[0], path)["band"]
        labels = cubes[0][dim].values if dim in cubes[0].coords else np.array([])
        labelled: list[str] = [str(v) for v in labels] if labels.dtype.kind in "USOT" and labels.ndim == 1 else []
        names, notes = band_names(shortened(labelled or [None] * cubes[0].sizes[dim]), options, str(path))
        return cubes, names, (*notes, *_left_out(flat, options))
    chosen = _band_variables(flat, options, path)
    taken = [v.name for v, _ in chosen]
    notes = _left_out([v for v in flat if v.name not in taken], options)
    return [v for v, _ in chosen], tuple(name for _, name in chosen), notes


def _band_variables(
    variables: Sequence[xr.DataArray], options: ReadOptions, path: Place
) -> list[tuple[xr.DataArray, str]]:
    """One variable a band, with the band's name: those that the user names, else the optical ones."""
    optical = {str(v.name): match[1] for v in variables if (match := _OPTICAL.fullmatch(str(v.name)))}
    short = {name: str(by_number) for name, by_number in zip(optical, shortened(list(optical.values())), strict=True)}
    if len(set(short.values())) < len(short):
        short = {name: name for name in short}
    if options.bands is not None:
        known = {label: v for v in variables for label in (str(v.name), short.get(str(v.name), str(v.name)))}
        for band in options.bands:
            if band not in known:
                raise nearest(band, known, "band", str(path))
        return [(known[band], band) for band in options.bands]
    candidates = [v for v in variables if not _is_mask(v) and v.name != options.mask]
    if not short and len(candidates) == 1:
        return [(candidates[0], str(candidates[0].name))]
    if not short:
        raise InputError(
            f"{path}: none of the variables {', '.join(str(v.name) for v in variables)} is known as an optical band. "
            "Say which to use with --bands."
        )
    return [(v, short[str(v.name)]) for v in variables if str(v.name) in short]


def _is_mask(variable: xr.DataArray) -> bool:
    return variable.dtype == bool or "flag_values" in variable.attrs or "flag_masks" in variable.attrs


def _left_out(variables: Sequence[xr.DataArray], options: ReadOptions) -> tuple[str, ...]:
    others = [v for v in variables if v.name != options.mask and not (v.name == "valid" and options.mask is None)]
    bands = [str(v.name) for v in others if not _is_mask(v)]
    masks = [str(v.name) for v in others if _is_mask(v)]
    notes = [f"Variables left out: {', '.join(bands)}."] if bands else []
    if masks:
        notes.append(f"Not used as a mask, though they may be one: {', '.join(masks)}. Name one with --mask to use it.")
    return tuple(notes)


def _dtype(variable: xr.DataArray) -> np.dtype[Any]:
    """Type of the values, in the machine's byte order; NetCDF marks signed storage of unsigned numbers."""
    dtype: np.dtype[Any] = variable.dtype.newbyteorder("=")
    marked = str(variable.attrs.get("_Unsigned", variable.encoding.get("_Unsigned", ""))).lower()
    kinds = {("i", "true"): "u", ("u", "false"): "i"}
    return np.dtype(f"{kinds.get((dtype.kind, marked), dtype.kind)}{dtype.itemsize}")


def _radiometry(variables: Sequence[xr.DataArray], dtype: np.dtype[Any], path: Place) -> dict[str, float | None]:
    """Scale, offset and nodata as declared; all bands must share them, and the axes and the type."""
    first = variables[0]
    for variable in variables:
        if (variable.dims, variable.shape, _dtype(variable)) != (first.dims, first.shape, dtype):
            raise InputError(
                f"{path}: '{variable.name}' ({variable.dims}, {variable.shape}, {_dtype(variable)}) is not like "
                f"'{first.name}' ({first.dims}, {first.shape}, {dtype}). Choose bands that are alike with --bands."
            )
        if _declared(variable, dtype) != _declared(first, dtype):
            raise InputError(
                f"{path}: '{variable.name}' and '{first.name}' have different scale, offset or nodata "
                f"({_declared(variable, dtype)} and {_declared(first, dtype)}). Choose bands that agree with --bands."
            )
    return _declared(first, dtype)


def _declared(variable: xr.DataArray, dtype: np.dtype[Any]) -> dict[str, float | None]:
    told = {**variable.encoding, **variable.attrs}
    fill = told.get("_FillValue", told.get("missing_value", told.get("nodata")))
    if fill is not None and np.isnan(np.asarray(fill, np.float64)).all():
        fill = None  # NaN is missing wherever it occurs; as a value it would not even equal itself
    if fill is not None:
        fill = float(np.asarray(fill).astype(variable.dtype.newbyteorder("=")).view(dtype).ravel()[0])
    scale, offset = (None if told.get(n) is None else float(told[n]) for n in ("scale_factor", "add_offset"))
    if scale is not None and offset is None:
        offset = 0.0
    return {"scale_factor": scale, "add_offset": offset, "_FillValue": fill}


def _times(data: xr.Dataset, name: str, count: int, options: ReadOptions, path: Place) -> NDArray[np.datetime64]:
    if options.dates is not None:
        return given_dates(options.dates, count, "The given dates")
    values = data[name].values if name in data.variables else None
    if values is None or values.dtype.kind != "M" or np.isnat(values).any():
        raise InputError(
            f"The axis '{name}' of {path} holds no dates of the standard calendar. Give it a unit such as "
            "'days since 2021-01-01', or give all dates with --dates."
        )
    return values.astype("datetime64[ns]")


def _clear(
    data: xr.Dataset,
    axes: Mapping[str, str | None],
    turned: Mapping[Any, slice],
    place: tuple[NDArray[np.datetime64], Any],
    options: ReadOptions,
    path: Place,
) -> tuple[xr.Variable | None, tuple[str, ...]]:
    """Usable pixels, axes (time, y, x): from the mask that the user names, else from a boolean variable ``valid``."""
    own = "valid" in data.data_vars and data["valid"].dtype == bool and _has_axes(data["valid"])
    name = options.mask if options.mask is not None else "valid" if own else None
    if name is None:
        return None, ()
    if name not in data.data_vars:
        if Path(name).expanduser().is_dir():
            clear, note = masks_in(Path(name).expanduser(), *place)
            return clear, (note,)
        raise nearest(name, [str(n) for n, v in data.data_vars.items() if _has_axes(v)], "mask", str(path))
    wanted = tuple(axes[a] for a in ("time", "y", "x"))
    if sorted(map(str, data[name].dims)) != sorted(map(str, wanted)):
        raise InputError(f"The mask '{name}' of {path} has the axes {data[name].dims}, not {wanted}. Choose another.")
    mask = planes([data[name].variable.isel(turned)], {**axes, "band": None}, data[name].dtype, str(path))
    usable = options.mask is None
    note = f"Mask from the variable '{name}': {'true is' if usable else 'non-zero is not'} usable."
    return clear_from(mask.isel(band=0), usable), (note,)
