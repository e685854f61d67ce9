"""Few labels and a part that learns: which crops are used, and what of the network stays still."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import toys
from safetensors.numpy import load_file

from cscl.data.split import Side
from cscl.events import Note, run
from cscl.models import models
from cscl.products import Scene
from cscl.training.few import STRIP_PX, draw_parcels, with_few_crops
from cscl.training.pretrain import pretrain
from cscl.training.save import split_of
from cscl.training.segment import train


def thinned(scene: Scene, side_YX: Any, share: float, seed: int = 0) -> Scene:
    found: Scene = run(with_few_crops([scene], [side_YX], share, seed))[0]
    return found


def halves(scene: Scene) -> Any:
    side_YX = np.full(scene.labels.ids.shape, Side.TRAIN, np.uint8)
    side_YX[:, 48:] = Side.TEST
    side_YX[:, 32:48] = Side.VALIDATION
    return side_YX


def parcels_used(scene: Scene, where_YX: Any) -> set[int]:
    known = (scene.labels.index() >= 0) & where_YX
    assert scene.labels.parcel_ids is not None
    return set(np.unique(scene.labels.parcel_ids[known]).tolist())


@pytest.mark.parametrize("share", [0.01, 0.2, 0.5])
def test_a_share_of_whole_parcels_is_used_on_each_side_and_the_rest_stays(share: float) -> None:
    scene = toys.scene()
    side_YX = halves(scene)
    few = thinned(scene, side_YX, share)
    assert np.array_equal(few.labels.parcel_ids, scene.labels.parcel_ids)
    for side in (Side.TRAIN, Side.VALIDATION):
        here = side_YX == side
        every, used = parcels_used(scene, here), parcels_used(few, here)
        least = 3 if side == Side.TRAIN else 0
        assert used <= every and len(used) == max(round(share * len(every)), least)
        kept = here & np.isin(scene.labels.parcel_ids, list(used))
        assert np.array_equal(few.labels.ids[kept], scene.labels.ids[kept])
    assert set(np.unique(few.labels.ids[side_YX == Side.TRAIN])) >= set(toys.LEGEND.ids), "no class is left out"
    test = side_YX == Side.TEST
    assert np.array_equal(few.labels.ids[test], scene.labels.ids[test])


def test_smaller_shares_lie_in_larger_ones_and_seeds_differ() -> None:
    parcel_P, class_P = np.arange(1, 201), np.arange(200) % 7
    drawn = [set(draw_parcels(parcel_P, class_P, share, True, 0).tolist()) for share in (0.01, 0.05, 0.1, 1.0)]
    assert drawn[0] < drawn[1] < drawn[2] < drawn[3] == set(parcel_P.tolist())
    assert [len(d) for d in drawn] == [7, 10, 20, 200]
    assert set(draw_parcels(parcel_P, class_P, 0.1, True, 1).tolist()) != drawn[2]


def test_one_place_in_two_years_uses_the_same_parcels_and_strips_change_nothing(monkeypatch: Any) -> None:
    first, second = toys.scene(), toys.scene(seed=1)
    sides = [halves(first)] * 2
    whole = run(with_few_crops([first, second], sides, 0.3, 0))
    used = [parcels_used(s, sides[0] == Side.TRAIN) for s in whole]
    assert used[0] == used[1]
    monkeypatch.setattr("cscl.training.few.STRIP_PX", STRIP_PX // 50)
    again = run(with_few_crops([first, second], sides, 0.3, 0))
    assert all(np.array_equal(a.labels.ids, b.labels.ids) for a, b in zip(whole, again, strict=True))


def test_many_small_scenes_are_one_pool() -> None:
    scenes = [moved(toys.scene(16, seed=seed), seed) for seed in range(12)]
    sides = [np.full((16, 16), Side.TRAIN, np.uint8)] * 12
    few = run(with_few_crops(scenes, sides, 0.1, 0))
    counts = [len(parcels_used(scene, side == Side.TRAIN)) for scene, side in zip(few, sides, strict=True)]
    assert sum(counts) == round(0.1 * 4 * 12) and min(counts) == 0, "not one of each class in every scene"


def moved(scene: Scene, by: int) -> Scene:
    """The scene at another place."""
    grid = scene.cube.grid.translate_pix(1000 * by, 0)
    return Scene(replace(scene.cube, grid=grid), replace(scene.labels, grid=grid))


def test_a_label_raster_without_parcels_is_drawn_by_regions_of_one_class() -> None:
    scene = toys.scene(parcel_px=16)
    raster = Scene(scene.cube, replace(scene.labels, parcel_ids=None))
    few = thinned(raster, halves(scene), 0.3)
    assert few.labels.parcel_ids is None
    here = (few.labels.index() >= 0) & (halves(scene) == Side.TRAIN)
    inside = here[1:, :] & here[:-1, :]
    same = scene.labels.ids[1:] == scene.labels.ids[:-1]
    known = scene.labels.index() >= 0
    both = (halves(scene) == Side.TRAIN)[1:] & known[1:] & known[:-1] & same
    assert 0 < here.sum() < known.sum() / 2
    assert np.array_equal(inside[both], here[1:][both]), "regions are used as a whole"


def test_a_run_on_few_labels_says_how_many_and_tests_on_the_same_blocks(tmp_path: Path) -> None:
    recipe = toys.QUICK.with_settings(["train.steps=2"])
    notes: list[str] = []
    whole = run(train([toys.scene()], tmp_path / "whole", recipe, device="cpu"))
    few = run(
        train([toys.scene()], tmp_path / "few", recipe.with_settings(["data.label_share=0.1"]), device="cpu"),
        lambda e: notes.append(str(e.text)) if isinstance(e, Note) else None,
    )
    assert any("parcels are used" in text for text in notes)
    grid = toys.scene().cube.grid
    assert np.array_equal(split_of(few, grid), split_of(whole, grid))


@pytest.mark.parametrize("scope", ["head", "decoder"])
def test_what_is_frozen_keeps_its_weights_and_running_statistics(scope: str, tmp_path: Path) -> None:
    start = run(
        pretrain([toys.scene()], tmp_path / "start", toys.QUICK.with_settings(["pretrain.steps=5"]), device="cpu")
    )
    recipe = toys.QUICK.with_settings(["train.steps=5", f"train.scope={scope}", "train.ema=0.9"])
    model = run(train([toys.scene()], tmp_path / "m", recipe, start=start, device="cpu"))
    before, after = (load_file(folder / "network.safetensors") for folder in (start, model))
    moved = {name for name in after if not np.array_equal(before[name], after[name])}
    learns = ("classify.", *((f"{part}." for part in _decoder()) if scope == "decoder" else ()))
    assert moved and all(name.startswith(learns) for name in moved)
    assert scope == "head" or any("running_mean" in name for name in moved)


def _decoder() -> tuple[str, ...]:
    from cscl.models import DataShape

    return models.get("compact").build(models.get("compact").options(), DataShape(3, 3)).decoder


def test_a_probe_without_a_start_says_that_it_probes_random_weights(tmp_path: Path) -> None:
    notes: list[str] = []
    recipe = toys.QUICK.with_settings(["train.steps=2", "train.scope=head"])
    run(train([toys.scene()], tmp_path / "m", recipe, device="cpu"), lambda e: notes.append(getattr(e, "text", "")))
    assert any("random weights" in text for text in notes)
