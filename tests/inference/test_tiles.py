"""What a network reads and answers of a tile: nothing of dates that say nothing, and the same in tiles of any size."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import toys
import xarray as xr
from xarray.backends import BackendArray
from xarray.core import indexing

from cscl.cube import SITSCube
from cscl.events import run
from cscl.grid import Window
from cscl.inference import fitting
from cscl.inference.fitting import bytes_per_px, fitted_core_px, overlap
from cscl.inference.mapper import Mapper, PredictOptions, ready
from cscl.inference.tiles import Model, load_model
from cscl.models.compact import Compact
from cscl.training.segment import train


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model of the default network, trained for a moment; as wide as usual."""
    recipe = toys.QUICK.with_settings(["train.steps=20", "train.validate_every=20", "model.num_features=16"])
    return run(train([toys.scene()], tmp_path_factory.mktemp("models") / "model", recipe, device="cpu"))


class Counted(BackendArray):
    """Stored values that count how often each date is read."""

    def __init__(self, stored: np.ndarray) -> None:
        self.stored, self.shape, self.dtype = stored, stored.shape, stored.dtype
        self.reads = np.zeros(len(stored), int)

    def __getitem__(self, key: indexing.ExplicitIndexer) -> np.ndarray:
        return indexing.explicit_indexing_adapter(key, self.shape, indexing.IndexingSupport.OUTER, self._read)

    def _read(self, key: tuple) -> np.ndarray:
        self.reads[key[0]] += 1
        return self.stored[np.ix_(*(np.arange(n)[k] for n, k in zip(self.shape, key, strict=True)))]


def masked_cube(cloudy: list[int]) -> tuple[SITSCube, Counted]:
    """A cube whose mask calls some dates cloudy in the upper half."""
    cube = toys.scene(size=64, gap=False).cube
    counted = Counted(cube.stored.values)
    stored = xr.DataArray(
        xr.Variable(cube.stored.dims, indexing.LazilyIndexedArray(counted)), coords=cube.stored.coords
    )
    clear = np.ones((6, 64, 64), bool)
    clear[cloudy, :40] = False
    return replace(cube, stored=stored, clear=xr.DataArray(clear, dims=("time", "y", "x"))), counted


def test_dates_that_are_cloudy_in_the_whole_tile_are_neither_read_nor_computed(folder: Path) -> None:
    model = load_model(folder, "cpu")
    cube, counted = masked_cube([1, 4])
    sample = model.read(cube, [Window(0, 0, 32, 32)])
    assert sample.x_BTCHW.shape == (1, 4, 3, 32, 32)
    assert counted.reads.tolist() == [1, 0, 1, 1, 0, 1]
    assert sample.day_BT[0].tolist() == model.card.days_of(cube.dates)[[0, 2, 3, 5]].tolist()


def test_leaving_dates_out_changes_no_answer(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    model = load_model(folder, "cpu")
    cube, _ = masked_cube([1, 4])
    stored = cube.stored.values.copy()
    stored[2, :, :40] = toys.NODATA  # known only when it is read
    cube, window = replace(cube, stored=cube.stored.copy(data=stored)), Window(0, 0, 32, 48)
    few = model.read(cube, [window]).x_BTCHW.shape[1]
    found = model.answer(cube, window)
    monkeypatch.setattr(Model, "_drops_dates", False)
    assert (few, model.read(cube, [window]).x_BTCHW.shape[1]) == (3, 6)
    for here, there in zip(found, model.answer(cube, window), strict=True):
        assert np.allclose(here, there, atol=1e-5)


def test_as_many_dates_stay_as_the_network_needs(folder: Path) -> None:
    cube, _ = masked_cube([0, 1, 2, 3, 4])
    assert load_model(folder, "cpu").read(cube, [Window(0, 0, 32, 32)]).x_BTCHW.shape[1] == 2


def test_a_tile_that_no_date_saw_is_not_computed(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    model = load_model(folder, "cpu")
    cube, counted = masked_cube(list(range(6)))

    def never(*args: object) -> None:
        raise AssertionError("computed")

    monkeypatch.setattr(Compact, "forward", never)
    probabilities, embedding, seen = model.answer(cube, Window(0, 0, 40, 64))
    assert not seen.any() and not probabilities.any() and embedding.shape == (64, 40, 64)
    assert counted.reads.sum() <= 2


def test_tiles_that_go_through_together_are_answered_like_each_alone(folder: Path) -> None:
    model, (cube, _) = load_model(folder, "cpu"), masked_cube([1])
    windows = [Window(0, 0, 32, 32), Window(32, 8, 32, 32)]  # the second sees the date that the first does not
    together = model.probabilities(model.read(cube, windows))
    for window, (probabilities, seen) in zip(windows, together, strict=True):
        alone, _, there = model.answer(cube, window)
        assert np.allclose(probabilities, alone, atol=1e-5) and np.array_equal(seen, there)


def probabilities_of(mapper: Mapper) -> np.ndarray:
    found = np.zeros((len(mapper.model.card.legend), *mapper.shape), np.float32)
    for number, tile in enumerate(mapper.tiles):
        [(answer, _)] = mapper.model.probabilities(mapper.read([number]))
        found[:, *tile.write.slices] = answer[:, *tile.inner]
    return found


def test_the_default_network_says_the_same_in_tiles_of_any_size(folder: Path) -> None:
    cube = toys.scene(size=136, seed=4).cube
    whole, *tiled = (
        probabilities_of(ready(folder, cube, PredictOptions(tile_px=px), "cpu")[0]) for px in (256, 32, 40, 96)
    )
    for other in tiled:
        assert np.abs(whole - other).max() < 1e-3


def test_only_networks_that_look_at_whole_tiles_blend(folder: Path) -> None:
    mapper, _ = ready(folder, toys.scene().cube, PredictOptions(tile_px=32), "cpu")
    assert mapper.blend_px == 0
    mapper.model.network.needs = replace(mapper.model.network.needs, whole_tile=True)
    assert mapper.blend_px == 16


def test_tiles_are_as_large_as_the_memory_allows_and_the_margins_ask(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    small = toys.scene().cube
    mapper, _ = ready(folder, small, PredictOptions(), "cpu")
    assert fitted_core_px(mapper) == 256, "a small scene is measured for nothing"
    large = replace(
        small, stored=xr.DataArray(np.broadcast_to(np.uint16(1), (6, 3, 5000, 5000)), coords=small.stored.coords,
                                   dims=small.stored.dims), grid=small.grid.pad_wh(5000)
    )  # fmt: skip
    mapper = replace(mapper, cube=large)
    step_px, margin_px = mapper.around_px
    each = bytes_per_px(mapper.model, large)
    found = []
    for free in (60e9, 4e8, 1e8):
        monkeypatch.setattr(fitting, "free_memory", lambda _, free=free: free)
        found.append(fitted_core_px(mapper))
        assert found[-1] == 32 or each * (found[-1] + 2 * margin_px) ** 2 < 0.5 * free
    assert found[0] > found[1] > found[2] >= 32
    assert overlap(found[0], margin_px, step_px) <= 0.15
    assert fitted_core_px(mapper, processes=3) < found[2] or found[2] == 32


def test_what_a_network_takes_is_the_tensors_that_live_at_once() -> None:
    import torch

    with fitting._Living() as living:
        a = torch.zeros(1000)  # 4 kB
        b = a + 1  # 8 kB at once
        view = b.view(10, 100)
        view += 1
        del a
        c = torch.zeros(500)
        del b, view, c
    assert (living.most, living.now) == (8000, 0)
