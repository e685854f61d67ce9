"""The offset of outlines against images: what was found, in words, and outlines moved back by it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Literal

import geopandas as gpd
import numpy as np
import pandas as pd
import shapely
from numpy.typing import NDArray
from pyproj import Transformer

from cscl.errors import InputError
from cscl.grid import GeoBox, pixel_size_m

__all__ = ["CHANCE", "MOVED", "By", "Offset", "smooth_field"]

Floats = NDArray[np.float64]
By = Literal["scene", "tiles", "parcels"]
"""Outlines are moved all alike, by the smooth offsets of tiles, or each by its own."""
CHANCE = "up to 1.5 m may be chance"  # simulated: 0.7 to 1.6 m where outlines have no error of their own
MOVED: dict[By, str] = {
    "scene": "by the offset of the scene",
    "tiles": "by the smooth offsets of its tiles",
    "parcels": "each by its own offset",
}


@dataclass(frozen=True, eq=False)
class Offset:
    """How far outlines lie off the edges in the images, along the axes of the images' CRS.

    Parameters
    ----------
    dx_m, dy_m : float
        How far east and north of the edges the outlines lie, metres; NaN with too few parcels.
    sd_x_m, sd_y_m : float
        Standard errors, from drawing whole parcels.
    clear : bool
        Whether the outlines fit clearly better there than elsewhere. If not, the offset means nothing.
    reason : str
        Why it is not clear.
    parcels : int
        Parcels that were looked at; one that lies in several tiles counts in each.
    tiles : DataFrame
        One row a tile: ``row``, ``col``, ``height``, ``width`` (pixels); ``parcels``; ``east_m``, ``north_m``,
        ``sd_east_m``, ``sd_north_m``, ``clear``, ``reason`` of the tile alone; ``smooth_east_m``, ``smooth_north_m``,
        drawn towards its neighbours and the scene as far as tiles do not really differ.
    spread_m : float
        Standard deviation of the true offsets between tiles along one axis, after their errors are taken off.
    grid : GeoBox
        Of the images.
    shifts_px : ndarray
        Offsets that were tried along each axis, pixels.
    score : ndarray
        How well the outlines would fit were they off by so much, axes (down, right), as `shifts_px`.
    cube_name, parcels_name : str
        What was compared.
    dates : int
        Dates that were looked at.
    bands : tuple of str
        Bands that were looked at.
    own : DataFrame or None
        How far each parcel lies off what its tile does, ``east_m`` and ``north_m``; indexed as the table of parcels.
    """

    dx_m: float
    dy_m: float
    sd_x_m: float
    sd_y_m: float
    clear: bool
    reason: str
    parcels: int
    tiles: pd.DataFrame = field(repr=False)
    spread_m: float
    grid: GeoBox
    shifts_px: Floats = field(repr=False)
    score: Floats = field(repr=False)
    cube_name: str = "images"
    parcels_name: str = "parcels"
    dates: int = 0
    bands: tuple[str, ...] = ()
    own: pd.DataFrame | None = field(default=None, repr=False)

    @property
    def own_m(self) -> float:
        """Root mean square of `own`, metres along one axis; NaN if not known. Noise adds to it, caution takes off."""
        return float("nan") if self.own is None else float(np.sqrt((self.own.to_numpy() ** 2).mean()))

    @property
    def sd_m(self) -> float:
        """The larger of the two standard errors."""
        return max(self.sd_x_m, self.sd_y_m)

    @property
    def words(self) -> str:
        """Say the offset in a sentence."""
        if not self.clear:
            return f"The offset is not clear: {self.reason}"
        east = f"{abs(self.dx_m):.1f} m {'east' if self.dx_m >= 0 else 'west'}"
        north = f"{abs(self.dy_m):.1f} m {'north' if self.dy_m >= 0 else 'south'}"
        px = np.hypot(self.dx_m, self.dy_m) / np.mean(pixel_size_m(self.grid))
        own = ""
        if self.own is not None:
            own = f" Each by itself fits best another {self.own_m:.1f} m off (rms along one axis; {CHANCE})."
        return (
            f"The outlines lie {east} and {north} of the edges in the images ({px:.2f} pixels; standard errors "
            f"{self.sd_x_m:.1f} and {self.sd_y_m:.1f} m, {self.parcels} parcels).{own}"
        )

    def at(self, x: Floats, y: Floats, *, by_tile: bool) -> tuple[Floats, Floats]:
        """Return the offset in metres, east and north, at places in the CRS of the images.

        Parameters
        ----------
        x, y : ndarray
            Coordinates of one shape.
        by_tile : bool
            The smooth offsets of the tiles, interpolated between their centres, not that of the scene.
        """
        if not by_tile:
            return np.full(np.shape(x), self.dx_m), np.full(np.shape(x), self.dy_m)
        col, row = ~self.grid.transform @ (np.asarray(x, float), np.asarray(y, float))
        east, north = (_between(self.tiles, name, row, col) for name in ("smooth_east_m", "smooth_north_m"))
        return east, north

    def corrected(self, table: gpd.GeoDataFrame, *, by: By = "scene") -> gpd.GeoDataFrame:
        """Move outlines back onto the edges; columns, rows and CRS stay as they are.

        Each vertex is moved by the offset of its place, and with ``"parcels"`` also by the mean of what the parcels
        that have this very vertex are off by themselves, so that neighbours that touch still do.

        Parameters
        ----------
        table : geopandas.GeoDataFrame
            Outlines with a CRS; with ``"parcels"`` indexed as those that the offset was estimated from.
        by : str
            ``"scene"``, ``"tiles"`` (their smooth offsets) or ``"parcels"`` (about what their tile is off by).

        Raises
        ------
        InputError
            If the offset is not clear, or the outlines have no CRS.
        """
        if not self.clear:
            raise InputError(f"The outlines are left where they are, since their offset is not clear: {self.reason}")
        if table.crs is None:
            raise InputError("The outlines have no coordinate reference system. Set it first.")
        shapes: Any = table.geometry.to_numpy().copy()
        own_m = self._own_at(shapes, table.index) if by == "parcels" else None
        of_vertex = shapely.get_coordinates(shapes, return_index=True)[1]
        for deep in (False, True):  # heights, where there are any, go along
            which = shapely.has_z(shapes) == deep
            more = None if own_m is None else own_m[which[of_vertex]]
            shapes[which] = shapely.transform(shapes[which], self._mover(table.crs, by, more), include_z=deep)
        result: gpd.GeoDataFrame = table.set_geometry(gpd.GeoSeries(shapes, table.index, crs=table.crs))
        return result

    def _mover(self, crs: Any, by: By, more_m: Floats | None) -> Callable[[Floats], Floats]:
        """Make a function that moves vertices of a CRS, axes (vertex, 2 or 3)."""
        unit_m = pixel_size_m(self.grid)[1] / abs(self.grid.resolution.x)
        there, same = str(self.grid.crs), crs == self.grid.crs
        to, back = (Transformer.from_crs(a, b, always_xy=True) for a, b in ((crs, there), (there, crs)))

        def move(xyz: Floats) -> Floats:
            x, y = xyz[:, :2].T if same else to.transform(*xyz[:, :2].T)
            east, north = self.at(x, y, by_tile=by != "scene")
            if more_m is not None:
                east, north = east + more_m[:, 0], north + more_m[:, 1]
            x, y = x - east / unit_m, y - north / unit_m
            moved = np.array(xyz, float)
            moved[:, :2] = np.stack((x, y) if same else back.transform(x, y), 1)
            return moved

        return move

    def _own_at(self, shapes: Any, index: pd.Index[Any]) -> Floats:
        """How far each vertex lies off by itself, metres, axes (vertex, 2): the mean of the parcels that have it."""
        if self.own is None:
            raise InputError("How far each parcel lies off was not estimated. Estimate the offset with each=True.")
        xy, row = shapely.get_coordinates(shapes, return_index=True)
        own_m = self.own.reindex(index).fillna(0.0).to_numpy()[row]  # 0 off the images
        _, vertex = np.unique(np.ascontiguousarray(xy).view(complex).ravel(), return_inverse=True)
        times = np.bincount(vertex)
        return np.stack([(np.bincount(vertex, column) / times)[vertex] for column in own_m.T], 1)


def smooth_field(tiles: pd.DataFrame, east_m: float, north_m: float) -> tuple[pd.DataFrame, float]:
    """Add the columns ``smooth_east_m`` and ``smooth_north_m``, and return by how much tiles really differ, metres.

    Each tile gets the mean of its own offset, those of its eight neighbours and that of the scene, each weighted by
    1 / variance: for its own, that of its error; for a neighbour, also the mean square by which neighbours really
    differ; for the scene, that between tiles: the spread of the clear tiles (median absolute deviation, normal) less
    their errors. Tiles beyond four standard deviations are left out.
    """
    own = tiles[["east_m", "north_m"]].to_numpy(float)
    variance = np.maximum(tiles[["sd_east_m", "sd_north_m"]].to_numpy(float), 0.01) ** 2
    used, scene = tiles["clear"].to_numpy(bool), np.array([east_m, north_m])
    smooth: Floats = np.tile(scene, (len(own), 1))
    between = np.full(2, np.nan)
    if used.sum() >= 3:
        middle = np.median(own[used], 0)
        spread = 1.4826 * np.median(np.abs(own[used] - middle), 0)
        between = np.maximum(spread**2 - np.median(variance[used], 0), 0.0)
        used = used & (np.abs(own - middle) <= 4 * np.sqrt(between + variance)).all(1)
        pairs = _neighbours(tiles, used)
        differ = [((own[i] - own[j]) ** 2 - variance[i] - variance[j]) / steps for i, j, steps in pairs if used[i]]
        step = np.maximum(np.mean(differ, 0), 0.0) if differ else between
        weight = np.tile(1 / np.maximum(between, 1e-6), (len(own), 1))
        total = scene * weight
        themselves = [(int(i), int(i), 0) for i in np.flatnonzero(used)]
        for i, j, steps in [*themselves, *pairs]:
            share = 1 / (variance[j] + steps * step)
            total[i] += share * own[j]
            weight[i] += share
        smooth = total / weight
    table = tiles.assign(smooth_east_m=smooth[:, 0], smooth_north_m=smooth[:, 1])
    return table, float(np.sqrt(between.mean()))


def _neighbours(tiles: pd.DataFrame, used: NDArray[np.bool_]) -> list[tuple[int, int, int]]:
    """Each tile with each of its eight neighbours that is used, and how many steps they lie apart (1 or 2)."""
    row, col = (np.unique(tiles[name], return_inverse=True)[1].tolist() for name in ("row", "col"))
    number = {place: i for i, place in enumerate(zip(row, col, strict=True)) if used[i]}
    ways = [(y, x) for y in (-1, 0, 1) for x in (-1, 0, 1) if y or x]
    return [
        (i, number[r + y, c + x], abs(y) + abs(x))
        for i, (r, c) in enumerate(zip(row, col, strict=True))
        for y, x in ways
        if (r + y, c + x) in number
    ]


def _between(tiles: pd.DataFrame, name: str, row: Floats, col: Floats) -> Floats:
    """Interpolate a column of the tiles between their centres, linearly; beyond the outer ones it goes on as it is."""
    rows, r = np.unique(tiles["row"], return_inverse=True)
    cols, c = np.unique(tiles["col"], return_inverse=True)
    values = np.empty((len(rows), len(cols)))
    values[r, c] = tiles[name]
    high = np.empty(len(rows))
    high[r] = tiles["row"] + tiles["height"] / 2
    wide = np.empty(len(cols))
    wide[c] = tiles["col"] + tiles["width"] / 2
    (r0, r1, fr), (c0, c1, fc) = _beside(high, row), _beside(wide, col)
    upper = values[r0, c0] * (1 - fc) + values[r0, c1] * fc
    lower = values[r1, c0] * (1 - fc) + values[r1, c1] * fc
    found: Floats = upper * (1 - fr) + lower * fr
    return found


def _beside(centres: Floats, at: Floats) -> tuple[NDArray[np.int64], NDArray[np.int64], Floats]:
    """Return the centres before and after each place, and how far on the way it is, 0..1."""
    place = np.interp(at, centres, np.arange(len(centres)))
    first = np.minimum(place.astype(np.int64), len(centres) - 1)
    return first, np.minimum(first + 1, len(centres) - 1), place - first
