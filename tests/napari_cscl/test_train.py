"""Making a model in the window: the form, the run, its early end, a full memory, and the run copied as text."""

from __future__ import annotations

import shlex
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
import toys
from qtpy.QtWidgets import QApplication
from window import finish

from cscl.card import ModelCard
from cscl.data.sample import sample_model, sample_season
from cscl.legend import Legend
from cscl.losses.segmentation import SegmentationLoss
from cscl.recipe import Recipe

LONG = toys.QUICK.with_settings(["train.batch=2", "train.steps=100000", "train.validate_every=50000"])


@pytest.fixture
def train(toy: Any, qtbot: Any, tmp_path: Path) -> Any:
    """The panel on top, its form built, and a folder to write to."""
    toy.pages.turn_to(toy.train)
    qtbot.waitUntil(lambda: toy.train.form is not None, timeout=60_000)
    toy.train.out.setText(str(tmp_path / "made"))
    toy.train.form.set(toys.QUICK)
    return toy.train


def test_start_trains_with_the_settings_of_the_form_and_opens_the_model(train: Any, qtbot: Any, tmp_path: Path) -> None:
    train.form.widget("train.steps").value = 12
    train.form.widget("pretrain.steps").value = 6
    assert train.start.isEnabled()
    (tmp_path / "made").mkdir()
    train.start.click()
    assert not train.dock.runner.busy and "exists already" in train.dock.jobbar.status.text()
    (tmp_path / "made").rmdir()
    train.start.click()
    assert not train.start.isEnabled() and "job is running" in train.start.toolTip()
    finish(train.dock, qtbot)
    card = train.session.model.card
    assert train.session.model.folder == tmp_path / "made" and card.steps == 12
    assert card.recipe == toys.QUICK.with_settings(["train.steps=12", "pretrain.steps=6"])
    assert {"loss", "validation accuracy"} == set(train.curves.curves), "the curves of the last stage"
    assert ModelCard.open(tmp_path / "made-pretrained").steps == 6
    assert train.out.text() == str(tmp_path / "made-2"), "the next one gets another name"
    assert "made" in train.dock.model.card.text() and "12 steps" in train.dock.model.card.text()


def test_stop_and_keep_opens_the_best_so_far(train: Any, qtbot: Any, tmp_path: Path) -> None:
    train.form.set(LONG)
    train.stages.setCurrentText("Train on the crops only")
    assert not train.form.widget("pretrain.steps").visible and train.form.widget("train.steps").visible
    train.start.click()
    bar = train.dock.jobbar
    qtbot.waitUntil(lambda: bar.progress.value() > 3 and "loss" in train.curves.curves, timeout=60_000)
    bar.keep.click()
    finish(train.dock, qtbot)
    card = train.session.model.card
    assert 3 < card.steps < 100_000 and card.accuracy and not (tmp_path / "made.part").exists()


def test_a_cancelled_run_can_be_gone_on_with(train: Any, qtbot: Any, tmp_path: Path) -> None:
    train.form.set(LONG)
    train.stages.setCurrentText("Train on the crops only")
    former = train.session.model
    train.start.click()
    qtbot.waitUntil(lambda: train.dock.jobbar.progress.value() > 3, timeout=60_000)
    train.dock.jobbar.cancel.click()
    finish(train.dock, qtbot)
    assert train.session.model is former and not (tmp_path / "made").exists()
    assert train.resume.isVisible() and train.resume.isChecked()
    train.form.widget("train.steps").value = 20
    train.start.click()
    finish(train.dock, qtbot)
    assert train.session.model.card.steps >= 20 and not train.resume.isVisible()


def test_a_full_memory_sets_the_batch_that_fits(train: Any, qtbot: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    forward = SegmentationLoss.forward

    def small(self: Any, logits: torch.Tensor, target: torch.Tensor) -> Any:
        if len(logits) > 3:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return forward(self, logits, target)

    monkeypatch.setattr(SegmentationLoss, "forward", small)
    train.form.set(toys.QUICK.with_settings(["train.batch=8"]))
    train.stages.setCurrentText("Train on the crops only")
    train.start.click()
    finish(train.dock, qtbot)
    assert train.form.get().train.batch == 2 and "set to 2" in train.said.text()
    assert "set train.batch=2" in train.dock.jobbar.status.text() and not train.resume.isVisible()


def test_what_the_run_takes_is_said_and_follows_the_settings(train: Any, qtbot: Any) -> None:
    qtbot.waitUntil(lambda: "of memory" in train.said.text(), timeout=60_000)
    before = train.said.text()
    train.form.widget("train.batch").value = 400
    qtbot.waitUntil(lambda: "of memory" in train.said.text() and train.said.text() != before, timeout=60_000)
    train.form.widget("train.learning_rate").value = "fast"
    qtbot.waitUntil(lambda: "must be a number" in train.said.text(), timeout=60_000)


def test_the_run_is_copied_as_command_line_and_as_python(train: Any, qtbot: Any, tmp_path: Path) -> None:
    train.command.click()
    assert "not opened from a file" in train.dock.jobbar.status.text()
    session, season = train.session, sample_season()
    train.dock.viewer.layers.clear()
    qtbot.waitUntil(lambda: session.cube is None, timeout=60_000)
    train.dock.data.open_images(season)
    train.dock.data.open_labels(season / "parcels.gpkg", "crop")
    train.form.set(replace(Recipe(), seed=7))
    train.form.widget("train.steps").value = 33
    train.command.click()
    words = [shlex.split(line) for line in QApplication.clipboard().text().splitlines()]
    assert [line[:4] for line in words] == [
        ["cscl", stage, str(season), str(season / "parcels.gpkg")] for stage in ("pretrain", "train")
    ]
    assert "--class-column=crop" in words[1] and {"train.steps=33", "seed=7"} <= set(words[1])
    assert words[1][4] == str(tmp_path / "made") and not any("batch" in word for word in words[1])
    legend = tmp_path / "made-legend.csv"
    assert f"--legend={legend}" in words[1], "the open model's ids: its classes come first"
    assert Legend.from_csv(legend) == session.labels.legend and str(legend) in train.dock.jobbar.status.text()
    train.python.click()
    compile(QApplication.clipboard().text(), "copied", "exec")
    assert "train.steps=33" in QApplication.clipboard().text()


def test_the_sample_model_is_one_click_away_and_its_card_warns(toy: Any, qtbot: Any) -> None:
    qtbot.waitUntil(lambda: not toy.model._watcher.busy, timeout=60_000)
    assert toy.model.warnings.text() == ""
    toy.pages.turn_to(toy.model)
    toy.model.sample.click()
    assert toy.session.model.folder == sample_model()
    text = toy.model.card.text()
    assert "simulated" in text and "0.854" in text and "102,623" in text and "maize" in toy.model.classes.text()
    assert "lack B02, B05" in toy.model.warnings.text() and toy.model.warnings.isVisible()
    qtbot.waitUntil(lambda: "far from those" in toy.model.warnings.text(), timeout=60_000)
