"""A small world for exports: a prediction on an odd grid, and parcels in another CRS."""

from __future__ import annotations

from collections.abc import Callable

import geopandas as gpd
import numpy as np
import pytest
import xarray as xr
from affine import Affine
from shapely.geometry import box

from cscl.grid import GeoBox
from cscl.legend import CropClass, Legend
from cscl.parcels import Parcels
from cscl.products import Prediction

# The pixel of a real French cube: not a round number, so that any loss of digits shows.
ODD = Affine(9.99479222007154, 0.0, 399960.0123456789, 0.0, -9.99479222007154, 4900020.987654321)

LEGEND = Legend(
    (
        CropClass(0, "MEA", "Meadow & <pasture>", "#117733", "grass"),
        CropClass(3, "WHE", "Blé d'hiver", "#ddcc77", "cereal"),
        CropClass(17, "MAI", "Maize", "#cc6677", "cereal"),
    ),
    ignore=255,
)

MakePrediction = Callable[..., Prediction]


@pytest.fixture
def make_prediction() -> MakePrediction:
    def make(
        shape: tuple[int, int] = (300, 400),
        legend: Legend = LEGEND,
        crs: str = "EPSG:32631",
        transform: Affine = ODD,
        seed: int = 0,
    ) -> Prediction:
        rng = np.random.default_rng(seed)
        coarse = rng.integers(-1, len(legend), (shape[0] // 20 + 1, shape[1] // 20 + 1))
        index = np.kron(coarse, np.ones((20, 20), int))[: shape[0], : shape[1]]
        confidence = np.where(index < 0, 255, rng.integers(100, 251, shape)).astype(np.uint8)
        axes = ("y", "x")
        grid = GeoBox(shape, transform, crs)
        return Prediction(
            xr.DataArray(legend.to_ids(index), dims=axes), xr.DataArray(confidence, dims=axes), grid, legend
        )

    return make


@pytest.fixture
def prediction(make_prediction: MakePrediction) -> Prediction:
    return make_prediction()


@pytest.fixture
def parcels(prediction: Prediction) -> Parcels:
    """Rectangles that follow no pixel edge, one partly and one wholly off the map, in another CRS, with own columns."""
    rng = np.random.default_rng(1)
    west, south, east, north = prediction.grid.boundingbox.bbox
    corners = rng.uniform((west, south), (east - 300, north - 300), (60, 2))
    sizes = np.exp(rng.uniform(np.log(8), np.log(400), (60, 2)))
    shapes = [box(x, y, x + w, y + h) for (x, y), (w, h) in zip(corners, sizes, strict=True)]
    shapes += [box(west - 200, south + 50, west + 90, south + 250), box(east + 500, south, east + 600, south + 100)]
    table = gpd.GeoDataFrame(geometry=shapes, crs="EPSG:32631").to_crs("EPSG:2154")
    table["parcel_id"] = np.arange(101, 101 + len(table))
    table["code"] = [None if i % 7 == 0 else "WHE" for i in range(len(table))]
    table["CODE"] = "CODE of the user"
    table["fid"] = 7
    table["status"] = "approved"
    table["farmer"] = [f"Fermier n° {i}" for i in range(len(table))]
    return Parcels(table, "registre.gpkg")
