"""Images of other makers in the viewer become the scene: by what their layers say, or by what the user types."""

from __future__ import annotations

from typing import Any

import dask.array as da
import numpy as np
import pytest
import xarray as xr
from affine import Affine
from fake_files import BANDS, DATES, SHAPE, TRANSFORM, stored
from napari.layers import Image
from window import names, press

from cscl.data.xarrays import cube_to_xarray
from cscl.errors import CSCLError
from cscl.grid import make_grid, same
from napari_cscl.fromlayers import LayerFacts, cube_of_layers, image_layers

PLACE = {"crs": "EPSG:32633", "transform": TRANSFORM}
GRID = make_grid(SHAPE, TRANSFORM, "EPSG:32633", "the layers")
FACTS = LayerFacts(DATES, BANDS, "EPSG:32633", 465180.0, 5080250.0, 10.0)


def layer(data: Any = None, name: str = "images", **metadata: Any) -> Image:
    return Image(stored() if data is None else data, name=name, metadata=metadata)


@pytest.mark.parametrize("lazy", [False, True])
def test_one_layer_that_says_all(lazy: bool) -> None:
    values = da.from_array(stored(), chunks=(1, 3, 5, 5)) if lazy else stored()
    cube = cube_of_layers([layer(values, dates=list(DATES), bands=BANDS, **PLACE)], LayerFacts())
    assert cube.bands == BANDS and [str(date)[:10] for date in cube.dates] == list(DATES)
    assert same(cube.grid, GRID) and cube.name == "images"
    np.testing.assert_array_equal(cube.stored.values, stored())


def test_a_layer_a_band_in_any_order_of_dates() -> None:
    layers = [layer(stored()[::-1, i], name, dates=DATES[::-1], **PLACE) for i, name in enumerate(("B2", "B4", "B8A"))]
    cube = cube_of_layers(layers, LayerFacts(scale=1e-3))
    assert cube.bands == BANDS and cube.radiometry.scale == (1e-3,) * 4
    np.testing.assert_array_equal(cube.stored.values, stored())


def test_an_xarray_object_in_a_layer_is_taken_as_it_is() -> None:
    whole = cube_of_layers([layer()], FACTS)
    cube = cube_of_layers([Image(cube_to_xarray(whole, decoded=False).reflectance, name="a")], LayerFacts())
    assert same(cube.grid, whole.grid) and cube.bands == BANDS
    np.testing.assert_array_equal(cube.read()[0], whole.read()[0])


@pytest.mark.parametrize(
    ("layers", "facts", "sentence"),
    [
        ([], LayerFacts(), "No image layer is selected"),
        ([layer(**PLACE)], LayerFacts(), "images has 4 steps and no dates"),
        ([layer(dates=DATES[:2], **PLACE)], LayerFacts(), "4 steps and 2 dates"),
        ([layer(dates=["spring"] * 4, **PLACE)], LayerFacts(), "Write dates like"),
        ([layer(dates=DATES, **PLACE)], LayerFacts(), "images has 3 bands. Name each"),
        ([layer(dates=DATES, bands=BANDS)], LayerFacts(), "does not say where its pixels lie"),
        ([layer(dates=DATES, bands=BANDS)], LayerFacts(crs="EPSG:32633"), "does not say where its pixels lie"),
        ([layer(bands=BANDS, dates=DATES, crs="EPSG:32633", transform=Affine(10, 1, 0, 1, -10, 0))], LayerFacts(),
         "is rotated"),
        ([layer(), layer()], FACTS, "a band each"),
        ([layer(stored()[0, 0])], FACTS, "images has 2 axes"),
    ],
)  # fmt: skip
def test_what_makes_no_season_is_said(layers: list[Image], facts: LayerFacts, sentence: str) -> None:
    with pytest.raises(CSCLError, match=sentence):
        cube_of_layers(layers, facts)


def test_layers_of_ours_and_pictures_are_no_images() -> None:
    ours, picture = layer(cscl={"role": "season"}), Image(np.zeros((4, 5, 6, 3), np.uint8), rgb=True)
    mine = layer()
    assert image_layers([ours, picture, mine]) == [mine]


def test_the_window_asks_for_what_the_layers_do_not_say(dock: Any, qtbot: Any) -> None:
    red, nir = (dock.viewer.add_image(stored()[:, band], name=name) for band, name in ((1, "B04"), (2, "B08")))
    panel = dock.data.from_layers
    assert not panel.form.isVisibleTo(dock.data)
    dock.viewer.layers.selection.clear()
    panel.start.click()
    assert not panel.form.isVisibleTo(dock.data) and "No image layer is selected" in panel.told.text()
    dock.viewer.layers.selection = {nir, red}
    panel.start.click()
    assert panel.form.isVisibleTo(dock.data) and "4 steps and no dates" in panel.told.text()
    panel.form.set(LayerFacts(DATES, None, "EPSG:32633", 465180.0, 5080250.0, 10.0))
    press(dock, qtbot, panel.make)
    cube = dock.session.cube
    assert cube.bands == ("B04", "B08") and str(cube.grid.crs) == "EPSG:32633"
    assert "B04 and B08" in names(dock)
    assert not red.visible and not nir.visible and not panel.form.isVisibleTo(dock.data)
    np.testing.assert_array_equal(cube.stored.values, stored()[:, 1:])


def test_layers_that_say_all_open_at_once(dock: Any, qtbot: Any) -> None:
    dock.viewer.add_image(stored(), name="mine", metadata={"dates": DATES, "bands": BANDS, **PLACE})
    press(dock, qtbot, dock.data.from_layers.start)
    assert same(dock.session.cube.grid, GRID) and isinstance(dock.session.cube.stored, xr.DataArray)
