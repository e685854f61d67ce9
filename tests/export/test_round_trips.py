"""Awkward legends and places: what other programs read of maps and vectors is what was written."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import geopandas as gpd
import numpy as np
import pyogrio
import pytest
import shapely
from affine import Affine
from pyproj import CRS

from cscl.events import run
from cscl.export.geotiff import export_classes
from cscl.export.vector import export_parcels
from cscl.legend import CropClass, Legend
from cscl.parcels import Parcels
from cscl.products import Prediction

needs_gdal = pytest.mark.skipif(not shutil.which("gdalinfo"), reason="GDAL's programs are not here")

GAPS = Legend(
    (
        CropClass(0, "007", "Grünland & <Weide>", "#117733", "Gräser"),
        CropClass(41, "08", "Żyto \"ozime\"", "#ddcc77", "obilí"),
        CropClass(230, "小麦", "小麦", "#cc6677"),
    ),
    ignore=255,
)  # fmt: skip
MANY = Legend(tuple(replace(c, name=f"Kultur № {c.code}") for c in Legend.from_codes(range(1, 201)).classes), 0)
CODES = Legend.from_codes(f"{n:04d}" for n in range(200))
LEGENDS = {"gaps": GAPS, "many": MANY, "codes with zeros": CODES}


def said(*words: object) -> dict:
    return json.loads(subprocess.run(list(map(str, words)), capture_output=True, check=True, text=True).stdout)


@needs_gdal
@pytest.mark.parametrize("of", LEGENDS)
def test_gdal_reads_the_attribute_table(make_prediction: Callable[..., Prediction], tmp_path: Path, of: str) -> None:
    legend = LEGENDS[of]
    prediction = make_prediction((300, 400), legend)
    path = run(export_classes(prediction, tmp_path / "map.tif"))
    info = said("gdalinfo", "-json", path)
    fields = [field["name"] for field in info["rat"]["fieldDefn"]]
    rows = [dict(zip(fields, row["f"], strict=True)) for row in info["rat"]["row"]]
    values, counts = np.unique(prediction.ids.values, return_counts=True)
    count = dict(zip(values.tolist(), counts.tolist(), strict=True))
    assert rows == [
        {
            **{"Value": c.id, "Count": count.get(c.id, 0), "Name": c.name, "Code": c.code, "Group": c.group},
            **dict(zip(("Red", "Green", "Blue"), c.rgb, strict=True)),
        }
        for c in legend.classes
    ]
    band = info["bands"][0]
    assert band["noDataValue"] == legend.ignore
    table = band["colorTable"]["entries"]
    assert [tuple(table[c.id][:3]) for c in legend.classes] == [c.rgb for c in legend.classes]
    text = subprocess.run(["gdalinfo", str(path)], capture_output=True, check=True, text=True).stdout
    listed = re.findall(r"^ +(\d+): (\S.*)$", text.split("Categories:")[1].split("Color Table")[0], re.M)
    names = {str(c.id): c.name for c in legend.classes}
    if legend.ignore < max(legend.ids):
        names[str(legend.ignore)] = "unknown"
    assert dict(listed) == names


SINUSOIDAL = "+proj=sinu +lon_0=0 +x_0=0 +y_0=0 +R=6371007.181 +units=m +no_defs"
LOCAL = (
    'PROJCS["Lokal Ö",GEOGCS["ETRS89",DATUM["European_Terrestrial_Reference_System_1989",SPHEROID["GRS 1980",6378137,'
    '298.257222101]],PRIMEM["Greenwich",0],UNIT["degree",0.0174532925199433]],PROJECTION["Transverse_Mercator"],'
    'PARAMETER["latitude_of_origin",45.5],PARAMETER["central_meridian",3.25],PARAMETER["scale_factor",0.99993],'
    'PARAMETER["false_easting",12345.678],PARAMETER["false_northing",-987.6],UNIT["metre",1]]'
)
PLACES = {"EPSG": "EPSG:2154", "custom WKT": LOCAL, "sinusoidal": SINUSOIDAL, "degrees": "EPSG:4258"}


@pytest.mark.parametrize("place", PLACES)
def test_vectors_come_back(make_prediction: Callable[..., Prediction], tmp_path: Path, place: str) -> None:
    """Ids, codes, names, CRS and every corner, from GeoPackage and GeoParquet alike."""
    corner = (gpd.GeoSeries.from_xy([3.31], [45.61], crs="EPSG:4326")).to_crs(PLACES[place]).get_coordinates().iloc[0]
    step = 1e-4 if place == "degrees" else 10.0
    there = Affine(step, 0, corner.x, 0, -step, corner.y)
    prediction = make_prediction((200, 200), CODES, PLACES[place], there)
    boxes = [shapely.box(c, -r - 7, c + 9, -r) for r in range(0, 180, 20) for c in range(0, 180, 20)]
    shapes = shapely.transform(np.array(boxes, object), lambda xy: xy * step + [corner.x, corner.y])
    codes = [CODES.classes[n % 200].code for n in range(len(shapes))]
    own = [f"Ж-{n:05d}" for n in range(len(shapes))]
    register = gpd.GeoDataFrame({"nr": own, "kód": codes}, geometry=shapes, crs=PLACES[place])
    register.to_file(tmp_path / "register.gpkg")
    parcels = Parcels.open(tmp_path / "register.gpkg", "kód", id_column="nr")
    run(export_parcels(prediction, parcels, tmp_path / "out.gpkg"))
    seen = gpd.read_file(tmp_path / "out.gpkg"), gpd.read_parquet(tmp_path / "out.parquet")
    for back in seen:
        assert CRS(back.crs) == CRS(PLACES[place])
        assert back.geometry.geom_equals_exact(register.geometry, 0).all()
        assert back["nr"].tolist() == own and back["kód"].tolist() == codes == back["ref_code"].tolist()
        names = {c.code: c.name for c in CODES.classes}
        assert back["pred_name"].dropna().tolist() == [names[code] for code in back["pred_code"].dropna()]
        known = back["status"] == "ok"
        assert known.any() and (back["pred_code"].dropna().str.len() == 4).all()
        middle = [prediction.ids.values[r + 3, c + 4] for r in range(0, 180, 20) for c in range(0, 180, 20)]
        assert back["pred_id"].fillna(CODES.ignore).astype(int).tolist() == middle
    assert seen[1]["id"].tolist() == own
    if "Parquet" in pyogrio.list_drivers():
        assert pyogrio.read_info(tmp_path / "out.parquet")["features"] == len(own)
