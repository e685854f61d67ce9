"""Catalogue entries of an export: valid, true to the files, and movable."""

from __future__ import annotations

import datetime as dt
import json
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyproj
import pytest
import rasterio
from affine import Affine
from shapely.geometry import Point, shape
from stac_rules import validate

from cscl.card import ModelCard
from cscl.errors import GridError
from cscl.events import run
from cscl.export.bundle import export
from cscl.export.footprint import footprint
from cscl.export.stac_classes import class_list, machine_name
from cscl.export.stac_item import ITEM, write_item
from cscl.export.stac_model_item import write_model_item
from cscl.grid import GeoBox
from cscl.legend import CropClass, Legend, default_colours
from cscl.products import Prediction
from cscl.recipe import Choice, Recipe

SINUSOIDAL = "+proj=sinu +lon_0=0 +x_0=0 +y_0=0 +R=6371007.181 +units=m +no_defs"
LAEA = "+proj=laea +lat_0=47.123 +lon_0=5.5 +ellps=GRS80 +units=m +no_defs"
FACTS = {
    "images": "season", "dates": ["2022-11-14T10:30:00", "2022-03-01T00:00:00"], "radiometry": "scale 0.0001 declared",
    "model": "wheat", "model_folder": "/home/anna/models/wheat", "cscl": "0.1.0", "when": "2023-01-05T12:00:00+00:00",
    "model_made": {"when": "2022-12-24T00:00:00+00:00", "torch": "2.8.0"},
}  # fmt: skip


def made(prediction: Prediction, folder: Path) -> dict[str, Any]:
    """The Item of an export."""
    run(export(prediction, folder, parts=["crop map", "confidence"]))
    return validate(run(write_item(folder, prediction)))


def card(**given: Any) -> ModelCard:
    legend = Legend((CropClass(0, "M", "Maïs", "#aabbcc"), CropClass(9, "W", "Weizen", "#112233")))
    scene = {
        "images": "s",
        "labels": "p",
        "dates": ["2022-03-01"],
        "crs": "EPSG:32631",
        "bounds": [5e5, 5e6, 6e5, 51e5],
    }
    return ModelCard(
        **{
            "name": "Blé 2022", "stage": "trained", "model": Choice("compact"), "bands": ("B04", "B08"),
            "mean": (0.1, 0.3), "std": (0.05, 0.1), "legend": legend, "reference_date": dt.date(2022, 1, 1),
            "first_day": 60, "last_day": 300, "dates": 8, "pixel_size_m": 10.0, "recipe": Recipe(), "data": (scene,),
            "parameters": 1234, "made": {"torch": "2.8.0+cpu"}, **given,
        }
    )  # fmt: skip


def test_what_an_item_says(prediction: Prediction, tmp_path: Path) -> None:
    item = made(replace(prediction, facts=FACTS), tmp_path / "out")
    told, assets = item["properties"], item["assets"]
    assert told["datetime"] is None and told["start_datetime"] == "2022-03-01T00:00:00Z"
    assert told["end_datetime"] == "2022-11-14T10:30:00Z" and "season, 2 dates" in told["processing:lineage"]
    assert told["proj:code"] == "EPSG:32631" and "proj:wkt2" not in told
    assert Affine(*told["proj:transform"]) == prediction.grid.transform, "to the last digit"
    assert told["proj:shape"] == [300, 400] and told["gsd"] == pytest.approx(9.99479222)
    assert "/home/anna" not in json.dumps(item) and not Path(assets["crop_map"]["href"]).is_absolute()
    assert set(assets) == {"crop_map", "confidence", "crop_map_qml", "crop_map_sld", "crop_map_tif_aux", "legend"}
    bands = {key: assets[key]["bands"][0] for key in ("crop_map", "confidence")}
    assert bands["crop_map"]["nodata"] == 255 and bands["crop_map"]["data_type"] == "uint8"
    assert bands["confidence"]["raster:scale"] == 1 / 250 and "raster:scale" not in bands["crop_map"]
    assert assets["crop_map"]["type"].endswith("profile=cloud-optimized") and assets["crop_map"]["roles"] == ["data"]
    first = assets["crop_map"]["classification:classes"][0]
    assert (first["value"], first["color_hint"], first["title"]) == (0, "117733", "Meadow & <pasture>")


def test_the_folder_can_be_moved(prediction: Prediction, tmp_path: Path) -> None:
    import pystac

    made(prediction, tmp_path / "out")
    shutil.move(tmp_path / "out", tmp_path / "elsewhere")
    item = pystac.Item.from_file(tmp_path / "elsewhere" / ITEM)
    for asset in item.assets.values():
        path = Path(str(asset.get_absolute_href()))
        assert path.parent == tmp_path / "elsewhere" and path.stat().st_size == asset.extra_fields["file:size"]


def test_codes_of_classes() -> None:
    names = ["Blé d'hiver", "BLE D HIVER", "冬小麦", "Weiß", "", "a" * 99, "no data"]
    legend = Legend(tuple(CropClass(3 * i, str(i), name, "#AAbb0c") for i, name in enumerate(names)), ignore=7)
    found = class_list(legend)
    assert [c["name"] for c in found[:5]] == ["ble_d_hiver", "ble_d_hiver_2", "class_6", "weiss", "class_12"]
    assert found[6]["name"] == "no_data_2" and found[-1] == {
        **{"value": 7, "name": "no_data", "title": "no prediction", "description": "no prediction", "nodata": True}
    }
    assert len({c["name"] for c in found}) == len(found) and found[0]["color_hint"] == "AABB0C"
    assert machine_name("../x.tif") == "x_tif"


def test_two_hundred_crops(make_prediction: Any, tmp_path: Path) -> None:
    classes = [CropClass(2 * i, f"0{i}", f"Kultur {i} – ü", c) for i, c in enumerate(default_colours(200))]
    item = made(make_prediction((60, 60), Legend(tuple(classes), ignore=65535)), tmp_path / "out")
    found = item["assets"]["crop_map"]["classification:classes"]
    assert [c["value"] for c in found] == [*range(0, 400, 2), 65535]
    assert item["assets"]["crop_map"]["bands"][0]["nodata"] == 65535


@pytest.mark.parametrize("crs", [SINUSOIDAL, LAEA, "ESRI:54008", "EPSG:3035"])
def test_reference_systems(make_prediction: Any, tmp_path: Path, crs: str) -> None:
    transform = Affine(10, 0, 200000, 0, -10, 100000)
    item = made(make_prediction((80, 90), crs=pyproj.CRS(crs).to_wkt(), transform=transform), tmp_path / "out")
    told = item["properties"]
    again = pyproj.CRS(told["proj:code"] or told["proj:wkt2"])
    assert again == pyproj.CRS(crs) and bool(told["proj:code"]) == (crs in ("ESRI:54008", "EPSG:3035"))
    lon, lat = pyproj.Transformer.from_crs(again, 4326, always_xy=True).transform(200450, 99600)
    assert shape(item["geometry"]).contains(Point(lon, lat))
    assert all("proj:shape" not in asset for asset in item["assets"].values()), "all lie where the Item says"


@pytest.mark.parametrize(
    ("crs", "transform", "size", "box", "kind"),
    [
        ("EPSG:32601", Affine(10, 0, 300000, 0, -10, 8e6), 10980, [177.189, 71.033, -179.495, 72.082], "MultiPolygon"),
        ("EPSG:3413", Affine(1000, 0, -5e5, 0, -1000, 5e5), 1000, [-180, 83.479, 180, 90], None),
        ("EPSG:3031", Affine(1000, 0, -5e5, 0, -1000, 5e5), 1000, [-180, -90, 180, -83.499], None),
        ("EPSG:4326", Affine(1, 0, 0, 0, -1, 90), 180, [0, -90, 180, 90], "Polygon"),
        (SINUSOIDAL, Affine(463.3127165, 0, 0, 0, -463.3127165, 6671703.1183), 2400, [0, 50, 20, 60], "Polygon"),
    ],
)
def test_footprints(crs: str, transform: Affine, size: int, box: list[float], kind: str | None) -> None:
    geometry, found = footprint(GeoBox((size, size), transform, crs))
    assert found == pytest.approx(box, abs=1e-3) and geometry["type"] == (kind or geometry["type"])
    outline = shape(geometry)
    assert outline.is_valid and outline.bounds[0] >= -180 and outline.bounds[2] <= 180
    rows, cols = np.random.default_rng(0).uniform(1, size - 1, (2, 40))
    to = pyproj.Transformer.from_crs(crs, 4326, always_xy=True)
    assert all(outline.contains(Point(to.transform(*(transform @ place)))) for place in zip(cols, rows, strict=True))


def test_no_place_on_earth() -> None:
    with pytest.raises(GridError, match="Check its"):
        footprint(GeoBox((10, 10), Affine(1e6, 0, 1e12, 0, -1e6, 1e12), "EPSG:32631"))


@pytest.mark.parametrize("facts", [{}, {"when": "2023-01-05T12:00:00+01:00", "dates": []}, {"dates": ["soon"]}])
def test_unknown_dates_are_said_to_be(prediction: Prediction, tmp_path: Path, facts: dict[str, Any]) -> None:
    told = made(replace(prediction, facts=facts), tmp_path / "out")["properties"]
    assert "start_datetime" not in told and "dates of the images are not known" in told["description"]
    assert "when" not in facts or told["datetime"] == "2023-01-05T11:00:00Z"
    assert "Model: unknown" in told["processing:lineage"]


def test_rasters_of_other_pixels_say_where_they_lie(prediction: Prediction, tmp_path: Path) -> None:
    run(export(prediction, tmp_path / "out", parts=["crop map", "confidence"]))
    finer = prediction.grid.transform @ Affine.scale(0.25)
    size = {"height": 8, "width": 8, "count": 2, "dtype": "float32", "nodata": np.nan, "driver": "GTiff"}
    with rasterio.open(tmp_path / "out" / "edge.tif", "w", crs="EPSG:32631", transform=finer, **size) as dst:
        dst.descriptions = ("east", "south")
    edge = validate(run(write_item(tmp_path / "out", prediction)))["assets"]["edge"]
    assert Affine(*edge["proj:transform"]) == finer and [b["name"] for b in edge["bands"]] == ["east", "south"]
    assert edge["bands"][1]["nodata"] == "nan" and edge["type"] == "image/tiff; application=geotiff"


@pytest.mark.parametrize("given", [{}, {"data": (), "head": {"loss": {"name": "cscl"}, "target": "parcel"}}])
def test_the_model_is_an_item_of_its_own(prediction: Prediction, tmp_path: Path, given: dict[str, Any]) -> None:
    run(export(prediction, tmp_path, parts=["crop map", "confidence"]))
    assert run(write_model_item(tmp_path, card())) is None, "there is no network"
    (tmp_path / "net.onnx").write_bytes(b"x")
    path = run(write_model_item(tmp_path, card(**given)))
    assert path is not None
    model = validate(path)
    told = model["properties"]
    assert told["mlm:name"] == "ble_2022" and (model["geometry"] is None) == (not card(**given).data)
    assert [c["value"] for c in told["mlm:output"][0]["classification:classes"]] == [0, 1], "places, not ids"
    assert told["mlm:pretrained"] == bool(given) and told["mlm:input"][0]["bands"] == ["B04", "B08"]
    links = validate(run(write_item(tmp_path, prediction, derived_from=["https://a.b/c"])))["links"]
    assert [link["href"] for link in links] == ["https://a.b/c", "./model.json"]


def test_stac_model_knows_the_model(tmp_path: Path) -> None:
    properties = pytest.importorskip("stac_model.schema").MLModelProperties
    (tmp_path / "net.onnx").write_bytes(b"x")
    path = run(write_model_item(tmp_path, card()))
    assert path is not None
    told = json.loads(path.read_text(encoding="utf-8"))["properties"]
    assert len(properties(**told).input) == 3
    with pytest.raises(ValueError, match="mlm:tasks"):
        properties(**{**told, "mlm:tasks": ["mapping"]})


def test_an_item_names_no_extension_in_vain(prediction: Prediction, tmp_path: Path) -> None:
    (tmp_path / "parcels.csv").write_text("id")  # as in an export of parcels alone
    used = validate(run(write_item(tmp_path, prediction)))["stac_extensions"]
    assert [address.split("/")[3] for address in used] == ["projection", "processing", "file"]


def test_a_pre_trained_model_has_no_classes(tmp_path: Path) -> None:
    (tmp_path / "net.onnx").write_bytes(b"x")
    pretrained = card(legend=Legend(()), head={"loss": {"name": "cscl"}, "target": "parcel"})
    path = run(write_model_item(tmp_path, pretrained))
    assert path is not None
    output = validate(path)["properties"]["mlm:output"][0]
    assert "classification:classes" not in output and output["tasks"] == ["similarity-search"]


def test_a_model_without_its_start(tmp_path: Path) -> None:
    """One input that takes all bands is what ONNX for one program may have; the start is another network."""
    for folder in (tmp_path, tmp_path / "start"):
        folder.mkdir(exist_ok=True)
        (folder / "network.safetensors").write_bytes(b"x")
        (folder / "card.json").write_text("{}")
    array = {"shape": [-1, 2, 64, 64], "dim_order": ["batch", "bands", "height", "width"], "data_type": "float32"}
    path = run(write_model_item(tmp_path, card(), inputs=[{"name": "x", "bands": ["B04", "B08"], "input": array}]))
    assert path is not None
    assert list(validate(path)["assets"]) == ["network"]


Place = tuple[str | int, ...]


def spoilt(item: dict[str, Any], place: Place, value: Any) -> dict[str, Any]:
    """Return the Item with another value at a place, or without it where the value is `...`."""
    inner = copy = json.loads(json.dumps(item))
    for key in place[:-1]:
        inner = inner[key]
    if value is ...:
        del inner[place[-1]]
    else:
        inner[place[-1]] = value
    return dict(copy)


MAP_FAULTS: list[tuple[Place, Any]] = [
    (("properties", "proj:code"), None), (("properties", "proj:epsg"), 32631), (("properties", "gsd"), -1),
    (("assets", "crop_map", "file:checksum"), "1220"), (("assets", "confidence", "bands", 0, "raster:scale"), "1"),
    (("assets", "crop_map", "classification:classes", 0, "name"), "Blé"), (("assets",), {}),
]  # fmt: skip
MODEL_FAULTS: list[tuple[Place, Any]] = [
    (("properties", "processing:software"), ...), (("properties", "mlm:artifact_type"), "onnx"),
    (("properties", "mlm:output", 0, "classification:classes", 0, "description"), ...),
    (("properties", "mlm:input", 0, "bands"), []), (("properties", "mlm:input", 1, "bands"), ["B04"]),
    (("assets", "net", "roles"), ["data"]), (("assets", "net", "mlm:artifact_type"), ...),
    (("assets", "net", "mlm:name"), "net"), (("assets", "net", "bands"), ...),
]  # fmt: skip


def test_the_rules_see_faults(prediction: Prediction, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("CSCL_STAC_SCHEMAS", raising=False)
    item = made(prediction, tmp_path / "map")
    (tmp_path / "net.onnx").write_bytes(b"x")
    path = run(write_model_item(tmp_path, card()))
    assert path is not None
    model = validate(path)
    cases = [spoilt(item, *fault) for fault in MAP_FAULTS] + [spoilt(model, *fault) for fault in MODEL_FAULTS]
    one_input = spoilt(model, ("properties", "mlm:input"), model["properties"]["mlm:input"][:1])
    for case in (*cases, spoilt(one_input, ("properties", "bands"), ...)):
        (tmp_path / "spoilt.json").write_text(json.dumps(case))
        with pytest.raises(Exception, match="Validation failed"):
            validate(tmp_path / "spoilt.json")
