"""Bands and dates as programs write them into GeoTIFFs: descriptions, tags, eo:bands, STAC items."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rasterio
from fake_files import BANDS, DATES, SHAPE, stored, write_tif

from cscl.data.readers import ReadOptions, open_cube
from cscl.errors import InputError

LISTED = [{"name": "B02", "common_name": "blue"}, {"name": "B04"}, {"name": "B8A"}]


def item(name: str, key: str = "eo:bands", **more: Any) -> str:
    assets = {"data": {"href": f"./somewhere/{name}", key: LISTED}, "thumbnail": {"href": "a.png"}}
    return json.dumps({"type": "Feature", "properties": {"datetime": "2021-04-03T10:50:31Z"}, "assets": assets, **more})


@pytest.mark.parametrize(
    "names",
    [
        ("B2", "B4", "B8A"),
        ("B02 (490 nm)", "B04 (665 nm)", "B8A (865 nm)"),
        ("B2, central wavelength 490 nm", "B4, central wavelength 665 nm", "B8A, central wavelength 865 nm"),
        ("S2-L2A-B02", "S2-L2A-B04", "S2-L2A-B8A"),
        ("20210403T105031_20210403T105032_T31UFS_B2", "20210403T105031_20210403T105032_T31UFS_B4", "x_B8A"),
        ("B2_mst_03Apr2021", "B4_mst_03Apr2021", "B8A_mst_03Apr2021"),
    ],
)
def test_numbers_of_bands_are_found_in_descriptions(tmp_path: Path, names: tuple[str, ...]) -> None:
    write_tif(tmp_path / "20210403.tif", stored(1)[0], names)
    assert open_cube(tmp_path).bands == BANDS


@pytest.mark.parametrize("names", [("red", "nir", "Bänder"), ("SR_B2", "SR_B4", "SR_B5"), ("B2", "B02", "ndvi")])
def test_other_names_stay_as_they_are(tmp_path: Path, names: tuple[str, ...]) -> None:
    write_tif(tmp_path / "20210403.tif", stored(1)[0], names)
    assert open_cube(tmp_path).bands == names


@pytest.mark.parametrize(
    ("tags", "where"),
    [
        ({"BAND_1_NAME": "B02", "BAND_2_NAME": "B04", "BAND_3_NAME": "B8A"}, "the tags of the files"),
        ({"Band_1": "B2", "Band_2": "B4", "Band_3": "B8A"}, "the tags of the files"),
        ({"eo:bands": json.dumps(LISTED)}, "the tag eo:bands"),
        ({"bands": "B02,B04,B8A"}, "the tag bands"),
    ],
)
def test_names_in_tags(tmp_path: Path, tags: dict[str, str], where: str) -> None:
    write_tif(tmp_path / "20210403.tif", stored(1)[0], None, tags=tags)
    cube = open_cube(tmp_path)
    assert cube.bands == BANDS and cube.notes == (f"The names of the bands come from {where}.",)


def test_names_in_tags_of_the_bands(tmp_path: Path) -> None:
    path = write_tif(tmp_path / "20210403.tif", stored(1)[0], None)
    with rasterio.open(path, "r+") as out:
        for number, name in enumerate(BANDS, 1):
            out.update_tags(number, BANDNAME=name)
    assert open_cube(tmp_path).bands == BANDS


@pytest.mark.parametrize("key", ["eo:bands", "bands"])
def test_names_and_time_from_a_stac_item(tmp_path: Path, key: str) -> None:
    path = write_tif(tmp_path / "season" / "image.tif", stored(1)[0], None)
    path.with_suffix(".json").write_text(item("image.tif", key))
    for given in (path, path.parent):
        cube = open_cube(given)
        assert cube.bands == BANDS and str(cube.dates[0])[:19] == "2021-04-03T10:50:31"
        np.testing.assert_array_equal(cube.stored.values, stored(1))
    path.with_suffix(".json").write_text(item("image.tif", assets=[1]))
    with pytest.raises(InputError, match="No date is found"):
        open_cube(path.parent)


def test_tags_that_do_not_name_every_band_are_left_alone(tmp_path: Path) -> None:
    write_tif(
        tmp_path / "20210403.tif", stored(1)[0], None, tags={"eo:bands": '["B02"]', "BAND_1": "B02", "bands": "["}
    )
    assert open_cube(tmp_path).bands == ("band_1", "band_2", "band_3")


def test_bands_in_another_order_are_taken_by_name(tmp_path: Path) -> None:
    write_tif(tmp_path / "20210403.tif", stored()[0])
    write_tif(tmp_path / "20210501.tif", stored()[1][[2, 0, 1]], ("B8A", "B2", "B4"))
    cube = open_cube(tmp_path)
    np.testing.assert_array_equal(cube.stored.values, stored()[:2])
    np.testing.assert_array_equal(cube.select(bands=["B04"]).stored.values, stored()[:2, 1:2])
    assert cube.notes == ("The bands of 20210501.tif are in another order, and are taken by their names.",)


@pytest.mark.parametrize("form", ["{date}_{band}", "{plain}T105031_{plain}T105032_T31UFS_{band}", "{band}_slv1_{snap}"])
def test_layers_that_say_date_and_band_need_no_list(tmp_path: Path, form: str) -> None:
    days = [np.datetime64(date).item() for date in DATES]
    order = np.random.default_rng(0).permutation(12)
    names = [
        form.format(date=day, plain=f"{day:%Y%m%d}", snap=f"{day:%d%b%Y}", band=band) for day in days for band in BANDS
    ]
    image = stored().reshape(12, *SHAPE)[order]
    path = write_tif(tmp_path / "season.tif", image, tuple(names[i] for i in order))
    cube = open_cube(path, ReadOptions(bands=BANDS))
    np.testing.assert_array_equal(cube.stored.values, stored())
    assert [str(date)[:10] for date in cube.dates] == list(DATES)
    assert cube.notes == ("Dates and bands come from the descriptions of the layers.",)
    with pytest.raises(InputError, match=r"season.tif holds 4 days in its layers. Open the file itself"):
        open_cube(tmp_path)


def test_layers_that_name_indices(tmp_path: Path) -> None:
    path = write_tif(tmp_path / "a.tif", stored(2, 1)[:, 0], ("2021-04-03_ndvi", "2021-05-01_ndvi"))
    assert open_cube(path).bands == ("ndvi",)


@pytest.mark.parametrize(
    ("names", "sentence"),
    [
        (("2021-04-03_B02", "2021-04-03_B04", "2021-05-01_B02", "2021-05-01_B08"), "2021-05-01T00:00:00 has"),
        (("2021-04-03_B02", "2021-04-03_B02", "2021-05-01_B02", "2021-05-01_B04"), "the layer 2, '2021-04-03_B"),
        (("2021-04-03", "2021-04-13", "2021-05-01", "2021-05-11"), "the layer 1, '2021-04-03', names no band"),
        (("2021-04-03_B02", "2021-04-03_B04", "2021-05-01_B02", "B04"), "nothing says which dates"),
    ],
)  # fmt: skip
def test_layers_that_contradict_each_other(tmp_path: Path, names: tuple[str, ...], sentence: str) -> None:
    path = write_tif(tmp_path / "season.tif", stored(4, 1)[:, 0], names)
    with pytest.raises(InputError, match=sentence):
        open_cube(path)


def test_names_that_every_date_repeats(tmp_path: Path) -> None:
    path = write_tif(tmp_path / "season.tif", stored().reshape(-1, *SHAPE), BANDS * 4)
    assert open_cube(path, ReadOptions(dates=DATES)).bands == BANDS
