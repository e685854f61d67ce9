"""Run states on disk, and the folder that a run works in until it is finished."""

from __future__ import annotations

import contextlib
import shutil
from collections.abc import Generator, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any
from zlib import crc32

import torch

from cscl.card import ModelCard
from cscl.data.batches import Source
from cscl.errors import InputError, MissingError, OutputError
from cscl.recipe import plain
from cscl.results import put, require_place

__all__ = ["Workplace", "load_state", "require_same_run", "require_workplace", "run_facts", "save_state", "workplace"]

DATA = "the images, the labels or the blocks held back"


def save_state(state: dict[str, Any], path: Path) -> None:
    """Write a run state (tensors, numbers and plain containers); the file appears only when whole.

    Raises
    ------
    OutputError
        If it cannot be written; a former one is still there then.
    """
    part = path.with_name(path.name + ".part")
    try:
        torch.save(state, part)
        part.replace(path)
    except (OSError, RuntimeError) as error:  # torch raises the latter where the disk is full
        part.unlink(missing_ok=True)
        raise OutputError(
            f"The state of the run cannot be written to {path} ({str(error).splitlines()[0]}). Make room on the disk."
        ) from error


def load_state(path: Path) -> dict[str, Any]:
    """Read a run state without unpickling any code."""
    try:
        state: dict[str, Any] = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # torch raises unpickling, zip, end-of-file and runtime errors for a damaged file
        raise InputError(
            f"The checkpoint {path} cannot be read ({error}). Start the run again without --resume."
        ) from error
    return state


def run_facts(card: ModelCard, sources: Sequence[Source]) -> dict[str, str]:
    """Say what makes a run this run and no other: settings, data and their sides.

    How long it goes may change, and what is left to the device (``auto``) is not said.
    """
    said = ((key, str(value)) for key, value in _flat(plain(card.recipe)) if value != "auto")
    settings = {key: value for key, value in said if not key.endswith((".steps", ".patience"))}
    sides = [crc32(source.side_YX.tobytes()) for source in sources]
    return {**settings, DATA: str((card.bands, card.data, sides))}


def require_same_run(now: Mapping[str, str], then: Mapping[str, str], path: Path) -> None:
    """Refuse to go on with a run on other data or with other settings than it began with.

    Raises
    ------
    InputError
        If they differ; the message says in what.
    """
    other = [key for key in sorted({*now, *then}) if now.get(key) != then.get(key)]
    if other:
        told = [key if key == DATA else f"{key} ({now.get(key)}, then {then.get(key)})" for key in other]
        raise InputError(
            f"The unfinished run at {path.parent} began otherwise: {', '.join(told[:4])}. Resume with what it began "
            "with, or use --overwrite instead of --resume to start anew."
        )


def _flat(values: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    for key, value in values.items():
        if isinstance(value, Mapping):
            yield from _flat(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", value


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


def require_workplace(out: Path, *, resume: bool, overwrite: bool) -> Workplace:
    """Refuse a place that a run cannot have, before anything is read for it.

    Raises
    ------
    OutputError
        If the result or an unfinished run exists and neither `resume` nor `overwrite` says what to do with it.
    MissingError
        If there is nothing to resume.
    """
    require_place(out, "card.json", overwrite=overwrite)
    place = Workplace(out)
    left, stopped = place.folder.exists(), place.checkpoint.is_file()
    if resume and not stopped:
        remedy = "Use --overwrite instead of --resume to start anew." if left else "Leave out --resume to start one."
        raise MissingError(f"There is no unfinished run to resume at {place.folder}. {remedy}")
    if left and not resume and not overwrite:
        told = (
            f"An unfinished run lies at {place.folder}. Add --resume to go on with it or --overwrite to drop it."
            if stopped
            else f"A run was killed before its first checkpoint at {place.folder}, or one is at work there now. Add "
            "--overwrite to drop it, or choose another place."
        )
        raise OutputError(told)
    return place


@contextlib.contextmanager
def workplace(out: Path, *, resume: bool, overwrite: bool) -> Generator[Workplace, None, None]:
    """Open the folder of a run.

    An unfinished run is kept when it stops with a checkpoint, so that it can be resumed; else its folder goes.

    Raises
    ------
    OutputError, MissingError
        As `require_workplace`.
    """
    place = require_workplace(out, resume=resume, overwrite=overwrite)
    if place.folder.exists() and not resume:
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
