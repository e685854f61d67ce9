"""The page of a benchmark, written from the ledger alone: Markdown with pictures, and one HTML file that holds all."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from cscl.errors import OutputError
from cscl.events import Job, Note, Progress
from cscl.export.benchmark_charts import mean_curves, paired_differences
from cscl.export.draft import draft
from cscl.export.page import Figure, write_page
from cscl.export.part_files import part_markdown, part_section, write_figures
from cscl.report.parts import Part
from cscl.simulate import SeasonOptions

from .figures import FIGURES
from .ledger import read
from .protocol import Protocol
from .settled import Rows
from .specs import Budget, SeasonSpec
from .summary import CASE, differences, means, remarks, runs_of, step_times

__all__ = ["write_benchmark"]

MARK = "<!-- Written by cscl benchmark from its ledger: change the protocols, not this page. -->"
ALL_ROWS = 1_000_000
SAME = ("state", "device", "data", "versions", "revision")
"""Columns of runs that are said once where they are the same in all."""
TITLE = "Benchmark"
ABOUT = (
    "Each part is a protocol, fixed before its runs, which says what is compared; this page is written from the ledger "
    "of all runs alone. Figures are in per cent of the pixels of test scenes that no run learnt from. Differences are "
    "to the baseline, paired by seed (same data, same parcels with known crop), in points, with 95 % intervals by "
    "Student's t over seeds, each for its comparison alone. A run is repeated alone by: cscl benchmark PROTOCOL "
    "--repeat ID."
)


def write_benchmark(protocols: Sequence[Protocol], ledger: str | Path, folder: str | Path) -> Job[Path]:
    """Write ``README.md`` with its pictures and ``index.html`` into a folder; a former page is replaced.

    Raises
    ------
    OutputError
        If another ``README.md`` is there, or something cannot be written.
    """
    folder = Path(folder)
    _require_own(folder)
    rows, warnings = read(Path(ledger))
    yield from (Note(text, warning=True) for text in warnings)
    parts: list[Part] = []
    listed: list[Part] = []
    figures: list[list[Figure]] = []
    for number, protocol in enumerate(protocols):
        yield Progress("counting", number, len(protocols), "protocol")
        runs = runs_of(protocol, rows)
        parts.append(_summary(protocol, runs, rows))
        figures.append(list(_figures(protocol, runs)))
        listed.append(_listed(protocol, runs))
    blocks = [MARK, f"# {TITLE}", part_markdown(_about(), level=2)]
    for part, drawn in zip(parts, figures, strict=True):
        blocks += [part_markdown(part, most=ALL_ROWS, level=2)]
        blocks += [f"![{figure.caption}]({figure.name}.png)" for figure in drawn]
    blocks += [part_markdown(part, most=ALL_ROWS, level=2) for part in listed]
    folder.mkdir(parents=True, exist_ok=True)
    with draft(folder, "README.md") as place:
        (place / "README.md").write_text("\n\n".join(blocks) + "\n", encoding="utf-8")
        yield from write_figures([figure for drawn in figures for figure in drawn], place)
    sections = [part_section(part, drawn, most=ALL_ROWS) for part, drawn in zip(parts, figures, strict=True)]
    rest = [part_section(part, most=ALL_ROWS) for part in listed]
    write_page(folder, TITLE, [part_section(_about()), *sections, *rest], overwrite=True)
    return folder / "README.md"


def _require_own(folder: Path) -> None:
    for name in ("README.md", "index.html"):
        page, mark = folder / name, folder / "README.md"
        if page.exists() and not (mark.exists() and mark.read_text(encoding="utf-8").startswith(MARK)):
            raise OutputError(
                f"{page} was not written by cscl benchmark, so it stays. Name another folder for the page."
            )


def _about() -> Part:
    table = pd.DataFrame({"figure": map(_words, FIGURES), "what it is": FIGURES.values()})
    return Part("about", "How to read this page", ABOUT, (), {"figures": table})


def _words(name: str) -> str:
    return name.replace("_", " ").replace("miou", "mIoU")


def _summary(protocol: Protocol, runs: pd.DataFrame, rows: Rows) -> Part:
    names = list(dict.fromkeys((protocol.primary, protocol.guard, "interior_accuracy", "accuracy")))
    names += [name for name in ("coarse_boundary_accuracy", "coarse_common_miou") if runs[name].notna().any()]
    tables = {"arms": _arms(protocol)}
    gains = differences(runs, protocol.baseline, names)
    if len(gains):
        gains = gains.assign(**{n: _with_interval(gains, n) for n in names})
        tables[f"differences_to_{protocol.baseline}"] = _shown(gains, ["arm", "seeds", *names])
    values = means(runs, names)
    if len(values):
        values = values.assign(**{n: _with_spread(values, n) for n in names}, cpu_s=values["cpu_s"].round(1))
        tables["means_and_standard_deviations"] = _shown(values, ["arm", "seeds", *names, "cpu_s"])
    times = step_times(protocol, rows)
    if len(times):
        tables["seconds_of_a_step"] = times.round(4)
    title = f"{protocol.name}: {protocol.question}"
    return Part(protocol.name, title, _definition(protocol), (), tables, remarks(protocol, runs, rows))


def _definition(protocol: Protocol) -> str:
    shares = ", ".join(f"{100 * share:g} %" for share in protocol.shares)
    equal = {
        "time": "Budgets mean equal time: a step that takes longer than one of plain training counts for more, as "
        "measured once, in turns with plain training, or as the protocol states.",
        "steps": "Budgets mean equal steps, whatever a step takes.",
    }
    said = [
        f"Primary figure: {FIGURES[protocol.primary]}. Guard: {FIGURES[protocol.guard]}.",
        f"Crops are known of {shares} of the parcels that teach; outlines of all. Budgets: "
        f"{', '.join(protocol.budgets)}. {equal[protocol.equal]} Seeds: {', '.join(map(str, protocol.seeds))}.",
        "Networks: " + "; ".join(_named(n.name, n.settings) for n in protocol.networks) + ".",
        f"Settings of all: {', '.join(protocol.settings) or 'the defaults'}.",
        *map(_season, protocol.seasons),
    ]
    return "\n\n".join(said)


def _season(season: SeasonSpec) -> str:
    if not season.train:
        taught, judged = (sum(s.test == test for s in season.scenes) for test in (False, True))
        judges = f"{judged} judge" if judged else f"{100 * season.test_share:g} % of their blocks judge"
        return f"Season {season.name} ({season.purpose}): {taught} real scenes teach, {judges}."
    usual, own = SeasonOptions(), season.simulated
    options = [
        f"{field.name}={getattr(own, field.name)}"
        for field in dataclasses.fields(own)
        if field.name in ("size_px", "seed", "parcel_size") or getattr(own, field.name) != getattr(usual, field.name)
    ]
    silent = f", of {len(season.outlines_only)} the outlines only" if season.outlines_only else ""
    return (
        f"Season {season.name} ({season.purpose}), simulated: {len(season.train)} places teach "
        f"({_spans(season.train)}{silent}), {len(season.test)} judge ({_spans(season.test)}); {', '.join(options)}."
    )


def _spans(numbers: Sequence[int]) -> str:
    """Write whole numbers in order, runs of them as 1-16."""
    spans: list[list[int]] = []
    for number in sorted(numbers):
        if spans and spans[-1][1] == number - 1:
            spans[-1][1] = number
        else:
            spans.append([number, number])
    return ", ".join(str(a) if a == b else f"{a}-{b}" for a, b in spans)


def _named(name: str, settings: Sequence[str]) -> str:
    return f"{name} ({', '.join(settings)})" if settings else name


def _arms(protocol: Protocol) -> pd.DataFrame:
    rows = []
    for arm in protocol.arms:
        outlines = {"random": "of a random tessellation", "register": "as the register has them"}
        outlines["shifted"] = f"moved by {arm.shift_m:g} m, and each by {arm.jitter_m:g} m (sd)"
        rows.append({
            "arm": arm.name, "about": arm.about, "pretraining": f"{100 * arm.pretrain_share:g} %",
            "settings": ", ".join((*arm.all_settings, *arm.reading)) or "the defaults",
            "outlines": outlines[arm.outlines],
        })  # fmt: skip
    table = pd.DataFrame(rows)
    return table.drop(columns=[c for c in ("about", "outlines") if table[c].nunique() == 1])


def _shown(table: pd.DataFrame, columns: Sequence[str]) -> pd.DataFrame:
    """Return some columns, after those of the case that are not the same throughout; shares in words."""
    case = [name for name in CASE if table[name].nunique() > 1]
    shown = table[[*case, *columns]]
    return shown.assign(share=[f"{100 * s:g} %" for s in shown["share"]]) if "share" in case else shown


def _with_interval(table: pd.DataFrame, name: str) -> list[str]:
    columns = table[[name, f"{name}_low", f"{name}_high"]].itertuples(index=False)
    return [f"{mid:+.2f}" + ("" if low != low else f" ({low:+.2f} to {high:+.2f})") for mid, low, high in columns]


def _with_spread(table: pd.DataFrame, name: str) -> list[str]:
    columns = table[[name, f"{name}_sd"]].itertuples(index=False)
    return [f"{mean:.2f}" + ("" if sd != sd else f" ± {sd:.2f}") for mean, sd in columns]


def _plus(before: float, after: float) -> str:
    return f"{before:g} + {after:g}" if before else f"{after:g}"


def _listed(protocol: Protocol, runs: pd.DataFrame) -> Part:
    """Every run, whether it counts or not."""
    figures = [name for name in FIGURES if name != "boundary_miou" and runs[name].notna().any()]
    shown = runs.assign(
        steps=[_plus(a, b) for a, b in zip(runs["pretrain_steps"], runs["train_steps"], strict=True)],
        state=[f"{s}: {e}" if e else s for s, e in zip(runs["state"], runs["error"], strict=True)],
        cpu_s=runs["cpu_s"].round(1), **{name: runs[name].round(2) for name in figures},
    )  # fmt: skip
    columns = ["id", "arm", "seed", *figures, "steps", "cpu_s"]
    further = [name for name in SAME if shown[name].nunique() > 1]
    same = [f"{_words(name)}: {shown[name].iloc[0]}" for name in SAME if len(shown) and name not in further]
    definition = "Every run, with its steps (of pre-training + of training) and processor seconds."
    if same:
        definition += f" All the same in them: {'; '.join(same)}."
    return Part(
        f"{protocol.name}-runs", f"Runs of {protocol.name}", definition, (),
        {"runs": _shown(shown, [*columns, *further])},
    )  # fmt: skip


# --- figures ---------------------------------------------------------------------------------------------------------


def _figures(protocol: Protocol, runs: pd.DataFrame) -> Iterator[Figure]:
    names = list(dict.fromkeys((protocol.primary, protocol.guard)))
    gains = differences(runs, protocol.baseline, names)
    if len(gains):
        yield _gains(protocol, gains, names)
    panels = list(dict.fromkeys((protocol.primary, "interior_accuracy")))
    values = means(runs, panels)
    for axis, words in (("budget", "budget"), ("share", "share of parcels with known crop")):
        rest = [name for name in CASE if name != axis]
        for number, (key, group) in enumerate(values.groupby(rest, sort=False) if len(values) else ()):
            if group[axis].nunique() > 1 and (axis != "budget" or _one_unit(group["budget"])):
                told = [_short(value) for name, value in zip(rest, key, strict=True) if _varies(values, name)]
                title = ", ".join([protocol.name, *told])
                yield _curves(f"{protocol.name}_{axis}_{number}", group, axis, words, panels, title)


def _varies(table: pd.DataFrame, name: str) -> bool:
    return bool(table[name].nunique() > 1)


def _one_unit(budgets: pd.Series[Any]) -> bool:
    return len({Budget.parse(text).unit for text in budgets}) == 1


def _gains(protocol: Protocol, gains: pd.DataFrame, names: Sequence[str]) -> Figure:
    case = [name for name in CASE if _varies(gains, name)]
    rows = [", ".join([row["arm"], *(_short(row[name]) for name in case)]) for row in gains.to_dict("records")]
    series = {_words(name): (gains[name], gains[f"{name}_low"], gains[f"{name}_high"]) for name in names}
    drawing = paired_differences(rows, series, title=protocol.name, x_label=f"points against {protocol.baseline}")
    return Figure(
        f"{protocol.name}_differences", drawing, f"Paired differences to {protocol.baseline}, 95 % intervals."
    )


def _short(value: Any) -> str:
    return f"crops of {100 * value:g} %" if isinstance(value, float) else str(value)


def _curves(name: str, group: pd.DataFrame, axis: str, words: str, figures: Sequence[str], title: str) -> Figure:
    places: Mapping[Any, float] = {
        v: Budget.parse(v).amount if axis == "budget" else 100 * v for v in group[axis].unique()
    }
    order = sorted(places, key=lambda v: places[v])
    panels: dict[str, dict[str, Any]] = {}
    for figure in figures:
        curves = {}
        for arm, own in group.groupby("arm", sort=False):
            by = own.set_index(axis).reindex(order)
            curves[str(arm)] = (by[figure], by[f"{figure}_sd"])
        panels[_words(figure)] = curves
    unit = Budget.parse(str(order[0])).unit if axis == "budget" else "%"
    drawing = mean_curves([places[v] for v in order], panels, title=title, x_label=f"{words} ({unit})")
    return Figure(name, drawing, f"{title}: mean and standard deviation over seeds, by {words}.")
