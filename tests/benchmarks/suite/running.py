"""Rows from cases: each form in fresh processes, in turns, so that what else the machine does meets all of them."""

from __future__ import annotations

import json
import math
import os
import shutil
import statistics
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from suite import Case, Figures, Form, Settings, Unmeasured, case_of

__all__ = ["Row", "measure_here", "rows_of"]

Row = dict[str, Any]
SCRIPT = Path(__file__).parents[1] / "bench.py"
SCREEN = ("xvfb-run", "-a", "-s", "-screen 0 1600x1000x24")
LEAST_MB = 1.0  # below, ratios of memory say nothing
THREADS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMBA_NUM_THREADS")


def rows_of(module: str, case: Case, work: Any, settings: Settings, rounds: int) -> list[Row]:
    """Measure all forms of a case at a value of its axis.

    Returns
    -------
    list of dict
        One a form and part: ``case, part, work, form, seconds`` (the median), ``least, most, runs, peak_mb``, ratios
        and further figures; or ``left_out``, why a form was not measured; or ``failed``.
    """
    found: dict[tuple[str, str], list[Figures]] = {}
    why: dict[str, Row] = {}
    for _ in range(case.always or rounds):
        for name, form in case.forms.items():
            if name in why:
                continue
            answer = in_fresh_process(module, case, name, form, work, settings)
            if "parts" not in answer:
                why[name] = answer
            for part, figures in answer.get("parts", {}).items():
                found.setdefault((part, name), []).append(Figures(**figures))
    rows = [
        {"case": case.name, "part": part, "work": work, "form": name, **summary(many)}
        for (part, name), many in found.items()
    ]
    rows += [{"case": case.name, "part": "", "work": work, "form": name, **answer} for name, answer in why.items()]
    rows.sort(key=lambda row: list(case.forms).index(row["form"]))
    disagreeing(case, rows)
    with_ratios(case, rows)
    return rows


def summary(many: list[Figures]) -> Row:
    """Pool what several processes measured."""
    seconds = [s for figures in many for s in figures.seconds]
    peaks = [figures.peak_mb for figures in many if figures.peak_mb is not None]
    more = {name: statistics.median(f.more[name] for f in many) for name in many[0].more}
    return {
        "seconds": statistics.median(seconds), "least": min(seconds), "most": max(seconds), "runs": len(seconds),
        "peak_mb": statistics.median(peaks) if peaks else None, "told": many[0].told, **more,
    }  # fmt: skip


def disagreeing(case: Case, rows: list[Row]) -> None:
    """Mark the rows of forms that do not give what the first one gives."""
    first = next(iter(case.forms))
    told = {row["part"]: row.get("told") for row in rows if row["form"] == first}
    for row in rows:
        wanted, tolerance = told.get(row["part"]), case.forms[row["form"]].tolerance
        if not wanted or not tolerance or not row.get("told"):
            continue
        pairs = zip(wanted, row["told"], strict=True)
        if not all(math.isclose(a, b, rel_tol=tolerance, abs_tol=1e-5) for a, b in pairs):
            row["failed"] = f"gives {row['told']} where {first} gives {wanted}"
    for row in rows:
        row.pop("told", None)


def with_ratios(case: Case, rows: list[Row]) -> None:
    """Add how many times less time and memory each row takes than the first form, and than a peer's."""
    first, peers = next(iter(case.forms)), [name for name, form in case.forms.items() if form.peer]
    for row in (row for row in rows if "seconds" in row):
        beside = {other["form"]: other for other in rows if other["part"] == row["part"] and "seconds" in other}
        slow = beside.get(first)
        if slow and len(case.forms) > 1:
            row["ratio"] = slow["seconds"] / row["seconds"]
            if min(slow["peak_mb"] or 0, row["peak_mb"] or 0) >= LEAST_MB:
                row["memory_ratio"] = slow["peak_mb"] / row["peak_mb"]
        for peer in peers:
            if peer in beside and peer != row["form"]:
                row["peer_ratio"] = beside[peer]["seconds"] / row["seconds"]


def in_fresh_process(module: str, case: Case, name: str, form: Form, work: Any, settings: Settings) -> Row:
    """Measure one form in a process of its own; what went wrong there is told in a sentence."""
    command = [sys.executable, "-W", "ignore", str(SCRIPT), "--one"]
    command.append(json.dumps([module, case.name, name, work, asdict(settings)]))
    surroundings = {**os.environ, **dict.fromkeys(THREADS, str(settings.threads)), **form.environment}
    if case.screen and not (os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY")):
        if shutil.which(SCREEN[0]) is None:
            return {"left_out": "needs a screen: install xvfb, or run it in a session with windows"}
        command = [*SCREEN, *command]
    done = subprocess.run(command, capture_output=True, text=True, env=surroundings, check=False)
    if done.returncode:
        return {"failed": reason(done)}
    answer: Row = json.loads(done.stdout.splitlines()[-1])
    return answer


def reason(done: subprocess.CompletedProcess[str]) -> str:
    """Why a process ended before its time."""
    if done.returncode in (-9, 137):
        return "was killed, mostly for want of memory"
    lines = [line for line in done.stderr.splitlines() if line.strip()]
    return lines[-1][:300] if lines else f"ended with status {done.returncode} and said nothing"


def measure_here(words: str) -> Mapping[str, Any]:
    """Measure in this process what `in_fresh_process` asks for."""
    module, name, form, work, settings = json.loads(words)
    now = Settings(**settings)
    try:
        import torch

        torch.set_num_threads(now.threads)
        torch.manual_seed(0)
        parts = case_of(module, name).forms[form].measure(work, now)
    except Unmeasured as error:
        return {"left_out": str(error)}
    return {"parts": {part: asdict(figures) for part, figures in parts.items()}}
