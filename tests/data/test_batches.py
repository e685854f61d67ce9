from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import xarray as xr
from affine import Affine
from xarray.backends import BackendArray
from xarray.core import indexing

from cscl.cube import Radiometry, SITSCube
from cscl.data.at_hand import at_hand, held_in_memory
from cscl.data.batches import Patches, Source, statistics, to_tensors
from cscl.data.sampling import PatchPlaces, even_dates, random_dates
from cscl.data.split import Side, split_window
from cscl.errors import InputError
from cscl.events import Event, Note, Progress, run
from cscl.grid import Window, make_grid, refined
from cscl.legend import Legend
from cscl.products import LabelMap, Scene

NODATA = 65535


def source(size: int = 40, dates: int = 5) -> Source:
    """A scene whose first band is the class id, whose second is the parcel id, and whose third is noise with gaps."""
    rng = np.random.default_rng(1)
    classes = rng.integers(0, 4, (size, size)).astype(np.uint8)
    parcels = rng.integers(0, 9, (size, size)).astype(np.int32)
    noise = rng.integers(1, 5000, (dates, size, size))
    stored = np.stack([np.broadcast_to(classes, noise.shape), np.broadcast_to(parcels, noise.shape), noise], 1)
    stored = stored.astype(np.uint16)
    stored[1, :, :20] = NODATA
    times = np.datetime64("2021-03-01", "ns") + np.arange(dates) * np.timedelta64(20, "D")
    array = xr.DataArray(
        stored, dims=("time", "band", "y", "x"), coords={"time": times, "band": ["class", "parcel", "noise"]}
    )
    grid = make_grid((size, size), Affine(10, 0, 5e5, 0, -10, 5e6), "EPSG:32631", "test")
    cube = SITSCube(array, grid, Radiometry((1.0,) * dates, (0.0,) * dates, NODATA, "test"))
    truth = LabelMap(classes, grid, Legend.from_codes([0, 1, 2, 3]), parcels)
    side = split_window((size, size), Window(0, 0, size, 30))
    return Source(Scene(cube, truth), side, np.arange(dates) * 20)


PLAIN = {"mean": np.zeros(3), "std": np.ones(3), "augment": True, "seed": 5}


def test_image_classes_and_parcels_move_together() -> None:
    patches = Patches([source()], Side.TRAIN, "class", 16, 4, **PLAIN)
    seen = 0
    for step in range(6):
        batch = patches.draw(step, 8)
        last = batch.x_BTCHW[:, -1]  # the last date has no gap
        known = batch.class_BHW >= 0
        assert (last[:, 0][known] == batch.class_BHW[known]).all()
        inside = batch.parcel_BHW >= 0
        assert (last[:, 1][inside] == batch.parcel_BHW[inside]).all()
        seen += int(known.sum())
    assert seen > 5000


def test_a_batch_is_a_function_of_seed_and_step() -> None:
    def first(seed: int, step: int) -> np.ndarray:
        patches = Patches([source()], Side.TRAIN, "class", 16, 3, **{**PLAIN, "seed": seed})
        return patches.draw(step, 4).x_BTCHW.numpy()

    assert np.array_equal(first(5, 7), first(5, 7))
    assert not np.array_equal(first(5, 7), first(5, 8))
    assert not np.array_equal(first(5, 7), first(6, 7))


def test_pixels_of_other_sides_keep_their_image_but_not_their_labels() -> None:
    here = source()
    patches = Patches([here], Side.TEST, "class", 40, 5, **{**PLAIN, "augment": False})
    batch = patches.draw(0, 1)
    assert (batch.class_BHW[0, :, :30] == -1).all() and (batch.parcel_BHW[0, :, :30] == -1).all()
    assert (batch.class_BHW[0, :, 30:].numpy() == here.scene.labels.ids[:, 30:]).all()
    assert (batch.x_BTCHW[0, -1, 0].numpy() == here.scene.labels.ids).all()


def test_missing_pixels_are_zero_and_marked() -> None:
    here = source()
    values, valid = here.scene.cube.read(Window(0, 0, 40, 40))
    x, _, seen = to_tensors(values, valid, here.days, np.full(3, 2.0), np.full(3, 4.0))
    assert not seen[1, :20].any() and seen[1, 20:].all() and (x[1, :, :20] == 0).all()
    assert np.allclose(x[0, 0].numpy(), (here.scene.labels.ids - 2.0) / 4.0)


def fine_source() -> Source:
    """A scene whose labels are 2 times finer, and whose first band is the mean of them in each pixel."""
    here = source()
    cube = here.scene.cube
    ids = np.random.default_rng(2).integers(0, 4, (80, 80)).astype(np.uint8)
    stored = cube.stored.copy()
    stored[:, 0] = 100 * ids.reshape(40, 2, 40, 2).mean(axis=(1, 3))
    labels = LabelMap(ids, refined(cube.grid, 2), here.scene.labels.legend, ids + np.int32(1))
    return Source(Scene(replace(cube, stored=stored), labels), here.side_YX.repeat(2, 0).repeat(2, 1), here.days)


def test_finer_classes_move_with_the_image() -> None:
    patches = Patches([fine_source()], Side.TRAIN, "class", 16, 4, **PLAIN)
    known = 0
    for step in range(6):
        batch = patches.draw(step, 4)
        assert batch.class_BHW.shape == batch.parcel_BHW.shape == batch.here_BHW.shape == (4, 32, 32)
        mean = batch.class_BHW.double().reshape(4, 16, 2, 16, 2).mean(dim=(2, 4))
        here = batch.here_BHW[:, ::2, ::2]
        assert (batch.x_BTCHW[:, -1, 0][here] == 100 * mean[here]).all()
        assert (batch.class_BHW[~batch.here_BHW] == -1).all()
        known += int(here.sum())
    assert known > 4000


def test_finer_fixed_patches_are_filled_up_alike() -> None:
    patches = Patches([fine_source()], Side.TEST, "class", 16, 5, **PLAIN)
    batches = list(patches.fixed(4, 16, 99, 7))
    assert sum(int((batch.class_BHW >= 0).sum()) for batch in batches) == 80 * 20
    for batch in batches:
        height, width = batch.x_BTCHW.shape[-2:]
        assert not height % 7 and not width % 7 and batch.class_BHW.shape[1:] == (2 * height, 2 * width)


def test_fixed_patches_cover_every_pixel_of_the_side_once() -> None:
    patches = Patches([source()], Side.TEST, "class", 16, 5, **PLAIN)
    covered = sum(int((batch.class_BHW >= 0).sum()) for batch in patches.fixed(4, 16, 99, 4))
    assert covered == 40 * 10


def test_fixed_patches_are_spent_on_known_pixels_only() -> None:
    """Labels are sparse in large scenes: looking where nothing is known would score nothing."""
    here = source()
    ids = np.full_like(here.scene.labels.ids, here.scene.labels.legend.ignore)
    ids[33, 36] = 2
    labels = replace(here.scene.labels, ids=ids)
    patches = Patches([replace(here, scene=Scene(here.scene.cube, labels))], Side.TEST, "class", 16, 5, **PLAIN)
    batches = list(patches.fixed(4, 8, 2, 1))
    assert len(batches) == 1 and (batches[0].class_BHW >= 0).sum() == 1 and len(batches[0].class_BHW) == 1


class Counted(BackendArray):
    """A file, as far as a cube can tell."""

    def __init__(self, values: np.ndarray) -> None:
        self.values, self.shape, self.dtype, self.reads = values, values.shape, values.dtype, 0

    def __getitem__(self, key: indexing.ExplicitIndexer) -> np.ndarray:
        self.reads += 1
        outer = indexing.IndexingSupport.OUTER
        return indexing.explicit_indexing_adapter(key, self.shape, outer, lambda k: self.values[k].copy())


def test_a_cube_is_read_into_memory_once_if_it_fits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("cscl.data.at_hand.STRIP_PX", 16)
    cube = source().scene.cube
    assert run(held_in_memory(cube)) is cube
    file = Counted(cube.stored.values)
    lazy = replace(cube, stored=cube.stored.copy(data=indexing.LazilyIndexedArray(file)))
    events: list[Progress] = []
    held = run(held_in_memory(lazy), events.append)
    assert [event.done for event in events] == [16, 32, 40]
    reads = file.reads
    assert all(np.array_equal(a, b) for a, b in zip(held.read(), cube.read(), strict=True)) and file.reads == reads
    assert run(held_in_memory(lazy, share=0.0)) is lazy


@pytest.mark.parametrize("masked", [False, True])
def test_a_larger_cube_is_copied_to_the_disk_pixel_by_pixel(
    masked: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("cscl.data.at_hand.TILE_PX", 16)
    monkeypatch.setattr("cscl.data.at_hand.MEMORY_SHARE", 0.0)
    cube = source().scene.cube
    if masked:
        clear = np.random.default_rng(0).random((len(cube.dates), *cube.shape)) < 0.5
        cube = replace(cube, clear=cube.stored[:, 0].drop_vars("band").copy(data=clear))
    file = Counted(cube.stored.values)
    lazy = replace(cube, stored=cube.stored.copy(data=indexing.LazilyIndexedArray(file)))
    copied = run(at_hand(lazy, tmp_path))
    reads = file.reads
    for part in (Window(0, 0, *cube.shape), Window(13, 5, 9, 17)):
        assert all(np.array_equal(a, b) for a, b in zip(copied.read(part), cube.read(part), strict=True))
    assert file.reads == reads and run(at_hand(copied, tmp_path)) is copied
    assert not list(tmp_path.iterdir()), "it has no name"
    notes: list[Event] = []
    monkeypatch.setattr("cscl.data.at_hand.DISK_SHARE", 0.0)
    assert run(at_hand(lazy, tmp_path), notes.append) is lazy
    assert isinstance(notes[0], Note) and "quick copy needs" in notes[0].text


def test_statistics_come_from_valid_training_pixels() -> None:
    here = source()
    mean, std = statistics([here])
    values, valid = here.scene.cube.read()
    pixels = values[:, 2, :, :30][valid[:, :, :30]]
    assert mean[2] == pytest.approx(pixels.mean(), rel=1e-6) and std[2] == pytest.approx(pixels.std(), rel=1e-6)


def test_dates_are_drawn_across_the_season_and_evenly_in_evaluation() -> None:
    usable = np.ones(30, bool)
    usable[7] = False
    rng = np.random.default_rng(0)
    drawn = random_dates(usable, 6, rng)
    assert len(drawn) == 6 and (np.diff(drawn) > 0).all() and 7 not in drawn
    assert drawn[0] < 5 and drawn[-1] > 24
    assert np.array_equal(even_dates(usable, 6), even_dates(usable, 6))
    assert np.array_equal(even_dates(np.ones(4, bool), 6), np.arange(4))
    assert np.array_equal(even_dates(np.zeros(4, bool), 6), np.arange(4))


def test_drawn_patches_hold_wanted_pixels_and_stay_inside() -> None:
    wanted = np.zeros((50, 70), bool)
    wanted[48, 69] = wanted[3, 2] = True
    places = PatchPlaces.of(wanted, 24, "test")
    rng = np.random.default_rng(0)
    for _ in range(200):
        window = places.draw(rng)
        assert 0 <= window.row <= 26 and 0 <= window.col <= 46 and wanted[window.slices].any()


def test_an_image_smaller_than_a_patch_is_said() -> None:
    with pytest.raises(InputError, match="fewer than a patch"):
        PatchPlaces.of(np.ones((10, 40), bool), 24, "small.tif")
