"""Run states on disk, and the folder that a run works in until it is finished."""

from __future__ import annotations

import contextlib
import shutil
from collections.abc import Generator
from pathlib import Path
from typing import Any

import torch

from cscl.errors import InputError, MissingError, OutputError
from cscl.results import put, require_place

__all__ = ["Workplace", "load_state", "save_state", "workplace"]


def save_state(state: dict[str, Any], path: Path) -> None:
    """Write a run state (tensors, numbers and plain containers); the file appears only when whole."""
    part = path.with_name(path.name + ".part")
    torch.save(state, part)
    part.replace(path)


def load_state(path: Path) -> dict[str, Any]:
    """Read a run state without unpickling any code."""
    try:
        state: dict[str, Any] = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # torch raises unpickling, zip, end-of-file and runtime errors for a damaged file
        raise InputError(
            f"The checkpoint {path} cannot be read ({error}). Start the run again without --resume."
        ) from error
    return state


class Workplace:
    """Folder that a run works in, ``OUT.part``, until it is finished and becomes ``OUT``."""

    def __init__(self, out: Path) -> None:
        self.out = out
        self.folder = out.with_name(out.name + ".part")
        self.checkpoint = self.folder / "checkpoint.pt"

    def finish(self) -> None:
        """Make the result appear; a former folder of that name goes only now."""
        self.checkpoint.unlink(missing_ok=True)
        put(self.folder, self.out)


@contextlib.contextmanager
def workplace(out: Path, *, resume: bool, overwrite: bool) -> Generator[Workplace, None, None]:
    """Open the folder of a run.

    An unfinished run is kept when it stops with a checkpoint, so that it can be resumed; else its folder goes.

    Raises
    ------
    OutputError
        If the result or an unfinished run exists and neither `resume` nor `overwrite` says what to do with it.
    MissingError
        If there is nothing to resume.
    """
    require_place(out, "card.json", overwrite=overwrite)
    place = Workplace(out)
    if resume and not place.checkpoint.is_file():
        raise MissingError(f"There is no unfinished run to resume at {place.folder}. Leave out --resume to start one.")
    if place.folder.exists() and not resume:
        if not overwrite:
            raise OutputError(
                f"An unfinished run lies at {place.folder}. Add --resume to go on with it or --overwrite to drop it."
            )
        shutil.rmtree(place.folder)
    try:
        place.folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OutputError(
            f"{place.folder} cannot be made ({error.strerror}). Choose another place for the model."
        ) from error
    try:
        yield place
    finally:
        if place.folder.exists() and not place.checkpoint.is_file():
            shutil.rmtree(place.folder, ignore_errors=True)
