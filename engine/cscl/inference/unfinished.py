"""A map in the making: each finished tile a file, beside what it was begun with, so that a run can be gone on with."""

from __future__ import annotations

import json
import shutil
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from copy import copy
from pathlib import Path
from zlib import crc32

from cscl.card import affinity_folder
from cscl.cube import SITSCube
from cscl.errors import InputError, MissingError, OutputError
from cscl.events import Job, Progress
from cscl.export.cube_journal import facts_of_images
from cscl.results import put, require_place

from .mapper import PredictOptions
from .parts import MapPart

__all__ = ["MapDraft", "facts_of"]

LATE_S = 1.0
CORE = "pixels between tiles"


def facts_of(model: Path, cube: SITSCube, options: PredictOptions, device: str) -> dict[str, str]:
    """Say what makes a map this map and no other: the model, the images, and how it is made."""
    by = options.sharpen_by or affinity_folder(model) if options.sharpen else None
    told = {f"--{name.replace('_', '-')}": str(value) for name, value in vars(options).items() if name != "tile_px"}
    models = {"the model": _print_of(model), "the model that sharpens": _print_of(Path(by)) if by else ""}
    return {**models, **facts_of_images(cube), **told, "--device": device}


def _print_of(model: Path) -> str:
    """Fingerprint of a model: its card, and its weights."""
    files = (model / name for name in ("card.json", "network.safetensors", "head.safetensors"))
    return " ".join(f"{crc32(file.read_bytes()):08x}" for file in files if file.is_file())


class MapDraft:
    """Folder ``OUT.part`` of a map in the making.

    Parameters
    ----------
    out : Path
        Folder to be.
    resume, overwrite : bool
        Whether an unfinished map is gone on with; whether that, and a former result, may be replaced.

    Raises
    ------
    OutputError
        If the result or an unfinished one exists, and neither option says what to do with it.
    MissingError
        If there is nothing to resume.
    """

    def __init__(self, out: Path, *, resume: bool, overwrite: bool) -> None:
        require_place(out, "prediction.json", overwrite=overwrite)
        self.out, self.folder, self.resumed = out, out.with_name(out.name + ".part"), resume
        self._facts, self._tiles = self.folder / "unfinished.json", self.folder / "tiles"
        self._overwrite = overwrite
        if resume and not self._facts.is_file():
            remedy = "Use --overwrite instead of --resume to start anew." if self.folder.exists() else "Leave it out."
            raise MissingError(f"There is no unfinished map at {self.folder} to go on with. {remedy}")
        if self.folder.exists() and not resume and not overwrite:
            going_on = "Add --resume to go on with it, or --overwrite to drop it."
            raise OutputError(
                f"{self.folder} is there: another run is making {out.name}, or one was stopped or killed. "
                f"{going_on if self._facts.is_file() else 'Wait for it, or add --overwrite.'}"
            )

    def resumed_core_px(self, facts: Mapping[str, str], core_px: int) -> int:
        """Distance between the tiles of the unfinished map, if it is one of these facts.

        Raises
        ------
        InputError
            If it was begun with others, or with another distance than `core_px`, where that is not 0.
        """
        try:
            then = json.loads(self._facts.read_text(encoding="utf-8"))
            found = int(then[CORE])
        except (ValueError, KeyError, TypeError):
            then, found = {}, 0
        other = [name for name, value in facts.items() if then.get(name) != value]
        if core_px not in (0, found):
            other.append("--tile-px")
        if other:
            raise InputError(
                f"The unfinished map at {self.folder} was begun otherwise: {', '.join(other)} differ. Go on with what "
                "it was begun with, or use --overwrite instead of --resume to start anew."
            )
        return found

    @contextmanager
    def making(self, facts: Mapping[str, str], core_px: int, *, keep: bool) -> Iterator[Path]:
        """Lend the folder, which gets its name when all went well; else it stays if `keep` and a tile is done.

        Raises
        ------
        OutputError
            If something cannot be made or written.
        """
        whole = False
        if not self.resumed:
            self._begin()
        try:
            if not self.resumed:
                self._facts.write_text(json.dumps({**facts, CORE: core_px}, indent=1), encoding="utf-8")
            yield self.folder
            whole = True
        except OSError as error:
            if isinstance(error, InputError | MissingError | OutputError):
                raise
            left = " What is mapped so far is kept: go on with --resume then." if keep and self.done() else ""
            raise OutputError(
                f"The map {self.out} cannot be written ({error}). Make room on the disk or choose another place.{left}"
            ) from error
        finally:
            if not whole and not (keep and self.done()):
                shutil.rmtree(self.folder, ignore_errors=True)

    def _begin(self) -> None:
        """Make the folders; what another run has made in the meantime is not touched."""
        if self._overwrite:
            shutil.rmtree(self.folder, ignore_errors=True)
        try:
            self._tiles.mkdir(parents=True)
        except FileExistsError:
            raise OutputError(f"{self.folder} is there by now: another run is making {self.out.name}.") from None
        except OSError as error:
            raise OutputError(f"{self.folder} cannot be made ({error.strerror}). Choose another place.") from error

    def located(self) -> MapDraft:
        """Return the same draft by its full path, for processes that run elsewhere."""
        other = copy(self)
        other.out, other.folder = self.out.resolve(), self.folder.resolve()
        other._facts, other._tiles = other.folder / self._facts.name, other.folder / self._tiles.name
        return other

    def done(self) -> list[int]:
        """Return the numbers of the tiles that are done."""
        return sorted(int(path.stem) for path in self._tiles.glob("*.npz"))

    def checked(self) -> Job[list[int]]:
        """Return the numbers of the tiles that are done, and drop those that a crash of the machine has damaged."""
        sound, found = [], self.done()
        for number in found:
            try:
                self.load(number)
                sound.append(number)
            except OSError:
                self._file(number).unlink()
            yield Progress("checking", number, len(found), "tile")
        return sound

    def save(self, number: int, part: MapPart) -> None:
        """Keep the part of a tile."""
        part.save(self._file(number))

    def load(self, number: int) -> MapPart:
        """Read the part of a tile."""
        return MapPart.load(self._file(number))

    def has(self, number: int) -> bool:
        """Whether a tile is done."""
        return self._file(number).is_file()

    def finish(self) -> None:
        """Make the result appear; a former one of that name goes only now."""
        try:
            shutil.rmtree(self._tiles)
        except OSError:  # a process that was told to stop may still have brought a tile
            time.sleep(LATE_S)
            shutil.rmtree(self._tiles)
        self._facts.unlink()
        put(self.folder, self.out)

    def _file(self, number: int) -> Path:
        return self._tiles / f"{number:06d}.npz"
