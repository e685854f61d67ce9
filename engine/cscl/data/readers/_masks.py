"""A folder of mask rasters, matched to the images by date; a non-zero pixel is not usable."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from cscl.errors import InputError
from cscl.grid import GeoBox, require_same
from cscl.raster import facts, stack

from ._dates import date_in_name
from ._lazy import clear_from

__all__ = ["RASTERS", "masks_in", "rasters_in"]

RASTERS = frozenset({".tif", ".tiff", ".vrt", ".jp2"})


def rasters_in(folder: Path) -> list[Path]:
    """List the raster files of a folder, sorted by name; hidden files are left out."""
    return sorted(p for p in folder.iterdir() if p.suffix.lower() in RASTERS and not p.name.startswith("."))


def masks_in(
    folder: Path, times: NDArray[np.datetime64], grid: GeoBox, names: Sequence[str] = ()
) -> tuple[xr.Variable, str]:
    """Find the masks of a folder: by the name of the image, else by its exact time, else by its day.

    Parameters
    ----------
    folder : Path
        Folder of single-band rasters on `grid` with dates in their names.
    times : ndarray
        Times of the images, shape (time,).
    grid : GeoBox
        Grid of the images.
    names : sequence of str, optional
        File names of the images.

    Returns
    -------
    clear, note
        Lazy bool array with axes (time, y, x), True where usable or where the date has no mask; and a sentence.

    Raises
    ------
    InputError, GridError
        If no mask fits an image, two fit the same, or one lies elsewhere.
    """
    if not folder.is_dir():
        raise InputError(f"The mask folder {folder} does not exist. Give a folder of mask rasters, one a date.")
    dated = {path: date_in_name(path.stem) for path in rasters_in(folder)}
    by_stem = {path.stem: path for path in dated}
    named = [by_stem.get(Path(name).stem) for name in names] or [None] * len(times)
    chosen = [path or _fitting(dated, time, times, folder) for path, time in zip(named, times, strict=True)]
    used = [path for path in dict.fromkeys(chosen) if path is not None]
    if not used:
        raise InputError(
            f"None of the {len(dated)} rasters in the mask folder {folder} has the date of an image in its name. "
            "Name them after the images."
        )
    for path in used:
        require_same(grid, facts(path).grid(str(grid.crs)), f"The images and the mask {path}")
    layers = [[(path, 1)] for path in used]
    mask = stack(layers, (grid.shape[0], grid.shape[1]), facts(used[0]).dtype).isel(band=0)
    without = chosen.count(None)
    note = f"Masks from {folder.name}/: non-zero is not usable."
    if without:
        note += f" {without} of {len(times)} dates have no mask: all their pixels count as usable."
    return clear_from(mask, False, [None if path is None else used.index(path) for path in chosen]), note


def _fitting(
    dated: dict[Path, np.datetime64 | None], time: np.datetime64, times: NDArray[np.datetime64], folder: Path
) -> Path | None:
    exact = [path for path, date in dated.items() if date is not None and date == time]
    day = time.astype("datetime64[D]")
    same_day = [path for path, date in dated.items() if date is not None and date.astype("datetime64[D]") == day]
    fitting: Sequence[Path] = exact or same_day
    distinct = {t for t in times if t.astype("datetime64[D]") == day}
    if len(fitting) > 1 or (fitting and not exact and len(distinct) > 1):
        raise InputError(
            f"It is not clear which mask in {folder} belongs to the image of {time.astype('datetime64[s]')}: "
            f"{', '.join(p.name for p in fitting)}. Give each mask the full time of its image, YYYYMMDDThhmmss."
        )
    return fitting[0] if fitting else None
