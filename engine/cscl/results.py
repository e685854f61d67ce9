"""Places of results: they become whole under a ``.part`` name, and take the place of nothing but their own kind."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from cscl.errors import OutputError

__all__ = ["existing", "in_the_making", "put", "require_name", "require_place"]


def existing(path: Path) -> Path:
    """Return the folder in which a place is, or is to be made: the nearest one that is there."""
    return next(place for place in (path.absolute(), *path.absolute().parents) if place.is_dir())


def require_name(out: Path) -> None:
    """Refuse ``.``, ``..`` and links: a folder that appears when it is whole needs a name of its own.

    Raises
    ------
    OutputError
        If the path does not end in such a name.
    """
    if out.name in ("", ".."):
        raise OutputError(f"'{out}' is no name for a result. Give the name of a new folder, such as {out / 'result'}.")
    if out.is_symlink():
        raise OutputError(f"{out} is a link. Give the place that it leads to, or another name.")


def require_place(out: Path, mark: str, *, overwrite: bool) -> None:
    """Refuse a place where a result would destroy something.

    Parameters
    ----------
    out : Path
        Folder to be.
    mark : str
        File that each result of this kind holds: a folder without it is the user's, and is never replaced.
    overwrite : bool
        Whether a former result may be replaced. An empty folder always may.

    Raises
    ------
    OutputError
        If something is there that may not be replaced, or the path has no name.
    """
    require_name(out)
    if not out.exists() or (out.is_dir() and not any(out.iterdir())):
        return
    if not overwrite:
        raise OutputError(f"{out} exists already. Choose another name, or add --overwrite to replace it.")
    if not (out / mark).is_file():
        raise OutputError(
            f"{out} is not a former result of this kind (it holds no {mark}), so even --overwrite does not replace it. "
            "Choose another name."
        )


def _begin(out: Path, *, overwrite: bool) -> Path:
    """Make the folder ``<out>.part`` for a result in the making.

    Raises
    ------
    OutputError
        If it is there already and `overwrite` is not set, or cannot be made.
    """
    part = out.with_name(out.name + ".part")
    if overwrite:
        shutil.rmtree(part, ignore_errors=True)
    try:
        part.mkdir(parents=True)
    except FileExistsError:
        raise OutputError(
            f"{part} is there: another run is making {out.name}, or one was killed. Wait for it, or add --overwrite."
        ) from None
    except OSError as error:
        raise OutputError(f"{part} cannot be made ({error.strerror}). Choose another place.") from error
    return part


def put(part: Path, out: Path) -> None:
    """Make a whole result appear under its name; what `require_place` found there goes only now."""
    if out.exists():
        shutil.rmtree(out)
    part.replace(out)


@contextmanager
def in_the_making(out: Path, what: str, *, overwrite: bool) -> Iterator[Path]:
    """Lend the folder ``<out>.part``, which gets its name when all went well, and goes when not.

    Parameters
    ----------
    out : Path
        Folder to be; `require_place` has looked at it.
    what : str
        What the result is, for messages, such as "The map".
    overwrite : bool
        Whether a folder that a killed run left may go.

    Raises
    ------
    OutputError
        If the folder cannot be made, or something in it cannot be written.
    """
    part = _begin(out, overwrite=overwrite)
    try:
        yield part
        put(part, out)
    except OSError as error:
        raise OutputError(
            f"{what} {out} cannot be written ({error}). Make room on the disk or choose another place."
        ) from error
    finally:
        shutil.rmtree(part, ignore_errors=True)
