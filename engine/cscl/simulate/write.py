"""A season as files, in the form in which users receive theirs."""

from __future__ import annotations

import dataclasses
import hashlib
import shutil
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import rasterio
from numpy.typing import NDArray
from pyogrio import set_gdal_config_options
from pyogrio.errors import DataSourceError
from rasterio.errors import RasterioError

from cscl.errors import OutputError
from cscl.events import Job, Progress
from cscl.grid import GeoBox
from cscl.results import require_name

from .labels import MIXED
from .season import Season
from .weather import HARVEST_YEAR

__all__ = ["write_season"]

SAYS = "SIMULATED Sentinel-2 surface reflectance; not an observation"


def write_season(season: Season, folder: str | Path) -> Job[Path]:
    """Write a season into a new folder, which appears only when it is whole.

    Parameters
    ----------
    season : Season
        What `simulate` returned.
    folder : path
        Folder to make; it must not exist yet, or be empty.

    Returns
    -------
    Path
        The folder: ``images/`` and ``masks/`` (one GeoTIFF a date), ``parcels.gpkg``, ``legend.csv``, ``labels.tif``
        (10 m), ``labels_2m5.tif`` and ``README.txt``.

    Raises
    ------
    OutputError
        If the folder exists and is not empty, or cannot be written.
    """
    folder = Path(folder)
    require_name(folder)
    if folder.exists() and not (folder.is_dir() and not any(folder.iterdir())):
        raise OutputError(f"{folder} exists already and is not empty. Choose another folder for the season.")
    with _whole_or_nothing(folder) as part:
        for i in range(len(season.dates)):
            yield Progress("writing", i, len(season.dates), "date")
            _write_date(season, i, part)
        yield Progress("writing", len(season.dates), len(season.dates), "date")
        _write_rest(season, part)
        (part / "README.txt").write_text("\n".join(_readme(season, part)) + "\n", encoding="utf-8")
    return folder


@contextmanager
def _whole_or_nothing(folder: Path) -> Generator[Path, None, None]:
    part = folder.with_name(f"{folder.name}.part")
    try:
        shutil.rmtree(part, ignore_errors=True)
        part.mkdir(parents=True)
        yield part
        if folder.exists():
            folder.rmdir()
        part.rename(folder)
    except OutputError:
        raise
    except (OSError, RasterioError, DataSourceError) as error:
        raise OutputError(
            f"The season cannot be written to {folder} ({error}). See that the place is writable and the disk has room."
        ) from error
    finally:
        shutil.rmtree(part, ignore_errors=True)


def _write_date(season: Season, i: int, folder: Path) -> None:
    name = f"S2_{np.datetime_as_string(season.dates[i], 'D').replace('-', '')}.tif"
    tags = {"TIFFTAG_IMAGEDESCRIPTION": SAYS, "SIMULATED": "YES", "DATE": str(season.dates[i])}
    bands = season.reflectance[i]
    _write_raster(folder / "images" / name, bands, season.grid, tags, names=season.bands, scale=1e-4, nodata=0)
    mask_tags = {"TIFFTAG_IMAGEDESCRIPTION": "SIMULATED: 1 = cloud, cirrus or cloud shadow, 0 = clear"} | tags
    mask = season.cloudy[i][None].astype(np.uint8)
    _write_raster(folder / "masks" / name, mask, season.grid, tags | mask_tags, names=("cloudy",))


def _write_rest(season: Season, folder: Path) -> None:
    tags = {
        "TIFFTAG_IMAGEDESCRIPTION": "SIMULATED: true crops, 0 = no registered crop, 255 = mixed",
        "SIMULATED": "YES",
    }
    for labels, grid, name in (
        (season.labels, season.grid, "labels.tif"),
        (season.labels_2m5, season.grid_2m5, "labels_2m5.tif"),
    ):
        _write_raster(folder / name, labels[None], grid, tags, names=("crop",), nodata=MIXED)
    season.legend.to_csv(folder / "legend.csv")
    table = season.parcels
    if not season.options.misdeclared_share:
        table = table.drop(columns="true_crop")
    with _fixed_clock():
        table.to_file(folder / "parcels.gpkg", layer="parcels", engine="pyogrio", driver="GPKG", promote_to_multi=False)


@contextmanager
def _fixed_clock() -> Generator[None, None, None]:
    """Keep GDAL from stamping the time of writing, so that the same season is the same file."""
    set_gdal_config_options({"OGR_CURRENT_DATE": f"{HARVEST_YEAR}-12-31T00:00:00.000Z"})
    try:
        yield
    finally:
        set_gdal_config_options({"OGR_CURRENT_DATE": None})


def _write_raster(
    path: Path,
    bands: NDArray[Any],
    grid: GeoBox,
    tags: dict[str, str],
    *,
    names: tuple[str, ...],
    scale: float = 1.0,
    nodata: int | None = None,
) -> None:
    """Write bands, axes (band, y, x), as a tiled, deflated GeoTIFF."""
    path.parent.mkdir(exist_ok=True)
    count, height, width = bands.shape
    block = min(256, 16 * -(-max(height, width) // 16))
    profile = {"driver": "GTiff", "tiled": True, "blockxsize": block, "blockysize": block, "interleave": "band"}
    profile |= {"compress": "deflate", "zlevel": 9, "predictor": 2 if bands.dtype == np.uint16 else 1}
    place = {"crs": str(grid.crs), "transform": grid.transform, "nodata": nodata}
    with rasterio.open(
        path, "w", count=count, height=height, width=width, dtype=bands.dtype, **profile, **place
    ) as out:
        out.write(bands)
        out.descriptions = names
        out.update_tags(**tags)
        if scale != 1.0:
            out.scales = (scale,) * count


def _readme(season: Season, folder: Path) -> Iterator[str]:
    yield "SIMULATED Sentinel-2 season. Nothing here was observed, and no parcel exists."
    yield ""
    yield "Fields, crop calendars, canopy reflectance (PROSAIL), clouds and the sensor are modelled; the calendars are"
    yield "general agronomic knowledge, not fitted to data. Scores on it say nothing about scores on a real region."
    yield ""
    yield "images/        one file a date, 10 bands, reflectance x 10000, 0 = no data; 20 m bands resampled to 10 m"
    yield "masks/         1 = cloud, cirrus or shadow"
    yield "parcels.gpkg   the parcel register, as declared; layer parcels"
    yield "legend.csv     class ids of the label rasters, codes of the register, names, colours"
    yield "labels.tif     crops as they truly grow, 10 m; 0 = no registered crop, 255 = no class holds half a pixel"
    yield "labels_2m5.tif the same at 2.5 m"
    yield ""
    yield "Made with:"
    yield from (f"  {name} = {value}" for name, value in dataclasses.asdict(season.options).items())
    yield ""
    yield f"SHA-256 of the images' values in order of date: {_checksum(season)}"


def _checksum(season: Season) -> str:
    return hashlib.sha256(np.ascontiguousarray(season.reflectance).data).hexdigest()
