"""Speed and memory of the plugin in a real window; run with ``xvfb-run -a python tests/benchmarks/bench_plugin.py``.

One section a measurement. Each form of the images is measured in a process of its own, so that memory is its own.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

DATES, BANDS, SIZE_PX = 60, ("B02", "B03", "B04", "B08"), 4000
SLID = 20  # dates that are looked at, one after another


def memory_mb() -> float:
    """Resident memory of this process."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 1e6


def picture(size_px: int) -> Any:
    """One date: fields of a few sizes with noise, axes (band, y, x)."""
    rng = np.random.default_rng(0)
    fields = np.kron(rng.integers(300, 4000, (size_px // 40, size_px // 40)), np.ones((40, 40)))
    noise = rng.normal(0, 60, (len(BANDS), size_px, size_px)).astype(np.float32)
    return (fields * np.array([0.4, 0.6, 0.7, 1.4])[:, None, None] + noise).clip(1, 9999).astype(np.uint16)


# --- opening a large season ----------------------------------------------------------------------------------------


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


def open_once(path: str, asynchronous: bool) -> dict[str, float]:
    """Open a season in a window and slide through some dates, zoomed out."""
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
    start, before = time.perf_counter(), memory_mb()
    dock.data.open_images(path)
    _wait(lambda: len(viewer.layers) > 0 and viewer.layers[0].loaded)
    QApplication.processEvents()
    opened, grown = time.perf_counter() - start, memory_mb() - before
    _wait(lambda: not dock.runner.busy)
    _settle(0.5)
    blocked, whole = [], []
    for step in range(SLID):
        begin = time.perf_counter()
        viewer.dims.set_current_step(0, step)
        blocked.append(1000 * (time.perf_counter() - begin))
        _wait(lambda: viewer.layers[0].loaded and not dock.filler.runner.busy)
        whole.append(1000 * (time.perf_counter() - begin))
        _settle(0.02)
    shown = viewer.layers[0]
    figures = {
        "open_s": opened, "open_mb": grown, "slid_mb": memory_mb() - before, "levels": len(shown.data),
        "level": shown.data_level, "step_ms": float(np.median(blocked[1:])),
        "step_p95_ms": float(np.percentile(blocked[1:], 95)), "whole_ms": float(np.median(whole[1:])),
    }  # fmt: skip
    viewer.close()
    return figures


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


def opening() -> None:
    """Print how long a large season takes to open and to slide through, and the memory it takes."""
    print(f"opening {DATES} dates x {len(BANDS)} bands x {SIZE_PX} x {SIZE_PX} pixels")
    with tempfile.TemporaryDirectory() as folder:
        for form in ("overviews", "plain", "zarr"):
            path = write_season(Path(folder) / form, form)
            for asynchronous in (False, True):
                command = [sys.executable, __file__, "--open-once", str(path), str(int(asynchronous))]
                done = subprocess.run(command, capture_output=True, text=True, check=False)
                if done.returncode:
                    print(done.stderr[-2000:])
                    continue
                f = json.loads(done.stdout.splitlines()[-1])
                print(
                    f"{form:<10}{'async' if asynchronous else 'sync':<6} first picture {f['open_s']:.2f} s, "
                    f"memory +{f['open_mb']:.0f} MB, after {SLID} dates +{f['slid_mb']:.0f} MB; "
                    f"a step blocks the window {f['step_ms']:.0f} ms (p95 {f['step_p95_ms']:.0f}), "
                    f"its whole picture is there after {f['whole_ms']:.0f} ms, "
                    f"level {f['level'] + 1} of {f['levels']}"
                )


SECTIONS: dict[str, Callable[[], None]] = {"opening": opening}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("sections", nargs="*", choices=[[], *SECTIONS], help="What to measure; everything by default")
    parser.add_argument("--open-once", nargs=2, metavar=("PATH", "ASYNC"), help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.open_once:
        os.environ.setdefault("NAPARI_CONFIG", str(Path(tempfile.mkdtemp()) / "settings.yaml"))
        print(json.dumps(open_once(args.open_once[0], args.open_once[1] == "1")))
        return
    for name in args.sections or SECTIONS:
        SECTIONS[name]()


if __name__ == "__main__":
    main()
