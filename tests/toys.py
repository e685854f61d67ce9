"""Fake scenes, small and with a seed: parcels of three crops that a network can learn in seconds."""

from __future__ import annotations

import numpy as np
import xarray as xr
from affine import Affine

from cscl.cube import Radiometry, SITSCube
from cscl.grid import make_grid, refined
from cscl.legend import CropClass, Legend
from cscl.products import LabelMap, Scene
from cscl.recipe import Recipe

LEGEND = Legend(
    (
        CropClass(0, "GRA", "grassland", "#117733"),
        CropClass(4, "WWH", "winter wheat", "#ddcc77"),
        CropClass(9, "MAI", "maïs", "#cc6677"),
    )
)
CURVES = np.array([[3, 4, 5, 5, 4, 4], [2, 5, 7, 3, 1, 2], [1, 1, 2, 6, 7, 3]]) * 800.0
NODATA = 65535

# Small and quick enough for tests, on any number of steps.
QUICK = Recipe().with_settings(
    [
        *("data.patch_px=16", "data.block_px=16", "data.test_share=0.2", "model.num_features=4"),
        *("pretrain.steps=30", "pretrain.batch=4", "pretrain.loss.width=16"),
        *("train.steps=60", "train.batch=4", "train.validate_every=30"),
    ]
)


def scene(size: int = 64, dates: int = 6, seed: int = 0, parcel_px: int = 8, gap: bool = True) -> Scene:
    """A scene of square parcels; unknown along the lower edge, and one date with a gap."""
    rng = np.random.default_rng(seed)
    count = -(-size // parcel_px)
    square = np.ones((parcel_px, parcel_px), int)
    index = np.kron(rng.integers(0, 3, (count, count)), square)[:size, :size]
    numbers = np.kron(1 + np.arange(count * count).reshape(count, count), square)[:size, :size].astype(np.int32)
    values = CURVES[index].transpose(2, 0, 1)[np.linspace(0, 5, dates).round().astype(int)]
    bands = np.stack([values, 6000 - 0.5 * values, 0.3 * values + 500], axis=1)
    stored = (bands + rng.normal(0, 150, bands.shape)).clip(1).astype(np.uint16)
    if gap:
        stored[1, :, : size // 3, : size // 2] = NODATA
    times = np.datetime64("2021-03-05", "ns") + (np.arange(dates) * 33).astype("timedelta64[D]")
    array = xr.DataArray(stored, dims=("time", "band", "y", "x"), coords={"time": times, "band": ["B03", "B04", "B08"]})
    grid = make_grid((size, size), Affine(10, 0, 5e5, 0, -10, 5e6), "EPSG:32631", "toy")
    cube = SITSCube(array, grid, Radiometry((1e-4,) * dates, (0.0,) * dates, NODATA, "toy"), name="toy images")
    ids = LEGEND.to_ids(index)
    ids[-4:] = LEGEND.ignore
    return Scene(cube, LabelMap(ids, grid, LEGEND, numbers, "toy parcels"))


def finer(scene: Scene, times: int = 2) -> Scene:
    """The same scene with labels at finer pixels, whose parcels reach one fine pixel farther down and to the right."""
    labels = scene.labels

    def moved(array: np.ndarray) -> np.ndarray:
        fine = array.repeat(times, 0).repeat(times, 1)
        return np.pad(fine, ((1, 0), (1, 0)), mode="edge")[:-1, :-1]

    assert labels.parcel_ids is not None
    fine = LabelMap(
        moved(labels.ids), refined(labels.grid, times), labels.legend, moved(labels.parcel_ids), labels.name
    )
    return Scene(scene.cube, fine)
