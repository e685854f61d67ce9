"""Runs jobs beside the window: the only module that starts threads. It knows Qt and not napari.

A job is a generator of events. The runner drives it in a thread and emits `reported` for its events, then exactly one
of `done`, `failed` and `cancelled`. No exception ever leaves the thread.
"""

from __future__ import annotations

import contextlib
import os
import threading
import time
from collections.abc import Generator
from typing import Any

from qtpy.QtCore import QObject, QThread, Signal

from cscl.events import Event, Finish, Progress

__all__ = ["JobRunner"]

# Spinning OpenMP threads starve the window; this must be said before torch is imported for the first time.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

REPORT_EVERY_S = 0.05


class JobRunner(QObject):
    """Drives one job at a time.

    Signals
    -------
    started(str)
        A job of this name has begun.
    reported(object)
        An event of the job. Of a flood of progress events only some are passed on, at most one in 50 ms.
    done(object), failed(object), cancelled()
        The result; the exception; nothing. Exactly one of them ends a job.
    finished()
        After any of these three; the next job may start.
    """

    started = Signal(str)
    reported = Signal(object)
    done = Signal(object)
    failed = Signal(object)
    cancelled = Signal()
    finished = Signal()

    def __init__(self, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self._thread: _JobThread | None = None

    @property
    def busy(self) -> bool:
        """Whether a job is running."""
        return self._thread is not None

    def start(self, job: Generator[Event, None, Any], name: str, threads: int | None = 0) -> bool:
        """Start a job on so many CPU threads, 0 for all cores but one; False, and the job closed, if one is running.

        None is for jobs that only read: they leave torch alone, and need not wait until it is imported.
        """
        if self._thread is not None:
            job.close()
            return False
        count = None if threads is None else threads or max(1, (os.cpu_count() or 2) - 1)
        thread = _JobThread(job, count, self)
        thread.reported.connect(self.reported)
        thread.ended.connect(self._end)
        self._thread = thread
        self.started.emit(name)
        thread.start(QThread.Priority.LowPriority)
        return True

    def cancel(self) -> None:
        """Ask the job to stop at its next event; it cleans up after itself."""
        if self._thread is not None:
            self._thread.stop.set()

    def finish(self) -> None:
        """Ask the job to end at its next event with what it has; one that cannot is cancelled."""
        if self._thread is not None:
            self._thread.enough.set()

    def close(self, wait_s: float = 10.0) -> None:
        """Cancel and wait for the end, e.g. because the window closes. Nothing is emitted any more."""
        thread, self._thread = self._thread, None
        if thread is None:
            return
        thread.ended.disconnect(self._end)
        thread.reported.disconnect(self.reported)
        thread.stop.set()
        thread.wait(int(wait_s * 1000))

    def _end(self, kind: str, value: Any) -> None:
        thread, self._thread = self._thread, None
        if thread is not None:
            thread.wait()
            thread.deleteLater()
        if kind == "done":
            self.done.emit(value)
        elif kind == "failed":
            self.failed.emit(value)
        else:
            self.cancelled.emit()
        self.finished.emit()


class _JobThread(QThread):
    """The thread of one job; its signals cross to the window's thread through Qt's queue."""

    reported = Signal(object)
    ended = Signal(str, object)

    def __init__(self, job: Generator[Event, None, Any], threads: int | None, parent: QObject) -> None:
        super().__init__(parent)
        self.job, self.threads = job, threads
        self.stop = threading.Event()
        self.enough = threading.Event()
        self._last = 0.0

    def run(self) -> None:
        """Drive the job; called by Qt in the new thread."""
        try:
            outcome = self._drive()
        except BaseException as error:
            outcome = ("failed", error)
        self.ended.emit(*outcome)

    def _drive(self) -> tuple[str, Any]:
        with contextlib.nullcontext() if self.threads is None else self._bounded(self.threads):
            try:
                while not self.stop.is_set():
                    self._report(self._next())
            except StopIteration as end:
                return "done", end.value
            except Finish:
                return "cancelled", None
            finally:
                self.job.close()
        return "cancelled", None

    def _bounded(self, count: int) -> contextlib.AbstractContextManager[None]:
        from cscl.device import threads

        return threads(count)

    def _next(self) -> Event:
        if not self.enough.is_set():
            return next(self.job)
        self.enough.clear()
        return self.job.throw(Finish())

    def _report(self, event: Event) -> None:
        now = time.monotonic()
        last_of_stage = isinstance(event, Progress) and event.done == event.total
        if isinstance(event, Progress) and not last_of_stage and now - self._last < REPORT_EVERY_S:
            return
        self._last = now
        self.reported.emit(event)
