"""The benchmark suite: what engine and window cost, beside naive forms, peers' public code, and what was kept.

    make bench                                                 all of it, an hour or two
    make bench ARGS="--quick"                                  a short form, some minutes
    make bench ARGS="--list"                                   what there is
    make bench ARGS="--only affinity,step --keep"              some of it, kept to compare with and for docs/speed.md
    make bench ARGS="--only map-memory --values 1000,10980"    other work

Each form runs in fresh processes, in turns with the others. Time is that of the processor on one thread, and of the
clock on several, in windows and of disks; its median and spread are shown. Memory is the peak resident set above what
was resident before (Linux). docs/speed.md says how to read it.
"""

from __future__ import annotations

import argparse
import datetime as dt
import json
import sys
from pathlib import Path
from typing import Any

from suite import Case, Settings, all_cases
from suite.running import Row, measure_here, rows_of

from cscl.errors import CSCLError, InputError
from cscl.registry import nearest

LAST = Path(__file__).parent / "last"
FULL, QUICK = Settings(), Settings(repeats=3, limit_s=2.0)
Chosen = dict[str, tuple[str, Case]]


def chosen(words: str, known: Chosen) -> Chosen:
    """Return the cases whose names hold one of the words, or whose file is called so.

    Raises
    ------
    UnknownNameError
        If a word stands in none.
    """
    found: set[str] = set()
    for word in filter(None, map(str.strip, words.split(","))):
        some = {name for name, (module, _) in known.items() if word in name or word == module}
        if not some:
            raise nearest(word, known, "benchmark")
        found |= some
    return {name: case for name, case in known.items() if name in found or not found}


def numbers(words: str) -> tuple[float, ...]:
    """Read the work that ``--values`` names."""
    try:
        found = [float(word) for word in words.split(",") if word.strip()]
    except ValueError:
        raise InputError(f"--values takes numbers with commas between, as in 128,256; not '{words}'.") from None
    return tuple(int(number) if number.is_integer() else number for number in found)


def listing(cases: Chosen) -> str:
    """All cases with their forms and work."""
    lines = []
    for name, (module, case) in cases.items():
        work = f"{case.axis} {', '.join(map(str, case.work))}; " if case.axis else ""
        lines += [f"{name}  ({module}.py)", f"    {case.measures}", f"    {work}{', '.join(case.forms)}"]
    return "\n".join(lines)


def work_of(case: Case, options: argparse.Namespace) -> tuple[Any, ...]:
    """Return the work to measure a case at; of a quick run there may be none."""
    return numbers(options.values) or (case.quick if options.quick else case.work)


def show(words: str) -> None:
    """Say on a terminal what is going on, in place of what was said before."""
    if sys.stderr.isatty():
        print(f"\r\033[K{words}", end="", file=sys.stderr, flush=True)


def measured(module: str, case: Case, options: argparse.Namespace) -> list[Row]:
    """Measure all forms of a case at all its work."""
    base = QUICK if options.quick else FULL
    settings = Settings(options.repeats or base.repeats, base.limit_s, options.threads)
    rounds, rows = options.rounds or (1 if options.quick else 3), []
    for work in work_of(case, options):
        show(f"{case.name} {work or ''} ...")
        rows += rows_of(module, case, work, settings, rounds)
    show("")
    for row in rows:
        form = case.forms[row["form"]]
        row |= {what: True for what, it_is in (("naive", form.naive), ("peer", form.peer)) if it_is}
    return rows


def bench(options: argparse.Namespace) -> int:
    """List, or measure, print, compare, draw and write; returns the status of the process."""
    known = all_cases()
    cases = chosen(options.only, known)
    if options.list:
        print(listing(cases))
        return 0
    numbers(options.values)  # a slip of the hand is told at once
    from suite import kept, machine, plots, tables

    facts = machine.facts(options.threads)
    kind = machine.kind(facts)
    former = kept.runs(kind, options.threads)
    print(tables.facts_table(facts), f"\n\n{compared_with(former, facts, kind)}", flush=True)
    rows: list[Row] = []
    slower: list[str] = []
    run = {
        "date": dt.datetime.now().isoformat(" ", "minutes"), "quick": options.quick, "threads": options.threads,
        "machine": facts, "rows": rows,
    }  # fmt: skip
    for module, case in cases.values():
        if not work_of(case, options):
            continue
        print(f"\n## {case.name}\n\n{case.measures}\n", flush=True)
        some = measured(module, case, options)
        slower += kept.compare(some, kept.before(former))
        print(tables.case_table(case, some), flush=True)
        plots.drawn(case, some, options.out)
        rows += some  # what is written is whole after every case, should the run be stopped
        (options.out / "result.json").write_text(json.dumps(run, indent=1) + "\n", encoding="utf-8")
    left_out = [name for name, (_, case) in cases.items() if not work_of(case, options)]
    if left_out:
        print(f"\nA quick run leaves out {', '.join(left_out)}; --values measures them in one, too.")
    print(f"\nFigures and curves: {options.out}")
    if options.keep:
        keep_run(run, kind, known)
    return told_at_the_end(rows, slower)


def compared_with(former: list[Any], facts: dict[str, str], kind: str) -> str:
    """Say what the run is compared with, and what else has changed since."""
    if not former:
        return f"No run with so many threads on this kind of machine ({kind}) is kept: --keep keeps this one."
    then = former[-1]
    said = {name: value for name, value in then["machine"].items() if name != "load at the start"}
    other = [f"{name} was {value}" for name, value in said.items() if value != facts.get(name)]
    return f"Compared with what was kept until {then['date']}; there {', '.join(other) or 'all was as here'}."


def keep_run(run: dict[str, Any], kind: str, known: Chosen) -> None:
    """Add the run to those of its kind of machine, and write them into the page."""
    from suite import kept, page

    print(f"Kept in {kept.keep(kind, run)}")
    page.write_page(kept.runs(kind, run["threads"]), {name: case for name, (_, case) in known.items()})
    print(f"Written: {page.PAGE}")


def told_at_the_end(rows: list[Row], slower: list[str]) -> int:
    """Say once more what needs a look; 1 if something failed."""
    failed = [f"{row['case']} {row['work']}, {row['form']}: {row['failed']}" for row in rows if "failed" in row]
    for heading, sentences in (("Slower than what was kept, beyond the spread", slower), ("Failed", failed)):
        if sentences:
            print(f"\n{heading}:", *sentences, sep="\n- ")
    return 1 if failed else 0


def main() -> int:
    """Read the words of the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--list", action="store_true", help="say what there is")
    parser.add_argument("--only", default="", metavar="WORDS", help="cases or files, or parts of names, with commas")
    parser.add_argument("--quick", action="store_true", help="less work, each form in one process")
    parser.add_argument("--values", default="", metavar="NUMBERS", help="work of the chosen cases, in place of theirs")
    parser.add_argument("--repeats", type=int, default=0, help=f"runs in a process (default {FULL.repeats})")
    parser.add_argument("--rounds", type=int, default=0, help="processes of each form (default 3)")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--keep", action="store_true", help="add to the kept runs, and write docs/speed.md")
    parser.add_argument("--out", type=Path, default=LAST, help="folder for result.json and curves")
    parser.add_argument("--one", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.one:
        print(json.dumps(measure_here(options.one)))
        return 0
    try:
        options.out.mkdir(parents=True, exist_ok=True)
        return bench(options)
    except (CSCLError, OSError) as error:
        print(f"{error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        return 130


if __name__ == "__main__":
    sys.exit(main())
