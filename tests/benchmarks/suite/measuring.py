"""Time and memory of what runs in this process."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from suite import Figures, Measure, Settings, Unmeasured

__all__ = ["peak_mb", "require_memory", "reset_peak", "resident_mb", "timed"]

STATUS, FORGET = Path("/proc/self/status"), Path("/proc/self/clear_refs")
Act = Callable[[], Any]


def resident_mb(field: str = "VmRSS") -> float | None:
    """Resident memory of this process, MB (10^6 bytes): ``VmRSS`` now, ``VmHWM`` at its peak; None outside Linux."""
    try:
        lines = STATUS.read_text(encoding="ascii").splitlines()
    except OSError:
        return None
    return next(int(line.split()[1]) for line in lines if line.startswith(field)) * 1024 / 1e6


def reset_peak() -> float | None:
    """Let the peak of memory count from now on; returns what is resident."""
    with suppress(OSError):
        FORGET.write_text("5", encoding="ascii")
    return resident_mb()


def peak_mb(before: float | None) -> float | None:
    """Peak above what was resident when it was reset."""
    peak = resident_mb("VmHWM")
    return None if peak is None or before is None else max(peak - before, 0.0)


def require_memory(megabytes: float) -> None:
    """Refuse what this machine cannot hold, before it begins to swap.

    Raises
    ------
    Unmeasured
        With what is wanted and what is free.
    """
    import psutil

    free = psutil.virtual_memory().available / 1e6
    if megabytes > 0.8 * free:
        raise Unmeasured(f"would take {megabytes / 1e3:.0f} GB of memory, of which {free / 1e3:.0f} are free")


def timed(prepare: Callable[..., Act], *given: Any, warm: Any = None) -> Measure:
    """Make the measure of an act that is repeated: process time on one thread, elapsed time on several.

    Parameters
    ----------
    prepare : callable
        ``prepare(*given, work)`` makes ready what is not measured and returns the act; a list that it returns is told.
    warm : optional
        Work of one act that comes first and loads and compiles what is needed. Without it the first of several runs
        does, and its time does not count; its peak does.
    """

    def measure(work: Any, settings: Settings) -> Mapping[str, Figures]:
        if warm is not None:
            prepare(*given, warm)()
        return {"": repeated(prepare(*given, work), settings, warmed=warm is not None)}

    return measure


def repeated(act: Act, settings: Settings, *, warmed: bool) -> Figures:
    """Run an act again and again, as often and as long as the settings say."""
    clock = time.process_time if settings.threads == 1 else time.perf_counter
    before, begun, peak = reset_peak(), clock(), None
    seconds: list[float] = []
    told: list[float] = []
    while not seconds or (len(seconds) <= settings.repeats and clock() - begun < settings.limit_s):
        started = clock()
        answer = act()
        seconds.append(clock() - started)
        told = answer if isinstance(answer, list) else []
        peak = peak_mb(before) if len(seconds) == 1 else peak
    counted = seconds[not warmed :] or seconds
    return Figures(counted[: settings.repeats], peak, told)
