"""Parcels and edges with their errors as a GeoPackage that QGIS opens styled, and the kinds of error as a map."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import geopandas as gpd
import numpy as np
import pandas as pd
import shapely
import xarray as xr
from numpy.typing import NDArray

from cscl.errors import InputError, OutputError
from cscl.events import Job, Note
from cscl.grid import GeoBox, pixel_size_m
from cscl.legend import CropClass, Legend
from cscl.parcels import Parcels
from cscl.products import LabelMap, Prediction
from cscl.report.kinds import WRONG, Kind

from .draft import draft, refuse
from .edge_lines import BORDER, GAP, NEAR, NOTHING, OUTLINE, along_outlines, pixel_lines, placed
from .error_styles import edge_style, parcel_style, region_style
from .geotiff import export_classes
from .gpkg import Layer, beside, storable, write_layers
from .pixel_polygons import error_regions, unit_polygons

__all__ = ["REGION_PX", "Errors", "Rows", "export_error_map", "export_errors"]

REGION_PX = 4
"""Smaller regions of wrong pixels are left out: there are very many, and the map of errors shows them all."""


class Reach(Protocol):
    """How errors were explored: the part of `cscl.inference.explore.ExploreOptions` that matters here."""

    @property
    def reach_m(self) -> float:
        """How far from an edge an error is laid to it, metres."""


class Errors(Protocol):
    """What is known of the errors of a map: the part of `cscl.inference.explore.ErrorAtlas` that is exported."""

    @property
    def kinds_YX(self) -> NDArray[np.uint8]:
        """Kind of error of each pixel, `cscl.report.kinds.Kind`."""

    @property
    def units_YX(self) -> NDArray[Any]:
        """Id of the parcel or region of each pixel, 0 outside."""

    @property
    def labels(self) -> LabelMap:
        """What the map was compared with."""

    @property
    def parcels(self) -> pd.DataFrame:
        """One row a parcel or region, with ``id``."""

    @property
    def edges(self) -> pd.DataFrame:
        """One row an edge, with ``a``, ``b``, ``class_a``, ``class_b`` and the bounds of its pixels."""

    @property
    def unit(self) -> str:
        """``"parcel"`` or ``"region"``."""

    @property
    def options(self) -> Reach:
        """How errors were explored."""

    @property
    def grid(self) -> GeoBox:
        """Where the pixels lie."""


@dataclass(frozen=True)
class Rows:
    """Which rows are exported.

    Parameters
    ----------
    parcels : collection of int or None
        Ids of parcels or regions; None for all.
    edges : collection of (int, int) or None
        Ids of the two units of each edge, a below b; None for all.
    """

    parcels: Collection[int] | None = None
    edges: Collection[tuple[int, int]] | None = None

    def of_parcels(self, table: pd.DataFrame) -> pd.DataFrame:
        """Keep the rows of parcels that are wanted, in their order."""
        return table if self.parcels is None or table.empty else table[table["id"].isin(list(self.parcels))]

    def of_edges(self, table: pd.DataFrame) -> pd.DataFrame:
        """Keep the rows of edges that are wanted, in their order."""
        if self.edges is None or table.empty:
            return table
        return table[pd.MultiIndex.from_frame(table[["a", "b"]]).isin(list(self.edges))]


def export_errors(
    path: str | Path,
    errors: Errors,
    parcels: Parcels | None = None,
    *,
    overwrite: bool = False,
    rows: Rows | None = None,
    region_px: int | None = REGION_PX,
) -> Job[Path]:
    """Write parcels, edges and regions of wrong pixels as layers of one GeoPackage, each with its style inside.

    ``parcels``
        Polygons with the columns of `errors.parcels`: those of `parcels`, with their own columns and in their own CRS,
        where the ids agree, else outlines of pixels. ``parcel_id`` (``region_id`` for regions) is what edges refer to.
    ``edges``
        Lines with the columns of `errors.edges`, and ``drawn``: how the line was made, see `cscl.export.edge_lines`.
    ``error_regions``
        Wrong pixels of one kind that hang together: ``kind``, ``error``, ``pixels``, ``area_ha``.

    A layer without rows is left out, and said so. The worst rows come first, as in the tables.

    Parameters
    ----------
    path : path
        File to make, ending in ``.gpkg``; its folder must exist.
    errors : Errors
        What is known of the errors, usually a `cscl.inference.explore.ErrorAtlas`.
    parcels : Parcels, optional
        The polygons that the labels were made of.
    overwrite : bool
        Replace a former file, once the new one is whole.
    rows : Rows, optional
        Only these parcels and edges, and regions of wrong pixels in them.
    region_px : int or None
        Regions of fewer pixels are left out; None leaves out all.

    Raises
    ------
    OutputError
        If the file cannot or must not be written.
    InputError
        If there is nothing to write, or no polygon has the id of a parcel of the labels.
    """
    path, rows = Path(path), rows or Rows()
    if path.suffix.lower() != ".gpkg":
        raise OutputError(f"{path.name} does not end in .gpkg, so QGIS would not know it. Call it {path.stem}.gpkg.")
    known = [source.path for source in (errors.labels, parcels) if source is not None and source.path is not None]
    refuse(path, overwrite=overwrite, inputs=known)
    units, edges = rows.of_parcels(errors.parcels), rows.of_edges(errors.edges)
    if units.empty and edges.empty:
        raise InputError("There is no parcel and no edge to export. Choose others, or all.")
    if errors.unit != "parcel" and parcels is not None:
        yield Note("The labels know no parcels, only regions of one class: the outlines are those of pixels.")
        parcels = None
    layers = []
    if not units.empty:
        layers.append((yield from _parcel_layer(errors, units, parcels)))
    if not edges.empty:
        layers.append((yield from _edge_layer(errors, edges, parcels)))
    if region_px is not None:
        layers += yield from _region_layer(errors, region_px, None if rows == Rows() else _ids(units, edges))
    yield from _say(layers, region_px)
    with draft(path.parent, path.name) as folder:
        yield from write_layers(folder / path.name, layers)
    return path


def export_error_map(
    path: str | Path, errors: Errors, *, overwrite: bool = False, inputs: Iterable[str | Path] = ()
) -> Job[Path]:
    """Write the kind of error of each pixel as COG, with names and counts in ``.aux.xml`` and a style in ``.qml``.

    Raises
    ------
    OutputError
        If a file cannot or must not be written.
    """
    classes = [CropClass(int(k), k.name.lower(), k.title, k.colour) for k in (Kind.RIGHT, *WRONG)]
    kinds = xr.DataArray(errors.kinds_YX, dims=("y", "x"))
    legend = Legend(tuple(classes), ignore=int(Kind.NONE))
    coded = Prediction(kinds, kinds, errors.grid, legend)
    description = "kind of error"
    return (yield from export_classes(coded, path, overwrite=overwrite, inputs=inputs, description=description))


def _ids(units: pd.DataFrame, edges: pd.DataFrame) -> set[int]:
    """Units that were chosen, and those on both sides of the edges that were."""
    found = set() if units.empty else set(units["id"].tolist())
    return found if edges.empty else found | set(edges["a"].tolist()) | set(edges["b"].tolist())


def _parcel_layer(errors: Errors, units: pd.DataFrame, parcels: Parcels | None) -> Job[Layer]:
    name = f"{errors.unit}_id"
    verdict = units.rename(columns={"id": name}).set_index(name)
    if parcels is None:
        shapes = placed((yield from unit_polygons(errors.units_YX, units["id"].to_numpy(np.int64))), errors.grid)
        table = gpd.GeoDataFrame(verdict.reset_index(), geometry=shapes, crs=str(errors.grid.crs))
        words = f"Outlines of the pixels of each {errors.unit}, with its errors."
        return Layer("parcels", storable(table), words, parcel_style())
    own = parcels.table.set_index("parcel_id", drop=False).rename_axis(None)
    there = units["id"].isin(own.index)
    if not there.any():
        raise InputError(
            f"No polygon of {parcels.name} has the id of a parcel in {errors.labels.name}. Give the parcels that the "
            "labels were made of, or leave them out: then outlines are those of pixels."
        )
    if not there.all():
        yield Note(
            f"{int((~there).sum())} of {len(there)} parcels have no polygon in {parcels.name} and are left out of the "
            "layer 'parcels'; their edges are kept.",
            warning=True,
        )
    table = beside(own.loc[units["id"][there]], verdict)
    ours = ("parcel_id", "code", *verdict.columns)
    return Layer("parcels", storable(table, ours), f"Polygons of {parcels.name}, with their errors.", parcel_style())


def _edge_layer(errors: Errors, edges: pd.DataFrame, parcels: Parcels | None) -> Job[Layer]:
    reach_m, grid = errors.options.reach_m, errors.grid
    lines, drawn = yield from pixel_lines(edges, errors.units_YX, errors.labels, reach_m)
    if parcels is not None:
        here = parcels.table[parcels.table["parcel_id"].isin(np.union1d(edges["a"], edges["b"]))]
        polygon = here.to_crs(str(grid.crs)).set_index("parcel_id").geometry
        a, b = (np.asarray(polygon.reindex(edges[side]), object) for side in "ab")
        lines, drawn = yield from along_outlines(lines, drawn, a, b, min(map(abs, grid.resolution.xy)) / 2)
    table = gpd.GeoDataFrame(edges.assign(drawn=drawn), geometry=lines, crs=str(grid.crs))
    words = (
        f"Edges between two {errors.unit}s of different class, with the errors within {reach_m:g} m. Column 'drawn' "
        f"says where a line lies. {OUTLINE}: as far as b lies within half a pixel. {BORDER}: those that both share, "
        f"and on over narrow unknown land beside them. {GAP}: between the two. {NEAR}: a {errors.unit} of the same "
        "crop lies between them. Classes are ids, rows and columns those of the map, ends exclusive."
    )
    return Layer("edges", storable(table, edges.columns), words, edge_style())


def _region_layer(errors: Errors, least_px: int, within: Collection[int] | None) -> Job[list[Layer]]:
    units = None if within is None else errors.units_YX
    kinds, shapes = yield from error_regions(errors.kinds_YX, least_px, units, within or ())
    if not len(kinds):
        return []
    pixels = shapely.area(shapes).round().astype(np.int64)
    order = np.argsort(-pixels, kind="stable")
    height_m, width_m = pixel_size_m(errors.grid)
    columns = {
        "kind": kinds.astype(np.int32), "error": [Kind(k).title for k in kinds], "pixels": pixels,
        "area_ha": pixels * height_m * width_m / 1e4,
    }  # fmt: skip
    table = gpd.GeoDataFrame(columns, geometry=placed(shapes, errors.grid), crs=str(errors.grid.crs)).iloc[order]
    words = f"Wrong pixels of one kind that hang together along rows and columns, from {least_px} pixels up."
    return [Layer("error_regions", table, words, region_style())]


def _say(layers: list[Layer], region_px: int | None) -> Job[None]:
    """Say which layers are left out, and which edges have no line."""
    there = {layer.name: layer.table for layer in layers}
    for name in ("parcels", "edges", *(["error_regions"] if region_px is not None else [])):
        if name not in there:
            yield Note(f"There is nothing to put into a layer '{name}', so it is left out.")
    lost = int((there["edges"]["drawn"] == NOTHING).sum()) if "edges" in there else 0
    if lost:
        yield Note(f"{lost} of {len(there['edges'])} edges have no line: something else lies between their units.")
