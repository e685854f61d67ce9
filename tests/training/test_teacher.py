"""Learning from parcels without a crop: what the teacher says and sees, and training with it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
import toys

from cscl.card import ModelCard
from cscl.data.batches import Batch
from cscl.data.network import build_network
from cscl.data.split import Side
from cscl.errors import CSCLError
from cscl.events import Job, Measure, Note, run
from cscl.inference.tiles import load_model
from cscl.losses.consistency import answers_of_parcels, inside
from cscl.models import Network
from cscl.products import Scene
from cscl.recipe import Recipe, UnlabelledSettings
from cscl.training.prepare import Prepared, prepare
from cscl.training.segment import train
from cscl.training.teacher import Teacher

SPREAD = toys.QUICK.with_settings(["unlabelled.weight=1.0", "data.test_share=0.2"])


def few(known: int = 5) -> Scene:
    """The toy scene with the crops of a few of its 64 parcels."""
    scene = toys.scene()
    labels = scene.labels
    assert labels.parcel_ids is not None
    kept = np.random.default_rng(3).choice(np.arange(1, 57), known, replace=False)
    ids = np.where(np.isin(labels.parcel_ids, kept), labels.ids, labels.legend.ignore)
    return Scene(scene.cube, replace(labels, ids=ids.astype(labels.ids.dtype)))


def made(tmp_path: Path) -> tuple[Prepared, Network, Batch]:
    prepared = run(prepare([few()], SPREAD, tmp_path / "m"))
    torch.manual_seed(0)
    network, _ = build_network(prepared.card)
    return prepared, network, prepared.patches(Side.TRAIN, "parcel", augment=True).draw(0, 4)


def test_the_teacher_answers_by_its_own_weights_and_leaves_the_network_alone(tmp_path: Path) -> None:
    _, network, batch = made(tmp_path)
    network.train()
    before = {k: v.clone() for k, v in network.state_dict().items()}
    averages = {f"network.{k}": v + 0.01 if v.is_floating_point() else v for k, v in before.items()}
    teacher = Teacher(network, UnlabelledSettings(weight=1.0))
    answer = teacher.answer({**averages, "head.query.weight": torch.zeros(1)}, batch)
    assert network.training and all(torch.equal(v, before[k]) for k, v in network.state_dict().items())

    network.load_state_dict({k.removeprefix("network."): v for k, v in averages.items()})
    network.eval()
    with torch.no_grad():
        p = network(batch.x_BTCHW, batch.day_BT, batch.valid_BTHW)[0].softmax(1)
    assert torch.allclose(answer, answers_of_parcels(p, batch.parcel_BHW))
    by_pixel = Teacher(network, UnlabelledSettings(weight=1.0, average="pixel"))
    assert torch.allclose(by_pixel.answer(None, batch), p) and not torch.allclose(p, answer)
    at_edge = Teacher(network, UnlabelledSettings(weight=1.0, average="edge")).answer(None, batch)
    where = inside(batch.parcel_BHW)[:, None].expand_as(p)
    assert torch.equal(at_edge[where], p[where]) and torch.equal(at_edge[~where], answer[~where])


def test_samples_are_thinned_but_keep_a_date_that_shows_something(tmp_path: Path) -> None:
    _, network, batch = made(tmp_path)
    torch.manual_seed(1)
    thin = Teacher(network, UnlabelledSettings(date_dropout=0.5)).thinned(batch, slice(1, None))
    assert torch.equal(thin.valid_BTHW[0], batch.valid_BTHW[0]) and torch.equal(thin.x_BTCHW[0], batch.x_BTCHW[0])
    hidden = batch.valid_BTHW & ~thin.valid_BTHW
    assert not (thin.valid_BTHW & ~batch.valid_BTHW).any() and hidden[1:].any()
    assert thin.valid_BTHW.flatten(1).any(1).all()
    assert not thin.x_BTCHW.movedim(2, 0)[:, ~thin.valid_BTHW].any()
    assert torch.equal(thin.class_BHW, batch.class_BHW)


def test_the_weight_rises_and_stays() -> None:
    teacher = Teacher(torch.nn.Identity(), UnlabelledSettings(weight=2.0, rise=0.5))
    assert [teacher.weight(done) for done in (0.0, 0.25, 0.5, 1.0)] == [0, 1, 2, 2]
    assert Teacher(torch.nn.Identity(), UnlabelledSettings(weight=2.0, rise=0.0)).weight(0.0) == 2


def told(job: Job[Path]) -> tuple[Path, list[str], list[Measure]]:
    notes: list[str] = []
    measures: list[Measure] = []

    def hear(event: object) -> None:
        if isinstance(event, Note):
            notes.append(event.text)
        if isinstance(event, Measure):
            measures.append(event)

    return run(job, hear), notes, measures


def test_training_learns_from_parcels_without_a_crop(tmp_path: Path) -> None:
    recipe = SPREAD.with_settings(["train.steps=40", "unlabelled.rise=0.1"])
    folder, notes, measures = told(train([few()], tmp_path / "m", recipe, device="cpu"))
    assert any("without a crop" in note for note in notes)
    learnt = [m.values for m in measures if "agreement" in m.values]
    assert learnt and learnt[-1]["agreement"] > max(0.6, learnt[0]["agreement"])
    assert ModelCard.open(folder).recipe.unlabelled.weight == 1
    assert load_model(folder, "cpu").card.steps == 40


def test_a_run_that_is_stopped_goes_on_as_if_it_had_not_been(tmp_path: Path) -> None:
    recipe = SPREAD.with_settings(["train.steps=12", "train.validate_every=100"])
    whole = run(train([few()], tmp_path / "whole", recipe, device="cpu"))
    job = train([few()], tmp_path / "halted", recipe, device="cpu")
    while not (isinstance(event := next(job), Measure) and event.step == 10):
        pass
    job.close()
    halted = run(train([few()], tmp_path / "halted", recipe, device="cpu", resume=True))
    assert (whole / "network.safetensors").read_bytes() == (halted / "network.safetensors").read_bytes()


@pytest.mark.parametrize(
    "scene", [toys.scene(), Scene(toys.scene().cube, replace(toys.scene().labels, parcel_ids=None))]
)
def test_where_there_is_nothing_to_spread_training_is_plain(tmp_path: Path, scene: Scene) -> None:
    settings = ["train.steps=10", "train.validate_every=100"]
    spread, notes, measures = told(train([scene], tmp_path / "a", SPREAD.with_settings(settings), device="cpu"))
    plain = run(train([scene], tmp_path / "b", toys.QUICK.with_settings(settings), device="cpu"))
    assert not any("without a crop" in note for note in notes) and "agreement" not in measures[-1].values
    assert (spread / "network.safetensors").read_bytes() == (plain / "network.safetensors").read_bytes()


def test_ranges_are_checked() -> None:
    with pytest.raises(CSCLError, match=r"unlabelled\.weight|'weight'"):
        Recipe().with_settings(["unlabelled.weight=-1"])
