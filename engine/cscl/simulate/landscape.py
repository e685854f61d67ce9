"""What covers the pattern: crops by farm, woods, villages, hedges, water; as polygons and as a raster of surfaces.

The domain is the scene plus a margin on each side, so that neither blur nor shift ever meets an edge.
"""

from __future__ import annotations

from collections.abc import Generator, Sequence
from dataclasses import dataclass, field

import numpy as np
import shapely
from affine import Affine
from numpy.typing import NDArray
from rasterio.features import rasterize
from shapely import LineString, Polygon, STRtree
from shapely.geometry.base import BaseGeometry
from shapely.ops import substring

from cscl.events import Job, Progress

from .crops import CROPS, Land
from .mosaic import Network, Pattern, blocks, cut_block, draw_network
from .noise import random_field

__all__ = ["FINE_M", "FINE_PER_PX", "MARGIN_PX", "Landscape", "lay_out"]

FINE_M = 2.5
"""Side of the sub-pixels that surfaces are drawn on, metres."""

FINE_PER_PX = 4
"""Sub-pixels along a side of a 10 m pixel."""

MARGIN_PX = 10
"""Margin around the scene, 10 m pixels: three standard deviations of the widest blur, the largest shift, the kernel."""

INSETS_M = np.array([0.4, 1.2, 2.6])
LEAST_PARCEL_M2 = 400.0

Ints = NDArray[np.int32]


@dataclass(frozen=True, eq=False)
class Landscape:
    """The land of a scene and its margin.

    Parameters
    ----------
    kind : ndarray
        Crop id or `Land` value of each surface, shape (surface,).
    surface : ndarray
        Index of the surface at each sub-pixel, axes (y, x), margin included.
    parcel_ids : ndarray
        Parcel at each sub-pixel of the same raster, 0 outside all parcels.
    outlines : ndarray of Polygon
        Parcels whose outline touches the scene, metres from its north-west corner, x east, y south.
    parcel_kind : ndarray
        Crop id of each parcel; parcel i has the id i + 1.
    """

    kind: NDArray[np.int16]
    surface: Ints = field(repr=False)
    parcel_ids: Ints = field(repr=False)
    outlines: NDArray[np.object_] = field(repr=False)
    parcel_kind: NDArray[np.int16] = field(repr=False)


def lay_out(size_px: int, parcel_size: str, rng: np.random.Generator) -> Job[Landscape]:
    """Lay out the land of a scene of `size_px` pixels of 10 m a side; see `Landscape`."""
    side_m = 10.0 * (size_px + 2 * MARGIN_PX)
    network = draw_network(rng, side_m)
    cells, tracks = yield from _cells(network, side_m, parcel_size, rng)
    kind = _land_use(cells, network, side_m, rng)
    yield Progress("parcels", 1, 3, "part")
    over = _overlays(cells, kind, tracks, network, rng)
    cells = _without(cells, [shape for shape, land in over if land in (Land.TRACK, Land.HEDGE)])
    keep = shapely.area(cells) > np.where(kind < Land.MARGIN, LEAST_PARCEL_M2, 100)
    cells, kind = cells[keep], kind[keep]
    yield Progress("parcels", 2, 3, "part")
    return _drawn(cells, kind, over, round(side_m / FINE_M), size_px)


def _cells(
    network: Network, side_m: float, parcel_size: str, rng: np.random.Generator
) -> Generator[Progress, None, tuple[NDArray[np.object_], list[LineString]]]:
    """Cells, inset so that a strip of grass is left between most of them, and the lines of farm tracks."""
    whole = blocks(network, side_m)
    total, done = sum(block.area for block in whole), 0.0
    cells: list[Polygon] = []
    tracks: list[LineString] = []
    for block in whole:
        pattern = Pattern.draw(rng, parcel_size)
        for i, (cell, track) in enumerate(cut_block(block, pattern, rng)):
            if track is None:
                cells.append(cell)
                done += cell.area
            else:
                tracks.append(track)
            if i % 500 == 0:
                yield Progress("cutting land into parcels", int(done / 1e4), int(total / 1e4), "ha")
    inset = rng.choice(INSETS_M, len(cells), p=[0.5, 0.3, 0.2])
    shapes = shapely.buffer(_array(cells), -inset, join_style="mitre")
    shapes = _largest_parts(shapes)
    return shapes[shapely.area(shapes) > 50], tracks


def _land_use(
    cells: NDArray[np.object_], network: Network, side_m: float, rng: np.random.Generator
) -> NDArray[np.int16]:
    """Crop id or `Land` value of each cell."""
    xy = shapely.get_coordinates(shapely.centroid(cells))
    area, length = shapely.area(cells), shapely.length(cells)
    kind = _crops_by_farm(xy, area, side_m, rng)
    odds = rng.random(len(cells))
    kind[odds < 0.022] = Land.FALLOW
    kind[(odds > 0.985) & (area < 4e4)] = Land.ORCHARD
    kind[(odds > 0.976) & (odds <= 0.98) & (area < 1.5e4)] = Land.WATER
    woods = random_field(rng, (128, 128), 1.6, max(8.0, 128 * 1500 / side_m))
    column, row = (np.clip(xy / side_m * 128, 0, 127).astype(int)).T
    kind[woods[row, column] > 1.3] = Land.WOOD
    for x, y in _village_centres(network, side_m, rng):
        kind[np.hypot(xy[:, 0] - x, xy[:, 1] - y) < rng.uniform(90, 230)] = Land.GARDEN
    kind[(area < LEAST_PARCEL_M2) | (area < 0.012 * length**2)] = Land.MARGIN
    return kind


def _crops_by_farm(
    xy: NDArray[np.float64], area: NDArray[np.float64], side_m: float, rng: np.random.Generator
) -> NDArray[np.int16]:
    """Give every cell to a farm nearby and draw its crop from the farm's own mix, so that neighbours resemble."""
    shares = np.array([crop.share for crop in CROPS])
    farms = max(4, round(side_m**2 / 6e5))
    seat, reach = rng.uniform(0, side_m, (farms, 2)), 150.0
    mixes = rng.dirichlet(9 * shares / shares.sum(), farms)
    _, nearest = STRtree(shapely.points(seat)).query_nearest(
        shapely.points(xy + reach * rng.standard_normal(xy.shape)), all_matches=False
    )
    pick = (rng.random(len(xy))[:, None] > np.cumsum(mixes[nearest], 1)).sum(1)
    ids = np.array([crop.id for crop in CROPS], np.int16)
    return np.asarray(ids[np.minimum(pick, len(CROPS) - 1)], np.int16)


def _village_centres(network: Network, side_m: float, rng: np.random.Generator) -> NDArray[np.float64]:
    number = rng.poisson((side_m / 2200) ** 2 + 0.4)
    roads = [network.roads[i] for i in rng.integers(len(network.roads), size=9 * number)]
    points = [road.interpolate(rng.random(), normalized=True) for road in roads]
    inside = np.array([(p.x, p.y) for p in points if 0 < p.x < side_m and 0 < p.y < side_m]).reshape(-1, 2)
    return inside[:number]


def _overlays(
    cells: NDArray[np.object_],
    kind: NDArray[np.int16],
    tracks: list[LineString],
    network: Network,
    rng: np.random.Generator,
) -> list[tuple[BaseGeometry, Land]]:
    """Draw what lies over the cells, in this order: hedges, trees, roofs, tracks, river, roads."""
    over: list[tuple[BaseGeometry, Land]] = []
    for i in np.flatnonzero(rng.random(len(cells)) < 0.10):
        ring = cells[i].exterior
        start, stretch = rng.random() * ring.length, rng.uniform(0.15, 0.4) * ring.length
        hedge = substring(ring, start, min(start + stretch, ring.length))
        over.append((hedge.buffer(rng.uniform(2.0, 4.0)), Land.HEDGE))
    for i in np.flatnonzero(rng.random(len(cells)) < 0.12):
        over.append((cells[i].representative_point().buffer(rng.uniform(2.5, 5.0)), Land.WOOD))
    for i in np.flatnonzero(kind == Land.GARDEN):
        over.extend(_roofs(cells[i], rng))
    over.extend((line.buffer(rng.uniform(1.5, 2.2)), Land.TRACK) for line in tracks)
    roads, rivers = network.polygons()
    over.extend((river, Land.WATER) for river in rivers)
    over.extend((road, Land.ROAD) for road in roads)
    return over


def _roofs(cell: Polygon, rng: np.random.Generator) -> list[tuple[BaseGeometry, Land]]:
    """Draw houses on a jittered lattice along the long side of a village cell."""
    corners = shapely.get_coordinates(shapely.oriented_envelope(cell))[:3]
    u, v = corners[1] - corners[0], corners[2] - corners[1]
    nu, nv = (max(1, int(np.hypot(*w) / 24)) for w in (u, v))
    a, b = np.meshgrid((np.arange(nu) + 0.5) / nu, (np.arange(nv) + 0.5) / nv)
    centres = corners[0] + a.reshape(-1, 1) * u + b.reshape(-1, 1) * v + rng.normal(0, 3, (a.size, 2))
    eu, ev = u / max(np.hypot(*u), 1e-6), v / max(np.hypot(*v), 1e-6)
    half = rng.uniform([4, 3.5], [9, 6], (len(centres), 2))
    signs = np.array([(-1, -1), (1, -1), (1, 1), (-1, 1)])
    rings = centres[:, None] + signs[None, :, :1] * half[:, None, :1] * eu + signs[None, :, 1:] * half[:, None, 1:] * ev
    houses = shapely.polygons(rings)
    inside = shapely.within(houses, cell) & (rng.random(len(houses)) < 0.8)
    red = rng.random(len(houses)) < 0.7
    return [(houses[i], Land.RED_ROOF if red[i] else Land.GREY_ROOF) for i in np.flatnonzero(inside)]


def _without(cells: NDArray[np.object_], lines: list[BaseGeometry]) -> NDArray[np.object_]:
    """Cut tracks and hedges out of the cells they cross."""
    if not lines:
        return cells
    which, hit = STRtree(lines).query(cells, predicate="intersects")
    out = cells.copy()
    for i in np.unique(which):
        out[i] = shapely.difference(cells[i], shapely.union_all([lines[j] for j in hit[which == i]]))
    return _largest_parts(out)


def _array(shapes: Sequence[BaseGeometry]) -> NDArray[np.object_]:
    array = np.empty(len(shapes), np.object_)
    array[:] = shapes
    return array


def _largest_parts(shapes: NDArray[np.object_]) -> NDArray[np.object_]:
    """Keep the largest polygon of each geometry that fell apart; drop holes left by nothing but rounding."""
    out = shapes.copy()
    for i in np.flatnonzero(shapely.get_num_geometries(shapes) != 1):
        parts = shapely.get_parts(shapes[i])
        out[i] = max(parts, key=shapely.area, default=Polygon())
    return out


def _drawn(
    cells: NDArray[np.object_],
    kind: NDArray[np.int16],
    over: list[tuple[BaseGeometry, Land]],
    side_fine: int,
    size_px: int,
) -> Landscape:
    """Rasterise everything; surface 0 is the grass between all things."""
    frame = {"transform": Affine.scale(FINE_M), "out_shape": (side_fine, side_fine)}
    surfaces = np.array([Land.MARGIN, *kind, *(land for _, land in over)], np.int16)
    surface = rasterize(zip(cells, range(1, len(cells) + 1), strict=True), fill=0, dtype="int32", **frame)
    margin_m, end_m = 10.0 * MARGIN_PX, 10.0 * (MARGIN_PX + size_px)
    in_scene = shapely.intersects(cells, shapely.box(margin_m, margin_m, end_m, end_m))
    parcels = np.flatnonzero((kind < Land.MARGIN) & in_scene)
    id_of_surface = np.zeros(len(surfaces), np.int32)
    id_of_surface[parcels + 1] = np.arange(1, len(parcels) + 1)
    parcel_ids = id_of_surface[surface]
    first = len(cells) + 1
    shapes = ((shape, first + i) for i, (shape, _) in enumerate(over))
    rasterize(shapes, out=surface, transform=frame["transform"])
    outlines = shapely.transform(cells[parcels], lambda xy: xy - margin_m)
    return Landscape(surfaces, surface, parcel_ids, outlines, kind[parcels])
