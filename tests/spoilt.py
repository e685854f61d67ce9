"""The ways in which files get spoilt, and what reading may then do.

A `Change` is plain values, so that a case that was found can be written down and tried again. Whatever was changed,
reading must end soon: with values, or with a `CSCLError` that is a sentence.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import traceback
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hypothesis import strategies as st
from valid_inputs import Format

from cscl.errors import CSCLError

WORDS = (
    *(b"", b"0", b"-1", b"1e999", b"nan", b"65536", b"99999999999999999999", b"2147483648", b"4294967295"),
    *(b"\xff\xfe\x00", b"<", b'"', b"{", b"../../outside", b"x" * 3000, b"EPSG:99999", b"2021-13-45"),
    *(b"\xd0\x96", b"null", b"object"),
)
DEEP, GONE = "deep", "gone"
VALUES = (
    None, True, 0, -1, 1.5, 1e308, 10**30, 2**31, float("nan"), "", "x", "Ж\0", "2021-13-45", "EPSG:99999", "1e999",
    "../../outside", [], {}, [[]], [None], {"a": 1}, DEEP, GONE,
)  # fmt: skip


@dataclass(frozen=True)
class Change:
    """One thing done to one file: `how`, where in it (`place`, taken modulo what there is), and with which `word`."""

    how: str
    file: str
    place: int = 0
    word: int = 0
    other: str = ""

    def to(self, folder: Path) -> None:
        """Do it; nothing where an earlier change has left nothing to do."""
        path = folder / self.file
        if path.is_file():
            HOW[self.how](path, self, folder)


def _bytes(change: Callable[[bytearray, Change], None]) -> Callable[[Path, Change, Path], None]:
    def act(path: Path, told: Change, _: Path) -> None:
        data = bytearray(path.read_bytes())
        if data:
            change(data, told)
            path.write_bytes(data)

    return act


def _flip(data: bytearray, told: Change) -> None:
    data[told.place % len(data)] ^= 1 + told.word * 37 % 255


def _flip_head(data: bytearray, told: Change) -> None:
    data[told.place % min(len(data), 400)] ^= 1 + told.word * 37 % 255


def _flip_tail(data: bytearray, told: Change) -> None:
    data[-1 - told.place % min(len(data), 400)] ^= 1 + told.word * 37 % 255


def _cut(data: bytearray, told: Change) -> None:
    del data[told.place % len(data) :]


def _drop(data: bytearray, told: Change) -> None:
    first = told.place % len(data)
    del data[first : first + 1 + told.word * 7]


def _fill(data: bytearray, told: Change) -> None:
    first = told.place % len(data)
    span = data[first : first + 8]
    data[first : first + 8] = bytes([255 * (told.word % 2)]) * len(span)


def _insert(data: bytearray, told: Change) -> None:
    first = told.place % len(data)
    data[first:first] = WORDS[told.word % len(WORDS)]


def _token(data: bytearray, told: Change) -> None:
    """Put another word for one, as between the marks of JSON, XML, CSV, and the header of an array."""
    found = list(re.finditer(rb"[\w.+:-]+", bytes(data[:200_000])))
    if found:
        begin, end = found[told.place % len(found)].span()
        data[begin:end] = WORDS[told.word % len(WORDS)]


def _lines(data: bytearray, told: Change) -> None:
    lines = data.splitlines(keepends=True)
    at = told.place % len(lines)
    lines[at : at + 1] = [b""] if told.word % 2 else [lines[at]] * 3
    data[:] = b"".join(lines)


def _json(path: Path, told: Change, _: Path) -> None:
    """Put another value in place of one, somewhere in the tree, or leave it out."""
    try:
        tree = json.loads(path.read_text(encoding="utf-8"))
    except (ValueError, RecursionError):
        return
    holder = {"": tree}
    places: list[tuple[Any, Any]] = [(holder, "")]
    for at, key in places:  # it grows on the way
        below = at[key]
        places += (
            [(below, k) for k in (below if isinstance(below, dict) else range(len(below)))]
            if isinstance(below, dict | list)
            else []
        )
    at, key = places[told.place % len(places)]
    value = VALUES[told.word % len(VALUES)]
    if value == GONE:
        del at[key]
    else:
        at[key] = value
    text = json.dumps(holder.get(""), ensure_ascii=False)
    path.write_text(text.replace(f'"{DEEP}"', "[" * 50_000 + "]" * 50_000), encoding="utf-8")


def _delete(path: Path, told: Change, folder: Path) -> None:
    path.unlink()
    if told.word % 3 == 0:
        path.mkdir()
    elif told.word % 3 == 1:
        path.symlink_to(path)


def _swap(path: Path, told: Change, folder: Path) -> None:
    if (other := folder / told.other).is_file() and other != path:
        shutil.copy(other, path)


HOW: dict[str, Callable[[Path, Change, Path], None]] = {
    **{f.__name__[1:]: _bytes(f) for f in (_flip, _flip_head, _flip_tail, _cut, _drop, _fill, _insert, _token, _lines)},
    **{f.__name__[1:]: f for f in (_json, _delete, _swap)},
}


def changes(folder: Path) -> st.SearchStrategy[list[Change]]:
    """One to three changes of the files of a folder."""
    files = sorted(str(p.relative_to(folder)) for p in folder.rglob("*") if p.is_file())
    texts = [name for name in files if name.endswith(".json")]
    places, words, file = st.integers(0, 2**20), st.integers(0, 59), st.sampled_from(files)
    kinds = [st.builds(Change, st.sampled_from(sorted(set(HOW) - {"json"})), file, places, words, file)]
    if texts:
        kinds.append(st.builds(Change, st.just("json"), st.sampled_from(texts), places, words))
    return st.lists(st.one_of(kinds), min_size=1, max_size=3)


def fault(form: Format, folder: Path) -> str:
    """Read, and return what must not be: where another error than ours came from, or a message that is no sentence."""
    try:
        form.read(folder)
    except CSCLError as error:
        text = str(error)
        bad = not text.endswith(".") or "Traceback" in text or len(text) > 2000
        return f"{type(error).__name__} that is no sentence: {text[-200:]!r} ({_origin(error)})" if bad else ""
    except Exception as error:
        return f"{type(error).__name__}: {str(error)[:200]!r} ({_origin(error)})"
    return ""


def _origin(error: BaseException) -> str:
    """Innermost line of the engine that an error passed, and the innermost of all."""
    frames = traceback.extract_tb(error.__traceback__)
    ours = [frame for frame in frames if f"{os.sep}cscl{os.sep}" in frame.filename]
    return " < ".join(f"{Path(f.filename).name}:{f.lineno} {f.name}" for f in (frames[-1], *ours[-1:]))
