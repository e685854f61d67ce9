"""A report on disk: what each file holds, and that nothing half-written or foreign is touched."""

from __future__ import annotations

import csv
import json
import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from cscl.errors import OutputError, UnknownNameError
from cscl.legend import Legend
from cscl.metrics.tally import Tally
from cscl.report import Report

LEGEND = Legend.from_codes(["oat", "rye", "soy|bean"], {"rye": "winter rye"})
TRUTH = np.array([[0, 0, 1, 1], [0, 0, 1, -1]])
GUESS = np.array([[0, 1, 1, 1], [0, 0, -1, 1]])
PARCELS = np.array([[4, 4, 7, 7], [4, 4, 7, 0]])


@pytest.fixture
def report() -> Report:
    inner = (slice(0, 2), slice(0, 4))
    confidence = np.where(GUESS < 0, np.nan, 0.5)
    tally = Tally.of(
        TRUTH, GUESS, confidence, PARCELS, inner=inner, classes=3, pixel_size_m=(10, 10), limits_m=(10.0, 20.0)
    )
    facts = {"prediction": "map", "model": None, "assessed": "today"}
    return Report(tally.accuracy(LEGEND), tally.boundary(LEGEND, (10.0, 20.0)), facts, ("Mind this.",))


def rows(path: Path) -> list[dict[str, str]]:
    with path.open(encoding="utf-8", newline="") as stream:
        return list(csv.DictReader(stream))


def test_files(report: Report, tmp_path: Path) -> None:
    folder = report.write(tmp_path / "deep" / "out")
    names = ["classes.csv", "confusion.csv", "distance.csv", "parcels.csv", "report.json", "report.md"]
    assert sorted(path.name for path in folder.iterdir()) == names
    assert [path.name for path in folder.parent.iterdir()] == ["out"]
    confusion = rows(folder / "confusion.csv")
    assert [list(row.values()) for row in confusion[:2]] == [["oat", "3", "1", "0", "0"], ["rye", "0", "2", "0", "1"]]
    near, far, beyond = rows(folder / "distance.csv")[:3]
    assert near == {"edge": "class edge", "more_than_m": "0", "up_to_m": "10", "pixels": "3", "right": "2",
                    "accuracy": "0.666667"}  # fmt: skip
    assert far["pixels"] == "3" and (beyond["up_to_m"], beyond["accuracy"]) == ("inf", "")
    oat, rye = rows(folder / "parcels.csv")
    assert oat == {
        "parcel_id": "4", "declared_id": "1", "declared_code": "oat", "majority_id": "1", "majority_code": "oat",
        "majority_share": "0.75", "pixel_accuracy": "0.75", "mean_confidence": "0.5", "n_px": "4",
        "n_px_predicted": "4", "n_px_interior": "2",
    }  # fmt: skip
    assert (rye["parcel_id"], rye["n_px"], rye["n_px_predicted"]) == ("7", "3", "2")
    classes = rows(folder / "classes.csv")
    assert [(r["subset"], r["code"], r["recall"]) for r in classes[:3]] == [
        ("all judged pixels", "oat", "0.75"), ("all judged pixels", "rye", "1"), ("all judged pixels", "soy|bean", ""),
    ]  # fmt: skip
    assert len(classes) == 3 * (1 + 2 * 4)


def test_parcels_are_also_called_what_the_user_calls_them(report: Report, tmp_path: Path) -> None:
    folder = replace(report, own_ids={4: "FR-12", 9: "FR-3"}).write(tmp_path / "out")
    assert [(r["parcel_id"], r["own_id"]) for r in rows(folder / "parcels.csv")] == [("4", "FR-12"), ("7", "")]


def test_json_is_strict_and_whole(report: Report, tmp_path: Path) -> None:
    text = (report.write(tmp_path / "out") / "report.json").read_text(encoding="utf-8")
    plain = json.loads(text, parse_constant=lambda name: pytest.fail(f"{name} is not JSON"))
    assert plain == report.to_dict()
    assert plain["accuracy"]["overall_accuracy"] == pytest.approx(5 / 6)
    assert plain["accuracy"]["classes"][2]["recall"] is None
    assert plain["boundary"]["curves"][0]["limits_m"] == [10, 20, None]
    assert plain["boundary"]["parcels"] == {
        "parcels": 2, "judged": 2, "share_right": 1.0, "share_right_by_area": 1.0, "mean_pixel_accuracy": 0.875,
    }  # fmt: skip


def test_page(report: Report) -> None:
    page = report.to_markdown()
    assert page.startswith("# Accuracy of map\n")
    assert "| assessed | today |" in page and "| model |" not in page
    assert "- Mind this.\n- 1 of 3 classes occur neither" in page
    assert "| 3 | soy\\|bean | 0 | 0 | – | – | – | – | no pixels |" in page
    for split in report.boundary.splits:
        assert f"- **{split.name}**: {split.definition}" in page
    for curve in report.boundary.curves:
        assert f"## By distance to the nearest {curve.name}\n\n{curve.definition}" in page
    tables = [block for block in page.split("\n\n") if block.startswith("|")]
    for table in tables:
        assert len({line.replace("\\|", "").count("|") for line in table.splitlines()}) == 1


def test_an_existing_folder_is_replaced_only_on_request(report: Report, tmp_path: Path) -> None:
    folder = tmp_path / "out"
    folder.mkdir()
    (folder / "notes.txt").write_text("mine")
    with pytest.raises(OutputError, match="--overwrite"):
        report.write(folder)
    report.write(folder, overwrite=True)
    assert (folder / "notes.txt").read_text() == "mine" and (folder / "report.md").is_file()
    with pytest.raises(OutputError, match="remove that file"):
        report.write(folder / "notes.txt", overwrite=True)


def test_nothing_half_written_survives(report: Report, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> None:
        raise OSError("No space left on device")

    monkeypatch.setattr("cscl.report.report.write_tables", full)
    with pytest.raises(OutputError, match="No space left"):
        report.write(tmp_path / "out")
    assert list(tmp_path.iterdir()) == []


def test_lookups(report: Report) -> None:
    assert report.boundary.split("class boundary").boundary.pixels == 3
    with pytest.raises(UnknownNameError, match="'class boundary'"):
        report.boundary.split("class boundery")
    assert report.boundary.curves[0].bins == ((0, 10), (10, 20), (20, math.inf))
