"""All bands of all dates as the channels of one GeoTIFF, for programs that know no time, such as QGIS Deepness.

The channels are all bands of the first date, then of the second. Numbers are those of Sentinel-2 products since the
processing baseline 04.00: ``reflectance = stored * SCALE + OFFSET``, uint16, and 0 where there is no data. The file
does not declare scale and offset, since QGIS would apply them before a model sees the numbers; its tags tell them.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any
from zlib import crc32

import numpy as np
import rasterio
from numpy.typing import NDArray
from rasterio.windows import Window as RasterioWindow

from cscl.cube import SITSCube
from cscl.events import Job, Progress
from cscl.grid import Window, tile_count, tiles

from .draft import draft, refuse

__all__ = ["NODATA", "OFFSET", "SCALE", "channels", "write_stack"]

SCALE, OFFSET, NODATA = 1e-4, -0.1, 0
WINDOW_PX = 256


def channels(cube: SITSCube) -> list[str]:
    """Name the channels in their order, such as ``2021-05-03_B04``."""
    return [f"{date}_{band}" for date in cube.dates.astype("datetime64[D]") for band in cube.bands]


def write_stack(
    cube: SITSCube, path: str | Path, *, overwrite: bool = False, inputs: Iterable[str | Path] = ()
) -> Job[Path]:
    """Write a cube as one GeoTIFF, window by window.

    Parameters
    ----------
    cube : SITSCube
        Images, in the bands and dates that are wanted.
    path : path
        File to make; its folder must exist.
    overwrite : bool
        Replace a former file, once the new one is whole.
    inputs : iterable of path
        Files that must not be written over, besides the images.

    Returns
    -------
    Path
        A tiled GeoTIFF, uint16, whose channels are named by `channels`. Reflectance is rounded to 0.0001 and cut at
        -0.0999 and 6.4535; pixels that are not valid are 0 in all bands of their date.

    Raises
    ------
    OutputError
        If the file cannot or must not be written.
    """
    path = Path(path)
    refuse(path, overwrite=overwrite, inputs=[*inputs, *([cube.path] if cube.path is not None else [])])
    with draft(path.parent, path.name) as folder:
        yield from _fill(folder / path.name, cube)
    return path


def _fill(path: Path, cube: SITSCube) -> Job[None]:
    total, sums = tile_count(cube.shape, WINDOW_PX), []
    with _open(path, cube) as dst:
        for done, window in enumerate(tiles(cube.shape, WINDOW_PX)):
            yield Progress(f"writing {path.name}", done, total, "window")
            stored_FYX = _stored(cube, window)
            dst.write(stored_FYX, window=_place(window))
            sums.append(crc32(stored_FYX.tobytes()))
    # A disk that fills while GDAL closes a file goes unreported, so only reading it again tells whether it is whole.
    with rasterio.open(path) as src:
        for done, window in enumerate(tiles(cube.shape, WINDOW_PX)):
            yield Progress(f"checking {path.name}", done, total, "window")
            if crc32(src.read(window=_place(window)).tobytes()) != sums[done]:
                raise OSError("what is read back is not what was written")
    yield Progress(f"checking {path.name}", total, total, "window")


def _stored(cube: SITSCube, window: Window) -> NDArray[np.uint16]:
    """Read a window as it is stored, axes (channel, y, x)."""
    values_TCYX, valid_TYX = cube.read(window)
    values_TCYX -= np.float32(OFFSET)
    values_TCYX /= np.float32(SCALE)
    np.clip(np.rint(values_TCYX, out=values_TCYX), NODATA + 1, 65535, out=values_TCYX)
    stored_TCYX = np.where(valid_TYX[:, None], values_TCYX, NODATA).astype(np.uint16)
    return stored_TCYX.reshape(-1, *stored_TCYX.shape[2:])


def _open(path: Path, cube: SITSCube) -> Any:
    names = channels(cube)
    dst = rasterio.open(
        path, "w", driver="GTiff", height=cube.shape[0], width=cube.shape[1], count=len(names), dtype="uint16",
        nodata=NODATA, crs=str(cube.grid.crs), transform=cube.grid.transform, tiled=True, blockxsize=WINDOW_PX,
        blockysize=WINDOW_PX, interleave="band", compress="deflate", predictor=2, zlevel=3, bigtiff="if_safer",
        photometric="minisblack",
    )  # fmt: skip
    dst.descriptions = names
    dst.update_tags(AREA_OR_POINT="Area", reflectance=f"stored * {SCALE:g} + {OFFSET:g}")
    return dst


def _place(window: Window) -> RasterioWindow:
    return RasterioWindow(window.col, window.row, window.width, window.height)
