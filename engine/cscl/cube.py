"""The satellite image time series: time x band x row x col on a grid, with validity and radiometric provenance."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr
from affine import Affine
from numpy.typing import NDArray

from cscl.errors import InputError
from cscl.grid import GeoBox, Window, crop, some_tiles
from cscl.registry import nearest

__all__ = ["Acquisition", "Factor", "Radiometry", "SITSCube"]

_LARGE_PX = 4_000_000

Factor = float | tuple[float, ...]
"""Scale or offset of one date: one for all bands, or one a band."""


@dataclass(frozen=True)
class Radiometry:
    """How stored numbers become reflectance: ``stored * scale + offset``, date by date; and which number is no data.

    Parameters
    ----------
    scale, offset : tuple of float, or of tuples of float
        One value a date, or for each date one value a band.
    nodata : float or None
        Stored value that means missing; None when every value counts. NaN always means missing.
    source : str
        Where these values come from, in words: declared by the file, given by the user, or assumed.
    fills : tuple of float
        Further stored values that mean missing by custom, such as -9999, whatever is declared.
    """

    scale: tuple[Factor, ...]
    offset: tuple[Factor, ...]
    nodata: float | None
    source: str
    fills: tuple[float, ...] = ()

    def taken(self, times: Sequence[int] | None = None, bands: Sequence[int] | None = None) -> Radiometry:
        """Return that of some dates and some bands, by position."""
        scale, offset = (
            tuple(_of_bands(factors[t], bands) for t in (range(len(factors)) if times is None else times))
            for factors in (self.scale, self.offset)
        )
        return replace(self, scale=scale, offset=offset)

    def missing(self, stored: NDArray[Any]) -> NDArray[np.bool_]:
        """Say which stored values mean that there is no data; same shape."""
        missing: NDArray[np.bool_] = np.zeros(stored.shape, bool)
        if np.issubdtype(stored.dtype, np.floating):
            missing = ~np.isfinite(stored)
        for value in (*(() if self.nodata is None else (self.nodata,)), *self.fills):
            missing |= stored == value  # NaN equals nothing, and was found above
        return missing

    def factors(self) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Scale and offset as arrays with axes (time, band), float32; one band where it stands for all."""
        return _as_array(self.scale), _as_array(self.offset)


@dataclass(frozen=True)
class Acquisition:
    """Where the image of a date comes from, as far as the files say; None where they do not.

    Parameters
    ----------
    product : str
        Name of the product, or of several that were merged, joined by " + ".
    satellite : str or None
        ``S2A``, ``S2B``, ``S2C``.
    level : str or None
        ``L1C`` (top of atmosphere) or ``L2A`` (surface reflectance).
    baseline : str or None
        Processing baseline of Sentinel-2, such as ``05.10``: from 04.00 on stored values are shifted by 1000.
    orbit : int or None
        Relative orbit, 1 to 143.
    tile : str or None
        Tile of the military grid, such as ``31UFS``.
    provider : str or None
        Who delivers it, e.g. the host of its catalogue: some take the shift out before.
    shifted : bool or None
        Whether the stored values carry the shift of the baseline, which the offset of the cube undoes.
    """

    product: str
    satellite: str | None = None
    level: str | None = None
    baseline: str | None = None
    orbit: int | None = None
    tile: str | None = None
    provider: str | None = None
    shifted: bool | None = None


@dataclass(frozen=True, eq=False)
class SITSCube:
    """A satellite image time series. Opening one reads no pixels; `read` reads a window of all dates.

    Parameters
    ----------
    stored : xarray.DataArray
        Axes (time, band, y, x), as stored, usually lazy. Coordinate ``time`` is datetime64 and ascends; ``band``
        holds the band names.
    grid : GeoBox
        Shape, affine transform and CRS of the last two axes.
    radiometry : Radiometry
        Scale, offset and nodata of the stored values.
    clear : xarray.DataArray or None
        Axes (time, y, x); True where a quality mask calls the pixel usable. None: no mask came with the images.
    name : str
        What the user calls it, usually the file's name.
    notes : tuple of str
        What opening it decided: duplicates merged, values assumed.
    path : Path or None
        Where it was opened; None for what was made in memory.
    acquisitions : tuple of Acquisition, or None
        One a date; None where the format tells nothing of the kind.
    reading : mapping
        Options that it was opened with, as plain values, as far as they are not the usual ones; with the path they
        open it again.

    Raises
    ------
    InputError
        If the axes, the grid or the dates do not fit together.
    """

    stored: xr.DataArray
    grid: GeoBox
    radiometry: Radiometry
    clear: xr.DataArray | None = None
    name: str = "cube"
    notes: tuple[str, ...] = field(default=())
    path: Path | None = None
    acquisitions: tuple[Acquisition, ...] | None = field(default=None, repr=False)
    reading: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if self.stored.dims != ("time", "band", "y", "x"):
            raise InputError(f"{self.name}: the axes are {self.stored.dims}, not (time, band, y, x). Transpose first.")
        if self.stored.shape[2:] != tuple(self.grid.shape):
            raise InputError(
                f"{self.name}: the images have {self.stored.shape[2:]} pixels, the grid {self.grid.shape}."
            )
        if len(self.dates) == 0 or len(self.bands) == 0:
            raise InputError(f"{self.name} holds no dates or no bands. Check the folder or the band names.")
        if np.any(np.diff(self.dates) <= np.timedelta64(0, "ns")):
            raise InputError(f"{self.name}: the dates do not ascend. Sort them and merge identical ones first.")
        if len(self.radiometry.scale) != len(self.dates) or len(self.radiometry.offset) != len(self.dates):
            raise InputError(f"{self.name}: scale and offset must hold one value for each of {len(self.dates)} dates.")
        bands = self.stored.shape[1]
        by_band = [f for f in (*self.radiometry.scale, *self.radiometry.offset) if isinstance(f, tuple)]
        if any(len(factors) != bands for factors in by_band):
            raise InputError(
                f"{self.name}: the scales and offsets of a date must be one for all bands, or one for each of {bands}."
            )
        if self.acquisitions is not None and len(self.acquisitions) != len(self.dates):
            raise InputError(f"{self.name}: there must be one acquisition for each of {len(self.dates)} dates.")

    @property
    def dates(self) -> NDArray[np.datetime64]:
        """Acquisition times, ascending; shape (time,), datetime64[ns], UTC."""
        return np.asarray(self.stored["time"].values, "datetime64[ns]")

    @property
    def bands(self) -> tuple[str, ...]:
        """Band names in storage order."""
        return tuple(str(b) for b in self.stored["band"].values)

    @property
    def shape(self) -> tuple[int, int]:
        """Rows and columns."""
        return int(self.grid.shape[0]), int(self.grid.shape[1])

    @property
    def nbytes(self) -> int:
        """Size of the stored values in bytes, whether in memory or not."""
        return int(self.stored.nbytes)

    def days(self, reference: dt.date) -> NDArray[np.int64]:
        """Whole days from `reference` to each acquisition; shape (time,). Exceeds 365 in a second year."""
        return (self.dates.astype("datetime64[D]") - np.datetime64(reference, "D")).astype(np.int64)

    def read(self, window: Window | None = None) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
        """Read a window of all dates as reflectance, with its validity.

        Returns
        -------
        reflectance : ndarray
            Axes (time, band, y, x), float32, unitless; 0 where not valid.
        valid : ndarray
            Axes (time, y, x), bool: every band has data and the mask, if any, calls the pixel clear.
        """
        rows, cols = window.slices if window else (slice(None), slice(None))
        stored = self.stored[:, :, rows, cols].values
        valid: NDArray[np.bool_] = ~np.asarray(self.missing(stored).any(axis=1))
        if self.clear is not None:
            valid &= np.asarray(self.clear[:, rows, cols].values, bool)
        scale_TC, offset_TC = self.radiometry.factors()
        reflectance: NDArray[np.float32] = stored.astype(np.float32) * scale_TC[..., None, None]
        reflectance += offset_TC[..., None, None]
        reflectance[np.broadcast_to(~valid[:, None], reflectance.shape)] = 0
        return reflectance, valid

    def missing(self, stored: NDArray[Any]) -> NDArray[np.bool_]:
        """Say which stored values mean that there is no data; same shape."""
        return self.radiometry.missing(stored)

    def valid_share(self, samples: int = 16, size_px: int = 64) -> NDArray[np.float64]:
        """Share of usable pixels of each date, from at most `samples` evenly placed windows; shape (time,), 0..1."""
        counts, pixels = np.zeros(len(self.dates)), 0
        for window in some_tiles(self.shape, size_px, samples):
            valid = self.read(window)[1]
            counts += valid.sum(axis=(1, 2))
            pixels += valid[0].size
        return counts / pixels

    def select(
        self,
        *,
        bands: Sequence[str] | None = None,
        times: Sequence[int] | None = None,
        window: Window | None = None,
    ) -> SITSCube:
        """Return a cube of some bands, some dates (by position) or a window, still lazy.

        Raises
        ------
        UnknownNameError
            If a band is not in the cube; the message lists those that are.
        """
        cube = self
        if bands is not None:
            for band in bands:
                if band not in cube.bands:
                    raise nearest(band, cube.bands, "band", cube.name)
            if tuple(bands) != cube.bands:  # a list of indices makes a copy
                at = [cube.bands.index(b) for b in bands]
                cube = replace(cube, stored=cube.stored[:, at], radiometry=cube.radiometry.taken(bands=at))
        if times is not None:
            clear = None if cube.clear is None else cube.clear[list(times)]
            known = None if cube.acquisitions is None else tuple(cube.acquisitions[t] for t in times)
            cube = replace(
                cube, stored=cube.stored[list(times)], clear=clear, radiometry=cube.radiometry.taken(times),
                acquisitions=known,
            )  # fmt: skip
        if window is not None:
            clear = None if cube.clear is None else cube.clear[:, *window.slices]
            cube = replace(cube, stored=cube.stored[:, :, *window.slices], clear=clear, grid=crop(cube.grid, window))
        return cube

    def coarser(self, step: int) -> SITSCube:
        """Return a cube of every `step`-th row and column, to look at from afar; still lazy, for looking only.

        Each pixel is the middle one of its block of ``step x step`` pixels, or what the overviews of the files say.
        A last block that is not whole is left out. The step is at most the height or width of the cube.
        """
        step = min(step, *self.shape)
        if step <= 1:
            return self
        middles = tuple(slice(step // 2, size // step * step, step) for size in self.shape)
        stored = self.stored[:, :, *middles]
        clear = None if self.clear is None else self.clear[:, *middles]
        grid = GeoBox((stored.shape[2], stored.shape[3]), self.grid.transform @ Affine.scale(step), self.grid.crs)
        return replace(self, stored=stored, clear=clear, grid=grid)

    def unmasked(self) -> SITSCube:
        """Return the cube without its quality mask: every pixel that holds data is valid, clouds and all."""
        return self if self.clear is None else replace(self, clear=None)

    def load(self) -> SITSCube:
        """Return the same cube with its stored values and mask in memory."""
        return replace(self, stored=self.stored.load(), clear=None if self.clear is None else self.clear.load())

    def iter_facts(self) -> Iterator[str]:
        """Describe the cube in lines without reading a pixel."""
        span = f"{_day(self.dates[0])} to {_day(self.dates[-1])}"
        rows, cols = self.shape
        yield f"{self.name}: {len(self.dates)} dates ({span}), {len(self.bands)} bands, {rows} x {cols} pixels"
        yield f"  bands       {' '.join(self.bands)}"
        pixel = self.grid.resolution
        yield f"  grid        {self.grid.crs}, pixel {abs(pixel.x):.9g} x {abs(pixel.y):.9g}"
        yield f"  stored      {self.stored.dtype}, {self.nbytes / 1e6:.1f} MB; {self.radiometry.source}"
        mask = "from a quality mask" if self.clear is not None else "none: only nodata is known to be missing"
        yield f"  mask        {mask}"
        yield from (f"  note: {note}" for note in self.notes)

    def iter_lines(self) -> Iterator[str]:
        """Describe the cube in lines, as `cscl info` shows it; reads a few windows to say how much is usable."""
        yield from self.iter_facts()
        large = self.shape[0] * self.shape[1] > _LARGE_PX  # where each window of each file may take long to unpack
        shares = self.select(bands=self.bands[:1]).valid_share(samples=4) if large else self.valid_share()
        for date, share in zip(self.dates, shares, strict=True):
            yield f"  {_time(date)}  {share:6.1%} usable{'  EMPTY' if share == 0 else ''}"


def _as_array(factors: Sequence[Factor]) -> NDArray[np.float32]:
    bands = max((len(f) for f in factors if isinstance(f, tuple)), default=1)
    return np.array([f if isinstance(f, tuple) else (f,) * bands for f in factors], np.float32)


def _of_bands(factor: Factor, bands: Sequence[int] | None) -> Factor:
    return tuple(factor[b] for b in bands) if bands is not None and isinstance(factor, tuple) else factor


def _day(date: np.datetime64) -> str:
    return str(date.astype("datetime64[D]"))


def _time(date: np.datetime64) -> str:
    return str(date.astype("datetime64[s]")).replace("T00:00:00", "         ")
