from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import rasterio
import torch
import toys
import xarray as xr
from fulldisk import full_disk

from cscl.errors import CSCLError, InputError, MemoryLimitError, OutputError, UnknownNameError
from cscl.events import Note, Progress, run
from cscl.grid import Window, require_same
from cscl.inference.embed import affinity, edge_strength, embed
from cscl.inference.predict import PredictOptions, predict
from cscl.inference.tiles import load_model
from cscl.models.compact import Compact
from cscl.products import Embedding, Prediction
from cscl.training.pretrain import pretrain
from cscl.training.segment import train


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A pre-trained model and the one trained from it."""
    folder = tmp_path_factory.mktemp("models")
    start = run(pretrain([toys.scene()], folder / "start", toys.QUICK, device="cpu"))
    return start, run(train([toys.scene()], folder / "trained", toys.QUICK, start=start, device="cpu"))


def test_a_map_is_right_and_keeps_its_place(
    models: tuple[Path, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    scene = toys.scene(size=72, seed=5)
    options = PredictOptions(tile_px=32, blend_px=8, probabilities=True)
    monkeypatch.chdir(models[1].parent)
    prediction = run(predict(models[1].name, scene.cube, tmp_path / "p", options, device="cpu"))
    assert isinstance(prediction, Prediction)
    assert prediction.facts["model_folder"] == str(models[1].resolve()), "found from any other folder"
    require_same(prediction.grid, scene.cube.grid, "map and images")
    ids, confidence = prediction.read(Window(0, 0, 72, 72))
    known = scene.labels.ids != 255
    assert (ids[known] == scene.labels.ids[known]).mean() > 0.8
    assert np.nanmin(confidence) > 0.3 and np.nanmax(confidence) <= 1
    assert prediction.probabilities is not None
    ranked = np.sort(prediction.probabilities.values.astype(int), axis=0)
    assert prediction.margin is not None and np.array_equal(prediction.margin.values, ranked[-1] - ranked[-2])
    total = ranked.sum(axis=0)
    assert (np.abs(total - 250) <= 2).all()
    with rasterio.open(tmp_path / "p" / "classes.tif") as src:
        assert src.nodata == 255 and src.transform == scene.cube.grid.transform


@pytest.mark.parametrize("blend_px", [16, 2, 6])
def test_the_map_does_not_depend_on_the_tiling(blend_px: int, models: tuple[Path, Path], tmp_path: Path) -> None:
    cube = toys.scene(size=90, seed=6).cube
    whole = run(predict(models[1], cube, tmp_path / "a", PredictOptions(tile_px=128), device="cpu"))
    tiled = run(predict(models[1], cube, tmp_path / "b", PredictOptions(tile_px=32, blend_px=blend_px), device="cpu"))
    assert np.array_equal(whole.ids.values, tiled.ids.values)
    assert np.abs(whole.confidence.values.astype(int) - tiled.confidence.values).max() <= 1


def test_of_many_dates_all_tiles_use_the_same(tmp_path: Path) -> None:
    few = toys.QUICK.with_settings(["data.dates=4", "train.steps=10"])
    model = run(train([toys.scene()], tmp_path / "model", few, device="cpu"))
    cube = toys.scene(size=72, dates=9, seed=2).cube
    stored = cube.stored.copy()
    stored[3] = toys.NODATA
    cube = replace(cube, stored=stored)
    whole = run(predict(model, cube, tmp_path / "a", PredictOptions(tile_px=128), device="cpu"))
    tiled = run(predict(model, cube, tmp_path / "b", PredictOptions(tile_px=32), device="cpu"))
    assert np.array_equal(whole.ids.values, tiled.ids.values)
    assert len(whole.facts["dates"]) == 4 and str(cube.dates[3])[:19] not in whole.facts["dates"]


def test_a_pixel_that_no_date_saw_is_no_data(models: tuple[Path, Path], tmp_path: Path) -> None:
    scene = toys.scene()
    stored = scene.cube.stored.copy()
    stored[:, :, 10:20, 30:40] = toys.NODATA
    prediction = run(predict(models[1], replace(scene.cube, stored=stored), tmp_path / "p", device="cpu"))
    hole = np.zeros((64, 64), bool)
    hole[10:20, 30:40] = True
    assert ((prediction.ids.values == 255) == hole).all() and ((prediction.confidence.values == 255) == hole).all()


def test_an_empty_map_is_warned_about(models: tuple[Path, Path], tmp_path: Path) -> None:
    cube = toys.scene().cube
    notes: list[Note] = []
    empty = replace(cube, stored=xr.full_like(cube.stored, toys.NODATA))
    prediction = run(
        predict(models[1], empty, tmp_path / "p"), lambda e: notes.append(e) if isinstance(e, Note) else None
    )
    assert (prediction.ids.values == 255).all() and notes[-1].warning and "the map is empty" in notes[-1].text


def test_a_closed_job_leaves_nothing_and_a_former_map_stays(models: tuple[Path, Path], tmp_path: Path) -> None:
    cube = toys.scene().cube
    former = run(predict(models[1], cube, tmp_path / "p", device="cpu")).ids.values.copy()
    with pytest.raises(OutputError, match="--overwrite"):
        run(predict(models[1], cube, tmp_path / "p", device="cpu"))
    job = predict(models[1], cube, tmp_path / "p", PredictOptions(tile_px=32), device="cpu", overwrite=True)
    assert isinstance(next(job), Progress)
    job.close()
    other = predict(models[1], cube, tmp_path / "q", device="cpu")
    next(other)
    with pytest.raises(OutputError, match="another run is making q"):
        run(predict(models[1], cube, tmp_path / "q", device="cpu"))
    other.close()
    assert [p.name for p in tmp_path.iterdir()] == ["p"]
    assert np.array_equal(Prediction.open(tmp_path / "p").ids.values, former)


def test_a_full_disk_is_told_and_leaves_nothing(models: tuple[Path, Path], tmp_path: Path) -> None:
    with full_disk(2000), pytest.raises(OutputError, match="cannot be written"):
        run(predict(models[1], toys.scene().cube, tmp_path / "p", device="cpu"))
    assert not any(tmp_path.iterdir())


def test_a_tile_that_the_memory_does_not_hold_is_told(
    models: tuple[Path, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*args: object) -> None:
        raise torch.OutOfMemoryError("CUDA out of memory")

    monkeypatch.setattr(Compact, "forward", full)
    with pytest.raises(MemoryLimitError, match=r"tile of \d+ x \d+ pixels.*tile-px"):
        run(predict(models[1], toys.scene().cube, tmp_path / "p", device="cpu"))
    assert not list(tmp_path.iterdir())


def test_a_cube_that_does_not_suit_is_refused_or_warned_about(models: tuple[Path, Path], tmp_path: Path) -> None:
    cube = toys.scene().cube
    with pytest.raises(UnknownNameError, match="B08"):
        run(predict(models[1], cube.select(bands=["B03", "B04"]), tmp_path / "p"))
    with pytest.raises(InputError, match="needs at least 2"):
        run(predict(models[1], cube.select(times=[3]), tmp_path / "p"))
    with pytest.raises(InputError, match="only pre-trained"):
        run(predict(models[0], cube, tmp_path / "p"))
    with pytest.raises(CSCLError, match="not a model folder"):
        run(predict(tmp_path, cube, tmp_path / "p"))
    notes: list[Note] = []
    half = cube.select(times=[0, 1, 2])
    run(predict(models[1], half, tmp_path / "p"), lambda e: notes.append(e) if isinstance(e, Note) else None)
    assert len(notes) == 1 and notes[0].warning and "66 of the 165 days" in notes[0].text


def test_embedding_goes_to_zarr_with_its_place_and_shows_edges(models: tuple[Path, Path], tmp_path: Path) -> None:
    scene = toys.scene()
    embedding = run(embed(models[0], scene.cube, tmp_path / "e.zarr", device="cpu"))
    assert isinstance(embedding, Embedding) and embedding.values.shape == (64, 64, 64)
    require_same(embedding.grid, scene.cube.grid, "embedding and images")
    with xr.open_zarr(tmp_path / "e.zarr", consolidated=False) as data:
        assert float(data.x[0]) == 500005.0 and float(data.y[0]) == 4999995.0
    strength = run(edge_strength(embedding))
    assert strength.shape == (64, 64) and np.isfinite(strength).all() and strength.min() > -1e-3
    index = scene.labels.legend.to_index(scene.labels.ids)
    edge = np.zeros((64, 64), bool)
    edge[:, 1:] |= index[:, 1:] != index[:, :-1]
    edge[1:] |= index[1:] != index[:-1]
    assert strength[:60][edge[:60]].mean() > strength[:60][~edge[:60]].mean()


def test_edge_strength_agrees_with_slow_loops_across_blocks(models: tuple[Path, Path]) -> None:
    rng = np.random.default_rng(0)
    values = rng.normal(size=(5, 7, 9)).astype(np.float32)
    values[:, 3, 4] = np.nan
    grid = toys.scene(size=16).cube.grid[:7, :9]
    fast = run(edge_strength(Embedding(xr.DataArray(values, dims=("feature", "y", "x")), grid)))
    for y in range(7):
        for x in range(9):
            near = [
                values[:, y, x] @ values[:, j, i] / np.linalg.norm(values[:, y, x]) / np.linalg.norm(values[:, j, i])
                for j in range(max(0, y - 1), min(7, y + 2))
                for i in range(max(0, x - 1), min(9, x + 2))
                if (j, i) != (y, x)
            ]
            near = [v for v in near if np.isfinite(v)]
            expected = 1 - np.mean(near) if near else np.nan
            assert np.isclose(fast[y, x], expected, atol=1e-5, equal_nan=True)


def test_affinity_is_that_of_the_loss(models: tuple[Path, Path]) -> None:
    scene = toys.scene()
    shown = affinity(models[0], scene.cube, Window(8, 8, 40, 48), device="cpu")
    assert shown.values.shape == (3, 3, 40, 48) and shown.values.min() >= -1 - 1e-5 and shown.values.max() <= 1 + 1e-5
    assert shown.edge_strength().shape == (40, 48)
    model = load_model(models[0], "cpu")
    assert model.margin_px >= model.network.needs.margin_px


def test_affinity_does_not_depend_on_where_the_window_begins(models: tuple[Path, Path]) -> None:
    cube = toys.scene(size=96).cube
    some = affinity(models[0], cube, Window(37, 41, 21, 18), device="cpu").values
    whole = affinity(models[0], cube, Window(0, 0, 96, 96), device="cpu").values
    assert np.abs(some - whole[:, :, 37:58, 41:59]).max() < 1e-4


def test_affinity_is_shown_for_every_pixel_whatever_the_stride_of_the_loss(tmp_path: Path) -> None:
    scene = toys.scene()
    steps = ["pretrain.steps=1", "pretrain.loss.dilation=2", "pretrain.loss.stride=2"]
    model = run(pretrain([scene], tmp_path / "m", toys.QUICK.with_settings(steps), device="cpu"))
    shown = affinity(model, scene.cube, Window(8, 8, 40, 48), device="cpu")
    assert shown.values.shape == (3, 3, 40, 48) and shown.grid.shape == (40, 48)
