"""Intervals that come after an answer: a step at a time, while nobody asks for anything else."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from typing import Any

from qtpy.QtCore import QObject, QTimer

from cscl.events import Job

__all__ = ["Surer"]

PAUSE_MS = 60  # between an answer and its intervals: what is clicked meanwhile goes first


class Surer(QObject):
    """Drives one job in the window's thread, a short step at a time; a new one takes the place of the former.

    Parameters
    ----------
    parent : QObject
        With which it goes.
    """

    def __init__(self, parent: QObject) -> None:
        super().__init__(parent)
        self._job: Job[Any] | None = None
        self._then: Callable[[Any], None] = lambda result: None
        self._later = QTimer(self, singleShot=True)
        self._later.timeout.connect(self._step)

    @property
    def busy(self) -> bool:
        """Whether a job is under way."""
        return self._job is not None

    def begin(self, job: Job[Any], then: Callable[[Any], None]) -> None:
        """Drive a job, and hand its result on."""
        self._job, self._then = job, then
        self._later.start(PAUSE_MS)

    def stop(self) -> None:
        """Drop the job."""
        self._job = None
        with suppress(RuntimeError):  # Qt has deleted the timer where the window went as a whole
            self._later.stop()

    def _step(self) -> None:
        if self._job is None:
            return
        try:
            next(self._job)
            self._later.start(0)
        except StopIteration as end:
            self._job = None
            self._then(end.value)
