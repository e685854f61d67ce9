"""The benchmark as a job and as a command: stopped and resumed, with failing runs, repeated, and its page."""

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy import stats

from cscl.benchmark.figures import judge
from cscl.benchmark.job import benchmark
from cscl.benchmark.ledger import append, read
from cscl.benchmark.page import MARK, write_benchmark
from cscl.benchmark.places import make_places, open_data
from cscl.benchmark.protocol import Protocol
from cscl.benchmark.run import Steps, carry_out
from cscl.benchmark.settled import settled, spelled_out
from cscl.benchmark.summary import differences, means, remarks, runs_of
from cscl.cli import main
from cscl.errors import CSCLError
from cscl.events import run
from cscl.inference.predict import PredictOptions, predict

TEXT = """
question = "Does it run?"
baseline = "plain"
budgets = ["4steps", "8steps"]
seeds = [1, 2]
shares = [0.5]
settings = [
    "data.validation_share=0.0", "data.test_share=0.0", "data.patch_px=16", "model.num_features=4", "train.batch=2",
    "pretrain.batch=2", "pretrain.loss.width=8",
]
[[seasons]]
name = "tiny"
train = [1, 2]
test = [9]
simulated = { size_px = 48, dates = 4, parcel_size = "small" }
[[arms]]
name = "plain"
[[arms]]
name = "first"
pretrain_share = 0.5
pretrain_cost = 1.25
"""
FAILING = '[[arms]]\nname = "views"\npretrain_share = 0.5\nsettings = ["pretrain.loss=glcnet", '
FAILING += '"data.finer=4"]\n[[arms]]\nname = "joint"\nsettings = ["train.joint_weight=0.5"]\n'


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("cache")


@pytest.fixture
def asked(tmp_path: Path) -> Protocol:
    (tmp_path / "asked.toml").write_text(TEXT, encoding="utf-8")
    return Protocol.open(tmp_path / "asked.toml")


@pytest.fixture(scope="module")
def done(cache: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a protocol, all of whose runs are in the ledger."""
    folder = tmp_path_factory.mktemp("done")
    (folder / "asked.toml").write_text(TEXT, encoding="utf-8")
    words = ["benchmark", str(folder / "asked.toml"), "--cache", str(cache), "--workers", "2", "--quiet"]
    assert main([*words, "--page", str(folder / "page")]) == 0
    return folder


def rows_of(path: Path, kind: str = "run") -> list[dict[str, Any]]:
    return [row for row in read(path)[0] if row["kind"] == kind]


@pytest.mark.slow
def test_all_runs_are_in_the_ledger_with_what_repeats_them(done: Path) -> None:
    rows = rows_of(done / "ledger.jsonl")
    assert len(rows) == len(settled(Protocol.open(done / "asked.toml").plans(), rows)) == 8
    assert {(r["arm"], r["seed"], r["budget"]) for r in rows} == {
        (arm, seed, f"{budget}steps") for arm in ("plain", "first") for seed in (1, 2) for budget in (4, 8)
    }
    first = next(r for r in rows if r["arm"] == "first" and r["budget"] == "8steps")
    assert first["steps"] == {"pretrain": 3, "train": 4}
    assert first["recipe"]["train"]["steps"] == 4 and first["recipe"]["seed"] == first["seed"]
    assert 0 < first["told"]["parcels_with_crop"] < first["told"]["parcels"] and first["versions"]["torch"]
    assert first["command"] == f"cscl benchmark asked.toml --repeat {first['id']} --ledger ledger.jsonl"
    pair = [r for r in rows if r["seed"] == first["seed"]]
    assert len({json.dumps(r["told"]) for r in pair}) == 1  # the same data, the same parcels known
    assert {r["content"]["baseline"] for r in rows_of(done / "ledger.jsonl", "protocol")} == {"plain"}


@pytest.mark.slow
def test_what_is_done_is_not_done_again(done: Path, capsys: pytest.CaptureFixture[str]) -> None:
    before = (done / "ledger.jsonl").read_bytes()
    words = ["benchmark", str(done / "asked.toml"), "--quiet", "--page", str(done / "page")]
    assert main(words) == 0  # with another cache: no scene is even simulated
    assert (done / "ledger.jsonl").read_bytes() == before
    assert "0 runs finished, 0 failed, 8 were in the ledger" in capsys.readouterr().out
    text = (done / "page" / "README.md").read_text(encoding="utf-8")
    assert all(row["id"] in text for row in rows_of(done / "ledger.jsonl"))
    assert "(asked_budget_0.png)" in text and (done / "page" / "asked_budget_0.png").is_file()
    assert "Differences to plain" in (done / "page" / "index.html").read_text(encoding="utf-8")
    for none in ("0", "9-3"):
        assert main([*words[:2], "--seeds", none]) == 2
        assert "no seed to run" in capsys.readouterr().err
    assert main([*words[:2], "--dry-run", "--seeds", "1-3,2", "--only", "first"]) == 0
    assert "2 of 6 runs are left." in capsys.readouterr().out


@pytest.mark.slow
def test_a_run_is_repeated_exactly(done: Path, cache: Path, capsys: pytest.CaptureFixture[str]) -> None:
    chosen = rows_of(done / "ledger.jsonl")[3]
    words = ["benchmark", str(done / "asked.toml"), "--cache", str(cache), "--quiet", "--repeat"]
    assert main([*words, chosen["id"]]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) > 5 and all(line.split()[0] == line.split()[2] for line in lines)
    assert main([*words, "nosuchrun"]) == 2
    assert "holds no finished run" in capsys.readouterr().err


@pytest.mark.slow
def test_a_stopped_benchmark_goes_on_and_a_failing_run_stops_no_other(
    asked: Protocol, cache: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    ledger = Path(asked.folder) / "ledger.jsonl"
    (Path(asked.folder) / "asked.toml").write_text(TEXT + FAILING, encoding="utf-8")
    plans = Protocol.open(Path(asked.folder) / "asked.toml").plans(budgets=["2steps"], seeds=[1])
    job = benchmark(plans, ledger, cache=cache)
    while not (ledger.exists() and len(rows_of(ledger)) == 2):
        next(job)
    job.close()
    assert len(rows_of(ledger)) == 2
    words = ["benchmark", str(ledger.with_name("asked.toml")), "--budget", "2steps", "--seeds", "1-1"]
    assert main([*words, "--cache", str(cache), "--quiet"]) == 2
    said = capsys.readouterr()
    assert "1 runs finished, 1 failed, 2 were in the ledger" in said.out
    assert "WARNING: Failed: views" in said.err and "compares views" in said.err and "1 runs failed" in said.err
    assert [r["arm"] for r in rows_of(ledger) if "error" in r] == ["views"]
    assert main([*words, "--dry-run"]) == 0
    assert "1 of 4 runs are left." in capsys.readouterr().out, "a run that failed is tried again"
    (time,) = rows_of(ledger, "step time")
    assert time["arm"] == "joint" and time["train_s"] > 0.5 * time["plain_s"] > 0 and "pretrain_s" not in time


def test_a_sharpened_arm_is_judged_by_the_map_that_predict_makes(cache: Path, tmp_path: Path) -> None:
    text = TEXT + '[[arms]]\nname = "sharp"\npretrain_share = 0.5\nsharpen = 2\nsharpen_temperature = 0.1\n'
    (tmp_path / "asked.toml").write_text(text, encoding="utf-8")
    plans = Protocol.open(tmp_path / "asked.toml").plans(seeds=[1], budgets=["8steps"], only=["first", "sharp"])
    run(make_places([plans[0].season], cache))
    data = run(open_data(plans[0], cache))
    first, sharp = (run(carry_out(plan, Steps(6, 12), data, tmp_path / plan.arm.name, "cpu")) for plan in plans)
    assert first["recipe"] == sharp["recipe"] and plans[0].id != plans[1].id
    (test,) = data.tests
    for row, arm, options in (
        (first, "first", None),
        (sharp, "sharp", PredictOptions(sharpen=2, sharpen_temperature=0.1)),
    ):
        made = run(predict(tmp_path / arm / "model", test.cube, tmp_path / f"{arm} map", options, device="cpu"))
        guess = test.truths[0].legend.to_index(made.ids.values).astype(np.int64)
        assert judge(test.truths, [guess])["figures"] == row["figures"]
    assert first["figures"] != sharp["figures"]


def test_settings_that_nothing_has_are_refused_before_any_run(asked: Protocol, tmp_path: Path) -> None:
    text = TEXT + '[[arms]]\nname = "typo"\nsettings = ["pretrain.loss.windw=5"]\n'
    (tmp_path / "typo.toml").write_text(text, encoding="utf-8")
    with pytest.raises(CSCLError, match="Did you mean 'window'"):
        run(benchmark(Protocol.open(tmp_path / "typo.toml").plans(), tmp_path / "l.jsonl", cache=tmp_path / "none"))
    assert not (tmp_path / "l.jsonl").exists() and not (tmp_path / "none").exists()


def test_a_run_under_other_defaults_counts_no_more(asked: Protocol) -> None:
    """What a protocol leaves to the defaults may change under it; new options change nothing."""
    plan = asked.plans()[0]
    row = {"kind": "run", "id": plan.id, "figures": {}, "recipe": spelled_out(plan.recipe)}
    assert settled([plan], [row])
    del row["recipe"]["pretrain"]["loss"]["window"]
    assert settled([plan], [row])
    row["recipe"]["pretrain"]["loss"]["mode"] = "reference"
    assert not settled([plan], [row])


def made_up(protocol: Protocol, ledger: Path) -> None:
    """Rows as runs would leave them: `first` is 0.02 + 0.01 x seed better at the boundary."""
    for plan in protocol.plans(seeds=[1, 2, 5], budgets=["4steps"]):
        gain = (plan.arm.name == "first") * (0.02 + 0.01 * plan.seed)
        figures = {"boundary_accuracy": 0.5 + gain, "common_miou": 0.4, "accuracy": 0.7, "interior_accuracy": 0.8}
        row = {"kind": "run", "id": plan.id, "digest": plan.digest, "protocol": "asked", "arm": plan.arm.name}
        row |= {"network": "compact", "season": "tiny", "share": 0.5, "budget": "4steps", "seed": plan.seed}
        row |= {"steps": {"pretrain": 0, "train": 4}, "seconds": {"training": {"cpu": 2.0}}, "when": "2026-11-21"}
        append(ledger, {**row, "figures": figures, "told": {"data": "00"}})
    append(ledger, {**row, "id": "0f0f0f", "arm": "dropped", "figures": figures, "told": {"data": "00"}})
    append(ledger, {**row, "error": "The memory was full."})


def test_differences_are_paired_and_nothing_is_dropped(asked: Protocol) -> None:
    ledger = Path(asked.folder) / "ledger.jsonl"
    made_up(asked, ledger)
    rows = read(ledger)[0]
    runs = runs_of(asked, rows)
    assert len(runs) == 8 and (runs["state"] == "counts").sum() == 6
    gain = differences(runs, "plain", ["boundary_accuracy"]).iloc[0]
    expected = stats.ttest_rel([53.0, 54.0, 57.0], [50.0] * 3).confidence_interval(0.95)
    assert gain["seeds"] == 3 and gain["boundary_accuracy"] == pytest.approx(np.mean([3, 4, 7]))
    assert (gain["boundary_accuracy_low"], gain["boundary_accuracy_high"]) == pytest.approx(tuple(expected))
    spreads = means(runs, ["boundary_accuracy"])["boundary_accuracy_sd"]
    assert spreads.tolist() == pytest.approx([0, np.std([3, 4, 7], ddof=1)])
    said = " ".join(remarks(asked, runs, rows))
    for words in ("4 of the 8 runs", "1 runs failed", "1 runs were made under other", "Seeds beyond", "5"):
        assert words in said, words


def test_a_page_never_takes_the_place_of_another(asked: Protocol, tmp_path: Path) -> None:
    ledger = tmp_path / "ledger.jsonl"
    made_up(asked, ledger)
    page = run(write_benchmark([asked], ledger, tmp_path / "page"))
    assert page.read_text(encoding="utf-8").startswith(MARK)
    assert "dropped" in page.read_text(encoding="utf-8") and "The memory was full." in page.read_text(encoding="utf-8")
    assert run(write_benchmark([asked], ledger, tmp_path / "page")) == page
    (tmp_path / "own").mkdir()
    (tmp_path / "own" / "README.md").write_text("mine", encoding="utf-8")
    with pytest.raises(CSCLError, match="so it stays"):
        run(write_benchmark([asked], ledger, tmp_path / "own"))
    shutil.rmtree(tmp_path / "page")
    assert run(write_benchmark([asked], tmp_path / "empty.jsonl", tmp_path / "page")) == page  # before any run


def test_the_protocols_of_the_documentation_are_whole(root: Path) -> None:
    paths = sorted((root / "docs" / "benchmark").glob("*.toml"))
    assert len(paths) > 3
    for path in paths:
        assert Protocol.open(path).plans(), path
