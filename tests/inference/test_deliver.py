"""What a user takes away of a model: maps, what the network sees, and the report, in one folder."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import rasterio
import toys
from rio_cogeo import cog_validate

from cscl.errors import GridError, InputError
from cscl.events import run
from cscl.export.bundle import ON_REQUEST, USUAL
from cscl.grid import Window, crop
from cscl.inference.deliver import deliver
from cscl.inference.edge_map import export_edge_strength
from cscl.inference.embed import edge_strength, embed
from cscl.inference.predict import PredictOptions, predict
from cscl.products import Embedding, Prediction, Scene
from cscl.training.segment import train

Made = tuple[Scene, Prediction, Embedding]
REPORT = ["report"]


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Made:
    folder, scene = tmp_path_factory.mktemp("made"), toys.scene()
    recipe = toys.QUICK.with_settings(["train.steps=2", "train.validate_every=2"])
    run(train([scene], folder / "model", recipe, device="cpu"))
    options = PredictOptions(probabilities=True)
    prediction = run(predict(folder / "model", scene.cube, folder / "map", options, device="cpu"))
    return scene, prediction, run(embed(folder / "model", scene.cube, folder / "seen", device="cpu"))


@pytest.fixture(scope="module")
def delivered(made: Made, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[Path]]:
    """All parts in one folder, and the files that were told."""
    scene, prediction, embedding = made
    out, parts = tmp_path_factory.mktemp("delivered") / "out", [*USUAL, *ON_REQUEST]
    return out, run(deliver(prediction, out, parts, labels=scene.labels, embedding=embedding, cube=scene.cube))


def test_all_parts_lie_in_one_folder_and_are_listed(delivered: tuple[Path, list[Path]]) -> None:
    out, files = delivered
    there = {path.relative_to(out).as_posix() for path in out.rglob("*") if path.is_file()}
    assert {path.relative_to(out).as_posix() for path in files} == there - {"report/.cscl-files"}
    assert {
        *("crop_map.tif", "confidence.tif", "margin.tif", "probabilities.tif", "edge_strength.tif", "fields.gpkg"),
        *("figure_confusion.png", "report/index.html", "report/report.json", "report/errors.gpkg", "MODEL.md"),
        *("recipe.toml", "map.pdf", "item.json", "SHA256SUMS", "model/card.json", "model.onnx", "model.json"),
    } <= there
    sums = {line.split("  ")[1] for line in (out / "SHA256SUMS").read_text().splitlines()}
    assert sums == there - {"SHA256SUMS"}
    assets = json.loads((out / "item.json").read_text())["assets"]
    assert assets["report_index"]["title"].startswith("Accuracy")
    assert assets["edge_strength"]["bands"][0]["raster:scale"] == pytest.approx(1e-4)
    assert not any("cscl-files" in asset["href"] for asset in assets.values())


def test_edge_strength_in_the_file_is_that_of_the_embedding(made: Made, tmp_path: Path) -> None:
    embedding = made[2]
    path = run(export_edge_strength(embedding, tmp_path / "edge_strength.tif"))
    with rasterio.open(path) as src:
        stored, scale = src.read(1), src.scales[0]
        assert src.transform == embedding.grid.transform and src.nodata == 65535
    there = stored != 65535
    expected = run(edge_strength(embedding))
    assert np.array_equal(there, np.isfinite(expected)) and there.mean() > 0.9
    np.testing.assert_allclose(stored[there] * scale, expected[there], atol=0.51e-4)
    assert cog_validate(path, strict=True)[0]


def test_a_report_that_was_made_before_is_taken_whole_and_alone(
    made: Made, delivered: tuple[Path, list[Path]], tmp_path: Path
) -> None:
    prediction, report, out = made[1], tmp_path / "made before", tmp_path / "out"
    shutil.copytree(delivered[0] / "report", report)
    (report / "notes.txt").write_text("mine")
    run(deliver(prediction, out, ["crop map", "model card", *REPORT], report=report))
    copied = {path.name: path.read_bytes() for path in (out / "report").iterdir()}
    assert "notes.txt" not in copied and "confusion.csv" in copied
    assert all((report / name).read_bytes() == whole for name, whole in copied.items())
    (report / ".cscl-files").write_text("report.json\n")
    with pytest.raises(InputError, match="does not hold all that cscl assess writes"):
        run(deliver(prediction, tmp_path / "other", REPORT, report=report))


def test_tables_of_a_former_report_go_and_what_is_the_users_stays(
    made: Made, delivered: tuple[Path, list[Path]], tmp_path: Path
) -> None:
    scene, prediction, _ = made
    folder = shutil.copytree(delivered[0], tmp_path / "out") / "report"
    with (folder / ".cscl-files").open("a") as listed:
        listed.write("\nsuspects.csv")
    for name in ("suspects.csv", "notes.txt"):
        (folder / name).write_text("of last year")
    run(deliver(prediction, tmp_path / "out", ["crop map", *REPORT], labels=scene.labels, overwrite=True))
    assert not (folder / "suspects.csv").exists() and (folder / "notes.txt").exists()


def test_the_model_that_is_carried_along_maps_as_the_first(
    made: Made, delivered: tuple[Path, list[Path]], tmp_path: Path
) -> None:
    scene, prediction, _ = made
    again = run(predict(delivered[0] / "model", scene.cube, tmp_path / "map", device="cpu"))
    assert np.array_equal(again.ids.values, prediction.ids.values)
    item = json.loads((delivered[0] / "model.json").read_text())
    assert {asset["href"] for asset in item["assets"].values()} == {"./model.onnx", "./model/network.safetensors"}
    lost = replace(prediction, facts={**prediction.facts, "model_folder": str(tmp_path / "gone")})
    with pytest.raises(InputError, match=r"no longer where it was. Map the images again"):
        run(deliver(lost, tmp_path / "out", ["crop map", "model"]))
    assert not (tmp_path / "out").exists()


def test_edge_strength_needs_an_embedding_of_the_same_pixels(made: Made, tmp_path: Path) -> None:
    _, prediction, embedding = made
    with pytest.raises(InputError, match=r"without an embedding. Make one .*--embedding"):
        run(deliver(prediction, tmp_path / "out", ["edge strength"]))
    part = replace(embedding, grid=crop(embedding.grid, Window(0, 0, 32, 32)))
    with pytest.raises(GridError, match="the embedding"):
        run(deliver(prediction, tmp_path / "out", ["edge strength"], embedding=part))
    assert not (tmp_path / "out").exists()
