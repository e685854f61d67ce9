"""Maps as files: opened again with rasterio and GDAL's own tools, nothing is lost and nothing half-written stays."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from xml.etree import ElementTree as ET

import numpy as np
import pytest
import rasterio
import xarray as xr
from affine import Affine
from fulldisk import full_disk
from rio_cogeo.cogeo import cog_validate

from cscl.errors import InputError, MissingError, OutputError
from cscl.events import Progress, run
from cscl.export.geotiff import Band, export_classes, export_shares, write_cog
from cscl.export.styles import raster_style, vector_style
from cscl.grid import GeoBox, Window
from cscl.legend import CropClass, Legend
from cscl.products import Prediction

MakePrediction = Callable[..., Prediction]

# The pixel of a real French cube: not a round number, so that any loss of digits shows.
ODD = Affine(9.99479222007154, 0.0, 399960.0123456789, 0.0, -9.99479222007154, 4900020.987654321)


def test_the_crop_map_comes_back(make_prediction: MakePrediction, tmp_path: Path) -> None:
    prediction = make_prediction((1100, 1300), transform=ODD)
    legend = prediction.legend
    path = run(export_classes(prediction, tmp_path / "map.tif"))
    with rasterio.open(path) as src:
        assert np.array_equal(src.read(1), prediction.ids.values)
        assert src.dtypes == ("uint8",)
        assert src.nodata == 255
        assert src.transform == ODD
        assert src.crs.to_epsg() == 32631
        assert src.block_shapes == [(512, 512)]
        assert src.overviews(1) == [2, 4]
        assert src.compression.name == "deflate"
        assert src.tags(ns="IMAGE_STRUCTURE").get("PREDICTOR", "1") == "1"
        assert src.descriptions == ("predicted crop class",)
        assert {i: src.colormap(1)[i][:3] for i in legend.ids} == {c.id: c.rgb for c in legend.classes}
        assert src.colormap(1)[255][:3] == (255, 255, 255), "nodata is not black"
    with rasterio.open(path, OVERVIEW_LEVEL=0) as small:
        assert set(np.unique(small.read(1))) <= {*legend.ids, 255}
    assert cog_validate(path, strict=True) == (True, [], [])
    assert sorted(p.name for p in tmp_path.iterdir()) == ["map.qml", "map.tif", "map.tif.aux.xml"]


def test_names_of_all_values_from_0(prediction: Prediction, tmp_path: Path) -> None:
    path = run(export_classes(prediction, tmp_path / "map.tif"))
    root = ET.parse(tmp_path / "map.tif.aux.xml").getroot()
    names = [c.text or "" for c in root.iterfind("PAMRasterBand/CategoryNames/Category")]
    assert len(names) == 18
    assert {i: n for i, n in enumerate(names) if n} == {0: "Meadow & <pasture>", 3: "Blé d'hiver", 17: "Maize"}
    rows = [[f.text for f in row.iterfind("F")] for row in root.iterfind(".//Row")]
    count = int((prediction.ids.values == 3).sum())
    assert rows[1] == ["3", str(count), "Blé d'hiver", "WHE", "cereal", "221", "204", "119"]
    if shutil.which("gdalinfo"):
        said = subprocess.run(["gdalinfo", "-json", str(path)], capture_output=True, check=True, text=True).stdout
        info = json.loads(said)
        assert [r["f"][:4] for r in info["rat"]["row"]][1] == [3, count, "Blé d'hiver", "WHE"]
        text = subprocess.run(["gdalinfo", str(path)], capture_output=True, check=True, text=True).stdout
        assert re.findall(r"^ +(\d+): (\S.*)$", text.split("Categories:")[1].split("Color Table")[0], re.M) == [
            ("0", "Meadow & <pasture>"),
            ("3", "Blé d'hiver"),
            ("17", "Maize"),
        ]


@pytest.mark.parametrize(
    ("crs", "transform"),
    [
        ("EPSG:32733", Affine(1 / 3, 0, 1e6 / 7, 0, -1 / 3, 1e7 / 3)),
        ("EPSG:3035", Affine(7.1, 1.3, 4321000.1, 1.3, -7.1, 3210000.7)),
        ("+proj=laea +lat_0=45.123456789012 +lon_0=7.3 +ellps=GRS80 +units=m", ODD),
    ],
)
def test_the_place_is_exact(make_prediction: MakePrediction, tmp_path: Path, crs: str, transform: Affine) -> None:
    prediction = make_prediction((60, 70), crs=crs, transform=transform)
    path = run(export_classes(prediction, tmp_path / "map.tif"))
    with rasterio.open(path) as src:
        assert src.transform == transform
        assert src.crs == rasterio.CRS.from_user_input(str(prediction.grid.crs))
    assert cog_validate(path)[0]


def test_large_ids_and_a_zero_that_means_unknown(make_prediction: MakePrediction, tmp_path: Path) -> None:
    large = Legend((CropClass(7, "a", "A", "#112233"), CropClass(301, "b", "B", "#445566")), ignore=0)
    path = run(export_classes(make_prediction((40, 50), large), tmp_path / "map.tif"))
    with rasterio.open(path) as src:
        assert (src.dtypes, src.nodata) == (("uint16",), 0)
        assert set(np.unique(src.read(1))) == {0, 7, 301}
        assert src.colorinterp[0].name == "gray"
    names = ET.parse(tmp_path / "map.tif.aux.xml").getroot().findall("PAMRasterBand/CategoryNames/Category")
    assert (len(names), names[0].text, names[301].text) == (302, "unknown", "B")


def test_confidence(prediction: Prediction, tmp_path: Path) -> None:
    path = run(export_shares(prediction, "confidence", tmp_path / "confidence.tif"))
    with rasterio.open(path) as src:
        assert np.array_equal(src.read(1), prediction.confidence.values)
        assert (src.nodata, src.scales, src.offsets) == (255, (1 / 250,), (0,))
    assert cog_validate(path, strict=True)[0]


def test_probabilities_are_a_band_for_each_class(prediction: Prediction, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"holds no probabilities. Predict again with --probabilities"):
        run(export_shares(prediction, "probabilities", tmp_path / "p.tif"))
    shares = np.random.default_rng(0).integers(0, 256, (3, *prediction.ids.shape)).astype(np.uint8)
    full = replace(prediction, probabilities=xr.DataArray(shares, dims=("class", "y", "x")))
    with rasterio.open(run(export_shares(full, "probabilities", tmp_path / "p.tif"))) as src:
        assert np.array_equal(src.read(), shares)
        assert src.descriptions == tuple(f"probability of {c.name}" for c in prediction.legend.classes)
        assert (src.nodata, src.scales) == (255, (1 / 250,) * 3)
    assert cog_validate(tmp_path / "p.tif", strict=True)[0]


def test_a_map_left_midway_leaves_nothing(make_prediction: MakePrediction, tmp_path: Path) -> None:
    prediction = make_prediction((2100, 1100))
    path = tmp_path / "map.tif"
    for former in (None, b"the former map"):
        if former:
            path.write_bytes(former)
        job = export_classes(prediction, path, overwrite=True)
        events = [next(job) for _ in range(4)]
        assert isinstance(events[3], Progress) and 0 < events[3].done < events[3].total
        assert [p.name for p in tmp_path.iterdir() if p.is_dir()] != []
        job.close()
        assert [p.name for p in tmp_path.iterdir()] == (["map.tif"] if former else [])
    assert path.read_bytes() == b"the former map"
    run(export_classes(prediction, path, overwrite=True))
    assert cog_validate(path)[0]


def test_a_fault_of_the_input_is_told_as_such(prediction: Prediction, tmp_path: Path) -> None:
    def read(window: Window) -> np.ndarray:
        raise MissingError("There is no file classes.tif.")

    with pytest.raises(MissingError):
        run(write_cog(read, prediction.grid, Band("uint8", 255, "x"), tmp_path / "map.tif"))
    assert list(tmp_path.iterdir()) == []


def test_refusals(prediction: Prediction, tmp_path: Path) -> None:
    with pytest.raises(OutputError, match="There is no folder"):
        run(export_classes(prediction, tmp_path / "nowhere" / "map.tif"))
    taken = tmp_path / "map.tif"
    taken.write_bytes(b"mine")
    with pytest.raises(OutputError, match="exists already"):
        run(export_classes(prediction, taken))
    with pytest.raises(OutputError, match="one of the inputs"):
        run(export_classes(prediction, taken, overwrite=True, inputs=[tmp_path / "." / "map.tif"]))
    (tmp_path / "prediction.json").write_text("{}")
    with pytest.raises(OutputError, match="part of the prediction"):
        run(export_classes(prediction, taken, overwrite=True))
    assert taken.read_bytes() == b"mine"
    if Path("/proc").is_dir():
        with pytest.raises(OutputError, match="cannot be written"):
            run(export_classes(prediction, "/proc/map.tif"))


def test_a_full_disk_is_told_and_leaves_nothing(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    grid = GeoBox((2000, 2000), Affine(10, 0, 0, 0, -10, 0), "EPSG:32631")
    values = rng.integers(0, 2, grid.shape, np.uint8)

    def write(name: str) -> Path:
        return run(write_cog(lambda w: values[w.slices], grid, Band("uint8", 255, "noise"), tmp_path / name))

    size = write("whole.tif").stat().st_size
    # It strikes while the plain file is written, in the copy, and when the copy is closed, which GDAL does not report.
    for share in (0.3, 0.8, 0.9995):
        with full_disk(share * size), pytest.raises(OutputError, match="Make room on the disk"):
            write("map.tif")
        assert [p.name for p in tmp_path.iterdir()] == ["whole.tif"]


def test_styles_are_xml_whatever_the_names() -> None:
    odd = Legend((CropClass(0, "<&>", 'Blé "tendre"\x0b & <co>', "#112233"), CropClass(5, "b", "B", "#445566")))
    raster = ET.fromstring(raster_style(odd).encode("utf-8"))
    entries = [e.attrib for e in raster.iterfind("pipe/rasterrenderer[@type='paletted']/colorPalette/paletteEntry")]
    assert entries[0] == {"value": "0", "color": "#112233", "alpha": "255", "label": 'Blé "tendre" & <co>'}
    assert [e["value"] for e in entries] == ["0", "5"]
    vector = ET.fromstring(vector_style(odd, "pred_code").encode("utf-8"))
    categories = vector.findall("renderer-v2[@attr='pred_code']/categories/category")
    assert [c.get("value") for c in categories] == ["<&>", "b", ""]
    colours = [o.get("value") for o in vector.iterfind(".//symbol/layer/Option/Option[@name='color']")]
    assert colours == ["17,34,51,255", "68,85,102,255", "255,255,255,255"]
