from __future__ import annotations

import shutil
from collections.abc import Generator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import toys
from safetensors.numpy import load_file

from cscl.card import ModelCard
from cscl.cli import main
from cscl.data.readers import open_cube
from cscl.data.region import drawn_region, hold_back, region_of, window_of
from cscl.data.sample import sample_season
from cscl.data.split import Side
from cscl.errors import CSCLError
from cscl.events import Finish, Measure, Note, Preview, Progress, run
from cscl.inference.compare import HELD_BACK, LEARNT, OUTSIDE, Comparison, compare
from cscl.inference.predict import predict
from cscl.legend import Legend
from cscl.parcels import Parcels, rasterise
from cscl.products import Prediction, Scene
from cscl.training.finetune import FinetuneOptions, finetune
from cscl.training.pretrain import pretrain
from cscl.training.refine import Refined, refine
from cscl.training.save import split_of
from cscl.training.segment import train

QUICK = FinetuneOptions(steps=40, batch=8, learning_rate=1e-2)
FEW = replace(QUICK, steps=2)


@pytest.fixture(scope="module")
def scene() -> Scene:
    return toys.scene(size=64, gap=False)


@pytest.fixture(scope="module")
def wrong(scene: Scene, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model that takes maïs for winter wheat: trained elsewhere, on labels that call it so."""
    return run(train([merged(toys.scene(seed=5))], tmp_path_factory.mktemp("models") / "wrong", toys.QUICK))


@pytest.fixture(scope="module")
def right(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A good model, trained elsewhere."""
    return run(train([toys.scene(seed=5)], tmp_path_factory.mktemp("models") / "right", toys.QUICK))


def merged(scene: Scene) -> Scene:
    labels = scene.labels
    return Scene(scene.cube, replace(labels, ids=np.where(labels.ids == 9, 4, labels.ids).astype(np.uint8)))


def square(size: int = 64, side: int = 32) -> Any:
    region = np.zeros((size, size), bool)
    region[:side, :side] = True
    return region


def measured(scene: Scene, before: Path, after: Path, region: Any, place: Path) -> Comparison:
    place.mkdir(exist_ok=True)
    maps = [run(predict(m, scene.cube, place / f"map_{i}")) for i, m in enumerate((before, after))]
    held = region & (split_of(after, scene.cube.grid) == Side.VALIDATION)
    return run(compare(*maps, scene.labels, region, held))


def test_a_region_gets_better_and_the_rest_is_kept(scene: Scene, wrong: Path, tmp_path: Path) -> None:
    """The crop that the model never saw is learnt from the region, and spreads over the rest of the scene."""
    events: list[Any] = []
    folder = run(finetune(scene, wrong, tmp_path / "m", square(), QUICK), events.append)
    found = measured(scene, wrong, folder, square(), tmp_path)
    for place in (LEARNT, HELD_BACK, OUTSIDE):
        then, now = found.at(place).accuracy
        assert then < 0.75 and now > then + 0.15, (place, then, now)
    losses = [e.values["loss"] for e in events if isinstance(e, Measure)]
    assert len(losses) == 8 and losses[-1] < losses[0]
    assert [e.done for e in events if isinstance(e, Progress) and e.stage == "fine-tuning"] == list(range(1, 41))
    again = run(finetune(scene, wrong, tmp_path / "again", square(), QUICK))
    assert (again / "network.safetensors").read_bytes() == (folder / "network.safetensors").read_bytes()


def test_another_season_is_learnt_from_a_region(scene: Scene, right: Path, tmp_path: Path) -> None:
    """Where the former answers prove wrong in the region, rehearsal does not hold the rest of the scene to them."""
    stored = scene.cube.stored
    later = stored.assign_coords(time=stored.time.values + np.timedelta64(45, "D"))
    shifted = Scene(replace(scene.cube, stored=later), scene.labels)
    folder = run(finetune(shifted, right, tmp_path / "m", square(), QUICK))
    found = measured(shifted, right, folder, square(), tmp_path)
    for place in (HELD_BACK, OUTSIDE):
        then, now = found.at(place).accuracy
        assert then < 0.8 and now > then + 0.1, (place, then, now)


def test_rehearsal_keeps_what_the_region_does_not_hold(scene: Scene, right: Path, tmp_path: Path) -> None:
    region = np.isin(scene.labels.parcel_ids, np.unique(scene.labels.parcel_ids[scene.labels.ids == 9])[:4])
    kept = []
    for share in (0.0, 0.5):
        folder = run(finetune(scene, right, tmp_path / f"m{share}", region, replace(QUICK, rehearsal=share)))
        found = measured(scene, right, folder, region, tmp_path / f"maps{share}")
        kept.append(found.at(OUTSIDE).accuracy[1])
    assert kept[1] > 0.9 and kept[1] > kept[0] + 0.2, kept


def test_the_original_stays_bit_for_bit_and_the_copy_says_where_it_comes_from(
    scene: Scene, wrong: Path, tmp_path: Path
) -> None:
    before = {p.name: p.read_bytes() for p in wrong.iterdir()}
    folder = run(finetune(scene, wrong, tmp_path / "m", square(), FEW))
    assert {p.name: p.read_bytes() for p in wrong.iterdir()} == before
    card = ModelCard.open(folder)
    assert card.tuned is not None and card.tuned["parent"] == "wrong" and card.steps == 2
    assert card.tuned["options"]["scope"] == "all" and card.tuned["region_px"] == 32 * 32
    assert card.tuned["region_bounds"] == [5e5, 5e6 - 320, 5e5 + 320, 5e6]
    assert len(card.data) == 2 and card.legend == toys.LEGEND


@pytest.mark.parametrize("scope", ["head", "decoder", "all"])
def test_only_the_scope_learns(scope: str, scene: Scene, wrong: Path, tmp_path: Path) -> None:
    folder = run(finetune(scene, wrong, tmp_path / "m", square(), replace(FEW, scope=scope)))
    before, after = (load_file(m / "network.safetensors") for m in (wrong, folder))
    changed = {name.split(".")[0] for name, tensor in after.items() if not np.array_equal(tensor, before[name])}
    assert changed == {"classify", "surroundings", "pixel"} - {
        "head": {"surroundings", "pixel"},
        "decoder": {"pixel"},
    }.get(scope, set())


def test_the_region_is_never_called_unseen_and_the_rest_stays_so(scene: Scene, tmp_path: Path) -> None:
    model = run(train([scene], tmp_path / "here", toys.QUICK.with_settings(["train.steps=2"])))
    former = split_of(model, scene.cube.grid)
    region = drawn_region([np.array([(0, 0), (0, 31), (33, 31), (33, 0)])], (64, 64))
    after = split_of(run(finetune(scene, model, tmp_path / "m", region, FEW)), scene.cube.grid)
    assert (former[region] == Side.TEST).any() and set(np.unique(after[region])) == {Side.TRAIN, Side.VALIDATION}
    ids = scene.labels.parcel_ids
    assert ids is not None
    cut = np.isin(ids, np.unique(ids[region])) & ~region
    assert cut.any() and not (after[cut] == Side.TEST).any()
    assert np.array_equal(after[~region & ~cut], former[~region & ~cut])


def test_labels_held_out_elsewhere_are_never_read(scene: Scene, tmp_path: Path) -> None:
    model = run(train([scene], tmp_path / "here", toys.QUICK.with_settings(["train.steps=2"])))
    side = split_of(model, scene.cube.grid)
    unseen = ~square() & (side != Side.TRAIN)
    other = replace(scene.labels, ids=np.where(unseen, 9, scene.labels.ids).astype(np.uint8))
    one, two = (
        run(finetune(Scene(scene.cube, labels), model, tmp_path / name, square(), FEW))
        for name, labels in (("one", scene.labels), ("two", other))
    )
    assert (one / "network.safetensors").read_bytes() == (two / "network.safetensors").read_bytes()


def test_a_class_that_the_legend_lacks_is_grown(scene: Scene, tmp_path: Path) -> None:
    two = Legend(toys.LEGEND.classes[:2])
    fewer = toys.scene(seed=5)
    ids = np.where(fewer.labels.ids == 9, 255, fewer.labels.ids).astype(np.uint8)
    model = run(train([Scene(fewer.cube, replace(fewer.labels, ids=ids, legend=two))], tmp_path / "two", toys.QUICK))
    notes: list[Any] = []
    folder = run(finetune(scene, model, tmp_path / "m", square(), QUICK), notes.append)
    assert ModelCard.open(folder).legend.ids == (0, 4, 9)
    assert any(isinstance(n, Note) and "maïs" in n.text for n in notes)
    found = measured(scene, model, folder, square(), tmp_path)
    assert found.at(OUTSIDE).accuracy[1] > found.at(OUTSIDE).accuracy[0] + 0.1


def test_codes_are_matched_whatever_their_ids(scene: Scene, wrong: Path, tmp_path: Path) -> None:
    """Labels that number the same crops otherwise teach the same."""
    numbers = {0: 7, 4: 0, 9: 4}
    legend = Legend(tuple(replace(c, id=numbers[c.id]) for c in toys.LEGEND.classes))
    table = np.full(256, 255, np.uint8)
    table[list(numbers)] = list(numbers.values())
    other = Scene(scene.cube, replace(scene.labels, ids=table[scene.labels.ids], legend=legend))
    one, two = (
        run(refine(s, wrong, tmp_path / name, square(), tmp_path / f"{name}_maps", FEW))
        for name, s in (("one", scene), ("two", other))
    )
    assert (one.model / "network.safetensors").read_bytes() == (two.model / "network.safetensors").read_bytes()
    assert one.comparison == two.comparison and one.comparison.at(OUTSIDE).before > 1000


def test_cancelled_leaves_nothing_and_finished_keeps_what_is_learnt(scene: Scene, wrong: Path, tmp_path: Path) -> None:
    job = finetune(scene, wrong, tmp_path / "m", square(), QUICK)
    until_step(job, 3)
    job.close()
    assert not any(tmp_path.iterdir())
    job = finetune(scene, wrong, tmp_path / "m", square(), QUICK)
    until_step(job, 3)
    try:
        job.throw(Finish())
        while True:
            next(job)
    except StopIteration as end:
        assert ModelCard.open(end.value).steps == 3
    assert [p.name for p in tmp_path.iterdir()] == ["m"]


def until_step(job: Generator[Any, None, Any], step: int) -> None:
    for event in job:
        if isinstance(event, Progress) and event.stage == "fine-tuning" and event.done == step:
            return


def test_the_effort_may_be_time(scene: Scene, wrong: Path, tmp_path: Path) -> None:
    seen: list[Progress] = []
    options = replace(QUICK, steps=0, seconds=1.0, batch=2)
    folder = run(
        finetune(scene, wrong, tmp_path / "m", square(), options),
        lambda e: seen.append(e) if isinstance(e, Progress) and e.unit == "s" else None,
    )
    assert seen[-1].done == seen[-1].total == 1 and ModelCard.open(folder).steps > 1


def unlabelled(scene: Scene) -> Scene:
    return Scene(scene.cube, replace(scene.labels, ids=np.full_like(scene.labels.ids, 255)))


@pytest.mark.parametrize(
    ("change", "region", "sentence"),
    [
        (lambda s: s, np.zeros((64, 64), bool), "The region is empty"),
        (lambda s: s, np.ones((9, 9), bool), "Draw the region on this scene"),
        (unlabelled, square(), "know no class in the region"),
        (lambda s: Scene(s.cube.select(bands=["B03", "B08"]), s.labels), square(), "Unknown band 'B04'"),
        (lambda s: Scene(s.cube.select(times=[0]), s.labels), square(), "at least 2"),
    ],
)
def test_mistakes_get_a_sentence_and_leave_nothing(
    change: Any, region: Any, sentence: str, scene: Scene, wrong: Path, tmp_path: Path
) -> None:
    with pytest.raises(CSCLError, match=sentence):
        run(finetune(change(scene), wrong, tmp_path / "m", region, FEW))
    assert not any(tmp_path.iterdir())


def test_what_is_no_trained_model_or_the_model_itself_is_refused(scene: Scene, wrong: Path, tmp_path: Path) -> None:
    recipe = toys.QUICK.with_settings(["pretrain.steps=1"])
    start = run(pretrain([scene], tmp_path / "start", recipe))
    with pytest.raises(CSCLError, match="only pre-trained"):
        run(finetune(scene, start, tmp_path / "m", square(), FEW))
    copy = shutil.copytree(wrong, tmp_path / "copy")
    with pytest.raises(CSCLError, match="stays as it is"):
        run(finetune(scene, copy, copy, square(), FEW, overwrite=True))
    assert (copy / "card.json").is_file()


def test_one_class_alone_is_warned_of(scene: Scene, wrong: Path, tmp_path: Path) -> None:
    region = scene.labels.parcel_ids == 1
    notes: list[Note] = []
    job = finetune(scene, wrong, tmp_path / "m", region, FEW)
    run(job, lambda e: notes.append(e) if isinstance(e, Note) else None)
    assert any(n.warning and "one class only" in n.text for n in notes)


def test_a_polygon_takes_the_pixels_whose_centre_it_holds() -> None:
    corners = np.array([(1.0, 2.0), (1.0, 5.0), (4.0, 5.0), (4.0, 2.0)])
    found = drawn_region([corners], (6, 7))
    expected = np.zeros((6, 7), bool)
    expected[1:4, 2:5] = True
    assert np.array_equal(found, expected)
    assert np.array_equal(drawn_region([corners + 0.4], (6, 7)), expected)
    beyond = drawn_region([corners, np.array([(-9.0, -9.0), (-9.0, 1.6), (1.6, 1.6), (1.6, -9.0)])], (6, 7))
    expected[:2, :2] = True
    assert np.array_equal(beyond, expected)
    assert not drawn_region([], (6, 7)).any()


def test_whole_parcels_are_held_back_and_each_class_keeps_one_to_learn_from(scene: Scene) -> None:
    held = hold_back(square(), scene.labels, 0.25, 0)
    ids = scene.labels.parcel_ids
    assert ids is not None
    assert 0.1 < held.sum() / square().sum() < 0.4 and not (held & ~square()).any()
    numbers = np.unique(ids[held])
    assert np.array_equal(held, square() & np.isin(ids, numbers))
    assert set(scene.labels.ids[square() & ~held]) >= set(scene.labels.ids[held])
    blocks = hold_back(square(), replace(scene.labels, parcel_ids=None), 0.25, 0)
    assert blocks.sum() == 4 * 64


def test_a_comparison_counts_by_hand(scene: Scene, wrong: Path, tmp_path: Path) -> None:
    before = run(predict(wrong, scene.cube, tmp_path / "map"))
    region, held = square(), square(side=8)
    after = replace(before, ids=before.ids.copy(data=np.where(region, scene.labels.ids, np.asarray(before.ids))))
    assert isinstance(after, Prediction)
    found = run(compare(before, after, scene.labels, region, held))
    ids, truth = np.asarray(before.ids), scene.labels.ids
    learnt = region & ~held & (truth != 255)
    at = found.at(LEARNT)
    assert (at.pixels, at.before, at.after) == (learnt.sum(), (ids == truth)[learnt].sum(), learnt.sum())
    assert at.changed == (ids != truth)[learnt].sum() and found.at(OUTSIDE).changed == 0
    assert (
        found.at(OUTSIDE, boundary=True).pixels + found.at(OUTSIDE, boundary=False).pixels == found.at(OUTSIDE).pixels
    )
    assert "| region, held back, interior | " in found.to_markdown()


def test_refining_maps_the_region_first_and_is_not_ended_by_finish(scene: Scene, wrong: Path, tmp_path: Path) -> None:
    region = square(side=16)
    job = refine(scene, wrong, tmp_path / "m", region, tmp_path / "maps", FEW)
    looks: list[Preview] = []
    try:
        event = next(job)
        while True:
            looks += [event] if isinstance(event, Preview) else []
            late = isinstance(event, Progress) and (tmp_path / "m").exists()
            event = job.throw(Finish()) if late else next(job)
    except StopIteration as end:
        found = end.value
    assert isinstance(found, Refined) and found.model == tmp_path / "m"
    assert found.comparison.at(LEARNT).pixels + found.comparison.at(HELD_BACK).pixels == region.sum()
    if looks:
        assert looks[0].array.shape == (16, 16)


def test_a_small_region_of_a_large_scene_is_shown_first(wrong: Path, tmp_path: Path) -> None:
    large = toys.scene(size=256, gap=False)
    region = np.zeros((256, 256), bool)
    region[5:20, 3:30] = True
    looks: list[Preview] = []
    job = refine(large, wrong, tmp_path / "m", region, tmp_path / "maps", FEW)
    found = run(job, lambda e: looks.append(e) if isinstance(e, Preview) else None)
    assert np.array_equal(looks[0].array, found.after.read(window_of(region))[0])


def test_refining_that_is_cancelled_while_it_maps_leaves_no_model(scene: Scene, wrong: Path, tmp_path: Path) -> None:
    job = refine(scene, wrong, tmp_path / "m", square(), tmp_path / "maps", FEW)
    for event in job:
        if isinstance(event, Progress) and event.stage == "comparing":
            break
    job.close()
    assert not (tmp_path / "m").exists()


def test_the_command_line_takes_a_window_or_polygons(wrong: Path, tmp_path: Path, capsys: Any) -> None:
    season, labels = sample_season(), sample_season() / "parcels.gpkg"
    assert np.array_equal(region_of(toys.scene().cube.grid, "0:32,0:32"), square())
    parcels = Parcels.open(labels)
    replace(parcels, table=parcels.table[:3]).table.to_file(tmp_path / "region.gpkg")
    grid = open_cube(season).grid
    found = region_of(grid, polygons=tmp_path / "region.gpkg")
    assert np.array_equal(found, np.isin(rasterise(parcels, grid, Legend(())).parcel_ids, parcels.table.parcel_id[:3]))
    given = ["finetune", str(wrong), str(season), str(labels), str(tmp_path / "m"), "--class-column", "crop"]
    assert main([*given, "--window", "0:40,0:40", "--scope", "heads"]) == 2
    assert "head" in capsys.readouterr().err
