"""Drafts: files are made in a ``.part`` folder and get their names when all are whole, so half a file is never seen."""

from __future__ import annotations

import glob
import shutil
import tempfile
import time
from collections.abc import Generator, Iterable
from contextlib import contextmanager
from pathlib import Path

from pyogrio.errors import DataLayerError, DataSourceError
from rasterio.errors import RasterioError

from cscl.errors import CSCLError, OutputError

__all__ = ["draft", "refuse"]

LEFT_BEHIND_S = 86_400.0


def refuse(path: Path, *, overwrite: bool, inputs: Iterable[str | Path] = ()) -> None:
    """Refuse to write a file where it would destroy something.

    Parameters
    ----------
    path : Path
        File to be written.
    overwrite : bool
        Whether a former file may be replaced.
    inputs : iterable of path
        Files that the result is made from; they are never replaced.

    Raises
    ------
    OutputError
        The folder is missing, the file exists and may not be replaced, or it is an input or part of a prediction.
    """
    if not path.parent.is_dir():
        raise OutputError(
            f"There is no folder {path.parent} to write {path.name} in. Make it, or choose another place."
        )
    if path.is_dir():
        raise OutputError(f"{path} is a folder, so no file can have this name. Choose another name.")
    if any(Path(i).exists() and path.exists() and path.samefile(i) for i in inputs):
        raise OutputError(f"{path} is one of the inputs and would be lost. Choose another name for the result.")
    if path.exists() and (path.parent / "prediction.json").exists():
        raise OutputError(f"{path} is part of the prediction that is exported. Choose another folder for the result.")
    if path.exists() and not overwrite:
        raise OutputError(f"{path} exists already. Choose another name, or add --overwrite to replace it.")


@contextmanager
def draft(folder: Path, name: str) -> Generator[Path, None, None]:
    """Lend a folder ``<name>.*.part`` inside `folder`; when the block ends well, its files move up.

    If the block fails or is left early the draft vanishes and former files stay as they were. Each run has a draft of
    its own, so that two at once do not get into each other's way; what a killed run left behind goes after a day.

    Raises
    ------
    OutputError
        If something cannot be written: no permission, the disk is full, a file is in use.
    """
    part = None
    try:
        for left in folder.glob(f"{glob.escape(name)}.*.part"):
            if time.time() - left.stat().st_mtime > LEFT_BEHIND_S:
                shutil.rmtree(left, ignore_errors=True)
        part = Path(tempfile.mkdtemp(prefix=f"{name}.", suffix=".part", dir=folder))
        yield part
        _move_up(part, folder)
    except CSCLError:
        raise
    except (OSError, RasterioError, DataSourceError, DataLayerError) as error:
        why = error.__cause__ or error
        raise OutputError(
            f"{_shown(folder / name)} cannot be written ({why}). Make room on the disk, see that the folder is "
            "writable and that no other program has the file open, or choose another place."
        ) from error
    finally:
        if part is not None:
            shutil.rmtree(part, ignore_errors=True)


def _move_up(part: Path, folder: Path) -> None:
    """Move files to where they belong; those of a folder into the one of its name, beside what else is in it."""
    for path in sorted(part.iterdir()):
        if path.is_dir():
            (folder / path.name).mkdir(exist_ok=True)
            _move_up(path, folder / path.name)
        else:
            path.replace(folder / path.name)


def _shown(path: Path) -> Path:
    """Name a place as the user knows it: without the drafts on the way; a whole result is its folder."""
    if not path.suffix:
        return path.parent
    return Path(*(name for name in path.parts if not name.endswith(".part")))
