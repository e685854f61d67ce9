"""Parcels: polygons with a crop code, an id and a CRS, as a land parcel register gives them."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

import geopandas as gpd
import numpy as np
import pandas as pd
import pyogrio
import shapely
from numpy.typing import NDArray

from cscl.burning import SMALL_PX, on_grid, rasterise, rasterising
from cscl.errors import InputError
from cscl.events import Job, Progress, run
from cscl.grid import GeoBox
from cscl.legend import Legend
from cscl.mapping import CodeMapping, listed
from cscl.register import (
    as_text,
    free_name,
    issues,
    join_parts,
    numbered,
    only_polygons,
    placed,
    read_table,
    unreadable,
)  # fmt: skip
from cscl.registry import nearest

__all__ = ["SMALL_PX", "Parcels", "columns_in", "outlines", "rasterise", "rasterising"]

OURS = ("parcel_id", "code", "geometry")
GIVEN = "_given"


@dataclass(frozen=True, eq=False)
class Parcels:
    """Polygons with crop codes.

    Parameters
    ----------
    table : geopandas.GeoDataFrame
        Columns ``parcel_id`` (int, unique, at least 1), ``code`` (str, or None where not declared) and ``geometry``
        (valid polygons), and whatever else the file had; with a CRS. Of a file, indexed by the number of the row, from
        0. Columns of the file that are called like ours have the ending ``_given``.
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
    id_column : str or None
        Column of the table that holds the user's own ids.
    issues : DataFrame
        What was repaired, joined or left out: ``row`` of the file, from 1, the user's ``id``, ``problem`` and ``done``.
    mapping : CodeMapping or None
        What the codes were mapped by: ``code`` is the class then.
    """

    table: gpd.GeoDataFrame = field(repr=False)
    name: str = "parcels"
    notes: tuple[str, ...] = ()
    path: Path | None = None
    class_column: str | None = None
    aligned: Literal["no", "scene", "tiles", "parcels"] = "no"
    id_column: str | None = None
    issues: pd.DataFrame = field(default_factory=lambda: issues([], None, "", ""), repr=False)
    mapping: CodeMapping | None = field(default=None, repr=False)

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
        """Read parcels, as `opening` does, without a word on the way."""
        return run(cls.opening(path, class_column, id_column=id_column, layer=layer, crs=crs))

    @classmethod
    def opening(
        cls,
        path: str | Path,
        class_column: str | None = None,
        *,
        id_column: str | None = None,
        layer: str | None = None,
        crs: str | None = None,
    ) -> Job[Parcels]:
        """Read GeoPackage, GeoJSON, Shapefile, FlatGeobuf or GeoParquet.

        Parameters
        ----------
        path : path
            The file.
        class_column : str, optional
            Column that holds the crop code: numbers, text, truth values or categories. Without it the parcels are
            outlines only: enough for pre-training.
        id_column : str, optional
            Column of the user's ids, numbers or text; by default ``parcel_id`` if there is one. Rows of one id and one
            crop are parts of one parcel. Whole numbers from 1 up are kept as ``parcel_id``; for others, and without
            any, parcels are numbered 1, 2, 3, ...
        layer : str, optional
            Layer of a file that holds several.
        crs : str, optional
            CRS of a file that has none, or a wrong one.

        Raises
        ------
        MissingError, InputError, GridError, UnknownNameError
            No such file; not a vector file, or without polygons; without CRS; no such column, or one of dates.
        """
        path = Path(path)
        yield Progress("reading parcels", 0, 3, "part")
        table = read_table(path, layer)
        table, notes = placed(table, crs, path)
        columns = [str(c) for c in table.columns if c != "geometry"]
        for column in (class_column, id_column):
            if column is not None and column not in columns:
                raise nearest(column, columns, "column", str(path))
        id_column = id_column or ("parcel_id" if "parcel_id" in columns else None)
        own = as_text(table[id_column], f"The column '{id_column}' of {path}") if id_column else None
        yield Progress("reading parcels", 1, 3, "part")
        table, found, told = only_polygons(table, own, path)
        yield Progress("reading parcels", 2, 3, "part")
        code = pd.Series(None, table.index, dtype=object)
        if class_column:
            code = as_text(table[class_column], f"The column '{class_column}' of {path}")
        table, id_column = _ours(table, code, class_column, id_column)
        table, joined, parts = join_parts(table, None if own is None else own[table.index])
        own = None if own is None else own[table.index]
        number, numbers = numbered(own, table["code"], id_column)
        if own is not None and id_column == f"parcel_id{GIVEN}" and own.tolist() == number.astype(str).tolist():
            table, id_column = table.drop(columns=id_column), "parcel_id"
        notes += [*told, *_unknown(table["code"], class_column), *parts, *numbers]
        listing = pd.concat([issues([], None, "", ""), *found, *joined]).sort_values("row", kind="stable")
        return cls(
            table.assign(parcel_id=number), path.name, tuple(notes), path, class_column, id_column=id_column,
            issues=listing.reset_index(drop=True),
        )  # fmt: skip

    def __len__(self) -> int:
        return len(self.table)

    @property
    def codes(self) -> list[str]:
        """Crop codes that occur, sorted."""
        return sorted(self.table["code"].dropna().unique())

    @property
    def columns(self) -> dict[str, str]:
        """Columns of the file, and what they are called in the table."""
        theirs = {str(c): str(c) for c in self.table.columns if c not in OURS}
        return {c.removesuffix(GIVEN) if c.removesuffix(GIVEN) in OURS else c: c for c in theirs}

    @property
    def own_ids(self) -> pd.Series[Any]:
        """The user's ids as text, by ``parcel_id``; the same numbers where there are no others."""
        ids = self.table["parcel_id"]
        own = ids if self.id_column is None else as_text(self.table[self.id_column], f"The ids of {self.name}")
        return pd.Series(own.astype(object).to_numpy(), ids.to_numpy(), dtype=object).astype("string")

    @cached_property
    def names_of_ids(self) -> dict[int, str] | None:
        """What the user calls the parcels, by ``parcel_id``; None where it is by these numbers, or not at all."""
        names = {int(n): str(own) for n, own in zip(self.table["parcel_id"], self.own_ids, strict=True)}
        return None if all(str(number) == name for number, name in names.items()) else names

    def legend(self, name_column: str | None = None) -> Legend:
        """Make a legend of the codes that occur, named by the mapping, or by another column of the file if wanted.

        Raises
        ------
        UnknownNameError, InputError
            No such column; no code at all.
        """
        names = {}
        if name_column is not None:
            if name_column not in self.columns:
                raise nearest(name_column, list(self.columns), "column", self.name)
            pairs = self.table[["code", self.columns[name_column]]].dropna().drop_duplicates("code")
            names = dict(zip(pairs["code"], pairs.iloc[:, 1].astype(str), strict=True))
        if self.mapping is None:
            return Legend.from_codes(self.codes, names)
        legend = Legend.from_codes(self.codes, self.mapping.names)
        return Legend(tuple(self.mapping.dressed(c) for c in legend.classes), legend.ignore)

    def mapped(self, mapping: CodeMapping) -> Parcels:
        """Return the parcels with classes for codes; those whose code the mapping does not hold become unknown.

        Raises
        ------
        InputError
            If it holds none of them.
        """
        code = self.table["code"]
        known, counts = code.isin(list(mapping.classes)), code.value_counts()
        missing = counts[~counts.index.isin(list(mapping.classes))]
        if not known.any():
            raise InputError(
                f"None of the codes of {self.name} is in the mapping {mapping.path or ''}: they are "
                f"{listed(self.codes)}, and the mapping has {listed(sorted(mapping.classes))}. Check --class-column."
            )
        notes = list(self.notes)
        if len(missing):
            words = listed(f"{c} ({n})" for c, n in missing.items())
            notes.append(
                f"{int(missing.sum())} parcels have codes without a class in the mapping and stay unknown: {words}."
            )
        classes = [mapping.classes.get(c) or None for c in code]
        table = self.table.assign(code=pd.Series(classes, code.index, dtype=object))
        if self.class_column == "code" and (kept := f"code{GIVEN}") not in table:
            table[kept] = code
        return replace(self, table=table, notes=tuple(notes), mapping=mapping)

    def to_crs(self, crs: Any) -> Parcels:
        """Return the parcels in another CRS, every vertex reprojected."""
        return replace(self, table=self.table.to_crs(crs))


def columns_in(path: str | Path) -> list[str]:
    """Columns of a vector file, one of which may hold the crop, so without those of dates; its polygons are not read.

    Raises
    ------
    MissingError, InputError
        No such file; not a vector file.
    """
    path = Path(path)
    if not path.exists() or path.suffix.lower() in {".parquet", ".geoparquet"}:
        table = read_table(path, None)
        return [str(c) for c in table.columns if c != "geometry" and table[c].dtype.kind not in "mM"]
    try:
        info = pyogrio.read_info(path)
        return [str(n) for n, kind in zip(info["fields"], info["dtypes"], strict=True) if "datetime" not in str(kind)]
    except pyogrio.errors.DataSourceError as error:
        raise unreadable(path, error) from error


def outlines(parcels: Parcels, grid: GeoBox) -> NDArray[np.float64]:
    """Return the straight pieces of the outlines of parcels, holes included, as far as they lie on a grid.

    Returns
    -------
    ndarray
        Axes (piece, end, 2): row and column of both ends, counted in pixels from the centre of the first pixel.
    """
    there = run(on_grid(parcels, grid)).geometry.boundary.to_numpy()
    lines = shapely.clip_by_rect(there, *grid.boundingbox.bbox)
    lines = shapely.get_parts(shapely.get_parts(lines))  # of collections, the lines that they are made of
    xy, line = shapely.get_coordinates(lines, return_index=True)
    col, row = ~grid.transform @ (xy[:, 0], xy[:, 1])
    ends = np.stack([row, col], -1) - 0.5
    together = line[:-1] == line[1:]
    return np.stack([ends[:-1][together], ends[1:][together]], 1)


def _ours(
    table: gpd.GeoDataFrame, code: pd.Series[Any], class_column: str | None, id_column: str | None
) -> tuple[gpd.GeoDataFrame, str | None]:
    """Give a table our columns; those of the file that are called so get another name, unless they are the same."""
    names = {}
    for ours, same in (("code", class_column == "code"), ("parcel_id", False)):
        if ours in table.columns and not same:
            names[ours] = free_name(ours, [str(c) for c in table.columns])
    table = table.rename(columns=names).assign(code=code)
    return table, names.get(id_column, id_column) if id_column else None


def _unknown(code: pd.Series[Any], class_column: str | None) -> list[str]:
    missing = int(code.isna().sum()) if class_column else 0
    return (
        [f"{missing} of {len(code)} parcels have no value in '{class_column}': they stay unknown."] if missing else []
    )
