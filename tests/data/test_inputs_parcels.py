"""Parcels and mappings of their codes: what is accepted, and what is refused with which sentence."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import geopandas as gpd
import numpy as np
import pytest
import shapely
from affine import Affine
from input_table import OPENERS, Line, Made, case, garbage, halved, require_complete, tried, try_line
from shapely.geometry import LineString, MultiPolygon, Point, Polygon, box

from cscl.grid import make_grid
from cscl.mapping import CodeMapping
from cscl.parcels import Parcels, rasterise

X0, Y0 = 465180.0, 5080250.0
GRID = make_grid((12, 15), Affine(10, 0, X0, 0, -10, Y0), "EPSG:32633", "grid")
FIELDS = [box(X0 + 40 * i, Y0 - 40, X0 + 40 * i + 35, Y0) for i in range(3)]
BOW = Polygon([(X0, Y0 - 50), (X0 + 40, Y0 - 90), (X0 + 40, Y0 - 50), (X0, Y0 - 90)])
PARCELS, MAPPINGS = "parcels", "mappings"


def register(
    geometry: Any = None, suffix: str = ".gpkg", crs: Any = "EPSG:32633", read: Any = (), **columns: Any
) -> Callable[[Path], Made]:
    """Make a case of a register; `read` are the arguments of `Parcels.open`."""
    shapes = FIELDS if geometry is None else geometry
    columns = columns or {"crop": ["Weizen", "Rübe", "小麦", "d", "e"][: len(shapes)]}
    told = {"class_column": next(iter(columns)), **dict(read)}

    def make(folder: Path) -> Made:
        table = gpd.GeoDataFrame(columns, geometry=list(shapes), crs=crs)
        path = folder / f"parcels{suffix}"
        table.to_parquet(path) if suffix == ".parquet" else table.to_file(path)
        return path, told

    return make


def as_parcels(made: Made) -> list[str]:
    path, told = made if isinstance(made, tuple) else (made, {})
    parcels = Parcels.open(path, **told)
    rasterise(parcels, GRID, parcels.legend())
    return [*parcels.notes, *parcels.issues["problem"], ", ".join(parcels.codes)]


def as_mapping(made: Made) -> list[str]:
    return [", ".join(CodeMapping.from_csv(*(made if isinstance(made, tuple) else (made,))).classes)]


OPENERS.update({"parcels": as_parcels, "mappings": as_mapping})

IN_DEGREES = gpd.GeoSeries(FIELDS, crs="EPSG:32633").to_crs(4326)
case(PARCELS, "polygons with codes beyond ASCII")(register())
case(PARCELS, "codes that are numbers")(register(crop=[3.0, 1.0, 20.0]))
case(PARCELS, "ids of one's own")(register(crop=list("abc"), pid=["FR-2", "FR-10", "FR-1"], read={"id_column": "pid"}))
case(PARCELS, "rows of one id and crop")(register(crop=list("aab"), pid=[5, 5, 9], read={"id_column": "pid"}))
case(PARCELS, "an empty geometry, a line and a point")(
    register([FIELDS[0], None, LineString([(X0, Y0), (X0 + 9, Y0)]), Point(X0, Y0)], ".parquet")
)
case(PARCELS, "polygons that cross themselves")(register([FIELDS[0], BOW]))
case(PARCELS, "polygons with heights")(register(list(shapely.force_3d(FIELDS, 100.0))))
case(PARCELS, "polygons of several parts")(register([MultiPolygon(FIELDS[:2]), FIELDS[2]]))
case(PARCELS, "lines alone")(register([LineString([(X0, Y0), (X0 + 9, Y0)])]))
case(PARCELS, "no row")(register([], crop=[]))
case(PARCELS, "no such column")(register(read={"class_column": "corp"}))
case(PARCELS, "a class column of dates")(register(crop=["2021-03-01", "2021-03-02", None]))
case(PARCELS, "a class column without a value")(register(crop=[None, None, None], suffix=".parquet"))
case(PARCELS, "some rows without a code")(register(crop=["a", None, "b"]))
case(PARCELS, "no reference system")(register(crs=None, suffix=".parquet"))
case(PARCELS, "no reference system, and --parcels-crs")(
    register(crs=None, suffix=".parquet", read={"crs": "EPSG:32633"})
)
case(PARCELS, "a reference system that is none")(register(read={"crs": "EPSG:99999"}))
case(PARCELS, "metres that are called degrees")(register(crs="EPSG:4326", suffix=".parquet"))
case(PARCELS, "metres that are called degrees, and --parcels-crs")(
    register(crs="EPSG:4326", suffix=".parquet", read={"crs": "EPSG:32633"})
)
case(PARCELS, "degrees that are called metres")(register(IN_DEGREES, ".parquet"))
case(PARCELS, "x and y swapped")(
    register(shapely.transform(IN_DEGREES.array, lambda xy: xy[:, ::-1]), ".parquet", "EPSG:4326")
)
case(PARCELS, "parcels in degrees")(register(IN_DEGREES, ".geojson", "EPSG:4326"))
case(PARCELS, "parcels elsewhere")(register([shapely.affinity.translate(f, 5e4) for f in FIELDS]))
case(PARCELS, "coordinates without end")(register([*FIELDS[:2], Polygon([(X0, Y0), (np.inf, Y0), (X0, np.inf)])]))
case(PARCELS, "no file")(lambda folder: folder / "parcels.gpkg")
case(PARCELS, "a truncated GeoPackage")(lambda folder: halved(register()(folder)[0]))  # type: ignore[index]
case(PARCELS, "a truncated GeoJSON")(lambda folder: halved(register(suffix=".geojson")(folder)[0]))  # type: ignore[index]
case(PARCELS, "a truncated FlatGeobuf")(lambda folder: halved(register(suffix=".fgb")(folder)[0]))  # type: ignore[index]
case(PARCELS, "a truncated GeoParquet")(lambda folder: halved(register(suffix=".parquet")(folder)[0]))  # type: ignore[index]
case(PARCELS, "a file that is none")(lambda folder: garbage(folder / "parcels.gpkg"))
case(PARCELS, "a table without geometry")(
    lambda folder: (folder / "parcels.csv").write_text("crop\n1\n") and folder / "parcels.csv"
)


@case(PARCELS, "a Shapefile without its .shx")
def _(folder: Path) -> Made:
    made = register(suffix=".shp")(folder)
    (folder / "parcels.shx").unlink()
    return made


@case(PARCELS, "a Shapefile without its .dbf")
def _(folder: Path) -> Made:
    made = register(suffix=".shp")(folder)
    (folder / "parcels.dbf").unlink()
    return made


@case(PARCELS, "curves")
def _(folder: Path) -> Made:
    ring = f"{X0} {Y0},{X0 + 40} {Y0},{X0 + 40} {Y0 - 40},{X0} {Y0 - 40},{X0} {Y0}"
    (folder / "curve.csv").write_text(f'crop,WKT\na,"CURVEPOLYGON(CIRCULARSTRING({ring}))"\n')
    path = folder / "curve.vrt"
    path.write_text(
        f'<OGRVRTDataSource><OGRVRTLayer name="curve"><SrcDataSource>{folder / "curve.csv"}</SrcDataSource>'
        '<GeometryField encoding="WKT" field="WKT"/><LayerSRS>EPSG:32633</LayerSRS></OGRVRTLayer></OGRVRTDataSource>'
    )
    return path, {"class_column": "crop"}


def mapping(content: str, encoding: str = "utf-8", level: int | None = None) -> Callable[[Path], Made]:
    """Make a case of a mapping."""

    def make(folder: Path) -> Made:
        (folder / "mapping.csv").write_text(content, encoding=encoding)
        return folder / "mapping.csv" if level is None else (folder / "mapping.csv", level)

    return make


HCAT = "original_code,EC_hcat_n,EC_hcat_c\nWWH,wheat,3301010101\nBAR,barley,3301010401\n"
case(MAPPINGS, "code and class")(mapping("code,class\nWWH,cereal\nBAR,cereal\n"))
case(MAPPINGS, "semicolons, tabs or bars; UTF-16 of spreadsheets")(mapping("code\tclass\n1\tBlé\n2\tMaïs\n", "utf-16"))
case(MAPPINGS, "a table of EuroCrops")(mapping(HCAT))
case(MAPPINGS, "codes without a class")(mapping("code,class\n1,a\n2,\n"))
case(MAPPINGS, "no file")(lambda folder: folder / "mapping.csv")
case(MAPPINGS, "an empty file")(mapping(""))
case(MAPPINGS, "no column of codes")(mapping("crop,class\n1,a\n"))
case(MAPPINGS, "several classes of one code")(mapping("code,class\n1,a\n1,b\n"))
case(MAPPINGS, "rows longer than the first line")(mapping("code,class\n1,a\n1,2,3,4\n"))
case(MAPPINGS, "another encoding than UTF-8")(mapping("code,class\n1,blé\n", "latin-1"))
case(MAPPINGS, "--hcat-level, and classes that are no HCAT codes")(mapping("code,class\n1,a\n", level=3))
case(MAPPINGS, "an HCAT level that does not exist")(mapping(HCAT, level=6))


@tried(PARCELS, MAPPINGS)
@pytest.mark.filterwarnings("ignore")
def test_what_is_said_of_an_input(line: Line, tmp_path: Path) -> None:
    try_line(line, tmp_path)


def test_every_line_has_its_case_and_every_case_its_line() -> None:
    require_complete(PARCELS, MAPPINGS)
