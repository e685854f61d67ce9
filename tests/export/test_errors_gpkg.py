"""Parcels and edges with their errors as a GeoPackage, against slow loops over pixels and the tables they come from."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from xml.etree import ElementTree as ET

import geopandas as gpd
import numpy as np
import pyogrio
import pytest
import rasterio
import shapely
import xarray as xr
from affine import Affine
from fulldisk import full_disk
from scipy import ndimage

from cscl.errors import InputError, OutputError
from cscl.events import Note, Progress, run
from cscl.export import edge_lines, gpkg, pixel_polygons
from cscl.export.draft import draft
from cscl.export.edge_lines import BORDER, GAP, NEAR, OUTLINE, pixel_lines
from cscl.export.errors_gpkg import Rows, export_error_map, export_errors
from cscl.export.pixel_polygons import error_regions, unit_polygons
from cscl.grid import GeoBox
from cscl.inference.explore import ErrorAtlas, explore
from cscl.legend import CropClass, Legend
from cscl.parcels import Parcels, rasterise
from cscl.products import LabelMap, Prediction
from cscl.report.kinds import WRONG, Kind

SHAPE = (43, 57)
GRID = GeoBox(SHAPE, Affine(10, 0, 500_000, 0, -10, 5_000_000), "EPSG:32631")
LEGEND = Legend(
    (
        *(CropClass(i, f"c{i}", f"crop {i}", "#112233") for i in (3, 5, 8)),
        CropClass(9, "b", "Blé «tendre» 小麦", "#445566"),
    )
)
HIGH = 2**31 - 100
CUSTOM = "+proj=laea +lat_0=45.123456789012 +lon_0=7.3 +ellps=GRS80 +units=m"


def atlas_of(labels: LabelMap, seed: int = 1) -> ErrorAtlas:
    """Errors of a map that is shifted by a pixel, with noise."""
    rng = np.random.default_rng(seed)
    ids = np.roll(np.where(labels.ids == 255, 9, labels.ids), 1, axis=1)
    ids = np.where(rng.random(ids.shape) < 0.1, rng.choice([3, 5, 8, 9, 255], ids.shape), ids).astype(np.uint8)
    lazy = [xr.DataArray(a, dims=("y", "x")) for a in (ids, np.where(ids == 255, 255, 200).astype(np.uint8))]
    return run(explore(Prediction(*lazy, labels.grid, labels.legend), labels))


@pytest.fixture(scope="module")
def labels() -> LabelMap:
    """Parcels with ids up to 2**31 - 1, some unknown, with a path between some and a slanting edge."""
    rng = np.random.default_rng(0)
    parcels = np.kron(np.arange(42).reshape(6, 7), np.ones((8, 9), int))[: SHAPE[0], : SHAPE[1]] * 2 + HIGH + 1
    y, x = np.mgrid[: SHAPE[0], : SHAPE[1]]
    parcels = np.where((parcels == HIGH + 17) & (x - 9 > y - 8), HIGH + 18, parcels)
    crop = rng.choice([3, 5, 8, 9, 255], 100, p=[0.3, 0.3, 0.2, 0.1, 0.1]).astype(np.uint8)
    crop[17], crop[18] = 3, 5
    parcels[16] = HIGH
    crop[0] = 255
    ids, numbers = crop[parcels - HIGH], np.where(parcels > HIGH, parcels, 0).astype(np.int32)
    return LabelMap(ids, GRID, LEGEND, numbers, "register")


@pytest.fixture(scope="module")
def atlas(labels: LabelMap) -> ErrorAtlas:
    return atlas_of(labels)


@pytest.fixture(scope="module")
def parcels() -> Parcels:
    """Slanting quadrilaterals that share their borders, in another CRS than the grid, with own columns."""
    rng = np.random.default_rng(3)
    across, down = np.meshgrid(np.linspace(500_000, 500_570, 6), np.linspace(5_000_000, 4_999_570, 5))
    corner = np.stack([across, down], -1) + rng.uniform(-25, 25, (5, 6, 2))
    rings = np.stack([corner[:-1, :-1], corner[:-1, 1:], corner[1:, 1:], corner[1:, :-1]], 2).reshape(-1, 4, 2)
    table = gpd.GeoDataFrame({"parcel_id": np.arange(20) + HIGH}, geometry=list(shapely.polygons(rings)))
    table["code"] = np.array(["c3", "c5", "c8", "b"])[rng.integers(0, 4, 20)]
    table["Wrong"], table["exploitant"] = "mine", "Société d'Été"
    return Parcels(table.set_crs("EPSG:32631").to_crs("EPSG:2154"), "registre.gpkg")


def steps_of(line: shapely.Geometry) -> set[tuple[float, ...]]:
    """Sides of pixels of a line: row and column of the middle of each, in pixels."""
    found = []
    for part in shapely.get_parts(line):
        ends = np.array([~GRID.transform @ tuple(xy) for xy in part.coords])
        for (x0, y0), (x1, y1) in pairwise(ends):
            count = round(abs(x1 - x0) + abs(y1 - y0))
            for i in range(count):
                at = (i + 0.5) / count
                found.append((round(y0 + at * (y1 - y0), 3), round(x0 + at * (x1 - x0), 3)))
    assert len(found) == len(set(found)), "no side is drawn twice"
    return set(found)


def beside(side: tuple[float, ...]) -> list[tuple[int, int]]:
    """Rows and columns of the two pixels that have a side in common."""
    y, x = side
    return [(int(y), int(x)), (int(y) - 1, int(x)) if y % 1 == 0 else (int(y), int(x) - 1)]


def slow_sides(labels: LabelMap) -> dict[tuple[int, int], set[tuple[float, float]]]:
    """Sides that two parcels of known, different class share."""
    found: dict[tuple[int, int], set[tuple[float, float]]] = {}
    units, ids = labels.parcel_ids, labels.ids
    for y in range(SHAPE[0]):
        for x in range(SHAPE[1]):
            for v, u, middle in ((y + 1, x, (y + 1.0, x + 0.5)), (y, x + 1, (y + 0.5, x + 1.0))):
                if v < SHAPE[0] and u < SHAPE[1] and 255 not in (ids[y, x], ids[v, u]) and ids[y, x] != ids[v, u]:
                    pair = tuple(sorted((int(units[y, x]), int(units[v, u]))))
                    found.setdefault(pair, set()).add(middle)
    return found


def test_lines_follow_the_sides_of_pixels(atlas: ErrorAtlas, labels: LabelMap, monkeypatch: pytest.MonkeyPatch) -> None:
    lines, drawn = run(pixel_lines(atlas.edges, atlas.units_YX, labels, 20.0))
    wanted = slow_sides(labels)
    assert set(drawn) == {BORDER, GAP, NEAR}
    for edge, line, how in zip(atlas.edges.itertuples(), lines, drawn, strict=True):
        shared = wanted.get((edge.a, edge.b), set())
        assert len(shared) * 10 == edge.length_m
        if how != NEAR:
            assert shared <= steps_of(line)
            assert all(255 in [labels.ids[p] for p in beside(side)] for side in steps_of(line) - shared)
        assert (how == BORDER) == ((edge.a, edge.b) in wanted)
    monkeypatch.setattr(edge_lines, "STRIP_PX", 5)
    again, how = run(pixel_lines(atlas.edges, atlas.units_YX, labels, 20.0))
    assert np.array_equal(how, drawn)
    assert [steps_of(a) for a in again] == [steps_of(b) for b in lines], "strips change nothing"


def test_lines_run_midway_over_unknown_land(atlas: ErrorAtlas, labels: LabelMap) -> None:
    lines, drawn = run(pixel_lines(atlas.edges, atlas.units_YX, labels, 20.0))
    for edge, line in zip(atlas.edges[drawn == GAP].itertuples(), lines[drawn == GAP], strict=True):
        away = [ndimage.distance_transform_edt(atlas.units_YX != unit) for unit in (edge.a, edge.b)]
        for side in steps_of(line):
            near = [min(d[p] for p in beside(side)) for d in away]
            assert max(near) <= 1.5, "the path is a pixel wide"


def test_lines_behind_a_parcel_of_the_same_crop() -> None:
    units = np.repeat(np.array([[1] * 6 + [2] + [3] * 6], np.int32), 7, axis=0)
    ids = np.where(units == 3, 5, 3).astype(np.uint8)
    grid = GeoBox(units.shape, GRID.transform, GRID.crs)
    atlas = atlas_of(LabelMap(ids, grid, LEGEND, units))
    lines, drawn = run(pixel_lines(atlas.edges, units, atlas.labels, 20.0))
    how = {(e.a, e.b): (line.wkt, d) for e, line, d in zip(atlas.edges.itertuples(), lines, drawn, strict=True)}
    assert set(how) == {(1, 3), (2, 3)}
    assert [d for _, d in how.values()].count(NEAR) == 1 and how[1, 3][1] == NEAR
    border = shapely.LineString([(500_070, 5_000_000), (500_070, 4_999_930)])
    assert all(shapely.from_wkt(wkt).normalize() == border.normalize() for wkt, _ in how.values())


def test_polygons_of_pixels(atlas: ErrorAtlas, monkeypatch: pytest.MonkeyPatch) -> None:
    ids = atlas.parcels["id"].to_numpy()
    for strip in (512, 5):
        monkeypatch.setattr(pixel_polygons, "STRIP_PX", strip)
        shapes = run(unit_polygons(atlas.units_YX, ids))
        burnt = rasterio.features.rasterize(zip(shapes, range(len(ids)), strict=True), SHAPE, fill=-1)
        assert np.array_equal(burnt >= 0, np.isin(atlas.units_YX, ids))
        assert np.array_equal(ids[burnt[burnt >= 0]], atlas.units_YX[burnt >= 0])
        assert [s.area for s in shapes] == [(atlas.units_YX == i).sum() for i in ids] and shapely.is_valid(shapes).all()


@pytest.mark.parametrize(("strip", "least"), [(512, 1), (5, 1), (5, 4)])
def test_regions_of_errors(atlas: ErrorAtlas, strip: int, least: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pixel_polygons, "STRIP_PX", strip)
    kinds, shapes = run(error_regions(atlas.kinds_YX, least))
    wanted = []
    for kind in WRONG:
        found, count = ndimage.label(atlas.kinds_YX == kind)
        sizes = np.bincount(found.ravel())[1 : count + 1]
        wanted += [(int(kind), int(size)) for size in sizes if size >= least]
    assert sorted(zip(kinds.tolist(), shapely.area(shapes).astype(int).tolist(), strict=True)) == sorted(wanted)


def test_the_file_says_what_the_tables_say(atlas: ErrorAtlas, tmp_path: Path) -> None:
    path = run(export_errors(tmp_path / "errors.gpkg", atlas))
    assert [p.name for p in tmp_path.iterdir()] == ["errors.gpkg"]
    assert int.from_bytes(path.read_bytes()[60:64]) == 10200
    for layer, table in (("parcels", atlas.parcels), ("edges", atlas.edges)):
        back = gpd.read_file(path, layer=layer)
        assert back.crs == "EPSG:32631"
        for column in table.columns:
            there = back["parcel_id" if column == "id" else column]
            assert there.fillna(-1).tolist() == table[column].fillna(-1).tolist(), column
        assert back.geometry.notna().all()
    assert atlas.parcels["id"].max() > 2**31 - 20
    assert {"Blé «tendre» 小麦"} & set(back["crop_a"])
    regions = gpd.read_file(path, layer="error_regions")
    assert (regions["pixels"] >= 4).all() and np.allclose(regions.area / 1e4, regions["area_ha"])
    with closing(sqlite3.connect(path)) as db:
        rows = db.execute("SELECT f_table_name, f_geometry_column, useAsDefault, styleQML FROM layer_styles").fetchall()
        schemas = db.execute("SELECT DISTINCT f_table_catalog, f_table_schema FROM layer_styles").fetchall()
    assert schemas == [("", "")] and [r[:3] for r in rows] == [
        (n, "geom", 1) for n in ("parcels", "edges", "error_regions")
    ]
    attributes = [ET.fromstring(r[3]).find("renderer-v2").get("attr") for r in rows]
    assert attributes == ["share_right", "share_wrong", "kind"]


def test_own_polygons_and_smooth_edges(parcels: Parcels, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    atlas = atlas_of(rasterise(parcels, GRID, LEGEND))
    monkeypatch.setattr(gpkg, "CHUNK_ROWS", 7)
    path = run(export_errors(tmp_path / "errors.gpkg", atlas, parcels))
    back = gpd.read_file(path, layer="parcels")
    own = parcels.table.set_index("parcel_id").loc[back["parcel_id"]]
    assert back.crs == "EPSG:2154" and back.geometry.geom_equals_exact(own.geometry.reset_index(drop=True), 0).all()
    assert (
        back["parcel_id"].tolist() == atlas.parcels["id"].tolist()
        and back["wrong"].tolist() == atlas.parcels["wrong"].tolist()
    )
    assert set(back["Wrong_given"]) == {"mine"} and set(back["exploitant"]) == {"Société d'Été"}
    edges = gpd.read_file(path, layer="edges")
    smooth = edges[edges["drawn"] == OUTLINE]
    assert len(smooth) > len(edges) / 2
    here = parcels.table.to_crs("EPSG:32631").set_index("parcel_id").geometry
    for edge in smooth.itertuples():
        border = here[edge.a].boundary.intersection(here[edge.b].boundary.buffer(1e-3))
        assert border.length <= edge.geometry.length + 0.1 and edge.geometry.length <= border.length + 2 * 5 * 1.5
        assert here[edge.a].boundary.distance(edge.geometry) < 1e-6


def test_only_what_is_chosen(atlas: ErrorAtlas, tmp_path: Path) -> None:
    one = atlas.parcels["id"].iloc[3]
    two = [tuple(e) for e in atlas.edges[["a", "b"]].iloc[[5, 2]].to_numpy().tolist()]
    path = run(export_errors(tmp_path / "few.gpkg", atlas, rows=Rows([one], two), region_px=1))
    assert gpd.read_file(path, layer="parcels")["parcel_id"].tolist() == [one]
    edges = gpd.read_file(path, layer="edges")
    assert edges[["a", "b"]].to_numpy().tolist() == atlas.edges[["a", "b"]].iloc[[2, 5]].to_numpy().tolist()
    units = {one, *(i for pair in two for i in pair)}
    wrong = np.isin(atlas.kinds_YX, WRONG) & np.isin(atlas.units_YX, list(units))
    assert gpd.read_file(path, layer="error_regions")["pixels"].sum() == wrong.sum()
    said: list[object] = []
    path = run(export_errors(tmp_path / "edges.gpkg", atlas, rows=Rows([], two), region_px=None), said.append)
    assert [n for n, _ in pyogrio.list_layers(path)] == ["edges", "layer_styles"]
    assert "layer 'parcels'" in next(e.text for e in said if isinstance(e, Note))
    with pytest.raises(InputError, match="no parcel and no edge"):
        run(export_errors(tmp_path / "none.gpkg", atlas, rows=Rows([], [])))


@pytest.mark.parametrize("crs", [CUSTOM, "EPSG:3035"])
def test_one_region_in_a_crs_of_its_own(crs: str, tmp_path: Path) -> None:
    grid = GeoBox((20, 30), Affine(7.1, 1.3, 4321000.1, 1.3, -7.1, 3210000.7), crs)
    labels = LabelMap(np.full((20, 30), 9, np.uint8), grid, LEGEND)
    path = run(export_errors(tmp_path / "one.gpkg", atlas_of(labels)))
    back = gpd.read_file(path, layer="parcels")
    assert back["region_id"].tolist() == [1] and "edges" not in {n for n, _ in pyogrio.list_layers(path)}
    assert rasterio.CRS.from_user_input(back.crs) == rasterio.CRS.from_user_input(str(grid.crs))
    corners = {grid.transform @ corner for corner in ((0, 0), (30, 0), (30, 20), (0, 20))}
    assert np.allclose(sorted(set(back.geometry[0].exterior.coords)), sorted(corners), rtol=0, atol=1e-6)


def test_refusals(atlas: ErrorAtlas, parcels: Parcels, labels: LabelMap, tmp_path: Path) -> None:
    taken = tmp_path / "errors.gpkg"
    taken.write_bytes(b"mine")
    with pytest.raises(OutputError, match="exists already"):
        run(export_errors(taken, atlas))
    with pytest.raises(OutputError, match=r"Call it errors\.gpkg"):
        run(export_errors(tmp_path / "errors.shp", atlas))
    with pytest.raises(OutputError, match="one of the inputs"):
        run(export_errors(taken, atlas, replace(parcels, path=taken), overwrite=True))
    strangers = replace(parcels, table=parcels.table.assign(parcel_id=np.arange(1, 21)))
    with pytest.raises(InputError, match="No polygon of registre"):
        run(export_errors(taken, atlas, strangers, overwrite=True))
    job = export_errors(taken, atlas, overwrite=True)
    for event in job:
        if isinstance(event, Progress) and event.stage == "writing edges":
            break
    job.close()
    assert [p.name for p in tmp_path.iterdir()] == ["errors.gpkg"] and taken.read_bytes() == b"mine"


def test_regions_are_not_taken_for_parcels(labels: LabelMap, parcels: Parcels, tmp_path: Path) -> None:
    """The ids of regions run from 1 like those of many registers."""
    numbered = replace(parcels, table=parcels.table.assign(parcel_id=np.arange(1, 21)))
    path = run(export_errors(tmp_path / "r.gpkg", atlas_of(replace(labels, parcel_ids=None)), numbered))
    back = gpd.read_file(path, layer="parcels")
    assert back.crs == "EPSG:32631" and "region_id" in back and "exploitant" not in back


def test_the_map_of_errors_comes_back(atlas: ErrorAtlas, tmp_path: Path) -> None:
    path = run(export_error_map(tmp_path / "error_map.tif", atlas))
    with rasterio.open(path) as src:
        assert np.array_equal(src.read(1), atlas.kinds_YX) and src.nodata == 0
        assert "#{:02x}{:02x}{:02x}".format(*src.colormap(1)[3][:3]) == WRONG[0].colour
    names = [c.text for c in ET.parse(f"{path}.aux.xml").getroot().iterfind("PAMRasterBand/CategoryNames/Category")]
    assert names[1:] == [kind.title for kind in sorted(Kind) if kind]
    assert sorted(p.name for p in tmp_path.iterdir()) == ["error_map.qml", "error_map.tif", "error_map.tif.aux.xml"]


def test_a_full_disk_is_told_and_leaves_nothing(tmp_path: Path) -> None:
    points = shapely.points(np.arange(3000), np.arange(3000))
    table = gpd.GeoDataFrame({"n": range(3000)}, geometry=shapely.buffer(points, 1), crs="EPSG:32631")

    layers = [gpkg.Layer(name, table, "words", "<qgis/>") for name in ("parcels", "edges")]

    def write(name: str) -> None:
        with draft(tmp_path, name) as folder:
            run(gpkg.write_layers(folder / name, layers))

    write("whole.gpkg")
    size = (tmp_path / "whole.gpkg").stat().st_size
    for share in (0.2, 0.6, 0.97, 0.9995):
        with full_disk(share * size), pytest.raises(OutputError, match="Make room on the disk"):
            write("errors.gpkg")
        assert [p.name for p in tmp_path.iterdir()] == ["whole.gpkg"]
