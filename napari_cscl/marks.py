"""Numbered marks on pixels of the scene, as a layer of points. No Qt."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cscl.grid import GeoBox

from .bridge import KEY, LayerData, frame

__all__ = ["marks_layer", "move_marks"]

Pixel = tuple[int, int]
SIZE_PX = 16  # on the screen, however far one zooms


def marks_layer(
    pixels: Sequence[Pixel], colours: Sequence[str], grid: GeoBox, name: str, origin: GeoBox | None = None
) -> LayerData:
    """Mark pixels, given as row and column of a grid, by discs with the numbers 1, 2, 3, ...

    There is a point for each colour; those without a pixel are clear and lie with the first one. `move_marks` then
    costs next to nothing, whereas a layer that is made anew takes a third of a second.
    """
    places, faces, numbers = _points(pixels, colours)
    look = {
        "name": name, "size": 1.0, "canvas_size_limits": (SIZE_PX, SIZE_PX), "symbol": "disc", "border_width": 0,
        "face_color": faces, "border_color": faces,
        "text": {"string": numbers, "color": "black", "size": 9, "anchor": "center"},
        "metadata": {KEY: {"role": "mark", "grid": grid}}, **frame(grid, origin), "axis_labels": ("y", "x"),
    }  # fmt: skip
    return places, look, "points"


def move_marks(layer: Any, pixels: Sequence[Pixel], colours: Sequence[str]) -> None:
    """Mark other pixels, at least one, with a layer that `marks_layer` made."""
    layer.data, faces, layer.text.string = _points(pixels, colours)
    layer.face_color = layer.border_color = faces  # so small a point shows its border even where that has no width
    layer.refresh()


def _points(
    pixels: Sequence[Pixel], colours: Sequence[str]
) -> tuple[NDArray[np.float64], NDArray[np.float64], list[str]]:
    count, unused = len(pixels), len(colours) - len(pixels)
    places = np.array([*pixels, *[pixels[0]] * unused], float)
    rgb = [[int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)] for colour in colours]
    faces = np.column_stack([rgb, np.arange(len(colours)) < count]).astype(float)
    return places, faces, [*map(str, range(1, count + 1)), *[""] * unused]
