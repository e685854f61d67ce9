"""Images where windows of them are read quickly: in memory, or where they are too large, uncompressed on the disk.

Files of images are compressed in blocks with all that lies in them, so that a sample costs as much as the blocks it
touches. Training draws samples at random: it would wait for the disk longer than it learns.
"""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Generator
from dataclasses import replace
from pathlib import Path
from typing import IO, Any

import numpy as np
import psutil
from numpy.typing import NDArray
from xarray import DataArray

from cscl.cube import SITSCube
from cscl.errors import OutputError
from cscl.events import Event, Note, Progress
from cscl.grid import tile_count, tiles

__all__ = ["at_hand", "held_in_memory", "stored_bytes"]

STRIP_PX, TILE_PX = 512, 256
MEMORY_SHARE, DISK_SHARE = 0.25, 0.5  # of what is free


def at_hand(cube: SITSCube, folder: Path) -> Generator[Event, None, SITSCube]:
    """Read a cube into memory, or where it takes too much of it, into a file that goes when the process ends.

    In the file the dates and bands of a pixel lie side by side, as long as it is open in this process.

    Parameters
    ----------
    cube : SITSCube
        Any; one that is in memory stays as it is.
    folder : Path
        Whose disk is used. A cube that would take more than half of what is free there stays where it is, which a note
        tells.

    Raises
    ------
    OutputError
        If the disk cannot be written.
    """
    held = yield from held_in_memory(cube, MEMORY_SHARE)
    if held is not cube or _in_memory(cube.stored):
        return held
    needed, free = stored_bytes(cube), shutil.disk_usage(folder).free
    if needed > DISK_SHARE * free:
        yield Note(
            f"Samples of {cube.name} are read from where it lies, which is slow: a quick copy needs {needed / 1e9:.0f} "
            f"GB, and of the disk of {folder} {free / 1e9:.0f} GB are free. Make room, or cut the images by --region.",
            warning=True,
        )
        return cube
    try:
        stored = yield from _copied(cube.stored, folder, "copying images")
        clear = None if cube.clear is None else (yield from _copied(cube.clear, folder, "copying masks"))
    except OSError as error:
        raise OutputError(
            f"{cube.name} cannot be copied to the disk of {folder} ({error}). Make room there, or cut the images by "
            "--region."
        ) from error
    return replace(cube, stored=stored, clear=clear)


def held_in_memory(cube: SITSCube, share: float = MEMORY_SHARE) -> Generator[Event, None, SITSCube]:
    """Read a cube that takes at most `share` of the free memory into it, strip by strip; leave a larger one on disk."""
    if cube.nbytes > share * psutil.virtual_memory().available or _in_memory(cube.stored):
        return cube
    stored = np.empty(cube.stored.shape, cube.stored.dtype)
    clear = None if cube.clear is None else np.empty(cube.clear.shape, bool)
    height = cube.shape[0]
    for row in range(0, height, STRIP_PX):
        rows = slice(row, min(row + STRIP_PX, height))
        stored[:, :, rows] = cube.stored[:, :, rows].values
        if clear is not None and cube.clear is not None:
            clear[:, rows] = cube.clear[:, rows].values
        yield Progress("reading images", rows.stop, height, "row")
    return replace(
        cube,
        stored=cube.stored.copy(data=stored),
        clear=None if cube.clear is None else cube.clear.copy(data=clear),
    )


def _in_memory(stored: DataArray) -> bool:
    """Whether reading a value twice gives the same place in memory."""
    corner = stored[:1, :1, :1, :1]
    return np.shares_memory(corner.values, stored[:1, :1, :1, :1].values)


def stored_bytes(cube: SITSCube) -> int:
    """Bytes of a cube as it is stored, with its mask."""
    return int(cube.nbytes + (cube.clear.nbytes if cube.clear is not None else 0))


def _copied(values: DataArray, folder: Path, stage: str) -> Generator[Event, None, DataArray]:
    """Copy an array (..., y, x) to a file that has no name, pixel by pixel; the same array, on that file."""
    first, shape = values.shape[:-2], (int(values.shape[-2]), int(values.shape[-1]))
    last = tuple(range(len(first)))
    with tempfile.TemporaryFile(dir=folder) as file:
        total = tile_count(shape, TILE_PX)
        for done, window in enumerate(tiles(shape, TILE_PX)):
            yield Progress(stage, done, total, "tile")
            part = np.asarray(values[..., *window.slices].values)
            pixels = np.ascontiguousarray(part.transpose(-2, -1, *last))
            _write_rows(file, pixels, window.row * shape[1] + window.col, shape[1])
        yield Progress(stage, total, total, "tile")
        file.flush()
        mapped = np.memmap(file, values.dtype, "r", shape=(*shape, *first))
    return values.copy(data=np.asarray(mapped).transpose(*(axis + 2 for axis in last), 0, 1))


def _write_rows(file: IO[bytes], pixels: NDArray[Any], first_px: int, row_px: int) -> None:
    """Write the rows of a tile (y, x, ...) whose first pixel is the `first_px`-th of rows of `row_px` pixels."""
    pixel_bytes = pixels[0, 0].nbytes
    for number, row in enumerate(pixels):
        file.seek((first_px + number * row_px) * pixel_bytes)
        file.write(row.tobytes())
