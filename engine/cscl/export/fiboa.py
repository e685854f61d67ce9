"""Parcels as GeoParquet by the rules of fiboa (Field Boundaries for Agriculture), so that others read them unasked.

fiboa 0.3.0 on Vecorel 0.1.0, with its crop extension 0.2.0: each parcel has ``id``, ``geometry``, ``bbox``,
``metrics:area`` (m²), ``crop:code`` and ``crop:name``. What all share stands once, in the key ``collection`` of the
file's footer: the schemas, the list of codes, and the type of each further column. GeoParquet is of version 1.1.0.
"""

from __future__ import annotations

import csv
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import geopandas as gpd
import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import shapely
from numpy.typing import NDArray

from cscl.events import Job, Progress
from cscl.legend import Legend
from cscl.register import free_name

__all__ = ["CODE_LIST_COLUMNS", "SCHEMAS", "CodeList", "write_code_list", "write_fiboa"]

SCHEMAS = (
    "https://vecorel.org/specification/v0.1.0/schema.yaml",
    "https://fiboa.org/specification/v0.3.0/schema.yaml",
    "https://fiboa.org/crop-extension/v0.2.0/schema.yaml",
)
SDL = "https://vecorel.org/sdl/v0.2.0/schema.json"
CODE_LIST_COLUMNS = ("original_code", "original_name", "translated_name")
CHUNK_ROWS = 10_000
BBOX = ("xmin", "ymin", "xmax", "ymax")
RESERVED = (
    *("id", "collection", "schemas", "geometry", "bbox", "category", "metrics:area", "metrics:perimeter"),
    *("determination:datetime", "determination:method", "determination:details"),
    *("crop:code", "crop:name", "crop:name_en", "crop:code_list"),
)
"""Names that fiboa gives a meaning; columns of the register that are called so are renamed."""

TYPES = {
    pa.bool_(): "boolean", pa.int8(): "int8", pa.int16(): "int16", pa.int32(): "int32", pa.int64(): "int64",
    pa.uint8(): "uint8", pa.uint16(): "uint16", pa.uint32(): "uint32", pa.uint64(): "uint64",
    pa.float32(): "float", pa.float64(): "double", pa.string(): "string", pa.date32(): "date", pa.binary(): "binary",
    pa.timestamp("ms", tz="UTC"): "date-time",
}  # fmt: skip
"""Types of Arrow, and what they are called in the language of the schemas."""


@dataclass(frozen=True)
class CodeList:
    """Where the crops of parcels stand.

    Parameters
    ----------
    code, name : str
        Columns of the table with the code and the name of the crop.
    address : str
        URL of the list of codes, or its place relative to the file.
    """

    code: str
    name: str
    address: str


def write_fiboa(path: Path, table: gpd.GeoDataFrame, ids: Sequence[str], crops: CodeList, collection: str) -> Job[None]:
    """Write polygons with their crops, some rows at a time.

    Parameters
    ----------
    path : Path
        File to make.
    table : geopandas.GeoDataFrame
        As `cscl.export.gpkg.storable` makes it, with a column ``area_ha``, hectares on the ground.
    ids : sequence of str
        What each row is called; unique and not empty.
    crops : CodeList
        Where the crops stand. Parcels without one have an empty ``crop:code``, since fiboa wants one of each.
    collection : str
        What the whole is called.

    Raises
    ------
    OSError
        If the file cannot be written, or is not what was written.
    """
    taken = [*map(str, table.columns), *RESERVED]
    names = {c: free_name(str(c), taken) for c in table.columns if str(c).lower() in RESERVED and c != "geometry"}
    further = pd.DataFrame(table.drop(columns="geometry")).rename(columns=names)
    rest = _plain(pa.Table.from_pandas(further, preserve_index=False))
    schema = pa.schema([*_own_fields(), *rest.schema])
    about = {b"geo": _geo(table), b"collection": _collection(collection, crops, rest)}
    schema = schema.with_metadata({key: json.dumps(value, ensure_ascii=False) for key, value in about.items()})
    with pq.ParquetWriter(path, schema, compression="zstd") as writer:
        for start in range(0, len(table), CHUNK_ROWS):
            yield Progress(f"writing {path.name}", start, len(table), "row")
            rows = slice(start, start + CHUNK_ROWS)
            own = _own_columns(table.iloc[rows], ids[rows], crops)
            columns = [*own, *rest.slice(start, CHUNK_ROWS).columns]
            writer.write_table(pa.Table.from_arrays(columns, schema=schema))
    yield Progress(f"writing {path.name}", len(table), len(table), "row")
    if pq.read_metadata(path).num_rows != len(table):
        raise OSError("what is read back is not what was written")


def write_code_list(legend: Legend, path: Path) -> None:
    """Write the crops as the list of codes that ``crop:code_list`` refers to."""
    with path.open("w", newline="", encoding="utf-8") as stream:
        writer = csv.writer(stream)
        writer.writerow(CODE_LIST_COLUMNS)
        writer.writerows([c.code, c.name, ""] for c in legend.classes)


def _own_fields() -> list[pa.Field]:
    """Columns that fiboa defines; those that it requires must not be null."""
    return [
        pa.field("id", pa.string(), nullable=False),
        pa.field("geometry", pa.binary(), nullable=False),
        pa.field("bbox", pa.struct([pa.field(name, pa.float32(), nullable=False) for name in BBOX])),
        pa.field("metrics:area", pa.float32()),
        pa.field("crop:code", pa.string(), nullable=False),
        pa.field("crop:name", pa.string()),
    ]


def _own_columns(table: gpd.GeoDataFrame, ids: Sequence[str], crops: CodeList) -> list[pa.Array]:
    shapes: NDArray[Any] = np.asarray(table.geometry.array, object)
    corners = [pa.array(corner) for corner in _outward(shapely.bounds(shapes))]
    area = pd.Series(table["area_ha"].to_numpy(float) * 1e4)
    text = pd.Series(table[crops.code].to_numpy(object)), pd.Series(table[crops.name].to_numpy(object))
    return [
        pa.array(ids, pa.string()),
        pa.array(shapely.to_wkb(shapes), pa.binary()),
        pa.StructArray.from_arrays(corners, fields=list(_own_fields()[2].type)),
        pa.array(area.where(area > 0), pa.float32(), from_pandas=True),
        pa.array(text[0].fillna(""), pa.string()),
        pa.array(text[1], pa.string(), from_pandas=True),
    ]


def _outward(bounds: NDArray[np.float64]) -> list[NDArray[np.float32]]:
    """Bounds in the float32 that Vecorel wants, rounded away from the polygon, so that they hold it."""
    rounded = bounds.T.astype(np.float32)
    inward = np.stack([*(rounded[:2] > bounds.T[:2]), *(rounded[2:] < bounds.T[2:])])
    away = np.array([-np.inf, -np.inf, np.inf, np.inf], np.float32)[:, None]
    return list(np.where(inward, np.nextafter(rounded, away), rounded))


def _plain(table: pa.Table) -> pa.Table:
    """Bring columns to types that the schemas know: text of one kind, times in milliseconds."""
    fields = []
    for field in table.schema:
        kind = field.type
        if pa.types.is_large_string(kind) or pa.types.is_null(kind) or pa.types.is_string_view(kind):
            kind = pa.string()
        elif pa.types.is_timestamp(kind):
            kind = pa.timestamp("ms", tz="UTC" if kind.tz else None)
        fields.append(pa.field(field.name, kind))
    return table.replace_schema_metadata(None).cast(pa.schema(fields), safe=False)


def _geo(table: gpd.GeoDataFrame) -> dict[str, Any]:
    column = {
        "encoding": "WKB",
        "geometry_types": sorted(set(table.geometry.geom_type)),
        "crs": table.crs.to_json_dict(),
        "bbox": [float(v) for v in table.total_bounds],
        "covering": {"bbox": {name: ["bbox", name] for name in BBOX}},
    }
    return {"version": "1.1.0", "primary_column": "geometry", "columns": {"geometry": column}}


def _collection(name: str, crops: CodeList, rest: pa.Table) -> dict[str, Any]:
    """Metadata of the whole; further columns are declared there, as far as the language of schemas has their type.

    Whole numbers with gaps are not: pandas reads them as real ones, and fiboa's validator then calls them wrong.
    """
    own = {
        field.name: {"type": TYPES[field.type]}
        for field, column in zip(rest.schema, rest.columns, strict=True)
        if field.type in TYPES and not (pa.types.is_integer(field.type) and column.null_count)
    }
    return {
        "schemas": {name: list(SCHEMAS)},
        "collection": name,
        "crop:code_list": crops.address,
        "schemas:custom": {"$schema": SDL, "required": [], "collection": {}, "properties": own},
    }
