"""Speed and memory of mapping: ``python tests/benchmarks/bench_predict.py [--json FILE]``.

Images are one block of made-up pixels, repeated as they are read, so that a whole tile takes no disk. Each map is made
in a process of its own: its peak memory, without what importing takes, is its own. Whole tiles can be mapped by a
stand-in (``--cheap``), which takes the memory of the default network and reads as far, but hardly computes.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch
import xarray as xr
from affine import Affine
from torch import Tensor, nn
from xarray.backends import BackendArray
from xarray.core import indexing

from cscl.cube import Radiometry, SITSCube
from cscl.events import Progress, run
from cscl.grid import make_grid
from cscl.inference.fitting import overlap
from cscl.inference.mapper import ready
from cscl.inference.predict import PredictOptions, Workers, predict
from cscl.legend import Legend
from cscl.models import Architecture, DataShape, Needs, Network, models
from cscl.models.compact import CompactOptions
from cscl.products import LabelMap, Scene
from cscl.recipe import Recipe
from cscl.training.segment import train

BANDS, DATES, CLASSES, BLOCK_PX = 10, 24, 13, 256
TAKES = 5500  # bytes a pixel that the default network takes, and the stand-in at some tiles
EVERY = 8


class Repeated(BackendArray):
    """Stored values of a block, again and again."""

    dtype = np.dtype(np.uint16)

    def __init__(self, size_px: int, dates: int) -> None:
        self.shape = (dates, BANDS, size_px, size_px)
        self.block = np.random.default_rng(0).integers(1, 4000, (dates, BANDS, BLOCK_PX, BLOCK_PX), np.uint16)

    def __getitem__(self, key: indexing.ExplicitIndexer) -> Any:
        return indexing.explicit_indexing_adapter(key, self.shape, indexing.IndexingSupport.OUTER, self._make)

    def _make(self, key: tuple[Any, ...]) -> Any:
        t, b, y, x = (np.arange(n)[k] for n, k in zip(self.shape, key, strict=True))
        block = self.block[np.ix_(t, b)]
        return np.take(np.take(block, y % BLOCK_PX, axis=2), x % BLOCK_PX, axis=3)


class StandIn(Network):
    """Answers by a mean over dates, with the margin and the memory of the default network."""

    def __init__(self, options: CompactOptions, shape: DataShape) -> None:
        super().__init__()
        self.embedding_width = options.embedding_width
        self.needs = Needs(margin_px=20)
        self.calls = 0
        self.widen = nn.Conv2d(shape.bands, options.embedding_width, 1)
        self.classify = nn.Conv2d(options.embedding_width, shape.classes, 1)

    def forward(self, x_BTCHW: Tensor, day_BT: Tensor, valid_BTHW: Tensor) -> tuple[Tensor, Tensor]:
        self.calls += 1
        if self.calls % EVERY == 1:
            pixels = x_BTCHW.shape[-1] * x_BTCHW.shape[-2]
            torch.ones(TAKES * pixels // 4)  # ones, so that the memory is really there
        return self.answer(self.widen(x_BTCHW.mean(1)))


models.register("stand-in")(Architecture(CompactOptions, StandIn, "Takes memory."))


def cube(size_px: int, dates: int = DATES) -> SITSCube:
    times = np.datetime64("2021-01-10", "ns") + (np.arange(dates) * 14).astype("timedelta64[D]")
    stored = xr.Variable(("time", "band", "y", "x"), indexing.LazilyIndexedArray(Repeated(size_px, dates)))
    array = xr.DataArray(stored, coords={"time": times, "band": [f"B{i:02d}" for i in range(BANDS)]})
    grid = make_grid((size_px, size_px), Affine(10, 0, 5e5, 0, -10, 5e6), "EPSG:32631", "benchmark")
    return SITSCube(array, grid, Radiometry((1e-4,) * dates, (0.0,) * dates, 0, "benchmark"), name="benchmark")


def quick_model(folder: Path, name: str) -> Path:
    ids = np.random.default_rng(0).integers(0, CLASSES, (8, 8)).repeat(16, 0).repeat(16, 1).astype(np.uint8)
    labels = LabelMap(ids, cube(128).grid, Legend.from_codes(range(CLASSES)), None)
    recipe = Recipe().with_settings(["train.steps=1", "data.validation_share=0.0", f"model.name={name}"])
    recipe = recipe.with_settings([f"data.dates={DATES}"])
    return run(train([Scene(cube(128), labels)], folder / name, recipe, device="cpu"))


def map_once(model: str, size_px: int, tile_px: int, workers: int) -> dict[str, float]:
    """Map one square; time and peak memory of this process."""
    options = PredictOptions(tile_px=tile_px)
    mapper, _ = ready(model, cube(256), PredictOptions(tile_px=256), "cpu")
    mapper.parts([0], mapper.read([0]))  # what is set up once
    Path("/proc/self/clear_refs").write_text("5")  # Linux: begin the peak anew
    before, start, cpu, tiles = _memory_mb("VmRSS"), time.perf_counter(), time.process_time(), 0
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "map"
        job = predict(model, cube(size_px), out, options, device="cpu", workers=Workers(workers) if workers else None)
        for event in job:
            if isinstance(event, Progress) and event.stage == "mapping":
                tiles = max(tiles, event.total)
    seconds = time.perf_counter() - start
    return {
        "seconds": seconds, "cpu_s": time.process_time() - cpu, "pixels_per_s": size_px**2 / seconds,
        "pixels_per_cpu_s": size_px**2 / (time.process_time() - cpu), "peak_mb": _memory_mb("VmHWM"),
        "above_start_mb": _memory_mb("VmHWM") - before, "tiles": tiles,
    }  # fmt: skip


def _memory_mb(what: str) -> float:
    lines = Path("/proc/self/status").read_text().splitlines()
    return int(next(line for line in lines if line.startswith(what)).split()[1]) / 1024


def in_new_process(*words: object) -> dict[str, Any]:
    command = [sys.executable, __file__, "--once", *map(str, words)]
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode:
        raise SystemExit(done.stderr)
    return dict(json.loads(done.stdout.splitlines()[-1]))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "--sizes", type=int, nargs="*", default=[1000, 2000], help="Sides mapped by the default network"
    )
    parser.add_argument("--cheap", type=int, nargs="*", default=[1000, 4000], help="Sides mapped by the stand-in")
    parser.add_argument("--tile-px", type=int, default=0, help="Distance between tiles; 0 finds it")
    parser.add_argument("--workers", type=int, default=0, help="Processes; memory is that of the one that began")
    parser.add_argument("--json", help="File to write the rows to")
    parser.add_argument("--once", nargs=4, metavar=("MODEL", "SIZE", "TILE", "WORKERS"), help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.once:
        print(json.dumps(map_once(args.once[0], *map(int, args.once[1:]))))
        return
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        for name, sizes in (("compact", args.sizes), ("stand-in", args.cheap)):
            model = quick_model(Path(folder), name) if sizes else Path()
            for size_px in sizes:
                found = in_new_process(model, size_px, args.tile_px, args.workers)
                ratio = found["above_start_mb"] / rows[0]["above_start_mb"] if rows else 1.0
                rows.append({"name": f"{name} {size_px}", **found, "ratio": ratio})
                print(
                    f"{name:<9}{size_px:>6}²  {found['pixels_per_s']:>9,.0f} pixels/s "
                    f"({found['pixels_per_cpu_s']:,.0f} a second of a core), {found['seconds']:.0f} s, "
                    f"{found['tiles']} tiles, peak "
                    f"{found['peak_mb']:.0f} MB, {found['above_start_mb']:.0f} above the start ({ratio:.2f} x)",
                    flush=True,
                )
    for core_px in (256, 512, 640):
        print(f"computed twice with {core_px} pixels between tiles: {overlap(core_px, 20, 8):.1%}")
    if args.json:
        Path(args.json).write_text(json.dumps(rows, indent=1))


if __name__ == "__main__":
    main()
