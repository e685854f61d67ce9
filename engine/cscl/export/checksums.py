"""Checksums of the files of an export, in the form that ``sha256sum -c`` reads."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from pathlib import Path

from cscl.events import Job, Progress

from .draft import draft

__all__ = ["SUMS", "digests", "files_of", "write_checksums"]

SUMS = "SHA256SUMS"
CHUNK_BYTES = 2**20
CHUNKS_AN_EVENT = 64


def files_of(folder: str | Path) -> list[str]:
    """Names of all files below a folder, relative to it, with ``/``, sorted; without its checksums and drafts."""
    folder = Path(folder)
    found = (path.relative_to(folder) for path in folder.rglob("*") if path.is_file())
    return sorted(p.as_posix() for p in found if p.as_posix() != SUMS and not any(n.endswith(".part") for n in p.parts))


def digests(folder: str | Path, names: Iterable[str] | None = None) -> Job[dict[str, str]]:
    """Compute SHA-256 of files, read piece by piece.

    Parameters
    ----------
    folder : path
        Where they lie.
    names : iterable of str, optional
        Relative to the folder; by default all files below it.

    Returns
    -------
    dict
        Hexadecimal digest of each name.
    """
    folder = Path(folder)
    names = list(files_of(folder) if names is None else names)
    known = {}
    for done, name in enumerate(names):
        yield Progress("computing checksums", done, len(names), "file")
        sums, chunks = hashlib.sha256(), 0
        with (folder / name).open("rb") as stream:
            while chunk := stream.read(CHUNK_BYTES):
                sums.update(chunk)
                chunks += 1
                if chunks % CHUNKS_AN_EVENT == 0:
                    yield Progress("computing checksums", done, len(names), "file")
        known[name] = sums.hexdigest()
    yield Progress("computing checksums", len(names), len(names), "file")
    return known


def write_checksums(folder: str | Path, known: Mapping[str, str] | None = None) -> Job[Path]:
    """Write ``SHA256SUMS`` of all files below a folder; to be called last. A former one is replaced.

    Parameters
    ----------
    folder : path
        An export.
    known : mapping, optional
        Digests of files that are known already, by name as `digests` has them; they are not read again.

    Returns
    -------
    Path
        The file; ``sha256sum -c SHA256SUMS`` in the folder checks it.

    Raises
    ------
    OutputError
        If it cannot be written, or a file cannot be read.
    """
    folder, known = Path(folder), dict(known or {})
    with draft(folder, SUMS) as part:
        names = files_of(folder)
        known |= yield from digests(folder, [name for name in names if name not in known])
        lines = "".join(_line(known[name], name) for name in names)
        (part / SUMS).write_text(lines, encoding="utf-8", errors="surrogateescape", newline="\n")
    return folder / SUMS


def _line(digest: str, name: str) -> str:
    """One line; GNU writes a backslash before lines whose name holds one or a line break, and escapes these."""
    escaped = name.replace("\\", "\\\\").replace("\n", "\\n").replace("\r", "\\r")
    return f"{'' if escaped == name else chr(92)}{digest}  {escaped}\n"
