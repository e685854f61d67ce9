"""Runs that were kept, a file for each kind of machine, one line of JSON a run; and what got slower since."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from cscl.benchmark.ledger import append, read

__all__ = ["FOLDER", "before", "compare", "keep", "key", "latest", "runs"]

Row = dict[str, Any]
Run = dict[str, Any]
FOLDER = Path(__file__).parents[1] / "kept"
SLACK = 0.10  # between two runs of the same code beyond the spread inside each
SLACK_MB = 10.0


def key(row: Row) -> str:
    """Name what a row is about, the same in every run."""
    return json.dumps([row["case"], row["part"], row["work"], row["form"]])


def keep(kind: str, run: Run, folder: Path = FOLDER) -> Path:
    """Add a run to those of its kind of machine."""
    append(folder / f"{kind}.jsonl", run)
    return folder / f"{kind}.jsonl"


def runs(kind: str, threads: int, folder: Path = FOLDER) -> list[Run]:
    """Return the runs kept on a kind of machine with so many threads, the first one first."""
    return [run for run in read(folder / f"{kind}.jsonl")[0] if run["threads"] == threads]


def latest(kept: Iterable[Run]) -> list[Row]:
    """Return the last measured row of each key: a run may have measured some cases only."""
    found: dict[str, Row] = {}
    for run in kept:
        for row in run["rows"]:
            if "seconds" in row and "failed" not in row:
                found.pop(key(row), None)
                found[key(row)] = row
    return list(found.values())


def before(kept: Iterable[Run]) -> dict[str, Row]:
    """Return the same by key."""
    return {key(row): row for row in latest(kept)}


def compare(rows: list[Row], former: dict[str, Row]) -> list[str]:
    """Say in each row, as ``since``, what changed since it was kept, and return a sentence for each that got slower.

    Slower is what takes longer at its best than it took at its worst, and a tenth more: spreads overlap otherwise.
    Where the naive form beside it takes longer, too, the machine is slower by as much, and that is taken off.
    """
    slower = []
    for row in (row for row in rows if "seconds" in row and key(row) in former):
        then = former[key(row)]
        pace = 1.0 if row.get("naive") else pace_of(row, rows, former)
        row["since"] = said = change(row, then, pace)
        if said.startswith(("slower", "more")) and not (row.get("naive") or row.get("peer")):
            where = " ".join(str(part) for part in (row["case"], row["part"], row["work"]) if part != "")
            slower.append(f"{where}, {row['form']}: {said}")
    return slower


def pace_of(row: Row, rows: list[Row], former: dict[str, Row]) -> float:
    """Return how many times longer the naive form took than when it was kept; 1 if it did not, or there is none."""
    for other in rows:
        beside = all(other[what] == row[what] for what in ("case", "part", "work"))
        if beside and other.get("naive") and "seconds" in other and key(other) in former:
            return max(1.0, float(other["seconds"] / former[key(other)]["seconds"]))
    return 1.0


def change(now: Row, then: Row, pace: float = 1.0) -> str:
    """Say what changed beyond the spread of both."""
    times = now["seconds"] / then["seconds"] / pace
    words = []
    if now["least"] > then["most"] * pace * (1 + SLACK):
        words.append(f"slower {times:.2f} x")
    elif now["most"] * (1 + SLACK) < then["least"]:
        words.append(f"faster {1 / times:.2f} x")
    if now["peak_mb"] is not None and then.get("peak_mb") is not None:
        more = now["peak_mb"] - then["peak_mb"]
        if more > SLACK_MB + SLACK * then["peak_mb"]:
            words.append(f"more memory, +{more:.0f} MB")
        elif -more > SLACK_MB + SLACK * then["peak_mb"]:
            words.append(f"less memory, {more:.0f} MB")
    return ", ".join(words) or "as kept"
