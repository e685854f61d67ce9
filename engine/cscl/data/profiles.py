"""Curves over the season: of a pixel, a parcel or a crop; and all that is known about a place.

Only the pixels that a curve is made of are read, window by window, so that a season of whole Sentinel-2 tiles is no
more than a small one. Reading a single pixel of compressed images takes as long as unpacking one block of each, a
second or more for 60 dates: hence jobs.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from cscl.cube import SITSCube
from cscl.errors import InputError
from cscl.events import Job, Progress
from cscl.grid import GeoBox, Window, pixel_there, times_finer
from cscl.legend import Legend
from cscl.products import LabelMap, Prediction

from .indices import index_values, offered_indices

__all__ = ["Place", "Profile", "class_profiles", "facts_at", "parcel_profile", "pixel_profile", "quantities"]

MAX_PIXELS = 2000
WINDOWS, WINDOW_PX = 16, 64  # of a crop: at most so many windows of this side
BLOCK_PX = 256  # pixels that lie in one block are read together
BLOCK_VALUES = 2**23  # and of so many dates at once as make no more values than this
DATES_AT_ONCE = 16  # at most, so that cancelling is felt

Pixels = NDArray[np.intp]


@dataclass(frozen=True, eq=False)
class Profile:
    """How some pixels look over the season: indices and bands, their mean and spread on each date.

    Parameters
    ----------
    dates : ndarray of datetime64[ns]
        Shape (time,).
    names : tuple of str
        Quantities: the indices that the bands allow, then the bands.
    values : ndarray of float32
        Mean over the valid pixels, axes (time, quantity), reflectance or index; NaN where there is none.
    low, high : ndarray of float32
        10th and 90th percentile of the valid pixels; axes and gaps as `values`.
    counts : ndarray of int
        Valid pixels of each date, shape (time,).
    pixels : int
        Pixels that were looked at.
    """

    dates: NDArray[np.datetime64]
    names: tuple[str, ...]
    values: NDArray[np.float32] = field(repr=False)
    low: NDArray[np.float32] = field(repr=False)
    high: NDArray[np.float32] = field(repr=False)
    counts: NDArray[np.int64] = field(repr=False)
    pixels: int = 1

    @property
    def valid(self) -> NDArray[np.bool_]:
        """Dates on which any pixel is valid; shape (time,)."""
        return self.counts > 0


@dataclass(frozen=True)
class Place:
    """What is known about a pixel; None where nothing is.

    Parameters
    ----------
    row, col : int
        Pixel.
    easting, northing : float
        Of its centre, in the units of the grid's CRS.
    latitude, longitude : float
        Of its centre, in degrees (WGS 84).
    parcel : int or None
        Id of the parcel that it lies in.
    crop, predicted : str or None
        Names of its declared and its predicted class.
    confidence : float or None
        Probability of the predicted class, 0..1.
    """

    row: int
    col: int
    easting: float
    northing: float
    latitude: float
    longitude: float
    parcel: int | None = None
    crop: str | None = None
    predicted: str | None = None
    confidence: float | None = None


def facts_at(
    grid: GeoBox, row: int, col: int, labels: LabelMap | None = None, prediction: Prediction | None = None
) -> Place:
    """Say what is known about a pixel of a grid.

    Labels lie on that grid, or on a finer or coarser one of the same place, where the centre of the pixel counts. A
    prediction lies on that grid or on a finer one: then the class of most of its pixels there counts.
    """
    assert grid.crs is not None  # no grid is made without
    t = grid.transform
    easting, northing = (
        first + dx * (col + 0.5) + dy * (row + 0.5) for dx, dy, first in ((t.a, t.b, t.c), (t.d, t.e, t.f))
    )
    longitude, latitude = grid.crs.transformer_to_crs("EPSG:4326")(easting, northing)
    parcel = crop = predicted = confidence = None
    if labels is not None:
        there = pixel_there(row, col, grid, labels.grid)
        crop = _name(labels.legend, int(labels.ids[there]))
        parcel = int(labels.parcel_ids[there]) or None if labels.parcel_ids is not None else None
    if prediction is not None:
        ids, share = prediction.read(Window(row, col, 1, 1).refined(times_finer(prediction.grid, grid) or 1))
        most = int(np.bincount(ids.ravel()).argmax())
        mean = share[ids == most].mean()
        predicted, confidence = _name(prediction.legend, most), float(mean) if np.isfinite(mean) else None
    return Place(row, col, easting, northing, float(latitude), float(longitude), parcel, crop, predicted, confidence)


def quantities(bands: Sequence[str]) -> tuple[str, ...]:
    """Names of what a profile of these bands holds: the indices that they allow, then the bands."""
    return (*offered_indices(bands), *bands)


def pixel_profile(cube: SITSCube, row: int, col: int) -> Job[Profile]:
    """Read the curves of a pixel.

    Raises
    ------
    InputError
        If the images cannot be read.
    """
    values = yield from _read(cube, np.array([row]), np.array([col]), "reading the pixel")
    return _profile(cube, values)


def parcel_profile(cube: SITSCube, labels: LabelMap, parcel_id: int, max_pixels: int = MAX_PIXELS) -> Job[Profile]:
    """Read the curves of a parcel; of one that has more than `max_pixels`, those of an even choice of its pixels.

    Raises
    ------
    InputError
        If the labels do not know such a parcel, or the images cannot be read.
    """
    if labels.parcel_ids is None:
        raise InputError(
            f"The labels {labels.name} hold no parcels: they came from a raster. Open parcels as polygons."
        )
    found = [np.argwhere(part == parcel_id) + np.array([row, 0]) for row, part in _strips(labels.parcel_ids)]
    rows, cols = np.concatenate(found).T
    if not len(rows):
        raise InputError(f"The labels {labels.name} hold no parcel {parcel_id} on these images.")
    if len(rows) > max_pixels:
        kept = np.linspace(0, len(rows) - 1, max_pixels).round().astype(int)
        rows, cols = rows[kept], cols[kept]
    values = yield from _read(cube, rows, cols, "reading the parcel")
    return _profile(cube, values)


def class_profiles(
    cube: SITSCube, labels: LabelMap, ids: Sequence[int], max_pixels: int = MAX_PIXELS, seed: int = 0
) -> Job[dict[int, Profile]]:
    """Read the curves of classes over the scene, from a bounded sample of each one's pixels.

    Of each class at most 16 windows of 64 x 64 pixels are looked at, drawn by how much of the class they hold, and in
    them at most `max_pixels` pixels. What is drawn of a class depends on the labels and the seed only.

    Returns
    -------
    dict
        Class id to profile. A class without a pixel has a profile of 0 pixels, all NaN.
    """
    profiles = {}
    for number in ids:
        rows, cols = _sample(labels.ids, number, max_pixels, np.random.default_rng([seed, number]))
        stage = f"reading {_name(labels.legend, number) or f'class {number}'}"
        values = yield from _read(cube, rows, cols, stage)
        profiles[number] = _profile(cube, values)
    return profiles


def _sample(ids_YX: NDArray[np.integer], number: int, most: int, rng: np.random.Generator) -> tuple[Pixels, Pixels]:
    """Draw pixels of a class; sorted by row."""
    columns = np.arange(0, ids_YX.shape[1], WINDOW_PX)
    counts = np.array([np.add.reduceat((p == number).sum(0, dtype=np.int32), columns) for _, p in _strips(ids_YX)])
    there = np.argwhere(counts)
    if len(there) > WINDOWS:
        share = counts[counts > 0] / counts.sum()
        there = there[np.sort(rng.choice(len(there), WINDOWS, replace=False, p=share))]
    found = [np.zeros((0, 2), np.intp)]
    for corner in there * WINDOW_PX:
        window = Window(int(corner[0]), int(corner[1]), WINDOW_PX, WINDOW_PX)
        found.append(np.argwhere(ids_YX[window.slices] == number) + corner)
    pixels = np.concatenate(found)
    if len(pixels) > most:
        pixels = pixels[np.sort(rng.choice(len(pixels), most, replace=False))]
    return pixels[:, 0], pixels[:, 1]


def _strips(array_YX: NDArray[np.integer]) -> Iterator[tuple[int, NDArray[np.integer]]]:
    """Cut an array into strips as high as a window, so that masks of a whole tile are never held."""
    yield from ((row, array_YX[row : row + WINDOW_PX]) for row in range(0, len(array_YX), WINDOW_PX))


def _read(cube: SITSCube, rows: Pixels, cols: Pixels, stage: str) -> Job[NDArray[np.float32]]:
    """Read pixels block by block: reflectance (pixel, time, band), NaN where not valid."""
    values = np.full((len(rows), len(cube.dates), len(cube.bands)), np.nan, np.float32)
    blocks = [np.flatnonzero(inside) for inside in _blocks(rows, cols)]
    yield Progress(stage, 0, len(blocks), "block")
    for done, which in enumerate(blocks, 1):
        r, c = rows[which], cols[which]
        window = Window(int(r.min()), int(c.min()), int(np.ptp(r)) + 1, int(np.ptp(c)) + 1)
        step = int(np.clip(BLOCK_VALUES // (len(cube.bands) * window.height * window.width), 1, DATES_AT_ONCE))
        for first in range(0, len(cube.dates), step):
            times = range(first, min(first + step, len(cube.dates)))
            read, valid = cube.select(times=times).read(window)
            at = (..., r - window.row, c - window.col)
            kept = np.where(valid[:, None][at], read[at], np.float32(np.nan))
            values[which, first : first + step] = np.moveaxis(kept, -1, 0)
            yield Progress(stage, done - (times[-1] + 1 < len(cube.dates)), len(blocks), "block")
    return values


def _blocks(rows: Pixels, cols: Pixels) -> Iterator[NDArray[np.bool_]]:
    """Yield masks of the pixels that lie in one block."""
    across = int(cols.max(initial=0)) // BLOCK_PX + 1
    block = rows // BLOCK_PX * across + cols // BLOCK_PX
    yield from (block == number for number in np.unique(block))


def _profile(cube: SITSCube, values_PTC: NDArray[np.float32]) -> Profile:
    bands = cube.bands
    more = [index_values(name, values_PTC, bands) for name in offered_indices(bands)]
    every = np.concatenate([np.stack(more, axis=-1), values_PTC], axis=-1) if more else values_PTC
    mean, low, high = np.full((3, *every.shape[1:]), np.nan, np.float32) if len(every) != 1 else (every[0],) * 3
    for time, what in np.ndindex(every.shape[1:] if len(every) > 1 else (0, 0)):
        there = every[:, time, what]
        there = there[np.isfinite(there)]
        if there.size:
            mean[time, what] = there.mean(dtype=np.float64)
            low[time, what], high[time, what] = np.percentile(there, (10, 90))
    counts = np.isfinite(values_PTC[..., 0]).sum(axis=0)
    return Profile(cube.dates, quantities(bands), mean, low, high, counts, len(values_PTC))


def _name(legend: Legend, number: int) -> str | None:
    return next((c.name for c in legend.classes if c.id == number), None)
