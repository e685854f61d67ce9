"""Looking at an embedding: from a click to the similarity of the view, a window from a cold disk, edges, whole scenes.

    python tests/benchmarks/bench_embeddings.py [--size 1024] [--features 64] [--scene 10980] [--folder FOLDER]
                                                [--repeats 9] [--json FILE]

Each case runs in a process of its own, of one thread. Of a view of random vectors: "former" is how it was done before
(unit vectors of float32, features first on the disk in packed chunks), "plain" without numba, "compiled" with it. Time
is the least process time of the repeats; of what is read from the disk it is the median of elapsed time, the page cache
dropped before each. Memory is the peak resident set above what was resident before. The whole scene is a store without
chunks: nothing is read, but all that would hold it is made.
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
from functools import partial
from pathlib import Path
from typing import Any

os.environ["OMP_NUM_THREADS"] = os.environ["OPENBLAS_NUM_THREADS"] = "1"  # before NumPy

import numpy as np
import torch
import xarray as xr
import zarr
from affine import Affine

from cscl.events import run
from cscl.grid import Window, make_grid
from cscl.inference import pixelwise
from cscl.inference.embed import edge_strength
from cscl.inference.similarity import overview, sampled, sampling_px, similarity_to
from cscl.pixelstore import OVERVIEW, PixelStore
from cscl.products import Embedding

WINDOW_PX, PLACES = 15, 25
TARGETS_S = {
    "click, compiled": 0.020, "click, plain": 0.020, "edges, compiled": 0.060, "edges, plain": 0.180,
    "window, cold": 0.010,
}  # fmt: skip
Row = dict[str, Any]


def resident_mb(field: str) -> float:
    """VmRSS or VmHWM of this process, MB (10^6 bytes)."""
    lines = Path("/proc/self/status").read_text(encoding="ascii").splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(field)) * 1024 / 1e6


def reset_peak() -> None:
    """Let the peak of memory count from now on."""
    Path("/proc/self/clear_refs").write_text("5", encoding="ascii")


def least(act: Callable[[], object], repeats: int) -> Row:
    """Least process time of some repeats, and the peak of memory of all."""
    act()
    before, seconds = resident_mb("VmRSS"), []
    reset_peak()
    for _ in range(repeats):
        started = time.process_time()
        act()
        seconds.append(time.process_time() - started)
    return {"seconds": min(seconds), "peak_mb": resident_mb("VmHWM") - before}


def embedding(size_px: int, features: int) -> Embedding:
    """Random vectors in memory."""
    values = np.random.default_rng(0).standard_normal((size_px, size_px, features), np.float32).astype(np.float16)
    return Embedding(xr.DataArray(np.moveaxis(values, -1, 0), dims=("feature", "y", "x")), grid(size_px))


def grid(size_px: int) -> Any:
    return make_grid((size_px, size_px), Affine(10, 0, 5e5, 0, -10, 5e6), "EPSG:32631", "made up")


def click(way: str, size_px: int, features: int, repeats: int, folder: Path) -> Row:
    """Similarity of all pixels in memory to one."""
    seen = run(overview(embedding(size_px, features), size_px**2))
    out = np.empty((size_px, size_px), np.float32)
    if way != "former":
        return least(lambda: similarity_to(seen, 5, 7, out), repeats)
    units = seen.values_YXD.astype(np.float32) * seen.scale_YX[..., None]
    return least(lambda: np.dot(units.reshape(-1, features), units[5, 7], out=out.reshape(-1)), repeats)


def edges(way: str, size_px: int, features: int, repeats: int, folder: Path) -> Row:
    """Edge strength of a view in memory."""
    values = embedding(size_px, features).read(Window(0, 0, size_px, size_px))
    if way != "former":
        return least(lambda: pixelwise.edges_between(values), repeats)
    first_DYX = np.ascontiguousarray(np.moveaxis(values, -1, 0))
    return least(lambda: [former_edges(part) for part in _blocks(first_DYX)], min(repeats, 3))


def former_edges(block: np.ndarray) -> np.ndarray:
    """Edge strength by four products of shifted blocks (feature, y, x), as it was computed before."""
    unit = block.astype(np.float32)
    unit /= np.maximum(np.sqrt((unit**2).sum(0)), 1e-12)
    total, count = np.zeros(unit.shape[1:], np.float32), np.zeros(unit.shape[1:], np.float32)
    for here, there in (
        (np.s_[:, :-1], np.s_[:, 1:]), (np.s_[:-1], np.s_[1:]), (np.s_[:-1, :-1], np.s_[1:, 1:]),
        (np.s_[:-1, 1:], np.s_[1:, :-1]),
    ):  # fmt: skip
        cosine = (unit[:, *np.atleast_1d(here)] * unit[:, *np.atleast_1d(there)]).sum(0)
        for side in (here, there):
            total[side] += np.where(np.isfinite(cosine), cosine, 0)
            count[side] += np.isfinite(cosine)
    return 1 - total / count


def _blocks(array: np.ndarray, size_px: int = 256) -> list[np.ndarray]:
    steps = range(0, array.shape[1], size_px)
    return [array[:, r : r + size_px + 1, c : c + size_px + 1] for r in steps for c in steps]


def window(way: str, size_px: int, features: int, repeats: int, folder: Path) -> Row:
    """A window, or the whole view, from the disk; the store is twice as wide as the view."""
    place, wide = folder / "view.zarr", 2 * size_px
    values = embedding(size_px, features).read(Window(0, 0, size_px, size_px))
    if way == "former":
        array = zarr.open_group(place, mode="w").create_array(
            "embedding", shape=(features, wide, wide), chunks=(features, 256, 256), dtype="float16"
        )
        for row, col in ((0, 0), (0, size_px), (size_px, 0), (size_px, size_px)):
            array[:, row : row + size_px, col : col + size_px] = np.moveaxis(values, -1, 0)
        read = lambda at: array[:, *at.slices]  # noqa: E731
    else:
        store = PixelStore(place, grid(wide), features, {})
        for row, col in ((0, 0), (0, size_px), (size_px, 0), (size_px, size_px)):
            store.write(row, col, values)
        read = Embedding.open(place).read
    rng, seconds, view_s = np.random.default_rng(1), [], []
    del values
    before = resident_mb("VmRSS")
    reset_peak()
    for _ in range(PLACES):
        row, col = (int(n) for n in rng.integers(0, wide - WINDOW_PX, 2))
        seconds.append(elapsed(place, partial(read, Window(row, col, WINDOW_PX, WINDOW_PX))))
    peak = resident_mb("VmHWM") - before
    for _ in range(3):
        view_s.append(elapsed(place, lambda: read(Window(size_px // 2, size_px // 3, size_px, size_px))))
    return {"seconds": float(np.median(seconds)), "p90_s": float(np.percentile(seconds, 90)), "peak_mb": max(peak, 0),
            "view_s": float(np.median(view_s))}  # fmt: skip


def elapsed(place: Path, act: Callable[[], object]) -> float:
    """Time of what is read from the disk: none of its files is in the page cache."""
    for file in (f for f in place.rglob("*") if f.is_file()):
        handle = os.open(file, os.O_RDONLY)
        os.fsync(handle)
        os.posix_fadvise(handle, 0, 0, os.POSIX_FADV_DONTNEED)
        os.close(handle)
    started = time.perf_counter()
    act()
    return time.perf_counter() - started


def scene(way: str, size_px: int, features: int, repeats: int, folder: Path) -> Row:
    """Look at a whole scene: edges, overview, a click, its window, and the view around it in full detail."""
    place, step = folder / "scene.zarr", sampling_px((size_px, size_px))
    PixelStore(place, grid(size_px), features, {})
    PixelStore(place / OVERVIEW, sampled(grid(size_px), step), features, {})
    whole, middle, before = Embedding.open(place), size_px // 2, resident_mb("VmRSS")
    started = time.process_time()
    seen = run(overview(whole))
    similarity_to(seen, middle, middle)
    near = run(overview(whole, window=Window(middle - 512, middle - 512, 1024, 1024)))
    similarity_to(near, middle, middle)
    looked = time.process_time() - started
    strength = run(edge_strength(whole, seen.step_px))
    assert strength.shape == seen.scale_YX.shape
    return {"seconds": looked, "edges_s": time.process_time() - started - looked,
            "peak_mb": resident_mb("VmHWM") - before}  # fmt: skip


CASES: dict[str, tuple[Callable[..., Row], str]] = {
    **{f"click, {way}": (click, way) for way in ("former", "plain", "compiled")},
    **{f"edges, {way}": (edges, way) for way in ("former", "plain", "compiled")},
    "window, cold, former": (window, "former"),
    "window, cold": (window, "plain"),
    "whole scene": (scene, "compiled"),
}


def in_fresh_process(name: str, options: argparse.Namespace) -> Row:
    switch = {"CSCL_COMPILED": "0" if "plain" in name else "1"}
    command = [sys.executable, __file__, "--one", name, *(f"--{k}={getattr(options, k)}" for k in ("size", "features"))]
    command += [f"--scene={options.scene}", f"--repeats={options.repeats}", f"--folder={options.folder}"]
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True, env={**os.environ, **switch})
    return {"name": name, **json.loads(done.stdout)}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--size", type=int, default=1024, help="pixels across the view")
    parser.add_argument("--features", type=int, default=64)
    parser.add_argument("--scene", type=int, default=10980, help="pixels across the whole scene")
    parser.add_argument("--repeats", type=int, default=9)
    parser.add_argument("--folder", type=Path, default=Path(tempfile.gettempdir()), help="on the disk to measure")
    parser.add_argument("--json", type=Path, help="write the figures here as well")
    parser.add_argument("--one", choices=CASES, help=argparse.SUPPRESS)
    options = parser.parse_args()
    torch.set_num_threads(1)
    if options.one:
        act, way = CASES[options.one]
        size = options.scene if act is scene else options.size
        with tempfile.TemporaryDirectory(dir=options.folder) as folder:
            print(json.dumps(act(way, size, options.features, options.repeats, Path(folder))))
        return
    rows, first = [], {}
    print("| case | ms | MB | times faster than before | target ms | more |\n|---|---|---|---|---|---|")
    for name in CASES:
        row = in_fresh_process(name, options)
        kind = name.split(",")[0]
        first.setdefault(kind, row["seconds"])
        row["ratio"], target = first[kind] / row["seconds"], TARGETS_S.get(name)
        more = ", ".join(f"{key} {row[key]:.3g}" for key in ("p90_s", "view_s", "edges_s") if key in row)
        said = "" if target is None else f"{target * 1e3:.0f}: {'met' if row['seconds'] <= target else 'missed'}"
        print(
            f"| {name} | {row['seconds'] * 1e3:.1f} | {row['peak_mb']:.0f} | {row['ratio']:.1f} | {said} | {more} |",
            flush=True,
        )
        rows.append(row)
    if options.json:
        options.json.write_text(json.dumps(rows, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
