"""The Data panel: what is opened, what is asked, what is refused, and what is left when something is."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import geopandas as gpd
import numpy as np
import pytest
import rasterio
import toys
import xarray as xr
from affine import Affine
from napari.layers import Layer
from rasterio.transform import from_origin
from shapely.geometry import box
from window import finish, names, press

from cscl.cube import SITSCube
from cscl.data.commands import command_of
from cscl.data.sample import sample_season
from cscl.data.warp import warped
from cscl.grid import GeoBox
from cscl.recipe import Recipe
from napari_cscl._panel import open_panel
from napari_cscl._reader import get_reader
from napari_cscl.bridge import labels_layer, season_layer
from napari_cscl.composite import MISSING
from napari_cscl.opening import files_that_open
from napari_cscl.training import run_of

HERE = from_origin(5e5, 5e6, 10, 10)


def write(folder: Path, dates: int = 2, crs: str = "EPSG:32631", transform: Affine = HERE, **bands: Any) -> Path:
    """A folder of small images with a pattern."""
    folder.mkdir(parents=True)
    values = np.arange(20 * 30, dtype=np.uint16).reshape(20, 30) * 5 + 100
    names = bands.get("names", ("B02", "B03", "B04", "B08"))
    for date in range(dates):
        place = {"crs": crs, "transform": transform, "nodata": 65535, "dtype": "uint16"}
        with rasterio.open(folder / f"S2_2021{date + 3:02d}07.tif", "w", "GTiff", 30, 20, len(names), **place) as out:
            out.write(np.stack([bands.get("fill", values + 40 * date)] * len(names)).reshape(-1, 20, 30))
            out.descriptions = names
    return folder


def elsewhere(cube: SITSCube, crs: str = "EPSG:32632") -> SITSCube:
    return replace(warped(cube, cube.grid.to_crs(crs)), name="the neighbour")


@pytest.mark.parametrize("pattern", ["*.zip", "*.nc", "*.tif", "*.json"])
def test_the_dialog_offers_the_files_that_readers_read(pattern: str) -> None:
    assert pattern in files_that_open().split("(")[1].split(")")[0].split()


def test_the_sample_brings_the_panel_and_all_that_belongs_to_it(make_napari_viewer: Any, qtbot: Any) -> None:
    viewer = make_napari_viewer(show=True)
    viewer.open_sample("napari-cscl", "simulated_season")
    dock = open_panel()
    assert open_panel() is dock and dock.viewer is viewer, "one panel, and the viewer itself"
    assert names(dock) == ["season", "crops of parcels.gpkg", "outlines of parcels.gpkg"]
    assert viewer.dims.axis_labels[0] == "time"
    assert viewer.canvas.overlays.text.text == str(dock.session.cube.dates[viewer.dims.current_step[0]])[:10]
    assert dock.session.labels is not None and dock.data.column.currentText() == "crop"
    qtbot.waitUntil(lambda: "Usable" in dock.data.about.text(), timeout=60_000)
    for word in ("16, 2022-12-01 to 2023-10-17", "160 x 160 pixels of 10 m", "74% of the pixels"):
        assert word in dock.data.about.text()
    assert "612 on the images, 615 in the file" in dock.data.about_labels.text()
    dock.data.open_labels(sample_season() / "parcels.gpkg")
    assert "permanent grassland" in dock.viewer.layers[1].features["crop"].to_list()
    viewer.dims.set_current_step(0, 4)
    dock.data.composite.setCurrentText("SWIR")
    dock.data.composite.textActivated.emit("SWIR")
    assert names(dock)[0] == "season" and viewer.dims.current_step[0] == 4, "same place in the list, same date"
    dock.shut()


def test_any_three_bands_and_clouds_as_missing_or_seen(dock: Any) -> None:
    clear = np.ones((6, 64, 64), bool)
    clear[1, 30:, :40] = False
    cube = replace(toys.scene().cube, clear=xr.DataArray(clear, dims=("time", "y", "x")))
    dock.viewer.add_layer(Layer.create(*season_layer(cube)))
    assert not dock.data.chosen_bands.isVisibleTo(dock.data)
    dock.data.composite.setCurrentText("three bands ...")
    dock.data.composite.textActivated.emit("three bands ...")
    assert dock.data.chosen_bands.isVisibleTo(dock.data)
    before = np.asarray(dock.viewer.layers[0].data[3])
    other = next(band for band in cube.bands if band != dock.data.bands[0].currentText())
    dock.data.bands[0].setCurrentText(other)
    dock.data.bands[0].textActivated.emit(other)
    shown = np.asarray(dock.viewer.layers[0].data[3])
    assert not np.array_equal(before[..., 0], shown[..., 0]) and np.array_equal(before[..., 1:], shown[..., 1:])
    assert (np.asarray(dock.viewer.layers[0].data[1])[~clear[1]] == MISSING).all()
    dock.data.masked.click()
    assert np.asarray(dock.viewer.layers[0].data[1])[~clear[1]].std() > 5


def test_images_elsewhere_are_warped_onto_the_scene_and_labels_stay(toy: Any, qtbot: Any) -> None:
    scene = toys.scene()
    toy.viewer.add_layer(Layer.create(*season_layer(elsewhere(scene.cube), "NDVI")))
    qtbot.waitUntil(lambda: bool(toy.data.strays.offer.buttons), timeout=60_000)
    assert toy.session.cube.name == "toy images" and "the neighbour" not in names(toy), "nothing lies in a wrong place"
    assert "EPSG:32632" in toy.data.strays.offer.text.text() and "EPSG:32631" in toy.data.strays.offer.text.text()
    toy.data.strays.offer.buttons[0].click()
    finish(toy, qtbot)
    qtbot.waitUntil(lambda: names(toy) == ["the neighbour", "crops of toy parcels"], timeout=60_000)
    assert toy.session.labels.name == "toy parcels" and toy.session.cube.grid == scene.cube.grid
    assert toy.session.cube.path is None and toy.data.strays.offer.isHidden()
    values, valid = toy.session.cube.read()
    middle = (slice(8, 56), slice(8, 56))
    difference = np.abs(values - scene.cube.read()[0])[:, 0, *middle][valid[:, *middle]]
    assert np.median(difference) < 0.02


def test_images_elsewhere_make_a_new_scene(toy: Any, qtbot: Any, tmp_path: Path) -> None:
    toy.data.open_images(write(tmp_path / "far", crs="EPSG:32633"))
    assert len(toy.data.strays.offer.buttons) == 3 and names(toy) == ["toy images", "crops of toy parcels"]
    toy.data.strays.offer.buttons[0].click()
    finish(toy, qtbot)
    assert "do not touch" in toy.jobbar.status.text() and toy.session.cube.name == "toy images"
    toy.data.open_images(tmp_path / "far")
    toy.data.strays.offer.buttons[1].click()
    qtbot.waitUntil(lambda: names(toy) == ["far"], timeout=60_000)
    assert toy.session.cube.name == "far" and toy.session.labels is None
    assert not toy.data._crops.isVisibleTo(toy.data) and "No parcels" in toy.data.about_labels.text()


def test_labels_of_elsewhere_are_not_shown_and_other_images_of_the_place_keep_its_own(toy: Any, qtbot: Any) -> None:
    moved: GeoBox = toy.session.cube.grid.to_crs("EPSG:32632")
    labels = toys.scene().labels
    there = replace(labels, ids=np.zeros(moved.shape, np.uint8), parcel_ids=None, grid=moved, name="there")
    toy.viewer.add_layer(Layer.create(*labels_layer(there)))
    qtbot.waitUntil(lambda: "Not shown" in toy.jobbar.status.text(), timeout=60_000)
    assert names(toy) == ["toy images", "crops of toy parcels"] and toy.session.labels.name == "toy parcels"
    other = replace(toys.scene(seed=4).cube, name="another season")
    toy.viewer.add_layer(Layer.create(*season_layer(other, "NDVI")))
    qtbot.waitUntil(lambda: names(toy) == ["crops of toy parcels", "another season"], timeout=60_000)
    assert toy.session.cube is other and toy.session.labels.name == "toy parcels"


def test_a_label_raster_elsewhere_is_put_onto_the_grid_on_request(dock: Any, qtbot: Any, tmp_path: Path) -> None:
    dock.data.open_images(write(tmp_path / "images"))
    ids = np.kron([[1, 2, 3], [4, 1, 2]], np.ones((20, 20))).astype(np.uint8)
    with rasterio.open(
        tmp_path / "fine.tif", "w", "GTiff", 60, 40, 1, dtype="uint8", crs="EPSG:32631",
        transform=from_origin(5e5, 5e6, 5, 5),
    ) as out:  # fmt: skip
        out.write(ids, 1)
    dock.data.open_labels(tmp_path / "fine.tif")
    assert dock.session.labels is None and "fine.tif do not lie on the grid" in dock.data.strays.offer.text.text()
    dock.data.strays.offer.buttons[0].click()
    assert np.array_equal(dock.session.labels.ids, ids[1::2, 1::2]) and names(dock)[-1] == "crops of fine.tif"


def test_large_images_open_in_a_job_and_as_levels(
    dock: Any, qtbot: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("napari_cscl.opening.SMALL_BYTES", 10)
    monkeypatch.setattr("napari_cscl.composite.COARSEST_PX", 12)
    dock.data.open_images(write(tmp_path / "large"))
    assert dock.session.cube is None and dock.runner.busy
    finish(dock, qtbot)
    layer = dock.viewer.layers["large"]
    assert layer.multiscale and [level.shape for level in layer.data] == [(2, 20, 30, 3), (2, 10, 15, 3), (2, 5, 7, 3)]
    assert "Usable" not in dock.data.about.text() and dock.data.count.isVisibleTo(dock.data)
    dock.data.count.click()
    finish(dock, qtbot)
    assert "100% of the pixels" in dock.data.about.text() and not dock.data.count.isVisibleTo(dock.data)
    dock.viewer.dims.set_current_step(0, 1)
    qtbot.waitUntil(lambda: bool(layer.loaded), timeout=60_000)
    assert dock.viewer.canvas.overlays.text.text == "2021-04-07"


def test_parcels_without_a_crop_are_outlines(dock: Any, tmp_path: Path) -> None:
    dock.data.open_images(write(tmp_path / "images"))
    shapes = gpd.GeoDataFrame(geometry=[box(5e5 + 20, 5e6 - 100, 5e5 + 120, 5e6 - 20)], crs="EPSG:32631")
    shapes.to_crs("EPSG:4326").to_file(tmp_path / "bare.gpkg")
    dock.data.open_labels(tmp_path / "bare.gpkg")
    assert names(dock) == ["images", "outlines of bare.gpkg"] and "no column with crops" in dock.jobbar.status.text()
    assert dock.session.labels.parcel_ids.max() == 1
    shapes.assign(code=["WHE"]).to_file(tmp_path / "code.gpkg")
    dock.data.open_labels(tmp_path / "code.gpkg")
    assert [c.code for c in dock.session.labels.legend.classes] == ["WHE"]


def test_odd_images_open(dock: Any, qtbot: Any, tmp_path: Path) -> None:
    empty, plain = {"fill": np.full((20, 30), 65535, np.uint16)}, {"dates": 1, "names": ("B04",)}
    for name, images, told in (("empty", empty, "shows a usable pixel"), ("plain", plain, "is open")):
        dock.data.open_images(write(tmp_path / name, **images))
        assert told in dock.jobbar.status.text()
        qtbot.waitUntil(lambda name=name: names(dock) == [name], timeout=60_000)
        assert np.asarray(dock.viewer.layers[0].data[0]).shape == (20, 30, 3)


def test_what_cannot_be_opened_is_a_sentence_and_leaves_nothing(dock: Any, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    broken = write(tmp_path / "broken")
    (broken / "S2_20210907.tif").write_bytes(b"II*\0 nothing follows")
    degrees = write(tmp_path / "degrees", crs="EPSG:4326", transform=from_origin(3, 45, 1e-4, 1e-4))
    for path, told in ((tmp_path / "empty", "holds no GeoTIFFs"), (broken, "S2_20210907.tif"), (degrees, "degrees")):
        dock.act(lambda path=path: dock.data.open_images(path))
        assert told in dock.jobbar.status.text() and "Traceback" not in dock.jobbar.status.text()
        assert dock.session.cube is None and names(dock) == []
    dock.data.open_images(write(tmp_path / "fine"))
    dock.act(lambda: dock.data.open_labels(tmp_path / "none.gpkg"))
    assert "none.gpkg" in dock.jobbar.status.text() and dock.session.labels is None


def test_a_date_that_cannot_be_read_is_missing_and_told_of(
    dock: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = write(tmp_path / "season", dates=3)
    dock.data.open_images(folder)
    whole = (folder / "S2_20210507.tif").read_bytes()
    (folder / "S2_20210507.tif").write_bytes(whole[:600])
    told: list[str] = []
    monkeypatch.setattr("napari.utils.notifications.show_warning", told.append)
    dock.viewer.dims.set_current_step(0, 2)
    assert (np.asarray(dock.viewer.layers[0].data[2]) == MISSING).all()
    assert len(told) == 1 and "S2_20210507.tif" in told[0]


def test_the_reader_tells_of_mistakes_and_takes_parcels(
    dock: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    told: list[str] = []
    monkeypatch.setattr("napari.utils.notifications.show_error", told.append)
    (tmp_path / "empty").mkdir()
    for path in (tmp_path / "empty", sample_season() / "parcels.gpkg"):
        reader = get_reader(str(path))
        assert reader is not None and reader(str(path)) == [(None,)]
    assert "holds no GeoTIFFs" in told[0] and "Open images before" in told[1]
    dock.viewer.open(str(sample_season()), plugin="napari-cscl")
    dock.viewer.open(str(sample_season() / "parcels.gpkg"), plugin="napari-cscl")
    assert names(dock) == ["season", "crops of parcels.gpkg", "outlines of parcels.gpkg"]
    (tmp_path / "text").mkdir()
    (tmp_path / "text" / "a.txt").touch()
    assert get_reader(str(tmp_path / "text")) is None


def test_images_are_read_as_the_form_says(dock: Any, qtbot: Any, tmp_path: Path) -> None:
    folder = write(tmp_path / "near", dates=3)
    reading = dock.data.reading
    reading.widget("first_date").value = "2021-04-01"
    reading.widget("bands").value = "B08, B04"
    dock.act(lambda: dock.data.open_images(folder))
    finish(dock, qtbot)
    cube = dock.session.cube
    assert len(cube.dates) == 2 and cube.bands == ("B08", "B04")
    assert cube.reading == {"first_date": "2021-04-01", "bands": ["B08", "B04"]}
    run = run_of(dock.session, Path("model"), Recipe(), (False, True), None, "auto")
    assert "--first-date=2021-04-01" in command_of(run) and "--bands=B08,B04" in command_of(run)

    reading.more.setChecked(True)
    reading.widget("first_date").value = ""
    reading.widget("region").value = "500050,4999850,500250,4999950"
    assert dock.data.again.isVisibleTo(dock)
    press(dock, qtbot, dock.data.again)
    assert dock.session.cube.shape == (10, 20) and len(dock.session.cube.dates) == 3
    assert names(dock) == ["near"], "the images as they were read before are gone"

    reading.widget("region").value = "1,2"
    press(dock, qtbot, dock.data.again)
    assert "1,2" in dock.jobbar.status.text() and dock.session.cube.shape == (10, 20)
