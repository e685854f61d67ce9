"""Numbered marks on pixels of the scene, as a layer of points."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from cscl.grid import GeoBox

from .bridge import KEY, LayerData, frame

__all__ = ["marks_layer"]

SIZE_PX = 15  # on the screen, however far one zooms


def marks_layer(
    pixels: Sequence[tuple[int, int]], colours: Sequence[str], grid: GeoBox, name: str, origin: GeoBox | None = None
) -> LayerData:
    """Mark pixels, given as row and column of a grid, by rings with the numbers 1, 2, 3, ... in their colours."""
    text = {
        "string": [str(number + 1) for number in range(len(pixels))],
        "color": list(colours),
        "size": 12,
        "anchor": "center",
        "translation": np.zeros(2),
    }
    look = {
        "name": name, "size": 1.0, "canvas_size_limits": (SIZE_PX, SIZE_PX), "symbol": "disc",
        "face_color": "#000000b0", "border_color": list(colours), "border_width": 0.12, "text": text,
        "metadata": {KEY: {"role": "mark", "grid": grid}}, **frame(grid, origin), "axis_labels": ("y", "x"),
    }  # fmt: skip
    return np.array(pixels, float).reshape(-1, 2), look, "points"
