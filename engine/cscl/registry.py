"""Names to things: one folder is scanned on first use, then entry points; adding a thing is adding one file."""

from __future__ import annotations

import difflib
import importlib
import pkgutil
from collections.abc import Callable, Iterable
from importlib.metadata import entry_points
from typing import Generic, TypeVar

from cscl.errors import UnknownNameError

__all__ = ["Registry", "nearest"]

T = TypeVar("T")


def nearest(name: str, known: Iterable[str], what: str, where: str = "") -> UnknownNameError:
    """Make the error for an unknown name: it says where, offers the closest known one and lists them all."""
    names = sorted(known)
    close = difflib.get_close_matches(name, names, n=1)
    hint = f" Did you mean '{close[0]}'?" if close else ""
    place = f" in {where}" if where else ""
    return UnknownNameError(f"Unknown {what} '{name[:80]}'{place}.{hint} Known: {', '.join(names) or 'none'}.")


class Registry(Generic[T]):
    """A lazy table from names to things of one kind.

    Parameters
    ----------
    what : str
        What the things are called in messages, e.g. ``"model"``.
    package : str
        Package whose modules register the things when imported, e.g. ``"cscl.models"``.
        Other distributions add theirs through the entry-point group of the same name.
    """

    def __init__(self, what: str, package: str) -> None:
        self.what = what
        self.package = package
        self._things: dict[str, T] = {}
        self._scanned = False

    def register(self, name: str) -> Callable[[T], T]:
        """Return a decorator that files a thing under `name`; a name is given once."""

        def file(thing: T) -> T:
            if name in self._things:
                raise ValueError(f"The {self.what} '{name}' is registered twice.")
            self._things[name] = thing
            return thing

        return file

    def names(self) -> list[str]:
        """Sorted names of all that is registered."""
        self._scan()
        return sorted(self._things)

    def get(self, name: str) -> T:
        """Thing of that name.

        Raises
        ------
        UnknownNameError
            If nothing of that name is registered; the message offers the nearest name.
        """
        self._scan()
        if name not in self._things:
            raise nearest(name, self._things, self.what)
        return self._things[name]

    def _scan(self) -> None:
        if self._scanned:
            return
        self._scanned = True
        folder = importlib.import_module(self.package)
        for module in pkgutil.iter_modules(folder.__path__, f"{self.package}."):
            importlib.import_module(module.name)
        for point in entry_points(group=self.package):
            point.load()
