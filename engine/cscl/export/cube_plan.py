"""What writing a cube will take: chunks, space, time and memory, measured on a few windows before the first is written.

How windows are best read differs between formats: JPEG 2000 and striped files are unpacked in pieces far larger than a
chunk, Zarr stores and NetCDF hold many dates in one piece. So that, too, is measured.
"""

from __future__ import annotations

import math
import shutil
import time
from collections.abc import Generator, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import psutil
import zarr

from cscl.cube import SITSCube
from cscl.errors import MemoryLimitError, OutputError
from cscl.events import Event, Job, Progress, time_in_words
from cscl.grid import Window, tile_count

from .cube_store import codec

__all__ = ["CubeOptions", "CubePlan", "plan_cube"]

AT_ONCE = 1_300_000_000  # bytes that are read at a time at most: 16 chunks of 60 dates x 10 bands
EVENT_S = 0.5
ALIKE = 1.5  # times that a larger block must be faster to be worth its memory, on a machine that does other things


@dataclass(frozen=True)
class CubeOptions:
    """How a cube is written."""

    chunk_px: Annotated[
        int, {"min": 16, "max": 2048, "tooltip": "Side of a chunk, pixels; each holds all dates and bands"}
    ] = 256
    zarr_format: Annotated[
        int, {"min": 2, "max": 3, "tooltip": "Version of Zarr: 3, or 2 for programs that do not read it yet, as QGIS"}
    ] = 3
    drop_empty: Annotated[
        float,
        {"min": 0, "max": 1, "tooltip": "Leave out dates with less than this share of usable pixels, e.g. 0.05"},
    ] = 0.0


@dataclass(frozen=True)
class CubePlan:
    """What writing a cube takes.

    Parameters
    ----------
    cube : str
        The cube in words.
    out : Path
        Store to make.
    chunk : tuple of int
        Dates, bands, rows and columns of a chunk.
    chunks, left : int
        How many there are, and how many are not written yet.
    raw_bytes, stored_bytes : int
        Size of the pixels, and what they will take on the disk, estimated.
    chunk_bytes : int
        Size of the pixels of a chunk.
    read_s, write_s : float
        Time that a chunk takes, estimated.
    block : tuple of int
        Chunks down and across that are read at once, because that is faster.
    dates_at_once : int
        Dates that are read between two events.
    free_bytes : int
        Free on the disk of `out`.
    """

    cube: str
    out: Path
    chunk: tuple[int, int, int, int]
    chunks: int
    left: int
    raw_bytes: int
    stored_bytes: int
    chunk_bytes: int
    read_s: float
    write_s: float
    block: tuple[int, int]
    dates_at_once: int
    free_bytes: int

    @property
    def needed_bytes(self) -> int:
        """Space that is still to be taken."""
        return round(self.stored_bytes * self.left / self.chunks)

    @property
    def seconds(self) -> float:
        """Time that is still to go, at most: where a core is free, a chunk is written while the next is read."""
        return self.left * (self.read_s + self.write_s)

    @property
    def memory_bytes(self) -> int:
        """Memory that pixels take: a block and what it is put together from, and a chunk that is being compressed."""
        return self.chunk_bytes * (math.prod(self.block) + 5)

    def iter_lines(self) -> Iterator[str]:
        """Describe the plan in lines, as ``cscl cube --plan`` shows it."""
        dates, bands, rows, cols = self.chunk
        at_once = "" if math.prod(self.block) == 1 else f", read {self.block[0]} x {self.block[1]} at a time"
        reading, writing = (time_in_words(each * self.left) for each in (self.read_s, self.write_s))
        room = "" if self.needed_bytes <= self.free_bytes else ": NOT ENOUGH"
        yield self.cube
        yield f"  chunks      {self.chunks} of {dates} x {bands} x {rows} x {cols} ({_size(self.chunk_bytes)}){at_once}"
        if self.left < self.chunks:
            yield f"  to go       {self.left} of them; the rest is written"
        yield f"  size        {_size(self.raw_bytes)}, about {_size(self.stored_bytes)} compressed"
        yield f"  time        about {time_in_words(self.seconds)} (reading {reading}, writing {writing})"
        yield f"  memory      about {_size(self.memory_bytes)} for pixels"
        yield f"  disk        {_size(self.free_bytes)} free{room}"

    def in_words(self) -> str:
        """Say the plan in a sentence."""
        return (
            f"{self.left} chunks to write: about {_size(self.needed_bytes)} in about {time_in_words(self.seconds)}; "
            f"{_size(self.free_bytes)} are free."
        )

    def require_room(self) -> None:
        """Refuse to begin what the disk will not hold.

        Raises
        ------
        OutputError
            The message says how much it would take.
        """
        if self.needed_bytes > self.free_bytes:
            raise OutputError(
                f"{self.out} would take about {_size(self.needed_bytes)}, and {_size(self.free_bytes)} are free on its "
                "disk. Make room, choose another place, or write less: --bands, --first-date and --last-date, --region."
            )


def plan_cube(
    cube: SITSCube, out: str | Path, options: CubeOptions | None = None, *, written: int = 0
) -> Job[CubePlan]:
    """Find out what writing a cube will take; reads a few windows, and writes nothing.

    Parameters
    ----------
    cube : SITSCube
        The images.
    out : path
        Store to be made.
    options : CubeOptions, optional
        How it will be written.
    written : int
        Chunks that are written already.

    Raises
    ------
    MemoryLimitError
        If the memory does not hold a few chunks.
    """
    options, out = options or CubeOptions(), Path(out).absolute()
    rows, cols = (min(options.chunk_px, n) for n in cube.shape)
    chunk = len(cube.dates), len(cube.bands), rows, cols
    pixel_bytes = chunk[0] * (chunk[1] * cube.stored.dtype.itemsize + (cube.clear is not None))
    chunk_bytes = pixel_bytes * chunk[2] * chunk[3]
    chunks = tile_count(cube.shape, options.chunk_px)
    most = _chunks_at_once(chunk_bytes)
    pace = yield from _measured(cube, options.chunk_px, most)
    there = next(place for place in (out, *out.parents) if place.exists())
    raw_bytes = pixel_bytes * cube.shape[0] * cube.shape[1]
    return CubePlan(
        next(cube.iter_facts()), out, chunk, chunks, chunks - written, raw_bytes, round(raw_bytes * pace.ratio),
        chunk_bytes, pace.read_s, pace.write_s, pace.block, pace.dates_at_once, shutil.disk_usage(there).free,
    )  # fmt: skip


@dataclass(frozen=True)
class _Pace:
    """How fast chunks of all dates are read and written, how small they get, and how they are best read."""

    read_s: float
    write_s: float
    ratio: float
    block: tuple[int, int]
    dates_at_once: int


@dataclass(frozen=True)
class _Sample:
    """What reading a window took, and, a value and a second each, what packing it did."""

    read_s: float
    pack_s: float
    ratio: float


def _measured(cube: SITSCube, chunk_px: int, most: int) -> Generator[Event, None, _Pace]:
    """Read one date of blocks of chunks, and a few dates of a single chunk; all at places of their own."""
    dates, some = len(cube.dates), min(4, len(cube.dates))
    blocks = _blocks((-(-cube.shape[0] // chunk_px), -(-cube.shape[1] // chunk_px)), most)
    spread = [i * dates // some for i in range(some)]
    # The first read pays for what comes once, such as opening catalogues, and does not count.
    wanted = [([dates // 2], block) for block in (blocks[0], *blocks)] + [(spread, blocks[0])]
    samples = []
    for number, (times, block) in enumerate(wanted):
        yield Progress("measuring", number, len(wanted), "sample")
        samples.append(_sampled(cube, times, _window(cube.shape, block, chunk_px, number / (len(wanted) - 1))))
    one, several = [sample.read_s for sample in samples[1:-1]], samples[-1]
    each = [read_s / math.prod(block) for read_s, block in zip(one, blocks, strict=True)]
    best = next(i for i, read_s in enumerate(each) if read_s <= ALIKE * min(each))
    # What a chunk takes anyhow, and for each date more: a piece of a Zarr store holds many dates, and comes as a whole.
    more_s = max(several.read_s - one[0], 0) / (some - 1) if some > 1 else one[0]
    anyhow_s = max(one[0] - more_s, 0)
    read_s = each[best] / max(each[0], 1e-9) * (anyhow_s + dates * more_s)
    at_once = dates if anyhow_s > 2 * more_s else int(EVENT_S / max(one[best], 1e-9))
    return _Pace(read_s, several.pack_s * dates / some, several.ratio, blocks[best], min(max(at_once, 1), dates))


def _blocks(chunks: tuple[int, int], most: int) -> list[tuple[int, int]]:
    """Blocks of chunks that are worth a try: one, a square and a row of as many as the memory holds."""
    side = math.isqrt(most)
    wanted = [(1, 1), (side, side), (1, most)]
    return list(dict.fromkeys((min(down, chunks[0]), min(across, chunks[1])) for down, across in wanted))


def _window(shape: tuple[int, int], block: tuple[int, int], chunk_px: int, place: float) -> Window:
    """Window of a block of whole chunks; `place` is 0 at the top left corner of the images, and 1 at the other."""
    first, size = [], []
    for length, chunks in zip(shape, block, strict=True):
        full = max(length // chunk_px, chunks)  # the last chunk may be a narrow one, which tells little
        start = round(place * (full - chunks)) * chunk_px
        first.append(start)
        size.append(min(chunks * chunk_px, length - start))
    return Window(*first, *size)


def _sampled(cube: SITSCube, times: list[int], window: Window) -> _Sample:
    cut = cube.select(times=times, window=window)
    start = time.perf_counter()
    arrays = [np.asarray(each.values) for each in (cut.stored, cut.clear) if each is not None]
    read_s, start = time.perf_counter() - start, time.perf_counter()
    packed = 0
    for values in arrays:
        held: dict[str, Any] = {}
        whole = values.shape
        zarr.create_array(held, shape=whole, chunks=whole, dtype=values.dtype, compressors=codec())[...] = values
        packed += sum(len(piece) for name, piece in held.items() if not name.endswith("zarr.json"))
    return _Sample(read_s, time.perf_counter() - start, packed / sum(values.nbytes for values in arrays))


def _chunks_at_once(chunk_bytes: int) -> int:
    free = psutil.virtual_memory().available
    if 4 * chunk_bytes > free:
        raise MemoryLimitError(
            f"A chunk of all dates and bands takes {_size(chunk_bytes)}, writing it some four times that, and "
            f"{_size(free)} of memory are free. Choose smaller chunks with --chunk-px, or fewer bands."
        )
    return max(1, min(AT_ONCE, free // 4) // chunk_bytes)


def _size(count: int) -> str:
    return f"{count / 1e9:.1f} GB" if count >= 1e9 else f"{count / 1e6:.1f} MB"
