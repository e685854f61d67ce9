"""Opening a large season in a window, and sliding through its dates."""

from __future__ import annotations

import os
import tempfile
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from suite import Figures, Settings
from suite.measuring import resident_mb

DATES, BANDS, SIZE_PX = 60, ("B02", "B03", "B04", "B08"), 4000
SLID = 20  # dates that are looked at, one after another


def picture(size_px: int) -> Any:
    """One date: fields of a few sizes with noise, axes (band, y, x)."""
    rng = np.random.default_rng(0)
    fields = np.kron(rng.integers(300, 4000, (size_px // 40, size_px // 40)), np.ones((40, 40)))
    noise = rng.normal(0, 60, (len(BANDS), size_px, size_px)).astype(np.float32)
    return (fields * np.array([0.4, 0.6, 0.7, 1.4])[:, None, None] + noise).clip(1, 9999).astype(np.uint16)


def write_season(folder: Path, form: str) -> Path:
    """Write 60 dates of 4000 x 4000 pixels that take the space of one: links to one file, or to one date's chunks."""
    if form == "zarr":
        return _write_zarr(folder / "season.zarr")
    import rasterio
    from affine import Affine
    from rasterio.enums import Resampling

    place = {"crs": "EPSG:32631", "transform": Affine(10, 0, 5e5, 0, -10, 5e6), "nodata": 65535}
    form_of = {"tiled": True, "blockxsize": 512, "blockysize": 512, "compress": "deflate", "zlevel": 1}
    days = [str(np.datetime64("2021-01-01") + 6 * i).replace("-", "") for i in range(DATES)]
    first = folder / f"S2_{days[0]}.tif"
    folder.mkdir(parents=True)
    with rasterio.open(first, "w", "GTiff", SIZE_PX, SIZE_PX, 4, dtype="uint16", **place, **form_of) as out:
        out.write(picture(SIZE_PX))
        out.descriptions = BANDS
        if form == "overviews":
            out.build_overviews([2, 4, 8], Resampling.average)
    for day in days[1:]:
        os.link(first, folder / f"S2_{day}.tif")
    return folder


def _write_zarr(path: Path) -> Path:
    import xarray as xr
    import zarr

    axes = {"time": np.datetime64("2021-01-01", "ns") + (6 * np.arange(DATES)).astype("timedelta64[D]")}
    metres = 10 * np.arange(SIZE_PX) + 5.0
    coords = {**axes, "band": list(BANDS), "y": 5e6 - metres, "x": 5e5 + metres}
    xr.Dataset(coords=coords, attrs={"crs": "EPSG:32631"}).to_zarr(path, zarr_format=2, consolidated=False)
    shape, chunks = (DATES, 4, SIZE_PX, SIZE_PX), (1, 4, 500, 500)
    store = zarr.open_group(path, mode="a", zarr_format=2).create_array(
        "images", shape=shape, chunks=chunks, dtype="u2"
    )
    store.attrs["_ARRAY_DIMENSIONS"] = ["time", "band", "y", "x"]
    store[0] = picture(SIZE_PX)
    for chunk in sorted((path / "images").glob("0.*")):
        for time_ in range(1, DATES):
            os.link(chunk, chunk.with_name(f"{time_}{chunk.name[1:]}"))
    return path


def measure(form: str, asynchronous: bool, work: int, settings: Settings) -> Mapping[str, Figures]:
    """Open a season in a window and slide through some dates, zoomed out."""
    with tempfile.TemporaryDirectory() as folder:
        os.environ["NAPARI_CONFIG"] = str(Path(folder) / "settings.yaml")
        return opened(str(write_season(Path(folder) / "season", form)), asynchronous)


def opened(path: str, asynchronous: bool) -> Mapping[str, Figures]:
    import napari
    from napari.settings import get_settings
    from qtpy.QtWidgets import QApplication

    from napari_cscl.widgets.dock import CSCLDock

    get_settings().experimental.async_ = asynchronous
    viewer = napari.Viewer()
    dock = CSCLDock(viewer)
    viewer.window.add_dock_widget(dock, name="CSCL")
    viewer.add_image(np.zeros((8, 8)))  # the first layer compiles the shaders, whosever it is
    _settle(0.5)
    viewer.layers.clear()
    start, before = time.perf_counter(), resident_mb() or 0.0
    dock.data.open_images(path)
    _wait(lambda: len(viewer.layers) > 0 and viewer.layers[0].loaded)
    QApplication.processEvents()
    opening, grown = time.perf_counter() - start, (resident_mb() or 0.0) - before
    _wait(lambda: not dock.runner.busy)
    _settle(0.5)
    blocked, whole = [], []
    for step in range(SLID):
        begin = time.perf_counter()
        viewer.dims.set_current_step(0, step)
        blocked.append(time.perf_counter() - begin)
        _wait(lambda: viewer.layers[0].loaded and not dock.filler.runner.busy)
        whole.append(time.perf_counter() - begin)
        _settle(0.02)
    shown = viewer.layers[0]
    levels = {"level": float(shown.data_level + 1), "levels": float(len(shown.data) if shown.multiscale else 1)}
    parts = {
        "first picture": Figures([opening], grown, more=levels),
        "a step blocks the window": Figures(blocked[1:], (resident_mb() or 0.0) - before),
        "its picture is whole": Figures(whole[1:]),
    }
    viewer.close()
    return parts


def _settle(seconds: float) -> None:
    from qtpy.QtWidgets import QApplication

    end = time.perf_counter() + seconds
    while time.perf_counter() < end:
        QApplication.processEvents()
        time.sleep(0.002)


def _wait(done: Callable[[], bool], limit_s: float = 60) -> None:
    end = time.perf_counter() + limit_s
    while not done() and time.perf_counter() < end:
        _settle(0.005)
