"""File > Open and drag and drop: image time series, and predictions made by the engine."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any


def get_reader(path: str | list[str]) -> Callable[[str], list[Any]] | None:
    """Return a reader if the path looks like a season or a prediction; decided by names alone, within milliseconds."""
    if isinstance(path, list):
        return None
    place = Path(path)
    if (place / "prediction.json").is_file():
        return read_prediction
    if place.is_dir() and (any(place.glob("*.tif")) or any(place.glob("images/*.tif")) or place.suffix == ".zarr"):
        return read_season
    if place.suffix.lower() == ".nc" or (place.suffix.lower() == ".tif" and place.with_suffix(".json").is_file()):
        return read_season
    return None


def read_season(path: str) -> list[Any]:
    """Open a cube as a colour time series."""
    from cscl.data.readers import open_cube

    from .bridge import season_layer
    from .composite import fitting

    cube = open_cube(path)
    return [season_layer(cube, next(iter(fitting(cube))))]


def read_prediction(path: str) -> list[Any]:
    """Open a predicted crop map."""
    from cscl.products import Prediction

    from .bridge import prediction_layer

    return [prediction_layer(Prediction.open(path))]
