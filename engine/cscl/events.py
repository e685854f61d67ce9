"""A long job is a generator of events that returns its result: here are the events and the way to run one.

Progress is ``yield``, cancelling is ``close()``, cleaning up is ``finally``, the result is ``return`` and composing
is ``yield from``. Ending early with what there is so far is ``throw(Finish())``. Whoever drives a job decides what to
show; events own their arrays.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Mapping
from dataclasses import dataclass, field
from typing import Any, TypeAlias, TypeVar

import numpy as np
from numpy.typing import NDArray

__all__ = ["Event", "Finish", "Job", "Measure", "Note", "Preview", "Progress", "remaining_s", "run", "time_in_words"]

R = TypeVar("R")


@dataclass(frozen=True)
class Progress:
    """`done` of `total` units of `stage` are finished; `total` is 0 when it is not known."""

    stage: str
    done: int
    total: int
    unit: str = "step"


@dataclass(frozen=True)
class Measure:
    """Named figures of a training or an assessment, e.g. ``{"loss": 0.41}``, after `step` steps of `stage`."""

    stage: str
    step: int
    values: Mapping[str, float]


@dataclass(frozen=True, eq=False)
class Preview:
    """A small picture of the state of the job, owned by the event; axes (y, x) or (y, x, channel)."""

    stage: str
    name: str
    array: NDArray[Any] = field(repr=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "array", np.array(self.array, copy=True))


@dataclass(frozen=True)
class Note:
    """A sentence for the user; `warning` marks one that must not be overlooked."""

    text: str
    warning: bool = False


class Finish(Exception):
    """Thrown into a job at an event: end now and return the best so far.

    Training knows it. Other jobs end with it as with any exception; drivers take a job that lets it through for
    cancelled.
    """


Event: TypeAlias = Progress | Measure | Preview | Note
Job: TypeAlias = Generator[Event, None, R]


def run(job: Job[R], on_event: Callable[[Event], None] | None = None) -> R:
    """Drive a job to its end and return its result.

    Parameters
    ----------
    job : Job
        Generator of events.
    on_event : callable, optional
        Called with each event, in order. If it raises, the job is closed (its clean-up runs) before the error goes on.
    """
    try:
        while True:
            event = next(job)
            if on_event is not None:
                on_event(event)
    except StopIteration as stop:
        result: R = stop.value
        return result
    finally:
        job.close()


def remaining_s(spent_s: float, done: int, left: int) -> float | None:
    """Return the time for what is left, seconds, at the pace so far; None while too little was done to tell."""
    return spent_s / done * left if done > 0 and spent_s > 1 else None


def time_in_words(seconds: float) -> str:
    """Say a time in two words: seconds up to 90, then minutes, then hours."""
    if seconds < 90:
        return f"{max(1, round(seconds))} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"
