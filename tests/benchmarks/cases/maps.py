"""Mapping, and what reads a map afterwards: assessments, outlines of fields; and cubes written as stores."""

from __future__ import annotations

import json
import tempfile
import time
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path

import numpy as np
import rasterio
import torch
import xarray as xr
from scipy.spatial import cKDTree
from suite import Case, Figures, Form, Settings
from suite.measuring import peak_mb, reset_peak, timed
from torch import Tensor, nn
from worlds import BANDS, DATES, cube, grid, quick_model

from cscl.events import Progress, run
from cscl.export.cube import plan_cube, write_cube
from cscl.export.fields import FieldOptions, export_fields
from cscl.inference.assess import AssessOptions, assess
from cscl.inference.mapper import ready
from cscl.inference.predict import PredictOptions, Workers, predict
from cscl.legend import Legend
from cscl.models import Architecture, DataShape, Needs, Network, models
from cscl.models.compact import CompactOptions
from cscl.products import LabelMap, Prediction

TAKES = 5500  # bytes a pixel that the default network takes, and the stand-in at some tiles
EVERY = 8
SMALL_TILES_PX = 64


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


def mapped(name: str, options: PredictOptions, processes: int, size_px: int, settings: Settings) -> Mapping:
    """Map one square once; of several processes the memory is that of the one that began."""
    with tempfile.TemporaryDirectory() as folder:
        model = quick_model(Path(folder), name)
        mapper, _ = ready(model, cube(256), PredictOptions(tile_px=256), "cpu")
        mapper.parts([0], mapper.read([0]))  # what is set up once
        before, cpu, start, tiles = reset_peak(), time.process_time(), time.perf_counter(), 0
        workers = Workers(processes) if processes > 1 else None
        for event in predict(model, cube(size_px), Path(folder) / "map", options, device="cpu", workers=workers):
            if isinstance(event, Progress) and event.stage == "mapping":
                tiles = max(tiles, event.total)
        elapsed, cpu = time.perf_counter() - start, time.process_time() - cpu
        by_clock = settings.threads > 1 or processes > 1
        more = {"tiles": float(tiles), "elapsed_s": elapsed}
        return {"": Figures([elapsed if by_clock else cpu], peak_mb(before), more=more)}


def judged(full: bool, size_px: int) -> Callable[[], object]:
    """Assess one square of 14 classes, in parcels of 170 pixels."""
    prediction, labels = winding(size_px)
    return lambda: run(assess(prediction, labels, AssessOptions(full=full)))


def winding(size_px: int, parcel_px: int = 170) -> tuple[Prediction, LabelMap]:
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
    legend, sure = Legend.from_codes(range(1, 15)), rng.integers(100, 251, guess.shape, np.uint8)
    many = np.broadcast_to((250 - sure) // 13, (14, *guess.shape)).copy()
    np.put_along_axis(many, guess[None].astype(np.intp) - 1, sure[None], 0)
    layers = [xr.DataArray(a, dims=("class", "y", "x")[-a.ndim :]) for a in (guess, sure, many)]
    place = grid(size_px)
    return Prediction(layers[0], layers[1], place, legend, layers[2]), LabelMap(ids, place, legend, parcels)


def write_map(folder: Path, size_px: int, rows: int = 512) -> Path:
    """Write a prediction of winding parcels of 12 crops, about 28 by 40 pixels, with gaps and 1 % of stray pixels."""
    folder.mkdir()
    rng, legend = np.random.default_rng(1), Legend.from_codes(range(1, 13))
    layout = {
        "driver": "GTiff", "height": size_px, "width": size_px, "count": 1, "dtype": "uint8", "nodata": 255,
        "crs": "EPSG:32631", "transform": grid(size_px).transform, "tiled": True, "compress": "deflate",
    }  # fmt: skip
    names = ("classes.tif", "confidence.tif")
    with (
        rasterio.open(folder / names[0], "w", **layout) as ids,
        rasterio.open(folder / names[1], "w", **layout) as sure,
    ):
        for row in range(0, size_px, rows):
            y, x = np.mgrid[row : min(row + rows, size_px), 0:size_px].astype(np.float32)
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


def outlined(smooth_px: float, size_px: int, settings: Settings) -> Mapping[str, Figures]:
    """Outline the fields of a map, once."""
    with tempfile.TemporaryDirectory() as folder:
        prediction = Prediction.open(write_map(Path(folder) / "map", size_px))
        before, start = reset_peak(), time.process_time()
        path = run(export_fields(prediction, Path(folder) / "fields.gpkg", FieldOptions(smooth_px=smooth_px)))
        seconds = time.process_time() - start
        return {"": Figures([seconds], peak_mb(before), more={"file_mb": path.stat().st_size / 1e6})}


def stored(size_px: int, settings: Settings) -> Mapping[str, Figures]:
    """Write a made-up cube of 60 dates as a store, once; values are made about as soon as plain files are read."""
    import sys

    sys.path.insert(0, str(Path(__file__).parents[2]))
    from fake_cubes import made_up

    with tempfile.TemporaryDirectory() as folder:
        cube, place = made_up((size_px, size_px), 60, BANDS), Path(folder) / "cube.zarr"
        plan = run(plan_cube(cube, place))
        before, start = reset_peak(), time.process_time()
        last, longest = time.perf_counter(), 0.0
        for _ in write_cube(cube, place):
            now = time.perf_counter()
            last, longest = now, max(longest, now - last)
        seconds, peak = time.process_time() - start, peak_mb(before)
        written = sum(f.stat().st_size for f in place.rglob("*") if f.is_file())
        more = {
            "planned_s": plan.seconds, "stored_mb": written / 1e6, "planned_mb": plan.stored_bytes / 1e6,
            "longest_wait_s": longest,
        }  # fmt: skip
        return {"": Figures([seconds], peak, more=more)}


def pixels(size_px: int) -> float:
    return size_px**2


FOUND, SMALL = PredictOptions(), PredictOptions(tile_px=SMALL_TILES_PX, blend_px=0)
CASES = [
    Case(
        "map", f"The default network maps {DATES} dates, {BANDS} bands, from images to files; naively by tiles "
        f"of {SMALL_TILES_PX} pixels with the same margins.",
        {
            "small tiles": Form(partial(mapped, "compact", SMALL, 1), naive=True),
            "float32": Form(partial(mapped, "compact", FOUND, 1)),
            "bfloat16": Form(partial(mapped, "compact", PredictOptions(precision="bfloat16"), 1)),
        },
        "side, pixels", (500, 1000, 2000), (500,), ("pixels", pixels),
    ),
    Case(
        "map-memory", "A stand-in takes the memory of the default network and hardly computes: memory must be flat.",
        {"one process": Form(partial(mapped, "stand-in", FOUND, 1))},
        "side, pixels", (1000, 2000, 4000), (), ("pixels", pixels), always=1,
    ),
    Case(
        "map-processes", "The default network maps a square by processes, elapsed time.",
        {f"{n} processes": Form(partial(mapped, "compact", FOUND, n)) for n in (1, 2)},
        "side, pixels", (2000,), (), ("pixels", pixels), always=1,
    ),
    Case(
        "assess", "A map is compared with labels, 14 classes, parcels of 170 pixels.",
        {"default report": Form(timed(judged, False, warm=128)), "full report": Form(timed(judged, True, warm=128))},
        "side, pixels", (512, 1024, 2048), (512,), ("pixels", pixels), always=1,
    ),
    Case(
        "fields", "The fields of a map are outlined.",
        {"plain": Form(partial(outlined, 0.0)), "smoothed": Form(partial(outlined, 2.5))},
        "side, pixels", (1373, 2745, 5490), (1373,), ("pixels", pixels), always=1,
    ),
    Case(
        "cube", f"A cube of 60 dates and {BANDS} bands is written as a Zarr store.", {"written": Form(stored)},
        "side, pixels", (512, 1024, 2048), (512,), ("values", lambda px: 60 * BANDS * px**2), always=1,
    ),
]  # fmt: skip
