"""What is measured: cases, each of some forms side by side on work that grows.

A file in ``cases`` holds a list ``CASES``; a case added there is measured, tabulated, drawn and compared with what was
kept, without being told of anywhere else.
"""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

__all__ = ["Case", "Figures", "Form", "Measure", "Settings", "Unmeasured", "all_cases", "case_of", "later"]


class Unmeasured(Exception):
    """A form that cannot be measured here; the message says why, and what to do."""


@dataclass(frozen=True)
class Settings:
    """How often is measured: at most `repeats` times in a process, or as long as `limit_s` of its time lasts."""

    repeats: int = 5
    limit_s: float = 20.0
    threads: int = 1


@dataclass(frozen=True)
class Figures:
    """What one process measured.

    Parameters
    ----------
    seconds : list of float
        Of each run.
    peak_mb : float or None
        Peak of the resident memory in the first run above what was resident before, MB; None where no one can tell.
    told : list of float
        What all forms of a case must agree on.
    more : mapping
        Further figures by name, their units in the names.
    """

    seconds: list[float]
    peak_mb: float | None = None
    told: list[float] = field(default_factory=list)
    more: Mapping[str, float] = field(default_factory=dict)


# Of the work and the settings; figures by part, "" for the whole.
Measure = Callable[[Any, Settings], Mapping[str, Figures]]


@dataclass(frozen=True)
class Form:
    """A way of doing the work.

    Parameters
    ----------
    measure : callable
        Measures it in this process; mostly made by `suite.measuring.timed`.
    naive : bool
        What ratios are against, and not ours to make faster: where it takes longer than it did, the machine does.
    peer : bool
        Somebody else's public code, a ratio of its own.
    tolerance : float
        How far what it tells may be from what the first form tells, relative; 0: it is not compared.
    environment : mapping
        Variables of its process.
    """

    measure: Measure
    naive: bool = False
    peer: bool = False
    tolerance: float = 0.0
    environment: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Case:
    """Forms of one thing, measured side by side.

    Parameters
    ----------
    name : str
        What ``--only`` finds it by.
    measures : str
        A sentence.
    forms : mapping
        By name; ratios are against the first.
    axis : str
        What grows, with its unit.
    work, quick : tuple
        Its values, and those of a quick run.
    amount : tuple of str and callable, optional
        What is worked through, and how much of it at a value: for the column of rates.
    screen : bool
        Whether a window opens.
    always : int
        Processes of each form in a run; 0 leaves it to the run.
    """

    name: str
    measures: str
    forms: Mapping[str, Form]
    axis: str = ""
    work: tuple[Any, ...] = (0,)
    quick: tuple[Any, ...] = ()
    amount: tuple[str, Callable[[Any], float]] | None = None
    screen: bool = False
    always: int = 0


def all_cases() -> dict[str, tuple[str, Case]]:
    """Return all cases, and the file of each."""
    folder = importlib.import_module("cases")
    found: dict[str, tuple[str, Case]] = {}
    for module in sorted(module.name for module in pkgutil.iter_modules(folder.__path__)):
        for case in importlib.import_module(f"cases.{module}").CASES:
            if case.name in found:
                raise ValueError(f"The case '{case.name}' stands twice in the folder cases.")
            found[case.name] = module, case
    return found


def case_of(module: str, name: str) -> Case:
    """Load a case without the files of others."""
    cases: list[Case] = importlib.import_module(f"cases.{module}").CASES
    return next(case for case in cases if case.name == name)


def later(module: str, name: str = "measure", *given: Any) -> Measure:
    """Make a measure whose module is imported when it is wanted: what opens windows loads much."""

    def measure(work: Any, settings: Settings) -> Mapping[str, Figures]:
        found: Mapping[str, Figures] = getattr(importlib.import_module(module), name)(*given, work, settings)
        return found

    return measure
