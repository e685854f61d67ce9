"""Training on published datasets: whole entries on one side, opened in turn, and nothing of the test folds is read."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import fake_datasets as fake
import numpy as np
import pytest
import toys

from cscl.card import ModelCard
from cscl.data.datasets import Dataset, Entry, Folds, open_dataset
from cscl.data.split import Side
from cscl.errors import InputError, MissingError
from cscl.events import Note, Progress, run
from cscl.recipe import Recipe
from cscl.training.folds import folds_of, prepared_of
from cscl.training.pretrain import pretrain
from cscl.training.save import split_of
from cscl.training.segment import train

RECIPE = toys.QUICK.with_settings(["data.patch_px=24", "pretrain.target=class", "train.learning_rate=1e-2"])
BRIEF = RECIPE.with_settings(["train.steps=30", "train.validate_every=30"])


@pytest.fixture(scope="module")
def pastis(tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    return open_dataset(fake.pastis(tmp_path_factory.mktemp("d") / "pastis"))


def watched(dataset: Dataset) -> tuple[Dataset, list[str]]:
    """The dataset, and the folds whose entries have been opened."""
    opened: list[str] = []

    def noting(entry: Entry) -> Callable[[], Any]:
        def open_it() -> Any:
            opened.append(entry.fold)
            return entry.open()

        return open_it

    return replace(dataset, entries=tuple(replace(e, open=noting(e)) for e in dataset.entries)), opened


def prepared(dataset: Dataset, out: Path, recipe: Recipe = RECIPE, **more: Any) -> Any:
    return run(prepared_of(Folds.parse(dataset, **more), recipe, out))


def test_training_on_folds_learns_and_never_opens_the_test_fold(pastis: Dataset, tmp_path: Path) -> None:
    dataset, opened = watched(pastis)
    notes: list[Note] = []
    job = train(Folds.parse(dataset), tmp_path / "m", BRIEF, device="cpu")
    folder = run(job, lambda event: notes.append(event) if isinstance(event, Note) else None)
    assert set(opened) == {"1", "2", "3", "4"}
    card = ModelCard.open(folder)
    assert card.accuracy["validation_overall accuracy"] > 0.6
    assert card.legend == dataset.legend and card.mean == pytest.approx([0.2502] * 10)
    assert str(card.reference_date) == "2018-09-01" and (card.first_day, card.last_day) == (21, 306)
    sides = {"training": ["1", "2", "3"], "validation": ["4"], "test": ["5"]}
    assert folds_of(card) == {"name": "PASTIS", **sides}
    assert len((folder / "card.json").read_text()) < 20_000 and not list(folder.glob("split_*"))
    assert any("Too few training pixels" in note.text for note in notes)  # 16 crops that the fake lacks
    with pytest.raises(MissingError, match="was not trained on this grid"):
        split_of(folder, dataset.entries[0].open().cube.grid)


def test_a_stopped_run_on_folds_resumes_bit_for_bit_and_refuses_other_folds(pastis: Dataset, tmp_path: Path) -> None:
    recipe = RECIPE.with_settings(["train.steps=6", "train.validate_every=3"])
    whole = run(train(Folds.parse(pastis), tmp_path / "whole", recipe, device="cpu"))
    job = train(Folds.parse(pastis), tmp_path / "cut", recipe, device="cpu")
    for event in job:
        if isinstance(event, Progress) and event.stage == "training" and event.done == 4:
            break
    job.close()
    with pytest.raises(InputError, match="began otherwise"):
        run(train(Folds.parse(pastis, "1,2/3/4"), tmp_path / "cut", recipe, device="cpu", resume=True))
    cut = run(train(Folds.parse(pastis), tmp_path / "cut", recipe, device="cpu", resume=True))
    assert (cut / "network.safetensors").read_bytes() == (whole / "network.safetensors").read_bytes()


@pytest.mark.parametrize("setting", ["pretrain.loss=cscl", "pretrain.loss=glcnet"])
def test_pre_training_by_classes_and_by_views_runs_and_training_starts_from_it(
    setting: str, pastis: Dataset, tmp_path: Path
) -> None:
    recipe = RECIPE.with_settings([setting, "pretrain.steps=3", "pretrain.batch=2", "train.steps=2"])
    start = run(pretrain(Folds.parse(pastis), tmp_path / "pre", recipe, device="cpu"))
    assert ModelCard.open(start).stage == "pretrained"
    run(train(Folds.parse(pastis), tmp_path / "m", recipe, start=start, device="cpu"))
    with pytest.raises(InputError, match=r"Fold 3 is to judge, but pre has learnt from it.*1,2,3/4/5"):
        run(train(Folds.parse(pastis, "1,2/5/3"), tmp_path / "other", recipe, start=start, device="cpu"))


def test_each_entry_comes_once_an_epoch_and_a_step_is_always_the_same(pastis: Dataset, tmp_path: Path) -> None:
    patches = prepared(pastis, tmp_path, text="1,2,3,4//5").patches(Side.TRAIN, "class", augment=False)
    seen = [int(patches.draw(step, 2).class_BHW[k].sum()) for step in range(4) for k in range(2)]
    once = sorted(int(e.open().labels.index().sum()) for e in pastis.entries if e.fold != "5")
    assert sorted(seen[:4]) == once == sorted(seen[4:]) and len(set(once)) == 4
    a, b = (patches.draw(5, 3) for _ in range(2))
    assert a.x_BTCHW.equal(b.x_BTCHW) and a.class_BHW.equal(b.class_BHW)
    small = RECIPE.with_settings(["data.patch_px=16", "data.label_share=0.5"])
    cut = prepared(pastis, tmp_path, small, text="1,2,3,4//5").patches(Side.TRAIN, "class", augment=True)
    assert cut.draw(0, 3).class_BHW.shape == (3, 16, 16) and len(cut.entries) == 2


def test_validation_counts_every_known_pixel_once(pastis: Dataset, tmp_path: Path) -> None:
    recipe = RECIPE.with_settings(["data.patch_px=16"])  # 24 = 16 + 8: tiles of four shapes
    found = prepared(pastis, tmp_path, recipe, text="1,2/3,4/5").patches(Side.VALIDATION, "class", augment=False)
    classes = [batch.class_BHW for batch in found.fixed(3, 64, 1, 8)]
    counts = sum(np.bincount(c[c >= 0].numpy(), minlength=19) for c in classes)
    index = [e.open().labels.index() for e in pastis.entries if e.fold in "34"]
    np.testing.assert_array_equal(counts, sum(np.bincount(i[i >= 0], minlength=19) for i in index))


def test_statistics_and_seasons_are_those_of_the_training_entries(pastis: Dataset, tmp_path: Path) -> None:
    own = run(prepared_of(replace(Folds.parse(pastis), own_statistics=True), RECIPE, tmp_path)).card
    pixels = np.concatenate([e.open().cube.read()[0][:, 0].ravel() for e in pastis.entries if e.fold in "123"])
    assert own.mean[0] == pytest.approx(pixels.mean(), rel=1e-4) and own.std[0] == pytest.approx(pixels.std(), rel=1e-4)
    france = open_dataset(fake.t31tfm(tmp_path / "france"))
    card = prepared(france, tmp_path).card
    assert card.mean == (0.0,) * 13 and card.std == (1.0,) * 13
    assert (card.first_day, card.last_day) == (94, 339), "three years are one season"


def test_what_a_dataset_cannot_give_is_said(pastis: Dataset, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"have the pixels of their images, and data.finer is 2. Set data.finer=1"):
        prepared(pastis, tmp_path, RECIPE.with_settings(["data.finer=2"]))
    with pytest.raises(InputError, match=r"Set data.patch_px=24"):
        prepared(pastis, tmp_path, RECIPE.with_settings(["data.patch_px=32"]))
    windows = open_dataset(fake.pastis24(tmp_path / "d"))
    spread = RECIPE.with_settings(["train.steps=1", "unlabelled.weight=1.0", "data.label_share=0.5"])
    run(train(Folds.parse(windows, "1,2,3/4/5"), tmp_path / "m", spread, device="cpu"))  # nothing to spread over
    beside = spread.with_settings(["pretrain.target=parcel", "train.joint_weight=0.5"])
    with pytest.raises(InputError, match=r"set pretrain\.target=class and train\.joint_samples=shared"):
        run(train(Folds.parse(windows, "1,2,3/4/5"), tmp_path / "n", beside, device="cpu"))
    with pytest.raises(InputError, match="does not know its parcels"):
        prepared(windows, tmp_path).patches(Side.TRAIN, "parcel", augment=False)
    notes: list[Any] = []
    run(prepared_of(Folds.parse(pastis, "1,2/5/5"), RECIPE, tmp_path), notes.append)
    assert any(isinstance(n, Note) and "flatters" in n.text for n in notes)


def test_of_few_labels_no_other_crop_is_read_while_all_outlines_are(pastis: Dataset, tmp_path: Path) -> None:
    few = prepared(pastis, tmp_path, RECIPE.with_settings(["data.label_share=0.5"]), text="1,2,3,4//5")

    def crops_by_look(target: str) -> dict[float, int]:
        batch = few.patches(Side.TRAIN, target, augment=False).draw(0, 4)  # of as many entries, or twice of two
        assert (batch.parcel_BHW > 0).flatten(1).any(1).all()
        looks, crops = (tensor.flatten(1).sum(1) for tensor in (batch.x_BTCHW, batch.class_BHW))
        return {round(float(look), 1): int(crop) for look, crop in zip(looks, crops, strict=True)}

    by_class, both = crops_by_look("class"), crops_by_look("both")
    assert (len(by_class), len(both)) == (2, 4)
    assert both == {**dict.fromkeys(both, -24 * 24), **by_class}, "all outlines, and the crops of the two"
    known = [e.open().labels.index() for e in few.patches(Side.TRAIN, "class", augment=False).entries]
    assert few.class_counts().tolist() == sum(np.bincount(i[i >= 0], minlength=19) for i in known).tolist()
