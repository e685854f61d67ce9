"""Speed and memory of training, mapping and assessing: ``make bench`` or ``python tests/benchmarks/bench_engine.py``.

Images are made up as they are read, so the disk plays no part and a large area costs no space. Each map is made in a
process of its own, so that its peak memory is its own.
"""

from __future__ import annotations

import argparse
import itertools
import json
import os
import resource
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
from scipy.spatial import cKDTree
from xarray.backends import BackendArray
from xarray.core import indexing

from cscl.cube import Radiometry, SITSCube
from cscl.data.split import Side
from cscl.events import run
from cscl.grid import make_grid
from cscl.inference.predict import PredictOptions, predict
from cscl.legend import Legend
from cscl.products import LabelMap, Prediction, Scene
from cscl.recipe import Recipe
from cscl.training.segment import train

BANDS, DATES, CLASSES = 10, 16, 13


class MadeUp(BackendArray):
    """Stored values that are computed from their place when they are read."""

    dtype = np.dtype(np.uint16)

    def __init__(self, size_px: int) -> None:
        self.shape = (DATES, BANDS, size_px, size_px)

    def __getitem__(self, key: indexing.ExplicitIndexer) -> Any:
        return indexing.explicit_indexing_adapter(key, self.shape, indexing.IndexingSupport.OUTER, self._make)

    def _make(self, key: tuple[Any, ...]) -> Any:
        t, b, y, x = np.ix_(*(np.arange(n)[k] for n, k in zip(self.shape, key, strict=True)))
        return ((37 * t + 101 * b + 7 * y + 13 * x) % 4000 + 1).astype(np.uint16)


def scene(size_px: int) -> Scene:
    times = np.datetime64("2021-01-10", "ns") + (np.arange(DATES) * 21).astype("timedelta64[D]")
    stored = xr.Variable(("time", "band", "y", "x"), indexing.LazilyIndexedArray(MadeUp(size_px)))
    array = xr.DataArray(stored, coords={"time": times, "band": [f"B{i:02d}" for i in range(BANDS)]})
    grid = make_grid((size_px, size_px), Affine(10, 0, 5e5, 0, -10, 5e6), "EPSG:32631", "benchmark")
    cube = SITSCube(array, grid, Radiometry((1e-4,) * DATES, (0.0,) * DATES, 0, "benchmark"), name="benchmark")
    rng = np.random.default_rng(0)
    small = rng.integers(0, CLASSES, (-(-size_px // 16),) * 2)
    ids = np.kron(small, np.ones((16, 16), np.uint8))[:size_px, :size_px].astype(np.uint8)
    return Scene(cube, LabelMap(ids, grid, Legend.from_codes(range(CLASSES)), None))


def quick_model(folder: Path) -> Path:
    recipe = Recipe().with_settings(["train.steps=1", "data.validation_share=0.0"])
    return run(train([scene(128)], folder / "model", recipe, device="cpu"))


def training_speed() -> dict[str, float]:
    """Steps a second of the default recipe's training, drawing included, after a warm-up."""
    from cscl.data.network import build_network, make_loss
    from cscl.training.loop import Learner, _step
    from cscl.training.prepare import prepare

    recipe = Recipe()
    prepared = run(prepare([scene(256)], recipe, Path("model")))
    network, card = build_network(prepared.card)
    loss = make_loss(recipe.train.loss, "logits", len(card.legend))
    learner = Learner.start(torch.nn.ModuleDict({"network": network}), recipe.train)
    patches = prepared.patches(Side.TRAIN, "class", augment=True)

    def objective(batch: Any) -> Any:
        return loss(network(batch.x_BTCHW, batch.day_BT, batch.valid_BTHW)[0], batch.class_BHW)

    seconds = []
    for _ in range(25):
        start = time.perf_counter()
        _step(learner, recipe.train, patches.draw, objective, torch.device("cpu"), 0)
        seconds.append(time.perf_counter() - start)
    return {"steps_per_s": 1 / float(np.median(seconds[5:])), "batch": recipe.train.batch, "patch_px": 24}


def map_once(model: str, size_px: int) -> dict[str, float]:
    """Map one square; speed and peak memory of this process."""
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    start = time.perf_counter()
    with tempfile.TemporaryDirectory() as folder:
        run(predict(model, scene(size_px).cube, Path(folder) / "map", PredictOptions(), device="cpu"))
    seconds = time.perf_counter() - start
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    megapixel_dates = size_px**2 * DATES / 1e6
    return {
        "seconds": seconds, "megapixel_dates_per_s": megapixel_dates / seconds,
        "peak_mb": peak / 1024, "above_imports_mb": (peak - before) / 1024,
    }  # fmt: skip


def assess_once(size_px: int, full: bool, parcel_px: int = 170) -> dict[str, float]:
    """Assess one square of 14 classes and parcels of some size; speed and peak memory above what the inputs take."""
    from cscl.inference.assess import AssessOptions, assess

    prediction, labels = mapped(size_px, parcel_px)
    small = mapped(128)
    run(assess(*small))  # what is imported late, and what is made once
    Path("/proc/self/clear_refs").write_text("5")  # Linux: begin the peak anew
    before, start, cpu = _memory_mb("VmRSS"), time.perf_counter(), time.process_time()
    run(assess(prediction, labels, AssessOptions(full=full)))
    return {
        "seconds": time.perf_counter() - start, "cpu_s": time.process_time() - cpu,
        "above_inputs_mb": _memory_mb("VmHWM") - before, "inputs_mb": before,
    }  # fmt: skip


def mapped(size_px: int, parcel_px: int = 170) -> tuple[Prediction, LabelMap]:
    """Parcels around random points, one in twelve unknown, and a map of them: edges moved, parcels and pixels wrong."""
    rng, count = np.random.default_rng(0), max(1, size_px**2 // parcel_px)
    tree, parcels = cKDTree(rng.random((count, 2)) * size_px), np.empty((size_px, size_px), np.int32)
    guess = np.empty((size_px, size_px), np.uint8)
    crop = rng.choice(14, count + 1, p=np.r_[0.3, 0.2, 0.1, np.full(11, 0.4 / 11)]).astype(np.uint8) + 1
    seen = np.where(rng.random(count + 1) < 0.08, rng.integers(1, 15, count + 1), crop).astype(np.uint8)
    crop[rng.random(count + 1) < 0.08] = 255
    for row in range(0, size_px, 64):
        y, x = np.mgrid[row : min(row + 64, size_px), :size_px]
        parcels[row : row + 64] = tree.query(np.stack([y, x], -1))[1] + 1
        moved = np.stack([y + 1.5 * np.sin(x / 9), x + 1.5 * np.sin(y / 7)], -1)
        part = seen[tree.query(moved)[1] + 1]
        noise = rng.random(part.shape) < 0.03
        guess[row : row + 64] = np.where(noise, rng.integers(1, 15, part.shape), part)
    ids = crop[parcels]
    parcels[ids == 255] = 0
    grid = make_grid((size_px, size_px), Affine(10, 0, 5e5, 0, -10, 5e6), "EPSG:32631", "benchmark")
    legend, sure = Legend.from_codes(range(1, 15)), rng.integers(100, 251, guess.shape, np.uint8)
    many = np.broadcast_to((250 - sure) // 13, (14, *guess.shape)).copy()
    np.put_along_axis(many, guess[None].astype(np.intp) - 1, sure[None], 0)
    layers = [xr.DataArray(a, dims=("class", "y", "x")[-a.ndim :]) for a in (guess, sure, many)]
    return Prediction(layers[0], layers[1], grid, legend, layers[2]), LabelMap(ids, grid, legend, parcels)


def _memory_mb(what: str) -> float:
    lines = Path("/proc/self/status").read_text().splitlines()
    return int(next(line for line in lines if line.startswith(what)).split()[1]) / 1024


def in_new_process(*words: str) -> dict[str, float]:
    command = [sys.executable, __file__, *words]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    return dict(json.loads(done.stdout.splitlines()[-1]))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--sizes", type=int, nargs="+", default=[1000, 4000], help="Sides of the maps, pixels")
    parser.add_argument("--assess-sizes", type=int, nargs="+", default=[2048], help="Sides of the assessed maps")
    parser.add_argument("--assess-only", action="store_true", help="Neither train nor map")
    parser.add_argument("--map-once", nargs=2, metavar=("MODEL", "SIZE"), help=argparse.SUPPRESS)
    once = "One assessment: side, default or full, pixels of a parcel"
    parser.add_argument("--assess-once", nargs="+", metavar=("SIZE", "FORM"), help=once)
    args = parser.parse_args()
    if args.assess_once:
        print(
            json.dumps(
                assess_once(int(args.assess_once[0]), args.assess_once[1] == "full", *map(int, args.assess_once[2:]))
            )
        )
        return
    if args.map_once:
        print(json.dumps(map_once(args.map_once[0], int(args.map_once[1]))))
        return
    for size_px, form, px in itertools.product(args.assess_sizes, ("default", "full"), (1050, 170)):
        found = in_new_process("--assess-once", str(size_px), form, str(px))
        print(
            f"assess {size_px:>5}², {size_px**2 // px:>6} parcels, {form:<7} report  "
            f"{found['seconds']:.1f} s ({found['cpu_s']:.1f} s of a core), "
            f"peak {found['above_inputs_mb']:.0f} MB above the {found['inputs_mb']:.0f} MB of program and inputs"
        )
    if args.assess_only:
        return
    print(f"threads {torch.get_num_threads()} of {os.cpu_count()} cores, torch {torch.__version__}, CPU")
    speed = training_speed()
    print(f"training   {speed['steps_per_s']:.2f} steps/s (16 samples of 24 x 24 x {DATES} dates x {BANDS} bands)")
    with tempfile.TemporaryDirectory() as folder:
        model = quick_model(Path(folder))
        for size_px in args.sizes:
            figures = in_new_process("--map-once", str(model), str(size_px))
            print(
                f"map {size_px:>5}²  {figures['megapixel_dates_per_s']:.2f} megapixel-dates/s, "
                f"peak {figures['peak_mb']:.0f} MB ({figures['above_imports_mb']:.0f} MB above the start)"
            )


if __name__ == "__main__":
    main()
