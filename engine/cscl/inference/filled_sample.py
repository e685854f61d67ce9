"""A sample that was filled in, as CSV or as points: read, whatever spreadsheet or GIS wrote it."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from io import StringIO
from pathlib import Path
from typing import Any

import geopandas as gpd
import numpy as np
import pandas as pd
import pyogrio

from cscl.errors import InputError, MissingError

from .sample import RECORD

__all__ = ["FilledSample", "read_sample"]


@dataclass(frozen=True, eq=False)
class FilledSample:
    """A sample as its interpreter left it.

    Parameters
    ----------
    table : DataFrame
        One row a point: ``unit`` (what the file calls it), ``reference`` (text, empty where not filled in), ``row`` and
        ``col`` (as in the file, -1 where it has none), ``x`` and ``y`` (in `crs`).
    crs : str or None
        Of x and y; None for that of the map.
    record : dict
        What was noted when it was drawn; empty where there is nothing.
    path : Path
        The file.
    """

    table: pd.DataFrame = field(repr=False)
    crs: str | None
    record: dict[str, Any] = field(repr=False)
    path: Path


def read_sample(path: str | Path) -> FilledSample:
    """Read a sample that was filled in: a folder that `cscl sample` made, or a CSV, GeoPackage or other point file.

    Parameters
    ----------
    path : path
        A folder is searched for the file that is filled in, ``sample.gpkg`` or ``sample.csv``. A table needs the
        columns ``reference`` and ``x``, ``y`` or ``row``, ``col``.

    Raises
    ------
    MissingError, InputError
        If there is no such file; if it cannot be read, lacks a column, or both files of the folder are filled in.
    """
    path = Path(path)
    if not path.exists():
        raise MissingError(f"There is no sample {path}. Draw one with cscl sample.")
    file = _filled_file(path) if path.is_dir() else path
    note = file.parent / RECORD
    try:
        record = json.loads(note.read_text(encoding="utf-8")) if note.is_file() else {}
    except ValueError as error:
        raise InputError(f"{note} is damaged ({error}). Take it from a copy of the sample, or remove it.") from error
    table, crs = _rows(file)
    return FilledSample(table, crs, record, file)


def _filled_file(folder: Path) -> Path:
    there = [folder / name for name in ("sample.gpkg", "sample.csv") if (folder / name).is_file()]
    if not there:
        raise MissingError(f"{folder} holds neither sample.gpkg nor sample.csv. Draw a sample with cscl sample.")
    filled = [path for path in there if (_rows(path)[0]["reference"] != "").any()]
    if len(filled) > 1:
        raise InputError(
            f"Both {filled[0]} and {filled[1].name} are filled in. Give the one that counts in the place of the folder."
        )
    return (filled or there)[0]


def _rows(path: Path) -> tuple[pd.DataFrame, str | None]:
    """Read the columns that count; the CRS is that of the points of a vector file."""
    crs = None
    if path.suffix.lower() in (".csv", ".txt", ".tsv"):
        table = _csv(path)
    else:
        table, crs = _points_of(path)
    if "reference" not in table.columns:
        raise InputError(f"{path} has no column 'reference'. It has: {', '.join(map(str, table.columns))}.")
    if not {"x", "y"} <= set(table.columns) and not {"row", "col"} <= set(table.columns):
        raise InputError(f"{path} says of no point where it lies: it needs the columns x and y, or row and col.")
    found = pd.DataFrame({"reference": table["reference"].map(_text)})
    found["unit"] = table["unit"].map(_text) if "unit" in table.columns else [str(n + 1) for n in range(len(table))]
    for name, missing in (("row", -1.0), ("col", -1.0), ("x", np.nan), ("y", np.nan)):
        found[name] = _numbers(table[name], path) if name in table.columns else missing
    if found.empty:
        raise InputError(f"{path} holds no points.")
    return found, crs


def _csv(path: Path) -> pd.DataFrame:
    """Read a CSV as spreadsheets of any country write it; all columns are text, as NA may be the code of a crop."""
    raw = path.read_bytes()
    try:
        text = raw.decode("utf-8-sig")
    except UnicodeDecodeError:
        text = raw.decode("cp1252", errors="replace")
    head = text.split("\n", 1)[0]
    separator = max(",;\t", key=head.count)
    try:
        table = pd.read_csv(StringIO(text), sep=separator, dtype=str, keep_default_na=False, skipinitialspace=True)
    except (pd.errors.ParserError, pd.errors.EmptyDataError) as error:
        raise InputError(f"{path} cannot be read as CSV ({error}). Save it as CSV with a line of names.") from error
    return table.rename(columns=lambda name: str(name).strip().lower())


def _points_of(path: Path) -> tuple[pd.DataFrame, str | None]:
    try:
        layers = [str(name) for name, kind in pyogrio.list_layers(path) if kind is not None]
        table = gpd.read_file(path, layer="sample" if "sample" in layers else layers[0])
    except Exception as error:  # the vector drivers raise a dozen kinds, none with a common base
        raise InputError(f"{path} cannot be read as points ({error}). Give a CSV or a GeoPackage.") from error
    if not isinstance(table, gpd.GeoDataFrame) or not (table.geometry.geom_type == "Point").all():
        raise InputError(f"{path} holds other geometries than points. Give the sample that cscl sample wrote.")
    found = pd.DataFrame(table.drop(columns=table.geometry.name)).rename(columns=lambda name: str(name).lower())
    return found.assign(x=table.geometry.x, y=table.geometry.y), None if table.crs is None else table.crs.to_wkt()


def _text(value: Any) -> str:
    """Text of a cell: a spreadsheet may have made 3.0 of the code 3."""
    if value is None or value != value:
        return ""
    text = str(value).strip()
    return text[:-2] if text.endswith(".0") and text[:-2].isdecimal() else text


def _numbers(column: pd.Series[Any], path: Path) -> pd.Series[Any]:
    numbers = pd.to_numeric(column.map(lambda v: v.replace(",", ".") if isinstance(v, str) else v), errors="coerce")
    if numbers.isna().any():
        raise InputError(f"The column '{column.name}' of {path} does not hold numbers only. Restore it from a copy.")
    return numbers.astype(float)
