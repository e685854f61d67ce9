"""The plumbing of the benchmark suite: cases, comparison, tables, pages. Nothing long is measured."""

import math
import sys
from pathlib import Path
from subprocess import CompletedProcess

import pytest

from cscl.errors import InputError, UnknownNameError

sys.path.insert(0, str(Path(__file__).parent))

import bench
from suite import Case, Figures, Form, Settings, all_cases, kept, machine, page, plots, running, tables
from suite.measuring import timed

CASE = Case(
    "sort", "Numbers are sorted.", {"plain": Form(timed(list), naive=True), "ours": Form(timed(list))},
    "many", (10, 100), (10,), ("numbers", float),
)  # fmt: skip


def row(form: str, *seconds: float, work: int = 10, peak_mb: float = 50.0) -> dict:
    found = running.summary([Figures(list(seconds), peak_mb)])
    found.pop("told")
    return {"case": "sort", "part": "", "work": work, "form": form, "naive": form == "plain", **found}


def test_cases_are_complete() -> None:
    cases = all_cases()
    assert {module for module, _ in cases.values()} == {
        file.stem for file in (Path(bench.__file__).parent / "cases").glob("*.py")
    }
    for name, (_, case) in cases.items():
        assert name == case.name and case.measures.endswith(".") and case.forms, name
        assert set(case.quick) <= set(case.work), name
        assert bool(case.axis) == (len(case.work) > 1 or case.work[0] != 0), name
        assert sum(form.naive for form in case.forms.values()) <= 1, name
        assert all(form.naive is False for form in list(case.forms.values())[1:]), f"{name}: ratios are to the first"


def test_chosen_cases_and_unknown_names() -> None:
    known = all_cases()
    assert set(bench.chosen("affinity", known)) == {name for name in known if name.startswith("affinity")}
    assert list(bench.chosen("look-edges, loader", known)) == ["look-edges", "loader"]
    assert bench.chosen("", known) == known
    with pytest.raises(UnknownNameError, match="Did you mean 'affinity-window'"):
        bench.chosen("afinity-window", known)
    assert bench.numbers("128, 0.5") == (128, 0.5)
    with pytest.raises(InputError, match="numbers with commas"):
        bench.numbers("many")


@pytest.mark.parametrize(
    ("now", "said"),
    [
        ((1.4, 1.5, 1.6), "slower 1.50 x"),
        ((1.05, 1.15, 1.3), "as kept"),  # spreads overlap
        ((1.11, 1.12, 1.13), "as kept"),  # beyond the spread by less than two runs of one code differ
        ((0.5, 0.5, 0.6), "faster 2.00 x"),
    ],
)
def test_a_slowdown_is_flagged_and_noise_is_not(now: tuple[float, ...], said: str) -> None:
    former = {kept.key(r): r for r in (row("plain", 4, 4, 4.1), row("ours", 0.95, 1.0, 1.05))}
    rows = [row("plain", 4, 4, 4.1), row("ours", *now)]
    flagged = kept.compare(rows, former)
    assert rows[1]["since"] == said
    assert flagged == (["sort 10, ours: slower 1.50 x"] if "slower" in said else [])


def test_a_slow_machine_is_no_slow_code_and_memory_counts() -> None:
    former = {kept.key(r): r for r in (row("plain", 4, 4, 4.1), row("ours", 1.0, 1.0, 1.05))}
    rows = [row("plain", 8, 8, 8.2), row("ours", 2.0, 2.05, 2.1), row("ours", 9.0, work=100)]
    assert kept.compare(rows, former) == []
    assert rows[0]["since"] == "slower 2.00 x" and "since" not in rows[2]  # that work was never kept
    assert kept.compare([row("ours", 1.0, peak_mb=90)], former) == ["sort 10, ours: more memory, +40 MB"]


def test_kept_runs_are_read_back_by_machine_threads_and_key(tmp_path: Path) -> None:
    for threads, seconds in ((1, 1.0), (2, 0.6), (1, 0.9)):
        run = {"threads": threads, "rows": [row("ours", seconds), {**row("plain", 4.0), "work": seconds}]}
        kept.keep("some-machine", run, tmp_path)
    known = kept.before(kept.runs("some-machine", 1, tmp_path))
    assert known[kept.key(row("ours", 0))]["seconds"] == 0.9 and len(known) == 3
    assert kept.runs("another", 1, tmp_path) == []


def test_rows_have_ratios_and_disagreement_is_told() -> None:
    case = Case("sort", "", {**CASE.forms, "peer": Form(timed(list), peer=True, tolerance=1e-3)}, "many")
    rows = [
        {**row("plain", 4.0), "told": [1.0]}, {**row("ours", 1.0, peak_mb=25), "told": [1.0]},
        {**row("peer", 2.0), "told": [1.1]},
    ]  # fmt: skip
    running.disagreeing(case, rows)
    running.with_ratios(case, rows)
    assert (rows[1]["ratio"], rows[1]["memory_ratio"], rows[1]["peer_ratio"]) == (4.0, 2.0, 2.0)
    assert rows[2]["failed"].startswith("gives [1.1] where plain gives [1.0]") and "failed" not in rows[1]
    text = tables.case_table(case, [*rows, {"case": "sort", "work": 10, "form": "ours", "left_out": "no numba"}])
    assert "| ours  |" in text and "4.00" in text and "FAILED: gives" in text
    assert "- ours at 10 not measured: no numba." in text
    assert tables.duration(0.01234) == "12.3 ms" and tables.duration(123.4) == "123 s" and "rate" not in text


def test_an_act_is_repeated_within_its_time() -> None:
    calls: list[int] = []
    measure = timed(lambda work: lambda: calls.append(work) or [float(work)], warm=3)
    figures = measure(7, Settings(repeats=4, limit_s=60))[""]
    assert calls == [3, 7, 7, 7, 7, 7][: len(calls)] and len(figures.seconds) == 4 and figures.told == [7.0]
    assert len(timed(lambda work: lambda: math.sqrt(2))(1, Settings(limit_s=0))[""].seconds) == 1


def test_page_and_curves_come_from_kept_runs(tmp_path: Path) -> None:
    facts = {"processor": "P", "cores": "2", "cuda": "no GPU found", "load at the start": "1.9"}
    rows = [row(form, seconds * work, work=work) for form, seconds in (("plain", 4), ("ours", 1)) for work in (10, 100)]
    run = {"date": "2026-11-22 10:00", "quick": True, "threads": 1, "machine": facts, "rows": rows}
    place = tmp_path / "speed.md"
    place.write_text(f"# Speed\n\n{page.BEGIN}\nold\n{page.END}\n\nbelow\n", encoding="utf-8")
    page.write_page([run], {"sort": CASE}, place)
    text = place.read_text(encoding="utf-8")
    assert "old" not in text and text.endswith(f"{page.END}\n\nbelow\n") and "### sort" in text
    assert "busy" in text and (tmp_path / "speed.png").is_file()
    assert plots.drawn(CASE, rows[:1], tmp_path) is None and plots.drawn(CASE, rows, tmp_path) == tmp_path / "sort.png"
    assert machine.kind(facts) == "p-2-cores"


def test_a_form_is_measured_in_its_own_process_and_failures_are_told() -> None:
    module, case = all_cases()["affinity-area"]
    small = Case(case.name, case.measures, {"plain": case.forms["plain"]}, case.axis)
    (found,) = running.rows_of(module, small, 16, Settings(repeats=1), 1)
    assert found["runs"] == 1 and found["work"] == 16 and found["seconds"] > 0
    assert running.reason(CompletedProcess("", 1, "", "Traceback\nKeyError: 'gone'\n\n")) == "KeyError: 'gone'"
    assert "want of memory" in running.reason(CompletedProcess("", -9, "", ""))
