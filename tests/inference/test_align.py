"""How far outlines lie off the images: seasons whose edges are known, moved by known amounts."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import geopandas as gpd
import numpy as np
import pandas as pd
import pytest
import shapely
import xarray as xr
from affine import Affine
from fake_files import write_tif
from rasterio.features import rasterize
from scipy.ndimage import gaussian_filter, map_coordinates
from scipy.spatial import Delaunay
from shapely import Polygon, box
from shapely.affinity import translate

from cscl.cube import Radiometry, SITSCube
from cscl.errors import GridError, InputError
from cscl.events import run
from cscl.grid import make_grid
from cscl.inference.align import AlignOptions, estimate_offset, offsets_by_date
from cscl.inference.align_files import write_corrected, write_offset
from cscl.inference.offset import Offset
from cscl.metrics.shift_match import EdgeTensor, OutlinePoints, Shifts, match, peaks
from cscl.metrics.shift_own import PRIOR_PX, WEIGHT, noise_of, own_shifts
from cscl.parcels import Parcels

SIZE, FINE, DATES = 96, 5, 4
WEST, NORTH = 600_000.0, 5_050_000.0
QUICK = AlignOptions(tile_px=128)


def land() -> gpd.GeoDataFrame:
    """Triangular parcels whose sides run all ways, some 90 m long, a little apart from each other."""
    rng = np.random.default_rng(1)
    places = rng.uniform(0, SIZE * 10, (260, 2))
    shapes = [Polygon(places[corners]).buffer(-3) for corners in Delaunay(places).simplices]
    shapes = [s for s in shapes if not s.is_empty and s.area > 800]
    columns = {"parcel_id": np.arange(1, len(shapes) + 1), "code": None, "farmer": "né"}
    table = gpd.GeoDataFrame(columns, geometry=shapes, crs="EPSG:32631")
    return table.set_geometry(table.translate(WEST, NORTH - SIZE * 10))


def season(table: gpd.GeoDataFrame) -> SITSCube:
    """What a camera sees of the parcels: blurred, with noise, and half of each of two dates under a mask."""
    rng = np.random.default_rng(2)
    fine = Affine(10 / FINE, 0, WEST, 0, -10 / FINE, NORTH)
    burnt = rasterize(zip(table.geometry, table["parcel_id"], strict=True), (SIZE * FINE,) * 2, transform=fine)
    images = []
    for _ in range(DATES):
        bright = rng.uniform(0.05, 0.4, len(table) + 1)[burnt]
        seen = gaussian_filter(bright, 2.5).reshape(SIZE, FINE, SIZE, FINE).mean((1, 3))
        images.append((seen + rng.normal(0, 0.005, seen.shape)).clip(0.001) * 10_000)
    stored = np.stack(images)[:, None].astype(np.uint16)
    clear = np.ones((DATES, SIZE, SIZE), bool)
    clear[0, :, : SIZE // 2] = clear[1, :, SIZE // 2 :] = False
    stored[:2][~clear[:2, None]] = 9000
    times = np.datetime64("2023-03-01", "ns") + (30 * np.arange(DATES)).astype("timedelta64[D]")
    array = xr.DataArray(stored, dims=("time", "band", "y", "x"), coords={"time": times, "band": ["B04"]})
    grid = make_grid((SIZE, SIZE), Affine(10, 0, WEST, 0, -10, NORTH), "EPSG:32631", "toy")
    mask = xr.DataArray(clear, dims=("time", "y", "x"))
    return SITSCube(array, grid, Radiometry((1e-4,) * DATES, (0.0,) * DATES, None, "toy"), mask)


@pytest.fixture(scope="module")
def table() -> gpd.GeoDataFrame:
    return land()


@pytest.fixture(scope="module")
def cube(table: gpd.GeoDataFrame) -> SITSCube:
    return season(table)


def found(cube: SITSCube, table: gpd.GeoDataFrame, options: AlignOptions = QUICK) -> Offset:
    return run(estimate_offset(cube, Parcels(table), options))


@pytest.mark.parametrize("shift", [(0.0, 0.0), (7.3, -2.1), (-12.4, 16.8)])
def test_finds_the_shift_to_a_tenth_of_a_pixel(
    cube: SITSCube, table: gpd.GeoDataFrame, shift: tuple[float, float]
) -> None:
    offset = found(cube, table.set_geometry(table.translate(*shift)))
    assert offset.clear, offset.reason
    assert (offset.dx_m, offset.dy_m) == pytest.approx(shift, abs=1.0)
    assert 0 < offset.sd_m < 1.0
    best = np.unravel_index(offset.score.argmax(), offset.score.shape)
    assert 10 * offset.shifts_px[best[1]] == pytest.approx(shift[0], abs=3)
    assert -10 * offset.shifts_px[best[0]] == pytest.approx(shift[1], abs=3)


def test_says_where_the_outlines_lie(cube: SITSCube, table: gpd.GeoDataFrame) -> None:
    offset = found(cube, table.set_geometry(table.translate(-9, 14)))
    assert "m west and" in offset.words and "m north of the edges in the images" in offset.words


def test_reprojected_outlines_give_the_same(cube: SITSCube, table: gpd.GeoDataFrame) -> None:
    here, there = found(cube, table), found(cube, table.to_crs("EPSG:4326"))
    assert (there.dx_m, there.dy_m) == pytest.approx((here.dx_m, here.dy_m), abs=1e-3)


def test_tiles_add_up_to_the_scene(cube: SITSCube, table: gpd.GeoDataFrame) -> None:
    moved = table.set_geometry(table.translate(6, 4))
    whole, cut = found(cube, moved), found(cube, moved, AlignOptions(tile_px=48))
    assert len(cut.tiles) == 4 and cut.parcels == whole.parcels
    assert (cut.dx_m, cut.dy_m) == pytest.approx((whole.dx_m, whole.dy_m), abs=0.3)


def test_corrected_outlines_fit(cube: SITSCube, table: gpd.GeoDataFrame) -> None:
    moved = table.set_geometry(table.translate(8, -5)).to_crs("EPSG:4326").set_index(np.arange(len(table)) + 7)
    offset = found(cube, moved)
    back = offset.corrected(moved)
    assert list(back.columns) == list(moved.columns) and back.crs == moved.crs and back.index.equals(moved.index)
    assert back.drop(columns="geometry").equals(moved.drop(columns="geometry"))
    apart = back.to_crs("EPSG:32631").hausdorff_distance(table.set_index(back.index))
    expected = np.hypot(offset.dx_m - 8, offset.dy_m + 5)
    assert apart.max() == pytest.approx(expected, abs=1e-3) and expected < 1


def test_a_shift_that_changes_over_the_scene_is_followed(cube: SITSCube, table: gpd.GeoDataFrame) -> None:
    east = np.where(table.centroid.x < WEST + SIZE * 5, -8.0, 8.0)
    shapes = [translate(shape, move) for shape, move in zip(table.geometry, east, strict=True)]
    moved = table.set_geometry(gpd.GeoSeries(shapes, crs=table.crs))
    offset = found(cube, moved, AlignOptions(tile_px=48))
    assert offset.tiles["smooth_east_m"].tolist() == pytest.approx([-8, 8, -8, 8], abs=2)
    assert offset.spread_m > 4
    x = np.array([WEST, WEST + SIZE * 5, WEST + SIZE * 10])
    there, _ = offset.at(x, np.full(3, NORTH - 400.0), by_tile=True)
    assert there == pytest.approx([-8, 0, 8], abs=2)


def test_dates_that_lie_apart_are_told(cube: SITSCube, table: gpd.GeoDataFrame) -> None:
    stored = cube.stored.copy(deep=True)
    stored[2] = np.roll(stored[2].values, 1, axis=2)  # looks 10 m farther east, so the outlines lie farther west
    dates = run(offsets_by_date(replace(cube, stored=stored), Parcels(table), QUICK))
    assert dates["date"].tolist()[2:] == ["2023-04-30", "2023-05-30"] and dates["clear"][2:].all()
    assert dates["east_m"][2:].tolist() == pytest.approx([-10, 0], abs=1.5)


def test_heights_stay(cube: SITSCube, table: gpd.GeoDataFrame) -> None:
    offset = found(cube, table)
    high = table.set_geometry(table.force_3d(42.0))
    back = offset.corrected(high)
    assert back.has_z.all() and {p[2] for p in back.geometry.iloc[0].exterior.coords} == {42.0}
    assert back.geometry.iloc[0].equals_exact(offset.corrected(table).geometry.iloc[0], 1e-9)


def test_rows_without_a_polygon_and_other_names_of_the_geometry_stay(cube: SITSCube, table: gpd.GeoDataFrame) -> None:
    odd = table.rename_geometry("shape").astype({"parcel_id": "Int64"})
    odd.loc[3, "shape"] = None
    back = found(cube, table).corrected(odd)
    assert back.geometry.name == "shape" and list(back.columns) == list(odd.columns) and len(back) == len(odd)
    assert back["shape"].isna().sum() == 1 and back.dtypes.equals(odd.dtypes)


def test_outlines_of_another_place_are_not_clear(cube: SITSCube, table: gpd.GeoDataFrame) -> None:
    turned = table.set_geometry(table.rotate(77, origin=(WEST + SIZE * 5, NORTH - SIZE * 5)))
    offset = found(cube, turned)
    assert not offset.clear and "no shift fits clearly better" in offset.reason and "m east" not in offset.words
    with pytest.raises(InputError, match="left where they are"):
        offset.corrected(turned)


def test_few_outlines_are_not_clear(cube: SITSCube, table: gpd.GeoDataFrame) -> None:
    offset = found(cube, table.iloc[:9])
    assert not offset.clear and "at least 20 are needed" in offset.reason


def test_a_shift_beyond_the_search_is_not_clear(cube: SITSCube, table: gpd.GeoDataFrame) -> None:
    moved = table.set_geometry(table.translate(26, 0))
    assert not found(cube, moved, AlignOptions(tile_px=128, search_m=20)).clear
    assert found(cube, moved, AlignOptions(tile_px=128, search_m=40)).dx_m == pytest.approx(26, abs=1)


def test_outlines_elsewhere_are_refused(cube: SITSCube, table: gpd.GeoDataFrame) -> None:
    with pytest.raises(GridError, match="No parcel"):
        found(cube, table.set_geometry(table.translate(50_000, 0)))


def test_the_score_is_that_of_slow_loops() -> None:
    rng = np.random.default_rng(0)
    tensor = rng.normal(size=(3, 24, 20)).astype(np.float32)
    place, angle = rng.uniform(6, 13, (30, 2)), rng.uniform(0, np.pi, 30)
    normal, length, parcel = np.stack([np.sin(angle), np.cos(angle)], 1), rng.uniform(0.2, 1, 30), np.arange(30) % 4 * 5
    shifts = Shifts(4)
    names, score = match(tensor, OutlinePoints(place, normal, length, parcel), shifts)
    assert names.tolist() == [0, 5, 10, 15]
    slow = np.zeros_like(score)
    for (r, c), (ny, nx), weight, own in zip(place, normal, length, parcel, strict=True):
        for i, down in enumerate(shifts.px):
            for j, right in enumerate(shifts.px):
                yy, yx, xx = (map_coordinates(t, [[r + down], [c + right]], order=1)[0] for t in tensor)
                slow[own // 5, i, j] += weight * (ny * ny * yy + 2 * ny * nx * yx + nx * nx * xx)
    np.testing.assert_allclose(score, slow, atol=1e-5)


def test_points_that_a_shift_would_take_off_the_tile_are_left_out_for_all() -> None:
    points = OutlinePoints(np.array([[2.9, 9.0], [9.0, 9.0]]), np.array([[1.0, 0]] * 2), np.ones(2), np.array([3, 8]))
    names, _ = match(np.ones((3, 20, 20), np.float32), points, Shifts(4))
    assert names.tolist() == [8]


def test_the_top_of_a_hill_is_found_between_the_shifts() -> None:
    shifts = Shifts(6)
    y, x = np.meshgrid(shifts.px, shifts.px, indexing="ij")
    hill = -((y - 0.31) ** 2) - 2 * (x + 1.17) ** 2 + (y - 0.31) * (x + 1.17)
    top, inside = peaks(np.stack([hill, y, -hill]), shifts)
    assert top[0] == pytest.approx([0.31, -1.17]) and inside.tolist() == [True, False, False]


def test_edges_under_a_mask_do_not_count() -> None:
    image = np.zeros((1, 12, 12), np.float32)
    image[:, :, 6:] = 1
    image += np.random.default_rng(0).normal(0, 0.01, image.shape).astype(np.float32)
    valid = np.ones((12, 12), bool)
    valid[:6] = False
    tensor = EdgeTensor((12, 12))
    tensor.add(image, valid)
    yy, _, xx = tensor.mean()
    assert not yy[:7].any() and not xx[:7].any()
    assert xx[8, 5] > 5 * abs(yy[8, 5]) and xx[8, 5] > 5 * xx[8, 2]


def test_the_command_moves_outlines_back_and_says_by_how_much(
    tmp_path: Path, table: gpd.GeoDataFrame, capsys: pytest.CaptureFixture[str]
) -> None:
    from cscl.cli import main

    season_folder, out, report = tmp_path / "season", tmp_path / "corrected.gpkg", tmp_path / "report"
    cube = season(table)
    for number, date in enumerate(cube.dates):
        write_tif(
            season_folder / f"S2_{str(date)[:10].replace('-', '')}.tif", cube.stored[number].values, ("B04",),
            transform=cube.grid.transform, crs="EPSG:32631", scale=1e-4, nodata=9000,
        )  # fmt: skip
    given = table.drop(columns=["parcel_id", "code"]).assign(Code=range(len(table)), empty=None)
    given.set_geometry(given.translate(8, -5)).to_crs("EPSG:4326").to_file(tmp_path / "given.gpkg")
    words = ["align", str(season_folder), str(tmp_path / "given.gpkg"), str(out), "--report", str(report), "--quiet"]
    assert main(words) == 0
    assert "m east and" in capsys.readouterr().out and (report / "index.html").is_file()
    before, after = (gpd.read_file(path) for path in (tmp_path / "given.gpkg", out))
    assert after.crs == before.crs and after.drop(columns="geometry").equals(before.drop(columns="geometry"))
    assert after.to_crs("EPSG:32631").hausdorff_distance(table.geometry).max() < 1
    assert main(words) == 2 and main([*words, "--overwrite"]) == 0


def test_nothing_is_written_where_the_offset_is_not_clear(
    cube: SITSCube, table: gpd.GeoDataFrame, tmp_path: Path
) -> None:
    few = table.iloc[:9]
    few.to_file(tmp_path / "few.gpkg")
    offset = found(cube, few)
    with pytest.raises(InputError, match="not clear"):
        run(write_corrected(offset, tmp_path / "few.gpkg", tmp_path / "out.gpkg"))
    assert sorted(p.name for p in tmp_path.iterdir()) == ["few.gpkg"]
    run(write_offset(offset, tmp_path / "report"))
    assert "The figures mean nothing" in (tmp_path / "report" / "offset.md").read_text(encoding="utf-8")


def test_each_parcel_is_moved_back_by_its_own_error(cube: SITSCube, table: gpd.GeoDataFrame) -> None:
    apart = np.random.default_rng(1).normal(0, 5, (len(table), 2))
    shapes = [translate(shape, 8 + x, y - 5) for shape, (x, y) in zip(table.geometry, apart, strict=True)]
    moved = table.set_geometry(gpd.GeoSeries(shapes, crs=table.crs)).set_index(np.arange(len(table)) * 3 + 7)
    offset = run(estimate_offset(cube, Parcels(moved), QUICK, each=True))
    assert offset.own is not None and offset.own.index.isin(moved.index).all()
    assert 3 < offset.own_m < 5 and "Each by itself fits best another" in offset.words
    off = {}
    for by in ("scene", "parcels"):
        back = offset.corrected(moved, by=by).geometry.reset_index(drop=True)  # type: ignore[arg-type]
        dx, dy = back.centroid.x - table.centroid.x, back.centroid.y - table.centroid.y
        off[by] = float(np.sqrt((dx**2 + dy**2).mean() / 2))
    assert off["scene"] == pytest.approx(5, abs=0.6) and off["parcels"] < 0.65 * off["scene"]


def test_neighbours_that_touch_still_do_when_each_is_moved_by_itself(cube: SITSCube, table: gpd.GeoDataFrame) -> None:
    offset = run(estimate_offset(cube, Parcels(table), QUICK, each=True))
    squares = [box(WEST + x, NORTH - y - 60, WEST + x + 60, NORTH - y) for x in (0, 60, 120) for y in (0, 60, 120)]
    touching = gpd.GeoDataFrame(geometry=squares, crs=table.crs)
    own = pd.DataFrame(np.random.default_rng(2).normal(0, 4, (9, 2)), touching.index, ["east_m", "north_m"])
    back = replace(offset, own=own).corrected(touching, by="parcels")
    assert back.union_all().geom_type == "Polygon" and not back.union_all().interiors
    assert back.union_all().area == pytest.approx(back.area.sum(), rel=1e-9)
    corner = shapely.get_coordinates(back.geometry[0]) - shapely.get_coordinates(offset.corrected(touching).geometry[0])
    outer = np.linalg.norm(corner + own.loc[0].to_numpy(), axis=1).argmin()
    assert corner[outer] == pytest.approx(-own.loc[0].to_numpy(), abs=0.01), "a vertex of its own moves as the parcel"
    with pytest.raises(InputError, match="each=True"):
        replace(offset, own=None).corrected(table, by="parcels")


def test_own_shifts_weigh_scores_against_the_common_shift() -> None:
    shifts, rng = Shifts(6), np.random.default_rng(0)
    tops, common = rng.uniform(-1, 1, (5, 2)), np.tile([0.4, -0.2], (5, 1))
    strong = np.array([0.0, 1.0, 4.0, 16.0, 400.0])
    off = (shifts.px[:, None, None] - tops[:, 0], shifts.px[None, :, None] - tops[:, 1])
    score = np.moveaxis(-strong * (off[0] ** 2 + off[1] ** 2), -1, 0)
    found = own_shifts(score.astype(np.float32), np.full(5, 16.0), common, 2.0, shifts)
    share = WEIGHT * strong[:, None] / 8  # of the noise and the root of the length
    weight = share / (share + 1 / (2 * PRIOR_PX**2))
    np.testing.assert_allclose(found, weight * tops + (1 - weight) * common, atol=1e-4)


def test_the_noise_is_that_of_shifts_that_fit_nobody() -> None:
    shifts, rng = Shifts(8), np.random.default_rng(0)
    length = rng.uniform(4, 90, 400)
    score = np.sqrt(length)[:, None, None] * rng.normal(0, 3, (400, 17, 17)) + length[:, None, None]
    score[:, 7:10, 7:10] += 1000
    common = np.zeros((400, 2))
    assert noise_of(score.astype(np.float32), length, common, shifts) == pytest.approx(3, rel=0.02)
