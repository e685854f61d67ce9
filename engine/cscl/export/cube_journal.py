"""What of a cube in the making is written, kept beside its chunks, so that a run that was killed can go on."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Iterator, Mapping
from pathlib import Path
from zlib import crc32

from cscl.cube import SITSCube
from cscl.data.readers._written import UNFINISHED, value_attributes, whole_attributes
from cscl.errors import InputError, MissingError, OutputError
from cscl.grid import Window
from cscl.results import put, require_place

from .cube_plan import CubeOptions

__all__ = ["Journal", "facts_of", "facts_of_images"]

_MARKS = ("reflectance/zarr.json", "reflectance/.zarray")  # of either version of Zarr
_DONE = "unfinished.txt"


def facts_of(cube: SITSCube, options: CubeOptions) -> dict[str, str]:
    """Say what makes a run this run and no other: the images, and how they are written."""
    how = {"--chunk-px": str(options.chunk_px), "--zarr-format": str(options.zarr_format)}
    return {**facts_of_images(cube), **how}


def facts_of_images(cube: SITSCube) -> dict[str, str]:
    """Say what makes images these and no others."""
    whole = whole_attributes(cube)
    return {
        "the place of the images": str(cube.path),
        "the files of the images": _stamp(cube.path) if cube.path is not None else "",
        "dates": " ".join(map(str, cube.dates)),
        "bands": " ".join(cube.bands),
        "the grid": f"{tuple(cube.grid.shape)} {tuple(cube.grid.transform)} {cube.grid.crs}",
        "scale, offset and nodata": f"{cube.radiometry.scale} {cube.radiometry.offset} {value_attributes(cube)}",
        "the mask or the region": f"{cube.clear is not None} {whole['notes']}",
        "where images come from": str(crc32(whole.get("acquisitions", "").encode())),
    }


class Journal:
    """Folder ``OUT.part`` of a cube in the making, with the list of the chunks that it holds already.

    Parameters
    ----------
    out : Path
        Store to be.
    resume, overwrite : bool
        Whether an unfinished store is gone on with; whether that, and a former result, may be replaced.

    Raises
    ------
    OutputError
        If the result or an unfinished one exists and neither option says what to do with it.
    MissingError
        If there is nothing to resume.
    """

    def __init__(self, out: Path, *, resume: bool, overwrite: bool) -> None:
        mark = next((mark for mark in _MARKS if (out / mark).is_file()), _MARKS[0])
        require_place(out, mark, overwrite=overwrite)
        self.out, self.folder = out, out.with_name(out.name + ".part")
        self._facts, self._list = self.folder / UNFINISHED, self.folder / _DONE
        if resume and not self._facts.is_file():
            remedy = "Use --overwrite instead of --resume to start anew." if self.folder.exists() else "Leave it out."
            raise MissingError(f"There is no unfinished cube at {self.folder} to go on with. {remedy}")
        if self.folder.exists() and not resume and not overwrite:
            raise OutputError(
                f"An unfinished cube lies at {self.folder}, or another run is writing it. Add --resume to go on with "
                "it, or --overwrite to drop it."
            )
        self.done: set[tuple[int, int]] = set(_chunks_in(self._list)) if resume else set()

    def clear(self) -> None:
        """Make room for a new store; what was unfinished there goes."""
        if self.folder.exists():
            shutil.rmtree(self.folder)
        self.folder.mkdir(parents=True)

    def begin(self, facts: Mapping[str, str]) -> None:
        """Say what the new store is made of: from now on, it can be gone on with."""
        self._facts.write_text(json.dumps(dict(facts), indent=1), encoding="utf-8")

    def require_same(self, facts: Mapping[str, str]) -> None:
        """Refuse to go on with other images, or with other options, than a store was begun with.

        Raises
        ------
        InputError
            The message says what differs.
        """
        try:
            then = json.loads(self._facts.read_text(encoding="utf-8"))
        except ValueError:
            then = {}
        other = [name for name, value in facts.items() if then.get(name) != value]
        if other:
            raise InputError(
                f"The unfinished cube at {self.folder} was begun otherwise: {', '.join(other)} differ. Go on with what "
                "it was begun with, or use --overwrite instead of --resume to start anew."
            )

    def add(self, chunk: Window) -> None:
        """Note that a chunk is written."""
        with self._list.open("a", encoding="ascii") as lines:
            lines.write(f"{chunk.row} {chunk.col};\n")
        self.done.add((chunk.row, chunk.col))

    def finish(self) -> None:
        """Make the result appear; a former one of that name goes only now."""
        for left in (self._list, self._facts, *self.folder.rglob("*.partial")):  # Zarr's own, of a run that was killed
            left.unlink(missing_ok=True)
        put(self.folder, self.out)


def _chunks_in(path: Path) -> Iterator[tuple[int, int]]:
    """First row and column of each chunk of a list; a line that was cut off by a kill does not count."""
    for line in path.read_text(encoding="ascii", errors="replace").split("\n") if path.is_file() else ():
        words = line.removesuffix(";").split()
        if line.endswith(";") and len(words) == 2 and all(word.isdecimal() for word in words):
            yield int(words[0]), int(words[1])


def _stamp(path: Path) -> str:
    """Fingerprint of names, sizes and times of the files of a cube: cheap, and other as soon as one is written."""
    files = sorted(_files(path)) if path.is_dir() else [path]
    told = [f"{f.relative_to(path)} {(stat := f.stat()).st_size} {stat.st_mtime_ns}" for f in files if f.exists()]
    return f"{len(files)} files, {crc32(chr(10).join(told).encode()):08x}"


def _files(folder: Path) -> Iterator[Path]:
    for place, _, names in os.walk(folder):
        yield from (Path(place, name) for name in names)
