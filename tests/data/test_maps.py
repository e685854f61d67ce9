"""An exported map opens again as what it was: grid, ids, names, colours, and how sure it is."""

from __future__ import annotations

from dataclasses import replace
from itertools import product
from pathlib import Path

import numpy as np
import pytest
import xarray as xr
from affine import Affine

from cscl.data.maps import exported_map, open_map
from cscl.errors import InputError, MissingError, OutputError
from cscl.events import run
from cscl.export.bundle import export
from cscl.export.geotiff import export_classes
from cscl.grid import GeoBox
from cscl.legend import CropClass, Legend
from cscl.products import Prediction

LEGENDS = {
    "gaps, 0 as a class": Legend(
        (CropClass(0, "MEA", "Meadow & <pasture>", "#117733", "grass"), CropClass(17, "", "Maïs à grain", "#cc6677"))
    ),
    "ids beyond 255": Legend((CropClass(7, "a", "A", "#112233"), CropClass(301, "b", "B", "#445566")), ignore=0),
    "two hundred crops": Legend(tuple(CropClass(i, f"C{i}", f"crop {i}", f"#{i:02x}80{i:02x}") for i in range(1, 201))),
}
PLACES = ["EPSG:32631", "+proj=sinu +R=6371007.181 +units=m", "+proj=laea +lat_0=47 +lon_0=11 +units=m +ellps=GRS80"]


def prediction(legend: Legend, crs: str = "EPSG:32631") -> Prediction:
    rng, shape = np.random.default_rng(0), (70, 90)
    index = rng.integers(-1, len(legend), shape)
    shares = rng.integers(0, 251, (len(legend), *shape)).astype(np.uint8)
    grid = GeoBox(shape, Affine(9.99479222007154, 0, 399960.0123456789, 0, -9.99479222007154, 4900020.98765), crs)
    layers = (xr.DataArray(a, dims=("y", "x")) for a in (legend.to_ids(index), shares.max(0)))
    return Prediction(
        *layers, grid, legend, xr.DataArray(shares, dims=("class", "y", "x")), name="map",
        margin=xr.DataArray(shares.min(0), dims=("y", "x")),
    )  # fmt: skip


@pytest.mark.parametrize(("legend", "crs"), [*product(list(LEGENDS)[:2], PLACES), ("two hundred crops", PLACES[1])])
def test_an_export_opens_as_the_map_that_it_was(legend: str, crs: str, tmp_path: Path) -> None:
    parts = ["crop map", "confidence", "margin", "probabilities"]
    there = prediction(LEGENDS[legend], crs)
    out = run(export(there, tmp_path / "out", parts=parts))
    for place in (out, out / "crop_map.tif"):
        here = open_map(place)
        assert here.legend == there.legend
        assert here.grid.transform == there.grid.transform and here.grid.crs == there.grid.crs
        for what in ("ids", "confidence", "margin", "probabilities"):
            assert np.array_equal(getattr(here, what).values, getattr(there, what).values), what
        assert (here.name, here.path) == ("out", out)
    again = run(export(here, tmp_path / "again", parts=parts))
    for name in ("crop_map.tif.aux.xml", "crop_map.qml", "legend.csv"):
        assert (again / name).read_bytes() == (out / name).read_bytes()
    with pytest.raises(OutputError, match="holds the very map"):
        run(export(here, out, parts=parts, overwrite=True))


def test_what_was_not_exported_is_unknown(tmp_path: Path) -> None:
    here = open_map(run(export(prediction(LEGENDS["ids beyond 255"]), tmp_path / "out", parts=["crop map"])))
    assert (here.confidence.values == 255).all()
    assert here.margin is None and here.probabilities is None


def test_other_rasters_are_no_maps(tmp_path: Path) -> None:
    there = prediction(LEGENDS["gaps, 0 as a class"])
    run(export_classes(there, tmp_path / "errors.tif", description="kind of error"))
    assert exported_map(tmp_path / "errors.tif") is None and exported_map(tmp_path) is None
    with pytest.raises(MissingError, match="not a prediction"):
        open_map(tmp_path)
    out = run(export(there, tmp_path / "out", parts=["crop map", "confidence"]))
    run(export(replace(there, grid=GeoBox((70, 90), Affine(1, 0, 0, 0, -1, 0), "EPSG:32631")), tmp_path / "b",
               parts=["confidence"]))  # fmt: skip
    (tmp_path / "b" / "confidence.tif").replace(out / "confidence.tif")
    with pytest.raises(InputError, match=r"confidence.tif is not of the same map"):
        open_map(out)
    table = out / "crop_map.tif.aux.xml"
    table.write_text(table.read_text().replace("<Name>Code</Name>", "<Name>Kode</Name>"))
    with pytest.raises(InputError, match="needs Value, Code, Name"):
        open_map(out / "crop_map.tif")
