"""EOPatch folders: the features of eo-learn, old and new, become a cube, and nothing of theirs is run."""

from __future__ import annotations

import pickle
from pathlib import Path

import numpy as np
import pytest
from fake_files import DATES, SHAPE, TRANSFORM, save_array, stored, write_patch

from cscl.data.readers import ReadOptions, open_cube
from cscl.data.scenes import LabelOptions, open_labels
from cscl.errors import GridError, InputError, MemoryLimitError, UnknownNameError
from cscl.grid import Window, make_grid, require_same

GRID = make_grid(SHAPE, TRANSFORM, "EPSG:32633", "the patch")
IMAGES = stored().transpose(0, 2, 3, 1)  # time, y, x, band
CLOUD = np.zeros((4, *SHAPE, 1), np.uint8)
CLOUD[1, :5] = 1
CLOUD[2, 0, 0] = 255


@pytest.mark.parametrize(
    ("ending", "packed", "times"),
    [(".npy", "", "timestamps"), (".npy.gz", ".gz", "timestamp"), (".zarr", "", "timestamps")],
)
def test_a_patch_is_read_as_written(tmp_path: Path, ending: str, packed: str, times: str) -> None:
    cube = open_cube(write_patch(tmp_path / "patch", ending, packed, times), ReadOptions(bands=("B02", "B04", "B8A")))
    assert cube.name == "patch" and cube.bands == ("B02", "B04", "B8A")
    assert [str(d)[:19] for d in cube.dates] == [f"{d}T10:00:00" for d in DATES]
    require_same(cube.grid, GRID, "patch and grid")
    assert tuple(cube.grid.transform) == pytest.approx(tuple(TRANSFORM), rel=1e-11)
    np.testing.assert_array_equal(cube.stored.values, stored())
    whole = cube.stored.copy(data=stored())
    for cut in ({"time": 1, "y": slice(3, 7)}, {"time": [2, 0], "band": [2, 0], "x": [5, 1, 1]}, {"x": slice(1, 9, 2)}):
        np.testing.assert_array_equal(cube.stored.isel(cut).values, whole.isel(cut).values)
    other = pickle.loads(pickle.dumps(cube)).read(Window(1, 2, 5, 6))
    np.testing.assert_array_equal(other[0], cube.read()[0][..., 1:6, 2:8])


def test_masks_of_known_meaning_are_joined(tmp_path: Path) -> None:
    valid = np.ones((4, *SHAPE, 1), bool)
    valid[0, :, 3] = False
    path = write_patch(tmp_path)
    save_array(path / "mask" / "CLM", CLOUD, ".npy.gz")
    save_array(path / "mask" / "IS_VALID", valid)
    save_array(path / "mask" / "dataMask", valid.astype(np.uint8) * 0 + 1)
    save_array(path / "mask" / "SCL", CLOUD)
    cube = open_cube(path)
    np.testing.assert_array_equal(cube.read()[1], ((CLOUD == 0) & valid)[..., 0])
    assert cube.read(Window(0, 0, 2, 2))[1].shape == (4, 2, 2)
    assert cube.notes[1:4] == (
        "Mask from the feature CLM: non-zero is not usable.",
        "Mask from the feature IS_VALID: non-zero is usable.",
        "Mask from the feature dataMask: non-zero is usable.",
    )
    assert "they may be one: SCL. Name one with --mask" in cube.notes[4]
    alone = open_cube(path, ReadOptions(mask="mask/CLM"))
    np.testing.assert_array_equal(alone.read()[1], CLOUD[..., 0] == 0)
    np.testing.assert_array_equal(open_cube(path, ReadOptions(mask="IS_VALID")).read()[1], valid[..., 0])


def test_a_feature_of_several_is_chosen(tmp_path: Path) -> None:
    path = write_patch(tmp_path)
    save_array(path / "data" / "NDVI", IMAGES[..., :1] * 0.5)
    with pytest.raises(InputError, match=r"several images: BANDS, NDVI. Say which to use with --variable"):
        open_cube(path)
    assert open_cube(path, ReadOptions(variable="data/NDVI")).bands == ("NDVI",)
    with pytest.raises(UnknownNameError, match=r"Unknown feature 'NVDI' in .* Did you mean 'NDVI'"):
        open_cube(path, ReadOptions(variable="NVDI"))


def test_timeless_masks_are_labels(tmp_path: Path) -> None:
    path, classes = write_patch(tmp_path), (np.arange(SHAPE[0] * SHAPE[1]) % 5).reshape(*SHAPE, 1).astype(np.uint16)
    labels = open_labels(save_array(path / "mask_timeless" / "LULC", classes), GRID, LabelOptions(label_nodata=3))
    np.testing.assert_array_equal(labels.ids, np.where(classes[..., 0] == 3, labels.legend.ignore, classes[..., 0]))
    assert labels.legend.ids == (0, 1, 2, 4)
    finer = make_grid((26, 34), TRANSFORM, "EPSG:32633", "elsewhere")
    with pytest.raises(GridError, match=r"The images and the labels .*LULC.npy: the shapes differ"):
        open_labels(path / "mask_timeless" / "LULC.npy", finer, LabelOptions())


def test_a_packed_array_that_the_memory_does_not_hold(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    cube = open_cube(write_patch(tmp_path, ".npy.gz"))
    monkeypatch.setattr("psutil.virtual_memory", lambda: type("", (), {"available": 100}))
    with pytest.raises(MemoryLimitError, match="Unpack the file with gunzip"):
        cube.read(Window(0, 0, 1, 1))


def test_single_files_of_larger_things_say_what_to_give(tmp_path: Path) -> None:
    path = write_patch(tmp_path)
    with pytest.raises(InputError, match="Give the folder of its EOPatch"):
        open_cube(path / "data" / "BANDS.npy")
    (path / "sample.pickle").write_bytes(pickle.dumps({}))
    with pytest.raises(InputError, match=r"sample.pickle is a pickle.* Give the folder of the dataset"):
        open_cube(path / "sample.pickle")
