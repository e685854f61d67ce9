"""A simulated season: the job that makes it, and what it is.

The tables of phenology are general agronomic knowledge, not fitted to data; clouds are tuned to the band means that
PASTIS states. Good for trying, testing and teaching; scores on it say nothing about scores on a real region.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import geopandas as gpd
import numpy as np
from affine import Affine
from numpy.typing import NDArray

from cscl.errors import InputError
from cscl.events import Job, Progress
from cscl.grid import GeoBox, Window, tile_count, tiles
from cscl.legend import Legend

from .canopy import load_table
from .crops import BANDS, legend
from .fields import levels, spectrum_index
from .labels import register, truth
from .landscape import FINE_M, FINE_PER_PX, MARGIN_PX, lay_out
from .options import SeasonOptions
from .phenology import Traits, draw_traits, spectra, state_on
from .sensor import Camera, look
from .weather import Overpass, draw_overpasses, draw_sky, through

__all__ = ["Season", "simulate"]

TILE_PX = 64
DN_STEP = 10
CRS = "EPSG:32631"


@dataclass(frozen=True, eq=False)
class Season:
    """A simulated Sentinel-2 season and the truth about it.

    Parameters
    ----------
    options : SeasonOptions
        What it was made with.
    dates : ndarray
        Days of acquisition, datetime64[D], shape (time,), ascending.
    reflectance : ndarray
        Surface reflectance x 10000 in steps of 10, uint16, axes (time, band, y, x); never 0, which means no data.
    cloudy : ndarray
        Cloud, cirrus or shadow, bool, axes (time, y, x).
    labels, labels_2m5 : ndarray
        True crop ids at 10 m and 2.5 m, uint8, axes (y, x); 0 where no registered crop grows and, at 10 m, 255 where
        no class holds more than half of a pixel.
    parcel_ids, parcel_ids_2m5 : ndarray
        True parcels at 10 m and 2.5 m, int32, axes (y, x), 0 outside.
    parcels : GeoDataFrame
        The register: ``parcel_id``, ``crop`` and ``crop_name`` as declared, ``true_crop``, ``geometry``.
    grid : GeoBox
        Of the 10 m rasters.
    bands : tuple of str
        Band names, in order.
    """

    options: SeasonOptions
    dates: NDArray[np.datetime64]
    reflectance: NDArray[np.uint16] = field(repr=False)
    cloudy: NDArray[np.bool_] = field(repr=False)
    labels: NDArray[np.uint8] = field(repr=False)
    labels_2m5: NDArray[np.uint8] = field(repr=False)
    parcel_ids: NDArray[np.int32] = field(repr=False)
    parcel_ids_2m5: NDArray[np.int32] = field(repr=False)
    parcels: gpd.GeoDataFrame = field(repr=False)
    grid: GeoBox
    bands: tuple[str, ...] = BANDS

    @property
    def legend(self) -> Legend:
        """Legend of the 13 crops, ids 1 to 13."""
        return legend()

    @property
    def grid_2m5(self) -> GeoBox:
        """Grid of the 2.5 m rasters."""
        rows, cols = (n * FINE_PER_PX for n in self.grid.shape)
        coarse = self.grid.transform
        return GeoBox((rows, cols), Affine(FINE_M, 0, coarse.c, 0, -FINE_M, coarse.f), self.grid.crs)


def simulate(options: SeasonOptions = SeasonOptions()) -> Job[Season]:  # noqa: B008 (frozen)
    """Simulate a season; the same options give the same bytes.

    Parameters
    ----------
    options : SeasonOptions
        Size, seeds, dates, parcels, imperfections.

    Returns
    -------
    Season
        Beyond the result itself, memory is about 30 bytes for each sub-pixel of 2.5 m.

    Raises
    ------
    InputError
        If the scene is so small that it holds no parcel.
    """
    place = np.random.default_rng([options.mosaic_seed, 3])
    land = yield from lay_out(options.size_px, options.parcel_size, place)
    if not len(land.parcel_kind):
        raise InputError(
            f"No parcel lies in a scene of {options.size_px} pixels with mosaic seed {options.mosaic_seed}. "
            "Take a larger scene, smaller parcels or another mosaic seed."
        )
    index = yield from spectrum_index(land, place)
    traits = draw_traits(land.kind, load_table(), options.seed, place)
    overpasses = draw_overpasses(options.seed, options.dates, options.cloudiness)
    n, bands = options.size_px, len(BANDS)
    reflectance = np.empty((len(overpasses), bands, n, n), np.uint16)
    cloudy = np.empty((len(overpasses), n, n), bool)
    for i, overpass in enumerate(overpasses):
        yield Progress("dates", i, len(overpasses), "date")
        yield from _see(overpass, index, traits, options, reflectance[i], cloudy[i])
    yield Progress("dates", len(overpasses), len(overpasses), "date")
    grid = _grid(options)
    dates = np.array([o.date for o in overpasses])
    return Season(options, dates, reflectance, cloudy, *truth(land), register(land, grid, options), grid)


def _see(
    overpass: Overpass,
    index: NDArray[np.int32],
    traits: Traits,
    options: SeasonOptions,
    out_BYX: NDArray[np.uint16],
    cloudy_YX: NDArray[np.bool_],
) -> Job[None]:
    """Fill the image and the cloud mask of one date, tile by tile."""
    rng = np.random.default_rng([options.seed, options.mosaic_seed, 5, overpass.number])
    shape = (options.size_px, options.size_px)
    sky = draw_sky(overpass, options.size_px, rng)
    cloudy_YX[:] = sky.cloudy
    day_table = load_table().at(overpass.sun[0], overpass.dryness)
    spectra_BS = levels(spectra(state_on(overpass.day, traits), traits, day_table))
    camera = Camera.at(overpass, TILE_PX)
    for done, tile in enumerate(tiles(shape, TILE_PX)):
        if done % 32 == 31:
            yield Progress(f"image of {overpass.date}", done, tile_count(shape, TILE_PX), "tile")
        seen_BYX = look(_with_margin(index, tile), spectra_BS, camera, rng)[:, : tile.height, : tile.width]
        out_BYX[:, tile.rows, tile.cols] = _stored(through(seen_BYX, overpass, sky, tile.rows, tile.cols))


def _with_margin(index: NDArray[np.int32], tile: Window) -> NDArray[np.int32]:
    """Cut a tile and its margin out of the sub-pixels; a tile at the end is filled up to the size of the others."""
    row, col = tile.row * FINE_PER_PX, tile.col * FINE_PER_PX
    side = (TILE_PX + 2 * MARGIN_PX) * FINE_PER_PX
    part = index[row : row + side, col : col + side]
    return part if part.shape == (side, side) else np.pad(part, [(0, side - m) for m in part.shape], mode="edge")


def _stored(reflectance: NDArray[np.float32]) -> NDArray[np.uint16]:
    steps = np.rint(np.clip(reflectance, 0.001, 6.5) * (10000 / DN_STEP))
    return np.asarray(steps * DN_STEP, np.uint16)


def _grid(options: SeasonOptions) -> GeoBox:
    """Place of the scene: mosaics lie side by side in a region of south-eastern France, northing about 5 000 000 m."""
    east, south = options.mosaic_seed % 20, options.mosaic_seed // 20 % 20
    transform = Affine(10, 0, 600_000 + 5120.0 * east, 0, -10, 5_050_000 - 5120.0 * south)
    return GeoBox((options.size_px, options.size_px), transform, CRS)
