"""The region that a user draws and the crops that he corrects: as layers, and from layers back. napari, no Qt."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cscl.data.region import drawn_region
from cscl.errors import InputError
from cscl.grid import GeoBox, Window, crop
from cscl.legend import Legend
from cscl.products import LabelMap

from .bridge import KEY, LayerData, frame, labels_layer, role_of

__all__ = ["CORRECTED", "LOOK", "REGION", "corrected_labels", "corrected_layer", "is_corrected", "is_region",
           "look_layer", "region_layer", "region_mask"]  # fmt: skip

REGION, CORRECTED, LOOK = "region", "corrected crops", "region, as mapped now"
PINK, CLEAR = "#ff2dd1", "#00000000"
ELLIPSE_CORNERS = 48


def region_layer(grid: GeoBox) -> LayerData:
    """Make an empty layer of shapes in the scene's frame, to draw a region on; coordinates are metres."""
    height_m, _ = frame(grid)["scale"]
    look = {
        "name": REGION, "ndim": 2, "units": ("m", "m"), "axis_labels": ("y", "x"),
        "edge_color": PINK, "edge_width": height_m, "face_color": CLEAR, "opacity": 1.0,
        "metadata": {KEY: {"role": "region", "grid": grid}},
    }  # fmt: skip
    return [], look, "shapes"


def is_region(layer: Any) -> bool:
    """Whether a layer holds shapes that the user draws, whatever he calls it."""
    return role_of(layer) == "region" and type(layer).__name__ == "Shapes"


def is_corrected(layer: Any) -> bool:
    """Whether a layer is a copy of known crops to paint on, whatever the user calls it."""
    return "corrects" in layer.metadata.get(KEY, {})


def region_mask(layer: Any, grid: GeoBox, origin: GeoBox | None = None) -> NDArray[np.bool_]:
    """Find the pixels whose centre lies in a shape of a layer.

    Parameters
    ----------
    layer : napari.layers.Shapes
        Rectangles, polygons and ellipses count; lines hold no pixel.
    grid : GeoBox
        Of the scene.
    origin : GeoBox, optional
        Grid of the scene's origin, as for `frame`.

    Returns
    -------
    ndarray of bool
        Axes (y, x).
    """
    place = frame(grid, origin)
    corner = np.array(place["translate"]) - np.array(place["scale"]) / 2
    polygons = []
    for corners, kind in zip(layer.data, layer.shape_type, strict=True):
        if kind in ("line", "path"):
            continue
        outline = _ellipse(np.asarray(corners)) if kind == "ellipse" else corners
        world = np.array([layer.data_to_world(tuple(vertex))[-2:] for vertex in outline])
        polygons.append((world - corner) / place["scale"])
    return drawn_region(polygons, (grid.shape[0], grid.shape[1]))


def corrected_layer(labels: LabelMap, origin: GeoBox | None = None) -> LayerData:
    """Make a copy of the known crops to paint on; it knows which labels it corrects."""
    data, look, kind = labels_layer(labels, origin)
    held = {"role": "region", "grid": labels.grid, "corrects": labels}
    return data, {**look, "name": CORRECTED, "metadata": {KEY: held}}, kind


def corrected_labels(layer: Any, labels: LabelMap) -> LabelMap:
    """Return labels with the crops that were painted on a layer of `corrected_layer`; erased pixels are unknown.

    Raises
    ------
    InputError
        If a number was painted that stands for no crop.
    """
    values = np.asarray(layer.data)
    known = np.isin(values - 1, labels.legend.ids)
    strange = np.unique(values[~known & (values > 0)])
    if len(strange):
        raise InputError(
            f"On the layer '{layer.name}' the number {strange[0]} was painted, which is no crop of the legend. "
            "Choose a crop to paint in the panel, or erase it."
        )
    ids = np.where(known, values - 1, labels.legend.ignore).astype(labels.legend.dtype)
    return replace(labels, ids=ids, name=f"{labels.name}, corrected")


def look_layer(
    ids: NDArray[Any], window: Window, grid: GeoBox, legend: Legend, origin: GeoBox | None = None
) -> LayerData:
    """Show the class ids of a window, axes (y, x), in the colours of a legend, until the whole map is there."""
    data, look, kind = labels_layer(LabelMap(ids, crop(grid, window), legend), origin)
    return data, {**look, "name": LOOK, "metadata": {KEY: {"role": "prediction"}}}, kind


def _ellipse(corners: NDArray[Any]) -> NDArray[Any]:
    """Points on the ellipse that fills a rectangle of four corners."""
    centre, first, second = corners.mean(0), (corners[1] - corners[0]) / 2, (corners[3] - corners[0]) / 2
    turn = np.linspace(0, 2 * np.pi, ELLIPSE_CORNERS, endpoint=False)[:, None]
    points: NDArray[Any] = centre + np.cos(turn) * first + np.sin(turn) * second
    return points
