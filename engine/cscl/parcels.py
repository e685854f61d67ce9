"""Parcels: polygons with a crop code, an id and a CRS, as a land parcel register gives them."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

import geopandas as gpd
import numpy as np
import pandas as pd
import pyogrio
import shapely
from numpy.typing import NDArray
from pyproj import CRS
from pyproj.exceptions import CRSError
from rasterio.features import rasterize
from shapely.geometry import box

from cscl.errors import GridError, InputError, MissingError
from cscl.grid import GeoBox
from cscl.legend import Legend
from cscl.products import LabelMap
from cscl.registry import nearest
from cscl.shares import PixelShares

__all__ = ["Parcels", "columns_in", "outlines", "rasterise"]


@dataclass(frozen=True, eq=False)
class Parcels:
    """Polygons with crop codes.

    Parameters
    ----------
    table : geopandas.GeoDataFrame
        Columns ``parcel_id`` (int, unique, at least 1), ``code`` (str, or None where not declared) and ``geometry``
        (valid polygons), and whatever else the file had; with a CRS. Of a file, indexed by the number of the row, from
        0.
    name : str
        What the user calls it, usually the file's name.
    notes : tuple of str
        What opening it decided: geometries repaired or left out, ids made.
    path : Path or None
        File that they were read from.
    class_column : str or None
        Column of that file that the codes come from.
    aligned : {"no", "scene", "tiles", "parcels"}
        How outlines were moved back onto the edges in images since they were read, if they were.
    """

    table: gpd.GeoDataFrame = field(repr=False)
    name: str = "parcels"
    notes: tuple[str, ...] = ()
    path: Path | None = None
    class_column: str | None = None
    aligned: Literal["no", "scene", "tiles", "parcels"] = "no"

    @classmethod
    def open(
        cls,
        path: str | Path,
        class_column: str | None = None,
        *,
        id_column: str | None = None,
        layer: str | None = None,
        crs: str | None = None,
    ) -> Parcels:
        """Read GeoPackage, GeoJSON, Shapefile, FlatGeobuf or GeoParquet.

        Parameters
        ----------
        path : path
            The file.
        class_column : str, optional
            Column that holds the crop code. Without it the parcels are outlines only: enough for pre-training.
        id_column : str, optional
            Column of unique whole numbers from 1 up; by default ``parcel_id`` if it is such a column, else 1, 2, 3, ...
        layer : str, optional
            Layer of a file that holds several.
        crs : str, optional
            CRS to assume where the file has none.

        Raises
        ------
        MissingError, InputError, GridError, UnknownNameError
            No such file; not a vector file, or without polygons; without CRS; no such column.
        """
        path = Path(path)
        table = _read_table(path, layer)
        if table.crs is None:
            if crs is None:
                raise GridError(f"{path} has no coordinate reference system. Say which it is with --parcels-crs.")
            table = table.set_crs(_known_crs(crs))
        table, notes = _clean(table, path)
        for column in (class_column, id_column):
            if column is not None and column not in _columns(table):
                raise nearest(column, _columns(table), "column", str(path))
        ids, id_note = _ids(table, id_column, path)
        codes = _codes(table[class_column]) if class_column else pd.Series(None, table.index, dtype=object)
        table = table.assign(parcel_id=ids, code=codes)
        missing = int(codes.isna().sum()) if class_column else 0
        if missing:
            notes.append(f"{missing} of {len(table)} parcels have no value in '{class_column}': they stay unknown.")
        return cls(table, path.name, (*notes, *id_note), path, class_column)

    def __len__(self) -> int:
        return len(self.table)

    @property
    def codes(self) -> list[str]:
        """Crop codes that occur, sorted."""
        return sorted(self.table["code"].dropna().unique())

    def legend(self, name_column: str | None = None) -> Legend:
        """Make a legend of the codes that occur, with names from another column of the table if wanted.

        Raises
        ------
        UnknownNameError, InputError
            No such column; no code at all.
        """
        names = {}
        if name_column is not None:
            if name_column not in _columns(self.table):
                raise nearest(name_column, _columns(self.table), "column", self.name)
            pairs = self.table[["code", name_column]].dropna().drop_duplicates("code")
            names = dict(zip(pairs["code"], pairs[name_column].astype(str), strict=True))
        return Legend.from_codes(self.codes, names)

    def to_crs(self, crs: Any) -> Parcels:
        """Return the parcels in another CRS, every vertex reprojected."""
        return replace(self, table=self.table.to_crs(crs))


def columns_in(path: str | Path) -> list[str]:
    """Columns of a vector file, one of which may hold the crop; its polygons are not read.

    Raises
    ------
    MissingError, InputError
        No such file; not a vector file.
    """
    path = Path(path)
    if not path.exists() or path.suffix.lower() in {".parquet", ".geoparquet"}:
        return _columns(_read_table(path, None))
    try:
        return [str(name) for name in pyogrio.read_info(path)["fields"]]
    except pyogrio.errors.DataSourceError as error:
        raise _unreadable(path, error) from error


def rasterise(parcels: Parcels, grid: GeoBox, legend: Legend) -> LabelMap:
    """Burn parcels onto a grid by the pixel-centre rule: a pixel belongs to the parcel that holds its centre.

    Where parcels overlap, the later one in the file wins, for class and id alike. Pixels outside all parcels, in
    parcels without a code, or with a code that is not in the legend have the legend's ignore id.

    Returns
    -------
    LabelMap
        ``ids`` (y, x) in the legend's dtype and ``parcel_ids`` (y, x) int32, 0 outside all parcels; ``shares`` tells
        what the polygons share of single pixels.

    Raises
    ------
    GridError
        If no parcel touches the grid.
    """
    table = _on(parcels, grid)
    if table.empty:
        raise GridError(
            f"No parcel of {parcels.name} lies on the images: the parcels span {_span(parcels)} and the images "
            f"{_span_of_grid(grid)} (degrees, west south east north). Check that both show the same place and that "
            "the CRS of each is right."
        )
    ids = {code: legend.id_by_code().get(code, legend.ignore) for code in table["code"].dropna().unique()}
    classes = [ids.get(code, legend.ignore) for code in table["code"]]
    burn = {"out_shape": tuple(grid.shape), "transform": grid.transform, "all_touched": False}
    values = rasterize(zip(table.geometry, classes, strict=True), fill=legend.ignore, dtype=legend.dtype.name, **burn)
    parcel_ids = rasterize(zip(table.geometry, table["parcel_id"], strict=True), fill=0, dtype="int32", **burn)
    shares = PixelShares(table.geometry.to_numpy(), table["parcel_id"].to_numpy(np.int32), grid)
    return LabelMap(values, grid, legend, parcel_ids, parcels.name, parcels.path, parcels.notes, shares=shares)


def outlines(parcels: Parcels, grid: GeoBox) -> NDArray[np.float64]:
    """Return the straight pieces of the outlines of parcels, holes included, as far as they lie on a grid.

    Returns
    -------
    ndarray
        Axes (piece, end, 2): row and column of both ends, counted in pixels from the centre of the first pixel.
    """
    lines = shapely.clip_by_rect(_on(parcels, grid).geometry.boundary.to_numpy(), *grid.boundingbox.bbox)
    lines = shapely.get_parts(shapely.get_parts(lines))  # of collections, the lines that they are made of
    xy, line = shapely.get_coordinates(lines, return_index=True)
    col, row = ~grid.transform @ (xy[:, 0], xy[:, 1])
    ends = np.stack([row, col], -1) - 0.5
    together = line[:-1] == line[1:]
    return np.stack([ends[:-1][together], ends[1:][together]], 1)


def _on(parcels: Parcels, grid: GeoBox) -> gpd.GeoDataFrame:
    """Table of the parcels that touch a grid, in its CRS."""
    table = parcels.table.to_crs(str(grid.crs)) if parcels.table.crs != grid.crs else parcels.table
    return table[table.intersects(box(*grid.boundingbox.bbox))]


def _read_table(path: Path, layer: str | None) -> gpd.GeoDataFrame:
    if not path.exists():
        raise MissingError(f"There is no parcel file {path}.")
    try:
        if path.suffix.lower() in {".parquet", ".geoparquet"}:
            table = gpd.read_parquet(path)
        else:
            table = gpd.read_file(path, **({"layer": layer} if layer else {}))
    except Exception as error:  # the vector drivers raise a dozen kinds, none with a common base
        raise _unreadable(path, error) from error
    if not isinstance(table, gpd.GeoDataFrame) or table.empty:
        raise InputError(f"{path} holds no geometries. Give a file with parcel polygons.")
    return table


def _unreadable(path: Path, error: Exception) -> InputError:
    return InputError(
        f"{path} cannot be read as parcels ({error}). Give a GeoPackage, GeoJSON, Shapefile, FlatGeobuf or GeoParquet."
    )


def _clean(table: gpd.GeoDataFrame, path: Path) -> tuple[gpd.GeoDataFrame, list[str]]:
    """Repair geometries and keep what has an area: lines would be burned along all the pixels that they cross."""
    notes = []
    table = (table.rename_geometry("geometry") if table.geometry.name != "geometry" else table).reset_index(drop=True)
    invalid = table.geometry.geom_type.notna() & ~table.geometry.is_valid
    if invalid.any():
        repaired = table.geometry[invalid].make_valid(method="structure", keep_collapsed=False)
        table.loc[invalid, "geometry"] = repaired
        notes.append(f"{int(invalid.sum())} invalid geometries were repaired.")
    mixed = table.geometry.geom_type == "GeometryCollection"
    if mixed.any():
        table.loc[mixed, "geometry"] = table.geometry[mixed].buffer(0)
    polygons = table.geometry.geom_type.isin(["Polygon", "MultiPolygon"]) & ~table.geometry.is_empty
    if not polygons.all():
        notes.append(
            f"{int((~polygons).sum())} rows without a polygon (empty geometry, points or lines) were left out."
        )
    if not polygons.any():
        raise InputError(f"{path} holds no polygons: all {len(table)} geometries are empty, points or lines.")
    return table[polygons], notes


def _known_crs(crs: str) -> CRS:
    try:
        return CRS(crs)
    except CRSError as error:
        raise GridError(f"The CRS '{crs}' of the parcels is not understood. Give a code such as EPSG:2154.") from error


def _columns(table: gpd.GeoDataFrame) -> list[str]:
    return [c for c in map(str, table.columns) if c != "geometry"]


def _ids(table: gpd.GeoDataFrame, column: str | None, path: Path) -> tuple[Any, list[str]]:
    wanted = column or ("parcel_id" if "parcel_id" in table.columns else None)
    if wanted is not None:
        ids = pd.to_numeric(table[wanted], errors="coerce")
        whole = ids.notna().all() and (ids == ids.round()).all() and ids.between(1, 2**31 - 1).all()
        if whole and ids.is_unique:
            return ids.astype("int32"), []
        if column is not None:
            raise InputError(
                f"The column '{column}' of {path} does not hold unique whole numbers from 1 up. "
                "Leave out --id-column to number the parcels."
            )
    return np.arange(1, len(table) + 1, dtype="int32"), ["The parcels were numbered 1, 2, 3, ... in file order."]


def _codes(column: pd.Series[Any]) -> pd.Series[Any]:
    """Codes as text: 2.0 is '2', blanks and nulls are None."""
    if pd.api.types.is_float_dtype(column) and (column.dropna() == column.dropna().round()).all():
        column = column.astype("Int64")
    text = column.astype("string").str.strip()
    return text.where(text.notna() & (text != ""), None).astype(object).where(lambda s: s.notna(), None)


def _span(parcels: Parcels) -> str:
    return " ".join(f"{v:.3f}" for v in parcels.table.to_crs("EPSG:4326").total_bounds)


def _span_of_grid(grid: GeoBox) -> str:
    return " ".join(f"{v:.3f}" for v in grid.geographic_extent.boundingbox.bbox)
