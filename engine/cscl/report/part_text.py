"""Parts of a report as text: Markdown, and a CSV for each table."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from .numbers import plain
from .parts import Part, Value

__all__ = ["MOST_ROWS", "cell", "in_words", "part_markdown", "write_table"]

MOST_ROWS = 40


def write_table(table: pd.DataFrame, path: Path) -> None:
    """Write a table as CSV in UTF-8: true and false in lower case, undefined values empty."""
    truths = {name: table[name].map({True: "true", False: "false"}) for name in table.select_dtypes("bool").columns}
    table.assign(**truths).to_csv(path, index=False, float_format="%.10g")


def part_markdown(
    part: Part, facts: Mapping[str, Any] | None = None, *, most: int = MOST_ROWS, level: int = 1,
    files: Mapping[str, str] | None = None,
) -> str:  # fmt: skip
    """Return a part as Markdown: what was measured, remarks, numbers, and the first rows of its tables.

    `level` is that of its heading; `files` names the CSV of a table, which by default is called like the table.
    """
    marks, files = "#" * level, files or {}
    blocks = [f"{marks} {part.title}", part.definition]
    if facts:
        blocks.append("\n".join(f"- {name}: {value}" for name, value in facts.items()))
    blocks.append("\n".join(f"- {remark}" for remark in part.remarks))
    if part.values:
        blocks.append(_rows(("figure", "value"), [(value.words, in_words(value)) for value in part.values]))
    for name, table in part.tables.items():
        rows = [[_cell(value) for value in row] for row in table.head(most).itertuples(index=False)]
        file = files.get(name, f"{name}.csv")
        more = f" (the first {most} of {len(table):,} rows; {file} holds all)" if len(table) > most else ""
        blocks += [f"{marks}# {name.replace('_', ' ').capitalize()}{more}", _rows(list(table.columns), rows)]
    return "\n\n".join(block for block in blocks if block)


def in_words(value: Value) -> str:
    """Return a value with its unit and, where it has one, its 95 % interval."""
    if math.isnan(value.value):
        return "not defined"
    if math.isinf(value.value):
        return "infinite" if math.isnan(value.low) else f"more than {value.low:g} {value.unit}".strip()
    text = _number(value.value, value.unit)
    if math.isnan(value.low):
        return text
    return f"{text} (95 % interval {_number(value.low, value.unit)} to {_number(value.high, value.unit)})"


def _number(number: float, unit: str) -> str:
    if unit == "share":
        return f"{number:.1%}"
    digits = 0 if isinstance(number, int) else 3 if not unit and abs(number) < 10 else 1
    return f"{number:,.{digits}f} {unit}".strip()


def cell(value: Any) -> Any:
    """Return a value of a table as a reader knows it: yes and no, None where undefined."""
    known = plain(value)
    return {True: "yes", False: "no"}[known] if isinstance(known, bool) else known


def _cell(value: Any) -> str:
    known = cell(value)
    if known is None:
        return "–"
    return f"{known:.4g}" if isinstance(known, float) else str(known).replace("|", "\\|").replace("\n", " ")


def _rows(header: Sequence[Any], rows: Sequence[Sequence[str]]) -> str:
    lines = [tuple(map(str, header)), ("---",) * len(header), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)
