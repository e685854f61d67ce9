"""All figures in one place: pictures of places (`maps`), figures of numbers (`charts`), and how to save them."""

from __future__ import annotations

from .charts import accuracy_by_distance, confusion, learning_curve
from .maps import class_map, edge_strength_map, error_map, season_strip
from .paper import save_figure

__all__ = [
    "accuracy_by_distance", "class_map", "confusion", "edge_strength_map", "error_map", "learning_curve",
    "save_figure", "season_strip",
]  # fmt: skip
