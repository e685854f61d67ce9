"""How well the offset of outlines is found: ``python tests/benchmarks/outline_offsets.py`` (some ten minutes).

Simulated seasons whose outlines are moved by 0, 2.5, 5, 10 and 15 m in random directions, each by 5 m (sd) by itself
besides, 3 % of the crops declared wrongly, with clouds. Each run is printed. Two truths are told apart: the offset
against the land, and against the mean image, which is what labels meet: the simulator misregisters each date by about
3 m (sd, each axis). Then the same with blurs that are not symmetric, with clouds that no mask knows, with one date
that is far off, and with outlines of another place. ``--each`` looks instead at outlines that are moved back each by
itself (some five minutes).
"""

from __future__ import annotations

import argparse
import os
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any
from unittest.mock import patch

import geopandas as gpd
import numpy as np
import xarray as xr
from numpy.typing import NDArray
from scipy.ndimage import shift as moved_image

from cscl.cube import Radiometry, SITSCube
from cscl.events import run
from cscl.inference.align import AlignOptions, estimate_offset
from cscl.inference.offset import Offset
from cscl.legend import Legend
from cscl.parcels import Parcels, rasterise
from cscl.simulate import Season, SeasonOptions, simulate
from cscl.simulate.weather import Overpass, draw_overpasses

SHIFTS_M = (0.0, 2.5, 5.0, 10.0, 15.0)


def cube_of(season: Season, masked: bool = True) -> SITSCube:
    dates = len(season.dates)
    coords = {"time": season.dates.astype("datetime64[ns]"), "band": list(season.bands)}
    stored = xr.DataArray(season.reflectance, dims=("time", "band", "y", "x"), coords=coords)
    clear = xr.DataArray(~season.cloudy, dims=("time", "y", "x")) if masked else None
    return SITSCube(stored, season.grid, Radiometry((1e-4,) * dates, (0.0,) * dates, 0, "simulated"), clear)


def image_shift_m(season: Season) -> NDArray[np.float64]:
    """East and north by which the mean image looks beside the land, so that outlines seem to lie off by as much."""
    o = season.options
    shifts = np.array([p.shift_m for p in draw_overpasses(o.seed, o.dates, o.cloudiness)])
    down, right = np.average(shifts, 0, (~season.cloudy).mean((1, 2)))
    return np.array([right, -down])


def look(cube: SITSCube, table: gpd.GeoDataFrame, tile_px: int = 512) -> Offset:
    return run(estimate_offset(cube, Parcels(table.assign(code=None)), AlignOptions(tile_px=tile_px)))


def with_images(season: Season, change: Callable[[int, NDArray[np.float32]], NDArray[np.float32]]) -> Season:
    """A season whose images went through `change`, date by date."""
    images = np.stack([change(i, image) for i, image in enumerate(season.reflectance.astype(np.float32))])
    return replace(season, reflectance=images.clip(1, 65000).astype(np.uint16))


def lopsided(_: int, image: NDArray[np.float32]) -> NDArray[np.float32]:
    """Blur to one side: three tenths of each pixel come from its eastern neighbour. Edges move west by 3 m."""
    return 0.7 * image + 0.3 * np.roll(image, -1, 2)


def one_far_off(number: int, image: NDArray[np.float32]) -> NDArray[np.float32]:
    """Move one date of the season by 20 m to the east."""
    return moved_image(image, (0, 0, 2), order=1, mode="nearest") if number == 8 else image


def runs(size_px: int, parcel_size: str, seeds: int) -> Iterator[tuple[float, float, float, float, float, bool]]:
    """Yield errors against the land and the mean image (each east, north), the standard error, and whether clear."""
    for seed in range(seeds):
        options = SeasonOptions(
            size_px=size_px, seed=100 + seed, mosaic_seed=200 + seed, parcel_size=parcel_size,  # type: ignore[arg-type]
            outline_jitter_m=5, misdeclared_share=0.03,
        )  # fmt: skip
        season = run(simulate(options))
        cube, image = cube_of(season), image_shift_m(season)
        rng = np.random.default_rng([7, seed])
        for shift in SHIFTS_M:
            angle = rng.uniform(0, 2 * np.pi)
            true = shift * np.array([np.cos(angle), np.sin(angle)])
            began = time.perf_counter()
            offset = look(cube, season.parcels.set_geometry(season.parcels.translate(*true)))
            spent = time.perf_counter() - began
            found = np.array([offset.dx_m, offset.dy_m])
            error, beside = found - true, found - true - image
            print(
                f"{parcel_size:8} seed {seed} moved {true[0]:+6.2f} {true[1]:+6.2f} found {found[0]:+6.2f} "
                f"{found[1]:+6.2f} (sd {offset.sd_x_m:.2f} {offset.sd_y_m:.2f}) off the land "
                f"{error[0]:+5.2f} {error[1]:+5.2f}, off the mean image {beside[0]:+5.2f} {beside[1]:+5.2f} m; "
                f"{offset.parcels} parcels, {'clear' if offset.clear else 'NOT CLEAR'}, {spent:.1f} s",
                flush=True,
            )
            yield (*error, *beside, offset.sd_m, offset.clear)
        trials(season, parcel_size, seed)


def trials(season: Season, parcel_size: str, seed: int) -> None:
    """Print how the offset changes with what is wrong about the images, and what outlines of another place give."""
    plain = look(cube_of(season), season.parcels)
    b = season.grid.boundingbox
    middle = ((b.left + b.right) / 2, (b.bottom + b.top) / 2)
    turned = season.parcels.set_geometry(season.parcels.rotate(77, origin=middle))
    for name, offset in {
        "blur to one side (outlines should seem 3 m farther east)": look(
            cube_of(with_images(season, lopsided)), season.parcels
        ),
        "one date of 16 moved 20 m east": look(cube_of(with_images(season, one_far_off)), season.parcels),
        "no mask": look(cube_of(season, masked=False), season.parcels),
        "tiles of 64 pixels": look(cube_of(season), season.parcels, 64),
        "turned by 77 degrees": look(cube_of(season), turned),
    }.items():
        change = f"{offset.dx_m - plain.dx_m:+.2f} {offset.dy_m - plain.dy_m:+.2f} m" if offset.clear else "not clear"
        tiles = offset.tiles
        known = tiles[tiles["clear"]]
        apart = np.hypot(known["east_m"] - offset.dx_m, known["north_m"] - offset.dy_m)
        more = f"; {len(known)} of {len(tiles)} tiles clear, rms {np.sqrt((apart**2).mean()):.1f} m from the scene's"
        print(f"  {parcel_size} seed {seed}, {name}: {change}{more if len(tiles) > 1 else ''}", flush=True)


def calibration(size_px: int, seeds: int) -> None:
    """Print errors and what standard errors said, for dates that lie exactly on the land."""

    def steady(*how: Any) -> list[Overpass]:
        still = {"shift_m": np.zeros(2), "band_shift_m": np.zeros((10, 2))}
        return [replace(overpass, **still) for overpass in draw_overpasses(*how)]

    with patch("cscl.simulate.season.draw_overpasses", steady):
        for jitter, parcel_size in ((j, p) for j in (0.0, 5.0) for p in ("standard", "small")):
            error, said = np.empty((seeds, 2)), np.empty((seeds, 2))
            for seed in range(seeds):
                season = run(simulate(SeasonOptions(
                    size_px=size_px, seed=300 + seed, mosaic_seed=300 + seed, outline_jitter_m=jitter,
                    parcel_size=parcel_size,
                )))  # fmt: skip
                offset = look(cube_of(season), season.parcels.set_geometry(season.parcels.translate(3.1, -6.4)))
                error[seed], said[seed] = (offset.dx_m - 3.1, offset.dy_m + 6.4), (offset.sd_x_m, offset.sd_y_m)
            print(
                f"dates on the land, outlines {jitter:g} m each by itself, {parcel_size}: mean error "
                f"{error.mean(0).round(2)}, rms {np.sqrt((error**2).mean()):.2f}, said {said.mean():.2f} m, rms of "
                f"error / said {np.sqrt(((error / said) ** 2).mean()):.2f} ({seeds} scenes)",
                flush=True,
            )


def each_by_itself(size_px: int, seeds: int) -> None:
    """Print what is left of a common shift of 10 m and of errors of each outline, when moved back in the three ways."""
    columns = "as given", "scene", "tiles", "parcels"
    for own_m, parcel_size in ((o, p) for o in (0.0, 2.5, 5.0) for p in ("small", "standard", "large")):
        rows = []
        for seed in range(seeds):
            steady = SeasonOptions(
                size_px=size_px, seed=500 + seed, mosaic_seed=700 + seed,
                parcel_size=parcel_size,  # type: ignore[arg-type]
            )  # fmt: skip
            land = run(simulate(steady)).parcels
            season = run(simulate(replace(steady, outline_shift_m=10, outline_jitter_m=own_m)))
            table = season.parcels
            offset = run(estimate_offset(cube_of(season), Parcels(table.assign(code=None)), each=True))
            ways = [table, *(offset.corrected(table, by=by) for by in columns[1:])]  # type: ignore[arg-type]
            error = [rms_m(way, land, image_shift_m(season)) for way in ways]
            rows.append([*error, *map(overlapping, ways), *(right(way, land, season) for way in ways)])
        mean = np.array(rows).mean(0).reshape(3, 4)
        for name, values, unit in zip(
            ("off, rms of one axis", "overlap", "pixels in their parcel"), mean, "m%%", strict=True
        ):
            shown = ", ".join(f"{c} {v:.{1 + (unit == 'm')}f} {unit}" for c, v in zip(columns, values, strict=True))
            print(f"each {own_m:g} m by itself, {parcel_size}, {seeds} scenes, {name}: {shown}", flush=True)


def rms_m(table: gpd.GeoDataFrame, land: gpd.GeoDataFrame, image: NDArray[np.float64]) -> float:
    """How far outlines lie off the mean image, metres."""
    there, here = land.centroid, table.centroid
    east, north = here.x - there.x + image[0], here.y - there.y + image[1]
    return float(np.sqrt((east**2 + north**2).mean() / 2))


def overlapping(table: gpd.GeoDataFrame) -> float:
    """Percent of the area that lies in a second parcel."""
    return 100 * float(1 - table.union_all().area / table.area.sum())


def right(table: gpd.GeoDataFrame, land: gpd.GeoDataFrame, season: Season) -> float:
    """Percent of the pixels of true parcels whose label is that parcel."""
    ids, true = (rasterise(Parcels(t.assign(code=None)), season.grid, Legend(())).parcel_ids for t in (table, land))
    assert ids is not None and true is not None
    return 100 * float((ids == true)[true > 0].mean())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--size-px", type=int, default=256)
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--each", action="store_true")
    args = parser.parse_args()
    print(f"scenes of {args.size_px} pixels, 16 dates; load {os.getloadavg()[0]:.1f}")
    if args.each:
        each_by_itself(args.size_px, args.seeds)
        return
    for parcel_size in ("standard", "small"):
        rows = np.array(list(runs(args.size_px, parcel_size, args.seeds)), float)
        land, image, sd, clear = rows[:, :2], rows[:, 2:4], rows[:, 4], rows[:, 5]
        length = np.hypot(*image.T)
        print(
            f"{parcel_size}: {len(rows)} runs, {int(clear.sum())} clear. Error against the mean image, both axes: "
            f"{image.mean():+.2f} +- {image.std(ddof=1):.2f} m, distance {length.mean():.2f} "
            f"(largest {length.max():.2f}); against the land {land.mean():+.2f} +- {land.std(ddof=1):.2f} m, distance "
            f"{np.hypot(*land.T).mean():.2f} (largest {np.hypot(*land.T).max():.2f}). Standard errors said: "
            f"{sd.mean():.2f} m."
        )
    calibration(args.size_px * 3 // 4, args.seeds)
    print(f"load {os.getloadavg()[0]:.1f}")


if __name__ == "__main__":
    main()
