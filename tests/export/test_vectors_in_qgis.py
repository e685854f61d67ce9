"""What QGIS makes of fields and of styles for map servers; and what it writes itself of the same legend."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from xml.etree import ElementTree as ET

import geopandas as gpd
import pytest
from qgispython import other_python

from cscl.events import run
from cscl.export.fields import FieldOptions, export_fields
from cscl.export.geotiff import export_classes
from cscl.export.sld import raster_sld
from cscl.export.vector import export_parcels
from cscl.legend import Legend
from cscl.parcels import Parcels
from cscl.products import Prediction

pytestmark = pytest.mark.qgis

# Vectors as they open and with their .sld; the raster's style as QGIS itself saves it.
LOOK = """
import json, sys
from qgis.core import (QgsApplication, QgsMapRendererParallelJob, QgsMapSettings, QgsRasterLayer, QgsVectorLayer)
from qgis.PyQt.QtCore import QSize

def colours(layer):
    settings = QgsMapSettings()
    settings.setLayers([layer])
    settings.setDestinationCrs(layer.crs())
    settings.setExtent(layer.extent())
    settings.setOutputSize(QSize(300, 300))
    job = QgsMapRendererParallelJob(settings)
    job.start()
    job.waitForFinished()
    image = job.renderedImage()
    return sorted({image.pixelColor(x, y).name() for x in range(300) for y in range(300)})

def look(folder, name):
    layer = QgsVectorLayer(folder + "/" + name + ".gpkg|layername=" + name)
    assert layer.isValid()
    opened = layer.renderer()
    seen = {"features": layer.featureCount(), "crs": layer.crs().toWkt(), "kind": opened.type(),
            "labels": [c.label() for c in opened.categories()], "own": colours(layer)}
    said, fine = layer.loadSldStyle(folder + "/" + name + ".sld")
    assert fine, said
    rules = layer.renderer().rootRule().children()
    seen["rules"] = [[r.label(), r.filterExpression(), r.symbol().symbolLayer(0).color().name()] for r in rules]
    seen["sld"] = colours(layer)
    return seen

def save(folder):
    said, fine = QgsRasterLayer(folder + "/crop_map.tif").saveSldStyle(folder + "/theirs.sld")
    assert fine, said

app = QgsApplication([], False)
app.initQgis()
folder = sys.argv[1]
save(folder)
print(json.dumps({name: look(folder, name) for name in ("fields", "parcels")}))
app.exitQgis()
"""


def crops(path: Path) -> list[list[str | None]]:
    """Values, colours and names of a raster's style."""
    entries = (e for e in ET.parse(path).iter() if e.tag.endswith("}ColorMapEntry"))
    return [[e.get("quantity"), str(e.get("color")).lower(), e.get("label")] for e in entries]


def test_styles(make_prediction: Callable[..., Prediction], parcels: Parcels, tmp_path: Path) -> None:
    plain = Legend.from_codes([f"{n:03d}" for n in range(200)])
    names = tuple(replace(c, name=f'Gemüse & <{c.code}> "小麦"') for c in plain.classes)
    for folder, legend in (("few", None), ("many", Legend(names, plain.ignore))):
        prediction = make_prediction() if legend is None else make_prediction(legend=legend)
        check(prediction, parcels, tmp_path / folder)


def check(prediction: Prediction, parcels: Parcels, folder: Path) -> None:
    folder.mkdir()
    run(export_fields(prediction, folder / "fields.gpkg", FieldOptions(0.1, 1)))
    run(export_parcels(prediction, parcels, folder / "parcels.gpkg"))
    run(export_classes(prediction, folder / "crop_map.tif"))
    (folder / "ours.sld").write_text(raster_sld(prediction.legend), encoding="utf-8")
    done = other_python(LOOK, str(folder))
    assert done.returncode == 0, done.stderr
    assert "Warning" not in done.stderr
    classes = prediction.legend.classes
    assert (
        crops(folder / "theirs.sld") == crops(folder / "ours.sld") == [[str(c.id), c.colour, c.name] for c in classes]
    )
    for name, seen in json.loads(done.stdout).items():
        table = gpd.read_file(folder / f"{name}.gpkg")
        assert seen["features"] == len(table) and seen["kind"] == "categorizedSymbol"
        assert table.crs == seen["crs"]
        assert seen["labels"] == [*(c.name for c in classes), "no prediction"]
        named = [[c.name, f"pred_id = {c.id}", c.colour] for c in classes]
        assert seen["rules"][:-1] == named and seen["rules"][-1][:2] == ["no prediction", "pred_id IS NULL"]
        there = {c.colour for c in classes if c.code in set(table["pred_code"])}
        if name == "fields":
            assert there <= set(seen["own"]) and there <= set(seen["sld"])
