"""Driving a job in a terminal: a progress bar for its events, and a stop that lets it clean up."""

from __future__ import annotations

import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any, TypeVar

from cscl.events import Event, Job, Measure, Note, Progress, run

__all__ = ["drive", "stoppable"]

R = TypeVar("R")


@contextmanager
def stoppable() -> Iterator[None]:
    """Turn the first Ctrl-C or SIGTERM into a stop between two events; a second one stops at once."""
    stop = _Stop()
    former = {number: signal.signal(number, stop.hear) for number in (signal.SIGINT, signal.SIGTERM)}
    _Stop.current = stop
    try:
        yield
    finally:
        for number, handler in former.items():
            signal.signal(number, handler)


class _Stop:
    """Whether the user wants to stop; jobs are closed at an event, so their clean-up never meets half a step."""

    current: _Stop | None = None

    def __init__(self) -> None:
        self.wanted = False
        self.in_job = False

    def hear(self, number: int, frame: FrameType | None) -> None:
        if self.wanted or not self.in_job:
            raise KeyboardInterrupt
        self.wanted = True
        print("\nStopping after this step ...", file=sys.stderr)


class _Screen:
    """Shows the events of a job as a progress bar with rate and remaining time."""

    def __init__(self, quiet: bool) -> None:
        self.quiet = quiet
        self.stage = ""
        self.bar: Any = None

    def show(self, event: Event) -> None:
        if isinstance(event, Progress) and not self.quiet:
            self._progress(event)
        elif isinstance(event, Measure) and self.bar is not None:
            shown = {k: f"{v:.3g}" for k, v in event.values.items() if k != "score"}
            self.bar.set_postfix(shown, refresh=False)
        elif isinstance(event, Note):
            self._say(f"{'WARNING: ' if event.warning else ''}{event.text}")
        if _Stop.current is not None and _Stop.current.wanted:
            raise KeyboardInterrupt

    def _progress(self, event: Progress) -> None:
        from tqdm import tqdm

        if not event.total and self.bar is not None:
            return  # a part of the stage on show, such as a look at the validation blocks
        if event.stage != self.stage:
            if self.bar is not None and self.bar.total:  # the next stage has begun, so this one is done
                self.bar.update(self.bar.total - self.bar.n)
            self.close()
            self.stage = event.stage
            self.bar = tqdm(
                desc=event.stage, total=event.total or None, unit=f" {event.unit}", initial=max(event.done - 1, 0),
                dynamic_ncols=True, mininterval=0.5, delay=0.5, smoothing=0.1,
            )  # fmt: skip
        self.bar.update(event.done - self.bar.n)

    def _say(self, text: str) -> None:
        from tqdm import tqdm

        tqdm.write(text, file=sys.stderr)

    def close(self) -> None:
        if self.bar is not None:
            self.bar.close()
        self.bar, self.stage = None, ""


def drive(job: Job[R], quiet: bool) -> R:
    """Run a job to its end under a progress bar (unless `quiet`); a wish to stop closes it at its next event."""
    screen, stop = _Screen(quiet), _Stop.current
    try:
        if stop is not None:
            stop.in_job = True
        return run(job, screen.show)
    finally:
        if stop is not None:
            stop.in_job = False
        screen.close()
