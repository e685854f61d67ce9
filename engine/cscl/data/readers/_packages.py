"""A product as a folder or a zip: its files, without unpacking it."""

from __future__ import annotations

import os
import re
import zipfile
import zlib
from abc import abstractmethod
from collections.abc import Iterator
from pathlib import Path, PurePosixPath

from cscl.errors import InputError

__all__ = ["Package", "package"]

_MOST_BYTES = 64_000_000


class Package:
    """Files of a product; names are relative and have slashes."""

    def __init__(self, path: Path, names: list[str]) -> None:
        self.path, self.names = path, names

    @abstractmethod
    def read(self, name: str) -> bytes:
        """Content of a small file."""

    @abstractmethod
    def place(self, name: str) -> str:
        """Where GDAL finds a file."""


class _Folder(Package):
    def __init__(self, path: Path) -> None:
        super().__init__(path, sorted(_files_below(path)))

    def read(self, name: str) -> bytes:
        return (self.path / name).read_bytes()

    def place(self, name: str) -> str:
        return str(self.path / name)


class _Zip(Package):
    def __init__(self, path: Path) -> None:
        try:
            with zipfile.ZipFile(path) as archive:
                names = [info.filename for info in archive.infolist() if not info.is_dir()]
        except (zipfile.BadZipFile, OSError, ValueError, IndexError, NotImplementedError) as error:
            raise _damaged(path, error) from error
        for name in names:
            if ".." in PurePosixPath(name).parts or name.startswith("/") or re.match(r"[A-Za-z]:|.*\\", name):
                raise InputError(f"{path} holds a file called '{name[:80]}', which leads out of it. Do not trust it.")
        super().__init__(path, sorted(names))

    def read(self, name: str) -> bytes:
        try:
            with zipfile.ZipFile(self.path) as archive, archive.open(name) as file:
                return file.read(_MOST_BYTES + 1)
        except (zipfile.BadZipFile, zlib.error, EOFError, OSError, NotImplementedError, RuntimeError) as error:
            raise _damaged(self.path, error) from error  # the last two: packed in a way unknown here, or encrypted

    def place(self, name: str) -> str:
        return f"/vsizip/{self.path.absolute().as_posix()}/{name}"


def package(path: Path) -> Package:
    """Open a folder or a zip.

    Raises
    ------
    InputError
        If the zip is damaged, or holds names that lead out of it.
    """
    return _Folder(path) if path.is_dir() else _Zip(path)


def _files_below(path: Path) -> Iterator[str]:
    for folder, _, names in os.walk(path):
        for name in names:
            yield (Path(folder) / name).relative_to(path).as_posix()


def _damaged(path: Path, error: Exception) -> InputError:
    return InputError(f"{path} cannot be read as a zip ({error}). It is damaged or not whole; get it again.")
