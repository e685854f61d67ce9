"""The job: carry out the runs of protocols that a ledger does not hold yet, and write each down as it ends."""

from __future__ import annotations

import datetime as dt
import subprocess
import tempfile
import time
from collections.abc import Generator, Iterable, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any
from zlib import crc32

import cscl
from cscl.errors import InputError, MissingError
from cscl.events import Event, Job, Note, Progress
from cscl.recipe import plain
from cscl.training.prepare import versions

from .ledger import append, read, try_lock
from .places import cache_folder, make_places
from .protocol import Plan, Protocol
from .run import Steps, device_name, steps_of
from .settled import Rows, settled, spelled_out
from .workers import Task, Worker, crew, hand_over, heard

__all__ = ["Done", "benchmark", "repeat"]


@dataclass(frozen=True)
class Done:
    """How many runs were finished, how many failed, and how many the ledger held already."""

    finished: int
    failed: int
    held: int


def benchmark(
    plans: Sequence[Plan],
    ledger: str | Path,
    *,
    devices: Sequence[str] = ("cpu",),
    cache: str | Path | None = None,
    keep: str | Path | None = None,
) -> Job[Done]:
    """Carry out what a ledger does not hold of some plans; a run that failed before is tried again.

    A closed job loses the runs under way and nothing else. Several processes may share a ledger: none takes a run that
    another is at.

    Parameters
    ----------
    plans : sequence of Plan
        In this order; `Protocol.plans` makes them.
    ledger : path
        File that gets a line for each run, for each measured step time, and for each protocol.
    devices : sequence of str
        A process for each, with one thread: ``("cpu", "cpu")`` or ``("cuda:0", "cuda:1")``. All of one kind, because
        step times are measured on one of them.
    cache : path, optional
        Folder for simulated places; by default one of the user.
    keep : path, optional
        Folder that the models of all runs are kept in, each under the id of its run.

    Raises
    ------
    CSCLError
        For settings that no run could have, and places that cannot be written. What a run alone meets is a row.
    """
    ledger, cache = Path(ledger), Path(cache) if cache is not None else cache_folder()
    rows, warnings = read(ledger)
    yield from (Note(text, warning=True) for text in warnings)
    done = settled(plans, rows)
    left = [plan for plan in plans if plan.id not in done]
    held, device = len(plans) - len(left), _one_kind(devices)
    if not left:
        return Done(0, 0, held)
    for recipe in {plan.digest: plan.recipe for plan in left}.values():
        spelled_out(recipe)  # an option that nothing has is an error now, not after hours of runs
    _record_protocols({plan.protocol.name: plan.protocol for plan in left}.values(), rows, ledger)
    yield from make_places([plan.season for plan in left], cache)
    good = bad = 0
    made = {"versions": _versions(), "revision": _revision()}  # of what the workers load now
    with tempfile.TemporaryDirectory(prefix="cscl-benchmark-") as scratch, crew(devices, Path(scratch), cache) as team:
        times = yield from _step_times(left, rows, ledger, team[0], device)
        steps = {plan.id: _steps(plan, times, device) for plan in left}
        with closing(_carried_out(left, steps, ledger, cache, team, keep)) as job:
            for task, found in job:
                if task is None:
                    yield found
                    continue
                row = {**_row(task, found, ledger.name), **made}
                append(ledger, row)
                good, bad = good + ("figures" in row), bad + ("error" in row)
                yield _said(task.plan, row)
    return Done(good, bad, held)


def repeat(
    protocols: Sequence[Protocol],
    run_id: str,
    ledger: str | Path,
    *,
    device: str = "cpu",
    cache: str | Path | None = None,
) -> Job[tuple[dict[str, Any], dict[str, Any]]]:
    """Carry out a run of a ledger again, alone and on as many steps, and write nothing.

    Returns
    -------
    tuple
        The row of the ledger, and what the run gives now.

    Raises
    ------
    MissingError, InputError
        The ledger holds no such run; the protocol has changed since.
    """
    cache = Path(cache) if cache is not None else cache_folder()
    plan, former = _plan_of(protocols, run_id, ledger)
    yield from make_places([plan.season], cache)
    with tempfile.TemporaryDirectory(prefix="cscl-benchmark-") as scratch, crew([device], Path(scratch), cache) as team:
        hand_over(team[0], Task(plan, Steps(**former["steps"])))
        found = yield from _waited_for(team[0], "repeating")
    if "error" in found:
        raise InputError(f"The run {run_id} fails now: {found['error']}")
    return dict(former), found


def _plan_of(protocols: Iterable[Protocol], run_id: str, ledger: str | Path) -> tuple[Plan, Mapping[str, Any]]:
    rows = [row for row in read(Path(ledger))[0] if row.get("id") == run_id and "figures" in row]
    if not rows:
        raise MissingError(f"The ledger {ledger} holds no finished run '{run_id}'. The page lists the ids of all.")
    first = rows[0]
    plans = [p for each in protocols for p in each.plans(seeds=[first["seed"]], budgets=[first["budget"]])]
    for plan in (plan for plan in plans if plan.id == run_id):
        for row in settled([plan], rows).values():
            return plan, row
    raise InputError(
        f"The run {run_id} ({first['protocol']}: {first['arm']}) is not one of the protocols given, as they and the "
        f"defaults are now. Give {first['protocol']}, at the revision {first.get('revision') or 'of that time'}."
    )


def _one_kind(devices: Sequence[str]) -> str:
    names = {device_name(device) for device in devices}
    if not names:
        raise InputError("Nothing is there to run on. Give at least one worker.")
    if len(names) > 1:
        raise InputError(f"Devices of one kind are needed, for steps take other times on others: {', '.join(names)}.")
    return names.pop()


def _record_protocols(protocols: Iterable[Protocol], rows: Rows, ledger: Path) -> None:
    """Write down what each protocol says, where the ledger does not end with that."""
    for protocol in protocols:
        content = {k: v for k, v in plain(protocol).items() if k != "folder"}
        former = [row["content"] for row in rows if row.get("kind") == "protocol" and row["name"] == protocol.name]
        if not former or former[-1] != content:
            append(ledger, {"kind": "protocol", "name": protocol.name, "content": content, "when": _now()})


# --- step times ------------------------------------------------------------------------------------------------------

Times = dict[tuple[str, str], Mapping[str, Any]]


def _step_times(
    plans: Sequence[Plan], rows: Rows, ledger: Path, worker: Worker, device: str
) -> Generator[Event, None, Times]:
    """Measure what is not known yet, one arm after the other and alone, and write it down.

    Returns
    -------
    dict
        By digest and device what was found: seconds, or the error that an arm ends with.
    """
    times: Times = {(r["digest"], r["device"]): r for r in reversed(rows) if r.get("kind") == "step time"}
    needed = {each.digest: each for plan in plans for each in plan.measured}
    unknown = {digest: plan for digest, plan in needed.items() if (digest, device) not in times}
    for number, (digest, plan) in enumerate(unknown.items()):
        yield Progress("measuring steps", number, len(unknown), "arm")
        hand_over(worker, Task(plan))
        found = yield from _waited_for(worker, "measuring steps")
        times[digest, device] = found
        if "error" not in found:
            names = {"arm": plan.arm.name, "network": plan.network.name, "season": plan.season.name}
            about = {"kind": "step time", "protocol": plan.protocol.name, **names, "digest": digest, "when": _now()}
            append(ledger, {**about, **found, "versions": _versions()})
    return times


def _steps(plan: Plan, times: Times, device: str) -> Steps | str:
    """Return the steps of a run, or why they cannot be told."""
    found = {each.digest: times[each.digest, device] for each in plan.measured}
    for each in found.values():
        if "error" in each:
            return f"Its steps cannot be measured. {each['error']}"
    own, plainly = (found.get(each.digest, {}) for each in (plan, plan.baseline))
    stated = zip(plan.costs, ("pretrain_s", "train_s"), strict=True)
    costs = [cost or own[name] / own["plain_s"] for cost, name in stated]
    return steps_of(plan, costs, plainly.get("plain_s", 1.0))


def _waited_for(worker: Worker, stage: str) -> Generator[Event, None, dict[str, Any]]:
    while True:
        for _, _, found in heard([worker], 0.5):
            return found
        yield Progress(stage, round(100 * worker.done), 0, "%")


# --- runs ------------------------------------------------------------------------------------------------------------


def _carried_out(
    plans: Sequence[Plan], steps: Mapping[str, Steps | str], ledger: Path, cache: Path, workers: Sequence[Worker],
    keep: str | Path | None,
) -> Generator[tuple[Task | None, Any], None, None]:  # fmt: skip
    """Keep all workers busy; yield each task with what came of it, and in between None with an event."""
    queue, claims = list(plans), dict[str, IO[bytes]]()
    try:
        while queue or claims:
            for worker in (w for w in workers if w.task is None):
                plan = _claimed(queue, claims, ledger, cache)
                if plan is None:
                    break
                number, kept = steps[plan.id], Path(keep) / plan.id if keep is not None else None
                if isinstance(number, Steps):
                    hand_over(worker, Task(plan, number, kept))
                else:
                    yield Task(plan, Steps(0, 0)), {"error": number}
                    claims.pop(plan.id).close()
            if not claims:  # another process is at what is left
                time.sleep(0.5)
            for _, task, found in heard(workers, 0.5):
                yield task, found
                claims.pop(task.plan.id).close()
            yield None, Progress("runs", len(plans) - len(queue) - len(claims), len(plans), "run")
    finally:
        for claim in claims.values():
            claim.close()


def _claimed(queue: list[Plan], claims: dict[str, IO[bytes]], ledger: Path, cache: Path) -> Plan | None:
    """Take the next plan that no other process is at; those that another has finished go."""
    for plan in tuple(queue):
        name = f"{crc32(str(ledger.resolve()).encode()):08x}_{plan.id}.lock"
        claim = try_lock(cache / "claims" / name)
        if claim is None:
            continue
        queue.remove(plan)
        if not settled([plan], read(ledger)[0]):
            claims[plan.id] = claim
            return plan
        claim.close()
    return None


def _row(task: Task, found: Mapping[str, Any], ledger: str) -> dict[str, Any]:
    """Return the line of a run; its command is for the folder that holds ledger and protocol, wherever that is."""
    plan: Plan = task.plan
    return {
        "kind": "run", "id": plan.id, "digest": plan.digest, "protocol": plan.protocol.name, "arm": plan.arm.name,
        "network": plan.network.name, "season": plan.season.name, "share": plan.share, "budget": str(plan.budget),
        "seed": plan.seed, "steps": vars(task.steps), **found,
        "command": f"cscl benchmark {plan.protocol.name}.toml --repeat {plan.id} --ledger {ledger}", "when": _now(),
    }  # fmt: skip


def _said(plan: Plan, row: Mapping[str, Any]) -> Note:
    if "error" in row:
        return Note(f"Failed: {plan.words}. {row['error']}", warning=True)
    first, second = (row["figures"][name] for name in (plan.protocol.primary, plan.protocol.guard))
    spent = sum(part["wall"] for part in row["seconds"].values())
    names = plan.protocol.primary.replace("_", " "), plan.protocol.guard.replace("_", " ")
    return Note(f"{plan.words}: {names[0]} {first:.1%}, {names[1]} {second:.1%} ({spent:.0f} s)")


def _versions() -> dict[str, str]:
    return {name: value for name, value in versions().items() if name != "when"}


def _revision() -> str | None:
    """Revision of the source that runs, if it lies in a working tree of git; marked when its files differ from it."""
    git = ["git", "-C", str(Path(cscl.__file__).parent)]
    try:
        found = subprocess.run([*git, "rev-parse", "--short=10", "HEAD"], capture_output=True, text=True, timeout=60)
        changed = subprocess.run([*git, "diff", "--quiet", "HEAD", "--", "."], capture_output=True, timeout=60)
    except (OSError, subprocess.SubprocessError):
        return None
    return found.stdout.strip() + (" and changes" if changed.returncode else "") if not found.returncode else None


def _now() -> str:
    return dt.datetime.now(dt.UTC).isoformat(timespec="seconds")
