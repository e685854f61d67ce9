"""The pattern of the land: roads and a river cut it into blocks, and blocks are cut into parcels, again and again.

Coordinates are metres, x to the east and y to the south from the north-west corner of the domain.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import shapely
from shapely import LineString, Polygon
from shapely.ops import split

__all__ = ["Network", "Pattern", "blocks", "cut_block", "draw_network"]

# Median area at which cutting stops, hectares; the medians after all insets and losses are those of the options.
STOP_HA = {"standard": 2.15, "small": 0.67, "large": 7.3}


@dataclass(frozen=True, eq=False)
class Network:
    """Centre lines of roads and rivers, and their widths in metres."""

    roads: tuple[LineString, ...]
    rivers: tuple[LineString, ...]
    road_m: float = 7.0
    river_m: float = 18.0

    def polygons(self, verge_m: float = 0.0) -> tuple[list[Polygon], list[Polygon]]:
        """Return the surfaces of roads and of rivers, `verge_m` wider on each side."""
        return (
            [line.buffer(self.road_m / 2 + verge_m) for line in self.roads],
            [line.buffer(self.river_m / 2 + verge_m) for line in self.rivers],
        )


@dataclass(frozen=True)
class Pattern:
    """How one block is cut: stop area (m2), share of lengthwise cuts, how bent cuts are (share of their length)."""

    stop_m2: float
    lengthwise: float
    bend: float

    @classmethod
    def draw(cls, rng: np.random.Generator, parcel_size: str) -> Pattern:
        """Draw the pattern of a block: one in four is cut into strips, one in six follows curved contours."""
        stop = STOP_HA[parcel_size] * 1e4 * float(np.exp(0.3 * rng.standard_normal()))
        lengthwise = 0.75 if rng.random() < 0.25 else 0.16
        return cls(stop, lengthwise, 0.16 if rng.random() < 1 / 6 else 0.012)


def draw_network(rng: np.random.Generator, side_m: float) -> Network:
    """Draw roads right across the domain, about one a kilometre, and sometimes a winding river."""
    roads = tuple(_across(rng, side_m, 0.02 * side_m, 2) for _ in range(2 + rng.poisson(side_m / 1300)))
    rivers = tuple(_across(rng, side_m, 60.0, int(3 + side_m / 700)) for _ in range(rng.random() < 0.6))
    return Network(roads, rivers)


def blocks(network: Network, side_m: float) -> list[Polygon]:
    """Cut the domain along the network; verges of 2 m are left beside roads and rivers."""
    roads, rivers = network.polygons(verge_m=2.0)
    rest = shapely.difference(shapely.box(0, 0, side_m, side_m), shapely.union_all([*roads, *rivers]))
    return [p for p in shapely.get_parts(rest) if p.area > 500]


def cut_block(
    block: Polygon, pattern: Pattern, rng: np.random.Generator
) -> Iterator[tuple[Polygon, LineString | None]]:
    """Cut a block into cells; yields (cell, None), and (rest, line) for the cuts that become farm tracks.

    A cell is cut across its long axis, seldom lengthwise, until it is smaller than an area drawn for it alone; that
    makes the areas log-normal.
    """
    stack = [(block, _stop(pattern, rng))]
    while stack:
        cell, stop_m2 = stack.pop()
        if cell.area < stop_m2 or cell.area < 600:
            yield cell, None
            continue
        line = _cut_line(cell, pattern, rng)
        parts = [p for p in split(cell, line).geoms if p.area > 20]
        if len(parts) < 2:
            yield cell, None
            continue
        if cell.area > 9 * pattern.stop_m2 and rng.random() < 0.35:
            yield cell, line.intersection(cell)
        stack.extend((part, _stop(pattern, rng)) for part in parts)


def _stop(pattern: Pattern, rng: np.random.Generator) -> float:
    return pattern.stop_m2 * float(np.exp(min(rng.standard_normal(), 2.0)))


def _cut_line(cell: Polygon, pattern: Pattern, rng: np.random.Generator) -> LineString:
    corners = shapely.get_coordinates(shapely.oriented_envelope(cell))[:4]
    sides = np.diff(corners[[0, 1, 2]], axis=0)
    long, short = sorted(sides, key=lambda v: -np.hypot(*v))
    slender = np.hypot(*long) > 7 * np.hypot(*short)
    if rng.random() < pattern.lengthwise and not slender:
        long, short = short, long
    centre = corners.mean(0) + long * rng.uniform(-0.14, 0.14)
    reach = short * 0.75
    t = np.linspace(-1, 1, 9)[:, None]
    normal = np.array([-short[1], short[0]])
    sagitta = pattern.bend * rng.standard_normal()
    tilt = long * 0.03 * rng.standard_normal()
    return LineString(centre + t * (reach + tilt) + (1 - t**2) * sagitta * normal)


def _across(rng: np.random.Generator, side_m: float, sway_m: float, waves: int) -> LineString:
    """Draw a swaying line through a random point, at a random angle, that leaves the domain at both ends."""
    angle, middle = rng.uniform(0, np.pi), rng.uniform(0.1, 0.9, 2) * side_m
    along = np.linspace(-1.5, 1.5, int(20 + side_m / 60)) * side_m
    phase, height = rng.uniform(0, 2 * np.pi, waves), rng.standard_normal(waves) / np.sqrt(waves)
    turn = 2 * np.pi * np.arange(1, waves + 1) / (1.6 * side_m)
    sway = sway_m * (np.sin(along[:, None] * turn + phase) * height).sum(1)
    x = middle[0] + along * np.cos(angle) - sway * np.sin(angle)
    y = middle[1] + along * np.sin(angle) + sway * np.cos(angle)
    return LineString(np.column_stack([x, y]))
