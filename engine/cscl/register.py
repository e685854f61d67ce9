"""A register as a file gives it: its table read, polygons repaired or left out, codes as text, and ids made unique.

What is repaired, joined or left out is listed in a table of issues: ``row`` (of the file, from 1), ``id`` (the user's
own, if there is one), ``problem`` and ``done``.
"""

from __future__ import annotations

import datetime as dt
import math
from collections.abc import Sequence
from decimal import Decimal
from pathlib import Path
from typing import Any

import geopandas as gpd
import numpy as np
import pandas as pd
import shapely
from numpy.typing import NDArray
from pyarrow import ArrowException
from pyproj import CRS
from pyproj.exceptions import CRSError

from cscl.errors import GridError, InputError, MissingError

__all__ = [
    "as_text", "free_name", "issues", "join_parts", "numbered", "only_polygons", "placed", "read_table", "unreadable",
]  # fmt: skip

ISSUES = ("row", "id", "problem", "done")
MOST_ID = 2**31 - 1
NO_ID = " That is most of them: if the ids are not those of parcels, name another column with --id-column."
DATE = r"\d{4}-\d\d-\d\d([T ].*)?"


def read_table(path: Path, layer: str | None) -> gpd.GeoDataFrame:
    """Read a vector file; its geometry column is called ``geometry``, and rows are numbered from 0.

    Raises
    ------
    MissingError, InputError
        No such file; not a vector file, or one without geometries.
    """
    if not path.exists():
        raise MissingError(f"There is no parcel file {path}.")
    try:
        if path.suffix.lower() in {".parquet", ".geoparquet"}:
            table = gpd.read_parquet(path)
        else:
            table = gpd.read_file(path, **({"layer": layer} if layer else {}))
    except Exception as error:  # the vector drivers raise a dozen kinds, none with a common base
        raise unreadable(path, error) from error
    if not isinstance(table, gpd.GeoDataFrame) or table.empty:
        raise InputError(f"{path} holds no geometries. Give a file with parcel polygons.")
    return (table.rename_geometry("geometry") if table.geometry.name != "geometry" else table).reset_index(drop=True)


def unreadable(path: Path, error: Exception) -> InputError:
    """Error about a file that no vector driver reads."""
    return InputError(
        f"{path} cannot be read as parcels ({str(error)[:300]}). Give a GeoPackage, GeoJSON, Shapefile, FlatGeobuf "
        "or GeoParquet."
    )


def placed(table: gpd.GeoDataFrame, crs: str | None, path: Path) -> tuple[gpd.GeoDataFrame, list[str]]:
    """Give a table its CRS: that of the file, unless the user names another.

    Raises
    ------
    GridError
        There is none, it is not understood, or it counts degrees and coordinates are none.
    """
    notes = []
    if crs is not None:
        named = _known_crs(crs)
        if table.crs is not None and table.crs != named:
            notes.append(f"The file says that its CRS is {table.crs.to_string()[:60]}; {crs} was taken, as asked.")
        table = table.set_crs(named, allow_override=True)
    if table.crs is None:
        raise GridError(f"{path} has no coordinate reference system. Say which it is with --parcels-crs.")
    largest = np.nanmax(np.abs(table.total_bounds), initial=0)
    if table.crs.is_geographic and largest > 360:
        raise GridError(
            f"{path} says that its coordinates are degrees ({table.crs.to_string()[:60]}), but they reach "
            f"{largest:.0f}: they belong to another system. Say which with --parcels-crs, e.g. EPSG:2154."
        )
    return table, notes


def _known_crs(crs: str) -> CRS:
    try:
        return CRS(crs)
    except CRSError as error:
        raise GridError(f"The CRS '{crs}' of the parcels is not understood. Give a code such as EPSG:2154.") from error


def issues(rows: Any, own: pd.Series[Any] | None, problem: Any, done: str) -> pd.DataFrame:
    """Make a piece of the table of issues, of rows counted from 0 and the user's ids of all rows."""
    rows = np.asarray(rows, np.int64)
    ids = None if own is None else own.reindex(rows).to_numpy(object)
    return pd.DataFrame({"row": rows + 1, "id": ids, "problem": problem, "done": done}, columns=list(ISSUES))


# --- polygons ----------------------------------------------------------------------------------------------------


def only_polygons(
    table: gpd.GeoDataFrame, own: pd.Series[Any] | None, path: Path
) -> tuple[gpd.GeoDataFrame, list[pd.DataFrame], list[str]]:
    """Repair geometries and keep what has an area: lines would be burned along all the pixels that they cross.

    Raises
    ------
    InputError
        If no polygon is left.
    """
    found, notes = [], []
    shapes: NDArray[Any] = np.asarray(table.geometry.array, object)
    if (high := shapely.has_z(shapes) | shapely.has_m(shapes)).any():
        shapes = shapely.force_2d(shapes)
        notes.append(f"The heights of {int(high.sum())} geometries were dropped.")
    invalid = np.flatnonzero(~shapely.is_missing(shapes) & ~shapely.is_valid(shapes))
    reason = pd.Series(shapely.is_valid_reason(shapes[invalid]), invalid, dtype=object)
    shapes[invalid] = shapely.make_valid(shapes[invalid], method="structure", keep_collapsed=False)
    mended = invalid[shapely.area(shapes[invalid]) > 0]
    if mended.size:
        found.append(issues(mended, own, "invalid: " + reason[mended], "repaired"))
        notes.append(f"{len(mended)} invalid geometries were repaired.")
    mixed = np.flatnonzero(shapely.get_type_id(shapes) == shapely.GeometryType.GEOMETRYCOLLECTION)
    if mixed.size:
        shapes[mixed] = shapely.buffer(shapes[mixed], 0)
        some = mixed[shapely.area(shapes[mixed]) > 0]
        found.append(issues(some, own, "a collection of polygons and others", "its polygons were kept"))
    none = np.flatnonzero(~(shapely.area(shapes) > 0))
    if none.size:
        problem = [f"invalid: {reason[row]}" if row in reason else _what(shapes[row]) for row in none]
        found.append(issues(none, own, problem, "left out"))
        notes.append(f"{len(none)} rows without a polygon (empty geometry, points or lines) were left out.")
    if len(none) == len(table):
        raise InputError(f"{path} holds no polygons: all {len(table)} geometries are empty, points or lines.")
    return table.set_geometry(shapes, crs=table.crs).drop(index=none), found, notes


def _what(shape: Any) -> str:
    if shape is None:
        return "no geometry"
    return "an empty geometry" if shape.is_empty else f"a {shape.geom_type}, not a polygon"


# --- codes and ids -----------------------------------------------------------------------------------------------


def as_text(column: pd.Series[Any], what: str) -> pd.Series[Any]:
    """Turn values of any kind into text: 2.0 is '2', blanks and nulls are None.

    Parameters
    ----------
    column : Series
        Whole or real numbers, text, truth values, categories or a mixture.
    what : str
        What it is and where, for the message.

    Raises
    ------
    InputError
        If it holds dates, bytes or lists.
    """
    values = column.astype(object) if isinstance(column.dtype, pd.CategoricalDtype) else column
    try:
        place, found = pd.factorize(values)
    except TypeError as error:
        raise InputError(f"{what} holds lists or the like, not names or numbers. Name another column.") from error
    try:
        distinct = np.asarray(found, object)
    except (ValueError, ArrowException) as error:
        raise InputError(f"{what} holds text that is not UTF-8 ({error}). Save the file anew.") from error
    texts = [_text(value, what) for value in distinct]
    some = [text for text in texts if text is not None]
    if some and pd.Series(some).str.fullmatch(DATE).all():
        raise InputError(f"{what} holds dates such as {some[0]}, not names or numbers. Name another column.")
    return pd.Series(np.array([*texts, None], object)[place], column.index, dtype=object)


def _text(value: Any, what: str) -> str | None:
    if isinstance(value, str):
        return value.strip() or None
    if isinstance(value, (bool, np.bool_)):
        return str(bool(value))
    if isinstance(value, (int, np.integer)):
        return str(int(value))
    if isinstance(value, (float, np.floating, Decimal)):
        if not math.isfinite(value):
            return None
        return str(int(value)) if value == int(value) else str(float(value))
    kind = "dates" if isinstance(value, (dt.date, dt.time, dt.timedelta, np.datetime64, np.timedelta64)) else "bytes"
    raise InputError(f"{what} holds {kind} such as {str(value)[:30]}, not names or numbers. Name another column.")


def join_parts(
    table: gpd.GeoDataFrame, own: pd.Series[Any] | None
) -> tuple[gpd.GeoDataFrame, list[pd.DataFrame], list[str]]:
    """Join rows of one id and one crop, which are parts of one parcel; rows of one id and several crops stay apart.

    `table` has the codes in its column ``code``; `own` are the user's ids of its rows.
    """
    if own is None:
        return table, [], []
    key = pd.DataFrame({"id": own, "code": table["code"].fillna("")})
    parts = key.duplicated(keep=False) & key["id"].notna()
    found, notes, later = [], [], key.duplicated() & parts
    if later.any():
        groups = key[parts].groupby(["id", "code"], sort=False).groups.values()
        first = {row: rows[0] for rows in groups for row in rows[1:]}
        shapes = table.geometry.copy()
        shapes.loc[[rows[0] for rows in groups]] = [shapely.union_all(shapes.loc[rows].to_numpy()) for rows in groups]
        table = table.set_geometry(shapes)
        problem = [f"same id and crop as row {first[row] + 1}" for row in key.index[later]]
        found.append(issues(key.index[later], own, problem, "joined with it, as parts of one parcel"))
        notes.append(
            f"{int(later.sum())} rows were joined with others of the same id and crop, as parts of one parcel."
            + (NO_ID if later.sum() > len(later) / 2 else "")
        )
        table, key = table[~later], key[~later]
    twice = key["id"].duplicated(keep=False) & key["id"].notna()
    if twice.any():
        found.append(issues(key.index[twice], own, "same id as another row of another crop", "kept as a parcel"))
        notes.append(f"{int(twice.sum())} parcels share an id and differ in crop: each is kept as a parcel of its own.")
    return table, found, notes


def numbered(
    own: pd.Series[Any] | None, code: pd.Series[Any], column: str | None
) -> tuple[NDArray[np.int32], list[str]]:
    """Give parcels numbers: the user's ids where these are whole numbers from 1 up, else 1, 2, 3, ... in their order.

    Parameters
    ----------
    own : Series or None
        The user's ids as text, None where there is none.
    code : Series
        Crops, which tell parcels of one id apart.
    column : str or None
        Where the ids stand, for the notes.

    Returns
    -------
    tuple of ndarray and list of str
        Unique numbers, int32, at least 1; and notes.
    """
    if own is None:
        return np.arange(1, len(code) + 1, dtype=np.int32), ["The parcels were numbered 1, 2, 3, ... in file order."]
    order = np.lexsort((code.fillna("").astype(str), own.fillna("").astype(str), own.isna()))
    value = _whole(own)
    first = ~pd.Series(value[order]).duplicated().to_numpy() & (value[order] > 0)
    distinct, top, rest = len(np.unique(value[value > 0])), int(value.max(initial=0)), int((~first).sum())
    if (own[value == 0].notna()).any() or distinct != own.nunique() or top + rest > MOST_ID:
        value[order] = np.arange(1, len(own) + 1)
        return value.astype(np.int32), [
            f"The ids in '{column}' are not whole numbers from 1 to {MOST_ID:,}: parcels were numbered in their order, "
            "and keep them beside the number."
        ]
    value[order[~first]] = top + 1 + np.arange(rest)
    notes = [f"{rest} parcels without an id of their own were numbered from {top + 1} up."] if rest else []
    return value.astype(np.int32), notes


def _whole(own: pd.Series[Any]) -> NDArray[np.int64]:
    """Values of ids that are whole numbers; 0 for others, and for those that are too large."""
    text = own.astype("string")
    digits = text.str.fullmatch(r"\d{1,10}").fillna(value=False).to_numpy(bool)
    value = np.zeros(len(own), np.int64)
    value[digits] = text[digits].astype("int64")
    value[value > MOST_ID] = 0
    return value


def free_name(name: str, taken: Sequence[str]) -> str:
    """Name of a column that gives way to one of ours: with the ending ``_given``, as often as needed."""
    while name.lower() in {t.lower() for t in taken}:
        name += "_given"
    return name
