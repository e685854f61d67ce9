"""The grid: shape, affine transform and CRS of a raster as one value, and windows on it.

The value itself is `odc.geo.geobox.GeoBox`. Here stand the few rules that all parts share: how a grid is made, when two
are the same, and how a raster is cut into windows. Rows run along y, columns along x, pixels are areas.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from affine import Affine
from odc.geo.crs import CRS
from odc.geo.geobox import GeoBox
from pyproj.exceptions import CRSError

from cscl.errors import GridError, InputError

__all__ = [
    "GeoBox", "Window", "coarsened", "crop", "make_grid", "pixel_size_m", "pixel_there", "refined", "require_same",
    "same", "some_tiles", "tile_count", "tiles", "times_finer",
]  # fmt: skip

_SAME_PX = 1e-3


@dataclass(frozen=True)
class Window:
    """A rectangle of pixels: first row and column, height and width, all in pixels."""

    row: int
    col: int
    height: int
    width: int

    @classmethod
    def parse(cls, text: str, shape: tuple[int, int]) -> Window:
        """Read ``"rows,columns"`` such as ``"0:101,50:100"``; an open end means the border of `shape` (y, x).

        Raises
        ------
        InputError
            If the text has another form or the window is empty or reaches beyond the raster.
        """
        try:
            (r0, r1), (c0, c1) = (part.split(":") for part in text.split(","))
            rows = int(r0 or 0), int(r1 or shape[0])
            cols = int(c0 or 0), int(c1 or shape[1])
        except ValueError:
            raise InputError(f"The window '{text}' is not of the form ROW:ROW,COL:COL, e.g. 0:101,50:100.") from None
        if not (0 <= rows[0] < rows[1] <= shape[0] and 0 <= cols[0] < cols[1] <= shape[1]):
            raise InputError(
                f"The window '{text}' is empty or reaches beyond the raster of {shape[0]} rows and {shape[1]} columns."
            )
        return cls(rows[0], cols[0], rows[1] - rows[0], cols[1] - cols[0])

    @property
    def rows(self) -> slice:
        """Rows of the window."""
        return slice(self.row, self.row + self.height)

    @property
    def cols(self) -> slice:
        """Columns of the window."""
        return slice(self.col, self.col + self.width)

    @property
    def slices(self) -> tuple[slice, slice]:
        """Index of the window in an array with axes (..., y, x): ``array[..., *window.slices]``."""
        return self.rows, self.cols

    def grown(self, margin_px: int, shape: tuple[int, int], step_px: int = 1) -> Window:
        """Return the window with `margin_px` more on each side, cut at the borders of `shape` (y, x).

        First row and column go down to a multiple of `step_px`.
        """
        r0, c0 = (max(0, first - margin_px) // step_px * step_px for first in (self.row, self.col))
        r1 = min(shape[0], self.row + self.height + margin_px)
        c1 = min(shape[1], self.col + self.width + margin_px)
        return Window(r0, c0, r1 - r0, c1 - c0)

    def refined(self, factor: int) -> Window:
        """Return the same place on a grid of finer pixels, `factor` along a side of one."""
        return Window(*(factor * n for n in (self.row, self.col, self.height, self.width)))

    def coarsened(self, factor: int) -> Window:
        """Return the smallest window that holds this one on a grid of pixels `factor` times as large."""
        row, col = self.row // factor, self.col // factor
        end_row, end_col = -(-(self.row + self.height) // factor), -(-(self.col + self.width) // factor)
        return Window(row, col, end_row - row, end_col - col)

    def within(self, outer: Window) -> Window:
        """Return the same place, counted from the corner of `outer`."""
        return Window(self.row - outer.row, self.col - outer.col, self.height, self.width)


def tiles(shape: tuple[int, int], size_px: int) -> Iterator[Window]:
    """Cut a raster of `shape` (y, x) into windows of at most `size_px`, row by row, without overlap."""
    for row in range(0, shape[0], size_px):
        for col in range(0, shape[1], size_px):
            yield Window(row, col, min(size_px, shape[0] - row), min(size_px, shape[1] - col))


def tile_count(shape: tuple[int, int], size_px: int) -> int:
    """Count the windows that `tiles` yields."""
    return -(-shape[0] // size_px) * -(-shape[1] // size_px)


def some_tiles(shape: tuple[int, int], size_px: int, count: int) -> list[Window]:
    """Pick at most `count` of the windows of `tiles`, evenly spread; as fast for a continent as for a field."""
    across = -(-shape[1] // size_px)
    numbers = np.unique(np.linspace(0, tile_count(shape, size_px) - 1, count).round().astype(int))
    corners = [(int(n) // across * size_px, int(n) % across * size_px) for n in numbers]
    return [Window(row, col, min(size_px, shape[0] - row), min(size_px, shape[1] - col)) for row, col in corners]


def make_grid(shape: tuple[int, int], transform: Any, crs: Any, what: str) -> GeoBox:
    """Make a grid, refusing a raster that has no place on earth.

    Parameters
    ----------
    shape : tuple of int
        Rows and columns.
    transform : affine.Affine
        Pixel corner to CRS coordinates.
    crs : any
        Whatever `odc.geo` understands: EPSG code, WKT, rasterio or pyproj CRS; None raises.
    what : str
        The file or object, for the message.

    Raises
    ------
    GridError
        If there is no CRS, or it cannot be understood.
    """
    if crs is None or not str(crs):
        raise GridError(
            f"{what} has no coordinate reference system. Assign one, e.g. with gdal_edit.py -a_srs EPSG:32631, "
            "or say which it is with --crs."
        )
    try:
        known = CRS(crs if isinstance(crs, str) else str(crs))
    except CRSError as error:
        raise GridError(
            f"{what}: the coordinate reference system '{str(crs)[:60]}' is not understood. Write it like EPSG:32631."
        ) from error
    # The short name is what messages and model cards show; one system has many spellings in WKT.
    return GeoBox(shape, transform, f"EPSG:{known.epsg}" if known.epsg else known)


def pixel_size_m(grid: GeoBox) -> tuple[float, float]:
    """Height and width of a pixel in metres, also where the CRS counts in feet.

    Raises
    ------
    GridError
        If the grid's CRS counts degrees: distances to boundaries have no meaning there.
    """
    if grid.crs is None or grid.crs.geographic:
        raise GridError(
            f"The grid's coordinates are degrees ({grid.crs}), not metres. Reproject the images to a projected CRS "
            "first, e.g. gdalwarp -t_srs EPSG:326xx (the UTM zone)."
        )
    axes = grid.crs.proj.axis_info
    unit_m = float(axes[0].unit_conversion_factor) if axes else 1.0
    return abs(grid.resolution.y) * unit_m, abs(grid.resolution.x) * unit_m


def crop(grid: GeoBox, window: Window) -> GeoBox:
    """Cut the grid of a window out of a grid."""
    cut: GeoBox = grid[window.rows, window.cols]
    return cut


def refined(grid: GeoBox, factor: int) -> GeoBox:
    """Cut each pixel of a grid into `factor` x `factor` pixels."""
    rows, cols = (factor * n for n in grid.shape)
    return GeoBox((rows, cols), grid.transform @ Affine.scale(1 / factor), grid.crs)


def coarsened(grid: GeoBox, factor: int) -> GeoBox:
    """Join `factor` x `factor` pixels of a grid; what is left over at its right and lower edge is dropped."""
    rows, cols = (n // factor for n in grid.shape)
    return GeoBox((rows, cols), grid.transform @ Affine.scale(factor), grid.crs)


def times_finer(fine: GeoBox, coarse: GeoBox) -> int | None:
    """How many pixels of one grid lie along a side of another's: 1 for the same grid, None where that has no answer."""
    factor = round(fine.shape[0] / coarse.shape[0])
    return factor if factor and same(fine, refined(coarse, factor)) else None


def pixel_there(row: int, col: int, grid: GeoBox, there: GeoBox) -> tuple[int, int]:
    """Row and column of the pixel of another grid in which the centre of a pixel lies; of two, the next.

    They may lie outside the other grid.
    """
    x, y = ~there.transform @ (grid.transform @ (col + 0.5, row + 0.5))
    return int(np.floor(y + _SAME_PX)), int(np.floor(x + _SAME_PX))


def same(a: GeoBox, b: GeoBox) -> bool:
    """Whether two rasters share shape, CRS and place (to a thousandth of a pixel)."""
    return a.crs == b.crs and tuple(a.shape) == tuple(b.shape) and _offset_px(a, b) <= _SAME_PX


def require_same(a: GeoBox, b: GeoBox, what: str) -> None:
    """Refuse two rasters that do not share shape, CRS and place (to a thousandth of a pixel).

    Raises
    ------
    GridError
        The message names `what`, the difference and the remedy.
    """
    remedy = "Resample one onto the other first, e.g. with gdalwarp -t_srs -te -tr."
    if a.crs != b.crs:
        raise GridError(f"{what}: the coordinate reference systems differ ({a.crs} and {b.crs}). {remedy}")
    if times_finer(a, b) or times_finer(b, a):  # the same ones are let go by below
        remedy = "Bring the finer one to the pixels of the other; cscl coarsen does it for maps."
    if tuple(a.shape) != tuple(b.shape):
        raise GridError(f"{what}: the shapes differ ({tuple(a.shape)} and {tuple(b.shape)} pixels). {remedy}")
    offset = _offset_px(a, b)
    if offset > _SAME_PX:
        raise GridError(f"{what}: the rasters lie {offset:.3g} pixels apart. {remedy}")


def _offset_px(a: GeoBox, b: GeoBox) -> float:
    """Largest distance between the same corners of two rasters of one shape, in pixels of the first."""
    corners = np.array([(0, a.shape[1], 0, a.shape[1]), (0, 0, a.shape[0], a.shape[0]), (1, 1, 1, 1)], float)
    matrix_a, matrix_b = (np.array(tuple(grid.transform)).reshape(3, 3) for grid in (a, b))
    there = np.linalg.solve(matrix_a, matrix_b @ corners)
    return float(np.hypot(*(there - corners)[:2]).max())
