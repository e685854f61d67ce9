"""The fields that a map shows, as polygons: regions of one class, where no register says where the fields are."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import geopandas as gpd
import numpy as np
import pandas as pd
from numpy.typing import NDArray
from shapely.geometry import box

from cscl.errors import InputError, OutputError
from cscl.events import Job, Note
from cscl.grid import GeoBox, Window
from cscl.legend import Legend
from cscl.products import Prediction

from .draft import draft, refuse
from .edge_lines import placed
from .gpkg import LayerWriter
from .hectares import equal_area, hectares, pixel_hectares
from .regions import Regions, polygonise
from .sieve import REACH_PX, Sieve
from .sld import vector_sld
from .styles import vector_style

__all__ = ["FIELD_COLUMNS", "FieldOptions", "export_fields"]

FIELD_COLUMNS = ("field_id", "pred_id", "pred_code", "pred_name", "conf_mean", "purity", "n_px", "area_ha")
"""Columns of the layer, beside the geometry."""

LAYER = "fields"


@dataclass(frozen=True)
class FieldOptions:
    """How fields are outlined."""

    least_ha: Annotated[
        float, {"min": 0, "tooltip": "Smaller regions are given to the larger ones around them, hectares; 0 keeps all"}
    ] = 0.1
    smooth_px: Annotated[
        float,
        {
            "min": 0,
            "max": 10,
            "tooltip": "Straighten outlines: 2 to 3 pixels look drawn by hand; 0 keeps the sides of pixels",
        },
    ] = 0.0

    def __post_init__(self) -> None:
        if not 0 <= self.least_ha < np.inf or not 0 <= self.smooth_px <= 10:
            raise InputError(
                f"Fields of at least {self.least_ha:g} ha, smoothed by {self.smooth_px:g} pixels, cannot be made. Give "
                "an area of 0 or more, and 0 to 10 pixels."
            )


def export_fields(
    prediction: Prediction,
    path: str | Path,
    options: FieldOptions | None = None,
    *,
    overwrite: bool = False,
    inputs: Iterable[str | Path] = (),
) -> Job[Path]:
    """Write the regions of one class of a map as polygons into a GeoPackage, with ``.qml`` and ``.sld`` beside.

    Pixels of one class that hang together along rows and columns are a region; the strips in which the map is read
    leave no trace. Regions smaller than `options.least_ha` are sieved: the larger regions around grow into them, a
    pixel at a time, so fields have no pinholes; what none reaches within 32 pixels is left out, and so are pixels
    without a prediction. Small regions higher than 256 rows stay. Columns:

    - ``field_id``: 1, 2, 3, ...; ``pred_id``, ``pred_code``, ``pred_name``: the class;
    - ``conf_mean``: mean confidence of the pixels that the map gives this class, 0..1;
    - ``purity``: their share of all pixels of the field; less than 1 where smaller regions were taken in;
    - ``n_px``: all its pixels; ``area_ha``: their area on the ground.

    With `options.smooth_px` outlines have fewer corners, and neighbours keep one line between them; numbers of pixels
    and areas stay those of the pixels.

    Parameters
    ----------
    prediction : Prediction
        The map.
    path : path
        File to make, ending in ``.gpkg``.
    options : FieldOptions, optional
        Least size and smoothing.
    overwrite, inputs
        As everywhere: replace former files when the new ones are whole; files that are never replaced.

    Raises
    ------
    OutputError
        If a file cannot or must not be written.
    """
    path, options = Path(path), options or FieldOptions()
    if path.suffix.lower() != ".gpkg":
        raise OutputError(f"{path.name} does not end in .gpkg, so QGIS would not know it. Call it {path.stem}.gpkg.")
    refuse(path, overwrite=overwrite, inputs=inputs)
    grid, legend = prediction.grid, prediction.legend
    least_px = _pixels(options.least_ha, grid)
    with draft(path.parent, path.name) as folder:
        rows = _Rows(LayerWriter(folder / path.name, LAYER, _words(options, least_px)), grid, legend)
        rows.add(Regions.none())
        yield from polygonise(
            lambda window: legend.to_index(prediction.ids[window.slices].values),
            lambda window: _confidence(prediction, window),
            (int(grid.shape[0]), int(grid.shape[1])), rows.add, Sieve(least_px), options.smooth_px,
        )  # fmt: skip
        rows.writer.check()
        (folder / f"{path.stem}.qml").write_text(vector_style(legend, "pred_code"), encoding="utf-8")
        (folder / f"{path.stem}.sld").write_text(vector_sld(legend, "pred_id", LAYER), encoding="utf-8")
    yield Note(f"{path.name} holds {rows.writer.rows} fields of {least_px} pixels or more.")
    return path


class _Rows:
    """Rows of the layer, made of regions as they come."""

    def __init__(self, writer: LayerWriter, grid: GeoBox, legend: Legend) -> None:
        self.writer, self.grid, self.legend, self.flat = writer, grid, legend, equal_area(grid)

    def add(self, regions: Regions) -> None:
        pixels, own, known, sure = regions.sums.T
        shapes = gpd.GeoSeries(placed(regions.shapes, self.grid), crs=str(self.grid.crs))
        pixel_ha = pixel_hectares(hectares(shapes, self.flat), shapes, self.grid)
        columns = {
            "field_id": self.writer.rows + 1 + np.arange(len(regions)),
            "pred_id": np.array(self.legend.ids, np.int32)[regions.index],
            "pred_code": self._text([c.code for c in self.legend.classes], regions),
            "pred_name": self._text([c.name for c in self.legend.classes], regions),
            "conf_mean": np.where(known > 0, sure / np.maximum(known, 1), np.nan),
            "purity": own / np.maximum(pixels, 1),
            "n_px": pixels.astype(np.int64),
            "area_ha": pixels * pixel_ha,
        }
        self.writer.add(gpd.GeoDataFrame(columns, geometry=shapes))

    def _text(self, values: list[str], regions: Regions) -> pd.Series[Any]:
        return pd.Series(np.array(values, object)[regions.index], dtype="string")


def _confidence(prediction: Prediction, window: Window) -> NDArray[np.float32]:
    return prediction.read(window)[1]


def _pixels(least_ha: float, grid: GeoBox) -> int:
    """Count the pixels of an area, at least 1, by the size of those in the middle of the map."""
    row, col = (int(size) // 2 for size in grid.shape)
    middle = gpd.GeoSeries([box(*grid[row : row + 1, col : col + 1].boundingbox.bbox)], crs=str(grid.crs))
    pixel_ha = float(pixel_hectares(hectares(middle, equal_area(grid)), middle, grid)[0])
    return max(1, math.ceil(least_ha / pixel_ha - 0.01))


def _words(options: FieldOptions, least_px: int) -> str:
    sieved = (
        f"Regions of fewer than {least_px} pixels ({options.least_ha:g} ha) were given to the larger ones around them; "
        f"what is farther than {REACH_PX} pixels from one was left out. "
        if least_px > 1
        else ""
    )
    lines = f"Outlines smoothed by {options.smooth_px:g} pixels." if options.smooth_px else "Outlines follow pixels."
    return f"Regions of one class in the map, joined along rows and columns. {sieved}{lines}"
