"""``cscl make-dataset`` and what a user does next: look at it, train on it, judge by it, at 10 m and at 2.5 m."""

from __future__ import annotations

import json
from pathlib import Path

import fake_datasets as fake
import numpy as np
import pytest
import zarr

from cscl.cli import main
from cscl.data.datasets import open_dataset
from cscl.data.datasets._shards import PatchArray
from cscl.errors import InputError

QUICK = ["--set", "model.num_features=4", "--set", "data.patch_px=24", "--set", "train.batch=2", "--device", "cpu"]
SLOVENIA = "slovenia"


@pytest.fixture(scope="module")
def own(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return fake.own(tmp_path_factory.mktemp("d") / "own")


def test_the_command_makes_a_dataset_of_a_season_that_info_describes(
    root: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    season, out = root / "sample_data" / "season", tmp_path / "d"
    told = ["--class-column", "crop", "--name-column", "crop_name", "--mask", str(season / "masks"), "--workers", "2"]
    cut = ["--patch", "48", "--stride", "40", "--block", "48", "--bands", "B02,B03,B04,B08", "--licence", "CC0-1.0"]
    pair = [str(season / "images"), str(season / "parcels.gpkg")]
    assert main(["make-dataset", *pair, str(out), *told, *cut, "--also", *pair]) == 0
    said = capsys.readouterr()
    assert "each of" in said.err and "lies in one fold only" in said.err and said.out.strip() == str(out)
    assert main(["info", str(out)]) == 0
    lines = capsys.readouterr().out
    assert "dataset of 18 entries" in lines and "first       images_1_0_0" in lines
    assert "bands       B02 B03 B04 B08" in lines and "winter wheat" in lines
    assert "**Licence**: CC0-1.0" in (out / "dataset.md").read_text()
    assert main(["make-dataset", str(season / "images"), str(season / "labels.tif"), str(tmp_path / "x")]) == 2
    assert "needs parcels as polygons" in capsys.readouterr().err
    assert main(["make-dataset", str(season / "images"), str(season / "parcels.gpkg"), str(tmp_path / "x")]) == 2
    assert "Say which column" in capsys.readouterr().err


@pytest.mark.parametrize("layout", [[], ["--layout", "cscl_finer", "--set", "data.finer=4"]])
def test_models_learn_from_its_folds_by_its_statistics_and_are_judged_by_others(
    layout: list[str], own: Path, tmp_path: Path
) -> None:
    model, named = tmp_path / "m", layout[:2]
    assert main(["dataset", "train", str(own), str(model), *QUICK, *layout, "--epochs", "1", "--quiet"]) == 0
    card = json.loads((model / "card.json").read_text())
    mean, std = open_dataset(own).moments(["1", "2", "3"]) or ((), ())
    assert card["mean"] == pytest.approx(mean) and card["std"] == pytest.approx(std)
    assert card["data"][0]["dataset"]["test"] == ["5"] and card["bands"] == [f"B{n:02}" for n in range(1, 11)]
    assert main(["dataset", "assess", str(own), str(tmp_path / "r"), str(model), *named, "--quiet"]) == 0
    report = json.loads((tmp_path / "r" / "report.json").read_text())
    entries = open_dataset(own, named[1] if named else None).of(["5"])
    assert report["accuracy"]["pixels"] == sum(int((e.open().labels.index() >= 0).sum()) for e in entries)
    assert report["boundary"]["parcels"]["parcels"] > 5


def test_parcels_alone_pretrain(own: Path, tmp_path: Path) -> None:
    few = ["--set", "pretrain.steps=2", "--set", "pretrain.batch=2", "--set", "pretrain.loss.width=8"]
    assert main(["dataset", "pretrain", str(own), str(tmp_path / "p"), *QUICK, *few, "--quiet"]) == 0


def test_patches_are_read_as_zarr_reads_them_and_damage_is_a_sentence(own: Path, tmp_path: Path) -> None:
    store = zarr.open_group(own / "patches.zarr", mode="r")["season"]
    for name in ("image", "valid", "class", "parcel", "mixed", "class_x4"):
        array = PatchArray(store[name], own / "patches.zarr" / "season" / name)
        assert array._a_shard, "by the short way"
        for number in range(store[name].shape[0]):
            np.testing.assert_array_equal(array.read(number), store[name][number])
    for options in ({"shards": (4, 3), "compressors": None}, {}):  # the other: another writer's chunks
        group = zarr.open_group(tmp_path / f"z{len(options)}", mode="w")
        other = group.create_array("a", shape=(7, 3), chunks=(1, 3), dtype="int16", fill_value=-5, **options)
        other[1], other[2] = [1, 2, 3], [4, 5, 6]
        array = PatchArray(other, tmp_path / f"z{len(options)}" / "a")
        assert [array.read(n).tolist() for n in range(7)] == other[:].tolist()


@pytest.mark.parametrize("part", ["dataset.json", "patches.zarr/season/class/c/0/0/0", "patches.zarr/season/zarr.json"])
def test_a_damaged_dataset_says_so(part: str, tmp_path: Path) -> None:
    folder = fake.own(tmp_path / "d")
    path = folder / part
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    with pytest.raises(InputError, match=r"is damaged.*cscl make-dataset"):
        open_dataset(folder, "cscl").entries[0].open()


@pytest.mark.real
def test_real_images_and_polygons_become_a_dataset_with_true_counts(real_data: Path, tmp_path: Path) -> None:
    here, out = real_data / SLOVENIA, tmp_path / "d"
    told = ["--class-column", "LULC_ID", "--patch", "10", "--block", "10", "--folds", "3", "--unlabelled", "--quiet"]
    images = str(here / "s2_l1c_per_date")
    assert main(["make-dataset", images, str(here / "parcels_lulc_wgs84.geojson"), str(out), *told]) == 0
    card = json.loads((out / "dataset.json").read_text())
    labels = sum(sum(fold["classes"].values()) + fold["void"] for fold in card["folds"].values())
    assert labels == 10000, "every pixel of 100 x 100 lies in a polygon"
    assert card["scenes"][0]["dates"][0]["date"].startswith("2015-07-11")
    french = here / "french_rpg_lpis_193_parcels_epsg2154.gpkg"
    assert main(["make-dataset", images, str(french), str(tmp_path / "x"), "--class-column", "code_cultu"]) == 2
