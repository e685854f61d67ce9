"""STAC items of Sentinel-2: what each catalogue calls bands and how it shifts values, what is read, what is refused."""

from __future__ import annotations

import json
import shutil
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rasterio
from fake_stac import CORNER, CRS, DAYS, NAMES, item, stored, write_collection, write_images

from cscl.data.describe import describe
from cscl.data.readers import ReadOptions, open_cube
from cscl.data.readers._stac_addresses import address, unsigned
from cscl.data.scenes import LabelOptions, open_parcels
from cscl.data.stac import is_stac
from cscl.errors import InputError, MissingError

pytest.importorskip("odc.stac")

BANDS = ("B02", "B04", "B8A")
FLAG = "earthsearch:boa_offset_applied"
# Catalogue, day, baseline, whether the stored values are shifted, further properties.
IMAGES: dict[str, tuple[str, str, str, bool, dict[str, Any]]] = {
    "earth-search, old": ("earth-search", DAYS[0], "03.00", False, {}),
    "earth-search, shifted back": ("earth-search", DAYS[1], "05.00", False, {FLAG: True}),
    "earth-search, as made": ("earth-search", DAYS[2], "05.10", True, {FLAG: False}),
    "earth-search, collection 1": ("earth-search", DAYS[2], "05.10", True, {}),
    "planetary-computer, old": ("planetary-computer", DAYS[0], "03.00", False, {}),
    "planetary-computer, reprocessed": ("planetary-computer", DAYS[0], "05.00", True, {}),
    "cdse, new": ("cdse", DAYS[2], "05.10", True, {}),
    "cdse, old": ("cdse", DAYS[0], "02.14", False, {}),
}


def write_item(folder: Path, name: str) -> dict[str, Any]:
    """Write the images of a case, and return the item of it with relative paths."""
    catalogue, day, baseline, shifted, properties = IMAGES[name]
    paths = write_images(folder / name.replace(", ", "_").replace(" ", "_"), day, shifted)
    hrefs = {band: f"./{path.relative_to(folder)}" for band, path in paths.items()}
    return item(catalogue, day, hrefs, baseline, **properties)


@pytest.fixture
def made(tmp_path: Path) -> dict[str, Any]:
    """Item of an old image whose files lie in `tmp_path`."""
    return write_item(tmp_path, "planetary-computer, old")


@pytest.mark.parametrize("name", IMAGES)
def test_reflectance_is_the_same_whoever_delivers_it(tmp_path: Path, name: str) -> None:
    _, day, baseline, shifted, _ = IMAGES[name]
    (tmp_path / "item.json").write_text(json.dumps(write_item(tmp_path, name)))
    cube = open_cube(tmp_path / "item.json")
    assert cube.bands == BANDS
    assert (str(cube.grid.crs), tuple(cube.shape)) == (CRS, (24, 24))
    assert tuple(cube.grid.transform)[2:6:3] == CORNER
    assert cube.dates == np.datetime64(f"{day}T10:50:31.024", "ns")
    reflectance, valid = cube.read()
    assert not valid[0, 0, 0] and not valid[0, 2, 20] and valid[0, 20, 2]  # missing, a cloud, clear
    expected = np.stack([stored(band, day) for band in BANDS[:2]]) * 1e-4
    np.testing.assert_allclose(reflectance[0, :2, valid[0]], expected[:, valid[0]].T, atol=1e-6)
    assert cube.acquisitions is not None
    origin = cube.acquisitions[0]
    assert (origin.satellite, origin.level, origin.orbit, origin.tile) == ("S2B", "L2A", 51, "31UFS")
    assert (origin.baseline, origin.shifted) == (baseline, shifted)
    assert ("negative" in " ".join(cube.notes)) == (name == "earth-search, as made")


def test_a_season_of_items_is_a_cube_in_every_form(tmp_path: Path) -> None:
    names = ["planetary-computer, old", "earth-search, shifted back", "cdse, new"]
    items = [write_item(tmp_path, name) for name in names]
    whole = open_cube(write_collection(tmp_path / "season.json", items[::-1]))
    assert [str(date)[:10] for date in whole.dates] == list(DAYS)
    assert whole.radiometry.offset == (0.0, 0.0, -0.1)
    assert {a.provider for a in whole.acquisitions or ()} == {
        "Planetary Computer", "Earth Search", "Copernicus Data Space",
    }  # fmt: skip
    for name, told in zip("abc", items, strict=True):
        (tmp_path / f"{name}.json").write_text(json.dumps(told))
    (tmp_path / "season.json").unlink()
    links = [{"rel": "item", "href": f"./{name}.json"} for name in "abc"]
    collection = {"type": "Collection", "stac_version": "1.0.0", "id": "season", "links": links}
    for form in ("folder", "collection.json", "catalog.json"):
        if form != "folder":
            links.append({"rel": "child", "href": f"./{form}"})  # which leads in a circle
            collection["type"] = form.removesuffix(".json").capitalize()
            (tmp_path / form).write_text(json.dumps(collection))
        cube = open_cube(tmp_path if form == "folder" else tmp_path / form)
        for of_cube, of_whole in zip(cube.read(), whole.read(), strict=True):
            np.testing.assert_array_equal(of_cube, of_whole)


def test_opening_reads_no_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    hrefs = {band: f"https://example.org/a b/{band}.tif?x=1&y=2" for band in NAMES["cdse"]}
    items = [item("cdse", f"2021-06-{day:02}", hrefs, "05.10") for day in range(1, 21)]
    monkeypatch.setattr(rasterio, "open", lambda *_, **__: pytest.fail("a file was opened"))
    cube = open_cube(write_collection(tmp_path / "c.json", items), ReadOptions(bands=("B8A", "B02")))
    assert cube.stored.shape == (20, 2, 24, 24)


def test_without_the_place_headers_say_it(tmp_path: Path, made: dict[str, Any]) -> None:
    for asset in made["assets"].values():
        asset.pop("proj:transform", None)
    cube = open_cube(write_collection(tmp_path / "c.json", [made]))
    assert tuple(cube.grid.transform)[2:6:3] == CORNER
    np.testing.assert_array_equal(cube.stored[0, 1].values, stored("B04", DAYS[0]))


def test_the_finest_and_freest_of_several_assets_is_taken(tmp_path: Path, made: dict[str, Any]) -> None:
    best = made["assets"]["B02"]
    coarse = {**made["assets"]["B8A"], "href": "nowhere.tif"}
    made["assets"] = {
        "B02_20m": coarse, "blue-jp2": {**best, "href": "s3://bucket/B02.jp2", "eo:bands": [{"name": "blue"}]},
        **made["assets"],
    }  # fmt: skip
    cube = open_cube(write_collection(tmp_path / "c.json", [made]))
    np.testing.assert_array_equal(cube.stored[0, 0].values, stored("B02", DAYS[0]))


def test_one_file_may_hold_all_bands(tmp_path: Path) -> None:
    both = np.stack([stored(band, DAYS[0]) for band in ("B04", "B02")])
    told = item("unknown", DAYS[0], {}, "03.00")
    with rasterio.open(
        tmp_path / "all.tif",
        "w",
        "GTiff",
        24,
        24,
        2,
        CRS,
        rasterio.Affine(10, 0, CORNER[0], 0, -10, CORNER[1]),
        "uint16",
    ) as out:
        out.write(both)
    told["assets"] = {"data": {"href": "all.tif", "type": "image/tiff", "bands": [{"name": "B04"}, {"name": "B02"}]}}
    cube = open_cube(write_collection(tmp_path / "c.json", [told]))
    assert cube.bands == ("B02", "B04")
    np.testing.assert_array_equal(cube.stored[0].values, both[::-1])


def unclear(told: dict[str, Any]) -> None:
    told["properties"]["s2:processing_baseline"] = "05.00"
    told["links"] = [{"rel": "derived_from", "href": told["links"][0]["href"]}]  # by whom, and what did they do to it?


def test_the_user_settles_what_is_unclear(tmp_path: Path, made: dict[str, Any]) -> None:
    unclear(made)
    cube = open_cube(write_collection(tmp_path / "c.json", [made]), ReadOptions(offset=-0.1))
    assert cube.radiometry.offset == (-0.1,)
    made["collection"] = "S2_SR_HARMONIZED"
    assert open_cube(write_collection(tmp_path / "c.json", [made])).radiometry.offset == (0.0,)


def test_a_declared_offset_of_an_unknown_catalogue_holds(tmp_path: Path, made: dict[str, Any]) -> None:
    unclear(made)
    for asset in made["assets"].values():
        asset["raster:bands"] = [{"scale": 1e-4, "offset": -0.1}]
    assert open_cube(write_collection(tmp_path / "c.json", [made])).radiometry.offset == (-0.1,)


def test_files_that_are_gone(tmp_path: Path) -> None:
    items = [write_item(tmp_path, name) for name in ("planetary-computer, old", "earth-search, shifted back")]
    for each in items:
        each["links"] = []
        each["properties"]["s2:processing_baseline"] = "03.00"
    path = write_collection(tmp_path / "c.json", items)
    (tmp_path / items[0]["assets"]["B04"]["href"]).unlink()
    with pytest.raises(MissingError, match=r"has B04 at .*B04_2021-06-01.tif, where there is no file"):
        open_cube(path)
    assert open_cube(path, ReadOptions(bands=("B02",))).bands == ("B02",)
    (tmp_path / items[1]["assets"]["red"]["href"]).unlink()  # a user who took only some of the bands
    assert open_cube(path).bands == ("B02", "B8A")
    for folder in tmp_path.iterdir():
        if folder.is_dir():
            shutil.rmtree(folder)
    with pytest.raises(MissingError, match="B02"):
        open_cube(path)


def test_images_and_parcels_are_told_apart(tmp_path: Path, made: dict[str, Any]) -> None:
    path = write_collection(tmp_path / "c.json", [made])
    assert is_stac(path) and not is_stac(tmp_path / "nothing.json")
    assert next(iter(describe(path))).startswith("c.json: 1 dates")
    with pytest.raises(InputError, match=r"lists images .* not parcels"):
        open_parcels(path, LabelOptions())
    polygon = {"type": "Feature", "geometry": made["geometry"], "properties": {"crop": "wheat", "tags": ["a"]}}
    parcels = write_collection(tmp_path / "parcels.json", [polygon])
    assert not is_stac(parcels)
    assert "parcels.json: 1 parcels" in next(iter(describe(parcels)))
    assert any("tags: 1 values" in line for line in describe(parcels))
    assert is_stac(tmp_path)
    (tmp_path / "zarr.json").write_text('{"attributes": {"stac_version": "1.0.0"}}')
    assert not is_stac(tmp_path)


def test_addresses_become_what_gdal_opens(tmp_path: Path) -> None:
    file, own = tmp_path / "c.json", "https://a.org/items/1"
    assert address("here.tif", file, "", "c") == str(tmp_path / "here.tif")
    assert address("../there.tif", file, own, "c").endswith("url=https://a.org/there.tif")
    assert address("../there.tif", file, "", "c") == str(tmp_path / "../there.tif")
    assert address("file:///a%20b/c.tif", file, own, "c") == "/a b/c.tif"
    assert address("s3://eodata/x/B02.jp2", file, own, "c") == "/vsis3/eodata/x/B02.jp2"
    assert address("https://b.org/x y.tif?a=1&b=2", file, own, "c").endswith(
        "&url=https://b.org/x%20y.tif%3Fa%3D1%26b%3D2"
    )
    lent = address("https://sentinel2l2a01.blob.core.windows.net/B02.tif?sv=1&sig=secret", file, own, "s2-l2a")
    assert "pc_url_signing=yes&pc_collection=s2-l2a&" in lent and "secret" not in lent
    assert unsigned("https://b.org/x.tif?X-Amz-Signature=1&z=2") == "https://b.org/x.tif"
    assert unsigned("https://b.org/x.tif?z=2") == "https://b.org/x.tif?z=2"


def test_without_the_packages_it_says_what_to_install(
    tmp_path: Path, made: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "odc.stac", None)
    with pytest.raises(InputError, match=r'pip install "napari-cscl\[stac\]"'):
        open_cube(write_collection(tmp_path / "c.json", [made]))
