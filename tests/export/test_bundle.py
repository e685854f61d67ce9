"""The folder a user takes away: whole or not there."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from cscl.errors import InputError, OutputError, UnknownNameError
from cscl.events import Event, Note, Progress, run
from cscl.export.bundle import export, exported
from cscl.export.maps import class_map
from cscl.export.page import Figure
from cscl.legend import Legend
from cscl.parcels import Parcels
from cscl.products import Prediction

PARCELS = ["parcels.codes.csv", "parcels.gpkg", "parcels.parquet", "parcels.qml", "parcels.sld"]
CROP_MAP = ["crop_map.qml", "crop_map.sld", "crop_map.tif", "crop_map.tif.aux.xml", "legend.csv"]
FILES = ["confidence.tif", *CROP_MAP]
FIELDS = ["fields.gpkg", "fields.qml", "fields.sld"]
METADATA = ["SHA256SUMS", "item.json", "map.pdf", "map.png"]
MAPS = ("crop map", "confidence", "parcels")


def names(folder: Path) -> list[str]:
    return sorted(p.name for p in folder.iterdir())


def test_all_files(prediction: Prediction, parcels: Parcels, tmp_path: Path) -> None:
    out = run(export(prediction, tmp_path / "new" / "out", parcels))
    assert names(out) == sorted([*FILES, *PARCELS, *FIELDS, *METADATA])
    assert Legend.from_csv(out / "legend.csv") == prediction.legend
    listed = [line.split("  ")[1] for line in (out / "SHA256SUMS").read_text().splitlines()]
    assert sorted([*listed, "SHA256SUMS"]) == names(out), "the sums are of all other files"
    assets = json.loads((out / "item.json").read_text())["assets"].values()
    assert {Path(asset["href"]).name for asset in assets} >= {"crop_map.tif", "parcels.gpkg", "fields.gpkg", "map.pdf"}


def test_a_folder_in_use_is_kept(prediction: Prediction, tmp_path: Path) -> None:
    (tmp_path / "thesis.txt").write_text("years of work")
    (tmp_path / "crop_map.tif").write_text("last year's map")
    with pytest.raises(OutputError, match="is not empty"):
        run(export(prediction, tmp_path))
    run(export(prediction, tmp_path, parts=MAPS, overwrite=True))
    assert names(tmp_path) == [*FILES, "thesis.txt"]
    with pytest.raises(OutputError, match="one of the inputs"):
        run(export(prediction, tmp_path, overwrite=True, inputs=[tmp_path / "crop_map.tif"]))


def test_what_tells_of_a_former_export_is_named(prediction: Prediction, tmp_path: Path) -> None:
    run(export(prediction, tmp_path, parts=["confidence", "catalogue", "checksums"]))
    events: list[Event] = []
    run(export(prediction, tmp_path, parts=["confidence", "checksums"], overwrite=True), events.append)
    (told,) = (event.text for event in events if isinstance(event, Note) and event.warning)
    assert told.startswith(f"Of a former export, {tmp_path} still holds item.json.")


def test_refusals(prediction: Prediction, tmp_path: Path) -> None:
    (tmp_path / "prediction.json").write_text("{}")
    with pytest.raises(OutputError, match="is a prediction itself"):
        run(export(prediction, tmp_path, overwrite=True))
    with pytest.raises(OutputError, match=r"prediction\.json is a file"):
        run(export(prediction, tmp_path / "prediction.json"))
    with pytest.raises(OutputError, match="cannot be made"):
        run(export(prediction, tmp_path / "prediction.json" / "out"))


@pytest.mark.parametrize("former", [False, True])
def test_left_midway(prediction: Prediction, parcels: Parcels, tmp_path: Path, former: bool) -> None:
    out = tmp_path / "out"
    if former:
        out.mkdir()
        (out / "crop_map.tif").write_text("last year's map")
    job = export(prediction, out, parcels, overwrite=True)
    for event in job:
        if isinstance(event, Progress) and event.stage == "judging parcels":
            break
    assert any(name.endswith(".part") for name in names(out))
    job.close()
    assert names(tmp_path) == (["out"] if former else [])
    assert not former or (out / "crop_map.tif").read_text() == "last year's map"


def test_parts_can_be_left_out_and_figures_added(prediction: Prediction, parcels: Parcels, tmp_path: Path) -> None:
    picture = Figure("crop_map", class_map(prediction))
    out = run(export(prediction, tmp_path / "a", parts=["confidence", "figures"], figures=[picture]))
    assert names(out) == ["confidence.tif", "figure_crop_map.png"]
    assert [p.name for p in exported(out, "figures", "crop map")] == ["figure_crop_map.png"]
    assert names(run(export(prediction, tmp_path / "b", parcels, parts=["parcels"]))) == PARCELS
    for none in ([], ["figures"], ["parcels"], ["page"]):
        with pytest.raises(InputError, match="Nothing was chosen"):
            run(export(prediction, tmp_path / "c", parts=none))
    with pytest.raises(UnknownNameError, match="confidense"):
        run(export(prediction, tmp_path / "c", parts=["confidense"]))
    assert not (tmp_path / "c").exists()


def test_the_file_that_parcels_come_from_is_never_replaced(
    prediction: Prediction, parcels: Parcels, tmp_path: Path
) -> None:
    source = tmp_path / "parcels.gpkg"
    parcels.table[["geometry", "code"]].to_file(source)
    before = source.read_bytes()
    opened = Parcels.open(source, "code")
    with pytest.raises(OutputError, match="one of the inputs"):
        run(export(prediction, tmp_path, opened, overwrite=True))
    assert source.read_bytes() == before and names(tmp_path) == ["parcels.gpkg"]


def test_a_full_disk_leaves_the_former_export(
    prediction: Prediction, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = run(export(prediction, tmp_path / "out", parts=MAPS))
    before = {p.name: p.read_bytes() for p in out.iterdir()}

    def full(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("cscl.legend.Legend.to_csv", full)
    with pytest.raises(OutputError, match="No space left on device"):
        run(export(prediction, out, parts=MAPS, overwrite=True))
    assert {p.name: p.read_bytes() for p in out.iterdir()} == before
