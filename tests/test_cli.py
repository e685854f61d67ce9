"""The command line as a user meets it: a whole chain on a tiny season, mistakes, help, and Ctrl-C."""

import csv
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import rasterio

from cscl.cli import main
from cscl.products import Prediction

SMALL = [
    *("--set", "model.num_features=4", "--set", "data.patch_px=16", "--set", "data.block_px=16"),
    *("--set", "pretrain.steps=6", "--set", "pretrain.batch=2", "--set", "train.batch=2", "--device", "cpu"),
]


@pytest.fixture(scope="module")
def season(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("cli") / "season"
    assert main(["simulate", str(folder), "--size", "64", "--dates", "5", "--parcel-size", "small", "--quiet"]) == 0
    return folder


@pytest.fixture(scope="module")
def chain(season: Path) -> Path:
    """Everything from pre-training to export, beside the season."""
    here, parcels = season.parent, str(season / "parcels.gpkg")
    embedding = str(here / "embedding.zarr")
    crop = ["--class-column", "crop", "--name-column", "crop_name"]
    train = ["train", str(season), parcels, str(here / "model"), "--start", str(here / "start"), *crop]
    commands = [
        ["pretrain", str(season), parcels, str(here / "start"), *SMALL],
        [*train, *SMALL, "--set", "train.steps=8"],
        ["predict", str(here / "model"), str(season), str(here / "map"), "--probabilities"],
        ["embed", str(here / "start"), str(season), embedding],
        ["assess", str(here / "map"), parcels, str(here / "report"), *crop, "--held-out-of", str(here / "model")],
        ["export", str(here / "map"), str(here / "export"), "--parcels", parcels, *crop, "--embedding", embedding],
        ["compare", str(here / "map"), str(here / "map"), parcels, str(here / "versus"), *crop, "--names", "a", "b"],
        ["suspects", str(here / "map"), parcels, str(here / "suspects"), *crop, "--all-parcels"],
        ["label-next", str(here / "map"), parcels, str(here / "next")],
        ["sample", str(here / "map"), str(here / "points"), "--units", "60", "--minimum", "2", "--show-class"],
    ]
    for command in commands:
        assert main([*command, "--quiet"]) == 0, command
    return here


def test_a_model_and_images_become_an_export_at_once(
    chain: Path, season: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    how = [str(chain / "model"), str(season), str(tmp_path / "out"), "--labels", str(season / "parcels.gpkg")]
    crop = ["--class-column", "crop", "--name-column", "crop_name"]
    parts = ["--only", "crop map,confidence,parcels,report", "--also", "edge strength, probabilities"]
    with monkeypatch.context() as patch:
        patch.setattr("cscl.inference.deliver.export_edge_strength", lambda *_: _full_disk())
        assert main(["export", *how, *crop, *parts, "--quiet"]) == 2
    said = capsys.readouterr().err
    assert "No space left" in said and f"cscl export {tmp_path / 'out.map'} {tmp_path / 'out'} goes on" in said
    assert [path.name for path in tmp_path.iterdir()] == ["out.map"]
    assert main(["export", *how, *crop, *parts, "--overwrite", "--quiet"]) == 0
    assert [path.name for path in tmp_path.iterdir()] == ["out"]
    files = {path.name for path in (tmp_path / "out").iterdir()}
    assert {"crop_map.tif", "parcels.gpkg", "probabilities.tif", "edge_strength.tif", "report"} <= files
    assert "margin.tif" not in files
    with rasterio.open(tmp_path / "out" / "crop_map.tif") as one, rasterio.open(chain / "map" / "classes.tif") as other:
        assert np.array_equal(one.read(), other.read())
    assert main(["export", str(chain / "model"), str(tmp_path / "other")]) == 2
    assert "is a model. Say what it shall map" in capsys.readouterr().err


def _full_disk() -> Iterator[None]:
    yield None
    raise OSError(28, "No space left on device")


def test_the_chain_makes_all_its_files(chain: Path) -> None:
    for name in (
        *("start/head.safetensors", "model/card.json", "model/network.safetensors", "map/classes.tif"),
        *("embedding.zarr/.zgroup", "report/report.md", "report/report.json", "report/confusion.csv"),
        *("versus/index.html", "versus/won_and_lost.qml", "suspects/suspects.gpkg", "next/label_next.csv"),
        *("points/sample.gpkg", "points/codes.csv"),
        *("export/crop_map.tif", "export/crop_map.tif.aux.xml", "export/parcels.gpkg", "export/legend.csv"),
        "export/edge_strength.tif",
    ):
        assert (chain / name).is_file(), name
    with (
        rasterio.open(chain / "export" / "crop_map.tif") as exported,
        rasterio.open(chain / "map" / "classes.tif") as made,
    ):
        assert exported.transform == made.transform and exported.crs == made.crs
        assert (exported.read(1) == made.read(1)).all()


def test_the_report_compares_crops_by_code_not_by_accident_of_numbering(chain: Path, tmp_path: Path) -> None:
    """Parcels of a few crops only would be numbered otherwise on their own."""
    import geopandas as gpd

    parcels = gpd.read_file(chain / "season" / "parcels.gpkg")
    common = parcels["crop"].value_counts().index
    parcels[parcels["crop"].isin(common[1:3])].to_file(tmp_path / "few.gpkg")
    words = [str(chain / "map"), str(tmp_path / "few.gpkg"), str(tmp_path / "r"), "--class-column", "crop", "--quiet"]
    assert main(["assess", *words, "--distances-m", "10,25"]) == 0
    assert "learnt from, which flatters it" in (tmp_path / "r" / "report.md").read_text(encoding="utf-8")
    with (tmp_path / "r" / "classes.csv").open(encoding="utf-8") as stream:
        rows = {row["code"]: row for row in csv.DictReader(stream)}
    legend = {c.code: c.id for c in Prediction.open(chain / "map").legend.classes}
    assert all(int(rows[code]["id"]) == legend[code] for code in common[1:3])
    assert all(int(rows[code]["truth_px"]) > 0 for code in common[1:3])


@pytest.mark.parametrize("what", ["season", "season/parcels.gpkg", "model", "map"])
def test_info_describes_what_it_is_shown(chain: Path, what: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["info", str(chain / what)]) == 0
    said = capsys.readouterr().out
    assert Path(what).name in said and len(said.splitlines()) > 3


MISTAKES = [
    (["info", "nothing.tif"], "nothing"),
    (["predict", "{model}", "{season}", "{map}"], "add --overwrite"),
    (["train", "{season}", "{season}/parcels.gpkg", "out", "--class-column", "crops"], "Did you mean 'crop'?"),
    (["train", "{season}", "{season}/parcels.gpkg", "out"], "--class-column"),
    (["train", "{season}", "nowhere.gpkg", "out"], "nowhere.gpkg"),
    (
        ["train", "{season}", "{season}/parcels.gpkg", "out", "--class-column", "crop", "--set", "train.stepps=3"],
        "Did you mean 'steps'?",
    ),
    (
        ["train", "{season}", "{season}/parcels.gpkg", "out", "--class-column", "crop", "--window", "0:99,0:9"],
        "reaches beyond",
    ),
    (
        ["train", "{season}", "{season}/parcels.gpkg", "out", "--class-column", "crop", "--name-column", "crop_nam"],
        "Did you mean 'crop_name'?",
    ),
    (["predict", "{season}", "{season}", "out"], "not a model folder"),
    (["predict", "{model}", "{season}", "out", "--scale", "0"], "makes no reflectance"),
    (["predict", "{model}", "{season}", "out", "--tile-px", "32", "--blend-px", "40"], "at most tile_px"),
    (["predict", "{model}", "{season}", "out", "--bands", "B02,B99"], "B99"),
    (["assess", "{season}", "{season}/parcels.gpkg", "out", "--class-column", "crop"], "not a prediction"),
    (
        ["assess", "{map}", "{season}/parcels.gpkg", "out", "--class-column", "crop", "--held-out-of", "{season}"],
        "not a model folder",
    ),
    (["compare", "{map}", "{map}", "{season}/parcels.gpkg", "out", "--class-column", "crop"], "--names BEFORE AFTER"),
    (["suspects", "{map}", "{season}/parcels.gpkg", "out", "--class-column", "crop"], "--all-parcels"),
    (["suspects", "{map}", "{season}/labels.tif", "out"], "Give parcels, not a raster"),
    (["label-next", "{map}", "{season}/parcels.gpkg", "{season}", "--overwrite"], "not a former result"),
    (["sample", "{map}", "out", "--units", "3"], "sample units do not give"),
    (["area", "{map}", "{map}", "out"], "neither sample.gpkg nor sample.csv"),
    (["predict", "{model}", "{season}", "{season}", "--overwrite"], "not a former result"),
    (["embed", "{model}", "{season}", "{season}", "--overwrite"], "not a former result"),
    (["train", "{season}", "{season}/parcels.gpkg", "{season}", "--class-column", "crop", "--overwrite"], "card.json"),
    (["train", "{season}", "{season}/parcels.gpkg", ".", "--class-column", "crop"], "no name for a result"),
]


@pytest.mark.parametrize(("words", "sentence"), MISTAKES)
def test_a_mistake_is_one_sentence_and_status_2(
    chain: Path, words: list[str], sentence: str, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    places = {"season": chain / "season", "model": chain / "model", "map": chain / "map"}
    here = os.getcwd()
    os.chdir(tmp_path)
    try:
        assert main([word.format(**places) for word in words]) == 2
    finally:
        os.chdir(here)
    said = capsys.readouterr().err
    assert said.startswith("cscl: ") and sentence in said and "Traceback" not in said
    assert not any(tmp_path.iterdir()) and (chain / "season" / "images").is_dir()


@pytest.mark.parametrize(
    "command",
    [
        *("", "demo", "info", "simulate", "pretrain", "train", "predict", "embed", "assess", "export", "doctor"),
        *("compare", "suspects", "label-next", "sample", "area"),
    ],
)
def test_help_explains_every_option(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stop:
        main([command, "--help"] if command else ["--help"])
    assert stop.value.code == 0
    assert "usage: cscl" in capsys.readouterr().out


def test_an_unknown_command_is_status_2(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stop:
        main(["trian"])
    assert stop.value.code == 2 and "trian" in capsys.readouterr().err


def test_a_reader_that_has_read_enough_is_no_mistake(season: Path) -> None:
    command = [sys.executable, "-m", "cscl.cli", "info", str(season)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert process.stdout is not None and process.stderr is not None
    process.stdout.close()
    assert process.stderr.read() == "" and process.wait(timeout=600) == 0


def test_a_store_that_is_damaged_all_over_is_one_sentence(season: Path, tmp_path: Path) -> None:
    """What reads the members of a store side by side must not tell of each by itself."""
    assert main(["cube", str(season), str(tmp_path / "season.zarr"), "--quiet"]) == 0
    for member in (tmp_path / "season.zarr").glob("*/zarr.json"):
        member.write_text(member.read_text()[:40])
    command = [sys.executable, "-m", "cscl.cli", "info", str(tmp_path / "season.zarr")]
    process = subprocess.run(command, capture_output=True, text=True, timeout=600)
    assert process.returncode == 2 and process.stderr.count("\n") == 1 and "damaged" in process.stderr


def test_doctor_says_what_is_here(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["doctor"]) == 0
    said = capsys.readouterr().out
    assert all(name in said for name in ("python", "torch", "threads", "qt", "opengl", "gdal"))


@pytest.mark.skipif(sys.platform == "win32", reason="there is no SIGINT to send")
def test_ctrl_c_stops_cleanly_and_the_run_resumes(season: Path, tmp_path: Path) -> None:
    out = tmp_path / "model"
    words = ["train", str(season), str(season / "parcels.gpkg"), str(out), "--class-column", "crop", *SMALL]
    command = [sys.executable, "-m", "cscl.cli", *words, "--set", "train.steps=100000"]
    process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
    assert process.stderr is not None
    said = ""
    while "step" not in said:  # the progress bar of the training has appeared
        said += process.stderr.read(1)
    time.sleep(0.5)
    process.send_signal(signal.SIGINT)
    rest = process.communicate(timeout=600)[1]
    assert process.returncode == 130 and "--resume" in rest and "Traceback" not in rest
    assert not out.exists() and (tmp_path / "model.part" / "checkpoint.pt").is_file()
    assert main([*words, "--resume", "--quiet", "--set", "train.ema=0.5"]) == 2, "another run"
    assert main([*words, "--resume", "--quiet", "--set", "train.steps=1"]) == 0 and (out / "card.json").is_file()


@pytest.mark.parametrize("error", [MemoryError(), RuntimeError("DefaultCPUAllocator: can't allocate memory: 9 GB")])
def test_a_full_memory_is_a_sentence_and_other_faults_go_on(
    error: Exception, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def stop_at(fault: Exception) -> None:
        def stoppable() -> None:
            raise fault

        monkeypatch.setattr("cscl.cli.stoppable", stoppable)

    stop_at(error)
    assert main(["doctor"]) == 2 and "Use smaller tiles or batches" in capsys.readouterr().err
    stop_at(RuntimeError("shapes do not match"))
    with pytest.raises(RuntimeError, match="shapes"):
        main(["doctor"])


def test_a_place_that_is_taken_is_refused_before_anything_is_read(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "map.tif").touch()
    for command in ("pretrain", "train"):
        assert main([command, "no-images", "no-parcels.gpkg", str(tmp_path)]) == 2
        assert "exists already" in capsys.readouterr().err
