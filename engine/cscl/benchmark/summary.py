"""What a ledger says of a protocol, as tables: means, paired differences to the baseline, step times, and every run."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
from scipy import stats

from .figures import FIGURES
from .protocol import Plan, Protocol
from .settled import Rows, agrees, settled, spelled_out

__all__ = ["CASE", "differences", "means", "remarks", "runs_of", "step_times"]

CASE = ["season", "network", "share", "budget"]
"""What is compared with one another has these in common."""


def runs_of(protocol: Protocol, rows: Rows) -> pd.DataFrame:
    """Every run that a ledger holds for a protocol, one a row, figures in per cent.

    ``state`` says whether a run counts (``"counts"``), failed (``"failed"``), repeats one that counts (``"again"``), or
    was made under other settings than the protocol has now (``"former"``). Runs of other protocols count where all that
    bears on their outcome is the same.
    """
    plans = _plans(protocol, rows)
    counting, known = settled(plans.values(), rows), dict[str, dict[str, Any]]()
    found = []
    for row in rows:
        if row.get("kind") != "run" or not (row["id"] in plans or row["protocol"] == protocol.name):
            continue
        plan = plans.get(row["id"])
        if "error" in row:
            state = "failed"
        elif counting.get(row["id"]) is row:
            state = "counts"
        else:
            now = None if plan is None else known.setdefault(plan.digest, spelled_out(plan.recipe))
            state = "again" if now is not None and agrees(row.get("recipe", {}), now) else "former"
        found.append(_flat(row, state, plan))
    table = pd.DataFrame(found, columns=None if found else _COLUMNS)
    order = {arm.name: number for number, arm in enumerate(protocol.arms)}
    keys = table["arm"].map(order).fillna(len(order))
    return table.assign(_arm=keys).sort_values([*CASE, "seed", "_arm"], kind="stable").drop(columns="_arm")


_COLUMNS = [
    "id", "arm", *CASE, "seed", "state", *FIGURES, "pretrain_steps", "train_steps", "cpu_s", "device", "data",
    "versions", "revision", "error",
]  # fmt: skip


def _plans(protocol: Protocol, rows: Rows) -> dict[str, Plan]:
    """Plans of the protocol by id, also with seeds and budgets that only its runs in the ledger have."""
    mine = [row for row in rows if row.get("kind") == "run" and row["protocol"] == protocol.name]
    seeds = sorted({*protocol.seeds, *(row["seed"] for row in mine)})
    budgets = list(dict.fromkeys([*protocol.budgets, *(row["budget"] for row in mine)]))
    return {plan.id: plan for plan in protocol.plans(seeds=seeds, budgets=budgets)}


def _flat(row: Mapping[str, Any], state: str, plan: Plan | None) -> dict[str, Any]:
    """Make one line of the table; names are those that the protocol has now."""
    names = {"arm": row["arm"], "season": row["season"], "network": row["network"]}
    if plan is not None:
        names = {"arm": plan.arm.name, "season": plan.season.name, "network": plan.network.name}
    figures = row.get("figures") or {}
    known = {name: 100 * _number(figures.get(name)) for name in FIGURES}
    spent = sum(part["cpu"] for part in (row.get("seconds") or {}).values())
    values = {
        "id": row["id"], **names, "share": row["share"], "budget": row["budget"], "seed": row["seed"], "state": state,
        **known, "pretrain_steps": row["steps"]["pretrain"], "train_steps": row["steps"]["train"], "cpu_s": spent,
        "device": row.get("device", ""), "data": row.get("told", {}).get("data", ""),
        "revision": row.get("revision") or "",
        "versions": ", ".join(f"{name} {value}" for name, value in (row.get("versions") or {}).items()),
        "error": row.get("error", ""),
    }  # fmt: skip
    return {name: values[name] for name in _COLUMNS}


def _number(value: float | None) -> float:
    return float("nan") if value is None else value


def means(runs: pd.DataFrame, figures: Sequence[str]) -> pd.DataFrame:
    """Mean and standard deviation over seeds of some figures, a row for each arm in each case, per cent."""
    counting = runs[runs["state"] == "counts"]
    table = []
    for key, group in counting.groupby([*CASE, "arm"], sort=False):
        row: dict[str, Any] = dict(zip([*CASE, "arm"], key, strict=True))
        row["seeds"] = len(group)
        for name in figures:
            row |= {name: group[name].mean(), f"{name}_sd": group[name].std()}
        row["cpu_s"] = group["cpu_s"].mean()
        table.append(row)
    return pd.DataFrame(table)


def differences(runs: pd.DataFrame, baseline: str, figures: Sequence[str]) -> pd.DataFrame:
    """Mean paired difference of each arm to the baseline, in points, with its 95 % interval by Student's t.

    A pair is one seed on the same data; seeds that lack one of the two runs are left out.
    """
    counting = runs[runs["state"] == "counts"]
    table = []
    for key, group in counting.groupby(CASE, sort=False):
        base = group[group["arm"] == baseline].set_index("seed")
        for arm in (name for name in group["arm"].unique() if name != baseline):
            own = group[group["arm"] == arm].set_index("seed")
            seeds = [s for s in own.index.intersection(base.index) if own.loc[s, "data"] == base.loc[s, "data"]]
            row: dict[str, Any] = {**dict(zip(CASE, key, strict=True)), "arm": arm, "seeds": len(seeds)}
            for name in figures:
                gain = (own.loc[seeds, name] - base.loc[seeds, name]).to_numpy(float)
                row |= dict(zip((name, f"{name}_low", f"{name}_high", f"{name}_sd"), _interval(gain), strict=True))
            table.append(row)
    return pd.DataFrame(table)


def _interval(gain: np.ndarray[Any, Any]) -> tuple[float, float, float, float]:
    """Mean, ends of its 95 % interval, and standard deviation; NaN where there are too few."""
    if len(gain) < 2:
        return (float(gain.mean()) if len(gain) else float("nan"), *(float("nan"),) * 3)
    mean, spread = float(gain.mean()), float(gain.std(ddof=1))
    half = float(stats.t.ppf(0.975, len(gain) - 1)) * spread / len(gain) ** 0.5
    return mean, mean - half, mean + half, spread


def step_times(protocol: Protocol, rows: Rows) -> pd.DataFrame:
    """Seconds of a step by arm and device, and of one of the baseline that was taken in turns with it."""
    digests = {plan.digest for plan in _plans(protocol, rows).values()}
    columns = ["arm", "network", "season", "device", "plain_s", "pretrain_s", "train_s"]
    mine = [row for row in rows if row.get("kind") == "step time" and row["digest"] in digests]
    return pd.DataFrame([{name: row.get(name) for name in columns} for row in mine], columns=columns)


def remarks(protocol: Protocol, runs: pd.DataFrame, rows: Rows) -> list[str]:
    """Say what a reader must know: what is missing, failed, was added or changed."""
    planned, counting = protocol.plans(), runs[runs["state"] == "counts"]
    held = set(counting["id"])
    said = []
    if missing := sum(plan.id not in held for plan in planned):
        said.append(f"{missing} of the {len(planned)} runs of the protocol are not done yet.")
    said += _counted(runs, "failed", "failed; each is listed with its reason, and the next start tries again")
    said += _counted(runs, "former", "were made under other settings than the protocol has now; they are listed only")
    said += _counted(runs, "again", "were made twice; the first counts")
    if more := sorted({*counting["seed"]} - {*protocol.seeds}):
        said.append(f"Seeds beyond those of the protocol count, too: {_listed(more)}.")
    if more := sorted({*counting["budget"]} - {str(plan.budget) for plan in planned}):
        said.append(f"Budgets beyond those of the protocol: {_listed(more)}.")
    if counting.groupby("season")["data"].nunique().gt(1).any():
        said.append("Runs of one season saw different values, so not all of them are paired: see the column data.")
    changes = [row["when"][:10] for row in rows if row.get("kind") == "protocol" and row["name"] == protocol.name]
    if changes:
        later = f", changed on {_listed(changes[1:])}" if changes[1:] else ", not changed since"
        said.append(f"The protocol was written down before its first run on {changes[0]}{later}.")
    return said


def _counted(runs: pd.DataFrame, state: str, words: str) -> list[str]:
    count = int((runs["state"] == state).sum())
    return [f"{count} runs {words}."] if count else []


def _listed(values: Iterable[Any]) -> str:
    return ", ".join(map(str, values))
