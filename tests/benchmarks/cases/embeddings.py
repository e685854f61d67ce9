"""Looking at an embedding: from a click to the similarity of the view, edges, windows from a cold disk, whole scenes.

Of a view of random vectors: "former" is how it was done at first (unit vectors of float32, features first on the disk
in packed chunks), "plain" without numba, "compiled" with it. Of what is read from the disk time elapses, with the page
cache dropped before each. The whole scene is a store without chunks: nothing is read, but all that holds it is made.
"""

from __future__ import annotations

import os
import tempfile
import time
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path

import numpy as np
import xarray as xr
import zarr
from suite import Case, Figures, Form, Settings
from suite.measuring import peak_mb, reset_peak, timed
from worlds import grid

from cscl.compiling import SWITCH
from cscl.events import run
from cscl.grid import Window
from cscl.inference import pixelwise
from cscl.inference.embed import edge_strength
from cscl.inference.similarity import overview, sampled, sampling_px, similarity_to
from cscl.pixelstore import OVERVIEW, PixelStore
from cscl.products import Embedding

FEATURES, WINDOW_PX, PLACES = 64, 15, 25


def embedding(size_px: int) -> Embedding:
    """Random vectors in memory."""
    values = np.random.default_rng(0).standard_normal((size_px, size_px, FEATURES), np.float32).astype(np.float16)
    return Embedding(xr.DataArray(np.moveaxis(values, -1, 0), dims=("feature", "y", "x")), grid(size_px))


def click(form: str, size_px: int) -> Callable[[], object]:
    """Similarity of all pixels in memory to one."""
    seen = run(overview(embedding(size_px), size_px**2))
    out = np.empty((size_px, size_px), np.float32)
    if form != "former":
        return lambda: similarity_to(seen, 5, 7, out)
    units = seen.values_YXD.astype(np.float32) * seen.scale_YX[..., None]
    return lambda: np.dot(units.reshape(-1, FEATURES), units[5, 7], out=out.reshape(-1))


def edges(form: str, size_px: int) -> Callable[[], object]:
    """Edge strength of a view in memory."""
    values = embedding(size_px).read(Window(0, 0, size_px, size_px))
    if form != "former":
        return lambda: pixelwise.edges_between(values)
    first_DYX = np.ascontiguousarray(np.moveaxis(values, -1, 0))
    return lambda: tuple(former_edges(part) for part in blocks(first_DYX))


def former_edges(block: np.ndarray) -> np.ndarray:
    """Edge strength by four products of shifted blocks (feature, y, x), as it was computed at first."""
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


def blocks(array: np.ndarray, size_px: int = 256) -> list[np.ndarray]:
    steps = range(0, array.shape[1], size_px)
    return [array[:, r : r + size_px + 1, c : c + size_px + 1] for r in steps for c in steps]


def read_cold(form: str, size_px: int, settings: Settings) -> Mapping[str, Figures]:
    """A window, and the whole view, from the disk; the store is twice as wide as the view."""
    with tempfile.TemporaryDirectory() as folder:
        place, wide = Path(folder) / "view.zarr", 2 * size_px
        read = written(form, place, size_px)
        rng = np.random.default_rng(1)
        before = reset_peak()
        places = [tuple(int(n) for n in rng.integers(0, wide - WINDOW_PX, 2)) for _ in range(PLACES)]
        seconds = [elapsed(place, partial(read, Window(*at, WINDOW_PX, WINDOW_PX))) for at in places]
        peak = peak_mb(before)
        view = partial(read, Window(size_px // 2, size_px // 3, size_px, size_px))
        return {"window": Figures(seconds, peak), "view": Figures([elapsed(place, view) for _ in range(3)])}


def written(form: str, place: Path, size_px: int) -> Callable[[Window], object]:
    """Write four views side by side and return what reads a window of them."""
    values = embedding(size_px).read(Window(0, 0, size_px, size_px))
    corners = [(row, col) for row in (0, size_px) for col in (0, size_px)]
    if form != "former":
        store = PixelStore(place, grid(2 * size_px), FEATURES, {})
        for row, col in corners:
            store.write(row, col, values)
        return Embedding.open(place).read
    array = zarr.open_group(place, mode="w").create_array(
        "embedding", shape=(FEATURES, 2 * size_px, 2 * size_px), chunks=(FEATURES, 256, 256), dtype="float16"
    )
    for row, col in corners:
        array[:, row : row + size_px, col : col + size_px] = np.moveaxis(values, -1, 0)
    return lambda window: array[:, *window.slices]


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


def scene(size_px: int, settings: Settings) -> Mapping[str, Figures]:
    """Look at a whole scene: edges, overview, a click, its window, and the view around it in full detail."""
    with tempfile.TemporaryDirectory() as folder:
        place, step = Path(folder) / "scene.zarr", sampling_px((size_px, size_px))
        PixelStore(place, grid(size_px), FEATURES, {})
        PixelStore(place / OVERVIEW, sampled(grid(size_px), step), FEATURES, {})
        whole, middle, before = Embedding.open(place), size_px // 2, reset_peak()
        started = time.process_time()
        seen = run(overview(whole))
        similarity_to(seen, middle, middle)
        near = run(overview(whole, window=Window(middle - 512, middle - 512, 1024, 1024)))
        similarity_to(near, middle, middle)
        looked = time.process_time()
        run(edge_strength(whole, seen.step_px))
        done = time.process_time()
        return {"look and click": Figures([looked - started]), "edges": Figures([done - looked], peak_mb(before))}


def forms(prepare: Callable[..., Callable[[], object]]) -> dict[str, Form]:
    return {
        form: Form(
            timed(prepare, form, warm=64), naive=form == "former",
            environment={SWITCH: "0" if form == "plain" else "1"},
        )
        for form in ("former", "plain", "compiled")
    }  # fmt: skip


CASES = [
    Case(
        "look-click", f"From a click to the similarity of all pixels of the view, {FEATURES} features, in memory.",
        forms(click), "side, pixels", (256, 512, 1024), (1024,),
    ),
    Case(
        "look-edges", f"Edge strength of the view, {FEATURES} features, in memory.", forms(edges),
        "side, pixels", (256, 512, 1024), (512,),
    ),
    Case(
        "look-cold", f"A window of {WINDOW_PX} pixels, and the view, from a disk that holds none of it in memory.",
        {
            "former": Form(partial(read_cold, "former"), naive=True),
            "pixel by pixel": Form(partial(read_cold, "now")),
        },
        "side of the view, pixels", (256, 512, 1024), (256,), always=1,
    ),
    Case(
        "look-scene", "A whole scene is looked at: its overview, a click, the view around it; and its edges.",
        {"now": Form(scene)}, "side, pixels", (2745, 5490, 10980), always=1,
    ),
]  # fmt: skip
