"""A run, copied as a command line and as Python, is the same run again."""

from __future__ import annotations

import itertools
import shlex
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import load_file

from cscl.cli import main
from cscl.data.commands import Run, command_of, python_of
from cscl.data.readers import ReadOptions, open_cube
from cscl.data.scenes import LabelOptions, open_labels
from cscl.events import run
from cscl.grid import refined
from cscl.products import Scene
from cscl.recipe import Choice, Recipe
from cscl.simulate import SeasonOptions, simulate, write_season
from cscl.training.pretrain import pretrain
from cscl.training.segment import train

TINY = Recipe().with_settings(
    [
        *("model.num_features=4", "data.patch_px=16", "data.block_px=16", "pretrain.loss.width=16", "seed=3"),
        "data.finer=2",
        *("pretrain.steps=3", "pretrain.batch=2", "train.steps=3", "train.batch=2", "train.loss.class_weights=sqrt"),
    ]
)


def test_both_forms_repeat_the_run(tmp_path: Path) -> None:
    season = run(write_season(run(simulate(SeasonOptions(size_px=64, dates=4, parcel_size="small"))), tmp_path / "a b"))
    meant = Run(
        season, season / "parcels.gpkg", tmp_path / "m", TINY, labelling=LabelOptions(class_column="crop"),
        reading=ReadOptions(bands=("B04", "B08")), device="cpu",
    )  # fmt: skip
    cube = open_cube(season, meant.reading)
    scene = Scene(cube, open_labels(meant.labels, refined(cube.grid, 2), meant.labelling))
    start = run(pretrain([scene], meant.pretrained, TINY, device="cpu"))
    run(train([scene], meant.out, TINY, start=start, device="cpu"))
    for line in command_of(replace(meant, out=tmp_path / "by command")).splitlines():
        assert main([*shlex.split(line)[1:], "--quiet"]) == 0
    exec(python_of(replace(meant, out=tmp_path / "by python")), {})
    wanted = load_file(meant.out / "network.safetensors")
    for name in ("by command", "by python"):
        assert Recipe.open(tmp_path / name / "recipe.toml") == TINY
        made = load_file(tmp_path / name / "network.safetensors")
        assert all(np.array_equal(made[key], value) for key, value in wanted.items())


def test_only_what_differs_is_said() -> None:
    plain = Run(Path("s"), Path("l.tif"), Path("m"))
    assert command_of(plain).splitlines() == [
        "cscl pretrain s l.tif m-pretrained",
        "cscl train s l.tif m --start m-pretrained",
    ]
    only = replace(plain, pretraining=False, start=Path("old"), overwrite=True)
    assert command_of(only) == "cscl train s l.tif m --start old --overwrite"
    assert "pretrain" not in python_of(only) and "start='old'" in python_of(only)
    assert command_of(replace(plain, training=False)) == "cscl pretrain s l.tif m"


@pytest.mark.parametrize("model", [Choice("unet3df"), Choice("compact", {"temporal": "attention", "num_features": 8})])
def test_settings_read_back(model: Choice) -> None:
    recipe = replace(TINY, model=model)
    words = shlex.split(command_of(Run(Path("s"), Path("l.tif"), Path("m"), recipe)).splitlines()[0])
    given = [value for key, value in itertools.pairwise(words) if key == "--set"]
    assert Recipe().with_settings(given) == recipe
