"""What QGIS makes of an export: styles found by themselves, classes as in the legend, nothing drawn without a class."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from qgispython import other_python

from cscl.events import run
from cscl.export.bundle import export
from cscl.export.errors_gpkg import export_errors
from cscl.export.vector import parcel_table
from cscl.inference.explore import explore
from cscl.inference.filled_sample import read_sample
from cscl.inference.sample import SampleOptions, draw_sample, write_sample
from cscl.legend import Legend
from cscl.parcels import Parcels
from cscl.products import LabelMap, Prediction
from cscl.report.kinds import WRONG

pytestmark = pytest.mark.qgis

# Runs under another Python. Each raster pixel is drawn as one pixel, over magenta, and compared as colour.
SCRIPT = """
import json, sys
from qgis.core import (QgsApplication, QgsMapRendererParallelJob, QgsMapSettings, QgsRasterLayer,
                       QgsRenderContext, QgsVectorLayer)
from qgis.PyQt.QtCore import QSize
from qgis.PyQt.QtGui import QColor

def look(folder):
    raster = QgsRasterLayer(folder + "/crop_map.tif")
    vector = QgsVectorLayer(folder + "/parcels.gpkg")
    assert raster.isValid() and vector.isValid()
    settings = QgsMapSettings()
    settings.setLayers([raster])
    settings.setDestinationCrs(raster.crs())
    settings.setExtent(raster.extent())
    settings.setOutputSize(QSize(raster.width(), raster.height()))
    settings.setBackgroundColor(QColor("#ff00ff"))
    job = QgsMapRendererParallelJob(settings)
    job.start()
    job.waitForFinished()
    image, context = job.renderedImage(), QgsRenderContext()
    renderer, box = vector.renderer(), raster.extent()
    context.expressionContext().setFields(vector.fields())
    renderer.startRender(context, vector.fields())
    symbols = [renderer.symbolForFeature(f, context) for f in vector.getFeatures()]
    fills = [[s.symbolLayer(0).properties()["style"], s.color().name()] for s in symbols]
    renderer.stopRender(context)
    return {
        "crs": [raster.crs().authid(), vector.crs().authid()],
        "extent": [box.xMinimum(), box.yMinimum(), box.xMaximum(), box.yMaximum()],
        "kinds": [raster.renderer().type(), renderer.type(), renderer.classAttribute()],
        "raster": [[int(c.value), c.label, c.color.name()] for c in raster.renderer().classes()],
        "vector": [[c.value(), c.label(), c.symbol().color().name()] for c in renderer.categories()],
        "fills": fills,
        "pixels": [[image.pixelColor(x, y).name() for x in range(image.width())] for y in range(image.height())],
    }

app = QgsApplication([], False)
app.initQgis()
print(json.dumps([look(folder) for folder in sys.argv[1:]]))
app.exitQgis()
"""


def wide(legend: Legend) -> Legend:
    """Ids too large for a colour table."""
    classes = tuple(replace(c, id=c.id + 1000) for c in legend.classes)
    return Legend(classes, ignore=65535)


def test_qgis_shows_the_legend(make_prediction: Callable[..., Prediction], parcels: Parcels, tmp_path: Path) -> None:
    first = make_prediction()
    predictions = [first, make_prediction(legend=wide(first.legend))]
    parts = ["crop map", "confidence", "parcels"]
    folders = [str(run(export(p, tmp_path / str(i), parcels, parts=parts))) for i, p in enumerate(predictions)]
    done = other_python(SCRIPT, *folders)
    assert done.returncode == 0, done.stderr
    assert "Warning" not in done.stderr
    for prediction, seen in zip(predictions, json.loads(done.stdout), strict=True):
        check(prediction, parcels, seen)


def check(prediction: Prediction, parcels: Parcels, seen: dict[str, Any]) -> None:
    classes = prediction.legend.classes
    assert seen["crs"] == ["EPSG:32631", "EPSG:2154"]
    assert np.allclose(seen["extent"], prediction.grid.boundingbox.bbox, rtol=0, atol=1e-6)
    assert seen["kinds"] == ["paletted", "categorizedSymbol", "pred_code"]
    assert seen["raster"] == [[c.id, c.name, c.colour] for c in classes]
    assert seen["vector"] == [*([c.code, c.name, c.colour] for c in classes), ["", "no prediction", "#ffffff"]]
    fills = {c.code: ["solid", c.colour] for c in classes} | {"": ["no", "#ffffff"]}
    codes = run(parcel_table(prediction, parcels))["pred_code"].fillna("")
    assert seen["fills"] == [fills[code] for code in codes] and "" in set(codes)
    colours = {c.id: c.colour for c in classes} | {prediction.legend.ignore: "#ff00ff"}
    assert seen["pixels"] == [[colours[i] for i in row] for row in prediction.ids.values.tolist()]


# Layers as QGIS opens them, drawn over white; only where styles are found do right and wrong look different.
LOOK_AT_ERRORS = """
import json, sys
from qgis.core import QgsApplication, QgsMapRendererParallelJob, QgsMapSettings, QgsVectorLayer
from qgis.PyQt.QtCore import QSize

def look(path, name):
    layer = QgsVectorLayer(path + "|layername=" + name)
    assert layer.isValid()
    settings = QgsMapSettings()
    settings.setLayers([layer])
    settings.setDestinationCrs(layer.crs())
    settings.setExtent(layer.extent().buffered(10))
    settings.setOutputSize(QSize(300, 300))
    settings.setOutputDpi(300)
    job = QgsMapRendererParallelJob(settings)
    job.start()
    job.waitForFinished()
    image, renderer = job.renderedImage(), layer.renderer()
    graduated = renderer.type() == "graduatedSymbol"
    parts = renderer.ranges() if graduated else renderer.categories()
    return {
        "features": layer.featureCount(),
        "crs": layer.crs().authid(),
        "kind": [renderer.type(), renderer.classAttribute(), layer.labelsEnabled()],
        "symbols": [p.symbol().symbolLayer(p.symbol().symbolLayerCount() - 1).color().name() for p in parts],
        "labels": [p.label() for p in parts],
        "widths": [p.symbol().width() for p in parts] if name == "edges" else [],
        "colours": sorted({image.pixelColor(x, y).name() for x in range(300) for y in range(300)}),
    }

app = QgsApplication([], False)
app.initQgis()
print(json.dumps({name: look(sys.argv[1], name) for name in ("parcels", "edges", "error_regions")}))
app.exitQgis()
"""


def test_qgis_opens_errors_styled(make_prediction: Callable[..., Prediction], tmp_path: Path) -> None:
    prediction = make_prediction((120, 160))
    right = np.asarray(prediction.ids.values)
    truth = np.where(np.arange(160) < 70, right, np.roll(right, 7, axis=1))
    labels = LabelMap(truth, prediction.grid, prediction.legend)
    atlas = run(explore(prediction, labels))
    path = run(export_errors(tmp_path / "errors.gpkg", atlas))
    done = other_python(LOOK_AT_ERRORS, str(path))
    assert done.returncode == 0, done.stderr
    assert "Warning" not in done.stderr
    seen = json.loads(done.stdout)
    assert {name: s["features"] for name, s in seen.items()}["edges"] == len(atlas.edges) > 5
    assert {s["crs"] for s in seen.values()} == {"EPSG:32631"}
    assert seen["edges"]["kind"] == ["graduatedSymbol", "share_wrong", False]
    assert seen["parcels"]["kind"] == ["graduatedSymbol", "share_right", False]
    assert seen["error_regions"]["kind"] == ["categorizedSymbol", "kind", False]
    assert seen["error_regions"]["labels"] == [kind.title for kind in WRONG]
    assert seen["edges"]["widths"] == sorted(seen["edges"]["widths"])
    assert seen["edges"]["labels"][0] == "0% to 5% wrong" and seen["parcels"]["labels"][0] == "95% to 100% right"
    ramp = ["#ffffb2", "#fecc5c", "#fd8d3c", "#f03b20", "#bd0026"]
    assert seen["edges"]["symbols"] == ramp
    limits = [0, 0.05, 0.15, 0.3, 0.5]
    steps = {ramp[n] for n in np.searchsorted(limits, atlas.edges["share_wrong"], side="right") - 1}
    assert {*ramp} & {*seen["edges"]["colours"]} == steps and len(steps) > 2


# A person fills in the first points in QGIS and saves.
FILL_IN = """
import json, sys
from qgis.core import QgsApplication, QgsVectorLayer

def fill(path):
    layer = QgsVectorLayer(path + "|layername=sample")
    column = layer.fields().indexOf("reference")
    widget = layer.editorWidgetSetup(column)
    rules = [rule.label() for rule in layer.renderer().rootRule().children()]
    layer.startEditing()
    for feature in list(layer.getFeatures())[:5]:
        layer.changeAttributeValue(feature.id(), column, "MAI")
    return [layer.commitChanges(), rules, widget.type(), widget.config()["map"]]

app = QgsApplication([], False)
app.initQgis()
print(json.dumps(fill(sys.argv[1])))
app.exitQgis()
"""


def test_qgis_fills_in_a_sample(make_prediction: Callable[..., Prediction], tmp_path: Path) -> None:
    prediction = make_prediction()
    folder = run(write_sample(run(draw_sample(prediction, SampleOptions(units=30, minimum=5))), tmp_path / "points"))
    done = other_python(FILL_IN, str(folder / "sample.gpkg"))
    assert done.returncode == 0, done.stderr
    saved, rules, kind, choices = json.loads(done.stdout)
    assert saved and rules == ["to do", "done"] and kind == "ValueMap"
    assert choices == [{"(not yet)": ""}, *({f"{c.name} ({c.code})": c.code} for c in prediction.legend.classes)]
    filled = read_sample(folder)
    assert filled.path.name == "sample.gpkg" and (filled.table["reference"] == "MAI").sum() == 5
