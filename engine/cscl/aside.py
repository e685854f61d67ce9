"""Work in threads beside a job: one thread that reads ahead or writes behind, while the job goes on and says so."""

from __future__ import annotations

from collections.abc import Generator, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from typing import TypeVar

from cscl.events import Event

__all__ = ["side_thread", "waited"]

R = TypeVar("R")
EVENT_S = 0.5


@contextmanager
def side_thread(*, dropping: bool = False) -> Iterator[ThreadPoolExecutor]:
    """Lend a thread that does one thing after the other.

    Leaving the block waits for what it is at, and for what it has not begun, unless that may be dropped.
    """
    pool = ThreadPoolExecutor(1)
    try:
        yield pool
    finally:
        pool.shutdown(cancel_futures=dropping)


def waited(future: Future[R], meanwhile: Event) -> Generator[Event, None, R]:
    """Wait for what a thread does and return it; an event now and then lets whoever drives the job stop it.

    Raises
    ------
    Exception
        Whatever the thread raised.
    """
    while True:
        try:
            return future.result(timeout=EVENT_S)
        except TimeoutError:
            if future.done():  # it raised one of its own, or has come just now
                return future.result()
        yield meanwhile
