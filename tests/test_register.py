"""Registers as they are: codes and ids of any kind, geometry in any state, CRSs that are missing or wrong."""

from __future__ import annotations

import datetime as dt
from decimal import Decimal
from pathlib import Path
from typing import Any

import geopandas as gpd
import numpy as np
import pandas as pd
import pytest
import shapely
from affine import Affine
from shapely.geometry import GeometryCollection, LineString, MultiPolygon, Point, Polygon, box

from cscl.errors import GridError, InputError
from cscl.events import Progress
from cscl.grid import make_grid
from cscl.legend import Legend
from cscl.parcels import Parcels, columns_in, rasterise

X0, Y0 = 465180.0, 5080250.0
GRID = make_grid((12, 15), Affine(10, 0, X0, 0, -10, Y0), "EPSG:32633", "grid")


def field(col: int, row: int, size: int = 3) -> Polygon:
    """Square, in pixels."""
    return box(X0 + 10 * col, Y0 - 10 * (row + size), X0 + 10 * (col + size), Y0 - 10 * row)


FIELDS = [field(0, 0), field(4, 0), field(8, 0), field(0, 5)]


def opened(folder: Path, geometry: Any = None, suffix: str = ".parquet", **columns: Any) -> Parcels:
    """Write a register and open it again."""
    geometry = FIELDS if geometry is None else geometry
    options = {k: columns.pop(k) for k in ("class_column", "id_column", "crs") if k in columns}
    table = gpd.GeoDataFrame(columns or {"crop": range(len(geometry))}, geometry=list(geometry), crs="EPSG:32633")
    path = folder / f"parcels{suffix}"
    table.to_parquet(path) if suffix == ".parquet" else table.to_file(path)
    return Parcels.open(path, options.pop("class_column", None), **options)


@pytest.mark.parametrize(
    ("column", "codes"),
    [
        ([3, 1, 3, 20], ["3", "1", "3", "20"]),
        ([2.0, 1.5, np.nan, np.inf], ["2", "1.5", None, None]),
        ([3301010101.0, 3301010102.0, None, 1.0], ["3301010101", "3301010102", None, "1"]),
        ([" WWH", "\u00a0", None, "2.0"], ["WWH", None, None, "2.0"]),
        ([True, False, True, None], ["True", "False", "True", None]),
        (pd.Categorical([1, 2, 1, None]), ["1", "2", "1", None]),
        (pd.Categorical(["b", "a", "b", None]), ["b", "a", "b", None]),
        (pd.array([1, None, 2, 3], dtype="Int16"), ["1", None, "2", "3"]),
        ([Decimal("2.00"), Decimal("2.5"), None, None], ["2", "2.5", None, None]),
    ],
)
def test_codes_of_any_type_are_text(tmp_path: Path, column: Any, codes: list[Any]) -> None:
    assert opened(tmp_path, crop=column, class_column="crop").table["code"].tolist() == codes


@pytest.mark.parametrize(
    ("column", "words"),
    [
        (pd.to_datetime(["2021-03-01"] * 4), "dates such as 2021-03-01"),
        ([dt.date(2021, 3, 1)] * 4, "dates such as 2021-03-01"),
        (["2021-03-01", None, "2021-04-02", "2021-04-02T10:00:00Z"], "dates such as 2021-03-01"),
        ([b"\x00\x01"] * 4, "bytes such as"),
        ([["a", "b"]] * 4, "lists or the like"),
    ],
)
def test_columns_that_hold_no_codes_are_refused(tmp_path: Path, column: Any, words: str) -> None:
    with pytest.raises(
        InputError, match=rf"The column 'sown' of .*parcels.parquet holds {words}.* Name another column"
    ):
        opened(tmp_path, sown=column, class_column="sown")


@pytest.mark.parametrize("suffix", [".gpkg", ".geojson", ".shp", ".fgb", ".parquet"])
def test_ids_that_are_text_or_large_are_kept_beside_numbers(tmp_path: Path, suffix: str) -> None:
    for ids in (["FR-2", "FR-10", "FR-1", "ä"], [2**40 + 2, 2**40 + 10, 2**40, 2**41]):
        parcels = opened(tmp_path, suffix=suffix, crop=list("abcd"), pid=ids, id_column="pid", class_column="crop")
        assert sorted(parcels.table["parcel_id"]) == [1, 2, 3, 4]
        assert dict(zip(parcels.own_ids, parcels.own_ids.index, strict=True)) == {
            str(own): place for place, own in enumerate(sorted(map(str, ids)), 1)
        }, "numbers follow the order of the ids, not of the file"
        assert set(parcels.table["pid"].astype(str)) == set(map(str, ids)) and "pid" in parcels.columns
        assert parcels.names_of_ids == dict(enumerate(sorted(map(str, ids)), 1))
        assert any("'pid' are not whole numbers from 1 to 2,147,483,647" in note for note in parcels.notes)
        (tmp_path / f"parcels{suffix}").unlink()


def test_columns_called_like_ours_keep_their_values(tmp_path: Path) -> None:
    parcels = opened(tmp_path, crop=list("abcd"), code=list("wxyz"), parcel_id=list("ponm"), class_column="crop")
    assert parcels.table["code"].tolist() == list("abcd") and parcels.table["code_given"].tolist() == list("wxyz")
    assert parcels.table["parcel_id"].tolist() == [4, 3, 2, 1] and parcels.own_ids[4] == "p"
    assert list(parcels.columns) == ["crop", "code", "parcel_id"]
    assert parcels.legend("code").names == ("w", "x", "y", "z")
    plain = opened(tmp_path, crop=list("abcd"), parcel_id=[7, 5, 9, 2**31 - 1], class_column="crop")
    assert plain.table["parcel_id"].tolist() == [7, 5, 9, 2**31 - 1] and "parcel_id_given" not in plain.table
    assert plain.names_of_ids is None


def test_rows_of_one_id(tmp_path: Path) -> None:
    """Rows of one id and crop are one parcel; those of several crops stay apart, and are told of."""
    ids, crops = [5, 5, 9, 9], ["a", "a", "a", "b"]
    parcels = opened(tmp_path, crop=crops, pid=ids, id_column="pid", class_column="crop")
    assert parcels.table["parcel_id"].tolist() == [5, 9, 10] and parcels.table["code"].tolist() == ["a", "a", "b"]
    assert parcels.table.geometry.iloc[0].equals(MultiPolygon(FIELDS[:2]))
    assert parcels.issues[["row", "id"]].to_numpy().tolist() == [[2, "5"], [3, "9"], [4, "9"]]
    assert parcels.issues["problem"][0] == "same id and crop as row 1"
    assert parcels.notes == (
        "1 rows were joined with others of the same id and crop, as parts of one parcel.",
        "2 parcels share an id and differ in crop: each is kept as a parcel of its own.",
        "1 parcels without an id of their own were numbered from 10 up.",
    )
    few = opened(tmp_path, crop=list("aaaa"), pid=[1, 1, 1, None], id_column="pid", class_column="crop")
    assert few.table["parcel_id"].tolist() == [1, 2] and "are not those of parcels" not in few.notes[0]
    same = opened(tmp_path, crop=list("aaaa"), pid=[1, 1, 1, 1], id_column="pid", class_column="crop")
    assert len(same) == 1 and "if the ids are not those of parcels, name another column" in same.notes[0]


def test_issues_name_rows_and_reasons(tmp_path: Path) -> None:
    x, y = X0, Y0 - 80
    bow = Polygon([(x, y), (x + 40, y - 40), (x + 40, y), (x, y - 40)])
    flat = Polygon([(x, y), (x + 40, y), (x, y)])
    mixed = GeometryCollection([field(4, 4), LineString([(X0, Y0), (X0 + 9, Y0)])])
    high = shapely.force_3d(field(8, 4), 100.0)
    shapes = [FIELDS[0], bow, None, Polygon(), Point(x, y), mixed, flat, high]
    parcels = opened(tmp_path, shapes, pid=list("abcdefgh"), id_column="pid")
    assert parcels.table["pid"].tolist() == list("abfh") and not parcels.table.geometry.has_z.any()
    assert parcels.issues[["row", "id", "done"]].to_numpy().tolist() == [
        [2, "b", "repaired"], [3, "c", "left out"], [4, "d", "left out"], [5, "e", "left out"],
        [6, "f", "its polygons were kept"], [7, "g", "left out"],
    ]  # fmt: skip
    problems = parcels.issues["problem"].tolist()
    assert problems[0].startswith("invalid: Self-intersection") and problems[5].startswith("invalid: Too few points")
    assert problems[1:4] == ["no geometry", "an empty geometry", "a Point, not a polygon"]
    assert parcels.notes[0] == "The heights of 1 geometries were dropped."


def test_a_hole_is_a_hole(tmp_path: Path) -> None:
    """The reference takes a polygon with a hole for its hole, and several polygons for the last of them."""
    ring = field(0, 0, 9).difference(field(3, 3))
    shapes = MultiPolygon([ring, field(10, 0, 2)])
    parcels = opened(tmp_path, [shapes], ".gpkg", crop=[1], class_column="crop")
    ids = rasterise(parcels, GRID, parcels.legend()).ids
    expected = np.full((12, 15), 255)
    expected[:9, :9] = expected[:2, 10:12] = 1
    expected[3:6, 3:6] = 255
    np.testing.assert_array_equal(ids, expected)


def test_curves_become_straight_pieces(tmp_path: Path) -> None:
    (tmp_path / "curve.csv").write_text(
        'crop,WKT\n1,"CURVEPOLYGON(CIRCULARSTRING(0 0,4 0,4 4,0 4,0 0))"\n2,"LINESTRING(0 0,1 1)"\n'
    )
    path = tmp_path / "curve.vrt"
    path.write_text(
        f'<OGRVRTDataSource><OGRVRTLayer name="curve"><SrcDataSource>{tmp_path / "curve.csv"}</SrcDataSource>'
        '<GeometryField encoding="WKT" field="WKT"/><LayerSRS>EPSG:32633</LayerSRS></OGRVRTLayer></OGRVRTDataSource>'
    )
    parcels = Parcels.open(path, "crop")
    assert parcels.table.area.tolist() == pytest.approx([8 * np.pi], rel=2e-3)
    assert parcels.issues["problem"].tolist() == ["a LineString, not a polygon"]


def test_a_crs_that_cannot_be_true_is_refused(tmp_path: Path) -> None:
    table = gpd.GeoDataFrame({"crop": [1]}, geometry=FIELDS[:1], crs="EPSG:4326")
    table.to_parquet(path := tmp_path / "parcels.parquet")
    with pytest.raises(
        GridError, match=r"coordinates are degrees \(EPSG:4326\), but they reach 5080250.*--parcels-crs"
    ):
        Parcels.open(path)
    meant = Parcels.open(path, crs="EPSG:32633")
    assert meant.table.crs.to_epsg() == 32633 and "EPSG:4326; EPSG:32633 was taken, as asked" in meant.notes[0]
    assert (rasterise(meant, GRID, Legend(())).parcel_ids == 1).sum() == 9


def test_a_crs_in_words_only(tmp_path: Path) -> None:
    words = (
        'PROJCS["local",GEOGCS["g",DATUM["d",SPHEROID["WGS 84",6378137,298.257223563]],PRIMEM["Greenwich",0],'
        'UNIT["degree",0.0174532925199433]],PROJECTION["Transverse_Mercator"],PARAMETER["latitude_of_origin",0],'
        'PARAMETER["central_meridian",15],PARAMETER["scale_factor",0.9996],PARAMETER["false_easting",500000],'
        'PARAMETER["false_northing",0],UNIT["metre",1]]'
    )
    gpd.GeoDataFrame({"crop": [1]}, geometry=FIELDS[:1], crs=words).to_file(path := tmp_path / "parcels.gpkg")
    parcels = Parcels.open(path, "crop")
    assert parcels.table.crs.to_epsg() is None
    assert (rasterise(parcels, GRID, parcels.legend()).ids == 1).sum() == 9


def test_why_parcels_do_not_lie_on_the_images(tmp_path: Path) -> None:
    degrees = gpd.GeoSeries(FIELDS, crs="EPSG:32633").to_crs(4326)
    swapped = gpd.GeoDataFrame(geometry=shapely.transform(degrees.array, lambda xy: xy[:, ::-1]), crs=4326)
    swapped.to_parquet(path := tmp_path / "parcels.parquet")
    with pytest.raises(GridError, match="With x and y swapped they would lie there"):
        rasterise(Parcels.open(path), GRID, Legend(()))
    gpd.GeoDataFrame(geometry=degrees.set_crs(32633, allow_override=True)).to_parquet(path)
    with pytest.raises(GridError, match="look like degrees: if they are, say so with --parcels-crs EPSG:4326"):
        rasterise(Parcels.open(path), GRID, Legend(()))
    assert (rasterise(Parcels.open(path, crs="EPSG:4326"), GRID, Legend(())).parcel_ids > 0).sum() == 36


def test_opening_says_how_far_it_is(tmp_path: Path) -> None:
    opened(tmp_path)
    events = list(Parcels.opening(tmp_path / "parcels.parquet"))
    assert len(events) == 3 and all(isinstance(event, Progress) for event in events)


@pytest.mark.parametrize("suffix", [".gpkg", ".parquet"])
def test_columns_that_may_hold_the_crop(tmp_path: Path, suffix: str) -> None:
    opened(tmp_path, suffix=suffix, sown=pd.to_datetime(["2021-03-01"] * 4), crop=list("abcd"), area=[1.5] * 4)
    assert columns_in(tmp_path / f"parcels{suffix}") == ["crop", "area"]
