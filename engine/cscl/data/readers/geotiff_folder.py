"""A folder of GeoTIFFs, one multi-band file a date (or one single-band file a date and band)."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from cscl.cube import SITSCube
from cscl.errors import GridError, InputError
from cscl.grid import GeoBox, require_same
from cscl.raster import RasterFacts, facts, stack

from . import Reader, ReadOptions, readers
from ._assemble import Found, assemble, band_names
from ._bands import dated_layers, item_beside, named_bands
from ._dates import date_in_name, date_in_tags, given_dates
from ._masks import masks_in, rasters_in

__all__ = ["declared_nodata", "declared_radiometry", "usable_grid"]

_BAND_IN_NAME = re.compile(r"(?<![A-Za-z0-9])(B(?:\d\d|8A))(?![A-Za-z0-9])", re.IGNORECASE)


def matches(path: Path) -> bool:
    """Whether the path is a folder that is not a Zarr store."""
    return path.is_dir() and not any((path / name).exists() for name in ("zarr.json", ".zgroup", ".zarray"))


def open_folder(path: Path, options: ReadOptions) -> SITSCube:
    """Open a folder; images may lie in its subfolder ``images`` and masks in ``masks`` (below or beside)."""
    folder = path / "images" if (path / "images").is_dir() else path
    paths = rasters_in(folder)
    if not paths:
        raise InputError(f"{folder} holds no GeoTIFFs. Give a folder with one multi-band GeoTIFF a date.")
    groups = _by_band([facts(p) for p in paths])
    first = [group[0] for group in groups]
    _require_alike([file for group in groups for file in group])
    grid = usable_grid(first[0], options.crs)
    times, date_note = _times(first, options)
    told, layers, notes = _layers(groups)
    names, name_notes = band_names(told, options, str(folder))
    declared = [declared_radiometry(group, options) for group in groups]
    image_names = tuple(file.path.name for file in first)
    clear, mask_note = _masks(path, folder, (times, grid, image_names), options)
    found = Found(
        name=path.resolve().name,
        stored=stack(layers, first[0].shape, first[0].dtype),
        times=times,
        labels=image_names,
        bands=names,
        grid=grid,
        scales=tuple(scale for scale, _ in declared),
        offsets=tuple(offset for _, offset in declared),
        nodata=declared_nodata([file for group in groups for file in group], options),
        clear=clear,
        notes=(*date_note, *notes, *name_notes, *mask_note, *_simulated(first)),
    )
    return assemble(found, options)


readers.register("geotiff_folder")(
    Reader("a folder with one multi-band GeoTIFF a date (the date in its name)", matches, open_folder, loosely=True)
)


def usable_grid(raster: RasterFacts, crs: str | None) -> GeoBox:
    """Grid of a raster, refusing one that is nowhere, rotated or upside down.

    Raises
    ------
    GridError
        If it is, or if it has no CRS and none is given.
    """
    if raster.placed_by and raster.transform.is_identity:
        raise GridError(
            f"{raster.path} is placed by {raster.placed_by}, not by a grid. Bring it onto one with gdalwarp -t_srs."
        )
    grid, t = raster.grid(crs), raster.transform
    if t.is_identity:
        raise GridError(
            f"{raster.path} does not say where its pixels lie. Georeference it, e.g. with gdal_translate -a_ullr."
        )
    if not np.isfinite(tuple(t)).all() or t.is_degenerate:
        raise GridError(f"{raster.path} has pixels at {tuple(t)[:6]}, which is nowhere. It may be damaged.")
    if t.b or t.d or t.a <= 0 or t.e >= 0:
        raise GridError(f"{raster.path} is rotated or does not run from north-west. Straighten it with gdalwarp first.")
    return grid


def declared_radiometry(files: Sequence[RasterFacts], options: ReadOptions) -> tuple[float | None, float | None]:
    """Scale and offset that the files of one date declare; None each where they leave GDAL's neutral 1 and 0.

    Raises
    ------
    InputError
        If the bands differ and the user does not say which scale and offset hold.
    """
    if options.scale is not None and options.offset is not None:
        return None, None
    pairs = {pair for file in files for pair in zip(file.scales, file.offsets, strict=True)}
    if len(pairs) > 1:
        raise InputError(
            f"The bands of {files[0].path} have different scales or offsets: {sorted(pairs)}. "
            "Bring them to one, or say which holds with --scale and --offset."
        )
    scale, offset = pairs.pop()
    return (None, None) if (scale, offset) == (1.0, 0.0) else (scale, offset)


def declared_nodata(files: Sequence[RasterFacts], options: ReadOptions) -> float | None:
    """Nodata value that the bands of all files share; None where they declare none.

    Raises
    ------
    InputError
        If they differ and the user does not say which holds.
    """
    values = {str(value): (value, file) for file in files for value in file.nodatas if value is not None}
    if len(values) > 1 and options.nodata is None:
        told = ", ".join(f"{text} in {file.path.name}" for text, (_, file) in values.items())
        raise InputError(f"The images declare different nodata values: {told}. Say which holds with --nodata.")
    return next((value for value, _ in values.values()), None)


def _by_band(files: Sequence[RasterFacts]) -> list[list[RasterFacts]]:
    """Group files of one date: one file each, or, where each file is one band and says so in its name, all bands."""
    bands = [_BAND_IN_NAME.findall(file.path.stem) for file in files]
    if not all(file.count == 1 and band for file, band in zip(files, bands, strict=True)):
        return [[file] for file in files]
    groups: dict[str, list[RasterFacts]] = {}
    for file in files:
        groups.setdefault(_BAND_IN_NAME.sub("", file.path.stem), []).append(file)
    return list(groups.values())


def _layers(
    groups: Sequence[Sequence[RasterFacts]],
) -> tuple[tuple[str | None, ...], list[list[tuple[Path, int]]], tuple[str, ...]]:
    """Names of the bands, and for each date the layers that hold them, whatever their order in the files."""
    first, notes = _named(groups[0])
    layers, turned = [], []
    for group in groups:
        names = _named(group)[0]
        places = [(file.path, band + 1) for file in group for band in range(file.count)]
        if names != first and set(names) == set(first) and len(set(first)) == len(first):
            places = [places[names.index(name)] for name in first]
            turned.append(group[0].path.name)
        elif names != first:
            raise InputError(
                f"The bands of {group[0].path.name} ({_listed(names)}) are not those of {groups[0][0].path.name} "
                f"({_listed(first)}). All dates need the same bands."
            )
        layers.append(places)
    if turned:
        notes = (*notes, f"The bands of {_some(turned)} are in another order, and are taken by their names.")
    return first, layers, notes


def _named(group: Sequence[RasterFacts]) -> tuple[tuple[str | None, ...], tuple[str, ...]]:
    """Names of the bands of one date: by the names of its files, where each is one band, or by what is in them."""
    file = group[0]
    if file.count == 1 and _BAND_IN_NAME.search(file.path.stem):
        return tuple(_BAND_IN_NAME.findall(each.path.stem)[-1].upper() for each in group), ()
    days = {date.astype("datetime64[D]") for date in (dated_layers(file) or ([], []))[0]}
    if len(days) > 1:
        raise InputError(
            f"{file.path} holds {len(days)} days in its layers. Open the file itself, or split it into one file a date."
        )
    return named_bands(file)


def _require_alike(files: Sequence[RasterFacts]) -> None:
    """Refuse files that do not share CRS, shape, place, number of bands and type; the message names them."""
    first = files[0]
    kinds: list[tuple[str, Callable[[RasterFacts], Any]]] = [
        ("band counts", lambda f: f.count),
        ("types", lambda f: f.dtype),
    ]
    for what, of in kinds:
        odd = [f for f in files if of(f) != of(first)]
        if odd:
            raise InputError(
                f"The {what} differ: {first.path.name} has {of(first)}, but {_some([f.path.name for f in odd])} "
                f"{of(odd[0])}. All dates need the same; convert or move the odd ones."
            )
    placed = [f for f in files if f.crs is not None]
    if placed and len(placed) < len(files):
        raise GridError(
            f"{_some([f.path.name for f in files if f.crs is None])} have no coordinate reference system, the other "
            "images have one. Assign it, e.g. with gdal_edit.py -a_srs."
        )
    for file in files[1:]:
        if (file.crs, file.shape, file.transform) != (first.crs, first.shape, first.transform):
            stand_in = "EPSG:3857"  # both lack a CRS here, or neither does
            require_same(first.grid(stand_in), file.grid(stand_in), f"{first.path.name} and {file.path.name}")


def _times(files: Sequence[RasterFacts], options: ReadOptions) -> tuple[Any, tuple[str, ...]]:
    if options.dates is not None:
        return given_dates(options.dates, len(files), "The given dates"), ("The dates are those given by the user.",)
    named = [date_in_name(file.path.stem) for file in files]
    found = [date if date is not None else _date_told(f) for date, f in zip(named, files, strict=True)]
    undated = [file.path.name for file, date in zip(files, found, strict=True) if date is None]
    if undated:
        raise InputError(
            f"No date is found in the name or the tags of {_some(undated)}. Put it into the name as YYYYMMDD, "
            "move the file elsewhere if it is no image, or give all dates with --dates."
        )
    repeats = {found.count(date) for date in found}
    if files[0].count == 1 and len(repeats) == 1 and repeats != {1}:
        raise InputError(
            f"Every date occurs {repeats.pop()} times and each file holds one band, so these seem to be the bands of "
            f"one image: {_some([file.path.name for file in files])}. Put the band into each name as _B02 or _B8A."
        )
    tagged = [file.path.name for file, date in zip(files, named, strict=True) if date is None]
    note = (f"The dates of {_some(tagged)} come from the files: tags, layers or STAC items.",) if tagged else ()
    return np.array(found, "datetime64[ns]"), note


def _masks(
    path: Path, folder: Path, images: tuple[Any, GeoBox, tuple[str, ...]], options: ReadOptions
) -> tuple[Any, tuple[str, ...]]:
    if options.mask is not None:
        near = path / options.mask
        clear, note = masks_in(near if near.is_dir() else Path(options.mask).expanduser(), *images)
        return clear, (note,)
    beside = folder.parent / "masks" if folder.name == "images" else None
    for place in (path / "masks", beside):
        if place is not None and place.is_dir():
            clear, note = masks_in(place, *images)
            return clear, (note,)
    return None, ()


def _simulated(files: Sequence[RasterFacts]) -> tuple[str, ...]:
    """Pass on that nothing was observed, so that models trained on it say so too."""
    return ("The images are simulated, as their tags say.",) if any("SIMULATED" in f.tags for f in files) else ()


def _date_told(file: RasterFacts) -> np.datetime64 | None:
    """Date that a file tells otherwise than by its name: in its tags, its layers, or the STAC item beside it."""
    layers = dated_layers(file)
    if (found := date_in_tags(file.tags)) is not None:
        return found
    return layers[0][0] if layers is not None else date_in_name(item_beside(file)[1] or "")


def _listed(names: Sequence[str | None]) -> str:
    return ", ".join(str(name) for name in names)


def _some(names: Sequence[str]) -> str:
    return ", ".join(names[:3]) + (f" and {len(names) - 3} more" if len(names) > 3 else "")
