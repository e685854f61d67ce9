"""What a map will take, measured on one tile before the first is written: bytes, time, and what that means at scale."""

from __future__ import annotations

import shutil
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from cscl.cube import SITSCube
from cscl.events import Job, Progress, time_in_words
from cscl.grid import Window, pixel_size_m, some_tiles
from cscl.results import existing

from .fitting import bytes_per_px, fitted_core_px, overlap
from .mapper import Mapper, PredictOptions, ready

__all__ = ["MapPlan", "plan_map"]

TILE_HA = 109_800**2 / 1e4  # of Sentinel-2's grid; tiles overlap, so each adds a million hectares
AREAS = {"1 million ha": 1e6, "30 tiles (a country)": 30 * TILE_HA, "1000 tiles (a continent)": 1000 * TILE_HA}
SAMPLES = 3


@dataclass(frozen=True)
class MapPlan:
    """What a map takes on this machine.

    Parameters
    ----------
    cube : str
        The cube in words.
    tiles : int
        How many there are.
    core_px : int
        Distance between tiles.
    overlap : float
        Share of pixels that are computed besides those of the map.
    stored_bytes : int
        Size of the images, uncompressed.
    draft_bytes, map_bytes : int
        Size of the unfinished map, and of the finished one before compression.
    free_bytes : int
        Free on the disk.
    memory_bytes : int
        Memory that pixels take.
    read_s, compute_s : float
        Time for a pixel of the map, seconds; both go on side by side.
    pixels : int
        Pixels of the images.
    pixel_ha : float
        Area of one of them, hectares.
    device : str
        Where it is computed.
    """

    cube: str
    tiles: int
    core_px: int
    overlap: float
    stored_bytes: int
    draft_bytes: int
    map_bytes: int
    free_bytes: int
    memory_bytes: float
    read_s: float
    compute_s: float
    pixels: int
    pixel_ha: float
    device: str

    @property
    def pixel_s(self) -> float:
        """Time for a pixel, seconds: that of whichever takes longer, reading or computing."""
        return max(self.read_s, self.compute_s)

    @property
    def hours_per_million_ha(self) -> float:
        """Hours of this machine for a million hectares."""
        return self.pixel_s * 1e6 / self.pixel_ha / 3600

    def iter_lines(self) -> Iterator[str]:
        """Describe the plan in lines, as ``cscl predict --plan`` shows it."""
        each = self.stored_bytes / self.pixels / self.pixel_ha * 1e6
        room = "" if self.draft_bytes + self.map_bytes <= self.free_bytes else ": NOT ENOUGH"
        reading, computing = (time_in_words(s * self.pixels) for s in (self.read_s, self.compute_s))
        yield self.cube
        yield f"  tiles       {self.tiles}, {self.core_px} pixels apart; {self.overlap:.0%} is computed twice"
        yield f"  memory      about {_size(self.memory_bytes)} for pixels"
        yield f"  disk        {_size(self.draft_bytes + self.map_bytes)}; {_size(self.free_bytes)} free{room}"
        whole = time_in_words(self.pixel_s * self.pixels)
        yield f"  time        about {whole} (reading {reading}, computing {computing})"
        yield f"  rate        {1 / self.pixel_s:,.0f} pixels a second on the device '{self.device}'"
        for name, ha in AREAS.items():
            hours = self.hours_per_million_ha * ha / 1e6
            yield f"  {name:<26}{hours:>9,.1f} hours of this machine, {_size(each * ha / 1e6)} of images"


def plan_map(
    model: str | Path, cube: SITSCube, out: str | Path, options: PredictOptions | None = None, *, device: str = "auto"
) -> Job[MapPlan]:
    """Find out what a map will take; reads and computes a few windows, and writes nothing.

    Parameters
    ----------
    model, cube, out, options, device
        As for `cscl.inference.predict.predict`.
    """
    options = options or PredictOptions()
    mapper, _ = ready(model, cube, options, device)
    mapper = replace(mapper, core_px=mapper.core_px or fitted_core_px(mapper))
    step_px, margin_px = mapper.around_px
    times = []
    for number in range(SAMPLES + 1):
        yield Progress("measuring", number, SAMPLES + 1, "tile")
        times.append(_timed(mapper, number))
    read_s, compute_s = (float(np.median(each)) for each in zip(*times[1:], strict=True))  # the first sets things up
    more = overlap(mapper.core_px, margin_px, step_px) if len(mapper.tiles) > 1 else 0.0
    height, width = pixel_size_m(cube.grid)
    pixels, bands = cube.shape[0] * cube.shape[1], 3 + len(mapper.model.card.legend) * options.probabilities
    written = pixels * mapper.finer**2 * bands
    side = min(mapper.core_px + 2 * margin_px + step_px, max(cube.shape))
    return MapPlan(
        next(cube.iter_facts()), len(mapper.tiles), mapper.core_px, more, mapper.cube.nbytes, written, written,
        shutil.disk_usage(existing(Path(out))).free, bytes_per_px(mapper.model, mapper.cube) * side**2,
        (1 + more) * read_s, (1 + more) * compute_s, pixels, height * width / 1e4, str(mapper.model.device),
    )  # fmt: skip


def _timed(mapper: Mapper, number: int) -> tuple[float, float]:
    """Seconds that reading and computing a pixel took, at one of a few places."""
    side = min(256, *mapper.cube.shape)
    places = some_tiles(mapper.cube.shape, side, SAMPLES)
    place = places[number % len(places)]
    window = Window(place.row // 8 * 8, place.col // 8 * 8, place.height, place.width)
    start = time.perf_counter()
    sample = mapper.model.read(mapper.cube, [window])
    read_s, start = time.perf_counter() - start, time.perf_counter()
    mapper.model.probabilities(sample)
    pixels = window.height * window.width
    return read_s / pixels, (time.perf_counter() - start) / pixels


def _size(count: float) -> str:
    power = 4 if count >= 1e12 else 3 if count >= 1e9 else 2
    return f"{count / 1000**power:.1f} {('MB', 'GB', 'TB')[power - 2]}"
