"""A map with fewer, larger pixels: that of a finer model at the pixels of the images, to be compared and delivered."""

from __future__ import annotations

from collections.abc import Generator
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

import numpy as np
from numpy.typing import NDArray

from cscl.errors import InputError
from cscl.events import Event, Job, Note, Progress
from cscl.grid import Window, coarsened, tile_count, tiles
from cscl.products import Prediction
from cscl.results import in_the_making, require_place

from .mapfiles import FULL_CONFIDENCE, NO_CONFIDENCE, MapFiles, write_facts

__all__ = ["CoarsenOptions", "coarsen"]

TILE_PX = 256
TIE = 1e-4  # how much a vote of full confidence counts beside one of none: it decides ties only


@dataclass(frozen=True)
class CoarsenOptions:
    """How pixels are joined."""

    times: Annotated[int, {"min": 2, "max": 64, "tooltip": "How many pixels along a side become one"}] = 4
    by: Annotated[
        Literal["majority", "probability"],
        {"tooltip": "The class of most pixels (majority), or of the highest mean probability, if these were written"},
    ] = "majority"


def coarsen(
    prediction: Prediction, out: str | Path, options: CoarsenOptions | None = None, *, overwrite: bool = False
) -> Job[Prediction]:
    """Join the pixels of a map, block by block.

    Parameters
    ----------
    prediction : Prediction
        The map, such as one of 2.5 m.
    out : path
        Folder to make, as `cscl.inference.predict.predict` does. By majority, its confidence is the share of the
        pixels that have the class, and equal shares are decided by their confidence; by probability, it is the mean.
        Pixels without a prediction do not count.
    options : CoarsenOptions, optional
        How many become one, and by what.
    overwrite : bool
        Replace a former prediction; anything else is never replaced.

    Raises
    ------
    InputError
        If the rows and columns of the map are no multiple, or probabilities are wanted that were not written.
    OutputError
        If the place cannot be written.
    """
    options, out = options or CoarsenOptions(), Path(out)
    require_place(out, "prediction.json", overwrite=overwrite)
    if any(n % options.times for n in prediction.grid.shape):
        rows, cols = prediction.grid.shape
        raise InputError(
            f"{prediction.name} has {rows} x {cols} pixels, which cannot be joined by {options.times} x "
            f"{options.times}. Give --times a number that divides both."
        )
    if options.by == "probability" and prediction.probabilities is None:
        raise InputError(
            f"{prediction.name} holds no probabilities. Map again with --probabilities, or join by majority."
        )
    with in_the_making(out, "The map", overwrite=overwrite) as part:
        yield from _write(prediction, part, options)
        write_facts(part, prediction.legend, _facts(prediction, options))
    return Prediction.open(out)


def _write(prediction: Prediction, folder: Path, options: CoarsenOptions) -> Generator[Event, None, None]:
    grid, scores = coarsened(prediction.grid, options.times), _votes if options.by == "majority" else _mean
    shape = (grid.shape[0], grid.shape[1])
    total = tile_count(shape, TILE_PX)
    files = MapFiles(folder, grid, prediction.legend, options.by == "probability")
    with files:
        for number, window in enumerate(tiles(shape, TILE_PX), 1):
            files.write(window, *scores(prediction, window.refined(options.times), options.times))
            yield Progress("joining pixels", number, total, "block")
    yield from files.finish()
    if files.empty:
        yield Note(f"{prediction.name} is empty, and so is the map made of it.", warning=True)


def _votes(prediction: Prediction, window: Window, times: int) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
    """Share of the pixels of each class, axes (class, y, x), and where there are any."""
    ids, confidence = prediction.read(window)
    index = prediction.legend.to_index(ids)
    weight = np.float32(1) + np.float32(TIE) * np.nan_to_num(confidence)
    known = _sums(index >= 0, times)
    votes = np.stack([_sums(np.where(index == k, weight, 0), times) for k in range(len(prediction.legend))])
    return np.asarray(votes / np.maximum(known, 1), np.float32), known > 0


def _mean(prediction: Prediction, window: Window, times: int) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
    """Mean probability of each class, axes (class, y, x), and where there is any."""
    assert prediction.probabilities is not None
    stored = prediction.probabilities[:, *window.slices].values
    there = stored[0] != NO_CONFIDENCE
    known = _sums(there, times)
    sums = np.stack([_sums(np.where(there, layer, 0), times) for layer in stored])
    return np.asarray(sums / (np.maximum(known, 1) * FULL_CONFIDENCE), np.float32), known > 0


def _sums(values_YX: NDArray[np.float32] | NDArray[np.bool_], times: int) -> NDArray[np.float32]:
    rows, cols = (n // times for n in values_YX.shape)
    return np.asarray(values_YX.reshape(rows, times, cols, times).sum(axis=(1, 3), dtype=np.float32))


def _facts(prediction: Prediction, options: CoarsenOptions) -> dict[str, object]:
    kept = {key: value for key, value in prediction.facts.items() if key not in ("finer", "finer_by")}
    return {**kept, "joined": {"map": prediction.name, "times": options.times, "by": options.by}}
