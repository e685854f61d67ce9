from dataclasses import replace

import geopandas as gpd
import numpy as np
import pytest
import toys
import xarray as xr
from affine import Affine
from shapely.geometry import box

from cscl.errors import GridError
from cscl.grid import make_grid
from cscl.parcels import Parcels
from napari_cscl.bridge import frame, labels_layer, parcels_layer, season_layer
from napari_cscl.composite import Composite, SeasonImage, fitting, pyramid


def test_layers_lie_in_a_local_frame_of_metres() -> None:
    scene = toys.scene()
    east = make_grid((5, 7), Affine(20, 0, 5e5 + 300, 0, -20, 5e6 - 100), "EPSG:32631", "east")
    assert frame(scene.cube.grid) == {"scale": (10, 10), "translate": (5, 5), "units": ("m", "m")}
    assert frame(east, scene.cube.grid)["translate"] == (110, 310)
    other_zone = make_grid((5, 7), Affine(20, 0, 5e5, 0, -20, 5e6), "EPSG:32632", "zone")
    with pytest.raises(GridError, match="gdalwarp"):
        frame(other_zone, scene.cube.grid)


def test_a_season_is_read_date_by_date_and_missing_pixels_are_grey() -> None:
    cube = toys.scene().cube
    image = SeasonImage(cube, Composite(("B08", "B04", "B03")))
    assert image.shape == (6, 64, 64, 3) and image.dtype == np.uint8
    assert not len(image.kept), "nothing is read before it is looked at"
    whole = image[:, 5:60, 3:]
    assert whole.shape == (6, 55, 61, 3) and not len(image.kept), "several dates are a view"
    assert (image[1, :21, :32] == 90).all() and image[1, 40:, 40:].std() > 10
    assert len(image.kept) == 1
    everything = np.asarray(image)
    assert np.array_equal(whole[4], everything[4, 5:60, 3:])
    assert np.array_equal(image[2:4, 5:9, ..., 0], everything[2:4, 5:9, :, 0])
    assert np.array_equal(image[-1, ::3, -1], everything[-1, ::3, -1])


def test_clouds_are_missing_or_seen() -> None:
    cube = toys.scene(gap=False).cube
    clear = np.ones((6, 64, 64), bool)
    clear[2, 10:20, 10:20] = False
    cube = replace(cube, clear=xr.DataArray(clear, dims=("time", "y", "x")))
    composite = Composite(("B08", "B04", "B03"))
    masked, seen = SeasonImage(cube, composite), SeasonImage(cube, composite, masked=False)
    assert (masked[2, 10:20, 10:20] == 90).all() and seen[2, 10:20, 10:20].std() > 5
    assert np.array_equal(masked[3], seen[3]), "the same stretch"


def test_seasons_without_a_usable_pixel_or_with_one_value_have_a_picture() -> None:
    cube = toys.scene(gap=False).cube
    composite = Composite(("B08", "B04", "B03"), natural=True)
    cloudy = replace(cube, clear=xr.DataArray(np.zeros((6, 64, 64), bool), dims=("time", "y", "x")))
    assert (SeasonImage(cloudy, composite)[0] == 90).all() and SeasonImage(cloudy, composite, False)[0].std() > 10
    empty = replace(cube, stored=cube.stored * 0 + toys.NODATA)
    assert (SeasonImage(empty, composite, False)[0] == 90).all()
    flat = replace(cube, stored=cube.stored * 0 + np.uint16(7)).select(times=[0], bands=["B04"])
    assert fitting(flat) and np.asarray(SeasonImage(flat, next(iter(fitting(flat).values())))).shape == (1, 64, 64, 3)


def test_large_scenes_have_levels_that_read_and_keep_little(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("napari_cscl.composite.COARSEST_PX", 70)
    monkeypatch.setattr("napari_cscl.composite.TILE_PX", 32)
    cube = toys.scene(256, gap=False).cube
    levels = pyramid(cube, Composite(("B08", "B04", "B03")))
    assert [level.shape for level in levels] == [(6, 256, 256, 3), (6, 128, 128, 3), (6, 64, 64, 3)]
    assert np.array_equal(levels[2][3], levels[0][3][2::4, 2::4])
    assert np.array_equal(levels[1][:, 20:90, 50:60][5], levels[1][5][20:90, 50:60])
    levels[0].kept._limit = 20_000
    for time in range(6):
        levels[0][time]
    assert levels[0].kept.nbytes <= 20_000 and len(levels[0].kept) == 6, "bounded in bytes, for all levels together"
    data, look, _ = season_layer(cube)
    assert look["multiscale"] and len(data) == 3
    assert not season_layer(toys.scene().cube)[1]["multiscale"]


def test_composites_are_those_that_the_bands_allow() -> None:
    cube = toys.scene().cube
    assert list(fitting(cube)) == ["false colour", "NDVI"]
    assert list(fitting(cube.select(bands=["B03"]))) == ["band B03"]


def test_crops_keep_ids_with_zero_and_gaps_and_have_names() -> None:
    scene = toys.scene()
    data, look, kind = labels_layer(scene.labels)
    assert kind == "labels" and set(np.unique(data)) == {0, 1, 5, 10}
    assert (data == 0).sum() == (scene.labels.ids == 255).sum()
    assert look["features"].set_index("index")["crop"].to_dict() == {1: "grassland", 5: "winter wheat", 10: "maïs"}
    assert season_layer(scene.cube, "NDVI")[1]["translate"] == (0, 5, 5)


def test_a_job_that_makes_layers_colours_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    from napari.utils.colormaps import DirectLabelColormap

    monkeypatch.setattr(DirectLabelColormap, "map", None)  # its parallel loops belong to the window's thread
    labels_layer(toys.scene().labels)


def test_outlines_lie_where_the_polygons_have_them_or_else_on_the_pixels() -> None:
    labels = toys.scene().labels
    by_pixels, _, kind = parcels_layer(labels)
    assert kind == "labels" and 0.1 < by_pixels.mean() < 0.4
    grid = labels.grid
    square = box(*(grid.transform @ (2.25, 5)), *(grid.transform @ (4, 3)))
    table = gpd.GeoDataFrame({"parcel_id": [1], "code": ["a"]}, geometry=[square], crs=str(grid.crs))
    pieces, look, kind = parcels_layer(labels, None, Parcels(table))
    assert kind == "vectors" and len(pieces) == 4
    ends = (pieces[:, 0] + [0.5, 0.5]) * look["scale"]  # metres down and right from the corner of the scene
    assert set(map(tuple, ends.tolist())) == {(30, 22.5), (30, 40), (50, 22.5), (50, 40)}
    assert np.allclose(pieces[:, 0] + pieces[:, 1], np.roll(pieces[:, 0], -1, 0))
