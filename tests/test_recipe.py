from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import pytest

from cscl.errors import CSCLError, InputError, MissingError
from cscl.recipe import Choice, Recipe, build, parse_value, plain


def test_a_recipe_goes_through_toml_unchanged(tmp_path: Path) -> None:
    settings = ["train.steps=800", "model.name=unet3df", "model.day_channels=2", "pretrain.loss.window=5", "seed=3"]
    recipe = Recipe().with_settings(settings)
    (tmp_path / "recipe.toml").write_text(recipe.to_toml(), encoding="utf-8")
    assert Recipe.open(tmp_path / "recipe.toml") == recipe
    assert recipe.model == Choice("unet3df", {"day_channels": 2})
    assert recipe.pretrain.loss == Choice("cscl", {"window": 5})


def test_what_a_file_leaves_out_keeps_its_default(tmp_path: Path) -> None:
    (tmp_path / "r.toml").write_text("[train]\nsteps = 7\n", encoding="utf-8")
    assert Recipe.open(tmp_path / "r.toml") == Recipe().with_settings(["train.steps=7"])


def test_another_name_drops_the_options_of_the_former() -> None:
    recipe = Recipe().with_settings(["model.knots=8", "model.name=unet3d"])
    assert recipe.model == Choice("unet3d")


def test_the_name_alone_stands_for_the_thing() -> None:
    recipe = Recipe().with_settings(["pretrain.loss.window=5", "pretrain.loss=glcnet", "pretrain.loss.region_px=4"])
    assert recipe.pretrain.loss == Choice("glcnet", {"region_px": 4})
    assert Recipe().with_settings(["model.knots=8", "model=compact"]).model == Choice("compact", {"knots": 8})


@pytest.mark.parametrize(
    ("setting", "sentence"),
    [
        ("train.step=3", "Did you mean 'steps'"),
        ("trian.steps=3", "Did you mean 'train'"),
        ("train.steps=0", "at least 1, not 0"),
        ("data.validation_share=0.9", "from 0.0 to 0.5, not 0.9"),
        ("train.steps=many", "a whole number, not 'many'"),
        ("train.steps=3.5", "a whole number"),
        ("data.augment=1", "true or false"),
        ("pretrain.target=pixel", "Known: both, class, parcel"),
        ("train.steps", "not of the form key=value"),
        ("seed.x=1", "Unknown setting 'seed'"),
        ("train=5", "must be a table of settings, not 5"),
        ("train.clip=nan", "a finite number"),
    ],
)
def test_a_wrong_setting_is_named(setting: str, sentence: str) -> None:
    with pytest.raises(CSCLError, match=sentence.replace("(", r"\(")):
        Recipe().with_settings([setting])


def test_a_wrong_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(MissingError, match="no recipe"):
        Recipe.open(tmp_path / "none.toml")
    (tmp_path / "bad.toml").write_text("steps = = 3", encoding="utf-8")
    with pytest.raises(InputError, match="not valid TOML"):
        Recipe.open(tmp_path / "bad.toml")


def test_values_are_read_as_toml_reads_them() -> None:
    assert [parse_value(t) for t in ("3", "0.5", "true", "[1, 2]", "abc", "1e-3")] == [
        3,
        0.5,
        True,
        [1, 2],
        "abc",
        1e-3,
    ]


def test_build_makes_tuples_optionals_and_steps() -> None:
    @dataclass(frozen=True)
    class Options:
        window: Annotated[int, {"min": 3, "max": 9, "step": 2}] = 3
        bands: Annotated[tuple[str, ...] | None, {}] = None
        scale: Annotated[float | None, {}] = None

    made = build(Options, {"window": 5, "bands": ["B02", "B03"], "scale": 1}, "test")
    assert made == Options(5, ("B02", "B03"), 1.0)
    assert plain(made) == {"window": 5, "bands": ["B02", "B03"], "scale": 1.0}
    with pytest.raises(InputError, match="3 plus a multiple of 2"):
        build(Options, {"window": 4}, "test")
