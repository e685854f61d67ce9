"""Processes that carry out runs, one thread each and one a device, and that end when whoever started them does."""

from __future__ import annotations

import multiprocessing
import os
import shutil
import signal
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any

from cscl.errors import CSCLError

__all__ = ["Task", "Worker", "crew", "hand_over", "heard"]

REPORT_EVERY_S = 0.5
MOST_OPEN = 4


@dataclass(frozen=True)
class Task:
    """What a worker is to do: a plan with its steps, or without them the measuring of its step times."""

    plan: Any
    steps: Any = None
    keep: Path | None = None


@dataclass
class Worker:
    """A process and the way to talk to it; `task` is what it is doing."""

    number: int
    device: str
    folder: Path
    cache: Path
    process: BaseProcess = field(init=False)
    line: Connection = field(init=False)
    task: Task | None = None
    done: float = 0.0

    def __post_init__(self) -> None:
        self.start()

    def start(self) -> None:
        """Start the process; also another one in the place of one that died."""
        context = multiprocessing.get_context("spawn")
        self.line, theirs = context.Pipe()
        self.task, self.done = None, 0.0
        words = (theirs, self.device, self.folder / str(self.number), self.cache)
        self.process = context.Process(target=_work, args=words, daemon=True)
        before = os.environ.get("OMP_NUM_THREADS")
        os.environ["OMP_NUM_THREADS"] = "1"  # read when torch is loaded, over there
        try:
            self.process.start()
        finally:
            if before is None:
                del os.environ["OMP_NUM_THREADS"]
            else:
                os.environ["OMP_NUM_THREADS"] = before
        theirs.close()


@contextmanager
def crew(devices: Sequence[str], folder: Path, cache: Path) -> Iterator[list[Worker]]:
    """Lend workers, one a device named; they are gone afterwards, whatever they are doing."""
    workers: list[Worker] = []
    try:
        for number, device in enumerate(devices):
            workers.append(Worker(number, device, folder, cache))
        yield workers
    finally:
        for worker in workers:
            worker.process.terminate()
        for worker in workers:
            worker.process.join()


def hand_over(worker: Worker, task: Task) -> None:
    """Give an idle worker something to do."""
    worker.task, worker.done = task, 0.0
    worker.line.send(task)


def heard(workers: Sequence[Worker], timeout_s: float) -> Iterator[tuple[Worker, Task, dict[str, Any]]]:
    """Wait for news; yield each worker that finished or failed, its task, and what came of it.

    A worker that died, for want of memory perhaps, has failed, and another takes its place.
    """
    busy = {worker.line: worker for worker in workers if worker.task is not None}
    for line in wait(list(busy), timeout_s):
        worker = busy[line]  # type: ignore[index]
        task = worker.task
        assert task is not None
        try:
            kind, value = worker.line.recv()
        except (EOFError, OSError):
            worker.process.join()
            said = f"The process ended with status {worker.process.exitcode}; the memory may have been full."
            worker.start()
            yield worker, task, {"error": said}
            continue
        if kind == "progress":
            worker.done = value
        else:
            worker.task = None
            yield worker, task, value


# --- in the process of the worker -----------------------------------------------------------------------------------


def _work(line: Connection, device: str, folder: Path, cache: Path) -> None:
    """Do what comes along the line until it is closed. Ctrl-C is for whoever started this."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    from cscl.device import threads

    opened: dict[Any, Any] = {}
    with threads(1):
        while True:
            try:
                task = line.recv()
                line.send(("done", _outcome(task, device, folder, cache, opened, _teller(line))))
            except (EOFError, BrokenPipeError):
                return
            finally:
                shutil.rmtree(folder, ignore_errors=True)


def _teller(line: Connection) -> Callable[[float], None]:
    """Tell how much of a run is done, twice a second."""
    last = 0.0

    def tell(share: float) -> None:
        nonlocal last
        if time.monotonic() - last > REPORT_EVERY_S:
            last = time.monotonic()
            line.send(("progress", share))

    return tell


def _outcome(
    task: Task, device: str, folder: Path, cache: Path, opened: dict[Any, Any], tell: Callable[[float], None]
) -> dict[str, Any]:
    """Do a task; a mistake or a full memory becomes a sentence, for the other runs go on."""
    from .run import device_name

    try:
        return {**_done(task, device, folder, cache, opened, tell), "device": device_name(device)}
    except (EOFError, BrokenPipeError):
        raise
    except CSCLError as error:
        return {"error": str(error), "device": device_name(device)}
    except Exception as error:  # of any kind: a run of days must not end for one run
        return {"error": f"{type(error).__name__}: {error}", "device": device_name(device)}


def _done(
    task: Task, device: str, folder: Path, cache: Path, opened: dict[Any, Any], tell: Callable[[float], None]
) -> dict[str, Any]:
    from cscl.events import Event, Progress, run

    from .places import open_data
    from .run import carry_out, step_seconds

    def listen(event: Event) -> None:
        if isinstance(event, Progress) and event.total and task.steps is not None:
            before = task.steps.pretrain if event.stage == "training" else 0
            if event.stage in ("training", "pre-training"):
                tell((before + event.done) / (task.steps.pretrain + task.steps.train))
        else:
            tell(0.0)

    def data(plan: Any) -> Any:
        source = plan.protocol.folder, plan.season, plan.arm.reading, plan.recipe.data.finer
        if source not in opened:
            if len(opened) >= MOST_OPEN:
                del opened[next(iter(opened))]
            opened[source] = run(open_data(plan, cache), listen)
        return opened[source]

    plan = task.plan
    folder.mkdir(parents=True, exist_ok=True)
    if task.steps is None:
        return run(step_seconds(plan, data(plan), data(plan.baseline), folder, device), listen)
    found = run(carry_out(plan, task.steps, data(plan), folder, device), listen)
    if task.keep is not None:
        task.keep.parent.mkdir(parents=True, exist_ok=True)
        shutil.move(folder, task.keep)
    return found
