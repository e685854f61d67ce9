"""Loops compiled by numba, an optional extra (`fast`): whoever uses them has a plain form beside them.

What is compiled is kept on disk, so that only the first run on a machine waits for it, up to half a minute.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from importlib import import_module
from itertools import pairwise
from typing import Any, TypeVar

__all__ = ["compiled", "in_bands", "inlined", "module", "switched_off"]

F = TypeVar("F", bound=Callable[..., Any])

SWITCH = "CSCL_COMPILED"  # set this variable of the environment to 0 for the plain forms
# Sums may be taken in any order, which is what lets them be done several numbers at once. NaN and infinity stay what
# they are, but ask for them by comparing, x < inf: isfinite is simplified away.
ORDERLESS = {"reassoc", "contract", "nsz"}


def switched_off() -> bool:
    """Whether the plain forms are wanted."""
    return os.environ.get(SWITCH) == "0"


@cache
def module(name: str) -> Any:
    """Import a module of compiled functions; None where numba is not installed or not wanted."""
    if switched_off():
        return None
    try:
        return import_module(name)
    except ImportError:
        return None


def compiled(function: F) -> F:
    """Compile a function on its first call; others may run while it runs.

    Raises
    ------
    ImportError
        If numba is missing, or does not go with this numpy.
    """
    return _made(function)


def inlined(function: F) -> F:
    """Compile a small function into each of those that call it; calls with many arrays cost more than short loops."""
    return _made(function, forceinline=True)


def _made(function: F, **more: Any) -> F:
    import numba

    # A division that is checked for zero, as numba does by itself, keeps its loop from doing several numbers at once.
    options: dict[str, Any] = {"nogil": True, "fastmath": ORDERLESS, "error_model": "numpy", **more}
    try:
        made: F = numba.njit(cache=True, **options)(function)
    except RuntimeError:  # no folder to keep it in can be written to
        made = numba.njit(**options)(function)
    return made


def in_bands(function: Callable[..., None], arguments: tuple[Any, ...], count: int, threads: int) -> None:
    """Call ``function(*arguments, first, last)`` on about equal ranges of 0..count, side by side in threads."""
    edges = [count * band // threads for band in range(threads + 1)]
    bands = [(first, last) for first, last in pairwise(edges) if first < last]
    if len(bands) < 2:
        for band in bands:
            function(*arguments, *band)
        return
    with ThreadPoolExecutor(len(bands)) as pool:
        for done in [pool.submit(function, *arguments, *band) for band in bands]:
            done.result()
