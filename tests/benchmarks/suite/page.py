"""The part of the page for users that is written from kept runs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from cscl.export.paper import save_figure
from suite import Case
from suite.kept import latest
from suite.machine import busy
from suite.plots import overview
from suite.tables import case_table, facts_table

__all__ = ["PAGE", "write_page"]

PAGE = Path(__file__).parents[3] / "docs" / "speed.md"
BEGIN, END = "<!-- Written by make bench ARGS=--keep: change nothing by hand from here -->", "<!-- to here -->"
Row = dict[str, Any]


def write_page(kept: Sequence[Mapping[str, Any]], cases: Mapping[str, Case], page: Path = PAGE) -> None:
    """Write the last kept row of everything into the page, and a picture of the curves beside it.

    Raises
    ------
    ValueError
        If the page has lost the marks between which it is written.
    """
    text = page.read_text(encoding="utf-8")
    head, begun, rest = text.partition(BEGIN)
    _, ended, tail = rest.partition(END)
    if not (begun and ended):
        raise ValueError(f"{page} has lost the lines '{BEGIN}' and '{END}': put them back where the tables belong.")
    by_case: dict[str, list[Row]] = {}
    for row in latest(kept):
        by_case.setdefault(row["case"], []).append({name: v for name, v in row.items() if name != "since"})
    by_case = {name: by_case[name] for name in cases if name in by_case}
    figure, picture = overview(by_case, cases), page.with_name("speed.png")
    parts = [BEGIN, said_of(kept), facts_table(kept[-1]["machine"])]
    if figure:
        save_figure(figure, picture, overwrite=True)
        parts.append(f"![Seconds against work, logarithmic axes]({picture.name})")
    for name, rows in by_case.items():
        rows.sort(key=lambda row: (row["part"], row["work"], list(cases[name].forms).index(row["form"])))
        parts.append(f"### {name}\n\n{cases[name].measures}\n\n{case_table(cases[name], rows)}")
    page.write_text(head + "\n\n".join([*parts, END]) + tail, encoding="utf-8")


def said_of(kept: Sequence[Mapping[str, Any]]) -> str:
    """Say when and how the last run was made."""
    last = kept[-1]
    said = (
        f"Kept on {last['date']}{', a quick run' if last['quick'] else ''}; {len(kept)} runs are kept of this machine."
    )
    if busy(last["machine"]):
        said += " **The machine was busy with other things: these figures are to be measured again.**"
    return said
