"""Spoil tiny inputs of every format at random, read them, and print all that is neither read nor refused in a sentence.

Formats take turns, each in a process of its own: one that crashes or hangs is told of, with the changes that did it.
``python tests/benchmarks/fuzz_readers.py --minutes 10``; a case that was printed is tried again with
``--again FORMAT CHANGES``.
"""

from __future__ import annotations

import argparse
import faulthandler
import json
import multiprocessing
import resource
import shutil
import sys
import tempfile
import time
import warnings
from collections import Counter
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

import spoilt
from hypothesis import HealthCheck, Phase, given, seed, settings
from valid_inputs import FORMATS, Format

HANG_S, MOST_BYTES, TURN_S, AT_ONCE = 30, 8 << 30, 10, 200
FORK = multiprocessing.get_context("fork")  # what is imported once need not be again


def work(name: str, whole: Path, seconds: float, number: int, notes: Path) -> None:
    """Try cases of one format for some time; each is noted before it is tried, and what it did after."""
    stream = notes.open("w")
    faulthandler.enable(stream)
    resource.setrlimit(resource.RLIMIT_AS, (MOST_BYTES, MOST_BYTES))
    warnings.simplefilter("ignore")
    end = time.monotonic() + seconds

    def attempt(changes: list[spoilt.Change]) -> None:
        if time.monotonic() > end:
            return
        print(f"try {changes!r}", file=stream, flush=True)
        began = time.monotonic()
        faulthandler.dump_traceback_later(HANG_S, exit=True, file=stream)
        said = again(FORMATS[name], whole, changes)
        faulthandler.cancel_dump_traceback_later()
        slow = time.monotonic() - began
        said = said or (f"took {slow:.0f} s" if slow > HANG_S / 3 else "")
        print(f"end {json.dumps(said)}", file=stream, flush=True)

    quick = settings(
        max_examples=AT_ONCE, deadline=None, database=None, phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )  # fmt: skip
    while time.monotonic() < end:
        number += 1
        seed(number)(quick(given(spoilt.changes(whole))(attempt)))()


def again(form: Format, whole: Path, changes: list[spoilt.Change]) -> str:
    """Spoil a copy of the valid input and read it; what must not be, or nothing."""
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place) / "case"
        shutil.copytree(whole, folder)
        for change in changes:
            change.to(folder)
        return spoilt.fault(form, folder)


def turn(name: str, whole: Path, seconds: float, number: int, found: dict[str, str]) -> int:
    """Let a process work on a format, and note what it found; the number of cases."""
    with tempfile.TemporaryDirectory() as place:
        notes = Path(place) / "notes"
        process = FORK.Process(target=work, args=(name, whole, seconds, number, notes))
        process.start()
        process.join()
        lines = notes.read_text(errors="replace").splitlines()
    tried = ""
    for line in lines:
        if line.startswith("try "):
            tried = line[4:]
        elif line.startswith("end ") and (said := json.loads(line[4:])):
            kind = f"{name}: {said.partition(':')[0]} {said.rpartition('< ')[2]}"
            found.setdefault(kind, f"{said}\n      {tried}")
    if process.exitcode:
        last = [line for line in lines if not line.startswith(("try ", "end "))][:30]
        found.setdefault(f"{name}: died {last[-1:]}", "\n".join([f"died ({process.exitcode})", *last, tried]))
    return sum(line.startswith("try ") for line in lines)


def fuzz(minutes: float, number: int, words: list[str]) -> None:
    """Take turns until the time is up, then print how many cases were tried of which format."""
    names = [name for name in FORMATS if any(word in name for word in words)]
    tried, found, end = Counter[str](), dict[str, str](), time.monotonic() + 60 * minutes
    with tempfile.TemporaryDirectory() as place:
        for i, name in enumerate(names):
            (whole := Path(place) / str(i)).mkdir()
            FORMATS[name].write(whole)
            FORMATS[name].read(whole)  # so that what it takes is loaded
        seconds = min(TURN_S, 60 * minutes / len(names))
        while time.monotonic() < end:
            for i, name in enumerate(names):
                before, number = len(found), number + 1000
                tried[name] += turn(name, Path(place) / str(i), seconds, number, found)
                for key in list(found)[before:]:
                    print(f"  {name}: {found[key]}", flush=True)
    print(f"\n{sum(tried.values())} cases, {len(found)} findings")
    for name in names:
        print(f"| {name} | {tried[name]} | {sum(key.startswith(f'{name}: ') for key in found)} |")


def main() -> None:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--minutes", type=float, default=10)
    parser.add_argument("--seed", type=int, default=0, help="other cases for another number")
    parser.add_argument("--formats", default="", help="parts of the names of formats, separated by commas")
    parser.add_argument("--again", nargs=2, metavar=("FORMAT", "CHANGES"))
    args = parser.parse_args()
    if not args.again:
        fuzz(args.minutes, 10**6 * args.seed, args.formats.split(","))
        return
    form = FORMATS[args.again[0]]
    with tempfile.TemporaryDirectory() as place:
        form.write(Path(place))
        print(again(form, Path(place), eval(args.again[1], vars(spoilt))) or "read, or refused in a sentence")


if __name__ == "__main__":
    main()
