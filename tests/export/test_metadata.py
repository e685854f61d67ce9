"""All that describes an export, in one go: each file knows those before it."""

from __future__ import annotations

import datetime as dt
import hashlib
from collections.abc import Callable
from pathlib import Path

from affine import Affine
from stac_rules import validate

from cscl.card import ModelCard
from cscl.events import Note, run
from cscl.export.bundle import export
from cscl.export.metadata import METADATA, add_metadata
from cscl.products import Prediction
from cscl.recipe import Choice, Recipe


def test_all_parts(prediction: Prediction, tmp_path: Path) -> None:
    card = ModelCard(
        name="m", stage="trained", model=Choice("compact"), bands=("B04",), mean=(0.1,), std=(0.1,),
        legend=prediction.legend, reference_date=dt.date(2022, 1, 1), first_day=1, last_day=200, dates=8,
        pixel_size_m=10.0, recipe=Recipe(seed=7),
    )  # fmt: skip
    out = run(export(prediction, tmp_path / "out", parts=["crop map", "confidence"]))
    before = {path.name for path in out.iterdir()}
    (out / "net.onnx").write_bytes(b"x")
    for _ in range(2):  # again over the former ones
        run(add_metadata(out, prediction, card=card, title="Fields & co", derived_from=["s3://images/item.json"]))
    made = {name for names in METADATA.values() for name in names}
    assert {path.name for path in out.iterdir()} == before | made | {"net.onnx"}
    assert Recipe.open(out / "recipe.toml").seed == 7 and (out / "MODEL.md").read_text().startswith("---\nlicense")
    item = validate(out / "item.json")
    assert item["properties"]["title"] == "Fields & co" and len(item["links"]) == 2
    listed = {Path(asset["href"]).name for asset in item["assets"].values()}
    assert listed == (before | made | {"net.onnx"}) - {"item.json", "SHA256SUMS"}
    lines = (out / "SHA256SUMS").read_text().splitlines()
    assert {line[66:] for line in lines} == {path.name for path in out.iterdir()} - {"SHA256SUMS"}
    for line in lines:
        assert hashlib.sha256((out / line[66:]).read_bytes()).hexdigest() == line[:64], line[66:]


def test_parts_can_be_left_out(prediction: Prediction, tmp_path: Path) -> None:
    out = run(export(prediction, tmp_path / "out", parts=["confidence"]))
    run(add_metadata(out, prediction, ["page", "model card", "catalogue"]))
    assert {path.name for path in out.iterdir()} == {"confidence.tif", "item.json"}


def test_a_map_without_a_place_in_degrees(make_prediction: Callable[..., Prediction], tmp_path: Path) -> None:
    lost = make_prediction((50, 50), transform=Affine(1e6, 0, 1e12, 0, -1e6, 1e12))
    out = run(export(lost, tmp_path / "out", parts=["crop map"]))
    events: list[object] = []
    run(add_metadata(out, lost), events.append)
    assert any(isinstance(e, Note) and "No catalogue entry" in e.text for e in events)
    assert (out / "map.pdf").is_file() and (out / "SHA256SUMS").is_file() and not (out / "item.json").exists()
