"""A large scene through the window, act by act: time, the longest time the window did not answer, and memory.

The scene is the tests' toy scene, repeated;
its model is the default network of so many features, hardly trained: speed does not depend on what it has learnt.
"""

from __future__ import annotations

import os
import sys
import tempfile
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from suite import Figures, Settings
from suite.measuring import peak_mb, reset_peak

sys.path.insert(0, str(Path(__file__).parents[2]))

TICK_MS, PATCH_PX, PARCEL_PX = 5, 500, 20
DATES, FEATURES = 6, 64


def write_scene(folder: Path, size_px: int, dates: int) -> None:
    """Write one GeoTIFF a date, with overviews, and the parcels as polygons."""
    import geopandas
    import rasterio
    import toys
    from rasterio.enums import Resampling
    from shapely import box

    images = folder / "images"
    images.mkdir(parents=True)
    small = toys.scene(min(size_px, PATCH_PX), dates, parcel_px=PARCEL_PX, gap=False)
    times = -(-size_px // small.cube.shape[0])
    grid = small.cube.grid
    form = {"tiled": True, "blockxsize": 512, "blockysize": 512, "compress": "deflate", "zlevel": 1, "nodata": 65535}
    for date, stored in zip(small.cube.dates, small.cube.stored.values, strict=True):
        name = images / f"S2_{str(date)[:10].replace('-', '')}.tif"
        place = {"crs": str(grid.crs), "transform": grid.transform}
        with rasterio.open(name, "w", "GTiff", size_px, size_px, 3, dtype="uint16", **place, **form) as out:
            out.write(np.tile(stored, (1, times, times))[:, :size_px, :size_px])
            out.descriptions = small.cube.bands
            out.build_overviews([2, 4, 8], Resampling.average)
    rows, cols = (index * PARCEL_PX for index in np.indices((size_px // PARCEL_PX,) * 2).reshape(2, -1))
    ids = np.asarray(small.labels.ids)[rows % small.cube.shape[0], cols % small.cube.shape[0]]
    west, north = 5e5 + 10 * cols, 5e6 - 10 * rows
    squares = box(west, north - 10 * PARCEL_PX, west + 10 * PARCEL_PX, north)
    codes = {c.id: c.code for c in toys.LEGEND.classes}
    table = geopandas.GeoDataFrame({"crop": [codes.get(i, "GRA") for i in ids]}, geometry=squares, crs=str(grid.crs))
    table.to_file(folder / "parcels.gpkg")


def write_model(folder: Path, features: int) -> Path:
    """Train a network for a few steps on the toy scene."""
    import toys

    from cscl.events import run
    from cscl.training.segment import train

    recipe = toys.QUICK.with_settings([f"model.num_features={features}", "train.steps=4", "train.validate_every=4"])
    return run(train([toys.scene()], folder / "model", recipe, device="cpu"))


class Acts:
    """Runs one act after another with the event loop, and notes what each of them took."""

    def __init__(self) -> None:
        self.parts: dict[str, Figures] = {}

    def __call__(self, name: str, begin: Callable[[], Any], over: Callable[[], bool], limit_s: float = 3600) -> None:
        from qtpy.QtWidgets import QApplication

        before = reset_peak()
        start = last = time.perf_counter()
        longest = 0.0
        begin()
        quiet = None
        while quiet is None or time.perf_counter() - quiet < 0.5:
            QApplication.processEvents()
            now = time.perf_counter()
            longest, last = max(longest, now - last), now
            if quiet is None and over():
                quiet = now
            if now - start > limit_s:
                raise TimeoutError(f"{name}: not over after {limit_s:.0f} s")
            time.sleep(TICK_MS / 1000)
        took = (quiet or time.perf_counter()) - start
        self.parts[name] = Figures([took], peak_mb(before), more={"longest_gap_s": longest})


def through(folder: Path, model: Path) -> Mapping[str, Figures]:
    """Open, look, pick, predict, find errors."""
    import napari
    from qtpy.QtWidgets import QApplication

    from napari_cscl.widgets.dock import CSCLDock

    viewer = napari.Viewer()
    viewer.window.resize(1366, 768)
    dock = CSCLDock(viewer)
    viewer.window.add_dock_widget(dock, name="CSCL")
    viewer.add_image(np.zeros((8, 8)))  # the first layer compiles the shaders, whosever it is
    QApplication.processEvents()
    viewer.layers.clear()
    acts, session, runner = Acts(), dock.session, dock.runner
    acts(
        "open images", lambda: dock.data.open_images(folder / "images"), lambda: not runner.busy and bool(viewer.layers)
    )
    acts("open parcels", lambda: dock.data.open_labels(folder / "parcels.gpkg", "crop"), lambda: not runner.busy)
    acts("another date", lambda: viewer.dims.set_current_step(0, 2), lambda: True)
    acts("open the model", lambda: session.open_model(model), lambda: True)
    dock.pages.turn_to(dock.affinity)
    acts("look", dock.affinity.start_looking, lambda: not runner.busy)
    acts("click", lambda: dock.affinity.picked(100, 100, frozenset()), lambda: True)
    acts("click again", lambda: dock.affinity.picked(200, 300, frozenset()), lambda: True)
    dock.pages.turn_to(dock.map)
    dock.map.sure.setChecked(True)
    acts("predict", dock.map.start_predicting, lambda: not runner.busy)
    acts("boundary panel", lambda: dock.pages.turn_to(dock.boundary), lambda: True)
    acts("find errors", dock.boundary.start_finding, lambda: not runner.busy)
    acts("another panel", lambda: dock.pages.turn_to(dock.profiles), lambda: True)
    acts("click for a profile", lambda: dock.profiles.picked(150, 150, frozenset()), lambda: not runner.busy)
    acts("close", viewer.close, lambda: True)
    return acts.parts


def measure(size_px: int, settings: Settings) -> Mapping[str, Figures]:
    """Write a scene and a model, and go through with them."""
    with tempfile.TemporaryDirectory() as scratch:
        os.environ["NAPARI_CONFIG"] = str(Path(scratch) / "settings.yaml")
        write_scene(Path(scratch), size_px, DATES)
        return through(Path(scratch), write_model(Path(scratch), FEATURES))
