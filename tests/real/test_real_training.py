"""Training on real images with few pixels: the sanity floors that random forests set there."""

from pathlib import Path

import numpy as np
import pytest
import rasterio

from cscl.cli import main

pytestmark = [pytest.mark.real, pytest.mark.slow]

# For scenes of a few thousand labelled pixels: gentle steps, averaged weights, and samples that are varied.
FEW_PIXELS = [
    *("--set", "train.learning_rate=1e-3", "--set", "train.ema=0.97"),
    *("--set", "data.jitter=0.1", "--set", "data.date_dropout=0.3", "--device", "cpu", "--quiet"),
]


def test_slovenia_left_half_maps_the_right(real_data: Path, tmp_path: Path) -> None:
    here, images = real_data / "slovenia", real_data / "slovenia" / "s2_l1c_per_date"
    legend = tmp_path / "legend.csv"
    legend.write_text("code,name\n2,forest\n3,grassland\n4,shrubland\n8,artificial surface\n", encoding="utf-8")
    parcels = [str(here / "parcels_lulc_32633.gpkg"), "--class-column", "LULC_ID", "--legend", str(legend)]
    rest = ["--set", "train.steps=150", "--set", "train.loss.dice_weight=1.5"]  # for the rare classes
    rest += ["--set", "model.knots=8"]  # enough for five dates in two months
    train = ["train", str(images), parcels[0], str(tmp_path / "model"), *parcels[1:], "--window", "0:101,0:50"]
    assert main([*train, *FEW_PIXELS, *rest]) == 0
    assert main(["predict", str(tmp_path / "model"), str(images), str(tmp_path / "map"), "--quiet"]) == 0
    assess = ["assess", str(tmp_path / "map"), *parcels, "--window", "0:101,50:100", "--quiet"]
    assert main([*assess[:3], str(tmp_path / "report"), *assess[3:]]) == 0
    guess, truth = read(tmp_path / "map" / "classes.tif")[:, 50:], read(here / "labels_lulc.tif")[:, 50:]
    known = np.isin(truth, [2, 3, 4, 8])
    assert (guess == truth)[known].mean() >= 0.84
    assert np.mean([(guess == truth)[truth == c].mean() for c in (2, 3, 4, 8)]) >= 0.50
    with rasterio.open(tmp_path / "map" / "classes.tif") as made, rasterio.open(here / "labels_lulc.tif") as given:
        assert made.transform == given.transform and made.crs == given.crs


def test_belgium_as_openeo_wrote_it_left_half_maps_the_right(real_data: Path, tmp_path: Path) -> None:
    here = real_data / "belgium_a"
    images, labels = here / "worldcereal_preprocessed_inputs.nc", here / "A_labels_cropland_1based.tif"
    train = ["train", str(images), str(labels), str(tmp_path / "model"), "--window", "0:100,0:50", *FEW_PIXELS]
    assert main([*train, "--set", "train.steps=50", "--set", "train.batch=8"]) == 0
    assert main(["predict", str(tmp_path / "model"), str(images), str(tmp_path / "map"), "--quiet"]) == 0
    guess, truth = read(tmp_path / "map" / "classes.tif")[:, 50:], read(labels)[:, 50:]
    assert (guess == truth)[truth > 0].mean() > 0.9, "the larger class alone holds 0.52"


def read(path: Path) -> np.ndarray:
    with rasterio.open(path) as src:
        return src.read(1)
