"""Engine nouns become napari layers, and layers become nouns again. The only place that knows the scene's frame; no Qt.

napari's canvas counts in float32: at a northing of 5 000 000 m one step is half a metre. So layers lie in a local frame
of metres, rows down and columns right, whose origin is the upper left corner of the first scene. The true transform and
CRS travel in ``layer.metadata["cscl"]``.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from contextlib import nullcontext
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from cscl.cube import SITSCube
from cscl.errors import GridError
from cscl.grid import GeoBox, Window, pixel_size_m
from cscl.legend import Legend
from cscl.parcels import Parcels, outlines
from cscl.products import LabelMap, Prediction

from .composite import Composite, fitting, pyramid

__all__ = [
    "ROLES", "LayerData", "colours_layer", "confidence_layer", "frame", "grid_of", "is_of_other_labels",
    "labels_layer", "named_layer", "parcels_layer", "pixel_at", "place_layer", "prediction_layer", "prepare_colours",
    "raster_layer", "replace_layer", "role_of", "season_layer", "take_out",
]  # fmt: skip

LayerData = tuple[Any, dict[str, Any], str]
KEY = "cscl"
OUTLINE_PX = 0.2
MOST_PIECES = 100_000  # what is added in less than half a second
# What our layers are for, in the order in which they lie in the list, the lowest first.
ROLES = ("season", "colours", "edges", "affinity", "crops", "prediction", "confidence", "errors", "outlines",
         "moved", "region", "mark")  # fmt: skip


def frame(grid: GeoBox, origin: GeoBox | None = None) -> dict[str, Any]:
    """Where a raster lies in the scene: ``scale``, ``translate`` and ``units`` of its last two axes.

    Parameters
    ----------
    grid : GeoBox
        Of the raster.
    origin : GeoBox, optional
        Grid of the scene that is open; without it the raster makes the origin itself.

    Raises
    ------
    GridError
        If the CRS is not that of the open scene, or counts degrees.
    """
    height_m, width_m = pixel_size_m(grid)
    origin = origin or grid
    if grid.crs != origin.crs:
        raise GridError(
            f"The open scene is in {origin.crs}, this raster in {grid.crs}. Warp it first, e.g. with "
            f"gdalwarp -t_srs {origin.crs}, or open it in a new viewer."
        )
    down = (origin.transform.f - grid.transform.f) + height_m / 2
    right = (grid.transform.c - origin.transform.c) + width_m / 2
    return {"scale": (height_m, width_m), "translate": (down, right), "units": ("m", "m")}


def pixel_at(grid: GeoBox, origin: GeoBox | None, world: Sequence[float]) -> tuple[int, int] | None:
    """Row and column of a raster at a place in the scene, whose last two coordinates are metres down and right.

    None outside the raster.
    """
    place = frame(grid, origin)
    row, col = (
        round((metres - shift) / size)
        for metres, shift, size in zip(world[-2:], place["translate"], place["scale"], strict=True)
    )
    return (row, col) if 0 <= row < grid.shape[0] and 0 <= col < grid.shape[1] else None


def season_layer(
    cube: SITSCube, composite: str | Composite = "true colour", origin: GeoBox | None = None, masked: bool = True
) -> LayerData:
    """Show a cube as a time series of colour composites, read date by date when it is looked at.

    Large scenes have levels: from afar, less is read. An unknown or unfitting composite gives way to the first that the
    bands allow; without `masked`, pixels that are not usable show what the sensor saw.
    """
    place = frame(cube.grid, origin)
    fits = fitting(cube)
    chosen = composite if isinstance(composite, Composite) else fits.get(composite, next(iter(fits.values())))
    levels = pyramid(cube, chosen, masked)
    look = {
        "name": cube.name,
        "rgb": True,
        "multiscale": len(levels) > 1,
        "scale": (1, *place["scale"]),
        "translate": (0, *place["translate"]),
        "units": ("pixel", *place["units"]),
        "axis_labels": ("time", "y", "x"),
        "metadata": {KEY: {"role": "season", "cube": cube, "grid": cube.grid, "composite": chosen}},
    }
    return levels if len(levels) > 1 else levels[0], look, "image"


def labels_layer(labels: LabelMap, origin: GeoBox | None = None, parcels: Parcels | None = None) -> LayerData:
    """Show known crops in the colours of their legend; the crop's name appears in the status bar.

    The parcels that the labels come from, if any, travel along in the layer's metadata.
    """
    held = {"role": "crops", "labels": labels, "parcels": parcels}
    data, look, kind = _classes(labels.ids, labels.legend, f"crops of {labels.name}", labels.grid, origin, held)
    return data, {**look, "opacity": 0.45}, kind  # the images are seen through them


def prediction_layer(prediction: Prediction, origin: GeoBox | None = None) -> LayerData:
    """Show a predicted crop map as `labels_layer` does."""
    name = f"predicted crops ({prediction.name})"
    held = {"role": "prediction", "prediction": prediction}
    return _classes(np.asarray(prediction.ids), prediction.legend, name, prediction.grid, origin, held)


def confidence_layer(prediction: Prediction, origin: GeoBox | None = None) -> LayerData:
    """Show how sure the model is of each pixel, 0..1; clear where nothing was predicted. Reads the whole map."""
    _, sure_YX = prediction.read(Window(0, 0, *prediction.grid.shape))
    return raster_layer(
        sure_YX, prediction.grid, f"confidence ({prediction.name})", (0, 1), origin, "viridis", "confidence"
    )


def parcels_layer(
    labels: LabelMap, origin: GeoBox | None = None, parcels: Parcels | None = None, colour: str = "white"
) -> LayerData:
    """Show the outlines of the parcels: as their polygons have them, or else, or where these are very many, by pixels.

    Raises
    ------
    GridError
        If the labels do not know their parcels.
    """
    if labels.parcel_ids is None:
        raise GridError(f"The labels {labels.name} hold no parcels: they came from a raster. Open parcels as polygons.")
    name = _outlines_of(labels)
    held: dict[str, Any] = {"role": "outlines"}
    if not len(labels.legend):  # no crops are shown: these layers are all that keeps the labels open
        held |= {"labels": labels, "parcels": parcels}
    if parcels is not None and len(pieces := outlines(parcels, labels.grid)) <= MOST_PIECES:
        look = {
            "name": name, "metadata": {KEY: {"grid": labels.grid, **held}}, **frame(labels.grid, origin),
            "axis_labels": ("y", "x"), "edge_width": OUTLINE_PX, "edge_color": colour, "vector_style": "line",
            "opacity": 0.8,
        }  # fmt: skip
        return np.stack([pieces[:, 0], pieces[:, 1] - pieces[:, 0]], 1), look, "vectors"
    data, look, kind = _labels(_pixel_edges(labels.parcel_ids), name, labels.grid, origin, held)
    from napari.utils.colormaps.standardize_color import transform_color

    clear, drawn = np.zeros(4, np.float32), transform_color(colour)[0]
    return data, {**look, "colormap": _direct({None: clear, 0: clear, 1: drawn}), "opacity": 0.6}, kind


def _pixel_edges(ids: NDArray[Any]) -> NDArray[np.uint8]:
    """Mark each pixel whose right or lower neighbour lies in another parcel."""
    edge = np.zeros(ids.shape, np.uint8)
    edge[:, :-1] |= ids[:, :-1] != ids[:, 1:]
    edge[:-1] |= ids[:-1] != ids[1:]
    return edge


def raster_layer(
    values: NDArray[Any], grid: GeoBox, name: str, limits: tuple[float, float], origin: GeoBox | None = None,
    colormap: str = "cividis", role: str = "edges",
) -> LayerData:  # fmt: skip
    """Show a raster of numbers, axes (y, x), such as edge strength."""
    look = {
        "name": name, "colormap": colormap, "contrast_limits": limits,
        "metadata": {KEY: {"role": role, "grid": grid}},
        **frame(grid, origin), "axis_labels": ("y", "x"),
    }  # fmt: skip
    return values, look, "image"


def colours_layer(colours_YXC: NDArray[np.uint8], grid: GeoBox, name: str, origin: GeoBox | None = None) -> LayerData:
    """Show a picture, axes (y, x, channel), such as the principal components of an embedding."""
    look = {
        "name": name,
        "rgb": True,
        "metadata": {KEY: {"role": "colours", "grid": grid}},
        **frame(grid, origin),
        "axis_labels": ("y", "x"),
    }
    return colours_YXC, look, "image"


def prepare_colours() -> None:
    """Let napari compile how classes get colours, which takes up to a second, before a map is waited for.

    In the window's thread only: where numba finds no OpenMP, two threads in its parallel loops abort the process.
    """
    _direct({None: np.zeros(4, np.float32)}).map(np.zeros((1, 1), np.uint8))


def replace_layer(viewer: Any, layer: LayerData) -> Any:
    """Add a layer at the place that its role has in the list.

    A former one of the same name goes; whether it was seen, and how strongly, is kept.
    """
    from napari.layers import Layer

    data, look, kind = layer
    formers = [old for old in viewer.layers if old.name == look["name"] and KEY in old.metadata]
    with viewer.layers.batched_update() if formers else nullcontext():  # the canvas is put in order once, at the end
        for former in formers:
            look = {**look, "visible": former.visible, "opacity": former.opacity}
            viewer.layers.remove(former)
        added = viewer.add_layer(Layer.create(data, look, kind))
        place_layer(viewer, added)
    return added


def take_out(viewer: Any, layers: Iterable[Any]) -> None:
    """Remove those of some layers that are in the list, as one change; None stands for no layer.

    With each change napari collects garbage in the whole memory, which is seen as a halt.
    """
    there = [layer for layer in layers if layer is not None and layer in viewer.layers]
    with viewer.layers.batched_update() if there else nullcontext():
        for layer in there:
            viewer.layers.remove(layer)


def place_layer(viewer: Any, layer: Any) -> None:
    """Move a layer to the place that its role has among our layers; other people's layers stay where they are."""
    role = role_of(layer)
    if role is None:
        return
    lower = [i for i, other in enumerate(viewer.layers) if other is not layer and _rank(other) <= ROLES.index(role)]
    viewer.layers.move(viewer.layers.index(layer), max(lower, default=-1) + 1)


def named_layer(viewer: Any, name: str) -> Any:
    """Layer of ours of this name, however many others have it; None where there is none."""
    return next((layer for layer in viewer.layers if layer.name == name and KEY in layer.metadata), None)


def role_of(layer: Any) -> str | None:
    """Return what a layer of ours is for, one of `ROLES`; None for anybody else's."""
    role: str | None = layer.metadata.get(KEY, {}).get("role")
    return role


def is_of_other_labels(layer: Any, labels: LabelMap) -> bool:
    """Whether a layer shows crops or outlines of other labels than these."""
    held = layer.metadata.get(KEY, {})
    if held.get("role") == "crops":
        return held["labels"] is not labels
    return held.get("role") == "outlines" and layer.name != _outlines_of(labels)


def _outlines_of(labels: LabelMap) -> str:
    return f"outlines of {labels.name}"


def _rank(layer: Any) -> int:
    role = role_of(layer)
    return len(ROLES) if role is None else ROLES.index(role)


def grid_of(metadata: Mapping[str, Any]) -> GeoBox | None:
    """Grid of a layer of ours; None for anybody else's."""
    grid: GeoBox | None = metadata.get(KEY, {}).get("grid")
    return grid


def _classes(
    ids: NDArray[Any], legend: Legend, name: str, grid: GeoBox, origin: GeoBox | None, more: dict[str, Any]
) -> LayerData:
    # Small numbers go to the graphics card as they are: no copy, and napari compiles its maps of colours only once.
    small = np.min_scalar_type(max(legend.ids, default=0) + 1)
    numbers = np.where(ids == legend.ignore, 0, ids.astype(small) + small.type(1))
    data, look, kind = _labels(numbers, name, grid, origin, more)
    colours: dict[int | None, NDArray[np.float32]] = {None: np.zeros(4, np.float32), 0: np.zeros(4, np.float32)}
    colours |= {c.id + 1: np.array([*(v / 255 for v in c.rgb), 1], np.float32) for c in legend.classes}
    names = pd.DataFrame({"crop": [c.name for c in legend.classes]}, index=[c.id + 1 for c in legend.classes])
    names.index.name = "index"
    return data, {**look, "colormap": _direct(colours), "features": names.reset_index(), "opacity": 0.7}, kind


def _labels(values: NDArray[Any], name: str, grid: GeoBox, origin: GeoBox | None, more: dict[str, Any]) -> LayerData:
    metadata = {KEY: {"grid": grid, **more}}
    look = {"name": name, "metadata": metadata, **frame(grid, origin), "axis_labels": ("y", "x")}
    return values, look, "labels"


def _direct(colours: dict[int | None, NDArray[np.float32]]) -> Any:
    from napari.utils.colormaps import DirectLabelColormap

    return DirectLabelColormap(color_dict=colours)
