"""Maps from models: tile by tile, so that memory does not grow with the area, and a run that was killed can go on.

While a tile is computed the next is read and the last is written. Each finished tile is kept in a file of its own until
the map is whole; several processes, here or on other machines, make the same files.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping, Sequence
from dataclasses import replace
from itertools import groupby, zip_longest
from pathlib import Path
from typing import Any

import cscl
from cscl.aside import side_thread, waited
from cscl.cube import SITSCube
from cscl.events import Job, Note, Progress
from cscl.products import Prediction

from .cluster import Order, Workers, made_by_workers
from .fitting import fitted_core_px
from .mapfiles import MapFiles, write_facts
from .mapper import Mapper, PredictOptions, ready
from .parts import MapPart, Merger
from .unfinished import MapDraft, facts_of

__all__ = ["PredictOptions", "Workers", "predict"]

# Pixels that go through a GPU at once where tiles are smaller; on a CPU more than a tile gains nothing.
GPU_PX = 500_000


def predict(
    model: str | Path,
    cube: SITSCube,
    out: str | Path,
    options: PredictOptions | None = None,
    *,
    device: str = "auto",
    overwrite: bool = False,
    resume: bool = False,
    keep: bool = False,
    workers: Workers | None = None,
) -> Job[Prediction]:
    """Map a cube with a trained model.

    Parameters
    ----------
    model : path
        Model folder of `cscl.training.segment.train`.
    cube : SITSCube
        Images; they must hold the model's bands.
    out : path
        Folder to make: ``classes.tif``, ``confidence.tif`` (probability of the class), ``margin.tif`` (by how much it
        is more probable than the runner-up), on request ``probabilities.tif``, and ``prediction.json``.
    options : PredictOptions, optional
        Tiles and outputs.
    device : str
        ``auto``, ``cpu``, ``cuda`` or ``mps``.
    overwrite : bool
        Replace a former prediction; anything else is never replaced.
    resume : bool
        Go on with ``<out>.part``, which a run of the same model, images and options has left. The map has the same
        pixels as if it had never been interrupted.
    keep : bool
        Whether a run that is closed or fails leaves the tiles it has made for `resume`, as a killed one always does.
    workers : Workers, optional
        Processes that map the tiles, here or on other machines, instead of this one.

    Raises
    ------
    CSCLError
        For a model that cannot be used on this cube, places that cannot be written and maps that cannot be gone on
        with; the message says the remedy.
    """
    options, out = options or PredictOptions(), Path(out)
    draft = MapDraft(out, resume=resume, overwrite=overwrite)
    mapper, warnings = ready(model, cube, options, device)
    for warning in warnings:
        yield Note(warning, warning=True)
    facts = facts_of(Path(model), cube, options, device)
    core_px = draft.resumed_core_px(facts, mapper.core_px) if resume else mapper.core_px
    processes = workers.count if workers is not None else 1
    mapper = replace(mapper, core_px=core_px or fitted_core_px(mapper, max(1, processes)))
    with draft.making(facts, mapper.core_px, keep=keep or resume) as folder:
        order = Order(Path(model), cube, options, device, mapper.core_px, draft)
        yield from _map(mapper, draft, order, workers)
        _write_facts(folder, mapper, str(Path(model).resolve()))
        draft.finish()
    return Prediction.open(out)


def _map(mapper: Mapper, draft: MapDraft, order: Order, workers: Workers | None) -> Job[None]:
    """Make the tiles that are not done yet, and of all of them the files of the map."""
    done = (yield from draft.checked()) if draft.resumed else []
    files = MapFiles(draft.folder, mapper.grid, mapper.model.card.legend, mapper.options.probabilities)
    with files:
        merger = Merger(mapper.tiles, files, mapper.shape, mapper.blend_px, draft.load)
        with side_thread() as writer:
            yield from waited(writer.submit(merger.put, done), _progress(mapper, len(done)))
            todo = sorted(set(range(len(mapper.tiles))) - set(done))
            if workers is None:
                yield from _made_here(mapper, todo, draft, merger)
            else:
                total = len(mapper.tiles)
                yield from made_by_workers(order, todo, total, workers, lambda number: merger.put([number]))
    yield from files.finish()
    if files.empty:
        yield Note(
            f"No pixel of {mapper.cube.name} is usable on any date, so the map is empty. Check the mask and the nodata "
            "value with cscl info.",
            warning=True,
        )


def _progress(mapper: Mapper, done: int) -> Progress:
    return Progress("mapping", done, len(mapper.tiles), "tile")


def _made_here(mapper: Mapper, todo: Sequence[int], draft: MapDraft, merger: Merger) -> Job[None]:
    """Make tiles in this process; each is on its way to the disk while the next are computed and read."""
    batches = _batches(mapper, todo)
    done = len(mapper.tiles) - len(todo)

    def write(numbers: Sequence[int], parts: Sequence[MapPart]) -> None:
        for number, part in zip(numbers, parts, strict=True):
            draft.save(number, part)
        merger.put(numbers, parts)

    with side_thread(dropping=True) as reader, side_thread() as writer:
        written = writer.submit(merger.put, ())
        reading = reader.submit(mapper.read, batches[0]) if batches else None
        for numbers, following in zip_longest(batches, batches[1:]):
            assert reading is not None
            sample = yield from waited(reading, _progress(mapper, done))
            reading = reader.submit(mapper.read, following) if following else None
            parts = mapper.parts(numbers, sample)
            del sample  # before the next but one is read
            yield from waited(written, _progress(mapper, done))
            written = writer.submit(write, numbers, parts)
            done += len(numbers)
            yield _progress(mapper, done)
        yield from waited(written, _progress(mapper, done))


def _batches(mapper: Mapper, todo: Sequence[int]) -> list[list[int]]:
    """Group neighbours of one size that go through the network together."""
    batches: list[list[int]] = []
    for (height, width), run in groupby(todo, lambda n: (mapper.tiles[n].read.height, mapper.tiles[n].read.width)):
        numbers = list(run)
        size = max(1, GPU_PX // (height * width)) if mapper.model.device.type == "cuda" else 1
        batches += [numbers[i : i + size] for i in range(0, len(numbers), size)]
    return batches


def _write_facts(folder: Path, mapper: Mapper, where: str) -> None:
    card, cube, options = mapper.model.card, mapper.cube, mapper.options
    facts: Mapping[str, Any] = {
        "images": cube.name,
        "dates": [str(d.astype("datetime64[s]")) for d in cube.dates],
        "radiometry": cube.radiometry.source,
        "model": card.name,
        "model_folder": where,
        "model_made": dict(card.made),
        **({"finer": card.finer, "finer_by": "model"} if card.finer > 1 else {}),
        **({"finer": options.finer, "finer_by": options.finer_by} if options.finer > 1 else {}),
        **(mapper.sharp.facts if mapper.sharp is not None else {}),
        "cscl": cscl.__version__,
        "when": dt.datetime.now(dt.UTC).isoformat(timespec="seconds"),
    }
    write_facts(folder, card.legend, facts)
