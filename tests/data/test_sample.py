"""The models that come with the project: small, honest about what they are, and right about most of their season."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest

from cscl.card import ModelCard
from cscl.data.readers import open_cube
from cscl.data.sample import sample_model, sample_season
from cscl.data.scenes import LabelOptions, open_labels
from cscl.data.split import Side
from cscl.events import run
from cscl.inference.predict import predict
from cscl.training.save import split_of


@pytest.mark.parametrize("stage", ["trained", "pretrained"])
def test_it_is_small_and_says_what_it_is(stage: str) -> None:
    folder = sample_model(stage)
    card = ModelCard.open(folder)
    assert card.stage == stage and card.head is not None and (folder / "head.safetensors").is_file()
    assert any("simulated" in note for note in card.data[0]["notes"])
    assert sum(path.stat().st_size for path in folder.iterdir()) < 0.75e6


def test_it_maps_what_was_held_back_as_its_readme_says(root: Path, tmp_path: Path) -> None:
    season, folder = sample_season(), sample_model()
    cube = open_cube(season)
    options = LabelOptions(class_column="crop", legend=str(season / "legend.csv"))
    labels = open_labels(season / "parcels.gpkg", cube.grid, options)
    guess = np.asarray(run(predict(folder, cube, tmp_path / "map", device="cpu")).ids)
    held_back = (split_of(folder, cube.grid) == Side.TEST) & (labels.ids != labels.legend.ignore)
    assert np.array_equal(split_of(folder, cube.grid), split_of(sample_model("pretrained"), cube.grid))
    accuracy = float((guess == labels.ids)[held_back].mean())
    said = re.search(
        r"overall accuracy of ([0-9.]+[0-9])", (root / "sample_data/README.md").read_text(encoding="utf-8")
    )
    assert held_back.sum() > 3000 and said and accuracy == pytest.approx(float(said[1]), abs=0.006)
    assert accuracy > 0.85
