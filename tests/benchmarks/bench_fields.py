"""Benchmark of outlining the fields of a generated map, plain and smoothed: time, and memory that stays flat.

    python tests/benchmarks/bench_fields.py [--json FILE] [--sizes PX ...] [--smooth PX ...]

Each case runs in a fresh process of one thread. Time is its process time; memory is the peak resident set minus what
was resident before (from /proc, so Linux only); `ratio` is memory over that of the smallest map, 1 if it is flat.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import rasterio
from affine import Affine

from cscl.events import run
from cscl.export.fields import FieldOptions, export_fields
from cscl.legend import Legend
from cscl.products import Prediction

SIZES, SMOOTH = (2745, 10980), (0.0, 2.5)
ROWS = 512


def write_map(folder: Path, size_px: int, seed: int = 1) -> Path:
    """Write a prediction of winding parcels of 12 crops, about 28 by 40 pixels, with gaps and 1 % of stray pixels."""
    folder.mkdir()
    rng, legend = np.random.default_rng(seed), Legend.from_codes(range(1, 13))
    layout = {
        "driver": "GTiff", "height": size_px, "width": size_px, "count": 1, "dtype": "uint8", "nodata": 255,
        "crs": "EPSG:32631", "transform": Affine(10, 0, 399960, 0, -10, 5000040), "tiled": True, "compress": "deflate",
    }  # fmt: skip
    names = ("classes.tif", "confidence.tif")
    with (
        rasterio.open(folder / names[0], "w", **layout) as ids,
        rasterio.open(folder / names[1], "w", **layout) as sure,
    ):
        for row in range(0, size_px, ROWS):
            y, x = np.mgrid[row : min(row + ROWS, size_px), 0:size_px].astype(np.float32)
            u, v = (x + 12 * np.sin(y / 61) + 0.2 * y) / 40, (y + 9 * np.sin(x / 83) - 0.15 * x) / 28
            one, two = np.floor(u).astype(np.int64), np.floor(v).astype(np.int64)
            crop = (((one * 73856093) ^ (two * 19349663)) % 12 + 1).astype(np.uint8)
            crop[(u - one < 0.04) | (v - two < 0.05)] = 255
            stray = rng.random(crop.shape) < 0.01
            crop[stray] = rng.integers(1, 13, stray.sum())
            place = rasterio.windows.Window(0, row, size_px, len(crop))
            ids.write(crop, 1, window=place)
            sure.write(rng.integers(100, 251, crop.shape).astype(np.uint8), 1, window=place)
    (folder / "prediction.json").write_text(json.dumps({"legend": legend.to_dict(), "facts": {}}))
    return folder


def measure(folder: Path, smooth_px: float) -> dict[str, Any]:
    prediction, before, start = Prediction.open(folder), resident("VmRSS"), time.process_time()
    path = run(
        export_fields(prediction, folder.parent / "fields.gpkg", FieldOptions(smooth_px=smooth_px), overwrite=True)
    )
    return {
        "seconds": time.process_time() - start,
        "peak_mb": resident("VmHWM") - before,
        "file_mb": path.stat().st_size / 1e6,
    }


def resident(what: str) -> float:
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) / 1024 for line in lines if line.startswith(what))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", type=Path)
    parser.add_argument("--sizes", type=int, nargs="+", default=SIZES)
    parser.add_argument("--smooth", type=float, nargs="+", default=SMOOTH)
    parser.add_argument("--one", nargs=2, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.one:
        print(json.dumps(measure(Path(args.one[0]), float(args.one[1]))))
        return
    rows: list[dict[str, Any]] = []
    with tempfile.TemporaryDirectory() as scratch:
        for size_px in args.sizes:
            folder = write_map(Path(scratch) / str(size_px), size_px)
            for smooth_px in args.smooth:
                words = [sys.executable, __file__, "--one", str(folder), str(smooth_px)]
                env = {**os.environ, "OMP_NUM_THREADS": "1"}
                done = subprocess.run(words, capture_output=True, text=True, check=True, env=env)
                found = json.loads(done.stdout)
                first = next((row for row in rows if row["smooth_px"] == smooth_px), found)
                ratio = found["peak_mb"] / first["peak_mb"]
                rows.append(
                    {"name": f"{size_px} px, smooth {smooth_px:g}", "smooth_px": smooth_px, **found, "ratio": ratio}
                )
                print({key: round(v, 2) if isinstance(v, float) else v for key, v in rows[-1].items()}, flush=True)
    if args.json:
        args.json.write_text(json.dumps(rows, indent=1))


if __name__ == "__main__":
    main()
