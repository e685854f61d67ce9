"""The end of a run: the files of a model folder, and the split maps that say which pixels it never saw."""

from __future__ import annotations

import csv
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import rasterio
from numpy.typing import NDArray
from torch import Tensor

from cscl.card import ModelCard
from cscl.data.batches import Source
from cscl.data.network import save_weights
from cscl.errors import MissingError
from cscl.grid import GeoBox, require_same

from .checkpoint import Workplace

__all__ = ["finish_model", "split_of"]


def finish_model(
    place: Workplace,
    card: ModelCard,
    weights: Mapping[str, Tensor],
    history: Sequence[Mapping[str, float]],
    sources: Sequence[Source],
) -> None:
    """Write weights, card, recipe, log and split maps, then make the model folder appear under its name."""
    save_weights(dict(weights), place.folder / "network.safetensors")
    (place.folder / "recipe.toml").write_text(card.recipe.to_toml(), encoding="utf-8")
    _write_log(history, place.folder / "log.csv")
    for number, source in enumerate(sources, 1):
        _write_split(source.side_YX, source.scene.cube.grid, place.folder / f"split_{number}.tif")
    card.save(place.folder)
    place.finish()


def split_of(model: str | Path, grid: GeoBox) -> NDArray[np.uint8]:
    """Sides of the pixels of a grid, axes (y, x), as the training of a model saw them; values of `Side`.

    Raises
    ------
    MissingError
        If the model was not trained on this grid: then all of it is held out, and no split is needed.
    """
    for path in sorted(Path(model).glob("split_*.tif")):
        with rasterio.open(path) as src:
            there = GeoBox((src.height, src.width), src.transform, src.crs.to_wkt())
            if there.shape == grid.shape and there.transform == grid.transform:
                require_same(there, grid, f"The split {path} and the labels")
                return np.asarray(src.read(1), np.uint8)
    raise MissingError(f"{model} was not trained on this grid, so none of it was seen. Assess without --held-out-of.")


def _write_log(history: Sequence[Mapping[str, float]], path: Path) -> None:
    names = list(dict.fromkeys(name for row in history for name in row))
    with path.open("w", newline="", encoding="utf-8") as stream:
        writer = csv.DictWriter(stream, names)
        writer.writeheader()
        writer.writerows([dict(row) for row in history])


def _write_split(side_YX: NDArray[np.uint8], grid: GeoBox, path: Path) -> None:
    profile: dict[str, Any] = {"driver": "GTiff", "dtype": "uint8", "count": 1, "compress": "deflate"}
    size = {"height": side_YX.shape[0], "width": side_YX.shape[1]}
    with rasterio.open(path, "w", crs=str(grid.crs), transform=grid.transform, **size, **profile) as dst:
        dst.write(side_YX, 1)
        dst.set_band_description(1, "0 none, 1 training, 2 validation, 3 test")
