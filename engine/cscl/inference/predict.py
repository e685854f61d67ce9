"""Maps from models: tiled, blended, streamed to disk tile by tile, so that memory does not grow with the area."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

import numpy as np

import cscl
from cscl.cube import SITSCube
from cscl.errors import InputError
from cscl.events import Job, Note, Progress
from cscl.grid import refined
from cscl.products import Prediction
from cscl.results import in_the_making, require_place

from .enlarge import By, enlarged
from .mapfiles import MapFiles, write_facts
from .sharpen import Sharpener, sharpener
from .stitch import Stitcher, Tile, overlapping_tiles
from .tiles import Model, load_model, suit_cube

__all__ = ["PredictOptions", "predict"]

LEAST_TILE_PX = 32


@dataclass(frozen=True)
class PredictOptions:
    """How a map is made."""

    tile_px: Annotated[
        int,
        {
            "min": LEAST_TILE_PX, "max": 2048, "step": 16,
            "tooltip": "Distance between tiles, pixels of the images; a map that is 4 times finer takes half",
        },
    ] = 256  # fmt: skip
    blend_px: Annotated[
        int, {"min": 0, "max": 64, "step": 2, "tooltip": "Width over which tiles blend, pixels of the images"}
    ] = 16
    probabilities: Annotated[bool, {"tooltip": "Also write the probability of every class"}] = False
    finer: Annotated[
        Literal[1, 2, 4],
        {"tooltip": "Cut the pixels of a map into so many a side, e.g. to compare it with one of a finer model"},
    ] = 1
    finer_by: Annotated[
        By, {"tooltip": "Probabilities of finer pixels: interpolated between pixels (bilinear) or repeated (nearest)"}
    ] = "bilinear"
    sharpen: Annotated[
        int, {"min": 0, "max": 50, "tooltip": "How often each pixel takes over what alike neighbours say; 0 for never"}
    ] = 0
    sharpen_by: Annotated[
        str | None,
        {"tooltip": "Model that knows which are alike, if not the pre-trained one that the model itself keeps"},
    ] = None
    sharpen_temperature: Annotated[
        float, {"min": 0.01, "max": 10.0, "tooltip": "What affinities are divided by; low: the most alike alone counts"}
    ] = 0.2

    def __post_init__(self) -> None:
        if self.blend_px > self.tile_px:
            raise InputError(
                f"Tiles of {self.tile_px} pixels cannot blend over {self.blend_px}. Give a blend_px of at most tile_px."
            )
        if self.sharpen_by is not None and not self.sharpen:
            raise InputError(f"Say how often to sharpen by {self.sharpen_by}, e.g. with --sharpen 3.")


def predict(
    model: str | Path,
    cube: SITSCube,
    out: str | Path,
    options: PredictOptions | None = None,
    *,
    device: str = "auto",
    overwrite: bool = False,
) -> Job[Prediction]:
    """Map a cube with a trained model.

    Parameters
    ----------
    model : path
        Model folder of `cscl.training.segment.train`.
    cube : SITSCube
        Images; they must hold the model's bands.
    out : path
        Folder to make: ``classes.tif``, ``confidence.tif``, on request ``probabilities.tif``, ``prediction.json``.
    options : PredictOptions, optional
        Tiles and outputs.
    device : str
        ``auto``, ``cpu``, ``cuda`` or ``mps``.
    overwrite : bool
        Replace a former prediction; anything else is never replaced.

    Raises
    ------
    CSCLError
        For a model that cannot be used on this cube and places that cannot be written; the message says the remedy.
    """
    options, out = options or PredictOptions(), Path(out)
    require_place(out, "prediction.json", overwrite=overwrite)
    loaded = load_model(model, device)
    if loaded.card.stage != "trained":
        raise InputError(
            f"{model} is only pre-trained: its classifier knows nothing yet. Train it with cscl train --start."
        )
    given = cube
    cube, warnings = suit_cube(cube, loaded.card, loaded.network.needs.least_dates)
    if loaded.finer > 1 and options.finer > 1:
        raise InputError(f"{model} maps {loaded.finer} times finer than the images by itself. Leave out --finer.")
    sharp = None
    if options.sharpen:
        by, temperature = options.sharpen_by or model, options.sharpen_temperature
        sharp, more = sharpener(by, given, loaded.finer, options.sharpen, temperature, device)
        warnings = list(dict.fromkeys(warnings + more))
    for warning in warnings:
        yield Note(warning, warning=True)
    with in_the_making(out, "The map", overwrite=overwrite) as part:
        yield from _stream(loaded, cube, part, options, sharp)
        _write_facts(part, loaded, cube, str(Path(model).resolve()), options, sharp)
    return Prediction.open(out)


def _stream(model: Model, cube: SITSCube, folder: Path, options: PredictOptions, sharp: Sharpener | None) -> Job[None]:
    """Run tile by tile; each part of the map is written once no later tile touches it."""
    finer, legend = model.finer * options.finer, model.card.legend
    grid = refined(cube.grid, finer)
    strips = _tiles(cube, model, options, finer, sharp)
    done, total = 0, sum(map(len, strips))
    stitcher = Stitcher(len(legend) + 1, (grid.shape[0], grid.shape[1]), options.blend_px * finer)
    sink = MapFiles(folder, grid, legend, options.probabilities)
    with sink:
        for tile in (tile for strip in strips for tile in strip):
            probabilities, _, seen = model.answer(cube, tile.read)
            if sharp is not None:
                probabilities = sharp(probabilities, seen, tile.read)
            if options.finer > 1:
                probabilities, seen = enlarged(probabilities, seen, options.finer, options.finer_by)
            answer = np.concatenate([probabilities[:, *tile.inner], seen[None, *tile.inner]])
            window, finished = stitcher.add(tile, answer)
            sink.write(window, finished[:-1], finished[-1] > 0)
            done += 1
            yield Progress("mapping", done, total, "tile")
    yield from sink.check()
    if sink.empty:
        yield Note(
            f"No pixel of {cube.name} is usable on any date, so the map is empty. Check the mask and the nodata value "
            "with cscl info.",
            warning=True,
        )


def _tiles(
    cube: SITSCube, model: Model, options: PredictOptions, finer: int, sharp: Sharpener | None
) -> list[list[Tile]]:
    step_px = model.step_px
    core_px = max(LEAST_TILE_PX, options.tile_px * 2 // finer) if finer > 1 else options.tile_px
    margin_px = max(model.margin_px, model.step_px) if options.finer > 1 else model.margin_px  # to interpolate from
    if sharp is not None:
        step_px, margin_px = sharp.around(step_px, margin_px)
    return overlapping_tiles(cube.shape, core_px, margin_px, options.blend_px, step_px, finer)


def _write_facts(
    folder: Path, model: Model, cube: SITSCube, where: str, options: PredictOptions, sharp: Sharpener | None
) -> None:
    card = model.card
    facts: Mapping[str, Any] = {
        "images": cube.name,
        "dates": [str(d.astype("datetime64[s]")) for d in cube.dates],
        "radiometry": cube.radiometry.source,
        "model": card.name,
        "model_folder": where,
        "model_made": dict(card.made),
        **({"finer": card.finer, "finer_by": "model"} if card.finer > 1 else {}),
        **({"finer": options.finer, "finer_by": options.finer_by} if options.finer > 1 else {}),
        **(sharp.facts if sharp is not None else {}),
        "cscl": cscl.__version__,
        "when": dt.datetime.now(dt.UTC).isoformat(timespec="seconds"),
    }
    write_facts(folder, card.legend, facts)
