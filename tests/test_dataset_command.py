"""``cscl dataset`` as a user types it, on official layouts, and the published recipes that come with the package."""

import json
from pathlib import Path

import fake_datasets as fake
import numpy as np
import pytest

from cscl.card import ModelCard
from cscl.cli import main
from cscl.data.datasets import open_dataset
from cscl.errors import InputError, MissingError
from cscl.events import run
from cscl.grid import Window
from cscl.inference.assess_folds import assess_folds
from cscl.inference.tiles import load_model
from cscl.metrics.confusion import ConfusionMatrix
from cscl.recipe import Recipe

RECIPES = sorted((Path(__file__).parents[1] / "engine" / "cscl" / "recipes").glob("*.toml"))
QUICK = ["--set", "model.num_features=4", "--set", "data.patch_px=24", "--set", "train.batch=4", "--device", "cpu"]


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[Path]]:
    """PASTIS of ten patches, and two models of different folds."""
    folder = tmp_path_factory.mktemp("d")
    here = fake.pastis(folder / "pastis", 10)
    found = []
    for folds in ("1,2,3/4/5", "2,3,4/5/1"):
        found.append(folder / f"model{folds[-1]}")
        train = ["dataset", "train", str(here), str(found[-1]), "--folds", folds, "--epochs", "2", *QUICK, "--quiet"]
        assert main(train) == 0
    return here, found


def test_several_folds_are_judged_by_the_models_that_have_not_seen_them_and_added_up(
    models: tuple[Path, list[Path]], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    here, found = models
    names = [str(model) for model in found]
    assert main(["dataset", "assess", str(here), str(tmp_path / "r"), *names]) == 0
    report = json.loads((tmp_path / "r" / "report.json").read_text())
    want = np.zeros((19, 20), np.int64)
    for model, fold in zip(found, "51", strict=True):
        loaded = load_model(model, "cpu")
        for entry in open_dataset(here).of(fold):
            scene = entry.open()
            guess = loaded.answer(scene.cube, Window(0, 0, *scene.cube.shape))[0].argmax(0)
            want += ConfusionMatrix.of(scene.labels.index(), guess, 19).counts
    assert report["accuracy"]["confusion"]["counts"] == want.tolist()
    assert report["accuracy"]["pixels"] == 4 * 20 * 24, "void, four rows of each patch, does not count"
    splits = [split["name"] for split in report["boundary"]["splits"]]
    assert splits == ["class boundary", "class boundary, published", "parcel boundary, 1 px", "parcel boundary, 2 px"]
    assert report["boundary"]["parcels"]["parcels"] == 4 * 16, "parcels of different patches stay apart"
    assert report["facts"]["folds judged by model1"] == "1"
    out = capsys.readouterr().out
    assert "mean IoU" in out and "class boundary: accuracy" in out and "WARNING" not in out


def test_what_flatters_or_cannot_be_judged_is_said(models: tuple[Path, list[Path]], tmp_path: Path) -> None:
    here, found = models
    dataset = open_dataset(here)
    remarks = run(assess_folds(found[:1], dataset, ["3", "4"], device="cpu")).remarks
    assert "model5 has learnt from fold 3, which flatters its figures." in remarks
    assert "model5 was chosen by fold 4, which flatters its figures." in remarks
    with pytest.raises(InputError, match="Fold 5 would be judged by more than one of 2 models"):
        run(assess_folds(found, dataset, ["5"], device="cpu"))
    with pytest.raises(InputError, match=r"model5 knows 19 classes, not the 17 of MTLCC"):
        run(assess_folds(found[:1], open_dataset(fake.mtlcc(tmp_path / "m")), device="cpu"))
    with pytest.raises(InputError, match=r"names no test folds of PASTIS24. Say by which to judge with --folds"):
        run(assess_folds(found[:1], open_dataset(fake.pastis24(tmp_path / "w")), device="cpu"))


def test_finer_labels_are_learnt_and_judged_at_their_own_pixels(tmp_path: Path) -> None:
    here, fine = str(fake.t31tfm(tmp_path / "d")), ["--layout", "t31tfm_x4"]
    train = ["dataset", "train", here, str(tmp_path / "m"), *QUICK, "--epochs", "1", "--quiet", "--set", "data.finer=4"]
    assert main(train) == 2, "the labels at 10 m"
    assert main([*train, *fine, "--set", "train.batch=2"]) == 0
    assert main(["dataset", "assess", here, str(tmp_path / "r"), str(tmp_path / "m"), *fine, "--quiet"]) == 0
    counted = json.loads((tmp_path / "r" / "report.json").read_text())["accuracy"]["pixels"]
    scenes = [entry.open() for entry in open_dataset(here, "t31tfm_x4").of(["eval"])]
    assert counted == sum(int((scene.labels.index() >= 0).sum()) for scene in scenes)
    assert main(["dataset", "assess", here, str(tmp_path / "x"), str(tmp_path / "m"), "--quiet"]) == 2


def test_mistakes_are_sentences(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    here = fake.pastis(tmp_path / "pastis", **{"dates-S2": None})
    assert main(["dataset", "train", str(here), str(tmp_path / "m")]) == 2
    assert "has no dates-S2: it has ID_PATCH, Fold, TILE" in capsys.readouterr().err
    assert main(["dataset", "train", str(tmp_path), str(tmp_path / "m")]) == 2
    assert "no known dataset" in capsys.readouterr().err
    with pytest.raises(MissingError, match=r"no recipe utae. Give a TOML file, or one of: .*pastis-utae"):
        Recipe.open("utae")


@pytest.mark.slow
@pytest.mark.parametrize("path", RECIPES, ids=lambda path: path.stem)
def test_every_published_recipe_trains_on_its_layout(path: Path, tmp_path: Path) -> None:
    make = {"pastis": fake.pastis, "pastis24": fake.pastis24, "mtlcc": fake.mtlcc, "t31tfm": fake.t31tfm}
    layout = path.stem.split("-")[0]
    here, recipe = make[layout](tmp_path / "d"), Recipe.open(path.stem)
    assert path.read_text(encoding="utf-8").count("cscl dataset") >= 1, "the comment says how to run it"
    small = ["--recipe", path.stem, "--set", f"data.patch_px={min(24, recipe.data.patch_px)}", "--device", "cpu"]
    start = []
    if path.stem.endswith("-cscl"):
        one = ["--set", "pretrain.steps=1", "--set", "pretrain.batch=2", "--quiet"]
        assert main(["dataset", "pretrain", str(here), str(tmp_path / "pre"), *small, *one]) == 0
        start = ["--start", str(tmp_path / "pre")]
    one = ["--set", "train.steps=1", "--set", "train.batch=2", "--quiet"]
    assert main(["dataset", "train", str(here), str(tmp_path / "m"), *small, *one, *start]) == 0
    card = ModelCard.open(tmp_path / "m")
    assert card.model.name == recipe.model.name and card.steps == 1
    assert main(["dataset", "assess", str(here), str(tmp_path / "r"), str(tmp_path / "m"), "--quiet"]) == 0
