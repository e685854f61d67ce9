"""A part of the images by place and by date: cut to whole pixels, read lazily, refused in sentences."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import geopandas as gpd
import numpy as np
import pytest
from fake_files import DATES, SHAPE, TRANSFORM, stored, write_season, write_tif
from rasterio.warp import transform_bounds
from shapely.geometry import Polygon, box

from cscl.data.readers import ReadOptions, open_cube
from cscl.errors import CSCLError, GridError, InputError, MissingError
from cscl.grid import Window, crop, require_same


def bounds(row: float, col: float, end_row: float, end_col: float) -> tuple[float, float, float, float]:
    """West, south, east and north of some pixels, counted from the outer corner of the first."""
    west, north = TRANSFORM @ (col, row)
    east, south = TRANSFORM @ (end_col, end_row)
    return west, south, east, north


def text(numbers: tuple[float, ...]) -> str:
    return ",".join(repr(float(n)) for n in numbers)


def polygons(path: Path, *shapes: Any, crs: str = "EPSG:32633") -> str:
    gpd.GeoDataFrame(geometry=list(shapes), crs="EPSG:32633").to_crs(crs).to_file(path)
    return str(path)


@pytest.mark.parametrize(
    ("corners", "window"),
    [
        ((2, 3, 7, 9), Window(2, 3, 5, 6)),  # edges of pixels are not widened, whatever the last digits say
        ((2.4, 3.6, 6.1, 8.2), Window(2, 3, 5, 6)),
        ((-5, -5, 3.5, 400), Window(0, 0, 4, SHAPE[1])),
    ],
)
def test_bounds_are_snapped_outward(tmp_path: Path, corners: tuple[float, ...], window: Window) -> None:
    path = write_season(tmp_path)
    cube, whole = open_cube(path, ReadOptions(region=text(bounds(*corners)))), open_cube(path)
    require_same(cube.grid, crop(whole.grid, window), "cut and window")
    np.testing.assert_array_equal(cube.stored.values, stored()[:, :, *window.slices])
    assert cube.clear is None
    assert f"{window.height} x {window.width} of {SHAPE[0]} x {SHAPE[1]} pixels" in cube.notes[-1]


def test_bounds_in_degrees(tmp_path: Path) -> None:
    degrees = transform_bounds("EPSG:32633", "EPSG:4326", *bounds(4.4, 4.4, 8.6, 9.6))
    cube = open_cube(write_season(tmp_path), ReadOptions(region=text(degrees)))
    assert cube.shape == (5, 6)
    assert "Its bounds are degrees" in cube.notes[-1]


@pytest.mark.parametrize("crs", ["EPSG:32633", "EPSG:4326", "EPSG:3035"])
@pytest.mark.parametrize("masked", [False, True])
def test_polygons_of_any_crs(tmp_path: Path, crs: str, masked: bool) -> None:
    path = write_season(tmp_path / "images")
    mask = np.zeros((1, *SHAPE), np.uint8)
    mask[0, :4] = 1
    write_tif(tmp_path / "clouds" / "20210501.tif", mask, None)
    triangle = Polygon([TRANSFORM @ corner for corner in ((2.2, 2.2), (12.2, 2.2), (2.2, 11.2))])
    region = polygons(tmp_path / "r.gpkg", triangle, box(*bounds(900, 900, 901, 901)), crs=crs)
    options = ReadOptions(region=region, mask=str(tmp_path / "clouds") if masked else None)
    cube = open_cube(path, options)
    rows, cols = np.mgrid[: SHAPE[0], : SHAPE[1]] + 0.5
    inside = (cols > 2.2) & (rows > 2.2) & ((cols - 2.2) / 10 + (rows - 2.2) / 9 < 1)
    window = Window(2, 2, 10, 11)
    assert cube.shape == (10, 11)
    expected = np.repeat(inside[None, *window.slices], 4, axis=0)
    expected[1] &= (mask[0, *window.slices] == 0) | (not masked)
    np.testing.assert_array_equal(cube.read()[1], expected)
    np.testing.assert_array_equal(cube.read(Window(3, 2, 4, 5))[1], expected[:, 3:7, 2:7])
    np.testing.assert_array_equal(cube.coarser(3).read()[1], expected[:, 1:9:3, 1:9:3])
    assert cube.clear is not None
    np.testing.assert_array_equal(cube.clear[[2, 1], [7, 0, 3], 2:].values, expected[[2, 1]][:, [7, 0, 3], 2:])
    assert "outside of its polygon are not usable" in cube.notes[-1]


def test_dates_are_chosen_with_both_ends(tmp_path: Path) -> None:
    path = write_season(tmp_path)
    cube = open_cube(path, ReadOptions(first_date="2021-05-01", last_date="20210511"))
    assert [str(d)[:10] for d in cube.dates] == list(DATES[1:3])
    np.testing.assert_array_equal(cube.stored.values, stored()[1:3])
    assert cube.notes[-1] == "2 of 4 dates were chosen, from 2021-05-01 to 20210511."
    assert len(open_cube(path, ReadOptions(first_date="2021-05-02")).dates) == 2
    assert open_cube(path, ReadOptions(last_date="2022-01-01")).notes == open_cube(path).notes


REFUSED: dict[str, tuple[dict[str, str], type[CSCLError], str]] = {
    "elsewhere": ({"region": "1000,2000,3000,4000"}, GridError, r"spans 1000 2000 3000 4000, and they span 465181"),
    "degrees elsewhere": ({"region": "2,48,3,49"}, GridError, "does not touch the images .* EPSG:32633"),
    "beside": ({"region": text(bounds(0, 17, 5, 20))}, GridError, "does not touch"),
    "turned": ({"region": "3,2,1,4"}, InputError, "west, south, east and north"),
    "endless": ({"region": "nan,2,3,4"}, InputError, "is empty"),
    "three numbers": ({"region": "1,2,3"}, MissingError, r"neither a file of polygons .* nor four numbers"),
    "no polygons": ({"region": __file__}, InputError, "cannot be read as parcels"),
    "no dates": ({"first_date": "2022-01-01"}, InputError, r"None of the 4 dates .*2021-04-03 to 2021-07-20"),
    "no date": ({"last_date": "soon"}, InputError, "The last date 'soon' is not a date"),
    "dates turned": ({"first_date": "2021-06-01", "last_date": "2021-05-01"}, InputError, "is after the last one"),
}


@pytest.mark.parametrize("why", REFUSED)
def test_refused_with_a_sentence(tmp_path: Path, why: str) -> None:
    options, kind, sentence = REFUSED[why]
    with pytest.raises(kind, match=sentence):
        open_cube(write_season(tmp_path), ReadOptions(**options))  # type: ignore[arg-type]


def test_polygons_elsewhere_and_without_a_crs(tmp_path: Path) -> None:
    path = write_season(tmp_path / "images")
    around = Polygon(box(*bounds(-50, -50, 60, 60)).exterior, [box(*bounds(-5, -5, 20, 20)).exterior])  # only its hole
    with pytest.raises(GridError, match=r"The region r\.gpkg does not touch the images"):
        open_cube(path, ReadOptions(region=polygons(tmp_path / "r.gpkg", around)))
    gpd.GeoDataFrame(geometry=[around]).to_file(tmp_path / "bare.shp")
    with pytest.raises(GridError, match=r"bare\.shp has no coordinate reference system"):
        open_cube(path, ReadOptions(region=str(tmp_path / "bare.shp")))
