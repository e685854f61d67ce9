"""``cscl benchmark``: ways of learning compared as protocols say, from a ledger that survives interruptions."""

from __future__ import annotations

import argparse
import re
from pathlib import Path
from typing import Any

from cscl.errors import CSCLError, InputError
from cscl.terminal import drive

from .shared import Arguments, warn

__all__ = ["benchmark", "benchmark_arguments"]


def benchmark(args: Arguments) -> None:
    """Carry out what is left of some protocols, and write the page."""
    from cscl.benchmark.job import benchmark
    from cscl.benchmark.ledger import read
    from cscl.benchmark.page import write_benchmark
    from cscl.benchmark.protocol import Protocol
    from cscl.benchmark.settled import settled

    protocols = [Protocol.open(path) for path in args.protocols]
    ledger = Path(args.ledger) if args.ledger else Path(args.protocols[0]).with_name("ledger.jsonl")
    if args.repeat:
        return _repeat(args, protocols, ledger)
    plans = [plan for p in protocols for plan in p.plans(seeds=_seeds(args, p), budgets=args.budget, only=args.only)]
    devices, failed = args.devices.split(",") if args.devices else ["cpu"] * args.workers, 0
    if args.dry_run:
        held = settled(plans, read(ledger)[0])
        for plan in plans:
            print(f"{plan.id}  {'done' if plan.id in held else 'to do'}  {plan.protocol.name}: {plan.words}")
        print(f"{sum(plan.id not in held for plan in plans)} of {len(plans)} runs are left.")
    else:
        job = benchmark(plans, ledger, devices=devices, cache=args.cache, keep=args.keep)
        done = drive(job, args.quiet)
        failed = done.failed
        print(f"{done.finished} runs finished, {done.failed} failed, {done.held} were in the ledger: {ledger}")
    if args.page:
        print(drive(write_benchmark(protocols, ledger, args.page), args.quiet))
    if failed:
        raise CSCLError(
            f"{failed} runs failed: the lines of {ledger} that hold an error say why. The next start tries them again."
        )
    return None


def _repeat(args: Arguments, protocols: list[Any], ledger: Path) -> None:
    """Carry out one run again and print both figures side by side."""
    from cscl.benchmark.figures import FIGURES
    from cscl.benchmark.job import repeat

    device = args.devices.split(",")[0] if args.devices else "cpu"
    job = repeat(protocols, args.repeat, ledger, device=device, cache=args.cache)
    then, now = drive(job, args.quiet)
    for name, words in FIGURES.items():
        figures = [run["figures"].get(name) for run in (then, now)]
        shown = [f"{100 * value:8.3f}" if value is not None and value == value else f"{'-':>8}" for value in figures]
        print(f"{shown[0]} then {shown[1]} now  {words}")
    if then["told"]["data"] != now["told"]["data"]:
        warn("The data are not the same as then, so the figures need not be.")


def _seeds(args: Arguments, protocol: Any) -> list[int] | None:
    """Seeds that the options name: ``3-9`` and ``3,5`` say which, a number alone how many of the protocol's."""
    if args.seeds is None:
        return None
    if not re.fullmatch(r"\d+(-\d+)?(,\d+(-\d+)?)*", args.seeds):
        raise InputError(f"'{args.seeds}' names no seeds. Give how many (5), or which ones (3-9, or 3,5,8).")
    if args.seeds.isdigit():
        seeds = list(protocol.seeds[: int(args.seeds)])
    else:
        spans = [[int(end) for end in part.split("-")] for part in args.seeds.split(",")]
        seeds = list(dict.fromkeys(seed for span in spans for seed in range(span[0], span[-1] + 1)))
    if not seeds:
        raise InputError(
            f"With '{args.seeds}' there is no seed to run. Give how many (5), or which ones (3-9; 0-0 is seed 0 alone)."
        )
    return seeds


def benchmark_arguments(parser: argparse.ArgumentParser) -> None:
    """Options of ``cscl benchmark``."""
    parser.add_argument("protocols", nargs="+", metavar="PROTOCOL", help="TOML file that says what is compared")
    parser.add_argument("--seeds", metavar="N", help="How many of the protocol's seeds, or which: 3-9, or 3,5,8")
    parser.add_argument(
        "--budget", action="append", metavar="BUDGET", help="600steps or 90s instead of the protocol's; repeatable"
    )
    parser.add_argument("--only", nargs="+", metavar="ARM", help="Run these arms only")
    parser.add_argument(
        "--ledger", metavar="FILE", help="Where runs are written (default: ledger.jsonl beside PROTOCOL)"
    )
    parser.add_argument("--page", metavar="FOLDER", help="Write README.md and index.html about all runs of the ledger")
    where = parser.add_mutually_exclusive_group()
    where.add_argument(
        "--workers", type=int, default=1, metavar="N", help="Runs at a time, one thread each (default: 1)"
    )
    where.add_argument("--devices", metavar="A,B,...", help="A run at a time on each, e.g. cuda:0,cuda:1")
    parser.add_argument("--cache", metavar="FOLDER", help="Where simulated places are kept (default: the user's cache)")
    parser.add_argument("--keep", metavar="FOLDER", help="Keep the models of all runs there, by the id of the run")
    parser.add_argument("--repeat", metavar="ID", help="Carry out a run of the ledger again, and write nothing")
    parser.add_argument("--dry-run", action="store_true", help="Say what is left to run, and run nothing")
