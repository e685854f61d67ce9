"""Images that are in the viewer already, as layers of somebody else, become a cube. No Qt.

One layer holds (time, y, x) or (time, band, y, x); several layers of (time, y, x) are a band each. Where and when the
pixels are is read from the layers, where they say so, or else given by the user.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, Any

import dask.array as da
import numpy as np
import xarray as xr
from affine import Affine

from cscl.cube import SITSCube
from cscl.data.readers import ReadOptions
from cscl.data.xarrays import cube_from_xarray
from cscl.errors import GridError, InputError
from cscl.grid import GeoBox, make_grid

from .bridge import KEY, grid_of

__all__ = ["LayerFacts", "cube_of_layers", "image_layers"]

AXES = {3: ("time", "y", "x"), 4: ("time", "band", "y", "x")}


@dataclass(frozen=True)
class LayerFacts:
    """What layers do not say of themselves; what is None is read from their metadata."""

    dates: Annotated[
        tuple[str, ...] | None, {"tooltip": "Date of each step, in order, e.g. 2021-05-03, 2021-05-13"}
    ] = None
    bands: Annotated[
        tuple[str, ...] | None, {"tooltip": "Names of the bands, in order; by default those of the layers"}
    ] = None
    crs: Annotated[str | None, {"tooltip": "Reference system of west and north, in metres, e.g. EPSG:32631"}] = None
    west: Annotated[float | None, {"tooltip": "Easting of the left edge of the images"}] = None
    north: Annotated[float | None, {"tooltip": "Northing of the upper edge of the images"}] = None
    pixel_m: Annotated[float | None, {"min": 0.1, "max": 10_000, "tooltip": "Side of a pixel"}] = None
    scale: Annotated[float | None, {"tooltip": "Reflectance = value x scale; 0.0001 for whole numbers if unset"}] = None
    nodata: Annotated[float | None, {"tooltip": "Value that means missing"}] = None


def image_layers(layers: Sequence[Any]) -> list[Any]:
    """Pick the layers that can be images of a season: image layers of others, without colour."""
    return [each for each in layers if type(each).__name__ == "Image" and not each.rgb and KEY not in each.metadata]


def cube_of_layers(layers: Sequence[Any], facts: LayerFacts) -> SITSCube:
    """Make a cube of image layers; pixels are read when they are asked for.

    Parameters
    ----------
    layers : sequence of napari layers
        As `image_layers` picks them.
    facts : LayerFacts
        What they do not say.

    Raises
    ------
    InputError, GridError
        If they make no season, or nothing says where or when they are.
    """
    if not layers:
        raise InputError("No image layer is selected. Select one of (time, y, x), or several, one a band.")
    arrays = [_array(layer) for layer in layers]
    first = arrays[0]
    if any(array.ndim != 3 or array.shape != first.shape for array in arrays) and len(arrays) > 1:
        shapes = ", ".join(f"{layer.name} {array.shape}" for layer, array in zip(layers, arrays, strict=True))
        raise InputError(f"Several layers must be a band each, all (time, y, x) of one shape: {shapes}. Select others.")
    if first.ndim not in AXES:
        raise InputError(f"{layers[0].name} has {first.ndim} axes, not time, y, x or time, band, y, x. Choose another.")
    data, options = first, ReadOptions(crs=facts.crs, scale=facts.scale, nodata=facts.nodata)
    if not (isinstance(data, xr.DataArray) and "time" in data.coords and facts == LayerFacts()):
        data = _placed(layers, arrays, facts)
    return cube_from_xarray(data, options, " and ".join(layer.name for layer in layers[:2]))


def _array(layer: Any) -> Any:
    """Return what a layer shows, at its finest level, lazy where it is."""
    data = layer.data[0] if layer.multiscale else layer.data
    return data if isinstance(data, np.ndarray | da.Array | xr.DataArray) else da.from_array(data)


def _placed(layers: Sequence[Any], arrays: Sequence[Any], facts: LayerFacts) -> xr.DataArray:
    """Put arrays together with their dates, bands and place."""
    plain = [array.data if isinstance(array, xr.DataArray) else array for array in arrays]
    stacked = plain[0] if plain[0].ndim == 4 else (da.stack if len(plain) > 1 else _one_band)(plain, axis=1)
    dates, bands = _dates(layers[0], facts, stacked.shape[0]), _bands(layers, facts, stacked.shape[1])
    grid = _grid(layers[0], facts, stacked.shape[2:])
    t = grid.transform
    place = {"crs_wkt": grid.crs.to_wkt(), "GeoTransform": " ".join(repr(float(v)) for v in t.to_gdal())}
    return xr.DataArray(
        stacked,
        {
            "time": dates,
            "band": bands,
            "y": t.f + t.e * (np.arange(grid.shape[0]) + 0.5),
            "x": t.c + t.a * (np.arange(grid.shape[1]) + 0.5),
            "spatial_ref": ((), 0, place),
        },
        AXES[4],
    )


def _one_band(arrays: Sequence[Any], axis: int) -> Any:
    return arrays[0][:, None]


def _dates(layer: Any, facts: LayerFacts, count: int) -> Any:
    told = facts.dates or layer.metadata.get("dates", layer.metadata.get("time"))
    if told is None or len(told) != count:
        given = "no dates" if told is None else f"{len(told)} dates"
        raise InputError(f"{layer.name} has {count} steps and {given}. Give one date for each, in order.")
    try:
        return np.array([str(date).rstrip("Z") for date in told], "datetime64[ns]")
    except ValueError as error:
        raise InputError(f"{layer.name}: {error}. Write dates like 2021-05-03.") from error


def _bands(layers: Sequence[Any], facts: LayerFacts, count: int) -> list[str]:
    told = facts.bands or layers[0].metadata.get("bands")
    if told is None and count == len(layers):
        told = [layer.name for layer in layers]
    if told is None or len(told) != count:
        raise InputError(f"{layers[0].name} has {count} bands. Name each of them, in order, e.g. B02, B03, B04, B08.")
    return [str(band) for band in told]


def _grid(layer: Any, facts: LayerFacts, shape: Sequence[int]) -> GeoBox:
    """Grid by what the user says, else by what the metadata hold: ours, or ``crs`` and ``transform``."""
    own, size = layer.metadata, (int(shape[0]), int(shape[1]))
    crs = facts.crs or own.get("crs")
    numbers = (facts.west, facts.north, facts.pixel_m)
    if all(number is not None for number in numbers) and crs is not None:
        west, north, pixel = (float(number) for number in numbers if number is not None)
        return make_grid(size, Affine(pixel, 0, west, 0, -pixel, north), crs, layer.name)
    grid = grid_of(own)
    if grid is not None:
        return grid
    transform = own.get("transform")
    if crs is None or transform is None:
        raise GridError(
            f"{layer.name} does not say where its pixels lie. Give the reference system, west, north and the side of "
            "a pixel."
        )
    place = transform if isinstance(transform, Affine) else Affine(*np.ravel(transform)[:6].tolist())
    if place.b or place.d or place.a <= 0 or place.e >= 0:
        raise GridError(f"{layer.name} is rotated or does not run from north-west. Straighten it first.")
    return make_grid(size, place, crs, layer.name)
