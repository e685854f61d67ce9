"""The card to read: what is known is said, and nothing else."""

from __future__ import annotations

import datetime as dt
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml

from cscl.card import ModelCard
from cscl.cli import main
from cscl.errors import InputError, MissingError
from cscl.export.model_card import model_card, read_report
from cscl.legend import CropClass, Legend
from cscl.metrics.tally import Tally
from cscl.recipe import Choice, Recipe
from cscl.report import Report

LEGEND = Legend((CropClass(0, "007", "Blé | dur <b>", "#aabbcc"), CropClass(9, "W", "冬小麦", "#112233", "cereal")))
SCENE = {
    "images": "season", "labels": "parcels.gpkg", "dates": ["2022-03-01", "2022-10-27"], "crs": "EPSG:32631",
    "bounds": [5e5, 5e6, 6e5, 51e5], "classes": {"0": 1200}, "notes": ["The images are simulated, as tags say."],
}  # fmt: skip
CARD = ModelCard(
    name="north: 2022", stage="trained", model=Choice("compact"), bands=("B04", "B08"), mean=(0.1, 0.3),
    std=(0.05, 0.1), legend=LEGEND, reference_date=dt.date(2022, 1, 1), first_day=59, last_day=299, dates=8,
    pixel_size_m=10.0, recipe=Recipe(), data=(SCENE,), needs={"least_dates": 2, "remarks": "Mind the\ngap."},
)  # fmt: skip


@pytest.fixture
def report() -> dict[str, Any]:
    truth, guess = np.array([[0, 0, 1, 1], [0, 0, 1, -1]]), np.array([[0, 1, 1, 1], [0, 0, -1, 1]])
    tally = Tally.of(
        truth, guess, np.full(truth.shape, 0.5), None, inner=(slice(0, 2), slice(0, 4)), classes=2,
        pixel_size_m=(10, 10), limits_m=(10.0,),
    )  # fmt: skip
    facts = {"prediction": "map", "model": "south", "labels": "held: out", "judged": "held-out pixels"}
    return Report(tally.accuracy(LEGEND), tally.boundary(LEGEND, (10.0,)), facts, ("Mind this.",)).to_dict()


def front(page: str) -> dict[str, Any]:
    return dict(yaml.safe_load(page.split("---\n")[1]))


def test_what_a_card_says() -> None:
    page = model_card(CARD)
    assert page.startswith("---\n") and front(page)["license"] == "unknown" and "model-index" not in front(page)
    for told in (
        "# north: 2022", "| 0 | 007 | Blé \\| dur &lt;b> | – | 1,200 |", "| 9 | W | 冬小麦 | cereal | unknown |",
        "Mind the gap.", "B04 B08", "01 Mar to 27 Oct", "2 dates, 2022-03-01 to 2022-10-27", "45.15° N to 46.05° N",
        "it has learnt from simulated images", "10% chose the weights, and 20% were held back", "To be filled in",
        "Accuracy on pixels that it has never seen is unknown", "cscl predict MODEL",
    ):  # fmt: skip
        assert " ".join(told.split()) in " ".join(page.split()), told
    assert Recipe().to_toml().strip() in page


def test_figures_come_from_the_report(report: dict[str, Any]) -> None:
    page = model_card(CARD, report, licence="cc-by-4.0")
    known = front(page)
    (result,) = known["model-index"][0]["results"]
    assert known["license"] == "cc-by-4.0" and "To be filled in**: under" not in page
    assert result["metrics"][0] == {"type": "accuracy", "name": "overall accuracy", "value": round(5 / 6, 6)}
    assert result["dataset"]["name"] == "held: out (held-out pixels)"
    assert "| overall accuracy | 0.833 |" in page and "Mind this." in page and "model called south" in page
    assert "| class boundary | boundary | 3 | 0.667 |" in page and "| 0 to 10 m |" in page
    assert "is unknown to this card" not in page


def test_nothing_is_made_up() -> None:
    page = model_card(replace(CARD, data=(), needs={}, stage="pretrained"))
    for told in (
        "maps no crops",
        "does not say what it was trained on",
        "an unknown number",
        "unknown when",
        "--start",
    ):
        assert told in page
    folds = {"name": "PASTIS", "training": ["1", "2"], "validation": ["4"], "test": ["5"]}
    page = model_card(replace(CARD, data=({**SCENE, "dataset": folds, "bounds": None, "crs": None},)))
    assert "training: fold 1, 2; validation: fold 4; test: fold 5" in page and "Region: unknown." in page


def test_the_command(tmp_path: Path, report: dict[str, Any], capsys: pytest.CaptureFixture[str]) -> None:
    CARD.save(tmp_path)
    (tmp_path / "report.json").write_text(json.dumps(report))
    assert main(["card", str(tmp_path), "--report", str(tmp_path), "--licence", "mit"]) == 0
    assert capsys.readouterr().out == model_card(CARD, report, licence="mit")
    assert main(["card", str(tmp_path / "nowhere")]) == 2
    (tmp_path / "report.json").write_text('{"accuracy": 1}')
    with pytest.raises(InputError, match="no report of cscl assess"):
        read_report(tmp_path)
    with pytest.raises(MissingError, match="cscl assess"):
        read_report(tmp_path / "nowhere")
