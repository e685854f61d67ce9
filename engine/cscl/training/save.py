"""The end of a run: the files of a model folder, and the split maps that say which pixels it never saw."""

from __future__ import annotations

import csv
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import rasterio
from numpy.typing import NDArray
from torch import Tensor

from cscl.card import CARRIED, ModelCard, affinity_folder
from cscl.data.batches import Source
from cscl.data.network import save_weights
from cscl.data.split import Side
from cscl.errors import CSCLError, MissingError, OutputError
from cscl.grid import GeoBox, times_finer
from cscl.raster import facts
from cscl.results import in_the_making, require_place

from .checkpoint import Workplace

__all__ = ["copy_model", "finish_model", "split_of"]

WHOLE = ("card.json", "*.safetensors", "recipe.toml", "split_*.tif")
"""Files of a model folder that the model is not whole without."""


def finish_model(
    place: Workplace,
    card: ModelCard,
    weights: Mapping[str, Tensor],
    history: Sequence[Mapping[str, float]],
    sources: Sequence[Source],
    start: str | Path | None = None,
) -> None:
    """Write weights, card, recipe, log and split maps, then make the model folder appear under its name.

    Split maps of the model that training started from come along: what that one saw, this one has seen. So does the
    network that knows affinity, where this one does not: maps can be sharpened by it.
    """
    try:
        save_weights(dict(weights), place.folder / "network.safetensors")
        (place.folder / "recipe.toml").write_text(card.recipe.to_toml(), encoding="utf-8")
        _write_log(history, place.folder / "log.csv")
        _write_splits(place.folder, sources, start)
        _carry(start, card, place.folder)
        card.save(place.folder)
        place.finish()
    except CSCLError:
        raise
    except OSError as error:
        raise OutputError(f"The model {place.out} cannot be written ({error}). Make room on the disk.") from error


def split_of(model: str | Path, grid: GeoBox) -> NDArray[np.uint8]:
    """Sides of the pixels of a grid, axes (y, x), as the training of a model saw them; values of `Side`.

    The training of the models that it started from counts too. Where the model learnt from finer or coarser labels, a
    pixel has the side of all the pixels that it is made of, and none if they differ.

    Raises
    ------
    MissingError
        If there is no such model, or it was not trained on this grid: then all of it is held out, and no split is
        needed.
    """
    ModelCard.open(model)
    for path in _split_maps(model):
        there = facts(path).grid()
        if _is_of(there, grid):
            with rasterio.open(path) as src:
                side_YX = np.asarray(src.read(1), np.uint8)
            return _at(side_YX, times_finer(grid, there) or 1, times_finer(there, grid) or 1)
    raise MissingError(f"{model} was not trained on this grid, so none of it was seen. Assess without --held-out-of.")


def copy_model(model: str | Path, out: str | Path) -> Path:
    """Copy a model folder to another place, under the name of that; the folder appears only when whole.

    Raises
    ------
    OutputError, MissingError, InputError
        If there is something already, or no model to copy, or no room.
    """
    model, out = Path(model), Path(out)
    card = ModelCard.open(model)
    require_place(out, "card.json", overwrite=False)
    with in_the_making(out, "The model", overwrite=False) as part:
        shutil.copytree(model, part, dirs_exist_ok=True)
        replace(card, name=out.name).save(part)
    return out


def _at(side_YX: NDArray[np.uint8], finer: int, coarser: int) -> NDArray[np.uint8]:
    """Return sides for pixels that are so many times finer, or coarser."""
    if finer > 1:
        return side_YX.repeat(finer, 0).repeat(finer, 1)
    if coarser == 1:
        return side_YX
    rows, cols = (n // coarser for n in side_YX.shape)
    blocks = side_YX.reshape(rows, coarser, cols, coarser)
    first = blocks[:, :1, :, :1]
    return np.where((blocks == first).all(axis=(1, 3)), first[:, 0, :, 0], np.uint8(Side.NONE))


def _split_maps(model: str | Path) -> list[Path]:
    return sorted(Path(model).glob("split_*.tif"))


def _is_of(one: GeoBox, other: GeoBox) -> bool:
    """Whether two grids are of one scene: the same, or the pixels of one are made of those of the other."""
    return bool(times_finer(one, other) or times_finer(other, one))


def _write_splits(folder: Path, sources: Sequence[Source], start: str | Path | None) -> None:
    grids = [source.scene.labels.grid for source in sources]
    for number, (source, grid) in enumerate(zip(sources, grids, strict=True), 1):
        _write_split(source.side_YX, grid, folder / f"split_{number}.tif")
    inherited = _split_maps(start) if start is not None else []
    elsewhere = [path for path in inherited if not any(_is_of(facts(path).grid(), grid) for grid in grids)]
    for number, path in enumerate(elsewhere, len(grids) + 1):
        shutil.copyfile(path, folder / f"split_{number}.tif")


def _carry(start: str | Path | None, card: ModelCard, folder: Path) -> None:
    """Take along the model that knows affinity, whole, so that it can itself be looked at and started from."""
    source = affinity_folder(start) if start is not None and not card.knows_affinity else None
    if source is None or ModelCard.open(source).finer != card.finer:
        return
    (folder / CARRIED).mkdir(exist_ok=True)  # a run that failed here may be resumed
    for pattern in WHOLE:
        for path in source.glob(pattern):
            shutil.copyfile(path, folder / CARRIED / path.name)


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
