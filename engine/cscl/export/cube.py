"""Images of any format as one Zarr store, written chunk by chunk: memory stays flat, and a run that was killed goes on.

Axes: T dates, C bands, Y and X rows and columns.
"""

from __future__ import annotations

import shutil
from collections.abc import Generator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cscl.cube import SITSCube
from cscl.data.readers import open_cube
from cscl.errors import InputError, OutputError
from cscl.events import Event, Job, Note, Progress
from cscl.grid import Window, some_tiles

from .cube_journal import Journal, facts_of
from .cube_plan import CubeOptions, CubePlan, plan_cube
from .cube_store import CubeStore, make_store, require_straight

__all__ = ["CubeOptions", "CubePlan", "plan_cube", "with_enough", "write_cube"]

SAMPLES, SAMPLE_PX = 16, 64


def write_cube(
    cube: SITSCube,
    out: str | Path,
    options: CubeOptions | None = None,
    *,
    resume: bool = False,
    overwrite: bool = False,
) -> Job[SITSCube]:
    """Write a cube to a Zarr store (CF), in chunks of all dates and bands.

    `cscl.data.readers.open_cube` makes the same cube of it: stored values, mask, dates, bands, grid, radiometry,
    acquisitions and notes. A run that ends early leaves ``<out>.part``, with which the same call goes on by `resume`.

    Parameters
    ----------
    cube : SITSCube
        Images of any format.
    out : path
        Store to make, such as ``season.zarr``.
    options : CubeOptions, optional
        Size of the chunks, and how empty a date may be.
    resume : bool
        Go on with an unfinished store of the same images and options.
    overwrite : bool
        Replace a former cube; anything else is never replaced. It stays until the new one is whole.

    Returns
    -------
    SITSCube
        The written one.

    Raises
    ------
    CSCLError
        If the place cannot be written, would overwrite the images or lacks room; if there is nothing to resume, or the
        images have changed since; if no date is left. The message says the remedy.
    """
    options, out = options or CubeOptions(), Path(out)
    require_straight(cube)
    _require_apart(cube.path, out)
    journal = Journal(out, resume=resume, overwrite=overwrite)
    cube = yield from with_enough(cube, options.drop_empty)
    facts = facts_of(cube, options)
    if resume:
        journal.require_same(facts)
    plan = yield from plan_cube(cube, out, options, written=len(journal.done))
    yield Note(plan.in_words())
    plan.require_room()
    if not resume:
        _begin(journal, facts, cube, options)
    yield from _fill(cube, journal, plan, options.chunk_px)
    return open_cube(out)


def with_enough(cube: SITSCube, least: float) -> Job[SITSCube]:
    """Return a cube without the dates that are all but empty, as a few windows of the first band tell.

    Raises
    ------
    InputError
        If no date is left.
    """
    if least <= 0:
        return cube
    usable, pixels, first = np.zeros(len(cube.dates)), 0, cube.select(bands=cube.bands[:1])
    windows = some_tiles(cube.shape, SAMPLE_PX, SAMPLES)
    for number, window in enumerate(windows, 1):
        valid_TYX = first.read(window)[1]
        usable, pixels = usable + valid_TYX.sum(axis=(1, 2)), pixels + valid_TYX[0].size
        yield Progress("looking for empty dates", number, len(windows), "window")
    enough = usable / pixels >= least
    if enough.all():
        return cube
    if not enough.any():
        raise InputError(
            f"No date of {cube.name} has {least:.0%} usable pixels (at most {usable.max() / pixels:.1%}). Lower "
            "--drop-empty, or check the mask."
        )
    days = ", ".join(str(day) for day in cube.dates[~enough].astype("datetime64[D]"))
    note = f"{int((~enough).sum())} dates with less than {least:.0%} usable pixels in {len(windows)} windows: {days}."
    kept = cube.select(times=[int(t) for t in np.flatnonzero(enough)])
    return replace(kept, notes=(*cube.notes, f"Left out: {note}"))


def _require_apart(images: Path | None, out: Path) -> None:
    """Refuse to write over the images, or into their folder, which would not be the same then."""
    if images is None:
        return
    source, target = images.resolve(), out.resolve()
    if source == target or source in target.parents or target in source.parents:
        raise OutputError(f"{out} would be written over its images {images}, or among them. Choose another place.")


def _begin(journal: Journal, facts: dict[str, str], cube: SITSCube, options: CubeOptions) -> None:
    try:
        journal.clear()
        make_store(cube, journal.folder, options.chunk_px, options.zarr_format)
        journal.begin(facts)
    except OSError as error:
        shutil.rmtree(journal.folder, ignore_errors=True)
        raise OutputError(
            f"{journal.folder} cannot be made ({error.strerror or error}). Make room on the disk, or choose another "
            "place."
        ) from error


def _fill(cube: SITSCube, journal: Journal, plan: CubePlan, chunk_px: int) -> Generator[Event, None, None]:
    """Write the chunks that are not written yet; each is on its way to the disk while the next is read."""
    with _Writer(journal) as writer:
        for block in _cut(Window(0, 0, *cube.shape), plan.block, chunk_px):
            left = [w for w in _cut(block, (1, 1), chunk_px) if (w.row, w.col) not in journal.done]
            if not left:
                continue
            values_TCYX, valid_TYX = yield from _read(cube, block, plan, journal)
            for chunk in left:
                here = chunk.within(block).slices
                # A copy, unless the chunk is the block, so that the block can go while its last chunk is written.
                values = np.ascontiguousarray(values_TCYX[:, :, *here])
                writer.put(chunk, values, None if valid_TYX is None else np.ascontiguousarray(valid_TYX[:, *here]))
                yield Progress("writing", len(journal.done), plan.chunks, "chunk")
            del values_TCYX, valid_TYX, values  # before the next block is read
        writer.finish()
    yield Progress("writing", plan.chunks, plan.chunks, "chunk")


def _cut(outer: Window, chunks: tuple[int, int], chunk_px: int) -> list[Window]:
    """Cut a window into blocks of some chunks down and across, row by row."""
    down, across = (n * chunk_px for n in chunks)
    end_row, end_col = outer.row + outer.height, outer.col + outer.width
    return [
        Window(row, col, min(down, end_row - row), min(across, end_col - col))
        for row in range(outer.row, end_row, down)
        for col in range(outer.col, end_col, across)
    ]


def _read(
    cube: SITSCube, window: Window, plan: CubePlan, journal: Journal
) -> Generator[Event, None, tuple[NDArray[Any], NDArray[np.bool_] | None]]:
    """Read a block, a few dates at a time."""
    if plan.dates_at_once == len(cube.dates):
        whole = cube.select(window=window)
        return whole.stored.values, None if whole.clear is None else np.asarray(whole.clear.values, bool)
    size = (window.height, window.width)
    values_TCYX = np.empty((len(cube.dates), len(cube.bands), *size), cube.stored.dtype)
    valid_TYX = None if cube.clear is None else np.empty((len(cube.dates), *size), bool)
    for first in range(0, len(cube.dates), plan.dates_at_once):
        times = slice(first, first + plan.dates_at_once)
        values_TCYX[times] = cube.stored[times, :, *window.slices].values
        if cube.clear is not None and valid_TYX is not None:
            valid_TYX[times] = cube.clear[times, *window.slices].values
        yield Progress("writing", len(journal.done), plan.chunks, "chunk")
    return values_TCYX, valid_TYX


class _Writer:
    """Writes chunks in a thread, one at a time, and notes in the journal what has arrived on the disk."""

    def __init__(self, journal: Journal) -> None:
        self._journal, self._store = journal, CubeStore(journal.folder)
        self._pool = ThreadPoolExecutor(1)
        self._under_way: tuple[Window, Future[None]] | None = None

    def __enter__(self) -> _Writer:
        return self

    def __exit__(self, *_: object) -> None:
        self._pool.shutdown()

    def put(self, chunk: Window, values_TCYX: NDArray[Any], valid_TYX: NDArray[np.bool_] | None) -> None:
        """Send a chunk on its way when the one before has arrived."""
        self._arrive()
        self._under_way = chunk, self._pool.submit(self._store.write, chunk, values_TCYX, valid_TYX)

    def finish(self) -> None:
        """Wait for the last chunk, and make the result appear."""
        self._arrive()
        try:
            self._journal.finish()
        except OSError as error:
            raise self._stopped(error) from error

    def _arrive(self) -> None:
        if self._under_way is not None:
            chunk, written = self._under_way
            try:
                written.result()
                self._journal.add(chunk)
            except OSError as error:
                raise self._stopped(error) from error
            self._under_way = None

    def _stopped(self, error: OSError) -> OutputError:
        return OutputError(
            f"{self._journal.out} cannot be written ({error.strerror or error}). What is written so far is kept: make "
            "room on the disk, and go on with --resume."
        )
