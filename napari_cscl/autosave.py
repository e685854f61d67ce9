"""Unfinished work on the disk: one folder a viewer, written as the work goes on, and found again after a crash.

A folder belongs to the process that its ``owner.json`` names, as long as that process lives; nobody else touches it.
What lies in a folder without a living owner was left by a crash, or by a viewer that closed with work unsaved. It
knows plain values only: neither Qt nor napari.
"""

from __future__ import annotations

import datetime as dt
import io
import json
import logging
import os
import shutil
import socket
import time
import uuid
import zipfile
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import psutil
from numpy.typing import NDArray

from cscl.errors import CSCLError, InputError, MissingError

from .settings import write_whole

__all__ = ["Painted", "Slot", "Work", "discard", "find_left", "painted_since", "read_work"]

STATE, OWNER, PAINTED, MODELS, PART = "work.json", "owner.json", "painted.npz", "models", ".part"
ELSEWHERE_S = 86400.0  # a folder that another computer owns counts as left when it was not written for a day
log = logging.getLogger(__name__)


@dataclass(frozen=True, eq=False)
class Painted:
    """Pixels of a raster that were painted: their positions in row order, and their values now."""

    shape: tuple[int, int]
    where: NDArray[np.int64] = field(repr=False)
    values: NDArray[np.int32] = field(repr=False)

    def onto(self, values_YX: NDArray[Any]) -> NDArray[Any]:
        """Return a copy of a raster of that shape, painted."""
        painted = np.array(values_YX)
        painted.reshape(-1)[self.where] = self.values
        return painted


def painted_since(now_YX: NDArray[Any], before_YX: NDArray[Any]) -> Painted:
    """Find what was painted since."""
    where = np.flatnonzero(now_YX != before_YX)
    return Painted((now_YX.shape[0], now_YX.shape[1]), where, now_YX.reshape(-1)[where].astype(np.int32))


@dataclass(frozen=True)
class Work:
    """What is open and what was done with it. All plain values, as they are kept as JSON.

    Parameters
    ----------
    name : str
        What the images are called.
    images, labels, column, model, prediction : str
        Paths, and the crop column of the parcels; empty where nothing is open, or where it has no path.
    legend : dict
        Of the labels, so that ids mean the same again.
    shapes : list of dict
        Drawn regions: ``kind`` and ``corners``, a list of (down, right) in metres from the scene's corner.
    corner : list of float
        Easting and northing of the scene's corner, and its CRS as the last item, so that the region is drawn where it
        was.
    scratch : str
        Folder of what was made in passing.
    when : str
        Time of saving, ISO.
    notes : list of dict
        Notes on cases.
    align : str
        How outlines were moved back onto the images; ``no`` if they were not.
    reading : dict
        Options that the images were opened with.
    """

    name: str = ""
    images: str = ""
    labels: str = ""
    column: str = ""
    model: str = ""
    prediction: str = ""
    legend: dict[str, Any] = field(default_factory=dict)
    shapes: list[dict[str, Any]] = field(default_factory=list)
    corner: list[Any] = field(default_factory=list)
    scratch: str = ""
    when: str = ""
    notes: list[dict[str, Any]] = field(default_factory=list)
    align: str = "no"
    reading: dict[str, Any] = field(default_factory=dict)


class Slot:
    """The folder of one viewer's unfinished work.

    Parameters
    ----------
    root : Path
        Folder of all such folders; made when something is saved.
    """

    def __init__(self, root: Path) -> None:
        self.root = root
        self.folder = root / _new_name()
        self.holds_work = False
        self._painted: bytes | None = None

    def save(self, work: Work, painted: Painted | None) -> None:
        """Write what is open, and what was painted; each file is replaced only when the new one is whole.

        Raises
        ------
        OSError
            If it cannot be written.
        """
        self._own()
        self._save_painted(painted)
        state = asdict(work) | {"when": dt.datetime.now().isoformat(timespec="seconds")}
        write_whole(self.folder / STATE, json.dumps(state).encode())
        self.holds_work = bool(work.shapes or work.notes) or painted is not None or bool(self.models())

    def save_model(self, folder: Path) -> None:
        """Copy a model folder that lies in a passing place; one of that name is replaced.

        Raises
        ------
        OSError
            If it cannot be written.
        """
        self._own()
        kept = self.folder / MODELS / folder.name
        part = kept.with_name(kept.name + PART)
        shutil.rmtree(part, ignore_errors=True)
        try:
            shutil.copytree(folder, part)
            shutil.rmtree(kept, ignore_errors=True)
            part.replace(kept)
        finally:
            shutil.rmtree(part, ignore_errors=True)

    def drop_model(self, name: str) -> None:
        """Forget a model, as it was kept elsewhere or given up."""
        shutil.rmtree(self.folder / MODELS / name, ignore_errors=True)

    def models(self) -> list[Path]:
        """Model folders that are held."""
        found = sorted(card.parent for card in (self.folder / MODELS).glob("*/card.json"))
        return [path for path in found if path.suffix != PART]

    def take(self, left: Path) -> bool:
        """Take over a folder that was left, in place of one's own; False if another viewer was faster."""
        mine = self.root / _new_name()
        try:
            left.rename(mine)  # only one can succeed
        except OSError:
            return False
        shutil.rmtree(self.folder, ignore_errors=True)
        self.folder, self.holds_work, self._painted = mine, True, None
        self._own()
        return True

    def leave(self) -> None:
        """End in order: what holds work is left to be found, anything else goes."""
        if self.holds_work:
            (self.folder / OWNER).unlink(missing_ok=True)
        else:
            shutil.rmtree(self.folder, ignore_errors=True)

    def _own(self) -> None:
        self.folder.mkdir(parents=True, exist_ok=True)
        me = {"pid": os.getpid(), "began": psutil.Process().create_time(), "host": socket.gethostname()}
        write_whole(self.folder / OWNER, json.dumps(me).encode())

    def _save_painted(self, painted: Painted | None) -> None:
        path = self.folder / PAINTED
        if painted is None:
            path.unlink(missing_ok=True)
            self._painted = None
            return
        buffer = io.BytesIO()
        np.savez(buffer, shape=painted.shape, where=painted.where, values=painted.values)
        if buffer.getvalue() != self._painted:
            self._painted = buffer.getvalue()
            write_whole(path, self._painted)


def find_left(root: Path) -> list[Path]:
    """Folders of work that nobody owns any more, the latest first."""
    found = [path.parent for path in root.glob(f"*/{STATE}") if not _owned(path.parent)]
    return sorted(found, key=lambda folder: (folder / STATE).stat().st_mtime, reverse=True)


def read_work(folder: Path) -> tuple[Work, Painted | None]:
    """Return what was saved in a folder.

    Raises
    ------
    MissingError, InputError
        If it is not there or is damaged.
    """
    try:
        work = Work(**json.loads((folder / STATE).read_text(encoding="utf-8")))
        if not (folder / PAINTED).is_file():
            return work, None
        with np.load(folder / PAINTED) as kept:
            return work, Painted(tuple(kept["shape"].tolist()), kept["where"], kept["values"])
    except FileNotFoundError:
        raise MissingError(f"There is no unfinished work in {folder}. Another window may have taken it.") from None
    except (OSError, ValueError, KeyError, TypeError, zipfile.BadZipFile) as error:
        raise InputError(f"The unfinished work in {folder} is damaged ({error}). Discard it.") from error


def discard(folder: Path) -> None:
    """Remove unfinished work, and what its viewer made in passing before it crashed."""
    try:
        scratch = Path(read_work(folder)[0].scratch)
        if scratch.name.startswith("cscl-"):
            shutil.rmtree(scratch, ignore_errors=True)
    except CSCLError:
        pass  # then nobody knows any more where that was
    shutil.rmtree(folder, ignore_errors=True)


def _owned(folder: Path) -> bool:
    """Whether the process that owns a folder is alive. A number of a process that ended may be another's by now."""
    try:
        owner: Mapping[str, Any] = json.loads((folder / OWNER).read_text(encoding="utf-8"))
        if owner["host"] != socket.gethostname():
            return time.time() - (folder / OWNER).stat().st_mtime < ELSEWHERE_S
        with suppress(psutil.Error):
            return abs(psutil.Process(owner["pid"]).create_time() - owner["began"]) < 2
    except (OSError, ValueError, KeyError, TypeError):
        pass  # no owner, or none that can be read
    return False


def _new_name() -> str:
    return f"{dt.datetime.now():%Y%m%d-%H%M%S}-{uuid.uuid4().hex[:8]}"
