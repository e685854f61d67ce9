"""Parcels come in five formats and all states of repair, and reach the grid by the pixel-centre rule."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import geopandas as gpd
import numpy as np
import pytest
import shapely
from affine import Affine
from shapely.geometry import GeometryCollection, LineString, MultiPolygon, Point, Polygon, box

from cscl.errors import GridError, InputError, MissingError, UnknownNameError
from cscl.grid import make_grid
from cscl.legend import Legend
from cscl.parcels import Parcels, rasterise

X0, Y0 = 465180.0, 5080250.0
GRID = make_grid((12, 15), Affine(10, 0, X0, 0, -10, Y0), "EPSG:32633", "grid")


def field(x0: float, y0: float, x1: float, y1: float) -> Polygon:
    """Rectangle in pixels from the upper left corner of the grid, turned a little so that no edge hits a centre."""
    shape = box(X0 + 10 * x0, Y0 - 10 * y1, X0 + 10 * x1, Y0 - 10 * y0)
    return shapely.affinity.rotate(shape, 7)


FIELDS = [field(1, 1, 5, 6), field(6, 2, 11, 9), field(9, 7, 14, 11)]


def table(geometry: list[Any] = FIELDS, **columns: list[Any]) -> gpd.GeoDataFrame:
    return gpd.GeoDataFrame(columns or {"crop": ["WWH", "BAR", "MAI"]}, geometry=geometry, crs="EPSG:32633")


def saved(data: gpd.GeoDataFrame, folder: Path, suffix: str = ".gpkg") -> Path:
    path = folder / f"parcels{suffix}"
    data.to_parquet(path) if suffix == ".parquet" else data.to_file(path)
    return path


@pytest.mark.parametrize("suffix", [".gpkg", ".geojson", ".shp", ".fgb", ".parquet"])
def test_five_formats(tmp_path: Path, suffix: str) -> None:
    apart = table([*FIELDS[:2], field(1, 8, 5, 11)])  # FlatGeobuf orders its rows by place, so overlaps would differ
    parcels = Parcels.open(saved(apart, tmp_path, suffix), "crop")
    assert parcels.name == f"parcels{suffix}"
    assert len(parcels) == 3
    assert parcels.codes == ["BAR", "MAI", "WWH"]
    assert sorted(parcels.table["parcel_id"]) == [1, 2, 3]
    assert parcels.notes == ("The parcels were numbered 1, 2, 3, ... in file order.",)
    by_code = parcels.table.set_index("code").geometry
    assert by_code["WWH"].hausdorff_distance(FIELDS[0]) < 1e-4
    legend = parcels.legend()
    expected = rasterise(Parcels.open(saved(apart, tmp_path), "crop"), GRID, legend)
    np.testing.assert_array_equal(rasterise(parcels, GRID, legend).ids, expected.ids)


def test_rasterised_by_pixel_centres(tmp_path: Path) -> None:
    parcels = Parcels.open(saved(table(crop=["5", "0", "5"], parcel_id=[70, 8, 9]), tmp_path), "crop")
    labels = rasterise(parcels, GRID, parcels.legend())
    ids, parcel_ids = np.full(GRID.shape, 255), np.zeros(GRID.shape, int)
    for row in range(12):
        for col in range(15):
            centre = Point(X0 + 10 * (col + 0.5), Y0 - 10 * (row + 0.5))
            here = [n for n in range(3) if FIELDS[n].contains(centre)]
            if here:  # the smallest of those that overlap has the pixel, and crops must agree
                parcel_ids[row, col] = (70, 8, 9)[min(here, key=lambda n: FIELDS[n].area)]
            if len({(5, 0, 5)[n] for n in here}) == 1:
                ids[row, col] = (5, 0, 5)[here[0]]
    assert set(np.unique(ids)) == {0, 5, 255}
    np.testing.assert_array_equal(labels.ids, ids)
    np.testing.assert_array_equal(labels.parcel_ids, parcel_ids)
    assert labels.ids.dtype == np.uint8
    assert labels.counts() == {0: (ids == 0).sum(), 5: (ids == 5).sum()}


def test_codes_outside_the_legend_are_unknown_but_still_parcels(tmp_path: Path) -> None:
    parcels = Parcels.open(saved(table(), tmp_path), "crop")
    labels = rasterise(parcels, GRID, Legend.from_codes(["BAR"]))
    assert set(np.unique(labels.ids)) == {1, 255}
    assert set(np.unique(labels.parcel_ids)) == {0, 1, 2, 3}


def test_reprojected_parcels_are_the_same_labels(tmp_path: Path) -> None:
    here = Parcels.open(saved(table(), tmp_path), "crop")
    there = Parcels.open(saved(table().to_crs("EPSG:4326"), tmp_path, ".geojson"), "crop")
    legend = here.legend()
    np.testing.assert_array_equal(rasterise(here, GRID, legend).ids, rasterise(there, GRID, legend).ids)
    np.testing.assert_array_equal(rasterise(here.to_crs(3035), GRID, legend).ids, rasterise(here, GRID, legend).ids)


def test_geometries_are_repaired_or_left_out(tmp_path: Path) -> None:
    x, y = X0 + 20, Y0 - 20
    bow = Polygon([(x, y), (x + 40, y - 40), (x + 40, y), (x, y - 40)])
    spike = Polygon([(x, y - 60), (x + 20, y - 60), (x + 20, y - 80), (x + 99, y - 99), (x + 20, y - 80), (x, y - 80)])
    mixed = GeometryCollection([FIELDS[1], LineString([(X0, Y0), (X0 + 150, Y0 - 120)])])
    shapes = [bow, spike, mixed, LineString([(x, y), (x + 9, y)]), None, Polygon()]
    parcels = Parcels.open(saved(table(shapes, crop=list("abcdef")), tmp_path, ".parquet"), "crop")
    assert parcels.codes == ["a", "b", "c"]
    assert parcels.table.geometry.is_valid.all()
    assert set(parcels.table.geom_type) <= {"Polygon", "MultiPolygon"}
    areas = parcels.table.set_index("code").area
    np.testing.assert_allclose(areas[["a", "b", "c"]], [800, 400, FIELDS[1].area])
    assert parcels.notes[:2] == (
        "2 invalid geometries were repaired.",
        "3 rows without a polygon (empty geometry, points or lines) were left out.",
    )


@pytest.mark.parametrize("suffix", [".gpkg", ".parquet"])
def test_rows_keep_their_number_in_the_file(tmp_path: Path, suffix: str) -> None:
    data = table([FIELDS[0], None, FIELDS[2]], crop=["a", "b", "c"]).set_index(np.array([7, 8, 9]))
    opened = Parcels.open(saved(data, tmp_path, suffix), "crop").table
    assert opened.index.tolist() == [0, 2] and opened["code"].tolist() == ["a", "c"]


def test_multipolygons_are_one_parcel(tmp_path: Path) -> None:
    parcels = Parcels.open(saved(table([MultiPolygon(FIELDS[:2]), FIELDS[2]], crop=["a", "b"]), tmp_path), "crop")
    assert len(parcels) == 2


@pytest.mark.parametrize(
    ("column", "codes", "nulls"),
    [
        ([1.0, None, 20.0], ["1", "20"], 1),
        ([1.5, 2.0, 2.0], ["1.5", "2"], 0),
        ([3, 1, 3], ["1", "3"], 0),
        ([" WWH ", "", None], ["WWH"], 2),
    ],
)
def test_codes_are_text_and_blanks_are_unknown(tmp_path: Path, column: list[Any], codes: list[str], nulls: int) -> None:
    parcels = Parcels.open(saved(table(crop=column), tmp_path), "crop")
    assert parcels.codes == codes
    said = f"{nulls} of 3 parcels have no value in 'crop': they stay unknown."
    assert (said in parcels.notes) == (nulls > 0)


def test_outlines_need_no_codes(tmp_path: Path) -> None:
    parcels = Parcels.open(saved(table(), tmp_path))
    assert parcels.codes == []
    with pytest.raises(InputError, match="no class in the data"):
        parcels.legend()


def test_names_come_from_another_column(tmp_path: Path) -> None:
    data = table(crop=["1", "2", "1"], title=["wheat", "barley", "wheat"])
    assert Parcels.open(saved(data, tmp_path), "crop").legend("title").names == ("wheat", "barley")


def test_ids(tmp_path: Path) -> None:
    path = saved(table(crop=list("abc"), number=[7, 9, 30], twice=[1, 1, 2]), tmp_path)
    assert Parcels.open(path, id_column="number").table["parcel_id"].tolist() == [7, 9, 30]
    with pytest.raises(UnknownNameError, match=r"Unknown column 'corp' in .* Did you mean 'crop'"):
        Parcels.open(path, "corp")


def test_parcels_elsewhere_are_refused(tmp_path: Path) -> None:
    parcels = Parcels.open(saved(table([f.buffer(0) for f in FIELDS]).set_crs(2154, allow_override=True), tmp_path))
    with pytest.raises(GridError, match=r"No parcel of parcels.gpkg lies on the images: the parcels span .*degrees"):
        rasterise(parcels, GRID, Legend.from_codes([1]))


def test_files_that_are_no_parcels(tmp_path: Path) -> None:
    with pytest.raises(MissingError, match="There is no parcel file"):
        Parcels.open(tmp_path / "none.gpkg")
    for name, content in (("a.gpkg", b"nonsense"), ("b.parquet", b"nonsense"), ("c.geojson", b"{")):
        (tmp_path / name).write_bytes(content)
        with pytest.raises(InputError, match=f"{name} cannot be read as parcels"):
            Parcels.open(tmp_path / name)
    with pytest.raises(InputError, match="holds no polygons: all 1 geometries"):
        Parcels.open(saved(table([Point(1, 2)], crop=["a"]), tmp_path))
    bare = gpd.GeoDataFrame({"crop": ["a"]}, geometry=FIELDS[:1])
    with pytest.warns(UserWarning, match="'crs' was not provided"):
        saved(bare, tmp_path, ".shp")
    with pytest.raises(GridError, match=r"has no coordinate reference system.*--parcels-crs"):
        Parcels.open(tmp_path / "parcels.shp")
    with pytest.raises(GridError, match="'EPSG:nought' of the parcels is not understood"):
        Parcels.open(tmp_path / "parcels.shp", crs="EPSG:nought")
    assert Parcels.open(tmp_path / "parcels.shp", crs="EPSG:32633").table.crs.to_epsg() == 32633
