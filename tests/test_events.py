"""A job yields events, returns its result, and cleans up however it ends."""

from __future__ import annotations

import numpy as np
import pytest

from cscl.events import Event, Job, Measure, Note, Preview, Progress, remaining_s, run, time_in_words


def counting(upto: int, log: list[str]) -> Job[int]:
    try:
        for i in range(upto):
            yield Progress("count", i + 1, upto)
        yield Note("counted")
        return upto * 10
    finally:
        log.append("cleaned")


def outer(log: list[str]) -> Job[int]:
    first = yield from counting(2, log)
    second = yield from counting(1, log)
    return first + second


def test_run_returns_the_result_and_passes_events_in_order() -> None:
    seen: list[Event] = []
    assert run(outer([]), seen.append) == 30
    assert [type(event) for event in seen] == [Progress, Progress, Note, Progress, Note]
    assert seen[1] == Progress("count", 2, 2, "step")
    assert run(outer([])) == 30


def test_closing_cleans_up() -> None:
    log: list[str] = []
    job = outer(log)
    next(job)
    assert log == []
    job.close()
    assert log == ["cleaned"]


def test_a_listener_that_fails_ends_the_job() -> None:
    log: list[str] = []

    def fail(event: Event) -> None:
        raise KeyError("listener")

    with pytest.raises(KeyError, match="listener"):
        run(outer(log), fail)
    assert log == ["cleaned"]


def test_an_error_in_the_job_comes_through() -> None:
    def failing() -> Job[None]:
        yield Measure("train", 1, {"loss": 1.0})
        raise RuntimeError("out of memory")

    with pytest.raises(RuntimeError, match="out of memory"):
        run(failing())


def test_a_preview_owns_its_array() -> None:
    array = np.zeros((2, 2))
    preview = Preview("predict", "classes", array)
    array += 1
    assert preview.array.sum() == 0


def test_the_time_left_follows_the_pace_so_far() -> None:
    assert remaining_s(10.0, 5, 20) == 40 and remaining_s(0.5, 5, 20) is None and remaining_s(9.0, 0, 20) is None
    assert [time_in_words(s) for s in (0.2, 89, 100, 5399, 9000)] == ["1 s", "89 s", "2 min", "90 min", "2.5 h"]
