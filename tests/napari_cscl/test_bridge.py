import numpy as np
import pytest
import toys
from affine import Affine

from cscl.errors import GridError
from cscl.grid import make_grid
from napari_cscl.bridge import frame, labels_layer, parcels_layer, prediction_layer, season_layer
from napari_cscl.composite import Composite, SeasonImage, fitting


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
    assert not image._kept, "nothing is read before it is looked at"
    assert (image[1, :21, :32] == 90).all() and image[1, 40:, 40:].std() > 10
    assert len(image._kept) == 1
    assert np.array_equal(image[2:4, 5:9, ..., 0], np.asarray(image)[2:4, 5:9, :, 0])


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
    outlines = parcels_layer(scene.labels)[0]
    assert 0.1 < outlines.mean() < 0.4 and prediction_layer is not None
