import threading
import time
from collections.abc import Iterator
from typing import Any

import pytest

from cscl.events import Progress
from napari_cscl.runner import JobRunner


@pytest.fixture
def runner(qtbot: Any) -> Iterator[JobRunner]:
    runner = JobRunner()
    yield runner
    runner.close()


def counting(upto: int, log: list[str], wait_s: float = 0.0) -> Any:
    try:
        for i in range(upto):
            yield Progress("counting", i + 1, upto)
            time.sleep(wait_s)
        return threading.current_thread() is threading.main_thread()
    finally:
        log.append("cleaned up")


def test_a_job_runs_beside_the_window_and_ends_once(runner: JobRunner, qtbot: Any) -> None:
    log: list[str] = []
    ends: list[str] = []
    for name in ("done", "failed", "cancelled"):
        getattr(runner, name).connect(lambda *_, name=name: ends.append(name))
    with qtbot.waitSignal(runner.done, timeout=60_000) as done:
        assert runner.start(counting(5, log), "counting")
    assert done.args == [False] and ends == ["done"] and log == ["cleaned up"] and not runner.busy


@pytest.mark.parametrize("error", [RuntimeError("CUDA out of memory"), KeyboardInterrupt(), StopAsyncIteration()])
def test_no_exception_leaves_the_thread(runner: JobRunner, qtbot: Any, error: BaseException) -> None:
    def failing() -> Any:
        yield Progress("failing", 0, 1)
        raise error

    with qtbot.waitSignal(runner.failed, timeout=60_000) as failed:
        runner.start(failing(), "failing")
    assert failed.args == [error] and not runner.busy


def test_cancelling_cleans_up_and_the_next_job_may_start(runner: JobRunner, qtbot: Any) -> None:
    log: list[str] = []
    with qtbot.waitSignal(runner.reported, timeout=60_000):
        runner.start(counting(10_000, log, 0.01), "long")
    assert not runner.start(counting(1, []), "second"), "one job at a time"
    with qtbot.waitSignal(runner.cancelled, timeout=60_000):
        runner.cancel()
    assert log == ["cleaned up"]
    with qtbot.waitSignal(runner.done, timeout=60_000):
        assert runner.start(counting(2, log), "next")


def test_closing_waits_for_the_clean_up_and_says_nothing(runner: JobRunner, qtbot: Any) -> None:
    log: list[str] = []
    with qtbot.waitSignal(runner.reported, timeout=60_000):
        runner.start(counting(10_000, log, 0.01), "long")
    with qtbot.assertNotEmitted(runner.finished, wait=100):
        runner.close()
    assert log == ["cleaned up"] and not runner.busy
