"""The form of a dataclass, and the dataclass of the form."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Annotated, Any, Literal

import pytest

from cscl.data.readers import ReadOptions
from cscl.errors import InputError
from cscl.inference.predict import PredictOptions
from cscl.recipe import Choice, Recipe
from cscl.training.choices import choices
from napari_cscl.forms import Form


@pytest.fixture
def form(qtbot: Any) -> Form[Recipe]:
    form = Form(Recipe(), choices(), {"train": "Training", "pretrain": "Pre-training"})
    qtbot.addWidget(form)
    form.show()
    return form


def test_what_goes_in_comes_out(form: Form[Recipe]) -> None:
    assert form.get() == Recipe()
    other = Recipe().with_settings(
        ["train.learning_rate=1.25e-5", "data.validation_share=0.125", "data.augment=false", "seed=2147483647"]
    )
    form.set(other)
    assert form.get() == other


def test_every_network_and_loss_comes_out_as_it_went_in(form: Form[Recipe]) -> None:
    for name in choices()["model"]:
        form.set(replace(Recipe(), model=Choice(name)))
        assert form.get().model == Choice(name)
    for stage in ("pretrain", "train"):
        for name in choices()[f"{stage}.loss"]:
            part = replace(getattr(Recipe(), stage), loss=Choice(name))
            form.set(replace(Recipe(), **{stage: part}))
            assert getattr(form.get(), stage).loss == Choice(name)
    given = Choice("compact", {"temporal": "attention", "num_features": 8})
    form.set(replace(Recipe(), model=given))
    assert form.get().model == given


def test_other_options_round_trip_too(qtbot: Any) -> None:
    for value in (PredictOptions(tile_px=64), ReadOptions(bands=("B2", "B3"), scale=1e-4, crs="EPSG:32631")):
        form = Form(value)
        qtbot.addWidget(form)
        assert form.get() == value and form.widget(next(iter(vars(value)))).tooltip


def test_basic_settings_come_first_and_the_rest_is_folded(form: Form[Recipe]) -> None:
    assert form.widget("train.steps").label == "Training steps" and form.widget("train.steps").visible
    assert not form.widget("train.clip").visible
    form.more.click()
    assert form.widget("train.clip").visible and form.widget("model:compact.knots").visible
    form.widget("model").value = "unet3df"
    assert not form.widget("model:compact.knots").visible
    form.hide_parts(["pretrain"])
    assert not form.widget("pretrain.steps").visible and not form.widget("pretrain.clip").visible
    assert form.widget("train.clip").visible
    form.hide_parts([])
    assert form.widget("pretrain.clip").visible and not form.widget("model:compact.knots").visible


def test_a_change_is_told_and_a_mistake_named(form: Form[Recipe], qtbot: Any) -> None:
    with qtbot.waitSignal(form.changed):
        form.widget("train.batch").value = 5
    assert form.get().train.batch == 5
    form.widget("train.learning_rate").value = "fast"
    with pytest.raises(InputError, match=r"learning_rate.*a number, not 'fast'"):
        form.get()
    form.widget("train.learning_rate").value = "7"
    with pytest.raises(InputError, match="from 1e-07 to 1"):
        form.get()


@dataclass(frozen=True)
class Kinds:
    numbers: Annotated[tuple[int, ...], {"tooltip": "Some"}] = (1, 2)
    maybe: Annotated[int | None, {"tooltip": "A number or nothing"}] = None
    word: Annotated[str, {"tooltip": "A word"}] = "1"
    one: Annotated[Literal["a", "b"], {"tooltip": "One of two"}] = "b"


def test_every_type_of_field(qtbot: Any) -> None:
    form = Form(Kinds())
    qtbot.addWidget(form)
    assert form.get() == Kinds()
    form.set(Kinds((3,), 4, "2.50", "a"))
    assert form.get() == Kinds((3,), 4, "2.50", "a")
    form.widget("maybe").value = ""
    assert form.get().maybe is None
