"""Tables as layers of a GeoPackage: columns that it can hold, styles that QGIS finds in it, and a check of the file.

The styles lie in the table ``layer_styles``, as QGIS itself saves them, so that each layer opens with its own; a
``.qml`` beside the file would be one for all layers.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable
from contextlib import closing
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import geopandas as gpd
import pandas as pd
import pyogrio

from cscl.events import Job, Progress

__all__ = ["Layer", "LayerWriter", "beside", "storable", "write_layers"]

CHUNK_ROWS = 10_000
GEOMETRY_COLUMN = "geom"
VERSION = "1.2"
"""It holds all that is needed; of later ones older programs warn that they may be only partly supported."""


@dataclass(frozen=True, eq=False)
class Layer:
    """A layer to be written.

    Parameters
    ----------
    name : str
        Name of the layer in the file.
    table : geopandas.GeoDataFrame
        What `storable` made of its rows; at least one, with a CRS. Geometries are all polygons or all lines, single or
        multiple; where both occur, single ones are stored as multiple ones.
    description : str
        What rows and geometries are, for the metadata of the layer.
    style : str
        QGIS style, the text of a ``.qml``.
    """

    name: str
    table: gpd.GeoDataFrame
    description: str = ""
    style: str = ""


def beside(table: gpd.GeoDataFrame, verdict: pd.DataFrame) -> gpd.GeoDataFrame:
    """Join the two by their index; a column of `table` that `verdict` has, too, gets the ending ``_given``.

    GeoPackage does not tell upper from lower case, so neither does the check for equal names.
    """
    theirs = {str(c).lower() for c in verdict.columns}
    taken, names = {str(c).lower() for c in table.columns} | theirs, {}
    for column in table.columns:
        if str(column).lower() in theirs:
            names[column] = _free(f"{column}_given", taken)
    joined: gpd.GeoDataFrame = table.rename(columns=names).join(verdict)
    return joined


def storable(table: gpd.GeoDataFrame, ours: Iterable[str] = ()) -> gpd.GeoDataFrame:
    """Make a table that GeoPackage can hold: names that differ by more than case, no ``fid``, plain values.

    Parameters
    ----------
    table : geopandas.GeoDataFrame
        Any columns.
    ours : iterable of str
        Columns that keep their names; of two that differ by case only the other gets the ending ``_given``.
    """
    seen, names = {"fid", GEOMETRY_COLUMN}, {}
    for column in (*ours, *table.columns):
        if column not in names and column in table.columns:
            names[column] = str(column) if str(column).lower() not in seen else _free(f"{column}_given", seen)
            seen.add(names[column].lower())
    table = table.rename(columns={k: v for k, v in names.items() if k != table.geometry.name})
    for column in table.columns.drop(table.geometry.name):
        values = table[column]
        if isinstance(values, gpd.GeoSeries):
            table[column] = values.to_wkt()
        elif isinstance(values.dtype, pd.CategoricalDtype) or values.dtype == object:
            table[column] = [v if v is None or isinstance(v, str) else _text(v) for v in values]
    return table


def write_layers(path: Path, layers: Iterable[Layer]) -> Job[None]:
    """Write layers into a new GeoPackage, some rows at a time, and read back whether all is there.

    Raises
    ------
    OSError, pyogrio.errors.DataSourceError
        If the file cannot be written, or is not what was written.
    """
    counts: dict[str, int] = {}
    styles: list[Layer] = []
    for layer in layers:
        yield from _write(path, layer)
        counts[layer.name] = len(layer.table)
        if layer.style:
            styles.append(layer)
    if styles:
        pyogrio.write_dataframe(_styles(styles), path, layer="layer_styles", driver="GPKG")
    for done, (name, rows) in enumerate(counts.items()):
        yield Progress(f"checking {path.name}", done, len(counts), "layer")
        _check(path, name, rows, len(styles))
    yield Progress(f"checking {path.name}", len(counts), len(counts), "layer")


class LayerWriter:
    """Write a layer of polygons into a new GeoPackage as its rows come, so that they need not lie in memory together.

    Parameters
    ----------
    path : Path
        File to make.
    name, description : str
        Name of the layer, and what its rows are.

    Raises
    ------
    OSError, pyogrio.errors.DataSourceError
        From its methods: the file cannot be written, or is not what was written.
    """

    def __init__(self, path: Path, name: str, description: str) -> None:
        self.path, self.name, self.rows = path, name, 0
        self.options = {"GEOMETRY_NAME": GEOMETRY_COLUMN, "IDENTIFIER": name, "DESCRIPTION": description}

    def add(self, table: gpd.GeoDataFrame) -> None:
        """Add rows; the first ones, which may be none, tell columns and CRS."""
        first = not self.path.exists()
        made = {"dataset_options": {"VERSION": VERSION}, "layer_options": self.options} if first else {"append": True}
        if first or len(table):
            how = {"driver": "GPKG", "layer": self.name, "geometry_type": "Polygon"}
            pyogrio.write_dataframe(table, self.path, **how, **made)
        self.rows += len(table)

    def check(self) -> None:
        """Read back whether all is there."""
        _check(self.path, self.name, self.rows, 0)


def _write(path: Path, layer: Layer) -> Job[None]:
    total, new = len(layer.table), not path.exists()
    kinds = set(layer.table.geometry.geom_type.dropna())
    multi = len(kinds) > 1
    kind = next((k for k in kinds if k.startswith("Multi") or not multi), "Unknown")
    how: dict[str, Any] = {"driver": "GPKG", "layer": layer.name, "geometry_type": kind, "promote_to_multi": multi}
    made: dict[str, Any] = {"dataset_options": {"VERSION": VERSION}} if new else {}
    made["layer_options"] = {
        "GEOMETRY_NAME": GEOMETRY_COLUMN,
        "IDENTIFIER": layer.name,
        "DESCRIPTION": layer.description,
    }
    for start in range(0, total, CHUNK_ROWS):
        yield Progress(f"writing {layer.name}", start, total, "row")
        chunk = layer.table.iloc[start : start + CHUNK_ROWS]
        pyogrio.write_dataframe(chunk, path, **how, **({"append": True} if start else made))
    yield Progress(f"writing {layer.name}", total, total, "row")


def _styles(layers: Iterable[Layer]) -> pd.DataFrame:
    """Rows of ``layer_styles`` as QGIS writes them; catalogue and schema are empty and not null, or it misses them."""
    now = pd.Timestamp(datetime.now(UTC))
    rows = [
        {
            "f_table_catalog": "", "f_table_schema": "", "f_table_name": layer.name,
            "f_geometry_column": GEOMETRY_COLUMN, "styleName": layer.name, "styleQML": layer.style, "styleSLD": "",
            "useAsDefault": True, "description": layer.description, "owner": "", "ui": None, "update_time": now,
        }
        for layer in layers
    ]  # fmt: skip
    return pd.DataFrame(rows).astype({"ui": "string"})


def _check(path: Path, name: str, rows: int, styles: int) -> None:
    """Look for what a disk that fills at the very end costs: it goes unreported, and a spatial index may be missing."""
    with closing(sqlite3.connect(path)) as db:
        fine = db.execute(f'PRAGMA quick_check("{name}")').fetchone() == ("ok",)
        if styles:
            fine &= db.execute("SELECT count(*) FROM layer_styles WHERE useAsDefault = 1").fetchone() == (styles,)
    info = pyogrio.read_info(path, layer=name, force_feature_count=True)
    if not fine or info["features"] != rows or not info["capabilities"]["fast_spatial_filter"]:
        raise OSError("what is read back is not what was written")


def _free(name: str, taken: set[str]) -> str:
    while name.lower() in taken:
        name += "_"
    taken.add(name.lower())
    return name


def _text(value: Any) -> str | None:
    return None if pd.api.types.is_scalar(value) and pd.isna(value) else str(value)
