"""PASTIS and PASTIS-R: 2433 patches of France, 128 x 128 pixels, 18 crops, five official folds.

V. Sainte Fare Garnot and L. Landrieu, "Panoptic Segmentation of Satellite Image Time Series with Convolutional
Temporal Attention Networks", ICCV 2021. Sentinel-2 level 2A (Theia), ten bands, every clear or cloudy date from
September 2018 on. Class 19, void (parcels mostly outside their patch), is unknown; class 0, background, is scored.
PASTIS-R adds Sentinel-1, which has dates of its own and is left out here.
"""

from __future__ import annotations

import datetime as dt
import json
import re
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from tokenize import TokenError
from typing import Any

import geopandas
import numpy as np
from affine import Affine
from numpy.typing import NDArray

from cscl.errors import GridError, InputError, MissingError
from cscl.grid import GeoBox, make_grid
from cscl.products import Scene

from . import Dataset, Entry, Layout, Moments, datasets
from ._parts import PIXEL_M, legend_of, local_grid, numbered, require_classes, require_shape, scene_of

__all__ = ["BANDS", "LEGEND", "NODATA", "REFERENCE", "VOID", "open_pastis", "season_dates"]

BANDS = ("B02", "B03", "B04", "B05", "B06", "B07", "B08", "B8A", "B11", "B12")
REFERENCE = dt.date(2018, 9, 1)
VOID = 19
NODATA = -10000
NAMES = (
    *("background", "meadow", "soft winter wheat", "corn", "winter barley", "winter rapeseed", "spring barley"),
    *("sunflower", "grapevine", "beet", "winter triticale", "winter durum wheat", "fruits, vegetables, flowers"),
    *("potatoes", "leguminous fodder", "soybeans", "orchard", "mixed cereal", "sorghum"),
)
LEGEND = legend_of(dict(enumerate(NAMES)), VOID)
COLUMNS = ("ID_PATCH", "Fold", "dates-S2")
OFFICIAL = "ID_PATCH, Fold, TILE, dates-S2 and the outlines of the patches"
SOURCE = "reflectance x 10000, Theia level 2A; -10000 means missing"


def open_pastis(path: Path) -> Dataset:
    """Open the folder that holds ``metadata.geojson``, ``DATA_S2`` and ``ANNOTATIONS``.

    Raises
    ------
    MissingError, InputError
        If one of these is not there or not whole; the message says what the official layout has.
    """
    for part in ("metadata.geojson", "DATA_S2", "ANNOTATIONS"):
        if not (path / part).exists():
            raise MissingError(
                f"{path} has no {part}. PASTIS has metadata.geojson, DATA_S2, ANNOTATIONS, INSTANCE_ANNOTATIONS and "
                "NORM_S2_patch.json: give the folder that holds these."
            )
    table = _metadata(path / "metadata.geojson")
    west = table.geometry.to_crs("EPSG:4326").bounds["minx"].to_numpy() if table.crs is not None else None
    entries = []
    for row, fields in enumerate(table.drop(columns="geometry").to_dict("records")):
        number = str(fields["ID_PATCH"])
        dates = season_dates(fields["dates-S2"], f"{path / 'metadata.geojson'}, patch {number}")
        place = None
        if west is not None:
            place = table.geometry.iloc[row], table.crs, _zone(str(fields.get("TILE", "")), float(west[row]))
        entries.append(Entry(number, str(fields["Fold"]), partial(_open, path, number, dates, place)))
    notes: tuple[str, ...] = ()
    if (path / "DATA_S1A").is_dir():
        notes += ("Sentinel-1 is there and is not read: it has dates of its own.",)
    if not (path / "NORM_S2_patch.json").is_file():
        notes += ("NORM_S2_patch.json is missing: the statistics are those of the training patches.",)
    name = "PASTIS-R" if (path / "DATA_S1A").is_dir() else "PASTIS"
    entries.sort(key=lambda entry: entry.name.rjust(9))
    return Dataset(name, path, tuple(entries), LEGEND, REFERENCE, "1,2,3/4/5", partial(_moments, path), notes)


def season_dates(stored: Any, what: str) -> NDArray[np.datetime64]:
    """Read ``dates-S2``: a mapping from position to YYYYMMDD, which some readers of GeoJSON give as a text.

    Raises
    ------
    InputError
        If it is not such a mapping.
    """
    try:
        plain = json.loads(stored) if isinstance(stored, str) else stored
        days = [plain[key] for key in sorted(plain, key=int)]
        texts = [f"{int(day):08d}" for day in days]
        return np.array([f"{t[:4]}-{t[4:6]}-{t[6:]}" for t in texts], "datetime64[D]")
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
        raise InputError(
            f'{what}: dates-S2 is {str(stored)[:60]!r}, not of the form {{"0": 20180924, ...}}. Restore the file.'
        ) from error


def _metadata(path: Path) -> Any:
    try:
        table = geopandas.read_file(path)
    except Exception as error:  # pyogrio, GDAL and shapely have kinds of errors of their own
        raise InputError(f"{path} cannot be read ({error}). Download it again.") from error
    lacking = [column for column in COLUMNS if column not in table.columns]
    if lacking:
        there = ", ".join(str(c) for c in table.columns if c != "geometry") or "none"
        raise InputError(
            f"{path} has no {', '.join(lacking)}: it has {there}, the official one {OFFICIAL}. Without the dates of "
            "its images a series cannot be read. Restore the official file."
        )
    if not len(table):
        raise InputError(f"{path} lists no patch. Restore the official file.")
    return table


def _open(path: Path, number: str, dates: NDArray[np.datetime64], place: Any) -> Scene:
    values = _array(path / "DATA_S2" / f"S2_{number}.npy", 4)
    shape = (int(values.shape[2]), int(values.shape[3]))
    target = path / "ANNOTATIONS" / f"TARGET_{number}.npy"
    classes = require_classes(require_shape(_array(target, 3)[0], shape, str(target)), VOID, target)
    grid, note = _grid(place, shape, number)
    return scene_of(
        number, values, dates, BANDS, grid, classes, _parcels(path, number, shape), LEGEND,
        nodata=NODATA, source=SOURCE, notes=note, path=path / "DATA_S2" / f"S2_{number}.npy",
    )  # fmt: skip


def _parcels(path: Path, number: str, shape: tuple[int, int]) -> NDArray[np.int32] | None:
    """Ids of the register, or else those of the instances, which some copies hold alone."""
    for file in ("ANNOTATIONS/ParcelIDs_{}.npy", "INSTANCE_ANNOTATIONS/INSTANCES_{}.npy"):
        found = path / file.format(number)
        if found.is_file():
            return numbered(require_shape(_array(found, 2), shape, str(found)))
    return None


def _array(path: Path, axes: int) -> NDArray[Any]:
    """Map an array of numbers into memory: only what is looked at is read."""
    if not path.is_file():
        raise MissingError(f"There is no file {path}, which metadata.geojson lists. Unpack or download it again.")
    try:
        array: NDArray[Any] = np.load(path, mmap_mode="r", allow_pickle=False)
    except (ValueError, OSError, EOFError, SyntaxError, TokenError) as error:
        raise InputError(f"{path} is damaged ({error}). Unpack or download it again.") from error
    if array.ndim != axes or array.dtype.kind not in "iuf":
        raise InputError(f"{path} holds {array.dtype} with {array.ndim} axes, not numbers with {axes}. Restore it.")
    return array


def _zone(tile: str, longitude: float) -> str:
    """UTM zone of a Sentinel-2 tile such as t30uxv, or else of a longitude; the dataset lies in the north."""
    match = re.search(r"[tT]?(\d{2})[A-Za-z]{3}$", tile)
    zone = int(match[1]) if match else int((longitude + 180) // 6) + 1
    return f"EPSG:{32600 + min(60, max(1, zone))}"


def _grid(place: Any, shape: tuple[int, int], number: str) -> tuple[GeoBox, tuple[str, ...]]:
    """Grid of a patch from its outline, a square of 10 m pixels in the tile's UTM zone; else one that lies nowhere."""
    if place is not None:
        outline, crs, zone = place
        try:
            west, south, east, north = geopandas.GeoSeries([outline], crs=crs).to_crs(zone).total_bounds
        except (ValueError, GridError, RuntimeError):  # an outline that has no place there
            west = south = east = north = np.nan
        size = np.array([north - south, east - west]) / PIXEL_M
        if np.allclose(size, shape, atol=0.5):
            corner = Affine(PIXEL_M, 0, round(west, 2), 0, -PIXEL_M, round(north, 2))
            return make_grid(shape, corner, zone, number), ()
    note = "The outline of the patch does not fit its pixels: they lie on local metres, with no place on earth."
    return local_grid(shape, number), (note,)


def _moments(path: Path, folds: Sequence[str]) -> Moments | None:
    """Mean of the published statistics of the training folds, as reflectance."""
    file = path / "NORM_S2_patch.json"
    if not file.is_file():
        return None
    try:
        stored: Mapping[str, Any] = json.loads(file.read_text(encoding="utf-8"))
        mean, std = (np.mean([stored[f"Fold_{f}"][key] for f in folds], axis=0) / 1e4 for key in ("mean", "std"))
        if mean.shape != (len(BANDS),) or std.shape != mean.shape or not (std > 0).all():
            raise ValueError(f"{mean.shape} values")
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise InputError(
            f"{file} does not hold mean and std of {len(BANDS)} bands for Fold_{', Fold_'.join(folds)} ({error}). "
            "Restore it, or remove it to take the statistics of the training patches."
        ) from error
    return tuple(map(float, mean)), tuple(map(float, std))


def _matches(path: Path) -> bool:
    return (path / "metadata.geojson").is_file() and (path / "DATA_S2").is_dir()


datasets.register("pastis")(
    Layout("PASTIS or PASTIS-R (metadata.geojson, DATA_S2, ANNOTATIONS)", _matches, open_pastis)
)
