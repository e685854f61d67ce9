"""Rows as tables that read well in a terminal and are Markdown, too."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from suite import Case

__all__ = ["case_table", "duration", "facts_table", "table"]

Row = dict[str, Any]
# What every measured row has; all else are further figures of its own.
COMMON = {"case", "part", "work", "form", "seconds", "least", "most", "runs", "peak_mb", "ratio", "memory_ratio",
          "peer_ratio", "since", "left_out", "failed", "naive", "peer", "told"}  # fmt: skip


def duration(seconds: float) -> str:
    """Three digits, and the unit that suits them."""
    for unit, size in (("s", 1.0), ("ms", 1e-3), ("µs", 1e-6)):
        if seconds >= size:
            return f"{digits(seconds / size)} {unit}"
    return f"{seconds * 1e9:.0f} ns"


def digits(value: float) -> str:
    """Three digits, more if there are more before the point."""
    return f"{value:,.{max(0, 2 - len(str(int(abs(value)))) + 1)}f}"


def table(head: list[str], lines: list[list[str]]) -> str:
    """Lay out a table; numbers to the right."""
    widths = [max(len(line[i]) for line in (head, *lines)) for i in range(len(head))]
    right = [all(line[i][:1].isdigit() or not line[i] for line in lines) for i in range(len(head))]

    def laid(cells: list[str]) -> str:
        parts = (c.rjust(w) if r else c.ljust(w) for c, w, r in zip(cells, widths, right, strict=True))
        return f"| {' | '.join(parts)} |"

    rule = (f"{'-' * (w + 1)}{':' if r else '-'}" for w, r in zip(widths, right, strict=True))
    return "\n".join([laid(head), f"|{'|'.join(rule)}|", *map(laid, lines)])


def case_table(case: Case, rows: Iterable[Row]) -> str:
    """All rows of a case; columns that are empty are left out, and what was not measured says why below."""
    rows = list(rows)
    measured = [row for row in rows if "seconds" in row]
    lines = [cells(case, row) for row in measured]
    head = [name for name in (lines[0] if lines else {}) if any(line[name] for line in lines)]
    parts = [table(head, [[line[name] for name in head] for line in lines])] if lines else []
    parts += notes(case, rows)
    return "\n\n".join(parts)


def cells(case: Case, row: Row) -> dict[str, str]:
    """One line of a table, by the heading of its columns."""
    amount, seconds = case.amount, row["seconds"]
    return {
        case.axis or "work": f"{row['work']}" if case.axis else "",
        "what": row["part"],
        "form": row["form"],
        "median": duration(seconds),
        "least – most (runs)": f"{duration(row['least'])} – {duration(row['most'])} ({row['runs']})",
        f"{amount[0]} a second" if amount else "rate": digits(amount[1](row["work"]) / seconds) if amount else "",
        "peak MB": "" if row["peak_mb"] is None else f"{row['peak_mb']:,.0f}",
        "times faster": f"{digits(row['ratio'])}" if "ratio" in row else "",
        "times less memory": f"{digits(row['memory_ratio'])}" if "memory_ratio" in row else "",
        "times faster than the peer": f"{digits(row['peer_ratio'])}" if "peer_ratio" in row else "",
        "more": ", ".join(f"{name} {value:.3g}" for name, value in row.items() if name not in COMMON),
        "since kept": row.get("since", ""),
    }


def notes(case: Case, rows: list[Row]) -> list[str]:
    """Say of each form why it was not measured, once for all the work it was not measured at, and what failed."""
    why: dict[tuple[str, str], list[str]] = {}
    for row in rows:
        for what, words in (("left_out", "not measured"), ("failed", "FAILED")):
            if what in row:
                why.setdefault((row["form"], f"{words}: {row[what]}"), []).append(str(row["work"]))
    said = []
    for (form, words), works in why.items():
        at = f" at {', '.join(works)}" if case.axis else ""
        said.append(f"- {form}{at} {words}.")
    return ["\n".join(said)] if said else []


def facts_table(facts: Mapping[str, str]) -> str:
    """The machine."""
    return table(["machine", ""], [[name, value] for name, value in facts.items()])
