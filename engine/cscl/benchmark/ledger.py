"""The ledger: one line of JSON a run, written at once and never changed, so that days of runs survive interruptions.

Several processes may write to it at a time. A line that was torn by a crash is passed over, and said.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

from cscl.errors import OutputError
from cscl.report.numbers import plain

__all__ = ["append", "locked", "read", "try_lock"]


def append(path: Path, row: Mapping[str, Any]) -> None:
    """Add a row: the line is on the disk when this returns.

    Raises
    ------
    OutputError
        If it cannot be written.
    """
    text = json.dumps(plain(row), ensure_ascii=False, allow_nan=False)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("a+b") as stream, locked(stream):
            end = stream.seek(0, os.SEEK_END)
            if end:
                stream.seek(end - 1)
                if stream.read(1) != b"\n":  # a torn line stays what it is, and must not tear this one
                    text = "\n" + text
            stream.write(f"{text}\n".encode())
            stream.flush()
            os.fsync(stream.fileno())
    except OSError as error:
        raise OutputError(f"The ledger {path} cannot be written ({error}). Make room on the disk.") from error


def read(path: Path) -> tuple[list[dict[str, Any]], list[str]]:
    """Return all rows in the order of writing, and a warning for each line that is no row.

    Raises
    ------
    OutputError
        If the file is there and cannot be read.
    """
    rows, warnings = [], []
    if not path.exists():
        return [], []
    try:
        lines = path.read_bytes().split(b"\n")
    except OSError as error:
        raise OutputError(f"The ledger {path} cannot be read ({error}). Name another with --ledger.") from error
    for number, line in enumerate(lines, 1):
        try:
            row = json.loads(line) if line.strip() else None
        except ValueError:
            row = ()
        if isinstance(row, dict):
            rows.append(row)
        elif row is not None:
            warnings.append(f"Line {number} of the ledger {path} is torn and is passed over; what it held runs again.")
    return rows, warnings


@contextmanager
def locked(stream: IO[bytes]) -> Iterator[None]:
    """Hold the lock of an open file; wait for it if another process has it. It goes with the process that holds it."""
    if sys.platform == "win32":
        import msvcrt

        stream.seek(0)
        msvcrt.locking(stream.fileno(), msvcrt.LK_LOCK, 1)
        try:
            yield
        finally:
            stream.flush()
            stream.seek(0)
            msvcrt.locking(stream.fileno(), msvcrt.LK_UNLCK, 1)
    else:
        import fcntl

        fcntl.flock(stream, fcntl.LOCK_EX)
        try:
            yield
        finally:
            fcntl.flock(stream, fcntl.LOCK_UN)


def try_lock(path: Path) -> IO[bytes] | None:
    """Take a file's lock and return the open file, which gives it back when it is closed; None if another has it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    stream = path.open("a+b")
    try:
        if sys.platform == "win32":
            import msvcrt

            msvcrt.locking(stream.fileno(), msvcrt.LK_NBLCK, 1)
        else:
            import fcntl

            fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        stream.close()
        return None
    return stream
