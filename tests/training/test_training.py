import csv
from collections.abc import Generator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import toys
import xarray as xr
from safetensors.numpy import load_file
from torch import Tensor

from cscl.card import ModelCard
from cscl.cube import SITSCube
from cscl.data.network import build_network
from cscl.data.split import Side
from cscl.errors import CSCLError, InputError, OutputError
from cscl.events import Finish, Measure, Note, Progress, run
from cscl.grid import Window
from cscl.legend import Legend
from cscl.models.compact import Compact
from cscl.products import LabelMap, Scene
from cscl.recipe import Recipe
from cscl.training.pretrain import pretrain
from cscl.training.save import split_of
from cscl.training.segment import train


@pytest.fixture(scope="module")
def pretrained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("models") / "pretrained"
    return run(pretrain([toys.scene()], out, toys.QUICK, device="cpu"))


def weights(folder: Path) -> dict[str, Any]:
    return load_file(folder / "network.safetensors")


def test_pretraining_by_parcel_pulls_pairs_apart_without_any_crop_label(tmp_path: Path) -> None:
    seen: list[Measure] = []
    job = pretrain([outlines(toys.scene())], tmp_path / "m", toys.QUICK, device="cpu")
    run(job, lambda e: seen.append(e) if isinstance(e, Measure) else None)
    gaps = [m.values["similarity_gap"] for m in seen]
    assert gaps[-1] > gaps[0] + 0.05
    card = ModelCard.open(tmp_path / "m")
    assert card.stage == "pretrained" and card.head is not None and card.head["target"] == "parcel"
    assert (tmp_path / "m" / "head.safetensors").is_file()


def test_training_learns_and_its_folder_repeats_the_run(tmp_path: Path) -> None:
    folder = run(train([toys.scene()], tmp_path / "m", toys.QUICK, device="cpu"))
    card = ModelCard.open(folder)
    assert card.accuracy["validation_overall accuracy"] > 0.8
    assert card.legend == toys.LEGEND and card.bands == ("B03", "B04", "B08")
    assert Recipe.open(folder / "recipe.toml") == toys.QUICK == card.recipe
    with (folder / "log.csv").open() as stream:
        assert [row["step"] for row in csv.DictReader(stream)][:3] == ["10", "20", "30"]
    again = run(train([toys.scene()], tmp_path / "again", Recipe.open(folder / "recipe.toml"), device="cpu"))
    assert all(np.array_equal(weights(again)[k], v) for k, v in weights(folder).items())


@pytest.mark.parametrize(("stage", "step"), [("training", 37), ("training", 30), ("validation", 1)])
def test_a_killed_run_resumes_bit_for_bit(stage: str, step: int, tmp_path: Path) -> None:
    recipe = toys.QUICK.with_settings(["train.joint_weight=0.1", "train.ema=0.9"])
    whole = run(train([toys.scene()], tmp_path / "whole", recipe, device="cpu"))
    job = train([toys.scene()], tmp_path / "cut", recipe, device="cpu")
    _run_until(job, stage, step)
    job.close()
    assert not (tmp_path / "cut").exists() and (tmp_path / "cut.part" / "checkpoint.pt").is_file()
    with pytest.raises(OutputError, match="--resume"):
        run(train([toys.scene()], tmp_path / "cut", recipe, device="cpu"))
    cut = run(train([toys.scene()], tmp_path / "cut", recipe, device="cpu", resume=True))
    for name in ("network.safetensors", "head.safetensors", "log.csv"):
        assert (cut / name).read_bytes() == (whole / name).read_bytes(), name
    assert not (tmp_path / "cut.part").exists()


def test_what_a_killed_process_left_without_a_checkpoint_is_named_and_dropped_on_request(tmp_path: Path) -> None:
    recipe, out = toys.QUICK.with_settings(["train.steps=1"]), tmp_path / "m"
    (tmp_path / "m.part").mkdir()
    for resume, remedy in ((False, "Add --overwrite to drop it"), (True, "Use --overwrite instead of --resume")):
        with pytest.raises(CSCLError, match=remedy):
            run(train([toys.scene()], out, recipe, device="cpu", resume=resume))
    run(train([toys.scene()], out, recipe, device="cpu", overwrite=True))


def _run_until(job: Generator[Any, None, Any], stage: str, step: int) -> None:
    for event in job:
        if isinstance(event, Progress) and event.stage == stage and event.done >= step:
            return


@pytest.mark.parametrize(("stage", "step"), [("training", 37), ("validation", 1)])
def test_a_run_that_is_told_to_finish_keeps_the_best_so_far(stage: str, step: int, tmp_path: Path) -> None:
    job = train([toys.scene()], tmp_path / "m", toys.QUICK, device="cpu")
    _run_until(job, stage, step)
    folder = _finish(job)
    card = ModelCard.open(folder)
    with (folder / "log.csv").open() as stream:
        rows = list(csv.DictReader(stream))
    assert card.steps == int(rows[-1]["step"]) == (37 if stage == "training" else 30)
    assert rows[-1]["validation_mean IoU"] and card.accuracy and card.recipe.train.steps == 60
    assert not (tmp_path / "m.part").exists()


def test_pretraining_that_is_told_to_finish_keeps_its_head(tmp_path: Path) -> None:
    job = pretrain([toys.scene()], tmp_path / "m", toys.QUICK, device="cpu")
    _run_until(job, "pre-training", 3)
    card = ModelCard.open(_finish(job))
    assert card.steps == 3 and card.head is not None and (tmp_path / "m" / "head.safetensors").is_file()


def test_what_has_not_begun_to_learn_ends_with_nothing(tmp_path: Path) -> None:
    job = train([toys.scene()], tmp_path / "m", toys.QUICK, device="cpu")
    next(job)
    with pytest.raises(Finish):
        job.throw(Finish())
    assert not list(tmp_path.iterdir())


def _finish(job: Generator[Any, None, Any]) -> Path:
    try:
        job.throw(Finish())
        while True:
            next(job)
    except StopIteration as end:
        return end.value


def test_a_look_that_the_memory_does_not_hold_is_taken_in_halves(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    recipe = toys.QUICK.with_settings(["train.steps=3"])
    plain = run(train([toys.scene(128)], tmp_path / "plain", recipe, device="cpu"))
    forward, sizes = Compact.forward, set()

    def small(self: Compact, x: Tensor, day: Tensor, valid: Tensor) -> tuple[Tensor, Tensor]:
        sizes.add(len(x))
        if len(x) > 1 and not self.training:
            raise MemoryError
        return forward(self, x, day, valid)

    monkeypatch.setattr(Compact, "forward", small)
    halved = run(train([toys.scene(128)], tmp_path / "halved", recipe, device="cpu"))
    assert len(sizes) > 2 and ModelCard.open(halved).accuracy == ModelCard.open(plain).accuracy


def test_fine_tuning_takes_the_whole_backbone_and_keeps_the_head(pretrained: Path, tmp_path: Path) -> None:
    recipe = toys.QUICK.with_settings(["train.steps=1", "train.learning_rate=1e-7", "train.weight_decay=0.0", "seed=1"])
    folder = run(train([toys.scene()], tmp_path / "still", recipe, start=pretrained, device="cpu"))
    before, after = weights(pretrained), weights(folder)
    learnt = [k for k in before if not k.startswith("classify.") and "running" not in k and "num_batches" not in k]
    assert len(learnt) > 10 and all(np.allclose(before[k], after[k], atol=1e-6) for k in learnt)
    assert not np.allclose(before["classify.weight"], after["classify.weight"], atol=1e-3)
    assert any(not np.array_equal(before[k], after[k]) for k in learnt), "nothing is frozen"
    assert (folder / "head.safetensors").read_bytes() == (pretrained / "head.safetensors").read_bytes()
    assert ModelCard.open(folder).head == ModelCard.open(pretrained).head


def test_joint_training_learns_a_head_beside_the_classes(tmp_path: Path) -> None:
    recipe = toys.QUICK.with_settings(["train.joint_weight=0.5", "train.steps=12", "train.ema=0.9"])
    seen: list[Measure] = []
    folder = run(
        train([toys.scene()], tmp_path / "m", recipe, device="cpu"),
        lambda e: seen.append(e) if isinstance(e, Measure) else None,
    )
    assert "similarity_gap" in seen[0].values and (folder / "head.safetensors").is_file()


def test_early_stopping_keeps_the_best(tmp_path: Path) -> None:
    settings = ["train.patience=1", "train.validate_every=2", "train.learning_rate=1e-7", "train.steps=50"]
    steps: list[int] = []
    run(
        train([toys.scene()], tmp_path / "m", toys.QUICK.with_settings(settings), device="cpu"),
        lambda e: steps.append(e.done) if isinstance(e, Progress) and e.stage == "training" else None,
    )
    assert max(steps) < 50


def test_held_out_blocks_are_kept_with_the_model(pretrained: Path) -> None:
    scene = toys.scene()
    unseen = split_of(pretrained, scene.cube.grid) == Side.TEST
    assert 0.05 < unseen.mean() < 0.5
    for number in np.unique(scene.labels.parcel_ids):
        assert len(np.unique(unseen[scene.labels.parcel_ids == number])) == 1


def outlines(scene: Scene) -> Scene:
    labels = replace(scene.labels, ids=np.full_like(scene.labels.ids, 255), legend=Legend(()))
    return Scene(scene.cube, labels)


def test_what_pretraining_saw_is_never_held_out_later(tmp_path: Path) -> None:
    """Outlines alone are split without regard to crops, and another seed splits otherwise: neither may leak."""
    scene, other = toys.scene(size=96), toys.scene(size=64)
    few = ["pretrain.steps=1", "train.steps=1"]
    both = [outlines(scene), outlines(other)]
    start = run(pretrain(both, tmp_path / "start", toys.QUICK.with_settings(few), device="cpu"))
    recipe = toys.QUICK.with_settings([*few, "seed=9"])
    model = run(train([scene], tmp_path / "model", recipe, start=start, device="cpu"))
    seen = split_of(start, scene.cube.grid) == Side.TRAIN
    held = np.isin(split_of(model, scene.cube.grid), (Side.VALIDATION, Side.TEST))
    assert held.mean() > 0.2 and not (held & seen).any()
    assert np.array_equal(split_of(model, other.cube.grid), split_of(start, other.cube.grid))

    tuned = run(train([scene], tmp_path / "tuned", recipe, start=start, window=Window(0, 0, 96, 32), device="cpu"))
    side = split_of(tuned, scene.cube.grid)
    assert (side[:, :32] == Side.TRAIN).all() and set(np.unique(side[:, 32:])) == {Side.NONE, Side.TEST}
    assert not ((side == Side.TEST) & seen).any()


def test_two_years_of_a_place_are_split_alike(tmp_path: Path) -> None:
    first, second = toys.scene(seed=0), toys.scene(seed=1)
    folder = run(train([first, second], tmp_path / "m", toys.QUICK.with_settings(["train.steps=1"]), device="cpu"))
    one, two = (folder / f"split_{number}.tif" for number in (1, 2))
    assert one.read_bytes() == two.read_bytes()


def test_the_season_spans_the_dates_of_all_scenes(tmp_path: Path) -> None:
    scene, longer = toys.scene(dates=6), toys.scene(dates=8)
    card = ModelCard.open(
        run(pretrain([scene, longer], tmp_path / "m", toys.QUICK.with_settings(["pretrain.steps=1"])))
    )
    assert (card.first_day, card.last_day) == (63, 63 + 7 * 33)


def test_two_scenes_share_one_legend(tmp_path: Path) -> None:
    first, second = toys.scene(seed=0), toys.scene(seed=1)
    fewer = Legend(toys.LEGEND.classes[:2])
    ids = np.where(first.labels.ids == 9, 255, first.labels.ids).astype(np.uint8)
    first = Scene(first.cube, replace(first.labels, ids=ids, legend=fewer))
    recipe = toys.QUICK.with_settings(["train.steps=2"])
    card = ModelCard.open(run(train([first, second], tmp_path / "m", recipe, device="cpu")))
    assert card.legend.ids == (0, 4, 9) and len(card.data) == 2


def test_a_class_without_pixels_is_a_warning(tmp_path: Path) -> None:
    scene = toys.scene()
    ids = np.where(scene.labels.ids == 9, 255, scene.labels.ids).astype(np.uint8)
    notes: list[Note] = []
    run(
        train(
            [Scene(scene.cube, replace(scene.labels, ids=ids))],
            tmp_path / "m",
            toys.QUICK.with_settings(["train.steps=2"]),
            device="cpu",
        ),
        lambda e: notes.append(e) if isinstance(e, Note) else None,
    )
    assert any(note.warning and "maïs (0)" in note.text for note in notes)


def one_class(scene: Scene) -> Scene:
    ids = np.where(scene.labels.ids == 0, 0, 255).astype(np.uint8)
    return Scene(scene.cube, replace(scene.labels, ids=ids))


def without_ids(scene: Scene) -> Scene:
    return Scene(scene.cube, replace(scene.labels, parcel_ids=None))


def renamed(scene: Scene) -> Scene:
    classes = (*toys.LEGEND.classes[:2], replace(toys.LEGEND.classes[2], code="SUN"))
    return Scene(scene.cube, replace(scene.labels, legend=Legend(classes)))


def unseen(scene: Scene) -> Scene:
    return Scene(replace(scene.cube, stored=xr.full_like(scene.cube.stored, toys.NODATA)), scene.labels)


def one_date(scene: Scene) -> Scene:
    return Scene(scene.cube.select(times=[0]), scene.labels)


def lone(scene: Scene) -> Scene:
    """The scene with one parcel, of one crop."""
    labels = scene.labels
    return replace(scene, labels=replace(labels, ids=labels.ids * 0, parcel_ids=np.ones_like(labels.parcel_ids)))


@pytest.mark.parametrize(
    ("job", "sentence"),
    [
        (lambda out: train([one_class(toys.scene())], out, toys.QUICK), "two are the least to tell apart"),
        (lambda out: pretrain([without_ids(toys.scene())], out, toys.QUICK), "hold no parcel ids"),
        (lambda out: train([toys.scene(size=12)], out, toys.QUICK), "fewer than a sample of 16 x 16"),
        (lambda out: train([unseen(toys.scene())], out, toys.QUICK), "is usable on any date"),
        (lambda out: train([one_date(toys.scene())], out, toys.QUICK), "needs at least 2"),
        (lambda out: train([toys.scene(), renamed(toys.scene())], out, toys.QUICK), "means 'MAI' in one scene"),
        (lambda out: train([], out, toys.QUICK), "no scene to train on"),
        (
            lambda out: train([toys.scene()], out, toys.QUICK.with_settings(["train.loss.name=cscl"])),
            "wanted that reads the logits",
        ),
        (
            lambda out: train(
                [toys.scene()], out, toys.QUICK.with_settings(["model.name=unet3df", "data.patch_px=18"])
            ),
            "multiple of 4",
        ),
        (lambda out: train([toys.scene()], out, toys.QUICK.with_settings(["model.knot=3"])), "Did you mean 'knots'"),
        (lambda out: train([toys.scene()], out, toys.QUICK, device="tpu"), "not available here"),
        (lambda out: train([toys.scene()], out, toys.QUICK, resume=True), "no unfinished run"),
        (lambda out: pretrain([lone(toys.scene())], out, toys.QUICK), r"one parcel only.*pretrain\.loss=glcnet"),
        (
            lambda out: pretrain([lone(toys.scene())], out, toys.QUICK.with_settings(["pretrain.target=class"])),
            r"one crop only.*pretrain\.target=parcel",
        ),
    ],
)
def test_mistakes_get_a_sentence_and_leave_nothing(job: Any, sentence: str, tmp_path: Path) -> None:
    with pytest.raises(CSCLError, match=sentence):
        run(job(tmp_path / "m"))
    assert not any(tmp_path.iterdir())


def test_an_empty_date_and_a_pixel_never_seen_do_no_harm(tmp_path: Path) -> None:
    scene = toys.scene()
    stored = scene.cube.stored.copy()
    stored[2] = toys.NODATA
    stored[:, :, 20:24, 20:24] = toys.NODATA
    cube = replace(scene.cube, stored=stored)
    assert isinstance(cube, SITSCube)
    folder = run(train([Scene(cube, scene.labels)], tmp_path / "m", toys.QUICK.with_settings(["train.steps=5"])))
    assert all(np.isfinite(v).all() for v in weights(folder).values())


def test_a_card_moves_its_season_by_whole_years(pretrained: Path) -> None:
    card = ModelCard.open(pretrained)
    dates = toys.scene().cube.dates
    days = card.days_of(dates)
    assert days[0] == 63 and np.array_equal(card.days_of(dates + np.timedelta64(365, "D")), days)
    leap_year = card.days_of(dates + np.timedelta64(3 * 365 + 1, "D"))
    assert np.array_equal(leap_year, days + 1)
    assert build_network(card)[1].parameters == card.parameters


def test_a_drawn_window_trains_inside_only(tmp_path: Path) -> None:
    scene = toys.scene()
    labels: LabelMap = scene.labels
    notes: list[str] = []
    recipe = toys.QUICK.with_settings(["train.steps=2"])
    folder = run(
        train([scene], tmp_path / "m", recipe, window=Window(0, 0, 64, 32), device="cpu"),
        lambda e: notes.append(e.text) if isinstance(e, Note) else None,
    )
    assert any("lie on both sides" in note for note in notes)
    unseen = split_of(folder, labels.grid) == Side.TEST
    assert unseen[:, 32:].all() and not unseen[:, :32].any()


def test_damaged_files_are_named(pretrained: Path, tmp_path: Path) -> None:
    import shutil

    broken = tmp_path / "broken"
    shutil.copytree(pretrained, broken)
    (broken / "card.json").write_text("{")
    with pytest.raises(InputError, match="damaged"):
        ModelCard.open(broken)
    shutil.copy(pretrained / "card.json", broken)
    (broken / "network.safetensors").write_bytes(b"nothing")
    with pytest.raises(InputError, match="damaged"):
        run(train([toys.scene()], tmp_path / "m", toys.QUICK, start=broken))
