"""Protocols: what they refuse, what makes a run the same run, and how a budget becomes steps."""

from dataclasses import replace
from pathlib import Path

import pytest

from cscl.benchmark.protocol import Protocol
from cscl.benchmark.run import Steps, steps_of
from cscl.benchmark.specs import Arm, Budget, SeasonSpec
from cscl.errors import CSCLError

TEXT = """
question = "Does it help?"
baseline = "plain"
shares = [0.1, 1.0]
seeds = [3, 4]
[[seasons]]
name = "near"
train = [1, 2]
test = [9]
simulated = { size_px = 32, dates = 4 }
[[arms]]
name = "plain"
[[arms]]
name = "first"
pretrain_share = 0.3
settings = ["pretrain.loss.mode=balanced"]
"""


def protocol(tmp_path: Path, text: str = TEXT) -> Protocol:
    (tmp_path / "asked.toml").write_text(text, encoding="utf-8")
    return Protocol.open(tmp_path / "asked.toml")


@pytest.mark.parametrize(
    ("old", "new", "sentence"),
    [
        ("baseline", "baselin", "Did you mean 'baseline'"),
        ('"plain"\nshares', '"plan"\nshares', "Did you mean 'plain'"),
        ("[0.1, 1.0]", "[0.0]", "shares"),
        ("test = [9]", "test = [2]", "not among its training places"),
        ("test = [9]", "test = [9]\noutlines_only = [7]", "leave others their crops"),
        ("test = [9]", "test = [9]\noutlines_only = [1, 2]", "leave others their crops"),
        ("pretrain_share = 0.3", "pretrain_share = 1.0", "from 0.0 to 0.99"),
        ("pretrain.loss.mode", "pretrain.los.mode", "Did you mean 'loss'"),
        ("[3, 4]", '[3]\nbudgets = ["ten"]', "no budget"),
        ("[3, 4]", '[3]\nbudgets = ["1.2.3s"]', "no budget"),
        ("[3, 4]", "[]", "at least one of its seeds"),
        ("[3, 4]", "[3, 3]", "each of them once"),
        ("[3, 4]", '[3]\nguard = "boundary_acuracy"', "Did you mean 'boundary_accuracy'"),
        ("dates = 4", "dats = 4", "Did you mean 'dates'"),
        ('name = "first"', 'name = "plain"', "name of its own"),
        ("pretrain_share = 0.3", "sharpen = 3", "cannot be sharpened"),
        ("pretrain.loss.mode=balanced", 'pretrain.loss=glcnet"]\nsharpen = 3 #', "cannot be sharpened"),
        ('name = "first"', 'name = "first"\nsharpen_temperature = 0.1', "say sharpen = 3"),
    ],
)
def test_a_mistake_is_a_sentence(tmp_path: Path, old: str, new: str, sentence: str) -> None:
    assert old in TEXT
    with pytest.raises(CSCLError, match=sentence):
        protocol(tmp_path, TEXT.replace(old, new))


def test_a_run_is_the_same_run_as_long_as_nothing_that_bears_on_it_changes(tmp_path: Path) -> None:
    def ids(text: str) -> dict[tuple[str, float, int], str]:
        return {(p.arm.name, p.share, p.seed): p.id for p in protocol(tmp_path, text).plans()}

    before = ids(TEXT)
    assert len(set(before.values())) == len(before) == 2 * 2 * 2
    said = ids(TEXT.replace("Does it help?", "Does it?").replace("seeds = [3, 4]", "seeds = [4, 5]"))
    assert said["plain", 0.1, 4] == before["plain", 0.1, 4]
    changed = ids(TEXT.replace("pretrain_share = 0.3", "pretrain_share = 0.4"))
    assert changed["plain", 1.0, 3] == before["plain", 1.0, 3] and changed["first", 1.0, 3] != before["first", 1.0, 3]
    assert not {*ids(TEXT.replace("dates = 4", "dates = 5")).values()} & {*before.values()}
    assert ids(TEXT.replace("dates = 4", "dates = 4, cloudiness = 0.5")) == before  # as it is anyway


def test_arms_of_a_seed_follow_one_another(tmp_path: Path) -> None:
    assert [(p.seed, p.share, p.arm.name) for p in protocol(tmp_path).plans()][:3] == [
        *((3, 0.1, "plain"), (3, 0.1, "first")),
        (3, 1.0, "plain"),
    ]


def test_budgets_become_steps(tmp_path: Path) -> None:
    plans = {p.arm.name: p for p in protocol(tmp_path).plans()}
    first = plans["first"]
    assert plans["plain"].costs == (1.0, 1.0) and not plans["plain"].measured
    assert first.costs == (0.0, 1.0) and first.measured == (first,)  # it trains as the baseline does
    assert steps_of(first, (1.3, 1.0), 0.2) == Steps(round(0.3 * 600 / 1.3), 420)
    seconds = replace(first, budget=Budget.parse("90s"))
    assert seconds.measured == (seconds.baseline, seconds)
    assert steps_of(seconds, (1.3, 1.0), 0.2) == Steps(round(27 / 0.26), 315)
    stated = replace(first, arm=replace(first.arm, pretrain_cost=2.0, train_cost=1.5))
    assert not stated.measured and steps_of(stated, stated.costs, 1.0) == Steps(90, 280)
    assert replace(first, arm=replace(first.arm, settings=("train.joint_weight=0.5",))).costs == (0.0, 0.0)
    alike = replace(first, protocol=replace(first.protocol, equal="steps"))
    assert not alike.measured and steps_of(alike, alike.costs, 1.0) == Steps(180, 420)


def test_moving_outlines_must_be_said() -> None:
    with pytest.raises(CSCLError, match="shifted"):
        Arm(name="a", shift_m=5.0)
    with pytest.raises(CSCLError, match="places to simulate"):
        SeasonSpec(name="a")
