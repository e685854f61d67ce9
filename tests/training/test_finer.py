"""Models whose maps are finer than the images: the same jobs, the same files, and what fits together."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import toys
from safetensors.numpy import load_file

from cscl.card import ModelCard
from cscl.data.split import Side
from cscl.errors import CSCLError, InputError, MemoryLimitError
from cscl.events import Progress, run
from cscl.grid import Window, crop, make_grid, refined, require_same
from cscl.inference.assess import assess
from cscl.inference.embed import affinity, embed
from cscl.inference.judging import held_out
from cscl.inference.predict import PredictOptions, predict
from cscl.products import Prediction
from cscl.training.begin import inherited
from cscl.training.finetune import finetune
from cscl.training.needs import needs
from cscl.training.pretrain import pretrain
from cscl.training.refine import refine
from cscl.training.save import split_of
from cscl.training.segment import train

FINER = toys.QUICK.with_settings(["data.finer=2", "pretrain.steps=12", "train.steps=90", "pretrain.loss.dilation=2"])


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path, Path]:
    """A pre-trained model of finer maps, the one trained from it, and a trained one of the images' own pixels."""
    folder, scene = tmp_path_factory.mktemp("models"), toys.scene()
    start = run(pretrain([toys.finer(scene)], folder / "start", FINER, device="cpu"))
    trained = run(train([toys.finer(scene)], folder / "trained", FINER, start=start, device="cpu"))
    return start, trained, run(train([scene], folder / "plain", toys.QUICK, device="cpu"))


def weights(folder: Path) -> dict[str, Any]:
    return load_file(folder / "network.safetensors")


def test_a_finer_map_is_right_lies_in_its_place_and_does_not_depend_on_the_tiling(
    models: tuple[Path, Path, Path], tmp_path: Path
) -> None:
    scene = toys.finer(toys.scene(size=90, seed=6))
    whole = run(predict(models[1], scene.cube, tmp_path / "a", PredictOptions(tile_px=256), device="cpu"))
    require_same(whole.grid, scene.labels.grid, "map and labels")
    known = scene.labels.ids != 255
    assert (whole.ids.values[known] == scene.labels.ids[known]).mean() > 0.85
    assert whole.facts["finer"] == 2 and whole.facts["finer_by"] == "model"
    tiled = run(predict(models[1], scene.cube, tmp_path / "b", PredictOptions(tile_px=32, blend_px=6), device="cpu"))
    assert np.array_equal(whole.ids.values, tiled.ids.values)
    assert np.abs(whole.confidence.values.astype(int) - tiled.confidence.values).max() <= 1


def test_blocks_are_pretrained_and_taken_over_with_the_rest(models: tuple[Path, Path, Path], tmp_path: Path) -> None:
    still = FINER.with_settings(["train.steps=1", "train.learning_rate=1e-7", "train.weight_decay=0.0", "data.finer=1"])
    scene = toys.finer(toys.scene())
    folder = run(train([scene], tmp_path / "m", still, start=models[0], device="cpu"))
    assert ModelCard.open(folder).finer == 2, "what the start is stays, whatever the recipe leaves out"
    before, after = weights(models[0]), weights(folder)
    blocks = [k for k in before if k.startswith("upsample.") and "running" not in k and "num_batches" not in k]
    assert len(blocks) == 4 and all(np.allclose(before[k], after[k], atol=1e-6) for k in blocks)
    assert (folder / "head.safetensors").read_bytes() == (models[0] / "head.safetensors").read_bytes()


def test_a_model_of_coarser_maps_can_be_started_from(models: tuple[Path, Path, Path], tmp_path: Path) -> None:
    still = FINER.with_settings(["train.steps=1", "train.learning_rate=1e-7", "train.weight_decay=0.0"])
    scene = toys.finer(toys.scene())
    folder = run(train([scene], tmp_path / "m", still, start=models[2], device="cpu"))
    before, after = weights(models[2]), weights(folder)
    assert set(after) > set(before) and np.allclose(before["classify.weight"], after["classify.weight"], atol=1e-6)
    seen = split_of(models[2], scene.labels.grid)
    held = np.isin(split_of(folder, scene.labels.grid), (Side.VALIDATION, Side.TEST))
    assert held.any() and not (held & (seen == Side.TRAIN)).any()
    parcels, side = scene.labels.parcel_ids, split_of(folder, scene.labels.grid)
    assert parcels is not None
    sides = [set(np.unique(side[parcels == parcel])) - {Side.NONE} for parcel in np.unique(parcels)]
    assert max(map(len, sides)) == 1, "rims of parcels, which the former pixels cut off, lie on no side"
    finest = replace(ModelCard.open(folder), recipe=FINER.with_settings(["data.finer=4"]))
    with pytest.raises(InputError, match=r"maps 4 times finer than the images, and data\.finer is 2"):
        inherited(FINER, finest)


def test_sides_are_known_at_either_kind_of_pixels(models: tuple[Path, Path, Path]) -> None:
    grid = toys.scene().labels.grid
    fine, coarse = split_of(models[1], refined(grid, 2)), split_of(models[1], grid)
    alike = fine.reshape(64, 2, 64, 2)
    whole = (alike == alike[:, :1, :, :1]).all(axis=(1, 3))
    assert np.array_equal(coarse[whole], alike[:, 0, :, 0][whole]) and (coarse[~whole] == Side.NONE).all()
    assert 0.9 < whole.mean() < 1
    assert np.array_equal(split_of(models[2], refined(grid, 2)), split_of(models[2], grid).repeat(2, 0).repeat(2, 1))


def test_a_killed_run_resumes_bit_for_bit(tmp_path: Path) -> None:
    scene, recipe = toys.finer(toys.scene()), FINER.with_settings(["train.steps=24", "train.joint_weight=0.1"])
    whole = run(train([scene], tmp_path / "whole", recipe, device="cpu"))
    job = train([scene], tmp_path / "cut", recipe, device="cpu")
    for event in job:
        if isinstance(event, Progress) and event.stage == "training" and event.done >= 13:
            break
    job.close()
    assert not (tmp_path / "cut").exists()
    cut = run(train([scene], tmp_path / "cut", recipe, device="cpu", resume=True))
    assert (cut / "network.safetensors").read_bytes() == (whole / "network.safetensors").read_bytes()


def test_embedding_and_affinity_lie_on_the_finer_grid(models: tuple[Path, Path, Path], tmp_path: Path) -> None:
    cube = toys.scene(size=96).cube
    embedding = run(embed(models[0], cube, tmp_path / "e.zarr", device="cpu"))
    require_same(embedding.grid, refined(cube.grid, 2), "embedding and finer pixels")
    assert embedding.values.shape == (64, 192, 192)
    some = affinity(models[0], cube, Window(37, 41, 21, 18), device="cpu")
    require_same(some.grid, refined(crop(cube.grid, Window(37, 41, 21, 18)), 2), "affinity and finer pixels")
    whole = affinity(models[0], cube, Window(0, 0, 96, 96), device="cpu").values
    assert np.abs(some.values - whole[:, :, 74:116, 82:118]).max() < 1e-4


@pytest.mark.parametrize("by", ["nearest", "bilinear"])
def test_a_coarse_model_makes_a_finer_map_by_cutting_its_pixels(
    by: Any, models: tuple[Path, Path, Path], tmp_path: Path
) -> None:
    cube = toys.scene(size=72, seed=5).cube
    plain = run(predict(models[2], cube, tmp_path / "plain", device="cpu"))
    options = PredictOptions(finer=4, finer_by=by, tile_px=64, blend_px=8)
    fine = run(predict(models[2], cube, tmp_path / "fine", options, device="cpu"))
    require_same(fine.grid, refined(cube.grid, 4), "map and finer pixels")
    assert fine.facts["finer_by"] == by
    repeated = plain.ids.values.repeat(4, 0).repeat(4, 1)
    same = (fine.ids.values == repeated).mean()
    assert same == 1 if by == "nearest" else 0.8 < same < 1
    one = run(predict(models[2], cube, tmp_path / "one", replace(options, tile_px=512), device="cpu"))
    assert np.array_equal(one.ids.values, fine.ids.values)


def test_a_finer_map_is_judged_on_finer_labels(models: tuple[Path, Path, Path], tmp_path: Path) -> None:
    scene = toys.finer(toys.scene())
    prediction: Prediction = run(predict(models[1], scene.cube, tmp_path / "p", device="cpu"))
    found = run(assess(prediction, scene.labels, judged=held_out(scene.labels, models[1])))
    assert found.report.accuracy.pixels == ((split_of(models[1], scene.labels.grid) == Side.TEST) & (
        scene.labels.ids != 255
    )).sum()  # fmt: skip


def test_needs_of_finer_maps_are_estimated(tmp_path: Path) -> None:
    scene = toys.scene()
    plain, fine = (run(needs(scene, tmp_path / "m", recipe, device="cpu")) for recipe in (toys.QUICK, FINER))
    assert fine.memory_bytes > plain.memory_bytes


@pytest.mark.parametrize(
    ("job", "sentence"),
    [
        (lambda out, models: train([toys.scene()], out, FINER), r"the pixels of the images.*refined\(cube.grid, 2\)"),
        (lambda out, models: train([toys.finer(toys.scene())], out, toys.QUICK), "data.finer=2"),
        (
            lambda out, models: pretrain(
                [toys.finer(toys.scene())], out, FINER.with_settings(["pretrain.loss=glcnet"])
            ),
            "Pre-train with data.finer=1",
        ),
        (
            lambda out, models: predict(models[1], toys.scene().cube, out, PredictOptions(finer=2)),
            "2 times finer than the images by itself",
        ),
        (
            lambda out, models: finetune(toys.scene(), models[1], out, np.ones((64, 64), bool)),
            "cscl train --start",
        ),
        (
            lambda out, models: refine(toys.scene(), models[1], out, np.ones((64, 64), bool), out.parent / "maps"),
            "cscl train --start",
        ),
    ],
)
def test_what_does_not_fit_gets_a_sentence_and_leaves_nothing(
    job: Any, sentence: str, models: tuple[Path, Path, Path], tmp_path: Path
) -> None:
    with pytest.raises(CSCLError, match=sentence) as caught:
        run(job(tmp_path / "m", models))
    assert isinstance(caught.value, InputError) and not any(tmp_path.iterdir())


def test_labels_that_the_memory_does_not_hold_are_refused(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    from cscl.data import scenes

    class Memory:
        available = 10**9

    monkeypatch.setattr(scenes.psutil, "virtual_memory", Memory)
    grid = refined(make_grid((10980, 10980), toys.scene().cube.grid.transform, "EPSG:32631", "tile"), 4)
    (tmp_path / "labels.tif").touch()
    with pytest.raises(MemoryLimitError, match=r"23 GB of memory at 43920 x 43920 pixels, and 1 GB are free"):
        scenes.open_labels(tmp_path / "labels.tif", grid, scenes.LabelOptions())
