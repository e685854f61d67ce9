"""Images and labels of any size that take no disk and hardly any time to read."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr
from affine import Affine
from xarray.backends import BackendArray
from xarray.core import indexing

from cscl.cube import Radiometry, SITSCube
from cscl.events import run
from cscl.grid import GeoBox, make_grid
from cscl.legend import Legend
from cscl.products import LabelMap, Scene
from cscl.recipe import Recipe
from cscl.training.segment import train

__all__ = ["BANDS", "CLASSES", "DATES", "cube", "grid", "quick_model", "scene"]

BANDS, DATES, CLASSES, BLOCK_PX, PARCEL_PX = 10, 24, 13, 256, 16


class Repeated(BackendArray):
    """Stored values of a block, again and again."""

    dtype = np.dtype(np.uint16)

    def __init__(self, size_px: int, dates: int, bands: int) -> None:
        self.shape = (dates, bands, size_px, size_px)
        self.block = np.random.default_rng(0).integers(1, 4000, (dates, bands, BLOCK_PX, BLOCK_PX), np.uint16)

    def __getitem__(self, key: indexing.ExplicitIndexer) -> Any:
        return indexing.explicit_indexing_adapter(key, self.shape, indexing.IndexingSupport.OUTER, self._make)

    def _make(self, key: tuple[Any, ...]) -> Any:
        t, b, y, x = (np.arange(n)[k] for n, k in zip(self.shape, key, strict=True))
        block = self.block[np.ix_(t, b)]
        return np.take(np.take(block, y % BLOCK_PX, axis=2), x % BLOCK_PX, axis=3)


def grid(size_px: int) -> GeoBox:
    return make_grid((size_px, size_px), Affine(10, 0, 5e5, 0, -10, 5e6), "EPSG:32631", "benchmark")


def cube(size_px: int, dates: int = DATES, bands: int = BANDS) -> SITSCube:
    times = np.datetime64("2021-01-10", "ns") + (np.arange(dates) * (336 // dates)).astype("timedelta64[D]")
    stored = xr.Variable(("time", "band", "y", "x"), indexing.LazilyIndexedArray(Repeated(size_px, dates, bands)))
    array = xr.DataArray(stored, coords={"time": times, "band": [f"B{i:02d}" for i in range(bands)]})
    return SITSCube(array, grid(size_px), Radiometry((1e-4,) * dates, (0.0,) * dates, 0, "benchmark"), name="benchmark")


def scene(size_px: int, dates: int = DATES, bands: int = BANDS) -> Scene:
    """A cube with square parcels of random crops."""
    small = np.random.default_rng(0).integers(0, CLASSES, (-(-size_px // PARCEL_PX),) * 2)
    ids = np.kron(small, np.ones((PARCEL_PX, PARCEL_PX), np.uint8))[:size_px, :size_px].astype(np.uint8)
    return Scene(cube(size_px, dates, bands), LabelMap(ids, grid(size_px), Legend.from_codes(range(CLASSES)), None))


def quick_model(folder: Path, name: str = "compact") -> Path:
    """Train a network for one step: how long it takes does not depend on what it has learnt."""
    recipe = Recipe().with_settings(["train.steps=1", "data.validation_share=0.0", f"model.name={name}"])
    return run(train([scene(128)], folder / name, recipe.with_settings([f"data.dates={DATES}"]), device="cpu"))
