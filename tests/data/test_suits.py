"""A model and images that do not suit each other are told apart before anything is mapped."""

from dataclasses import replace

import numpy as np
import pytest
import toys

from cscl.card import ModelCard
from cscl.cube import Radiometry, SITSCube
from cscl.data.suits import drift, misfits
from cscl.events import run
from cscl.training.segment import train


@pytest.fixture(scope="module")
def card(tmp_path_factory: pytest.TempPathFactory) -> ModelCard:
    recipe = toys.QUICK.with_settings(["train.steps=1"])
    return ModelCard.open(run(train([toys.scene()], tmp_path_factory.mktemp("m") / "m", recipe, device="cpu")))


def said(cube: SITSCube, card: ModelCard) -> str:
    return " ".join([*misfits(cube, card), *run(drift(cube, card))])


def test_the_season_of_the_training_suits(card: ModelCard) -> None:
    assert said(toys.scene(seed=3).cube, card) == ""


def test_what_does_not_suit_is_named(card: ModelCard) -> None:
    cube = toys.scene().cube
    assert "lack B03, B08" in said(cube.select(bands=["B04"]), card)
    assert "1 date," in said(cube.select(times=[0]), card) and "0 of the 165 days" in said(cube.select(times=[0]), card)
    assert "trained on 30 m" in said(cube, replace(card, pixel_size_m=30.0))
    unlike = replace(card, bands=("X1",), mean=(0.0,), std=(1.0,))
    assert "lack X1" in said(cube, unlike)


def test_another_scale_is_far_from_the_training_statistics(card: ModelCard) -> None:
    cube, count = toys.scene().cube, 6
    shifted = replace(cube, radiometry=Radiometry((1e-4,) * count, (-0.3,) * count, toys.NODATA, "toy"))
    values = shifted.read()[0] - cube.read()[0]
    assert np.allclose(values[2], -0.3, atol=1e-6)
    away = said(shifted, card)
    assert "B03 (-" in away and "B04 (-" in away and "Check scale and offset" in away
